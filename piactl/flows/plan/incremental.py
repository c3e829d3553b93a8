"""Incremental planning: which accounts a run need not evaluate.

A run without a feed evaluates only what is due, as long as nothing but the date has changed since the last
run. A run with full feeds skips the accounts whose entryCSN, feed rows and due date are those of the sync
cache (see `core.plan.sync_cache`). The cache is a file of this host. Without it, or if anything it depends on
has changed, a run evaluates every account and finds the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path

from piactl import __version__
from piactl.core.model.account import LIVE, Account
from piactl.core.model.numen_and_digests import NUMEN, DigestKeys
from piactl.core.model.settings import Settings
from piactl.core.plan.diff import home_establishments, services_of
from piactl.core.plan.run_state import LastRun, Memory, Vanished
from piactl.core.plan.sync_cache import (
    MOST_SOURCES,
    NOTHING_DUE,
    WIDTH,
    EntryDraft,
    Home,
    Seen,
    SyncCache,
    csn_digest,
    has_csn,
    holds,
    key_of,
    name_digest,
    uid_of,
    with_csn,
)
from piactl.core.rules.desired import Rules, local_of, verifier_day
from piactl.dataclass import dataclass
from piactl.directory.port import WriteResult
from piactl.directory.store.account_list import Listed, read_account_list
from piactl.directory.store.attribute_scans import Stamp, read_stamps, read_uids_of
from piactl.directory.store.base_digest import LAYOUT
from piactl.directory.store.records import Places, UnreadableRecords
from piactl.directory.store.state_records import Remembered, read_memory
from piactl.feed.fingerprints import LineDigests, Skipped
from piactl.flows.plan.cache_file import load, load_without_entries
from piactl.flows.plan.changed_since import EVER, Changes, changes_since, cookie_of
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules, read_linked_matricules
from piactl.flows.plan.inputs.load_feeds import Scan, digests_of_people
from piactl.flows.plan.inputs.lost_zeros import Slips
from piactl.flows.plan.staged import StagedChanges

MOST = 0.3
"""If a larger share of the accounts has to be evaluated, evaluating all of them is as fast."""


@dataclass(frozen=True, slots=True)
class RunState:
    """The records that earlier runs left in the directory. `due_only`: the run has no feed and nothing but
    the date has changed since the last run, so only accounts and people in waiting that are due are read."""

    remembered: Remembered
    due_only: bool
    linked: LinkedMatricules = field(default_factory=LinkedMatricules)
    listed: Mapping[str, Listed] = field(default_factory=dict, repr=False)
    """The accounts that existed at the end of the last night, by uid."""
    first_owners: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The names that lost runs gave, each with what tells its first owner."""
    own_csn: str = ""
    """The entryCSN of a write that this run has made, "" for none."""
    since: datetime | None = None
    """No account whose entryCSN has an earlier time was written since the last run; None if that is not
    known."""
    drift_waits: bool = False
    """Whether what other programs changed stays, because a guard of drift is broken."""
    slips: Slips = field(default_factory=dict)
    """The matricules in the feeds that differ from known ones only by leading zeros, with the known ones."""

    @property
    def memory(self) -> Memory:
        """The memory of earlier runs, under the first matricule of each person."""
        return self.linked.memory(self.remembered.memory)

    def with_vanished(self, vanished: Mapping[str, Vanished]) -> RunState:
        memory = replace(self.remembered.memory, vanished=vanished)
        return replace(self, remembered=replace(self.remembered, memory=memory))

    def with_unwitnessed(self, unwitnessed: Mapping[str, Mapping[str, str]]) -> RunState:
        memory = replace(self.remembered.memory, unwitnessed=unwitnessed)
        return replace(self, remembered=replace(self.remembered, memory=memory))


