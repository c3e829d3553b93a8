"""Reading from a real slapd gives everything, or an error that says why not."""

# ruff: noqa: SIM117 (nested, they show which step is to fail)

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from piactl.directory.client.connection import Session
from piactl.directory.filters import ANY_ENTRY, any_of, equals, none_of, present
from piactl.directory.interfaces import search_each
from piactl.directory.open import open_reader
from piactl.errors import DirectoryRefused, DirectoryTruncated, DirectoryUnreachable

from .plain_slapd import CLERK, PEOPLE, SUFFIX, PlainSlapd, password, running, uids
from .spoiling_proxy import SEARCH, wire

PERSON = equals("objectClass", "inetOrgPerson")


@pytest.fixture(scope="module")
def slapd() -> Iterator[PlainSlapd]:
    with running(people=50) as server:
        yield server


@pytest.mark.parametrize("page", [1, 7, 25, 50, 500])
def test_pages_of_any_size_give_every_entry_once(slapd: PlainSlapd, page: int) -> None:
    with open_reader(slapd.settings(page=page), "clerk", password) as reader:
        values = uids(reader.search(PEOPLE, PERSON, ["UID"]))
        assert values == [""] * 50  # keys are spelled as asked for, not as the server writes them
        names = [entry.values["UID"][0].decode() for entry in reader.search(PEOPLE, PERSON, ["UID"])]
    assert sorted(names) == [f"p{number:05d}" for number in range(50)]


