"""An archival erases for ever, so it needs two nights on different days."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from .academy import Academy, prepared
from .both_ways import one_by_one
from .feeds import row
from .test_clock import Shift, clock_ahead, this_day

__all__ = ["clock_ahead"]

IDA = row(matricule="1002", prenom="Ida")
DUE, NEXT = "2027-02-01", "2027-02-02"
CLAIRE = "claire.dubreuil"


@prepared
def leaver(academy: Academy) -> Academy:
    """Somebody whose retention is over before DUE."""
    academy.night(
        "2026-09-05",
        academy.feed(row(fin="2026-09-30"), IDA, day="2026-09-05"),
    )
    return academy


def state(academy: Academy) -> str:
    return academy.values(CLAIRE, "piactlState")[0]


def noted(academy: Academy) -> bytes | None:
    entry = academy.sandbox.entry(f"cn=archivals,{academy.sandbox.state}")
    return entry["piactlData"][0] if entry else None


def closed(academy: Academy) -> None:
    academy.night("2026-11-05")
    assert state(academy) == "deactivated"


@pytest.mark.parametrize("night_by_night", [True, False])
def test_the_first_night_notes_and_the_next_one_archives(leaver: Academy, night_by_night: bool) -> None:
    if night_by_night:
        closed(leaver)
    plan = leaver.plan("--as-of", DUE)
    assert [archival["uid"] for archival in plan["archivals"]] == [CLAIRE]
    assert "archive" not in plan["summary"]
    text = leaver.run("plan", "--as-of", DUE).out
    assert f"{CLAIRE}: archival due since 2026-1" in text
    assert "confirmed by the next night" in text
    why = leaver.run("why", CLAIRE, "--as-of", DUE).out
    assert "archival due: a first night notes it" in why
    leaver.night(DUE)
    assert state(leaver) == "deactivated"
    assert noted(leaver) == f'{{"{CLAIRE}":"{DUE}"}}'.encode()
    # nights on the same day count once
    leaver.quiet_night(DUE)
    leaver.quiet_night(DUE, leaver.feed(row(fin="2026-09-30"), IDA, day=DUE))
    assert state(leaver) == "deactivated"
    assert leaver.night(NEXT).json["summary"]["archive"] == 1
    assert state(leaver) == "archived"
    assert noted(leaver) is None


@pytest.mark.parametrize(
    "words",
    [
        ("account", "rename", CLAIRE, "--usage-name", "Aubry"),
        ("account", "lock", CLAIRE),
        ("exception", "deny", CLAIRE, "--service", "iprof", "--until", "2027-03-01"),
    ],
)
def test_a_change_by_hand_never_archives(leaver: Academy, words: tuple[str, ...]) -> None:
    """Before, a rename of an account that is due and also its lock, said that prenom is blank."""
    closed(leaver)
    names = leaver.values(CLAIRE, "givenName")
    ran = leaver.run(*words, "--reason", "erreur de saisie", "--as-of", DUE)
    assert ran.code == 0, ran.err
    assert (state(leaver), leaver.values(CLAIRE, "givenName")) == ("deactivated", names)
    # nights still do
    leaver.night(DUE)
    assert leaver.night(NEXT).json["summary"]["archive"] == 1


def test_data_of_a_device_that_is_not_text_stops_no_archival_and_no_merge(leaver: Academy) -> None:
    """The desk may write any octets into the entry of a device."""
    hugo = row(matricule="1003", prenom="Hugo", nom_famille="Caron")
    leaver.night("2026-11-05", leaver.feed(row(fin="2026-09-30"), IDA, hugo, day="2026-11-05"))
    with leaver.sandbox.connect("desk") as desk:
        for uid in (CLAIRE, "hugo.caron"):
            values = {"objectClass": ["piactlRecord", "oathTOTPToken"], "oathSecret": b"1"}
            desk.add(f"cn=x,{leaver.dn(uid)}", attributes={**values, "piactlData": b"\xff\xfe"})
    merge = ("account", "merge", "hugo.caron", "ida.dubreuil", "--despite", "name", "--yes")
    ran = leaver.run(*merge, "--reason", "doublon", "--as-of", "2026-11-06")
    assert ran.code == 0, ran
    leaver.night(DUE)
    assert leaver.night(NEXT).json["summary"]["archive"] == 1
    names = (f"cn=x,{leaver.dn(uid)}" for uid in (CLAIRE, "hugo.caron"))
    assert not any(map(leaver.sandbox.entry, names))


def test_doctor_tries_a_second_password_only_where_there_is_a_first(leaver: Academy) -> None:
    """The server keeps the time of a password that an archival or a lock removed."""
    for uid in (CLAIRE, "ida.dubreuil"):
        leaver.change(uid, userPassword=["Cerise-Galop-9-bleu"])
    closed(leaver)
    leaver.night(DUE)
    leaver.night(NEXT)
    reason = ("--reason", "stolen", "--yes", "--as-of", NEXT)
    for command in (("lock", "ida.dubreuil", "--compromised"), ("unlock", "ida.dubreuil")):
        assert leaver.run("account", *command, *reason).code == 0
        checks = {check["id"]: check for check in leaver.run("doctor", "-o", "json").json}
        assert checks["D34"]["found"] == "not tried: no account is known to have a password"
        assert checks["D70"]["found"] == "not tried: no account is known to have a password"


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_return_between_the_nights_undoes_the_note(leaver: Academy, in_chunks: bool) -> None:
    closed(leaver)
    leaver.night(DUE)
    back = leaver.feed(row(debut="2027-02-02", fin="2027-02-03"), IDA, day=NEXT)
    with one_by_one() if in_chunks else nullcontext():
        leaver.night(NEXT, back)
    assert state(leaver) == "active"
    assert noted(leaver) is None
    # an earlier note does not count for a later archival
    leaver.night("2027-08-01")
    assert state(leaver) == "deactivated"
    leaver.night("2027-08-02")
    assert state(leaver) == "archived"


def test_an_archival_noted_under_a_wrong_clock_does_not_count(academy: Academy) -> None:
    feed: Path = academy.feed(row(debut="2020-09-01", fin=this_day(3)), row(matricule="1002"), day=this_day())
    assert academy.run("nightly", feed).code == 0
    academy.night(this_day(87))
    assert state(academy) == "deactivated"
    assert noted(academy) is not None
    assert academy.run("runs", "rewind", "--to", this_day(), "--reason", "wrong clock").code == 0
    assert academy.run("nightly").code == 0
    assert state(academy) == "active"
    assert noted(academy) is None
    # nor if the account was not looked at meanwhile: it is due on another day
    academy.night(this_day(86))
    assert state(academy) == "deactivated"


def test_a_host_whose_clock_is_ahead_archives_nobody(academy: Academy, clock_ahead: Shift) -> None:
    from datetime import timedelta

    feed = academy.feed(row(debut="2020-09-01", fin=this_day(3)), row(matricule="1002"), day=this_day())
    assert academy.run("nightly", feed).code == 0
    for days in (87, 88, 89):
        with academy.nothing_written(), clock_ahead(timedelta(days=days)):
            assert academy.run("nightly").code == 4
    assert state(academy) == "active"


def test_an_end_that_hr_moves_into_the_past_erases_nothing_for_a_whole_retention(leaver: Academy) -> None:
    """A year mistyped in one row: the account is closed that night, keeps its data as long as after any other
    end, and comes back with its password once the row is right."""
    leaver.night("2026-09-06", leaver.feed(row(debut="2020-09-01", fin="2027-08-31"), IDA, day="2026-09-06"))
    leaver.change(CLAIRE, userPassword=["a password that stays"])
    wrong = row(debut="2020-09-01", fin="2026-08-31")
    said = "WARNING: closed at once, because HR moved the end into the past: claire.dubreuil"
    assert said in leaver.run("plan", leaver.feed(wrong, IDA, day="2026-12-02"), "--as-of", "2026-12-02").out
    leaver.night("2026-12-02", leaver.feed(wrong, IDA, day="2026-12-02"))
    assert state(leaver) == "deactivated"
    assert "deactivated on 2026-12-02" in leaver.run("account", "show", CLAIRE, "--as-of", "2026-12-02").out
    why = leaver.run("why", CLAIRE, "--as-of", "2026-12-02", "-o", "json").json["answers"][0]
    assert (why["since"], why["until"]) == ("2026-12-02", "2026-12-31")
    login = leaver.run("why", CLAIRE, "login", "--as-of", "2026-12-03", "-o", "json").json
    assert login["answers"][0]["since"] == "2026-12-02"
    assert "02/12/2026" in leaver.run_in_french("why", CLAIRE, "login", "--as-of", "2026-12-03").out
    for day in ("2026-12-03", "2026-12-04", "2026-12-31"):
        leaver.night(day, leaver.feed(wrong, IDA, day=day))
        assert (state(leaver), noted(leaver)) == ("deactivated", None)
    leaver.night("2027-01-01", leaver.feed(row(debut="2020-09-01", fin="2027-08-31"), IDA, day="2027-01-01"))
    assert state(leaver) == "active"
    assert leaver.sandbox.accepts(leaver.dn(CLAIRE), "a password that stays")


def test_an_end_that_stays_in_the_past_archives_after_the_retention(leaver: Academy) -> None:
    leaver.night("2026-09-06", leaver.feed(row(debut="2020-09-01", fin="2027-08-31"), IDA, day="2026-09-06"))
    wrong = row(debut="2020-09-01", fin="2026-08-31")
    for day in ("2026-12-02", "2027-01-01", "2027-01-02"):
        assert state(leaver) != "archived"
        leaver.night(day, leaver.feed(wrong, IDA, day=day))
    assert state(leaver) == "archived"


def test_an_end_in_the_past_beside_a_lock_an_undo_and_a_closure(leaver: Academy) -> None:
    """The night that closes the account is undone like any other one; a lock or a closure by hand meanwhile
    neither brings the archival nearer nor opens anything."""
    right, wrong = row(debut="2020-09-01", fin="2027-08-31"), row(debut="2020-09-01", fin="2026-08-31")
    leaver.night("2026-09-06", leaver.feed(right, IDA, day="2026-09-06"))
    leaver.change(CLAIRE, userPassword=["a password that stays"])
    leaver.night("2026-12-02", leaver.feed(wrong, IDA, day="2026-12-02"))
    assert leaver.run("undo", "last", "--reason", "mistyped", "--yes", "--as-of", "2026-12-02").code == 0
    assert state(leaver) == "active"
    leaver.night("2026-12-03", leaver.feed(wrong, IDA, day="2026-12-03"))
    assert state(leaver) == "deactivated"
    at = ("--reason", "x", "--yes", "--as-of", "2026-12-03")
    assert leaver.run("account", "lock", CLAIRE, *at).code == 0
    assert leaver.run("account", "close", CLAIRE, "--until", "2026-12-20", *at).code == 0
    for day in ("2026-12-04", "2026-12-05", "2027-01-01"):
        leaver.night(day, leaver.feed(wrong, IDA, day=day))
        assert (state(leaver), noted(leaver)) == ("deactivated", None)
    leaver.night("2027-01-02", leaver.feed(wrong, IDA, day="2027-01-02"))
    assert noted(leaver) is not None
    leaver.night("2027-01-03", leaver.feed(right, IDA, day="2027-01-03"))
    assert (state(leaver), noted(leaver)) == ("active", None)
    assert not leaver.sandbox.accepts(leaver.dn(CLAIRE), "a password that stays"), "locked"
    unlock = ("--reason", "x", "--yes", "--as-of", "2027-01-03")
    assert leaver.run("account", "unlock", CLAIRE, *unlock).code == 0
    assert leaver.sandbox.accepts(leaver.dn(CLAIRE), "a password that stays")
