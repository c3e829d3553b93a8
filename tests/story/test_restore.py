"""What docs/administration.md says of a restore, done on real servers: the end is that of a directory in
which nothing was lost."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.sandbox.server import find_software

from .academy import Academy
from .feeds import MICHELIS, THUILLIER, row
from .test_first_migration import loaded, planned, written

BASE, SUNDAY, MONDAY, TUESDAY, TODAY = (f"2026-09-{day:02}" for day in (5, 6, 7, 8, 9))
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Rollin"}
NOEL = {"matricule": "2001", "prenom": "Noel", "nom_famille": "Carpentier", "uai": MICHELIS}
LEA = {"matricule": "2002", "prenom": "Lea", "nom_famille": "Fontaine", "uai": THUILLIER}


@pytest.fixture
def make(make_academy: Callable[..., Academy]) -> Callable[[], Academy]:
    """Makes academies with a full source and one of changes."""

    def made() -> Academy:
        academy = make_academy()
        academy.sources(full="kind: full", moves="kind: delta")
        return academy

    return made


def first_nights(academy: Academy) -> None:
    academy.night(BASE, academy.feed(row(), row(**IDA), day=BASE, source="full"))
    academy.night(SUNDAY, academy.feed(row(**NOEL), day=SUNDAY, source="moves"))


def deltas(academy: Academy) -> list[tuple[str, Path]]:
    """Two nights of changes: a newcomer, then the same one somewhere else and another one's end."""
    moved = [row(**{**LEA, "uai": MICHELIS}), row(**{**NOEL, "fin": TUESDAY})]
    return [
        (MONDAY, academy.feed(row(**LEA), day=MONDAY, source="moves")),
        (TUESDAY, academy.feed(*moved, day=TUESDAY, source="moves")),
    ]


def slapd_conf(academy: Academy) -> str:
    return str(academy.sandbox.folder / "slapd" / "slapd.conf")


def back_up(academy: Academy) -> Path:
    """`slapcat` of the running server."""
    ldif = academy.folder / "backup.ldif"
    words = [str(find_software().slapadd.with_name("slapcat")), "-f", slapd_conf(academy)]
    subprocess.run([*words, "-b", "o=gouv,c=fr", "-l", ldif], check=True, timeout=60, capture_output=True)
    return ldif


def restore(academy: Academy, ldif: Path) -> None:
    """`slapadd` into an empty database."""
    academy.sandbox.stop()
    for file in (academy.sandbox.folder / "slapd" / "data").rglob("*.mdb"):
        file.unlink()
    words = [str(find_software().slapadd), "-q", "-f", slapd_conf(academy), "-b", "o=gouv,c=fr", "-l", ldif]
    subprocess.run(words, check=True, timeout=60, capture_output=True)
    academy.sandbox.start()


def test_a_restored_directory_ends_as_the_undisturbed_one(make: Callable[[], Academy]) -> None:
    undisturbed, academy = make(), make()
    for one in (undisturbed, academy):
        first_nights(one)
    ldif = back_up(academy)
    nights = deltas(academy)
    for day, feed in nights:
        undisturbed.night(day, feed)
        academy.night(day, feed)
    locked = academy.run("account", "lock", "ida.rollin", "--reason", "trial", "--as-of", TUESDAY)
    assert locked.code == 0, locked.err
    restore(academy, ldif)

    with academy.nothing_written():
        assert academy.night(TODAY, code=11).err.count("piactl recover") == 1
        assert "D40" in academy.run("doctor").out
    ran = academy.run("recover", "-o", "json")
    assert ran.code == 11, ran.err
    found = ran.json
    assert [len(run["feeds"]) for run in found["runs"]] == [1, 1, 0]
    assert [feed["file"] for feed in found["feeds"]] == [feed.name for _, feed in nights]
    states = {one["uid"]: one["state"] for run in found["runs"] for one in run["accounts"]}
    assert states == {"lea.fontaine": "missing", "noel.carpentier": "differs", "ida.rollin": "differs"}
    assert "ida.rollin: differs (lock, update)" in academy.run("recover").out

    assert academy.run("recover", "--accept").code == 2
    accepted = academy.run("recover", "--accept", "--reason", "backup of Sunday")
    assert accepted.code == 0, accepted.err
    assert [line.split("=")[1].split()[0] for line in accepted.err.splitlines() if "apply again" in line] == [
        feed.name for _, feed in nights
    ]
    assert academy.run("recover").code == 0
    academy.night(TODAY, *(feed for _, feed in nights))
    undisturbed.night(TODAY)
    assert academy.managed() == undisturbed.managed()
    academy.quiet_night(TODAY, nights[-1][1])
    assert academy.run("journal", "verify").code == 0


