"""AAF as rows: first the structures, then the people, one row for each function at a structure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from piactl.core.model.person import qualified
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import DeltaBasis
from piactl.errors import FeedRefused
from piactl.feed.formats.aaf.forms import (
    AafRequest,
    Form,
    Record,
    after_requests,
    read_params,
    read_requests,
    record_of,
)
from piactl.feed.formats.aaf.forms import first as first_of
from piactl.feed.formats.canonical_rows import RowWriter, file_order
from piactl.feed.formats.kept_sets import KeptSet
from piactl.feed.formats.safe_xml import xml_refused
from piactl.feed.formats.set_files import SetFiles
from piactl.feed.value_checks import DOUBLED, UNKNOWN
from piactl.phrase import Phrase

_NAME = re.compile(r"(?P<set>.+)_(?P<type>[A-Za-z]+)_(?P<piece>[0-9]{4})\.xml", re.IGNORECASE)
_STRUCTURES, _PEOPLE, _PARAMS = "EtabEducNat", "PersEducNat", "InfosEducNat"
_OF_ONE = re.compile(r"(?:^|_)[0-9]{7}[A-Z](?:_|$)", re.IGNORECASE)
"""The UAI in the name of a set of one establishment."""
_DELTA = re.compile(r"(?:^|_)delta(?=_|$)", re.IGNORECASE)
_SORT = re.compile(r"(?:^|_)(?:delta|complet)(?=_|$)", re.IGNORECASE)
_YES, _NO = frozenset({"O", "OUI", "1"}), frozenset({"", "N", "NON", "0"})
_DATES = ("%d/%m/%Y", "%Y-%m-%d", "%Y%m%d")
_EARLIEST, _AHEAD = date(1950, 1, 1), timedelta(days=366)
"""A start between this day and so many days after the set is believed."""


def write_aaf(files: SetFiles, source: SourceSettings, writer: RowWriter, form: Form) -> None:
    """Writes the people of a set as rows. Raises FeedRefused if the set is not whole, not of the perimeter of
    the source, not safe to read, or a delta without the set that it changes."""
    _Set(files, source, writer, form).write()


@dataclass(slots=True)
class _Set:
    files: SetFiles
    source: SourceSettings
    writer: RowWriter
    form: Form
    name: str = ""
    uais: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    changes: dict[str, list[tuple[AafRequest, str]]] | None = None
    """In a delta, the requests for each person."""
    staff: bool = False
    """Whether the set has a request for a person of the staff."""

    def write(self) -> None:
        structures, people, params = self._pieces()
        if self.changes is None:
            self._read_structures(structures)
            if not self.uais:
                raise self.files.refuse("no-structures")
            self._read_params(params)
            for name in people:
                self._read(name, self.form.of_person, self._person)
            if not self.staff:
                raise self.files.refuse("no-people")
            basis, gone = None, frozenset[str]()
        else:
            self._read_params(params)
            for name in people:
                self._read(name, self.form.of_person, self._change)
            base = self._base(structures)
            self.uais = dict(base.structures)
            self._read_structures(structures)
            basis, gone = self._write_over(base, self.changes)
        if self.form.declares or any(_OF_ONE.search(name) for name in (self.name, self.files.path.name)):
            self.writer.uais = frozenset(self.uais.values())
        self.writer.structures, self.writer.basis, self.writer.gone = self.uais, basis, gone

    def _pieces(self) -> tuple[list[str], list[str], list[str]]:
        """The files with structures, those with people and those with params, each in order."""
        if len(self.files.files) == 1:
            (name,) = self.files.files
            match = _NAME.fullmatch(name)
            self._check_set([match["set"] if match else re.sub(r"\.xml$", "", name, flags=re.IGNORECASE)])
            if self.form.declares and self.changes is None:
                raise self._lacks(f"..._{_PARAMS}_0000.xml")
            return [name], [name], []
        found_types: dict[str, list[tuple[int, str]]] = {}
        spelled: dict[str, str] = {}
        sets = []
        for name in self.files.files:
            match = _NAME.fullmatch(name)
            if match is None:
                self.writer.pass_over(Phrase("file {name}", name=name), Phrase("no name of a file of a set"))
                continue
            sets.append(match["set"])
            spelled[match["type"].casefold()] = f"{match['set']}_{match['type']}"
            found_types.setdefault(match["type"].casefold(), []).append((int(match["piece"]), name))
        for kind, pieces in sorted(found_types.items()):
            numbers = sorted(number for number, _ in pieces)
            missing = sorted({*range(numbers[-1] + 1)} - {*numbers})
            if missing:
                raise self._lacks(f"{spelled[kind]}_{missing[0]:04}.xml")
        self._check_set(sets)
        ours = (_STRUCTURES, _PEOPLE, *((_PARAMS,) if self.form.declares else ()))
        absent = [kind for kind in ours if kind.casefold() not in found_types]
        # a delta has no file of what did not change
        if absent and (self.changes is None or len(absent) == len(ours)):
            raise self._lacks(f"..._{absent[0]}_0000.xml")
        for kind in {*found_types} - {kind.casefold() for kind in ours}:
            name = spelled[kind].rpartition("_")[2]
            subject = Phrase("files of {type}", type=name)
            self.writer.pass_over(subject, Phrase("no staff"), len(found_types[kind]))
        structures, people, params = (
            [name for _, name in sorted(found_types.get(kind.casefold(), ()))]
            for kind in (_STRUCTURES, _PEOPLE, _PARAMS)
        )
        return structures, people, params if self.form.declares else []

    def _lacks(self, file: str) -> FeedRefused:
        return self.files.refuse("missing-piece", Phrase("the set has no file {file}", file=file))

    def _check_set(self, names: list[str]) -> None:
        if len({*names}) > 1:
            first, second, *_ = sorted({*names})
            detail = Phrase("it has files of several sets: {first} and {second}", first=first, second=second)
            raise self.files.refuse("mixed-sets", detail)
        for name in (*names[:1], self.files.path.name):
            self.name = self.name or name
            if _DELTA.search(name):
                self.changes = {}
            if self.writer.day is None:
                self.writer.day, self.writer.number = file_order(name, self.source.date_pattern)
        # sets of one kind have the same name, except for their date and their sort
        self.writer.kind = re.sub(self.source.date_pattern or "$^", "", _SORT.sub("", self.name)).strip("_")

    def _read(self, name: str, names: frozenset[str], take: Callable[[AafRequest, str], None]) -> None:
        facts: dict[str, str] = {}
        with xml_refused(self.files, name), self.files.opened(name) as stream:
            for request in read_requests(stream, names, facts):
                take(request, name)
        self._check_facts(name, facts)

    def _read_structures(self, names: Iterable[str]) -> None:
        former_uais = dict(self.uais)
        self.uais.clear()
        removed: set[str] = set()

        def structure(request: AafRequest, name: str) -> None:
            self._structure(request, name, removed)

        for name in names:
            self._read(name, self.form.of_structure, structure)
        self.uais = {**{key: uai for key, uai in former_uais.items() if key not in removed}, **self.uais}

    def _check_facts(self, name: str, facts: dict[str, str]) -> None:
        """Compares what the head of a file states with the perimeter of the source."""
        for fact, setting in (("codeAcademieExport", "academie"), ("degre", "degre")):
            stated, asked = facts.get(fact, ""), self.source.perimeter.get(setting, "")
            if stated and asked and stated.lstrip("0").casefold() != asked.lstrip("0").casefold():
                raise self._outside(name, fact, stated, asked)
        if self.writer.day is None:
            stated = facts.get("dateGenerationExport", "")
            self.writer.day = file_order(stated, self.source.date_pattern)[0] or _day(stated)
        if self.writer.day is None:
            raise self.files.refuse("undated")

    def _outside(self, name: str, fact: str, stated: str, asked: str) -> FeedRefused:
        detail = Phrase(
            "{name}: {fact} is {stated}, but the perimeter of the source says {asked}",
            name=name,
            fact=fact,
            stated=stated,
            asked=asked,
        )
        return self.files.refuse("wrong-perimeter", detail)

    def _read_params(self, names: Iterable[str]) -> None:
        """Compares the perimeter that a set declares with that of the source."""
        for name in names:
            with xml_refused(self.files, name), self.files.opened(name) as stream:
                declared = read_params(stream).get("GPEIgeneration", "")
            for fact, setting in (
                ("listeDept", "departements"),
                ("listeSecteur", "secteurs"),
                ("listeType", "types"),
            ):
                match = re.search(rf"\b{fact} ?= ?\[([^\]]*)\]", declared)
                stated = sorted({*re.split(r"[,;\s]+", match[1])} - {""}) if match else []
                asked = sorted({*self.source.perimeter.get(setting, "").split(",")} - {""})
                if asked and {code.lstrip("0") for code in stated} != {code.lstrip("0") for code in asked}:
                    value = ", ".join(stated) or Phrase("not stated")
                    raise self._outside(name, fact, value, ", ".join(asked))

    def _structure(self, request: AafRequest, name: str, removed: set[str]) -> None:
        if request.category and request.category != _STRUCTURES:
            if request.category != _PEOPLE:
                subject = Phrase("requests of {type}", type=_label(request.category))
                self.writer.pass_over(subject, Phrase("no staff"))
            return
        self._refuse_change(request, name)
        values = request.values
        key = first_of(values, self.form.structure) or request.id
        if request.kind == "deleteRequest":
            removed.add(key)
            return
        uai = next(filter(None, (first_of(values, attribute) for attribute in self.form.uais)), "").upper()
        if not uai:
            return
        if self.uais.setdefault(key, uai) != uai:
            detail = Phrase(
                "{name}: line {line}: structure {key} is {uai} and {other}",
                name=name,
                line=request.line,
                key=key,
                uai=uai,
                other=self.uais[key],
            )
            raise self.files.refuse("doubled-structure", detail)

    def _refuse_change(self, request: AafRequest, name: str) -> None:
        if request.kind != "addRequest" and self.changes is None:
            line, kind = request.line, request.kind
            why = Phrase("{name}: line {line}: a {kind} in a complete set", name=name, line=line, kind=kind)
            raise self.files.refuse("delta-set", why)

    def _person(self, request: AafRequest, name: str) -> None:
        if request.category == _PEOPLE:
            self._refuse_change(request, name)
            self.staff = True
            self._put(record_of(request, self.form, name))

    def _change(self, request: AafRequest, name: str) -> None:
        own_file = not request.category and f"_{_PEOPLE}_".casefold() in name.casefold()
        if self.changes is not None and (request.category == _PEOPLE or own_file):
            key = request.id or first_of(request.values, self.form.key)
            self.changes.setdefault(key, []).append((request, name))

    def _base(self, names: Iterable[str]) -> KeptSet:
        """The kept set of this delta itself if it was read before, else the newest one that is older."""
        if self.writer.day is None:
            for name in names:
                self._read(name, self.form.of_structure, lambda _request, _name: None)
        day = self.writer.day
        if day is None:
            raise self.files.refuse("undated")
        sets = self.files.kept_sets(self.writer.kind)
        same = [kept_set for kept_set in sets if kept_set.digest == self.files.digest]
        older = [kept_set for kept_set in sets if kept_set.order < (day, self.writer.number)]
        if not same and not older:
            if sets:
                newest = max(kept_set.day for kept_set in sets)
                detail = Phrase(
                    "it is dated {day}, but one dated {newest} of its kind has been read; remove it",
                    day=day,
                    newest=newest,
                )
                raise FeedRefused(str(self.files.path), [("older", detail)])
            raise self.files.refuse("no-complete-set")
        return same[-1] if same else max(reversed(older), key=lambda kept_set: kept_set.order)

    def _write_over(
        self, base: KeptSet, changes: dict[str, list[tuple[AafRequest, str]]]
    ) -> tuple[DeltaBasis | None, frozenset[str]]:
        """Writes the people of a kept set with the changes of a delta. Returns what it changes, and whom it
        deletes."""
        if base.digest == self.files.digest:
            for values in base.rows():
                self._put(Record(*values))
            return base.basis, base.gone
        clears, gone = self.source.empty_values == "clear", set[str]()
        counts = dict.fromkeys(("added", "modified", "deleted"), 0)
        records: dict[str, list[Record]] = {}
        for record in (Record(*values) for values in base.rows()):
            if record.id in changes:  # more than once if the set has the person twice
                records.setdefault(record.id, []).append(record)
            else:
                self._put(record)
        for key, requests in changes.items():
            before = records.get(key, [])
            after = after_requests(before, requests, self.form, clears=clears)
            if not before:
                counts["added"] += bool(after)
            elif after:
                counts["modified"] += 1
            else:
                counts["deleted"] += 1
                gone.add(qualified(self.source.namespace, first_of(before[0].values, self.form.key) or key))
                continue
            for request, _ in () if after else requests:
                subject = Phrase("{kind} of unknown people", kind=request.kind)
                self.writer.pass_over(subject, Phrase("the set before lacks them"))
            for changed_record in after:
                self._put(changed_record)
        self.writer.remark = Phrase(
            "a delta on the set of {day}: {added} added, {modified} modified, {deleted} deleted",
            day=base.day,
            **counts,
        )
        day = self.writer.day or base.day
        return DeltaBasis(base.digest, base.day, (day - base.day).days), frozenset(gone)

    def _put(self, record: Record) -> None:
        self.writer.record(record)
        key = first_of(record.values, self.form.key) or record.id
        rows = [*self._rows(key if key == record.id or not record.id else "", record.values)]
        if not rows:
            self.writer.pass_over(Phrase("people without a function"), Phrase("no post"))
            return
        content = hash(tuple(rows))
        if self.seen.setdefault(key, content) != content:
            rows = [(*row[:6], f"{DOUBLED} {key}", *row[7:]) for row in rows]
        for row in rows:
            self.writer.write(row, record.file, record.line)

    def _rows(self, key: str, lists: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
        form = self.form
        names = (form.usage, form.birth_name, form.given, form.civilite, form.birth, form.home)
        usage, birth_name, given_name, civilite, birth, home = (first_of(lists, name) for name in names)
        person = (key, civilite, usage if birth_name else "", birth_name or usage, given_name, birth)
        functions = lists.get(form.functions, ())
        heads = [*self._headships(lists.get(form.director, ()), home)]
        starts = self._starts(lists, heads, home, birth)
        posts: set[tuple[str, str]] = set()
        for structure, function, discipline in self._functions([*functions, *heads]):
            uai = self.uais.get(structure) or f"{UNKNOWN} {structure}"
            if (uai, function) in posts:
                why = Phrase("the first of a post counts")
                self.writer.pass_over(Phrase("further disciplines"), why)
                continue
            posts.add((uai, function))
            self.writer.posts[function] += 1
            if structure in self.uais:
                self.writer.at[uai] += 1
            modality = "principale" if structure == home else "secondaire"
            start = starts.get((structure, function))
            if start is None and f"{structure}${function}" not in heads:
                start = starts.get((structure, ""))
            yield (*person, uai, function, discipline, modality, start.isoformat() if start else "")

    def _functions(self, texts: Iterable[str]) -> list[tuple[str, str, str]]:
        """The structures, functions and disciplines that make posts. A person who has only functions that the
        source drops keeps them, unless only other sources can give the person an account: the person then has
        another function there."""
        every = []
        for text in texts:
            structure, function, _, discipline, *_ = [*_parts(text), "", "", ""]
            if function:
                every.append((structure, function, discipline))
            else:
                self.writer.pass_over(Phrase("functions"), Phrase("no code"))
        dropped = self.source.drop_functions
        remaining = [post for post in every if post[1] not in dropped]
        if not remaining and self.source.creates:
            return every
        why = Phrase("under drop_functions, without another one")
        if remaining:
            why = Phrase("under drop_functions, beside another one")
        for _, function, _ in every:
            if function in dropped:
                self.writer.pass_over(Phrase("functions {function}", function=function), why)
        return remaining

    def _headships(self, values: Iterable[str], home: str) -> Iterator[str]:
        """The functions of the head of schools of the 1er degré: each value is the number of a structure, or
        STRUCTURE$O; or O, which means the home structure."""
        for value in values:
            structure, *rest = _parts(value)
            if rest:
                structure, yes = (structure or home), rest[-1].upper()
            else:
                yes = structure.upper()
                if yes not in _YES | _NO and (structure in self.uais or structure.isdecimal()):
                    yes = "O"
                else:
                    structure = home
            if yes in _YES:
                yield f"{structure}$DIR"
            elif yes not in _NO:
                subject = Phrase("values of {name}", name=self.form.director)
                self.writer.pass_over(subject, Phrase("neither a structure nor O"))

    def _starts(
        self, lists: Mapping[str, Sequence[str]], heads: Sequence[str], home: str, birth: str
    ) -> dict[tuple[str, str], date]:
        """The starts that the set states, by structure and function; function "" is any at the structure. A
        value is a date behind the structure, and the function, that it is about; or a date alone, if there
        are as many as posts. What is not understood is counted, and its post begins as one without a date."""
        form, starts = self.form, dict[tuple[str, str], date]()
        posts_of = {form.home_date: [home], form.function_dates: lists.get(form.functions, ())}
        posts_of[form.director_dates] = heads
        stated = [(values, name, posts) for name, posts in posts_of.items() if (values := lists.get(name))]
        if not stated:
            return starts
        first, last = _day(birth) or _EARLIEST, (self.writer.day or date.max - _AHEAD) + _AHEAD
        for values, name, posts in stated:
            subject = Phrase("values of {name}", name=name)
            for place, value in enumerate(values):
                *about, text = _parts(value)
                if not about and len(values) == len(posts):
                    about = _parts(posts[place])
                start = _day(text)
                if start is None or not max(first, _EARLIEST) < start <= last:
                    if text:
                        self.writer.pass_over(subject, Phrase("no date on which a post can begin"))
                elif not about:
                    self.writer.pass_over(subject, Phrase("not one for each post"))
                else:
                    function = "DIR" if name == form.director_dates else [*about, ""][1]
                    post = about[0], function
                    starts[post] = min(start, starts.get(post, start))
        return starts


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("$")]


def _day(text: str) -> date | None:
    for style in _DATES if text.isascii() else ():
        try:
            return datetime.strptime(text.strip()[:10], style).date()  # noqa: DTZ007 - a civil day has no zone
        except ValueError:
            continue
    return None


def _label(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z]{1,20}", text) else Phrase("an unknown kind")
