"""What one person says to another by a record: approvals of plans, and requests of the help desk.

The access rules let an identity add such a record, and nobody change one. Each is sealed under the keys of
piactl together with its name: a copy, or a record that was made without the keys, does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, Protocol, TypeVar

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.plan.write import Write
from piactl.directory.dn import child
from piactl.directory.interfaces import RawEntry
from piactl.directory.store.record_entries import (
    DATA,
    Record,
    UnreadableRecords,
    cn_of,
    dumps,
    new_record,
    parsed,
    text_of,
)
from piactl.directory.store.typed_records import Misshapen, from_json, to_json
from piactl.phrase import Phrase


class Said(Protocol):
    """A statement in a record of that name, made at an instant."""

    @property
    def name(self) -> str: ...
    @property
    def at(self) -> datetime: ...


S = TypeVar("S", bound=Said)


@dataclass(frozen=True, slots=True)
class SealedRecords(Generic[S]):
    """The records of statements of one type. `purpose` is that of their seals, `name_key` the key of their
    name in JSON, which is the name of the record and not in it."""

    type: type[S]
    purpose: str
    name_key: str
    keys: DigestKeys

    def read_all(self, entries: Iterable[RawEntry], unreadable: UnreadableRecords) -> list[S]:
        """The statements that count, the oldest first; other records are added to `unreadable`."""
        read = (
            unreadable.read(entry.dn, entry.first(DATA), partial(self._read, cn_of(entry)))
            for entry in entries
        )
        return sorted(filter(None, read), key=lambda statement: (statement.at, statement.name))

    def read(self, dn: str, name: str, data: bytes | None) -> S:
        """The statement in a record. Raises UnreadableRecord."""
        return parsed(dn, data, partial(self._read, name))

    def write(self, folder: str, statement: S) -> Write:
        """The write of a record; it fails if there is one of that name."""
        record = to_json(statement)
        del record[self.name_key]
        seal = self.keys.digest(self.purpose, _sealed(statement))
        return new_record(child(folder, "cn", statement.name), {**record, "seal": seal})

    def _read(self, name: str, record: Record) -> S:
        statement: S = from_json(self.type, {**record, self.name_key: name})
        if not self.keys.matches(text_of(record, "seal"), self.purpose, _sealed(statement)):
            raise Misshapen(Phrase("its seal is not of piactl's keys: another program wrote it"))
        return statement


def _sealed(statement: Said) -> str:
    return dumps(to_json(statement)).decode()