def read_run_state(
    accounts: ManagedAccounts, rules: Rules, unreadable: UnreadableRecords, *, feeds: bool
) -> RunState:
    """The state for a run with or without `feeds`. Raises what `read_memory` raises."""
    due_only = False

    def due(last: LastRun | None) -> date | None:
        nonlocal due_only
        due_only = not feeds and _only_the_date_changed(accounts, rules, last)
        return rules.as_of if due_only else None

    reader, state = accounts.reader, accounts.directory.state
    remembered = read_memory(reader, state, rules.keys, unreadable, due=due)
    account_list = read_account_list(reader, state, unreadable)
    listed, owners = dict(account_list.accounts()), account_list.first_owners()
    return RunState(remembered, due_only, read_linked_matricules(accounts), listed, owners)


def _only_the_date_changed(accounts: ManagedAccounts, rules: Rules, last: LastRun | None) -> bool:
    return (
        last is not None
        and last.clean
        and last.policy == rules.policy.digest
        and last.register == rules.register_digest
        and last.otp_schema == accounts.encoding.otp_schema
        and last.layout == LAYOUT
    )


# The cache that a run leaves for the next one.


@dataclass(slots=True)
class NextCache:
    """Collects the cache entries of the accounts that are as the rules want them, or will be after the run.

    `rows` are the digests of all people in the feeds, `present` the people in the feed of each source.
    `skipped` are the entries of the accounts that the run does not evaluate. `pending` has, by uid, the entry
    of each account that the run will write, followed by its key: until the write is confirmed, the entry has
    the digest of the entryCSN that was read, of b"" for a new account. `complete`: all feeds were scanned, so
    the cache is written for the next run.
    """

    cache: SyncCache
    rows: Mapping[str, int] = field(repr=False)
    present: Sequence[Container[str]] = field(repr=False)
    complete: bool
    verifier_day: Callable[[Account, date], date | None]
    """The day, from a given one on, on which an account gets a verifier that it lacks."""
    skipped: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    owners: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    """The matricule of each line of the scanned feeds, by source."""
    uids: Collection[str] | None = field(default=None, repr=False)
    """The uids of all accounts, if they are known."""
    since: datetime | None = None
    """As `list_since` returns it."""
    seen: dict[str, str] = field(default_factory=dict, repr=False)
    """key -> uid of the accounts that were seen and are not unchanged."""
    unchanged: Collection[str] = field(default=(), repr=False)
    """The keys of the accounts that are unchanged."""
    written: set[str] = field(default_factory=set, repr=False)
    """The uids of the accounts that the run has written."""
    pending: dict[str, bytes] = field(default_factory=dict, repr=False)

    def draft_of(self, account: Account, csn: bytes, as_of: date) -> EntryDraft | None:
        """The cache entry of an account. None if it has to be evaluated every night: because it has changes
        by hand, which each plan compares with HR, or because the feed of a running assignment does not list
        the person, an absence that may count on another night."""
        if account.overrides:
            return None
        running = {a.source for a in account.assignments if not a.is_over(as_of)}
        listing = [number for number, name in enumerate(self.cache.sources) if name in running]
        if any(account.matricule not in self.present[number] for number in listing):
            return None
        sources = sum(1 << number for number in listing)
        rows = self.rows.get(account.matricule or "", 0)
        key = key_of(account.uid, account.matricule)
        names = tuple(sorted({name_digest(local_of(text)) for text in account.names}))
        due = _valid_until(account, as_of, self.verifier_day)
        return EntryDraft(key, csn_digest(csn), rows, names, due, home_of(account, as_of), sources)

    def expect(self, uid: str, draft: EntryDraft) -> None:
        """Keeps the entry of an account as this run will write it, made with the entryCSN with which the
        account was read, b"" for a new one."""
        self.pending[uid] = self.cache.pack(draft) + draft.key.encode()

    def confirm(self, uid: str, result: WriteResult) -> None:
        """Adds the entry of an account that this run has written.

        It does so only if the result of that write names the entryCSN that it replaced, which must be the one
        that was read, and the one that it set: so the next run evaluates what anyone else wrote before or
        after.
        """
        if not result.csn_after:
            return
        self.written.add(uid)
        pending = self.pending.pop(uid, b"")
        packed, key = pending[:WIDTH], pending[WIDTH:].decode()
        unknown = result.write.op == "modify" and not result.csn_before
        if key and not unknown and has_csn(packed, result.csn_before):
            self.cache.packed[key] = with_csn(packed, result.csn_after)

    def release_feeds(self) -> None:
        """Frees what is not needed once the plan is made."""
        self.rows, self.present, self.owners = {}, (), {}

    def finished(self, run: str) -> SyncCache:
        """The cache that this run leaves."""
        packed = {**self.skipped, **self.cache.packed}
        # what this run wrote counts as changed for the next one
        seen = (key for key, uid in self.seen.items() if uid not in self.written)
        others = [key for key in chain(self.unchanged, seen) if key not in packed]
        return replace(self.cache, run=run, packed=packed, others=others)


