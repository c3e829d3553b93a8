"""Opening a connection: TLS, passwords, identities, failover, and the messages when no server answers."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from piactl.core.model.settings import Identity, TlsSettings
from piactl.directory.open import open_reader, open_writer
from piactl.errors import ConfigurationInvalid, DirectoryUnreachable

from .plain_slapd import CLERK, PASSWORDS, PlainSlapd, free_port, password, running
from .spoiling_proxy import SEARCH, silent_server, wire


@pytest.fixture(scope="module")
def slapd() -> Iterator[PlainSlapd]:
    with running(people=3) as server:
        yield server


def refusal(
    server: PlainSlapd,
    *uris: str,
    identity: str = "clerk",
    tls: TlsSettings = TlsSettings(),
    connect: int = 2,
) -> str:
    with pytest.raises(DirectoryUnreachable) as refused:
        with open_reader(server.settings(*uris, tls=tls, connect=connect), identity, password):
            pass
    return str(refused.value)


def test_tls_to_a_server_without_it_fails(slapd: PlainSlapd) -> None:
    assert "StartTLS refused" in refusal(slapd, slapd.uri, tls=TlsSettings(starttls=True))
    assert "127.0.0.1" in refusal(slapd, slapd.uri.replace("ldap:", "ldaps:"))


def test_ldapi_binds_as_external_without_a_password(slapd: PlainSlapd) -> None:
    def nobody(identity: Identity) -> bytes:
        assert identity.external  # asked all the same: its caller may not have this identity
        return b""

    with open_writer(slapd.settings(slapd.ldapi), "host", nobody) as writer:
        assert writer.read(CLERK, ["userPassword"]) is not None
    assert "bind as EXTERNAL refused" in refusal(slapd, slapd.uri, identity="host")


def test_a_wrong_password_is_not_tried_on_every_server(slapd: PlainSlapd) -> None:
    message = refusal(slapd, slapd.uri, slapd.uri.replace("127.0.0.1", "localhost"), identity="mistyped")
    assert "invalidCredentials (49)" in message
    assert CLERK in message
    assert "localhost" not in message
    assert not any(secret.decode() in message for secret in PASSWORDS.values())


def test_a_password_never_travels_in_clear_to_another_host(slapd: PlainSlapd) -> None:
    def never(file: str) -> bytes:
        raise AssertionError("the password was read")

    for uri in ("ldap://192.0.2.1", "ldap://directory.example:389", "ldap://10.0.0.1:1389"):
        with pytest.raises(DirectoryUnreachable, match="in clear"):
            with open_reader(slapd.settings(uri), "clerk", never):
                pass


def test_an_empty_password_is_not_an_anonymous_bind(slapd: PlainSlapd) -> None:
    with pytest.raises(DirectoryUnreachable, match="anonymous"):
        with open_reader(slapd.settings(), "clerk", lambda _identity: b""):
            pass


def test_no_object_of_a_writer_shows_the_password(slapd: PlainSlapd) -> None:
    with open_writer(slapd.settings(), "clerk", password) as writer:
        seen, texts = set(), []
        todo: list[object] = [writer]
        while todo:
            value = todo.pop()
            if id(value) in seen or callable(value) or isinstance(value, type):
                continue
            seen.add(id(value))
            texts.append(repr(value))
            todo.extend(getattr(value, "__dict__", {}).values())
            todo.extend(
                getattr(value, name) for name in getattr(type(value), "__slots__", ()) if hasattr(value, name)
            )
        assert len(texts) > 20
        assert not any("canary" in text for text in texts)


def test_an_unknown_identity_is_a_mistake_in_the_configuration(slapd: PlainSlapd) -> None:
    with pytest.raises(ConfigurationInvalid, match="clerk, host, mistyped, root"):
        with open_reader(slapd.settings(), "cleark", password):
            pass


def test_every_server_that_was_tried_is_named_with_its_reason(slapd: PlainSlapd) -> None:
    closed = f"ldap://127.0.0.1:{free_port()}"
    with silent_server() as silent:
        message = refusal(slapd, closed, silent, "ldapi://%2Fno%2Fsuch%2Fsocket", "http://x", connect=1)
    for uri, words in [
        (closed, "refused"),
        (silent, "within 2 s"),
        ("  ldapi", "no such file"),
        ("http://x", "ldaps://"),
    ]:
        [line] = [line for line in message.splitlines() if uri in line]
        assert words in line


def test_unreachable_servers_are_passed_over_for_the_next(slapd: PlainSlapd) -> None:
    with silent_server() as silent:
        servers = (f"ldap://127.0.0.1:{free_port()}", silent, slapd.uri)
        began = time.monotonic()
        with open_reader(slapd.settings(*servers, connect=1), "clerk", password) as reader:
            assert reader.facts().uri == slapd.uri
        assert time.monotonic() - began < 4


def test_a_trickling_server_cannot_delay_the_bind_beyond_the_deadline(slapd: PlainSlapd) -> None:
    with silent_server(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00") as trickling:
        began = time.monotonic()
        assert "within 2 s" in refusal(slapd, trickling, connect=1)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("fault", ["garbage", "reset after", "half-close", "unavailable"])
def test_a_server_that_fails_at_the_root_dse_is_passed_over(slapd: PlainSlapd, fault: str) -> None:
    with wire(slapd.port, SEARCH, fault) as proxy:
        with open_reader(slapd.settings(proxy.uri, slapd.uri), "clerk", password) as reader:
            assert reader.facts().uri == slapd.uri
        assert proxy.fired == 1


def test_a_server_that_does_not_serve_the_suffix_is_refused(slapd: PlainSlapd) -> None:
    with pytest.raises(DirectoryUnreachable, match="does not serve o=other"):
        with open_reader(replace(slapd.settings(), suffix="o=other"), "clerk", password):
            pass


def test_answers_sent_before_tls_begins_are_not_believed() -> None:
    """An attacker could send the following answers in clear, right behind the answer to StartTLS."""
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(5)

    def serve() -> None:
        link, _ = door.accept()
        with link:
            asked = link.recv(4096)
            number = asked[2 : 4 + asked[3]]  # the message ID with its length: later ones take two bytes
            body = number + b"\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
            bind = b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
            link.sendall(bytes((0x30, len(body))) + body + bind)
            link.recv(4096)

    with running() as server:
        thread = threading.Thread(target=serve)
        thread.start()
        message = refusal(server, f"ldap://127.0.0.1:{door.getsockname()[1]}", tls=TlsSettings(starttls=True))
        thread.join(5)
        door.close()
    assert "intercepted" in message


def test_connections_leave_no_socket_or_thread_behind(slapd: PlainSlapd) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    closed = f"ldap://127.0.0.1:{free_port()}"
    threads = threading.active_count()
    before = open_files()
    for _ in range(5):
        with open_reader(slapd.settings(page=1), "clerk", password) as reader:
            next(reader.search(slapd.settings().accounts, "(objectClass=*)", ["uid"]))
            list(reader.search(slapd.settings().accounts, "(objectClass=*)", ["uid"]))
        refusal(slapd, slapd.uri, identity="mistyped")
        refusal(slapd, slapd.uri.replace("ldap:", "ldaps:"))
        refusal(slapd, closed)
    assert open_files() == before
    assert threading.active_count() == threads
