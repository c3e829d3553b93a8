"""The measurements as tables for people and as JSON."""

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
        shown = sorted(contest.results, key=lambda result: result.name != contest.reference)
        rows = [_row(contest, result) for result in shown]
        yield tabulate(rows, _COLUMNS, disable_numparse=True, colalign=_align(len(_COLUMNS))) + "\n"
        for name, lines in contest.profiles.items():
            yield f"\n{contest.case}, {contest.people:,} people: the CPU of {name}\n{lines}\n"
    size_rows = sizes(contests)
    if size_rows:
        yield "\nnothing to do, by size\n"
        columns = ("people", "", "people/s", "CPU us/person", "MiB", "x per person", "exponent", "goal")
        rows = [_size_row(size) for size in size_rows]
        yield tabulate(rows, columns, disable_numparse=True, colalign=("right", *_align(7))) + "\n"
    yield (
        "\nMedians of the rounds. x: times the first line, each round compared with itself; "
        "CPU s: of the client; x CPU: of client and slapd together.\n"
    )


def goals(contests: Sequence[Contest]) -> Iterator[str]:
    """The goals and the results as a Markdown table."""
    yield "| work | people | found | beside | goal |\n|---|---|---|---|---|\n"
    for contest in contests:
        for result in contest.results:
            if result.goal is None:
                continue
            costs = f"{_seconds(result.middle('wall'))} s ({_seconds(result.middle('cpu'))} s of CPU, "
            costs += f"slapd {_seconds(result.middle('slapd'))} s, {result.middle('peak'):.0f} MiB)"
            beside = (
                f"{contest.reference}: {contest.ratio(result, 'wall'):.2f}, "
                f"CPU {contest.ratio(result, 'all'):.2f}"
            )
            goal = _goal(result.goal, contest.met(result))
            yield f"| {contest.case}: {result.name} | {contest.people:,} | {costs} | {beside} | {goal} |\n"


def document(machine: Mapping[str, Any], contests: Sequence[Contest]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "machine": dict(machine),
        "cases": [_contest(contest) for contest in contests],
        "sizes": sizes(contests),
    }


def sizes(contests: Sequence[Contest]) -> list[dict[str, Any]]:
    """Nights with nothing to do at each size. `times`: CPU per person, in multiples of the value at 36,000
    people or, without this size, at the smallest; `exponent`: the power of the number of people with which
    the time has grown since the size before."""
    nights = [c for c in contests if c.case == "nothing to do"]
    nights.sort(key=lambda contest: contest.people)
    base = next((c for c in nights if c.people == GOALS_FROM), nights[0] if nights else None)
    rows = []
    for before, contest in zip([None, *nights], nights, strict=False):
        for result in contest.results:
            if base is None or result.name in (DUMP, NARROW):
                continue
            cpu, people = result.middle("cpu"), contest.people
            times = _per_person(contest, result) / _per_person(base, base.result(result.name))
            met = result.middle("peak") <= MOST_MEMORY
            met = met and (people <= base.people or times <= MOST_PER_PERSON)
            earlier = before.result(result.name).middle("cpu") if before else None
            exponent = (
                math.log(cpu / earlier) / math.log(people / before.people)
                if before and earlier and people != before.people
                else None
            )
            rows.append(
                {
                    "people": people,
                    "contender": result.name,
                    "people_per_second": people / result.middle("wall"),
                    "cpu_us_per_person": 1e6 * cpu / people,
                    "peak_mib": result.middle("peak"),
                    "times": times,
                    "exponent": exponent,
                    "met": met,
                }
            )
    return rows


def _per_person(contest: Contest, result: Result) -> float:
    return result.middle("cpu") / contest.people


def _row(contest: Contest, result: Result) -> list[str]:
    least, most = result.ends("wall")
    lag = result.middle("lag")
    written = f"{result.middle('writes'):.0f}" + (f" (+{lag:.1f} s)" if lag > 0.1 else "")
    return [
        result.name,
        _seconds(result.middle("wall")),
        f"{_seconds(least)}..{_seconds(most)}",
        _seconds(result.middle("cpu")),
        _seconds(result.middle("slapd")),
        f"{result.middle('peak'):.0f}",
        written,
        f"{contest.ratio(result, 'wall'):.2f}",
        f"{contest.ratio(result, 'all'):.2f}",
        _goal(result.goal, contest.met(result)),
    ]


def _goal(goal: Goal | None, met: bool | None) -> str:
    if goal is None:
        return ""
    beyond = f"beyond {' + '.join(goal.beside)}"
    units = {
        "cpu": " s of CPU", "all": " x CPU", "beyond": f" s {beyond}", "cpu beyond": f" s of CPU {beyond}"
    }  # fmt: skip
    limit = f"<= {goal.limit:g}" + units.get(goal.what, "")
    limit += f", {goal.memory:g} MiB" if goal.memory is not None else ""
    limit += ", none written" if goal.quiet else ""
    return f"{limit} at {GOALS_FROM:,}" if met is None else f"{limit}: {_word(met)}"


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def _size_row(size: Mapping[str, Any]) -> list[str]:
    exponent = size["exponent"]
    return [
        f"{size['people']:,}",
        size["contender"],
        f"{size['people_per_second']:,.0f}",
        f"{size['cpu_us_per_person']:.0f}",
        f"{size['peak_mib']:.0f}",
        f"{size['times']:.2f}",
        "" if exponent is None else f"{exponent:.2f}",
        f"<= {MOST_PER_PERSON} and {MOST_MEMORY:.0f} MiB: {_word(size['met'])}",
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
        "profiles": contest.profiles,
        "contenders": [_contender(contest, result) for result in contest.results],
    }


def _contender(contest: Contest, result: Result) -> dict[str, Any]:
    figures = ("wall", "cpu", "slapd", "peak", "writes", "lag")
    return {
        "name": result.name,
        "median": {name: result.middle(name) for name in figures},
        "times_wall": contest.ratio(result, "wall"),
        "times_cpu": contest.ratio(result, "all"),
        "goal": None if result.goal is None else {**asdict(result.goal), "met": contest.met(result)},
        "rounds": [asdict(sample) for sample in result.samples],
    }
