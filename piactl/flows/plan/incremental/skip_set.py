"""The skip set: the accounts that a run does not evaluate, because their entryCSN, feed rows and due date are
unchanged since the last run, or because they were evaluated in a chunk.

The sync cache is a cache of this host: without it, or where anything it depends on has changed, a run
evaluates every account and finds the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from piactl.core.plan.run_state import LastRun
from piactl.core.plan.sync_cache import NOTHING_DUE, CacheEntry, csn_digest, key_of
from piactl.directory.port import Reader
from piactl.directory.store.attribute_scans import Stamp, read_stamps
from piactl.feed.fingerprints import LineDigests, Skipped
from piactl.flows.plan.incremental.cache_file import load
from piactl.flows.plan.incremental.next_cache import NextCache
from piactl.flows.plan.rows.staged import StagedChanges
from piactl.flows.site import Site

MOST = 0.3
"""Where a larger share of the accounts has to be evaluated, evaluating all of them is as fast."""


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
        found = [(uid, key) for uid, matricule in accounts if (key := key_of(uid, matricule)) in self]
        keys, newcomers = {key for _, key in found}, set(newcomers)
        if not keys and not newcomers:
            return self
        unchanged = {key: entry for key, entry in self.unchanged.items() if key not in keys}
        staged = self.staged.without(keys, newcomers) if self.staged is not None else None
        evaluate = dict.fromkeys([*self.evaluate, *(uid for uid, _ in found)])
        return SkipSet(unchanged, staged or None, tuple(evaluate))


def unchanged_accounts(
    reader: Reader, site: Site, cache: NextCache, last: LastRun | None, always: Container[str]
) -> SkipSet:
    """The accounts that the sync cache of the last run shows to be unchanged; empty where it cannot.

    The people of the matricules `always` are evaluated in any case. Reads three attributes of every account,
    and only where there is a cache to compare them with.
    """
    new = cache.cache
    old = load(site) if cache.kept else None
    if old is None or old.basis != new.basis or old.sources != new.sources or old.as_of > new.as_of:
        return SkipSet()
    # from its first write to its end a run is not clean: then the outcome of its writes is not known
    if old.server != new.server or last is None or not last.clean or last.run != old.run:
        return SkipSet()
    stamps = read_stamps(reader, site.settings.directory, site.encoding)
    skip = _compared(stamps, old.packed, cache.rows, new.as_of, always)
    if reader.facts().server != old.server:
        return SkipSet()
    if len(skip.evaluate) > MOST * (len(skip.evaluate) + len(skip.unchanged)):
        return SkipSet()
    # the numbers of homes and the other names of skipped accounts go on into the new cache
    new.homes[:] = old.homes
    new.more_names = old.more_names
    return skip


def _compared(
    stamps: Iterable[Stamp],
    entries: dict[str, bytes],
    rows: Mapping[str, int],
    today: int,
    always: Container[str],
) -> SkipSet:
    """Takes the entries of unchanged accounts out of `entries`, one by one, so that they are held only
    once."""
    unchanged: dict[str, bytes] = {}
    evaluate: list[str] = []
    for uid, matricule, csn in stamps:
        key = key_of(uid, matricule)
        if key in unchanged:  # two accounts of one person have to be evaluated together
            return SkipSet()
        packed = entries.pop(key, None)
        if packed is not None and key not in always:
            entry = CacheEntry.of(packed)
            same = entry.csn == csn_digest(csn) and entry.rows == rows.get(matricule or "", 0)
            if same and (entry.due == NOTHING_DUE or entry.due > today):
                unchanged[key] = packed
                continue
        evaluate.append(uid)
    return SkipSet(unchanged, None, tuple(evaluate))