@pytest.mark.parametrize("options", [{"scope": "one"}, {"few": True}], ids=str)
@pytest.mark.parametrize(("page", "searches"), [(13, 1), (12, 6)])
def test_few_entries_come_at_once_and_more_in_pages(
    slapd: PlainSlapd, page: int, searches: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []
    asked = Session.page
    monkeypatch.setattr(
        Session, "page", lambda *a, **k: (sent.append(bool(k.get("size"))), asked(*a, **k))[1]
    )
    with open_reader(slapd.settings(page=page), "clerk", password) as reader:
        sent.clear()
        names = uids(reader.search(PEOPLE, PERSON, ["uid"], **options))
    assert sorted(names) == [f"p{number:05d}" for number in range(50)]
    assert sent == [False, *[True] * (searches - 1)]


def test_searches_and_reads_work_between_the_pages_of_a_search(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(page=10), "clerk", password) as reader:
        outer = []
        for entry in reader.search(PEOPLE, PERSON, ["uid"]):
            outer.append(entry.text("uid"))
            assert reader.read(entry.dn, ["cn"]) is not None
            if len(outer) % 20 == 5:
                assert len(uids(reader.search(PEOPLE, PERSON, ["uid"]))) == 50
    assert sorted(outer) == [f"p{number:05d}" for number in range(50)]


def test_a_search_left_in_the_middle_does_not_spoil_the_next(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(page=5), "clerk", password) as reader:
        for _ in range(3):
            begun = reader.search(PEOPLE, PERSON, ["uid"])
            next(begun)
            begun.close()  # type: ignore[attr-defined]
        assert len(uids(reader.search(PEOPLE, PERSON, ["uid"]))) == 50


NAMES = [f"p{number:05d}" for number in range(50)]
TENS = [any_of(*(equals("uid", name) for name in NAMES[start : start + 10])) for start in range(0, 50, 10)]


@pytest.mark.parametrize("page", [500, 1])
def test_several_searches_give_the_entries_of_each_in_order(slapd: PlainSlapd, page: int) -> None:
    with open_reader(slapd.settings(page=page), "clerk", password) as reader:
        assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES
        names = []
        for entry in search_each(reader, PEOPLE, iter(reversed(TENS)), ["UID"]):
            names.append(entry.text("UID"))
            assert reader.read(entry.dn, ["cn"]) is not None
            if len(names) % 10 == 5:
                assert len(uids(reader.search(PEOPLE, PERSON, ["uid"]))) == 50
                assert sorted(uids(search_each(reader, PEOPLE, TENS[:2], ["uid"]))) == NAMES[:20]
        tens = [sorted(names[start : start + 10]) for start in range(0, 50, 10)]
        assert tens == [NAMES[start : start + 10] for start in range(40, -1, -10)]
        assert uids(search_each(reader, PEOPLE, [], ["uid"])) == []
        with pytest.raises(DirectoryRefused, match="noSuchObject"):
            list(search_each(reader, f"ou=nowhere,{SUFFIX}", TENS, ["uid"]))
        assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES


def test_several_searches_left_in_the_middle_do_not_spoil_the_next(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(), "clerk", password) as reader:
        for _ in range(3):
            begun = search_each(reader, PEOPLE, TENS, ["uid"])
            next(begun)
            begun.close()  # type: ignore[attr-defined]
        assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES


def test_several_searches_work_within_a_paged_one(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(page=20), "clerk", password) as reader:
        outer = []
        for entry in reader.search(PEOPLE, PERSON, ["uid"]):
            outer.append(entry.text("uid"))
            if len(outer) % 20 == 5:
                assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES
    assert sorted(outer) == NAMES


@pytest.mark.parametrize("fault", ["reset after", "half-close", "cut reply", "disconnection notice"])
@pytest.mark.parametrize("position", [2, 4, 6])
def test_an_unanswered_one_of_several_searches_is_repeated(
    slapd: PlainSlapd, fault: str, position: int
) -> None:
    with wire(slapd.port, SEARCH, fault, position=position) as proxy:  # the first reads the root DSE
        with open_reader(slapd.settings(proxy.uri), "clerk", password) as reader:
            assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES
        assert proxy.fired == 1


def test_several_searches_end_at_the_deadline(slapd: PlainSlapd) -> None:
    with wire(slapd.port, SEARCH, "black hole", position=4) as proxy:
        with open_reader(slapd.settings(proxy.uri, operation=2), "clerk", password) as reader:
            begun = time.monotonic()
            with pytest.raises(DirectoryUnreachable, match="within 2 s"):
                list(search_each(reader, PEOPLE, TENS, ["uid"]))
            assert 1.5 < time.monotonic() - begun < 4
        assert proxy.fired == 1


def test_a_server_that_allows_only_paged_searches_is_enough() -> None:
    limits = f'limits dn.exact="{CLERK}" size.soft=30 size.hard=30 size.prtotal=unlimited'
    with running(people=50, extra=limits) as server:
        with open_reader(server.settings(page=20), "clerk", password) as reader:  # few are up to 80
            assert sorted(uids(reader.search(PEOPLE, PERSON, ["uid"], few=True))) == NAMES
            assert sorted(uids(search_each(reader, PEOPLE, TENS, ["uid"]))) == NAMES


def test_one_level_searches_and_combined_filters(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(), "clerk", password) as reader:
        below = list(reader.search(SUFFIX, ANY_ENTRY, ["ou", "cn"], scope="one"))
        assert sorted(entry.dn for entry in below) == sorted([PEOPLE, CLERK])
        two = any_of(equals("uid", "p00001"), equals("uid", "p00002"))
        assert uids(reader.search(PEOPLE, two, ["uid"])) == ["p00001", "p00002"]
        assert len(uids(reader.search(PEOPLE, none_of(two, equals("ou", "people")), ["uid"]))) == 48
        assert uids(reader.search(PEOPLE, present("mail"), ["uid"])) == []


def test_a_missing_entry_reads_as_none_and_a_missing_base_is_refused(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(), "clerk", password) as reader:
        assert reader.read(f"uid=nobody,{PEOPLE}", ["uid"]) is None
        with pytest.raises(DirectoryRefused, match="noSuchObject") as refused:
            list(reader.search(f"ou=nowhere,{SUFFIX}", ANY_ENTRY, ["uid"]))
        assert refused.value.result == 32


def test_the_server_names_its_controls_and_naming_contexts(slapd: PlainSlapd) -> None:
    with open_reader(slapd.settings(), "clerk", password) as reader:
        facts = reader.facts()
    assert {"1.2.840.113556.1.4.319", "1.3.6.1.1.12"} <= facts.controls
    assert facts.naming_contexts == (SUFFIX,)
    assert facts.uri == slapd.uri


@pytest.mark.parametrize(
    "limits", ["size=5", "size.soft=5 size.hard=5", "size.prtotal=12", "size.unchecked=5"]
)
def test_a_search_cut_by_a_size_limit_is_an_error(limits: str) -> None:
    with running(people=50, extra=f'limits dn.exact="{CLERK}" {limits}') as server:
        for page in (3, 5, 500):
            with open_reader(server.settings(page=page), "clerk", password) as reader:
                handed: list[str] = []
                with pytest.raises((DirectoryTruncated, DirectoryRefused), match=r"limit|LimitExceeded"):
                    handed.extend(
                        entry.dn for entry in reader.search(SUFFIX, equals("sn", "person"), ["uid"])
                    )
                assert len(handed) < 50


def test_a_paged_search_that_the_server_forbids_is_an_error() -> None:
    with running(people=50, extra=f'limits dn.exact="{CLERK}" size.prtotal=disabled') as server:
        with open_reader(server.settings(page=5), "clerk", password) as reader:
            with pytest.raises((DirectoryTruncated, DirectoryRefused)):
                list(reader.search(SUFFIX, equals("sn", "person"), ["uid"]))


def test_without_paged_results_a_search_is_still_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "piactl.directory.client.reader.PAGED", "0.0.0"
    )  # as if the server did not advertise it
    with running(people=50, extra=f'limits dn.exact="{CLERK}" size=20') as server:
        with open_reader(server.settings(page=5), "clerk", password) as reader:
            assert len(list(reader.search(SUFFIX, equals("ou", "people"), ["ou"]))) == 1
            with pytest.raises(DirectoryTruncated, match="sizeLimitExceeded"):
                list(reader.search(SUFFIX, equals("sn", "person"), ["uid"]))
        with open_reader(server.settings(page=5), "root", password) as reader:
            assert len(list(reader.search(SUFFIX, equals("sn", "person"), ["uid"]))) == 50


