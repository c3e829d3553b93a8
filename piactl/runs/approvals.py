"""Two people for a plan: one makes it, another approves or rejects it, and `apply` checks that they differ.

An approval is a sealed record below `ou=approvals`, and counts only if the identity approver added it. The
rest of an approved plan whose run was interrupted needs no second one.
"""

from __future__ import annotations

import secrets
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Approvals
from piactl.core.model.settings import DirectorySettings, IdentityName, Settings
from piactl.core.plan.approval_rules import (
    ApplyRequest,
    Approval,
    allowed_of,
    is_one_of,
    reasons,
    rejection,
    serving,
)
from piactl.core.plan.change import GROWTH, HELD, OTHER, WINDOW
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import Basis, Plan, ReadyPlan
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.plan.write import Write
from piactl.directory.dn import child, same_dn
from piactl.directory.interfaces import Outcome, RawEntry, Reader
from piactl.directory.store.record_entries import (
    APPROVALS,
    AUTHORS,
    Record,
    Records,
    SealedRecords,
    UnreadableRecord,
    UnreadableRecords,
    instant_of,
    read_records,
    set_record,
)
from piactl.directory.store.run_records import is_undone, read_runs
from piactl.directory.store.state_records import last_in
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout
from piactl.errors import REASON, PiactlError, UnsafePlan
from piactl.journal import Settlement
from piactl.journal.origin_of_run import known_operator
from piactl.phrase import Phrase, counted, joined
from piactl.runs.apply_plan import Done, write_beside
from piactl.runs.run import Run
from piactl.runs.run_checks import check_plan_fits
from piactl.runs.undo_log import read_undo
from piactl.runs.unfinished_runs import INTERRUPTED, begun_runs

BREAK_GLASS = "break-glass"
"""The kind of the journal line of a plan that was applied without the approval that it needs."""
ALARM = timedelta(days=30)
"""How long status, metrics and doctor show such a run."""
TWO = Phrase("two people are needed")


class ApprovalMissing(UnsafePlan):
    """The plan needs another person. Nothing was written."""


@dataclass(frozen=True, slots=True)
class ApprovalRecords:
    """The approvals and rejections in the directory."""

    records: Records
    directory: DirectorySettings
    keys: DigestKeys
    unreadable: UnreadableRecords

    @property
    def folder(self) -> str:
        return self.records.places.folder(APPROVALS)

    def all(self) -> list[Approval]:
        """The approvals and rejections that count, the oldest first; records of other programs are added to
        `unreadable`."""
        return self._sealed.read_all(self._of_approver(), self.unreadable)

    def _of_approver(self) -> Iterator[RawEntry]:
        identity = self.directory.identities.get(IdentityName.APPROVER)
        for entry in self.records.later_folder(APPROVALS):
            authors = [entry.text(name) for name in AUTHORS]
            if identity is not None and all(author and same_dn(author, identity.dn) for author in authors):
                yield entry
            else:
                why = Phrase("another identity than the approver wrote the record")
                self.unreadable.add(UnreadableRecord(entry.dn, why, Phrase("find out who, and delete it")))

    def write(self, approval: Approval) -> Write:
        """The write of the record of an approval; it fails if there is a record of that name."""
        return self._sealed.write(self.folder, approval)

    @property
    def _sealed(self) -> SealedRecords[Approval]:
        return SealedRecords(Approval, "approval", "name", self.keys)


LAYOUTS[Approval] = Layout(
    forms={"at": Form(lambda instant: instant.isoformat(timespec="milliseconds"), instant_of)}
)


def read_approvals(
    reader: Reader, directory: DirectorySettings, keys: DigestKeys, unreadable: UnreadableRecords
) -> ApprovalRecords:
    """The records of approvals and rejections."""
    records = read_records(reader, directory.state, APPROVALS, names=(), beginning=())
    return ApprovalRecords(records, directory, keys, unreadable)


def answer_plan(run: Run, ready: ReadyPlan, rules: Approvals, *, approved: bool) -> Approval:
    """Records that the operator behind the run, who binds as approver, approves or rejects the plan. Raises
    PiactlError if the plan needs no other person, is not the one that would be applied now, or was made by
    the operator, or if a plan of another policy is rejected."""
    operator = known_operator(run.order.actor, TWO)
    records = _records(run)
    if records.records.entry(records.folder) is None:
        raise PiactlError(
            Phrase("{folder} is missing; add it: docs/upgrade-directory.md", folder=records.folder)
        )
    if approved:
        _check_answer(run, ready, rules, records, operator)
    elif ready.plan.basis.policy != run.order.policy:
        raise PiactlError(
            Phrase(
                "this plan was made with another policy, a draft or an older one: it cannot be applied, and "
                "a rejection would stop the next plan of its feeds too"
            )
        )
    basis = ready.plan.basis
    approval = Approval(
        name=f"{ready.fingerprint[:16]}-{secrets.token_hex(4)}",
        plan=ready.fingerprint,
        policy=basis.policy,
        approved=approved,
        allowed=allowed_of(ready.plan),
        feeds=tuple(feed.digest for feed in basis.feeds),
        by=operator,
        at=datetime.fromisoformat(run.now().astimezone(UTC).isoformat(timespec="milliseconds")),
        reason=run.order.reason,
    )
    kind = "approve" if approved else "reject"
    done = write_beside(run, [records.write(approval).with_reason(approval.name, (kind,), approval.reason)])
    run.counts = done.counts
    if done.counts[Outcome.APPLIED.value] != 1:
        raise PiactlError(
            Phrase(
                "{approval}: the approval cannot be written: {why}",
                approval=approval.name,
                why=_problem(done),
            )
        )
    return approval


