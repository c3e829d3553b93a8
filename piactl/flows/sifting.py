"""Finding who needs nothing among very many people, some at a time, where no marks tell.

Looking at everybody at once holds all accounts and all rows in memory. This goes over the accounts in
batches, each with the rows of its people alone, and keeps of those who need nothing a mark; whoever does need
something, or cannot be judged beside the batch only, is then looked at together with all others of that kind.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from itertools import pairwise

from piactl.core.desired import NUMEN
from piactl.core.memory import Memory
from piactl.core.settled import key_of
from piactl.directory.accounts import (
    Unreadable,
    account_write,
    read_accounts_named,
    read_accounts_with,
    read_stamps,
)
from piactl.directory.port import Reader
from piactl.directory.records import read_memory
from piactl.errors import FeedRefused
from piactl.feed.linedigests import Skipped
from piactl.feed.picking import PickedRows, picked_rows
from piactl.feed.reading import read_feed
from piactl.flows.book import Book
from piactl.flows.feeding import in_order
from piactl.flows.holding import hold_shared_numens
from piactl.flows.looking import Look
from piactl.flows.settling import Scan, Settling
from piactl.flows.site import Site
from piactl.flows.telling import SourcedFeed, judged

MANY = 100_000
"""With fewer people in the feeds, everybody is looked at at once, which takes less time."""

BATCH = 4_000
"""Accounts looked at together: some 14 KiB each."""


def sift(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    settling: Settling,
    as_of: date,
    tick: Callable[[], None],
) -> None:
    """Makes `settling` pass by whoever needs nothing. Nobody is passed by where a feed is refused: reading it
    as a whole says why. `tick` is called between two batches."""
    try:
        with ExitStack() as stack:
            sifting = _Sifting(reader, site, settling, as_of)
            for scan in scans:
                if scan.lines is None:
                    return
                rows = stack.enter_context(picked_rows(scan.path, scan.source, scan.lines))
                # what the file as a whole says, without anybody's rows
                feed = read_feed(scan.path, scan.source, Skipped(scan.lines, scan.lines.people))
                sifting.add(SourcedFeed(feed, scan.source, scan.path), rows)
            sifting.go_over(tick)
    except FeedRefused:
        settling.pass_nobody()


class _Sifting:
    def __init__(self, reader: Reader, site: Site, settling: Settling, as_of: date) -> None:
        self.reader, self.site, self.settling, self.as_of = reader, site, settling, as_of
        self.directory, self.rules = site.settings.directory, site.rules(as_of)
        self.memory = read_memory(reader, self.directory.state).memory
        absent = {key[0] for source in self.memory.sources.values() for key in source.absences}
        self.apart: set[str] = {*self.memory.waiting, *absent}
        sources = {name: replace(one, absences={}) for name, one in self.memory.sources.items()}
        self.calm = Memory(self.memory.last, sources)
        self.feeds: list[SourcedFeed] = []
        self.rows: dict[str, PickedRows] = {}
        # who shares a NUMEN is looked at, in whichever batches they were; numbers take less memory
        self.numens = array("q")

    def add(self, feed: SourcedFeed, rows: PickedRows) -> None:
        self.feeds = in_order([*self.feeds, feed], self.site.settings.sources)
        self.rows[feed.source.name] = rows

    def go_over(self, tick: Callable[[], None]) -> None:
        settling = self.settling
        settling.old, settling.settled = settling.new, settling.new.packed
        for uids in self._batches():
            tick()
            self._look_at(uids.split("\n"))
        shared = _twice(self.numens)
        if shared:
            settling.look_at(self._sharing(shared))

    def _batches(self) -> list[str]:
        """The uids of all accounts, those of a batch in one text, which takes a third of the memory. Those
        that share a matricule are put apart, to be looked at together."""
        batches: list[str] = []
        uids: list[str] = []
        matricules = array("q")
        for uid, matricule, _ in read_stamps(self.reader, self.directory, self.site.encoding):
            # a line break in a uid is another hand's
            (uids if "\n" not in uid else self.settling.others).append(uid)
            if len(uids) == BATCH:
                batches.append("\n".join(uids))
                uids.clear()
            if matricule is not None:
                matricules.append(hash(matricule))
        if uids:
            batches.append("\n".join(uids))
        doubled = _twice(matricules)
        if doubled:
            stamps = read_stamps(self.reader, self.directory, self.site.encoding)
            self.apart |= {
                matricule for _, matricule, _ in stamps if matricule and hash(matricule) in doubled
            }
        return batches

    def _sharing(self, shared: set[int]) -> Iterator[tuple[str, str | None]]:
        """Who has one of these NUMENs, by uid and matricule."""
        for entry in read_accounts_with(self.reader, self.directory, self.site.encoding, "piactlNumenDigest"):
            if not isinstance(entry, Unreadable) and hash(entry.account.numen_digest) in shared:
                yield entry.account.uid, entry.account.matricule

    def _look_at(self, uids: Sequence[str]) -> None:
        """Marks those of a batch who need nothing; the others will be looked at with everybody else's."""
        settling, book = self.settling, Book()
        for entry in read_accounts_named(self.reader, self.directory, self.site.encoding, uids):
            if isinstance(entry, Unreadable):
                continue
            if entry.account.matricule not in self.apart:
                book.add(entry)
            elif entry.account.numen_digest:
                self.numens.append(hash(entry.account.numen_digest))
        feeds = [self._of(sourced, book.by_matricule) for sourced in self.feeds]
        look = Look(self.site, feeds, self.as_of, self.calm, book, settling, lambda: None)
        told = look.told()
        for entry in book.entries():
            person = told.people.get(entry.account.matricule or "")
            numen = person.numen if person else None
            found = self.rules.keys.candidates(NUMEN, numen.reveal()) if numen else ()
            self.numens.extend(map(hash, {*found, *filter(None, [entry.account.numen_digest])}))
        hold_shared_numens(told, book, self.memory, self.rules.keys)
        changed = {}
        for one in look.desired(look.subjects(told), ()):
            current = one.subject.current
            held = book.by_matricule.get(one.subject.matricule or "")
            if current is not None and held is not None:
                write = account_write(self.directory, self.site.encoding, held, one.account)
                if one.base is not None or write is not None:
                    changed[current.uid] = one.account
        look.leave_marks(told, Memory(None, told.sources), changed)
        settling.written.clear()
        passed = {
            entry.account.uid
            for entry in book.entries()
            if key_of(entry.account.uid, entry.account.matricule) in settling.settled
        }
        settling.others += [uid for uid in uids if uid not in passed]

    def _of(self, sourced: SourcedFeed, people: Iterable[str]) -> SourcedFeed:
        """A feed as if it had the rows of these people alone, judged."""
        feed, rows = sourced.feed, self.rows[sourced.source.name].of(people)
        held = {**feed.held, **rows.held}
        feed = replace(feed, people=rows.people, held=held, remarked=feed.remarked | rows.remarked)
        return judged(replace(sourced, feed=feed), self.rules.policy, self.rules.register)


def _twice(numbers: array[int]) -> set[int]:
    """The numbers that stand there more than once."""
    return {one for one, other in pairwise(sorted(numbers)) if one == other}
