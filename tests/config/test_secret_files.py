"""Password and key files: who may read them, and that no error shows what they hold."""

from __future__ import annotations

import os
import traceback

import pytest

from piactl.errors import SecretUnusable
from piactl.host.secret_files import new_keys_text, read_keys, read_password

CANARY = "canari-7e9e2b"


@pytest.fixture
def private(tmp_path):
    def write(content: bytes, mode: int = 0o600) -> str:
        path = tmp_path / "secret"
        path.unlink(missing_ok=True)  # an ordinary user writes into no file of mode 0440
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    return write


def refusal(reader, path: str) -> str:
    with pytest.raises(SecretUnusable) as caught:
        reader(path)
    text = "".join(traceback.format_exception(caught.value))
    assert CANARY not in text
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"mot de passe", b"mot de passe"),
        (b"mot de passe\n", b"mot de passe"),
        (b"mot de passe\r\n", b"mot de passe"),
        (b" blancs \n", b" blancs "),
        ("éàü".encode(), "éàü".encode()),
    ],
)
def test_a_password_is_the_line_of_its_file(private, content, password):
    assert read_password(private(content)) == password


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize("reader", [read_password, read_keys])
def test_private_file_modes_are_accepted(private, mode, reader):
    assert reader(private(b"k1 " + b"ab" * 32, mode))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o644])
@pytest.mark.parametrize("reader", [read_password, read_keys])
def test_file_modes_open_to_others_are_refused(private, mode, reader):
    path = private(CANARY.encode(), mode)
    message = refusal(reader, path)
    assert f"mode {mode:04o}" in message
    assert f"chmod 600 {path}" in message


@pytest.mark.parametrize("reader", [read_password, read_keys])
def test_links_pipes_folders_and_missing_files_are_refused(private, tmp_path, reader):
    path = private(CANARY.encode())
    link = tmp_path / "link"
    link.symlink_to(path)
    assert "a symbolic link is refused" in refusal(reader, str(link))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "not a regular file" in refusal(reader, str(pipe))
    assert "not a regular file" in refusal(reader, str(tmp_path))
    assert "there is no such file" in refusal(reader, str(tmp_path / "absent"))
    assert "cannot be read" in refusal(reader, f"{path}/below")
    assert "NUL" in refusal(reader, "a\0b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user(private):
    path = private(CANARY.encode())
    os.chown(path, 12345, -1)
    assert "it belongs to user 12345" in refusal(read_password, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\n" + CANARY.encode() + b"\n", "exactly one line"),
        (CANARY.encode() + b"\0", "exactly one line"),
        (CANARY.encode() * 10_000, "larger than 65536 bytes"),
    ],
)
def test_content_that_is_no_password(private, content, words):
    assert words in refusal(read_password, private(content))


def test_the_first_key_is_the_current_one(private):
    text = f"# two keys\n\nk2 {'cd' * 32}\n  k1 {'ab' * 32}  \n"
    keys = read_keys(private(text.encode()))
    assert keys.current == "k2"
    assert keys.keys == {"k2": b"\xcd" * 32, "k1": b"\xab" * 32}
    assert "cd" * 32 not in repr(keys)
    assert "xcd" not in repr(keys)


def test_new_keys_are_random_and_can_be_read(private):
    first, second = (read_keys(private(new_keys_text().encode())) for _ in range(2))
    assert first.current == second.current == "k1"
    assert len(first.keys["k1"]) == 32
    assert first.keys["k1"] != second.keys["k1"]


def test_every_bad_line_of_a_key_file_is_reported_and_none_is_shown(private):
    good = f"k1 {'ab' * 32}"
    lines = [good, f"k2 {CANARY}", f"k1 {'cd' * 32}", f"k3: {'ab' * 32}", f"k4 {'AB' * 32}", CANARY, "é"]
    message = refusal(read_keys, private("\n".join(lines).encode()))
    for number in (2, 4, 5, 6, 7):
        assert f"line {number} is not `<id> <64 lower-case hex digits>`" in message
    assert "line 3 repeats the id" in message
    assert "line 1 " not in message
    assert "cdcd" not in message
    assert "ABAB" not in message


def test_a_file_without_a_key(private):
    assert "has no key" in refusal(read_keys, private(b"# nothing\n"))


def test_systemd_credentials(private, tmp_path, monkeypatch):
    private(b"mot de passe\n", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_password("credential:secret") == b"mot de passe"
    private(CANARY.encode(), 0o444)
    assert "mode 0444" in refusal(read_password, "credential:secret")
    assert "there is no such file" in refusal(read_password, "credential:absent")
    assert "not the name of a credential" in refusal(read_password, "credential:../secret")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert "LoadCredentialEncrypted=secret:FILE" in refusal(read_password, "credential:secret")
