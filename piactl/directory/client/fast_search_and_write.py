"""The two hot paths: searches, whose entries are decoded in place, and many writes, which are sent without
waiting for the first answer.

ldap3 takes several times the CPU to decode all accounts or to encode an add (about as much as slapd takes to
apply it), and 50 µs to encode each name of a filter with many names, against 4 µs here
(docs/decisions/ldap3-with-a-strategy.md).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import Any

import ldap3
from ldap3 import BASE, DEREF_NEVER, LEVEL, SUBTREE
from ldap3.operation.search import search_operation
from ldap3.protocol.rfc4511 import ProtocolOp
from ldap3.utils import asn1 as _asn1

from piactl.directory.client.controls import (
    ENUMERATED,
    PAGED,
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
_LONG_FILTER = 500
"""Our own encoder is used for filters of this length or more: about a dozen names."""


class FastSearchStrategy(DeadlineStrategy):
    """The strategy with our decoder for entries and our encoder for searches with long filters."""

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

    def post_search(self, operation: bytes, size: int | None = None, cookie: bytes = b"") -> int:
        """Sends an encoded search (with `size`, for one page) and returns the number of the request;
        `get_response` reads its answer. Raises OSError."""
        number = self.new_number("searchRequest")
        message = integer(number) + operation
        if size is not None:
            paged = element(SEQUENCE, integer(size) + octets(cookie))
            message += element(0xA0, element(SEQUENCE, octets(PAGED.encode()) + TRUE + octets(paged)))
        self.send_bytes(element(SEQUENCE, message))
        return number


def encoded_search(
    base: str, scope: str, time_limit: int, query: str, attributes: tuple[str, ...], size_limit: int = 0
) -> bytes:
    """The operation of a search (RFC 4511 §4.5.1). `scope`: base, one, subtree; `time_limit`: seconds;
    `size_limit`: entries, 0 for no limit."""
    if len(query) >= _LONG_FILTER:
        return _search_of_many(base, _SCOPES[scope], time_limit, query, attributes, size_limit)
    rest = _search_below(_SCOPES[scope], time_limit, query, attributes, size_limit)
    return element(_SEARCH, octets(base.encode()) + rest)


@lru_cache(maxsize=1000)
def _search_below(
    scope: str, time_limit: int, query: str, attributes: tuple[str, ...], size_limit: int
) -> bytes:
    """A search encoded by ldap3, without the base that it begins with. It is cached, because the same few
    searches are made of many entries, and below many entries."""
    search = search_operation(
        "", query, scope, DEREF_NEVER, attributes, size_limit, time_limit, types_only=False,
        auto_escape=True, auto_encode=True,
    )  # fmt: skip
    operation: bytes = asn1.encode(ProtocolOp().setComponentByName("searchRequest", search))
    start = header(operation, 0)[1]
    return operation[header(operation, start)[2] :]


def _search_of_many(
    base: str, scope: str, time_limit: int, query: str, attributes: tuple[str, ...], size_limit: int
) -> bytes:
    """The operation of a search, byte for byte as ldap3 encodes it."""
    names = b"".join(octets(name.encode()) for name in attributes)
    return element(
        _SEARCH,
        octets(base.encode())
        + integer(tuple(_SCOPES.values()).index(scope), ENUMERATED)
        + integer(0, ENUMERATED)  # aliases are not followed
        + integer(size_limit)
        + integer(time_limit)
        + element(0x01, b"\0")  # values too
        + encoded_filter(query)
        + element(SEQUENCE, names),
    )


_JOINED = {"&": 0xA0, "|": 0xA1, "!": 0xA2}
_ORDERED = {">": 0xA5, "<": 0xA6}


def encoded_filter(query: str) -> bytes:
    """The encoding of a filter made by `filters`. Raises ValueError for any other text."""
    data, end = _filter(query, 0)
    if end != len(query):
        raise ValueError("text after the end of a filter")
    return data


def _filter(query: str, offset: int) -> tuple[bytes, int]:
    """The filter that begins at `offset`, and the index of its end."""
    if query[offset : offset + 1] != "(":
        raise ValueError("a filter begins with a parenthesis")
    tag = _JOINED.get(query[offset + 1 : offset + 2])
    if tag is None:
        end = query.index(")", offset)
        return _comparison(query[offset + 1 : end]), end + 1
    parts, offset = [], offset + 2
    while query[offset : offset + 1] != ")":
        part, offset = _filter(query, offset)
        parts.append(part)
    return element(tag, b"".join(parts)), offset + 1


def _comparison(text: str) -> bytes:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise ValueError("a comparison without an attribute or a sign")
    if value == "*":
        return octets(name.encode(), 0x87)
    if name[-1] in _ORDERED:
        return element(_ORDERED[name[-1]], octets(name[:-1].encode()) + octets(_unescaped(value)))
    if value.endswith("*"):
        initial = element(SEQUENCE, octets(_unescaped(value[:-1]), 0x80))
        return element(0xA4, octets(name.encode()) + initial)
    return element(0xA3, octets(name.encode()) + octets(_unescaped(value)))


def _unescaped(value: str) -> bytes:
    first, *escapes = value.split("\\")
    return first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in escapes)


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
