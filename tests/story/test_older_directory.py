"""If the directory lacks a run of this host's journal, or the journal lacks lines, nothing is written."""

from __future__ import annotations

import bz2
import lzma
import shutil
from pathlib import Path

import pytest

from piactl.runs import known_server

from .academy import Academy
from .feeds import MICHELIS, row
from .test_failover import copy_data

DAY, NEXT, LATER = "2026-09-05", "2026-09-06", "2026-09-07"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Rollin")
NOEL = row(matricule="2001", prenom="Noel", nom_famille="Carpentier", uai=MICHELIS)


@pytest.fixture
def restored(academy: Academy, tmp_path: Path) -> Academy:
    """An academy whose directory was restored from a copy of the last but one night."""
    academy.night(DAY, academy.feed(row(numen="20E9512345XYZ"), IDA, day=DAY))
    academy.sandbox.stop()
    shutil.copytree(academy.sandbox.folder / "slapd" / "data", tmp_path / "slapd" / "data")
    academy.sandbox.start()
    academy.night(NEXT, academy.feed(row(numen="20E9512345XYZ"), IDA, NOEL, day=NEXT))
    restore(academy, tmp_path)
    return academy


def restore(academy: Academy, backup: Path) -> None:
    academy.sandbox.stop()
    copy_data(backup, academy.sandbox.folder)
    academy.sandbox.start()