def home_of(account: Account, as_of: date) -> Home | None:
    """Where an account counts in the census; None unless it is live."""
    if account.state not in LIVE:
        return None
    return (home_establishments(account, as_of), account.profiles, services_of(account))


def _valid_until(account: Account, as_of: date, verifier_day: Callable[[Account, date], date | None]) -> int:
    """The ordinal of the next day on which the date changes the account, or the place where it counts in the
    census, which may change when an assignment begins or ends; NOTHING_DUE if there is none."""
    edges = {assignment.start for assignment in account.assignments}
    edges |= {a.end + timedelta(days=1) for a in account.assignments if a.end is not None}
    days = [day.toordinal() for day in edges if day > as_of]
    if account.next_due is not None:
        days.append(account.next_due.toordinal())
    verifier = verifier_day(account, as_of + timedelta(days=1))
    if verifier is not None:
        days.append(verifier.toordinal())
    return min(days, default=NOTHING_DUE)


def next_cache(
    accounts: ManagedAccounts, rules: Rules, settings: Settings, scans: Sequence[Scan]
) -> NextCache | None:
    """The empty cache of a run with these feeds. It is kept only if all feeds were scanned, because then the
    lines of everybody are known. None if a full feed was not scanned, two feeds are of one source, or there
    are too many sources."""
    scanned = [scan for scan in scans if scan.lines is not None]
    names = tuple(scan.source.name for scan in scanned)
    full_unscanned = any(scan.feed is not None and scan.feed.facts.full for scan in scans)
    if full_unscanned or len({*names}) < len(names) or len(names) > MOST_SOURCES:
        return None
    complete = digests_of_people(scans) is not None
    server = accounts.reader.facts().server if complete else ""
    cache = SyncCache(_basis(accounts, rules, settings), rules.as_of.toordinal(), names, server)
    present = [scan.lines.people for scan in scanned if scan.lines]

    def due(account: Account, day: date) -> date | None:
        return verifier_day(account, rules.keys, day)

    owners = {scan.source.name: scan.lines.owners for scan in scanned if scan.lines}
    return NextCache(cache, digests_of_people(scanned) or {}, present, complete, due, owners=owners)


