"""Explains why an account has or does not have a service on a day."""

from __future__ import annotations

from collections.abc import Iterator

from piactl.core.explain.question import (
    Answer,
    Cause,
    CauseEffect,
    Question,
    Remedy,
    Rule,
    absence,
    next_day,
    span,
)
from piactl.core.explain.remedies import (
    ASSIGNED,
    case_remedies,
    current_denial,
    exceptions_on,
    gain_remedies,
    lose_remedies,
    posts_with,
    wait_remedy,
)
from piactl.core.explain.why_state import case_notes, merged, merged_remedy, state_ground
from piactl.core.model.account import Right, State
from piactl.core.model.overrides import override_text, running
from piactl.core.model.periods import civil, holding
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Service
from piactl.core.plan.drift import drift_words
from piactl.core.rules.posts import Post
from piactl.core.rules.reasons import exception_text
from piactl.core.rules.service_rights_over_time import handed_over
from piactl.core.text import condition, counted

Ground = tuple[str, tuple[Rule, ...], Assignment | None]
"""The reason as a sentence, the rules behind it, and the assignment."""


def right_answers(question: Question, service: Service) -> list[Answer]:
    """One answer for a service of person scope. For establishment scope one answer for each establishment
    with a past, current or future right, a post with the service, or an exception; if there is none, for each
    establishment of the day."""
    return [right_answer(question, service, uai) for uai in _places(question, service) or [""]]


def _places(question: Question, service: Service) -> list[str]:
    if not service.per_establishment:
        return [""]
    uais = {post.assignment.uai for post in question.career.posts if post.has(service)}
    uais |= {uai for name, uai in question.career.rights if name == service.name}
    rights = {*question.foreign, *(question.account.entitlements if question.held else ())}
    uais |= {uai for name, uai in rights if name == service.name}
    uais |= {e.uai for e in question.account.exceptions if e.service == service.name and e.uai}
    return sorted(uais or {post.assignment.uai for post in question.career.posts_on(question.as_of)})


def right_answer(question: Question, service: Service, uai: str) -> Answer:
    """The answer about one right; uai "" for person scope."""
    periods = question.right_days(service.name, uai)
    yes = holding(periods, question.number) is not None
    ground: Ground = (question.held, (), None)
    reason, rules, assignment = (
        ground if question.held else (_given if yes else _refused)(question, service, uai)
    )
    since, until = span(periods, question.number) if yes else absence(periods, question.number)
    remedies: tuple[Remedy, ...] = () if yes else (*case_remedies(question),)
    into = merged(question)
    if into:
        remedies = (merged_remedy(into),)
    elif not question.held:
        changes = (
            lose_remedies(question, service, uai) if yes else gain_remedies(question, service, uai, until)
        )
        remedies = (*remedies, *wait_remedy(next_day(until), question), *changes)
    return Answer(
        subject=service.name,
        uai=uai,
        label=service.label,
        yes=yes,
        verdict="yes" if yes else "no",
        since=since,
        until=until,
        reason=reason,
        rules=rules,
        assignment=assignment,
        notes=tuple(_notes(question, service, uai)),
        causes=tuple(_by_the_entry(question, (service.name, uai), yes=yes)),
        remedies=remedies,
    )


def _by_the_entry(question: Question, right: Right, *, yes: bool) -> Iterator[Cause]:
    """The cause of an entry that has or lacks the right against the rules. If no other program did this, the
    next run changes it, so the cause is given for today only."""
    has, drift = right in question.found, question.drift.get("entitlements")
    if has is yes:
        return
    effect = CauseEffect.LET_IN if has else CauseEffect.REFUSED
    text = f"the entry {'has' if has else 'lacks'} it, against the rules"
    if drift is not None and right in question.foreign:
        text += f": another program {'added' if has else 'removed'} it, {drift_words(drift)}"
        yield Cause("entry", effect, text, f"piactl drift show {question.account.uid}")
    elif not question.as_of_option:
        yield Cause("entry", effect, f"{text}; the next run changes that", "piactl nightly")


def _given(question: Question, service: Service, uai: str) -> Ground:
    if not holding(question.bare.rights.get((service.name, uai), []), question.number):
        grant = next((e for e in exceptions_on(question, service, uai) if e.grants), None)
        if grant is not None:
            return f"an exception: {exception_text(grant)}", (), None
    ground = next(_granting_posts(question, service, uai), None)
    if ground is not None:
        return ground
    if question.state is State.GRACE and service.in_grace:
        text, rules, assignment = state_ground(question)
        return f"lasts through the grace: {text}", (_rule(service), *rules), assignment
    return "an earlier right continues", (_rule(service),), None


