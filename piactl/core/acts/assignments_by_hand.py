"""Adds, ends and moves assignments by hand. The HR data stay; an override applies on top until its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from piactl.core.acts import Act, ActRefused, Altered, Author, override_end
from piactl.core.model.account import Account
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, overridden, sponsor_of
from piactl.core.model.person import Assignment, by_start
from piactl.core.rules.desired_account import Rules, assignment_problems
from piactl.core.rules.reasons import assignment_text, post_text
from piactl.phrase import Phrase, joined

_CODE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class AssignmentSelector:
    """Selects an assignment of an account; blank and None match any value."""

    uai: str = ""
    function: str = ""
    start: date | None = None

    def fits(self, assignment: Assignment) -> bool:
        return (
            self.uai in ("", assignment.uai)
            and self.function in ("", assignment.function)
            and self.start in (None, assignment.start)
        )


def add(author: Author, new: Assignment, sponsor: str = "") -> Act:
    """Adds an assignment with an end. Raises ActRefused if the policy does not cover it."""

    return lambda account, rules: _added(account, new, author, sponsor, rules)


def added_override(new: Assignment, author: Author, sponsor: str, as_of: date) -> Override:
    """The override that records the author, reason and sponsor of an added assignment."""
    if new.end is None:
        raise ActRefused(Phrase("an assignment by hand needs an end: add --until DATE"))
    return author.override(OverrideKind.ADD, new.end, as_of, sponsor=sponsor, **_identified(new))


def _identified(assignment: Assignment) -> dict[str, Any]:
    """The fields of an override that identify its assignment."""
    return {"uai": assignment.uai, "function": assignment.function, "start": assignment.start}


def refuse_too_long(account: Account, rules: Rules) -> None:
    """Raises ActRefused if an account with a sponsor would last longer than the policy allows."""
    days = rules.policy.sponsored_days
    if days is None or not sponsor_of(account.overrides):
        return
    latest = rules.as_of + timedelta(days=days)
    ends = [a.end for a in account.assignments if a.source == MANUAL and a.end is not None]
    if max(ends, default=latest) > latest:
        raise ActRefused(
            Phrase(
                "{uid}: it has a sponsor, so it ends {days} days ahead at the latest, on {latest} "
                "(accounts.sponsored_days of the policy).\n"
                "Give an earlier day, and extend it again later",
                uid=account.uid or Phrase("the account"),
                days=days,
                latest=latest,
            )
        )


def check_assignment(new: Assignment, rules: Rules) -> None:
    """Raises ActRefused with everything that is wrong with an assignment by hand."""
    problems: list[str] = [
        Phrase(
            "{field} {code} is not a valid code: use at most {most} printable characters",
            field=field,
            code=ascii(code),
            most=_CODE_LENGTH,
        )
        for field, code in (("function", new.function), ("corps", new.corps), ("position", new.position))
        if len(code) > _CODE_LENGTH or not code.isprintable()
    ]
    problems += [problem[3] for problem in assignment_problems([new], rules.policy, rules.register)]
    if new.is_over(new.start):
        problems.append(Phrase("the end, {end}, is before the start, {start}", end=new.end, start=new.start))
    if new.is_over(rules.as_of):
        problems.append(Phrase("the end, {end}, is past", end=new.end))
    if problems:
        raise ActRefused(joined(problems, "{first}\n{second}"))


def _added(account: Account, new: Assignment, author: Author, sponsor: str, rules: Rules) -> Altered:
    check_assignment(new, rules)
    override = added_override(new, author, sponsor, rules.as_of)
    existing = next((a for a in account.assignments if a.key == new.key), None)
    if existing is not None and existing != new:
        post = assignment_text(existing)
        raise ActRefused(Phrase("{uid}: it already has this assignment: {post}", uid=account.uid, post=post))
    if existing is not None:
        return Altered(account)
    assignments = tuple(sorted([*account.assignments, new], key=by_start))
    return Altered(
        replace(account, assignments=assignments, overrides=(*account.overrides, override)), author.note
    )


def end(author: Author, selection: AssignmentSelector, last_day: date, until: date | None = None) -> Act:
    """Ends the selected assignment on `last_day`. For an HR assignment, `until` is the last day of the
    override."""

    def act(account: Account, rules: Rules) -> Altered:
        altered = account
        rows = _meant(account, selection, last_day, rules)
        for assignment in _outlasting(rows, last_day) or rows:
            altered = _ended(altered, assignment, last_day, until, author, rules)
        return Altered(account) if altered == account else Altered(altered, author.note)

    return act


def _ended(
    account: Account, assignment: Assignment, last_day: date, until: date | None, author: Author, rules: Rules
) -> Account:
    if assignment.source == MANUAL:
        return account if assignment.end == last_day else ended_by_hand(account, assignment, last_day)
    others = tuple(o for o in account.overrides if not o.made_for(assignment, account.assignments))
    if assignment.end is not None and last_day > assignment.end:
        raise ActRefused(
            Phrase(
                "{uid}: HR already ends it on {end}; by hand it can only end sooner: {post}\n"
                "To prolong it: piactl assignment add {uid} --uai {uai} --function {function} --from {start} "
                '--until {until} --reason "..."',
                uid=account.uid,
                end=assignment.end,
                post=assignment_text(assignment),
                uai=assignment.uai,
                function=assignment.function,
                start=assignment.end + timedelta(days=1),
                until=last_day,
            )
        )
    if assignment.end == last_day:
        return replace(account, overrides=others)
    override_until = override_end(account, until, rules.as_of)
    if override_until <= last_day:
        raise ActRefused(
            Phrase(
                "{uid}: a change by hand until {until} cannot end an assignment on {day}: the HR data would "
                "apply again the next day.\nGive a later --until",
                uid=account.uid,
                until=override_until,
                day=last_day,
            )
        )
    of_row = _identified(assignment)
    override = author.override(OverrideKind.END, override_until, rules.as_of, day=last_day, **of_row)
    same = (override.day, override.until, override.reason)
    if any((o.day, o.until, o.reason) == same for o in account.overrides if o not in others):
        return account
    return replace(account, overrides=(*others, override))


def _outlasting(rows: Sequence[Assignment], last_day: date) -> list[Assignment]:
    """The rows that HR does not end by that day."""
    return [a for a in rows if a.source == MANUAL or a.end is None or a.end > last_day]


def _last_days(account: Account, assignment: Assignment, rules: Rules) -> list[date | None]:
    """The last day of an assignment with overrides applied; empty if they prevent it from beginning."""
    return [
        a.end
        for a in overridden(account.assignments, account.overrides, rules.as_of)
        if (a.key, a.source) == (assignment.key, assignment.source)
    ]


def ended_by_hand(account: Account, assignment: Assignment, last_day: date) -> Account:
    """Changes the end of an assignment made by hand, or removes it if it would not have begun."""
    rest = [a for a in account.assignments if a is not assignment]
    overrides = [o for o in account.overrides if not (o.kind is OverrideKind.ADD and o.key == assignment.key)]
    if last_day >= assignment.start:
        rest.append(replace(assignment, end=last_day))
        overrides += [replace(o, until=last_day) for o in account.overrides if o not in overrides]
    assignments = tuple(sorted(rest, key=by_start))
    return replace(account, assignments=assignments, overrides=tuple(overrides))


def move(author: Author, selection: AssignmentSelector, new: Assignment) -> Act:
    """Moves to another post: the selected assignment ends the day before `new` starts. Fields of _POST that
    are blank in `new` are taken from the old assignment."""

    def act(account: Account, rules: Rules) -> Altered:
        last_day = new.start - timedelta(days=1)
        selected = _meant(account, selection, last_day, rules)
        old = selected[0]
        post = replace(new, **{name: getattr(new, name) or getattr(old, name) for name in _POST})
        if post.uai == old.uai and post.function == old.function:
            place = {"uid": account.uid, "uai": old.uai, "post": assignment_text(old)}
            raise ActRefused(Phrase("{uid}: it is already at {uai}: {post}", **place))
        altered = account
        for assignment in _outlasting(selected, last_day):
            altered = _ended(altered, assignment, last_day, new.end, author, rules)
        return _added(altered, post, author, "", rules)

    return act


_POST = ("function", "corps", "discipline", "modality", "quotite")


def _meant(account: Account, selection: AssignmentSelector, last_day: date, rules: Rules) -> list[Assignment]:
    """The selected assignment, among those that are not over on `last_day`. It is listed twice if both HR and
    an administrator entered it. Rows that end all others (a retirement) are not considered."""
    day = min(last_day, rules.as_of)
    fits = [a for a in account.assignments if selection.fits(a) and not rules.policy.ends_all(a)]
    going_on = [a for a in fits if any(e is None or e >= day for e in _last_days(account, a, rules))]
    # an assignment ended by hand may be given another last day
    going_on = going_on or [a for a in fits if _last_days(account, a, rules) and not a.is_over(day)]
    if len({a.key for a in going_on}) == 1:
        return going_on
    if not going_on:
        posts = [post_text(a, rules.policy) for a in account.assignments] or [Phrase("none")]
        text = Phrase("{uid}: no current or later assignment matches; it has:", uid=account.uid)
    else:
        posts = [assignment_text(a) for a in going_on]
        text = Phrase("{uid}: several assignments match; add --uai, --function or --from:", uid=account.uid)
    raise ActRefused(joined([text, *posts], "{first}\n  {second}"))