def _basis(accounts: ManagedAccounts, rules: Rules, settings: Settings) -> str:
    """A digest of what every cache entry depends on: the version, policy, register, configuration and keys,
    and whether closed accounts are linked to no device."""
    facts = (
        __version__,
        rules.policy.digest,
        rules.register_digest,
        repr(settings),
        accounts.encoding.otp_schema,
        LAYOUT,
        rules.keys.current,
        sorted(rules.keys.keys),
        rules.keys.digest(NUMEN, ""),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


# The accounts that are skipped.


@dataclass(frozen=True, slots=True)
class SkipSet:
    """The accounts that the joint evaluation of a run leaves out.

    `unchanged` are the cache entries of those that need nothing, by key; `staged` is what others need.
    `evaluate` are the uids of all other accounts. An empty skip set means: evaluate every account.
    """

    unchanged: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    staged: StagedChanges | None = field(default=None, repr=False)
    evaluate: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unchanged) or self.staged is not None

    def __contains__(self, key: object) -> bool:
        return key in self.unchanged or (self.staged is not None and key in self.staged)

    def entries(self) -> Iterator[bytes]:
        """The cache entries of all accounts in the set, as they are before the run."""
        yield from self.unchanged.values()
        if self.staged is not None:
            yield from self.staged.changed.values()

    def lines(self, lines: LineDigests | None) -> Skipped | None:
        """The lines of a feed that are skipped."""
        if lines is None or not self:
            return None
        return Skipped(lines, self.unchanged if self.staged is None else self)

    def without(self, accounts: Iterable[tuple[str, str | None]], newcomers: Iterable[int] = ()) -> SkipSet:
        """The set without these accounts, by uid and matricule, and these staged newcomers, by number."""
        removed = [(uid, key) for uid, matricule in accounts if (key := key_of(uid, matricule)) in self]
        keys, newcomers = {key for _, key in removed}, set(newcomers)
        if not keys and not newcomers:
            return self
        unchanged = {key: entry for key, entry in self.unchanged.items() if key not in keys}
        staged = self.staged.without(keys, newcomers) if self.staged is not None else None
        evaluate = dict.fromkeys([*self.evaluate, *(uid for uid, _ in removed)])
        return SkipSet(unchanged, staged or None, tuple(evaluate))


def unchanged_accounts(
    accounts: ManagedAccounts,
    keys: DigestKeys,
    folder: Path,
    cache: NextCache,
    state: RunState,
    always: Container[str],
) -> SkipSet:
    """The accounts that the sync cache in `folder` shows to be unchanged; empty if it cannot. Fills
    `cache.uids`.

    The people of the matricules `always` are evaluated in any case. If there is a cache, reads what changed
    since the last night if the server supports it (see `changed_since`), else three attributes of every
    account.
    """
    new, last = cache.cache, state.memory.last
    old = load(folder, keys) if cache.complete else None
    if old is None or old.server != new.server or last is None:
        return SkipSet()
    if old.run != last.run and not _knows_run(accounts, old.run):
        return SkipSet()
    same_basis = old.basis == new.basis and old.sources == new.sources and old.as_of <= new.as_of
    # from its first write to its end a run is not clean: then the outcome of its writes is not known
    comparable = same_basis and last.clean
    skip = _changed_since(accounts, old, cache, state, always) if comparable else None
    if skip is None:
        cache.since = list_since(old, None)
        skip = _all_compared(accounts, old, cache, state, always, comparable=comparable)
    if not skip:
        return skip
    cache.unchanged = skip.unchanged.keys()
    if len(skip.evaluate) > MOST * (len(skip.evaluate) + len(skip.unchanged)):
        return SkipSet()
    # the numbers of homes and the other names of skipped accounts carry over into the new cache
    new.homes[:] = old.homes
    new.more_names = old.more_names
    return skip


def changes_since_feeds(
    accounts: ManagedAccounts, keys: DigestKeys, folder: Path, state: RunState
) -> tuple[Changes | None, datetime | None]:
    """What changed since the last night with feeds, None if the server does not say it, and what `list_since`
    returns for it."""
    old = load_without_entries(folder, keys) if state.own_csn else None
    if old is None or state.memory.last is None:
        return None, None
    changes = changes_since(accounts, old, state.own_csn, state.listed, state.memory.vanished)
    return changes, list_since(old, changes)


def list_since(old: SyncCache, changes: Changes | None) -> datetime | None:
    """The instant after which accounts were written that the list of accounts may lack. None if only the
    beginning of the last run is known. EVER if the answer of the server on what changed is not trusted."""
    if changes is None:
        return EVER if old.seen.cookie else None
    return changes.since


