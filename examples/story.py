"""What examples/demo shows: three nights on a private slapd and a dangerous file, with the typed commands."""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from invented.national import write_set  # noqa: E402

PEOPLE, SEED = "2000", "1"
PERSONS = {"anne": 60001, "bruno": 60002}
APPROVALS = """
approvals:
  required: [{refused: any}, {kind: [revoke, deactivate], more_than: 10}]
"""


class Story:
    """The sandbox and the feeds of one demonstration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandbox = folder / "sandbox"
        self.environment = {**os.environ, "PIACTL_CONFIG": str(self.sandbox / "piactl.yaml")}
        self.cast: dict[str, Any] = {}
        self.failed: list[str] = []

    def title(self, text: str) -> None:
        print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)

    def piactl(self, *words: str, expected: int = 0, quiet: bool = False, by: str = "") -> str:
        """Runs a command, `by` a person who is logged in, shows its output, and checks its exit code."""
        shown = " ".join(word.replace(str(self.folder) + "/", "") for word in words)
        print(f"{by}$ piactl {shown}", flush=True)
        command = [*(self._logged_in(by) if by else ()), sys.executable, "-m", "piactl", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if not quiet:
            print(done.stdout + done.stderr, end="", flush=True)
        if done.returncode != expected:
            self.failed.append(f"piactl {shown}: exit code {done.returncode}, expected {expected}")
        return done.stdout

    def _logged_in(self, name: str) -> list[str]:
        """The words before a command that give it the login record of a person of PERSONS, in a mount
        namespace in which these people are users. Only root can do that: it can be two people, as
        docs/approvals.md says."""
        users = self.folder / "passwd"
        if not users.exists():
            lines = (f"{name}:x:{uid}:{uid}::/:/bin/false\n" for name, uid in PERSONS.items())
            users.write_text(
                Path("/etc/passwd").read_text(encoding="utf-8") + "".join(lines), encoding="utf-8"
            )
        script = 'mount --bind "$1" /etc/passwd && echo "$2" > /proc/self/loginuid && shift 2 && exec "$@"'
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        me = ["setpriv", f"--reuid={os.geteuid()}", f"--regid={os.getegid()}", "--clear-groups"]
        variables = [f"{name}={self.environment[name]}" for name in ("PIACTL_CONFIG", "PATH")]
        return [*root, "unshare", "--mount", "sh", "-c", script, "sh", str(users), str(PERSONS[name])] + [
            *(*me, "env", "-u", "SUDO_USER", *variables)
        ]

    def expect(self, expectation: str, true: bool) -> None:
        print(f"  {'ok' if true else 'WRONG'}: {expectation}", flush=True)
        if not true:
            self.failed.append(expectation)

    def account(self, uid: str, as_of: date) -> dict[str, Any]:
        words = ["account", "show", uid, "-o", "json", "--as-of", as_of.isoformat()]
        command = [sys.executable, "-m", "piactl", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        account: dict[str, Any] = json.loads(done.stdout)
        return account

    def services(self, uid: str, day: date) -> str:
        """The state and the services held on a day; a service of one establishment with its UAI."""
        account = self.account(uid, day)
        services = [
            e["service"] + (f"@{e['uai']}" if e["uai"] else "")
            for e in account["entitlements"]
            if e["from"] <= day.isoformat()
        ]
        return f"{account['state']:<12} {' '.join(services) or '-'}"

    def uri(self) -> str:
        status = self.piactl("sandbox", "status", "--dir", str(self.sandbox), quiet=True)
        return next(line.split()[1] for line in status.splitlines() if line.startswith("server"))

    def entry_csns(self) -> str:
        """The change number (entryCSN) that the directory keeps of each account."""
        return self._ldap(
            "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", "o=gouv,c=fr", "(objectClass=piactlAccount)",
            "entryCSN",
        )  # fmt: skip

    def set_password(self, uid: str, password: str) -> None:
        """Gives an account a password as the administrator of the directory, over the private socket."""
        dn = f"uid={uid},ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr"
        change = f"dn: {dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: {password}\n"
        self._ldap("ldapmodify", "-Q", stdin=change)

    def can_log_in(self, uid: str, password: str) -> bool:
        """Whether a simple bind succeeds, as every application does it."""
        dn = f"uid={uid},ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr"
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as secret:
            secret.write(password)
            secret.flush()
            words = ["ldapwhoami", "-x", "-H", self.server, "-D", dn, "-y", secret.name]
            return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def _ldap(self, tool: str, *words: str, stdin: str = "") -> str:
        command = [tool, "-H", self.server, "-Y", "EXTERNAL", *([] if "-Q" in words else ["-Q"]), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)
        return done.stdout

    def tell(self, today: date) -> None:
        feeds = self.folder / "feeds"
        self.title(f"Feeds of three nights for {PEOPLE} invented people")
        subprocess.run(
            [sys.executable, str(HERE / "make_feeds.py"), "--people", PEOPLE, "--seed", SEED]
            + ["--today", today.isoformat(), "--out", str(feeds)],
            check=True,
        )
        self.cast = json.loads((feeds / "cast.json").read_text(encoding="utf-8"))
        people = self.cast["people"]
        nights = [(date.fromisoformat(n["date"]), str(feeds / n["file"])) for n in self.cast["nights"]]

        self.title("A private slapd")
        self.piactl("sandbox", "start", "--dir", str(self.sandbox))
        self.server = self.uri()

        self._move_rentree(date.fromisoformat(self.cast["rentree"]), today)
        self.title("Night 1, the first load: the plan, then the night")
        day, feed = nights[0]
        self.piactl("plan", feed, "--as-of", day.isoformat())
        self.piactl("nightly", feed, "--as-of", day.isoformat())

        self.title("Night 2, the rentrée: mutations, arrivals, ends, a marriage, homonyms, a retirement")
        day, feed = nights[1]
        self.piactl("nightly", feed, "--as-of", day.isoformat())

        self.title("Night 3, an ordinary night: today")
        self.piactl("nightly", nights[2][1])
        self._mover(people["mover"], people["head_mover"])
        self._names(people)
        self._leavers(people, today)
        self._national(Path(nights[2][1]), today, people["mover"]["establishments"][-1], people["bride"])
        self._bad_nights(nights[2][1], str(feeds / self.cast["cut"]))
        self._two_people(nights[2][1], today)

        self.title("What was done")
        self.piactl("runs", "list", "-o", "table")
        self.piactl("journal", "verify")
        self.piactl("doctor")

    def _move_rentree(self, first: date, last: date) -> None:
        """Moves the period in which the guards let a rentrée pass to the days of the demonstration."""
        file = self.sandbox / "policy.yaml"
        usual = "      from: 08-20\n      to: 09-30\n"
        policy = file.read_text(encoding="utf-8")
        if policy.count(usual) != 1:
            raise ValueError(f"{file}: the period of the rentrée is not where it was")
        period = f"      from: {first:%m-%d}\n      to: {last:%m-%d}\n"
        file.write_text(policy.replace(usual, period), encoding="utf-8")
        self.title("The policy: on other days than 20 August to 30 September the guards stop a rentrée")
        print(f"  so the period `rentree` of policy.yaml is now {first:%m-%d} to {last:%m-%d}", flush=True)

    def _mover(self, mover: dict[str, Any], head: dict[str, Any]) -> None:
        self.title("Accounts before, during and after the delays of a mutation")
        self.piactl("account", "show", mover["uid"])
        for person in (mover, head):
            start = date.fromisoformat(person["dates"]["new_start"])
            print(f"{person['uid']} moved from {' to '.join(person['establishments'])} on {start}:")
            for later in (-1, 0, 1, 2, 7, 14, 15):
                day = start + timedelta(days=later)
                print(f"  {day}  {self.services(person['uid'], day)}", flush=True)

    def _names(self, people: dict[str, Any]) -> None:
        self.title("A marriage, and homonyms")
        bride = self.account(people["bride"]["uid"], date.fromisoformat(self.cast["today"]))
        print(
            f"  {bride['display_name']}: {bride['address']}, still reached as {', '.join(bride['aliases'])}"
        )
        self.expect("the bride has her new address", bride["address"] == people["bride"]["address"])
        for homonym in people["homonyms"]:
            print(f"  {homonym['given_name']} {homonym['family_name']}: {homonym['address']}")
            account = self.account(homonym["matricule"], date.fromisoformat(self.cast["today"]))
            self.expect(f"{homonym['matricule']} is {homonym['uid']}", account["uid"] == homonym["uid"])

    def _leavers(self, people: dict[str, Any], today: date) -> None:
        self.title(
            "Leavers: in grace the directory lets them in, afterwards it refuses, whatever the password"
        )
        password = secrets.token_urlsafe(12)
        for role, allowed in (("mover", True), ("leaver_in_grace", True), ("leaver_out", False)):
            person = people[role]
            self.set_password(person["uid"], password)
            state = self.account(person["uid"], today)
            until = f", until {state['login_until']}" if state["login_until"] else ""
            self.expect(
                f"{person['uid']} ({state['state']}{until}): {'let in' if allowed else 'refused by slapd'}",
                self.can_log_in(person["uid"], password) == allowed,
            )

    def _national(self, feed: Path, today: date, uai: str, guest: dict[str, Any]) -> None:
        self.title("AAF, the national feed of one school, beside HR: it adds posts, and makes no accounts")
        file = self.sandbox / "piactl.yaml"
        before, sources, rest = file.read_text(encoding="utf-8").partition("sources:\n")
        source = '  aaf: {format: aaf, role: supplement, namespace: aaf, files: ["ENT*"]}\n'
        file.write_text(before + sources + source + rest, encoding="utf-8")
        with feed.open(encoding="utf-8", newline="") as lines:
            rows = [
                row for row in csv.DictReader(lines, delimiter=";") if row["matricule"] == guest["matricule"]
            ]
        post = {
            "uai": uai,
            "fonction": "ENS",
            "modalite": "secondaire",
            "debut": f"{today:%d/%m/%Y}",
            "fin": "",
        }
        new = {"matricule": "9", "nom_famille": "Marquivilliers", "nom_usage": "", "prenom": "Solène"}
        added_rows = [{**rows[0], **post}, {**rows[0], **post, **new, "date_naissance": "29/02/1992"}]
        register = feed.parent / "establishments.csv"
        made = str(write_set("aaf", feed, feed.parent / "aaf", today, register, [uai], added_rows))
        self.piactl("feed", "check", made)
        output = self.piactl("nightly", made)
        self.expect(
            "the teacher whom HR does not have yet has no account", "1 person without an account" in output
        )
        posts = self.account(guest["uid"], today)["assignments"]
        self.expect(f"{guest['uid']} teaches at {uai}, too", any(post["uai"] == uai for post in posts))

    def _bad_nights(self, feed: str, cut: str) -> None:
        self.title("A cut file is refused, and nothing is written")
        before = self.entry_csns()
        self.piactl("nightly", cut, expected=6)
        self.expect("no account was touched", self.entry_csns() == before)

        self.title("The same file again: zero writes")
        self.piactl("nightly", feed)
        self.expect(
            f"the entryCSN of all {before.count('entryCSN')} accounts is unchanged",
            self.entry_csns() == before,
        )

    def _two_people(self, feed: str, today: date) -> None:
        self.title(
            "A dangerous file ends the posts of AED: Anne plans, Bruno approves, and undo puts them back"
        )
        with (self.sandbox / "policy.yaml").open("a", encoding="utf-8") as policy:
            policy.write(APPROVALS)
        try:
            subprocess.run([*self._logged_in("anne"), "true"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            print("  left out: only root, or sudo without a password, can play two people here", flush=True)
            return
        bad, plan, undo = (str(self.folder / name) for name in ("feeds/rh-aed.csv", "plan.json", "undo.json"))
        ended = _without_aed(Path(feed), Path(bad), today - timedelta(days=1))
        self.piactl("plan", bad, "--out", plan, by="anne")
        self.piactl("apply", plan, expected=4, by="anne")
        self.piactl("approve", plan, "--reason", "it is my own plan", expected=4, by="anne")
        self.piactl("approve", plan, "--reason", "HR confirms it", by="bruno")
        self.piactl("apply", plan, by="anne")
        self.piactl("undo", "last", "--reason", "HR was wrong", "--out", undo, by="anne", quiet=True)
        self.piactl("apply", undo, by="anne")
        state = self.account(ended, today)["state"]
        self.expect(f"{ended} is {state} again", state == "active")


def _without_aed(feed: Path, bad: Path, last: date) -> str:
    """Writes the feed with the posts of at most 24 AED ended on `last`; returns one of their matricules."""
    header, *rows, end = feed.read_text(encoding="utf-8").splitlines()
    columns = header.split(";")
    function, start, fin = (columns.index(name) for name in ("fonction", "debut", "fin"))
    written, ended = [], []
    for cells in (row.split(";") for row in rows):
        day = date(*(int(part) for part in reversed(cells[start].split("/"))))
        if cells[function] == "AED" and day < last and not cells[fin] and len(ended) < 24:
            cells[fin] = f"{last:%d/%m/%Y}"
            ended.append(cells[columns.index("matricule")])
        written.append(";".join(cells))
    bad.write_text("\n".join([header, *written, end]) + "\n", encoding="utf-8")
    return ended[0]


def main() -> int:
    from piactl.clock import civil_today

    keep = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    folder = keep or Path(tempfile.mkdtemp(prefix="piactl-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if keep and any(folder.iterdir()):
        print(f"{folder} is not empty; name a new folder", file=sys.stderr)
        return 2
    story = Story(folder)
    try:
        story.tell(civil_today("Europe/Paris"))
    finally:
        story.title("The end")
        story.piactl("sandbox", "stop", "--dir", str(story.sandbox))
        if keep is None:
            shutil.rmtree(folder)
    for expectation in story.failed:
        print(f"WRONG: {expectation}", file=sys.stderr)
    return 1 if story.failed else 0


if __name__ == "__main__":
    sys.exit(main())
