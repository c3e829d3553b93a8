"""Why no write of piactl is part of a transaction (RFC 5805), although slapd offers them.

The evidence is of slapd 2.6.10. Should a later one pass, transactions may be looked at again.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from piactl.directory.ber import FALSE, SEQUENCE, TRUE, element, header, octets
from piactl.directory.deadline import Deadline
from piactl.directory.messages import Message, write_request
from piactl.directory.opening import open_reader, open_writer
from piactl.directory.port import EntryWrite, Outcome
from piactl.directory.servers import Servers
from piactl.directory.session import Session
from piactl.errors import DirectoryRefused

from .plain_slapd import PEOPLE, PlainSlapd, password, running
from .wire import ADD, wire

START, PART_OF, END = b"1.3.6.1.1.21.1", b"1.3.6.1.1.21.2", b"1.3.6.1.1.21.3"


def added(uid: str, **more: bytes) -> EntryWrite:
    values = {"uid": uid.encode(), "cn": b"x", "sn": b"x", **more}
    add = {"objectClass": (b"inetOrgPerson",), **{name: (value,) for name, value in values.items()}}
    return EntryWrite("add", f"uid={uid},{PEOPLE}", add=add)


def started(session: Session) -> bytes:
    """Starts a transaction and gives its identifier."""
    session._strategy.deadline = Deadline(5)
    number = session.send(element(0x77, octets(START, 0x80)))
    answer: Message = session.receive((number,))
    at = answer.start
    while at < answer.end:
        tag, start, at = header(answer.data, at)
        if tag == 0x8B:
            return answer.data[start:at]
    raise AssertionError("no transaction was begun")


def ended(session: Session, transaction: bytes, *, commit: bool) -> int:
    body = (b"" if commit else FALSE) + octets(transaction)
    value = octets(element(SEQUENCE, body), 0x81)
    _, result = session.exchange(element(0x77, octets(END, 0x80) + value), [], "end a transaction")
    return result.code


def in_one_transaction(server: PlainSlapd, writes: list[EntryWrite]) -> int:
    """Sends them as one, and asks for it to be made; the result code of that."""
    session = Servers(server.settings(), "root", password, writing=True).connect()
    try:
        transaction = started(session)
        part = element(SEQUENCE, octets(PART_OF) + TRUE + octets(transaction))
        for write in writes:
            session.exchange(write_request(write), [part], "write in a transaction")
        return ended(session, transaction, commit=True)
    finally:
        session.close()


def readable(server: PlainSlapd) -> int:
    with open_reader(server.settings(), "root", password) as reader:
        return len(list(reader.search(PEOPLE, "(uid=*)", ["*"])))


def test_one_failing_member_makes_what_is_written_after_it_unreadable_for_good() -> None:
    """The attribute types that the aborted adds were the first to use lose their numbers on the disk, while
    the running server goes on using them."""
    version = subprocess.run(["/usr/sbin/slapd", "-VV"], capture_output=True, text=True, check=False).stderr
    if "slapd 2.6.10" not in version:
        pytest.skip("known of slapd 2.6.10")
    first = added("one", title=b"x", description=b"x")
    later = [added("two", mail=b"two@example.fr"), added("three", title=b"x", mail=b"three@example.fr")]
    with running() as server:
        assert in_one_transaction(server, [first, first]) == 68
        with open_writer(server.settings(), "root", password) as writer:
            # acknowledged, as if nothing was wrong
            assert [result.outcome for result in writer.write(later)] == [Outcome.APPLIED] * 2
        with pytest.raises(DirectoryRefused, match="mdb_entry_decode"):
            readable(server)
        server.kill()
        server.start()
        with pytest.raises(DirectoryRefused, match="mdb_entry_decode"):
            readable(server)


def test_the_same_without_a_failing_member_is_readable() -> None:
    """The control: it is the abort that does it."""
    with running() as server:
        assert in_one_transaction(server, [added("one", title=b"x", description=b"x")]) == 0
        with open_writer(server.settings(), "root", password) as writer:
            later = [added("two", mail=b"two@example.fr"), added("three", title=b"x", mail=b"m@example.fr")]
            assert [result.outcome for result in writer.write(later)] == [Outcome.APPLIED] * 2
        assert readable(server) == 3


@pytest.mark.parametrize("in_flight", [1, 64])
def test_no_write_is_part_of_a_transaction_though_the_server_offers_them(
    in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainSlapd, "in_flight", in_flight)
    with running() as server, wire(server.port, ADD) as proxy:
        with open_writer(server.settings(proxy.uri), "clerk", password) as writer:
            assert START.decode() in writer.facts().extensions
            results = list(writer.write([added(f"n{number}") for number in range(200)]))
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        sent = b"".join(proxy.requests)
    assert sent.count(b"uid=n") == 200
    for oid in (START, PART_OF, END):
        assert oid not in sent


def test_no_module_speaks_of_transactions_but_the_one_that_says_why_not() -> None:
    package = Path(__file__).parents[2] / "piactl"
    found = {path.name for path in package.rglob("*.py") if "1.3.6.1.1.21." in path.read_text()}
    assert found == {"pace.py"}
