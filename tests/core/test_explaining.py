"""`why` and the plan never disagree: random lives with exceptions and changes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piactl.core.account import Account, ServiceException, State
from piactl.core.days import holding
from piactl.core.desired import Rules, Subject, desired_account
from piactl.core.digests import DigestKeys
from piactl.core.explaining import Answer, Case, right_answers, state_answer
from piactl.core.pins import Pin, PinKind
from piactl.flows.reviewing import account_on

from .strategies import REGISTER, UAIS, Life, lives
from .test_oracle_rules import ORDINARY as USUAL

KEYS = DigestKeys("k1", {"k1": b"x" * 32})
ORDINARY = settings(USUAL, max_examples=100)
OPEN_STATES = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Life, Account, date]:
    """A life, its account with exceptions and changes by hand, and a day."""
    life = draw(lives())
    days = st.integers(0, (life.last - life.first).days).map(lambda n: life.first + timedelta(days=n))
    spans = st.tuples(days, st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + timedelta(pair[1])))
    exceptions = []
    for first, last in draw(st.lists(spans, max_size=3)):
        service = draw(st.sampled_from(sorted(life.policy.services)))
        uais = UAIS if life.policy.services[service].per_establishment else ("",)
        grants = draw(st.booleans())
        place = draw(st.sampled_from(uais if grants else ("", *uais)))
        exceptions.append(ServiceException(grants, service, place, first, last, "an admin", "a reason"))
    pins = []
    for first, last in draw(st.lists(spans, max_size=2)):
        if life.assignments and draw(st.booleans()):
            a = draw(st.sampled_from(life.assignments))
            where = {"uai": a.uai, "function": a.function, "start": a.start}
            pins.append(Pin(PinKind.END, last, first, "an admin", "a reason", day=first, **where))
        else:
            pins.append(Pin(PinKind.CLOSE, last, first, "an admin", "a reason", day=first, grace=2))
    account = Account(
        uid="alix.vie",
        matricule="1",
        matricule_digest="",
        family_name="Vie",
        given_name="Alix",
        address="alix.vie@ac-amiens.fr",
        assignments=life.assignments,
        exceptions=tuple(exceptions),
        pins=tuple(pins),
        state=State.ACTIVE if life.closed_on is None else State.DEACTIVATED,
        state_from=life.closed_on,
    )
    return life, account, draw(days)


def case_of(life: Life, account: Account, day: date) -> Case:
    rules = Rules(life.policy, REGISTER, day, KEYS)
    site = SimpleNamespace(policy=life.policy, register=REGISTER)
    return Case(account, rules, lambda one, on: account_on(one, site, on))  # type: ignore[arg-type]


def planned(life: Life, account: Account, day: date) -> Account:
    """The account that a plan of that day wants."""
    subject = Subject(account.matricule, account, None, account.assignments)
    desired = desired_account(subject, Rules(life.policy, REGISTER, day, KEYS))
    assert desired is not None
    return desired.account


def answers(case: Case) -> Iterator[Answer]:
    for service in case.rules.policy.services.values():
        yield from right_answers(case, service)


def check_rights(life: Life, account: Account, day: date) -> None:
    said = {(one.subject, one.uai): one for one in answers(case_of(life, account, day))}
    assert {right for right, one in said.items() if one.yes} == planned(life, account, day).entitlements
    for right, one in said.items():
        check_span(life, account, day, right, one)
        check_remedies(life, account, day, right, one)


def check_span(life: Life, account: Account, day: date, right: tuple[str, str], one: Answer) -> None:
    """Until is the last day that the plans of the days to come agree with; since is the first."""
    if one.until is not None:
        assert one.until >= day
        assert holds(life, account, one.until, right) is one.yes
        assert holds(life, account, one.until + timedelta(days=1), right) is not one.yes
    elif one.yes:
        assert holds(life, account, day + timedelta(days=2000), right)
    if one.since is not None:
        assert one.since <= day
        path = case_of(life, account, day).career.rights.get(right, [])
        before = one.since.toordinal()
        assert (holding(path, before) is not None) is one.yes
        assert (holding(path, before - 1) is not None) is not one.yes


def holds(life: Life, account: Account, day: date, right: tuple[str, str]) -> bool:
    return right in planned(life, account, day).entitlements


def check_remedies(life: Life, account: Account, day: date, right: tuple[str, str], one: Answer) -> None:
    for remedy in one.remedies:
        if remedy.day is None:
            continue
        changed = remedy.tried or account
        assert holds(life, changed, remedy.day, right) is not one.yes, remedy
        assert (remedy.tried is None) == remedy.text.startswith("wait"), remedy


@ORDINARY
@given(questions())
def test_rights_agree_with_the_plan(asked: tuple[Life, Account, date]) -> None:
    check_rights(*asked)


@pytest.mark.long
@settings(ORDINARY, max_examples=10_000)
@given(questions())
def test_rights_agree_with_the_plan_in_many_lives(asked: tuple[Life, Account, date]) -> None:
    check_rights(*asked)


@ORDINARY
@given(questions())
def test_states_agree_with_the_plan(asked: tuple[Life, Account, date]) -> None:
    life, account, day = asked
    one = state_answer(case_of(life, account, day))
    desired = planned(life, account, day)
    assert one.verdict.partition(",")[0] == desired.state.value
    assert one.yes is (desired.state in OPEN_STATES)
    assert one.since is None or one.since <= day
    assert one.until is None or day <= one.until
    for remedy in one.remedies:
        if remedy.day is not None and remedy.tried is not None:
            assert planned(life, remedy.tried, remedy.day).state is State.ACTIVE, remedy
    assert all(event > day for event, _ in one.coming)


@ORDINARY
@given(questions())
def test_every_answer_has_words(asked: tuple[Life, Account, date]) -> None:
    case = case_of(*asked)
    for one in [state_answer(case), *answers(case)]:
        assert one.reason
        assert "None" not in one.reason
        assert one.rules or "exception" in one.reason or one.subject == "state", one
        if one.yes and one.subject != "state" and "exception" not in one.reason:
            assert one.assignment is not None, one
