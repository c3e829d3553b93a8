"""Makes plans in the process of the test, from a configuration and a directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.core.plan.check_guards import Census
from piactl.core.plan.plan import ReadyPlan
from piactl.core.rules.desired_account import local_of
from piactl.directory.interfaces import RawEntry, Reader, ServerFacts
from piactl.directory.open import open_reader
from piactl.directory.store.account_entries import Unreadable, read_accounts
from piactl.host.secret_files import identity_password
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import build_plan
from piactl.planning.collect_evaluations import Planning
from piactl.planning.count_feed_rows import FeedOfRun
from piactl.planning.load_feeds import read_feeds, scan_feeds
from piactl.planning.lost_zeros import Written, find_slips
from piactl.planning.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import RunState, read_run_state
from piactl.planning.signed_plan_file import plan_pieces, sealed
from piactl.planning.vanished_accounts import find_vanished, recheck_vanished


class EmptyDirectory:
    """A Reader that finds only piactl's folders, with the schema of slapo-otp or without it."""

    def __init__(self, *, otp: bool = True) -> None:
        self._otp = otp

    def facts(self) -> ServerFacts:
        return ServerFacts("", frozenset(), ())

    def schema_meets(self, query: str) -> bool:
        return self._otp

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return None

    def search(self, base: str, *_words: object, **_options: object) -> Iterator[RawEntry]:
        folders = ("sources", "waiting") if base.startswith("ou=piactl,") else ()
        return (RawEntry(f"ou={name},{base}", {"ou": (name.encode(),)}) for name in folders)

    def search_each(self, *_words: object) -> Iterator[RawEntry]:
        return iter(())


def managed_accounts(reader: Reader, configuration: Configuration) -> ManagedAccounts:
    return ManagedAccounts(reader, configuration.settings.directory, configuration.encoding.fitted_to(reader))


def run_state(reader: Reader, configuration: Configuration, day: date) -> RunState:
    """What earlier runs left for a run of this day."""
    accounts = managed_accounts(reader, configuration)
    return read_run_state(accounts, configuration.rules(day), configuration.unreadable)


def plan_at_once(
    reader: Reader,
    configuration: Configuration,
    feeds: Sequence[SourcedFeed],
    day: date,
    accepted: Accepted = NOTHING,
) -> ReadyPlan:
    """The plan of a night that evaluates everybody together in memory, without what an earlier night kept for
    it: the oracle that the plan of every night must equal."""
    accounts, rules = managed_accounts(reader, configuration), configuration.rules(day)
    state = run_state(reader, configuration, day)
    memory = state.remembered.memory
    people = (sourced.feed.present for sourced in feeds)
    state = replace(state, linked=state.linked.named(chain(*people, memory.waiting), rules.keys))
    files = (Written(s.source, s.feed.present, s.feed.layout.is_rejects) for s in feeds)
    state = replace(state, slips=find_slips(files, accounts, state.listed, state.linked, memory))
    entries = list(read_accounts(*accounts))
    uids = {entry.uid if isinstance(entry, Unreadable) else entry.account.uid for entry in entries}
    gone = find_vanished(state.listed, uids, day)
    state = state.remembering(vanished=recheck_vanished(accounts, {**gone, **memory.vanished}))
    of_run = [FeedOfRun(f.source, f.path, f.facts, lambda *_lines, feed=f.feed: feed.remarks) for f in feeds]
    sources, folder = configuration.settings.sources, Path(configuration.settings.state_folder)
    planning = Planning(accounts, rules, sources, state, accepted, of_run, folder)
    planning.evaluate(entries, feeds, state.memory)
    planning.give_names({local_of(name).lower() for e in entries for name in _names(e)}, lambda: None)
    return planning.plan(Census(), {})


def _names(entry: Any) -> Sequence[str]:
    return (entry.uid, *entry.identifiers) if isinstance(entry, Unreadable) else [*entry.account.names]


def oracle(config: Path, feeds: Sequence[Path], day: date) -> dict[str, Any]:
    """What `plan FEED... --as-of DAY --out FILE` would write to its file if `plan_at_once` had made the plan.
    The dates of the feeds are not checked, as with --as-of."""
    configuration = open_configuration(config)
    settings = configuration.settings
    with open_reader(settings.directory, "reader", identity_password) as reader:
        read = read_feeds([*map(str, feeds)], settings.sources)
        ready = plan_at_once(reader, configuration, read, day, Accepted(date=True))
    made = sealed(ready, configuration.keys, Path(settings.state_folder), ())
    plan: dict[str, Any] = json.loads(b"".join(plan_pieces(made)))
    return plan


def plan_night(reader: Reader, configuration: Configuration, feeds: Sequence[str], day: date) -> ReadyPlan:
    """The plan of a night with these feeds."""
    rules, settings = configuration.rules(day), configuration.settings
    night = NightDb(Path(settings.state_folder), configuration.keys)
    scans = scan_feeds(feeds, settings.sources, night.rows, (), print)
    state = run_state(reader, configuration, day)
    return build_plan(managed_accounts(reader, configuration), rules, settings, scans, state, night)[1]
