"""Finding an account by what somebody says on the telephone."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import row

DAY = "2026-09-05"


@pytest.fixture
def staff(academy: Academy) -> Academy:
    people = [("Claire", "Dubreuil"), ("Zoé", "Verdelot"), ("Jean-Luc", "d'Orsay"), ("Inès", "Le Goff")]
    rows = [
        row(matricule=str(1001 + n), prenom=first, nom_famille=family, date_naissance=f"198{n}-03-04")
        for n, (first, family) in enumerate(people)
    ]
    academy.night(DAY, academy.feed(*rows, day=DAY))
    return academy


@pytest.mark.parametrize(
    ("words", "uid"),
    [
        (["verdelot"], "zoe.verdelot"),
        (["ZOE", "Verd"], "zoe.verdelot"),
        (["verdelot zoé"], "zoe.verdelot"),
        (["dorsay"], "jean-luc.dorsay"),
        (["d'orsay"], "jean-luc.dorsay"),
        (["le", "goff"], "ines.le-goff"),
        (["claire.dubreuil"], "claire.dubreuil"),
    ],
)
def test_by_name(staff: Academy, words: list[str], uid: str) -> None:
    ran = staff.run("account", "find", *words, "--as-of", DAY, "-o", "json")
    assert (ran.code, ran.err) == (0, "")
    assert [one["uid"] for one in ran.json] == [uid]


@pytest.mark.parametrize(("word", "uid"), [("verdlot", "zoe.verdelot"), ("dubreuill", "claire.dubreuil")])
def test_with_a_typing_error_the_nearest_are_listed(staff: Academy, word: str, uid: str) -> None:
    ran = staff.run("account", "find", word, "--as-of", DAY, "-o", "json")
    assert ran.code == 0
    assert "nobody has this name; the nearest" in ran.err
    assert [one["uid"] for one in ran.json] == [uid]


@pytest.mark.parametrize("word", ["wlodarczyk", "...", "*"])
def test_nobody(staff: Academy, word: str) -> None:
    ran = staff.run("account", "find", word, "--as-of", DAY)
    assert ran.code == 9
    assert "nobody has this name" in ran.err


@pytest.mark.parametrize("name", ["claire.dubruil", "clair.dubreuil@ac-amiens.fr"])
def test_did_you_mean(staff: Academy, name: str) -> None:
    ran = staff.run("account", "show", name)
    assert ran.code == 9
    assert "did you mean claire.dubreuil?" in ran.err
    assert "did you mean" not in staff.run("account", "show", "nobody.atall").err
