"""Files that read well and are wrong as a whole: none is applied unasked, however many people there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.errors import FeedRefused

from .academy import Academy
from .rehearsal import COLUMNS, Rehearsal, Rows, crowd, feed_text, write_register

AUTUMN, RENTREE = date(2026, 11, 10), date(2026, 9, 2)
_AT = {name: place for place, name in enumerate(COLUMNS)}


def every_one(column: str, value: str) -> Callable[[Rows], Rows]:
    """The column has this value in every row."""

    def made(rows: Rows) -> Rows:
        for row in rows:
            row[_AT[column]] = value
        return rows

    return made


def moved(column: str) -> Callable[[Rows], Rows]:
    """Each row has the value of the row above it in this column."""

    def made(rows: Rows) -> Rows:
        values = [row[_AT[column]] for row in rows]
        for row, value in zip(rows, [values[-1], *values[:-1]], strict=True):
            row[_AT[column]] = value
        return rows

    return made


def four_on_leave(rows: Rows) -> Rows:
    """HR fills the position only where it is not the ordinary one, for very few."""
    for row in rows:
        row[_AT["position"]] = ""
    leaves = [row for row in rows if not row[_AT["fin"]]][:4]
    for row in leaves:
        row[_AT["position"]] = "disponibilite"
    return rows


def as_it_is(rows: Rows) -> Rows:
    return rows


DISASTERS: dict[str, tuple[Callable[[Rows], Rows], Callable[[Rows], Rows], str, str]] = {
    "everybody is a head of school": (as_it_is, every_one("fonction", "DIR"), "changed-column", "grant"),
    "uai moved by one row": (as_it_is, moved("uai"), "", "grant update"),
    "matricule moved by one row": (as_it_is, moved("matricule"), "held", ""),
    "position blank": (as_it_is, every_one("position", ""), "changed-column", ""),
    "position the same for all": (as_it_is, every_one("position", "activite"), "changed-column", ""),
    "position blank, and few had one": (four_on_leave, every_one("position", ""), "changed-column", ""),
}
"""Name -> what makes the right feed, what then makes the wrong one, the code that refuses the feed ("" where
its lines are fit), the guards that stop its plan all the same where the feed is let through."""


def wrong(name: str, rows: Rows) -> Rows:
    return DISASTERS[name][1](rows)


def names(right: Callable[[Rows], Rows]) -> Iterator[str]:
    return (name for name, (base, _, _, _) in DISASTERS.items() if base is right)


@pytest.mark.parametrize("right", [as_it_is, four_on_leave], ids=lambda right: right.__name__)
def test_by_the_command_on_a_real_server(academy: Academy, right: Callable[[Rows], Rows]) -> None:
    people, day = 450, AUTUMN
    write_register(academy.sandbox.folder / "establishments.csv", people)
    agents = crowd(people, day)
    first = day - timedelta(days=1)
    academy.night(str(first), academy.raw_feed(feed_text(right(agents.copy()), first).encode()))
    assert len(academy.accounts()) > 0.9 * people
    for name in names(right):
        _, _, code, guards = DISASTERS[name]
        feed = academy.raw_feed(feed_text(wrong(name, right(agents.copy())), day).encode())
        with academy.nothing_written():
            if code:
                ran = academy.night(str(day), feed, code=6)
                assert f"[{code}]" in ran.err, name
                assert "--accept-feed" in ran.err, name
            else:
                ran = academy.night(str(day), feed, code=4)
                for kind in guards.split():
                    assert f"REFUSED by the guard {kind}:" in ran.err, name
                    assert f"--allow {kind}=" in ran.err, name
    # and the night after, with the right file, is as if nothing had been
    academy.quiet_night(str(day), academy.raw_feed(feed_text(right(agents.copy()), day).encode()))


@pytest.mark.parametrize(
    "people",
    [450, 1_500, pytest.param(36_000, marks=pytest.mark.long)],
)
@pytest.mark.parametrize("day", [AUTUMN, RENTREE], ids=["autumn", "rentree"])
@pytest.mark.parametrize("right", [as_it_is, four_on_leave], ids=lambda right: right.__name__)
def test_at_every_size(tmp_path: Path, people: int, day: date, right: Callable[[Rows], Rows]) -> None:
    rehearsal = Rehearsal(tmp_path, write_register(tmp_path / "establishments.csv", people))
    agents, first, path = crowd(people, day), day - timedelta(days=1), tmp_path / "rh-1.csv"
    path.write_text(feed_text(right(agents.copy()), first), encoding="utf-8")
    rehearsal.make(rehearsal.plan(path, first), first)
    for name in names(right):
        _, _, code, guards = DISASTERS[name]
        path.write_text(feed_text(wrong(name, right(agents.copy())), day), encoding="utf-8")
        if code:
            with pytest.raises(FeedRefused) as refused:
                rehearsal.plan(path, day)
            assert code in [each for each, _ in refused.value.refusals], name
        if guards:
            plan = rehearsal.plan(path, day, accept=bool(code)).plan
            assert set(guards.split()) <= {refusal.kind for refusal in plan.refusals}, name