def test_feeds_of_lost_runs_are_taken_after_a_later_one(
    make: Callable[[], Academy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host has applied a later feed before the loss was seen here."""
    academy = make()
    first_nights(academy)
    ldif = back_up(academy)
    (_, first), (_, second) = deltas(academy)
    academy.night(MONDAY, first)
    restore(academy, ldif)
    academy.edit("piactl.yaml", "journal: journal/piactl.jsonl", "journal: other/piactl.jsonl")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "other")
        academy.night(TUESDAY, second)
    academy.edit("piactl.yaml", "journal: other/piactl.jsonl", "journal: journal/piactl.jsonl")
    assert academy.run("recover", "--accept", "--reason", "backup").code == 0
    assert "lea.fontaine" in academy.names().values()
    academy.night(TODAY, first)
    assert academy.night(TODAY, first).json["summary"] == {}
    refused = academy.night(TODAY, academy.feed(row(**LEA), day=SUNDAY, source="moves"), code=6)
    assert "[older]" in refused.err


def in_another_second() -> None:
    """Waits until runs that begin now are later than those before, by their ids."""
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.01)


def test_a_journal_older_than_the_directory_is_noticed(make: Callable[[], Academy]) -> None:
    """Restored alone, from before a night; the state folder alone is no harm."""
    academy = make()
    first_nights(academy)
    for name in ("journal", "state"):
        shutil.copytree(academy.sandbox.folder / name, academy.folder / name)
    nights = deltas(academy)
    in_another_second()
    academy.night(*nights[0])
    for name in ("state", "journal"):
        shutil.rmtree(academy.sandbox.folder / name)
        shutil.copytree(academy.folder / name, academy.sandbox.folder / name)
        if name == "state":
            academy.quiet_night(*nights[0])
    with academy.nothing_written():
        refused = academy.night(*nights[1], code=1)
        assert "which is not there" in refused.err
        assert "piactl journal begin" in refused.err
        deny = ["exception", "deny", "ida.rollin", "--service", "iprof", "--until", "2026-10-01"]
        assert academy.run(*deny, "--reason", "trial", "--yes", "--as-of", TUESDAY).code == 1
    in_another_second()
    assert academy.run("journal", "begin", "--reason", "yesterday's copy is the last").code == 0
    academy.night(*nights[1])
    assert academy.night(*nights[1]).json["summary"] == {}
    assert academy.run("journal", "verify").code == 0


def test_accepting_a_loss_where_there_is_none_is_refused(make: Callable[[], Academy]) -> None:
    academy = make()
    first_nights(academy)
    ran = academy.run("recover")
    assert (ran.code, ran.out) == (0, "the directory lacks no run of this host\n")
    assert academy.run("recover", "--accept", "--reason", "trial").code == 1


def test_a_loss_accepted_in_a_directory_that_is_lost_too_is_shown_again(make: Callable[[], Academy]) -> None:
    academy = make()
    first_nights(academy)
    ldif = back_up(academy)
    academy.night(MONDAY, deltas(academy)[0][1])
    restore(academy, ldif)
    before = academy.run("recover", "-o", "json").json["runs"]
    assert academy.run("recover", "--accept", "--reason", "first").code == 0
    restore(academy, ldif)
    after = academy.run("recover", "-o", "json").json["runs"]
    assert [one["run"] for one in after][:-1] == [one["run"] for one in before]
    assert academy.run("recover", "--accept", "--reason", "second").code == 0
    academy.night(MONDAY)


def test_a_directory_without_the_run_that_wrote_its_ldif_is_noticed(
    make_academy: Callable[..., Academy],
) -> None:
    """Restored from before the first migration, whose accounts came by slapadd."""
    academy = make_academy()
    empty = back_up(academy)
    feed, plan = planned(academy, row(), row(**IDA), day=BASE)
    loaded(academy, written(academy, plan))
    restore(academy, empty)
    with academy.nothing_written():
        assert "does not have it" in academy.night(SUNDAY, feed, code=11).err
        assert "D40  error" in academy.run("doctor").out
    (run,) = academy.run("recover", "-o", "json").json["runs"]
    assert [one["file"] for one in run["feeds"]] == [feed.name]
    assert {one["uid"]: one["state"] for one in run["accounts"]} == {
        "claire.dubreuil": "missing",
        "ida.rollin": "missing",
    }
    assert academy.run("recover", "--accept", "--reason", "backup of before").code == 0
    academy.night(SUNDAY, feed)
    assert len(academy.accounts()) == 2
    assert academy.run("journal", "verify").code == 0
