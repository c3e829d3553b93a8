"""Hot path: decodes the entries of searches in place.

ldap3 takes several times the CPU for a search of all accounts (docs/decisions/ldap3-with-a-strategy.md).
"""

from __future__ import annotations

from piactl.directory.client.controls import header
from piactl.directory.client.strategy import DeadlineStrategy, Message, Spelling, spelled_name
from piactl.directory.port import RawEntry


class FastSearchStrategy(DeadlineStrategy):
    """The strategy with a decoder of its own for entries."""

    def entry_of(self, message: Message) -> RawEntry:
        return _entry(message.data, message.start, message.end, self.spelled)


def entry_in(value: bytes, spelled: Spelling) -> RawEntry:
    """The entry in the value of a post-read control (RFC 4527). Raises ValueError or IndexError."""
    _, start, end = header(value, 0)
    if end > len(value):
        raise ValueError("an entry longer than its control")
    return _entry(value, start, end, spelled)


def _entry(data: bytes, start: int, limit: int, spelled: Spelling) -> RawEntry:
    # short lengths are read in place: this loop is what a search of the whole directory costs
    _, start, at = header(data, start)
    dn = data[start:at].decode("utf-8", "replace")
    _, at, end = header(data, at)
    if end > limit:
        raise ValueError("an entry longer than its message")
    values: dict[str, tuple[bytes, ...]] = {}
    while at < end:
        _, start, at = header(data, at)
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
        held = []
        while start < stop:
            size = data[start + 1]
            if size < 0x80:
                start += 2
                held.append(data[start : start + size])
                start += size
            else:
                _, first, start = header(data, start)
                held.append(data[first:start])
        values[spelled.get(name) or spelled_name(name, spelled)] = tuple(held)
    return RawEntry(dn, values)


def csn_in(value: bytes | None) -> bytes:
    """The entryCSN in the value of a pre-read or post-read control; empty where there is none."""
    if not value:
        return b""
    try:
        return entry_in(value, {b"entrycsn": "entryCSN"}).first("entryCSN") or b""
    except (ValueError, IndexError):
        # the write is done all the same, and without its entryCSN the next night evaluates the account again
        return b""
