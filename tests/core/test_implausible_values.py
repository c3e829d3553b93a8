"""Values that are no names are told from names, and private addresses from those that only look private."""

import json
from pathlib import Path

import pytest

from piactl.core.naming.implausible_values import internal_address, names_problem, no_name
from piactl.core.naming.names import plain_letters

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "names.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
NO_NAMES = {
    "name-placeholder": [
        "à compléter", "A COMPLETER", "À pourvoir", "a nommer", "poste vacant", "POSTE VACANT",
        "Poste-vacant",
        "support vacant", "BMP libre", "vacataire", "VACATAIRES", "Remplaçante",
        "contractuel", "TEST", "test", "Tests", "N.C.", "n.c", "N C", "n/c", "NR", "compte test", "zzz",
        "Vide",
        "non communiqué", "nom de famille", "en attente", "Suspendu",
    ],
    "name-honorific": ["M. Bréhat", "M.Bréhat", "m. bréhat", "Mme.Bréhat", "Mgr. Bréhat", "Pr. Bréhat"],
    "name-status": [
        "Bréhat - congé", "Bréhat congé", "BREHAT CONGE MALADIE", "Bréhat (congé)", "Bréhat, suspendue",
        "Bréhat suspendu", "Bréhat – suspendu", "Bréhat en retraite", "Bréhat retraitée", "Bréhat: détachée",
        "Bréhat / en disponibilité", "Bréhat CLD", "Bréhat décédé", "suspendu Bréhat", "Retraité Bréhat",
        "TEST Bréhat", "Bréhat TEST", "Bréhat vacataire", "de Bréhat absente", "Bréhat -congé", "Bréhat Mme",
    ],
}  # fmt: skip
NAMES = [
    "Testard", "Test-Martin", "Teste", "Contest", "Congé", "CONGE", "Conge Martin", "Petit-Congé", "de Congé",
    "Le Congé", "Vacant", "Le Vacant", "Retraite", "La Retraite", "Poste", "Laposte", "Dupont - Martin",
    "Bréhat", "M'Baye", "M Baye", "M.-A.", "M.A.", "J.-P.", "St. Clair", "Ng", "Na", "Y", "Valmont III",
    "Mme",
    "Absent", "Maladie", "Enault", "En", "Parti", "Personne", "Toto", "Compte", "Vacher", "Radier", "Titulet",
    "Encours", "Encongé", "A Marca", "L'Arrêt", "Dispot", "Sortant", "Mutez", "Lemme",
]  # fmt: skip


@pytest.mark.parametrize(("code", "text"), [(code, text) for code in NO_NAMES for text in NO_NAMES[code]])
@pytest.mark.parametrize("part", ["nom_famille", "nom_usage", "prenom"])
def test_what_is_no_name_or_more_than_the_name_is_told(part: str, code: str, text: str) -> None:
    fault = no_name(part, text)
    assert fault is not None
    assert (fault.code, fault.part) == (code, part)
    assert str(fault).startswith(f"{part} {text!r} ")
    assert "; HR: " in str(fault)
    assert "administrator: or, if somebody is called so, add it to `real_names`" in str(fault), (
        "a real name needs a remedy"
    )
    assert names_problem({part: text}, {plain_letters(text)}) is None, "and this is one"


@pytest.mark.parametrize("text", NAMES)
def test_real_names_are_names(text: str) -> None:
    assert no_name("nom_famille", text) is None


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_every_name_that_gives_an_address_is_a_name(case: dict[str, str]) -> None:
    names = {part: case[part] for part in ("prenom", "nom_usage", "nom_famille")}
    assert (case["address"] is None) or names_problem(names, ()) is None


def test_a_numen_in_a_name_is_not_shown() -> None:
    assert no_name("nom_famille", "TEST 01E9501234ABC") is None


@pytest.mark.parametrize(
    "host",
    [
        "mail.ac-amiens.fr", "a.b.AC-Amiens.fr", "ac-amien.fr", "ac-amiiens.fr", "ac-amines.fr",
        "acamiens.fr",
        "ac_amiens.fr", "ac-amiens.com", "ac-amiens.fr.example.org", "www.ac-amiens.fr.example.org",
        "ac-arniens.fr",
        "\u0430c-amiens.fr", "ac-amièns.fr", "xc-amiens.fr", "ac-amiens.f", "etu.ac-amiens.org",
        "ac-am1ens.fr",
    ],
)  # fmt: skip
def test_an_address_that_only_looks_private_is_told(host: str) -> None:
    fault = internal_address(f"claire@{host}", "ac-amiens.fr")
    assert host.casefold() in fault
    assert "subdomain" in fault if host.casefold().endswith(".ac-amiens.fr") else "looks like" in fault


@pytest.mark.parametrize(
    "host",
    [
        "ac-amiens.fr", "example.org", "ac-reims.fr", "ac-rennes.fr", "ac-lille.fr", "ac-orleans-tours.fr",
        "amiens.fr", "ville-amiens.fr", "u-picardie.fr", "académie.example.org", "gmail.com",
    ],
)  # fmt: skip
def test_other_addresses_are_private(host: str) -> None:
    assert internal_address(f"claire@{host}", "ac-amiens.fr") == ""
    assert internal_address("", "ac-amiens.fr") == ""


def test_a_short_domain_has_no_neighbours() -> None:
    assert internal_address("a@b.fr", "a.fr") == ""
    assert internal_address("a@x.a.fr", "a.fr")
