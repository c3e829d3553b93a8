"""The history of one account: the journal of this host merged with the access log of the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from piactl.core.model.digests import DigestKeys
from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import normal_dn
from piactl.directory.port import Reader
from piactl.directory.probe.access_log import LoggedWrite
from piactl.directory.store.accounts import Entry, find_accounts
from piactl.directory.store.attribute_map import SECRETS, Encoding
from piactl.errors import PiactlError
from piactl.journal.query import IN_DOUBT, UNDER_WAY, JournalledChange

JOURNAL, ACCESS_LOG = "journal", "access log"

APART = timedelta(seconds=5)
"""How far the clocks of this host and of the server may be apart for a write to be recognised in both."""

LONGEST = timedelta(seconds=60)
"""How long after its intent a write without an outcome may have been made."""

_SECRETS = frozenset(name.lower() for name in SECRETS)
_MADE = ("applied", IN_DOUBT, UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Event:
    """One write of the account, or one that was tried. `sources` are JOURNAL, ACCESS_LOG or both. `author` is
    the person behind the run where the journal knows it, else the DN that wrote; `identity` that DN, or the
    name of piactl's identity that has it, "" where only the journal has the write. `attributes` are names,
    None where they may not be seen; `op` is add, modify, delete or modrdn."""

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


def find_uid(
    reader: Reader, directory: DirectorySettings, encoding: Encoding, keys: DigestKeys, name: str
) -> str:
    """The uid of the account with this uid, address, alias or matricule, "" where there is none.

    Also of an entry that cannot be read as an account: its history may show why. Raises PiactlError where
    several accounts answer to the name.
    """
    entries = find_accounts(reader, directory, encoding, keys, name) if name else []
    uids = sorted({entry.account.uid if isinstance(entry, Entry) else entry.uid for entry in entries})
    if len(uids) > 1 and name not in uids:
        raise PiactlError(f"{name}: several accounts answer to it ({', '.join(uids)}); name one by its uid")
    return name if name in uids else "".join(uids)


def recounted(
    changes: Iterable[JournalledChange], writes: Iterable[LoggedWrite], identities: Mapping[str, str]
) -> list[Event]:
    """The events in the order of their time.

    A write that both have is one event: same entry, same operation, every attribute of the intent (but
    secret ones, which the log may hide) among the logged ones, and a moment between intent and outcome, give
    or take APART. Of several the first; each logged write counts once. `identities` are the DNs of piactl's
    own identities by name.
    """
    names = {normal_dn(dn): name for name, dn in identities.items() if dn}
    left: dict[str, list[LoggedWrite]] = {}
    for write in sorted(writes, key=lambda one: one.time):
        left.setdefault(normal_dn(write.dn), []).append(write)
    events = []
    for change in changes:
        candidates = left.get(normal_dn(change.dn), [])
        same = next((one for one in candidates if _same(change, one)), None)
        if same is not None:
            candidates.remove(same)
        events.append(_of_journal(change, same, names))
    events += [_of_log(write, names) for writes_of_one in left.values() for write in writes_of_one]
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
    there = {name.lower() for name in write.attributes}
    return {name.lower() for name in change.attributes} - _SECRETS <= there


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
    said = (
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
        message=f"LDAP result {write.result}; {said}" if write.result else said,
    )


def _identity(dn: str, names: Mapping[str, str]) -> str:
    try:
        return names.get(normal_dn(dn), dn)
    except ValueError:
        return dn