def journal_of(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def last_run(academy: Academy) -> str:
    return str(academy.run("journal", "show", "--run", "last", "-o", "json").json[0]["run"])


COMMANDS = (
    f"nightly --as-of {LATER}",
    "account rename claire.dubreuil --usage-name Morel --until 2026-10-01",
    "password activate claire.dubreuil --administrator --out FILE",
    "exception grant claire.dubreuil --service iprof --until 2026-10-01",
    "account unlock claire.dubreuil",
)


def test_a_directory_that_lacks_the_last_run_is_not_written_to(restored: Academy) -> None:
    for command in COMMANDS:
        words = command.replace("FILE", str(restored.folder / "codes.csv")).split()
        if command.startswith("account unlock"):
            assert restored.run("account", "lock", "claire.dubreuil", "--reason", "trial").code == 0
        before = restored.sandbox.entries("o=gouv,c=fr")
        extra = () if "nightly" in command else ("--reason", "trial", "--as-of", DAY)
        if "password" in command:
            extra = ("--reason", "trial")
        ran = restored.run(*words, *extra)
        assert ran.code == 11, ran.err
        assert last_run(restored) in ran.err or "account unlock" in command
        assert "piactl recover" in ran.err
        assert restored.sandbox.entries("o=gouv,c=fr") == before


def test_an_older_directory_counts_no_identity_check(restored: Academy) -> None:
    before = restored.sandbox.entries("o=gouv,c=fr")
    numen = restored.folder / "numen"
    numen.write_text("20E9512345XYZ")
    numen.chmod(0o600)
    ran = restored.run(
        *("password", "reset", "claire.dubreuil", "--numen-file", numen, "--reason", "trial"),
        *("--out", restored.folder / "codes.csv"),
    )
    assert ran.code == 11, ran.err
    assert restored.sandbox.entries("o=gouv,c=fr") == before


def test_a_lock_works_in_an_older_directory_and_nights_stay_refused(restored: Academy) -> None:
    ran = restored.run("account", "lock", "claire.dubreuil", "--reason", "stolen", "--as-of", DAY)
    assert ran.code == 0, ran.err
    assert "warning: the directory is older" in ran.err
    assert restored.show("claire.dubreuil", DAY)["lock"] is not None
    assert restored.run("nightly", "--as-of", LATER).code == 11


def test_a_directory_whose_last_run_is_an_earlier_one_is_not_written_to(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the night is there, but `cn=state` is from the night before."""
    monkeypatch.setattr(known_server, "MARGIN", known_server.MARGIN * 0)
    academy.night(DAY, academy.feed(row(), day=DAY))
    dn = f"cn=state,{academy.sandbox.state}"
    before = academy.sandbox.entry(dn)
    assert before is not None
    academy.night(NEXT, academy.feed(row(), IDA, day=NEXT))
    with academy.sandbox.root() as root:
        root.modify(dn, {"piactlData": [("MODIFY_REPLACE", before["piactlData"])]})
    older = known_server.began_at(last_run(academy))
    monkeypatch.setattr(known_server, "began_at", _apart(older))
    ran = academy.run("nightly", "--as-of", LATER)
    assert ran.code == 11, ran.err
    assert "the last run of the directory is" in ran.err


def _apart(latest):  # type: ignore[no-untyped-def]
    """Runs of one test begin within a second: all except the latest count as an hour earlier."""
    from datetime import timedelta

    real = known_server.began_at
    seen: list[str] = []

    def began(run: str):  # type: ignore[no-untyped-def]
        seen.append(run)
        return real(run) - timedelta(hours=1) if len(seen) == 1 else real(run)

    return began


def test_a_night_runs_after_the_state_record_was_deleted(academy: Academy) -> None:
    """Deleting `cn=state` is the documented way to have every account evaluated."""
    academy.night(DAY, academy.feed(row(), day=DAY))
    with academy.sandbox.root() as root:
        root.delete(f"cn=state,{academy.sandbox.state}")
    academy.night(NEXT, academy.feed(row(), IDA, day=NEXT))


def test_help_desk_runs_do_not_make_the_directory_look_older(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    codes = academy.folder / "codes.csv"
    words = ("--administrator", "--out", codes, "--reason", "x")
    assert academy.run("password", "activate", "claire.dubreuil", *words).code == 0
    academy.night(NEXT, academy.feed(row(), IDA, day=NEXT))


def test_a_removed_journal_is_refused_until_it_is_begun_anew(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    for file in journal_of(academy).parent.glob("*"):
        file.unlink()
    feed = academy.feed(row(), IDA, day=NEXT)
    ran = academy.run("nightly", feed, "--as-of", NEXT)
    assert ran.code == 1, ran.err
    assert "piactl journal begin --reason" in ran.err
    assert not journal_of(academy).exists()
    assert academy.run("journal", "begin").code == 2
    assert academy.run("journal", "begin", "--reason", "lost with the disk").code == 0
    academy.night(NEXT, feed)
    assert academy.run("journal", "verify").code == 0
    assert "lost with the disk" in journal_of(academy).read_text()
    assert academy.run("journal", "begin", "--reason", "again").code == 1


def test_a_journal_removed_without_its_head_file_is_refused(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    journal_of(academy).unlink()
    assert academy.run("nightly", "--as-of", NEXT).code == 1
    assert academy.run("journal", "begin", "--reason", "lost").code == 0
    academy.night(NEXT)
    assert academy.run("journal", "verify").code == 0


def test_a_rotated_journal_is_no_missing_one(academy: Academy) -> None:
    """Whatever compresses it, and whatever is in its name; what cannot be read is named."""
    academy.night(DAY, academy.feed(row(), day=DAY))
    journal = journal_of(academy)
    journal.rename(f"{journal}.1")
    academy.night(NEXT)
    for name, packed in ((".2.bz2", bz2.compress), ("-20260906031500.xz", lzma.compress)):
        Path(f"{journal}{name}").write_bytes(packed(journal.read_bytes()))
        journal.write_bytes(b"")
        academy.night(NEXT)
    first = academy.run("journal", "verify")
    assert (first.code, "begins with" in first.out) == (0, False), first.out + first.err
    unknown = Path(f"{journal}-20260906.zst")
    journal.rename(unknown)
    refused = academy.run("nightly", "--as-of", NEXT)
    assert (refused.code, f"not read: {unknown} (unknown compression)" in refused.err) == (1, True), (
        refused.err
    )
    verified = academy.run("journal", "verify")
    assert (verified.code, f"not read: {unknown}" in verified.err) == (1, True), verified.err
    unknown.rename(f"{journal}-20260906")
    academy.night(NEXT)
    old = Path(f"{journal}.1")
    old.rename(f"{old}.zst")
    academy.night(LATER)
    pruned = academy.run("journal", "verify")
    assert pruned.code == 0
    assert f"not read: {old}.zst" in pruned.out


def test_a_lock_without_the_journal_warns_and_nights_stay_refused(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    for file in journal_of(academy).parent.glob("*"):
        file.unlink()
    ran = academy.run("account", "lock", "claire.dubreuil", "--reason", "stolen", "--as-of", DAY)
    assert ran.code == 0, ran.err
    assert "warning:" in ran.err
    assert academy.run("nightly", "--as-of", NEXT).code == 1
