"""Hot path: encodes many writes, and sends them without waiting for the first answer.

ldap3 takes several times the CPU to encode an add, about as much as slapd takes to apply it
(docs/decisions/ldap3-with-a-strategy.md).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

import ldap3

from piactl.directory.client.controls import (
    ENUMERATED,
    SEQUENCE,
    SET,
    TRUE,
    Control,
    element,
    integer,
    octets,
)
from piactl.directory.client.fast_search import FastSearchStrategy
from piactl.directory.client.result_codes import Result
from piactl.directory.port import EntryWrite

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
    return element(SEQUENCE, octets(name.encode()) + element(SET, b"".join(octets(v) for v in values)))


def _control(oid: str, critical: bool, value: bytes) -> bytes:
    return element(SEQUENCE, octets(oid.encode()) + (TRUE if critical else b"") + octets(value))