def _changed_since(
    accounts: ManagedAccounts, old: SyncCache, cache: NextCache, state: RunState, always: Container[str]
) -> SkipSet | None:
    """The accounts that the cache and what changed since it was written show to be unchanged; None if every
    account has to be read."""
    changes = changes_since(accounts, old, state.own_csn, state.listed, state.memory.vanished)
    if changes is None:
        return None
    written = {key_of(uid, matricule): (uid, csn) for uid, matricule, csn in changes.written}
    if len(written) < len(changes.written):
        return None  # two accounts of one person have to be evaluated together
    unchanged: dict[str, bytes] = {}
    evaluate = {key: uid for key, (uid, _) in written.items()}
    other = [key for key in old.others if key not in written]
    rows, today = cache.rows, cache.cache.as_of
    for key, packed in old.packed.items():
        csn = written[key][1] if key in written else None
        if key not in always and holds(packed, rows, key, today, csn):
            unchanged[key] = packed
            evaluate.pop(key, None)
        elif key not in written:
            other.append(key)
    named = list(read_uids_of(*accounts, [key for key in other if not uid_of(key)]))
    evaluate |= {key: uid_of(key) for key in other if uid_of(key)} | {key: uid for uid, key in named}
    if len(named) != len({key for _, key in named}) or not evaluate.keys() >= {*other}:
        return None
    cache.uids, cache.seen, cache.cache.seen = state.listed.keys(), evaluate, changes.seen
    cache.since = list_since(old, changes)
    return SkipSet(unchanged, None, tuple(evaluate.values()))


def _all_compared(
    accounts: ManagedAccounts,
    old: SyncCache,
    cache: NextCache,
    state: RunState,
    always: Container[str],
    *,
    comparable: bool,
) -> SkipSet:
    """The same, from the stamps of all accounts. If they are not `comparable`, only their uids are noted."""
    # the cookie first: what is written meanwhile counts as changed for the next night
    cookie = cookie_of(accounts.reader, accounts.directory.accounts) if state.own_csn else ""
    uids: set[str] = set()
    uuids = bytearray()

    def note(uuid: str) -> None:
        uuids.extend(bytes.fromhex(uuid.replace("-", "")))

    stamps = _noted(read_stamps(*accounts, note if cookie else None), uids)
    skip = SkipSet()
    if comparable:
        skip = _compared(stamps, old.packed, cache, always)
    for _ in stamps:  # the rest is noted, too
        pass
    if accounts.reader.facts().server != old.server:
        return SkipSet()
    cache.uids = uids
    if skip and cookie:
        cache.cache.seen = Seen(cookie, bytes(uuids))
    return skip


def _noted(stamps: Iterable[Stamp], uids: set[str]) -> Iterator[Stamp]:
    for stamp in stamps:
        uids.add(stamp[0])
        yield stamp


def _knows_run(accounts: ManagedAccounts, run: str) -> bool:
    """Whether the directory has the record of a run: a restored directory lacks those after its backup."""
    return accounts.reader.read(Places(accounts.directory.state).run(run), ["cn"]) is not None


def _compared(
    stamps: Iterable[Stamp], entries: dict[str, bytes], cache: NextCache, always: Container[str]
) -> SkipSet:
    """Takes the entries of unchanged accounts out of `entries`, one by one, so that they are held only
    once."""
    unchanged: dict[str, bytes] = {}
    evaluate: list[str] = []
    for uid, matricule, csn in stamps:
        key = key_of(uid, matricule)
        if key in unchanged or key in cache.seen:  # two accounts of one person have to be evaluated together
            return SkipSet()
        packed = entries.pop(key, None)
        if (
            packed is not None
            and key not in always
            and holds(packed, cache.rows, key, cache.cache.as_of, csn)
        ):
            unchanged[key] = packed
            continue
        cache.seen[key] = uid
        evaluate.append(uid)
    return SkipSet(unchanged, None, tuple(evaluate))
