"""Assignments by hand: added, ended, moved. What HR said stays; a pin lies over it until its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from piactl.core.account import Account
from piactl.core.acts import Act, ActRefused, Altered, Author, pin_end
from piactl.core.assignment import Assignment
from piactl.core.desired import Rules, assignment_problems
from piactl.core.pins import MANUAL, Pin, PinKind, pinned
from piactl.core.reasons import spoken

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


def added_pin(new: Assignment, author: Author, sponsor: str, as_of: date) -> Pin:
    """The pin that says who added an assignment, why, and who answers for it."""
    if new.end is None:
        raise ActRefused("an assignment by hand needs an end: add --end DATE")
    return Pin(
        PinKind.ADD,
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
    pin = added_pin(new, author, sponsor, rules.as_of)
    same = next((a for a in account.assignments if a.key == new.key), None)
    if same is not None and same != new:
        raise ActRefused(f"{account.uid}: it has this assignment already: {spoken(same)}")
    if same is not None:
        return Altered(account)
    assignments = _sorted([*account.assignments, new])
    return Altered(replace(account, assignments=assignments, pins=(*account.pins, pin)), author.note)


def end(author: Author, meant: Meant, last_day: date, until: date | None = None) -> Act:
    """Ends the assignment that is meant on `last_day`. For one of HR's, `until` is the last day on which
    that holds against HR."""

    def act(account: Account, rules: Rules) -> Altered:
        return _ended(account, _only(account, meant, last_day, rules), last_day, until, author, rules)

    return act


def _ended(
    account: Account, one: Assignment, last_day: date, until: date | None, author: Author, rules: Rules
) -> Altered:
    if one.end is not None and one.end == last_day:
        return Altered(account)
    if one.source == MANUAL:
        return Altered(_ended_by_hand(account, one, last_day), author.note)
    stays = pin_end(account, until, rules.as_of)
    pin = Pin(
        PinKind.END,
        stays,
        rules.as_of,
        author.by,
        author.reason,
        uai=one.uai,
        function=one.function,
        start=one.start,
        day=last_day,
    )
    kept = tuple(p for p in account.pins if not p.ends(one))
    return Altered(replace(account, pins=(*kept, pin)), author.note)


def _ended_by_hand(account: Account, one: Assignment, last_day: date) -> Account:
    """An assignment that was made by hand simply gets another end; one that had not begun goes."""
    key = one.key
    rest = [a for a in account.assignments if a is not one]
    pins = [p for p in account.pins if not (p.kind is PinKind.ADD and (p.uai, p.function, p.start) == key)]
    if last_day >= one.start:
        rest.append(replace(one, end=last_day))
        pins += [replace(p, until=last_day) for p in account.pins if p not in pins]
    return replace(account, assignments=_sorted(rest), pins=tuple(pins))


def move(
    author: Author, meant: Meant, new: Assignment, until: date | None = None, *, same_post: bool = True
) -> Act:
    """A mutation by hand: the assignment that is meant ends the day before `new` starts. `same_post`: blank
    function, corps, discipline, modality of `new` are those of the old one."""

    def act(account: Account, rules: Rules) -> Altered:
        last_day = new.start - timedelta(days=1)
        old = _only(account, meant, last_day, rules)
        post = new
        if same_post:
            kept = {n: getattr(new, n) or getattr(old, n) for n in _POST}
            post = replace(new, **kept)
        if post.uai == old.uai and post.function == old.function:
            raise ActRefused(f"{account.uid}: it is at {old.uai} already: {spoken(old)}")
        without = _ended(account, old, last_day, until or new.end, author, rules).account
        return _added(without, post, author, "", rules)

    return act


_POST = ("function", "corps", "discipline", "modality", "quotite")


def _only(account: Account, meant: Meant, last_day: date, rules: Rules) -> Assignment:
    """The one assignment that is meant, among those that are not over before the day it shall end on."""
    effective = {a.key for a in pinned(account.assignments, account.pins, rules.as_of)}
    going_on = [
        a
        for a in account.assignments
        if meant.fits(a) and a.key in effective and (a.end is None or a.end >= min(last_day, rules.as_of))
    ]
    if len(going_on) == 1:
        return going_on[0]
    if not going_on:
        raise ActRefused(f"{account.uid}: no assignment that goes on is meant; it has:\n{_list(account)}")
    raise ActRefused(
        f"{account.uid}: several assignments can be meant; add --uai, --function or --start:\n"
        + "\n".join(f"  {spoken(a)}" for a in going_on)
    )


def _list(account: Account) -> str:
    return "\n".join(f"  {spoken(a)}" for a in account.assignments) or "  none"


def _sorted(assignments: Sequence[Assignment]) -> tuple[Assignment, ...]:
    return tuple(sorted(assignments, key=lambda a: (a.start, a.uai, a.function, a.source)))
