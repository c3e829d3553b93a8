"""Closing and reopening accounts, the usage name, and taking back what was done by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, timedelta

from piactl.core.edits import Act, ActRefused, Altered, Author, override_end, told_by_hr
from piactl.core.edits.assignments import added_override, check_assignment
from piactl.core.model.account import Account, State
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, running
from piactl.core.model.person import Assignment
from piactl.core.rules.desired import Rules, Subject, desired_account
from piactl.core.rules.reasons import assignment_text

_CLOSED = frozenset({State.DEACTIVATED, State.GRACE})


def close(author: Author, day: date, until: date | None = None, grace: int = 0) -> Act:
    """Closes from `day` on: all assignments end the day before, with `grace` days from there. For a person
    of HR it holds to `until`; an assignment that starts after `day` is a return."""

    def act(account: Account, rules: Rules) -> Altered:
        open_ = [a for a in account.assignments if a.end is None or a.end >= day]
        if account.state is State.DEACTIVATED and not open_:
            return Altered(account)
        _refuse_to_miss(account, open_, day, rules)
        stays = override_end(account, until, rules.as_of)
        if stays < day:
            raise ActRefused(
                f"{account.uid}: a closure from {day} on cannot be over on {stays}; give a later --until"
            )
        override = Override(
            OverrideKind.CLOSE, stays, rules.as_of, author.by, author.reason, day=day, grace=grace
        )
        same = [p for p in account.overrides if p.kind is OverrideKind.CLOSE]
        if any((p.day, p.until, p.grace, p.reason) == (day, stays, grace, author.reason) for p in same):
            return Altered(account)
        kept = tuple(p for p in account.overrides if p not in same)
        return Altered(replace(account, overrides=(*kept, override)), author.note)

    return act


def _refuse_to_miss(account: Account, open_: Sequence[Assignment], day: date, rules: Rules) -> None:
    """Raises ActRefused for a closure that would not close: what begins after its first day is a return."""
    begun = [a for a in open_ if day < a.start <= rules.as_of]
    ahead = [a for a in open_ if a.start > day]
    if begun:
        raise ActRefused(
            f"{account.uid}: closed from {day} on, it would stay open by what began after that day: "
            f"{assignment_text(begun[0])}\nClose it from {begun[0].start} on or later"
        )
    if ahead and len(ahead) == len(open_) and account.state in (State.ANTICIPATED, State.DEACTIVATED):
        raise ActRefused(
            f"{account.uid}: nothing of it is open on {day}, and what begins later would open it: "
            f"{assignment_text(ahead[0])}\nClose it from {ahead[0].start} on, or keep it shut: "
            f'piactl account lock {account.uid} --reason "..."'
        )


def reopen(author: Author, until: date | None = None) -> Act:
    """Takes back a closure by hand. Where the assignments are over, `until` gives the last one anew, from
    today to then. A lock stays a lock."""

    def act(account: Account, rules: Rules) -> Altered:
        closed = [p for p in running(account.overrides, rules.as_of) if p.kind is OverrideKind.CLOSE]
        if closed:
            account = replace(account, overrides=tuple(p for p in account.overrides if p not in closed))
            state = _state(account, rules)
            if state not in _CLOSED or (until is None and state is State.GRACE):
                return Altered(account, author.note)
        elif account.state not in _CLOSED:
            return Altered(account)
        if until is None:
            raise ActRefused(
                f"{account.uid}: no assignment is left that would open it.\nGive the last one anew: "
                f'piactl account reopen {account.uid} --until DATE --reason "...", '
                f"or another: piactl assignment add {account.uid} ..."
            )
        new = replace(
            _last(account, rules), start=rules.as_of, end=until, source=MANUAL, origin="", position=""
        )
        check_assignment(new, rules)
        assignments = (*(a for a in account.assignments if a.key != new.key), new)
        overrides = (*account.overrides, added_override(new, author, "", rules.as_of))
        return Altered(replace(account, assignments=assignments, overrides=overrides), author.note)

    return act


def _state(account: Account, rules: Rules) -> State:
    subject = Subject(account.matricule, account, None, account.assignments)
    desired = desired_account(subject, rules)
    return desired.account.state if desired else account.state


def _last(account: Account, rules: Rules) -> Assignment:
    posts = [
        a
        for a in account.assignments
        if not ((position := rules.policy.position(a.position)) is not None and position.ends)
    ]
    if not posts:
        raise ActRefused(
            f"{account.uid}: it never had an assignment; add one: piactl assignment add {account.uid} ..."
        )
    return max(posts, key=lambda a: (a.end or a.start, a.start))


def rename(author: Author, usage_name: str, until: date | None = None) -> Act:
    """Another usage name, "" for none: a new address follows, the old one stays as an alias, a former one
    is taken back. For a person of HR it holds to `until`."""

    def act(account: Account, rules: Rules) -> Altered:
        before = next((p for p in account.overrides if p.kind is OverrideKind.NAME), None)
        if account.usage_name == usage_name and (before is None or until in (None, before.until)):
            return Altered(account)
        overrides = tuple(p for p in account.overrides if p.kind is not OverrideKind.NAME)
        if not told_by_hr(account, rules.as_of):
            return Altered(replace(account, usage_name=usage_name, overrides=overrides), author.note)
        was = before.was if before else account.usage_name
        if usage_name == was:
            return Altered(replace(account, usage_name=was, overrides=overrides), author.note)
        stays = override_end(account, until, rules.as_of)
        override = Override(
            OverrideKind.NAME, stays, rules.as_of, author.by, author.reason, value=usage_name, was=was
        )
        return Altered(replace(account, overrides=(*overrides, override)), author.note)

    return act


def end_overrides(author: Author, kinds: Collection[OverrideKind]) -> Act:
    """Ends the changes by hand of these kinds today: HR's word holds again. An assignment that was added
    ends yesterday; one that has not begun goes."""

    def act(account: Account, rules: Rules) -> Altered:
        gone = [p for p in account.overrides if p.kind in kinds]
        if not gone:
            return Altered(account)
        added = {(p.uai, p.function, p.start) for p in gone if p.kind is OverrideKind.ADD}
        yesterday = rules.as_of - timedelta(days=1)
        rows = []
        for row in account.assignments:
            if row.source != MANUAL or row.key not in added or (row.end and row.end <= yesterday):
                rows.append(row)
            elif row.start <= yesterday:
                rows.append(replace(row, end=yesterday))
        name = next((p.was for p in gone if p.kind is OverrideKind.NAME), account.usage_name)
        kept = tuple(p for p in account.overrides if p not in gone)
        altered = replace(account, overrides=kept, assignments=tuple(rows), usage_name=name)
        return Altered(altered, author.note)

    return act
