"""What changed among all accounts since the sync cache was written, as the server reports it (RFC 4533).

A server with the overlay syncprov returns the entries that were written since a cookie, and names those that
are gone. A night with little to do reads only these. It reads all accounts if the answer cannot be trusted:
on another server; if the directory lacks the end of the run that wrote the cache (a restored directory); if a
write of this run has no later entryCSN than the cookie (a clock set back); if an entry is gone, or an account
is not in the list of accounts; and after MOST_NIGHTS.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta

from piactl.core.plan.run_state import RunStatus, Vanished
from piactl.core.plan.sync_cache import Seen, SyncCache
from piactl.core.text import utc_instant
from piactl.dataclass import dataclass
from piactl.directory.port import Reader
from piactl.directory.store.account_list import Listed
from piactl.directory.store.accounts import CSN, IN_ACCOUNTS
from piactl.directory.store.attribute_scans import UUID, Stamp, read_context_csns
from piactl.directory.store.records import DATA, Places, UnreadableRecords
from piactl.directory.store.run_records import read_run
from piactl.flows.plan.inputs.account_index import ManagedAccounts

MOST_NIGHTS = 7
"""The number of nights after which all accounts are read again."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""An instant before any account was written."""

_UUID_SIZE = 16


@dataclass(frozen=True, slots=True)
class Changes:
    """The accounts that were written since the sync cache, and what a run has now seen of all accounts.

    `since`: no account whose entryCSN has an earlier time was written since the sync cache. None if that is
    unknown, or the cookie is older than MOST_NIGHTS days.
    """

    written: tuple[Stamp, ...] = field(repr=False)
    seen: Seen
    since: datetime | None = None


def cookie_of(reader: Reader, base: str) -> str:
    """The cookie for what changes from now on; "" if the server keeps no contextCSN (overlay syncprov)."""
    csns = sorted(read_context_csns(reader, base))
    return f"rid=000,csn={';'.join(csns)}" if csns else ""


def changes_since(
    accounts: ManagedAccounts,
    old: SyncCache,
    own_csn: str,
    listed: Mapping[str, Listed],
    vanished: Mapping[str, Vanished],
) -> Changes | None:
    """What changed since the run that wrote `old`; None if every account has to be read.

    `own_csn` is the entryCSN of a write that this run has made, "" for none. `listed` are the accounts in the
    list of accounts, `vanished` those of them that were known to be gone.
    """
    seen, reader = old.seen, accounts.reader
    if not (own_csn and seen.cookie) or seen.nights >= MOST_NIGHTS or not _is_later(own_csn, seen.cookie):
        return None
    if reader.facts().server != old.server or not _has_end_of(reader, accounts.directory.state, old.run):
        return None
    uid, matricule = map(accounts.encoding.name, ("uid", "supannEmpId"))
    cookie = cookie_of(reader, accounts.directory.accounts)
    base, attributes = accounts.directory.accounts, (uid, matricule, CSN, UUID)
    refresh = reader.refresh(base, IN_ACCOUNTS, attributes, seen.cookie)
    if refresh is None or not cookie:
        return None
    written = refresh.written
    seen_uuids = set(_each(seen.uuids))  # with a million accounts, one such set is enough
    new = [uuid for uuid in written if uuid not in seen_uuids]
    count = len(seen_uuids) + len(new)
    if refresh.gone:
        lost = any(uuid in seen_uuids for uuid in _each(refresh.named))
    else:
        lost = _differ(seen_uuids, refresh.named, written.keys())
    stamps = tuple(
        (raw.text(uid), raw.text(matricule) or None, raw.first(CSN) or b"") for raw in written.values()
    )
    complete = count == len(listed) - sum(uid in listed for uid in vanished)
    if lost or not complete or any(stamp[0] not in listed for stamp in stamps):
        return None
    after = Seen(cookie, b"".join([seen.uuids, *new]), seen.nights + 1)
    since = _first_change(seen.cookie, cookie) if _age(seen.cookie, own_csn).days < MOST_NIGHTS else None
    return Changes(stamps, after, since)


def _each(uuids: bytes) -> Iterator[bytes]:
    return (uuids[offset : offset + _UUID_SIZE] for offset in range(0, len(uuids), _UUID_SIZE))


def _differ(seen_uuids: set[bytes], named: bytes, written: Collection[bytes]) -> bool:
    """Whether the named entries, apart from the written ones, which may be named too, differ from
    `seen_uuids`. Removes those that are the same from `seen_uuids`."""
    for uuid in _each(named):
        if uuid in seen_uuids:
            seen_uuids.discard(uuid)
        elif uuid not in written:
            return True
    return any(uuid not in written for uuid in seen_uuids)


def _is_later(csn: str, cookie: str) -> bool:
    """Whether an entryCSN is later than all that the cookie has of the same server."""
    return csn > _csns(cookie).get(_server(csn), "")


def _first_change(before: str, after: str) -> datetime | None:
    """The earliest time that the entryCSN of a write between two cookies can have: the oldest of the last
    entryCSNs, in the first cookie, of the servers that wrote. None if a server wrote for the first time, or
    if none wrote."""
    known, now = _csns(before), _csns(after)
    if not now.keys() <= known.keys():
        return None
    moved = [min(known[server], now[server]) for server in now if now[server] != known[server]]
    return _time(min(moved)) if moved else None


def _age(cookie: str, csn: str) -> timedelta:
    """The time from the last write that a cookie knows to the write with this entryCSN."""
    return _time(csn) - max(map(_time, _csns(cookie).values()))


def _time(csn: str) -> datetime:
    return utc_instant(csn.partition("#")[0])


def _csns(cookie: str) -> dict[str, str]:
    """The last entryCSN of each server in a cookie, by its number."""
    return {_server(csn): csn for csn in cookie.partition("csn=")[2].split(";")}


def _server(csn: str) -> str:
    return "".join(csn.split("#")[2:3])


def _has_end_of(reader: Reader, state: str, run: str) -> bool:
    """Whether the directory has the record of a run as the end of that run wrote it."""
    place = Places(state).run(run)
    entry = reader.read(place, [DATA])
    record = UnreadableRecords().read(place, entry.first(DATA) if entry else None, read_run)
    return record is not None and record["status"] == RunStatus.DONE.value
