"""Files that can be read but are wrong as a whole: none is applied unasked, for any number of people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.core.plan.plan import ReadyPlan
from piactl.errors import FeedRefused

from .academy import Academy
from .population import COLUMNS, Rows, crowd, feed_text, write_register
from .rehearsal import Rehearsal

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


def swapped(one: str, other: str) -> Callable[[Rows], Rows]:
    """Two columns have each other's values."""

    def made(rows: Rows) -> Rows:
        for row in rows:
            row[_AT[one]], row[_AT[other]] = row[_AT[other]], row[_AT[one]]
        return rows

    return made


def half_of(rows: Rows) -> Rows:
    """Keeps only every second person."""
    people = {*sorted({row[_AT["matricule"]] for row in rows})[::2]}
    return [row for row in rows if row[_AT["matricule"]] in people]


def one_in_25_is_a_head(rows: Rows) -> Rows:
    return [*every_one("fonction", "DIR")(rows[::25]), *(row for n, row in enumerate(rows) if n % 25)]


def commonest(column: str) -> Callable[[Rows], Rows]:
    """The column has its most common value in every row."""

    def made(rows: Rows) -> Rows:
        values = Counter(row[_AT[column]] for row in rows if row[_AT[column]])
        return every_one(column, values.most_common(1)[0][0])(rows)

    return made


SWAPPED = (
    ("nom_famille", "prenom"), ("nom_famille", "nom_usage"), ("corps", "fonction"), ("debut", "fin"),
    ("date_naissance", "debut"), ("discipline", "quotite"), ("discipline", "corps"), ("position", "modalite"),
    ("uai", "fonction"), ("matricule", "numen"), ("civilite", "modalite"),
)  # fmt: skip

WRONG: dict[str, Callable[[Rows], Rows]] = {
    **{f"{column} constant": commonest(column) for column in COLUMNS},
    **{f"{column} blank": every_one(column, "") for column in COLUMNS},
    **{f"{column} moved by one row": moved(column) for column in COLUMNS},
    **{f"{one} and {other} swapped": swapped(one, other) for one, other in SWAPPED},
    "half of the people missing": half_of,
    "one in 25 is a head of school": one_in_25_is_a_head,
}
"""Name -> function that makes the wrong feed from one that is sorted by establishment."""


@pytest.mark.parametrize(
    ("people", "every"),
    # in short runs every eighth wrong feed
    [(450, 8), *(pytest.param(n, 1, marks=pytest.mark.long) for n in (450, 1_500, 5_000, 36_000))],
)
def test_a_feed_wrong_in_a_whole_column_is_stopped_at_every_size(
    tmp_path: Path, people: int, every: int
) -> None:
    """With -s the test prints what stops each wrong feed. The limits of a feed are widest in the rentrée:
    what they refuse then, they refuse all year."""
    in_rentree = what_stops(tmp_path / "rentree", people, RENTREE, [*WRONG][::every])
    planned = [name for name, guards in in_rentree.items() if guards is not None]
    assert planned
    in_autumn = what_stops(tmp_path / "autumn", people, AUTUMN, planned)
    assert [name for found in (in_rentree, in_autumn) for name, guards in found.items() if guards == []] == []


def what_stops(
    folder: Path, people: int, day: date, wrong_feeds: Iterable[str]
) -> dict[str, list[str] | None]:
    """The guards that stop the plan of each wrong feed, None where the feed is refused."""
    folder.mkdir()
    rehearsal = Rehearsal(folder, write_register(folder / "establishments.csv", people))
    agents, first, path = crowd(people, day), day - timedelta(days=1), folder / "rh-1.csv"

    def in_order() -> Rows:
        return sorted(agents.copy(), key=lambda row: row[_AT["uai"]])

    path.write_text(feed_text(in_order(), first), encoding="utf-8")
    rehearsal.make(rehearsal.plan(path, first), first)
    guards: dict[str, list[str] | None] = {}
    for name in wrong_feeds:
        path.write_text(feed_text(WRONG[name](in_order()), day), encoding="utf-8")
        try:
            refusals = rehearsal.plan(path, day).plan.refusals
        except FeedRefused as error:
            guards[name] = None
            codes = ", ".join(sorted({code for code, _ in error.refusals}))
            print(f"{day}, {name}: feed refused, {codes}")
            continue
        guards[name] = [*dict.fromkeys(f"{refusal.kind} {refusal.found}" for refusal in refusals)]
        print(f"{day}, {name}: {', '.join(guards[name] or ['PASSED'])}")
    return guards


def four_on_leave(rows: Rows) -> Rows:
    """HR fills the position only if it is not the ordinary one, which is so for very few people."""
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
    "one in 25 is a head of school": (as_it_is, one_in_25_is_a_head, "", "other_function"),
    "half of the people missing": (as_it_is, half_of, "few-known", ""),
    "birthday the same for all": (as_it_is, commonest("date_naissance"), "changed-column", ""),
    "uai moved by one row": (as_it_is, moved("uai"), "", "grant update other_establishment"),
    "matricule moved by one row": (as_it_is, moved("matricule"), "held", ""),
    "position blank": (as_it_is, every_one("position", ""), "changed-column", ""),
    "position the same for all": (as_it_is, every_one("position", "activite"), "changed-column", ""),
    "position blank, and few had one": (four_on_leave, every_one("position", ""), "changed-column", ""),
}
"""Name -> function that makes the right feed, function that then makes the wrong one, the code that refuses
the feed ("" if its lines are valid), the guards that stop its plan if the feed is let through."""


