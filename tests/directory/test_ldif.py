"""LDIF as other programs read it: every value can be read back byte for byte."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piactl.directory.ldif import ldif_entry


def parsed(text: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of an entry, by RFC 2849."""
    pairs = []
    for line in text.removesuffix(b"\n\n").split(b"\n"):
        name, _, rest = line.partition(b":")
        pairs.append((name, b64decode(rest[2:]) if rest.startswith(b": ") else rest.removeprefix(b" ")))
    return pairs


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4))
@settings(deadline=None)
def test_every_value_can_be_read_back(values: list[bytes]) -> None:
    text = ldif_entry("cn=é,o=x", {"description": tuple(values)})
    assert text.isascii()
    assert parsed(text) == [(b"dn", "cn=é,o=x".encode()), *((b"description", v) for v in values)]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"Claire Dubreuil", b"sn: Claire Dubreuil"),
        (b" a", b"sn:: IGE="),
        (b"a ", b"sn:: YSA="),
        (b":a", b"sn:: OmE="),
        (b"<a", b"sn:: PGE="),
        (b"a:b<c #d", b"sn: a:b<c #d"),
        (b"a\nb", b"sn:: YQpi"),
        (b"a\tb", b"sn:: YQli"),
        (b"", b"sn: "),
        ("é".encode(), b"sn:: w6k="),
    ],
)
def test_safe_values_stay_plain_and_others_are_base64(value: bytes, line: bytes) -> None:
    assert ldif_entry("o=x", {"sn": (value,)}) == b"dn: o=x\n" + line + b"\n\n"
