"""A lock that a position of HR brought: no absence lifts it."""

from __future__ import annotations

from typing import Any

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

POST = row(matricule="1003", prenom="Gaspard", nom_famille="Noirfontaine", debut="2020-09-01")
SUSPENDED = row(
    matricule="1003",
    prenom="Gaspard",
    nom_famille="Noirfontaine",
    debut="2026-09-07",
    position="suspension",
)
UID = "gaspard.noirfontaine"


def feed(academy: Academy, day: str, *rows: str, source: str = "hr") -> Any:
    """A feed with these rows and Ida."""
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    return academy.feed(*rows, ida, day=day, source=source)


def flat(text: str) -> str:
    return " ".join(text.split())


def locked(academy: Academy, day: str, uid: str = UID) -> tuple[str, bool]:
    shown = academy.show(uid, day)
    return shown["state"], shown["locked"]


def suspended(academy: Academy) -> Academy:
    """Gaspard is suspended, and two feeds have not listed him."""
    academy.night("2026-09-06", feed(academy, "2026-09-06", POST, SUSPENDED))
    academy.night("2026-09-07", feed(academy, "2026-09-07", POST, SUSPENDED))
    assert locked(academy, "2026-09-07") == ("on-leave", True)
    academy.night("2026-09-10", feed(academy, "2026-09-10"))
    ran = academy.twice("2026-09-11", feed(academy, "2026-09-11"))
    assert "unlock" not in ran.json["summary"]
    return academy


@pytest.fixture
def absent(make_academy: Any) -> Academy:
    academy: Academy = make_academy(after=suspended)
    return academy


def test_two_feeds_without_the_person_end_the_post_and_not_the_lock(absent: Academy) -> None:
    assert locked(absent, "2026-09-11") == ("grace", True)
    posts = absent.show(UID, "2026-09-11")["assignments"]
    assert [a["end"] for a in posts] == ["2026-09-09", "2026-09-09"]
    assert absent.values(UID, "supannRessourceEtat") == ["{COMPTE}S:SupannVerrouAdministratif"]
    assert absent.values(UID, "pwdEndTime") == ["20260906220000Z"]
    absent.quiet_night("2026-09-12", feed(absent, "2026-09-12"))
    absent.quiet_night("2026-09-13")


def test_the_lock_lasts_while_the_account_closes_is_archived_and_comes_back_by_hand(absent: Academy) -> None:
    absent.night("2026-10-10", feed(absent, "2026-10-10"))
    assert locked(absent, "2026-10-10") == ("deactivated", True)
    absent.night("2026-12-10")
    absent.nights("2026-12-12", feed(absent, "2026-12-12"))
    shown = absent.show(UID, "2026-12-12")
    assert (shown["state"], shown["locked"]) == ("archived", True)
    assert shown["lock"] == {
        "since": "2026-09-10",
        "until": None,
        "by": "hr",
        "reason": "locked by its position in HR, which no longer lists it",
    }
    created = absent.run(
        "account", "create", "--matricule", "1003", "--family-name", "Noirfontaine", "--given-name",
        "Gaspard", "--uai", MICHELIS, "--function", "ENS", "--until", "2027-08-31", "--sponsor",
        absent.names()["1999"], "--reason", "de retour", "--as-of", "2026-12-13", "--yes",
    )  # fmt: skip
    assert created.code == 0, created.err
    assert locked(absent, "2026-12-13") == ("active", True)
    # HR lists the person, without the lock
    absent.night("2026-12-14", feed(absent, "2026-12-14", POST.replace("2020-09-01", "2026-12-14")))
    assert locked(absent, "2026-12-14") == ("active", False)


def test_a_row_of_hr_without_it_ends_the_lock(absent: Academy) -> None:
    day = "2026-10-14"
    absent.twice(day, feed(absent, day, POST))
    assert locked(absent, day) == ("active", False)
    absent.quiet_night("2026-10-15")


def test_a_row_of_hr_without_it_ends_the_lock_of_an_archived_account(absent: Academy) -> None:
    absent.night("2026-12-10")
    absent.nights("2026-12-12", feed(absent, "2026-12-12"))
    assert absent.show(UID, "2026-12-12")["state"] == "archived"
    absent.night("2026-12-14", feed(absent, "2026-12-14", POST))
    assert locked(absent, "2026-12-14") == ("active", False)


def test_the_lock_ends_with_the_fin_of_the_row(academy: Academy) -> None:
    until = SUSPENDED + "2026-09-30"
    academy.night("2026-09-07", feed(academy, "2026-09-07", POST, until))
    academy.night("2026-09-10", feed(academy, "2026-09-10"))
    academy.night("2026-09-11", feed(academy, "2026-09-11"))
    academy.quiet_night("2026-09-30")
    assert locked(academy, "2026-09-30") == ("grace", True)
    assert academy.night("2026-10-01").json["summary"] == {"unlock": 1}
    assert locked(academy, "2026-10-01") == ("grace", False)


