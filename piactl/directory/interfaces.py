"""What planning, runs and answers may ask of a directory: a reader and, for writing, a writer.

Nothing here depends on ldap3. They are given one of these and never pick one; `plan` is given no writer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from piactl.core.plan.write import Values, Write


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as the server returns it."""

    dn: str
    values: Values

    def first(self, attribute: str) -> bytes | None:
        values = self.values.get(attribute, ())
        return values[0] if values else None

    def text(self, attribute: str) -> str:
        """The first value as text, "" if there is none."""
        return (self.first(attribute) or b"").decode("utf-8", "replace")

    def texts(self, attribute: str) -> list[str]:
        """Every value as text."""
        return [value.decode("utf-8", "replace") for value in self.values.get(attribute, ())]


class Outcome(Enum):
    APPLIED = "applied"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result of one write. For a conflict `message` says what changed, by whom and when.

    `csn_before` and `csn_after`: the entryCSN of the entry just before a modify, and just after an add or a
    modify, from the controls of the answer; empty without them.
    """

    write: Write
    outcome: Outcome
    message: str = ""
    csn_before: bytes = b""
    csn_after: bytes = b""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The content of the root DSE. OIDs as text."""

    uri: str
    controls: frozenset[str]
    naming_contexts: tuple[str, ...]
    config_context: str = "cn=config"
    monitor_context: str = "cn=Monitor"
    subschema: str = "cn=Subschema"


class Reader(Protocol):
    """Reads. Every search is complete, or raises DirectoryTruncated or DirectoryUnreachable."""

    def facts(self) -> ServerFacts: ...

    def schema_meets(self, query: str) -> bool:
        """Whether a filter finds the schema of the server; false if the schema is not readable."""

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        """One entry by its DN; None if there is none."""

    def search(
        self,
        base: str,
        query: str,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
        few: bool = False,
        own: bool = False,
    ) -> Iterator[RawEntry]:
        """Entries that `query` (an RFC 4515 filter from `filters`) finds; scope is one or subtree. `few`: the
        search is likely to find at most some hundred entries, which a server finds faster without pages.
        `own`: it looks for single entries of piactl, so a referral in the tree is an entry like any other;
        else it raises DirectoryTruncated.

        A base that does not exist raises DirectoryRefused; it is never an empty result.
        """


class Changeable(Reader, Protocol):
    """Reads, and takes writes: those of a Writer, or some that are only shown."""

    def write(self, writes: Iterable[Write]) -> Generator[WriteResult]:
        """One result per write, in order."""


class Writer(Changeable, Protocol):
    """Reads and writes; after the first write, uses only the server of that write."""

    def who(self) -> str:
        """The DN that the server knows this identity by."""

    def keep_to(self, number: str, write: Write) -> None:
        """From now on uses only the server with this serverID (as in an entryCSN). Each further connection
        makes `write` first, whose answer shows which server it reached: one address may lead to several."""

    def server_times(self) -> dict[str, datetime]:
        """The clock of each other server of the list now, to the second, UTC. Servers that cannot be reached
        and those whose cn=monitor may not be read are left out."""

    def write(self, writes: Iterable[Write]) -> Generator[WriteResult]:
        """One result per write, in order. A write whose reply was lost is read back and resolved.

        The next write is taken from `writes` only when it is about to be sent, so what `writes` does before
        it yields a write (journal it, check the lock) is done before that write is sent. Several writes may
        be in flight at once, but never two of one entry, or of an entry and one above it. If `writes` ends or
        raises, the writes that were sent are accounted for first.

        A fault that would refuse every further write (server gone, read-only, full, a referral, no right)
        raises DirectoryUnreachable or DirectoryRefused after the results that are known, which may include
        results of writes after the one that met the fault. Writes that stay in doubt raise ReplyLost, which
        names them; any other write without a result was not made. Closing the generator before its end waits
        for the writes in flight, and does not report their results.
        """


def write_one(writer: Writer, write: Write) -> WriteResult:
    """Makes one write, and waits for its result."""
    return next(iter(writer.write([write])))


def search_each(
    reader: Reader, base: str, queries: Iterable[str], attributes: Sequence[str]
) -> Iterator[RawEntry]:
    """The entries of several searches of a subtree, one search after the other, each of at most some hundred
    entries."""
    for query in queries:
        yield from reader.search(base, query, attributes, few=True)
