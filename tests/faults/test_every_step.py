"""A night stands still at any of its requests while another host takes its lock over, or while its server is
lost and an operator changes the list. Nothing stale is written; the end is that of an undisturbed night.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.outside import ACCOUNTS

from .night.moments import wait_until_stopped
from .providers.pair import Pair
from .test_killed_in_mid_import import LAGS, accept, check, fail_over, finished, unanswered
from .test_one_writer import ANOTHER_HOST, another_host, kept

COUNTED = """
import os, signal, socket
sendall, send, sent, stop_at = socket.socket.sendall, socket.socket.send, [0], {at}
def step():
    sent[0] += 1
    if sent[0] == stop_at:
        os.kill(os.getpid(), signal.SIGSTOP)
def stopping_sendall(self, *data):
    step()
    return sendall(self, *data)
def stopping_send(self, *data):
    step()
    return send(self, *data)
socket.socket.sendall, socket.socket.send = stopping_sendall, stopping_send
"""
SAID = """
import atexit, sys
atexit.register(lambda: print("requests:", sent[0], file=sys.stderr))
"""


def requests_of(pair: Pair) -> int:
    """How many times an undisturbed night sends requests, at most 64 of them at a time."""
    ended = finished(pair, COUNTED.format(at=0) + SAID)
    return int(ended.said.rpartition("requests: ")[2].split()[0])


def stopped_at(pair: Pair, steps: list[int], rng: random.Random, *, takes_over: bool) -> None:
    counts: Counter[str] = Counter()
    for step in steps:
        pair.reset()
        other = another_host(pair, [*pair.servers]) if takes_over else None
        pair.lag(rng.choice(LAGS))
        began = time.monotonic()
        run = pair.one.spawn(pair.one.night(config=pair.config, prelude=COUNTED.format(at=step)))
        before: frozenset[tuple[str, bytes]] = frozenset()
        try:
            wait_until_stopped(run.pid)
            if other is None:
                pair.one.kill_slapd()
            else:
                taken = pair.one.run(pair.one.night(config=other, prelude=ANOTHER_HOST))
                assert taken.code == 0, f"step {step}: {taken.said}"
                before = kept(pair)
        finally:
            os.kill(run.pid, signal.SIGCONT)
        ended = pair.one.wait(run, began)
        counts[f"exit {ended.code}"] += 1
        if other is None:
            # 0: only the release of the lock was left to do
            assert ended.code in (0, 8), f"step {step}: {ended.said}"
            accepted = fail_over(pair)
            counts["accepted"] += accepted
            pair.come_back(in_turn=rng.random() < 0.5)
            accept(pair, pair.config)
            finished(pair)
            context = f"server lost before request {step}"
            check(pair, context, unanswered(pair), accepted=accepted)
        else:
            # 0: it had not taken the lock yet, and nothing was left to do; 1: everything was written before;
            # 8: the answer to a search came too late
            assert ended.code in (0, 1, 7, 8), f"step {step}: {ended.said}"
            assert ended.code != 1 or "the housekeeping after them was not" in ended.said
            now = kept(pair) if ended.code else pair.one.stamps(ACCOUNTS)
            assert now == before if ended.code else now <= before, f"stale entries after request {step}"
            pair.converge()
            # the undisturbed night does not have the identity of the other host
            findings = [finding for finding in pair.findings() if "cn=piactl-nightly," not in finding]
            assert not findings, "\n".join([f"step {step}: {len(findings)} findings:", *findings])
    print(f"{'taken over' if takes_over else 'server lost'} at requests {steps}: {dict(counts)}")


def sampled(pair: Pair, count: int) -> list[int]:
    """Evenly spaced requests of a night, from its first to its last. Their number varies a little, so the
    shortest of three nights is used."""
    totals = []
    for _ in range(3):
        pair.reset()
        totals.append(requests_of(pair))
    total = min(totals) - 2
    return sorted({1 + (total - 1) * number // max(1, count - 1) for number in range(count)})


@pytest.mark.long
@pytest.mark.parametrize("takes_over", [True, False], ids=["taken over", "server lost"])
def test_a_night_stopped_at_any_request_writes_nothing_stale(
    pair: Pair, rounds: int, takes_over: bool
) -> None:
    stopped_at(pair, sampled(pair, rounds), random.Random(1401), takes_over=takes_over)
