"""Passing by the accounts that need nothing: whose entry, whose lines in the feeds and whose next day are as
they were when a night last looked at them (see `core.settled`).

The marks are a cache of this host: without them, or where anything they rest on has moved, a night looks at
everybody and finds the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from piactl import __version__
from piactl.core.model.account import Account
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.diff import home_establishments
from piactl.core.plan.sync_cache import (
    MOST_SOURCES,
    NOTHING_DUE,
    Mark,
    Marks,
    NameDigests,
    csn_digest,
    has_csn,
    key_of,
    name_digest,
    with_csn,
)
from piactl.core.rules.desired import local_of
from piactl.directory.port import Reader, WriteResult
from piactl.directory.store.attribute_scans import Stamp, read_stamps
from piactl.directory.store.state_records import read_last
from piactl.feed.feed import Feed
from piactl.feed.fingerprints import LineDigests, Skipped, digest_lines
from piactl.feed.reader import read_feed
from piactl.flows.plan.chunked.staging import Aside
from piactl.flows.plan.incremental.cache_file import load
from piactl.flows.plan.inputs.account_index import LIVE
from piactl.flows.site import Site

MOST = 0.3
"""Where a larger share of the accounts is not settled, looking at everybody is as fast."""


class NotSettled(Exception):
    """Something of this run touches people who were to be passed by. `accounts` are who they are, by uid and
    matricule; none where that is not known, and everybody has to be looked at."""

    def __init__(self, accounts: Collection[tuple[str, str | None]] = ()) -> None:
        self.accounts = tuple(accounts)
        super().__init__()


@dataclass(frozen=True, slots=True)
class Scan:
    """One feed as it was gone over before it is read; `lines` None: it was read at once, as `feed`."""

    source: SourceSettings
    path: Path
    lines: LineDigests | None
    feed: Feed | None = None


@dataclass(slots=True)
class Settling:
    """What a run may pass by, and what it will leave for the next one.

    `settled` are the keys of accounts to pass by, `others` the uids of those to look at; `aside` are people
    that need something, which is known already. `rows` are the digests of all people in the feeds, `present`
    who is in the feed of each source. `written` are the keys and marks, by uid, of what this run will write;
    until that is written they have the entryCSN of what was read, or that of b"" for an account to be made.
    """

    old: Marks
    new: Marks
    rows: Mapping[str, int] = field(repr=False)
    present: Sequence[Container[str]] = field(repr=False)
    settled: dict[str, bytes] = field(default_factory=dict, repr=False)
    others: list[str] = field(default_factory=list)
    written: dict[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)
    aside: Aside | None = field(default=None, repr=False)
    leaves: bool = True
    """Whether the marks are left for the next run."""

    @property
    def passes(self) -> bool:
        """Whether anybody is passed by."""
        return bool(self.settled) or self.aside is not None

    def __contains__(self, key: object) -> bool:
        """Whether whoever has this key is passed by."""
        return key in self.settled or (self.aside is not None and key in self.aside)

    def to_look_at(self) -> int:
        """How many people cannot be passed by, as far as is known."""
        return max(len(self.rows) - len(self.settled), len(self.others))

    def marks(self) -> Iterator[bytes]:
        """The marks of all accounts that are passed by, as they are before the run."""
        yield from self.settled.values()
        if self.aside is not None:
            yield from self.aside.changed.values()

    def pass_nobody(self) -> None:
        """Everybody has to be looked at."""
        self.settled.clear()
        self.aside = None
        self.others.clear()
        self.written.clear()
        self.new.packed.clear()
        self.new.more_names.clear()

    def look_at(self, accounts: Iterable[tuple[str, str | None]]) -> None:
        """These, by uid and matricule, have to be looked at; what else the last look left is forgotten."""
        for uid, matricule in accounts:
            key = key_of(uid, matricule)
            known = self.settled.pop(key, None) or (self.aside and self.aside.changed.pop(key, None))
            if known:
                self.others.append(uid)
        self.written.clear()

    def let_go(self) -> None:
        """Forgets what is needed no more once the plan is made."""
        self.aside, self.rows, self.present = None, {}, ()

    def skipped(self, lines: LineDigests | None) -> Skipped | None:
        if lines is None or not self.passes:
            return None
        return Skipped(lines, self.settled if self.aside is None else self)

    def names(self) -> NameDigests:
        """Every name of the accounts that are passed by."""
        return self.old.names(self.marks(), self)

    def mark(self, account: Account, csn: bytes, as_of: date) -> None:
        """Leaves a mark of an account that is as the rules want it. None where a source that has a say on it
        was silent: that silence may mean something another night."""
        packed = self.mark_of(account, csn_digest(csn), as_of)
        if packed is not None:
            self.new.packed[key_of(account.uid, account.matricule)] = packed

    def foresee(self, account: Account, read: bytes, as_of: date) -> None:
        """Prepares the mark of an account as this run will write it; `read` is the entryCSN with which its
        entry was read, b"" where there is none."""
        foreseen = self.foreseen(account, read, as_of)
        if foreseen is not None:
            self.written[account.uid] = foreseen

    def foreseen(self, account: Account, read: bytes, as_of: date) -> tuple[str, bytes] | None:
        """The key and the mark that `foresee` prepares."""
        packed = self.mark_of(account, csn_digest(read), as_of)
        return None if packed is None else (key_of(account.uid, account.matricule), packed)

    def mark_written(self, uid: str, result: WriteResult) -> None:
        """Leaves the mark of an account that this run has written.

        Only where the answer to that very write says that it went over the entry that was read, and which
        entryCSN it gave it: what another hand wrote before or after is then looked at the next night.
        """
        if not result.csn_after:
            return
        key, packed = self.written.pop(uid, ("", b""))
        unknown = result.write.op == "modify" and not result.csn_before
        if key and not unknown and has_csn(packed, result.csn_before):
            self.new.packed[key] = with_csn(packed, result.csn_after)

    def mark_of(self, account: Account, csn: int, as_of: date) -> bytes | None:
        """The mark that `mark` leaves; its names beyond the first are kept at once."""
        running = {a.source for a in account.assignments if a.end is None or a.end >= as_of}
        mine = [at for at, name in enumerate(self.new.sources) if name in running]
        if any(account.matricule not in self.present[at] for at in mine):
            return None
        sources = sum(1 << at for at in mine)
        due = account.next_due.toordinal() if account.next_due else NOTHING_DUE
        rows = self.rows.get(account.matricule or "", 0)
        key = key_of(account.uid, account.matricule)
        name, *more = sorted({name_digest(local_of(one)) for one in account.names}) or [0]
        self.new.more_names.pop(key, None)
        if more:
            self.new.more_names[key] = more
        return Mark(csn, rows, name, due, self.home(account, as_of), sources).packed()

    def home(self, account: Account, as_of: date) -> int:
        """The number in `new.homes` of where an account counts in the census."""
        home = (home_establishments(account, as_of), account.profiles)
        return self.new.home(home, live=account.state in LIVE)


def nobody_settled(reader: Reader, site: Site, scans: Sequence[Scan], as_of: date) -> Settling | None:
    """Where no marks can tell, without feeds or with a delta: nobody is settled, and no marks will be left.
    None where the people of a full feed, or of two of one source, cannot be told one by one."""
    full = [scan for scan in scans if scan.lines is not None]
    deltas = [scan.feed for scan in scans if scan.feed is not None]
    names = tuple(scan.source.name for scan in full)
    if any(feed.facts.full for feed in deltas) or len({*names}) < len(names) or len(names) > MOST_SOURCES:
        return None
    marks = Marks(_basis(reader, site), as_of.toordinal(), names)
    present = [scan.lines.people for scan in full if scan.lines]
    return Settling(marks, marks, _rows(full) or {}, present, leaves=False)


def settle(reader: Reader, site: Site, scans: Sequence[Scan], as_of: date) -> Settling | None:
    """What may be passed by in a run with these feeds; None where nothing can be known of the people in them.

    Reads three attributes of every account, and only where there are marks to compare them with.
    """
    rows = _rows(scans)
    if rows is None:
        return None
    names = tuple(scan.source.name for scan in scans)
    server = reader.facts().server
    new = Marks(_basis(reader, site), as_of.toordinal(), names, server)
    old = load(site)
    present = [scan.lines.people for scan in scans if scan.lines]
    settling = Settling(old or new, new, rows, present)
    if old is None or old.basis != new.basis or old.sources != names or old.as_of > new.as_of:
        return settling
    last = read_last(reader, site.settings.directory.state, site.unreadable)
    # from its first write to its end a run is not clean: then nobody knows what became of its writes
    if old.server != server or last is None or not last.clean or last.run != old.run:
        return settling
    _compare(settling, read_stamps(reader, site.settings.directory, site.encoding), as_of.toordinal())
    if reader.facts().server != server:
        settling.pass_nobody()
    if len(settling.others) > MOST * (len(settling.others) + len(settling.settled)):
        settling.pass_nobody()
    new.homes[:] = old.homes
    # what is left for the next night is what was passed by, and what this one will add
    new.packed = settling.settled
    new.more_names = old.more_names
    return settling


def scan_feed(source: SourceSettings, path: Path, key: bytes) -> Scan:
    """Goes over a feed. Raises FeedRefused where it is read at once and refused."""
    lines = digest_lines(path, source, key) if source.full else None
    return Scan(source, path, lines, None if lines is not None else read_feed(path, source))


def lines_key(site: Site) -> bytes:
    """The key of the digests of lines, which hold NUMENs."""
    return hmac.new(site.keys.keys[site.keys.current], b"lines of feeds", hashlib.sha256).digest()


def _rows(scans: Sequence[Scan]) -> dict[str, int] | None:
    if not scans or len({scan.source.name for scan in scans}) < len(scans) or len(scans) > MOST_SOURCES:
        return None
    rows: dict[str, int] = {}
    for scan in scans:
        if scan.lines is None:
            return None
        if len(scans) == 1:
            return scan.lines.people
        for matricule, number in scan.lines.people.items():
            rows[matricule] = rows.get(matricule, 0) + number & 0xFFFF_FFFF_FFFF_FFFF
    return rows


def _compare(settling: Settling, stamps: Iterable[Stamp], today: int) -> None:
    """Moves the marks of what is settled to `settled`, one by one, so that they are held only once."""
    marks, rows, settled = settling.old.packed, settling.rows, settling.settled
    for uid, matricule, csn in stamps:
        key = key_of(uid, matricule)
        if key in settled:  # two accounts of one person: whoever looks at one has to look at both
            settling.pass_nobody()
            return
        packed = marks.pop(key, None)
        if packed is not None:
            mark = Mark.of(packed)
            same = mark.csn == csn_digest(csn) and mark.rows == rows.get(matricule or "", 0)
            if same and (mark.due == NOTHING_DUE or mark.due > today):
                settled[key] = packed
                continue
        settling.others.append(uid)


def _basis(reader: Reader, site: Site) -> str:
    """What all marks rest on: the version, policy, register, configuration and keys, and whether closed
    accounts are linked to no device."""
    facts = (
        __version__,
        site.policy.digest,
        site.register_digest,
        repr(site.settings),
        site.encoding_for(reader).otp_schema,
        site.keys.current,
        sorted(site.keys.keys),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()
