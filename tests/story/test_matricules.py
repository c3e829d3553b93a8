"""One person whom HR calls by several matricules, and two whom sources call by the same digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

DAYS = [f"2026-09-{day:02}" for day in range(5, 28)]
CLAIRE, LUC = "claire.dubreuil", "luc.vasseur"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy")
WHY = ("--reason", "dit par la DRH", "--yes")


@pytest.fixture
def two(academy: Academy) -> Academy:
    """An academy with EPP, and AAF, which numbers people in its own way."""
    academy.sources(epp="kind: full", aaf="kind: full, namespace: aaf")
    academy.allow_up_to(9, "update", "deactivate", "grant", "revoke", "create", "rename", "identity")
    return academy


def epp(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*rows, IDA, day=day, source="epp")


def aaf(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*rows, IDA.replace("1999", "77").replace("Roy", "Quint"), day=day, source="aaf")


def luc(**values: str) -> str:
    named = {"prenom": "Luc", "nom_famille": "Vasseur", "date_naissance": "1980-02-01", "debut": "2026-09-01"}
    return row(**{"matricule": "1001", "uai": MICHELIS, **named, **values})


def test_the_same_digits_of_two_namespaces_are_two_people(two: Academy) -> None:
    claire = row(date_naissance="1979-05-03")
    two.night(DAYS[0], epp(two, DAYS[0], claire), aaf(two, DAYS[0], luc()))
    assert {"1001": CLAIRE, "aaf:1001": LUC}.items() <= two.names().items()
    assert two.show("aaf:1001", DAYS[0])["uid"] == LUC
    assert two.show("hr:1001", DAYS[0])["uid"] == CLAIRE
    both = two.run("account", "show", "1001")
    assert (both.code, "NAMESPACE:MATRICULE" in both.err) == (1, True)
    assert two.show("77", DAYS[0])["matricules"] == ["aaf:77"]
    two.quiet_night(DAYS[1], epp(two, DAYS[1], claire), aaf(two, DAYS[1], luc()))
    # the feed of one source does not end the posts of the other, whose matricule it lacks
    for day in DAYS[2:6]:
        two.quiet_night(day, epp(two, day, claire))


def test_hr_gave_another_matricule(two: Academy) -> None:
    two.night(DAYS[0], epp(two, DAYS[0], luc()))
    refused = two.run("account", "rekey", LUC, "--from", "1001", "--to", "1999", *WHY)
    assert (refused.code, "that of the account ida.roy" in refused.err) == (1, True)
    refused = two.run("account", "rekey", LUC, "--from", "1002", "--to", "1003", *WHY)
    assert (refused.code, "it has 1001" in refused.err) == (1, True)
    assert two.run("account", "rekey", LUC, "--from", "1001", "--to", "a b", *WHY).code == 2
    done = two.run("account", "rekey", LUC, "--from", "1001", "--to", "2001", *WHY, "--as-of", DAYS[0])
    assert done.code == 0, done.err
    again = two.run("account", "rekey", LUC, "--from", "1001", "--to", "2001", *WHY, "--as-of", DAYS[0])
    assert "unchanged" in again.out
    two.twice(DAYS[1], epp(two, DAYS[1], luc(matricule="2001")))
    assert two.names()["2001"] == LUC
    assert two.run("account", "show", "1001").code == 9
    undone = two.run("undo", "last", "--yes", "--reason", "erreur", "--as-of", DAYS[1])
    assert undone.code == 0, undone.err
    assert two.show("1001", DAYS[1])["matricules"] == ["1001"]
