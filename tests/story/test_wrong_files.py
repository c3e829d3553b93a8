"""Wrong files given to the command are refused with the right reason, or harmless; nobody loses anything."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from .academy import Academy, prepared
from .feeds import HEADER, MICHELIS, row, text

PEOPLE = 60
ROWS = [
    row(
        matricule=str(4000 + n),
        numen=f"20E95{n:05}ABC",
        prenom="Élodie" if n % 2 else "Gaël",
        nom_famille=f"Lefèvre{chr(97 + n // 26)}{chr(97 + n % 26)}",
        date_naissance="14/07/1980",
        uai="0800009A" if n % 3 else MICHELIS,
        debut="2026-01-01",
    )
    for n in range(PEOPLE)
]
LAST, DAY = "2026-03-01", "2026-03-02"


@prepared
def loaded(academy: Academy) -> Academy:
    academy.night(LAST, academy.raw_feed(text(ROWS, LAST).encode()))
    assert len(academy.accounts()) == PEOPLE
    return academy


def swapped(one: str, other: str) -> bytes:
    """Exchanges two header names, as if somebody had moved only the columns of the data."""
    header = ";".join({one: other, other: one}.get(name, name) for name in HEADER.split(";"))
    return text(ROWS, DAY).replace(HEADER, header).encode()


def others() -> bytes:
    return text([line.replace(";20E95", ";01E95").replace("40", "90", 1) for line in ROWS], DAY).encode()


def slipped() -> bytes:
    """Each row has the matricule of the row above it."""
    keys = [line.split(";")[0] for line in ROWS]
    rest = [line.partition(";")[2] for line in ROWS]
    return text([f"{key};{row}" for key, row in zip([keys[-1], *keys], rest, strict=False)], DAY).encode()


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": ("empty", lambda: b""),
    "cut in a row": ("cut", lambda: text(ROWS).encode()[:-30]),
    "uai and fonction swapped": ("bad-column", lambda: swapped("uai", "fonction")),
    "matricules and starts swapped": ("few-known", lambda: swapped("debut", "matricule")),
    "names and dates swapped": ("bad-column", lambda: swapped("prenom", "debut")),
    "ISO-8859-15 where UTF-8 is declared": ("wrong-encoding", lambda: text(ROWS, DAY).encode("iso-8859-15")),
    "yesterday's file": ("older", lambda: text(ROWS[:-1], "2026-02-28").encode()),
    "another population": ("few-known", others),
    "half of the people": ("few-known", lambda: text(ROWS[: PEOPLE // 2], DAY).encode()),
    "twice as many": (
        "size",
        lambda: text(
            [*ROWS, *(line.replace("40", "90", 1).replace(";20E95", ";20G95") for line in ROWS)], DAY
        ).encode(),
    ),
    "matricules moved by one row": ("held", slipped),
    "a compressed file": ("not-csv", lambda: b"\x1f\x8b\x08\x00" + bytes(range(256)) * 20),
}
"""Files that are refused whatever the directory holds are in tests/feed/test_named_wrong_files.py."""


def test_refused_with_its_reason_and_nothing_written(loaded: Academy) -> None:
    for name, (code, content) in REFUSED.items():
        feed = loaded.raw_feed(content())
        with loaded.nothing_written():
            ran = loaded.night(DAY, feed, code=6)
        assert feed.name in ran.err, name
        assert f"[{code}]" in ran.err, name
        # the run has a record, and the status says where to look
        status = loaded.run("status", "-o", "json", "--as-of", DAY).json
        (listed,) = status["refused_feeds"]["feeds"]
        assert (listed["file"], code in listed["why"]) == (feed.name, True), name
        assert status["runs"][0]["status"] == "refused", name
        assert f"[{code}]" in loaded.run("runs", "show", "last").out, name
        assert f"feed {feed.name} refused: " in loaded.run("status", "--as-of", DAY).out, name
    # the night after, with the right file, is as if nothing had happened
    loaded.quiet_night(DAY, loaded.raw_feed(text(ROWS, DAY).encode()))
    assert loaded.run("status", "-o", "json", "--as-of", DAY).json["refused_feeds"] is None


def test_a_refusal_names_the_column_that_has_another_name(loaded: Academy) -> None:
    """HR's new program calls `numen` `identifiant`."""
    feed = loaded.raw_feed(text(ROWS, DAY).replace(";numen;", ";identifiant;").encode())
    ran = loaded.night(DAY, feed, code=6)
    assert "column numen: a value in no row, for the column is missing" in ran.err
    assert "columns not read: 'identifiant'" in ran.err


