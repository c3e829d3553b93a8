"""From a person and a day to the account that should be, and the changes that lead there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.account import Account, State
from piactl.core.model.establishment import Establishment
from piactl.core.model.keyed_digests import DigestKeys, read_numen
from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, Service, When
from piactl.core.naming.names import TakenNames
from piactl.core.plan.account_changes import effect_on, home_establishments
from piactl.core.rules.address_allocation import addressed, claim_of, take
from piactl.core.rules.desired_account import (
    Desired,
    Rules,
    Subject,
    assignment_problems,
    desired_account,
)

START = date(2026, 9, 1)
POLICY = Policy(
    retention=60,
    grace=(GraceRule(When(), 30),),
    profiles=(Profile("enseignant", When(fonction=frozenset({"ENS"}))),),
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


def made(day: date = date(2026, 10, 1), *assignments: Assignment) -> Account:
    return wanted(day, person(*(assignments or (post(),)))).account


def test_the_initial_form_of_uid_leaves_the_address_as_it_is() -> None:
    other = replace(POLICY, uid_form="initial")
    account = wanted(START, person(post()), policy=other).account
    assert (account.uid, account.address) == ("jpetit", "julie.petit@ac-amiens.fr")
    assert account.identifiers == {"jpetit", "julie.petit@ac-amiens.fr"}


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
