"""The history of one account: the journal of this host merged with the access log of the server. And the
writes of accounts that no line of this journal accounts for: by another host, or without piactl.

What people write to their own entries (their password) is left out, and what the server notes at a log in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import normal_dn, parted
from piactl.directory.interfaces import Reader
from piactl.directory.probe.access_log import LoggedWrite, find_logs, writes_since
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.base_digest import WITNESSED
from piactl.edits.account_store import AccountStore, find_named
from piactl.errors import PiactlError
from piactl.journal.query import IN_DOUBT, UNDER_WAY, JournalledChange, LineFilter, changes, csns_since
from piactl.phrase import Phrase, counted, joined

JOURNAL, ACCESS_LOG = "journal", Phrase("access log")

APART = timedelta(seconds=5)
"""The largest clock difference between this host and the server at which a write is recognised in both."""

LONGEST = timedelta(minutes=10)
"""The longest time between an intent and its write if the outcome is unknown, on clocks that may differ."""

_SECRETS = frozenset(name.lower() for name in SECRETS)
_MADE = ("applied", IN_DOUBT, UNDER_WAY)


def find_uid(store: AccountStore, name: str) -> str:
    """The uid of the account with this uid, address, alias or matricule, "" if there is none.

    Includes unreadable entries, because their history may show why. Raises PiactlError if several accounts
    have the name.
    """
    entries = find_named(store, name) if name else []
    uids = sorted({entry.account.uid if isinstance(entry, Entry) else entry.uid for entry in entries})
    if len(uids) > 1 and name not in uids:
        raise PiactlError(
            Phrase(
                "{name}: several accounts have this name ({uids}); give a uid",
                name=name,
                uids=", ".join(uids),
            )
        )
    return name if name in uids else "".join(uids)


def history(
    journalled: Collection[JournalledChange], writes: Collection[LoggedWrite], identities: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The writes and attempted writes of an account in order of time, as `account history -o json` prints
    them. `identities` are the DNs of the identities of piactl by name."""
    names = {normal_dn(dn): name for name, dn in identities.items() if dn}
    rows = [_row(change, write, names) for change, write in paired(journalled, writes)]
    return sorted(rows, key=lambda row: str(row["time"]))


_KEYS = (
    "time", "author", "identity", "sources", "run", "host", "operation", "dn", "kinds", "attributes",
    "outcome", "reason", "message",
)  # fmt: skip


def _row(
    change: JournalledChange | None, write: LoggedWrite | None, names: Mapping[str, str]
) -> dict[str, Any]:
    """`author` is the person behind the run if the journal knows it, else the DN that wrote. `identity` is
    that DN or the name of its identity of piactl, None if only the journal has the write. `attributes` are
    names, None if they may not be read."""
    row: dict[str, Any] = dict.fromkeys(_KEYS)
    row["sources"] = [name for name, there in ((JOURNAL, change), (ACCESS_LOG, write)) if there is not None]
    identity = names.get(normal_dn(write.by), write.by) if write is not None else ""
    row["identity"] = identity or None
    if change is not None:
        row |= {name: getattr(change, name) for name in ("time", "author", "dn", "outcome")}
        row |= {name: getattr(change, name) or None for name in ("run", "host", "reason", "message")}
        row |= {name: list(getattr(change, name)) for name in ("kinds", "attributes")}
        row["operation"] = change.op
    elif write is not None:
        origin = Phrase("not in this journal: another host's, pruned, or by hand")
        if identity == write.by:
            origin = Phrase("by another program")
        row |= {"time": write.time, "dn": write.dn, "operation": write.op, "kinds": []}
        row["author"] = write.by or Phrase("anonymous")
        row["attributes"] = None if write.attributes is None else list(write.attributes)
        row["outcome"] = "failed" if write.result else "applied"
        row["message"] = origin
        if write.result:
            row["message"] = Phrase("LDAP result {result}; {origin}", result=write.result, origin=origin)
    return row


def paired(
    journalled: Collection[JournalledChange], writes: Collection[LoggedWrite]
) -> list[tuple[JournalledChange | None, LoggedWrite | None]]:
    """Each change in the journal with its write in the access log, and the writes without one.

    They belong together if their entryCSN is equal. Without that, if entry and operation are equal, the log
    has every attribute of the intent (except secret ones, which it may hide), and its time lies between
    intent and outcome, with a tolerance of APART, or of LONGEST if the outcome is unknown. The first such
    write counts; each is used once.
    """
    by_csn = {write.csn: write for write in writes if write.csn}
    known = {change.csn for change in journalled if change.csn}
    unmatched: dict[str, list[LoggedWrite]] = {}
    for write in sorted(writes, key=lambda logged: logged.time):
        if write.csn not in known:
            unmatched.setdefault(normal_dn(write.dn), []).append(write)
    pairs: list[tuple[JournalledChange | None, LoggedWrite | None]] = []
    for change in journalled:
        match = by_csn.get(change.csn)
        if match is None:
            candidates = unmatched.get(normal_dn(change.dn), [])
            match = next((write for write in candidates if _same(change, write)), None)
            if match is not None:
                candidates.remove(match)
        pairs.append((change, match))
    return [*pairs, *((None, write) for writes_of_one in unmatched.values() for write in writes_of_one)]


