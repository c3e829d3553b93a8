"""Wrong files given to the command are refused with the right reason, or harmless; nobody loses anything."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

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
LOSES = {"revoke", "suspend", "deactivate", "archive", "lock"}


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
    "byte order mark only": ("bom-only", lambda: b"\xef\xbb\xbf"),
    "header only": ("header-only", lambda: text([], DAY).encode()),
    "cut in a row": ("cut", lambda: text(ROWS).encode()[:-30]),
    "cut in its last line": ("bad-trailer", lambda: text(ROWS, DAY).encode()[:-4] + b"\n"),
    "count wrong": ("wrong-count", lambda: text(ROWS, DAY).replace(f"rows={PEOPLE}", "rows=61").encode()),
    "uai and fonction swapped": ("bad-column", lambda: swapped("uai", "fonction")),
    "matricules and starts swapped": ("few-known", lambda: swapped("debut", "matricule")),
    "names and dates swapped": ("bad-column", lambda: swapped("prenom", "debut")),
    "a required column missing": (
        "missing-column",
        lambda: text(ROWS, DAY).replace("uai", "rne", 1).encode(),
    ),
    "UTF-16": ("wrong-encoding", lambda: text(ROWS, DAY).encode("utf-16")),
    "ISO-8859-15 where UTF-8 is declared": ("wrong-encoding", lambda: text(ROWS, DAY).encode("iso-8859-15")),
    "UTF-8 read as Windows-1252 by somebody": (
        "wrong-encoding",
        lambda: text(ROWS, DAY).encode().decode("cp1252", "replace").encode(),
    ),
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


def test_refused_with_its_reason_and_nothing_written(loaded: Academy) -> None:
    for name, (code, content) in REFUSED.items():
        feed = loaded.raw_feed(content())
        with loaded.nothing_written():
            ran = loaded.night(DAY, feed, code=6)
        assert feed.name in ran.err, name
        assert f"[{code}]" in ran.err, name
    # the night after, with the right file, is as if nothing had happened
    loaded.quiet_night(DAY, loaded.raw_feed(text(ROWS, DAY).encode()))


def losses(plan: Any) -> list[tuple[str, str]]:
    """What a plan takes from accounts, as (uid, kind)."""
    account_losses = [
        (change["uid"], change["kind"]) for change in plan["changes"] if change["kind"] in LOSES
    ]
    for change in plan["changes"]:
        after = change["after"].get("login_until")
        if after is not None and change["before"] and change["before"].get("login_until") != after:
            account_losses.append((change["uid"], "login"))
    return account_losses


def test_cut_at_any_byte(loaded: Academy) -> None:
    """With and without the last line; a cut at the end of a line shows as absences, which take nothing."""
    seed = 20261101
    random = Random(seed)
    refused = harmless = 0
    for content in (text(ROWS, DAY).encode(), text(ROWS).encode()):
        ends = [offset + 1 for offset, byte in enumerate(content) if byte == 10]
        places = {*random.sample(range(len(content)), 8), *random.sample(ends[:-1], 2), ends[-2]}
        for place in sorted(places):
            feed = loaded.raw_feed(content[:place])
            ran = loaded.run("plan", feed, "--as-of", DAY, "-o", "json")
            assert ran.code in (0, 6), (seed, place, ran.err)
            if ran.code == 6:
                refused += 1
            else:
                harmless += 1
                assert losses(ran.json) == [], (seed, place)
                assert ran.json["changes"] == [], (seed, place)
    assert refused > 12
    assert harmless > 0


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda line: line[: len(line) // 2],
    "a column more": lambda line: line.replace(";", ";;", 1),
    "no delimiter": lambda line: line.replace(";", " "),
    "no matricule": lambda line: line[line.index(";") :],
    "a day that is none": lambda line: line.replace("2026-01-01", "2026-02-30"),
    "another person's start": lambda line: line.replace("2026-01-01", "2036-01-01") + "1999-01-01",
    "UAI with a wrong key": lambda line: line.replace("0800009A", "0800009B").replace(MICHELIS, "0800010A"),
    "unknown fonction": lambda line: line.replace(";ENS;", ";ZZZ;"),
    "an open quote": lambda line: line.replace(";", ';"', 1),
    "a name that is none": lambda line: line.replace("Lefèvre", "Lef\ufffdvre"),
}


def test_any_row_broken(loaded: Academy) -> None:
    """The first row, one in the middle and the last one, in turn."""
    for number, (damage, broken) in enumerate(DAMAGE.items()):
        index = (0, PEOPLE // 2, PEOPLE - 1)[number % 3]
        rows = list(ROWS)
        rows[index] = broken(rows[index])
        ran = loaded.run("plan", loaded.raw_feed(text(rows, DAY).encode()), "--as-of", DAY, "-o", "json")
        assert ran.code in (0, 6), ran.err
        if ran.code == 0:
            assert ran.json["changes"] == [], damage
            assert ran.json["rejections"], damage


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
