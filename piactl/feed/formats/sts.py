"""STS-Web: the teachers of one establishment in one school year, as its head and the rectorat have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import IO

from lxml import etree

from piactl.core.model.person import qualified
from piactl.core.model.settings import SourceSettings
from piactl.feed.formats.canonical_rows import RowWriter, file_order
from piactl.feed.formats.safe_xml import SafeEvents, checked_root, line_of, text_of, xml_refused
from piactl.feed.formats.set_files import SetFiles
from piactl.feed.value_checks import DOUBLED_IN_FILE
from piactl.phrase import Phrase

ROOT, _PERSON = "STS_EDT", "INDIVIDU"
_NAME = re.compile(r"sts_emp_(?P<uai>[0-9]{7}[A-Z])_(?P<year>[0-9]{4})", re.IGNORECASE)
_CIVILITIES = {"1": "M.", "2": "Mme", "3": "Mlle"}
_COLUMNS = {
    "nom_usage": "NOM_USAGE",
    "nom_famille": "NOM_PATRONYMIQUE",
    "prenom": "PRENOM",
    "date_naissance": "DATE_NAISSANCE",
    "fonction": "FONCTION",
    "civilite": "CIVILITE",
}
"""Our column -> the element of a person."""


@dataclass(slots=True)
class _Facts:
    """What a file states about itself."""

    uai: str = ""
    year: str = ""
    dates: dict[str, str] = field(default_factory=dict)


def write_sts(files: SetFiles, source: SourceSettings, writer: RowWriter) -> None:
    """Writes the people of one establishment as rows that begin and end with the school year. Raises
    FeedRefused if it is not a single file of one establishment and one year, or not safe to read."""
    names = [name for name in files.files if name.casefold().endswith(".xml")]
    if len(names) != 1:
        detail = Phrase("it has {number} files .xml; a set of STS is one", number=len(names))
        raise files.refuse("mixed-sets", detail)
    (name,) = names
    named = _NAME.search(name) or _NAME.search(files.path.name)
    if named is None:
        raise files.refuse("bad-name")
    uai, year = named["uai"].upper(), int(named["year"])
    writer.kind = f"sts_emp_{uai}_{year}"
    rest = (match.string[match.end() :] for match in map(_NAME.search, (name, files.path.name)) if match)
    writer.day = next(filter(None, (file_order(text, source.date_pattern)[0] for text in rest)), None)
    facts, local, seen = _Facts(), set[str](), dict[str, int]()
    with xml_refused(files, name), files.opened(name) as stream:
        for person in _people(stream, facts):
            row, is_local = _row(person, uai)
            if row is None:
                writer.pass_over(Phrase("people without a function"), Phrase("no post"))
                continue
            if seen.setdefault(row[0], hash(row)) != hash(row):
                row = (*row[:6], f"{DOUBLED_IN_FILE} {row[0]}", *row[7:])
            if is_local:
                local.add(qualified(source.namespace, row[0]))
            writer.posts[row[7]] += 1
            writer.at[uai] += 1
            first, last = (facts.dates.get(tag, "") for tag in ("DATE_DEBUT", "DATE_FIN"))
            dates = (first or date(year, 9, 1).isoformat(), last or date(year + 1, 8, 31).isoformat())
            writer.write((*row, *dates), name, line_of(person))
    for stated, expected in ((facts.uai.upper(), uai), (facts.year, str(year))):
        if stated and stated != expected:
            detail = Phrase(
                "{name}: the file is of {stated}, its name says {expected}",
                name=name,
                stated=stated,
                expected=expected,
            )
            raise files.refuse("wrong-perimeter", detail)
    writer.uais, writer.local = frozenset({uai}), frozenset(local)


def _people(stream: IO[bytes], facts: _Facts) -> Iterator[etree._Element]:
    """The people of a file; each is freed when the next is requested. `facts` gets what the file states about
    itself before them."""
    root, inside = None, False
    events = SafeEvents(stream, ("start", "end"), None)
    for event, element in events:
        tag = element.tag
        if root is None:
            root = checked_root(element, ROOT)
        if event == "start":
            inside = inside or tag == _PERSON
            if tag == "UAJ":
                facts.uai = element.get("CODE", "").strip()
            elif tag == "ANNEE_SCOLAIRE":
                facts.year = element.get("ANNEE", "").strip()
            continue
        if tag in ("DATE_DEBUT", "DATE_FIN"):
            parent = element.getparent()
            if parent is not None and parent.tag == "ANNEE_SCOLAIRE":
                facts.dates[str(tag)] = text_of(element)
        if tag == _PERSON:
            inside, parent = False, element.getparent()
            if parent is not None and parent.tag == "INDIVIDUS":
                yield element
        if not inside and element is not root:
            events.free(element)


def _row(person: etree._Element, uai: str) -> tuple[tuple[str, ...] | None, bool]:
    """The row of a person without its dates, None without a function; and whether the head made them."""
    texts = {str(child.tag): text_of(child) for child in person if child.tag in _COLUMNS.values()}
    value = {column: texts.get(tag, "") for column, tag in _COLUMNS.items()}
    key = person.get("ID", "").strip()
    disciplines = (discipline.get("CODE", "") for discipline in person.iter("DISCIPLINE"))
    is_local = person.get("TYPE", "").strip().casefold() == "local"
    if not value["fonction"]:
        return None, is_local
    return (
        key,
        _CIVILITIES.get(value["civilite"], ""),
        value["nom_usage"] if value["nom_famille"] else "",
        value["nom_famille"] or value["nom_usage"],
        value["prenom"],
        value["date_naissance"],
        uai,
        value["fonction"],
        next(disciplines, "").strip(),
        "",
    ), is_local
