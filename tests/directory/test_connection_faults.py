"""Faults of the connection and the server during writes: every write is made once, every doubt resolved."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from piactl.core.plan.write import Write
from piactl.directory.client.result_codes import ConnectionLost
from piactl.directory.dn import child
from piactl.directory.interfaces import Outcome
from piactl.directory.open import open_reader, open_writer
from piactl.errors import DirectoryUnreachable, ReplyLost

from .plain_slapd import CLERK, PEOPLE, PlainSlapd, password, running
from .spoiling_proxy import ADD, DELETE, FAULTS, MODIFY, wire

SLOW = {"drop request", "drop reply", "trickle", "black hole"}
QUICK = [fault for fault in FAULTS if fault not in SLOW]


@pytest.fixture
def slapd() -> Iterator[PlainSlapd]:
    with running(people=5) as server:
        yield server


def counted(number: int, now: int) -> Write:
    """A change that cannot be done twice: the entry's sn counts from `now` to the next number."""
    return Write(
        "modify",
        f"uid=p{number:05d},{PEOPLE}",
        delete={"sn": (f"n{now}".encode(),)},
        add={"sn": (f"n{now + 1}".encode(),), "description": (f"step {now + 1}".encode(),)},
    )


def first(number: int) -> Write:
    return Write("modify", f"uid=p{number:05d},{PEOPLE}", delete={"sn": (b"person",)}, add={"sn": (b"n0",)})


def added(uid: str) -> Write:
    values = {"objectClass": (b"inetOrgPerson",), "uid": (uid.encode(),), "cn": (b"x",), "sn": (b"n0",)}
    return Write("add", child(PEOPLE, "uid", uid), add=values)


def state(slapd: PlainSlapd, uid: str) -> tuple[str, int] | None:
    """(sn, number of steps) as the server itself has them, asked without the proxy."""
    with open_reader(slapd.settings(), "root", password) as reader:
        entry = reader.read(f"uid={uid},{PEOPLE}", ["sn", "description"])
    return None if entry is None else (entry.text("sn"), len(entry.values.get("description", ())))


def check_series(slapd: PlainSlapd, fault: str, tag: int, position: int) -> None:
    """modify, add, modify, delete through a proxy that spoils one of them end as if it had not."""
    writes = [
        first(0),
        counted(0, 0),
        added("new"),
        counted(0, 1),
        Write("delete", f"uid=p00004,{PEOPLE}"),
    ]
    began = time.monotonic()
    # the very first modify asks whether the server takes writes
    with wire(slapd.port, tag, fault, position=position + (tag == MODIFY)) as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            results = list(writer.write(writes))
        assert proxy.fired == 1, "the fault did not happen"
    assert [result.outcome for result in results] == [Outcome.APPLIED] * 5
    assert state(slapd, "p00000") == ("n2", 2)
    assert state(slapd, "new") == ("n0", 0)
    assert state(slapd, "p00004") is None
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("fault", QUICK)
def test_writes_are_made_once_despite_a_fault_during_a_modify(slapd: PlainSlapd, fault: str) -> None:
    check_series(slapd, fault, MODIFY, 2)


@pytest.mark.parametrize("fault", ["drop request", "drop reply", "trickle"])
def test_writes_are_made_once_despite_silence_during_a_modify(slapd: PlainSlapd, fault: str) -> None:
    check_series(slapd, fault, MODIFY, 2)


@pytest.mark.parametrize("fault", ["reset before", "reset after", "drop reply"])
@pytest.mark.parametrize("tag", [ADD, DELETE])
def test_writes_are_made_once_despite_a_fault_during_an_add_or_delete(
    slapd: PlainSlapd, fault: str, tag: int
) -> None:
    check_series(slapd, fault, tag, 1)


