"""A TCP proxy to a socket of a server: it delays the data, and can be cut and mended."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

_READ = 1 << 16
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Way:
    """One direction of a connection: the bytes from `source`, with the moments at which `sink` gets them."""

    source: socket.socket
    sink: socket.socket
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)


class Link:
    """Listens on 127.0.0.1 and carries each connection to `target`, a Unix socket or a port of 127.0.0.1.

    `delay` is the time in seconds for which it holds every byte in both directions; it may change at any
    time. `carried` counts the bytes that passed, `refused` the connections that met a cut link.
    """

    def __init__(self, target: Path | int) -> None:
        self.delay = 0.0
        self.carried = 0
        self.refused = 0
        self._family = socket.AF_INET if isinstance(target, int) else socket.AF_UNIX
        self._target = ("127.0.0.1", target) if isinstance(target, int) else str(target)
        self._whole = True
        self._ended = False
        self._ways: list[_Way] = []
        self._selector = selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._quiet = threading.Event()
        self.port = int(self._door.getsockname()[1])
        self.uri = f"{'ldaps' if isinstance(target, int) else 'ldap'}://127.0.0.1:{self.port}"
        self._selector.register(self._door, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self) -> None:
        """Resets every connection, with the data on its way, and new ones. Returns when that is done."""
        self._whole = False
        self._quiet.clear()
        self._wake.send(b"!")
        assert self._quiet.wait(10), "the proxy does not cut its connections"

    def mend(self) -> None:
        """Takes connections again."""
        self._whole = True

    def close(self) -> None:
        self._ended = True
        self._wake.send(b"!")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the thread of the proxy did not end"
        for endpoint in (self._door, self._wake, self._woken):
            endpoint.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._ended:
            due = min((way.queue[0][0] for way in self._ways if way.queue), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic())
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._woken:
                    self._woken.recv(_READ)
                elif key.fileobj is self._door:
                    self._accept()
                elif key.data in self._ways:
                    self._take(key.data)
            if not self._whole:
                self._drop(self._ways)
                self._quiet.set()
            self._pass_on()
        self._drop(self._ways)

    def _accept(self) -> None:
        client, _ = self._door.accept()
        server = socket.socket(self._family)
        try:
            if not self._whole:
                self.refused += 1
                raise ConnectionRefusedError
            server.connect(self._target)
        except OSError:
            server.close()
            _reset(client)
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((client, server), (server, client)):
            source.settimeout(10)
            way = _Way(source, sink)
            self._ways.append(way)
            self._selector.register(source, selectors.EVENT_READ, way)

    def _take(self, way: _Way) -> None:
        try:
            data = way.source.recv(_READ)
        except OSError:
            data = b""
        if data:
            way.queue.append((time.monotonic() + self.delay, data))
        else:
            self._drop(
                [candidate for candidate in self._ways if way.source in (candidate.source, candidate.sink)]
            )

    def _pass_on(self) -> None:
        now = time.monotonic()
        for way in list(self._ways):
            while way in self._ways and way.queue and way.queue[0][0] <= now:
                data = way.queue.popleft()[1]
                try:
                    way.sink.sendall(data)
                    self.carried += len(data)
                except OSError:
                    self._drop(
                        [
                            candidate
                            for candidate in self._ways
                            if way.source in (candidate.source, candidate.sink)
                        ]
                    )

    def _drop(self, ways: list[_Way]) -> None:
        for way in list(ways):
            self._ways.remove(way)
            self._selector.unregister(way.source)
            _reset(way.source)


def _reset(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    link.close()
