"""Filters and names made of any text, checked against a real slapd."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piactl.core.plan.write import Write
from piactl.directory.dn import child, normal_dn, same_dn, under
from piactl.directory.filters import all_of, any_of, at_least, at_most, equals, none_of, present
from piactl.directory.interfaces import Outcome, Writer
from piactl.directory.open import open_writer

from .plain_slapd import PEOPLE, SUFFIX, password, running

HOSTILE = [
    "*",
    "(",
    ")",
    "\\",
    "\x00",
    "a\x00b",
    "é",
    "e\u0301",
    "\u200b",
    "\U0001f600",
    "*)(uid=*",
    "\\2a",
    " x",
    "x ",
    "#",
    "a,b",
    "a+b",
    'a"b',
    "a=b",
    "<;>",
    "\n",
    "\x1b",
    "\x7f",
    "|(a=b)",
    "&",
    "!",
    "\u202e",
]
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4).map("".join),
)
few = settings(deadline=None, max_examples=20, derandomize=True)
some = settings(deadline=None, max_examples=60, derandomize=True)


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    with running() as server, open_writer(server.settings(), "clerk", password) as writer:
        yield writer


def _bits(value: bytes) -> bytes:
    """A bit string ('0101'B), compared bit for bit."""
    return b"'" + "".join(f"{byte:08b}" for byte in value).encode() + b"'B"


@few
@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_search_for_any_bytes_finds_exactly_what_holds_them(writer: Writer, values: list[bytes]) -> None:
    base = child(PEOPLE, "ou", f"set{os.urandom(6).hex()}")
    writes = [Write("add", base, add={"objectClass": (b"organizationalUnit",)})]
    for number, value in enumerate(values):
        writes.append(
            Write(
                "add",
                child(base, "uid", f"u{number}"),
                add={
                    "objectClass": (b"inetOrgPerson",),
                    "cn": (b"x",),
                    "sn": (b"x",),
                    "x500UniqueIdentifier": (_bits(value),),
                },
            )
        )
    assert {result.outcome for result in writer.write(writes)} == {Outcome.APPLIED}
    for value in values:
        matches = {
            entry.dn for entry in writer.search(base, equals("x500UniqueIdentifier", _bits(value)), ["uid"])
        }
        assert matches == {child(base, "uid", f"u{n}") for n, other in enumerate(values) if other == value}


@some
@given(st.lists(texts, min_size=1, max_size=4, unique=True), texts)
def test_a_search_for_any_text_finds_exactly_what_holds_it(
    writer: Writer, stored: list[str], asked: str
) -> None:
    """labeledURI is case-sensitive; slapd ignores blanks at the ends, and takes a run of blanks as one."""
    base = child(PEOPLE, "ou", f"set{os.urandom(6).hex()}")
    writes = [Write("add", base, add={"objectClass": (b"organizationalUnit",)})]
    text_by_name: dict[str, str] = {}
    for number, text in enumerate(stored):
        name = child(base, "uid", f"u{number}")
        writes.append(
            Write(
                "add",
                name,
                add={
                    "objectClass": (b"inetOrgPerson",),
                    "cn": (b"x",),
                    "sn": (b"x",),
                    "labeledURI": (text.encode(),),
                },
            )
        )
        text_by_name[name] = text
    results = list(writer.write(writes))
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    for text in [*stored, asked]:
        matches = {entry.dn for entry in writer.search(base, equals("labeledURI", text), ["uid"])}
        assert {name for name, other in text_by_name.items() if other == text} <= matches
        assert {text_by_name[name] for name in matches} <= {other for other in stored if _alike(other, text)}
        assert matches <= {entry.dn for entry in writer.search(base, present("labeledURI"), ["uid"])}


def _alike(one: str, other: str) -> bool:
    return _normal(one) == _normal(other)


def _normal(text: str) -> str:
    """The text as slapd's caseExactMatch compares it: compatibility forms composed, runs of blanks as one."""
    return " ".join(unicodedata.normalize("NFKC", text).split(" ")).strip()


@some
@given(texts)
def test_an_entry_of_any_name_is_found_by_that_name(writer: Writer, text: str) -> None:
    base = child(PEOPLE, "ou", f"set{os.urandom(6).hex()}")
    name = child(base, "cn", text)
    entry = {"objectClass": (b"inetOrgPerson",), "cn": (text.encode(),), "sn": (b"x",)}
    results = list(
        writer.write(
            [
                Write("add", base, add={"objectClass": (b"organizationalUnit",)}),
                Write("add", name, add=entry),
            ]
        )
    )
    assert [result.outcome for result in results] == [Outcome.APPLIED] * 2, results[1].message
    entries = list(writer.search(base, equals("cn", text), ["cn"]))
    assert [entry.values["cn"] for entry in entries] == [(text.encode(),)]
    assert same_dn(entries[0].dn, name)
    assert under(name, PEOPLE)
    again = writer.read(entries[0].dn, ["cn"])
    assert again is not None
    assert same_dn(again.dn, normal_dn(name))


@given(texts, texts)
def test_dns_are_the_same_only_for_the_same_values(one: str, other: str) -> None:
    if same_dn(child(SUFFIX, "cn", one), child(SUFFIX, "cn", other)):
        assert one.casefold().split(" ") == other.casefold().split(" ") or _blankless(one) == _blankless(
            other
        )
    assert same_dn(child(SUFFIX, "cn", one), child(SUFFIX.replace(",", " , ").upper(), "CN", one))
    assert normal_dn(normal_dn(child(SUFFIX, "cn", one))) == normal_dn(child(SUFFIX, "cn", one))


def _blankless(text: str) -> list[str]:
    return [part for part in text.casefold().split(" ") if part]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("uid=a,ou=x", "UID=A, OU=X", True),
        ("cn=a\\,b,ou=x", "cn=a\\2cb,ou=x", True),
        ("cn=a+sn=b,ou=x", "SN=b+CN=a,ou=x", True),
        ("cn=a\\+sn=b,ou=x", "cn=a+sn=b,ou=x", False),
        ("cn=a  b,ou=x", "cn=a b,ou=x", True),
        ("uid=a,ou=x", "uid=a,ou=y", False),
        ("uid=a", "uid=a,ou=x", False),
        ("cn=\\c3\\a9", "cn=é", True),
    ],
)
def test_which_spellings_are_the_same_dn(one: str, other: str, same: bool) -> None:
    assert same_dn(one, other) is same


def test_a_dn_is_below_a_base_by_components_not_by_characters() -> None:
    assert under("uid=a,ou=x,o=y", "OU=x, o=y")
    assert under("ou=x,o=y", "ou=x,o=y")
    assert not under("uid=a,ou=xx,o=y", "ou=x,o=y")
    assert not under("cn=a\\,ou=x,o=z", "ou=x,o=z")


@pytest.mark.parametrize("value", ["no name", "=x", "cn", "cn=a,,o=b", "1a=b"])
def test_text_that_is_no_dn_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a distinguished name"):
        normal_dn(value)


def test_empty_values_wrong_attribute_names_and_empty_filters_are_refused() -> None:
    for attribute, value in [("cn", ""), ("c n", "x"), ("", "x"), ("cn=x,ou", "x"), ("cn)", "x")]:
        with pytest.raises(ValueError, match=r"empty value|not the name"):
            child(SUFFIX, attribute, value)
    for make in (equals, at_most, at_least):
        with pytest.raises(ValueError, match="not the name of an attribute"):
            make("cn=*)(uid", "x")
    for join in (all_of, any_of, none_of):
        with pytest.raises(ValueError, match="a filter of no filters"):
            join()