def _problem(done: Done) -> str:
    return joined(message for _, _, message in done.problems)


def _check_answer(
    run: Run, ready: ReadyPlan, rules: Approvals, records: ApprovalRecords, operator: str
) -> None:
    if not reasons(ready.plan, rules) and rejection_of(run, ready) is None:
        raise PiactlError(Phrase("this plan needs no other person: piactl apply PLAN"))
    last = last_in(run.records, run.unreadable)
    made = check_plan_fits(ready, run.settings, run.order.policy, last)
    if made:
        raise PiactlError(Phrase("this plan was applied already, by run {run}", run=made))
    if is_one_of(operator, ready.made_by):
        raise ApprovalMissing(
            Phrase("{operator} made this plan, so another person has to approve it", operator=operator)
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A plan that cannot be applied: `no` is the answer that rejects it, or the feeds `files` of it."""

    no: Approval
    files: Sequence[str]

    @property
    def words(self) -> Phrase:
        """Who rejected what, when and why."""
        return Phrase(
            "{by} rejected {what} at {time} UTC: {reason}",
            by=self.no.by,
            what=joined(self.files, "{first} and {second}") or Phrase("this plan"),
            time=f"{self.no.at:%Y-%m-%d %H:%M}",
            reason=self.no.reason,
        )


def rejection_of(run: Run, ready: ReadyPlan) -> Rejected | None:
    """The rejection of a plan, or of a feed of it that was not applied; None if it may be applied."""
    approvals = _records(run).all()
    return _rejected(ready, approvals, _runs(run) if approvals else ())


def _rejected(ready: ReadyPlan, approvals: Collection[Approval], runs: Sequence[Record]) -> Rejected | None:
    applied = _applied_feeds(runs)
    no = rejection(ready.plan, ready.fingerprint, approvals, applied)
    if no is None:
        return None
    of_plan = no.plan == ready.fingerprint
    feeds = [] if of_plan else [feed for feed in ready.plan.basis.feeds if feed.digest in no.feeds]
    return Rejected(no, [feed.file for feed in feeds if feed.digest not in applied])


def _runs(run: Run) -> list[Record]:
    return read_runs(run.writer, run.settings.directory.state, run.unreadable, run.now())


def _applied_feeds(runs: Collection[Record]) -> set[str]:
    ids = {record["run"]: record for record in runs}
    return {
        feed["digest"]
        for record in runs
        if record["status"] in (RunStatus.DONE, RunStatus.PARTLY) and not is_undone(record, ids)
        for feed in record.get("feeds", [])
    }


def require_approval(
    run: Run,
    ready: ReadyPlan,
    rules: Approvals,
    file: str = "PLAN",
    *,
    by_timer: bool = False,
    first: str = "",
    then: str = "",
) -> None:
    """Returns if the plan needs no other person, or has the approvals it needs; the record of the run then
    says who approved it. `file` is the file of the plan, `first` and `then` say what comes before and after
    the approval. `by_timer`: the person who applies it need not be known. Raises ApprovalMissing before the
    first write, and UnknownOperator if that person has to be known and is not."""
    why = reasons(ready.plan, rules)
    # read now: another person may reject a plan until it is written
    records = _records(run)
    approvals = records.all()
    # almost no night has an approval, and a year of runs has many records
    runs = _runs(run) if approvals else []
    others = [record for record in runs if record["run"] != run.order.run]
    request = ApplyRequest(
        plan=ready.plan,
        fingerprint=ready.fingerprint,
        people={*ready.made_by, *run.order.actor.names},
        used=_used(others),
        later=_of_other_plans(others, ready.fingerprint),
    )
    rejected = _rejected(ready, approvals, runs)
    if run.order.break_glass and (why or rejected):
        by = [Phrase("was rejected by {by}", by=rejected.no.by)] if rejected else []
        _break_glass(run, ready, [*why, *by])
        return
    if rejected is not None:
        raise ApprovalMissing(
            Phrase(
                "{rejected}\n"
                "Nothing was written. Make a plan from a corrected feed, or another person approves this "
                "one: {command}",
                rejected=rejected.words,
                command=f"piactl approve {shlex.quote(file)} {REASON}",
            )
        )
    if not why:
        return
    serve, not_serving = serving(request, approvals, rules, run.now())
    if len(serve) >= rules.count:
        if not by_timer:
            known_operator(run.order.actor, TWO)
        run.facts["approvals"] = [approval.name for approval in serve]
        run.facts["approved_by"] = [approval.by for approval in serve]
        people = joined((approval.by for approval in serve), "{first} and {second}")
        approved_by = Phrase("approved by {people}", people=people)
        run.journal.note(approved_by)
        run.say(approved_by)
        return
    missing = Phrase(
        "{people}, which {why}. Nothing was written",
        people=counted(
            rules.count, "other person has to approve this plan", "other people have to approve this plan"
        ),
        why=joined(why, "{first}; it {second}"),
    )
    unfit = (Phrase("An approval does not serve, {why}", why=sentence) for sentence in not_serving)
    approve = Phrase("As another person: {command}", command=f"piactl approve {shlex.quote(file)} {REASON}")
    way_on = joined(filter(None, [first, approve, then]), "{first}{second}")
    raise ApprovalMissing(joined([missing, *unfit, way_on], "{first}\n{second}"))


def _used(runs: Iterable[Record]) -> dict[str, str]:
    ended = (record for record in runs if record["status"] not in INTERRUPTED)
    return {name: record["run"] for record in ended for name in record.get("approvals", [])}


def _of_other_plans(runs: Iterable[Record], fingerprint: str) -> list[datetime]:
    return [
        instant_of(record["started"]) for record in runs if record.get("plan", fingerprint) != fingerprint
    ]


def _break_glass(run: Run, ready: ReadyPlan, why: Sequence[str]) -> None:
    """Lets the plan through with an alarm: a journal line of a kind of its own, and the record of the run."""
    run.facts |= {"break_glass": run.order.reason, "plan": ready.fingerprint}
    grounds = joined(why, "{first}; it {second}")
    reason = Phrase("{reason} (the plan {grounds})", reason=run.order.reason, grounds=grounds)
    intent = Write("add", run.places.run(run.order.run)).with_reason(run.order.run, (BREAK_GLASS,), reason)
    (number,) = run.journal.intents([intent])
    run.record(RunStatus.RUNNING)
    run.journal.outcomes(
        [Settlement(number, Outcome.APPLIED.value, Phrase("without the approval of another person"))]
    )
    run.say(Phrase("ALARM: this plan is applied without another person, though it {why}", why=grounds))


def forget_old_approvals(run: Run, rules: Approvals, keep_days: int) -> int:
    """Deletes expired approvals, and rejections older than `keep_days`, whose feed no longer comes; returns
    how many were deleted."""
    gone, now = 0, run.now()
    records = _records(run)
    for approval in records.all():
        over = timedelta(hours=rules.hours) if approval.approved else timedelta(days=keep_days)
        if now < approval.at + over:
            continue
        result = set_record(run.writer, child(records.folder, "cn", approval.name), None)
        gone += result is not None and result.outcome is Outcome.APPLIED
    return gone


def broken_glass(runs: Collection[Record], now: datetime) -> Iterator[Record]:
    """The runs of the last days (see `ALARM`) that did without the approval that their plan needed."""
    return (run for run in runs if run.get("break_glass") and now - instant_of(run["started"]) < ALARM)


def open_approvals(
    reader: Reader,
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    runs: Collection[Record],
    now: datetime,
    hours: int,
) -> Iterator[dict[str, Any]]:
    """The approvals that still serve their plan, and the rejections that still stop a plan, as rows to show.
    `runs` are all runs of the directory."""
    used, applied = _used(runs), _applied_feeds(runs)
    approvals = read_approvals(reader, settings.directory, keys, unreadable).all()
    last = {approval.plan: approval for approval in approvals}
    for approval in approvals:
        until = approval.at + timedelta(hours=hours)
        over = approval.name in used or any(
            start > approval.at for start in _of_other_plans(runs, approval.plan)
        )
        if not approval.approved:
            # it was approved after all, or what it is about was applied
            over = last[approval.plan].approved or bool(approval.feeds and applied >= {*approval.feeds})
        if not over and (now < until or not approval.approved):
            yield {
                "plan": approval.plan,
                "verdict": "approved" if approval.approved else "rejected",
                "by": approval.by,
                "at": approval.at.isoformat(timespec="seconds"),
                "until": until.isoformat(timespec="seconds") if approval.approved else None,
                "reason": approval.reason,
            }


def _records(run: Run) -> ApprovalRecords:
    return read_approvals(run.writer, run.settings.directory, run.keys, run.unreadable)


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
    words = Phrase(
        "goes on with the rest of run {first}, which was approved and interrupted: {kinds}",
        first=first,
        kinds=kinds,
    )
    run.journal.note(words)
    run.say(words)
