"""The access log of a server (slapo-accesslog): who wrote an entry and when, and the names of its attributes.

The log repeats every value that was written. No value leaves this module, only names. A rule of the server
cannot show the names alone, because name and value are one value of `reqMod`. So only the administrator reads
all of it (see slapd/accesslog*). nightly sees author, time and entry of a write, and of its attributes
only those that name the device of an account or that the server notes at a log in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piactl.core.model.settings import DirectorySettings
from piactl.directory import filters
from piactl.directory.dn import normal_dn, parted
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.phrase import Phrase

_READ = (
    "reqStart", "reqType", "reqDN", "reqNewRDN", "reqNewSuperior", "reqAuthzID", "reqResult", "reqMod",
    "entryCSN",
)  # fmt: skip
_SHORT = ("reqStart", "reqType", "reqDN", "entryCSN")
_AT_ONCE, _MANY = 20, 1_000
_OF_THE_SERVER = frozenset(
    name.lower()
    for name in (
        "entryCSN", "entryUUID", "creatorsName", "createTimestamp", "modifiersName", "modifyTimestamp",
        "structuralObjectClass",
    )
)  # fmt: skip
_OF_LOGGING_IN = frozenset(
    name.lower()
    for name in (
        "pwdFailureTime", "pwdLastSuccess", "pwdGraceUseTime", "authTimestamp", "oathTOTPLastTimeStep",
        "oathTOTPTimeStepDrift", "pwdAccountTmpLockoutEnd",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """One write. `time` is UTC, ISO 8601: the exact time of the entryCSN, else the second of `reqStart`
    (the digits after its point are a count, not a time). `op` is add, modify, delete or modrdn; `by` is the
    authorized DN, "" for nobody; `attributes` are the names of the attributes that were written, without
    those that the server keeps for itself, None if not all may be seen; `seen` are those that may; `result`
    is the LDAP code, `csn` the entryCSN that the write left. `to` is the new DN of a modrdn, "" if it may not
    be read."""

    time: str
    dn: str
    op: str
    by: str
    attributes: tuple[str, ...] | None
    result: int
    seen: tuple[str, ...] = ()
    csn: str = ""
    to: str = ""

    @property
    def of_logging_in(self) -> bool:
        """Whether the write only changed what the server notes at a log in, successful or not."""
        names = {name.lower() for name in self.seen}
        return bool(names) and names <= _OF_LOGGING_IN

    def is_since(self, instant: datetime) -> bool:
        """Whether it was made then or later; true if its time is not known to less than a second."""
        first = instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self.time >= first or not self.csn


@dataclass(frozen=True, slots=True)
class FoundLogs:
    """The logs that may be read, and the naming contexts that may not be read, one of which may be a log."""

    readable: tuple[str, ...]
    hidden: tuple[str, ...]


def find_logs(reader: Reader, suffix: str) -> FoundLogs:
    """The access logs of the server in use: naming contexts whose entry is an auditContainer."""
    readable, hidden = [], []
    for context in reader.facts().naming_contexts:
        if context == suffix:
            continue
        entry = reader.read(context, ["objectClass"])
        if entry is None:
            hidden.append(context)
        elif b"auditcontainer" in [value.lower() for value in entry.values.get("objectClass", ())]:
            readable.append(context)
    return FoundLogs(tuple(readable), tuple(hidden))


def names_of_account(reader: Reader, settings: DirectorySettings, uid: str) -> list[str]:
    """The DNs of an account and of what is below it (its devices), as they are now."""
    query = filters.all_of(IN_ACCOUNTS, filters.equals(settings.attributes.get("uid", "uid"), uid))
    names = []
    for account in list(reader.search(settings.accounts, query, ["objectClass"])):
        names += [entry.dn for entry in reader.search(account.dn, filters.ANY_ENTRY, ["objectClass"])]
    return names


def logged_writes(
    reader: Reader, log: str, names: Iterable[str], since: datetime | None = None
) -> Iterator[LoggedWrite]:
    """The writes of the entries with these DNs, in no particular order. Raises like every search."""
    wanted = sorted(set(names))
    for some in filters.equals_one("reqDN", wanted, _AT_ONCE):
        parts = [filters.equals("objectClass", "auditWriteObject"), some]
        if since is not None:
            parts.append(filters.at_least("reqStart", f"{since.astimezone(UTC):%Y%m%d%H%M%S.%fZ}"))
        for entry in reader.search(log, filters.all_of(*parts), _READ):
            yield _write(entry)


def writes_since(
    reader: Reader, log: str, since: datetime, directory: DirectorySettings, known: Collection[str] = ()
) -> Iterator[LoggedWrite]:
    """The writes since then whose entryCSN is not `known`, in no particular order; perhaps only those of
    accounts and of what is below them. A load leaves many others, so the short form of each is read first,
    and then whole those that are unknown, or all if these are too many. Raises like every search."""
    # the fraction of a reqStart counts the operations of its second, and is not a time; an entryCSN has one
    begun = filters.at_least("reqStart", f"{since.astimezone(UTC):%Y%m%d%H%M%S}.000000Z")
    every = filters.all_of(filters.equals("objectClass", "auditWriteObject"), begun)
    queries, accounts = [every], normal_dn(directory.accounts)
    if known:
        unknown = [
            entry.text("reqStart")
            for entry in reader.search(log, every, _SHORT)
            if entry.text("entryCSN") not in known
            and (entry.text("reqType") == "modrdn" or normal_dn(entry.text("reqDN")).endswith(accounts))
        ]
        if len(unknown) <= _MANY:
            queries = [*filters.equals_one("reqStart", unknown, _AT_ONCE)]
    for query in queries:
        for entry in reader.search(log, query, _READ):
            write = _write(entry)
            if write.csn not in known and write.is_since(since):
                yield write


def last_write(entry: RawEntry) -> LoggedWrite:
    """The last write of an entry, according to its own entryCSN, modifiersName and timestamps."""
    added = entry.first("createTimestamp") == entry.first("modifyTimestamp")
    return LoggedWrite(
        time=_iso(entry.text("entryCSN").partition("#")[0]),
        dn=entry.dn,
        op="add" if added else "modify",
        by=entry.text("modifiersName"),
        attributes=None,
        result=0,
        csn=entry.text("entryCSN"),
    )


def _write(entry: RawEntry) -> LoggedWrite:
    result = entry.text("reqResult")
    seen, whole = _names(entry.values.get("reqMod", ()))
    csn = entry.text("entryCSN")
    return LoggedWrite(
        time=_iso(csn.partition("#")[0] or entry.text("reqStart").partition(".")[0].rstrip("Z") + "Z"),
        dn=entry.text("reqDN"),
        op=entry.text("reqType").lower(),
        by=entry.text("reqAuthzID"),
        attributes=seen if whole else None,
        result=int(result) if result.isdigit() else 0,
        seen=seen,
        csn=csn,
        to=_new_name(entry),
    )


def _new_name(entry: RawEntry) -> str:
    first, above = entry.text("reqNewRDN"), entry.text("reqNewSuperior")
    return f"{first},{above or parted(normal_dn(entry.text('reqDN')))[1]}" if first else ""


def _names(values: Iterable[bytes]) -> tuple[tuple[str, ...], bool]:
    """The names in values like `name:+ value`, and whether they are all: every write has an entryCSN, which a
    reader who may see only some values does not see."""
    names = {value.partition(b":")[0].decode("ascii", "replace") for value in values}
    seen = tuple(sorted(name for name in names if name and name.lower() not in _OF_THE_SERVER))
    return seen, any(name.lower() == "entrycsn" for name in names)


def _iso(text: str) -> str:
    """`20261125025153.175927Z` in ISO 8601, as the journal writes instants."""
    if not text.endswith("Z"):
        return text
    try:
        moment = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    except ValueError:
        return text
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_LAST = ("entryCSN", "modifiersName", "createTimestamp", "modifyTimestamp")


def _is_ours(author: str, ours: Collection[str]) -> bool:
    """Whether it is an identity of piactl, or one of another host, which is below it."""
    dn = normal_dn(author) if author else ""
    return dn in ours or dn.partition(",")[2] in ours


def authors(reader: Reader, directory: DirectorySettings, dns: Sequence[str]) -> dict[str, str]:
    """Who wrote each entry, and when, in words, by DN as given. Writes by an identity of piactl are skipped;
    an entry that only such a write is known of is left out."""
    ours = {normal_dn(identity.dn) for identity in directory.identities.values() if identity.dn}
    logged: dict[str, LoggedWrite] = {}
    for log in find_logs(reader, directory.suffix).readable:
        for write in logged_writes(reader, log, dns):
            key = normal_dn(write.dn)
            # nightly, which sees some names alone, says the same as the reader that made the plan
            foreign = not _is_ours(write.by, ours) and write.attributes is not None
            if foreign and not write.result and not write.of_logging_in:
                logged[key] = max(logged.get(key, write), write, key=lambda logged_write: logged_write.time)
    result: dict[str, str] = {}
    for dn in dns:
        foreign_write = logged.get(normal_dn(dn))
        if foreign_write is not None:
            by = foreign_write.by or Phrase("nobody")
            result[dn] = Phrase("by {by} at {time}", by=by, time=foreign_write.time)
            continue
        entry = reader.read(dn, _LAST)
        if entry is not None:
            last = last_write(entry)
            if last.by and not _is_ours(last.by, ours):
                result[dn] = Phrase("last modified by {by} at {time}", by=last.by, time=last.time)
    return result
