"""The upper bound: sends requests that were encoded beforehand as fast as slapd takes them.

    python -m bench.fullspeed URI DN PASSWORD_FILE CHANGES.ber

Up to 500 are in flight at once.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from piactl.directory.client.messages import SEQUENCE, element, header, integer, number, octets

IN_FLIGHT = 500


class Line:
    """One connection over a Unix socket."""

    def __init__(self, uri: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(unquote(uri.removeprefix("ldapi://")))
        self._last = 0
        self._data = b""

    def send(self, operations: Sequence[bytes]) -> None:
        pieces = []
        for operation in operations:
            self._last += 1
            pieces.append(element(SEQUENCE, integer(self._last) + operation))
        self._socket.sendall(b"".join(pieces))

    def replies(self) -> Iterator[bytes]:
        """The operations of the complete replies so far, at least one. Raises RuntimeError for a refusal."""
        offset = 0
        while True:
            try:
                _, start, stop = header(self._data, offset)
                complete = stop <= len(self._data)
            except IndexError:
                complete = False
            if complete:
                _, _, begin = header(self._data, start)
                _check(self._data, begin)
                yield self._data[begin:stop]
                offset = stop
            elif offset:
                self._data = self._data[offset:]
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
    offset = 0
    while offset < len(data):
        _, _, stop = header(data, offset)
        yield data[offset:stop]
        offset = stop


def send(line: Line, requests: Sequence[bytes]) -> None:
    sent = answered = 0
    while answered < len(requests):
        if sent - answered <= IN_FLIGHT // 2:
            batch = requests[sent : answered + IN_FLIGHT]
            line.send(batch)
            sent += len(batch)
        answered += sum(1 for _ in line.replies())


def main(uri: str, dn: str, password_file: str, requests: str) -> None:
    line = Line(uri)
    password = Path(password_file).read_bytes()
    line.one(element(0x60, integer(3) + octets(dn.encode()) + octets(password, 0x80)))
    waiting = list(operations(Path(requests).read_bytes()))
    send(line, waiting)


if __name__ == "__main__":
    main(*sys.argv[1:])
