"""A plan reads the directory in whole searches: their number does not follow the number of people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import pytest

from piactl.directory.opening import open_reader
from piactl.directory.port import RawEntry, Reader, ServerFacts
from piactl.flows.feeding import read_feeds
from piactl.flows.planning import propose
from piactl.flows.site import open_site
from piactl.secrets import read_password

from .academy import Academy
from .feeds import crowd

DAY = "2026-09-05"


class CountingReader:
    """A reader that counts what is asked of it."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.asked = reader, 0

    def facts(self) -> ServerFacts:
        return self._reader.facts()

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        self.asked += 1
        return self._reader.read(dn, attributes)

    def search(self, *arguments: Any, **options: Any) -> Iterator[RawEntry]:
        self.asked += 1
        return self._reader.search(*arguments, **options)


@pytest.mark.parametrize("first_load", [True, False])
def test_searches_do_not_follow_people(academy: Academy, first_load: bool) -> None:
    site = open_site(academy.sandbox.config)
    asked = []
    for number in (4, 50):
        feed = academy.feed(*crowd(number), day=DAY)
        if not first_load:
            academy.night(DAY, feed)
        feeds = read_feeds([str(feed)], site.settings.sources)
        with open_reader(site.settings.directory, "reader", read_password) as reader:
            counting = CountingReader(reader)
            proposal = propose(counting, site, feeds, date.fromisoformat(DAY))
        assert len(proposal.writes) == (number if first_load else 0)
        asked.append(counting.asked)
    assert asked[0] == asked[1] <= 6
