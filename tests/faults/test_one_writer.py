"""One writer: of two hosts in a partition only one writes, and a run that outlasts its lock writes nothing.

`Pair.one` is the first server of the configuration.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside import ACCOUNTS, POLICIES, STATE, identity_dn
from tests.programs import stopped_at_write

from .night.moments import wait_until_stopped
from .night.world import NEXT, Ended
from .providers.delaying_proxy import Link
from .providers.pair import Pair

LATER = 400
"""Seconds after which the lock of a run that does not renew it counts as expired."""
ANOTHER_HOST = f"""
import socket
from datetime import timedelta
import piactl.clock as clock
socket.gethostname = lambda: "another.example"
real = clock.utc_now
clock.utc_now = lambda: real() + timedelta(seconds={LATER})
"""
STOPPED_AT = 130
"""The number of the write of a night at which the run stops, between its lock check and sending it."""
STOPS = stopped_at_write(STOPPED_AT)


@pytest.fixture
def way(pair: Pair) -> Iterator[Link]:
    """The connection of another host to the first server."""
    link = Link(pair.one.folder / "slapd" / "ldapi")
    yield link
    link.close()


def another_host(pair: Pair, servers: list[str]) -> Path:
    """The configuration of another host, with its own nightly identity."""
    config = pair.host("another", servers)
    dn = f"cn=another,{identity_dn('nightly')}"
    password = (pair.one.folder / "secrets" / "nightly").read_text().strip()
    values = {
        "objectClass": ["applicationProcess", "simpleSecurityObject"],
        "cn": ["another"],
        "userPassword": [password],
        "pwdPolicySubentry": [f"cn=services,{POLICIES}"],
    }
    with pair.one.root() as connection:
        connection.add(dn, attributes=values)
    pair.converge()
    config.write_text(config.read_text().replace(identity_dn("nightly"), dn))
    return config


def test_of_two_runs_in_a_partition_one_writes(pair: Pair, way: Link) -> None:
    other = another_host(pair, [way.uri, pair.two.uri])
    pair.part()
    way.cut()
    before = pair.two.stamps(ACCOUNTS)
    first = pair.one.run(pair.one.night(config=pair.config))
    second = pair.two.run(pair.two.night(config=other, prelude=ANOTHER_HOST))
    assert first.code == 0, first.said
    assert pair.two.stamps(ACCOUNTS) == before, f"both wrote, the second with exit {second.code}"
    assert second.code == 8, second.said


def test_if_the_first_server_is_down_nothing_is_written_and_reading_goes_on(pair: Pair) -> None:
    before = pair.two.stamps()
    pair.one.kill_slapd()
    uid = sorted(pair.one.before.accounts)[0].split(",")[0].removeprefix("uid=")
    lock = ("account", "lock", uid, "--reason", "stolen", "--yes")
    for words in (pair.one.night(config=pair.config), pair.one.command(*lock, config=pair.config)):
        refused = pair.one.run(words)
        assert refused.code == 8, refused.said
        assert "Only the first server of directory.servers is written to" in refused.said
    shown = pair.one.run(pair.one.command("account", "show", uid, config=pair.config))
    assert shown.code == 0, shown.said
    assert pair.two.stamps() == before


@pytest.mark.parametrize("in_flight", [1, 64])
def test_a_run_stopped_between_lock_check_and_sending_writes_nothing_after_a_takeover(
    pair: Pair, in_flight: int
) -> None:
    """The other host applies only the delta, so that only the server prevents the stale writes."""
    other = another_host(pair, [pair.one.uri, pair.two.uri])
    servers = [pair.one.uri, pair.two.uri]
    config = pair.one.configure("stale.yaml", directory__servers=servers, directory__in_flight=in_flight)
    began = time.monotonic()
    run = pair.one.spawn(pair.one.night(config=config, prelude=STOPS))
    try:
        wait_until_stopped(run.pid)
        command = pair.one.command(
            "nightly", "--as-of", str(NEXT), pair.one.feeds[1], config=other, prelude=ANOTHER_HOST
        )
        taken = pair.one.run(command)
        assert taken.code == 0, taken.said
        before = kept(pair)
    finally:
        os.kill(run.pid, signal.SIGCONT)
    ended: Ended = pair.one.wait(run, began)
    now = kept(pair)
    assert now == before, f"{len(now - before)} stale entries written, exit {ended.code}"
    assert ended.code == 7, ended.said


def kept(pair: Pair) -> frozenset[tuple[str, bytes]]:
    """The DN and entryCSN of accounts and of piactl's memory of the nights."""
    return (
        pair.one.stamps(ACCOUNTS)
        | pair.one.stamps(f"cn=state,{STATE}")
        | pair.one.stamps(f"ou=sources,{STATE}")
    )