def _same(change: JournalledChange, write: LoggedWrite) -> bool:
    """Whether a write without a known entryCSN is that of the change."""
    if change.outcome not in _MADE or change.op != write.op or write.result:
        return False
    if normal_dn(change.dn) != normal_dn(write.dn):
        return False
    if change.csn and write.csn:
        return change.csn == write.csn
    begun = over = datetime.fromisoformat(change.time)
    apart = APART
    if change.outcome in (IN_DOUBT, UNDER_WAY) or change.message.startswith("read back"):
        apart = LONGEST
    elif change.settled:
        over = datetime.fromisoformat(change.settled)
    if not begun - apart <= datetime.fromisoformat(write.time) <= over + apart:
        return False
    if write.attributes is None:
        return True
    logged = {name.lower() for name in write.attributes}
    return {name.lower() for name in change.attributes} - _SECRETS <= logged


LOOKS_BACK = timedelta(days=7)
"""How far back D51 and the nights look for writes without a line in the journal."""

MOST = 50_000
"""More writes than this that no journal has are not named."""

NAMED = 5
"""How many entries a sentence names."""


def unjournalled_words(writes: Sequence[LoggedWrite]) -> str:
    """Who wrote what, when: the latest few, then a number; "" if there is nothing to say."""
    if len(writes) > MOST:
        return Phrase("more than {most} writes of accounts are not in this journal", most=MOST)
    if not writes:
        return ""
    most = Counter(write.by for write in writes).most_common(NAMED)
    authors = ", ".join(f"{author} {number}" for author, number in most)
    parts = [
        Phrase("{dn} at {time} by {by}", dn=write.dn, time=write.time, by=write.by)
        for write in writes[:NAMED]
    ]
    if len(writes) > NAMED:
        rest = len(writes) - NAMED
        parts.append(Phrase("and {number} more ({authors})", number=rest, authors=authors))
    counts = counted(
        len(writes), "write of accounts not in this journal", "writes of accounts not in this journal"
    )
    return Phrase("{writes}: {parts}", writes=counts, parts=joined(parts))


def _alone(
    directory: DirectorySettings, journal: str, writes: Sequence[LoggedWrite]
) -> Sequence[LoggedWrite]:
    """The writes, of which the journal has no entryCSN, that no line of the journal accounts for, the latest
    first; all if they are too many. Their `by` is the name of an identity of piactl, or a DN."""
    if not 0 < len(writes) <= MOST:
        return writes
    names = {normal_dn(write.dn) for write in writes}
    journalled = [c for c in _changes(journal, writes) if not c.csn and normal_dn(c.dn) in names]
    identities = {normal_dn(i.dn): str(name) for name, i in directory.identities.items() if i.dn}
    alone = [
        replace(write, by=identities.get(normal_dn(write.by), write.by) or Phrase("anonymous"))
        for change, write in paired(journalled, writes)
        if change is None and write is not None
    ]
    return sorted(alone, key=lambda write: write.time, reverse=True)


def _changes(journal: str, writes: Iterable[LoggedWrite]) -> list[JournalledChange]:
    """The changes in the journal since somewhat before the first of the writes."""
    oldest = min(datetime.fromisoformat(write.time) for write in writes)
    return list(changes(journal, LineFilter(since=oldest - LONGEST)))


@dataclass(frozen=True, slots=True)
class Watched:
    """What no journal has of the writes since the last night: `accounts` are those of accounts, the latest
    first, at most MOST and one more; `devices` the accounts with a device, or a link to one, that was
    written: uid -> name of the device, "" for the link -> who and when, in words; uid and name in normal
    spelling (`normal_value`)."""

    accounts: Sequence[LoggedWrite]
    devices: Mapping[str, Mapping[str, str]]


