"""Passwords that are good, and everything that is wrong with bad ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piactl.core.credentials.passwords import Owner, password_problems

CLAIRE = Owner(
    (
        ("claire.dubreuil", "the identifier"),
        ("Claire", "a name of its owner"),
        ("Dubreuil", "a name of its owner"),
        ("Lê", "a name of its owner"),
        ("élodie", "a name of its owner"),
        ("1001234", "the matricule"),
    )
)

GOOD = (
    "quatre chats gris et lents",
    "Lampadaire-41-oranger",
    "correct horse battery staple",
    "vélo ânesse forêt hibou",
    "k7Vq2mZr9xTb",
    "Le 14 juin 1987 il pleuvait",
    "alambic/gouttière/oranger",
)

BAD = {
    "court": ["5 characters; 12"],
    "": ["0 characters; 12", "different characters"],
    "aaaaaaaaaaaaaaaa": ["different characters"],
    "abababababab": ["different characters"],
    "motdepasse2026!": ["little is left"],
    "MotDePasse123456": ["little is left"],
    "azertyuiop123": ["little is left"],
    "Azerty12345678": ["little is left"],
    "Bonjour2026!!!": ["little is left"],
    "abcdefghijklmnop": ["little is left"],
    "Soleil-Amiens-80": ["little is left"],
    "claire.dubreuil!": ["the identifier", "a name of its owner"],
    "vive DUBREUIL et moi": ["a name of its owner"],
    "le chat d'Elodie dort": ["a name of its owner"],
    "cheval 1001234 rouge": ["the matricule"],
    "01E9501234ABC": ["a NUMEN", "little is left"],
    "mon 01e95 01234 abc": ["a NUMEN"],
    "01E95A1234ABC": ["a NUMEN", "little is left"],
    "cheval 14/06/1987 x": ["a date"],
    "cheval14061987x": ["a date"],
    "x1987-06-14 cheval": ["a date"],
    " cheval orange lent": ["a blank"],
    "cheval\torange lent": ["a control character"],
}


@pytest.mark.parametrize("password", GOOD)
def test_a_good_password_has_no_problems(password: str) -> None:
    assert password_problems(password, 12, CLAIRE) == []


@pytest.mark.parametrize("password", BAD)
def test_all_that_is_wrong_is_reported_at_once(password: str) -> None:
    problems = password_problems(password, 12, CLAIRE)
    assert len(problems) == len(BAD[password]), problems
    for text in BAD[password]:
        assert any(text in problem for problem in problems), problems


def test_a_longer_minimum_refuses_what_a_shorter_one_accepts() -> None:
    assert password_problems("Vache-41-pré-x", 14) == []
    assert password_problems("Vache-41-pré-x", 16) != []


@given(st.text(max_size=40), st.integers(8, 20))
def test_the_message_about_the_length_depends_on_the_length_alone(password: str, minimum: int) -> None:
    """No message repeats a part of the password; the one about its length depends on the length alone."""
    sentences = password_problems(password, minimum, CLAIRE)
    same = password_problems("\x00" * len(password), minimum, CLAIRE)
    assert len(sentences) == len(set(sentences))
    assert {s for s in sentences if "characters;" in s} == {s for s in same if "characters;" in s}
    assert len(password) >= minimum or sentences
