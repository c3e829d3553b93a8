"""One writer at a time: two runs at once, locks of other hosts, and a lock lost in the middle."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import ldap3
import pytest

from tests.outside import ACCOUNTS, identity_dn
from tests.programs import CHECKS_ITS_LOCK_NO_MORE, STOPS_BEFORE_ITS_RECORD

from .moments import AFTER_LOSSES, wait_for_lines, wait_until_it_stands, wait_until_stopped
from .survival import check_directory, check_half, check_journal, check_survived, story
from .world import IN_FLIGHT, LOCK, NEXT, World

OTHER = f"cn=other.example,{identity_dn('nightly')}"
"""The nightly identity of another host."""


def put_lock(world: World, writer: str = OTHER, **changes: Any) -> None:
    """Writes the lock record as a run of another host, which binds as `writer`."""
    now = datetime.now(UTC)
    record = {
        "run": "20260902T010203-abcdef",
        "host": "other.example",
        "pid": 4242,
        "began": 77,
        "who": "piactl",
        "since": now.isoformat(timespec="seconds"),
        "expires": (now + timedelta(seconds=300)).isoformat(),
        **changes,
    }
    data = json.dumps(record, sort_keys=True).encode()
    values = {"piactlData": data, "piactlWriter": writer}
    with world.root() as connection:
        try:
            connection.modify(
                LOCK, {name: [(ldap3.MODIFY_REPLACE, [value])] for name, value in values.items()}
            )
        except ldap3.core.exceptions.LDAPNoSuchObjectResult:
            classes = ["piactlRecord", "piactlRunLock"]
            connection.add(LOCK, attributes={"objectClass": classes, "cn": "lock", **values})


def test_a_second_run_leaves_at_once_and_names_the_first(world: World) -> None:
    plan = world.folder / "plan.json"
    made = world.run(world.command("plan", "--as-of", str(NEXT), *world.feeds, "--out", str(plan)))
    assert made.code == 0, made.said
    began = time.monotonic()
    first = world.spawn(world.night())
    assert wait_for_lines(world, first, 102)
    lock = world.lock()
    assert lock is not None
    # stopped while the others ask, so that the result does not depend on speed
    os.kill(first.pid, signal.SIGSTOP)
    before = world.stamps()
    try:
        for words in (world.night(), world.command("apply", str(plan))):
            late = world.run(words)
            assert late.code == 7, late.said
            assert f"run {lock['run']}" in late.said
            assert f"process {first.pid}" in late.said
            assert lock["host"] in late.said
        # nothing of theirs is written, neither a record nor a line of the journal
        assert world.stamps() == before
    finally:
        os.kill(first.pid, signal.SIGCONT)
    ended = world.wait(first, began)
    assert ended.code == 0, ended.said
    check_directory(world)
    check_journal(world)
    assert len(world.runs()) == 2
    assert world.lock() is None


def pairs(world: World, seed: int, rounds: int) -> Counter[str]:
    """Starts two runs at (nearly) the same moment, `rounds` times; returns how the pairs ended."""
    rng = random.Random(seed)
    ends: Counter[str] = Counter()
    for number in range(rounds):
        world.reset()
        gap = rng.choice([0.0, rng.uniform(0, 0.05)])
        began = time.monotonic()
        first = world.spawn(world.night())
        time.sleep(gap)
        second = world.spawn(world.night())
        both = [world.wait(first, began), world.wait(second, began)]
        codes = sorted(ended.code for ended in both)
        print(f"pair {number}: {gap:.3f} s apart: exit codes {codes}")
        assert codes in ([0, 7], [0, 0]), [ended.said for ended in both]
        ends["collided" if codes == [0, 7] else "one after the other"] += 1
        check_directory(world)
        journalled = check_journal(world)
        assert len({journalled.runs[seq] for seq in journalled.runs}) == 1, "more than one run wrote"
        if codes == [0, 7]:
            loser = next(ended for ended in both if ended.code == 7)
            reasons = ("is writing since", "has just taken the lock", "begins or ends at this moment")
            assert any(reason in loser.said for reason in reasons), loser.said
    print(f"seed {seed}: {dict(ends)}")
    return ends


def test_only_one_of_two_runs_started_at_once_writes(world: World) -> None:
    assert pairs(world, seed=51, rounds=3)["collided"] >= 2


@pytest.mark.long
def test_only_one_of_two_runs_started_at_once_writes_in_many_rounds(world: World, rounds: int) -> None:
    assert pairs(world, seed=1051, rounds=rounds)["collided"] >= 0.7 * rounds


def test_the_lock_of_another_host_holds_until_it_has_expired(world: World) -> None:
    now = datetime.now(UTC)
    put_lock(world)
    before = world.stamps()
    refused = world.run(world.night())
    assert refused.code == 7, refused.said
    assert "run 20260902T010203-abcdef of piactl on other.example (process 4242)" in refused.said
    # the clocks of two hosts differ: the run of a lock that has just expired may still be alive
    put_lock(world, expires=(now - timedelta(seconds=5)).isoformat())
    before = world.stamps()
    assert world.run(world.night()).code == 7
    assert world.stamps() == before
    put_lock(world, expires=(now - timedelta(seconds=300)).isoformat())
    taken = world.run(world.night())
    assert taken.code == 0, taken.said
    assert "took over the lock of run 20260902T010203-abcdef on other.example, which expired" in taken.said
    notes = [line.fields["text"] for line in world.lines() if line.type == "note"]
    assert any("took over the lock" in note for note in notes)
    check_directory(world)


def test_a_run_ends_if_another_takes_over_its_lock_in_mid_run(world: World) -> None:
    began = time.monotonic()
    run = world.spawn(world.night())
    assert wait_for_lines(world, run, 102)
    os.kill(run.pid, signal.SIGSTOP)
    put_lock(world)
    os.kill(run.pid, signal.SIGCONT)
    ended = world.wait(run, began)
    assert ended.code == 7, ended.said
    assert "another run took over the lock" in ended.said
    done = check_half(world)
    # the writes in hand were finished, no others were begun
    assert len(done) < len(world.changed) - 50
    lock = world.lock()
    assert lock is not None, "the lock of the other run was given back by this one"
    assert lock["host"] == "other.example"
    journalled = story(world)
    outcomes = Counter(verdict for verdicts in journalled.verdicts.values() for verdict in verdicts)
    assert outcomes["applied"] == len(done)
    assert outcomes["failed"] == len(journalled.verdicts) - len(done)
    put_lock(world, expires=(datetime.now(UTC) - timedelta(seconds=300)).isoformat())
    check_survived(world)


CLOCK_THAT_JUMPS = """
import os
from datetime import timedelta
import piactl.clock as clock
real = clock.utc_now
clock.utc_now = lambda: real() + timedelta(seconds=400 if os.path.exists("jump") else 0)
"""


def test_a_run_that_slept_longer_than_its_lock_writes_nothing_more(world: World) -> None:
    """As if the machine was suspended in the middle of a batch and another host took over meanwhile."""
    jump = world.folder / "jump"
    began = time.monotonic()
    run = world.spawn(world.night(prelude=CLOCK_THAT_JUMPS))
    try:
        assert wait_for_lines(world, run, AFTER_LOSSES)
        wait_until_it_stands(world, run)
        before = len(check_half(world))
        assert 60 <= before < 160, "the fault came too late: the batch was made"
        jump.touch()
        put_lock(world)
        os.kill(run.pid, signal.SIGCONT)
        ended = world.wait(run, began)
    finally:
        jump.unlink(missing_ok=True)
    assert ended.code == 7, ended.said
    # found by the check before a write, or by the one between the intents of a batch and its first write
    assert "expired before it was renewed" in ended.said or "another run took over the lock" in ended.said
    done = check_half(world)
    # only the writes in flight when it was stopped
    assert before <= len(done) < before + IN_FLIGHT
    journalled = story(world)
    outcomes = Counter(verdict for verdicts in journalled.verdicts.values() for verdict in verdicts)
    assert outcomes == {"applied": len(done), "failed": len(journalled.verdicts) - len(done)}
    put_lock(world, expires=(datetime.now(UTC) - timedelta(seconds=300)).isoformat())
    check_survived(world)


@pytest.mark.parametrize("identity", ["one per host", pytest.param("the same", marks=pytest.mark.long)])
def test_the_server_refuses_a_run_whose_lock_another_identity_took_over(world: World, identity: str) -> None:
    """A run is stopped after it checked its lock, and goes on after another host took over.

    The server cannot tell two hosts with the same identity apart: that is why a takeover from the same
    identity is refused.
    """
    began = time.monotonic()
    run = world.spawn(world.night(prelude=CHECKS_ITS_LOCK_NO_MORE))
    assert wait_for_lines(world, run, 102)
    os.kill(run.pid, signal.SIGSTOP)
    before = len(check_half(world))
    put_lock(world, OTHER if identity == "one per host" else identity_dn("nightly"))
    os.kill(run.pid, signal.SIGCONT)
    ended = world.wait(run, began)
    done = len(check_half(world))
    if identity == "the same":
        assert done == len(world.changed), "the negative control was refused: the test shows nothing"
        return
    assert ended.code == 7, ended.said
    assert "another run took over the lock; the server refused" in ended.said
    # the writes in flight when it was stopped may have been made before the takeover
    assert before <= done < before + IN_FLIGHT
    assert (world.lock() or {})["host"] == "other.example"
    put_lock(world, expires=(datetime.now(UTC) - timedelta(seconds=300)).isoformat())
    check_survived(world)


def test_a_run_whose_record_the_server_refuses_names_the_takeover(world: World) -> None:
    before, began = world.stamps(ACCOUNTS), time.monotonic()
    run = world.spawn(world.night(prelude=STOPS_BEFORE_ITS_RECORD))
    wait_until_stopped(run.pid)
    put_lock(world)
    os.kill(run.pid, signal.SIGCONT)
    ended = world.wait(run, began)
    assert ended.code == 7, ended.said
    assert "another run took over the lock" in ended.said
    assert "Give this identity the right" not in ended.said
    assert world.stamps(ACCOUNTS) == before


def test_a_lock_that_expired_is_not_taken_from_another_host_with_the_same_identity(world: World) -> None:
    """Nor from a clone of this host, which has its name and another boot."""
    expired = (datetime.now(UTC) - timedelta(seconds=300)).isoformat()
    clone = {"host": socket.gethostname(), "place": "another-boot pid:[4026531836]"}
    for facts in ({}, clone):
        put_lock(world, identity_dn("nightly"), expires=expired, **facts)
        before = world.stamps()
        refused = world.run(world.night())
        assert refused.code == 7, refused.said
        assert "that run could still write: it binds as the same identity" in refused.said
        assert f"delete the entry {LOCK}" in refused.said
        assert world.stamps() == before


def test_a_lock_that_this_host_held_before_it_was_started_again_is_taken_over(world: World) -> None:
    """Its journal has the run, and its boot has ended."""
    run = world.spawn(world.night())
    assert wait_for_lines(world, run, 102)
    run.kill()
    run.communicate(timeout=20)
    lock = world.lock()
    assert lock is not None
    expired = (datetime.now(UTC) - timedelta(seconds=300)).isoformat()
    put_lock(world, identity_dn("nightly"), **{**lock, "place": "the-last-boot pid:[1]", "expires": expired})
    check_survived(world)


def test_a_lock_of_an_earlier_version_is_taken_over(world: World) -> None:
    with world.root() as connection:
        expired = (datetime.now(UTC) - timedelta(seconds=300)).isoformat()
        put_lock(world, expires=expired)
        connection.search(LOCK, "(objectClass=*)", ldap3.BASE, attributes=["piactlData"])
        data = connection.response[0]["raw_attributes"]["piactlData"]
        connection.delete(LOCK)
        connection.add(LOCK, attributes={"objectClass": "piactlRecord", "cn": "lock", "piactlData": data})
    taken = world.run(world.night())
    assert taken.code == 0, taken.said
    assert "took over the lock" in taken.said
    check_directory(world)
