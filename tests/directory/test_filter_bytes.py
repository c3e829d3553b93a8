"""Filters as bytes are those that ldap3 makes of the same text; what is no filter is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.operation.search import compile_filter, parse_filter
from pyasn1.codec.ber.encoder import encode

from piactl.directory.filtercoding import NotAFilter, encoded_filter
from piactl.directory.filters import all_of, any_of, at_least, at_most, begins, equals, none_of, present

NAMES = st.sampled_from(["uid", "objectClass", "2.5.4.3", "cn;lang-fr", "piactlNextDue"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
ITEMS = st.one_of(
    st.builds(equals, NAMES, TEXTS),
    st.builds(equals, NAMES, st.binary(min_size=1, max_size=6)),
    st.builds(begins, NAMES, TEXTS),
    st.builds(at_most, NAMES, TEXTS),
    st.builds(at_least, NAMES, TEXTS),
    st.builds(present, NAMES),
)
FILTERS = st.recursive(
    ITEMS,
    lambda inner: st.one_of(
        *(
            st.lists(inner, min_size=1, max_size=3).map(lambda some, make=make: make(*some))
            for make in (all_of, any_of, none_of)
        )
    ),
    max_leaves=6,
)


def by_ldap3(query: str) -> bytes:
    node = parse_filter(query, None, True, True, None, False)
    return bytes(encode(compile_filter(node.elements[0])))


@given(query=FILTERS)
@settings(max_examples=200, deadline=None)
def test_as_ldap3_does(query: str) -> None:
    assert encoded_filter(query) == by_ldap3(query)


def test_substrings() -> None:
    for query in ("(cn=a*)", "(cn=*a)", "(cn=*a*)", "(cn=a*b*c)", "(cn=a\\2a*)"):
        assert encoded_filter(query) == by_ldap3(query)


@pytest.mark.parametrize(
    "query",
    [
        "", "uid=x", "(uid=x", "(uid=x))", "()", "(&)", "(!(a=b)(c=d))", "(uid)", "(=x)", "(uid=a(b)",
        "(uid=\\2)", "(uid=\\zz)", "(uid=\\ 1)", "(uid<=a*)", "(uid=**)", "(uid~=x)", "(uid:=x)", "(é=x)",
        "(&(a=b)x)", "(" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_filter(query: str) -> None:
    with pytest.raises(NotAFilter):
        encoded_filter(query)


def test_depth_has_an_end() -> None:
    deep = "(!" * 40 + "(a=b)" + ")" * 40
    assert encoded_filter(deep) == by_ldap3(deep)
    with pytest.raises(NotAFilter):
        encoded_filter("(!" * 60 + "(a=b)" + ")" * 60)
