"""Filters built from values reach ldap3 as filters for exactly these values, whatever bytes they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ldap3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPInvalidFilterError
from ldap3.operation.search import compile_filter, parse_filter
from ldap3.utils.asn1 import encode

from piactl.directory.client.messages import element, octets
from piactl.directory.filters import all_of, any_of, at_least, at_most, begins, equals, none_of, present
from piactl.directory.open import open_reader
from piactl.directory.port import Reader

from .plain_slapd import PEOPLE, password, running

Both = tuple[str, bytes]
"""A filter, and its encoding by RFC 4511."""

NAMES = st.sampled_from(["uid", "objectClass", "2.5.4.3", "cn;lang-fr", "piactlNextDue"])
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.text(st.sampled_from("*()\\\x00 |&!=<>~:a5"), min_size=1, max_size=6),
    st.binary(min_size=1, max_size=6),
)


def raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def compared(make: Callable[[str, str | bytes], str], tag: int) -> st.SearchStrategy[Both]:
    return st.builds(
        lambda n, v: (make(n, v), element(tag, octets(n.encode()) + octets(raw(v)))), NAMES, VALUES
    )


def joined(make: Callable[..., str], encoded: Callable[[bytes], bytes]) -> Callable[[list[Both]], Both]:
    return lambda some: (make(*(text for text, _ in some)), encoded(b"".join(data for _, data in some)))


ITEMS = st.one_of(
    compared(equals, 0xA3),
    compared(at_least, 0xA5),
    compared(at_most, 0xA6),
    st.builds(
        lambda n, v: (
            begins(n, v),
            element(0xA4, octets(n.encode()) + element(0x30, octets(raw(v), 0x80))),
        ),
        NAMES,
        VALUES,
    ),
    st.builds(lambda n: (present(n), octets(n.encode(), 0x87)), NAMES),
)
FILTERS = st.recursive(
    ITEMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(joined(all_of, lambda data: element(0xA0, data))),
        st.lists(inner, min_size=1, max_size=3).map(joined(any_of, lambda data: element(0xA1, data))),
        st.lists(inner, min_size=1, max_size=3).map(
            joined(none_of, lambda data: element(0xA2, element(0xA1, data)))
        ),
    ),
    max_leaves=6,
)


def by_ldap3(query: str) -> bytes:
    connection = ldap3.Connection(ldap3.Server("localhost", get_info=ldap3.NONE))
    escape, encoding = connection.auto_escape, connection.auto_encode
    return bytes(encode(compile_filter(parse_filter(query, None, escape, encoding, None, False).elements[0])))


@given(both=FILTERS)
@settings(max_examples=300, deadline=None)
def test_a_filter_is_encoded_for_exactly_its_values(both: Both) -> None:
    query, expected = both
    assert by_ldap3(query) == expected


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_any_bytes_are_encoded_unchanged_in_a_filter(value: bytes) -> None:
    assert by_ldap3(equals("a", value)) == element(0xA3, octets(b"a") + octets(value))


def test_a_deeply_nested_filter_is_encoded_correctly() -> None:
    deep, expected = equals("a", "b"), element(0xA3, octets(b"a") + octets(b"b"))
    for _ in range(20):
        deep, expected = none_of(all_of(deep)), element(0xA2, element(0xA1, element(0xA0, expected)))
    assert by_ldap3(deep) == expected


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with running() as server, open_reader(server.settings(), "clerk", password) as reader:
        yield reader


@pytest.mark.parametrize(
    "query", ["", "uid=x", "(uid=x", "(uid=x))", "()", "(uid)", "(uid=a(b)", "(&(a=b)x)"]
)
def test_text_that_is_no_filter_is_refused_and_the_reader_goes_on(reader: Reader, query: str) -> None:
    with pytest.raises(LDAPInvalidFilterError):
        list(reader.search(PEOPLE, query, ["uid"]))
    assert reader.read(PEOPLE, ["ou"]) is not None


def test_a_long_filter_finds_what_a_short_one_finds(reader: Reader) -> None:
    short = present("objectClass")
    expected = [entry.dn for entry in reader.search(PEOPLE, short, ["ou"])]
    longer = any_of(short, *(equals("uid", f"nobody{number}") for number in range(50)))
    assert expected
    assert [entry.dn for entry in reader.search(PEOPLE, longer, ["ou"])] == expected
