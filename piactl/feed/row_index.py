"""Reading the rows of some people of a feed, wherever they stand in it."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.plan import Rejection
from piactl.errors import FeedRefused
from piactl.feed.csv_record import UnclosedQuote
from piactl.feed.feed import Feed
from piactl.feed.feed_file import open_feed
from piactl.feed.fingerprints import LineDigests
from piactl.feed.people_builder import Gathering
from piactl.feed.row_parser import BrokenRow, FieldTooLong, RowReader, without_end


class PickedRows:
    """The lines of an open feed in the order of their owners, so that anybody's are found without a table of
    all people."""

    def __init__(
        self, path: Path, source: SourceSettings, stream: BufferedReader, lines: LineDigests
    ) -> None:
        self._file, self._source = path.name, source.name
        self._descriptor = stream.fileno()
        self._rows = RowReader(lines.layout, source)
        self._owners = owners = lines.owners
        self._places = array("Q", [0])
        place = 0
        for raw in stream:
            place += len(raw)
            self._places.append(place)
        most = min(len(owners), len(self._places) - 1)
        self._order = array("I", sorted((at for at in range(most) if owners[at]), key=owners.__getitem__))

    def of(self, matricules: Iterable[str]) -> Gathering:
        """What the rows of these people say, nobody else's being known. Raises FeedRefused for a row that
        refuses the feed: reading the whole of it says which, and why."""
        found = Gathering(self._file, self._source)
        for matricule in matricules:
            for at in self._lines_of(matricule):
                start, end = self._places[at], self._places[at + 1]
                try:
                    row = self._rows.read(without_end(os.pread(self._descriptor, end - start, start)))
                except (UnclosedQuote, FieldTooLong):
                    raise FeedRefused(self._file, [("row", "a row cannot be read")]) from None
                if isinstance(row, BrokenRow):
                    found.add_broken(row, at + 1)
                else:
                    found.add(row, at + 1)
        found.finish()
        return found

    def _lines_of(self, matricule: str) -> Iterator[int]:
        """Its lines in the order of the file, the header's being 0."""
        order, owners = self._order, self._owners
        at = bisect_left(order, matricule, key=owners.__getitem__)
        while at < len(order) and owners[order[at]] == matricule:
            yield order[at]
            at += 1


@contextmanager
def picked_rows(path: Path, source: SourceSettings, lines: LineDigests) -> Iterator[PickedRows]:
    """The rows of a feed that was gone over. Raises FeedRefused where it cannot be read, for what fails later
    too."""
    with open_feed(path, source) as stream:
        yield PickedRows(path, source, stream, lines)


# Rows that read well and that the policy or the names rule rejects: their bytes, read once more.


def with_rejections(feed: Feed, path: Path, rejections: Iterable[Rejection]) -> Feed:
    """The feed with these rejections too, and the raw bytes of all rows of the people that they concern.

    `path` is the file that the feed was read from; where it cannot be read any more the feed comes back
    with the rejections and without those bytes.
    """
    more = tuple(rejections)
    if not more:
        return feed
    people = {r.matricule for r in more if r.matricule in feed.people}
    lines = {line for matricule in people for line in feed.people[matricule or ""].lines}
    lines |= {r.line for r in more if r.line}
    raw = dict(feed.raw_lines)
    try:
        with path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if number in lines:
                    raw[number] = text
    except OSError:
        pass
    return replace(feed, rejections=(*feed.rejections, *more), raw_lines=raw)
