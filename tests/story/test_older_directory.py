"""If the directory lacks a run of this host's journal, or the journal lacks lines, nothing is written."""

from __future__ import annotations

import bz2
import lzma
import shutil
from pathlib import Path

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

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
    data = academy.sandbox.folder / "slapd" / "data"
    shutil.rmtree(data)
    shutil.copytree(backup / "slapd" / "data", data)
    academy.sandbox.start()


def journal_of(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def last_run(academy: Academy) -> str:
    return str(academy.run("journal", "show", "--run", "last", "-o", "json").json[0]["run"])


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
