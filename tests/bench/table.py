"""What was measured, as tables for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from bench.cases import DUMP, NARROW
from bench.contests import GOALS_FROM, Contest, Goal, Result

MOST_MEMORY = 1024.0
MOST_PER_PERSON = 1.1
_COLUMNS = ("", "wall s", "least..most", "CPU s", "slapd s", "MiB", "written", "x wall", "x CPU", "goal")


def tables(machine: Mapping[str, Any], contests: Sequence[Contest]) -> Iterator[str]:
    """The whole output, piece by piece."""
    yield "  ".join(f"{name}: {value}" for name, value in machine.items()) + "\n"
    for contest in contests:
        yield f"\n{contest.case}, {contest.people:,} people, {contest.place}\n"
        if contest.note:
            yield f"piactl: {contest.note}\n"
        shown = sorted(contest.results, key=lambda one: one.name != contest.reference)
        rows = [_row(contest, one) for one in shown]
        yield tabulate(rows, _COLUMNS, disable_numparse=True, colalign=_align(len(_COLUMNS))) + "\n"
        for name, lines in contest.profiles.items():
            yield f"\n{contest.case}, {contest.people:,} people: the CPU of {name}\n{lines}\n"
    found = sizes(contests)
    if found:
        yield "\nnothing to do, by size\n"
        columns = ("people", "", "people/s", "CPU us/person", "MiB", "x per person", "exponent", "goal")
        rows = [_size_row(one) for one in found]
        yield tabulate(rows, columns, disable_numparse=True, colalign=("right", *_align(7))) + "\n"
    yield (
        "\nMedians of the rounds. x: times the first line, each round compared with itself; "
        "CPU s: of the client; x CPU: of client and slapd together.\n"
    )


def goals(contests: Sequence[Contest]) -> Iterator[str]:
    """The goals, and what was found, as a table of Markdown."""
    yield "| work | people | found | beside | goal |\n|---|---|---|---|---|\n"
    for contest in contests:
        for one in contest.results:
            if one.goal is None:
                continue
            costs = f"{_seconds(one.middle('wall'))} s ({_seconds(one.middle('cpu'))} s of CPU, "
            costs += f"slapd {_seconds(one.middle('slapd'))} s, {one.middle('peak'):.0f} MiB)"
            beside = (
                f"{contest.reference}: {contest.ratio(one, 'wall'):.2f}, CPU {contest.ratio(one, 'all'):.2f}"
            )
            goal = _goal(one.goal, contest.met(one))
            yield f"| {contest.case}: {one.name} | {contest.people:,} | {costs} | {beside} | {goal} |\n"


def document(machine: Mapping[str, Any], contests: Sequence[Contest]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "machine": dict(machine),
        "cases": [_contest(contest) for contest in contests],
        "sizes": sizes(contests),
    }


def sizes(contests: Sequence[Contest]) -> list[dict[str, Any]]:
    """Nights with nothing to do at each size. `times`: CPU per person, in times of the 36,000 or, without
    them, of the smallest; `exponent`: the power of people that the time follows since the size before."""
    nights = [c for c in contests if c.case == "nothing to do"]
    nights.sort(key=lambda contest: contest.people)
    base = next((c for c in nights if c.people == GOALS_FROM), nights[0] if nights else None)
    found = []
    for before, contest in zip([None, *nights], nights, strict=False):
        for one in contest.results:
            if base is None or one.name in (DUMP, NARROW):
                continue
            cpu, people = one.middle("cpu"), contest.people
            times = _per_person(contest, one) / _per_person(base, base.result(one.name))
            met = one.middle("peak") <= MOST_MEMORY
            met = met and (people <= base.people or times <= MOST_PER_PERSON)
            earlier = before.result(one.name).middle("cpu") if before else None
            exponent = (
                math.log(cpu / earlier) / math.log(people / before.people)
                if before and earlier and people != before.people
                else None
            )
            found.append(
                {
                    "people": people,
                    "contender": one.name,
                    "people_per_second": people / one.middle("wall"),
                    "cpu_us_per_person": 1e6 * cpu / people,
                    "peak_mib": one.middle("peak"),
                    "times": times,
                    "exponent": exponent,
                    "met": met,
                }
            )
    return found


def _per_person(contest: Contest, one: Result) -> float:
    return one.middle("cpu") / contest.people


def _row(contest: Contest, one: Result) -> list[str]:
    least, most = one.ends("wall")
    lag = one.middle("lag")
    written = f"{one.middle('writes'):.0f}" + (f" (+{lag:.1f} s)" if lag > 0.1 else "")
    return [
        one.name,
        _seconds(one.middle("wall")),
        f"{_seconds(least)}..{_seconds(most)}",
        _seconds(one.middle("cpu")),
        _seconds(one.middle("slapd")),
        f"{one.middle('peak'):.0f}",
        written,
        f"{contest.ratio(one, 'wall'):.2f}",
        f"{contest.ratio(one, 'all'):.2f}",
        _goal(one.goal, contest.met(one)),
    ]


def _goal(goal: Goal | None, met: bool | None) -> str:
    if goal is None:
        return ""
    units = {"cpu": " s of CPU", "all": " x CPU", "beyond": f" s beyond {' + '.join(goal.beside)}"}
    limit = f"<= {goal.limit:g}" + units.get(goal.what, "")
    limit += f", {goal.client:g} s of CPU" if goal.client is not None else ""
    limit += f", {goal.slapd:g} s of slapd" if goal.slapd is not None else ""
    limit += f", {goal.memory:g} MiB" if goal.memory is not None else ""
    limit += ", none written" if goal.quiet else ""
    return f"{limit} at {GOALS_FROM:,}" if met is None else f"{limit}: {_word(met)}"


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def _size_row(one: Mapping[str, Any]) -> list[str]:
    exponent = one["exponent"]
    return [
        f"{one['people']:,}",
        one["contender"],
        f"{one['people_per_second']:,.0f}",
        f"{one['cpu_us_per_person']:.0f}",
        f"{one['peak_mib']:.0f}",
        f"{one['times']:.2f}",
        "" if exponent is None else f"{exponent:.2f}",
        f"<= {MOST_PER_PERSON} and {MOST_MEMORY:.0f} MiB: {_word(one['met'])}",
    ]


def _align(columns: int) -> tuple[str, ...]:
    return ("left", *["right"] * (columns - 2), "left")


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _contest(contest: Contest) -> dict[str, Any]:
    return {
        "case": contest.case,
        "place": contest.place,
        "people": contest.people,
        "reference": contest.reference,
        "note": contest.note,
        "profiles": contest.profiles,
        "contenders": [_contender(contest, one) for one in contest.results],
    }


def _contender(contest: Contest, one: Result) -> dict[str, Any]:
    figures = ("wall", "cpu", "slapd", "peak", "writes", "lag")
    return {
        "name": one.name,
        "median": {name: one.middle(name) for name in figures},
        "times_wall": contest.ratio(one, "wall"),
        "times_cpu": contest.ratio(one, "all"),
        "goal": None if one.goal is None else {**asdict(one.goal), "met": contest.met(one)},
        "rounds": [asdict(sample) for sample in one.samples],
    }
