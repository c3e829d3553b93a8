"""Names, homonyms and addresses, through the command."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

MARTINS = (
    row(matricule="3003", prenom="Marie", nom_famille="Martin", debut="2026-09-01"),
    row(matricule="3001", prenom="Marie", nom_famille="MARTIN", debut="2026-09-01"),
    row(matricule="3002", prenom="Marie", nom_famille="Martin", debut="2025-09-01"),
    row(matricule="3002", prenom="Marie", nom_famille="Martin", debut="2026-09-01", uai=MICHELIS),
    row(matricule="3010", prenom="Chloé", nom_famille="d'Orsay", debut="2026-09-01"),
    row(matricule="3011", prenom="Chloé", nom_famille="Dorsay", debut="2026-09-02"),
    row(matricule="3020", prenom="Gabriel", nom_famille="Faure"),
    row(matricule="3021", prenom="Gabriel", nom_famille="Faurel"),
)
NAMED = {
    "3002": "marie.martin",
    "3001": "marie.martin1",
    "3003": "marie.martin2",
    "3010": "chloe.dorsay",
    "3011": "chloe.dorsay1",
    "3020": "gabriel.faure",
    "3021": "gabriel.faurel",
}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))])
def test_homonyms_are_numbered_by_start_and_matricule_in_any_order(academy: Academy, seed: int) -> None:
    rows = list(MARTINS)
    Random(seed).shuffle(rows)
    academy.twice("2026-09-05", academy.feed(*rows))
    assert academy.names() == NAMED
    for uid in NAMED.values():
        assert academy.values(uid, "mail") == [f"{uid}@ac-amiens.fr"]
        assert {uid, f"{uid}@ac-amiens.fr"} == set(academy.values(uid, "piactlIdentifier"))


def test_marriage_and_return_to_the_old_name(academy: Academy) -> None:
    def julie(**values: str) -> str:
        return row(matricule="3100", prenom="Julie", nom_famille="Petit", **values)

    academy.night("2026-09-05", academy.feed(julie()))
    academy.twice("2026-09-06", academy.feed(julie(nom_usage="Bernard"), day="2026-09-06"))
    assert academy.names() == {"3100": "julie.petit"}
    assert academy.values("julie.petit", "mail") == ["julie.bernard@ac-amiens.fr"]
    assert academy.values("julie.petit", "piactlAlias") == ["julie.petit@ac-amiens.fr"]

    # neither another Julie Petit nor another Julie Bernard gets the address or the alias
    others = (
        row(matricule="3101", prenom="Julie", nom_famille="Petit"),
        row(matricule="3102", prenom="Julie", nom_famille="Bernard"),
    )
    academy.twice("2026-09-07", academy.feed(julie(nom_usage="Bernard"), *others, day="2026-09-07"))
    assert academy.names() == {"3100": "julie.petit", "3101": "julie.petit1", "3102": "julie.bernard1"}

    academy.twice("2026-09-08", academy.feed(julie(), *others, day="2026-09-08"))
    assert academy.values("julie.petit", "mail") == ["julie.petit@ac-amiens.fr"]
    assert academy.values("julie.petit", "piactlAlias") == ["julie.bernard@ac-amiens.fr"]
    account = academy.run("account", "show", "julie.bernard@ac-amiens.fr", "-o", "json").json
    assert account["uid"] == "julie.petit"


@pytest.mark.parametrize("due_only", [False, True])
def test_unmanaged_entries_keep_their_names_and_are_never_changed(
    make_academy: Callable[..., Academy], due_only: bool
) -> None:
    """Their uids and addresses are taken, wherever the entries are; also when a waiting person is due."""
    academy = make_academy()
    academy.sandbox.add(
        f"uid=marie.martin,{academy.sandbox.accounts}",
        {"objectClass": ["inetOrgPerson"], "cn": "Secrétariat", "sn": "Secrétariat"},
    )
    academy.sandbox.add(
        "cn=liste,ou=ac-amiens,ou=education,o=gouv,c=fr",
        {
            "objectClass": ["inetOrgPerson"],
            "cn": "liste",
            "sn": "liste",
            "mail": ["Marie.Martin1@AC-Amiens.fr", "marie.martin2@ac-amiens.fr"],
        },
    )
    before = academy.sandbox.entries("ou=ac-amiens,ou=education,o=gouv,c=fr", "(sn=*)")
    assert len(before) == 2
    feed = academy.feed(row(prenom="Marie", nom_famille="Martin", debut="2026-10-20"))
    academy.night("2026-09-05", feed)
    assert academy.names() == {}
    academy.night("2026-10-05", *([] if due_only else [feed]))
    assert academy.names() == {"1001": "marie.martin3"}
    academy.night(
        "2027-12-01",
        academy.feed(
            row(prenom="Marie", nom_famille="Martin", debut="2026-10-20", fin="2027-01-31"), day="2027-12-01"
        ),
    )
    academy.night("2027-12-02")
    after = academy.sandbox.entries("ou=ac-amiens,ou=education,o=gouv,c=fr", "(sn=*)")
    for dn, entry in before.items():
        assert after[dn] == entry
    assert academy.values("marie.martin3", "piactlState") == ["archived"]
