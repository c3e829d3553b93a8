"""Names become addresses by the rule, or are refused; homonyms get digits in order."""

import json
from pathlib import Path

import pytest

from piactl.core.naming.names import (
    AS_WRITTEN,
    NOM,
    PROPER,
    TakenNames,
    UnusableName,
    has_base,
    initial_uid,
    local_part,
    shown_name,
)

FILE = Path(__file__).parent.parent / "cases" / "names.jsonl"
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_each_name_gives_its_address_or_is_refused(case: dict[str, str]) -> None:
    if case["address"] is None:
        with pytest.raises(UnusableName):
            local_part(case["prenom"], case["nom_usage"], case["nom_famille"])
    else:
        local = local_part(case["prenom"], case["nom_usage"], case["nom_famille"])
        assert f"{local}@ac-amiens.fr" == case["address"]
        assert len(local) <= 62


@pytest.mark.parametrize(
    ("given", "family", "expected"),
    [
        ("José\u00a0", "MARÍA", "jose.maria"),
        ("JOSÉ\u00a0LUIS", "Da Silva", "jose-luis.da-silva"),
        ("Ma\u0308rta", "L\u2019Hôte", "marta.lhote"),
        ("J.-P.", "St. Clair", "j-p.st-clair"),
        ("ANDRÉ", "ÂGE", "andre.age"),
        ("Na", "Ng", "na.ng"),
        ("Paul", "Maître", "paul.maitre"),
    ],
)
def test_unusual_names_give_a_plain_local_part(given: str, family: str, expected: str) -> None:
    assert local_part(given, "", family) == expected


@pytest.mark.parametrize(
    ("given", "family", "code"),
    [
        ("", "Martin", "name-empty"),
        ("Ce", "Martin", "name-reserved"),
        ("Zoe\u202e", "Martin", "name-character"),
        ("Lé?a", "Martin", "name-damaged"),
        ("Anne", "Petit née Roux", "name-note"),
        ("Anne", "Petit/Roux", "name-character"),
        ("A" * 70, "Martin", "name-too-long"),
        ("Inconnu", "Martin", "name-placeholder"),
        ("''", "Martin", "name-empty"),
    ],
)
def test_unusable_names_are_refused_with_a_code(given: str, family: str, code: str) -> None:
    with pytest.raises(UnusableName) as caught:
        local_part(given, "", family)
    assert caught.value.code == code


def test_homonyms_take_digits_in_order() -> None:
    names = TakenNames([], 1)
    assert [names.take("marie.martin") for _ in range(3)] == [f"marie.martin{n}" for n in ("", 1, 2)]
    assert names.take("chloe.dorsay") == "chloe.dorsay"
    assert names.take("chloe.dorsay") == "chloe.dorsay1"


def test_a_prefix_of_a_taken_name_is_free_and_the_first_digit_is_a_setting() -> None:
    names = TakenNames(["gabriel.faurel", "Marie.Martin"], 2)
    assert names.take("gabriel.faure") == "gabriel.faure"
    assert names.take("marie.martin") == "marie.martin2"
    assert has_base("marie.martin12", "marie.martin")
    assert not has_base("gabriel.faurel", "gabriel.faure")


def test_a_uid_of_the_initial_form_is_one_letter_and_the_surname() -> None:
    assert initial_uid("Jean-Pierre", "", "d'Harcourt-Féron") == "jdharcourtferon"
    assert initial_uid("Julie", "Bernard", "Petit") == "jbernard"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("VINCENT", "Vincent"),
        ("JEAN-PIERRE", "Jean-Pierre"),
        ("MARIE CLAIRE", "Marie Claire"),
        ("LE GOFF", "Le Goff"),
        ("DE LA FONTAINE", "de La Fontaine"),
        ("DE LA TOUR D'AUVERGNE", "de La Tour d'Auvergne"),
        ("D\u2019ORSAY", "d\u2019Orsay"),
        ("DU BELLAY", "du Bellay"),
        ("DUPONT-DE-NEMOURS", "Dupont-de-Nemours"),
        ("L'HERMITE", "L'Hermite"),
        ("O'BRIEN", "O'Brien"),
        ("VAN DER BERGHE", "Van der Berghe"),
        ("TRAN VAN HUNG", "Tran Van Hung"),
        ("JEAN\u2013PIERRE", "Jean\u2013Pierre"),
        ("N\u00b4DIAYE", "N\u00b4Diaye"),
        ("D`ORSAY", "d`Orsay"),
        ("J.P.", "J.P."),
        ("DA SILVA", "Da Silva"),
        ("PEREIRA DA SILVA", "Pereira da Silva"),
        ("ORTEGA Y LARA", "Ortega y Lara"),
        ("LEF\u00c8VRE", "Lef\u00e8vre"),
        ("\u0152UF", "\u0152uf"),
        ("DE", "De"),
        ("E", "E"),
        ("McDonald", "McDonald"),
        ("de la Tour", "de la Tour"),
        ("martin", "martin"),
    ],
)
def test_names_in_capitals_as_people_write_them(written: str, shown: str) -> None:
    fields = ("given_name", "family_name", "usage_name")
    assert {shown_name(field, written, PROPER) for field in fields} == {shown}
    assert [shown_name(field, written, NOM) for field in fields] == [shown, *[written.upper()] * 2]
    assert {shown_name(field, written, AS_WRITTEN) for field in fields} == {written}
    assert shown_name("private_mail", written, NOM) == written
    assert local_part("Zo\u00e9", "", written) == local_part("ZOE", "", shown), "no other address"
