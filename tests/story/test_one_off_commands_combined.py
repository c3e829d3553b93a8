"""One-off commands one after the other, with changes by HR in between."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, THUILLIER, row
from .test_one_off_commands import CLAIRE, DAY, IDA, act, claire, night, one, state

__all__ = ["claire"]

END = ("assignment", "end", CLAIRE)


def services(academy: Academy, day: str) -> set[str]:
    return {right["service"] for right in academy.show(CLAIRE, day)["entitlements"] if right["from"] <= day}


def test_an_end_by_hand_that_equals_the_end_of_hr_removes_the_override(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(fin="2027-08-31"), IDA, day=DAY))
    act(academy, *END, "--on", "2026-10-31", "--until", "2027-06-30")
    longer = one(act(academy, *END, "--on", "2026-10-31", "--until", "2027-07-31"))
    assert longer["outcome"] == "applied"
    assert one(act(academy, *END, "--on", "2026-10-31", "--until", "2027-07-31"))["outcome"] == "unchanged"
    act(academy, *END, "--on", "2027-08-31")
    assert academy.values(CLAIRE, "piactlOverride") == []
    assert academy.show(CLAIRE, "2026-12-01")["state"] == "active"


def test_an_end_that_could_not_end_anything_is_refused(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(fin="2027-08-31"), IDA, day=DAY))
    with academy.nothing_written():
        late = one(act(academy, *END, "--on", "2028-01-31", "--until", "2028-06-30", code=1))
        over = one(act(academy, *END, "--on", "2027-01-31", "--until", "2027-01-31", code=1))
        early = act(
            academy, "account", "close", CLAIRE, "--from", "2027-01-31", "--until", "2027-01-30", code=1
        )
    assert "--from 2027-09-01 --until 2028-01-31" in late["message"]
    assert "later --until" in over["message"]
    assert "later --until" in one(early)["message"]


def test_an_end_by_hand_leaves_what_was_added_by_hand(claire: Academy) -> None:
    act(claire, *END, "--on", "2026-10-31", "--until", "2027-06-30")
    added_post = ("--uai", THUILLIER, "--function", "ENS", "--from", "2026-10-01", "--until", "2027-06-30")
    act(claire, "assignment", "add", CLAIRE, *added_post)
    assert claire.show(CLAIRE, "2026-12-01")["state"] == "active"


def test_ending_a_leave_leaves_the_post_around_it(academy: Academy) -> None:
    leave = row(position="disponibilite", debut="2026-11-01", fin="2027-03-31")
    academy.night(DAY, academy.feed(row(), leave, IDA, day=DAY))
    act(academy, *END, "--from", "2026-11-01", "--on", "2027-01-31", "--until", "2027-12-31")
    assert academy.show(CLAIRE, "2027-01-31")["state"] == "on-leave"
    assert academy.show(CLAIRE, "2027-02-01")["state"] == "active"
    act(academy, *END, "--from", "2026-09-01", "--on", "2026-12-31", "--until", "2027-12-31")
    assert academy.show(CLAIRE, "2027-01-01")["state"] == "grace"
    assert len(academy.values(CLAIRE, "piactlOverride")) == 2


def test_an_end_applies_to_an_assignment_known_by_hand_and_by_hr(claire: Academy) -> None:
    added_post = ("--uai", MICHELIS, "--function", "ENS", "--from", "2026-10-01", "--until", "2027-06-30")
    act(claire, "assignment", "add", CLAIRE, *added_post)
    night(claire, "2026-09-06", row(), row(uai=MICHELIS, debut="2026-10-01"), IDA)
    ended = ("--uai", MICHELIS, "--on", "2026-12-31", "--until", "2027-12-31")
    act(claire, *END, *ended, day="2026-09-06")
    rights = claire.show(CLAIRE, "2027-01-15")["entitlements"]
    assert MICHELIS not in {right["uai"] for right in rights}


def test_a_person_moved_by_hand_can_be_moved_again(claire: Academy) -> None:
    act(claire, "assignment", "move", CLAIRE, "--to", MICHELIS, "--until", "2027-08-31")
    act(
        claire,
        "assignment",
        "move",
        CLAIRE,
        "--to",
        MARESCHAL,
        "--from",
        "2026-10-01",
        "--until",
        "2027-08-31",
    )
    schools = {r["uai"] for r in claire.show(CLAIRE, "2026-12-01")["entitlements"]}
    assert schools == {None, MARESCHAL}


@pytest.mark.parametrize("name", ["Ferrand", "Aubry"])
def test_the_latest_name_from_hr_applies_after_a_name_by_hand_ends(claire: Academy, name: str) -> None:
    act(claire, "account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-09-10")
    night(claire, "2026-09-07", row(nom_usage=name), IDA)
    assert claire.values(CLAIRE, "sn") == ["Aubry"]
    claire.night("2026-09-11")
    assert claire.values(CLAIRE, "sn") == [name]
    claire.quiet_night("2026-09-11", claire.feed(row(nom_usage=name), IDA, day="2026-09-11"))


def test_a_name_by_hand_can_be_extended(claire: Academy) -> None:
    act(claire, "account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-09-10")
    act(claire, "account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-12-31")
    claire.night("2026-09-11")
    assert claire.values(CLAIRE, "sn") == ["Aubry"]


def test_reopening_an_account_that_hr_ended_meanwhile_needs_until(claire: Academy) -> None:
    act(claire, "account", "close", CLAIRE, "--until", "2026-12-31")
    night(claire, "2026-09-06", row(fin="2026-09-05"), IDA)
    refused = act(claire, "account", "reopen", CLAIRE, day="2026-10-20", code=1)
    assert "--until DATE" in one(refused)["message"]
    act(claire, "account", "reopen", CLAIRE, "--until", "2027-01-31", day="2026-10-20")
    assert state(claire) == "active"


def test_a_closure_that_would_not_close_is_refused(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(debut="2026-09-15"), IDA, day=DAY))
    close = ("account", "close", CLAIRE, "--until", "2026-12-31")
    assert "2026-09-15" in one(act(academy, *close, code=1))["message"]
    academy.night("2026-09-16", academy.feed(row(debut="2026-09-15"), IDA, day="2026-09-16"))
    past = act(academy, *close, "--from", "2026-09-10", day="2026-09-16", code=1)
    assert "2026-09-15 or later" in one(past)["message"]
    act(academy, *close, "--from", "2026-09-15", day="2026-09-16")
    assert state(academy) == "deactivated"


def test_a_new_end_of_a_lock_is_not_reported_as_drift(claire: Academy) -> None:
    act(claire, "account", "lock", CLAIRE)
    (change,) = one(act(claire, "account", "lock", CLAIRE, "--until", "2026-10-01"))["changes"]
    assert "2026-10-01" in change["after"]["lock"]
    assert "another program" not in change["reason"]


@pytest.mark.parametrize("fed", [True, False])
def test_a_person_in_waiting_keeps_an_account_created_by_hand(academy: Academy, *, fed: bool) -> None:
    coming = row(numen="20E9512345XYZ", debut="2026-12-01")
    academy.night(DAY, academy.feed(coming, IDA, day=DAY))
    act(
        academy, "account", "create", "--family-name", "Dubreuil", "--given-name", "Claire",
        "--uai", MICHELIS, "--function", "ENS", "--until", "2026-10-31", "--sponsor", "ida.roy",
        "--matricule", "1001",
    )  # fmt: skip
    feeds = [academy.feed(coming, IDA, day="2026-09-06")] if fed else []
    academy.night("2026-09-06", *feeds)
    assert state(academy) == "active"
    academy.night("2026-12-01")
    assert academy.values(CLAIRE, "piactlNumenDigest") != []
    assert services(academy, "2026-12-01") >= {"messagerie", "annuaire"}


def test_an_exception_for_later_leaves_the_one_of_today(claire: Academy) -> None:
    grant = ("exception", "grant", CLAIRE, "--service", "siecle", "--uai", THUILLIER)
    act(claire, *grant, "--until", "2026-09-30")
    act(claire, *grant, "--from", "2026-11-01", "--until", "2026-11-30")
    periods = [
        (r["from"], r["to"]) for r in claire.show(CLAIRE, DAY)["entitlements"] if r["service"] == "siecle"
    ]
    assert periods == [("2026-09-05", "2026-09-30"), ("2026-11-01", "2026-11-30")]
    act(claire, *grant, "--from", "2026-11-15", "--until", "2026-12-31")
    assert len(claire.values(CLAIRE, "piactlException")) == 2
    act(claire, "exception", "end", CLAIRE, "--service", "siecle")
    assert claire.values(CLAIRE, "piactlException") == []
