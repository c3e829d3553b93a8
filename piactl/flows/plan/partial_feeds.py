"""Plans without the refused feeds of the sources that the configuration lists under `continue`, and without
older feeds that a night refused before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from piactl.core.model.settings import Settings
from piactl.core.rules.desired import Rules
from piactl.dataclass import dataclass
from piactl.errors import FeedRefused, FeedsRefused, PiactlError
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.incremental import NextCache, RunState
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import FeedsOfAnotherDay, Scan
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.inputs.older_feeds import read_older, refused_before
from piactl.flows.plan.ready_plan import ReadyPlan


@dataclass(frozen=True, slots=True)
class Continued:
    """The feeds, the plan and the next sync cache of one run (see `build_plan`), and what refuses the feeds
    of other sources."""

    feeds: list[SourcedFeed]
    ready: ReadyPlan
    cache: NextCache | None
    refused: tuple[PiactlError, ...] = ()
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What happened while the plan was made and is not part of it."""

    @property
    def messages(self) -> tuple[str, ...]:
        return (*map(str, self.refused), *self.remarks, *self.warnings)


def build_continuing(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
) -> Continued:
    """The plan of `build_plan` without the sources whose feed is refused, if all of these may be left out.

    Of a refused source no feed is used. Raises FeedRefused and what else `build_plan` raises.
    """
    left, sources, remarks, warnings = list(scans), list[str](), list[str](), list[str]()
    refused: list[PiactlError] = []
    older = read_older(Path(settings.state_folder))
    while True:
        try:
            feeds, ready, cache = build_plan(
                accounts, rules, settings, left, state, accepted, tick, warnings.append
            )
            break
        except (FeedRefused, FeedsOfAnotherDay) as error:
            if files := refused_before(error, older):
                remarks += [f"{file}: skipped: an older feed, refused before; remove it" for file in files]
                left = [scan for scan in left if str(scan.path) not in files]
                continue
            names = {scan.source.name for scan in left if str(scan.path) in _files(error)}
            alone = isinstance(error, FeedsOfAnotherDay) and not error.others_fit
            if alone or not names or not names <= settings.go_on:
                raise
            refused.append(error)
            sources += sorted(names)
            left = [scan for scan in left if scan.source.name not in names]
    if sources:
        remarks.append(f"feed refused of {', '.join(sources)}: dates and the other sources go on without it")
    if remarks:
        ready = replace(ready, plan=replace(ready.plan, remarks=(*ready.plan.remarks, *remarks)))
    return Continued(feeds, ready, cache, tuple(refused), tuple(remarks), tuple(warnings))


def _files(error: FeedRefused | FeedsOfAnotherDay) -> set[str]:
    if isinstance(error, FeedsOfAnotherDay):
        return set(error.files)
    return {one.file for one in error.errors} if isinstance(error, FeedsRefused) else {error.file}
