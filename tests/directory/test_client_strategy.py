"""The strategy for ldap3: what it refuses, what it returns, and hot paths that do the same as ldap3."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ldap3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPConnectionIsReadOnlyError
from ldap3.operation.add import add_operation
from ldap3.operation.delete import delete_operation
from ldap3.operation.modify import modify_operation
from ldap3.protocol.convert import build_controls_list
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp
from ldap3.utils.asn1 import decode_message_fast, encode

from piactl.core.model.settings import TlsSettings
from piactl.core.plan.write import Values, Write
from piactl.directory.client.connection import Session, open_session
from piactl.directory.client.messages import (
    Control,
    assertion_control,
    changes_of,
    element,
    encoded,
    entry_at,
    integer,
    message_at,
    octets,
    result_in,
    spelled_name,
    spelling,
)
from piactl.directory.open import open_reader, open_writer
from piactl.errors import DirectoryRefused, DirectoryUnreachable

from .plain_slapd import PEOPLE, PlainSlapd, own_certificate, password, running, ways_to_bind
from .spoiling_proxy import MODIFY, SEARCH, silent_server, wire

FIRST = f"uid=p00000,{PEOPLE}"
CHANGE = Write("modify", FIRST, delete={"sn": (b"person",)}, add={"sn": (b"changed",)})
NEW = Write(
    "add",
    f"uid=new,{PEOPLE}",
    add={"objectClass": (b"inetOrgPerson",), "uid": (b"new",), "cn": (b"x",), "sn": (b"x",)},
)


@pytest.fixture(scope="module")
def slapd() -> Iterator[PlainSlapd]:
    with running(people=30) as server:
        yield server


# ---- what is refused


@pytest.mark.parametrize("write", [NEW, CHANGE, Write("delete", FIRST)], ids=lambda write: write.op)
def test_a_connection_of_a_reader_sends_no_write(write: Write) -> None:
    with running(people=1) as server, wire(server.port) as proxy:
        configured = server.settings(proxy.uri)
        ways: list[Callable[[Session], object]] = [
            lambda opened: opened.write(write, [], "write"),
            lambda opened: opened.post([(write, [])], "write"),
        ]
        for send in ways:
            opened = open_session(proxy.uri, configured, configured.identities["root"], password)
            before = len(proxy.requests)
            with pytest.raises(LDAPConnectionIsReadOnlyError):
                send(opened)
            assert opened.closed
            assert len(proxy.requests) == before


def test_a_reader_opens_only_read_only_connections(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(), "root", password) as reader:
        link = reader._link  # type: ignore[attr-defined]
        with pytest.raises(LDAPConnectionIsReadOnlyError):
            link.live().write(CHANGE, [], "write")
        with pytest.raises(LDAPConnectionIsReadOnlyError):
            link.another().write(CHANGE, [], "write")
        assert reader.read(FIRST, ["sn"]).text("sn") == "person"


def test_an_answer_to_another_kind_of_request_is_not_accepted(slapd: PlainSlapd) -> None:
    """A search that ended with the success of another operation would look like an empty directory."""
    with wire(slapd.port, SEARCH, "wrong kind", position=2) as proxy:
        with open_reader(slapd.settings(proxy.uri), "clerk", password) as reader:
            search = reader.search(PEOPLE, "(objectClass=*)", ["uid"])
            assert len(list(search)) == 31  # it is asked again on a new connection
        assert proxy.fired == 1
    with wire(slapd.port, SEARCH, "wrong kind", position=2, times=10) as proxy:
        with open_reader(slapd.settings(proxy.uri), "clerk", password) as reader:
            with pytest.raises(DirectoryUnreachable, match="another kind"):
                reader.read(FIRST, ["uid"])


def test_a_result_that_ldap3_does_not_know_is_reported(slapd: PlainSlapd) -> None:
    with wire(slapd.port, MODIFY, "result 113", position=2) as proxy:
        with open_writer(slapd.settings(proxy.uri), "clerk", password) as writer:
            with pytest.raises(DirectoryRefused, match=r"\(113\)") as refused:
                list(writer.write([CHANGE]))
    assert refused.value.result == 113


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_a_handshake_that_trickles_ends_at_the_deadline(slapd: PlainSlapd, scheme: str) -> None:
    """The bytes begin a TLS record that never ends; without TLS, an answer to StartTLS."""
    record = (
        b"\x16\x03\x03\x40\x00" + bytes(20) if scheme == "ldaps" else b"\x30\x84\x00\x00\x00\x30" + bytes(20)
    )
    with silent_server(record) as uri:
        configured = slapd.settings(
            uri.replace("ldap", scheme), tls=TlsSettings(starttls=scheme == "ldap"), connect=1
        )
        began = time.monotonic()
        with pytest.raises(DirectoryUnreachable):
            with open_reader(configured, "clerk", password):
                pass
        assert time.monotonic() - began < 4


def test_a_connection_keeps_no_password_whatever_the_way_to_bind(tmp_path: Path) -> None:
    """The connection keeps neither the password of the bind nor a written one."""
    tls, lines = own_certificate(tmp_path)
    secret = b"canary-written-7Rb"
    with running(people=1, tls=lines) as server:
        for uri, identity, way in ways_to_bind(server, tls):
            configured = server.settings(uri, tls=way)
            opened = open_session(uri, configured, configured.identities[identity], password, read_only=False)
            write = Write("modify", FIRST, delete={"userPassword": ()}, add={"userPassword": (secret,)})
            assert opened.write(write, [], "write").code == 0
            texts, seen, todo = [], set(), [opened]
            while todo:
                value: object = todo.pop()
                if id(value) in seen or callable(value) or isinstance(value, type):
                    continue
                seen.add(id(value))
                texts.append(repr(value))
                todo += getattr(value, "__dict__", {}).values()
                todo += value.values() if isinstance(value, dict) else ()
                todo += value if isinstance(value, list | tuple | set) else ()
            assert len(texts) > 50
            assert not [text for text in texts if "canary" in text]
            opened.close()


# ---- what is returned


# ---- the hot paths and ldap3

NAMES = st.sampled_from(["cn", "mail", "description;lang-fr", "userPassword", "1.2.3"])
HELD = st.lists(st.binary(max_size=200), min_size=1, max_size=3).map(tuple)
SOME = st.dictionaries(NAMES, HELD, max_size=4)
DNS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
CONTROLS = st.lists(
    st.one_of(
        st.builds(assertion_control, SOME, SOME).filter(bool),
        st.builds(Control, st.just("1.2.3.4"), st.booleans(), st.binary(max_size=200)),
    ),
    max_size=2,
)
WRITES = st.one_of(
    st.builds(lambda dn, add: Write("add", dn, add={"objectClass": (b"top",), **add}), DNS, SOME),
    st.builds(
        lambda dn, delete, add, replaced: Write(
            "modify", dn, add=add, delete={**delete, **dict.fromkeys(replaced, ())}
        ),
        DNS,
        SOME,
        SOME,
        st.lists(NAMES, max_size=1),
    ),
    st.builds(lambda dn: Write("delete", dn), DNS),
)


OPERATIONS = (ldap3.MODIFY_ADD, ldap3.MODIFY_DELETE, ldap3.MODIFY_REPLACE)


def by_ldap3(number: int, write: Write, controls: list[Control]) -> bytes:
    if write.op == "add":
        kind, request = "addRequest", add_operation(write.dn, write.add, True)
    elif write.op == "delete":
        kind, request = "delRequest", delete_operation(write.dn)
    else:
        changes: dict[str, list[tuple[str, Sequence[bytes]]]] = {}
        for operation, attribute, values in changes_of(write):
            changes.setdefault(attribute, []).append((OPERATIONS[operation], values))
        kind, request = "modifyRequest", modify_operation(write.dn, changes, True)
    message = LDAPMessage()
    message["messageID"] = MessageID(number)
    message["protocolOp"] = ProtocolOp().setComponentByName(kind, request)
    if controls:
        message["controls"] = build_controls_list(controls)
    return bytes(encode(message))


@given(st.integers(1, 2**31 - 1), WRITES, CONTROLS)
@settings(deadline=None, max_examples=200)
def test_writes_are_encoded_as_ldap3_encodes_them(number: int, write: Write, controls: list[Control]) -> None:
    assert encoded(number, write, controls) == by_ldap3(number, write, controls)


def entry_message(dn: str, values: Values) -> bytes:
    attributes = b"".join(
        element(
            0x30, octets(name.encode()) + element(0x31, b"".join(octets(value) for value in attribute_values))
        )
        for name, attribute_values in values.items()
    )
    entry = element(0x64, octets(dn.encode()) + element(0x30, attributes))
    return element(0x30, integer(7) + entry)


@given(DNS, SOME)
@settings(deadline=None, max_examples=200)
def test_entries_are_decoded_as_ldap3_decodes_them(dn: str, values: Values) -> None:
    data = b"xx" + entry_message(dn, values)
    message = message_at(data, 2)
    assert message is not None
    fast = entry_at(message.data, message.start, message.end, spelling(("MAIL", "cn")))
    name, attributes = decode_message_fast(data[2:])["payload"]
    decoded = {one[3][0][3]: tuple(value[3] for value in one[3][1][3]) for one in attributes[3]}
    spelled = spelling(("MAIL", "cn"))
    assert fast.values == {spelled_name(of, spelled): some for of, some in decoded.items()}
    assert fast.dn == name[3].decode()
    assert fast.dn == dn
    assert fast.values == {
        {"mail": "MAIL"}.get(name, name): attribute_values for name, attribute_values in values.items()
    }


@given(DNS, SOME, st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_entries_raise_only_errors_that_end_the_connection(
    dn: str, values: Values, data: st.DataObject
) -> None:
    spoiled = bytearray(entry_message(dn, values))
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    for read in (
        result_in,
        lambda message: entry_at(message.data, message.start, message.end, {}),
    ):
        try:
            message = message_at(bytes(spoiled), 0)
            if message is not None:
                read(message)
        except (ValueError, IndexError):
            pass
