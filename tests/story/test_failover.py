"""Two servers; the second one lacks the last writes of the first. A run writes to the first alone.

The second is a copy of the first from an earlier moment, like a replica that lags.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from piactl.night import run_night as nightly
from tests.conftest import Sandbox
from tests.directory.wire import MODIFY, Wire, operation

from .academy import Academy
from .feeds import crowd, row
from .test_night_db import DAY, IDA, NEXT, passed

PEOPLE, LEAVERS = 260, 15
IPROF = b"urn:mace:ac-amiens.fr:service:iprof"


@dataclass
class Pair:
    """`academy` uses the first server of its configuration, `second` the other one."""

    academy: Academy
    second: Academy

    def name_first(self, uri: str) -> None:
        """Puts both servers into the configuration, the first by this address, with one write at a time."""
        servers = f'servers: ["{uri}", "{self.second.sandbox.uri}"]\n  in_flight: 1'
        self.academy.edit("piactl.yaml", f'servers: ["{self.academy.sandbox.uri}"]', servers)

    def copy(self) -> None:
        """Gives the second server everything that the first one, which is idle, has now."""
        self.second.sandbox.stop()
        copy_data(self.academy.sandbox.folder, self.second.sandbox.folder)
        self.second.sandbox.start()

    def copy_records(self) -> None:
        """Gives the second server piactl's own entries that it lacks, such as the lock and the run."""
        state = self.academy.sandbox.state
        second_entries = self.second.sandbox.entries(state)
        attributes = ("objectClass", "cn", "description", "piactlData")
        for dn, entry in self.academy.sandbox.entries(state).items():
            if dn not in second_entries:
                self.second.sandbox.add(dn, {name: entry[name] for name in attributes if name in entry})


def copy_data(source: Path, target: Path) -> None:
    shutil.rmtree(target / "slapd" / "data")
    shutil.copytree(source / "slapd" / "data", target / "slapd" / "data")


@pytest.fixture
def pair(make_academy: Callable[..., Academy], make_sandbox: Callable[..., Sandbox]) -> Pair:
    academy, other = make_academy(), make_sandbox()
    # it uses the files of the first: only the server is another one
    return Pair(academy, replace(academy, sandbox=other))


class Killing(Wire):
    """Kills the process `pid` at the `last`th change of an existing account."""

    def __init__(self, target: Path, pid: int, last: int) -> None:
        self.pid, self.left = pid, last
        super().__init__(target)

    def _request(self, message: bytes, *arguments: Any) -> None:
        if operation(message)[1] == MODIFY and b"uid=" in message[:24]:
            self.left -= 1
            if self.left == 0:
                os.kill(self.pid, signal.SIGKILL)
                self.fired += 1
        super()._request(message, *arguments)


@contextmanager
def killing(sandbox: Sandbox, last: int) -> Iterator[Killing]:
    proxy = Killing(sandbox.socket, sandbox.pid, last)
    try:
        yield proxy
    finally:
        proxy.close()


def before_and_after() -> tuple[list[str], list[str]]:
    """The rows of DAY and those of NEXT, when some people have left."""
    rows = crowd(PEOPLE)

    def ended(day: str) -> list[str]:
        ends = [line.replace("2026-09-01;", f"2026-09-01;{day}") for line in rows[:LEAVERS]]
        return [*ends, *rows[LEAVERS:]]

    return ended("2027-08-31"), ended(DAY)


def holders(academy: Academy) -> int:
    """The number of accounts with a right that leavers lose."""
    return sum(IPROF in entry.get("eduPersonEntitlement", []) for entry in academy.accounts().values())


def everything(academy: Academy) -> dict[str, list[bytes]]:
    """The entryCSN of every entry."""
    return {dn: entry["entryCSN"] for dn, entry in academy.sandbox.entries("o=gouv,c=fr").items()}


def test_a_run_that_loses_its_server_writes_nothing_to_the_next_one(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    academy, second = pair.academy, pair.second
    at_second: dict[str, list[bytes]] = {}
    seal = nightly.sealed

    def lagging(*arguments: Any) -> Any:
        """The lock reaches the second server, but later writes do not."""
        pair.copy_records()
        at_second.update(everything(second))
        return seal(*arguments)

    with killing(academy.sandbox, last=12) as proxy:
        pair.name_first(proxy.uri)
        rows, some_left = before_and_after()
        academy.night(DAY, academy.feed(*rows, day=DAY))
        pair.copy()
        feed = academy.feed(*some_left, day=NEXT)
        with monkeypatch.context() as patched:
            patched.setattr(nightly, "sealed", lagging)
            ran = academy.run("nightly", feed, "--as-of", NEXT, "-o", "json")
        assert proxy.fired == 1
        assert everything(second) == at_second
        assert ran.code == 8
        assert "does not switch to another one.\npiactl: The next run settles the writes in doubt." in ran.err
        assert len(passed(academy, feed, NEXT)) == PEOPLE - LEAVERS
        assert academy.run("nightly", feed, "--as-of", NEXT).code == 8
        assert holders(second) == PEOPLE
    academy.sandbox.stop()
    academy.sandbox.start()
    assert holders(academy) in (PEOPLE - 11, PEOPLE - 12), "nothing had been written at the first server"


def test_another_server_with_the_same_entries_is_known(pair: Pair) -> None:
    """The entryCSN shows that nobody has written them since."""
    academy = pair.academy
    pair.name_first(academy.sandbox.uri)
    academy.night(DAY, academy.feed(row(), IDA, day=DAY))
    pair.copy()
    feed = academy.feed(row(), IDA, day=NEXT)
    assert passed(academy, feed, NEXT) == {"1001", "1999"}
    academy.sandbox.stop()
    assert passed(academy, feed, NEXT) == {"1001", "1999"}


def test_entries_that_a_restore_brings_back_are_evaluated(academy: Academy, tmp_path: Path) -> None:
    academy.night(DAY, academy.feed(row(), IDA, day=DAY))
    shutil.copytree(academy.sandbox.folder / "slapd" / "data", tmp_path / "slapd" / "data")
    feed = academy.feed(row(civilite="MME"), IDA, day=NEXT)
    academy.night(NEXT, feed)
    assert passed(academy, feed, "2026-09-07") == {"1001", "1999"}
    academy.sandbox.stop()
    copy_data(tmp_path, academy.sandbox.folder)
    academy.sandbox.start()
    assert passed(academy, feed, "2026-09-07") == {"1999"}


@pytest.mark.parametrize(
    "command",
    [
        f"account lock claire.dubreuil --as-of {DAY}",
        f"account close claire.dubreuil --until 2026-10-01 --as-of {DAY}",
        "password reset claire.dubreuil --without-check --out FILE",
    ],
)
def test_a_command_that_loses_its_server_writes_nothing_to_the_next(pair: Pair, command: str) -> None:
    academy, second = pair.academy, pair.second
    with killing(academy.sandbox, last=1) as proxy:
        pair.name_first(proxy.uri)
        academy.night(DAY, academy.feed(row(), IDA, day=DAY))
        pair.copy()
        before = everything(second)
        words = command.replace("FILE", str(academy.folder / "codes.csv")).split()
        ran = academy.run(*words, "--reason", "trial")
        assert (proxy.fired, ran.code) == (1, 8), ran.err
        assert "does not switch to another one" in ran.err
        assert everything(second) == before
