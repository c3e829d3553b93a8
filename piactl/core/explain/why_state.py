"""Explains the state of an account on a day, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from piactl.core.explain.question import Answer, Case, Remedy, Rule, next_day, span
from piactl.core.explain.remedies import reopen_remedy, unlock_remedy, wait_remedy
from piactl.core.model.account import State
from piactl.core.model.overrides import HAND_ENDED, OverrideKind, next_end, override_text, running
from piactl.core.model.person import Assignment
from piactl.core.plan.drift import changed_words
from piactl.core.rules.career import outlook
from piactl.core.rules.posts import Post
from piactl.core.rules.reasons import grace_place, last_post, state_reason

OPEN_STATES = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


def state_answer(case: Case) -> Answer:
    """The answer about the state; yes if the account is open (active, on leave, in grace)."""
    text, rules, assignment = state_ground(case)
    since, until = state_span(case)
    return Answer(
        subject="state",
        yes=case.state in OPEN_STATES,
        verdict=case.state.value + (", LOCKED" if case.desired.locked else ""),
        since=since,
        until=until,
        reason=text,
        rules=rules,
        assignment=assignment,
        notes=tuple(_notes(case)),
        coming=tuple(_coming(case)),
        remedies=tuple(_remedies(case)),
    )


def state_span(case: Case) -> tuple[date | None, date | None]:
    """First and last day of the state; None if there is none or it is unknown."""
    desired = case.desired
    if case.held:
        return desired.state_from, None
    since, until = span(case.state_days(desired.state), case.number)
    if case.career.state_on(case.as_of) is not desired.state:
        # archived later than the assignments alone require, or already archived
        due = desired.next_due
        until = due - timedelta(days=1) if due is not None and due > case.as_of else None
    since = since or desired.state_from
    return (since if since is not None and since <= case.as_of else None), until


def state_ground(case: Case) -> tuple[str, tuple[Rule, ...], Assignment | None]:
    """The reason as a sentence, the rules behind it (the deciding one first), and the assignment."""
    if case.held:
        return case.held, (), None
    if case.account.state is State.ARCHIVED:
        return "personal data are erased; the uid and the addresses stay reserved for this person", (), None
    closed = [p for p in running(case.account.overrides, case.as_of) if p.kind is OverrideKind.CLOSE]
    if case.state is not case.career.state_on(case.as_of):
        text = (
            "no assignment is left; the account is kept for the retention, counted from the day it was closed"
        )
        return text, (Rule("accounts.retention"),), None
    text, assignment = state_reason(case.career, case.as_of)
    if closed and case.state not in (State.ACTIVE, State.ON_LEAVE):
        text = f"{override_text(closed[0])}; {text}"
    return text, tuple(_rules(case)), assignment


def _rules(case: Case) -> Iterator[Rule]:
    posts = case.career.posts_behind(case.as_of)
    if case.state in (State.ACTIVE, State.ON_LEAVE):
        yield Rule.of_position(posts[0].position)
        yield from _profile(case, posts[0])
    elif case.state is State.ANTICIPATED:
        yield Rule("accounts.open_before")
        yield from _profile(case, min(posts, key=lambda post: post.first))
    else:
        last = last_post(case.career, case.as_of)
        if case.state is not State.GRACE:
            yield Rule("accounts.retention")
        if last is not None:
            yield Rule(*_grace_place(case, last))


def _profile(case: Case, post: Post) -> Iterator[Rule]:
    for profile in case.rules.policy.profiles:
        if profile.name == post.profile:
            yield Rule(f"profiles.{profile.name}", profile.line)


def _grace_place(case: Case, last: Post) -> tuple[str, int]:
    policy, register = case.rules.policy, case.rules.register
    return grace_place(case.account.assignments, last, case.as_of, policy, register)


def _notes(case: Case) -> Iterator[str]:
    if case.drift:
        yield drift_note(case)
    lock = case.desired.lock
    if lock is not None:
        until = f" to {lock.until}" if lock.until else ""
        yield f"locked from {lock.since}{until} by {lock.by}: {lock.reason}"
    if case.career.locked_on(case.as_of):
        first, last = span(case.days(lambda career: career.locked), case.number)
        yield f"locked by a position in the HR data, {_from_to(first, last)}"
    if case.desired.state is State.ARCHIVED and case.account.state is not State.ARCHIVED:
        yield "archival due: a first night notes it, the next night on a later day confirms it"
    if case.account.protected:
        yield "protected: neither imports nor the help desk change it"
    for override in running(case.account.overrides, case.as_of):
        yield override_text(override)


def drift_note(case: Case) -> str:
    return f"{changed_words(case.drift.values())}: piactl drift show {case.account.uid}"


def _from_to(first: date | None, last: date | None) -> str:
    start = f"from {first} " if first else ""
    return f"{start}until {last}" if last else f"{start or 'at all times'}".rstrip() + ", no end known"


def _coming(case: Case) -> Iterator[tuple[date, str]]:
    if case.account.state is State.ARCHIVED or case.held:
        return
    over = next_end(case.account.overrides, case.as_of)
    ahead = outlook(None, case.career, case.as_of, over or case.as_of)
    # after the end of an override other events apply
    yield from (event for event in ahead if over is None or event[0] < over)
    if over is not None:
        yield over, HAND_ENDED


def _remedies(case: Case) -> Iterator[Remedy]:
    if case.held:
        return
    if case.account.state is State.ARCHIVED:
        command = (
            "piactl account create --matricule M --family-name N --given-name N --uai UAI "
            '--function CODE --until DATE --sponsor ACCOUNT --reason "..."'
        )
        yield Remedy("if the person is back: an assignment in the HR data or by hand", command)
        return
    if case.desired.lock is not None and case.desired.locked:
        yield from unlock_remedy(case)
    _, until = state_span(case)
    yield from wait_remedy(next_day(until), case)
    if case.state in (State.ACTIVE, State.ON_LEAVE):
        yield from _closing(case)
        return
    yield from reopen_remedy(case, lambda changed_case: changed_case.state_days(State.ACTIVE))


def _closing(case: Case) -> Iterator[Remedy]:
    if case.state is State.ON_LEAVE:
        yield Remedy("a position in the HR data that keeps all rights")
    elif case.changeable:
        command = f'piactl account close {case.account.uid} --until DATE{case.as_of_option} --reason "..."'
        yield Remedy("a closure by hand", command)
