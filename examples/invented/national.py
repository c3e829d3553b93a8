"""National feeds of a night: the people of its CSV file, in the form of AAF, GPEI or STS-Web.

Each person has their own number and the posts of the day, and neither NUMEN nor leave. AAF of the 2nd
degré, GPEI and STS have the establishments of the 2nd degré, AAF of the 1er degré has the schools.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape
from zlib import crc32

Row = dict[str, str]
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">
<ficAlimMENESR>
<!-- codeAcademieExport : 020 -->
<!-- degre : {} -->
"""
NAMES = {
    "aaf": ("ENT2DVA", "2D", "ENT", ("sn", "givenName", "personalTitle")),
    "aaf1d": ("ENT1D", "1D", "ENT", ("ENTPersonNom", "ENTPersonPrenom", "ENTPersonCivilite")),
    "gpei": ("ACA_GPEI", "2D", "GPEI", ("GPEIPersonNom", "GPEIPersonPrenom", "GPEIPersonCivilite")),
}
"""For each form: the name of its sets, its degree, the prefix of its attributes, the attributes of names."""
CIVILITIES = {"M": "1", "M.": "1", "MME": "2", "MLLE": "3"}


def jointure(key: str) -> str:
    """The number of a person or a structure, computed from the matricule or UAI."""
    return str(1_000_000 + crc32(key.encode()) % 900_000_000)


def write_set(
    form: str, feed: Path, folder: Path, day: date, register: Path, only: Collection[str] = (),
    added_rows: Sequence[Row] = (), ample: bool = False,
) -> Path:  # fmt: skip
    """Writes the set of a night's CSV file into a folder of its own: of all establishments, or `only` these.
    Each of `added_rows` adds one person. `ample`: adds attributes that piactl does not read, so that the set
    is as large as a delivered one.
    """
    name, degree, prefix, named = NAMES[form]
    stem = f"{name if len(only) != 1 else f'ENT_{next(iter(only))}'}_Complet_{day:%Y%m%d}"
    target = folder / stem
    target.mkdir(parents=True, exist_ok=True)
    places = [place for place in _places(register, degree) if not only or place["uai"] in only]

    def structures(out: TextIO) -> None:
        for place in places:
            number = jointure(place["uai"])
            attributes = {f"{prefix}StructureJointure": [number], f"{prefix}StructureUAI": [place["uai"]]}
            attributes[f"{prefix}StructureNomCourant"] = [place["nom"]]
            _request(out, "Structure", "EtabEducNat", number, attributes)

    def people(out: TextIO) -> None:
        for posts in posts_by_person(chain(_people(feed), ([row] for row in added_rows)), places, day):
            _person(out, prefix, named, posts, ample=ample)

    _file(target / f"{stem}_EtabEducNat_0000.xml", degree, structures)
    _file(target / f"{stem}_PersEducNat_0000.xml", degree, people)
    if form == "gpei":
        departments = ", ".join(sorted({place["uai"][:3] for place in places}))
        (target / f"{stem}_InfosEducNat_0000.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<InfosEducNat><param name="GPEIgeneration"><value>\n'
            f"  listeDept=[{departments}]\n  listeSecteur=[PU, PR]\n</value></param></InfosEducNat>\n",
            encoding="utf-8",
        )
    return target


def posts_by_person(people: Iterable[Sequence[Row]], places: Iterable[Row], day: date) -> Iterator[list[Row]]:
    """For each person, the rows that are posts at one of these places on the day; people without such a post
    are left out."""
    uais = {place["uai"] for place in places}
    for rows in people:
        posts = [row for row in rows if row["uai"] in uais and _runs(row, day)]
        if posts:
            yield posts


def write_same_people(feed: Path, target: Path, day: date, register: Path) -> None:
    """Writes the people of the set of the 2nd degré as CSV, with their posts in that set."""
    with target.open("w", encoding="utf-8", newline="") as out:
        writer: csv.DictWriter[str] | None = None
        for posts in posts_by_person(_people(feed), _places(register, "2D"), day):
            if writer is None:
                writer = csv.DictWriter(out, posts[0], delimiter=";")
                writer.writeheader()
            writer.writerows(posts)


def write_sts(feed: Path, folder: Path, day: date, register: Path) -> Path:
    """Writes into a folder of the day a file for each establishment, with its teachers on that day."""
    target = folder / f"{day:%Y-%m-%d}"
    target.mkdir(parents=True, exist_ok=True)
    year = day.year - (day < date(day.year, 8, 25))
    by_place: dict[str, list[Row]] = {place["uai"]: [] for place in _places(register, "2D")}
    for rows in _people(feed):
        posts = {
            row["uai"]: row
            for row in rows
            if row["uai"] in by_place and row["fonction"] in ("ENS", "DIR", "EDU") and _runs(row, day)
        }
        for uai, row in posts.items():
            by_place[uai].append(row)
    for uai, rows in by_place.items():
        if rows:
            with (target / f"sts_emp_{uai}_{year}.xml").open("w", encoding="utf-8", newline="\n") as out:
                years = f"<DATE_DEBUT>{year}-09-01</DATE_DEBUT><DATE_FIN>{year + 1}-08-31</DATE_FIN>"
                out.write(
                    '<?xml version="1.0" encoding="UTF-8"?>\n<STS_EDT>\n<PARAMETRES>\n'
                    f'<UAJ CODE="{uai}"/>\n<ANNEE_SCOLAIRE ANNEE="{year}">\n'
                    f"{years}\n</ANNEE_SCOLAIRE>\n</PARAMETRES>\n<DONNEES>\n"
                    "<INDIVIDUS>\n"
                )
                out.writelines(map(_individual, rows))
                out.write("</INDIVIDUS>\n</DONNEES>\n</STS_EDT>\n")
    return target


