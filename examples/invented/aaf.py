"""The AAF set of a night: the same people as in its CSV file, as the annuaire would have them.

Each person has a number of their own, without dates, NUMEN or leave, at the establishments of the 2nd degré.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape
from zlib import crc32

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">
<ficAlimMENESR>
<!-- codeAcademieExport : 020 -->
<!-- degre : 2D -->
"""
Row = dict[str, str]


def jointure(key: str) -> str:
    """The number of a person or a structure, by their matricule or UAI."""
    return str(1_000_000 + crc32(key.encode()) % 900_000_000)


def write_aaf(feed: Path, folder: Path, day: date, register: Path) -> Path:
    """Writes the set of a night's CSV file into a folder of its own."""
    stem = f"ENT2DVA_Complet_{day:%Y%m%d}"
    target = folder / stem
    target.mkdir(parents=True, exist_ok=True)
    with register.open(encoding="utf-8", newline="") as file:
        places = [row for row in csv.DictReader(file, delimiter=";") if row["degre"] == "2D"]
    with (target / f"{stem}_EtabEducNat_0000.xml").open("w", encoding="utf-8", newline="\n") as out:
        out.write(HEAD)
        for place in places:
            number = jointure(place["uai"])
            attributes = {
                "ENTStructureJointure": [number],
                "ENTStructureUAI": [place["uai"]],
                "ENTStructureNomCourant": [place["nom"]],
                "ENTEtablissementContrat": [place["secteur"]],
            }
            _request(out, "Structure", "EtabEducNat", number, attributes)
        out.write("</ficAlimMENESR>\n")
    known = {place["uai"] for place in places}
    with (target / f"{stem}_PersEducNat_0000.xml").open("w", encoding="utf-8", newline="\n") as out:
        out.write(HEAD)
        for rows in _people(feed):
            _person(out, rows, day, known)
        out.write("</ficAlimMENESR>\n")
    return target


def _people(feed: Path) -> Iterator[list[Row]]:
    """The rows of each person."""
    with feed.open(encoding="utf-8", newline="") as file:
        rows = (row for row in csv.DictReader(file, delimiter=";") if row["matricule"] != "#FIN")
        for _, found in groupby(rows, itemgetter("matricule")):
            yield list(found)


def _person(out: TextIO, rows: list[Row], day: date, known: set[str]) -> None:
    """A request for a person with a post on the day at a structure of the set."""
    posts = [row for row in rows if row["uai"] in known and _runs(row, day)]
    if not posts:
        return
    home = next((row for row in posts if row["modalite"] == "principale"), posts[0])
    number, first = jointure(home["matricule"]), rows[0]
    attributes = {
        "ENTPersonJointure": [number],
        "sn": [first["nom_usage"] or first["nom_famille"]],
        "ENTPersonNomPatro": [first["nom_famille"]],
        "givenName": [first["prenom"]],
        "personalTitle": [first["civilite"]],
        "ENTPersonDateNaissance": [first["date_naissance"]],
        "ENTPersonStructRattach": [jointure(home["uai"])],
        "ENTPersonFonctions": [
            f"{jointure(row['uai'])}${row['fonction']}$LIBELLE${row['discipline']}$LIBELLE" for row in posts
        ],
    }
    _request(out, "Personne", "PersEducNat", number, attributes)


def _runs(row: Row, day: date) -> bool:
    start, end = _day(row["debut"]), _day(row["fin"])
    return start is not None and start <= day and (end is None or end >= day)


def _day(text: str) -> date | None:
    return date(*map(int, reversed(text.split("/")))) if text else None


def _request(out: TextIO, what: str, category: str, number: str, attributes: dict[str, list[str]]) -> None:
    out.write(
        f'  <addRequest>\n    <operationalAttributes>\n      <attr name="categorie{what}">\n'
        f"        <value>{category}</value>\n      </attr>\n    </operationalAttributes>\n"
        f"    <identifier>\n      <id>{number}</id>\n    </identifier>\n    <attributes>\n"
    )
    for name, values in attributes.items():
        out.write(f'      <attr name="{name}">\n')
        out.writelines(f"        <value>{escape(value)}</value>\n" for value in values)
        out.write("      </attr>\n")
    out.write("    </attributes>\n  </addRequest>\n")
