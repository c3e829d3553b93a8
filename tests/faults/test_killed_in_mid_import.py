"""R1 to R3: the client killed, the server killed, and the writer of two providers lost in mid-import.

Each round ends like an undisturbed night on both providers: the checker of `providers` finds nothing lost,
doubled or half-made. Seeds and counts are printed; a round whose fault did not strike fails.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.streams import Forked
from tests.outside import SUFFIX
from tests.programs import WITHOUT_READ_BACK

from .night.moments import calls_of, killed_at, need_strace, some_moment, wait_for_lines
from .night.world import LOG, Ended
from .providers.checker import directory, lost_writes, outcome_faults, parsed
from .providers.pair import Pair

LAGS = (0.0, 0.1, 0.3, 0.6)
MID_BATCH = 190
"""The number of the `sendto` in the middle of the second batch of a night that makes one write at a time."""


def night(pair: Pair, prelude: str = "") -> list[str]:
    return pair.one.night(config=pair.config, prelude=prelude)


def one_by_one(pair: Pair) -> Path:
    """The configuration in which a run waits for the answer to each write."""
    return pair.one.configure("one_by_one.yaml", base=pair.config, directory__in_flight=1)


def finished(pair: Pair, prelude: str = "") -> Ended:
    """Does one more run, which must succeed."""
    ended = pair.one.run(night(pair, prelude))
    assert ended.code == 0, ended.said
    return ended


def check(
    pair: Pair, context: str, unlogged: frozenset[str] = frozenset(), *, accepted: bool = False
) -> None:
    """`unlogged` are entries that may lack their last write at the second server. `accepted`: a loss was
    accepted, so the list of accounts also has the names that the lost run gave, for their first owners."""
    pair.converge()
    findings = [
        finding
        for finding in pair.findings()
        if finding.startswith("first server") or not any(f": {dn}: " in finding for dn in unlogged)
    ]
    if accepted:
        findings = [finding for finding in findings if ", undisturbed night: cn=accounts-" not in finding]
    assert not findings, "\n".join([f"{context}: {len(findings)} findings:", *findings])


def report(name: str, seed: int, rounds: int, counts: Counter[str]) -> None:
    print(f"{name}, seed {seed}: {rounds} rounds, {dict(counts)}")


def unanswered(pair: Pair) -> frozenset[str]:
    """The entries with a write that got no answer: it was read back, so its outcome has no entryCSN.

    If slapd is killed between the commits of its database and of its access log, no other server gets its
    last write, which it never answered."""
    answered = {line.fields["intent"] for line in pair.one.lines() if line.fields.get("csn")}
    intents = [line for line in pair.one.lines() if line.type == "intent"]
    return frozenset(str(line.fields["dn"]) for line in intents if line.seq not in answered)


def while_it_writes(pair: Pair, run: Forked, rng: random.Random) -> tuple[str, bool]:
    """Waits for a random moment of the writes; returns it, and whether the run was still going on."""
    lines, pause = rng.choice((102, 302, 502)), rng.uniform(0, 0.03)
    if wait_for_lines(pair.one, run, lines):
        time.sleep(pause)
    return f"{pause:.3f} s after line {lines}", run.poll() is None


# ---- R1: the client is killed


def client_killed_at_random(pair: Pair, seed: int, rounds: int) -> None:
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(rounds):
        pair.reset()
        pair.lag(rng.choice(LAGS))
        process = pair.one.spawn(night(pair))
        moment = some_moment(pair.one, process, rng)
        process.kill()
        process.communicate(timeout=20)
        context = f"R1, seed {seed}, round {number}, killed {moment}"
        counts["struck"] += process.returncode == -signal.SIGKILL
        counts["in doubt"] += "read back" in finished(pair).said
        check(pair, context)
    report("R1 at random", seed, rounds, counts)
    # the last moments of a quick run may come after its end
    assert counts["struck"] >= 0.9 * rounds, "runs had ended before they were killed"


def client_killed_at_calls(pair: Pair, calls: list[tuple[str, int]]) -> None:
    counts: Counter[str] = Counter()
    config = one_by_one(pair)
    for call, number in calls:
        pair.reset()
        struck = killed_at(pair.one, call, number, config)
        counts[call] += struck
        assert struck, f"the run had ended before {call} {number}"
        finished(pair)
        check(pair, f"R1, killed before {call} {number}")
    report("R1 at system calls", 0, len(calls), counts)


def test_r1_client_killed(pair: Pair) -> None:
    client_killed_at_random(pair, seed=301, rounds=2)


def test_r1_client_killed_at_system_calls(pair: Pair) -> None:
    """It is killed before the sync of intents, and between the answers of a batch that is sent one by one."""
    need_strace()
    client_killed_at_calls(pair, [("fdatasync", 2), ("sendto", MID_BATCH)])


@pytest.mark.long
def test_r1_client_killed_often(either_pair: Pair, rounds: int) -> None:
    client_killed_at_random(either_pair, seed=1301, rounds=rounds)


@pytest.mark.long
def test_r1_client_killed_at_many_system_calls(either_pair: Pair, rounds: int) -> None:
    need_strace()
    calls = calls_of(either_pair.one, one_by_one(either_pair), either_pair.reset)
    client_killed_at_calls(either_pair, random.Random(1302).sample(calls, rounds))


# ---- R2: the server is killed, and comes back


def server_killed(pair: Pair, seed: int, rounds: int) -> None:
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(rounds):
        pair.reset()
        pair.lag(rng.choice(LAGS))
        began = time.monotonic()
        run = pair.one.spawn(night(pair))
        moment, struck = while_it_writes(pair, run, rng)
        counts["struck"] += struck
        pair.one.kill_slapd()
        pair.one.start_slapd()
        ended = pair.one.wait(run, began)
        assert ended.code in (0, 8), ended.said
        counts[f"exit {ended.code}"] += 1
        finished(pair)
        unlogged = unanswered(pair)
        counts["without an answer"] += len(unlogged)
        check(pair, f"R2, seed {seed}, round {number}, slapd killed {moment}", unlogged)
    report("R2", seed, rounds, counts)
    assert counts["struck"] == rounds, "a run had ended before its server was killed"


def test_r2_server_killed(pair: Pair) -> None:
    server_killed(pair, seed=302, rounds=2)


@pytest.mark.long
def test_r2_server_killed_often(either_pair: Pair, rounds: int) -> None:
    server_killed(either_pair, seed=1302, rounds=rounds)


# ---- R3: the writer is lost, an operator changes the list, the first one returns


def writer_lost(pair: Pair, seed: int, rounds: int, *, in_turn: bool = False) -> None:
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(rounds):
        pair.reset()
        # at least once the second server must be behind
        pair.lag(lag := rng.choice(LAGS) if number else LAGS[-1])
        began = time.monotonic()
        run = pair.one.spawn(night(pair))
        moment, struck = while_it_writes(pair, run, rng)
        pair.one.kill_slapd()
        ended = pair.one.wait(run, began)
        context = f"R3, seed {seed}, round {number}, lag {lag}, slapd killed {moment}"
        assert ended.code == 8, f"{context}: {ended.said}"
        counts[f"exit {ended.code}"] += 1
        counts["struck"] += struck
        behind = lost_writes(pair.one.journal, pair.keys, directory(pair.two.uri, SUFFIX), pair.one.begin)
        counts["second behind"] += bool(behind)
        accepted = fail_over(pair)
        counts["accepted"] += accepted
        pair.come_back(in_turn=in_turn or rng.random() < 0.5)
        accept(pair, pair.config)
        finished(pair)
        check(pair, context, unanswered(pair), accepted=accepted)
    report("R3", seed, rounds, counts)
    assert counts["struck"] == rounds, "a run had ended before its server was killed"
    assert counts["second behind"], "the second server had every acknowledged write each time"


def fail_over(pair: Pair) -> bool:
    """The first provider is down, and an operator names the second one first and repeats the run. Returns
    whether the second refused until it was accepted. It does not if no run has told it yet which server is
    written to."""
    config = pair.one.configure("second.yaml", base=pair.config, directory__servers=[*pair.servers][::-1])
    ended = pair.one.run(pair.one.night(config=config))
    if accepted := ended.code == 11:
        accept(pair, config)
        ended = pair.one.run(pair.one.night(config=config))
    assert ended.code == 0, ended.said
    return accepted


def accept(pair: Pair, config: Path) -> None:
    """Accepts the first server of a configuration as the one that is written to."""
    words = ("recover", "--accept", "--reason", "another server is the first one")
    done = pair.one.run(pair.one.command(*words, config=config))
    # data on the way between the servers may have arrived meanwhile
    assert done.code == 0 or "there is nothing to accept" in done.said, done.said


def test_r3_writer_lost(pair: Pair) -> None:
    writer_lost(pair, seed=303, rounds=2, in_turn=True)


@pytest.mark.long
def test_r3_writer_lost_often(either_pair: Pair, rounds: int) -> None:
    writer_lost(either_pair, seed=1303, rounds=rounds)


# ---- negative controls, which show the tests and not piactl: only in the long run


@pytest.mark.long
def test_r1_fails_without_the_read_back(pair: Pair, tmp_path: Path) -> None:
    need_strace()
    assert killed_at(pair.one, "sendto", MID_BATCH, one_by_one(pair))
    finished(pair, WITHOUT_READ_BACK)
    with pytest.raises(AssertionError, match="0 outcomes"):
        check(pair, "without the read-back")
    # the evidence of a failed test shows the same, and has the entries of both servers
    pair.keep(tmp_path)
    assert outcome_faults(tmp_path / "first" / "journal" / "piactl.jsonl")
    for name in ("first", "second"):
        entries, log = (parsed((tmp_path / name / f"{base}.ldif").read_bytes()) for base in (SUFFIX, LOG))
        assert entries.keys() == directory(pair.one.uri, SUFFIX).keys()
        assert any(b"uid=" in entry.get("reqdn", [b""])[0] for entry in log.values())
