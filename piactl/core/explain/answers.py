"""Answers why an account is in its state, and why it has a service or not, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from piactl.core.explain.question import (
    LET_IN,
    REFUSED,
    Answer,
    Cause,
    Question,
    Remedy,
    next_day,
    span,
)
from piactl.core.explain.remedies import (
    case_remedies,
    close_remedy,
    gain_remedies,
    lose_remedies,
    merged_remedies,
    reopen_remedy,
    unlock_remedy,
    wait_remedy,
)
from piactl.core.model.account import ASSIGNED, Right, State
from piactl.core.model.overrides import HAND_ENDED, next_end, override_text, running
from piactl.core.model.periods import holding
from piactl.core.model.policy import Service
from piactl.core.plan.drift import drift_words
from piactl.core.rules.career import outlook
from piactl.core.rules.reasons import answer_sentence, assignment_text, exception_text
from piactl.phrase import Phrase, joined

OPEN_STATES = (*ASSIGNED, State.GRACE)


def state_answer(question: Question) -> Answer:
    """The answer about the state; yes if the account is open (active, on leave, in grace)."""
    text, rules, assignment = question.state_ground
    since, until = question.state_span()
    state = question.state.words
    return Answer(
        subject="state",
        yes=question.state in OPEN_STATES,
        verdict=Phrase("{state}, LOCKED", state=state) if question.desired.locked else state,
        since=since,
        until=until,
        reason=text,
        rules=rules,
        assignment=assignment,
        notes=tuple(_state_notes(question)),
        coming=tuple(_coming(question)),
        remedies=tuple(_state_remedies(question)),
    )


def _state_notes(question: Question) -> Iterator[str]:
    yield from question.hold_notes()
    yield from question.drift_notes()
    lock = question.desired.lock
    if lock is not None:
        yield lock.words
    if question.career.locked_on(question.as_of):
        first, last = span(question.days(lambda career: career.locked), question.number)
        text = Phrase("locked by a position in the HR data, {days}", days=_from_to(first, last))
        row = question.lock_left()
        yield text if row is None else joined([text, assignment_text(row)], "{first}: {second}")
    if question.desired.state is State.ARCHIVED and question.account.state is not State.ARCHIVED:
        yield Phrase("archival due: a first night notes it, the next night on a later day confirms it")
    if question.account.protected:
        yield Phrase("protected: neither imports nor the help desk change it")
    for override in running(question.account.overrides, question.as_of):
        yield override_text(override)


def _from_to(first: date | None, last: date | None) -> Phrase:
    if last:
        until = Phrase("until {last}", last=last)
        return Phrase("from {first} until {last}", first=first, last=last) if first else until
    start = Phrase("from {first}", first=first) if first else Phrase("at all times")
    return Phrase("{start}, no end known", start=start)


def _coming(question: Question) -> Iterator[tuple[date, str]]:
    if question.account.state is State.ARCHIVED or question.held:
        return
    over = next_end(question.account.overrides, question.as_of)
    ahead = outlook(None, question.career, question.as_of, over or question.as_of)
    # after the end of an override other events apply
    yield from (event for event in ahead if over is None or event[0] < over)
    if over is not None:
        yield over, HAND_ENDED


def _state_remedies(question: Question) -> Iterator[Remedy]:
    yield from case_remedies(question)
    if question.held:
        return
    if question.merged:
        yield from merged_remedies(question)
    elif question.account.state is State.ARCHIVED:
        if not question.cases:
            command = (
                "piactl account create --matricule M --family-name N --given-name N --uai UAI "
                '--function CODE --until DATE --sponsor ACCOUNT --reason "..."'
            )
            yield Remedy(Phrase("if the person is back: an assignment in the HR data or by hand"), command)
    else:
        desired = question.desired
        if desired.locked and (desired.lock is not None or question.lock_left() is not None):
            yield from unlock_remedy(question)
        yield from wait_remedy(next_day(question.state_span()[1]), question)
        if question.state is State.ON_LEAVE:
            yield Remedy(Phrase("a position in the HR data that keeps all rights"))
        elif question.state is State.ACTIVE:
            yield from close_remedy(question, lambda changed: changed.state_days(*OPEN_STATES))
        else:
            yield from reopen_remedy(question, lambda changed: changed.state_days(State.ACTIVE))


def right_answers(question: Question, service: Service) -> list[Answer]:
    """One answer for a service of person scope. For establishment scope one answer for each establishment
    with a past, current or future right, a post with the service, or an exception; if there is none, for each
    establishment of the day."""
    return [right_answer(question, service, uai) for uai in _places(question, service) or [""]]


def _places(question: Question, service: Service) -> list[str]:
    if not service.per_establishment:
        return [""]
    account, career = question.account, question.career
    rights = {*career.rights, *question.foreign, *(account.entitlements if question.held else ())}
    rights |= {(exception.service, exception.uai) for exception in account.exceptions}
    uais = {uai for name, uai in rights if name == service.name and uai}
    uais |= {post.assignment.uai for post in career.posts if service.name in post.services}
    return sorted(uais or {post.assignment.uai for post in career.posts_on(question.as_of)})


def right_answer(question: Question, service: Service, uai: str) -> Answer:
    """The answer about one right; uai "" for person scope."""
    periods = question.right_days(service.name, uai)
    yes = holding(periods, question.number) is not None
    since, until = span(periods, question.number)
    reason = question.right_reason(service.name, uai)
    text, rules, assignment = answer_sentence(reason), reason.rules, reason.assignment
    if question.undecided:
        rules, assignment = (), None
        text = question.held or Phrase(
            "the account is {name}: {state}", name=question.state.words, state=question.undecided
        )
    remedies = [*(() if yes else case_remedies(question))]
    if question.merged:
        remedies = [*merged_remedies(question)]
    elif not question.held:
        remedies += wait_remedy(next_day(until), question)
        remedies += (
            lose_remedies(question, service, uai)
            if yes
            else gain_remedies(question, service, uai, reason.code, until)
        )
    return Answer(
        subject=service.name,
        uai=uai,
        label=service.label,
        yes=yes,
        verdict="yes" if yes else "no",
        since=since,
        until=until,
        reason=text,
        rules=rules,
        assignment=assignment,
        notes=tuple(_right_notes(question, service, uai)),
        causes=tuple(_by_the_entry(question, (service.name, uai), yes=yes)),
        remedies=tuple(remedies),
    )


def _by_the_entry(question: Question, right: Right, *, yes: bool) -> Iterator[Cause]:
    """The cause of an entry that has or lacks the right against the rules. If no other program did this, the
    next run changes it, so the cause is given for today only."""
    has, drift = right in question.found, question.drift.get("entitlements")
    if has is yes:
        return
    effect = LET_IN if has else REFUSED
    if drift is not None and right in question.foreign:
        changed = drift_words(drift)
        text = Phrase(
            "the entry lacks it, against the rules: another program removed it, {drift}", drift=changed
        )
        if has:
            text = Phrase(
                "the entry has it, against the rules: another program added it, {drift}", drift=changed
            )
        yield Cause("entry", effect, text, f"piactl drift show {question.account.uid}")
    elif not question.as_of_option:
        text = Phrase("the entry lacks it, against the rules; the next run changes that")
        if has:
            text = Phrase("the entry has it, against the rules; the next run changes that")
        yield Cause("entry", effect, text, "piactl nightly")


def _right_notes(question: Question, service: Service, uai: str) -> Iterator[str]:
    yield from question.hold_notes()
    for exception in question.account.exceptions:
        matches = exception.service == service.name and exception.uai in ("", uai)
        if matches and exception.end >= question.as_of:
            yield exception_text(exception)
    for override in running(question.account.overrides, question.as_of):
        yield override_text(override)
