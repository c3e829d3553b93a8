"""Content synchronization (RFC 4533), refreshOnly: what changed in a search since a cookie."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from piactl.directory.client.controls import (
    ENUMERATED,
    OCTETS,
    SEQUENCE,
    SET,
    SYNC,
    SYNC_DONE,
    TRUE,
    element,
    header,
    integer,
    octets,
)
from piactl.directory.client.result_codes import Result
from piactl.directory.port import RawEntry, Refresh

UUID_ATTRIBUTE = "entryUUID"

_REFRESH_ONLY = 1
_VALUE, _ID_SET = 0x81, 0xA3
_BOOLEAN, _UUID_SIZE = 0x01, 16


def sync_control(cookie: bytes) -> bytes:
    """The encoded control of a request (§2.2)."""
    value = element(SEQUENCE, integer(_REFRESH_ONLY, ENUMERATED) + octets(cookie))
    return element(SEQUENCE, octets(SYNC.encode()) + TRUE + octets(value))


def refresh_of(entries: Iterable[RawEntry], infos: Iterable[bytes], result: Result) -> Refresh | None:
    """The changes in the answer of a server: its entries with their `entryUUID`, the contents of its
    intermediate messages, and its result. None if the search was refused, or if the answer does not say what
    became of the entries that it leaves out."""
    done = result.controls.get(SYNC_DONE)
    if result.code or done is None:
        return None
    try:
        deletes = _flag(done)
        written = {UUID(entry.text(UUID_ATTRIBUTE)).bytes: entry for entry in entries}
        named = bytearray()
        for info in infos:
            gone, uuids = _id_set(info)
            if gone is not None and gone != deletes:
                return None  # both kinds in one answer
            named += uuids
    except (ValueError, IndexError):
        return None
    return Refresh(written, bytes(named), gone=deletes)


def _flag(done: bytes) -> bool:
    """refreshDeletes of a Sync Done control (§2.4)."""
    _, offset, end = header(done, 0)
    while offset < end:
        tag, start, offset = header(done, offset)
        if tag == _BOOLEAN:
            return done[start] != 0
    return False


def _id_set(info: bytes) -> tuple[bool | None, bytes]:
    """(refreshDeletes, UUIDs) of the content of an intermediate message with a syncIdSet (§2.5); (None, b"")
    for any other message."""
    offset, value = 0, b""
    while offset < len(info):
        tag, start, offset = header(info, offset)
        if tag == _VALUE:
            value = info[start:offset]
    if not value or value[0] != _ID_SET:
        return None, b""
    deletes, uuids = False, b""
    _, offset, end = header(value, 0)
    while offset < end:
        tag, start, offset = header(value, offset)
        if tag == _BOOLEAN:
            deletes = value[start] != 0
        elif tag == SET:
            uuids = _uuids(value[start:offset])
    return deletes, uuids


def _uuids(content: bytes) -> bytes:
    """The UUIDs of a SET OF OCTET STRING, each of 16 bytes, one after the other. Raises ValueError."""
    head = bytes((OCTETS, _UUID_SIZE))
    width = len(head) + _UUID_SIZE
    if len(content) % width or any(
        content[offset : offset + 2] != head for offset in range(0, len(content), width)
    ):
        raise ValueError("a UUID of another size")
    return b"".join(content[offset + 2 : offset + width] for offset in range(0, len(content), width))
