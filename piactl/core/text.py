"""Singular and plural, long lists, days, instants, conditions of the policy, words of a search, and JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from piactl.phrase import Phrase, joined


def few(items: Sequence[object], most: int) -> str:
    """The first items: `a, b and 3 more`."""
    names = ", ".join(map(str, items[:most]))
    if len(items) <= most:
        return names
    return Phrase("{names} and {number} more", names=names, number=len(items) - most)


def percent(share: float) -> Phrase:
    """`2.5%`"""
    whole, _, tenths = f"{100 * share:.1f}".partition(".")
    return Phrase("{whole}.{tenths}%", whole=whole, tenths=tenths)


def minute(instant: datetime | str, timezone: str) -> str:
    """An instant, or one in ISO form, to the minute on the clocks of a time zone: `2026-09-01 08:05`."""
    instant = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    return f"{instant.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"


def instant_words(instant: str, timezone: str) -> Phrase:
    """An instant in ISO form as people write it: day, time and time zone."""
    local = datetime.fromisoformat(instant).astimezone(ZoneInfo(timezone))
    return Phrase(
        "{day} {hour}:{minute} ({zone})",
        day=local.date(),
        hour=f"{local:%H}",
        minute=f"{local:%M}",
        zone=timezone,
    )


def from_to(first: date, last: date | None) -> Phrase:
    """`from 2026-09-01 to 2026-12-31`; `from 2026-09-01` without a last day."""
    if last is None:
        return Phrase("from {first}", first=first)
    return Phrase("from {first} to {last}", first=first, last=last)


def listed_words(words: Iterable[str]) -> str:
    """Words of programs in a list: each is translated where the list is printed."""
    return joined(map(Phrase, words), "{first}, {second}")


def iso(day: date | None) -> str | None:
    """A day as in JSON; None stays None."""
    return day.isoformat() if day else None


def facts_of(value: object, *names: str, null: Collection[str] = ()) -> dict[str, Any]:
    """These fields of a value as JSON has them; those of `null` are None if they are empty."""
    facts = {name: _as_json(getattr(value, name)) for name in names}
    return facts | {name: facts[name] or None for name in null}


def _as_json(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def utc_instant(text: str) -> datetime:
    """The instant of a text in UTC: GeneralizedTime (RFC 4517), an entryCSN up to its first #, or the id of a
    run up to its dash. Raises ValueError. `strptime` takes six times as long, and its import 3 ms."""
    digits, _, fraction = text.removesuffix("Z").replace("T", "", 1).partition(".")
    if len(digits) != 14 or not (digits.isascii() and digits.isdecimal()):
        raise ValueError(text)
    return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}.{fraction[:6]:0<6}+00:00")


def condition(when: Mapping[str, Iterable[str]]) -> str:
    """`fonction ENS or DOC, degree 1D`; `every assignment` without a condition."""
    conditions = (
        Phrase("{name} {values}", name=Phrase(name), values=joined(sorted(values), "{first} or {second}"))
        for name, values in when.items()
    )
    return joined(conditions, "{first}, {second}") or Phrase("every assignment")


def search_words(text: str) -> list[str]:
    """The words of a text as they are searched for: without accents, case and punctuation. Groups of digits
    are one word, as a telephone number is said, +33 as 0."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    words: list[str] = []
    for word in re.findall(r"[^\W_]+", "".join(c for c in letters if not unicodedata.combining(c))):
        if words and words[-1].isdigit() and word.isdigit():
            words[-1] += word
        else:
            words.append(word)
    return [re.sub(r"^(?:00)?33(?=\d{9}$)", "0", word) for word in words]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, also for an object with a name twice, of which other
    programs may take another value; RecursionError."""
    return _DECODER.decode(text if isinstance(text, str) else text.decode(json.detect_encoding(text)))
