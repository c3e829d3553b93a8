"""Slips that a file alone shows, without the directory: a night would notice them, or nobody. They reject no
row; `feed check` warns of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.names import plain_letters
from piactl.core.rules.matching import folded
from piactl.core.text import few
from piactl.feed.error_codes import ZEROS_IN_REJECTS
from piactl.feed.feed_result import Feed
from piactl.feed.header import COLUMNS, REQUIRED, shown
from piactl.feed.read_feed import is_trailer, last_line
from piactl.phrase import Phrase, counted

_USUAL = 0.8
_NEAR = 0.8
_FEW = 5
_WITHOUT: Mapping[str, str] = {
    "fin": Phrase(
        "the file has no such column: no post has an end, and nobody leaves by a date; HR: add it before the "
        "file goes"
    ),
    "numen": Phrase(
        "the file has no such column: the NUMEN of newcomers stays unknown to the help desk; HR: add it "
        "before the file goes"
    ),
}
"""What follows if an optional column is missing, of those of which somebody pays for it."""


def find_slips_in_file(feed: Feed, source: SourceSettings, path: Path) -> dict[str, str]:
    """A sentence for each column with a slip; for `#FIN` about the last line. Sets of files have none."""
    if feed.written is not None:
        return {}
    slips = {**dict(_missing_columns(feed, source)), **dict(_people_twice(feed))}
    lengths = _odd_lengths(feed)
    if lengths:
        slips["matricule"] = lengths
    complete = source.trailer or feed.layout.is_rejects or path.suffix.lower() == ".xlsx"
    if not complete and not is_trailer(last_line(path)):
        slips["#FIN"] = Phrase(
            "the file has no such last line: if its end was cut off, nothing shows it; HR: export the file "
            "again; if it was saved from a workbook, check that this has {rows} below its header, and let "
            "the file go; do not add the line by hand",
            rows=counted(feed.facts.rows, "row", "rows"),
        )
    return slips


def _missing_columns(feed: Feed, source: SourceSettings) -> Iterator[tuple[str, str]]:
    """The optional columns that the file does not have, if it has one with nearly their name, or if somebody
    pays for it."""
    for column in COLUMNS:
        if column in feed.columns or column in REQUIRED:
            continue
        near = next((name for name in feed.layout.extras if _is_near(name, column)), "")
        if near:
            other = Phrase(
                "the file has no such column, but {near}, which is not read; HR: give it the name {column}",
                near=shown(near),
                column=source.columns.get(column, column),
            )
            yield column, other
        elif column in _WITHOUT and not feed.layout.is_rejects:
            yield column, _WITHOUT[column]


def _is_near(name: str, column: str) -> bool:
    """Whether a header may mean the column: it has all its words, or nearly its letters."""
    words = re.split(r"[^a-z0-9]+", plain_letters(name))
    return {*column.split("_")} <= {*words} or bool(get_close_matches(column, ["_".join(words)], 1, _NEAR))


def _people_twice(feed: Feed) -> Iterator[tuple[str, str]]:
    """The first two matricules with one NUMEN, or one birth date and name."""
    for column, evidence, trace in (
        ("numen", Phrase("the same NUMEN"), _numen),
        ("date_naissance", Phrase("the same birth date and names"), _identity),
    ):
        first: dict[Hashable, Person] = {}
        pairs = []
        for person in feed.people.values():
            own = trace(person)
            other = first.setdefault(own, person) if own is not None else person
            if other is not person and not {person.former, other.former} & {
                person.matricule,
                other.matricule,
            }:
                pairs.append((other, person))
        if pairs:
            (one, two), more = pairs[0], len(pairs) - 1
            words = Phrase(
                "{one} (line {line}) and {two} (line {other}) have {evidence}: one person keeps one account; "
                "HR: if they are two people, correct what is wrong; if they are one, tell the administrator",
                one=one.matricule,
                line=min(one.lines),
                two=two.matricule,
                other=min(two.lines),
                evidence=evidence,
            )
            yield column, Phrase("{words} (and {number} more)", words=words, number=more) if more else words
            return


def _numen(person: Person) -> Hashable:
    return person.numen


def _identity(person: Person) -> Hashable:
    if person.birth_date is None:
        return None
    return person.birth_date, folded(person.family_name), folded(person.given_name)


def _odd_lengths(feed: Feed) -> str:
    """What the lengths of the matricules say of lost zeros; "" for nothing. Only numbers of one usual length
    tell."""
    numbers = {m: number for m in feed.people if (number := m.rpartition(":")[2]).isdecimal()}
    if not numbers:
        return ""
    usual, count = Counter(map(len, numbers.values())).most_common(1)[0]
    longer = {m for m, number in numbers.items() if len(number) > usual and number.startswith("0")}
    odd = longer | {m for m, number in numbers.items() if len(number) < usual}
    if not odd or count < _USUAL * len(numbers):
        return ""
    lines = sorted((line, matricule) for matricule in odd for line in feed.people[matricule].lines)
    return Phrase(
        "{odd} of {number} matricules: not of {usual} digits, as most are ({sample}, line {lines}): "
        "a spreadsheet may have removed leading zeros; {step}",
        odd=len(odd),
        number=len(numbers),  # more than one, or none is odd
        usual=usual,
        lines=few([str(line) for line, _ in lines], _FEW),
        sample=lines[0][1],
        step=ZEROS_IN_REJECTS if feed.layout.is_rejects else Phrase("HR: send the file as it was exported"),
    )
