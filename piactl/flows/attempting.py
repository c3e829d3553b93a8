"""Counting identity checks in the directory, so that every host slows down whoever guesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from piactl.core.attempts import FREE_TRIES, Attempts, all_open_at, recent
from piactl.directory.names import child
from piactl.directory.port import EntryWrite, Outcome, Reader, Writer
from piactl.directory.records import DATA, IN_RECORD, Places, record_write
from piactl.directory.recordtext import loads
from piactl.errors import Exit, PiactlError
from piactl.flows.defaultpolicy import require_default_policy
from piactl.flows.site import Site

ATTEMPTS = "attempts"
_TRIES = 20
"""Times that a count is read anew because another host counted in between."""

Data = dict[str, Any]


class TooManyAttempts(PiactlError):
    """Too many identity checks were wrong: the next is made at `open_at`, not before."""

    exit_code = Exit.REFUSED

    def __init__(self, message: str, open_at: datetime) -> None:
        self.open_at = open_at
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check that was counted as wrong before it was made; `right` takes that back."""

    writer: Writer
    site: Site
    uid: str
    at: datetime

    def right(self) -> None:
        """The check was right: nothing counts against the account any more."""
        for dn in _records(self.writer, self.site, self.uid):
            _change(self.writer, dn, lambda _data: None)
        mine = self.at.isoformat()

        def without(data: Data) -> Data | None:
            failures = list(data.get("failures", []))
            if mine in failures:
                failures.remove(mine)
            return {"failures": failures} if failures else None

        _change(self.writer, _all(self.site), without)


def begin_attempt(writer: Writer, site: Site, uid: str, now: datetime) -> Attempt:
    """Counts one identity check of an account, by compare-and-swap, before it is made.

    Raises TooManyAttempts where the next may not be made yet, and DefaultPolicyMissing; that is not counted.
    """
    require_default_policy(writer, site)
    limit = site.settings.password.failures_per_hour

    def one_more(data: Data) -> Data:
        attempts = _read(data).remembered(now)
        if attempts.open_at is not None and now < attempts.open_at:
            raise TooManyAttempts(
                f"{uid}: too many identity checks were wrong (the last {attempts.failures}); the next "
                f"can be made at {shown_time(attempts.open_at, site)}",
                attempts.open_at,
            )
        failed = attempts.failed(now)
        return {"failures": failed.failures, "last": now.isoformat()}

    def one_more_of_all(data: Data) -> Data:
        failures = recent([datetime.fromisoformat(one) for one in data.get("failures", [])], now)
        open_at = all_open_at(failures, limit)
        if open_at is not None:
            raise TooManyAttempts(
                f"{len(failures)} identity checks, of all accounts, were wrong within the last hour: "
                "somebody may be guessing; each left a note in the journal of its host\n"
                f"The next check of any account can be made at {shown_time(open_at, site)}",
                open_at,
            )
        return {"failures": [one.isoformat() for one in (*failures, now)]}

    one_more_of_all(_data(writer, _all(site))[1])  # refuses before anything is counted
    own = _records(writer, site, uid) or [_names(site, uid)[0]]
    # the account first: who may not try again does not use up the tries of everybody
    _change(writer, own[0], one_more)
    _change(writer, _all(site), one_more_of_all)
    return Attempt(writer, site, uid, now)


def tries_left(reader: Reader, site: Site, uid: str, now: datetime) -> int:
    """How many checks of an account may still be wrong before the next has to wait."""
    failures = sum(_read(_data(reader, dn)[1]).remembered(now).failures for dn in _records(reader, site, uid))
    return max(0, FREE_TRIES - failures)


def forget_old_attempts(writer: Writer, site: Site, now: datetime) -> int:
    """Takes away the counts that count no more; how many. Raises PiactlError."""
    gone = 0
    places = Places(site.settings.directory.state)
    for entry in list(writer.search(places.folder(ATTEMPTS), IN_RECORD, [DATA], scope="one")):
        data = loads(entry.dn, entry.first(DATA))
        if "last" in data and not _read(data).remembered(now).failures:
            write = EntryWrite("delete", entry.dn, delete={DATA: (entry.first(DATA) or b"",)})
            gone += next(iter(writer.write([write]))).outcome is Outcome.APPLIED
    return gone


def shown_time(instant: datetime, site: Site) -> str:
    """An instant in the time of the académie, to the minute."""
    from zoneinfo import ZoneInfo

    zone = site.policy.timezone
    return f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} ({zone})"


def _read(data: Any) -> Attempts:
    last = data.get("last")
    return Attempts(int(data.get("failures", 0)), datetime.fromisoformat(last)) if last else Attempts()


def _names(site: Site, uid: str) -> list[str]:
    """The names that the count of an account may have: digests of the uid, under the current key first."""
    folder = Places(site.settings.directory.state).folder(ATTEMPTS)
    return [child(folder, "cn", digest) for digest in site.keys.candidates(ATTEMPTS, uid)]


def _records(reader: Reader, site: Site, uid: str) -> list[str]:
    """Those of them that are there."""
    return [dn for dn in _names(site, uid) if reader.read(dn, ["cn"]) is not None]


def _all(site: Site) -> str:
    return child(Places(site.settings.directory.state).folder(ATTEMPTS), "cn", "all")


def _data(reader: Reader, dn: str) -> tuple[bytes | None, Data]:
    entry = reader.read(dn, [DATA])
    if entry is None:
        return None, {}
    raw = entry.first(DATA)
    return raw, dict(loads(dn, raw))


def _change(writer: Writer, dn: str, change: Callable[[Data], Data | None]) -> None:
    """Makes a count what `change` makes of it (None: gone), whatever other hosts do at the same time."""
    for _ in range(_TRIES):
        raw, data = _data(writer, dn)
        new = change(data)
        write = record_write(dn, raw, new)
        if write is None:
            return
        result = next(iter(writer.write([write])))
        if result.outcome is Outcome.APPLIED:
            return
        if result.outcome is Outcome.FAILED:
            raise PiactlError(f"the count of identity checks cannot be written: {result.message}")
    raise PiactlError("the count of identity checks changes faster than it can be written; try again")
