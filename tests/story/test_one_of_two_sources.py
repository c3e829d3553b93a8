"""One of two sources is wrong as a whole, and the other is right: nothing wrong is applied unasked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from piactl.errors import FeedRefused

from .population import COLUMNS, Rows, crowd, feed_text, write_register
from .rehearsal import Rehearsal
from .test_wrong_as_a_whole import AUTUMN, RENTREE, WRONG, every_one, half_of, moved

_AT = {name: place for place, name in enumerate(COLUMNS)}
SIZES = [
    pytest.param((200, AUTUMN), id="200-autumn"),
    pytest.param((450, AUTUMN), id="450-autumn", marks=pytest.mark.long),
    pytest.param((450, RENTREE), id="450-rentree", marks=pytest.mark.long),
    pytest.param((5_000, AUTUMN), id="5000-autumn", marks=pytest.mark.long),
    pytest.param((5_000, RENTREE), id="5000-rentree", marks=pytest.mark.long),
]


class TwoSources:
    """Two sources, each with the people of half of the establishments, after a first night; and a third
    source of changes."""

    def __init__(self, folder: Path, people: int, day: date) -> None:
        self.people, self.day, self.folder = people, day, folder
        register = write_register(folder / "establishments.csv", people)
        self.rehearsal = Rehearsal(folder, register, ("epp", "agape"), deltas=("moves",))
        rows = sorted(crowd(people, day).copy(), key=lambda row: row[_AT["uai"]])
        first = {row[_AT["matricule"]]: row[_AT["uai"]] for row in reversed(rows)}
        middle = sorted(first.values())[len(first) // 2]
        self._parts = [
            [row for row in rows if (first[row[_AT["matricule"]]] < middle) is lower]
            for lower in (True, False)
        ]
        eve = day - timedelta(days=1)
        self.rehearsal.make(self.rehearsal.plan(self.files(eve, *self.parts()), eve), eve)

    def parts(self) -> tuple[Rows, Rows]:
        one, other = ([[*row] for row in part] for part in self._parts)
        return one, other

    def files(self, day: date, *parts: Rows, names: Sequence[str] = ("epp", "agape")) -> list[Path]:
        files = [self.folder / f"{name}-1.csv" for name in names]
        for path, rows in zip(files, parts, strict=True):
            path.write_text(feed_text(rows, day), encoding="utf-8")
        return files

    def stopped_by(self, files: Sequence[Path]) -> tuple[str, ...]:
        """The limits or guards that stop a night with these feeds."""
        try:
            ready = self.rehearsal.plan(files, self.day)
        except FeedRefused as error:
            return tuple(sorted({code for code, _ in error.refusals}))
        self.summary = dict(ready.plan.summary)
        return tuple(sorted({refusal.kind for refusal in ready.plan.refusals}))


@pytest.fixture(scope="module", params=SIZES)
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TwoSources:
    """Two sources for tests that only plan."""
    return TwoSources(tmp_path_factory.mktemp("two"), *request.param)


def sorted_by(*columns: str) -> Callable[[Rows], Rows]:
    return lambda rows: sorted(rows, key=lambda row: [row[_AT[name]] for name in columns])


def half_by(order: Callable[[Rows], Rows], *, first: bool = True) -> Callable[[Rows], Rows]:
    def kept(rows: Rows) -> Rows:
        middle = len(rows) // 2
        return order(rows)[:middle] if first else order(rows)[middle:]

    return kept


HALVES: dict[str, Callable[[Rows], Rows]] = {
    "first half by uai": half_by(sorted_by("uai")),
    "last half by uai": half_by(sorted_by("uai"), first=False),
    "first half by name": half_by(sorted_by("nom_famille", "prenom")),
    "every second row": lambda rows: rows[::2],
    "every second person": half_of,
}


def test_a_source_with_half_or_foreign_people_is_stopped(two: TwoSources) -> None:
    day = two.day
    right = two.stopped_by(two.files(day, *two.parts()))
    # after a first load on 1 September the service that 173 people have begins for 34 more the next day
    assert right == (("service_growth",) if (two.people, day) == (5_000, RENTREE) else ())
    by_date = {*two.summary}
    assert two.stopped_by(two.files(day, two.parts()[0], names=["epp"])) == right
    for name, half in HALVES.items():
        ours, theirs = two.parts()
        assert "few-known" in two.stopped_by(two.files(day, half(ours), theirs)), name
        assert "few-known" in two.stopped_by(two.files(day, half(ours), names=["epp"])), name
    ours, theirs = two.parts()
    for name, wrong in {
        "the people of the other one instead": theirs,
        "half of its own, half of the other's": [*ours[::2], *theirs[::2]],
        "its own, and all of the other's": [*ours, *theirs],
    }.items():
        assert {"few-known", "size"} & {*two.stopped_by(two.files(day, wrong, theirs))}, name
    assert "few-known" in two.stopped_by(two.files(day, theirs, ours))

    # a few people of the other source: their posts count once, whichever source has them
    few = [*ours, *theirs[:: max(11, len(theirs) // 20)]]
    assert two.stopped_by(two.files(day, few, theirs)) == right
    assert {*two.summary} <= {"update", *by_date}


SHORT = [f"{column} moved by one row" for column in ("position", "uai", "fonction", "debut", "nom_usage")]
"""Faults that the guards must find, because the feed as a whole looks as before."""


@pytest.mark.parametrize(
    ("people", "day", "names"),
    [
        pytest.param(450, AUTUMN, SHORT, id="450-moved"),
        # of 200 people, a wrong column of one source changes fewer than a guard minds
        *[pytest.param(*size.values[0], [*WRONG], id=size.id, marks=pytest.mark.long) for size in SIZES[1:]],
    ],
)
def test_a_source_with_a_wrong_column_is_stopped(
    tmp_path: Path, people: int, day: date, names: Sequence[str]
) -> None:
    """With -s the test prints what stops each wrong feed. A few wrong heads of school pass."""
    two = TwoSources(tmp_path, people, day)
    passed = []
    for name in names:
        ours, theirs = two.parts()
        stopped = two.stopped_by(two.files(day, WRONG[name](ours), theirs))
        print(f"{name}: {', '.join(stopped) or 'PASSED'}")
        if not stopped and (name != "one in 25 is a head of school" or people > 450):
            passed.append((name, two.summary))
    assert passed == []


@pytest.mark.long
@pytest.mark.parametrize("size", SIZES[1:3])
def test_two_columns_moved_by_one_row(tmp_path: Path, size: tuple[int, date]) -> None:
    two, day = TwoSources(tmp_path, *size), size[1]
    for one, other in combinations(COLUMNS, 2):
        spoiled = [moved(other)(moved(one)(rows)) for rows in two.parts()]
        assert two.stopped_by(two.files(day, *spoiled)), (one, other)


def test_a_delta_that_contains_everybody(two: TwoSources) -> None:
    """This includes people whom two sources list: a post has one source, so each account would change."""
    day = two.day
    everybody = [row for part in two.parts() for row in part]
    delta = two.files(day, everybody, names=["moves"])
    assert "update" in two.stopped_by(delta)
    assert "update" in two.stopped_by([*two.files(day, *two.parts()), *delta])
    for spoil in (every_one("fonction", "DIR"), every_one("position", ""), moved("position"), moved("uai")):
        everybody = [row for part in two.parts() for row in part]
        assert two.stopped_by(two.files(day, spoil(everybody), names=["moves"]))
