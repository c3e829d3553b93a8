"""A rehearsed period ends like the same nights on a server, and can be stopped and continued."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.directory.ldif import read_ldif
from piactl.directory.store.base_digest import MANAGED
from piactl.sandbox import server

from .academy import Academy
from .both_ways import one_by_one
from .feeds import HEADER, MARESCHAL, MICHELIS, crowd, row

FIRST, LAST = date(2026, 8, 28), date(2026, 11, 6)
DAYS = f"{FIRST}..{LAST}"
NUMEN = "20E9512345XYZ"
HUGO = {"matricule": "2007", "prenom": "Hugo", "nom_famille": "Vidal"}


def feeds_of_an_autumn(folder: Path) -> dict[date, Path]:
    """Writes twelve feeds: homonyms, a mutation, a leave, absences, an end and an archival, somebody in
    waiting, a newcomer with another one's NUMEN; three are bad: cut, with half of the people, and old."""
    some = crowd(24, debut="2026-08-01")
    first = [
        *some,
        row(matricule="2001", prenom="Marie", nom_famille="Martin", debut="2026-08-01", numen=NUMEN),
        row(matricule="2002", prenom="Marie", nom_famille="Martin", debut="2026-10-20", uai=MICHELIS),
        row(**HUGO, debut="2026-08-01", fin="2026-09-20"),
        row(matricule="2009", prenom="Léo", nom_famille="Petit", debut="2026-08-01", fin="2026-09-02"),
        row(matricule="2010", prenom="Ida", nom_famille="Roy", debut="2026-08-01", courriel_prive="i@x.fr"),
        row(matricule="2012", prenom="Zoé", nom_famille="Lenoir", debut="2026-09-10"),
    ]  # fmt: skip
    moved = [*first, row(**HUGO, debut="2026-09-21", uai=MARESCHAL, position="disponibilite")]
    absent = [line for line in moved if ";Roy;" not in line]
    twin = row(matricule="2011", prenom="Marie", nom_famille="Martine", debut="2026-09-10", numen=NUMEN)
    nights: dict[str, list[str]] = {
        "2026-08-28": first, "2026-09-01": first, "2026-09-03": moved, "2026-09-10": [*absent, twin],
        "2026-09-11": absent, "2026-09-12": absent, "2026-09-14": moved[: len(moved) // 2],
        "2026-09-15": moved, "2026-10-01": moved, "2026-11-02": moved[1:], "2026-11-03": moved[1:],
    }  # fmt: skip
    made = {}
    for day, rows in nights.items():
        lines = [HEADER, *rows, f"#FIN;rows={len(rows)};date={day}"]
        made[date.fromisoformat(day)] = write(folder, day, "".join(f"{line}\n" for line in lines))
    cut = made[date(2026, 9, 15)].read_text(encoding="utf-8")
    made[date(2026, 9, 16)] = write(folder, "2026-09-16", cut[: len(cut) - 60])
    old = made[date(2026, 9, 3)].read_text(encoding="utf-8")
    made[date(2026, 9, 17)] = write(folder, "2026-09-17", old)
    return made


def write(folder: Path, day: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"hr-{day}.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rehearsed(academy: Academy, out: str, *words: str, days: str = DAYS, code: int = 5) -> Path:
    folder = academy.folder / out
    ran = academy.run(
        "rehearse", "--feeds", academy.folder / "feeds", "--days", days, "--out", folder, *words, "-o", "json"
    )  # fmt: skip
    assert ran.code == code, ran.err
    return folder


def nights_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "nights.ndjson").read_text("utf-8").splitlines()]


Contents = Mapping[str, Mapping[str, object]]


