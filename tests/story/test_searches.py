"""A plan reads the directory in whole searches: their number does not depend on the number of people. For
people who need nothing it asks only for what shows this."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.directory.client.strategy import DeadlineStrategy
from piactl.directory.open import open_reader
from piactl.directory.port import RawEntry, Reader, ServerFacts
from piactl.host_secrets import identity_password
from piactl.planning.inputs.load_feeds import read_feeds
from piactl.planning.ready_plan import ReadyPlan
from tests.planning import plan_at_once, plan_night

from .academy import Academy
from .feeds import MICHELIS, crowd, row

DAY = "2026-09-05"
NEXT = "2026-09-06"
STAMP = {"uid", "entryCSN"}


class CountingReader:
    """A reader that records what it is asked: `asked` are questions, `answered` the attributes by entry."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.asked = reader, 0
        self.answered: dict[str, set[str]] = {}

    def facts(self) -> ServerFacts:
        return self._reader.facts()

    def schema_meets(self, query: str) -> bool:
        return self._reader.schema_meets(query)

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        self.asked += 1
        return self._reader.read(dn, attributes)

    def search(self, base: str, query: str, attributes: Sequence[str], **options: Any) -> Iterator[RawEntry]:
        self.asked += 1
        for entry in self._reader.search(base, query, attributes, **options):
            self.answered.setdefault(entry.dn, set()).update(attributes)
            yield entry

    def accounts(self, academy: Academy) -> dict[str, set[str]]:
        """uid -> what was asked about that account."""
        below = f",{academy.sandbox.accounts}"
        return {
            dn.removeprefix("uid=").removesuffix(below): answered
            for dn, answered in self.answered.items()
            if dn.startswith("uid=") and dn.endswith(below)
        }


@pytest.mark.parametrize("first_load", [True, False])
def test_the_number_of_searches_does_not_grow_with_people(academy: Academy, first_load: bool) -> None:
    academy.allow_up_to(60, "create", "grant", "profile_growth", "service_growth")
    configuration = open_configuration(academy.sandbox.config)
    asked = []
    for number in (25, 50):
        feed = academy.feed(*crowd(number), day=DAY)
        if not first_load:
            academy.night(DAY, feed)
        feeds = read_feeds([str(feed)], configuration.settings.sources)
        with open_reader(configuration.settings.directory, "reader", identity_password) as reader:
            counting = CountingReader(reader)
            ready = plan_at_once(counting, configuration, feeds, date.fromisoformat(DAY))
        assert len(ready.writes) == (number if first_load else 0)
        asked.append(counting.asked)
    # one of them looks for newcomers among unmanaged entries, two look for vanished accounts
    assert asked[0] == asked[1] <= 10


def planned(academy: Academy, as_of: str, *feeds: str) -> tuple[CountingReader, ReadyPlan]:
    """What a night with these feeds would do, and what it asks for."""
    configuration = open_configuration(academy.sandbox.config)
    with open_reader(configuration.settings.directory, "reader", identity_password) as reader:
        counting = CountingReader(reader)
        ready = plan_night(counting, configuration, feeds, date.fromisoformat(as_of))
    return counting, ready


def test_a_night_without_changes_reads_only_two_attributes(academy: Academy) -> None:
    people = crowd(30)
    academy.night(DAY, academy.feed(*people, day=DAY))
    feed = academy.feed(*reversed(people), day=NEXT)
    counting, ready = planned(academy, NEXT, str(feed))
    assert len(ready.writes) == 0
    assert counting.accounts(academy) == dict.fromkeys(academy.names().values(), STAMP)
    academy.quiet_night(NEXT, feed)


def test_only_accounts_with_changed_rows_are_read_completely(academy: Academy) -> None:
    people = crowd(30)
    academy.night(DAY, academy.feed(*people, day=DAY))
    moved = [people[0].replace("0800009A", MICHELIS), *people[1:]]
    feed = academy.feed(*moved, day=NEXT)
    counting, ready = planned(academy, NEXT, str(feed))
    (write,) = ready.writes
    asked = counting.accounts(academy)
    assert "piactlAssignment" in asked.pop(write.uid)
    assert len(asked) == 29
    assert set(map(frozenset, asked.values())) == {frozenset(STAMP)}


def test_naming_a_newcomer_reads_no_more_of_existing_accounts(academy: Academy) -> None:
    people = crowd(30)
    academy.night(DAY, academy.feed(*people, day=DAY))
    namesake = row(matricule="7777", prenom="Louise", nom_famille="Vaubanaaa")
    counting, ready = planned(academy, NEXT, str(academy.feed(*people, namesake, day=NEXT)))
    (write,) = ready.writes
    assert write.uid.endswith("1")
    assert set(map(frozenset, counting.accounts(academy).values())) == {frozenset(STAMP)}


def test_a_night_without_a_feed_reads_only_those_who_are_due(academy: Academy) -> None:
    stay, leave = crowd(30), crowd(33, fin=DAY)[30:]
    academy.night(DAY, academy.feed(*stay, *leave, day=DAY))
    counting, ready = planned(academy, NEXT)
    due = {write.uid for write in ready.writes}
    assert len(due) == 3
    # for the others it asks only whether somebody has written them
    assert {uid for uid, answered in counting.accounts(academy).items() if answered != STAMP} == due


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
