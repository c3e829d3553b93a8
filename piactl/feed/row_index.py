"""Reads the rows of chosen people from a feed, by random access."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.plan import Rejection
from piactl.errors import FeedRefused
from piactl.feed.csv_row_parser import BrokenRow, FieldTooLong, RowParser, without_end
from piactl.feed.encoding_and_header import UnclosedQuote
from piactl.feed.feed import Feed
from piactl.feed.feed_file import OpenFeed, open_feed
from piactl.feed.fingerprints import LineDigests
from piactl.feed.people_builder import PeopleBuilder


class RowIndex:
    """An index of the lines of an open feed, sorted by owner. It needs less memory than a table of all
    people. `descriptor` is that of the feed; reading moves no position in it."""

    def __init__(self, path: Path, opened: OpenFeed, lines: LineDigests) -> None:
        self._file, self._source = path.name, opened.source.name
        self._place = opened.written.place if opened.written else None
        self.descriptor = opened.stream.fileno()
        self._rows = RowParser(lines.layout, opened.source)
        self._owners = owners = lines.owners
        self._places = lines.offsets
        self._order = array(
            "I", sorted((line for line, owner in enumerate(owners) if owner), key=owners.__getitem__)
        )

    def of(self, matricules: Iterable[str]) -> PeopleBuilder:
        """The rows of these people alone. Raises FeedRefused for a row that refuses the whole feed;
        `read_feed` then reports which row, and why."""
        people = PeopleBuilder(self._file, self._source, self._place)
        for matricule in matricules:
            for line in self._lines_of(matricule):
                start, end = self._places[line], self._places[line + 1]
                try:
                    row = self._rows.read(without_end(os.pread(self.descriptor, end - start, start)))
                except (UnclosedQuote, FieldTooLong):
                    raise FeedRefused(self._file, [("row", "a row cannot be read")]) from None
                if isinstance(row, BrokenRow):
                    people.add_broken(row, line + 1)
                else:
                    people.add(row, line + 1)
        people.finish()
        return people

    def _lines_of(self, matricule: str) -> Iterator[int]:
        """The lines of a matricule in file order; the header is line 0."""
        order, owners = self._order, self._owners
        index = bisect_left(order, matricule, key=owners.__getitem__)
        while index < len(order) and owners[order[index]] == matricule:
            yield order[index]
            index += 1


@contextmanager
def open_row_index(path: Path, source: SourceSettings, lines: LineDigests) -> Iterator[RowIndex]:
    """The row index of a feed whose lines are digested. Raises FeedRefused if the file cannot be read, then
    or while the caller reads it."""
    with open_feed(path, source) as opened:
        yield RowIndex(path, opened, lines)


def with_rejections(feed: Feed, path: Path, source: SourceSettings, rejections: Iterable[Rejection]) -> Feed:
    """The feed with more rejections, made by the policy or the naming rule, and the raw bytes of their rows.

    Includes all rows of the people concerned. If the feed at `path` can no longer be read, the rejections are
    added without the bytes.
    """
    more = tuple(rejections)
    if not more:
        return feed
    people = {r.matricule for r in more if r.matricule in feed.people}
    lines = {line for matricule in people for line in feed.people[matricule or ""].lines}
    places = {(r.file, r.line) for r in more if r.line}
    raw = dict(feed.raw_lines)
    try:
        with open_feed(path, source) as opened:
            for number, text in enumerate(opened.stream, start=1):
                if number in lines or feed.place(number) in places:
                    raw[number] = text
    except (OSError, FeedRefused):
        pass
    return replace(feed, rejections=(*feed.rejections, *more), raw_lines=raw)