def contents(entries: Any, academy: Academy) -> Contents:
    """The managed values of accounts, and the records without what names runs."""
    accounts, state = academy.sandbox.accounts.lower(), academy.sandbox.state.lower()
    by_dn: dict[str, Mapping[str, object]] = {}
    for dn, values in entries:
        low = dn.lower()
        if low.endswith("," + accounts) and b"piactlAccount" in values.get("objectClass", ()):
            names = (*MANAGED, "objectClass")  # digests contain the entryUUID, which no rehearsal knows
            by_dn[low] = {name: sorted(values[name]) for name in names if values.get(name)}
        elif low.endswith("," + state) and values.get("piactlData") and ",ou=runs," not in low:
            record = json.loads(values["piactlData"][0])
            for name in ("run", "plan", "server"):
                record.pop(name, None)
            if not low.startswith(("cn=lock", "cn=clock")):
                by_dn[low] = record
    return by_dn


@pytest.mark.parametrize("last", [LAST, pytest.param(date(2027, 8, 27), marks=pytest.mark.long)])
def test_the_directory_is_that_of_the_same_nights_on_a_server(academy: Academy, last: date) -> None:
    feeds = feeds_of_an_autumn(academy.folder / "feeds")
    rows = feeds[date(2026, 11, 3)].read_text(encoding="utf-8").splitlines()[1:-1]
    for month in range(1, 8):  # in a school year other people are missing every month, and come back
        day = date(2027, month, 4)
        lines = [HEADER, *rows[month:], f"#FIN;rows={len(rows) - month};date={day}"]
        feeds[day] = write(academy.folder / "feeds", str(day), "".join(f"{line}\n" for line in lines))
    with academy.nothing_written():
        folder = rehearsed(academy, "rehearsed", days=f"{FIRST}..{last}")
    statuses = {}
    day = FIRST
    while day <= last:
        ran = academy.run(
            "nightly", *([feeds[day]] if day in feeds else []), "--as-of", str(day), "-o", "json"
        )
        statuses[day.isoformat()] = (ran.code, ran.json["summary"])
        day += timedelta(days=1)
    nights = nights_of(folder)
    codes = {"done": 0, "refused": 4, "feed refused": 6}
    assert {night["date"]: (codes[night["status"]], night.get("summary", {})) for night in nights} == statuses
    refused = {night["date"]: night["status"] for night in nights if night["status"] != "done"}
    assert {*refused} >= {"2026-09-14", "2026-09-16", "2026-09-17"}, refused
    kinds = {kind for night in nights for kind in night.get("summary", {})}
    assert kinds >= {"create", "update", "revoke", "deactivate", "archive"}, kinds
    base = open_configuration(academy.sandbox.config).settings.directory.suffix
    server_contents = contents(academy.sandbox.entries(base, "(objectClass=*)").items(), academy)
    rehearsal_contents = contents(((e.dn, e.values) for e in read_ldif(folder / "directory.ldif")), academy)
    assert rehearsal_contents == server_contents


