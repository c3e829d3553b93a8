"""Which plans need another person, and whether the approvals that they have are valid."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from piactl.core.model.policy import MERGE, Approvals
from piactl.core.plan.change import Change
from piactl.core.plan.check_guards import SAMPLE
from piactl.core.plan.plan import Plan
from piactl.phrase import Phrase

AHEAD = timedelta(minutes=1)
"""How far the time of an approval may be ahead of the clock of the host that uses it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The answer of `by` at `at` about the plan with this fingerprint, made with this policy: yes
    (`approved`) or no. `allowed` are the broken guards with their numbers, `feeds` the digests of its
    feeds."""

    name: str
    plan: str
    policy: str
    approved: bool
    allowed: Mapping[str, int]
    feeds: tuple[str, ...]
    by: str
    at: datetime
    reason: str


def reasons(plan: Plan, rules: Approvals) -> list[str]:
    """Why the plan needs the approval of another person; empty if it needs none."""
    grounds = []
    for rule in rules.required:
        broken = sorted(
            {
                refusal.kind
                for refusal in plan.refusals
                if "any" in rule.refused or refusal.kind in rule.refused
            }
        )
        if broken:
            grounds.append(Phrase("breaks guards: {guards}", guards=", ".join(broken)))
        number = sum(plan.summary.get(kind, 0) for kind in rule.kinds)
        if number > rule.more_than and len(rule.kinds) > 1:  # one account may have several of them
            number = len({change.uid for change in plan.changes if _kinds(change) & rule.kinds})
        if number > rule.more_than:
            kinds = ", ".join(sorted(rule.kinds))
            grounds.append(
                Phrase(
                    "changes many accounts ({kinds}): {number}, more than {more_than}",
                    kinds=kinds,
                    number=number,
                    more_than=rule.more_than,
                )
            )
        protected = {change.uid for change in plan.changes if change.protected} if rule.protected else ()
        if protected:
            grounds.append(
                Phrase("changes protected accounts: {uids}", uids=", ".join(sorted(protected)[:SAMPLE]))
            )
    return list(dict.fromkeys(grounds))


def _kinds(change: Change) -> set[str]:
    merged = "merged_into" in (change.after or {})
    return {change.kind.value, MERGE} if merged else {change.kind.value}


def allowed_of(plan: Plan) -> dict[str, int]:
    """The broken guards of a plan with the numbers that an approval names."""
    return {refusal.kind: refusal.total for refusal in plan.refusals}


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """A plan that is about to be applied: its fingerprint, the people behind it (who made it, who applies
    it), and what happened since: `used` are the approvals that a run used up, each with the run, `later` are
    the starts of runs that made another plan."""

    plan: Plan
    fingerprint: str
    people: Collection[str]
    used: Mapping[str, str]
    later: Sequence[datetime]


def rejection(
    plan: Plan, fingerprint: str, approvals: Iterable[Approval], applied: Collection[str]
) -> Approval | None:
    """The last answer about the plan with this fingerprint or one of its feeds, if it is a rejection. Feeds
    that are `applied` are beyond an answer."""
    feeds = {feed.digest for feed in plan.basis.feeds} - {*applied}
    about = [
        approval
        for approval in approvals
        if approval.plan == fingerprint or (not approval.approved and feeds & {*approval.feeds})
    ]
    last = max(about, key=lambda approval: approval.at, default=None)
    return last if last is not None and not last.approved else None


def serving(
    request: ApplyRequest, approvals: Iterable[Approval], rules: Approvals, now: datetime
) -> tuple[list[Approval], list[str]]:
    """The approvals of different people that count for the plan now, and why the other ones do not."""
    serve: dict[str, Approval] = {}  # by person
    why_not: list[str] = []
    for approval in approvals:
        if not approval.approved or approval.plan != request.fingerprint:
            continue
        wrong = next(_wrong(approval, request, rules, now), "")
        if wrong:
            why_not.append(Phrase("that of {by}: {wrong}", by=approval.by, wrong=wrong))
        else:
            serve[approval.by.casefold()] = approval
    return [*serve.values()], why_not


def is_one_of(name: str, people: Iterable[str]) -> bool:
    """Whether a person is one of these. Hosts may spell a name of the same person in another case."""
    return name.casefold() in map(str.casefold, people)


def _wrong(approval: Approval, request: ApplyRequest, rules: Approvals, now: datetime) -> Iterator[str]:
    if is_one_of(approval.by, request.people):
        yield Phrase("made or applies the plan")
    if approval.policy != request.plan.basis.policy or dict(approval.allowed) != allowed_of(request.plan):
        yield Phrase("is about other limits")
    if approval.at > now + AHEAD:
        yield Phrase("is ahead of the clock of this host")
    if now >= approval.at + timedelta(hours=rules.hours):
        yield Phrase("is older than {hours} hours", hours=rules.hours)
    if approval.name in request.used:
        yield Phrase("was used by run {run}", run=request.used[approval.name])
    if any(start > approval.at for start in request.later):
        yield Phrase("another plan was made since")
