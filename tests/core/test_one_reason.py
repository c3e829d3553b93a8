"""`why` and the plan give one reason: in random lives they name the same assignment and the same rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings

from piactl.core.explain.answers import right_answers, state_answer
from piactl.core.explain.question import Answer
from piactl.core.model.account import Account, Right, State
from piactl.core.model.person import Assignment
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, When
from piactl.core.plan.account_changes import changes_of
from piactl.core.plan.change import Change, Kind
from piactl.core.rules.desired_account import Rules, Subject, desired_account
from piactl.core.rules.reasons import SENTENCES

from .strategies import REGISTER, UAIS, Life
from .test_why_agrees_with_plan import KEYS, ORDINARY, case_of, questions


def with_lines(policy: Policy) -> Policy:
    """The policy with another line for each rule."""
    return replace(
        policy,
        file="policy.yaml",
        services={
            name: replace(s, line=100 + n, when=replace(s.when, line=150 + n))
            for n, (name, s) in enumerate(policy.services.items())
        },
        profiles=tuple(replace(p, line=200 + n) for n, p in enumerate(policy.profiles)),
        positions={name: replace(p, line=300 + n) for n, (name, p) in enumerate(policy.positions.items())},
        grace=tuple(replace(g, line=400 + n) for n, g in enumerate(policy.grace)),
    )


def changes(life: Life, account: Account, day: date, **before: object) -> list[Change]:
    """The changes of a plan of the day, if the account differed from the rules in this."""
    rules = Rules(life.policy, REGISTER, day, KEYS)
    desired = desired_account(Subject(account.matricule, account, None, account.assignments), rules)
    assert desired is not None
    subject = replace(desired.subject, current=replace(desired.account, **before))  # type: ignore[arg-type]
    return changes_of(replace(desired, subject=subject), rules)


def differences(life: Life, account: Account, day: date) -> Iterator[str]:
    """Each right and state of which the plan and `why` name another row of the feed or another rule. The
    plan has every right: it grants those that the rules give, and revokes all others."""
    question = case_of(life, account, day)
    answers = {
        (answer.subject, answer.uai): answer
        for service in life.policy.services.values()
        for answer in right_answers(question, service)
    }
    every = {
        (service.name, uai)
        for service in life.policy.services.values()
        for uai in (UAIS if service.per_establishment else ("",))
    }
    held = question.desired.entitlements
    for change in changes(life, account, day, entitlements=frozenset(every - held)):
        if change.kind in (Kind.GRANT, Kind.REVOKE) and "service" in change.after:
            right: Right = (str(change.after["service"]), str(change.after["uai"] or ""))
            if right in answers:
                assert answers[right].yes is (change.kind is Kind.GRANT)
                yield from _differences(change, answers[right])
    state = next(state for state in State if state is not question.state)
    for change in changes(life, account, day, state=state):
        if "state" in change.after:
            yield from _differences(change, state_answer(question))


def _differences(change: Change, answer: Answer) -> Iterator[str]:
    assert change.why is not None
    assert change.why["code"] in SENTENCES, "what a plan stores"
    row = answer.assignment
    of_plan = f"{change.feed}:{change.line}" if change.feed else None
    of_why = row.origin if row is not None else None
    if of_plan != of_why:
        yield f"{answer.subject} {answer.uai}: {change.reason} {of_plan}, why: {answer.reason} {of_why}"
    lines = {f"policy.yaml:{rule.line}" for rule in answer.rules if rule.line}
    if (change.rule is None and lines) or (change.rule is not None and change.rule not in lines):
        yield f"{answer.subject} {answer.uai}: {change.reason} {change.rule}, why: {answer.reason} {lines}"


def agree(asked: tuple[Life, Account, date]) -> None:
    life, account, day = asked
    life = replace(life, policy=with_lines(life.policy))
    rows = tuple(replace(a, origin=f"hr.csv:{n}") for n, a in enumerate(account.assignments, 2))
    assert list(differences(life, replace(account, assignments=rows), day)) == [], repr(life)


@ORDINARY
@given(questions())
def test_why_and_the_plan_name_the_same_assignment_and_rule(asked: tuple[Life, Account, date]) -> None:
    agree(asked)


@pytest.mark.long
@settings(ORDINARY, max_examples=10_000)
@given(questions())
def test_why_and_the_plan_name_the_same_assignment_and_rule_in_many_lives(
    asked: tuple[Life, Account, date],
) -> None:
    agree(asked)


def test_a_state_names_the_post_and_the_rule_that_decide_it() -> None:
    """An active person is also on leave from a later post; the grace is that of a post that ended earlier."""
    policy = with_lines(
        Policy(
            profiles=(Profile("all", When()),),
            positions={"conge": Position("conge", keeps=frozenset())},
            grace=(GraceRule(When(corps=frozenset({"776"})), 30), GraceRule(When(), 3)),
        )
    )
    day = date(2027, 3, 1)
    work = Assignment(UAIS[0], "ENS", date(2026, 9, 1), date(2027, 3, 1), corps="776")
    leave = Assignment(UAIS[1], "ENS", date(2026, 10, 1), date(2027, 3, 5), corps="551", position="conge")
    account = Account(uid="a.b", matricule="1", matricule_digests=("",), assignments=(work, leave))
    life = Life(account.assignments, policy, None, day, day)
    assert state_answer(case_of(life, account, day)).assignment == work
    answer = state_answer(case_of(life, account, date(2027, 3, 20)))
    assert (answer.verdict, answer.until, answer.rules[-1].line) == ("grace", date(2027, 3, 31), 400)
