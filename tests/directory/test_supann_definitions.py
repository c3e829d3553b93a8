"""piactl's part of SUPANN is as SUPANN 2021 defines it, in both forms: a value that is valid here is also
valid at a site that loads the whole schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SCHEMAS = Path(__file__).parents[2] / "schemas" / "ldap"
TEXT, IA5, TIME, PRINTABLE = (f"1.3.6.1.4.1.1466.115.121.1.{number}" for number in (15, 26, 24, 44))
DEFINED = {
    "supannCivilite": (4, "caseIgnoreMatch", PRINTABLE, True),
    "supannCodeEntite": (6, "caseIgnoreIA5Match", IA5, True),
    "supannCodeEntiteParent": (7, "caseIgnoreIA5Match", IA5, False),
    "supannEntiteAffectation": (8, "caseIgnoreIA5Match", IA5, False),
    "supannEmpId": (11, "caseExactMatch", TEXT, False),
    "supannEntiteAffectationPrincipale": (13, "caseIgnoreIA5Match", IA5, True),
    "supannEtablissement": (14, "caseIgnoreMatch", TEXT, False),
    "supannTypeEntite": (16, "caseIgnoreMatch", TEXT, False),
    "supannEmpCorps": (35, "caseIgnoreMatch", TEXT, False),
    "supannNomDeNaissance": (38, "caseIgnoreMatch", TEXT, True),
    "supannRessourceEtatDate": (54, "caseIgnoreMatch", TEXT, False),
    "supannRessourceEtat": (55, "caseIgnoreMatch", TEXT, False),
    "supannEmpDateFin": (59, "generalizedTimeMatch", TIME, False),
    "supannMailPrive": (65, "caseIgnoreMatch", TEXT, False),
}
"""The number of the OID below supannAttribute, equality, syntax, and whether it is single-valued."""


@pytest.mark.parametrize("file", ["supann.schema", "supann.ldif"])
def test_attributes_are_as_supann_2021_defines_them(file: str) -> None:
    text = (SCHEMAS / file).read_text(encoding="utf-8")
    definitions = {}
    for number, name, rest in re.findall(r"\( supannAttribute:(\d+) NAME '(\w+)'(.*?) \)\n", text, re.DOTALL):
        [equality], [syntax] = (re.findall(rf"{word} (\S+)", rest) for word in ("EQUALITY", "SYNTAX"))
        definitions[name] = (int(number), equality, syntax, "SINGLE-VALUE" in rest)
    assert definitions == DEFINED
