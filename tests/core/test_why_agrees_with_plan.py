"""`why` and the plan never disagree: random lives with exceptions and changes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piactl.core.credentials.credential_state import Credentials, PasswordPolicy
from piactl.core.explain.answers import right_answer, right_answers, state_answer
from piactl.core.explain.login_causes import LoginContext, login_answer
from piactl.core.explain.question import Answer, Question
from piactl.core.model.account import Account, Lock, ServiceException, State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.model.periods import holding
from piactl.core.model.person import Assignment
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, Service, When
from piactl.core.rules.desired_account import Rules, Subject, desired_account
from tests.examples import examples

from .strategies import REGISTER, UAIS, Life, lives
from .test_oracle_rules import ORDINARY as USUAL

KEYS = DigestKeys("k1", {"k1": b"x" * 32})
ORDINARY = settings(USUAL, max_examples=examples(100))
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
    overrides = []
    for first, last in draw(st.lists(spans, max_size=2)):
        if life.assignments and draw(st.booleans()):
            a = draw(st.sampled_from(life.assignments))
            where = {"uai": a.uai, "function": a.function, "start": a.start}
            overrides.append(
                Override(OverrideKind.END, last, first, "an admin", "a reason", day=first, **where)
            )
        else:
            overrides.append(
                Override(OverrideKind.CLOSE, last, first, "an admin", "a reason", day=first, grace=2)
            )
    account = Account(
        uid="alix.vie",
        matricule="1",
        matricule_digests=("",),
        family_name="Vie",
        given_name="Alix",
        address="alix.vie@ac-amiens.fr",
        assignments=life.assignments,
        exceptions=tuple(exceptions),
        overrides=tuple(overrides),
        state=State.ACTIVE if life.closed_on is None else State.DEACTIVATED,
        state_from=life.closed_on,
    )
    edges = [a.start for a in life.assignments] + [a.end for a in life.assignments if a.end]
    edges += [e.start for e in exceptions] + [e.end for e in exceptions]
    edges += [p.until for p in overrides] + [p.made for p in overrides]
    if not edges:
        return life, account, draw(days)
    near = st.tuples(st.sampled_from(edges), st.sampled_from((0, 1, -1, 2, 3, 5, -3)))
    return life, account, draw(days | near.map(lambda pair: pair[0] + timedelta(days=pair[1])))


def case_of(life: Life, account: Account, day: date) -> Question:
    return Question(account, Rules(life.policy, REGISTER, day, KEYS))


def planned(life: Life, account: Account, day: date) -> Account:
    """The account that a plan of that day wants."""
    subject = Subject(account.matricule, account, None, account.assignments)
    desired = desired_account(subject, Rules(life.policy, REGISTER, day, KEYS))
    assert desired is not None
    return desired.account


def answers(question: Question) -> Iterator[Answer]:
    for service in question.rules.policy.services.values():
        yield from right_answers(question, service)


def check_rights(life: Life, account: Account, day: date) -> None:
    by_right = {(answer.subject, answer.uai): answer for answer in answers(case_of(life, account, day))}
    assert {right for right, answer in by_right.items() if answer.yes} == planned(
        life, account, day
    ).entitlements
    for service in life.policy.services:
        assert any(subject == service for subject, _ in by_right)
    for right, answer in by_right.items():
        check_span(life, account, day, right, answer)
        check_remedies(life, account, day, right, answer)


def check_span(life: Life, account: Account, day: date, right: tuple[str, str], answer: Answer) -> None:
    """`until` is the last day on which the plans give the same answer; `since` is the first."""
    if answer.until is not None:
        assert answer.until >= day
        assert holds(life, account, answer.until, right) is answer.yes
        assert holds(life, account, answer.until + timedelta(days=1), right) is not answer.yes
    elif answer.yes:
        assert holds(life, account, day + timedelta(days=2000), right)
    if answer.since is not None:
        assert answer.since <= day
        path = case_of(life, account, day).career.rights.get(right, [])
        before = answer.since.toordinal()
        assert (holding(path, before) is not None) is answer.yes
        assert (holding(path, before - 1) is not None) is not answer.yes


def holds(life: Life, account: Account, day: date, right: tuple[str, str]) -> bool:
    return right in planned(life, account, day).entitlements


def check_remedies(life: Life, account: Account, day: date, right: tuple[str, str], answer: Answer) -> None:
    for remedy in answer.remedies:
        if remedy.day is None:
            continue
        changed = remedy.account_after or account
        assert holds(life, changed, remedy.day, right) is not answer.yes, remedy
        assert (remedy.account_after is None) == remedy.text.startswith("wait"), remedy


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
    answer = state_answer(case_of(life, account, day))
    desired = planned(life, account, day)
    assert answer.verdict.partition(",")[0] == desired.state.value
    assert answer.yes is (desired.state in OPEN_STATES)
    assert answer.since is None or answer.since <= day
    assert answer.until is None or day <= answer.until
    for remedy in answer.remedies:
        if remedy.day is None or remedy.account_after is None:
            continue
        after = planned(life, remedy.account_after, remedy.day)
        if remedy.text == "lift the lock":  # one that an absence left, under any state
            assert desired.locked
            assert not any(a.locks_until for a in remedy.account_after.assignments)
            assert (after.state, after.lock) == (desired.state, None)
        elif "closure by hand, from" in remedy.text:
            assert after.state not in OPEN_STATES, remedy
        else:
            assert after.state is State.ACTIVE, remedy
    assert all(event > day for event, _ in answer.coming)


@ORDINARY
@given(questions())
def test_every_answer_gives_a_reason(asked: tuple[Life, Account, date]) -> None:
    question = case_of(*asked)
    for answer in [state_answer(question), *answers(question)]:
        assert answer.reason
        assert "None" not in answer.reason
        assert answer.rules or "exception" in answer.reason or answer.subject == "state", answer
        if answer.yes and answer.subject != "state" and "exception" not in answer.reason:
            assert answer.assignment is not None, answer


NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
FINE = Credentials(changed=NOW - timedelta(days=90), policy=PasswordPolicy("cn=default", blocks=True))


def around(credentials: Credentials = FINE) -> LoginContext:
    return LoginContext(credentials, NOW, lambda instant: instant.isoformat())


def lets_in(account: Account, day: date) -> bool:
    return (account.login_from or day) <= day <= (account.login_until or day)


@ORDINARY
@given(questions(), st.none() | st.tuples(st.integers(-9, 0), st.none() | st.integers(0, 9)))
def test_logins_agree_with_the_plan(
    asked: tuple[Life, Account, date], locked: tuple[int, int | None] | None
) -> None:
    """With a valid password, the answer is what the plan writes, and the planned entry does not differ from
    the rules; a log in that is refused has at least one cause."""
    life, account, day = asked
    if locked is not None:
        ends = None if locked[1] is None else day + timedelta(days=locked[1])
        account = replace(account, lock=Lock(day + timedelta(days=locked[0]), ends, "an admin", "a reason"))
    desired = planned(life, account, day)
    written = replace(account, login_from=desired.login_from, login_until=desired.login_until)
    answer = login_answer(case_of(life, written, day), around())
    assert answer.yes is lets_in(desired, day)
    assert "entry" not in {cause.kind for cause in answer.causes}
    effects = [cause.effect for cause in answer.causes]
    assert answer.yes or effects[0] == "refused"
    if answer.until is not None and locked is None:
        assert lets_in(planned(life, account, answer.until), answer.until) is answer.yes
        after = answer.until + timedelta(days=1)
        assert lets_in(planned(life, account, after), after) is not answer.yes


PEOPLE = PasswordPolicy("cn=people", blocks=True, block=timedelta(minutes=15), max_age=timedelta(days=365))
CODES = PasswordPolicy("cn=codes", blocks=True, activation=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

STATES_OF_A_PASSWORD: dict[str, tuple[Credentials, list[tuple[str, str]]]] = {
    "fine": (Credentials(NOW - DAY, policy=PEOPLE), []),
    "never set": (Credentials(policy=PEOPLE), [("no-password", "refused")]),
    "expired": (Credentials(NOW - 366 * DAY, policy=PEOPLE), [("expired", "refused")]),
    "must be changed": (Credentials(NOW - DAY, True, policy=PEOPLE), [("must-change", "asked")]),
    "an old one that must be changed": (
        Credentials(NOW - 900 * DAY, True, policy=PEOPLE),
        [("must-change", "asked")],
    ),
    "wrong twice": (
        Credentials(NOW - DAY, policy=PEOPLE, failures=(NOW - HOUR, NOW)),
        [("wrong-tries", "asked")],
    ),
    "wrong until blocked": (
        Credentials(NOW - DAY, blocked=NOW, policy=PEOPLE, failures=(NOW - HOUR, NOW)),
        [("blocked", "refused")],
    ),
    "blocked a minute ago": (
        Credentials(NOW - DAY, blocked=NOW - HOUR / 60, policy=PEOPLE),
        [("blocked", "refused")],
    ),
    "blocked an hour ago": (Credentials(NOW - DAY, blocked=NOW - HOUR, policy=PEOPLE), []),
    "blocked for good": (
        Credentials(NOW - DAY, blocked_for_good=True, policy=PEOPLE),
        [("blocked", "refused")],
    ),
    "blocked, the policy does not block": (
        Credentials(NOW - DAY, blocked_for_good=True, policy=PasswordPolicy("cn=lax")),
        [],
    ),
    "blocked, the policy is not known": (
        Credentials(NOW - DAY, blocked=NOW - DAY),
        [("blocked", "refused")],
    ),
    "blocked and expired": (
        Credentials(NOW - 366 * DAY, blocked=NOW - HOUR / 60, policy=PEOPLE),
        [("blocked", "refused"), ("expired", "refused")],
    ),
    "a code not used": (
        Credentials(NOW - DAY, True, blocked=NOW + DAY, policy=CODES),
        [("activation-unused", "asked")],
    ),
    "a code that ended": (
        Credentials(NOW - DAY, True, blocked=NOW - HOUR, policy=CODES),
        [("activation-ended", "refused")],
    ),
    "a code used, still under its policy": (Credentials(NOW - DAY, policy=CODES), []),
}


@pytest.mark.parametrize("name", STATES_OF_A_PASSWORD)
def test_each_state_of_a_password_has_its_causes_and_effect_on_log_in(name: str) -> None:
    credentials, expected = STATES_OF_A_PASSWORD[name]
    policy = Policy(positions={}, profiles=(Profile("all", When()),))
    row = Assignment("0800009A", "ENS", date(2027, 1, 1))
    account = Account(uid="alix.vie", matricule="1", matricule_digests=("",), assignments=(row,))
    life = Life((row,), policy, None, NOW.date(), NOW.date())
    answer = login_answer(case_of(life, account, NOW.date()), around(credentials))
    assert [(cause.kind, cause.effect) for cause in answer.causes] == expected
    assert answer.yes is not any(effect == "refused" for _, effect in expected)
    assert all("alix.vie" in cause.command for cause in answer.causes if cause.command)


SERVICE = Service("iprof", "I-Prof", frozenset({"enseignant"}), mutation_delay=3, in_grace=False, line=9)
THERE = Service(
    "siecle",
    "SIECLE",
    frozenset({"enseignant"}),
    per_establishment=True,
    mutation_delay=2,
    handover=5,
    line=10,
)
MAIL = Service("mail", "Mail", in_grace=True, line=11)
POLICY = Policy(
    services={service.name: service for service in (SERVICE, THERE, MAIL)},
    profiles=(
        Profile("enseignant", When(fonction=frozenset({"ENS"})), line=5),
        Profile("autre", When(), line=6),
    ),
    positions={
        "conge": Position("conge", keeps=frozenset({"mail"}), line=7),
        "disponibilite": Position("disponibilite", keeps=frozenset(), line=12),
        "retraite": Position("retraite", ends=True, grace=0, line=8),
    },
    grace=(GraceRule(When(), 10, line=4),),
)
D = date(2027, 3, 1)
DAY_BEFORE = D - timedelta(days=1)
FORMER = Assignment(UAIS[0], "ENS", date(2026, 9, 1), DAY_BEFORE)
MOVED = Assignment(UAIS[1], "ENS", D)
OTHER = Assignment(UAIS[0], "ADM", date(2026, 9, 1))
OTHER_OVER = replace(OTHER, end=DAY_BEFORE)
LEAVE = Assignment(UAIS[0], "ADM", D, date(2027, 6, 30), position="conge")


def granted(grants: bool, service: str = "iprof", uai: str = "") -> ServiceException:
    return ServiceException(grants, service, uai, D, D + DAY, "dupond", "stands in")


REASONS: dict[str, tuple[list[Assignment], list[ServiceException], str, str, int, str, tuple[str, ...]]] = {
    # name: assignments, exceptions, service, uai, days after D, part of the reason, the rules that decide
    "of its own": ([FORMER], [], "iprof", "", -9, "profile enseignant has it", ("services.iprof:9",)),
    "kept over the delay": ([FORMER, MOVED], [], "iprof", "", 2, "kept until the delay of 3 days", ()),
    "after the delay": ([FORMER, MOVED], [], "iprof", "", 3, "3 days (mutation_delay) after the start", ()),
    "the delay runs": ([FORMER, MOVED], [], "siecle", UAIS[1], 1, "after a delay of 2 days (mutation", ()),
    "handed over": ([FORMER, MOVED], [], "siecle", UAIS[0], 4, "handover: 5 days", ("services.siecle:10",)),
    "handover over": ([FORMER, MOVED], [], "siecle", UAIS[0], 5, "ended on 2027-02-28, and the handover", ()),
    "the post is to come": ([FORMER, MOVED], [], "siecle", UAIS[1], -5, "begins on 2027-03-01", ()),
    "another profile": ([OTHER], [], "iprof", "", 0, "profile autre does not have it; it is for ens", ()),
    "granted": ([OTHER], [granted(True)], "iprof", "", 1, "an exception: grant of iprof", ()),
    "no longer granted": ([OTHER], [granted(True)], "iprof", "", 2, "profile autre does not have it", ()),
    "granted in vain": ([FORMER], [granted(True)], "iprof", "", -9, "profile enseignant has it", ()),
    "denied": ([MOVED], [granted(False)], "iprof", "", 0, "an exception: denial of iprof", ()),
    "denied in vain": ([OTHER], [granted(False)], "iprof", "", 0, "profile autre does not have it", ()),
    "denied everywhere": ([MOVED], [granted(False, "siecle")], "siecle", UAIS[1], 0, "denial of siecle", ()),
    "on leave": ([OTHER, LEAVE], [], "iprof", "", 0, "profile autre does not", ("services.iprof:9",)),
    "lasts in grace": (
        [FORMER],
        [],
        "mail",
        "",
        5,
        "lasts through the grace",
        ("services.mail:11", "grace:4"),
    ),
    "not in grace": ([FORMER], [], "iprof", "", 5, "does not last through the grace", ("services.iprof:9",)),
    "not held before the grace": ([OTHER_OVER], [], "iprof", "", 5, "it was not held on the last day", ()),
    "deactivated": ([FORMER], [], "mail", "", 20, "the account is deactivated", ("accounts.retention:0",)),
    "anticipated": ([MOVED], [], "mail", "", -5, "the account is anticipated", ("accounts.open_before:0",)),
}


@pytest.mark.parametrize("name", REASONS)
def test_each_answer_about_a_right_names_its_reason_and_rules(name: str) -> None:
    rows, exceptions, service, uai, offset, expected, rules = REASONS[name]
    account = Account(
        uid="alix.vie",
        matricule="1",
        matricule_digests=("",),
        assignments=tuple(rows),
        exceptions=tuple(exceptions),
    )
    day = D + timedelta(days=offset)
    question = case_of(Life(tuple(rows), POLICY, None, day, day), account, day)
    answer = right_answer(question, POLICY.services[service], uai)
    assert expected in answer.reason
    assert tuple(f"{rule.key}:{rule.line}" for rule in answer.rules)[: len(rules)] == rules


@pytest.mark.parametrize("rows", [(FORMER, MOVED), (OTHER,)], ids=["a teacher", "another"])
@pytest.mark.parametrize("service", ["iprof", "mail", "siecle", "notes"])
def test_exceptions_of_other_services_are_not_mixed_in(service: str, rows: tuple[Assignment, ...]) -> None:
    """The answer and its notes are the same as if there were none."""
    every = [granted(yes, name) for name in ("iprof", "mail") for yes in (True, False)]
    every += [granted(yes, "siecle", uai) for uai in UAIS[:2] for yes in (True, False)]
    every += [granted(True, "notes", "0801616X"), granted(False, "notes")]
    own = [exception for exception in every if exception.service == service]
    notes = Service("notes", "Notes", frozenset({"enseignant"}), per_establishment=True)
    policy = replace(POLICY, services={**POLICY.services, "notes": notes})

    def answered(exceptions: list[ServiceException]) -> list[Answer]:
        account = Account(
            uid="alix.vie",
            matricule="1",
            matricule_digests=("",),
            assignments=rows,
            exceptions=tuple(exceptions),
        )
        question = case_of(Life(rows, policy, None, D, D), account, D)
        service_answers = right_answers(question, policy.services[service])
        # the accounts of remedies have all exceptions
        return [
            answer._replace(remedies=tuple(r._replace(account_after=None) for r in answer.remedies))
            for answer in service_answers
        ]

    assert answered(every) == answered(own)
    others = [exception for exception in every if exception.service != service]
    assert answered(others) == answered([])
    assert all(not answer.notes for answer in answered(others))


def test_a_position_that_does_not_keep_a_service_is_the_reason() -> None:
    rows = (FORMER, replace(MOVED, uai=UAIS[0], position="conge"))
    account = Account(uid="alix.vie", matricule="1", matricule_digests=("",), assignments=rows)
    answer = right_answer(case_of(Life(rows, POLICY, None, D, D), account, D), SERVICE, "")
    assert answer.reason == "position conge does not keep it"
    assert [f"{rule.key}:{rule.line}" for rule in answer.rules] == ["positions.conge:7", "services.iprof:9"]
    assert answer.assignment == rows[1]
    assert {remedy.text for remedy in answer.remedies} >= {"an exception"}


@pytest.mark.parametrize(("position", "works"), [("", True), ("disponibilite", False)])
def test_log_in_during_grace_is_as_on_the_last_day_of_the_assignment(position: str, works: bool) -> None:
    rows = (replace(FORMER, position=position),)
    account = Account(uid="alix.vie", matricule="1", matricule_digests=("",), assignments=rows)
    desired = planned(Life(rows, POLICY, None, D, D), account, D)
    assert desired.state is State.GRACE
    written = replace(account, login_from=desired.login_from, login_until=desired.login_until)
    answer = login_answer(case_of(Life(rows, POLICY, None, D, D), written, D), around())
    assert answer.yes is lets_in(desired, D) is works
    assert [cause.kind for cause in answer.causes] == ["grace"]
