"""Transactions that go wrong: nothing half made, nothing untold, the rest as single writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from piactl.core.settings import FIRST_MIGRATION
from piactl.directory.loneserver import END, MEMBER, START
from piactl.directory.onetransaction import Transaction
from piactl.directory.opening import open_reader, open_writer
from piactl.directory.port import EntryWrite, Outcome, Writer, WriteResult
from piactl.errors import DirectoryUnreachable, LockLost, ReplyLost

from .migration import UNLIMITED, added, against, members, migrating, readable
from .plain_slapd import PEOPLE, SUFFIX, PlainSlapd, own_certificate, password, running, ways_to_bind
from .wire import ADD, EXTENDED, FAULTS, Wire

SIZE = 150


DEVICE = EntryWrite("add", f"cn=d,{PEOPLE}", add={"objectClass": (b"device",), "cn": (b"d",)})


def brought(writer: Writer) -> None:
    """Single writes, after which those like them may be together."""
    assert {result.outcome for result in writer.write([added("zero"), DEVICE])} == {Outcome.APPLIED}


def many(count: int = SIZE) -> list[EntryWrite]:
    return [added(f"n{number}") for number in range(count)]


def check(server: PlainSlapd, writes: list[EntryWrite], results: list[WriteResult]) -> None:
    """All made, in order; and they stay so."""
    assert [result.write for result in results] == writes
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert readable(server) == len(writes) + 1
    server.kill()
    server.start()
    assert readable(server) == len(writes) + 1


CULPRITS = {
    "there already": (added("there"), Outcome.ALREADY),
    "there with other values": (added("other"), Outcome.CONFLICT),
    "against the schema": (replace(added("bad"), add={**added("bad").add, **DEVICE.add}), Outcome.FAILED),
    "no value": (added("empty", cn=b""), Outcome.FAILED),
    "nothing above it": (replace(added("lost"), dn=f"uid=lost,ou=nowhere,{SUFFIX}"), Outcome.FAILED),
}


@pytest.mark.parametrize("place", [0, SIZE // 2, SIZE])
@pytest.mark.parametrize("culprit", CULPRITS)
def test_a_failing_member_is_found_and_the_rest_is_made(culprit: str, place: int) -> None:
    bad, outcome = CULPRITS[culprit]
    writes = many()
    writes.insert(place, bad)
    with running() as server:
        with open_writer(server.settings(), "root", password) as other:
            assert len(list(other.write([added("there"), added("other", cn=b"another")]))) == 2
        with migrating(server) as (proxy, writer):
            brought(writer)
            results = list(writer.write(writes))
            assert [result.write for result in results] == writes
            others = {at: one.outcome for at, one in enumerate(results) if one.outcome is not Outcome.APPLIED}
            assert others == {place: outcome}
            assert [len(group) for group in members(proxy)] == [SIZE + 1]
            assert bad.dn in against(writer)[0]
            proxy.requests.clear()
            later = [added(f"m{number}") for number in range(SIZE)]
            assert {result.outcome for result in writer.write(later)} == {Outcome.APPLIED}
            assert members(proxy) == []
        server.kill()
        server.start()
        assert readable(server) == 2 * SIZE + 3


SLOW = {"drop request", "drop reply", "trickle", "black hole"}
MOMENTS = [
    pytest.param(fault, at, marks=[pytest.mark.long] if at == 1 and fault in SLOW else [])
    for fault in FAULTS
    for at in (1, 2)
]


def survived(tag: int, fault: str, at: int) -> list[str]:
    """Makes all writes through a fault at one request; why there are no more transactions after it."""
    writes = many()
    with running() as server, migrating(server, tag=tag, fault=fault, at=at) as (proxy, writer):
        brought(writer)
        results = list(writer.write(writes))
        assert proxy.fired == 1, "the fault did not happen"
        check(server, writes, results)
        return against(writer)


@pytest.mark.parametrize(("fault", "at"), MOMENTS)
def test_a_fault_at_the_beginning_or_the_end(fault: str, at: int) -> None:
    assert bool(survived(EXTENDED, fault, at)) == (fault != "delay")


@pytest.mark.parametrize("fault", ["drop request", "drop reply", "busy", "unavailable", "delay", "trickle"])
@pytest.mark.parametrize(
    "at", [80, pytest.param(3, marks=pytest.mark.long), pytest.param(SIZE + 2, marks=pytest.mark.long)]
)
def test_a_fault_at_a_member(fault: str, at: int) -> None:
    survived(ADD, fault, at)


def test_a_server_that_begins_none_gets_single_writes() -> None:
    writes = many()
    with running() as server, migrating(server, tag=EXTENDED, fault="result 53") as (proxy, writer):
        brought(writer)
        check(server, writes, list(writer.write(writes)))
        assert "the server begins no transaction: unwillingToPerform (53)" in against(writer)[0]
        assert MEMBER.encode() not in b"".join(proxy.requests)


def test_a_lost_lock_and_a_lost_end_together_send_nothing_more() -> None:
    def coming() -> Iterator[EntryWrite]:
        yield from many()
        raise LockLost("gone")

    with running() as server, migrating(server, tag=EXTENDED, fault="drop request", at=2) as (proxy, writer):
        brought(writer)
        with pytest.raises(ReplyLost, match="gone") as lost:
            list(writer.write(coming()))
        assert proxy.fired == 1
        assert lost.value.doubtful == tuple(write.dn for write in many())
        assert readable(server) == 1


def kill_when(
    server: PlainSlapd, proxy: Wire, moment: Callable[[Wire], bool], back: float | None
) -> threading.Thread:
    def work() -> None:
        until = time.monotonic() + 20
        while not moment(proxy) and time.monotonic() < until:
            time.sleep(0.0005)
        server.kill()
        if back is not None:
            time.sleep(back)
            server.start()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("back", [0.0, None], ids=["back at once", "back later"])
@pytest.mark.parametrize("moment", ["begun", "among the members", "ending", "a while"])
def test_slapd_killed(moment: str, back: float | None) -> None:
    def reached(proxy: Wire) -> bool:
        sent = b"".join(proxy.requests[-3:]) if moment != "a while" else b""
        return {
            "begun": START.encode() in sent,
            "among the members": len(proxy.requests) > 400,
            "ending": END.encode() in sent,
            "a while": len(proxy.requests) > 1300,
        }[moment]

    known: list[WriteResult] = []
    doubtful: tuple[str, ...] = ()
    with running(extra=UNLIMITED) as server, migrating(server) as (proxy, writer):
        brought(writer)
        killer = kill_when(server, proxy, reached, back)
        try:
            known.extend(writer.write(many(2000)))
        except DirectoryUnreachable:
            pass
        except ReplyLost as lost:
            doubtful = lost.doubtful
        killer.join()
        if back is None:
            server.start()
        with open_reader(server.settings(), "root", password) as reader:
            there = {entry.dn for entry in reader.search(PEOPLE, "(&(uid=*)(!(uid=zero)))", ["uid"])}
        told = {result.write.dn for result in known}
        assert {result.outcome for result in known} <= {Outcome.APPLIED}
        assert told <= there <= told | set(doubtful)
        assert not told & set(doubtful)


def test_every_way_to_bind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Transaction.make

    def counted(self: Transaction, group: list[EntryWrite]) -> str:
        made.append(len(group))
        return make(self, group)

    monkeypatch.setattr(Transaction, "make", counted)
    monkeypatch.setattr(PlainSlapd, "transactions", FIRST_MIGRATION)
    tls, lines = own_certificate(tmp_path)
    with running(extra=UNLIMITED, tls=lines) as server:
        ways = ways_to_bind(server, tls)
        for way, (uri, identity, settings) in enumerate(ways):
            with open_writer(server.settings(uri, tls=settings), identity, password) as writer:
                results = list(writer.write([added(f"w{way}n{number}") for number in range(300)]))
                assert against(writer) == []
            assert {result.outcome for result in results} == {Outcome.APPLIED}, uri
            assert sum(made) >= 180 * (way + 1)
        assert readable(server) == 300 * len(ways)
