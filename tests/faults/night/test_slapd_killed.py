"""The server dies while a nightly writes: nothing acknowledged is lost, every doubt is resolved."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from .moments import wait_into_batch
from .survival import check_half, check_survived, story
from .world import IN_FLIGHT, World

LIMIT = 40.0
"""Seconds within which a run has to end, whatever becomes of the server: four tries to read one write back,
and the end of the run, each within the 5 seconds of one operation."""
ENOUGH = 20
"""The number of rounds from which on each way to end must occur."""


def kill_the_server(world: World, seed: int, rounds: int) -> Counter[str]:
    """kill -9 of slapd during the writes of a night, `rounds` times; returns how the runs ended."""
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    resolved = 0
    for number in range(rounds):
        world.reset()
        began = time.monotonic()
        run = world.spawn(world.night())
        # at a random moment of the writes; it is back after a while, or only when the run has given up
        batch, back = rng.randint(1, 3), rng.choice([0.0, rng.uniform(0, 2), None])
        wait_into_batch(world, run, batch * 200 - 98, rng)
        struck = run.poll() is None
        world.kill_slapd()
        if back is not None:
            time.sleep(back)
            world.start_slapd()
        ended = world.wait(run, began)
        assert ended.seconds < LIMIT, f"exit {ended.code} after {ended.seconds:.0f} s"
        if back is None:
            world.start_slapd()
        assert ended.code in (0, 8), ended.said
        done = check_half(world)
        journalled = story(world)
        lost = journalled.written.keys() - done
        assert not lost, f"acknowledged and not there: {sorted(lost)[:3]}"
        if ended.code == 0:
            assert done == world.changed
        open_ = sum(1 for verdicts in journalled.verdicts.values() if not verdicts)
        assert open_ <= IN_FLIGHT, f"{open_} writes in doubt, {IN_FLIGHT} were on their way"
        name = f"exit {ended.code}" if struck else "too late"
        ends[name] += 1
        shown = f"back after {back:.2f} s" if back is not None else "back after the run"
        print(f"{number}: {shown}: {name}, {len(done)} of {len(world.changed)} made, {open_} in doubt")
        run_ = world.lock()
        resolved += check_survived(world, str(run_["run"]) if run_ else "").resolved
    print(f"seed {seed}: {dict(ends)}, {resolved} doubts resolved by the next run")
    return ends


@pytest.mark.long
def test_many_nights_whose_slapd_is_killed_lose_nothing_acknowledged(world: World, rounds: int) -> None:
    """Each way in which a run can end occurs often enough, if there are enough rounds: with few, one of them
    may be missing by chance."""
    ends = kill_the_server(world, seed=1061, rounds=rounds)
    assert ends["too late"] <= max(0.2 * rounds, min(1, rounds - 1))
    if rounds >= ENOUGH:
        assert ends["exit 0"] >= 0.08 * rounds
        assert ends["exit 8"] >= 0.08 * rounds


def test_a_directory_that_is_full_stops_the_run_with_the_advice(world: World) -> None:
    # without this, the free pages in the file would have room for the whole night
    world.rewrite_database()
    size = (world.folder / "slapd" / "data" / "data.mdb").stat().st_size
    world.server_settings(maxsize=str(size + 96 * 4096))
    ended = world.run(world.night())
    assert ended.code == 1, (ended.code, ended.said)
    assert "other (80)" in ended.said
    assert "free disk space and at `maxsize` of mdb" in ended.said
    done = check_half(world)
    print(f"full after {len(done)} of {len(world.changed)} writes")
    assert 0 < len(done) < len(world.changed)
    journalled = story(world)
    assert set(journalled.written) == done
    assert all(len(verdicts) == 1 for verdicts in journalled.verdicts.values())
    # the directory is still full: the run stops again and makes nothing worse
    again = world.run(world.night())
    assert again.code == 1, (again.code, again.said)
    assert check_half(world) >= done
    lock = world.lock()
    world.server_settings(maxsize=str(4 << 30))
    check_survived(world, str(lock["run"]) if lock else "")


def test_a_read_only_server_is_refused_before_the_first_write(world: World) -> None:
    world.server_settings(readonly="on")
    before = world.stamps()
    ended = world.run(world.night())
    assert ended.code == 8, (ended.code, ended.said)
    assert "read-only" in ended.said
    assert "name the server that accepts writes" in ended.said
    assert world.stamps() == before
    assert world.lines() == []
    world.server_settings(readonly="")
    check_survived(world)