@pytest.mark.long
@pytest.mark.parametrize("position", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_writes_are_made_once_despite_every_fault_at_every_modify(
    slapd: PlainSlapd, fault: str, position: int
) -> None:
    check_series(slapd, fault, MODIFY, position)


@pytest.mark.long
@pytest.mark.parametrize("tag", [ADD, DELETE])
@pytest.mark.parametrize("fault", FAULTS)
def test_writes_are_made_once_despite_every_fault_at_adds_and_deletes(
    slapd: PlainSlapd, fault: str, tag: int
) -> None:
    check_series(slapd, fault, tag, 1)


def test_a_write_that_cannot_be_read_back_is_reported_in_doubt(slapd: PlainSlapd) -> None:
    with wire(slapd.port, MODIFY, "reset before", position=2, times=9) as proxy:
        with open_writer(slapd.settings(proxy.uri), "clerk", password) as writer:
            # reconnecting sends a modify too, which meets the fault as well: nothing can be read back
            with pytest.raises(ReplyLost, match="uid=p00000"):
                list(writer.write([first(0)]))
    assert state(slapd, "p00000") == ("person", 0)


def test_a_change_by_another_before_the_reading_back_is_a_conflict(slapd: PlainSlapd) -> None:
    with wire(slapd.port, MODIFY, "drop reply", position=3) as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            series = writer.write([first(0), counted(0, 0)])
            assert next(series).outcome is Outcome.APPLIED
            other = threading.Thread(target=_step_on, args=(slapd,))
            other.start()
            result = next(series)
            other.join(10)
        assert proxy.fired == 1
    assert result.outcome is Outcome.CONFLICT
    assert "cn=root" in result.message
    assert state(slapd, "p00000") == ("other", 1)


def _step_on(slapd: PlainSlapd) -> None:
    """Waits until the change is there, then changes the value again."""
    with open_writer(slapd.settings(), "root", password) as other:
        change = Write("modify", f"uid=p00000,{PEOPLE}", delete={"sn": (b"n1",)}, add={"sn": (b"other",)})
        for _ in range(50):
            if [result.outcome for result in other.write([change])] == [Outcome.APPLIED]:
                return
            time.sleep(0.02)


def test_a_server_busy_for_good_is_given_up_within_the_deadline(slapd: PlainSlapd) -> None:
    with wire(slapd.port, ADD, "busy", times=10_000) as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=1), "clerk", password) as writer:
            began = time.monotonic()
            with pytest.raises(DirectoryUnreachable, match=r"busy \(51\)"):
                list(writer.write([added("new")]))
            assert time.monotonic() - began < 3
        assert proxy.fired > 3
    assert state(slapd, "new") is None


def test_a_write_lost_together_with_the_server_is_reported_in_doubt(slapd: PlainSlapd) -> None:
    with wire(slapd.port, ADD, "drop reply") as proxy:
        with open_writer(slapd.settings(proxy.uri, operation=2), "clerk", password) as writer:
            killer = threading.Timer(0.5, slapd.kill)
            killer.start()
            with pytest.raises(ReplyLost, match="uid=new") as lost:
                list(writer.write([added("new")]))
            killer.join()
    assert not isinstance(lost.value, ConnectionLost)
    slapd.start()
    assert state(slapd, "new") == ("n0", 0)


def kill_during_series(slapd: PlainSlapd, size: int, kills: int, pause: float) -> None:
    """Writes while the server is killed `kills` times, with `pause` seconds and a whole window of answers in
    between.

    A write that is lost twice without an answer in between ends the run, so killing a server before it can
    answer would show nothing.
    """
    uids = [f"k{number:05d}" for number in range(size)]
    settings = slapd.settings(operation=10)
    outcomes: list[Outcome] = []
    finished = threading.Event()
    done = 0

    def killer() -> None:
        nonlocal done
        due = 0
        while done < kills and not finished.wait(pause):
            if len(outcomes) >= due:
                slapd.kill()
                slapd.start()
                due = len(outcomes) + settings.in_flight + 1
                done += 1

    thread = threading.Thread(target=killer)
    with open_writer(settings, "clerk", password) as writer:
        thread.start()
        try:
            outcomes.extend(result.outcome for result in writer.write([added(uid) for uid in uids]))
            while done < kills:
                again = [
                    Write("modify", f"uid={uid},{PEOPLE}", delete={"cn": (b"x",)}, add={"cn": (b"y",)})
                    for uid in uids
                ]
                outcomes.extend(result.outcome for result in writer.write(again))
                back = [Write("modify", write.dn, delete=write.add, add=write.delete) for write in again]
                outcomes.extend(result.outcome for result in writer.write(back))
        finally:
            finished.set()
            thread.join(30)
        assert done == kills, "the server was not killed"
        assert set(outcomes) == {Outcome.APPLIED}
    with open_reader(slapd.settings(), "root", password) as reader:
        entries = reader.search(PEOPLE, "(sn=n0)", ["uid", "cn"])
        cn_values = {entry.text("uid"): entry.values["cn"] for entry in entries}
    assert cn_values == dict.fromkeys(uids, (b"x",))


def test_writes_are_made_once_though_the_server_is_killed_and_restarted(slapd: PlainSlapd) -> None:
    kill_during_series(slapd, 400, 3, 0.15)


@pytest.mark.long
def test_writes_are_made_once_though_the_server_is_killed_many_times() -> None:
    with running(extra=f'limits dn.base="{CLERK}" size=unlimited') as server:
        kill_during_series(server, 1000, 40, 0.2)
