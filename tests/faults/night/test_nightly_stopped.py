"""TERM, INT and HUP in the middle of a nightly stop it cleanly. A reader that goes away causes no message."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from .moments import (
    AFTER_LOSSES,
    need_strace,
    signalled,
    some_moment,
    wait_for_lines,
    wait_until_it_listens,
    wait_until_it_stands,
)
from .survival import check_half, check_journal, check_nothing_left_to_do, check_survived, story
from .world import IN_FLIGHT, World

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stopped(world: World, seed: int, rounds: int) -> Counter[str]:
    """Sends a signal at a random moment, `rounds` times; returns how the runs ended."""
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    for number in range(rounds):
        world.reset()
        asked = ASKING[number % len(ASKING)]
        began = time.monotonic()
        run = world.spawn(world.night())
        wait_until_it_listens(run)
        moment = some_moment(world, run, rng)
        run.send_signal(asked)
        sent = time.monotonic()
        ended = world.wait(run, began)
        done = check_half(world)
        journalled = story(world)
        assert world.lock() is None, "the lock was not given back"
        # what was made is journalled as made, the rest as not made; nothing is in doubt
        assert all(len(verdicts) == 1 for verdicts in journalled.verdicts.values())
        assert set(journalled.written) == done
        records = [r for r in world.runs().values() if r["as_of"] == "2026-09-02"]
        if ended.code == 5:
            name = "stopped"
            assert [r["status"] for r in records] == ["stopped"]
            assert asked.name in records[0]["note"]
            made = records[0]["outcomes"].get("applied", 0)
            assert re.search(rf"run {records[0]['run']}: stopped: {made} of \d\d+ written", ended.out)
        elif ended.code == 0:
            name = "came too late"
            check_journal(world)
        else:
            # after its last message a run no longer handles signals, so the process may be killed
            name = "came after the end"
            assert ended.code == -asked or ended.code == 130, (ended.code, ended.said)
            assert [r["status"] for r in records] == ["done"]
        ends[name] += 1
        print(
            f"{number}: {asked.name} {moment}: {name}, exit {ended.code} "
            f"{time.monotonic() - sent:.2f} s later, {len(done)} of {len(world.changed)} made"
        )
        check_survived(world)
    print(f"seed {seed}: {dict(ends)}")
    return ends


def test_a_signal_at_a_random_moment_stops_a_nightly_cleanly(world: World) -> None:
    # how many come in time depends on the load of the machine; the test below stops a run for certain
    assert stopped(world, seed=71, rounds=3)["stopped"] >= 1
    check_nothing_left_to_do(world)


@pytest.mark.long
def test_signals_at_many_random_moments_stop_a_nightly_cleanly(world: World, rounds: int) -> None:
    assert stopped(world, seed=1071, rounds=rounds)["stopped"] >= 0.65 * rounds


def test_a_signal_lets_writes_in_flight_end_and_begins_no_others(world: World) -> None:
    began = time.monotonic()
    run = world.spawn(world.night())
    assert wait_for_lines(world, run, AFTER_LOSSES)
    wait_until_it_stands(world, run)
    before = len(check_half(world))
    assert 60 <= before < 160, "the signal came too late: the batch was made"
    run.send_signal(signal.SIGTERM)
    os.kill(run.pid, signal.SIGCONT)
    ended = world.wait(run, began)
    assert ended.code == 5, ended.said
    done = check_half(world)
    assert before <= len(done) < before + IN_FLIGHT
    journalled = story(world)
    outcomes = Counter(verdict for verdicts in journalled.verdicts.values() for verdict in verdicts)
    assert outcomes == {"applied": len(done), "failed": len(journalled.verdicts) - len(done)}
    check_survived(world)


def test_a_signal_before_the_run_begins_leaves_no_trace(world: World) -> None:
    need_strace(of_paths=True)
    before = world.stamps()
    for asked in ASKING:
        # as soon as piactl itself runs: it opens its configuration
        code, out = signalled(world, asked, "openat", 1, path=world.config)
        assert f"--- {asked.name} " in (world.folder / "strace.log").read_text()
        assert out == ""
        assert code in ((-asked, 130) if asked is signal.SIGINT else (-asked,))
    assert world.stamps() == before
    assert world.lines() == []


def test_a_nightly_completes_though_nobody_reads_its_output(world: World) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.Popen(
            world.night(),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            cwd=world.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "LANG": "C"},
        )
        assert process.wait(timeout=60) == 0
    finally:
        os.close(writing)
    assert check_half(world) == world.changed
    check_journal(world)
    assert world.lock() is None
