"""What the types of settings and policy say of the files that people write.

A field of a frozen dataclass is a key of its mapping. Its type says what may stand there, and notes in
`Annotated` say the rest: a unit and bounds, a pattern, words and what they mean, another key. A text among
the notes is what messages and JSON Schemas say is expected. So each key has one definition:
`config/typed_reading.py` reads files by it, and `docs/generate.py schemas` makes the JSON Schemas of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Annotated, Any, NamedTuple

from piactl.core.model.establishment import read_uai
from piactl.phrase import Phrase


class Mark(Enum):
    """Notes without a value; the first ones are for fields that are no keys."""

    NAME = "the key of the whole mapping; the class is written as `name: {...}`"
    LINE = "the line of the mapping"
    KEY_LINE = "the line of the key of the mapping"
    GIVEN = "the names of the fields that the file gives"
    FILE = "the path of the file"
    OUTSIDE = "not from this file"
    REQUIRED = "the file must have the key, although the field has a default"
    FILLED = "an empty list or mapping is a mistake"
    UNIQUE = "a list without repeated values"
    ONE_OR_LIST = "one value may stand without its list"
    PATH = "a path, from the folder of the file on"

    @property
    def is_no_key(self) -> bool:
        return self in (NAME, LINE, KEY_LINE, GIVEN, FILE, OUTSIDE)


NAME, LINE, KEY_LINE, GIVEN, FILE, OUTSIDE, REQUIRED, FILLED, UNIQUE, ONE_OR_LIST, PATH = Mark


class Key(NamedTuple):
    """The key of a field that has another name than the field."""

    key: str


class Section(NamedTuple):
    """The key of a mapping that holds the field, with other fields of the same class."""

    key: str
    expected: str


class Bounds(NamedTuple):
    """A number from `least` to `most`, or to less than `below`."""

    expected: str
    least: float
    most: float | None = None
    below: float | None = None

    def include(self, number: Any) -> bool:
        most = (self.most is None or number <= self.most) and (self.below is None or number < self.below)
        return bool(number >= self.least) and most


class Unfit(Exception):
    """A text is no value, for the reason that a form of a sentence and its values give; {shown} in the form
    stands for the text."""

    def __init__(self, form: str, **values: object) -> None:
        super().__init__(form)
        self.form, self.values = form, values

    def of(self, shown: str) -> Phrase:
        """What is wrong, with the text as a message shows it."""
        return Phrase(self.form, shown=shown, **self.values)


class Text(NamedTuple):
    """A text that matches `pattern`, a regular expression as JSON Schema has it. `read` makes the value of it
    and raises Unfit."""

    expected: str
    pattern: str = ""
    read: Callable[[str], Any] = str


class Words(NamedTuple):
    """The words that may stand here, with what they mean."""

    meanings: tuple[tuple[str, Any], ...]

    @property
    def expected(self) -> str:
        *words, last = (word for word, _ in self.meanings)
        return f"{', '.join(words)} or {last}" if words else last


class Names(NamedTuple):
    """A text that names an entry of one of these sections of the file; `wrong` is the form of a sentence that
    says that there is no {name}."""

    sections: tuple[str, ...]
    wrong: str


class Only(NamedTuple):
    """The one value that may stand here."""

    value: object


class WrittenAs(NamedTuple):
    """The class of what stands in the file; its method `value` makes the value of the field."""

    form: type


class Spread(NamedTuple):
    """The class of what stands in the file; its method `value` makes the values of several fields, by name.
    Without the key, they are those of an empty mapping."""

    form: type


class Usually(NamedTuple):
    """Without the key, the value is made of that of another field."""

    field: str
    make: Callable[[Any], Any] = lambda value: value


class Needs(NamedTuple):
    """The key stands beside one of these keys."""

    keys: tuple[str, ...]


class NotBeside(NamedTuple):
    """The key does not stand beside this one; `instead` is what is expected of the two."""

    key: str
    instead: str


ANY_TEXT = r"[\s\S]"
"""The pattern of a text that is not empty."""
COMMA = re.compile(r"(?<!\\),")
"""What separates the parts of a distinguished name."""
_RDN = re.compile(r"\s*[A-Za-z][A-Za-z0-9.-]*\s*=\s*(?:[^\\,+\"<>;=]|\\.|=)+")
_LEAP_YEAR = 2028
"""A year that has all days of the calendar, 02-29 included."""


def whole(unit: str, least: int, most: int) -> Bounds:
    """A whole number of a unit, within bounds."""
    return Bounds(f"{unit}, a whole number from {least} to {most}", least, most)


def one_of(*words: str) -> Words:
    """Words that mean themselves."""
    return Words(tuple((word, word) for word in words))


def meaning(**words: Any) -> Words:
    """Words that mean these values."""
    return Words(tuple(words.items()))


def is_dn(text: str) -> bool:
    """Whether a text is a distinguished name."""
    pieces = (piece for part in COMMA.split(text) for piece in re.split(r"(?<!\\)\+", part))
    return all(_RDN.fullmatch(piece) for piece in pieces)


def _read_dn(text: str) -> str:
    if not is_dn(text):
        raise Unfit("{shown} is not a distinguished name, such as ou=education,c=fr")
    return text


def _read_day_of_year(text: str) -> tuple[int, int]:
    month, day = int(text[:2]), int(text[3:])
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        raise Unfit("{shown} is not a day of the year; that month is shorter") from None
    return month, day


def _read_uai(text: str) -> str:
    uai, why = read_uai(text)
    if uai is None or uai != text:
        raise Unfit("{why}", why=why) if why else Unfit("write {uai}", uai=uai)
    return uai


def dn(example: str) -> Text:
    """A distinguished name."""
    return Text(f"a distinguished name, such as {example}", r"^[^\u0000]*=[^\u0000]*$", _read_dn)


_MM_DD = "^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
_NAME = Text(
    "a name of small letters, digits, _ and -, other than all and none",
    "^(?!(all|none)$)[a-z0-9][a-z0-9_-]{0,62}$",
)

Version = Annotated[int, "`version: 1`", Only(1), REQUIRED]
TrueOrFalse = Annotated[bool, "true or false"]
PlainText = Annotated[str, Text("text")]
EntryName = Annotated[str, NAME, _NAME]
Uai = Annotated[str, Text("text", "", _read_uai)]
DayOfYear = Annotated[
    tuple[int, int], Text("a day of the year as MM-DD, such as 08-20", _MM_DD, _read_day_of_year)
]
"""A day of every year, (month, day)."""
FilePath = Annotated[str, Text("the path of a file", r"^[^\u0000]+$"), PATH]
"""An absolute path, or the name of a systemd credential."""
