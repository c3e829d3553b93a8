"""Explains the state of an account on a day, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from piactl.core.explain.question import Answer, Question, Remedy, Rule, next_day, span
from piactl.core.explain.remedies import reopen_remedy, unlock_remedy, wait_remedy
from piactl.core.model.account import State
from piactl.core.model.overrides import HAND_ENDED, OverrideKind, next_end, override_text, running
from piactl.core.model.person import Assignment
from piactl.core.plan.drift import changed_words
from piactl.core.rules.career import outlook
from piactl.core.rules.posts import Post
from piactl.core.rules.reasons import assignment_text, grace_place, last_post, state_reason

OPEN_STATES = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


def state_answer(question: Question) -> Answer:
    """The answer about the state; yes if the account is open (active, on leave, in grace)."""
    text, rules, assignment = state_ground(question)
    since, until = state_span(question)
    return Answer(
        subject="state",
        yes=question.state in OPEN_STATES,
        verdict=question.state.value + (", LOCKED" if question.desired.locked else ""),
        since=since,
        until=until,
        reason=text,
        rules=rules,
        assignment=assignment,
        notes=tuple(_notes(question)),
        coming=tuple(_coming(question)),
        remedies=tuple(_remedies(question)),
    )


def state_span(question: Question) -> tuple[date | None, date | None]:
    """First and last day of the state; None if there is none or it is unknown."""
    desired = question.desired
    if question.held:
        return desired.state_from, None
    since, until = span(question.state_days(desired.state), question.number)
    if question.career.state_on(question.as_of) is not desired.state:
        # archived later than the assignments alone require, or already archived
        due = desired.next_due
        until = due - timedelta(days=1) if due is not None and due > question.as_of else None
    since = since or desired.state_from
    return (since if since is not None and since <= question.as_of else None), until


def state_ground(question: Question) -> tuple[str, tuple[Rule, ...], Assignment | None]:
    """The reason as a sentence, the rules behind it (the deciding one first), and the assignment."""
    if question.held:
        return question.held, (), None
    if question.account.state is State.ARCHIVED:
        return "personal data are erased; the uid and the addresses stay reserved for this person", (), None
    closed = [p for p in running(question.account.overrides, question.as_of) if p.kind is OverrideKind.CLOSE]
    if question.state is not question.career.state_on(question.as_of):
        text = (
            "no assignment is left; the account is kept for the retention, counted from the day it was closed"
        )
        return text, (Rule("accounts.retention"),), None
    text, assignment = state_reason(question.career, question.as_of)
    if closed and question.state not in (State.ACTIVE, State.ON_LEAVE):
        text = f"{override_text(closed[0])}; {text}"
    return text, tuple(_rules(question)), assignment


def _rules(question: Question) -> Iterator[Rule]:
    posts = question.career.posts_behind(question.as_of)
    if question.state in (State.ACTIVE, State.ON_LEAVE):
        yield Rule.of_position(posts[0].position)
        yield from _profile(question, posts[0])
    elif question.state is State.ANTICIPATED:
        yield Rule("accounts.open_before")
        yield from _profile(question, min(posts, key=lambda post: post.first))
    else:
        last = last_post(question.career, question.as_of)
        if question.state is not State.GRACE:
            yield Rule("accounts.retention")
        if last is not None:
            yield Rule(*_grace_place(question, last))


def _profile(question: Question, post: Post) -> Iterator[Rule]:
    for profile in question.rules.policy.profiles:
        if profile.name == post.profile:
            yield Rule(f"profiles.{profile.name}", profile.line)


def _grace_place(question: Question, last: Post) -> tuple[str, int]:
    policy, register = question.rules.policy, question.rules.register
    return grace_place(question.account.assignments, last, question.as_of, policy, register)


def _notes(question: Question) -> Iterator[str]:
    if question.drift:
        yield drift_note(question)
    lock = question.desired.lock
    if lock is not None:
        until = f" to {lock.until}" if lock.until else ""
        yield f"locked from {lock.since}{until} by {lock.by}: {lock.reason}"
    if question.career.locked_on(question.as_of):
        first, last = span(question.days(lambda career: career.locked), question.number)
        absent = absent_lock(question)
        stays = f": {assignment_text(absent)}" if absent is not None else ""
        yield f"locked by a position in the HR data, {_from_to(first, last)}{stays}"
    if question.desired.state is State.ARCHIVED and question.account.state is not State.ARCHIVED:
        yield "archival due: a first night notes it, the next night on a later day confirms it"
    if question.account.protected:
        yield "protected: neither imports nor the help desk change it"
    for override in running(question.account.overrides, question.as_of):
        yield override_text(override)


def absent_lock(question: Question) -> Assignment | None:
    """The row of HR that an absence ended, and whose lock stays on the day."""
    day = question.as_of
    rows = (a for a in question.account.assignments if a.locks_until is not None and a.is_over(day))
    return next((row for row in rows if row.locks_until is not None and day <= row.locks_until), None)


def drift_note(question: Question) -> str:
    return f"{changed_words(question.drift.values())}: piactl drift show {question.account.uid}"


def _from_to(first: date | None, last: date | None) -> str:
    start = f"from {first} " if first else ""
    return f"{start}until {last}" if last else f"{start or 'at all times'}".rstrip() + ", no end known"


def _coming(question: Question) -> Iterator[tuple[date, str]]:
    if question.account.state is State.ARCHIVED or question.held:
        return
    over = next_end(question.account.overrides, question.as_of)
    ahead = outlook(None, question.career, question.as_of, over or question.as_of)
    # after the end of an override other events apply
    yield from (event for event in ahead if over is None or event[0] < over)
    if over is not None:
        yield over, HAND_ENDED


def _remedies(question: Question) -> Iterator[Remedy]:
    if question.held:
        return
    if question.account.state is State.ARCHIVED:
        command = (
            "piactl account create --matricule M --family-name N --given-name N --uai UAI "
            '--function CODE --until DATE --sponsor ACCOUNT --reason "..."'
        )
        yield Remedy("if the person is back: an assignment in the HR data or by hand", command)
        return
    if question.desired.locked and (question.desired.lock is not None or absent_lock(question) is not None):
        yield from unlock_remedy(question)
    _, until = state_span(question)
    yield from wait_remedy(next_day(until), question)
    if question.state in (State.ACTIVE, State.ON_LEAVE):
        yield from _closing(question)
        return
    yield from reopen_remedy(question, lambda changed_case: changed_case.state_days(State.ACTIVE))


def _closing(question: Question) -> Iterator[Remedy]:
    if question.state is State.ON_LEAVE:
        yield Remedy("a position in the HR data that keeps all rights")
    elif question.changeable:
        command = (
            f'piactl account close {question.account.uid} --until DATE{question.as_of_option} --reason "..."'
        )
        yield Remedy("a closure by hand", command)