def _granting_posts(question: Question, service: Service, uai: str) -> Iterator[Ground]:
    """The posts that give the right: by themselves, by a handover, or by continuing an earlier right."""
    waiting_posts = []
    for post in posts_with(question, service, uai):
        delay = post.delay(service)
        if not post.position.keeps_service(service.name):
            continue
        if question.number < post.first + delay:
            waiting_posts.append(post)
            continue
        after = f", {_delay(post, service)} after the start" if delay else ""
        yield f"profile {post.profile} has it{after}", _rules(question, service, post), post.assignment
    for post in question.career.posts:
        if handed_over(post, service, uai, question.number):
            days = counted(service.handover, "day")
            text = f"handover: {days} after the post that ended on {civil(post.last)}, a mutation"
            yield text, _rules(question, service, post), post.assignment
    for post in waiting_posts:
        text = f"held before; kept until the delay of {_delay(post, service)} ends"
        yield text, _rules(question, service, post), post.assignment


def _rule(service: Service) -> Rule:
    return Rule(f"services.{service.name}", service.line)


def _rules(question: Question, service: Service, post: Post) -> tuple[Rule, ...]:
    lines = {profile.name: profile.line for profile in question.rules.policy.profiles}
    return *_own_rules(service), Rule(f"profiles.{post.profile}", lines.get(post.profile, 0))


def _own_rules(service: Service) -> tuple[Rule, ...]:
    """The rule of a service, and the rule of its condition if it has one."""
    if not service.when.conditions:
        return (_rule(service),)
    return _rule(service), Rule(f"services.{service.name}.when", service.when.line)


def _delay(post: Post, service: Service) -> str:
    name = "mutation_delay" if post.follows else "grant_delay"
    return f"{counted(post.delay(service), 'day')} ({name})"


def _refused(question: Question, service: Service, uai: str) -> Ground:
    denial = current_denial(question, service, uai)
    if denial is not None:
        return f"an exception: {exception_text(denial)}", (), None
    if question.state is State.GRACE:
        return _not_in_grace(question, service, uai)
    if question.state not in ASSIGNED:
        text, rules, assignment = state_ground(question)
        return f"the account is {question.state.value}: {text}", rules, assignment
    for post in posts_with(question, service, uai):
        if not post.position.keeps_service(service.name):
            text = f"position {post.position.name} does not keep it"
            return text, (Rule.of_position(post.position), _rule(service)), post.assignment
        begins = civil(post.first + post.delay(service))
        if question.number < post.first + post.delay(service):
            text = f"the right begins on {begins}, after a delay of {_delay(post, service)}"
            return text, _rules(question, service, post), post.assignment
    return _without(question, service, uai)


def _not_in_grace(question: Question, service: Service, uai: str) -> Ground:
    _, rules, assignment = state_ground(question)
    ending = question.career.ending_before(question.as_of)
    left = f"; position {ending.position} from {civil(ending.day)}" if ending else ""
    last = question.career.segment_on(question.as_of).first - 1
    if holding(question.bare.rights.get((service.name, uai), []), last):
        text = (
            f"it ended on {civil(last)} with the last assignment, and does not last through the grace{left}"
        )
    else:
        text = f"it was not held on the last day with an assignment, {civil(last)}"
    return text, (_rule(service), *rules), assignment


def _without(question: Question, service: Service, uai: str) -> Ground:
    """No post of the day has the service: its post has ended, or no profile of the day has it."""
    with_service = [p for p in question.career.posts if p.has(service) and uai in ("", p.assignment.uai)]
    over = max((p for p in with_service if p.last < question.number), key=lambda p: p.last, default=None)
    if uai and over is not None:
        after = (
            f", and the handover of {counted(service.handover, 'day')} with it" if service.handover else ""
        )
        return f"the post there ended on {civil(over.last)}{after}", (_rule(service),), over.assignment
    if uai and with_service:
        first = with_service[0]
        return f"the post there begins on {civil(first.first)}", (_rule(service),), first.assignment
    posts = question.career.posts_on(question.as_of)
    elsewhere = next((p for p in posts if service.serves(p.profile) and uai in ("", p.assignment.uai)), None)
    if elsewhere is not None:
        text = f"profile {elsewhere.profile} has it only where {condition(service.when.conditions)}"
        return text, _rules(question, service, elsewhere), elsewhere.assignment
    profiles = ", ".join(sorted({post.profile for post in posts if post.profile}))
    assignment = posts[0].assignment if posts else None
    served = ", ".join(sorted(service.profiles or ())) or "all profiles"
    text = f"profile {profiles} does not have it" if profiles else "no profile fits an assignment of the day"
    return f"{text}; it is for {served}", (_rule(service),), assignment


def _notes(question: Question, service: Service, uai: str) -> Iterator[str]:
    yield from case_notes(question)
    for exception in question.account.exceptions:
        matches = exception.service == service.name and exception.uai in ("", uai)
        if matches and exception.end >= question.as_of:
            yield exception_text(exception)
    for override in running(question.account.overrides, question.as_of):
        yield override_text(override)
