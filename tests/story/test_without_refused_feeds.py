"""One bad source beside a good one, and files that belong to no source."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
from pathlib import Path

import ldap3
import pytest

from tests.aaf_sets import Agent, files, zipped

from .academy import Academy, prepared
from .feeds import MICHELIS, crowd, row

DAY, NEXT = "2026-09-05", "2026-09-06"
HUGO = row(matricule="2001", prenom="Hugo", nom_famille="Vasseur", uai=MICHELIS)


@prepared
def two(academy: Academy) -> Academy:
    """Two full sources with one person each; the post of the first person ends on DAY."""
    academy.sources(agape="kind: full", epp="kind: full")
    ends = row(fin="2026-09-05")
    academy.night(DAY, academy.feed(ends, day=DAY, source="agape"), academy.feed(HUGO, day=DAY, source="epp"))
    return academy


def go_on(academy: Academy, sources: str) -> None:
    academy.edit("piactl.yaml", "any_date: true", f"continue: [{sources}]\nany_date: true")


def feeds(academy: Academy, bad: bytes) -> tuple[Path, Path]:
    """A feed of agape that is refused, and one of epp in which somebody comes."""
    comes = row(matricule="2002", prenom="Nour", nom_famille="Caron", uai=MICHELIS)
    return academy.raw_feed(bad, source="agape"), academy.feed(HUGO, comes, day=NEXT, source="epp")


BAD = [b"", b"matricule;nom\n1;2\n", row(matricule="3001").encode() + b"\n"]


@pytest.mark.parametrize("bad", BAD)
def test_a_night_goes_on_without_a_refused_source(two: Academy, bad: bytes) -> None:
    go_on(two, "agape")
    refused, good = feeds(two, bad)
    ran = two.night(NEXT, refused, good, code=6)
    assert ran.json["status"] == "done"
    assert ran.json["summary"]["create"] == 1
    assert str(refused) in ran.err
    assert "feed refused of agape: dates and the other sources go on without it" in ran.err
    assert two.names()["2002"] == "nour.caron"
    # the date took away what was due, and nobody of the refused source is absent
    assert two.values("claire.dubreuil", "piactlState") == ["grace"]
    plan = two.run("plan", refused, good, "--as-of", NEXT)
    assert plan.code == 6
    assert "go on without it" in plan.out


PEAK = """
import atexit, pathlib, sys
from piactl.cli.main import main
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().partition("VmHWM:")[2].split("\\n")[0], file=sys.stderr))
main()
"""
"""Runs a command, and says at the end how much memory it had at most."""


SHORT = """
import pathlib, resource, sys
from piactl.cli.main import main
def shorten(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".zip"):
        size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 90_000_000, -1))
