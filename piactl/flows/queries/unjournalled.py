"""Writes of accounts that no line of this host's journal accounts for: by another host, or without piactl.

With an access log that may be read, every write of the period is compared. Without one, the last write of
each account is, by entryCSN and modifiersName: an earlier write of it, or the deletion of an entry, is not
seen. What people write to their own entries (their password) is left out, and without the log also what the
server notes at a log in, in the name of its rootdn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime

from piactl.core.journal_line import journal_owner
from piactl.core.model.settings import DirectorySettings
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.port import Reader
from piactl.directory.probe.access_log import LoggedWrite, find_logs, last_write, writes_since
from piactl.directory.store.accounts import IN_ACCOUNTS
from piactl.directory.store.journal_heads import owners_with_heads
from piactl.directory.store.records import Places
from piactl.flows.queries.history import ACCESS_LOG, APART, LONGEST, Event, recounted
from piactl.journal.query import changes_since

MOST = 50_000
"""More writes than this are not compared."""

NAMED = 5
"""How many entries a sentence names."""

_LAST = ("entryCSN", "modifiersName", "createTimestamp", "modifyTimestamp")


@dataclass(frozen=True, slots=True)
class Unjournalled:
    """The writes, the latest first. `compared` is how many writes were looked at, `log` whether an access log
    was read. `too_many`: there were more than MOST, and none is named. `owners`: of other journals. `reached`
    is the last reqStart of each log."""

    writes: tuple[Event, ...]
    compared: int
    log: bool
    too_many: bool = False
    owners: tuple[str, ...] = ()
    reached: Mapping[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        """Who wrote what, when: the latest few, then a number; "" where there is nothing to say."""
        if self.too_many:
            return f"more than {MOST} accounts were written: not compared with the journal"
        if not self.writes:
            return ""
        authors = ", ".join(f"{who} {n}" for who, n in Counter(map(_author, self.writes)).most_common(NAMED))
        named = "; ".join(f"{event.dn} at {event.time} by {_author(event)}" for event in self.writes[:NAMED])
        more = len(self.writes) - NAMED
        rest = f"; and {more} more ({authors})" if more > 0 else ""
        writes = counted(len(self.writes), "write", "writes")
        others = f" (those of {', '.join(self.owners)} may have them)" if self.owners else ""
        return f"{writes} of accounts not in this journal{others}: {named}{rest}"


def unjournalled(
    reader: Reader,
    directory: DirectorySettings,
    journal: str,
    user: str,
    host: str,
    since: datetime,
    root: str = "",
    after: Mapping[str, str] | None = None,
) -> Unjournalled:
    """The writes since then that the `journal` of a Unix user of this host lacks. Those of identities that
    other Unix users bind as are left to the journals of these. Raises PiactlError.

    `root` is the rootdn; without it, only what piactl's identities wrote is compared where there is no log.
    `after` is the reqStart, by log, up to which all was compared: only what came later is.
    """
    logs = find_logs(reader, directory.suffix).readable
    reached = {log: (after or {}).get(log, "") for log in logs}
    found = (
        _logged(reader, directory, reached, since) if logs else _last_writes(reader, directory, since, root)
    )
    writes: list[LoggedWrite] = []
    for write in found:
        if len(writes) == MOST:
            return Unjournalled((), MOST, bool(logs), too_many=True)
        writes.append(write)
    if not writes:
        return Unjournalled((), 0, bool(logs), reached=reached)
    names = {normal_dn(write.dn) for write in writes}
    oldest = min(datetime.fromisoformat(write.time) for write in writes)
    changes = [c for c in changes_since(journal, oldest - LONGEST - APART) if normal_dn(c.dn) in names]
    identities = {name: identity.dn for name, identity in directory.identities.items()}
    others = {normal_dn(i.dn) for i in directory.identities.values() if i.is_of_another(user) and i.dn}
    writes = [write for write in writes if normal_dn(write.by) not in others]
    alone = [e for e in recounted(changes, writes, identities) if e.sources == (ACCESS_LOG,)]
    owners = owners_with_heads(reader, Places(directory.state), since.date()) - {journal_owner(user, host)}
    return Unjournalled(
        tuple(reversed(alone)), len(writes), bool(logs), owners=tuple(sorted(owners)), reached=reached
    )


def _logged(
    reader: Reader, directory: DirectorySettings, reached: dict[str, str], since: datetime
) -> Iterator[LoggedWrite]:
    """Updates `reached`."""
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


def _author(event: Event) -> str:
    return event.identity or event.author
