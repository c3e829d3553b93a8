"""A plan reads the directory in whole searches: their number does not depend on the number of people. For
people who need nothing it asks only for what shows this."""

from __future__ import annotations

import os

import pytest

from piactl.directory.client.strategy import DeadlineStrategy

from .academy import Academy
from .feeds import crowd

DAY = "2026-09-05"
NEXT = "2026-09-06"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is sent to the server."""
    sent: list[bytes] = []
    send = DeadlineStrategy.send_bytes
    monkeypatch.setattr(
        DeadlineStrategy, "send_bytes", lambda self, data: (sent.append(data), send(self, data))[1]
    )
    return sent


def test_a_quiet_night_has_few_requests_and_few_syncs(
    academy: Academy, requests: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = crowd(3)
    for _ in range(2):
        academy.night(DAY, academy.feed(*people, day=DAY))
    syncs, sync, sync_data = [], os.fsync, os.fdatasync
    monkeypatch.setattr(os, "fsync", lambda file: (syncs.append(file), sync(file))[1])
    monkeypatch.setattr(os, "fdatasync", lambda file: (syncs.append(file), sync_data(file))[1])
    requests.clear()
    academy.quiet_night(DAY, academy.feed(*reversed(people), day=DAY))
    assert 0 < len(requests) <= 20
    # two for each of three lines of the journal (begin, plan, end); two for the list of applied feeds
    assert 0 < len(syncs) <= 8
    uid, by_hand = min(academy.names().values()), ("--as-of", DAY, "--reason", "essai")
    # the first command by hand makes the record that shows the clock of the server
    assert academy.run("account", "lock", uid, *by_hand).code == 0
    requests.clear()
    assert academy.run("account", "unlock", uid, *by_hand).code == 0
    assert 0 < len(requests) <= 15
    requests.clear()
    assert academy.run("account", "show", uid, "--as-of", DAY).code == 0
    assert 0 < len(requests) <= 8
