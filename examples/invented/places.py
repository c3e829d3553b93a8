"""Establishments: well-known public ones, then invented ones with a correct key letter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from piactl.core.model.establishment import uai_letter

HEADER = ("uai", "nom", "nature", "degre", "secteur", "commune")


@dataclass(frozen=True, slots=True)
class Place:
    """One line of the establishment register. `kind` is office, school, secondary or private."""

    uai: str
    name: str
    nature: str
    degree: str
    sector: str
    commune: str

    @property
    def kind(self) -> str:
        if not self.degree:
            return "office"
        if self.sector == "PR":
            return "private"
        return "school" if self.degree == "1D" else "secondary"

    @property
    def row(self) -> tuple[str, ...]:
        return (self.uai, self.name, self.nature, self.degree, self.sector, self.commune)


# Offices have no nature and no degree here: the real codes of rectorat, DSDEN and CIO are not known.
_OFFICES = (
    ("0809901", "Rectorat (code inventé)", "Amiens"),
    ("0809902", "DSDEN de la Somme (code inventé)", "Amiens"),
    ("0609901", "DSDEN de l'Oise (code inventé)", "Beauvais"),
    ("0029901", "DSDEN de l'Aisne (code inventé)", "Laon"),
)
_PUBLIC = (
    ("0800009", "Lycée Louis Thuillier", "300", "Amiens"),
    ("0800010", "Lycée Madeleine Michelis", "300", "Amiens"),
    ("0800002", "Collège Millevoye", "340", "Abbeville"),
    ("0801616", "Collège Guy Mareschal", "340", "Amiens"),
    ("0800019", "Lycée César Franck", "300", "Amiens"),
    ("0800881", "École Pigeonnier", "151", "Amiens"),
    ("0020048", "Lycée Henri Martin", "300", "Saint-Quentin"),
    ("0020032", "Lycée Paul Claudel", "300", "Laon"),
    ("0020059", "Lycée Gérard de Nerval", "300", "Soissons"),
    ("0020007", "Collège Henri Matisse", "340", "Bohain"),
    ("0600007", "Collège Henri Baumont", "340", "Beauvais"),
    ("0600347", "École Jean Rostand", "151", "Creil"),
    ("0600022", "Collège Gabriel Havez", "340", "Creil"),
)
_COMMUNES = (
    "Vauxcourt",
    "Saint-Orme",
    "Belleterre",
    "Hautmarais",
    "Courcelles-aux-Saules",
    "Montguet",
    "Ribevaux",
)
_AFTER = (
    "des Tilleuls",
    "du Marais",
    "des Bleuets",
    "de la Source",
    "du Moulin",
    "des Coquelicots",
    "du Beffroi",
)
_AMIENS = ("080", "060", "002")
_ELSEWHERE = tuple(f"{number:03d}" for number in range(1, 96) if number not in {2, 20, 60, 80})
_IN_AMIENS = 2400  # invented establishments in the three départements; further ones are in other départements

# One round of twenty invented establishments: label, nature, degree, sector.
_ROUND = (
    *[("École", "151", "1D", "PU")] * 4,
    ("Collège", "340", "2D", "PU"),
    *[("École maternelle", "101", "1D", "PU")] * 3,
    ("École privée", "151", "1D", "PR"),
    ("Lycée", "300", "2D", "PU"),
    *[("École", "151", "1D", "PU")] * 4,
    ("Collège privé", "340", "2D", "PR"),
    ("Collège", "340", "2D", "PU"),
    *[("École", "151", "1D", "PU")] * 3,
    ("Lycée professionnel", "320", "2D", "PU"),
)


def how_many(people: int) -> int:
    """The number of establishments for `people` people: 2,235 for 36,000, and never fewer than 40."""
    return max(40, people * 2235 // 36000)


def establishments(count: int) -> Iterator[Place]:
    """The first `count` establishments; a longer list begins with the shorter one."""
    for place in _known():
        if count <= 0:
            return
        count -= 1
        yield place
    for number in range(count):
        yield _invented(number)


def _known() -> Iterable[Place]:
    for digits, name, commune in _OFFICES:
        yield Place(digits + uai_letter(digits), name, "", "", "PU", commune)
    for digits, name, nature, commune in _PUBLIC:
        degree = "1D" if nature == "151" else "2D"
        yield Place(digits + uai_letter(digits), name, nature, degree, "PU", commune)


def _invented(number: int) -> Place:
    """An establishment whose digits end in 9903 to 9999, then 9800 to 9899 and so on: unused ranges."""
    label, nature, degree, sector = _ROUND[number % len(_ROUND)]
    if number < _IN_AMIENS:
        departement, serial = _AMIENS[number % 3], number // 3
    else:
        rest = number - _IN_AMIENS
        departement, serial = _ELSEWHERE[rest % len(_ELSEWHERE)], rest // len(_ELSEWHERE)
    serial += 3  # 9900 is left out, 9901 and 9902 are offices
    digits = f"{departement}{(99 - serial // 100) * 100 + serial % 100:04d}"
    name = f"{label} {_AFTER[number // 20 % len(_AFTER)]} {number + 1}"
    return Place(
        digits + uai_letter(digits), name, nature, degree, sector, _COMMUNES[number % len(_COMMUNES)]
    )