def test_a_broken_row_for_many_nights_ends_nobody(loaded: Academy) -> None:
    """A broken row holds its person; a row that belongs to nobody holds all absences."""
    for number, day in enumerate(("2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05")):
        rows = [*ROWS[:-2], ROWS[-2].replace("2026-01-01", "demain" + "!" * number)]
        rows.append(ROWS[-1].replace(ROWS[-1].split(";")[0], "", 1))
        loaded.quiet_night(day, loaded.raw_feed(text(rows, day).encode()))
    assert {entry["piactlState"][0] for entry in loaded.accounts().values()} == {b"active"}


def test_five_percent_of_the_people_gone_for_one_night(loaded: Academy) -> None:
    feed = loaded.raw_feed(text(ROWS[: PEOPLE * 95 // 100], DAY).encode())
    plan = loaded.plan(feed, "--as-of", DAY)
    assert len(plan["absents"]) == PEOPLE * 5 // 100
    loaded.quiet_night(DAY, feed)
    loaded.quiet_night("2026-03-03", loaded.raw_feed(text(ROWS, "2026-03-03").encode()))
    assert loaded.plan("--as-of", "2026-03-03")["absents"] == []


def test_one_feed_is_let_through_by_its_digest_alone(loaded: Academy) -> None:
    feed = loaded.raw_feed(text(ROWS[: PEOPLE // 2], DAY).encode())
    refused = loaded.night(DAY, feed, code=6)
    digest = refused.err.partition("--accept-feed ")[2].split()[0]
    assert loaded.run("nightly", feed, "--as-of", DAY, "--accept-feed", digest).code == 2, "no reason given"
    with loaded.nothing_written():
        other = loaded.run(
            "nightly", feed, "--as-of", DAY, "--accept-feed", "0" * 64, "--reason", "vu avec la DRH"
        )
        assert other.code == 2
        ran = loaded.run(
            "nightly", feed, "--as-of", DAY, "--accept-feed", digest, "--reason", "vu avec la DRH"
        )
        assert ran.code == 0, ran.err
    # it is an ordinary night: the absences are listed, and a second such feed would count
    again = loaded.raw_feed(text(ROWS[1 : PEOPLE // 2], "2026-03-03").encode())
    assert loaded.night("2026-03-03", again, code=6)


def test_nothing_of_two_feeds_is_used_where_one_is_refused(academy: Academy) -> None:
    academy.sources(epp="kind: full", moves="kind: delta")
    good = academy.feed(row(), day=DAY, source="epp")
    bad = academy.raw_feed(b"", source="moves")
    ran = academy.night(DAY, good, bad, code=6)
    assert "moves" in ran.err
    assert academy.accounts() == {}


def test_the_record_of_a_refused_night_has_the_command_that_goes_on(loaded: Academy) -> None:
    """Whoever may not read the log of the night finds it in `runs show`."""
    rows = [f"{line.removesuffix(';')};2026-12-31" if n % 2 else line for n, line in enumerate(ROWS)]
    feed = loaded.raw_feed(text(rows, DAY).encode())
    ran = loaded.spawn("nightly", feed, "--as-of", DAY)
    command = loaded.run("runs", "show", "last", "-o", "json").json["next"]
    assert (ran.code, f"To go on all the same: {command}\n" in ran.err) == (6, True), (command, ran.err)
    ran = loaded.spawn(*shlex.split(command.replace('"..."', "contrats"))[1:])
    assert (ran.code, "REFUSED by the guard update" in ran.err) == (4, True), ran
    command = loaded.run("runs", "show", "last", "-o", "json").json["next"]
    assert command == f"piactl plan show {ran.plan_file}"
    assert loaded.run(*shlex.split(command)[1:]).code == 0