def wrong(name: str, rows: Rows) -> Rows:
    return DISASTERS[name][1](rows)


def names(right: Callable[[Rows], Rows]) -> Iterator[str]:
    return (name for name, (base, _, _, _) in DISASTERS.items() if base is right)


def test_nightly_stops_wrong_feeds_on_a_real_server(academy: Academy) -> None:
    people, day = 300, AUTUMN
    write_register(academy.sandbox.folder / "establishments.csv", people)
    agents = crowd(people, day)
    first = day - timedelta(days=1)
    academy.night(str(first), academy.raw_feed(feed_text(agents.copy(), first).encode()))
    assert len(academy.accounts()) > 0.9 * people
    for name in names(as_it_is):
        _, _, code, guards = DISASTERS[name]
        feed = academy.raw_feed(feed_text(wrong(name, agents.copy()), day).encode())
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
    # the night after, with the right file, is as if nothing had happened
    academy.quiet_night(str(day), academy.raw_feed(feed_text(agents.copy(), day).encode()))


@pytest.mark.parametrize(
    ("people", "day", "right"),
    [
        # in short runs the other wrong feeds are on the real server
        pytest.param(
            people,
            day,
            right,
            id=f"{people}-{name}-{right.__name__}",
            marks=[pytest.mark.long] * ((people, name, right) != (450, "autumn", four_on_leave)),
        )
        for people in (450, 1_500, 5_000, 36_000)
        for name, day in (("autumn", AUTUMN), ("rentree", RENTREE))
        for right in (as_it_is, four_on_leave)
    ],
)
def test_wrong_feeds_are_stopped_at_every_size(
    tmp_path: Path, people: int, day: date, right: Callable[[Rows], Rows]
) -> None:
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


def leavers(rows: Rows, count: int, last: date, but: Collection[str | None]) -> Rows:
    """Gives the first `count` people, except `but`, the same wrong end."""
    people = {*sorted({row[_AT["matricule"]] for row in rows} - {*but})[:count]}
    for row in rows:
        if row[_AT["matricule"]] in people:
            row[_AT["fin"]] = f"{last:%d/%m/%Y}"
    return rows


@pytest.mark.parametrize(
    ("people", "day", "in_a_night", "in_a_week"),
    [
        pytest.param(450, AUTUMN, 13, 40, id="450-autumn"),
        pytest.param(450, RENTREE, 27, 54, id="450-rentree", marks=pytest.mark.long),
        pytest.param(5_000, AUTUMN, 100, 400, id="5000-autumn", marks=pytest.mark.long),
        pytest.param(5_000, RENTREE, 300, 600, id="5000-rentree", marks=pytest.mark.long),
    ],
)
def test_guards_limit_how_many_people_leave_by_mistake(
    tmp_path: Path, people: int, day: date, in_a_night: int, in_a_week: int
) -> None:
    """One person more than docs/guards.md says stops a night; the allowed number every night, a week."""
    rehearsal = Rehearsal(tmp_path, write_register(tmp_path / "establishments.csv", people))
    agents, first, path = crowd(people, day), day - timedelta(days=1), tmp_path / "rh-1.csv"

    def planned(count: int, as_of: date, but: Collection[str | None] = ()) -> ReadyPlan:
        wrong = leavers(agents.copy(), count, first, but)
        path.write_text(feed_text(wrong, as_of), encoding="utf-8")
        return rehearsal.plan(path, as_of)

    rehearsal.make(planned(0, first), first)
    ordinary = planned(0, day).plan
    right, others = ordinary.summary.get("revoke", 0), {change.matricule for change in ordinary.changes}
    refused = planned(2 * in_a_night, day, others).plan.refusals
    broken = next(refusal for refusal in refused if refusal.kind == "revoke")
    limit = broken.limit.most(broken.of)
    assert limit == in_a_night or (limit == in_a_night - 1 and broken.of < people), broken
    stopped = planned(limit + 1 - right, day, others).plan.refusals
    assert [(refusal.kind, refusal.found) for refusal in stopped if refusal.kind == "revoke"] == [
        ("revoke", limit + 1)
    ]
    departures, night = 0, planned(limit - right, day, others)
    while not night.plan.refusals:
        rehearsal.make(night, day)
        departures, day = departures + limit - right, day + timedelta(days=1)
        right = planned(departures, day, others).plan.summary.get("revoke", 0)
        night = planned(departures + limit - right, day, others)
    assert "revoke_window" in {refusal.kind for refusal in night.plan.refusals}
    assert in_a_week - in_a_night <= departures <= in_a_week
