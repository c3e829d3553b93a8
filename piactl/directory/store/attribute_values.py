"""The values of single attributes: SUPANN's words, and values with several fields (assignments, locks,
exceptions, overrides).

Fields are joined by `$`; `$` and `\\` inside a field are written `\\24` and `\\5C`, as the Postal Address
syntax of RFC 4517 does. Days are ISO dates, an open end is blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from piactl.core.model.account import Lock, ServiceException, State
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.model.person import Assignment
from piactl.core.text import utc_instant

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


def join_fields(fields: Sequence[str]) -> str:
    joined = "$".join(fields)
    if "\\" not in joined and joined.count("$") == len(fields) - 1:  # nothing to escape
        return joined
    return "$".join(field.replace("\\", "\\5C").replace("$", "\\24") for field in fields)


def split_fields(text: str, count: int) -> list[str]:
    """The fields of a value. Raises ValueError if their number is not `count`."""
    fields = [field.replace("\\24", "$").replace("\\5C", "\\") for field in text.split("$")]
    if len(fields) != count:
        raise ValueError(f"{len(fields)} fields instead of {count}")
    return fields


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""


def read_day(text: str) -> date:
    """The day of an ISO text. Raises ValueError, also if sums with the day could leave the calendar."""
    day = date.fromisoformat(text)
    if not 1000 <= day.year < 9000:
        raise ValueError(f"no account can mean {day}")
    return day


def _read_day(text: str) -> date | None:
    return read_day(text) if text else None


def assignment_text(a: Assignment) -> str:
    fields = [
        a.uai,
        a.function,
        _day(a.start),
        _day(a.end),
        a.corps,
        a.position,
        a.modality,
        a.discipline,
        a.quotite,
        a.source,
    ]
    if a.locks_until is not None:
        # the feed row is the last field: a base does not cover that one
        return join_fields([*fields, a.matricule, _day(a.locks_until), a.origin])
    own = [a.matricule] if a.matricule else []
    return join_fields([*fields, a.origin, *own])


def read_assignment(text: str) -> Assignment:
    # most have no matricule of their own: they are under the first one of the person
    fields = split_fields(text, min(max(text.count("$") + 1, 11), 13))
    uai, function, start, end, corps, position, modality, discipline, quotite, source, *rest = fields
    matricule, locks_until, origin = "", "", rest[-1]
    if len(rest) == 2:
        origin, matricule = rest
    elif len(rest) == 3:
        matricule, locks_until, _ = rest
    return Assignment(
        uai=uai,
        function=function,
        start=read_day(start),
        end=_read_day(end),
        corps=corps,
        position=position,
        modality=modality,
        discipline=discipline,
        quotite=quotite,
        source=source,
        origin=origin,
        matricule=matricule,
        locks_until=_read_lock_end(locks_until),
    )


def _read_lock_end(text: str) -> date | None:
    return date.max if text == date.max.isoformat() else _read_day(text)


def lock_text(lock: Lock) -> str:
    of_hr = [lock.source] if lock.source else []
    return join_fields([_day(lock.since), _day(lock.until), lock.by, lock.reason, *of_hr])


def read_lock(text: str) -> Lock:
    since, until, by, reason, *of_hr = split_fields(text, 4 if text.count("$") < 4 else 5)
    return Lock(read_day(since), _read_day(until), by, reason, "".join(of_hr))


def exception_text(e: ServiceException) -> str:
    return join_fields(
        ["grant" if e.grants else "deny", e.service, e.uai, _day(e.start), _day(e.end), e.by, e.reason]
    )


def read_exception(text: str) -> ServiceException:
    sort, service, uai, start, end, by, reason = split_fields(text, 7)
    if sort not in ("grant", "deny"):
        raise ValueError(f"{sort!r} is neither grant nor deny")
    return ServiceException(sort == "grant", service, uai, read_day(start), read_day(end), by, reason)


def override_text(override: Override) -> str:
    return join_fields(
        [
            override.kind.value,
            _day(override.until),
            _day(override.made),
            override.by,
            override.reason,
            override.uai,
            override.function,
            _day(override.start),
            _day(override.day),
            override.value,
            override.was,
            override.sponsor,
            str(override.grace),
        ]
    )


def read_override(text: str) -> Override:
    kind, until, made, by, reason, uai, function, start, day, value, was, sponsor, grace = split_fields(
        text, 13
    )
    if not 0 <= int(grace) <= MOST_GRACE:
        raise ValueError(f"no grace lasts {grace} days")
    return Override(
        kind=OverrideKind(kind),
        until=read_day(until),
        made=read_day(made),
        by=by,
        reason=reason,
        uai=uai,
        function=function,
        start=_read_day(start),
        day=_read_day(day),
        value=value,
        was=was,
        sponsor=sponsor,
        grace=int(grace),
    )


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
