"""Adds of a first migration, sent through a proxy that tells which of them were in a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from piactl.core.settings import FIRST_MIGRATION
from piactl.directory.loneserver import END, MEMBER, START
from piactl.directory.opening import open_reader, open_writer
from piactl.directory.port import EntryWrite, Writer

from .plain_slapd import CLERK, PEOPLE, PlainSlapd, password
from .wire import Wire, wire

UNLIMITED = f'limits dn.base="{CLERK}" size=unlimited'
"""For a server of more than 500 entries: the writer reads them all at the end."""


def added(uid: str, **more: bytes) -> EntryWrite:
    values = {"uid": uid.encode(), "cn": b"x", "sn": b"x", **more}
    add = {"objectClass": (b"inetOrgPerson",), **{name: (value,) for name, value in values.items()}}
    return EntryWrite("add", f"uid={uid},{PEOPLE}", add=add)


def readable(server: PlainSlapd) -> int:
    with open_reader(server.settings(), "root", password) as reader:
        return len(list(reader.search(PEOPLE, "(uid=*)", ["*"])))


@contextmanager
def migrating(
    server: PlainSlapd, *more: str, tag: int = 0x68, fault: str = "", at: int = 1, **settings: Any
) -> Iterator[tuple[Wire, Writer]]:
    """A writer for a first migration, its proxy before it; `more` servers, other `settings`."""
    with wire(server.port, tag, fault, at=at) as proxy:
        usual = server.settings(proxy.uri, *more, operation=2)
        with open_writer(
            replace(usual, **{"transactions": FIRST_MIGRATION, **settings}), "clerk", password
        ) as writer:
            yield proxy, writer


def against(writer: Writer) -> list[str]:
    """Why that writer uses no transactions, or no more."""
    return list(getattr(writer, "against", ["it is none that could"]))


def members(proxy: Wire) -> list[list[bytes]]:
    """The requests of each transaction, in the order of sending; every one was begun and ended."""
    found: list[list[bytes]] = []
    open_ = False
    for request in proxy.requests:
        if START.encode() in request:
            assert not open_
            open_ = True
            found.append([])
        elif END.encode() in request:
            assert open_
            open_ = False
        elif MEMBER.encode() in request:
            assert open_
            found[-1].append(request)
    assert not open_
    return found
