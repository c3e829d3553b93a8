"""The nights: which feeds there are. They are written in one pass, whatever their size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

from invented.agents import COLUMNS, Agent, Row, as_text
from invented.changes import Night, change
from invented.people import People
from invented.places import HEADER, establishments, how_many
from invented.story import Cast, Member

FIRST_BEFORE = 40  # days from the first load to today


def story_nights(
    today: date, *, ordinary_nights: int = 0, share: float = 0.003, rentree: date | None = None
) -> list[Night]:
    """First load, rentrée and today's ordinary night; then `ordinary_nights` more nights, none on a Sunday.

    The mutations begin on `rentree`. By default this is three days before `today`, or 1 September if that
    day is two days to four weeks before `today`. A later 1 September is a rentrée too.
    """
    september = date(today.year, 9, 1)
    if rentree is None:
        near = timedelta(days=2) <= today - september <= timedelta(days=28)
        rentree = september if near else today - timedelta(days=3)
    first = min(today - timedelta(days=FIRST_BEFORE), rentree - timedelta(days=10))
    nights = [
        Night(1, first, first, "first"),
        Night(2, rentree + timedelta(days=1), rentree, "rentree", 0.095, 0.025),
        Night(3, today, today, "ordinary", share * 0.85, share * 0.15),
    ]
    day = today
    while ordinary_nights > 0:
        day += timedelta(days=1)
        if day.weekday() == 6:
            continue
        ordinary_nights -= 1
        nights.append(_further(len(nights) + 1, day, share))
    return nights


def september_nights(today: date) -> list[Night]:
    """A first load a week before 1 September of this year, and the feed of that day."""
    september = date(today.year, 9, 1)
    first = september - timedelta(days=7)
    return [Night(1, first, first, "first"), Night(2, september, september, "rentree", 0.095, 0.025)]


def _further(number: int, day: date, share: float) -> Night:
    september = date(day.year, 9, 1)
    if day == september or (day.weekday() == 0 and day - timedelta(days=1) == september):
        return Night(number, day, september, "rentree", 0.095, 0.025)
    return Night(number, day, day, "ordinary", share * 0.85, share * 0.15)


def population(people: int, seed: int, today: date) -> Iterator[Row]:
    """The rows of a complete feed of `people` invented people on `today`, without a story."""
    crowd = People(people, seed, today, list(establishments(how_many(people))))
    for index in range(people):
        yield from crowd.agent(index).rows(today)


def lines_by_night(
    people: int, seed: int, nights: Sequence[Night], cast: Cast | None
) -> Iterator[list[tuple[str, int]]]:
    """For each person the lines of each night and their number; memory use does not grow with `people`."""
    members = list(cast) if cast is not None else []
    # the cast is part of `people`; the crowd has at least 20 all the same
    size = max(people - len(members), 20)
    crowd = People(size, seed, nights[0].day, list(establishments(how_many(people))))
    for member in members:
        yield _member(member, nights)
    index = 0
    for index in range(size):
        yield _life(crowd, index, crowd.agent(index), 0, nights)
    for arrival, night in enumerate(nights):
        for _ in range(_arrivals(size, night, seed)):
            index += 1
            yield _life(crowd, index, crowd.newcomer(index, night.effective), arrival, nights)


def _arrivals(people: int, night: Night, seed: int) -> int:
    expected = people * night.arrivals
    return int(expected) + (Random(f"{seed}/arrivals/{night.number}").random() < expected - int(expected))


def _life(
    crowd: People, index: int, agent: Agent, arrival: int, nights: Sequence[Night]
) -> list[tuple[str, int]]:
    rng = Random(f"{crowd.seed}/{index}/nights")
    lines = [("", 0)] * arrival
    current, stale = ("", 0), date.min
    for night in nights[arrival:]:
        changed = len(lines) > arrival and night.kind != "first" and change(agent, night, crowd, rng)
        if changed or night.day >= stale:
            current, stale = as_text(agent.rows(night.day)), agent.stale(night.day)
        lines.append(current)
    return lines


def _member(member: Member, nights: Sequence[Night]) -> list[tuple[str, int]]:
    lines = []
    for night in nights:
        agent = member.nights[min(night.number, 3) - 1]
        lines.append(("", 0) if agent is None else as_text(deepcopy(agent).rows(night.day)))
    return lines


@dataclass(frozen=True, slots=True)
class Written:
    """One feed that was written."""

    night: Night
    path: Path
    rows: int
    people: int


def write_feeds(
    folder: Path, people: int, seed: int, nights: Sequence[Night], cast: Cast | None
) -> list[Written]:
    """Writes `rh-night<N>-<date>.csv` for each night, `establishments.csv`, and with a cast `cast.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    width = len(str(nights[-1].number))
    paths = [folder / f"rh-night{night.number:0{width}d}-{night.day}.csv" for night in nights]
    rows, heads = [0] * len(nights), [0] * len(nights)
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in paths]
        for file in files:
            file.write(";".join(COLUMNS) + "\n")
        for lines in lines_by_night(people, seed, nights, cast):
            for position, (text, count) in enumerate(lines):
                if count:
                    files[position].write(text)
                    rows[position] += count
                    heads[position] += 1
        for file, night, count in zip(files, nights, rows, strict=True):
            file.write(f"#FIN;rows={count};date={night.day}\n")
    with (folder / "establishments.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(";".join(HEADER) + "\n")
        file.writelines(";".join(place.row) + "\n" for place in establishments(how_many(people)))
    written = [Written(*each) for each in zip(nights, paths, rows, heads, strict=True)]
    if cast is not None:
        _write_cast(folder / "cast.json", cast, written, _cut(written[2].path))
    return written


def _cut(path: Path) -> Path:
    """Writes a copy into the folder `cut` that ends in the middle of a row, two thirds down the file."""
    folder = path.parent / "cut"
    folder.mkdir(exist_ok=True)
    remaining = path.stat().st_size * 2 // 3
    with path.open("rb") as source, (folder / path.name).open("wb") as copy:
        while remaining > 0 and (block := source.read(min(remaining, 1 << 20))):
            copy.write(block)
            remaining -= len(block)
        rest = source.readline()
        copy.write(rest + source.readline()[:45])
    return folder / path.name


def _write_cast(path: Path, cast: Cast, written: Sequence[Written], cut: Path) -> None:
    roles: dict[str, object] = {}
    homonyms = [_told_of(member) for member in cast if member.role == "homonym"]
    for member in cast:
        if member.role != "homonym":
            roles[member.role] = _told_of(member)
    roles["homonyms"] = homonyms
    nights = [
        {
            "file": each.path.name,
            "date": str(each.night.day),
            "kind": each.night.kind,
            "rows": each.rows,
            "people": each.people,
        }
        for each in written
    ]
    story = {
        "today": str(cast.today),
        "rentree": str(cast.rentree),
        "nights": nights,
        "cut": f"{cut.parent.name}/{cut.name}",
        "people": roles,
    }
    path.write_text(json.dumps(story, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _told_of(member: Member) -> dict[str, object]:
    agent = member.agent
    return {
        "matricule": agent.matricule,
        "uid": member.uid,
        "address": f"{member.address}@ac-amiens.fr",
        "given_name": agent.given_name,
        "family_name": agent.family_name,
        "usage_name": agent.usage_name,
        "establishments": list(dict.fromkeys(post.uai for post in agent.posts)),
        "dates": {name: str(day) for name, day in member.dates.items()},
    }
