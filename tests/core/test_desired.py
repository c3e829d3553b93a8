"""From a person and a day to the account that should be, and the changes that lead there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from piactl.core.model.account import Account, State
from piactl.core.model.keyed_digests import DigestKeys, read_numen
from piactl.core.model.person import Assignment, Establishment, Person
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, Service, When
from piactl.core.naming.names import TakenNames, UnusableName
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.diff import changes_of, effect_on, home_establishments, state_kind
from piactl.core.rules.address_allocation import addressed, claim_of, take
from piactl.core.rules.career import NEVER, account_status, career_of
from piactl.core.rules.desired import (
    Desired,
    Rules,
    Subject,
    address_problem,
    assignment_problems,
    desired_account,
)

START = date(2026, 9, 1)
POLICY = Policy(
    retention=60,
    grace=(GraceRule(When(), 30),),
    profiles=(Profile("enseignant", When({"fonction": frozenset({"ENS"})})),),
    positions={
        "activite": Position("activite"),
        "conge": Position("conge", keeps=frozenset({"messagerie"})),
        "dispo": Position("dispo", keeps=frozenset()),
        "suspension": Position("suspension", keeps=frozenset(), lock=True),
        "retraite": Position("retraite", ends=True),
    },
    services={
        "messagerie": Service("messagerie", "Messagerie", in_grace=True),
        "iprof": Service("iprof", "I-Prof", mutation_delay=2),
        "siecle": Service("siecle", "SIECLE", per_establishment=True, mutation_delay=1, handover=5),
    },
)
KEYS = DigestKeys("k1", {"k1": b"0" * 32})


def rules(day: date, policy: Policy = POLICY) -> Rules:
    return Rules(policy, {}, day, KEYS)


def post(
    uai: str = "0800009A", start: date = START, end: date | None = None, position: str = ""
) -> Assignment:
    return Assignment(uai, "ENS", start, end, position=position, source="rh", origin="a.csv:2")


def person(*assignments: Assignment, given: str = "Julie", family: str = "Petit", usage: str = "") -> Person:
    return Person("100", family, given, usage, assignments=assignments, numen=read_numen("20E1234567XYZ"))


def wanted(day: date, who: Person, current: Account | None = None, policy: Policy = POLICY) -> Desired:
    desired = desired_account(Subject("100", current, who, who.assignments), rules(day, policy))
    assert desired is not None
    claim = claim_of(desired, policy)
    return addressed(desired, *take(claim, TakenNames([], 1)), policy) if claim is not None else desired


def changed(day: date, who: Person, current: Account, policy: Policy = POLICY) -> dict[Kind, list[Change]]:
    changes: dict[Kind, list[Change]] = {}
    for change in changes_of(wanted(day, who, current, policy), rules(day, policy)):
        changes.setdefault(change.kind, []).append(change)
    return changes


def made(day: date = date(2026, 10, 1), *assignments: Assignment) -> Account:
    return wanted(day, person(*(assignments or (post(),)))).account


def test_a_new_account_has_uid_address_numen_digest_and_rights() -> None:
    desired = wanted(date(2026, 10, 1), person(post()))
    account = desired.account
    assert account.uid == "julie.petit"
    assert account.address == "julie.petit@ac-amiens.fr"
    assert account.identifiers == {"julie.petit", "julie.petit@ac-amiens.fr"}
    assert account.numen_digest is not None
    assert "20E" not in account.numen_digest
    assert account.entitlements == {("messagerie", ""), ("iprof", ""), ("siecle", "0800009A")}
    (change,) = changes_of(desired, rules(date(2026, 10, 1)))
    assert (change.kind, change.feed, change.line, change.before) == (Kind.CREATE, "a.csv", 2, None)


def test_no_account_is_made_without_a_person_and_a_matricule() -> None:
    assert desired_account(Subject("100", None, None, (post(),)), rules(START)) is None
    assert desired_account(Subject(None, None, person(post()), (post(),)), rules(START)) is None


def test_a_new_account_takes_the_numen_digest_of_a_person_in_waiting() -> None:
    who = replace(person(post()), numen=None)
    desired = desired_account(Subject("100", None, who, who.assignments, "{k1}abc"), rules(START))
    assert desired is not None
    assert desired.account.numen_digest == "{k1}abc"


def test_a_usage_name_changes_the_address_and_its_end_restores_the_old_one() -> None:
    day = date(2026, 10, 2)
    married = person(post(), usage="Bernard")
    changes = changed(day, married, made())
    assert set(changes) == {Kind.RENAME, Kind.UPDATE}
    account = wanted(day, married, made()).account
    assert (account.uid, account.address) == ("julie.petit", "julie.bernard@ac-amiens.fr")
    assert account.aliases == {"julie.petit@ac-amiens.fr"}
    again = wanted(day, person(post()), account).account
    assert again.address == "julie.petit@ac-amiens.fr"
    assert again.aliases == {"julie.bernard@ac-amiens.fr"}


def test_a_cancelled_start_deactivates_and_retention_runs_from_that_day() -> None:
    early = made(START - timedelta(days=5))
    assert early.state is State.ANTICIPATED
    nobody = person()
    day = date(2026, 8, 30)
    closed = wanted(day, nobody, early).account
    assert (closed.state, closed.state_from) == (State.DEACTIVATED, day)
    assert closed.login_until == NEVER
    assert wanted(day + timedelta(days=60), nobody, closed).account.state is State.DEACTIVATED
    assert wanted(day + timedelta(days=61), nobody, closed).account.state is State.ARCHIVED
    changes = changed(day, nobody, early)
    assert "cancelled" in changes[Kind.DEACTIVATE][0].reason


def test_an_archived_account_stays_so_without_a_post_that_opens_it() -> None:
    day = date(2027, 4, 2)
    ended = person(post(end=date(2026, 12, 31)))
    tombstone = wanted(day, ended, made()).account
    assert tombstone.state is State.ARCHIVED
    assert desired_account(Subject("100", tombstone, ended, ended.assignments), rules(day)) is None
    assert desired_account(Subject(None, tombstone, None, ()), rules(day)) is None


def test_a_name_that_gives_no_address_is_refused_not_guessed() -> None:
    bad = person(post(), given="Mme Julie")
    with pytest.raises(UnusableName):
        desired_account(Subject("100", None, bad, bad.assignments), rules(START))
    assert address_problem(bad) is not None
    assert address_problem(person(post())) is None


def test_the_initial_form_of_uid_leaves_the_address_as_it_is() -> None:
    other = replace(POLICY, uid_form="initial")
    account = wanted(START, person(post()), policy=other).account
    assert (account.uid, account.address) == ("jpetit", "julie.petit@ac-amiens.fr")
    assert account.identifiers == {"jpetit", "julie.petit@ac-amiens.fr"}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("anticipated", "active", Kind.UPDATE),
        ("grace", "active", Kind.REOPEN),
        ("active", "anticipated", Kind.REVOKE),
        ("grace", "anticipated", Kind.REOPEN),
        ("active", "grace", Kind.REVOKE),
        ("deactivated", "grace", Kind.UPDATE),
        ("deactivated", "on-leave", Kind.SUSPEND),
        ("grace", "deactivated", Kind.DEACTIVATE),
        ("deactivated", "archived", Kind.ARCHIVE),
        ("active", "active", None),
    ],
)
def test_the_kind_of_a_change_of_state(before: str, after: str, kind: Kind | None) -> None:
    assert state_kind(State(before), State(after)) is kind


def test_assignments_unknown_to_policy_or_register_are_problems() -> None:
    strict = replace(POLICY, unknown_establishment="rejection")
    odd = Assignment("0800009A", "XXX", START, position="mystere")
    other = Assignment("0800009A", "XXX", START)
    register = {"0800010B": Establishment("0800010B")}
    codes = [p[2] for p in assignment_problems([odd, other, post("0800010B")], strict, register)]
    assert codes == [
        "position-unknown",
        "profile-none",
        "uai-unregistered",
        "profile-none",
        "uai-unregistered",
    ]


def test_guards_count_an_account_at_its_latest_or_next_establishment() -> None:
    day = date(2027, 3, 1)
    ended = replace(made(), assignments=(post(end=date(2026, 12, 1)), post("0800010B", end=date(2027, 1, 1))))
    assert home_establishments(ended, day) == ("0800010B",)
    ahead = replace(made(), assignments=(post("0800010B", start=date(2027, 9, 1)),))
    assert home_establishments(ahead, day) == ("0800010B",)
    assert home_establishments(made(), day) == ("0800009A",)


def test_the_main_establishment_comes_first() -> None:
    main = replace(post("0801616X"), modality="principale")
    account = made(date(2026, 10, 1), post("0800009A", date(2026, 9, 15)), main, post("0800010B"))
    assert account.establishments == ("0801616X", "0800009A", "0800010B")


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"uai": "0800010B"}, ("establishment",)),
        ({"function": "DIR"}, ("function",)),
        ({"quotite": "80"}, ("details",)),
        ({"position": "conge"}, ("details",)),
        ({"end": date(2027, 8, 31)}, ("end",)),
        ({"uai": "0800010B", "start": date(2027, 3, 1)}, ()),
        ({"uai": "0800010B", "source": "other"}, ()),
        ({"uai": "0800010B", "function": "DIR"}, ()),
    ],
)
def test_guards_count_changed_values_of_an_assignment_but_no_new_one(
    changed: dict[str, object], other: tuple[str, ...]
) -> None:
    before = replace(made(), assignments=(post(),))
    after = replace(before, assignments=(replace(post(), **changed),))  # type: ignore[arg-type]
    assert effect_on(before, after).other == other
    # a further post with the same start and function as the known one has the same effect
    if "establishment" in other:
        assert effect_on(before, replace(before, assignments=(*after.assignments, post()))).other == other


def test_only_a_name_that_differs_in_more_than_spelling_is_another_name() -> None:
    before = replace(made(), family_name="Dupré", given_name="Anne", usage_name="")
    for name, other in (("DUPRE", ()), ("Martel", ("name",))):
        assert effect_on(before, replace(before, family_name=name)).other == other
    archived = replace(before, state=State.ARCHIVED, family_name="-", assignments=())
    assert effect_on(before, archived).other == effect_on(archived, before).other == ()


def test_what_an_account_gains_and_loses() -> None:
    teacher = replace(
        made(),
        profiles=("enseignant",),
        entitlements=frozenset({("siecle", "0800009A"), ("siecle", "0800010B"), ("iprof", "")}),
    )
    head = replace(teacher, profiles=("direction",), entitlements=frozenset({("siecle", "0800009A")}))
    effect = effect_on(teacher, head)
    assert effect.gains == {("profile", "direction")}
    assert effect.losses == {("profile", "enseignant"), ("service", "iprof")}
    everything = {("profile", "enseignant"), ("service", "iprof"), ("service", "siecle")}
    assert effect_on(None, teacher).gains == everything
    assert effect_on(teacher, replace(teacher, state=State.DEACTIVATED)).losses == everything


def test_a_shared_career_equals_one_computed_anew() -> None:
    """People with one assignment of the same days, position, profile and services share a career."""
    used = replace(POLICY)
    ends = (None, date(2027, 8, 31), date(2026, 9, 1))
    for uai in ("0800009A", "0801616X"):
        for position in ("", *POLICY.positions, "unknown"):
            for end in ends:
                alone = replace(post(uai, end=end, position=position), origin=f"{uai}.csv:3")
                shared, fresh = (career_of((alone,), policy, {}) for policy in (used, replace(POLICY)))
                assert shared == fresh
                assert [career_post.assignment.origin for career_post in shared.posts] == [
                    career_post.assignment.origin for career_post in fresh.posts
                ]
                for day in (date(2026, 8, 25), START, date(2027, 9, 10), date(2028, 1, 1)):
                    assert account_status(shared, day) == account_status(fresh, day)
    # both establishments share the careers of the first
    assert len(used.careers) == (len(POLICY.positions) + 2) * len(ends)
    other = replace(POLICY, grace=(GraceRule(When(), 60),))
    assert not other.careers
    assert career_of((post(end=date(2026, 9, 1)),), other, {}) != career_of(
        (post(end=date(2026, 9, 1)),), used, {}
    )
