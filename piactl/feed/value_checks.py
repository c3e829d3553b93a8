"""The checks of single values, by column.

The check of a column takes trimmed, mapped text that is not blank. It returns `(value, None)` or
`(None, fault)`; a fault is a code of `error_codes.REJECTIONS` with a message about the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from piactl.core.model.establishment import read_uai
from piactl.core.model.keyed_digests import read_numen
from piactl.core.model.person import COMMON, qualified
from piactl.core.naming.names import without_invisible
from piactl.feed.header import shown
from piactl.phrase import Phrase, joined

Fault = tuple[str, str]
Checked = tuple[Any, Fault | None]
Check = Callable[[str], Checked]

_MATRICULE = re.compile(r"[A-Za-z0-9]{1,20}")
_NO_MATRICULES = frozenset(
    "null none nil nan nd nr nc na inconnu inconnue neant aucun aucune vide total totaux".split()
)
"""What programs and people write where there is no matricule."""
_MAIL_WORD, _MAIL_LABEL = r"[^\s@<>()\[\],;:.\"\\]+", r"[^\W_](?:[\w-]*[^\W_])?"
_MAIL = re.compile(rf"{_MAIL_WORD}(?:\.{_MAIL_WORD})*@(?:{_MAIL_LABEL}\.)+{_MAIL_LABEL}")
_MAIL_LENGTH = 254
"""RFC 5321 allows 256 octets in a path, two of them for its angle brackets."""
_NUMBER = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{1,6})?)\s*%?")
_FRACTION = re.compile(r"([0-9]{1,4})\s*/\s*([0-9]{1,4})")
_MODALITIES = frozenset({"principale", "secondaire", "suppleance"})
_OPEN = date(9999, 12, 31)
_EARLIEST, _LATEST = date(1950, 1, 1), date(2100, 12, 31)
_EARLIEST_BIRTH = date(1900, 1, 1)
_EMPTY_BIRTHS = frozenset({_EARLIEST_BIRTH, date(1904, 1, 1)})
"""The days that spreadsheets show for an empty date cell."""
_CODE_LENGTH = 40
_NUMEN_LENGTH = 13
_EXAMPLE = date(2026, 9, 1)
DAYS = frozenset({"date_naissance", "debut", "fin"})
"""The columns of dates."""

ISO = "%Y-%m-%d"
"""The form of a date that a spreadsheet shows and saves as it was typed, with a year of four digits."""
_EXCEL_ORIGIN, _EXCEL_FIRST, _EXCEL_LAST = date(1899, 12, 30), 10_000, 80_000
_EXCEL_OPEN = (_OPEN - _EXCEL_ORIGIN).days
_NUMBERS = re.compile(r"([0-9]{1,2})([/.-])([0-9]{1,2})\2[0-9]{2,4}")
UNKNOWN, DOUBLED, DOUBLED_IN_FILE = "!structure-unknown", "!person-doubled", "!doubled-in-file"
"""Begin a cell `!FAULT VALUE`: the format of a set found this fault in its place."""


def is_matricule(text: str) -> bool:
    """Whether the text can be a matricule. A NUMEN cannot: it is a secret, not a key."""
    return check_matricule(text)[1] is None


def check_matricule(text: str) -> Checked:
    """The matricule as text, because leading zeros count."""
    if _MATRICULE.fullmatch(text) is None or text.lower() in _NO_MATRICULES:
        detail = Phrase(
            "{value} is not a matricule: expected 1 to 20 letters and digits such as 0012345",
            value=shown(text),
        )
        return _fault("bad-matricule", detail)
    numen = read_numen(text) if len(text) == _NUMEN_LENGTH else None
    if numen is not None and not numen.unusual:
        return _fault("matricule-is-numen", Phrase("the column matricule contains a NUMEN"))
    return text, None


def check_numen(text: str) -> Checked:
    """The NUMEN. The message never shows the value."""
    numen = read_numen(text)
    if numen is None:
        detail = Phrase("not a NUMEN: expected 13 characters such as 01E9501234ABC (value not shown)")
        return _fault("bad-numen", detail)
    return numen, None


def check_name(text: str) -> Checked:
    """The name without invisible characters, inner blanks collapsed. `core.naming` decides whether it gives
    an address."""
    return " ".join(without_invisible(text).split()), None


def check_code(text: str) -> Checked:
    if len(text) <= _CODE_LENGTH and text.isprintable():
        return text, None
    detail = Phrase(
        "{value} is not a code: expected at most {most} printable characters",
        value=shown(text),
        most=_CODE_LENGTH,
    )
    return _fault("bad-code", detail)


def check_uai(text: str) -> Checked:
    uai, why = read_uai(text)
    if uai is not None:
        return uai, None
    found, _, value = text.partition(" ")
    if found == UNKNOWN:
        return _fault("structure-unknown", Phrase("no structure {structure} in the set", structure=value))
    if found == DOUBLED:
        return _fault("person-doubled", Phrase("the set has {key} twice, with other content", key=value))
    if found == DOUBLED_IN_FILE:
        return _fault("person-doubled", Phrase("the file has {key} twice, with other content", key=value))
    if "is wrong" in why:
        return _fault("bad-uai", why)
    detail = Phrase("{value} is not a UAI: expected seven digits and a letter", value=shown(text))
    return _fault("bad-uai", detail)


def check_mail(text: str) -> Checked:
    if len(text.encode()) > _MAIL_LENGTH:
        detail = Phrase(
            "{value} is not a mail address: expected at most {most} characters",
            value=shown(text),
            most=_MAIL_LENGTH,
        )
        return _fault("bad-mail", detail)
    if _MAIL.fullmatch(text) and text.isprintable():
        return text, None
    detail = Phrase(
        "{value} is not a mail address: expected the address alone, such as claire@example.org",
        value=shown(text),
    )
    return _fault("bad-mail", detail)


def check_modality(text: str) -> Checked:
    if text.lower() in _MODALITIES:
        return text.lower(), None
    detail = Phrase(
        "{value} is not a modalite: expected principale, secondaire or suppleance", value=shown(text)
    )
    return _fault("bad-modality", detail)


def check_quotite(text: str) -> Checked:
    """The quotite, as text."""
    number, fraction = _NUMBER.fullmatch(text), _FRACTION.fullmatch(text)
    if number is not None and float(number.group(1).replace(",", ".")) <= 100:
        return text, None
    if fraction is not None and 0 < int(fraction.group(2)) >= int(fraction.group(1)):
        return text, None
    detail = Phrase(
        "{value} is not a quotite: expected 0 to 100, or a fraction such as 9/18", value=shown(text)
    )
    return _fault("bad-quotite", detail)


def _fault(code: str, message: str) -> Checked:
    return None, (code, message)


class DateCheck:
    """Reads a date in one of the strptime formats of a source, tried in order."""

    def __init__(
        self,
        formats: Sequence[str],
        first: date,
        last: date,
        *,
        may_be_open: bool = False,
        empty: Container[date] = (),
    ) -> None:
        self._formats = tuple(formats)
        self._first, self._last, self._empty = first, last, empty
        self._may_be_open = may_be_open

    def __call__(self, text: str) -> Checked:
        day = self._read(text)
        if day is None:
            return _fault(*self._why(text))
        if self._may_be_open and day == _OPEN:
            return None, None
        if day in self._empty:
            detail = Phrase(
                "{day} is what a spreadsheet makes of an empty date: expected the date of birth, or nothing",
                day=day,
            )
            return _fault("date-out-of-range", detail)
        if not self._first <= day <= self._last:
            detail = Phrase(
                "{day} is not between {first} and {last}",
                day=day,
                first=self._first,
                last=self._last,
            )
            return _fault("date-out-of-range", detail)
        return day, None

    def _forms(self, day: date = _EXAMPLE, *, kept: bool = False) -> str:
        """The day in the forms of the source; `kept`: in ISO form alone if it has that."""
        formats = [ISO] if kept and ISO in self._formats else self._formats
        examples = dict.fromkeys(day.strftime(style) for style in formats)
        return joined(map(Phrase, examples), "{first} or {second}")  # the same in every language

    def _why(self, text: str) -> Fault:
        """Why a text is no date; Excel shows a day as the number of days since 1900 in a cell of numbers."""
        value, number = shown(text), int(text) if re.fullmatch("[0-9]{5,7}", text) else 0
        if _EXCEL_FIRST <= number <= _EXCEL_LAST or number == _EXCEL_OPEN:
            day = _EXCEL_ORIGIN + timedelta(number)
            return "bad-date", Phrase(
                "{value} is the number that Excel has for {day}: expected {forms}",
                value=value,
                day=day,
                forms=self._forms(day),
            )
        parts = _NUMBERS.fullmatch(text)
        mark = parts[2] if parts else "/"
        month_first, day_first = (
            _day(text, mark.join(form)) for form in (("%m", "%d", "%Y"), ("%d", "%m", "%Y"))
        )
        if month_first and not day_first:
            return "month-first", Phrase(
                "{value} has the month before the day; other dates are read the wrong way round without an "
                "error: correct none of them by hand",
                value=value,
            )
        if short := _day(text, mark.join(("%d", "%m", "%y"))):
            if self._empty and short.year > _EXAMPLE.year:  # nobody is born so late
                short = short.replace(year=short.year - 100)
            if self._may_be_open and short == date(1999, 12, 31):
                short = _OPEN
            return "bad-date", Phrase(
                "{value} has a year of two digits: expected four, such as {forms}",
                value=value,
                forms=self._forms(short, kept=True),
            )
        if parts and int(parts[1]) <= 31 and int(parts[3]) <= 12 and not day_first:
            return "bad-date", Phrase("there is no {value}: its month has fewer days", value=value)
        return "bad-date", Phrase(
            "{value} is not a valid date: expected the form {forms}",
            value=value,
            forms=self._forms(day_first or _EXAMPLE),
        )

    def _read(self, text: str) -> date | None:
        if self._may_be_open and text in ("31/12/9999", "9999-12-31"):
            return _OPEN
        if not text.isascii():
            return None
        return day_of(text, self._formats)


def day_of(text: str, formats: Sequence[str]) -> date | None:
    """The day in one of the formats, tried in order."""
    return next(filter(None, (_day(text, style) for style in formats)), None)


def _day(text: str, style: str) -> date | None:
    try:
        return datetime.strptime(text, style).date()  # noqa: DTZ007 - a civil day has no zone
    except ValueError:
        return None


def column_checks(date_formats: Sequence[str], namespace: str) -> dict[str, Check]:
    """The check of each canonical column, in canonical order. Matricules get their `namespace`."""

    def check_qualified(text: str) -> Checked:
        matricule, fault = check_matricule(text)
        return matricule if fault else qualified(namespace, matricule), fault

    def check_former(text: str) -> Checked:
        matricule, fault = check_matricule(text)
        return ("", ("bad-former-matricule", fault[1])) if fault else (qualified(namespace, matricule), None)

    return {
        "matricule": check_matricule if namespace == COMMON else check_qualified,
        "numen": check_numen,
        "civilite": check_code,
        "nom_usage": check_name,
        "nom_famille": check_name,
        "prenom": check_name,
        "date_naissance": DateCheck(date_formats, _EARLIEST_BIRTH, _LATEST, empty=_EMPTY_BIRTHS),
        "courriel_prive": check_mail,
        "ancien_matricule": check_former,
        "corps": check_code,
        "position": check_code,
        "uai": check_uai,
        "fonction": check_code,
        "discipline": check_code,
        "modalite": check_modality,
        "quotite": check_quotite,
        "debut": DateCheck(date_formats, _EARLIEST, _LATEST),
        "fin": DateCheck(date_formats, _EARLIEST, _LATEST, may_be_open=True),
    }
