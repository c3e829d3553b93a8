"""The upper bound: requests that were encoded beforehand, sent as fast as slapd takes them, nothing else.

    python -m bench.fullspeed URI DN PASSWORD_FILE CHANGES.ber [TOGETHER]

With TOGETHER so many at a time are one transaction (RFC 5805); else 500 single ones are on their way at once.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from piactl.directory.ber import SEQUENCE, TRUE, element, header, integer, number, octets

IN_FLIGHT = 500
_MOMENT = 0.02
"""Seconds between the last answer of a transaction and its end (see piactl/directory/onetransaction.py)."""

_START, _INSIDE, _END = b"1.3.6.1.1.21.1", b"1.3.6.1.1.21.2", b"1.3.6.1.1.21.3"


class Line:
    """One connection over a Unix socket."""

    def __init__(self, uri: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(unquote(uri.removeprefix("ldapi://")))
        self._last = 0
        self._data = b""

    def send(self, operations: Sequence[bytes], controls: bytes = b"") -> None:
        pieces = []
        for operation in operations:
            self._last += 1
            pieces.append(element(SEQUENCE, integer(self._last) + operation + controls))
        self._socket.sendall(b"".join(pieces))

    def replies(self) -> Iterator[bytes]:
        """The operations of whole replies that have come, of one at least. Raises where one is a refusal."""
        at = 0
        while True:
            try:
                _, start, stop = header(self._data, at)
                whole = stop <= len(self._data)
            except IndexError:
                whole = False
            if whole:
                _, _, begin = header(self._data, start)
                _check(self._data, begin)
                yield self._data[begin:stop]
                at = stop
            elif at:
                self._data = self._data[at:]
                return
            else:
                piece = self._socket.recv(1 << 16)
                if not piece:
                    raise ConnectionError("slapd closed the connection")
                self._data += piece

    def one(self, operation: bytes) -> bytes:
        """The reply to one request."""
        self.send([operation])
        (reply,) = self.replies()
        return reply


def _check(data: bytes, begin: int) -> None:
    _, start, _ = header(data, begin)
    _, first, last = header(data, start)
    code = number(data, first, last)
    if code:
        raise RuntimeError(f"slapd refused a request: result {code}, {data[last : last + 200]!r}")


def operations(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        _, _, stop = header(data, at)
        yield data[at:stop]
        at = stop


def send_singly(line: Line, requests: Sequence[bytes]) -> None:
    sent = answered = 0
    while answered < len(requests):
        if sent - answered <= IN_FLIGHT // 2:
            more = requests[sent : answered + IN_FLIGHT]
            line.send(more)
            sent += len(more)
        answered += sum(1 for _ in line.replies())


def send_together(line: Line, requests: Sequence[bytes], together: int) -> None:
    for first in range(0, len(requests), together):
        some = requests[first : first + together]
        begun = line.one(element(0x77, octets(_START, 0x80)))
        name = octets(_value(begun))
        control = element(SEQUENCE, octets(_INSIDE) + TRUE + name)
        end = element(0x77, octets(_END, 0x80) + octets(element(SEQUENCE, name), 0x81))
        line.send(some, element(0xA0, control))
        answered = 0
        while answered < len(some):
            answered += sum(1 for _ in line.replies())
        time.sleep(_MOMENT)
        line.one(end)


def _value(reply: bytes) -> bytes:
    """The value of an extended response."""
    _, at, end = header(reply, 0)
    while at < end:
        tag, start, at = header(reply, at)
        if tag == 0x8B:
            return reply[start:at]
    raise RuntimeError("slapd began no transaction")


def main(uri: str, dn: str, password_file: str, requests: str, together: str = "0") -> None:
    line = Line(uri)
    password = Path(password_file).read_bytes()
    line.one(element(0x60, integer(3) + octets(dn.encode()) + octets(password, 0x80)))
    waiting = list(operations(Path(requests).read_bytes()))
    if int(together):
        send_together(line, waiting, int(together))
    else:
        send_singly(line, waiting)


if __name__ == "__main__":
    main(*sys.argv[1:])
