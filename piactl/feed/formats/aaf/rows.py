"""AAF as rows: first the structures, then the people, one row for each function at a structure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from piactl.core.model.settings import SourceSettings
from piactl.feed.file_date import file_date
from piactl.feed.formats.aaf.requests import BadXml, CutXml, Request, UnsafeXml, read_requests
from piactl.feed.formats.rows import RowWriter, found
from piactl.feed.formats.set_files import SetFiles

_NAME = re.compile(r"(?P<set>.+)_(?P<type>[A-Za-z]+)_(?P<piece>[0-9]{4})\.xml", re.IGNORECASE)
_STRUCTURES, _PEOPLE = "EtabEducNat", "PersEducNat"
_OF_ONE = re.compile(r"(?:^|_)[0-9]{7}[A-Z](?:_|$)", re.IGNORECASE)
"""The UAI in the name of a set of one establishment."""
_STRUCTURE_NAMES = frozenset({"ENTStructureJointure", "ENTStructureUAI", "ENTEtablissementUAI"})


@dataclass(frozen=True, slots=True)
class Attributes:
    """The names of the attributes of a person in one form of AAF."""

    key: str = "ENTPersonJointure"
    usage: str = "sn"
    birth_name: str = "ENTPersonNomPatro"
    given: str = "givenName"
    civilite: str = "personalTitle"
    birth: str = "ENTPersonDateNaissance"
    home: str = "ENTPersonStructRattach"
    functions: str = "ENTPersonFonctions"

    def names(self) -> frozenset[str]:
        own = (self.key, self.usage, self.birth_name, self.given)
        return frozenset({*own, self.civilite, self.birth, self.home, self.functions})


SECOND_DEGREE = Attributes()


def write_rows(files: SetFiles, source: SourceSettings, writer: RowWriter) -> None:
    """Writes the people of a complete set as rows. Raises FeedRefused if the set is not whole, not of the
    perimeter of the source, or not safe to read."""
    _Set(files, source, writer, SECOND_DEGREE).write()


@dataclass(slots=True)
class _Set:
    files: SetFiles
    source: SourceSettings
    writer: RowWriter
    attributes: Attributes
    uais: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def write(self) -> None:
        structures, people = self._pieces()
        for name in structures:
            self._read(name, _STRUCTURE_NAMES, self._structure)
        if not self.uais:
            raise self.files.refuse("no-structures")
        if any(_OF_ONE.search(name) for name in (*people[:1], self.files.path.name)):
            self.writer.uais = frozenset(self.uais.values())
        for name in people:
            self._read(name, self.attributes.names(), self._person)

    def _pieces(self) -> tuple[list[str], list[str]]:
        """The files with structures and those with people, in order."""
        if len(self.files.files) == 1:
            (name,) = self.files.files
            self._check_set([re.sub(r"\.xml$", "", name, flags=re.IGNORECASE)])
            return [name], [name]
        found_types: dict[str, list[tuple[int, str]]] = {}
        sets = []
        for name in self.files.files:
            match = _NAME.fullmatch(name)
            if match is None:
                self.writer.passed[f"file {name}"] += 1
                continue
            sets.append(match["set"])
            found_types.setdefault(match["type"].casefold(), []).append((int(match["piece"]), name))
        for kind, pieces in sorted(found_types.items()):
            numbers = sorted(number for number, _ in pieces)
            missing = sorted({*range(numbers[-1] + 1)} - {*numbers})
            if missing:
                raise self.files.refuse("missing-piece", f"piece {missing[0]:04} of {kind} is missing")
        self._check_set(sets)
        for kind in (_STRUCTURES, _PEOPLE):
            if kind.casefold() not in found_types:
                raise self.files.refuse("missing-piece", f"the set has no file ..._{kind}_0000.xml")
        for kind in {*found_types} - {_STRUCTURES.casefold(), _PEOPLE.casefold()}:
            self.writer.passed[f"files of {kind}"] += len(found_types[kind])
        return (
            [name for _, name in sorted(found_types[_STRUCTURES.casefold()])],
            [name for _, name in sorted(found_types[_PEOPLE.casefold()])],
        )

    def _check_set(self, names: list[str]) -> None:
        if len({*names}) > 1:
            both = " and ".join(sorted({*names})[:2])
            raise self.files.refuse("mixed-sets", f"it has files of several sets: {both}")
        for name in (*names[:1], self.files.path.name):
            if re.search(r"(^|_)delta(_|$)", name, re.IGNORECASE):
                raise self.files.refuse("delta-set")
            self.writer.day = self.writer.day or file_date(name, self.source.date_pattern)

    def _read(self, name: str, names: frozenset[str], take: Callable[[Request, str], None]) -> None:
        facts: dict[str, str] = {}
        try:
            with self.files.opened(name) as stream:
                for request in read_requests(stream, names, facts):
                    take(request, name)
        except UnsafeXml as error:
            raise self.files.refuse("unsafe-xml", f"{name}: {error}") from None
        except CutXml as error:
            raise self.files.refuse("cut", f"{name}: {error}: the file was cut") from None
        except BadXml as error:
            raise self.files.refuse("bad-xml", f"{name}: {error}") from None
        self._check_facts(name, facts)

    def _check_facts(self, name: str, facts: dict[str, str]) -> None:
        """Compares what the head of a file states with the perimeter of the source."""
        for fact, setting in (("codeAcademieExport", "academie"), ("degre", "degre")):
            stated, asked = facts.get(fact, ""), self.source.perimeter.get(setting, "")
            if stated and asked and stated.lstrip("0").casefold() != asked.lstrip("0").casefold():
                detail = f"{name}: {fact} is {stated}, but the perimeter of the source says {asked}"
                raise self.files.refuse("wrong-perimeter", detail)
        if self.writer.day is None:
            self.writer.day = file_date(facts.get("dateGenerationExport", ""), self.source.date_pattern)
        if self.writer.day is None:
            raise self.files.refuse("undated")

    def _structure(self, request: Request, name: str) -> None:
        if request.category and request.category != _STRUCTURES:
            if request.category != _PEOPLE:
                self.writer.passed[f"requests of {_label(request.category)}"] += 1
            return
        self._refuse_change(request, name)
        values = request.values
        key = _first(values, "ENTStructureJointure") or request.id
        uai = (_first(values, "ENTStructureUAI") or _first(values, "ENTEtablissementUAI")).upper()
        if not uai:
            return
        if self.uais.setdefault(key, uai) != uai:
            detail = f"{name}: line {request.line}: structure {key} is {uai} and {self.uais[key]}"
            raise self.files.refuse("doubled-structure", detail)

    def _refuse_change(self, request: Request, name: str) -> None:
        if request.kind != "addRequest":
            detail = f"{name}: line {request.line}: a {request.kind} in a complete set"
            raise self.files.refuse("delta-set", detail)

    def _person(self, request: Request, name: str) -> None:
        if request.category != _PEOPLE:
            return
        self._refuse_change(request, name)
        values, names = request.values, self.attributes
        key = _first(values, names.key) or request.id
        rows = [*self._rows(key if key == request.id or not request.id else "", request)]
        if not rows:
            self.writer.passed["people without a function"] += 1
            return
        content = hash(tuple(rows))
        if self.seen.setdefault(key, content) != content:
            fault = found("person-doubled", f"the set has {key} twice, with other content")
            rows = [(*row[:6], fault, *row[7:]) for row in rows]
        for row in rows:
            self.writer.write(row, name, request.line)

    def _rows(self, key: str, request: Request) -> Iterator[tuple[str, ...]]:
        values, names = request.values, self.attributes
        usage, birth_name = _first(values, names.usage), _first(values, names.birth_name)
        person = (
            key,
            _first(values, names.civilite),
            usage if birth_name else "",
            birth_name or usage,
            _first(values, names.given),
            _first(values, names.birth),
        )
        home = _first(values, names.home)
        posts: set[tuple[str, str]] = set()
        for structure, function, discipline in self._functions(values.get(names.functions, ())):
            uai = self.uais.get(structure) or found(
                "structure-unknown", f"no structure {structure} in the set"
            )
            if (uai, function) in posts:
                # one post with several disciplines: the first counts
                self.writer.passed["further disciplines of one post"] += 1
                continue
            posts.add((uai, function))
            self.writer.posts[function] += 1
            if structure in self.uais:
                self.writer.at[uai] += 1
            yield (*person, uai, function, discipline, "principale" if structure == home else "secondaire")

    def _functions(self, texts: Iterable[str]) -> list[tuple[str, str, str]]:
        """The structures, functions and disciplines that make posts. The functions that the source drops are
        left to a person who has no other; one whom only other sources can give an account has another there.
        """
        every = []
        for text in filter(None, texts):
            structure, function, _, discipline, *_ = [*(part.strip() for part in text.split("$")), "", "", ""]
            if function:
                every.append((structure, function, discipline))
            else:
                self.writer.passed["functions without a code"] += 1
        dropped = self.source.drop_functions
        kept = [one for one in every if one[1] not in dropped]
        if not kept and self.source.creates:
            return every
        for _, function, _ in every:
            if function in dropped:
                self.writer.passed[f"functions {function}"] += 1
        return kept


def _first(values: Mapping[str, Sequence[str]], name: str) -> str:
    return (values.get(name) or ("",))[0]


def _label(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z]{1,20}", text) else "an unknown kind"