def _individual(row: Row) -> str:
    birth = _day(row["date_naissance"])
    values = {
        "CIVILITE": CIVILITIES.get(row["civilite"].upper(), ""),
        "NOM_USAGE": row["nom_usage"] or row["nom_famille"],
        "NOM_PATRONYMIQUE": row["nom_famille"],
        "PRENOM": row["prenom"],
        "DATE_NAISSANCE": birth.isoformat() if birth else "",
        "FONCTION": row["fonction"],
    }
    body = "".join(f"  <{name}>{escape(value)}</{name}>\n" for name, value in values.items() if value)
    discipline = escape(row["discipline"], {'"': "&quot;"})
    return (
        f'<INDIVIDU ID="{jointure(row["matricule"])}" TYPE="epp">\n{body}'
        f'  <DISCIPLINES><DISCIPLINE CODE="{discipline}"/></DISCIPLINES>\n</INDIVIDU>\n'
    )


def _places(register: Path, degree: str) -> list[Row]:
    with register.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file, delimiter=";") if row["degre"] == degree]


def _people(feed: Path) -> Iterator[list[Row]]:
    """The rows of each person, with UAIs in capitals; HR writes some in small letters."""
    with feed.open(encoding="utf-8", newline="") as file:
        rows = (
            {**row, "uai": row["uai"].upper()}
            for row in csv.DictReader(file, delimiter=";")
            if row["matricule"] != "#FIN"
        )
        for _, person_rows in groupby(rows, itemgetter("matricule")):
            yield list(person_rows)


def _person(out: TextIO, prefix: str, named: tuple[str, str, str], posts: list[Row], *, ample: bool) -> None:
    """Writes the request of a person with these posts."""
    home = next((row for row in posts if row["modalite"] == "principale"), posts[0])
    number, (usage, given, civilite) = jointure(home["matricule"]), named
    attributes = {
        f"{prefix}PersonJointure": [number],
        usage: [home["nom_usage"] or home["nom_famille"]],
        **({"ENTPersonNomPatro": [home["nom_famille"]]} if prefix == "ENT" else {}),
        given: [home["prenom"]],
        civilite: [home["civilite"]],
        f"{prefix}PersonDateNaissance": [home["date_naissance"]],
        f"{prefix}PersonStructRattach": [jointure(home["uai"])],
        f"{prefix}PersonFonctions": [
            f"{jointure(row['uai'])}${row['fonction']}$LIBELLE${row['discipline']}$LIBELLE" for row in posts
        ],
    }
    if ample:
        classes = [f"{jointure(home['uai'])}${level}EME{room}" for level in (6, 5, 4) for room in (1, 3)]
        attributes |= {
            "ENTPersonAutresPrenoms": [home["prenom"]],
            "ENTPersonMail": [f"{number}@example.org"],
            "PersEducNatPresenceDevantEleves": ["O"],
            "ENTAuxEnsCategoDiscipline": ["ENSEIGNANT SECOND DEGRE"],
            "ENTAuxEnsDisciplinesPoste": [row["discipline"] for row in posts],
            "ENTAuxEnsMatiereEnseignEtab": [f"{school_class}$MATHEMATIQUES" for school_class in classes[:2]],
            "ENTAuxEnsClasses": classes,
        }
    _request(out, "Personne", "PersEducNat", number, attributes)


def _runs(row: Row, day: date) -> bool:
    start, end = _day(row["debut"]), _day(row["fin"])
    return start is not None and start <= day and (end is None or end >= day)


def _day(text: str) -> date | None:
    return date(*map(int, reversed(text.split("/")))) if text else None


def _file(path: Path, degree: str, write: Callable[[TextIO], None]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write(HEAD.format(degree))
        write(out)
        out.write("</ficAlimMENESR>\n")


def _request(out: TextIO, subject: str, category: str, number: str, attributes: dict[str, list[str]]) -> None:
    out.write(
        f'  <addRequest>\n    <operationalAttributes>\n      <attr name="categorie{subject}">\n'
        f"        <value>{category}</value>\n      </attr>\n    </operationalAttributes>\n"
        f"    <identifier>\n      <id>{number}</id>\n    </identifier>\n    <attributes>\n"
    )
    for name, values in attributes.items():
        out.write(f'      <attr name="{name}">\n')
        out.writelines(f"        <value>{escape(value)}</value>\n" for value in values)
        out.write("      </attr>\n")
    out.write("    </attributes>\n  </addRequest>\n")
