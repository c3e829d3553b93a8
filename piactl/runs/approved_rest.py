"""The rest of a plan whose run was interrupted: it was approved, and continues without a second approval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from piactl.core.plan.change import GROWTH, HELD, OTHER, WINDOW
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import Basis, Plan
from piactl.directory.store.records import Record
from piactl.runs.run import Run
from piactl.runs.undo_log import read_undo
from piactl.runs.unfinished_runs import begun_runs

_KINDS = {window: kind for kind, window in WINDOW.items()}
"""The kind of change that a guard over several days counts."""


def allow_same_plan(run: Run, plan: str, refusals: Sequence[Refusal]) -> None:
    """Approves the broken guards of a plan that an interrupted run began to apply: they were approved
    then."""
    for record in begun_runs(run.writer, run.settings.directory.state, run.unreadable):
        if record.get("plan") == plan:
            _allow(run, str(record["run"]), refusals)
            return


def allow_rest(run: Run, plan: Plan) -> None:
    """Approves the broken guards of a plan with the same feeds, policy and last run as an interrupted run,
    guard by guard: every account that the guard counts must have had such a change in the plan of that run,
    too."""
    if not plan.refusals:
        return
    remaining: dict[str, set[str]] = defaultdict(set)
    for change in plan.changes:
        remaining[change.kind.value].add(change.uid)
    first, held_count = "", 0
    for record in _interrupted(run, plan.basis):
        first = first or str(record["run"])
        held_count = max(held_count, record.get("held", 0))
        for logged_write in read_undo(
            run.writer, run.settings.directory.state, record["run"], run.unreadable
        ):
            for kind in logged_write.kinds:
                remaining[kind].discard(logged_write.uid)
    if not first:
        return
    new = {kind for kind, uids in remaining.items() if uids}
    _allow(run, first, [refusal for refusal in plan.refusals if _was_approved(refusal, new, held_count)])


def _was_approved(refusal: Refusal, new: Collection[str], held_count: int) -> bool:
    """Whether the guard counts only what the interrupted run planned: no change of the kinds `new`, and at
    most `held_count` people who are held."""
    if refusal.kind == HELD:
        return refusal.found <= held_count
    if refusal.kind in (*GROWTH.values(), *OTHER.values()):  # changes of any kind
        return not new
    return _KINDS.get(refusal.kind, refusal.kind) not in new


def _interrupted(run: Run, basis: Basis) -> Iterator[Record]:
    """The interrupted runs with this basis since the last one that ended."""
    feeds = sorted(feed.digest for feed in basis.feeds)
    for record in begun_runs(run.writer, run.settings.directory.state, run.unreadable, run.now()):
        if (
            record.get("after") == basis.after
            and record.get("policy") == basis.policy
            and sorted(feed["digest"] for feed in record.get("feeds", [])) == feeds
            and not record.get("undoes")
        ):
            yield record


def _allow(run: Run, first: str, refusals: Sequence[Refusal]) -> None:
    if not refusals:
        return
    allowed = {refusal.kind: refusal.total for refusal in refusals}
    run.order = replace(run.order, allowed={**run.order.allowed, **allowed})
    kinds = ", ".join(f"{kind}={number}" for kind, number in sorted(allowed.items()))
    words = f"goes on with the rest of run {first}, which was approved and interrupted: {kinds}"
    run.journal.note(words)
    run.say(words)
