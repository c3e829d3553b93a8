"""The history of one account: the journal of this host merged with the access log of the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from piactl.dataclass import dataclass
from piactl.directory.dn import normal_dn
from piactl.directory.probe.access_log import LoggedWrite
from piactl.directory.store.accounts import Entry
from piactl.directory.store.attribute_map import SECRETS
from piactl.errors import PiactlError
from piactl.flows.queries.accounts import AccountStore, find_named
from piactl.journal.query import IN_DOUBT, UNDER_WAY, JournalledChange

JOURNAL, ACCESS_LOG = "journal", "access log"

APART = timedelta(seconds=5)
"""The largest clock difference between this host and the server at which a write is recognised in both."""

LONGEST = timedelta(seconds=60)
"""The longest time between an intent and its write if the outcome is unknown."""

_SECRETS = frozenset(name.lower() for name in SECRETS)
_MADE = ("applied", IN_DOUBT, UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Event:
    """One write or attempted write of the account. `sources` are JOURNAL, ACCESS_LOG or both. `author` is the
    person behind the run if the journal knows it, else the DN that wrote. `identity` is that DN or the name
    of its identity of piactl, "" if only the journal has the write. `attributes` are names, None if they may
    not be read; `op` is add, modify, delete or modrdn."""

    time: str
    sources: tuple[str, ...]
    author: str
    identity: str
    run: str
    host: str
    op: str
    dn: str
    kinds: tuple[str, ...]
    attributes: tuple[str, ...] | None
    outcome: str
    reason: str
    message: str


def find_uid(store: AccountStore, name: str) -> str:
    """The uid of the account with this uid, address, alias or matricule, "" if there is none.

    Includes unreadable entries, because their history may show why. Raises PiactlError if several accounts
    have the name.
    """
    entries = find_named(store, name) if name else []
    uids = sorted({entry.account.uid if isinstance(entry, Entry) else entry.uid for entry in entries})
    if len(uids) > 1 and name not in uids:
        raise PiactlError(f"{name}: several accounts have this name ({', '.join(uids)}); give a uid")
    return name if name in uids else "".join(uids)


def recounted(
    changes: Iterable[JournalledChange], writes: Iterable[LoggedWrite], identities: Mapping[str, str]
) -> list[Event]:
    """The events in order of time.

    A write in both sources is one event. They match if entry and operation are equal, the log has every
    attribute of the intent (except secret ones, which it may hide), and its time lies between intent and
    outcome, with a tolerance of APART. The first match counts; each logged write is used once. `identities`
    are the DNs of the identities of piactl by name.
    """
    names = {normal_dn(dn): name for name, dn in identities.items() if dn}
    unmatched: dict[str, list[LoggedWrite]] = {}
    for write in sorted(writes, key=lambda logged: logged.time):
        unmatched.setdefault(normal_dn(write.dn), []).append(write)
    events = []
    for change in changes:
        candidates = unmatched.get(normal_dn(change.dn), [])
        match = next((logged for logged in candidates if _same(change, logged)), None)
        if match is not None:
            candidates.remove(match)
        events.append(_of_journal(change, match, names))
    events += [_of_log(write, names) for writes_of_one in unmatched.values() for write in writes_of_one]
    return sorted(events, key=lambda event: event.time)


def _same(change: JournalledChange, write: LoggedWrite) -> bool:
    if change.outcome not in _MADE or change.op != write.op or write.result:
        return False
    begun = datetime.fromisoformat(change.time)
    over = datetime.fromisoformat(change.settled) if change.settled else begun + LONGEST
    if change.outcome == IN_DOUBT or change.message.startswith("read back"):
        over = begun + LONGEST
    if not begun - APART <= datetime.fromisoformat(write.time) <= over + APART:
        return False
    if write.attributes is None:
        return True
    logged = {name.lower() for name in write.attributes}
    return {name.lower() for name in change.attributes} - _SECRETS <= logged


def _of_journal(change: JournalledChange, write: LoggedWrite | None, names: Mapping[str, str]) -> Event:
    return Event(
        time=change.time,
        sources=(JOURNAL, ACCESS_LOG) if write else (JOURNAL,),
        author=change.author,
        identity=_identity(write.by, names) if write else "",
        run=change.run,
        host=change.host,
        op=change.op,
        dn=change.dn,
        kinds=change.kinds,
        attributes=change.attributes,
        outcome=change.outcome,
        reason=change.reason,
        message=change.message,
    )


def _of_log(write: LoggedWrite, names: Mapping[str, str]) -> Event:
    identity = _identity(write.by, names)
    origin = (
        "by another program"
        if identity == write.by
        else "not in this journal: another host's, pruned, or by hand"
    )
    return Event(
        time=write.time,
        sources=(ACCESS_LOG,),
        author=write.by or "anonymous",
        identity=identity,
        run="",
        host="",
        op=write.op,
        dn=write.dn,
        kinds=(),
        attributes=write.attributes,
        outcome="failed" if write.result else "applied",
        reason="",
        message=f"LDAP result {write.result}; {origin}" if write.result else origin,
    )


def _identity(dn: str, names: Mapping[str, str]) -> str:
    try:
        return names.get(normal_dn(dn), dn)
    except ValueError:
        return dn
