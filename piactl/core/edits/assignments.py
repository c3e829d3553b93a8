"""Assignments by hand: added, ended, moved. What HR said stays; an override lies over it until its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from piactl.core.edits import Act, ActRefused, Altered, Author, override_end
from piactl.core.model.account import Account
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, overridden
from piactl.core.model.person import Assignment
from piactl.core.rules.desired import Rules, assignment_problems
from piactl.core.rules.reasons import assignment_text

_CODE_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Meant:
    """Which assignment of an account is meant; blank and None mean any."""

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
    """Adds an assignment, which has an end. Raises ActRefused for what the policy cannot understand."""

    def act(account: Account, rules: Rules) -> Altered:
        return _added(account, new, author, sponsor, rules)

    return act


def added_override(new: Assignment, author: Author, sponsor: str, as_of: date) -> Override:
    """The override that says who added an assignment, why, and who answers for it."""
    if new.end is None:
        raise ActRefused("an assignment by hand needs an end: add --end DATE")
    return Override(
        OverrideKind.ADD,
        new.end,
        as_of,
        author.by,
        author.reason,
        uai=new.uai,
        function=new.function,
        start=new.start,
        sponsor=sponsor,
    )


def check_assignment(new: Assignment, rules: Rules) -> None:
    """Raises ActRefused with everything that is wrong with an assignment by hand."""
    wrong = [
        f"{what} {code!a} is no code: at most {_CODE_LENGTH} printable characters"
        for what, code in (("function", new.function), ("corps", new.corps), ("position", new.position))
        if len(code) > _CODE_LENGTH or not code.isprintable()
    ]
    wrong += [problem[3] for problem in assignment_problems([new], rules.policy, rules.register)]
    if new.end is not None and new.end < new.start:
        wrong.append(f"the end, {new.end}, is before the start, {new.start}")
    if new.end is not None and new.end < rules.as_of:
        wrong.append(f"the end, {new.end}, is past")
    if wrong:
        raise ActRefused("\n".join(wrong))


def _added(account: Account, new: Assignment, author: Author, sponsor: str, rules: Rules) -> Altered:
    check_assignment(new, rules)
    override = added_override(new, author, sponsor, rules.as_of)
    same = next((a for a in account.assignments if a.key == new.key), None)
    if same is not None and same != new:
        raise ActRefused(f"{account.uid}: it has this assignment already: {assignment_text(same)}")
    if same is not None:
        return Altered(account)
    assignments = _sorted([*account.assignments, new])
    return Altered(
        replace(account, assignments=assignments, overrides=(*account.overrides, override)), author.note
    )


def end(author: Author, meant: Meant, last_day: date, until: date | None = None) -> Act:
    """Ends the assignment that is meant on `last_day`. For one of HR's, `until` is the last day on which
    that holds against HR."""

    def act(account: Account, rules: Rules) -> Altered:
        altered = account
        rows = _meant(account, meant, last_day, rules)
        for one in _outlasting(rows, last_day) or rows:
            altered = _ended(altered, one, last_day, until, author, rules)
        return Altered(account) if altered == account else Altered(altered, author.note)

    return act


def _ended(
    account: Account, one: Assignment, last_day: date, until: date | None, author: Author, rules: Rules
) -> Account:
    if one.source == MANUAL:
        return account if one.end == last_day else _ended_by_hand(account, one, last_day)
    kept = tuple(p for p in account.overrides if not p.made_for(one, account.assignments))
    if one.end is not None and last_day > one.end:
        raise ActRefused(
            f"{account.uid}: HR ends it on {one.end} already, and by hand it can only end sooner: "
            f"{assignment_text(one)}\nTo prolong it: piactl assignment add {account.uid} --uai {one.uai} "
            f"--function {one.function} --start {one.end + timedelta(days=1)} --end {last_day}"
        )
    if one.end == last_day:
        return replace(account, overrides=kept)
    stays = override_end(account, until, rules.as_of)
    if stays <= last_day:
        raise ActRefused(
            f"{account.uid}: a change by hand that holds to {stays} cannot end an assignment on {last_day}: "
            "what HR says would hold again the next day.\nGive --until a day after that"
        )
    override = Override(
        OverrideKind.END,
        stays,
        rules.as_of,
        author.by,
        author.reason,
        uai=one.uai,
        function=one.function,
        start=one.start,
        day=last_day,
    )
    same = (override.day, override.until, override.reason)
    if any((p.day, p.until, p.reason) == same for p in account.overrides if p not in kept):
        return account
    return replace(account, overrides=(*kept, override))


def _outlasting(rows: Sequence[Assignment], last_day: date) -> list[Assignment]:
    """Those of the rows that HR does not end by the day."""
    return [a for a in rows if a.source == MANUAL or a.end is None or a.end > last_day]


def _last_days(account: Account, one: Assignment, rules: Rules) -> list[date | None]:
    """The last day of an assignment as it stands, by HR or by hand; none where it never begins."""
    return [
        a.end
        for a in overridden(account.assignments, account.overrides, rules.as_of)
        if (a.key, a.source) == (one.key, one.source)
    ]


def _ended_by_hand(account: Account, one: Assignment, last_day: date) -> Account:
    """An assignment that was made by hand simply gets another end; one that had not begun goes."""
    key = one.key
    rest = [a for a in account.assignments if a is not one]
    overrides = [
        p
        for p in account.overrides
        if not (p.kind is OverrideKind.ADD and (p.uai, p.function, p.start) == key)
    ]
    if last_day >= one.start:
        rest.append(replace(one, end=last_day))
        overrides += [replace(p, until=last_day) for p in account.overrides if p not in overrides]
    return replace(account, assignments=_sorted(rest), overrides=tuple(overrides))


def move(
    author: Author, meant: Meant, new: Assignment, until: date | None = None, *, same_post: bool = True
) -> Act:
    """A mutation by hand: the assignment that is meant ends the day before `new` starts. `same_post`: blank
    function, corps, discipline, modality of `new` are those of the old one."""

    def act(account: Account, rules: Rules) -> Altered:
        last_day = new.start - timedelta(days=1)
        left = _meant(account, meant, last_day, rules)
        old = left[0]
        post = new
        if same_post:
            kept = {n: getattr(new, n) or getattr(old, n) for n in _POST}
            post = replace(new, **kept)
        if post.uai == old.uai and post.function == old.function:
            raise ActRefused(f"{account.uid}: it is at {old.uai} already: {assignment_text(old)}")
        without = account
        for one in _outlasting(left, last_day):
            without = _ended(without, one, last_day, until or new.end, author, rules)
        return _added(without, post, author, "", rules)

    return act


_POST = ("function", "corps", "discipline", "modality", "quotite")


def _meant(account: Account, meant: Meant, last_day: date, rules: Rules) -> list[Assignment]:
    """The assignment that is meant, among those that are not over before the day it shall end on; several
    where HR and hand, say, tell of the very same one. What ends all others, a retirement, is none."""
    day = min(last_day, rules.as_of)
    fits = [a for a in account.assignments if meant.fits(a) and not _is_ending(a, rules)]
    going_on = [a for a in fits if any(e is None or e >= day for e in _last_days(account, a, rules))]
    # what was ended by hand may be ended on another day
    going_on = going_on or [
        a for a in fits if _last_days(account, a, rules) and (a.end is None or a.end >= day)
    ]
    if len({a.key for a in going_on}) == 1:
        return going_on
    if not going_on:
        raise ActRefused(f"{account.uid}: no assignment that goes on is meant; it has:\n{_list(account)}")
    raise ActRefused(
        f"{account.uid}: several assignments can be meant; add --uai, --function or --start:\n"
        + "\n".join(f"  {assignment_text(a)}" for a in going_on)
    )


def _is_ending(assignment: Assignment, rules: Rules) -> bool:
    position = rules.policy.position(assignment.position)
    return position is not None and position.ends


def _list(account: Account) -> str:
    return "\n".join(f"  {assignment_text(a)}" for a in account.assignments) or "  none"


def _sorted(assignments: Sequence[Assignment]) -> tuple[Assignment, ...]:
    return tuple(sorted(assignments, key=lambda a: (a.start, a.uai, a.function, a.source)))
