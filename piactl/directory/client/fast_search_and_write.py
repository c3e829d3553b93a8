"""The two hot paths: searches, whose entries are decoded in place, and many writes, which are sent without
waiting for the first answer.

ldap3 takes several times the CPU to decode all accounts or to encode an add (about as much as slapd takes to
apply it; docs/decisions/ldap3-with-a-strategy.md).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import Any

import ldap3
from ldap3 import BASE, LEVEL, SUBTREE
from ldap3.utils import asn1 as _asn1

from piactl.directory.client.controls import (
    ENUMERATED,
    SEQUENCE,
    SET,
    TRUE,
    Control,
    element,
    header,
    integer,
    octets,
)
from piactl.directory.client.result_codes import Result
from piactl.directory.client.strategy import (
    SEARCH_DONE,
    SEARCH_ENTRY,
    DeadlineStrategy,
    Message,
    Spelling,
    spelled_name,
)
from piactl.directory.port import EntryWrite, RawEntry

asn1: Any = _asn1  # its stubs lack types

_SEARCH, _LONGEST_HEADER = 0x63, 10
_SCOPES = {"base": BASE, "one": LEVEL, "subtree": SUBTREE}


class FastSearchStrategy(DeadlineStrategy):
    """The strategy with our decoder for entries."""

    def entry_of(self, message: Message) -> RawEntry:
        return _entry(message.data, message.start, message.end, self.spelled)

    def present_entries(self, message_id: int) -> list[RawEntry]:
        if self._expected.get(message_id) != SEARCH_DONE:
            return []
        data, offset, arrived = self._data, self._at, len(self._data)
        number, entries = integer(message_id), []
        # `receive` reads or refuses everything that is not whole, or not an entry of this search
        while offset + _LONGEST_HEADER <= arrived:
            tag, first, stop = header(data, offset)
            begin = first + len(number)
            if stop > arrived or tag != SEQUENCE or not data.startswith(number, first):
                break
            tag, start, end = header(data, begin)
            if tag != SEARCH_ENTRY or end > stop:
                break
            entries.append(_entry(data, start, end, self.spelled))
            self._at = offset = stop
        return entries


def entry_in(value: bytes, spelled: Spelling) -> RawEntry:
    """The entry in the value of a post-read control (RFC 4527). Raises ValueError or IndexError."""
    _, start, end = header(value, 0)
    if end > len(value):
        raise ValueError("an entry longer than its control")
    return _entry(value, start, end, spelled)


def _entry(data: bytes, start: int, limit: int, spelled: Spelling) -> RawEntry:
    # short lengths are read in place: this loop dominates the cost of a search of the whole directory
    _, start, offset = header(data, start)
    dn = data[start:offset].decode("utf-8", "replace")
    _, offset, end = header(data, offset)
    if end > limit:
        raise ValueError("an entry longer than its message")
    values: dict[str, tuple[bytes, ...]] = {}
    while offset < end:
        _, start, offset = header(data, offset)
        size = data[start + 1]
        if size < 0x80:
            start += 2
            stop = start + size
        else:
            _, start, stop = header(data, start)
        name = data[start:stop]
        _, start, stop = header(data, stop)
        if stop > end:
            raise ValueError("values longer than their entry")
        value_list = []
        while start < stop:
            size = data[start + 1]
            if size < 0x80:
                start += 2
                value_list.append(data[start : start + size])
                start += size
            else:
                _, first, start = header(data, start)
                value_list.append(data[first:start])
        values[spelled.get(name) or spelled_name(name, spelled)] = tuple(value_list)
    return RawEntry(dn, values)


def csn_in(value: bytes | None) -> bytes:
    """The entryCSN in the value of a pre-read or post-read control; empty if there is none."""
    if not value:
        return b""
    try:
        return entry_in(value, {b"entrycsn": "entryCSN"}).first("entryCSN") or b""
    except (ValueError, IndexError):
        # the write was made; without its entryCSN the next night evaluates the account again
        return b""


ControlledWrite = tuple[EntryWrite, Sequence[Control]]
Changes = dict[str, list[tuple[str, Sequence[bytes]]]]

REQUESTS = {"add": "addRequest", "modify": "modifyRequest", "delete": "delRequest"}
_OPERATIONS = {ldap3.MODIFY_ADD: 0, ldap3.MODIFY_DELETE: 1, ldap3.MODIFY_REPLACE: 2}


class PipelinedStrategy(FastSearchStrategy):
    """The strategy with many writes in flight, beside other requests."""

    def post(self, writes: Sequence[ControlledWrite]) -> list[int]:
        """Sends the writes at once and returns the numbers of their requests.

        Raises OSError; any part of the writes may then have been sent.
        """
        numbers = [self.new_number(REQUESTS[write.op]) for write, _ in writes]
        self.send_bytes(
            b"".join(encoded(number, *write) for number, write in zip(numbers, writes, strict=True))
        )
        return numbers

    def answers(self, wanted: Container[int]) -> Iterator[tuple[int, Result]]:
        """The results of one or more of these requests: waits for one, and includes others that have arrived.

        Raises OSError, ValueError or IndexError.
        """
        message = self.receive(wanted)
        yield message.number, self.result_of(message)
        while (present := self.receive_present(wanted)) is not None:
            yield present.number, self.result_of(present)


def changes_of(write: EntryWrite) -> Changes:
    """The changes of a modify in the form of ldap3. A `delete` without values replaces all values."""
    changes: Changes = {}
    for attribute, values in write.delete.items():
        if values:
            changes[attribute] = [(ldap3.MODIFY_DELETE, values)]
        else:
            changes[attribute] = [(ldap3.MODIFY_REPLACE, write.add.get(attribute, ()))]
    for attribute, values in write.add.items():
        if values and write.delete.get(attribute) != ():
            changes.setdefault(attribute, []).append((ldap3.MODIFY_ADD, values))
    return changes


def encoded(number: int, write: EntryWrite, controls: Sequence[Control]) -> bytes:
    """The message of a write, byte for byte as ldap3 encodes it."""
    tail = element(0xA0, b"".join(_control(*control) for control in controls)) if controls else b""
    return element(SEQUENCE, integer(number) + encoded_operation(write) + tail)


def encoded_operation(write: EntryWrite) -> bytes:
    """The operation of a write (RFC 4511 §4.6 to 4.8). Raises ValueError for an unknown one."""
    name = octets(write.dn.encode())
    if write.op == "add":
        return element(0x68, name + element(SEQUENCE, b"".join(_attribute(*i) for i in write.add.items())))
    if write.op == "delete":
        return octets(write.dn.encode(), 0x4A)
    if write.op != "modify":
        raise ValueError(f"no such write: {write.op}")
    changes = [
        element(SEQUENCE, integer(_OPERATIONS[operation], ENUMERATED) + _attribute(attribute, values))
        for attribute, steps in changes_of(write).items()
        for operation, values in steps
    ]
    return element(0x66, name + element(SEQUENCE, b"".join(changes)))


def _attribute(name: str, values: Sequence[bytes]) -> bytes:
    content = octets(values[0]) if len(values) == 1 else b"".join(map(octets, values))
    return element(SEQUENCE, _name(name) + element(SET, content))


@lru_cache(maxsize=256)
def _name(attribute: str) -> bytes:
    return octets(attribute.encode())


def _control(oid: str, critical: bool, value: bytes | None) -> bytes:
    content = b"" if value is None else octets(value)
    return element(SEQUENCE, octets(oid.encode()) + (TRUE if critical else b"") + content)
