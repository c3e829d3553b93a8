"""The forms of AAF (which attribute holds what), and the requests of its files.

A new form is an entry here and a line in `formats`. The requests of a delta are applied to the kept records.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, NamedTuple

from lxml import etree

from piactl.feed.formats.safe_xml import SafeEvents, XmlFault, checked_root, line_of, plain, text_of
from piactl.phrase import Phrase


@dataclass(frozen=True)
class Form:
    """The names of attributes. `director` is the one that says where the person is the head of a school, ""
    if functions say it. `function_dates`, `director_dates` and `home_date` say since when, where an export
    has them.

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
    function_dates: str = ""
    director_dates: str = ""
    home_date: str = ""
    declares: bool = False

    @property
    def singles(self) -> frozenset[str]:
        """The attributes of a person with one value."""
        own = (self.key, self.usage, self.birth_name, self.given, self.civilite, self.birth, self.home)
        return frozenset({*own} - {""})

    @property
    def of_person(self) -> frozenset[str]:
        lists = (self.functions, self.director, self.function_dates, self.director_dates, self.home_date)
        return frozenset({*self.singles, *lists} - {""})

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
    function_dates="ENTPersonFonctionsDate",
    home_date="ENTPersonStructRattachDate",
)
FIRST_DEGREE = replace(
    SECOND_DEGREE,
    usage="ENTPersonNom",
    given="ENTPersonPrenom",
    civilite="ENTPersonCivilite",
    director="ENTEnsFonctionDir",
    director_dates="ENTEnsFonctionDirDate",
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


ROOT = "ficAlimMENESR"
KINDS = ("addRequest", "modifyRequest", "deleteRequest")
_FACT = re.compile(
    r"\b(versionAF|versionSDET|codeAcademieExport|degre|dateGenerationExport)\b\W{1,5}([\w./-]+)"
)


class AafRequest(NamedTuple):
    """`category` is that of the person or the structure, `values` has the requested attributes."""

    kind: str
    id: str
    category: str
    values: Mapping[str, list[str]]
    line: int


def read_requests(stream: IO[bytes], names: Collection[str], facts: dict[str, str]) -> Iterator[AafRequest]:
    """The requests of a file, with the attributes `names`; `facts` gets the facts that its comments state.

    Raises XmlFault.
    """
    root = None
    events = SafeEvents(stream, ("start", "end", "comment"), (ROOT, *KINDS, etree.Comment))
    for event, element in events:
        if root is None and event == "start":
            root = checked_root(element, ROOT)
        elif event == "comment":
            facts.update(_FACT.findall(str(element.text or "")[:1000]))
        elif event == "end" and element.tag in KINDS:
            if root is None or element.getparent() is not root:
                line, tag = element.sourceline, element.tag
                why = Phrase("line {line}: {tag} is not below {root}", line=line, tag=tag, root=ROOT)
                raise XmlFault("bad-xml", why)
            yield _request(element, names)
            events.free(element)
    if root is None:
        raise XmlFault("bad-xml", Phrase("line 1: the root is not {root}", root=ROOT))


def read_params(stream: IO[bytes]) -> dict[str, str]:
    """The values of a file of params (InfosEducNat), by name. Raises XmlFault."""
    params = {}
    for event, element in SafeEvents(stream, ("start", "end"), None):
        if event == "start" and element.getparent() is None:
            checked_root(element)
        elif event == "end" and element.tag == "param":
            text = " ".join(text_of(value) for value in element if value.tag == "value")
            params[str(element.get("name"))] = " ".join(text.split())
    return params


def _request(element: etree._Element, names: Collection[str]) -> AafRequest:
    category, identifier = "", ""
    values: dict[str, list[str]] = {}
    for part in element:
        tag = part.tag
        if tag == "operationalAttributes":
            for attr in part:
                if attr.get("name") in ("categoriePersonne", "categorieStructure"):
                    category = next((text_of(value) for value in attr if value.tag == "value"), "")
        elif tag == "identifier":
            identifier = next((text_of(value) for value in part if value.tag == "id"), "")
        elif tag in ("attributes", "modifications"):
            # most of the time of a set is spent here
            for attr in part:
                name = attr.get("name", "")
                if name in names:
                    texts = values.setdefault(name, [])
                    for value in attr:
                        if len(value):
                            text_of(value)
                        if value.tag == "value":
                            text = value.text
                            texts.append(plain(text.strip()) if text else "")
                    if tag == "modifications" and attr.get("operation", "replace") != "replace":
                        why = Phrase("line {line}: a modification is not a replace", line=attr.sourceline)
                        raise XmlFault("bad-xml", why)
    return AafRequest(str(element.tag), identifier, category, values, line_of(element))


class Record(NamedTuple):
    """A person of a set, with the place in it and the values of attributes; those without a value are left
    out."""

    id: str
    file: str
    line: int
    values: Mapping[str, list[str]]


def record_of(request: AafRequest, form: Form, file: str) -> Record:
    return Record(request.id, file, request.line, _stated(request, form))


def _stated(request: AafRequest, form: Form) -> dict[str, list[str]]:
    values = {}
    for name, texts in request.values.items():
        own = texts[:1] if name in form.singles else texts
        if name == form.functions:
            own = [text for text in texts if text]
        if any(own):
            values[name] = own
    return values


def modified(record: Record, request: AafRequest, form: Form, file: str, *, clears: bool) -> Record:
    """The person after a modification. An attribute that the request lacks is unchanged. An attribute without
    a value is cleared with `clears`, else unchanged."""
    cleared = request.values.keys() if clears else ()
    values = {name: texts for name, texts in record.values.items() if name not in cleared}
    return Record(record.id, file, request.line, {**values, **_stated(request, form)})


def after_requests(
    records: Sequence[Record], requests: Sequence[tuple[AafRequest, str]], form: Form, *, clears: bool
) -> list[Record]:
    """The records of one person after the requests for them; several differing ones if they contradict each
    other, none if the person is deleted. A modification of an unknown person makes none."""
    added = [record_of(request, form, file) for request, file in requests if request.kind == "addRequest"]
    result = list(added)
    for request, file in requests:
        if request.kind == "modifyRequest":
            result += [modified(record, request, form, file, clears=clears) for record in records or added]
    if result and any(request.kind == "deleteRequest" for request, _ in requests):
        result += records
    unique: list[Record] = []
    for record in result:
        if all((record.id, record.values) != (other.id, other.values) for other in unique):
            unique.append(record)
    return unique


def first(values: Mapping[str, Sequence[str]], name: str) -> str:
    texts = values.get(name)
    return texts[0] if texts else ""
