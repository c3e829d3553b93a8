"""A week of the people of one host, who type `piactl ...` and what it prints: a refused night, its approval,
a restored directory, an adoption, a mail merge, the help desk; and the night as its unit confines it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.story.academy import Academy
from tests.story.feeds import row
from tests.story.test_restore import back_up, restore

from .conditions import CLAIRE, IDA, NUMEN, TODAY, WHY
from .unix_host import Host, load_with_matching_key, unix_host

pytestmark = pytest.mark.long

UNIT = Path(__file__).parents[2] / "examples" / "systemd" / "piactl-nightly.service"
LETTERS = ("piactl", "password", "activate", IDA, "--administrator", "--yes")


POLICY_CASE = """\
cases:
  - case: a teacher
    posts: [{fonction: ENS, uai: "0800009A", debut: "2026-09-01"}]
    day: "2026-09-10"
    has: [messagerie]
"""


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    load_with_matching_key(academy)
    with unix_host(academy) as host:
        yield host


def printed(said: str, verb: str) -> list[str]:
    """The words of the command that a message prints, with the reason filled in."""
    lines = re.findall(rf"piactl {verb} [^\n]*", said)
    assert lines, said
    line = lines[0]
    return shlex.split(line.replace('"..."', "'read with the head of HR'"))


def deliver(host: Host, days: int, *people: dict[str, str]) -> str:
    """The feed of a day, with Claire, Ida and more people, as HR leaves it."""
    day = TODAY - timedelta(days=days)
    text = (host.academy.folder / "hr.csv").read_text(encoding="utf-8").splitlines()
    rows = [*text[:-1], *(row(debut="2020-09-01", **person) for person in people)]
    trailer = re.sub(r"\d+", str(len(rows) - 1), text[-1], count=1) if text[-1].startswith("#FIN") else ""
    file = f"/srv/piactl/feeds/hr-{day}.csv"
    content = "\n".join([*rows, *([trailer] if trailer else [])]) + "\n"
    host.root(f"rm -f /srv/piactl/feeds/*; cat > {file} <<'END'\n{content}END\nchmod 644 {file}")
    return file


def test_a_week(host: Host) -> None:
    # a refused night of the timer; the second person approves, an administrator applies, both as printed
    host.root(
        "printf 'approvals:\\n  required: [{kind: [create], more_than: 0}]\\n' >> /etc/piactl/policy.yaml"
    )
    odile = {"matricule": "7001", "nom_famille": "Roussel", "prenom": "Odile"}
    feed = deliver(host, 2, odile)
    night = host.service("piactl", "nightly", feed)
    assert night.returncode == Exit.REFUSED, night
    assert "As another person (group piactl-approver): piactl approve " in night.stderr
    approve, apply = printed(night.stderr, "approve"), printed(night.stderr, "apply")
    file = approve[2]
    assert host.types("vera", "piactl", "plan", "show", file).returncode == Exit.DONE
    assert host.types("anne", *approve).returncode == Exit.CONFIGURATION
    assert host.types("anne", *apply).returncode == Exit.REFUSED
    done = host.types("vera", *approve)
    assert (done.returncode, "approved by vera" in done.stdout) == (Exit.DONE, True), done
    assert host.types("vera", *apply).returncode == Exit.CONFIGURATION
    done = host.types("anne", *apply)
    assert done.returncode == Exit.DONE, done
    night = host.service("piactl", "nightly", feed)
    assert night.returncode == Exit.DONE, night

    # nobody approves a plan of their own, under any name; it can come from stdin
    nadia = {"matricule": "7002", "nom_famille": "Kessler", "prenom": "Nadia"}
    made = host.types("boss", "piactl", "plan", deliver(host, 1, odile, nadia), "-o", "json")
    assert made.returncode == Exit.DONE, made
    assert json.loads(made.stdout)["made_by"] == ["boss"]
    from_stdin = ("piactl", "approve", "-", *WHY)
    done = host.types("boss", *from_stdin, stdin=made.stdout)
    assert (done.returncode, "boss made this plan" in done.stderr) == (Exit.REFUSED, True), done
    done = host.types("boss", *from_stdin, stdin=made.stdout, environment={"SUDO_USER": "vera"})
    assert done.returncode == Exit.REFUSED
    done = host.types("boss", *from_stdin, stdin=made.stdout, forged_login="vera")
    assert (done.returncode, "you are vera for the kernel, boss for sudo" in done.stderr) == (1, True), done
    assert host.types("vera", *from_stdin, stdin=made.stdout).returncode == Exit.DONE
    done = host.types("boss", "piactl", "apply", "-", stdin=made.stdout)
    assert done.returncode == Exit.DONE, done

    # an older file is refused, and an administrator accepts it as printed
    older = deliver(host, 0, odile, nadia)
    host.root(f"sed -i -E 's/date=[0-9-]+/date={TODAY - timedelta(days=5)}/' {older}")
    night = host.service("piactl", "nightly", older, "--move-applied", "/srv/piactl/applied")
    assert night.returncode == Exit.FEED_REFUSED, night
    assert "To go on all the same (group piactl-admin): piactl nightly " in night.stderr
    accept = printed(night.stderr, "nightly")
    assert host.types("vera", *accept).returncode == Exit.CONFIGURATION
    done = host.types("anne", *accept)
    assert done.returncode == Exit.DONE, done

    # the directory is restored from before an act of an administrator and one of the help desk; one person
    # accepts the loss for all, and the night goes on
    ldif = back_up(host.academy)
    assert host.types("anne", "piactl", "account", "lock", IDA, *WHY, "--yes").returncode == Exit.DONE
    activate = ("piactl", "password", "activate", CLAIRE, "--numen-file", "-")
    assert host.types("ope", *activate, terminal=True, stdin=f"{NUMEN}\n").returncode == Exit.DONE
    restore(host.academy, ldif)
    night = host.service("piactl", "nightly")
    assert night.returncode == Exit.OLDER, night
    done = host.types("anne", "piactl", "recover", "-o", "json")
    assert done.returncode == Exit.OLDER, done
    assert {account["uid"] for run in json.loads(done.stdout)["runs"] for account in run["accounts"]} >= {IDA}
    done = host.types("anne", "piactl", "recover", "--accept", "--reason", "backup of Sunday", "--yes")
    assert done.returncode == Exit.DONE, done
    night = host.service("piactl", "nightly")
    assert night.returncode == Exit.DONE, night
    assert host.types("ope", *activate, terminal=True, stdin=f"{NUMEN}\n").returncode == Exit.DONE
    verified = host.types("anne", "piactl", "journal", "verify")
    assert (verified.returncode, "journal intact" in verified.stdout) == (Exit.DONE, True), verified

    # an entry of the time before piactl is adopted, and the mail merge of its owner made
    host.academy.sandbox.add(
        host.academy.dn("lucie.merle"),
        {
            "objectClass": ["inetOrgPerson", "supannPerson"],
            "uid": "lucie.merle",
            "cn": "Lucie MERLE",
            "sn": "MERLE",
            "mail": "lucie.merle@ac-amiens.fr",
            "supannEmpId": "7003",
        },
    )
    lucie = {"matricule": "7003", "nom_famille": "Merle", "prenom": "Lucie"}
    feed, file = deliver(host, 0, odile, nadia, lucie), "/var/lib/piactl/plans/adoption.json"
    done = host.types("anne", "piactl", "adopt", feed, "--out", file)
    assert done.returncode == Exit.DONE, done
    done = host.types("anne", *printed(done.stderr, "apply"))
    assert done.returncode == Exit.DONE, done
    # a draft of the policy comes from a file of hers
    host.root("install -o anne -m 600 /etc/piactl/policy.yaml /srv/home/anne/draft.yaml")
    for words in ("piactl plan --policy - <draft.yaml", "cat draft.yaml | piactl plan --policy -"):
        done = host.types("anne", "sh", "-c", f"cd; {words}")
        assert done.returncode == Exit.DONE, (words, done)
    letters = "/srv/home/anne/letters.csv"
    for words, options in (
        ((*LETTERS, "--out", "-"), {}),
        (("sh", "-c", f"umask 022; {shlex.join(LETTERS)} --out - > {letters}"), {}),
    ):
        done = host.types("anne", *words, **options)
        assert (done.returncode, "nobody else may read" in done.stderr) == (Exit.USAGE, True), done
    limit = r"s/( password(_operator|_day)?: +)\{floor: [0-9]+/\1{max: 2/"
    host.root(f"rm {letters}; sed -i -E '{limit}' /etc/piactl/policy.yaml")
    names = f"{IDA}\nodile.roussel\nnadia.kessler\n"
    merge = ["piactl", "password", "activate", "-", "--administrator", "--yes", "--out", "-"]
    done = host.types("anne", *merge, stdin=names, out=letters)
    assert (done.returncode, done.stderr.count("REFUSED by")) == (Exit.REFUSED, 3), done.stderr
    done = host.types("anne", *printed(done.stderr, "password"), stdin=names, out=letters)
    assert (done.returncode, "in your file" in done.stderr) == (Exit.DONE, True), done.stderr
    # who was adopted may have a password: an administrator replaces it on purpose
    reset = ("piactl", "password", "reset", "lucie.merle", "--without-check", *WHY, "--yes", "--out", "-")
    done = host.types("anne", *reset, out="/srv/home/anne/lucie.csv")
    assert done.returncode == Exit.DONE, done.stderr
    header, *rows = host.root(f"cat {letters}").splitlines()
    assert [line.split(",")[0] for line in rows] == names.split()
    assert header.split(",")[:3] == ["uid", "address", "display_name"]
    assert host.root(f"stat -c '%U %a' {letters}") == "anne 600\n"
    password = dict(zip(header.split(","), rows[0].split(","), strict=True))["activation_password"]
    assert password not in done.stderr + done.stdout
    assert host.academy.sandbox.accepts(host.academy.dn(IDA), password)

    # a day of the help desk; a stolen laptop is for an administrator, who copies what it says
    done = host.types("ope", "piactl", "account", "lock", IDA, "--reason", "laptop stolen", "--yes")
    assert (done.returncode, "is for piactl-admin; you are ope" in done.stderr) == (10, True), done
    assert host.types("anne", *printed(done.stderr, "account")).returncode == Exit.DONE
    for person, group in (("anne", ""), ("eva", " (group piactl-admin)")):
        said = host.types(person, "piactl", "why", IDA, "login").stdout
        assert re.search(rf"\S{re.escape(group)}\n +piactl account unlock {IDA} ", said), said
    host.academy.change(CLAIRE, userPassword=["quatre chats gris et lents"])
    for words, code in (
        (("account", "find", "dubreuil"), Exit.DONE),
        (("account", "show", CLAIRE), Exit.DONE),
        (("why", CLAIRE, "login"), Exit.DONE),
        (("account", "timeline", CLAIRE), Exit.DONE),
        (("status",), Exit.DONE),
        (("password", "requests"), Exit.DONE),
        (("otp", "show", CLAIRE), Exit.DONE),
        (("password", "unblock", CLAIRE, "--yes"), Exit.DONE),
    ):
        done = host.types("eva", "piactl", *words)
        assert done.returncode == code, (words, done)
    reset = ("piactl", "password", "reset", CLAIRE, "--numen-file", "-")
    done = host.types("eva", *reset, terminal=True, stdin=f"{NUMEN}\n")
    assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout
    done = host.types("portal", "piactl", "password", "check", CLAIRE, stdin="quatre chats gris et lents\n")
    assert done.returncode in (Exit.DONE, Exit.FAILED), done


def test_an_administrator_types_what_the_pages_say(host: Host) -> None:
    """A policy is tried, the guards fitted, a loss looked for, and the shell completes what may be run."""
    rehearsals = "/var/lib/piactl/rehearsals"
    days = f"{TODAY - timedelta(days=3)}..{TODAY}"
    host.root("install -o anne -m 600 /etc/piactl/policy.yaml /srv/home/anne/draft.yaml")
    drafted = f"piactl rehearse --feeds /srv/piactl/feeds --days {days} --policy - --out {rehearsals}/second"
    for words, code in (
        (("policy", "check", "--problems"), Exit.DONE),
        (("policy", "test", "-"), Exit.DONE),
        (("profile", "list"), Exit.DONE),
        (("service", "show", "messagerie"), Exit.DONE),
        (("guards", "suggest"), Exit.DONE),
        (("recover",), Exit.DONE),
        (("events",), Exit.DONE),
        (
            ("rehearse", "--feeds", "/srv/piactl/feeds", "--days", days, "--out", f"{rehearsals}/first"),
            Exit.DONE,
        ),
        (("guards", "suggest", f"{rehearsals}/first"), Exit.DONE),
        (("feed", "score", f"{rehearsals}/first"), Exit.DONE),
    ):
        done = host.types("anne", "piactl", *words, stdin=POLICY_CASE)
        assert done.returncode == code, (words, done)
    compared = "cd; piactl policy diff /etc/piactl/policy.yaml - <draft.yaml"
    assert host.types("anne", "sh", "-c", compared).returncode == Exit.DONE
    done = host.types("anne", "sh", "-c", f"cd; {drafted} --compare {rehearsals}/first <draft.yaml")
    assert done.returncode == Exit.DONE, done
    for person, words, completed in (
        ("anne", ("account", "lock", "cl"), CLAIRE),
        ("anne", ("service", "show", "mess"), "messagerie"),
        ("vera", ("why", "cl"), CLAIRE),
        ("eva", ("otp", "show", "cl"), CLAIRE),
    ):
        done = host.types(person, "piactl", "--complete", *words)
        assert done.stdout.split()[:1] == [completed], (person, words, done)


def test_the_night_does_not_see_the_other_passwords(host: Host) -> None:
    """As the unit confines it: these passwords cannot be opened, and the night does its work."""
    text = UNIT.read_text(encoding="utf-8")
    hidden = [
        path.lstrip("-")
        for line in re.findall(r"^InaccessiblePaths=(.*)$", text, re.MULTILINE)
        for path in line.split()
    ]
    passwords = {name.rpartition("/")[2] for name in hidden if name.startswith("/etc/piactl/secrets/")}
    assert passwords == {"desk", "administrator", "approver"}
    assert "User=piactl" in text
    assert "LoadCredential" not in text
    hide = "touch /run/hidden-$$; chmod 000 /run/hidden-$$; " + "; ".join(
        f"mount --bind /run/hidden-$$ {name}" for name in hidden
    )
    night = "runuser -u piactl -- piactl nightly /srv/piactl/feeds/hr.csv"
    tried = "".join(f"runuser -u piactl -- cat {name} 2>&1 || true; " for name in hidden)
    script = f"{hide}; rm /run/hidden-$$ 2>/dev/null || true; {tried} {night}"
    said = host.root(f"unshare --mount --propagation private bash -euc {shlex.quote(script)}")
    assert said.count("Permission denied") == len(hidden), said
    assert ": done;" in said, said
