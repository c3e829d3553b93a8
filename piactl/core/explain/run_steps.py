"""The steps of one person in one run: row, matching, rules, difference, guards and write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from piactl.core.plan.change import Change, Kind
from piactl.core.plan.guards import Refusal
from piactl.core.plan.plan import Hold, HoldCode, Plan


class Verdict(StrEnum):
    """The verdict on a step: done, skipped because there was nothing to do, or held."""

    DONE = "done"
    SKIPPED = "skipped"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run for one person. `code` says in one word, for programs, what `text` says to people."""

    step: str
    verdict: Verdict
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: its status, its note, the guards that were approved, and each write of the account
    with its outcome and message. `host` is the host that has the outcomes, "" if it is this one."""

    status: str
    note: str
    allowed: Mapping[str, int]
    writes: Sequence[tuple[str, str]]
    host: str = ""


_STEPS = ("row", "matching", "rules", "difference", "guards", "write")

_AT: Mapping[HoldCode, str] = {
    HoldCode.REJECTED: "row",
    HoldCode.ASSIGNMENT: "rules",
    HoldCode.NAME: "rules",
    HoldCode.ABSENCE: "rules",
    HoldCode.DRIFT: "difference",
    HoldCode.PROTECTED: "difference",
    HoldCode.UNDO: "difference",
}
"""The step that a hold stops, if it is not the matching."""

_WRITES = {
    "applied": (Verdict.DONE, "applied", "the account was written"),
    "unchanged": (Verdict.DONE, "unchanged", "the account already had these values"),
    "conflict": (Verdict.HELD, "conflict", "the account changed since the plan was made"),
    "failed": (Verdict.HELD, "failed", "the server refused the write"),
    "not made": (Verdict.HELD, "not-made", "the run ended before the write"),
}


def run_steps(plan: Plan, uid: str, matricules: Collection[str], end: RunEnd) -> list[Step]:
    """The steps of a person in the run of this plan. A step that is held is the last one: the steps after it
    are skipped."""
    way = _Way(plan, uid, matricules, end)
    steps: list[Step] = []
    for name in _STEPS:
        if steps and (steps[-1].verdict is Verdict.HELD or steps[-1].code == "not-reached"):
            steps.append(Step(name, Verdict.SKIPPED, "not-reached", "the person was held before it"))
        else:
            steps.append(way.step(name))
    return steps


def steps_without_plan(end: RunEnd) -> list[Step]:
    """The steps according to the record of a run and the journal, if the plan is not known."""
    if end.status == "refused":
        return [Step("row", Verdict.HELD, "refused", end.note or "the run was refused as a whole")]
    why = "the plan of the run is not kept on this host"
    nothing = Step("write", Verdict.SKIPPED, "no-write", "the run wrote nothing to the account")
    write = nothing if end.status == "done" and not end.writes and not end.host else _write(end, "")
    return [*(Step(name, Verdict.SKIPPED, "not-kept", why) for name in _STEPS[:-1]), write]


class _Way:
    def __init__(self, plan: Plan, uid: str, matricules: Collection[str], end: RunEnd) -> None:
        self._plan, self._uid, self._matricules, self._end = plan, uid, matricules, end
        self._changes: list[Change] = [change for change in plan.changes if uid and change.uid == uid]
        self._hold = next((hold for hold in plan.holds if self._is_of(hold)), None)

    def _is_of(self, hold: Hold) -> bool:
        return (hold.uid == self._uid and bool(hold.uid)) or hold.matricule in self._matricules

    def step(self, name: str) -> Step:
        if self._hold is not None and _AT.get(self._hold.code, "matching") == name:
            return Step(name, Verdict.HELD, self._hold.code, self._hold.why)
        step: Step = getattr(self, f"_{name}")()
        return step

    def _row(self) -> Step:
        plan = self._plan
        if not plan.basis.feeds:
            return Step("row", Verdict.SKIPPED, "no-feed", "the run had no feed")
        for row in plan.rejections:
            if row.matricule in self._matricules:
                where = f"{row.file}:{row.line}"
                return Step("row", Verdict.HELD, "rejected", f"{where}: {row.message} [{row.code}]")
        rows = dict.fromkeys(f"{c.feed}:{c.line}" for c in self._changes if c.feed and c.line)
        if rows:
            return Step("row", Verdict.DONE, "read", ", ".join(rows))
        for absent in plan.absents:
            if absent.matricule in self._matricules:
                seen = f"{absent.seen} of {absent.needed} feeds without it"
                return Step(
                    "row", Verdict.DONE, "absent", f"{absent.function} at {absent.uai} is absent: {seen}"
                )
        return Step("row", Verdict.SKIPPED, "no-news", "no row of the feeds of the run changes the account")

    def _matching(self) -> Step:
        if any(change.kind is Kind.CREATE for change in self._changes):
            return Step("matching", Verdict.DONE, "newcomer", "nobody has the matricule: a new account")
        matricule = next(iter(self._matricules), "")
        if not matricule or not self._uid:
            return Step("matching", Verdict.SKIPPED, "no-matricule", "the account has no matricule in clear")
        return Step("matching", Verdict.DONE, "matched", f"matricule {matricule} is that of {self._uid}")

    def _rules(self) -> Step:
        if not self._changes:
            return Step("rules", Verdict.DONE, "same", "the rules give what the account has")
        reasons = dict.fromkeys(f"{c.reason} ({c.rule})" if c.rule else c.reason for c in self._changes)
        return Step("rules", Verdict.DONE, "differs", "; ".join(reasons))

    def _difference(self) -> Step:
        if not self._changes:
            return Step("difference", Verdict.SKIPPED, "no-change", "nothing of the account changes")
        return Step("difference", Verdict.DONE, "changes", ", ".join(map(_change_text, self._changes)))

    def _guards(self) -> Step:
        if not self._changes:
            return Step("guards", Verdict.SKIPPED, "no-change", "nothing of the account changes")
        allowed = [
            refusal for refusal in self._plan.refusals if self._end.allowed.get(refusal.kind) == refusal.total
        ]
        for refusal in self._plan.refusals:
            if refusal not in allowed and self._end.status == "refused":
                return Step("guards", Verdict.HELD, refusal.kind, _refusal_text(refusal))
        if allowed:
            numbers = ", ".join(f"{refusal.kind}={refusal.total}" for refusal in allowed)
            return Step("guards", Verdict.DONE, "allowed", f"approved: {numbers}")
        return Step("guards", Verdict.DONE, "within-limits", "no guard is broken")

    def _write(self) -> Step:
        if not self._changes and not self._end.writes:
            return Step("write", Verdict.SKIPPED, "no-change", "nothing of the account changes")
        return _write(self._end, self._end.note)


def _write(end: RunEnd, note: str) -> Step:
    if not end.writes:
        if end.host:
            return Step("write", Verdict.SKIPPED, "other-host", f"the journal of host {end.host} has it")
        return Step("write", Verdict.HELD, "not-made", note or "the journal has no write of the account")
    worst = max(
        end.writes, key=lambda write: [*_WRITES].index(write[0]) if write[0] in _WRITES else len(_WRITES)
    )
    verdict, code, text = _WRITES.get(
        worst[0], (Verdict.HELD, worst[0].replace(" ", "-"), "nobody knows yet whether it was made")
    )
    return Step("write", verdict, code, f"{text}: {worst[1]}" if worst[1] else text)


def _change_text(change: Change) -> str:
    service = change.after.get("service")
    place = change.after.get("uai")
    return " ".join(
        [change.kind.value, *([f"{service}:{place}" if place else str(service)] if service else [])]
    )


def _refusal_text(refusal: Refusal) -> str:
    most = refusal.limit.most(refusal.of)
    return f"{refusal.kind}: {refusal.found} of {refusal.of} accounts ({refusal.scope}); at most {most}"
