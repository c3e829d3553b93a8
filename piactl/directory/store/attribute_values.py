"""The values of single attributes: SUPANN's words, and values with several fields (assignments, locks,
exceptions, overrides).

Fields are joined by `$`; `$` and `\\` inside a field are written `\\24` and `\\5C`, as the Postal Address
syntax of RFC 4517 does. Days are ISO dates, an open end is blank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_type_hints
from zoneinfo import ZoneInfo

from piactl.core.model.account import Lock, ServiceException, State
from piactl.core.model.overrides import Override
from piactl.core.model.person import Assignment
from piactl.core.text import utc_instant

T = TypeVar("T")

SUPANN_STATES = {
    State.ACTIVE: "A:SupannActif",
    State.ON_LEAVE: "A:SupannActif",
    State.GRACE: "A:SupannSursis",
    State.ANTICIPATED: "I:SupannPrecree",
    State.DEACTIVATED: "I:SupannInactif",
    State.ARCHIVED: "I:SupannSupprDonnees",
}
FORMER_ARCHIVED = "I:SupannSupprCompte"
"""The state of archived accounts in the first layout. It announces a deletion, and none follows."""
LOCKED_STATE = "S:SupannVerrouAdministratif"
CIVILITIES = {"M": "M.", "MR": "M.", "MME": "Mme", "MLLE": "Mlle"}
"""The values of supannCivilite, by what HR writes, in capitals and without its point."""

LABEL = "{PERSO}"


def labelled_mail(address: str) -> str:
    """A private address as a value of supannMailPrive; "" for none."""
    return LABEL + address if address else ""


def plain_mail(value: str) -> str:
    """The address in a value of supannMailPrive, with a label or, as in the first layout, without one."""
    return value.partition("}")[2] if value.startswith("{") else value


MOST_GRACE = 3660


def read_day(text: str) -> date:
    """The day of an ISO text. Raises ValueError, also if sums with the day could leave the calendar."""
    day = date.fromisoformat(text)
    if not 1000 <= day.year < 9000:
        raise ValueError(f"no account can mean {day}")
    return day


def _read_lock_end(text: str) -> date | None:
    return date.max if text == date.max.isoformat() else _READERS[date | None](text)


def _read_sort(text: str) -> bool:
    if text not in ("grant", "deny"):
        raise ValueError(f"{text!r} is neither grant nor deny")
    return text == "grant"


def _read_grace(text: str) -> int:
    if not 0 <= int(text) <= MOST_GRACE:
        raise ValueError(f"no grace lasts {text} days")
    return int(text)


_READERS: Mapping[Any, Callable[[str], Any]] = {
    str: str,
    date: read_day,
    date | None: lambda text: read_day(text) if text else None,
    bool: _read_sort,
    int: _read_grace,
}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "grant" if value else "deny"
    if isinstance(value, Enum):
        return str(value.value)
    return "" if value is None else str(value)


class Fields(Generic[T]):
    """How values of the class `form` are written: its fields with these `names`, in this order. Their types
    say how they are read."""

    def __init__(self, form: type[T], names: str) -> None:
        self._form, self._values, hints = form, attrgetter(*names.split()), get_type_hints(form)
        self._readers = {name: _READERS.get(hints[name], hints[name]) for name in names.split()}
        if "locks_until" in self._readers:
            self._readers["locks_until"] = _read_lock_end

    def text(self, value: T) -> str:
        texts = [one if type(one) is str else _text(one) for one in self._values(value)]
        joined = "$".join(texts)
        if "\\" in joined or joined.count("$") >= len(texts):
            return "$".join(text.replace("\\", "\\5C").replace("$", "\\24") for text in texts)
        return joined

    def read(self, text: str) -> T:
        """Raises ValueError."""
        fields = text.split("$")
        if "\\" in text:
            fields = [field.replace("\\24", "$").replace("\\5C", "\\") for field in fields]
        if len(fields) != len(self._readers):
            raise ValueError(f"{len(fields)} fields instead of {len(self._readers)}")
        values = {name: read(one) for (name, read), one in zip(self._readers.items(), fields, strict=True)}
        return self._form(**values)


EXCEPTION = Fields(ServiceException, "grants service uai start end by reason")
OVERRIDE = Fields(Override, "kind until made by reason uai function start day value was sponsor grace")
_LOCKS = [Fields(Lock, "since until by reason" + more) for more in ("", " source")]
_POST = "uai function start end corps position modality discipline quotite source"
# a base does not cover the last field: the feed row, or the matricule that HR lists the post under
_ASSIGNMENTS = [
    Fields(Assignment, f"{_POST} {more}")
    for more in ("origin", "origin matricule", "matricule locks_until origin")
]


def assignment_text(a: Assignment) -> str:
    return _ASSIGNMENTS[2 if a.locks_until is not None else 1 if a.matricule else 0].text(a)


def read_assignment(text: str) -> Assignment:
    return _ASSIGNMENTS[min(max(text.count("$") - 10, 0), 2)].read(text)


def lock_text(lock: Lock) -> str:
    return _LOCKS[bool(lock.source)].text(lock)


def read_lock(text: str) -> Lock:
    return _LOCKS[text.count("$") > 3].read(text)


def read_proof_change(text: str) -> tuple[str, date]:
    """What changed, and the day, of a text such as `numen 2026-09-01`. Raises ValueError."""
    proof, _, day = text.partition(" ")
    return proof, read_day(day)


@lru_cache(maxsize=4096)
def read_compact_day(text: str) -> date | None:
    """The day of a YYYYMMDD text; None for an empty text. Raises ValueError."""
    return read_day(f"{text[:4]}-{text[4:6]}-{text[6:]}") if text else None


@lru_cache(maxsize=4096)
def midnight(day: date, timezone: str) -> str:
    """The beginning of a day as GeneralizedTime in UTC."""
    local = datetime.combine(day, time(), ZoneInfo(timezone))
    return local.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")


@lru_cache(maxsize=4096)
def civil_day(value: str, timezone: str, *, last: bool) -> date:
    """The civil day of a GeneralizedTime; `last`: of the second before it, as a last day ends at midnight."""
    instant = utc_instant(value)
    read_day(instant.date().isoformat())
    if last:
        instant -= timedelta(seconds=1)
    return instant.astimezone(ZoneInfo(timezone)).date()


@lru_cache(maxsize=4096)
def compact_day(day: date | None) -> str:
    """A day as YYYYMMDD, "" for none."""
    return day.strftime("%Y%m%d") if day else ""