def test_an_administrator_lifts_the_lock_and_no_night_brings_it_back(absent: Academy) -> None:
    why = absent.run("why", UID, "login", "--as-of", "2026-09-12")
    assert (
        "locked by HR, no end known: position verrouille: ENS at 0800009A (Lycée Louis Thuillier) from "
        "2026-09-07 to 2026-09-09 [hr-001.csv:3]; the row is absent since 2026-09-10" in flat(why.out)
    )
    assert "it ends when HR lists the person without it, or by an administrator" in flat(why.out)
    assert f'piactl account unlock {UID} --reason "..."' in why.out
    ran = absent.run("account", "unlock", UID, "--reason", "accord des RH", "--as-of", "2026-09-12")
    assert ran.code == 0, ran.err
    assert locked(absent, "2026-09-12") == ("grace", False)
    absent.quiet_night("2026-09-13", feed(absent, "2026-09-13"))
    absent.quiet_night("2026-09-14")


def test_undo_brings_back_what_the_night_ended(absent: Academy) -> None:
    undone = absent.run("undo", "last", "--reason", "fichier faux", "--as-of", "2026-09-11", "--yes")
    assert undone.code == 0, undone.err
    assert locked(absent, "2026-09-11") == ("on-leave", True)
    assert [a["end"] for a in absent.show(UID, "2026-09-11")["assignments"]] == [None, None]


def test_an_administrators_lock_and_that_of_hr_end_one_by_one(absent: Academy) -> None:
    for command in ("lock", "unlock"):
        ran = absent.run("account", command, UID, "--reason", "vol", "--as-of", "2026-09-12", "--dry-run")
        assert ran.code == 0, ran.err
        assert absent.run("account", command, UID, "--reason", "vol", "--as-of", "2026-09-12").code == 0
        assert locked(absent, "2026-09-12") == ("grace", True)
    assert "the lock of its position in HR stays until it is unlocked again" in ran.out + ran.err
    absent.quiet_night("2026-09-13", feed(absent, "2026-09-13"))
    assert locked(absent, "2026-09-13") == ("grace", True)


def test_reopening_does_not_unlock(absent: Academy) -> None:
    words = ("--until", "2027-08-31", "--reason", "essai", "--as-of", "2026-09-12")
    ran = absent.run("account", "reopen", UID, *words)
    assert ran.code == 0, ran.err
    assert locked(absent, "2026-09-12") == ("active", True)


def test_timeline_and_forecast_go_on_with_the_lock(absent: Academy) -> None:
    timeline = absent.run("account", "timeline", UID, "--as-of", "2026-09-12", "-o", "json").json
    [by_position] = timeline["locks"]
    assert by_position["periods"] == [{"from": "2026-09-07", "to": None, "kind": "locked"}]
    forecast = absent.run("forecast", "--until", "2026-12-31", "--as-of", "2026-09-12", "-o", "json")
    assert forecast.code == 0, forecast.err
    assert "unlock" not in forecast.out


def test_another_program_does_not_take_the_lock(absent: Academy) -> None:
    values = absent.values(UID, "piactlAssignment")
    kept = "0800009A$ENS$2026-09-07$2026-09-09$553$verrouille$$$$hr$$9999-12-31$hr-001.csv:3"
    assert kept in values
    taken = [value.replace("9999-12-31", "2026-09-11") for value in values]
    absent.change(UID, piactlAssignment=taken)
    plan = absent.plan("--as-of", "2026-09-12")
    assert [(d["attribute"], d["drift_class"]) for d in plan["drift"]] == [("piactlAssignment", "loosening")]
    for day in ("2026-09-12", "2026-09-13"):
        absent.night(day)
        assert absent.values(UID, "supannRessourceEtat") == ["{COMPTE}S:SupannVerrouAdministratif"]


@pytest.mark.parametrize("rows", [[POST, SUSPENDED], [POST]], ids=["with the lock", "without it"])
def test_a_corrected_matricule_says_if_the_lock_goes_on(absent: Academy, rows: list[str]) -> None:
    words = ("--from", "1003", "--to", "2003", "--reason", "matricule corrigé", "--as-of", "2026-09-12")
    ran = absent.run("account", "rekey", UID, *words)
    assert ran.code == 0, ran.err
    assert locked(absent, "2026-09-12") == ("grace", True)
    new = [line.replace("1003", "2003", 1) for line in rows]
    absent.night("2026-09-14", feed(absent, "2026-09-14", *new))
    expected = ("on-leave", True) if SUSPENDED in rows else ("active", False)
    assert locked(absent, "2026-09-14") == expected
