"""The history of one account: the journal of this host merged with the access log of the server. And the
writes of accounts that no line of this journal accounts for: by another host, or without piactl.

With an access log that may be read, every write of the period is compared. Without one, only the last write
of each account is compared, by entryCSN and modifiersName: an earlier write of it, or the deletion of an
entry, is not seen. What people write to their own entries (their password) is left out; without the log, so
is what the server notes at a log in, in the name of its rootdn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from piactl.core.model.settings import DirectorySettings
from piactl.core.text import counted
from piactl.directory import filters
from piactl.directory.dn import normal_dn, parted
from piactl.directory.port import Reader
from piactl.directory.probe.access_log import LoggedWrite, find_logs, last_write, writes_since
from piactl.directory.store.accounts import IN_ACCOUNTS, Entry
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.base_digest import WITNESSED
from piactl.errors import PiactlError
from piactl.flows.queries.accounts import AccountStore, find_named
from piactl.journal.query import IN_DOUBT, UNDER_WAY, JournalledChange, LineFilter, changes

JOURNAL, ACCESS_LOG = "journal", "access log"

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
        raise PiactlError(f"{name}: several accounts have this name ({', '.join(uids)}); give a uid")
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
    identity = _identity(write.by, names) if write is not None else ""
    row["identity"] = identity or None
    if change is not None:
        row |= {name: getattr(change, name) for name in ("time", "author", "dn", "outcome")}
        row |= {name: getattr(change, name) or None for name in ("run", "host", "reason", "message")}
        row |= {name: list(getattr(change, name)) for name in ("kinds", "attributes")}
        row["operation"] = change.op
    elif write is not None:
        origin = "not in this journal: another host's, pruned, or by hand"
        if identity == write.by:
            origin = "by another program"
        row |= {"time": write.time, "dn": write.dn, "operation": write.op, "kinds": []}
        row["author"] = write.by or "anonymous"
        row["attributes"] = None if write.attributes is None else list(write.attributes)
        row["outcome"] = "failed" if write.result else "applied"
        row["message"] = f"LDAP result {write.result}; {origin}" if write.result else origin
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
    if change.outcome not in _MADE or change.op != write.op or write.result:
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


def _identity(dn: str, names: Mapping[str, str]) -> str:
    try:
        return names.get(normal_dn(dn), dn)
    except ValueError:
        return dn


LOOKS_BACK = timedelta(days=7)
"""How far back D51 and the nights look for writes without a line in the journal."""

MOST = 50_000
"""More writes than this are not compared."""

NAMED = 5
"""How many entries a sentence names."""

_LAST = ("entryCSN", "modifiersName", "createTimestamp", "modifyTimestamp")


@dataclass(frozen=True, slots=True)
class Unjournalled:
    """The writes, the latest first; their `by` is the name of an identity of piactl, or a DN. `compared` is
    how many writes were read, `log` whether an access log was read. `too_many`: there were more than MOST,
    and none is named. `reached` is the last reqStart of each log."""

    writes: tuple[LoggedWrite, ...]
    compared: int
    log: bool
    too_many: bool = False
    reached: Mapping[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        """Who wrote what, when: the latest few, then a number; "" if there is nothing to say."""
        if self.too_many:
            return f"more than {MOST} accounts were written: not compared with the journal"
        if not self.writes:
            return ""
        most = Counter(write.by for write in self.writes).most_common(NAMED)
        authors = ", ".join(f"{author} {number}" for author, number in most)
        named = "; ".join(f"{write.dn} at {write.time} by {write.by}" for write in self.writes[:NAMED])
        remaining = len(self.writes) - NAMED
        rest = f"; and {remaining} more ({authors})" if remaining > 0 else ""
        writes = counted(len(self.writes), "write")
        return f"{writes} of accounts not in this journal: {named}{rest}"


def unjournalled(
    reader: Reader,
    directory: DirectorySettings,
    journal: str,
    since: datetime,
    root: str = "",
    after: Mapping[str, str] | None = None,
) -> Unjournalled:
    """The writes since then that the `journal` of this host lacks. Writes of identities as which other hosts
    bind are left to their journals. Raises PiactlError.

    `root` is the rootdn; without it, and without a log, only what piactl's identities wrote is compared.
    `after` is the reqStart, by log, up to which all was compared before: only later writes are compared now.
    """
    logs = find_logs(reader, directory.suffix).readable
    reached = {log: (after or {}).get(log, "") for log in logs}
    logged_writes = (
        _logged(reader, directory, reached, since) if logs else _last_writes(reader, directory, since, root)
    )
    writes: list[LoggedWrite] = []
    for write in logged_writes:
        if len(writes) == MOST:
            return Unjournalled((), MOST, bool(logs), too_many=True)
        writes.append(write)
    if not writes:
        return Unjournalled((), 0, bool(logs), reached=reached)
    names = {normal_dn(write.dn) for write in writes}
    journalled = [change for change in _changes_around(journal, writes) if normal_dn(change.dn) in names]
    identities = {normal_dn(i.dn): str(name) for name, i in directory.identities.items() if i.dn}
    others = {normal_dn(i.dn) for i in directory.identities.values() if i.dn and i.elsewhere}
    writes = [write for write in writes if normal_dn(write.by) not in others]
    alone = [
        replace(write, by=_identity(write.by, identities) or "anonymous")
        for change, write in paired(journalled, writes)
        if change is None and write is not None
    ]
    latest = sorted(alone, key=lambda write: write.time, reverse=True)
    return Unjournalled(tuple(latest), len(writes), bool(logs), reached=reached)


def _changes_around(journal: str, writes: Iterable[LoggedWrite]) -> Iterator[JournalledChange]:
    """The changes in the journal among which those of the writes are."""
    oldest = min(datetime.fromisoformat(write.time) for write in writes)
    return changes(journal, LineFilter(since=oldest - LONGEST))


def _logged(
    reader: Reader, directory: DirectorySettings, reached: dict[str, str], since: datetime
) -> Iterator[LoggedWrite]:
    """The writes of accounts in the access logs; updates `reached`."""
    accounts = normal_dn(directory.accounts)
    for log, after in list(reached.items()):
        for write in writes_since(reader, log, since, after):
            reached[log] = max(reached[log], write.start)
            name = normal_dn(write.dn)
            below = name.endswith(f",{accounts}")
            if below and not write.result and not write.of_logging_in and not _is_own(name, write.by):
                yield write


def _last_writes(
    reader: Reader, directory: DirectorySettings, since: datetime, root: str
) -> Iterator[LoggedWrite]:
    stamp = f"{since.astimezone(UTC):%Y%m%d%H%M%S.%f}Z#000000#000#000000"
    query = filters.all_of(IN_ACCOUNTS, filters.at_least("entryCSN", stamp))
    own = {normal_dn(identity.dn) for identity in directory.identities.values() if identity.dn}
    for entry in reader.search(directory.accounts, query, _LAST):
        write = last_write(entry)
        by = normal_dn(write.by)
        ours = by in own or by.partition(",")[2] in own
        if ours or (root and by != normal_dn(root) and not _is_own(normal_dn(write.dn), write.by)):
            yield write


def _is_own(name: str, by: str) -> bool:
    """Whether an entry, or the account above it, wrote itself."""
    author = normal_dn(by) if by else ""
    return bool(author) and (name == author or name.endswith(f",{author}"))


def unwitnessed(
    reader: Reader, directory: DirectorySettings, journal: str, since: datetime
) -> dict[str, dict[str, str]]:
    """The accounts with a device, or a link to one, that was written since then without a line in the
    `journal` of this host: uid -> name of the device, "" for the link -> who and when, in words; uid and name
    in normal spelling (`normal_value`). A device is trusted again if piactl adds it, a link if the help desk
    puts a device in force. A write of an identity that another host has too is taken for one of the journal
    there, which cannot be read here. Raises PiactlError."""
    accounts = normal_dn(directory.accounts)
    ours = {normal_dn(i.dn) for i in directory.identities.values() if i.dn}
    elsewhere = {normal_dn(i.dn) for i in directory.identities.values() if i.dn and i.elsewhere}
    names = {directory.attributes.get(name, name).lower() for name in WITNESSED}

    def place(dn: str, attributes: Iterable[str]) -> tuple[str, str]:
        """The account whose device or link is written, and the name of the device, "" for the link; no
        account for another write."""
        first, above = parted(normal_dn(dn))
        if above == accounts:
            return "" if names.isdisjoint(map(str.lower, attributes)) else first.partition("=")[2], ""
        account, top = parted(above)
        return (account.partition("=")[2], first.partition("=")[2]) if top == accounts else ("", "")

    @cache
    def stored(dn: str) -> str:
        """The DN as the server has it, which compares characters outside ASCII in its own way."""
        if normal_dn(dn).isascii():
            return dn
        entry = reader.read(dn, ["objectClass"])
        first, above = parted(normal_dn(dn))
        return entry.dn if entry is not None else f"{first},{stored(above)}" if above else dn

    written: dict[LoggedWrite, set[tuple[str, str]]] = {}
    for log in find_logs(reader, directory.suffix).readable:
        for write in writes_since(reader, log, since):
            by = normal_dn(write.by) if write.by else ""
            names_written = [(write.dn, write.seen), *([(write.to, ())] if write.to else ())]
            places = {place(stored(dn), attributes) for dn, attributes in names_written}
            if write.op == "modrdn" or not normal_dn(write.dn).isascii():
                # the link may name a device that is gone, or spell its name in another way
                places |= {(uid, "") for uid, _ in places}
            places = {(uid, name) for uid, name in places if uid}
            of_server = write.of_logging_in and by not in ours
            if places and not (write.result or of_server):
                written[write] = places
    if not written:
        return {}
    journalled = [c for c in _changes_around(journal, written) if place(c.dn, c.attributes)[0]]
    pairs = [(change, write) for change, write in paired(journalled, written) if write is not None]
    changed: dict[str, dict[str, str]] = {}
    for change, write in sorted(pairs, key=lambda pair: pair[1].time):
        words = f"no journal has the change of its device by {write.by} at {write.time}"
        for uid, name in written[write]:
            if change is None and not (write.by and normal_dn(write.by) in elsewhere):
                changed.setdefault(uid, {})[name] = words
            elif write.op == "add" if name else change is None or _LINKING & {*change.kinds}:
                changed.get(uid, {}).pop(name, None)
    return {uid: marks for uid, marks in changed.items() if marks}


_LINKING = frozenset({"otp-verify", "otp-resume", "otp-remove"})
"""The kinds of changes after which a link is the one that the help desk wants. What a night suspended stays
foreign, or an undo of that night would put it back."""
