"""The steps of one person in one run: row, matching, rules, difference, guards and write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from piactl.core.plan.change import Change, Kind
from piactl.core.plan.check_guards import Refusal, scope_words
from piactl.core.plan.plan import Hold, HoldCode, Plan
from piactl.phrase import Phrase, joined

DONE, SKIPPED, HELD = "done", "skipped", "held"
"""The verdict on a step: done, skipped because there was nothing to do, or held."""
NOT_REACHED = "not-reached"
"""The code of a step after the one that held the person."""

Found = tuple[str, str, str]
"""The verdict on a step, a code for programs, and what it says to people."""


class RunEnd(NamedTuple):
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

_WRITES: Mapping[str, Found] = {
    "applied": (DONE, "applied", Phrase("the account was written")),
    "unchanged": (DONE, "unchanged", Phrase("the account already had these values")),
    "conflict": (HELD, "conflict", Phrase("the account changed since the plan was made")),
    "failed": (HELD, "failed", Phrase("the server refused the write")),
    "not made": (HELD, "not-made", Phrase("the run ended before the write")),
}
_NOTHING = (SKIPPED, "no-change", Phrase("nothing of the account changes"))


def run_steps(plan: Plan | None, uid: str, matricules: Collection[str], end: RunEnd) -> list[dict[str, str]]:
    """The steps of a person in a run, each with `step`, `verdict`, `code` and `text`. A step that is held is
    the last one: the steps after it are skipped. Without its plan the record and the journal tell."""
    return [
        {"step": step, "verdict": verdict, "code": code, "text": text}
        for step, (verdict, code, text) in (
            _by_record(end) if plan is None else _by_plan(plan, uid, matricules, end)
        )
    ]


def _by_record(end: RunEnd) -> list[tuple[str, Found]]:
    if end.status == "refused":
        return [("row", (HELD, "refused", end.note or Phrase("the run was refused as a whole")))]
    unknown = (SKIPPED, "not-kept", Phrase("the plan of the run is not kept on this host"))
    write: Found = (SKIPPED, "no-write", Phrase("the run wrote nothing to the account"))
    if end.status != "done" or end.writes or end.host:
        write = _write(end, "")
    return [*((step, unknown) for step in _STEPS[:-1]), ("write", write)]


def _by_plan(plan: Plan, uid: str, matricules: Collection[str], end: RunEnd) -> list[tuple[str, Found]]:
    changes = [change for change in plan.changes if uid and change.uid == uid]

    def is_of(hold: Hold) -> bool:
        return (hold.uid == uid and bool(hold.uid)) or hold.matricule in matricules

    hold = next(filter(is_of, plan.holds), None)
    held_at = _AT.get(hold.code, "matching") if hold is not None else ""
    find: Mapping[str, Callable[[], Found]] = {
        "row": lambda: _row(plan, matricules, changes),
        "matching": lambda: _matching(uid, matricules, changes),
        "rules": lambda: _rules(changes),
        "difference": lambda: (
            (DONE, "changes", ", ".join(map(_change_text, changes))) if changes else _NOTHING
        ),
        "guards": lambda: _guards(plan, end) if changes else _NOTHING,
        "write": lambda: _write(end, end.note) if changes or end.writes else _NOTHING,
    }
    steps: list[tuple[str, Found]] = []
    for step in _STEPS:
        if steps and (steps[-1][1][0] == HELD or steps[-1][1][1] == NOT_REACHED):
            steps.append((step, (SKIPPED, NOT_REACHED, Phrase("the person was held before it"))))
        elif hold is not None and held_at == step:
            held = (HELD, str(hold.code), hold.why)
            found = find[step]() if step == "row" else held  # without the code for programs
            steps.append((step, found if found[0] == HELD else held))
        else:
            steps.append((step, find[step]()))
    return steps


def _row(plan: Plan, matricules: Collection[str], changes: Sequence[Change]) -> Found:
    if not plan.basis.feeds:
        return SKIPPED, "no-feed", Phrase("the run had no feed")
    for row in plan.rejections:
        if row.matricule in matricules:
            where, message = f"{row.file}:{row.line}", row.message
            if row.column:
                message = Phrase("{first}: {second}", first=row.column, second=message)
            return HELD, "rejected", Phrase("{where}: {message}", where=where, message=message)
    rows = dict.fromkeys(f"{c.feed}:{c.line}" for c in changes if c.feed and c.line)
    if rows:
        return DONE, "read", ", ".join(rows)
    for absent in plan.absents:
        if absent.matricule in matricules:
            text = Phrase(
                "{function} at {uai} is absent: {seen} of {needed} feeds without it",
                function=absent.function,
                uai=absent.uai,
                seen=absent.seen,
                needed=absent.needed,
            )
            return DONE, "absent", text
    return SKIPPED, "no-news", Phrase("no row of the feeds of the run changes the account")


def _matching(uid: str, matricules: Collection[str], changes: Sequence[Change]) -> Found:
    if any(change.kind is Kind.CREATE for change in changes):
        return DONE, "newcomer", Phrase("nobody has the matricule: a new account")
    matricule = next(iter(matricules), "")
    if not matricule or not uid:
        return SKIPPED, "no-matricule", Phrase("the account has no matricule in clear")
    return DONE, "matched", Phrase("matricule {matricule} is that of {uid}", matricule=matricule, uid=uid)


def _rules(changes: Sequence[Change]) -> Found:
    if not changes:
        return DONE, "same", Phrase("the rules give what the account has")
    reasons = dict.fromkeys(
        Phrase("{reason} ({rule})", reason=c.reason, rule=c.rule) if c.rule else c.reason for c in changes
    )
    return DONE, "differs", joined(reasons)


def _guards(plan: Plan, end: RunEnd) -> Found:
    allowed = [refusal for refusal in plan.refusals if end.allowed.get(refusal.kind) == refusal.total]
    for refusal in plan.refusals:
        if refusal not in allowed and end.status == "refused":
            return HELD, refusal.kind, _refusal_text(refusal)
    if allowed:
        numbers = ", ".join(f"{refusal.kind}={refusal.total}" for refusal in allowed)
        return DONE, "allowed", Phrase("approved: {numbers}", numbers=numbers)
    return DONE, "within-limits", Phrase("no guard is broken")


def _write(end: RunEnd, note: str) -> Found:
    if not end.writes:
        if end.host:
            return SKIPPED, "other-host", Phrase("the journal of host {host} has it", host=end.host)
        return HELD, "not-made", note or Phrase("the journal has no write of the account")
    outcome, message = max(
        end.writes, key=lambda write: [*_WRITES].index(write[0]) if write[0] in _WRITES else len(_WRITES)
    )
    unknown = (HELD, outcome.replace(" ", "-"), Phrase("nobody knows yet whether it was made"))
    verdict, code, text = _WRITES.get(outcome, unknown)
    return verdict, code, joined(filter(None, [text, message]), "{first}: {second}")


def _change_text(change: Change) -> str:
    service, place = change.after.get("service"), change.after.get("uai")
    return " ".join(
        [change.kind.value, *([f"{service}:{place}" if place else str(service)] if service else [])]
    )


def _refusal_text(refusal: Refusal) -> str:
    most = refusal.limit.most(refusal.of)
    return Phrase(
        "{kind}: {found} of {of} accounts ({scope}); at most {most}",
        kind=refusal.kind,
        found=refusal.found,
        of=refusal.of,
        scope=scope_words(refusal.scope),
        most=most,
    )
