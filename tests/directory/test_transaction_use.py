"""Which writes are in transactions (RFC 5805), and where none is: seen in the bytes that are sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piactl.directory.loneserver import END, MEMBER, START
from piactl.directory.port import EntryWrite, Outcome, Writer
from piactl.directory.transactions import MOST

from .migration import UNLIMITED, added, against, members, migrating, readable
from .plain_slapd import PEOPLE, SUFFIX, running
from .wire import ADD, SEARCH, operation

ROOT = Path(__file__).parents[2]
SCHEMA = f"include {ROOT / 'schemas' / 'ldap' / 'piactl.schema'}"
ACCOUNT = f"""dn: uid=first,{PEOPLE}
objectClass: inetOrgPerson
objectClass: piactlAccount
uid: first
cn: first
sn: first
piactlState: active
piactlIdentifier: first
piactlMatriculeDigest: x

"""


# ---- where they are used


def test_the_adds_of_a_first_migration_are_sent_in_them() -> None:
    with running(extra=UNLIMITED) as server, migrating(server) as (proxy, writer):
        assert START in writer.facts().extensions
        writes = [added(f"n{number}") for number in range(2000)]
        results = list(writer.write(writes))
        assert [result.write for result in results] == writes
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert against(writer) == []
        sizes = [len(group) for group in members(proxy)]
        assert max(sizes) == MOST
        assert sum(sizes) > 1800
        # each add once, no more on their way than may be, and an end when nothing else is
        assert sum(operation(request)[1] == ADD for request in proxy.requests) == 2000
        assert proxy.most <= 64
        ends = [
            count
            for request, count in zip(proxy.requests, proxy.waiting, strict=True)
            if END.encode() in request
        ]
        assert set(ends) == {1}
        assert readable(server) == 2000
        server.kill()
        server.start()
        assert readable(server) == 2000


@pytest.mark.parametrize("in_flight", [2, 17, 500])
def test_no_more_are_on_their_way_than_may_be(in_flight: int) -> None:
    with running(extra=UNLIMITED) as server, migrating(server, in_flight=in_flight) as (proxy, writer):
        assert {r.outcome for r in writer.write([added(f"n{n}") for n in range(1000)])} == {Outcome.APPLIED}
        assert proxy.most <= in_flight
        assert max(map(len, members(proxy))) > 100


def test_what_no_single_write_has_brought_is_in_none() -> None:
    """A new attribute, and a new class, come alone; what follows with them does not."""
    new = {500: "mail", 501: "mail", 900: "TITLE", 1300: "title", 1600: "cn;lang-fr", 1700: "title"}
    writes = [added(f"n{at:04}", **({new[at]: b"new"} if at in new else {})) for at in range(2000)]
    device = {"objectClass": (b"inetOrgPerson", b"simpleSecurityObject"), "userPassword": (b"x",)}
    for at in (1800, 1850):
        writes[at] = replace(writes[at], add={**writes[at].add, **device})
    with running(extra=UNLIMITED) as server, migrating(server) as (proxy, writer):
        assert {result.outcome for result in writer.write(writes)} == {Outcome.APPLIED}
        together = b"".join(request for group in members(proxy) for request in group)
    single = [at for at in (*new, 1800, 1850) if b"uid=n%04d," % at not in together]
    # 501 is asked for while 500 is on its way
    assert set(single) == {500, 501, 900, 1600, 1800}
    assert len(members(proxy)) >= 5


def test_only_adds_are_in_them() -> None:
    writes = [added(f"n{number}") for number in range(400)]
    change = {"delete": {"sn": (b"x",)}, "add": {"sn": (b"y",)}}
    for at in range(300, 400, 7):
        writes.insert(at, EntryWrite("modify", writes[at - 300].dn, **change))
        writes.append(EntryWrite("delete", writes[at - 299].dn))
    with running() as server, migrating(server) as (proxy, writer):
        results = list(writer.write(writes))
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert [result.write for result in results] == writes
        groups = members(proxy)
        assert {operation(request)[1] for group in groups for request in group} == {ADD}
        assert sum(map(len, groups)) > 100


def test_all_is_read_once_in_the_end() -> None:
    """Also where what the writes do in between is a write, as the renewal of a lock is."""

    def coming(writer: Writer) -> Iterator[EntryWrite]:
        for number in range(900):
            if number % 100 == 0:
                assert [r.outcome for r in writer.write([added(f"m{number}")])] == [Outcome.APPLIED]
            yield added(f"n{number}")

    with running(extra=UNLIMITED) as server, migrating(server, page_size=2000) as (proxy, writer):
        assert {result.outcome for result in writer.write(coming(writer))} == {Outcome.APPLIED}
        read = [
            request for request in proxy.requests if operation(request)[1] == SEARCH and b"1.1" in request
        ]
        # whether the base is there, whether it has accounts, and all that is below it in the end
        assert len(read) == 3
        assert proxy.requests[-1] == read[-1]
        assert members(proxy)


def test_what_depends_on_another_one_is_in_another_one() -> None:
    """The server may make those of one in any order."""
    writes = [added(f"n{number}") for number in range(200)]
    below = [replace(added("b"), dn=f"uid=b,{write.dn}") for write in writes[100:]]
    with running() as server, migrating(server) as (proxy, writer):
        assert {result.outcome for result in writer.write([*writes, *below])} == {Outcome.APPLIED}
        for group in members(proxy):
            names = b"".join(group)
            assert not any(names.count(f"uid=n{number},".encode()) > 1 for number in range(100, 200))
        assert readable(server) == 300


# ---- where they are not


SYNCPROV = {"before": "moduleload syncprov", "extra": "overlay syncprov"}
LOGGED = {
    "before": (
        "moduleload accesslog\ndatabase mdb\nsuffix cn=accesslog\nrootdn cn=root,cn=accesslog\n"
        "directory LOG\nindex reqStart eq\naccess to * by * read"
    ),
    "extra": "overlay accesslog\nlogdb cn=accesslog\nlogops writes",
}


@pytest.mark.parametrize(
    ("server_has", "settings", "why"),
    [
        ({}, {"transactions": "never"}, "it is none that could"),
        ({}, {"in_flight": 1}, "it is none that could"),
        (SYNCPROV, {}, f"{SUFFIX} is replicated, or is about to be (contextCSN)"),
        (LOGGED, {}, "the server keeps an access log"),
        ({"before": SCHEMA, "more": ACCOUNT}, {}, "there are accounts already"),
        ({}, {"accounts": f"ou=nowhere,{SUFFIX}"}, f"ou=nowhere,{SUFFIX} is not there, or may not be read"),
        ({}, {"more": "ldap://127.0.0.1:1"}, "more than one server is configured"),
    ],
    ids=["not asked for", "one by one", "replicated", "logged", "accounts", "no base", "two servers"],
)
def test_no_write_is_in_one(
    server_has: dict[str, str], settings: dict[str, Any], why: str, tmp_path: Path
) -> None:
    options = {name: text.replace("LOG", str(tmp_path)) for name, text in server_has.items()}
    more = [settings["more"]] if "more" in settings else []
    others = {name: value for name, value in settings.items() if name != "more"}
    with running(**options) as server, migrating(server, *more, **others) as (proxy, writer):
        results = list(writer.write([added(f"n{number}") for number in range(200)]))
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert against(writer) == [why]
        sent = b"".join(proxy.requests)
    assert sent.count(b"uid=n") == 200
    for oid in (START, MEMBER, END):
        assert oid.encode() not in sent


def test_a_server_that_hides_what_would_tell_gets_none() -> None:
    hiding = f'access to dn.base="{SUFFIX}" attrs=entryCSN,contextCSN by * none'
    with running() as server:
        server.kill()
        server.configure("access to * by dn.base", f"{hiding}\naccess to * by dn.base")
        server.start()
        with migrating(server) as (proxy, writer):
            assert {r.outcome for r in writer.write([added(f"n{n}") for n in range(100)])} == {
                Outcome.APPLIED
            }
            assert against(writer) == [f"{SUFFIX} does not show whether it is replicated or logged"]
        assert members(proxy) == []


def test_two_modules_speak_of_transactions() -> None:
    found = {path.name for path in (ROOT / "piactl").rglob("*.py") if "1.3.6.1.1.21." in path.read_text()}
    assert found == {"loneserver.py"}
