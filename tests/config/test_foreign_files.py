"""A file that is named by mistake or malice and is not one of piactl's: no message shows its content."""

from __future__ import annotations

import os
import re

import pytest

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings

READERS = [read_policy, read_settings, read_register]

SECRET = "Tr0ub4dor&3-Xk9wQz71"
CONTENTS = [
    SECRET,
    f"{SECRET}\n",
    f"password: {SECRET}",
    f"{SECRET}: {SECRET}",
    f"a: b: {SECRET}",
    f"- {SECRET}\n- {SECRET}",
    f"[{SECRET}",
    f"{{{SECRET}: 1}}",
    f"&{SECRET} x",
    f"*{SECRET}",
    f"!{SECRET} x",
    f"%{SECRET}\n---\nx",
    f"\t{SECRET}",
    f"@{SECRET}",
    f'"{SECRET}',
    f"'{SECRET}\n\n{SECRET}",
    f"| {SECRET}",
    f"? {SECRET}\n: {SECRET}",
    f"{SECRET}: 1\n{SECRET}: 2",
    f"k1 {SECRET}{SECRET}",
    f"{SECRET};{SECRET},{SECRET}",
    f'{SECRET};"{SECRET}',
    f"# {SECRET}\n{SECRET}",
    f"machine ldap.example.org\nlogin cn=x\npassword {SECRET}",
    f"{SECRET}\x1b[31m",
    f"{SECRET}\x00",
    f"<<: {SECRET}",
    f"  version: {SECRET}",
    "VHIwdWI0ZG9yJjMtWGs5d1F6NzEK",
    "-----BEGIN PRIVATE KEY-----\nVHIwdWI0ZG9yJjMtWGs5d1F6NzEK\n-----END PRIVATE KEY-----",
    "0" * 40,
    "1234567890.12345",
    "yes",
    "2026-11-26",
]


def runs_of(content: bytes) -> set[str]:
    """Every sequence of five characters of a file: a message must not contain one."""
    text = content.decode("latin-1")
    return {text[i : i + 5] for i in range(len(text) - 4)} | ({text} if len(text) < 5 else set())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_messages_show_no_part_of_a_foreign_file(written, mistakes_of, reader, content):
    (mistake,) = mistakes_of(reader, written(content))
    message = re.sub(r"U\+[0-9A-F]{4}", "", mistake.message)
    shown = {part for part in runs_of(content.encode()) if part in message}
    assert not shown - allowed(mistake.message), mistake
    assert mistake.line >= 1, "where it fails"


@pytest.mark.parametrize("reader", READERS)
def test_messages_show_no_byte_of_a_binary_file(written, mistakes_of, reader):
    (mistake,) = mistakes_of(reader, written(b"\x8f\xfe\x12" + os.urandom(32)))
    assert "not UTF-8" in mistake.message
    assert "0x" not in mistake.message


def allowed(message: str) -> set[str]:
    """Parts that a message may contain: they are in the names of keys and columns of piactl."""
    own = {"version", "directory", "policy", "establishments", "keys", "uai;nom;nature;degre;secteur;commune"}
    return {part for word in own if word in message for part in runs_of(word.encode())}


@pytest.mark.parametrize(("reader", "kind"), [(read_settings, "configuration"), (read_policy, "policy")])
def test_the_message_says_which_kind_of_file_was_expected(written, mistakes_of, reader, kind):
    (mistake,) = mistakes_of(reader, written(SECRET))
    assert (mistake.line, mistake.column) == (1, 0)
    assert mistake.message.startswith(f"this is not a {kind} of piactl: no line begins with one of its keys")


def test_a_header_without_any_column_of_a_register(written, mistakes_of):
    (mistake,) = mistakes_of(read_register, written(f"{SECRET};x"))
    assert mistake.message == (
        "this is not a register, with the header uai;nom;nature;degre;secteur;commune; check the path"
    )


@pytest.mark.parametrize(
    "text", ["{version: 1, oops: 2}", '"version": 1\noops: 2', "\ufeffversion: 1\noops: 2"]
)
def test_other_ways_to_write_a_configuration_are_recognised(written, mistakes_of, text):
    assert any("unknown key oops" in mistake.message for mistake in mistakes_of(read_settings, written(text)))
