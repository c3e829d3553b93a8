"""Builds people from the rows of a feed. Contradictory rows are rejected, and their people held."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from piactl.core.model.person import Assignment, Person
from piactl.core.plan.plan import Rejection
from piactl.core.rules.feed_absences import PostName
from piactl.core.text import few
from piactl.feed.csv_row_validator import NONE_WHEN_BLANK, BrokenRow, Row
from piactl.feed.error_codes import PERSON_DOUBLED, held_words, rejection_message
from piactl.feed.header import COLUMNS
from piactl.phrase import Phrase, joined

_PERSON_FIELDS = {
    "numen": "numen",
    "civilite": "civilite",
    "nom_usage": "usage_name",
    "nom_famille": "family_name",
    "prenom": "given_name",
    "date_naissance": "birth_date",
    "courriel_prive": "private_mail",
    "ancien_matricule": "former",
}
_ASSIGNMENT_FIELDS = {
    "corps": "corps",
    "position": "position",
    "discipline": "discipline",
    "modalite": "modality",
    "quotite": "quotite",
    "fin": "end",
}
_OF_POSTS = frozenset({"uai", "fonction", "debut", *_ASSIGNMENT_FIELDS})
_MOST_ASSIGNMENTS = 500
_UNREAD = "x"
Place = Callable[[int], tuple[str, int]]
"""The file and the line of a row in a set of files."""
_FEW = 5


class PeopleBuilder:
    """Collects the rows of one feed into people, rejections and held people.

    A rejected row of a supplement whose person can be read does not hold the person: only its post stays as
    it is. `unread` has these posts, by matricule. If all rows of a person are so, the person has no posts.
    """

    def __init__(
        self, file: str, source: str, place: Place | None = None, *, supplement: bool = False
    ) -> None:
        self.source = source
        self.place = place or (lambda line: (file, line))
        self._of_set = place is not None
        self.people: dict[str, Person] = {}
        self.rejections: list[Rejection] = []
        self.held: dict[str, str] = {}
        self.unread: dict[str, set[PostName]] = {}
        self._supplement = supplement
        self.rejected_lines: dict[int, None] = {}
        self.duplicates: list[tuple[int, int]] = []
        self.unusual_numens: list[int] = []
        self.unattributed = 0
        self.remarked: set[str] = set()
        self._held_lines: dict[str, list[int]] = {}
        self._contradictions: dict[str, tuple[list[str], list[tuple[int, Person]]]] = {}
        self.unusable: list[tuple[Person, frozenset[str]]] = []

    def person(self, row: Row | BrokenRow, line: int) -> Person | None:
        """The person of one row, with its one assignment; None if the row cannot be split."""
        if not isinstance(row, BrokenRow):
            return self._person(row, line)
        values = zip(COLUMNS, row.values, strict=False)
        read = [_UNREAD if v is None and c not in NONE_WHEN_BLANK else v for c, v in values]
        return self._person(read, line) if read else None

    def _person(self, row: Row, line: int) -> Person:
        (matricule, numen, civilite, usage, family, given, birth, mail, former,
         corps, position, uai, function, discipline, modality, quotite, start, end) = row  # fmt: skip
        assignment = Assignment(
            uai, function, start, end, corps, position, modality, discipline, quotite,
            self.source, self._where(line),
        )  # fmt: skip
        return Person(
            matricule, family, given, usage, civilite, birth, mail, numen, (assignment,), (line,),
            former=former,
        )  # fmt: skip

    def _where(self, line: int) -> str:
        file, file_line = self.place(line)
        return f"{file}:{file_line}"

    def add(self, row: Row | BrokenRow, line: int) -> None:
        """Adds a row, or the rejections of a broken one."""
        if isinstance(row, BrokenRow):
            self._add_broken(row, line)
            return
        person = self._person(row, line)
        if person.numen is not None and person.numen.unusual:
            self.unusual_numens.append(line)
            self.remarked.add(person.matricule)
        prior = self.people.get(person.matricule)
        if prior is None:
            self.people[person.matricule] = person
        else:
            self._add_to(prior, person, line)

    def _add_to(self, prior: Person, person: Person, line: int) -> None:
        differ = _differing(prior, person, _PERSON_FIELDS)
        if differ:
            self._contradict(person, differ, line)
            return
        if len(prior.assignments) >= _MOST_ASSIGNMENTS:
            detail = Phrase("more than {most} rows", most=_MOST_ASSIGNMENTS)
            self._reject(line, "debut", "too-many-assignments", detail, prior.matricule)
            return
        assignment = person.assignments[0]
        for other, other_line in zip(prior.assignments, prior.lines, strict=True):
            if other == assignment:
                self.duplicates.append((line, other_line))
                self.remarked.add(prior.matricule)
                return
            if other.key == assignment.key:
                self._clash(prior, (other, other_line), (assignment, line))
                return
        self.people[prior.matricule] = Person(
            prior.matricule, prior.family_name, prior.given_name, prior.usage_name, prior.civilite,
            prior.birth_date, prior.private_mail, prior.numen,
            (*prior.assignments, assignment), (*prior.lines, line), former=prior.former,
        )  # fmt: skip

    def _contradict(self, person: Person, differ: Iterable[str], line: int) -> None:
        columns, rows = self._contradictions.setdefault(person.matricule, ([], []))
        columns.extend(c for c in differ if c not in columns)
        rows.append((line, person))

    def _clash(self, person: Person, first: tuple[Assignment, int], second: tuple[Assignment, int]) -> None:
        columns = _differing(first[0], second[0], _ASSIGNMENT_FIELDS)
        for (here, line), (there, other) in ((first, second), (second, first)):
            values = (
                Phrase(
                    "{column} ({here} here, {there} there)",
                    column=column,
                    here=getattr(here, _ASSIGNMENT_FIELDS[column]) or Phrase("blank"),
                    there=getattr(there, _ASSIGNMENT_FIELDS[column]) or Phrase("blank"),
                )
                for column in columns
            )
            detail = Phrase(
                "another row of this assignment of {matricule} {name}, line {line}, disagrees in {columns}",
                matricule=person.matricule,
                name=f"{person.given_name} {person.usage_name or person.family_name}",
                line=other,
                columns=joined(values, "{first}, {second}"),
            )
            post = (first[0].uai, first[0].function)
            self._reject(line, columns[0], "assignment-contradicts", detail, person.matricule, post)

    def _add_broken(self, broken: BrokenRow, line: int) -> None:
        if not broken.attributed:
            self.unattributed += 1
        values = dict(zip(COLUMNS, broken.values, strict=True)) if broken.values else {}
        faulty = frozenset(column for column, _ in broken.faults)
        post = None
        if values and faulty <= _OF_POSTS and all(code != PERSON_DOUBLED for _, (code, _) in broken.faults):
            post = (values["uai"] or "", values["fonction"] or "")
        for column, (code, detail) in broken.faults:
            self._reject(line, column, code, detail, broken.matricule, post)
        person = self.person(broken, line)
        if person is not None:
            self.unusable.append((person, faulty))
            if post is not None and self._supplement:
                self._add_alone(replace(person, assignments=(), lines=()), line)

    def _add_alone(self, person: Person, line: int) -> None:
        """Adds a person of whom no post can be read, or compares them with what other rows say."""
        prior = self.people.setdefault(person.matricule, person)
        if differ := _differing(prior, person, _PERSON_FIELDS):
            self._contradict(person, differ, line)

    def _reject(
        self,
        line: int,
        column: str,
        code: str,
        detail: str,
        matricule: str | None,
        post: PostName | None = None,
    ) -> None:
        """Rejects a row. It holds its person, or in a supplement only its `post`, if that is all that cannot
        be read."""
        message = rejection_message(code, detail, of_set=self._of_set)
        file, file_line = self.place(line)
        self.rejections.append(Rejection(file, file_line, column, code, message, matricule))
        self.rejected_lines[line] = None
        if matricule is not None and post is not None and self._supplement:
            self.unread.setdefault(matricule, set()).add(post)
        elif matricule is not None:
            lines = self._held_lines.setdefault(matricule, [])
            if line not in lines[-1:]:
                lines.append(line)
            place = dict(zip(("file", "line"), self.place(line), strict=True))
            why = held_words(Phrase("{file}:{line}", **place), column or Phrase("row"), message, code)
            self.held.setdefault(matricule, why)

    def finish(self) -> list[int]:
        """Removes held people from `people`. Returns the lines of their rows and of all rejections."""
        for matricule, (columns, rows) in self._contradictions.items():
            everywhere = sorted({*self.people[matricule].lines, *(line for line, _ in rows)})
            self.unusable += [(person, frozenset(columns)) for _, person in rows]
            where = Phrase(
                "rows of one person disagree in {columns}: lines {lines}",
                columns=", ".join(columns),
                lines=few(everywhere, _FEW),
            )
            first = self.people[matricule]
            if any(_is_swapped(person, first) for _, person in rows):
                where = Phrase("{problem}; prenom and nom_famille seem swapped in some", problem=where)
            for line in everywhere:
                self._reject(line, columns[0], "person-contradicts", where, matricule)
        lines = list(self.rejected_lines)
        for matricule in self.held:
            person = self.people.pop(matricule, None)
            if person is not None:
                lines += person.lines
                self.unusable.append((person, frozenset()))
        for matricule in self.unread.keys() & self.people.keys():
            person = self.people[matricule]
            posts = zip(person.assignments, person.lines, strict=True)
            self.people[matricule] = person.without({a for a, line in posts if line in self.rejected_lines})
        self.rejections.sort(key=lambda r: (r.line, r.column, r.code))
        return sorted(set(lines))


def _is_swapped(person: Person, other: Person) -> bool:
    """Whether the given name of each is a family name of the other."""
    return person.given_name in (other.family_name, other.usage_name) and other.given_name in (
        person.family_name,
        person.usage_name,
    )


def _differing(left: object, right: object, fields: dict[str, str]) -> list[str]:
    return [column for column, name in fields.items() if getattr(left, name) != getattr(right, name)]
