"""The result of reading a feed: people, rejections, held people, and remarks, which reject nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.person import Person
from piactl.core.plan.check_feed_limits import ROW, FeedFacts, problem_and_step
from piactl.core.plan.plan import Rejection
from piactl.core.rules.feed_absences import PostName
from piactl.core.text import few
from piactl.feed.formats.canonical_rows import RowWriter
from piactl.feed.header import ColumnLayout, shown
from piactl.phrase import Phrase, counted

_FEW = 5
_EXAMPLES = 3


def row_remarks(duplicates: Sequence[tuple[int, int]], unusual_numens: Sequence[int]) -> Iterator[str]:
    """Remarks about rows, by their lines; a duplicate with the line that it repeats."""
    if duplicates:
        words = counted(
            len(duplicates), "row is a duplicate and counts once", "rows are duplicates and count once"
        )
        yield _of_lines(words, [f"{line} = {first}" for line, first in duplicates])
    if unusual_numens:
        words = counted(len(unusual_numens), "NUMEN has an unusual ending", "NUMENs have an unusual ending")
        yield _of_lines(words, unusual_numens)


def names_not_read(layout: ColumnLayout) -> str:
    """The first names of a header that are no column of the source, for a message."""
    return few([*map(shown, layout.extras)], _FEW)


def file_remarks(layout: ColumnLayout, trailer: date | None, named: date | None) -> Iterator[str]:
    """Remarks about the header and the date of a feed: `trailer` from its #FIN line, `named` from its file
    name."""
    if names := names_not_read(layout):
        yield Phrase("columns not read: {names}", names=names)
    if layout.is_rejects:
        yield Phrase("a file of corrected rejects; nobody counts as absent")
    if trailer is None and named is None:
        yield Phrase("the feed has no date, so its age cannot be compared with the last one")
    elif trailer is not None and named is not None and trailer != named:
        yield Phrase(
            "the #FIN line says {trailer}, the file name {named}; the #FIN line counts",
            trailer=trailer,
            named=named,
        )


def set_remarks(written: RowWriter) -> Iterator[str]:
    """Remarks about a set of files: what was understood, and what was passed over and why."""
    if written.remark:
        yield written.remark
    if written.posts:
        posts = ", ".join(f"{function} {number}" for function, number in written.posts.most_common())
        words = Phrase("posts by function: {posts}", posts=posts)
        if written.at:
            structures = counted(len(written.at), "structure", "structures")
            words = Phrase("posts by function at {structures}: {posts}", structures=structures, posts=posts)
        yield words
    if written.at:
        most = few([f"{uai} {number}" for uai, number in written.at.most_common()], _FEW)
        yield Phrase("posts by structure: {posts}", posts=most)
    if written.local:
        local = len(written.local)
        yield Phrase("people made by the head of a school: {number}; each is a case", number=local)
    for (subject, why), number in sorted(written.passed.items()):
        yield Phrase("passed over: {subject} ({number}): {why}", subject=subject, number=number, why=why)


def understood(written: RowWriter) -> dict[str, object]:
    """All that was understood of a set of files, as JSON values."""
    return {
        "posts": sum(written.posts.values()),
        "functions": dict(sorted(written.posts.items())),
        "structures": dict(sorted(written.at.items())),
        "passed": [
            {"what": subject, "why": why, "number": number}
            for (subject, why), number in sorted(written.passed.items())
        ],
    }


def first_faults(rejections: Iterable[Rejection]) -> dict[str, tuple[str, ...]]:
    """The first rejections of each column, with their lines and without the next step."""
    faults: dict[str, tuple[str, ...]] = {}
    for rejection in rejections:
        column = rejection.column or ROW
        listed = faults.get(column, ())
        if len(listed) < _EXAMPLES:
            problem, _ = problem_and_step(rejection.message)
            faults[column] = (*listed, Phrase("line {line}: {problem}", line=rejection.line, problem=problem))
    return faults


def _of_lines(problem: str, lines: Sequence[object]) -> Phrase:
    first = ", ".join(str(line) for line in lines[:_FEW])
    ellipsis = "..." if len(lines) > _FEW else ""
    return Phrase("{problem} (line {lines})", problem=problem, lines=first + ellipsis)


@dataclass(frozen=True, slots=True)
class Feed:
    """`people`: matricule -> person, for people whose rows are all valid. `held`: matricule -> reason, for
    the others. `unread`: matricule -> the posts in rejected rows of a supplement that do not hold the person.

    `raw_lines` maps line numbers to the bytes, with line end, of every rejected row and of every row of a
    held person. They and `header` are for the rejects file, and contain NUMENs.
    """

    facts: FeedFacts
    people: Mapping[str, Person] = field(repr=False)
    rejections: tuple[Rejection, ...]
    held: Mapping[str, str]
    layout: ColumnLayout
    encoding: str
    remarks: tuple[str, ...] = ()
    header: bytes = field(default=b"", repr=False)
    raw_lines: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    columns: frozenset[str] = frozenset()
    """The canonical columns of the feed. A missing column says nothing; a blank in a column is an empty
    value."""

    unusable: Sequence[tuple[Person, frozenset[str]]] = field(default=(), repr=False)
    """The rows of held people that can be read, each with its columns that have a fault."""

    written: RowWriter | None = field(default=None, repr=False)
    """What else the format understood of a set of files; a CSV file has none."""

    unread: Mapping[str, Collection[PostName]] = field(default_factory=dict)

    duplicates: Sequence[tuple[int, int]] = ()
    unusual_numens: Sequence[int] = ()
    """The lines of rows that count once, each with the one that it repeats, and those with such a NUMEN."""

    remarked: frozenset[str] = frozenset()
    """The matricules with a remark about one of their lines."""

    def place(self, line: int) -> tuple[str, int]:
        """The file and the line of a row."""
        return self.written.place(line) if self.written else (self.facts.file, line)

    @property
    def files(self) -> frozenset[str]:
        """The names of its files."""
        return frozenset(self.written.files) if self.written else frozenset({self.facts.file})

    @property
    def local(self) -> frozenset[str]:
        """The matricules of people whom the head of a school made, not HR."""
        return self.written.local if self.written else frozenset()

    def __contains__(self, matricule: object) -> bool:
        """Whether a matricule is in the feed."""
        return matricule in self.people or matricule in self.held or matricule in self.unread

    @property
    def present(self) -> frozenset[str]:
        """Every matricule in the feed, held ones included."""
        return frozenset(self.people) | frozenset(self.held) | frozenset(self.unread)
