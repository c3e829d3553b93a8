"""Rehearses nights: each with its feeds, its date, its guards and its cases, in a simulated directory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.core.plan.losses import losses_without
from piactl.core.plan.run_state import RunStatus
from piactl.core.rules.desired import Rules
from piactl.dataclass import dataclass
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import FeedRefused, PiactlError, UnsafePlan
from piactl.feed.fingerprints import KnownLines
from piactl.flows.plan.cache_file import keep
from piactl.flows.plan.incremental import read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import keep_sets, refused_feeds, scan_feeds
from piactl.flows.plan.inputs.merge_feeds import Accepted
from piactl.flows.plan.inputs.older_feeds import note_older
from piactl.flows.plan.partial_feeds import Continued, build_continuing
from piactl.flows.plan.plan_file import refusal_facts
from piactl.flows.simulation import Simulation

BEGINS = time(3, tzinfo=UTC)
"""When a rehearsed night begins."""


@dataclass(slots=True)
class Nights:
    """Rehearses one night after the other. `settings` name a folder of the rehearsal's own as state folder.

    `approved`: a plan that breaks guards is carried out as if somebody had approved it. Otherwise nothing is,
    and later nights plan the same again, as real ones do.
    """

    simulation: Simulation
    settings: Settings
    rules: Callable[[date], Rules]
    unreadable: UnreadableRecords
    approved: bool = False
    accepted: Accepted = field(default_factory=Accepted)
    lines: defaultdict[str, KnownLines] = field(default_factory=lambda: defaultdict(KnownLines), repr=False)

    @classmethod
    def of(
        cls,
        accounts: ManagedAccounts,
        settings: Settings,
        rules: Callable[[date], Rules],
        unreadable: UnreadableRecords,
        *,
        approved: bool,
    ) -> Nights:
        # the groups of applications follow the policy; no night needs them
        accounts = accounts._replace(directory=replace(accounts.directory, groups="", structures=""))
        return cls(Simulation(accounts, unreadable), settings, rules, unreadable, approved)

    def night(self, day: date, feeds: Sequence[Path]) -> dict[str, Any]:
        """One night, and what became of it, as JSON values."""
        self.simulation.directory.begin(datetime.combine(day, BEGINS))
        facts: dict[str, Any] = {"date": day.isoformat(), "feeds": [path.name for path in feeds]}
        try:
            made = self._plan(day, feeds)
        except FeedRefused as error:
            note_older(error, Path(self.settings.state_folder))
            return {**facts, **_refused(error)}
        except UnsafePlan as error:
            return {**facts, **_refused(error)}
        for refusal in made.refused:
            note_older(refusal, Path(self.settings.state_folder))
        plan = made.ready.plan
        stopped = bool(plan.refusals) and not self.approved
        if not stopped:
            self._carry_out(day, made)
        return {
            **facts,
            "status": RunStatus.REFUSED.value if stopped else RunStatus.DONE.value,
            **({"approved": True} if plan.refusals and self.approved else {}),
            **({"why": str(made.refused[0])} if made.refused else {}),
            **({"refused_feeds": refused_feeds(made.refused)} if made.refused else {}),
            "summary": dict(plan.summary),
            "accounts": len({change.uid for change in plan.changes}),
            "held": len(plan.holds),
            "rejected": len({(one.file, one.line) for one in plan.rejections}),
            "absent": len(plan.absents),
            "cases": plan.cases.get("open", 0),
            "quality": list(map(asdict, plan.quality)),
            "guards": [refusal_facts(refusal) for refusal in plan.refusals],
            "counted": {kind: list(numbers) for kind, numbers in sorted(plan.counted.items())},
        }

    def _plan(self, day: date, feeds: Sequence[Path]) -> Continued:
        rules, settings = self.rules(day), self.settings
        accounts = self.simulation.accounts
        arguments = [str(path) for path in feeds]
        scans = scan_feeds(
            arguments, settings.sources, rules.keys, settings.go_on, lambda _said: None, self.lines
        )
        state = read_run_state(accounts, rules, self.unreadable, feeds=bool(scans))
        return build_continuing(accounts, rules, settings, scans, state, self.accepted)

    def _carry_out(self, day: date, made: Continued) -> None:
        ready, cache, run = made.ready, made.cache, f"{day:%Y%m%d}T030000-rehearsed"
        if ready.plan.refusals and ready.last is not None:
            allowed = {refusal.kind for refusal in ready.plan.refusals}
            ready = replace(
                ready, last=replace(ready.last, losses=losses_without(ready.last.losses, allowed))
            )
        self.simulation.carry_out(ready, run, cache, listed=True)
        keep_sets(made.feeds, lambda _said: None)
        if cache is not None and cache.kept:
            cache.release_feeds()
            keep(cache.finished(run), Path(self.settings.state_folder), self.rules(day).keys)


def _refused(error: PiactlError) -> dict[str, Any]:
    return {"status": "feed refused", "why": str(error), "refused_feeds": refused_feeds([error])}