def without_the_server(file: Path) -> list[bytes]:
    """The lines of a file of a rehearsal without what the server makes, and the digests that hold it."""
    return [line for line in file.read_bytes().splitlines() if not re.match(rb"entryUUID|piactlDigest", line)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short name, because the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pia") as folder:
        yield Path(folder)


def test_a_rehearsal_of_very_many_people_writes_equal_files_and_one_may_be_stopped_or_killed(
    academy: Academy, temporary: Path
) -> None:
    """A killed one leaves no server and no copy, a stopped one the nights until then."""
    feeds_of_an_autumn(academy.folder / "feeds")
    one, two, three, four = (academy.folder / name for name in ("one", "two", "three", "four"))
    words = ["rehearse", "--feeds", academy.folder / "feeds", "--days", f"{FIRST}..2026-10-11", "--out"]
    ran = academy.run(*words, one, "-o", "table")
    assert ran.code == 5
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert "feed refused" in lines["2026-09-16"]
    assert "2026-08-29" not in lines, "quiet nights are left out"
    assert "45 nights rehearsed" in ran.err
    with one_by_one():
        assert academy.run(*words, two).code == 5

    def begun(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            academy.words(*words, folder),
            env={**academy.environment(), "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    process = begun(three)
    pid = pid_of_server(temporary, process)
    listens_on_a_private_socket_alone(temporary, pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while any(temporary.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(temporary.iterdir())
    assert not Path(f"/proc/{pid}").exists()
    process = begun(four)
    pid_of_server(temporary, process)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 5, message
    assert b"the later nights are not rehearsed" in message, "it was never stopped"
    done = nights_of(four)
    assert 0 < len(done) < 45
    assert done == nights_of(one)[: len(done)]
    for name in ("nights.ndjson", "changes.ndjson", "directory.ldif"):
        assert without_the_server(one / name) == without_the_server(two / name), name
        assert (one / name).stat().st_mode & 0o777 == 0o600


def pid_of_server(temporary: Path, process: subprocess.Popen[bytes]) -> int:
    """The pid of the slapd that a rehearsal has started in this folder."""
    while process.poll() is None:
        for file in temporary.glob("piactl-slapd-*/slapd.pid"):
            if pid := file.read_text().strip():
                return int(pid)
        time.sleep(0.002)
    raise AssertionError("it ended")


def listens_on_a_private_socket_alone(temporary: Path, pid: int) -> None:
    [folder] = temporary.glob("piactl-slapd-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        assert not sockets & {f"socket:[{line.split()[9]}]" for line in lines}, table


def test_a_rehearsal_starts_from_a_copy_of_the_directory(academy: Academy) -> None:
    """It goes on as the nights of the directory do, and changes nothing there."""
    feeds = feeds_of_an_autumn(academy.folder / "feeds")
    academy.night("2026-08-28", feeds[FIRST])
    academy.run("account", "lock", "ida.roy", "--reason", "essai", "--as-of", "2026-08-28")
    with academy.nothing_written():
        out = rehearsed(academy, "copied", "--from", "directory", days="2026-09-01..2026-09-03", code=0)
    locks = [entry for entry in read_ldif(out / "directory.ldif") if entry.values.get("piactlLock")]
    assert [entry.text("uid") for entry in locks] == ["ida.roy"]
    real = []
    for day in (date(2026, 9, 1), date(2026, 9, 2), date(2026, 9, 3)):
        ran = academy.night(str(day), *([feeds[day]] if day in feeds else []))
        real.append(ran.json["summary"])
    assert [night["summary"] for night in nights_of(out)] == real
    assert real[-1]


def test_without_slapd_a_rehearsal_names_the_package(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds_of_an_autumn(academy.folder / "feeds")
    monkeypatch.setattr(server, "_program", lambda _name: None)
    words = ("--feeds", academy.folder / "feeds", "--days", DAYS, "--out", academy.folder / "x")
    ran = academy.run("rehearse", *words)
    assert ran.code == 1, ran.err
    assert "sudo apt install slapd" in ran.err
    assert not (academy.folder / "x").exists()


def test_two_policies_rehearsed_and_compared(academy: Academy) -> None:
    feeds_of_an_autumn(academy.folder / "feeds")
    usual = rehearsed(academy, "usual", days="2026-08-28..2026-09-12", code=0)
    same = academy.run(
        "rehearse", "--feeds", academy.folder / "feeds", "--days", "2026-08-28..2026-09-12",
        "--out", academy.folder / "again", "--compare", usual, "-o", "json",
    )  # fmt: skip
    assert (same.code, same.json) == (0, [])
    draft = academy.folder / "draft.yaml"
    text = (academy.sandbox.folder / "policy.yaml").read_text(encoding="utf-8")
    text = text.replace("  - {days: 30}", "  - {days: 5}").replace("open_before: 15", "open_before: 5")
    draft.write_text(text, encoding="utf-8")
    other = academy.run(
        "rehearse", "--feeds", academy.folder / "feeds", "--days", "2026-08-28..2026-09-12",
        "--out", academy.folder / "draft", "--policy", draft, "--compare", usual, "-o", "json",
    )  # fmt: skip
    assert other.code == 3, other.err
    nights = {
        difference["name"]: difference["here"] for difference in other.json if difference["what"] == "night"
    }
    assert "deactivate 1" in nights["2026-09-08"]
    entries = {
        difference["name"].partition(",")[0]: difference
        for difference in other.json
        if difference["what"] == "entry"
    }
    leo = entries["uid=leo.petit"]
    assert "piactlState deactivated" in leo["here"]
    assert re.search(r"eduPersonEntitlement .*service:messagerie", leo["there"]), leo
    # it ends the same, but was created on another night
    others = {
        difference["name"]: (difference["here"], difference["there"])
        for difference in other.json
        if difference["what"] == "account"
    }
    assert others == {
        "zoe.lenoir": ("2026-09-05 create", "2026-08-28 create"),
        "hugo.vidal": (
            "2026-08-28 create login_until=2026-09-25",
            "2026-08-28 create login_until=2026-10-20",
        ),
    }
    assert not any(
        "piactlDigest" in f"{difference['here']}{difference['there']}" for difference in entries.values()
    )


def test_a_rehearsal_starts_from_an_ldif_and_approves_on_request(academy: Academy) -> None:
    """It begins with the output of slapcat, whose password does not get into the folder; a guard is passed
    only with --approve."""
    feeds_of_an_autumn(academy.folder / "feeds")
    begun = rehearsed(academy, "begun", days="2026-08-28..2026-09-03", code=0)
    start = academy.folder / "start.ldif"
    text = (begun / "directory.ldif").read_text(encoding="utf-8")
    start.write_text(text.replace("\n\n", "\nuserPassword: geheim\n\n"), encoding="utf-8")
    later = rehearsed(academy, "later", "--from", str(start), days="2026-09-10..2026-09-13", code=0)
    assert "geheim" not in (later / "directory.ldif").read_text(encoding="utf-8")
    assert nights_of(later)[0]["date"] == "2026-09-10"
    academy.allow_up_to(0)
    refused = rehearsed(academy, "refused", days="2026-08-28..2026-09-23", code=5)
    approved = rehearsed(academy, "approved", "--approve", days="2026-08-28..2026-09-23")
    stopped = {night["date"]: night["guards"] for night in nights_of(refused) if night["status"] == "refused"}
    assert stopped
    assert any(night.get("approved") for night in nights_of(approved))


CANNOT = (
    (("--days", DAYS, "--out", "{}/x"), "--feeds DIR: is missing"),
    (("--feeds", "{}/none", "--days", DAYS, "--out", "{}/x"), "name the one with the feeds"),
    (("--feeds", "{}/feeds", "--days", "2027-01-01..2027-01-03", "--out", "{}/x"), "no feed of the days"),
    (("--feeds", "{}/feeds", "--days", "2026-09-03", "--out", "{}/x"), "write the first and the last"),
    (("--feeds", "{}/feeds", "--days", "2026-09-03..2026-09-01", "--out", "{}/x"), "the first one first"),
    (("--feeds", "{}/feeds", "--days", DAYS, "--out", "{}/feeds"), "is not empty"),
    (("--feeds", "{}/feeds", "--days", DAYS, "--out", "{}/x", "--from", "{}/none"), "cannot be read"),
    (("--feeds", "{}/feeds", "--days", DAYS, "--out", "{}/x", "--compare", "{}"), "has no rehearsal"),
)


def test_what_cannot_be_rehearsed(academy: Academy) -> None:
    feeds_of_an_autumn(academy.folder / "feeds")
    for words, message in CANNOT:
        ran = academy.run("rehearse", *(word.format(academy.folder) for word in words))
        assert ran.code == 2, ran.err
        assert message in ran.err
        assert not (academy.folder / "x").exists()


def test_a_folder_that_is_not_empty_is_refused(academy: Academy) -> None:
    feeds_of_an_autumn(academy.folder / "feeds")
    folder = rehearsed(academy, "one", days="2026-08-28..2026-08-30", code=0)
    ran = academy.run(
        "rehearse", "--feeds", academy.folder / "feeds", "--days", "2026-08-28..2026-08-31", "--out", folder
    )
    assert ran.code == 2
    assert "is not empty" in ran.err
    bad = academy.folder / "bad.ldif"
    bad.write_text("dn: cn=x\nchangetype: modify\n", encoding="utf-8")
    ran = academy.run(
        "rehearse", "--feeds", academy.folder / "feeds", "--days", "2026-08-28..2026-08-31", "--out",
        academy.folder / "new", "--from", bad,
    )  # fmt: skip
    assert ran.code == 2
    assert "bad.ldif:2: an entry begins with" in ran.err
    assert not (academy.folder / "new").exists()


def test_numbers_for_guards_from_rehearsed_nights(academy: Academy) -> None:
    """It shows each guard with the night nearest to its limit; a bad night that is named does not count."""
    feeds_of_an_autumn(academy.folder / "feeds")
    folder = rehearsed(academy, "one", "--approve", days="2026-08-28..2026-10-25")
    ran = academy.run("guards", "suggest", folder, "--margin", "2", "-o", "json")
    assert ran.code == 0, ran.err
    rows = {(suggestion["kind"], suggestion["period"]): suggestion for suggestion in ran.json}
    ordinary = [n["counted"] for n in nights_of(folder) if n["status"] == "done" and not n.get("approved")]
    for kind in ("revoke", "update"):
        most = max(count for counts in ordinary for count, of in [counts.get(kind, (0, 0))] if of)
        of_kind = [suggestion for (name, _), suggestion in rows.items() if name == kind]
        assert most > 0
        assert max(suggestion["most"] for suggestion in of_kind) <= most
        assert max(suggestion["suggested"] for suggestion in of_kind) == max(10, 2 * most), kind
    day = rows["revoke", "rentree"]["day"]
    fewer = academy.run("guards", "suggest", folder, "--except", day, "-o", "json").json
    assert day not in {suggestion["day"] for suggestion in fewer}
    table = academy.run("guards", "suggest", folder, "-o", "table")
    assert "█" in table.out
    assert "│" in table.out


def test_numbers_for_guards_from_real_nights(academy: Academy) -> None:
    for day, many in (("2026-10-01", 3), ("2026-10-02", 5), ("2026-10-03", 6)):
        academy.night(day, academy.feed(*crowd(many, debut="2026-09-01"), day=day))
    rows = {
        suggestion["kind"]: suggestion for suggestion in academy.run("guards", "suggest", "-o", "json").json
    }
    assert (rows["create"]["most"], rows["create"]["of"], rows["create"]["day"]) == (2, 3, "2026-10-02")
    assert "profile_growth" in rows
    fewer = academy.run("guards", "suggest", "--except", "2026-10-02", "-o", "json").json
    assert next(suggestion["most"] for suggestion in fewer if suggestion["kind"] == "create") == 1
    # a night that was undone was not ordinary, until its undo is undone too
    run = next(
        run["run"] for run in academy.run("runs", "list", "-o", "json").json if run["as_of"] == "2026-10-03"
    )
    undo = ("--as-of", "2026-10-03", "--reason", "trop", "-o", "json")
    undone = academy.run("undo", run, *undo).json["run"]
    most = {s["kind"]: (s["nights"], s["day"]) for s in academy.run("guards", "suggest", "-o", "json").json}
    assert most["create"] == (1, "2026-10-02")
    academy.run("undo", undone, *undo)
    most = {s["kind"]: (s["nights"], s["day"]) for s in academy.run("guards", "suggest", "-o", "json").json}
    assert most["create"] == (2, "2026-10-02")