@pytest.mark.parametrize(
    ("code", "advice"), [(3, "time limit"), (4, "size limit"), (11, "limits"), (10, "Referrals")]
)
def test_every_early_end_is_an_error_with_advice(code: int, advice: str) -> None:
    """A time limit cannot be reached reliably on a small directory, so the proxy answers instead."""
    with running(people=20) as server, wire(server.port, SEARCH, f"result {code}", position=3) as proxy:
        with open_reader(server.settings(proxy.uri, page=5), "clerk", password) as reader:
            with pytest.raises(DirectoryTruncated, match=advice):
                list(reader.search(PEOPLE, PERSON, ["uid"]))
        assert proxy.fired == 1


def test_a_referral_is_an_error_and_is_not_followed() -> None:
    referral = (
        f"dn: ou=elsewhere,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
    )
    referral += "ref: ldap://192.0.2.1/ou=elsewhere\n\n"
    with running(people=3, entries=referral) as server:
        with open_reader(server.settings(), "clerk", password) as reader:
            with pytest.raises(DirectoryTruncated, match=r"ldap://192\.0\.2\.1"):
                list(reader.search(PEOPLE, PERSON, ["uid"]))
            with pytest.raises(DirectoryTruncated, match="Referrals are not followed"):
                list(reader.search(f"ou=elsewhere,{PEOPLE}", PERSON, ["uid"]))
            with pytest.raises(DirectoryTruncated, match="referral"):
                reader.read(f"ou=elsewhere,{PEOPLE}", ["ou"])


def test_a_reader_reconnects_to_a_restarted_server(slapd: PlainSlapd) -> None:
    with running(people=4, before="idletimeout 1") as server:
        with open_reader(server.settings(), "clerk", password) as reader:
            assert len(list(reader.search(PEOPLE, PERSON, ["uid"]))) == 4
            server.kill()
            server.start()
            assert len(list(reader.search(PEOPLE, PERSON, ["uid"]))) == 4
            server.kill()
            server.start()
            assert reader.read(PEOPLE, ["ou"]) is not None


@pytest.mark.parametrize(
    "fault",
    ["garbage", "reset after", "half-close", "wrong id", "cut reply", "disconnection notice", "unavailable"],
)
def test_a_broken_answer_between_pages_is_an_error(slapd: PlainSlapd, fault: str) -> None:
    with wire(slapd.port, SEARCH, fault, position=4) as proxy:  # the root DSE, then the third page
        with open_reader(slapd.settings(proxy.uri, page=10), "clerk", password) as reader:
            with pytest.raises(DirectoryUnreachable):
                list(reader.search(PEOPLE, PERSON, ["uid"]))
        assert proxy.fired == 1


@pytest.mark.parametrize("fault", ["trickle", "black hole"])
def test_a_slow_answer_ends_at_the_deadline(slapd: PlainSlapd, fault: str) -> None:
    with wire(slapd.port, SEARCH, fault, position=3) as proxy:
        with open_reader(slapd.settings(proxy.uri, page=10, operation=2), "clerk", password) as reader:
            begun = time.monotonic()
            with pytest.raises(DirectoryUnreachable, match="within 2 s"):
                list(reader.search(PEOPLE, PERSON, ["uid"]))
            assert 1.5 < time.monotonic() - begun < 4
        assert proxy.fired == 1
