"""Going over very many people some at a time.

Looking at everybody at once holds all accounts and all rows in memory. This goes over the accounts, and over
the people without one, in batches, each with the rows of its people alone. Of those who need nothing it keeps
a mark, of those who need something it sets that aside; whoever cannot be judged beside the batch only is then
looked at together with all others of that kind.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

from piactl.core.model.account import State
from piactl.core.plan.run_state import Memory
from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.address_allocation import claim_of
from piactl.core.rules.desired import MATRICULE, NUMEN, Desired
from piactl.directory.port import EntryWrite, Reader
from piactl.directory.store.accounts import Entry, Unreadable, read_accounts_named
from piactl.directory.store.attribute_scans import read_numens, read_stamps, read_tombstones
from piactl.directory.store.state_records import read_memory
from piactl.errors import FeedRefused
from piactl.feed.feed import Feed
from piactl.feed.fingerprints import Skipped
from piactl.feed.reader import read_feed
from piactl.feed.row_index import RowIndex, open_row_index
from piactl.flows.plan.chunked.duplicate_numens import SharedNumens, twice
from piactl.flows.plan.chunked.staging import Aside, ChangedRow
from piactl.flows.plan.incremental.evaluate import Look
from piactl.flows.plan.incremental.unchanged import Scan, Settling
from piactl.flows.plan.inputs.account_index import Book
from piactl.flows.plan.inputs.load_feeds import in_order
from piactl.flows.plan.inputs.merge_feeds import SourcedFeed, Told, judged
from piactl.flows.plan.inputs.numen_conflicts import hold_shared_numens
from piactl.flows.plan.rows.entry_diff import Differing
from piactl.flows.site import Site

MANY = 100_000
"""Fewer people to look at are looked at all at once, which takes less time."""

BATCH = 4_000
"""People looked at together: some 14 KiB each."""


def sift(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    settling: Settling,
    as_of: date,
    tick: Callable[[], None],
    accepted: Collection[str] = (),
) -> None:
    """Makes `settling` pass by whoever needs nothing, or what is set aside, but for the people `accepted` by
    hand. Nobody is passed by where a feed is refused: reading it as a whole says why. `tick` is called
    between two batches."""
    try:
        with ExitStack() as stack:
            sifting = _Sifting(reader, site, settling, as_of)
            sifting.apart |= set(accepted)
            for scan in scans:
                if scan.lines is None:
                    if scan.feed is None or scan.feed.facts.full:
                        return
                    sifting.put_apart(scan.feed)
                    continue
                rows = stack.enter_context(open_row_index(scan.path, scan.source, scan.lines))
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
        self.aside = Aside(Path(site.settings.state_folder))
        self.memory = read_memory(reader, self.directory.state, site.keys, site.unreadable).memory
        absent = {key[0] for source in self.memory.sources.values() for key in source.absences}
        self.apart: set[str] = {*self.memory.waiting, *absent}
        sources = {name: replace(one, absences={}) for name, one in self.memory.sources.items()}
        self.calm = Memory(self.memory.last, sources)
        self.feeds: list[SourcedFeed] = []
        self.rows: dict[str, RowIndex] = {}
        self.numens = SharedNumens()
        self.matricules = array("q")

    def add(self, feed: SourcedFeed, rows: RowIndex) -> None:
        self.feeds = in_order([*self.feeds, feed], self.site.settings.sources)
        self.rows[feed.source.name] = rows

    def put_apart(self, delta: Feed) -> None:
        """Whoever a delta tells of is looked at with everybody else that is left."""
        self.apart |= {*delta.people, *delta.held}
        self._keep_numens(delta)

    def go_over(self, tick: Callable[[], None]) -> None:
        settling = self.settling
        some_settled = settling.passes
        settling.old, settling.settled = settling.new, settling.new.packed
        batches = self._batches()
        if some_settled:
            for uid, matricule, digest in read_numens(self.reader, self.directory, self.site.encoding):
                if key_of(uid, matricule) in settling.settled:
                    self.numens.add([digest])
        for uids in batches:
            tick()
            self._look_at(uids.split("\n"))
        for matricules in self._without_account():
            tick()
            self._look_at_newcomers(matricules)
        settling.aside = self.aside if len(self.aside) else None
        self._read_numens_apart()
        shared = self.numens.find()
        if shared:
            everybody = read_numens(self.reader, self.directory, self.site.encoding)
            settling.look_at((uid, matricule) for uid, matricule, digest in everybody if digest in shared)
            settling.look_at(map(self.aside.account, shared.changed))
            for number in shared.newcomers:
                self.aside.forget_newcomer(number)

    def _batches(self) -> list[str]:
        """The uids of all accounts that are not settled, those of a batch in one text, which takes a third of
        the memory. Those that share a matricule are put apart, to be looked at together."""
        settling, matricules = self.settling, self.matricules
        batches: list[str] = []
        uids: list[str] = []
        settling.others.clear()
        for uid, matricule, _ in read_stamps(self.reader, self.directory, self.site.encoding):
            if matricule is not None:
                matricules.append(hash(matricule))
            if key_of(uid, matricule) in settling.settled:
                continue
            # a line break in a uid is another hand's
            (uids if "\n" not in uid else settling.others).append(uid)
            if len(uids) == BATCH:
                batches.append("\n".join(uids))
                uids.clear()
        if uids:
            batches.append("\n".join(uids))
        self.matricules = array("q", sorted(matricules))
        doubled = twice(self.matricules)
        if doubled:
            stamps = read_stamps(self.reader, self.directory, self.site.encoding)
            self.apart |= {
                matricule for _, matricule, _ in stamps if matricule and hash(matricule) in doubled
            }
        return batches

    def _look_at(self, uids: Sequence[str]) -> None:
        """Marks those of a batch who need nothing, sets aside what others need; the rest will be looked at
        with everybody else's."""
        settling, book, foreign = self.settling, Book(), self.memory.foreign_addresses
        for entry in read_accounts_named(self.reader, self.directory, self.site.encoding, uids):
            if isinstance(entry, Unreadable):
                continue
            if entry.account.matricule not in self.apart and entry.account.uid not in foreign:
                book.add(entry)
            elif entry.account.numen_digest:
                self.numens.add_apart(entry.account.matricule, [entry.account.numen_digest])
        look, told = self._look(book, book.by_matricule)
        for entry in book.entries():
            own = filter(None, [entry.account.numen_digest])
            self.numens.add({*self._numens(told, entry.account.matricule), *own})
        desired = self._desired(look, told)
        unsure = look.unsure(told, Memory(None, told.sources))
        changed = set()
        differing = Differing(self.reader, self.site, self.rules, book, {}, told_once=False)
        for one in desired:
            current = one.subject.current
            held = book.by_matricule.get(one.subject.matricule or "")
            if current is not None and held is not None:
                write = differing.write(one)
                if one.base is not None or write is not None:
                    changed.add(current.uid)
                if write is not None and not {current.uid, current.matricule} & unsure:
                    number = self._set_aside(one, held, write, differing, look)
                    if number is not None:
                        self.numens.changes(number, self._numens(told, current.matricule))
        changed |= {e.account.uid for e in book.archived.values() if differing.link_of_archived(e)}
        look.mark_settled({*unsure, *changed})
        passed = {
            entry.account.uid
            for entry in book.entries()
            if (key := key_of(entry.account.uid, entry.account.matricule)) in settling.settled
            or key in self.aside
        }
        settling.others += [uid for uid in uids if uid not in passed]

    def _set_aside(
        self, one: Desired, entry: Entry, write: EntryWrite, differing: Differing, look: Look
    ) -> int | None:
        """Keeps what an account needs, unless others have a say in that; its number."""
        current, csn = entry.account, entry.csn
        if one.base is not None or one.account.state is State.ARCHIVED or differing.protected(one):
            return None
        if current.foreign_addresses:  # they may be of another account, and are told
            return None
        settling = self.settling
        before = settling.mark_of(current, 0, self.as_of)
        if before is None:  # some source is silent
            return None
        mark = settling.foreseen(one.account, csn, self.as_of) if look.listed(one.account) else None
        account_write, changes = differing.row(one, write)
        row = ChangedRow(account_write, tuple(changes), settling.home(one.account, self.as_of), mark)
        return self.aside.add_changed(key_of(current.uid, current.matricule), before, row)

    def _without_account(self) -> Iterator[list[str]]:
        """The people in the feeds who have none, a batch at a time."""
        settled, known = self.settling.settled, self.matricules
        tombs: set[str] | None = None
        batch: list[str] = []
        for matricule in self.settling.rows:
            if matricule in settled or matricule in self.aside or matricule in self.apart:
                continue
            number = hash(matricule)
            at = bisect_left(known, number)
            if at < len(known) and known[at] == number:
                continue
            if tombs is None:
                tombs = set(read_tombstones(self.reader, self.directory, self.site.encoding))
            # whoever comes back from the archive is no newcomer
            if tombs and not tombs.isdisjoint(self.rules.keys.candidates(MATRICULE, matricule)):
                self.apart.add(matricule)
                continue
            batch.append(matricule)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _look_at_newcomers(self, matricules: Sequence[str]) -> None:
        """Sets aside the accounts to be made for a batch of people who have none."""
        look, told = self._look(Book(), matricules)
        desired = self._desired(look, told)
        unsure = look.unsure(told, Memory(None, told.sources))
        by_matricule = {one.subject.matricule: one for one in desired}
        numbers = {}
        for matricule in matricules:
            one = by_matricule.get(matricule)
            claim = claim_of(one, self.rules.policy) if one else None
            if one is not None and claim is not None and matricule not in unsure:
                numbers[matricule] = self.aside.add_newcomer(matricule, one, claim)
        for matricule in told.people:
            numens = self._numens(told, matricule)
            self.numens.add(numens)
            if matricule in numbers:
                self.numens.comes(numbers[matricule], numens)

    def _read_numens_apart(self) -> None:
        """Adds what the feeds tell of those who were put apart."""
        apart = iter(self.apart)
        while some := list(islice(apart, BATCH)):
            for sourced in self.feeds:
                self._keep_numens(self._of(sourced, some).feed)

    def _keep_numens(self, feed: Feed) -> None:
        """Keeps the NUMENs of a feed as those of people put apart."""
        for matricule, person in feed.people.items():
            if person.numen is not None:
                found = self.rules.keys.candidates(NUMEN, person.numen.reveal())
                self.numens.add_apart(matricule, found)

    def _look(self, book: Book, matricules: Iterable[str]) -> tuple[Look, Told]:
        feeds = [self._of(sourced, matricules) for sourced in self.feeds]
        look = Look(self.site, feeds, self.as_of, self.calm, book, self.settling, lambda: None)
        return look, look.told()

    def _desired(self, look: Look, told: Told) -> list[Desired]:
        hold_shared_numens(told, look.book, self.memory, self.rules.keys)
        return look.desired(look.subjects(told), ())

    def _numens(self, told: Told, matricule: str | None) -> set[str]:
        """The digests that the NUMEN which the feeds tell of somebody may have."""
        person = told.people.get(matricule or "")
        numen = person.numen if person else None
        return set(self.rules.keys.candidates(NUMEN, numen.reveal())) if numen else set()

    def _of(self, sourced: SourcedFeed, people: Iterable[str]) -> SourcedFeed:
        """A feed as if it had the rows of these people alone, judged."""
        feed, rows = sourced.feed, self.rows[sourced.source.name].of(people)
        held = {**feed.held, **rows.held}
        feed = replace(feed, people=rows.people, held=held, remarked=feed.remarked | rows.remarked)
        return judged(replace(sourced, feed=feed), self.rules.policy, self.rules.register)
