"""Whole lives through the command: departures, suspension, death, and returns from every state."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from .academy import Academy, prepared
from .feeds import MICHELIS, row

IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
CONTRACT = {"debut": "2026-01-01", "fin": "2026-03-31", "corps": "553"}
"""A post whose grace ends on 30 April and whose retention ends on 30 May."""


def night(academy: Academy, day: str, *rows: str) -> None:
    academy.twice(day, academy.feed(IDA, *rows, day=day))


def claire(**values: str) -> str:
    return row(numen="20E9512345XYZ", courriel_prive="claire@example.org", civilite="MME", **values)


RETURNS = {
    "on-leave": ("2026-03-15", {**CONTRACT, "position": "disponibilite"}),
    "grace": ("2026-04-15", CONTRACT),
    "deactivated": ("2026-05-15", CONTRACT),
    "archived": ("2026-06-15", CONTRACT),
}


@prepared
def married(academy: Academy) -> Academy:
    night(academy, "2026-01-05", claire(debut="2026-01-01", fin="2026-03-31"))
    night(academy, "2026-02-01", claire(nom_usage="Aubry", debut="2026-01-01", fin="2026-03-31"))
    return academy


@pytest.mark.parametrize("state", RETURNS)
@pytest.mark.parametrize("again", ["active", "anticipated"])
def test_a_returning_person_gets_the_same_account(married: Academy, state: str, again: str) -> None:
    academy, (day, post) = married, RETURNS[state]
    if state == "archived":
        academy.night("2026-06-14")
    night(academy, day, claire(nom_usage="Aubry", **post))
    assert academy.values("claire.dubreuil", "piactlState") == [state]
    if state == "on-leave" and again == "anticipated":
        night(academy, "2026-03-31", claire(nom_usage="Aubry", **post))
    start = date.fromisoformat(day) + timedelta(days=10 if again == "anticipated" else 0)
    if state == "on-leave" and again == "anticipated":
        # a start in the future does not end a leave; on its first day the account is active again
        start = date(2026, 4, 1)
        day = "2026-04-01"
        again = "active"
    back = claire(nom_usage="Aubry", debut=start.isoformat(), uai=MICHELIS)
    plan = academy.plan(academy.feed(IDA, claire(nom_usage="Aubry", **post), back, day=day), "--as-of", day)
    assert [c["kind"] for c in plan["changes"] if c["kind"] in ("create", "reopen")] == (
        [] if (state, again) == ("grace", "anticipated") else ["reopen"]
    )
    night(academy, day, claire(nom_usage="Aubry", **post), back)
    expected = "grace" if (state, again) == ("grace", "anticipated") else again
    assert academy.values("claire.dubreuil", "piactlState") == [expected]
    assert academy.names() == {"1001": "claire.dubreuil", "1999": "ida.roy"}
    assert academy.values("claire.dubreuil", "mail") == ["claire.aubry@ac-amiens.fr"]
    assert academy.values("claire.dubreuil", "piactlAlias") == ["claire.dubreuil@ac-amiens.fr"]
    # on the first day of the new post it is open, whatever its state was
    night(academy, start.isoformat(), claire(nom_usage="Aubry", **post), back)
    shown = academy.show("claire.aubry@ac-amiens.fr", start.isoformat())
    assert (shown["state"], shown["uid"], shown["login_until"]) == ("active", "claire.dubreuil", None)


def test_an_account_ends_by_dates_alone_and_leaves_a_tombstone(academy: Academy) -> None:
    """Active, grace and deactivated on their days, archived a night later; a tombstone is left."""
    night(academy, "2026-01-05", claire(**CONTRACT), claire(**{**CONTRACT, "uai": MICHELIS}))
    seen = {}
    for day in (
        "2026-03-31",
        "2026-04-01",
        "2026-04-30",
        "2026-05-01",
        "2026-05-30",
        "2026-05-31",
        "2026-06-01",
    ):
        academy.night(day)
        academy.quiet_night(day)
        seen[day] = academy.values("claire.dubreuil", "piactlState")[0]
    assert list(seen.values()) == ["active", "grace", "grace", *["deactivated"] * 3, "archived"]

    entry = academy.entry("claire.dubreuil")
    operational = {
        name for name in entry if name.startswith(("pwd", "entry", "structural", "creat", "modif"))
    }
    assert set(entry) - operational - {"hasSubordinates", "subschemaSubentry"} == {
        "objectClass", "uid", "cn", "sn", "supannRessourceEtat", "supannRessourceEtatDate", "piactlState",
        "piactlIdentifier", "piactlMatriculeDigest", "piactlNumenDigest", "piactlDigest",
        "oathTOTPToken",
    }  # fmt: skip
    assert entry["cn"] == entry["sn"] == [b"archive"]
    assert entry["supannRessourceEtat"] == [b"{COMPTE}I:SupannSupprDonnees"]
    text = repr(entry).lower()
    for personal in ("dubreuil@example", "claire@example", "1001'", "0800009a", "madame"):
        assert personal not in text
    assert set(academy.values("claire.dubreuil", "piactlIdentifier")) == {
        "claire.dubreuil",
        "claire.dubreuil@ac-amiens.fr",
    }
    assert academy.show("claire.dubreuil", "2026-06-01")["state"] == "archived"
    academy.quiet_night("2030-01-01")


def test_an_archived_password_is_gone(academy: Academy) -> None:
    """The hash of a password is personal data too, and must not open an account that returns."""
    night(academy, "2026-01-05", claire(**CONTRACT))
    academy.change("claire.dubreuil", userPassword=["Correct-Horse-7"])
    academy.nights("2026-06-15")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    assert not academy.sandbox.accepts(academy.dn("claire.dubreuil"), "Correct-Horse-7")
