"""Complete sets and deltas of AAF in every order of delivery: the result is that of the right order, and each
refusal on the way has a reason.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import record_of
from piactl.core.plan.state_between_runs import Memory, SourceMemory
from piactl.errors import FeedRefused, FeedsRefused
from piactl.feed.formats.all_formats import _kept as translated_sets
from piactl.feed.read_feed import read_feed
from piactl.planning.load_feeds import check_limits, keep_sets, read_feeds
from tests.aaf_sets import Agent, changes, delta, files, zipped

from .test_aaf_deltas import CLAIRE, IDA, ZOE, population, said

MONDAY = date(2026, 9, 7)
WHY = {"missing-delta", "no-complete-set", "older", "doubled-delta"}
"""The codes with which a set may be refused because of its order."""
People = dict[str, Person]


class Host:
    """A host whose nights apply what was delivered: all of it together, or nothing."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir(mode=0o700)
        source = SourceSettings("aaf", format="aaf", namespace="aaf", state_folder=str(folder))
        self.source = replace(source, **settings)  # type: ignore[arg-type]
        self.memory = Memory()
        self.waiting: list[Path] = []
        self.people: People = {}
        self.why: list[str] = []

    def night(self, delivered: Iterable[Path]) -> None:
        """Feeds refused as older or doubled are dropped; others that are refused wait for the next night."""
        translated_sets.clear()  # each night is a separate process
        self.waiting += delivered
        while self.waiting:
            try:
                feeds = read_feeds([str(path) for path in self.waiting], {"aaf": self.source})
                check_limits(feeds, self.memory, {}, MONDAY, ())
            except (FeedRefused, FeedsRefused) as error:
                refused = error.errors if isinstance(error, FeedsRefused) else [error]
                self.why += [code for refused_feed in refused for code, _ in refused_feed.refusals]
                older = {
                    Path(refused_feed.file)
                    for refused_feed in refused
                    if {code for code, _ in refused_feed.refusals} & {"older", "doubled-delta"}
                }
                self.waiting = [path for path in self.waiting if path not in older]
                if older:
                    continue
                return
            for sourced in feeds:
                before = self.memory.sources.get("aaf")
                facts = sourced.feed.facts
                record = record_of(facts, facts.date, before.record if before else None)
                applied = (*(before.applied if before else ()), facts.digest)
                self.memory = Memory(sources={"aaf": SourceMemory(record, applied=applied)})
                self.people = said(sourced.feed)
            keep_sets(feeds, pytest.fail)
            self.waiting = []


def deliveries(folder: Path, sorts: str, seed: int) -> tuple[list[Path], People]:
    """Sets of consecutive days, C for complete and D for delta, and the people at the end."""
    chance, people, paths = random.Random(seed), [CLAIRE, ZOE, IDA, Agent("509", given="Ève", sn="ROUX")], []
    folder.mkdir()
    for number, sort in enumerate(sorts):
        day = f"{MONDAY + timedelta(number):%Y%m%d}"
        # all birth dates differ, so that no two people count as one person
        after = [
            replace(
                agent,
                birth=f"{int(agent.id) % 28 + 1:02}/0{int(agent.id) % 9 + 1}/{1950 + int(agent.id) % 50}",
            )
            for agent in (population(chance, people, number) if number else people)
        ]
        contents = files(after, day) if sort == "C" else delta(changes(people, after), day)
        word = "Complet" if sort == "C" else "Delta"
        paths.append(zipped(folder / f"ENT2DVA_{word}_{day}.zip", contents))
        people = after
    complete = zipped(folder / f"whole_{day}.zip", files(people, day))
    return paths, said(read_feed(complete, SourceSettings("whole", format="aaf", namespace="aaf")))


@pytest.mark.parametrize(
    "sorts", ["CDDD", "CDCD", pytest.param("CDDCD", marks=pytest.mark.long)], ids=lambda sorts: sorts
)
def test_one_set_a_night_in_any_order_gives_the_same_people(tmp_path: Path, sorts: str) -> None:
    paths, end = deliveries(tmp_path / "sets", sorts, seed=3)
    for number, order in enumerate(permutations(paths)):
        host = Host(tmp_path / f"{number}")
        for path in order:
            host.night([path])
        assert host.people == end, [path.name for path in order]
        assert {*host.why} <= WHY
        assert host.waiting == []


@pytest.mark.parametrize("seed", range(8))
def test_sets_in_batches_and_repeated_give_the_same_people(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    paths, end = deliveries(tmp_path / "sets", "C" + "".join(chance.choices("DDDC", k=5)), seed)
    host = Host(tmp_path / "host")
    remaining: Sequence[Path] = chance.sample([*paths, *chance.choices(paths, k=3)], len(paths) + 3)
    while remaining:
        size = chance.randint(1, 3)
        host.night(dict.fromkeys(remaining[:size]))
        remaining = remaining[size:]
    # the feeds that an earlier refusal of a whole night left behind
    host.night(dict.fromkeys(paths))
    assert host.people == end
    assert {*host.why} <= WHY