sys.addaudithook(shorten)
main()
"""
"""Runs a command that has little memory left when it opens an archive: it raises limits when it starts."""


def with_ent(two: Academy) -> Path:
    """Also a source of AAF, without which a night goes on. A feed of epp in which somebody comes."""
    go_on(two, "ent")
    epp = '  epp: {kind: full, files: ["epp-*.csv"]}'
    two.edit(
        "piactl.yaml", epp, f'{epp}\n  ent: {{format: aaf, files: ["ENT2DVA_*"], perimeter: {{degre: 2D}}}}'
    )
    comes = row(matricule="2002", prenom="Nour", nom_famille="Caron", uai=MICHELIS)
    return two.feed(HUGO, comes, day=NEXT, source="epp")


def nightly(two: Academy, code: str, *feeds: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code, "nightly", *map(str, feeds), "--as-of", NEXT]
    return subprocess.run(
        words, env=two.environment(), capture_output=True, text=True, check=False, timeout=60
    )


def test_an_archive_made_to_harm_stops_its_source_only(two: Academy) -> None:
    """A megabyte that a header of 200 MB comes from, where a process may have 600 MB."""
    good = with_ent(two)
    header = tarfile.TarInfo("x")
    header.size, header.type = 200_000_000, tarfile.GNUTYPE_LONGNAME
    bomb = two.folder / "ENT2DVA_Complet_20260906.tgz"
    bomb.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + b"a" * header.size, 1))
    ran = nightly(two, PEAK, bomb, good)
    assert ran.returncode == 6, ran.stderr
    assert "[too-many-bytes]" in ran.stderr
    assert int(ran.stderr.split()[-2]) < 150_000, "KiB"
    assert two.names()["2002"] == "nour.caron"


def test_a_set_for_which_memory_is_short_stops_its_source_only(two: Academy) -> None:
    good = with_ent(two)
    contents = files([Agent("500")], "2026-09-06")
    (people,) = (name for name in contents if "PersEducNat" in name)
    contents[people] = contents[people].replace(b"<attributes>", b"<attributes>" + b"<v/>" * 950_000)
    short = zipped(two.folder / "ENT2DVA_Complet_20260906.zip", contents)
    ran = nightly(two, SHORT, short, good)
    assert ran.returncode == 6, ran.stderr
    assert f"{short}: feed refused: there is too little memory to read it" in ran.stderr
    assert two.names()["2002"] == "nour.caron"


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("sources", ["", "epp"])
def test_without_the_setting_everything_stops(two: Academy, bad: bytes, sources: str) -> None:
    go_on(two, sources)
    refused, good = feeds(two, bad)
    with two.nothing_written():
        two.night(NEXT, refused, good, code=6)


def test_a_limit_that_a_feed_breaks_stops_its_source_only(two: Academy) -> None:
    go_on(two, "agape, epp")
    older = two.feed(row(prenom="Clara"), day="2026-09-01", source="agape")
    comes = row(matricule="2002", prenom="Nour", nom_famille="Caron", uai=MICHELIS)
    ran = two.night(NEXT, older, two.feed(HUGO, comes, day=NEXT, source="epp"), code=6)
    assert "[older]" in ran.err
    assert ran.json["summary"]["create"] == 1
    # without feeds on another night: only the dates count
    assert two.night(NEXT, older).json["status"] == "done"
    two.quiet_night(NEXT)


def test_an_unknown_file_is_named_and_not_read(two: Academy) -> None:
    stray = two.folder / "lost+found.txt"
    stray.write_text("nothing of HR")
    good = two.feed(HUGO, day=NEXT, source="epp")
    ran = two.night(NEXT, good, stray)
    assert f"{stray}: not read: it matches the `files` of no source" in ran.err
    # alone, such a file is a mistake if it could be a feed
    assert "not read: it matches the `files` of no source" in two.night(NEXT, stray).err
    other = two.folder / "truc.csv"
    other.write_text("nothing of HR")
    alone = two.run("nightly", other, "--as-of", NEXT)
    assert alone.code == 2
    assert "matches the `files` of no source" in alone.err


def test_a_text_file_among_the_feeds_does_not_stop_the_night(academy: Academy) -> None:
    note = academy.folder / "LISEZMOI.txt"
    note.write_text("Déposer ici le fichier du jour.")
    for feeds in ((note, academy.feed(HUGO, day=DAY)), (note,)):
        ran = academy.night(DAY, *feeds)
        assert (ran.json["status"], ran.err.count(f"{note}: not read")) == ("done", 1)
    assert academy.run("feed", "check", note).code == 2


def test_a_folder_in_place_of_its_files_stops_the_night(academy: Academy) -> None:
    """Dates alone would close accounts, and nobody would see that no feed was read."""
    folder = academy.feed(HUGO, day=DAY).parent
    with academy.nothing_written():
        ran = academy.run("nightly", folder, "--as-of", DAY)
    assert (ran.code, f"name the files in it: {folder}/*" in ran.err) == (2, True), ran.err


@pytest.mark.parametrize("name", ["agape_2026.csv", "agappe-001.csv", "EPP-001.csv"])
def test_a_file_named_almost_like_a_feed_stops_the_night(two: Academy, name: str) -> None:
    slip = two.folder / name
    slip.write_text("x")
    good = two.feed(HUGO, day=NEXT, source="epp")
    with two.nothing_written():
        ran = two.run("nightly", good, slip, "--as-of", NEXT)
    assert ran.code == 2
    assert "Its name is nearly that of a feed of" in ran.err


def test_continue_must_name_existing_sources(two: Academy) -> None:
    go_on(two, "agap")
    ran = two.run("nightly", "--as-of", NEXT)
    assert ran.code == 10
    assert "'agap' is not a source; did you mean agape?" in ran.err


def test_a_source_that_is_left_out_stays_out_while_drift_waits(academy: Academy) -> None:
    """The plan is made a second time without what other programs changed: a feed that was refused, of which
    no row is left then, is no feed without people."""
    academy.sources(agape="kind: full, limits: {bad_floor: 3}", epp="kind: full")
    go_on(academy, "agape")
    known = crowd(15, debut="2026-01-01")
    good = [
        line.replace("Louise", "Nadia").replace(";50", ";60").replace("50", "60", 1) for line in crowd(14)
    ]
    academy.night(
        DAY, academy.feed(*known, day=DAY, source="agape"), academy.feed(*good, day=DAY, source="epp")
    )
    people = {line.split(";")[0]: academy.names()[line.split(";")[0]] for line in known}
    changed = [academy.names()[line.split(";")[0]] for line in good[:12]]
    siecle = "urn:mace:ac-amiens.fr:service:siecle"
    with academy.sandbox.root() as root:
        for uid in changed:
            root.modify(academy.dn(uid), {"eduPersonEntitlement": [(ldap3.MODIFY_ADD, [siecle])]})
    wrong = [line.replace(";2026-01-01", ";no day") for line in known]
    for number, day in enumerate((NEXT, "2026-09-07"), 1):
        refused = academy.feed(*wrong[:-number], day=day, source="agape")
        ran = academy.night(day, refused, academy.feed(*good, day=day, source="epp"), code=5)
        assert "loosening" in ran.err
        assert "feed refused of agape: dates and the other sources go on without it" in ran.err
        assert str(refused) in ran.err
        assert {academy.values(uid, "piactlState")[0] for uid in people.values()} == {"active"}
    assert academy.plan("--as-of", "2026-09-08", code=4)["absents"] == []