def watch(
    reader: Reader,
    directory: DirectorySettings,
    journal: str,
    began: datetime | None,
    since: datetime | None = None,
) -> Watched:
    """What the `journal` of this host lacks of the writes of accounts since `began`, and of those of devices
    since `since`, None for never. Without an access log nothing is found. Raises PiactlError.

    A device is trusted again if piactl adds it, a link if the help desk puts a device in force. A write of an
    identity that another host has too is taken for one of the journal there, which cannot be read here.
    Almost always all writes are in the journal, which their entryCSN alone shows: then the access log is read
    once, else a second time for what became of each device.
    """
    logs = find_logs(reader, directory.suffix).readable
    firsts = [first for first in (began, since) if first is not None]
    if not firsts or not logs:
        return Watched((), {})
    known = csns_since(journal, min(firsts) - LONGEST - APART)
    others = {normal_dn(i.dn) for i in directory.identities.values() if i.dn and i.elsewhere}
    devices, accounts = _DevicePlaces(reader, directory), normal_dn(directory.accounts)
    of_accounts: list[LoggedWrite] = []
    foreign_device = False
    for log in logs:
        for write in writes_since(reader, log, min(firsts), directory, known):
            if write.by and normal_dn(write.by) in others:
                continue
            if began is not None and write.is_since(began) and _is_of_accounts(write, accounts):
                of_accounts += [write] if len(of_accounts) <= MOST else []
            if since is not None and write.is_since(since) and devices.of(write):
                foreign_device = True
    alone = _alone(directory, journal, of_accounts)
    if not foreign_device or since is None:
        return Watched(alone, {})
    written = [
        (write, places)
        for log in logs
        for write in writes_since(reader, log, since, directory)
        if (places := devices.of(write))
    ]
    changes = [
        change
        for change in _changes(journal, (write for write, _ in written))
        if devices.place(change.dn, change.attributes)[0]
    ]
    return Watched(alone, _unwitnessed(directory, written, changes))


def _is_of_accounts(write: LoggedWrite, accounts: str) -> bool:
    """Whether somebody else than its owner wrote an account or what is below it."""
    name = normal_dn(write.dn)
    below = name.endswith(f",{accounts}")
    return below and not write.result and not write.of_logging_in and not _is_own(name, write.by)


def _is_own(name: str, by: str) -> bool:
    """Whether an entry, or the account above it, wrote itself."""
    author = normal_dn(by) if by else ""
    return bool(author) and (name == author or name.endswith(f",{author}"))


class _DevicePlaces:
    """Which devices and links writes change: the uid of the account, and the name of the device, "" for the
    link."""

    def __init__(self, reader: Reader, directory: DirectorySettings) -> None:
        self._accounts = normal_dn(directory.accounts)
        self._ours = {normal_dn(i.dn) for i in directory.identities.values() if i.dn}
        self._names = {directory.attributes.get(name, name).lower() for name in WITNESSED}
        self._stored = cache(partial(_stored, reader))

    def place(self, dn: str, attributes: Iterable[str]) -> tuple[str, str]:
        """The place that a write of these attributes of an entry changes; no account for another write."""
        first, above = parted(normal_dn(dn))
        if above == self._accounts:
            link = not self._names.isdisjoint(map(str.lower, attributes))
            return first.partition("=")[2] if link else "", ""
        account, top = parted(above)
        return (account.partition("=")[2], first.partition("=")[2]) if top == self._accounts else ("", "")

    def of(self, write: LoggedWrite) -> set[tuple[str, str]]:
        """The places that a write changed."""
        by = normal_dn(write.by) if write.by else ""
        if write.result or (write.of_logging_in and by not in self._ours):  # the latter is the server's own
            return set()
        names_written = [(write.dn, write.seen), *([(write.to, ())] if write.to else ())]
        places = {self.place(self._stored(dn), attributes) for dn, attributes in names_written}
        if write.op == "modrdn" or not normal_dn(write.dn).isascii():
            # the link may name a device that is gone, or spell its name in another way
            places |= {(uid, "") for uid, _ in places}
        return {(uid, name) for uid, name in places if uid}


def _stored(reader: Reader, dn: str) -> str:
    """The DN as the server has it, which compares characters outside ASCII in its own way."""
    if normal_dn(dn).isascii():
        return dn
    entry = reader.read(dn, ["objectClass"])
    first, above = parted(normal_dn(dn))
    return entry.dn if entry is not None else f"{first},{_stored(reader, above)}" if above else dn


def _unwitnessed(
    directory: DirectorySettings,
    writes: Iterable[tuple[LoggedWrite, set[tuple[str, str]]]],
    changes: Sequence[JournalledChange],
) -> dict[str, dict[str, str]]:
    """The devices and links of Watched; `changes` are those of devices and links in the journal."""
    elsewhere = {normal_dn(i.dn) for i in directory.identities.values() if i.dn and i.elsewhere}
    by_csn = {change.csn: change for change in changes if change.csn}
    unsure = [change for change in changes if not change.csn]
    changed: dict[str, dict[str, str]] = {}
    for write, places in sorted(writes, key=lambda logged: logged[0].time):
        change = by_csn.get(write.csn) or next((c for c in unsure if _same(c, write)), None)
        journalled = change is not None or (bool(write.by) and normal_dn(write.by) in elsewhere)
        words = Phrase(
            "no journal has the change of its device by {by} at {time}", by=write.by, time=write.time
        )
        for uid, name in places:
            if not journalled:
                changed.setdefault(uid, {})[name] = words
            elif write.op == "add" if name else change is None or _LINKING & {*change.kinds}:
                changed.get(uid, {}).pop(name, None)
    return {uid: marks for uid, marks in changed.items() if marks}


_LINKING = frozenset({"otp-verify", "otp-resume", "otp-remove"})
"""The kinds of changes after which a link is the one that the help desk wants. What a night suspended stays
foreign, or an undo of that night would put it back."""
