"""A directory with writes that nobody made finds what the filters of piactl find on a server."""

from __future__ import annotations

import pytest

from piactl.core.plan.write import Write
from piactl.directory import filters
from piactl.directory.interfaces import RawEntry
from piactl.directory.simulated_writes import SimulatedWrites
from tests.planning import EmptyDirectory

BASE = "ou=people,o=x"
ENTRIES = {
    "a": {"objectClass": (b"person", b"piactlAccount"), "mail": (b"A@x.fr",), "due": (b"20260901",)},
    "b": {"objectClass": (b"piactlAccount",), "mail": (b"b@x.fr", b"a@x.fr"), "due": (b"20261001",)},
    "c": {"objectClass": (b"person",), "mail": (b"c*(d)@x.fr",)},
    "d": {"objectClass": (b"piactlAccount",), "due": (b"20270101",)},
}
IN = filters.equals("objectClass", "PIACTLaccount")
NOBODY = filters.equals("mail", "nobody@x.fr")


@pytest.fixture
def directory() -> SimulatedWrites:
    made = SimulatedWrites(EmptyDirectory())
    made.take(RawEntry(f"uid={uid},{BASE}", {"uid": (uid.encode(),), **e}) for uid, e in ENTRIES.items())
    made.take([RawEntry("uid=z,ou=other,o=x", {"uid": (b"z",), "objectClass": (b"piactlAccount",)})])
    return made


def found(directory: SimulatedWrites, query: str, base: str = BASE, scope: str = "subtree") -> str:
    return "".join(entry.text("uid") for entry in directory.search(base, query, ["UID", "uid"], scope=scope))


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        (filters.ANY_ENTRY, "abcd"),
        (IN, "abd"),
        (filters.none_of(IN), "c"),
        (filters.equals("MAIL", "a@X.fr"), "ab"),
        (filters.equals("mail", "c*(d)@x.fr"), "c"),
        (filters.begins("mail", "c*"), "c"),
        (filters.begins("mail", "b"), "b"),
        (NOBODY, ""),
        (filters.present("mail"), "abc"),
        (filters.at_most("due", "20261001"), "ab"),
        (filters.at_least("due", "20261001"), "bd"),
        (filters.all_of(IN, filters.present("mail")), "ab"),
        (filters.all_of(IN, filters.none_of(filters.present("mail"))), "d"),
        (filters.all_of(filters.none_of(IN), filters.none_of(filters.present("due"))), "c"),
        (filters.all_of(filters.none_of(NOBODY)), "abcd"),
        (filters.any_of(filters.none_of(IN), filters.equals("uid", "d")), "cd"),
        (filters.none_of(filters.none_of(IN)), "abd"),
        (filters.none_of(filters.all_of(IN, filters.present("mail")), filters.equals("uid", "c")), "d"),
    ],
)
def test_filters_find_the_right_entries(directory: SimulatedWrites, query: str, uids: str) -> None:
    assert found(directory, query) == uids


def test_bases_and_scopes(directory: SimulatedWrites) -> None:
    assert found(directory, IN, "o=x") == "abdz"
    assert found(directory, IN, "o=x", "one") == ""
    assert found(directory, IN, "OU=other, o=x", "one") == "z"
    assert found(directory, IN, "uid=z,ou=other,o=x") == "z"


def test_searches_after_writes_find_the_new_values(directory: SimulatedWrites) -> None:
    due, mail = filters.at_least("due", "20270101"), filters.equals("mail", "a@x.fr")
    by_mail = filters.all_of(IN, filters.present("mail"))
    assert [found(directory, query) for query in (due, mail, by_mail)] == ["d", "ab", "ab"]
    list(
        directory.write(
            [
                Write("modify", f"uid=d,{BASE}", {"mail": (b"A@X.FR",)}, {"due": ()}),
                Write("modify", f"uid=b,{BASE}", {"due": (b"20280101",)}, {"mail": (b"a@x.fr",)}),
                Write("delete", f"uid=a,{BASE}"),
                Write("add", f"uid=e,{BASE}", {"uid": (b"e",), "mail": (b"a@x.fr",)}),
            ]
        )
    )
    assert [found(directory, query) for query in (due, mail, by_mail)] == ["b", "de", "bd"]
