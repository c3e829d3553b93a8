"""A TCP proxy between a client and a server that spoils chosen LDAP messages and counts them."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MODIFY, ADD, DELETE, SEARCH, BIND, UNBIND, EXTENDED = 0x66, 0x68, 0x4A, 0x63, 0x60, 0x42, 0x77
SEARCH_DONE, DELETE_RESPONSE = 0x65, 0x6B
BUSY, UNAVAILABLE = 51, 52
FAULTS = (
    "drop request", "drop reply", "reset before", "reset after", "half-close", "garbage", "wrong id",
    "disconnection notice", "trickle", "black hole", "delay", "cut reply", "busy", "unavailable",
    "wrong kind",
)  # fmt: skip


def _header(data: bytes, offset: int) -> tuple[int, int]:
    size, start = data[offset + 1], offset + 2
    if size & 0x80:
        count = size & 0x7F
        return int.from_bytes(data[start : start + count], "big"), start + count
    return size, start


def operation(message: bytes) -> tuple[int, int]:
    """(message number, tag of the operation) of a whole LDAP message."""
    _, offset = _header(message, 0)
    size, start = _header(message, offset)
    return int.from_bytes(message[start : start + size], "big"), message[start + size]


def body(message: bytes) -> bytes:
    """An LDAP message without its number."""
    _, offset = _header(message, 0)
    size, start = _header(message, offset)
    return message[start + size :]


def result(number: int, tag: int, code: int, text: str = "") -> bytes:
    """A final message with this result."""
    body = bytes((0x0A, 1, code, 4, 0, 4, len(text))) + text.encode()
    number_part = b"\x02\x04" + number.to_bytes(4, "big")
    rest = number_part + bytes((tag, len(body))) + body
    return bytes((0x30, len(rest))) + rest


class Wire:
    """A proxy for the TCP port or Unix socket `target`.

    It passes everything through, except that the `position`th operation `tag` of all connections meets
    `fault`, `times` times in a row. `fired` counts the faults, `requests` are all requests, `waiting` has for
    each the number of unanswered ones at its time, and `most` is the highest of these. `close` closes
    everything that the proxy opened."""

    def __init__(
        self, target: int | Path, tag: int = MODIFY, fault: str = "", *, position: int = 1, times: int = 1
    ) -> None:
        self.fired = 0
        self.most = 0
        self.requests: list[bytes] = []
        self.waiting: list[int] = []
        self._asked: set[int] = set()
        self._target = target
        self._tag, self._fault, self._at, self._times = tag, fault, position, times
        self._seen = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(0.1)
        self.port = int(self._door.getsockname()[1])
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self._run(self._accept)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._door.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                server = _connected(self._target)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links += [client, server]
            spoiled: dict[int, str] = {}
            self._run(self._pump, client, server, spoiled, True)
            self._run(self._pump, server, client, spoiled, False)

    def _pump(self, source: socket.socket, sink: socket.socket, spoiled: dict[int, str], up: bool) -> None:
        data = b""
        with contextlib.suppress(OSError, ValueError):
            while received := self._received(source):
                data += received
                while len(data) > 6:
                    size, start = _header(data, 0)
                    if len(data) < start + size:
                        break
                    message, data = data[: start + size], data[start + size :]
                    (self._request if up else self._reply)(message, source, sink, spoiled)
        for link in (source, sink):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _received(self, source: socket.socket) -> bytes:
        """The next bytes. A thread waiting in recv would keep the socket open when another one resets it."""
        while not select.select([source], [], [], 0.03)[0]:
            if self._stop.is_set():
                return b""
        return source.recv(65536)

    def _request(
        self, message: bytes, client: socket.socket, server: socket.socket, spoiled: dict[int, str]
    ) -> None:
        number, tag = operation(message)
        self.requests.append(message)
        if tag != UNBIND:
            self._asked.add(number)
        self.waiting.append(len(self._asked))
        self.most = max(self.most, len(self._asked))
        if tag == self._tag:
            with self._lock:
                self._seen += 1
                due = self._fault and self._at <= self._seen < self._at + self._times
                self.fired += bool(due)
            if due and not self._pass_request(number, tag, client, spoiled):
                return
        server.sendall(message)

    def _pass_request(self, number: int, tag: int, client: socket.socket, spoiled: dict[int, str]) -> bool:
        if self._fault in ("drop request", "black hole"):
            return False
        if self._fault == "reset before":
            _reset(client)
            return False
        code = {"busy": BUSY, "unavailable": UNAVAILABLE}.get(self._fault, -1)
        if self._fault.startswith("result "):
            code = int(self._fault.removeprefix("result "))
        if code >= 0:
            answer = {SEARCH: 0x65, BIND: 0x61, DELETE: 0x6B}.get(tag, tag + 1)
            client.sendall(result(number, answer, code, "says the proxy"))
            return False
        spoiled[number] = self._fault
        return True

    def _reply(
        self, message: bytes, server: socket.socket, client: socket.socket, spoiled: dict[int, str]
    ) -> None:
        number, tag = operation(message)
        self._asked.discard(number)
        fault = spoiled.get(number, "")
        if fault in ("", "drop reply"):
            if not fault:
                client.sendall(message)
            return
        if fault == "reset after":
            _reset(client)
        elif fault == "half-close":
            client.shutdown(socket.SHUT_WR)
        elif fault == "garbage":
            client.sendall(b"\x30\x84\xff\xff\xff\xff" + b"HTTP/1.1 400 Bad Request\r\n" * 3)
        elif fault == "wrong id":
            client.sendall(result(number + 77, tag, 0))
        elif fault == "wrong kind":
            client.sendall(result(number, DELETE_RESPONSE if tag != DELETE_RESPONSE else ADD + 1, 0))
        elif fault == "disconnection notice":
            client.sendall(result(0, 0x78, UNAVAILABLE, "going down"))
        elif fault == "cut reply":
            client.sendall(message[: len(message) // 2])
            client.shutdown(socket.SHUT_RDWR)
        elif fault == "trickle":
            for byte in message:
                if self._stop.wait(1.0):
                    return
                client.sendall(bytes((byte,)))
        elif fault == "delay":
            self._stop.wait(0.4)
            client.sendall(message)
        else:
            client.sendall(message)

    def close(self) -> None:
        self._stop.set()
        self._door.close()
        for _ in range(2):
            for link in list(self._links):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
            for thread in list(self._threads):
                thread.join(3)
        for link in self._links:
            link.close()
        assert not any(thread.is_alive() for thread in self._threads), "a thread of the proxy did not end"


def _connected(target: int | Path) -> socket.socket:
    if isinstance(target, int):
        server = socket.create_connection(("127.0.0.1", target), 2)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(2)
    try:
        server.connect(str(target))
    except OSError:
        server.close()
        raise
    return server


def _reset(link: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    raise ConnectionResetError


@contextlib.contextmanager
def wire(
    port: int, tag: int = MODIFY, fault: str = "", *, position: int = 1, times: int = 1
) -> Iterator[Wire]:
    proxy = Wire(port, tag, fault, position=position, times=times)
    try:
        yield proxy
    finally:
        proxy.close()


@contextlib.contextmanager
def silent_server(trickle: bytes = b"") -> Iterator[str]:
    """Takes connections and never answers, or sends the bytes of `trickle` one per second; yields its URI."""
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(0.1)
    stop = threading.Event()
    links: list[socket.socket] = []

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                if not links:
                    links.append(door.accept()[0])
                    continue
                for byte in trickle:
                    if stop.wait(1.0):
                        return
                    links[0].sendall(bytes((byte,)))
                time.sleep(0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ldap://127.0.0.1:{door.getsockname()[1]}"
    finally:
        stop.set()
        thread.join(5)
        for link in [door, *links]:
            link.close()
