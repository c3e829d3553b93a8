"""The sync cache that a run leaves for the next one (see `core.plan.sync_cache`)."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from piactl import __version__
from piactl.core.model.account import LIVE, Account
from piactl.core.plan.diff import home_establishments, services_of
from piactl.core.plan.sync_cache import (
    MOST_SOURCES,
    NOTHING_DUE,
    CacheEntry,
    SyncCache,
    csn_digest,
    has_csn,
    key_of,
    name_digest,
    with_csn,
)
from piactl.core.rules.desired import local_of
from piactl.directory.port import Reader, WriteResult
from piactl.flows.plan.inputs.scan_feeds import Scan, digests_of_people
from piactl.flows.site import Site


@dataclass(slots=True)
class NextCache:
    """Collects the cache entries of the accounts that this run finds or leaves as the rules want them.

    `rows` are the digests of all people in the feeds, `present` the people in the feed of each source.
    `skipped` are the entries of the accounts that the run did not evaluate. `pending` are the keys and
    entries of the accounts that the run will write, by uid: until the write is confirmed they have the
    entryCSN that was read, or that of b"" for a new account. `kept`: the cache is written for the next run.
    """

    cache: SyncCache
    rows: Mapping[str, int] = field(repr=False)
    present: Sequence[Container[str]] = field(repr=False)
    kept: bool
    skipped: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    pending: dict[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)

    def entry_of(self, account: Account, csn: bytes, as_of: date) -> bytes | None:
        """The packed entry of an account; its names beyond the first are kept at once. None where a source
        of a running assignment does not list the person: that absence may count another night."""
        running = {a.source for a in account.assignments if a.end is None or a.end >= as_of}
        mine = [number for number, name in enumerate(self.cache.sources) if name in running]
        if any(account.matricule not in self.present[number] for number in mine):
            return None
        sources = sum(1 << number for number in mine)
        due = account.next_due.toordinal() if account.next_due else NOTHING_DUE
        rows = self.rows.get(account.matricule or "", 0)
        key = key_of(account.uid, account.matricule)
        name, *more = sorted({name_digest(local_of(text)) for text in account.names}) or [0]
        self.cache.more_names.pop(key, None)
        if more:
            self.cache.more_names[key] = more
        return CacheEntry(csn_digest(csn), rows, name, due, self.home(account, as_of), sources).packed()

    def expect(self, account: Account, read: bytes, as_of: date) -> None:
        """Prepares the entry of an account as this run will write it; `read` is the entryCSN with which it
        was read, b"" for a new account."""
        packed = self.entry_of(account, read, as_of)
        if packed is not None:
            self.pending[account.uid] = key_of(account.uid, account.matricule), packed

    def confirm(self, uid: str, result: WriteResult) -> None:
        """Adds the entry of an account that this run has written.

        Only where the result of that write names the entryCSN that it replaced, which is the one that was
        read, and the one that it set: the next run then evaluates what anyone else wrote before or after.
        """
        if not result.csn_after:
            return
        key, packed = self.pending.pop(uid, ("", b""))
        unknown = result.write.op == "modify" and not result.csn_before
        if key and not unknown and has_csn(packed, result.csn_before):
            self.cache.packed[key] = with_csn(packed, result.csn_after)

    def home(self, account: Account, as_of: date) -> int:
        """The number in `cache.homes` of where an account counts in the census."""
        home = (home_establishments(account, as_of), account.profiles, services_of(account))
        return self.cache.home(home, live=account.state in LIVE)

    def release_feeds(self) -> None:
        """Drops what is not needed once the plan is made."""
        self.rows, self.present = {}, ()

    def finished(self, run: str) -> SyncCache:
        """The cache that this run leaves."""
        return replace(self.cache, run=run, packed={**self.skipped, **self.cache.packed})


def next_cache(reader: Reader, site: Site, scans: Sequence[Scan], as_of: date) -> NextCache | None:
    """The empty cache of a run with these feeds. It is only kept with scanned feeds alone, which name the
    lines of everybody; None where a full feed was not scanned or two feeds are of one source."""
    scanned = [scan for scan in scans if scan.lines is not None]
    names = tuple(scan.source.name for scan in scanned)
    full_unscanned = any(scan.feed is not None and scan.feed.facts.full for scan in scans)
    if full_unscanned or len({*names}) < len(names) or len(names) > MOST_SOURCES:
        return None
    kept = digests_of_people(scans) is not None
    server = reader.facts().server if kept else ""
    cache = SyncCache(_basis(reader, site), as_of.toordinal(), names, server)
    present = [scan.lines.people for scan in scanned if scan.lines]
    return NextCache(cache, digests_of_people(scanned) or {}, present, kept)


def _basis(reader: Reader, site: Site) -> str:
    """A digest of what every cache entry depends on: the version, policy, register, configuration and keys,
    and whether closed accounts are linked to no device."""
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
