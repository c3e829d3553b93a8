"""Locks, closes, extends, reopens and renames accounts.

A lock applies at once, over the HR data, and survives a password reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from piactl.core.acts import Act, ActRefused, Altered, Author, known_to_hr, override_end
from piactl.core.acts.assignments_by_hand import added_override, check_assignment, ended_by_hand
from piactl.core.model.account import LIVE, NO_DEVICE, Account, Lock, State
from piactl.core.model.overrides import MANUAL, OverrideKind, overridden, running, sponsor_of
from piactl.core.model.periods import OPEN, civil, ordinal
from piactl.core.model.person import Assignment
from piactl.core.rules.desired_account import Rules, Subject, desired_account
from piactl.core.rules.lifecycle import endings_of, posts_of
from piactl.core.rules.reasons import assignment_text
from piactl.phrase import Phrase, joined


def lock(author: Author, until: date | None = None, *, compromised: bool = False) -> Act:
    """Locks the account from today to `until` inclusive; None means without end. A current lock keeps its
    start and gets the new end and reason. `compromised`: its device is suspended, too."""

    def act(account: Account, rules: Rules) -> Altered:
        if compromised and account.device:
            account = replace(account, device=NO_DEVICE)
        if until is not None and until < rules.as_of:
            raise ActRefused(
                Phrase(
                    "{uid}: --until {until} is past; give the last day of the lock",
                    uid=account.uid,
                    until=until,
                )
            )
        current = account.lock
        since = current.since if current is not None and current.covers(rules.as_of) else rules.as_of
        same = (since, until, author.reason)
        if current is not None and (current.since, current.until, current.reason) == same:
            return Altered(account)
        return Altered(replace(account, lock=Lock(since, until, author.by, author.reason)), author.note)

    return act


def unlock(author: Author) -> Act:
    """Lifts an administrator's lock; if there is none, the lock that an absent row of HR left. Raises
    ActRefused if only a position in the HR data locks the account."""

    def act(account: Account, rules: Rules) -> Altered:
        rows = tuple(replace(row, locks_until=None) for row in account.assignments)
        ends = [row.locks_until for row in account.assignments if row.locks_until is not None]
        left = any(end >= rules.as_of for end in ends)
        if account.lock is not None:
            note = author.note
            if left:
                note = Phrase(
                    "{note}; the lock of its position in HR stays until it is unlocked again", note=note
                )
            return Altered(replace(account, lock=None), note)
        if left:
            return Altered(replace(account, assignments=rows), author.note)
        if account.locked:
            raise ActRefused(
                Phrase(
                    "{uid}: it is locked by its position in HR, not by an administrator; see: piactl why "
                    "{uid}",
                    uid=account.uid,
                )
            )
        return Altered(account)

    return act


_CLOSED = frozenset({State.DEACTIVATED, State.GRACE})


def close(author: Author, day: date, until: date | None = None, grace: int = 0) -> Act:
    """Closes the account from `day`: all assignments end the day before, followed by `grace` days. It applies
    until `until`, which a person in the HR data needs; by default until nothing else would keep the account
    open. An assignment that starts after `day` is a return."""

    def act(account: Account, rules: Rules) -> Altered:
        open_ = [a for a in account.assignments if not a.is_over(day)]
        if account.state is State.DEACTIVATED and not open_:
            return Altered(account)
        _refuse_to_miss(account, open_, day, rules)
        last = override_end(account, until, rules.as_of)
        if until is None:
            last = max(last, _last_open_day(account, rules) or last)
        if last < day:
            raise ActRefused(
                Phrase(
                    "{uid}: a closure from {day} cannot end on {last}; give a later --until",
                    uid=account.uid,
                    day=day,
                    last=last,
                )
            )
        override = author.override(OverrideKind.CLOSE, last, rules.as_of, day=day, grace=grace)
        closures = [o for o in account.overrides if o.kind is OverrideKind.CLOSE]
        same = (day, last, grace, author.reason)
        if any((o.day, o.until, o.grace, o.reason) == same for o in closures):
            return Altered(account)
        others = tuple(o for o in account.overrides if o not in closures)
        return Altered(replace(account, overrides=(*others, override)), author.note)

    return act


def _last_open_day(account: Account, rules: Rules) -> date | None:
    """The last day of the account by its dates, with its grace; None without such a day."""
    overrides = tuple(o for o in account.overrides if o.kind is not OverrideKind.CLOSE)
    account = replace(account, overrides=overrides)
    desired = desired_account(Subject(account.matricule, account, None, account.assignments), rules)
    segments = desired.career.segments if desired else ()
    return civil(max((s.last for s in segments if s.state in LIVE), default=OPEN))


def _refuse_to_miss(account: Account, open_: Sequence[Assignment], day: date, rules: Rules) -> None:
    """Raises ActRefused if an assignment that begins after `day` would keep the account open or reopen it."""
    begun = [a for a in open_ if day < a.start <= rules.as_of]
    ahead = [a for a in open_ if a.start > day]
    if begun:
        raise ActRefused(
            Phrase(
                "{uid}: an assignment that began after {day} would keep it open: {post}\n"
                "Close it from {start} or later",
                uid=account.uid,
                day=day,
                post=assignment_text(begun[0]),
                start=begun[0].start,
            )
        )
    if ahead and len(ahead) == len(open_) and account.state in (State.ANTICIPATED, State.DEACTIVATED):
        raise ActRefused(
            Phrase(
                "{uid}: it is not open on {day}, and a later assignment would open it: {post}\n"
                'Close it from {start}, or lock it: piactl account lock {uid} --reason "..."',
                uid=account.uid,
                day=day,
                post=assignment_text(ahead[0]),
                start=ahead[0].start,
            )
        )


def extend(author: Author, until: date, sponsor: str = "") -> Act:
    """Prolongs the assignments that end last, to `until`; reopens a closed account. `sponsor` is the new
    sponsor of an account that HR does not know."""

    def act(account: Account, rules: Rules) -> Altered:
        altered, state = _without_closure(account, rules)
        current = overridden(altered.assignments, altered.overrides, rules.as_of)
        posts = posts_of(
            current, endings_of(current, rules.policy, rules.register), rules.policy, rules.register
        )
        last = max((post.last for post in posts), default=0)
        latest = [p.assignment for p in posts if p.last == last == ordinal(p.assignment.end)]
        if state is State.DEACTIVATED or (state is State.GRACE and not latest):
            return reopen(author, until, sponsor)(account, rules)
        day = civil(last) if posts else None
        if altered != account and posts and (day is None or until <= day):
            return Altered(altered, author.note)
        if not latest:
            ended = Phrase("{uid}: HR ends all its assignments.", uid=account.uid)
            if day:
                ended = Phrase("{uid}: HR ends all its assignments on {day}.", uid=account.uid, day=day)
            raise ActRefused(
                Phrase(
                    "{problem}\nTo go on after that, add another: piactl assignment add {uid} "
                    '--uai UAI --function CODE --until DATE --reason "..."',
                    problem=ended,
                    uid=account.uid,
                )
            )
        if day is None:
            raise ActRefused(_endless(account, latest[0], current, until, rules))
        if until < rules.as_of:
            raise ActRefused(
                Phrase("{uid}: --until {until} is past; give a later day", uid=account.uid, until=until)
            )
        if until < day:
            raise ActRefused(
                Phrase(
                    "{uid}: it lasts until {day} already; to end it sooner: "
                    'piactl assignment end {uid} --on {until} --reason "..."',
                    uid=account.uid,
                    day=day,
                    until=until,
                )
            )
        for row in latest if until > day else ():
            if row.source == MANUAL:
                altered = _extended_by_hand(altered, row, until, author, sponsor, rules)
            elif row not in altered.assignments:
                raise ActRefused(
                    Phrase(
                        "{uid}: it ends on {day} by hand; end that change first: "
                        'piactl override end {uid} --kind end --reason "..."',
                        uid=account.uid,
                        day=day,
                    )
                )
            else:
                altered = _renewed(altered, row, day + timedelta(days=1), until, author, sponsor, rules)
        sponsored = _sponsored(account, altered, sponsor, author)
        return replace(sponsored, hint=Phrase("it lasts until {day} already", day=day))

    return act


def _endless(
    account: Account, row: Assignment, current: Sequence[Assignment], until: date, rules: Rules
) -> Phrase:
    """Why an account without end is not extended, and how to prolong the place that ends last, as of a supply
    teacher."""
    words = Phrase("{uid}: it has no end: {post}", uid=account.uid, post=assignment_text(row))
    places = [(a.end, a) for a in current if a.end is not None and a.end < until]
    if not places:
        return words
    end, place = max(places, key=lambda pair: pair[0])
    start = max(end + timedelta(days=1), rules.as_of)
    return Phrase(
        "{problem}\nTo prolong {function} at {uai} beyond {end}: piactl assignment add {uid} --uai {uai} "
        '--function {function} --from {start} --until {until} --reason "..."',
        problem=words,
        function=place.function,
        uai=place.uai,
        end=end,
        uid=account.uid,
        start=start,
        until=until,
    )


def _without_closure(account: Account, rules: Rules) -> tuple[Account, State]:
    """The account without its closure by hand, and its state then. Raises ActRefused if the closure is yet to
    come."""
    closed = [o for o in running(account.overrides, rules.as_of) if o.kind is OverrideKind.CLOSE]
    if not closed:
        return account, account.state
    if account.state not in _CLOSED:
        raise ActRefused(
            Phrase(
                "{uid}: by hand it is to be closed on {day}; take that back first: "
                'piactl account reopen {uid} --reason "..."',
                uid=account.uid,
                day=closed[0].day,
            )
        )
    account = replace(account, overrides=tuple(o for o in account.overrides if o not in closed))
    return account, _state(account, rules)


def _extended_by_hand(
    account: Account, row: Assignment, until: date, author: Author, sponsor: str, rules: Rules
) -> Account:
    """The account with another end of an assignment by hand. Its override may already have ended."""
    account = ended_by_hand(account, row, until)
    if any(o.kind is OverrideKind.ADD and o.key == row.key for o in account.overrides):
        return account
    made = added_override(replace(row, end=until), author, sponsor, rules.as_of)
    return replace(account, overrides=(*account.overrides, made))


def reopen(author: Author, until: date | None = None, sponsor: str = "") -> Act:
    """Ends a closure by hand. If all assignments are over, renews the last one from today to `until`. A lock
    stays. `sponsor` as for `extend`."""

    def act(account: Account, rules: Rules) -> Altered:
        closed = [o for o in running(account.overrides, rules.as_of) if o.kind is OverrideKind.CLOSE]
        if closed:
            account = replace(account, overrides=tuple(o for o in account.overrides if o not in closed))
            state = _state(account, rules)
            if state not in _CLOSED or (until is None and state is State.GRACE):
                return Altered(account, author.note)
        elif account.state not in _CLOSED:
            use = Phrase(
                'it is open; to prolong it: piactl account extend {uid} --until DATE --reason "..."',
                uid=account.uid,
            )
            if until is not None and until not in [a.end for a in account.assignments]:
                raise ActRefused(joined([account.uid, use], "{first}: {second}"))
            return Altered(account, hint=use)
        if until is None:
            raise ActRefused(
                Phrase(
                    "{uid}: it has no assignment that would open it.\nTo renew the last one: "
                    'piactl account reopen {uid} --until DATE --reason "...", '
                    "or add another: piactl assignment add {uid} "
                    '--uai UAI --function CODE --until DATE --reason "..."',
                    uid=account.uid,
                )
            )
        last = replace(_last(account, rules), position="")
        altered = _renewed(account, last, rules.as_of, until, author, sponsor, rules)
        return _sponsored(account, altered, sponsor, author)

    return act


def _renewed(
    account: Account, row: Assignment, start: date, until: date, author: Author, sponsor: str, rules: Rules
) -> Account:
    """The account with an assignment by hand like `row`, from `start` to `until`."""
    new = replace(row, start=start, end=until, source=MANUAL, origin="", locks_until=None)
    check_assignment(new, rules)
    assignments = (*(a for a in account.assignments if a.key != new.key), new)
    overrides = (*account.overrides, added_override(new, author, sponsor, rules.as_of))
    return replace(account, assignments=assignments, overrides=overrides)


def _sponsored(account: Account, altered: Account, sponsor: str, author: Author) -> Altered:
    """The altered account with its new sponsor, if one is given. Raises ActRefused if a person who is not in
    the HR data has no sponsor."""
    if any(a.source != MANUAL for a in altered.assignments):
        if sponsor:
            raise ActRefused(
                Phrase(
                    "{uid}: HR knows this person, who needs no sponsor; leave --sponsor out", uid=account.uid
                )
            )
    elif sponsor:
        added = OverrideKind.ADD
        overrides = (replace(o, sponsor=sponsor) if o.kind is added else o for o in altered.overrides)
        altered = replace(altered, overrides=tuple(overrides))
    elif not sponsor_of(altered.overrides):
        raise ActRefused(
            Phrase(
                "{uid}: nobody is responsible for it any more; name somebody: "
                'piactl account extend {uid} --until DATE --sponsor ACCOUNT --reason "..."',
                uid=account.uid,
            )
        )
    return Altered(account) if altered == account else Altered(altered, author.note)


def _state(account: Account, rules: Rules) -> State:
    subject = Subject(account.matricule, account, None, account.assignments)
    desired = desired_account(subject, rules)
    return desired.account.state if desired else account.state


def _last(account: Account, rules: Rules) -> Assignment:
    posts = [a for a in account.assignments if not rules.policy.ends_all(a)]
    if not posts:
        raise ActRefused(
            Phrase(
                "{uid}: it never had an assignment; add one: piactl assignment add {uid} "
                '--uai UAI --function CODE --until DATE --reason "..."',
                uid=account.uid,
            )
        )
    return max(posts, key=lambda a: (a.end or a.start, a.start))


def rename(author: Author, usage_name: str, until: date | None = None) -> Act:
    """Changes the usage name ("" for none). The address follows, a former address is used again, and the old
    one becomes an alias. For a person in the HR data the name applies until `until`."""

    def act(account: Account, rules: Rules) -> Altered:
        before = next((o for o in account.overrides if o.kind is OverrideKind.NAME), None)
        if account.usage_name == usage_name and (before is None or until in (None, before.until)):
            return Altered(account)
        overrides = tuple(o for o in account.overrides if o.kind is not OverrideKind.NAME)
        # HR may list a post that has ended: its name would come back with the next feed
        if until is None and not known_to_hr(account, rules.as_of):
            return Altered(replace(account, usage_name=usage_name, overrides=overrides), author.note)
        hr_name = before.was if before else account.usage_name
        if usage_name == hr_name:
            return Altered(replace(account, usage_name=hr_name, overrides=overrides), author.note)
        override_until = override_end(account, until, rules.as_of)
        names = {"value": usage_name, "was": hr_name}
        override = author.override(OverrideKind.NAME, override_until, rules.as_of, **names)
        return Altered(replace(account, overrides=(*overrides, override)), author.note)

    return act
