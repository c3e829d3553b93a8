"""kill -9 of a nightly at any moment, then one more run: the result is that of an undisturbed night."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from .moments import calls_of, killed_at, need_strace
from .survival import check_half, check_survived
from .world import World


def killed_run(world: World) -> str:
    """The run that held the lock when it died, "" if it died without it."""
    lock = world.lock()
    return str(lock["run"]) if lock else ""


def where(world: World, done: set[str]) -> str:
    """How far the run had come, in words, for counting."""
    status = [r["status"] for r in world.runs().values() if r["as_of"] != "2026-08-22"]
    if world.lock() is None:
        return "after" if status else "before the lock"
    if not done:
        return "planning" if not status else "before the first write"
    return "writing" if len(done) < len(world.changed) else "records"


def writing(calls: list[tuple[str, int]]) -> range:
    """The positions of the calls from the renaming of a file before the first batch up to the last two syncs
    of the journal, which end the run."""
    names = [name for name, _ in calls]
    synced = [index for index, name in enumerate(names) if name == "fdatasync"]
    return range(names.index("rename"), synced[-3])


@pytest.mark.long
def test_a_small_night_killed_at_its_system_calls_is_completed(world: World, rounds: int) -> None:
    """Five arrivals of one feed and what the date makes due, killed before each call in turn, or before some
    of them if there are fewer than a hundred rounds. Each write waits for the answer to the one before, so
    that many calls lie between the first write and the last."""
    need_strace()
    small = replace(world, feeds=world.feeds[1:])
    config = small.configure("one_by_one.yaml", directory__in_flight=1)
    calls = calls_of(small, config)
    if rounds < 100:
        rng, most = random.Random(1044), 5 * rounds
        while_writing = [calls[index] for index in writing(calls)]
        chosen = rng.sample(while_writing, min(len(while_writing), most // 2))
        rest = [call for call in calls if call not in chosen]
        calls = chosen + rng.sample(rest, min(len(rest), most - len(chosen)))
    small.expect()
    print(f"{len(small.changed)} changes, {len(calls)} calls")
    assert 5 < len(small.changed) < 100
    missed, places = Counter[str](), Counter[str]()
    for call, number in calls:
        small.reset()
        struck = killed_at(small, call, number, config)
        run, done = killed_run(small), check_half(small)
        assert struck or done == small.changed, f"{call} {number}: neither killed nor done"
        place = where(small, done)
        journalled = check_survived(small, run)
        print(f"{call} {number}: struck={struck} {place}, {len(done)} made, {journalled.resolved} resolved")
        missed[call] += not struck
        places[place] += struck
    print(f"{len(calls) - missed.total()} of {len(calls)} calls, {dict(places)}, missed {+missed}")
    # a long answer may come in fewer pieces than the first time
    assert not set(+missed) - {"recvfrom"}
    assert missed["recvfrom"] <= 0.2 * len(calls)
    assert places["writing"] >= min(10, 0.1 * len(calls))
