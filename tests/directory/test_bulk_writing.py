"""Many writes in flight at once: in order, each made once, each with an outcome, whatever others do."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Writer, WriteResult
from piactl.directory.open import open_reader, open_writer
from piactl.directory.write.pipelined_writer import PIECE
from piactl.errors import DirectoryRefused, DirectoryUnreachable, LockLost, PiactlError, ReplyLost

from .plain_slapd import (
    PEOPLE,
    SUFFIX,
    PlainSlapd,
    own_certificate,
    password,
    running,
    ways_to_bind,
)
from .spoiling_proxy import ADD, FAULTS, MODIFY, wire

SIZE = 150
SLOW = {"drop request", "drop reply", "trickle", "black hole"}


@pytest.fixture
def slapd() -> Iterator[PlainSlapd]:
    with running(people=SIZE) as server:
        yield server


def step(number: int, now: int = 0) -> Write:
    """A change that cannot be done twice."""
    before, after = (b"person" if now == 0 else b"n%d" % now), b"n%d" % (now + 1)
    add = {"sn": (after,), "description": (b"step " + after,)}
    return Write("modify", f"uid=p{number:05d},{PEOPLE}", delete={"sn": (before,)}, add=add)


def added(uid: str, below: str = PEOPLE) -> Write:
    values = {"objectClass": (b"inetOrgPerson",), "uid": (uid.encode(),), "cn": (b"x",), "sn": (b"n1",)}
    return Write("add", f"uid={uid},{below}", add=values)


def steps_done(slapd: PlainSlapd) -> dict[str, int]:
    """The entries that were changed by steps, with the number of steps, as the server itself has them."""
    with open_reader(slapd.settings(), "root", password) as reader:
        entries = reader.search(PEOPLE, "(description=step*)", ["description"])
        return {entry.dn: len(entry.values["description"]) for entry in entries}


def check(slapd: PlainSlapd, writes: Sequence[Write], results: Sequence[WriteResult]) -> None:
    assert [result.write for result in results] == list(writes)
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert steps_done(slapd) == {write.dn: 1 for write in writes}


def spoil(slapd: PlainSlapd, fault: str, position: int, times: int = 1) -> None:
    """A series through a proxy that spoils some requests ends as if it had not."""
    writes = [step(number) for number in range(SIZE)]
    # the very first modify asks whether the server takes writes
    with wire(slapd.port, MODIFY, fault, position=position + 1, times=times) as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            results = list(writer.write(writes))
        assert proxy.fired == times, "the fault did not happen"
        # how many pieces wait depends on the speed of both sides
        assert proxy.most >= PIECE, "there were not many on their way"
    check(slapd, writes, results)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in SLOW])
def test_many_writes_are_made_once_despite_a_fault(slapd: PlainSlapd, fault: str) -> None:
    spoil(slapd, fault, position=70)


@pytest.mark.parametrize("fault", ["drop request", "drop reply"])
def test_many_writes_are_made_once_despite_a_lost_request_or_reply(slapd: PlainSlapd, fault: str) -> None:
    spoil(slapd, fault, position=70)


def test_many_writes_are_made_once_despite_busy_answers(slapd: PlainSlapd) -> None:
    spoil(slapd, "busy", position=40, times=30)


@pytest.mark.long
@pytest.mark.parametrize("position", [1, 2, 16, 17, 64, 65, 149, 150])
@pytest.mark.parametrize("fault", FAULTS)
def test_many_writes_are_made_once_despite_every_fault_at_many_places(
    slapd: PlainSlapd, fault: str, position: int
) -> None:
    spoil(slapd, fault, position)


def test_writes_in_flight_come_near_the_limit_and_never_exceed_it(slapd: PlainSlapd) -> None:
    with wire(slapd.port) as proxy:
        settings = replace(slapd.settings(proxy.uri), in_flight=40)
        with open_writer(settings, "clerk", password) as writer:
            assert len(list(writer.write([added(f"n{n}") for n in range(300)]))) == 300
        assert 30 < proxy.most <= 40
        proxy.most = 0
        with open_writer(replace(settings, in_flight=1), "clerk", password) as writer:
            assert len(list(writer.write([added(f"m{n}") for n in range(20)]))) == 20
        assert proxy.most == 1


def test_what_depends_on_another_write_waits_for_it(slapd: PlainSlapd) -> None:
    """The same entry twice, also in another spelling; an entry below one just made; and all of it undone."""
    with open_writer(slapd.settings(), "clerk", password) as writer:
        for _ in range(3):
            writes = []
            for number in range(20):
                first = step(number)
                second = step(number, 1)
                writes += [first, replace(second, dn=second.dn.upper().replace(",", ", "))]
                writes += [added(f"n{number}"), added("below", f"uid=n{number},{PEOPLE}")]
                writes += [Write("delete", f"uid=below,uid=n{number},{PEOPLE}")]
                writes += [Write("delete", f"uid=N{number},{PEOPLE}")]
                writes += [Write("modify", second.dn, delete=second.add, add={"sn": (b"person",)})]
                writes += [Write("modify", first.dn, delete={"description": first.add["description"]})]
            results = list(writer.write(writes))
            assert [result.write for result in results] == writes
            assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert steps_done(slapd) == {}


def test_an_address_goes_to_another_entry_after_it_left_the_first(slapd: PlainSlapd) -> None:
    """The overlay `unique` refuses the address while both entries would have it."""
    mail = {"mail": (b"a.b@example.org",)}
    giver, taker = (f"uid={name},{PEOPLE}" for name in ("giver", "taker"))
    with wire(slapd.port) as proxy, open_writer(slapd.settings(proxy.uri), "clerk", password) as writer:
        list(writer.write([added("giver"), added("taker"), Write("modify", giver, add=mail)]))
        proxy.most = 0
        writes = [Write("modify", giver, delete=mail), Write("modify", taker, add=mail)]
        assert {result.outcome for result in writer.write(writes)} == {Outcome.APPLIED}
        assert proxy.most == 1


def test_two_spellings_of_a_dn_with_escapes_count_as_one_entry(slapd: PlainSlapd) -> None:
    add = added("a+b")
    with open_writer(slapd.settings(), "clerk", password) as writer:
        plus, hexed = f"uid=a\\+b,{PEOPLE}", f"uid=a\\2bb,{PEOPLE}"
        writes = [
            replace(add, dn=plus),
            Write("modify", hexed, delete={"sn": (b"n1",)}, add={"sn": (b"n2",)}),
        ]
        writes = [*writes, Write("delete", plus, delete={"sn": (b"n2",)})] * 10
        assert {result.outcome for result in writer.write(writes)} == {Outcome.APPLIED}


def test_each_of_many_writes_has_its_own_outcome(slapd: PlainSlapd) -> None:
    with open_writer(slapd.settings(), "root", password) as other:
        for number in (3, 77):
            [result] = other.write(
                [Write("modify", step(number).dn, delete={"sn": (b"person",)}, add={"sn": (b"x",)})]
            )
            assert result.outcome is Outcome.APPLIED
        assert len(list(other.write([step(number) for number in (10, 90)]))) == 2
    bad = Write("modify", step(50).dn, delete={"sn": (b"person",)})
    lost = added("lost", f"ou=nowhere,{SUFFIX}")
    writes = [bad if n == 50 else lost if n == 60 else step(n) for n in range(SIZE)]
    with open_writer(slapd.settings(), "clerk", password) as writer:
        results = list(writer.write(writes))
    assert [result.write for result in results] == writes
    others = {
        n: result.outcome.name for n, result in enumerate(results) if result.outcome is not Outcome.APPLIED
    }
    assert others == {
        3: "CONFLICT",
        77: "CONFLICT",
        10: "UNCHANGED",
        90: "UNCHANGED",
        50: "FAILED",
        60: "FAILED",
    }
    assert "its parent entry is missing" in results[60].message
    assert "cn=root" in results[3].message


def test_a_fatal_refusal_is_raised_after_the_results_of_the_other_writes(slapd: PlainSlapd) -> None:
    writes = [step(number) for number in range(SIZE)]
    with wire(slapd.port, MODIFY, "result 53", position=71, times=5) as proxy:
        results: list[WriteResult] = []
        with open_writer(slapd.settings(proxy.uri), "clerk", password) as writer:
            with pytest.raises(DirectoryRefused) as refused:
                results.extend(writer.write(writes))
        assert proxy.fired >= 1
    assert refused.value.result == 53
    assert steps_done(slapd) == {result.write.dn: 1 for result in results}
    assert [result.write for result in results] == [w for w in writes if w in [r.write for r in results]]
    # the writes behind it were already in flight and are answered; nothing is sent after the refusal
    assert 70 < len(results) < 70 + 64
    assert step(69).dn not in {result.write.dn for result in results}


def test_every_write_in_doubt_is_named_if_the_server_is_lost(slapd: PlainSlapd) -> None:
    writes = [step(number) for number in range(SIZE)]
    results: list[WriteResult] = []
    with wire(slapd.port, MODIFY, "drop reply", position=41, times=200) as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            killer = threading.Timer(0.7, slapd.kill)
            killer.start()
            with pytest.raises(ReplyLost) as lost:
                results.extend(writer.write(writes))
            killer.join()
    slapd.start()
    done = steps_done(slapd)
    answered = {result.write.dn for result in results}
    assert len(answered) == 39
    assert len(lost.value.doubtful) > 30
    assert not answered & set(lost.value.doubtful)
    # every write that was made is named
    assert answered <= done.keys() <= answered | set(lost.value.doubtful)
    assert f"{len(lost.value.doubtful)} writes in doubt" in str(lost.value)


def test_a_connection_that_loses_every_write_is_given_up(slapd: PlainSlapd) -> None:
    began = time.monotonic()
    with wire(slapd.port, ADD, "reset before", times=10_000) as proxy:
        with open_writer(slapd.settings(proxy.uri), "clerk", password) as writer:
            with pytest.raises(ReplyLost, match="sent twice") as lost:
                list(writer.write([added(f"n{n}") for n in range(100)]))
        assert 2 <= proxy.fired < 200
    assert 16 <= len(lost.value.doubtful) <= 64
    assert time.monotonic() - began < 10
    with open_reader(slapd.settings(), "root", password) as reader:
        assert list(reader.search(PEOPLE, "(sn=n1)", ["uid"])) == []


@pytest.mark.parametrize("in_flight", [1, 64])
def test_an_error_from_the_source_of_writes_comes_after_their_results(
    slapd: PlainSlapd, in_flight: int
) -> None:
    writes = []

    def coming() -> Iterator[Write]:
        for number in range(90):
            writes.append(step(number))
            yield writes[-1]
        raise LockLost("gone")

    results: list[WriteResult] = []
    with open_writer(replace(slapd.settings(), in_flight=in_flight), "clerk", password) as writer:
        with pytest.raises(LockLost):
            results.extend(writer.write(coming()))
        check(slapd, writes, results)
        assert writer.read(PEOPLE, ["ou"]) is not None


def test_a_lost_lock_and_a_lost_connection_together_send_nothing_more(slapd: PlainSlapd) -> None:
    """A lost write is read back; if it was not made, it is not sent again and stays in doubt."""
    with wire(slapd.port, MODIFY, "drop request", position=62) as proxy:

        def coming() -> Iterator[Write]:
            for number in range(60):
                yield step(number)
            yield step(60)
            raise LockLost("gone")

        results: list[WriteResult] = []
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            with pytest.raises(ReplyLost, match="gone") as lost:
                results.extend(writer.write(coming()))
    assert [result.write.dn for result in results] == [step(number).dn for number in range(60)]
    assert lost.value.doubtful == (step(60).dn,)
    assert steps_done(slapd) == {result.write.dn: 1 for result in results}


@pytest.mark.parametrize("in_flight", [1, 64])
def test_reads_and_single_writes_work_while_other_writes_are_in_flight(
    slapd: PlainSlapd, in_flight: int
) -> None:
    def coming(writer: Writer) -> Iterator[Write]:
        for number in range(SIZE):
            if number % 7 == 0:
                assert writer.read(f"uid=p{number:05d},{PEOPLE}", ["sn"]) is not None
                [result] = writer.write([added(f"n{number}")])
                assert result.outcome is Outcome.APPLIED
            if number % 50 == 0:
                assert len(list(writer.search(PEOPLE, "(sn=*)", ["uid"]))) >= SIZE
            yield step(number)

    with open_writer(replace(slapd.settings(page=40), in_flight=in_flight), "clerk", password) as writer:
        results = list(writer.write(coming(writer)))
    check(slapd, [step(number) for number in range(SIZE)], results)


def test_writes_go_on_after_a_read_in_between_had_to_reconnect(slapd: PlainSlapd) -> None:
    def coming(writer: Writer) -> Iterator[Write]:
        for number in range(SIZE):
            if number == 70:
                slapd.kill()
                slapd.start()
                assert writer.read(PEOPLE, ["ou"]) is not None
            yield step(number)

    with open_writer(slapd.settings(), "clerk", password) as writer:
        results = list(writer.write(coming(writer)))
    check(slapd, [step(number) for number in range(SIZE)], results)


def test_closing_the_results_leaves_no_write_in_flight(slapd: PlainSlapd) -> None:
    with open_writer(slapd.settings(), "clerk", password) as writer:
        results = writer.write([step(number) for number in range(SIZE)])
        assert next(results).outcome is Outcome.APPLIED
        results.close()
        done = len(steps_done(slapd))
        assert 1 <= done <= 64
        assert writer.read(PEOPLE, ["ou"]) is not None
        assert len(steps_done(slapd)) == done


def test_writes_to_a_dead_server_fail_and_none_is_made(slapd: PlainSlapd) -> None:
    with open_writer(slapd.settings(connect=1), "clerk", password) as writer:
        slapd.kill()
        with pytest.raises(PiactlError) as gone:
            list(writer.write([step(number) for number in range(40)]))
    # the connection still looked open: what was sent is in doubt, unless the loss was noticed first
    assert isinstance(gone.value, (ReplyLost, DirectoryUnreachable))
    slapd.start()
    assert steps_done(slapd) == {}


def test_many_writes_work_with_every_way_to_bind(tmp_path: Path) -> None:
    tls, lines = own_certificate(tmp_path)
    with running(people=SIZE, tls=lines) as server:
        ways = ways_to_bind(server, tls)
        for way, (uri, identity, settings) in enumerate(ways):
            with open_writer(server.settings(uri, tls=settings), identity, password) as writer:
                results = list(writer.write([step(number, way) for number in range(SIZE)]))
            assert {result.outcome for result in results} == {Outcome.APPLIED}, uri
        done = steps_done(server)
    assert len(done) == SIZE
    assert set(done.values()) == {len(ways)}
