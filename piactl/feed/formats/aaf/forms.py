"""The forms of AAF: which attribute has what. A further form is an entry here and a line in `formats`."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from piactl.dataclass import dataclass


@dataclass(frozen=True)
class Form:
    """The names of attributes. `director` names where the person heads a school, "" if functions say it.

    `declares`: the set states its perimeter in a file InfosEducNat.
    """

    key: str
    usage: str
    birth_name: str
    given: str
    civilite: str
    birth: str
    home: str
    functions: str
    structure: str
    uais: tuple[str, ...]
    director: str = ""
    declares: bool = False

    @cached_property
    def singles(self) -> tuple[str, ...]:
        """The attributes of a person with one value, in the order of a record."""
        own = (self.key, self.usage, self.birth_name, self.given)
        return (*own, self.civilite, self.birth, self.home, self.director)

    @property
    def of_person(self) -> frozenset[str]:
        return frozenset({*self.singles, self.functions} - {""})

    @property
    def of_structure(self) -> frozenset[str]:
        return frozenset({self.structure, *self.uais})


SECOND_DEGREE = Form(
    key="ENTPersonJointure",
    usage="sn",
    birth_name="ENTPersonNomPatro",
    given="givenName",
    civilite="personalTitle",
    birth="ENTPersonDateNaissance",
    home="ENTPersonStructRattach",
    functions="ENTPersonFonctions",
    structure="ENTStructureJointure",
    uais=("ENTStructureUAI", "ENTEtablissementUAI"),
)
FIRST_DEGREE = replace(
    SECOND_DEGREE,
    usage="ENTPersonNom",
    given="ENTPersonPrenom",
    civilite="ENTPersonCivilite",
    director="ENTEnsFonctionDir",
)
GPEI = Form(
    key="GPEIPersonJointure",
    usage="GPEIPersonNom",
    birth_name="",
    given="GPEIPersonPrenom",
    civilite="GPEIPersonCivilite",
    birth="GPEIPersonDateNaissance",
    home="GPEIPersonStructRattach",
    functions="GPEIPersonFonctions",
    structure="GPEIStructureJointure",
    uais=("GPEIStructureUAI",),
    declares=True,
)
