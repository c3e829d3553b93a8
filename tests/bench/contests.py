"""Contests: contenders do the same work in turn, for several rounds, and the cost of each is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.measuring import Sample, measure
from bench.profiled import MARK
from bench.servers import Server

Say = Callable[[str], None]

GOALS_FROM = 36_000
"""The number of people from which on goals in ratios are judged."""

_TOLD = 0.5  # seconds from which on a command is worth a line of progress


@dataclass(frozen=True, slots=True)
class Goal:
    """At most `limit` of `what`: `ratio` (wall clock, in multiples of the reference), `all` (CPU of both
    sides, in multiples of the reference), `cpu` (seconds), `beyond` or `cpu beyond` (seconds of wall clock or
    of the client's CPU beyond the sum of the contenders `beside`).

    `quiet`: also, no entry is written. `memory`: also, at most this many MiB at the peak.
    """

    limit: float
    what: str = "ratio"
    quiet: bool = False
    beside: tuple[str, ...] = ()
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. `command` returns its words when its turn comes; `before` prepares it, `after`
    cleans up, and neither of the two is measured."""

    name: str
    command: Callable[[], Sequence[str]]
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    goal: Goal | None = None


@dataclass(slots=True)
class Result:
    """What a contender's rounds cost."""

    name: str
    goal: Goal | None
    samples: list[Sample] = field(default_factory=list)

    def middle(self, figure: str) -> float:
        """The median of one of the figures of `Sample`."""
        return median(float(getattr(sample, figure)) for sample in self.samples)

    def ends(self, figure: str) -> tuple[float, float]:
        """The lowest and the highest value of that figure."""
        values = [float(getattr(sample, figure)) for sample in self.samples]
        return min(values), max(values)


@dataclass(slots=True)
class Contest:
    """One case on one directory; `reference` is the contender that the others are compared with."""

    case: str
    place: str
    people: int
    reference: str
    results: list[Result] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)
    """Where the CPU of contenders goes, if that was asked for."""

    def result(self, name: str) -> Result:
        return next(result for result in self.results if result.name == name)

    def ratio(self, result: Result, figure: str) -> float:
        """The median over the rounds of the ratio to the reference in the same round. A machine that is
        sometimes busy distorts this less than a ratio of medians. `figure` is `wall` or `all` (CPU of both
        sides).
        """
        pairs = zip(result.samples, self.result(self.reference).samples, strict=True)
        return median(_figure(mine, figure) / max(_figure(theirs, figure), 1e-3) for mine, theirs in pairs)

    def judged(self, result: Result) -> bool:
        """Whether the contender has a goal that is meant for this number of people: with few people, ratios
        show only how long the programs take to start."""
        return result.goal is not None and (result.goal.what == "cpu" or self.people >= GOALS_FROM)

    def beyond(self, result: Result, names: Sequence[str], figure: str) -> float:
        """The median over the rounds of the seconds beyond the sum of these contenders. `figure` is `wall` or
        `cpu`."""
        others = [self.result(name).samples for name in names]
        sums = (sum(_figure(sample, figure) for sample in samples) for samples in zip(*others, strict=True))
        return median(
            _figure(mine, figure) - theirs for mine, theirs in zip(result.samples, sums, strict=True)
        )

    def met(self, result: Result) -> bool | None:
        """Whether the contender's goal was met; None if it is not judged."""
        if result.goal is None or not self.judged(result):
            return None
        goal = result.goal
        if goal.quiet and any(sample.writes for sample in result.samples):
            return False
        if goal.memory is not None and result.middle("peak") > goal.memory:
            return False
        if goal.what.endswith("beyond"):
            figure = "cpu" if goal.what == "cpu beyond" else "wall"
            return self.beyond(result, goal.beside, figure) <= goal.limit
        if goal.what == "all":
            return self.ratio(result, "all") <= goal.limit
        return (result.middle("cpu") if goal.what == "cpu" else self.ratio(result, "wall")) <= goal.limit


def hold(
    contest: Contest, contenders: Sequence[Contender], runs: int, log: Path, server: Server, say: Say
) -> None:
    """Runs all contenders in turn, for `runs` rounds, every second round in reverse order. Raises
    CommandFailed if one does not do its work."""
    contest.results = [Result(contender.name, contender.goal) for contender in contenders]
    for number in range(1, runs + 1):
        turns = list(zip(contenders, contest.results, strict=True))
        for contender, result in turns if number % 2 else reversed(turns):
            contender.before()
            sample = measure(contender.command(), log, server)
            contender.after()
            result.samples.append(sample)
            if sample.wall >= _TOLD:
                say(f"  {contest.case}, {contest.place}, {number}: {contender.name}: {sample.wall:.1f} s")


def profile(
    contest: Contest, contenders: Sequence[Contender], piactl: str, log: Path, server: Server, say: Say
) -> None:
    """Runs the contenders that are piactl once more, under a profiler."""
    for contender in contenders:
        contender.before()
        words = contender.command()
        if words[0] == piactl:
            say(f"  {contest.case}, {contest.place}, profile of {contender.name}")
            measure([sys.executable, "-m", "bench.profiled", *words[1:]], log, server)
            contest.profiles[contender.name] = log.read_text(encoding="utf-8").partition(MARK)[2].strip("\n")


def _figure(sample: Sample, figure: str) -> float:
    return sample.cpu + sample.slapd if figure == "all" else float(getattr(sample, figure))
