"""What slapd makes of a transaction (RFC 5805) that is aborted, and of the rule that keeps it from harm.

The evidence is of slapd 2.6.10. Should a later one pass, the rule may be looked at again.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from piactl.directory.ber import SEQUENCE, TRUE, element, octets
from piactl.directory.loneserver import END, MEMBER, START
from piactl.directory.messages import extended_request, write_request
from piactl.directory.opening import open_writer
from piactl.directory.port import EntryWrite, Outcome, WriteResult
from piactl.directory.servers import Servers
from piactl.errors import DirectoryRefused

from .migration import UNLIMITED, added, migrating, readable
from .plain_slapd import PlainSlapd, password, running


def in_one_transaction(server: PlainSlapd, writes: list[EntryWrite]) -> int:
    """Sends them as one, and asks for it to be made; the result code of that."""
    session = Servers(server.settings(), "root", password, writing=True).connect()
    try:
        name = octets(session.exchange(extended_request(START), [], "begin")[1].value or b"")
        part = element(SEQUENCE, octets(MEMBER.encode()) + TRUE + name)
        for write in writes:
            session.exchange(write_request(write), [part], "write in a transaction")
        return session.exchange(extended_request(END, element(SEQUENCE, name)), [], "end")[1].code
    finally:
        session.close()


def refuse_other_versions() -> None:
    version = subprocess.run(["/usr/sbin/slapd", "-VV"], capture_output=True, text=True, check=False).stderr
    if "slapd 2.6.10" not in version:
        pytest.skip("known of slapd 2.6.10")


LATER = [added("two", mail=b"two@example.fr"), added("three", title=b"x", mail=b"three@example.fr")]


def test_one_failing_member_makes_what_is_written_after_it_unreadable_for_good() -> None:
    """The attribute types that the aborted adds were the first to use lose their numbers on the disk, while
    the running server goes on using them."""
    refuse_other_versions()
    first = added("one", title=b"x", description=b"x")
    with running() as server:
        assert in_one_transaction(server, [first, first]) == 68
        with open_writer(server.settings(), "root", password) as writer:
            # acknowledged, as if nothing was wrong
            assert [result.outcome for result in writer.write(LATER)] == [Outcome.APPLIED] * 2
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
            assert [result.outcome for result in writer.write(LATER)] == [Outcome.APPLIED] * 2
        assert readable(server) == 3


def test_the_same_is_readable_where_a_single_write_brought_the_attributes() -> None:
    """The rule that the writer follows."""
    first = added("one", title=b"x", description=b"x")
    with running() as server:
        with open_writer(server.settings(), "root", password) as writer:
            assert [result.outcome for result in writer.write([first])] == [Outcome.APPLIED]
            assert in_one_transaction(server, [replace(first, dn=first.dn.replace("one", "x")), first]) == 68
            assert [result.outcome for result in writer.write(LATER)] == [Outcome.APPLIED] * 2
        assert readable(server) == 3
        server.kill()
        server.start()
        assert readable(server) == 3


def test_what_cannot_be_read_in_the_end_is_told_with_what_to_do() -> None:
    refuse_other_versions()
    first = added("one", title=b"x", description=b"x")
    with running(extra=UNLIMITED) as server:
        assert in_one_transaction(server, [first, first]) == 68
        writes = [added(f"n{number}", title=b"x", mail=b"x@example.fr") for number in range(200)]
        with migrating(server) as (_, writer):
            known: list[WriteResult] = []
            with pytest.raises(DirectoryRefused, match=r"mdb_entry_decode(?s:.*)empty its database"):
                known.extend(writer.write(writes))
        assert len(known) == 200
