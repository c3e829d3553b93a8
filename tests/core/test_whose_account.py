"""Whose account it is: which names belong to another person, and which source's statement counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import NUMEN, DigestKeys
from piactl.core.model.person import Person
from piactl.core.rules.matching import (
    BIRTH_DATE,
    NAME,
    NUMEN_WORD,
    Doubt,
    accounts_compared,
    doubt_about,
    identity_digests,
    name_text,
    same_name,
)

PERSON = Person("C110", "Petit", "Julie")
ACCOUNT = Account(
    uid="julie.petit",
    matricule="C110",
    matricule_digests=("{k}0",),
    family_name="Petit",
    given_name="Julie",
    usage_name="Bernard",
)


@pytest.mark.parametrize(
    ("family", "usage", "given", "other"),
    [
        ("Petit", "", "Julie", False),
        ("Roy", "", "JULIE", False),
        ("Roy", "", "Anne", True),
        ("PETIT", "", "Anne", False),
        ("Roy", "Petit", "Anne", False),
        ("Bernard", "", "Julie", False),
        # a name that is added later does not make another one acceptable
        ("Bernard", "", "Anne", True),
        ("Roy", "bernard", "Anne", True),
        ("Roy", "Kern", "Anne", True),
        ("Petit-Roy", "", "Anne-Julie", True),
        ("?", "", "Anne", True),
    ],
)
def test_without_a_birth_date_one_name_that_agrees_is_enough(
    family: str, usage: str, given: str, other: bool
) -> None:
    stated = replace(PERSON, family_name=family, usage_name=usage, given_name=given)
    assert doubt_about(stated, ACCOUNT, None) is (Doubt.PERHAPS_OTHER if other else None)


def test_a_blank_usage_name_agrees_with_nothing() -> None:
    stated = replace(PERSON, family_name="Roy", given_name="Anne")
    assert doubt_about(stated, replace(ACCOUNT, usage_name=""), None) is Doubt.PERHAPS_OTHER


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        ({}, Doubt.BIRTH_CHANGED),
        ({"given_name": "JULIE-ANNE", "family_name": "Bernard"}, Doubt.BIRTH_CHANGED),
        ({"given_name": "Anne"}, Doubt.OTHER_PERSON),
        ({"family_name": "Roy"}, Doubt.OTHER_PERSON),
        ({"family_name": "Roy", "given_name": "Anne"}, Doubt.OTHER_PERSON),
    ],
)
def test_another_birth_date_is_never_accepted_and_the_same_one_always(
    names: dict[str, str], doubt: Doubt
) -> None:
    stated = replace(PERSON, **names)  # type: ignore[arg-type]
    assert doubt_about(stated, ACCOUNT, False) is doubt
    assert doubt_about(stated, ACCOUNT, True) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Lefèvre", "LEFEVRE", True),
        ("d'Orsay", "D’Orsay", True),
        ("Jean Paul", "jean-paul", True),
        ("a1", "A1", True),
    ]
    + [("Faure", "Faurel", False), ("a1", "a2", False)],
)
def test_names_are_compared_by_the_rule_of_addresses(one: str, other: str, same: bool) -> None:
    assert same_name(one, other) is same


def test_the_name_at_birth_is_shown_where_it_differs() -> None:
    assert name_text(ACCOUNT) == "Julie Bernard (Petit at birth)"
    assert name_text(PERSON) == "Julie Petit"


K1, K2 = DigestKeys("k1", {"k1": b"\1" * 32}), DigestKeys("k2", {"k2": b"\2" * 32})


def account(*names: str, born: str = "", numen: str = "", keys: DigestKeys = K1, usage: str = "") -> Account:
    """The account of a person as a night makes it: nothing that is secret is stored, only digests."""
    family, given = names
    person = Person("1", family, given, birth_date=date.fromisoformat(born) if born else None)
    return replace(
        ACCOUNT,
        family_name=family,
        given_name=given,
        usage_name=usage,
        identity_digest=next(iter(identity_digests(keys, person)), None),
        numen_digest=keys.digest(NUMEN, numen) if numen else None,
    )


JULIE = account("Petit", "Julie", born="1985-08-08", numen="20E9512345XYZ")


@pytest.mark.parametrize(
    ("other", "birth", "numen", "name"),
    [
        (JULIE, True, True, True),
        (account("Petit", "Julie", born="1985-12-12", numen="20E9567890XYZ"), False, False, True),
        (account("PETIT", "julie", born="1985-08-08"), True, None, True),
        # her married name, and a second first name that one source leaves out
        (account("Petit", "Julie Anne", born="1985-08-08", usage="Martin"), True, None, True),
        (account("Martin", "Julie", born="1985-08-08"), None, None, False),
        (account("Petit", "Julie"), None, None, True),
        (account("Petit", "Julie", born="1985-12-12", numen="20E9567890XYZ", keys=K2), None, None, True),
    ],
    ids=["herself", "namesake", "accents", "married", "another name", "nothing known", "another key"],
)
def test_two_accounts_are_compared_as_far_as_their_digests_allow(
    other: Account, birth: bool | None, numen: bool | None, name: bool
) -> None:
    expected = {BIRTH_DATE: birth, NUMEN_WORD: numen, NAME: name}
    assert accounts_compared(JULIE, other) == accounts_compared(other, JULIE) == expected


def test_twins_whose_first_names_begin_alike_differ_in_name() -> None:
    twins = [account("Petit", given, born="1985-08-08") for given in ("Jean-Pierre", "Jean-Paul")]
    assert accounts_compared(*twins) == {BIRTH_DATE: True, NUMEN_WORD: None, NAME: False}
