"""Rare events: entries damaged by hand, keys that change, addresses taken at the last moment, odd dates."""

from __future__ import annotations

import pytest

from . import feeds
from .academy import Academy
from .feeds import MICHELIS


def row(**values: str) -> str:
    """A row of somebody whose post began before the first day of these stories."""
    return feeds.row(**{"debut": "2026-01-01", **values})


IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="2026-01-01")
DAY = "2026-03-01"


def state(academy: Academy, uid: str) -> str:
    return academy.values(uid, "piactlState")[0]


ENDS_OF_GRACES = {
    "2027-02-25": "20270327230000Z",
    "2027-02-26": "20270328220000Z",
    "2027-09-30": "20271030220000Z",
    "2027-10-01": "20271031230000Z",
    "2028-01-29": "20280228230000Z",
    "2028-01-30": "20280229230000Z",
    "2028-01-31": "20280301230000Z",
}


def test_the_grace_ends_at_midnight_of_a_civil_day(academy: Academy) -> None:
    """A grace of 30 days ends at midnight in Paris, even if the clocks change that day."""
    rows = [row(matricule=str(10 + n), debut="2026-09-01", fin=fin) for n, fin in enumerate(ENDS_OF_GRACES)]
    academy.twice("2027-01-10", academy.feed(*rows, day="2027-01-10"))
    names = academy.names()
    ends = {fin: academy.values(names[str(10 + n)], "pwdEndTime") for n, fin in enumerate(ENDS_OF_GRACES)}
    assert ends == {fin: [after] for fin, after in ENDS_OF_GRACES.items()}


@pytest.mark.parametrize("feeding", [True, False])
def test_retention_runs_from_the_day_a_start_was_cancelled(academy: Academy, feeding: bool) -> None:
    coming = row(debut="2026-03-10")
    academy.night(DAY, academy.feed(IDA, coming, day=DAY))
    for day in ("2026-03-02", "2026-03-03"):
        academy.night(day, academy.feed(IDA, day=day))
    assert state(academy, "claire.dubreuil") == "deactivated"
    for day in ("2026-03-10", "2026-03-20", "2026-04-02"):
        academy.quiet_night(day, *([academy.feed(IDA, day=day)] if feeding else []))
    assert state(academy, "claire.dubreuil") == "deactivated"
    for day in ("2026-04-03", "2026-04-04"):
        assert state(academy, "claire.dubreuil") == "deactivated"
        academy.night(day, *([academy.feed(IDA, day=day)] if feeding else []))
    assert state(academy, "claire.dubreuil") == "archived"


def test_a_later_start_keeps_the_account(academy: Academy) -> None:
    """Long after the retention it is still there, because HR gives a later start; then it is reused."""
    rows = (row(debut="2026-01-01", fin=DAY), row(debut="2026-12-01", uai=MICHELIS))
    academy.night(DAY, academy.feed(*rows, day=DAY))
    for day, expected in {
        "2026-04-01": "deactivated",
        "2026-11-15": "deactivated",
        "2026-11-16": "anticipated",
        "2026-12-01": "active",
    }.items():
        academy.night(day)
        assert state(academy, "claire.dubreuil") == expected, day


def test_an_address_taken_between_plan_and_apply(academy: Academy) -> None:
    """The server refuses that account, the others go on, and the next night finds another address."""
    academy.night(DAY, academy.feed(row(), HUGO, day=DAY))
    feed = academy.feed(row(nom_usage="Aubry"), HUGO.replace("Vasseur", "Vasseurs"), day="2026-03-02")
    plan = academy.folder / "plan.json"
    academy.plan(feed, "--as-of", "2026-03-02", "--out", plan)
    academy.sandbox.add(
        f"cn=liste,{academy.sandbox.accounts}",
        {"objectClass": ["inetOrgPerson"], "cn": "x", "sn": "x", "mail": "claire.aubry@ac-amiens.fr"},
    )
    ran = academy.run("apply", plan, "-o", "json")
    assert ran.code == 5
    assert ran.json["outcomes"] == {"applied": 1, "failed": 1}
    assert "claire.dubreuil" in ran.err
    academy.twice("2026-03-02", feed)
    assert academy.values("claire.dubreuil", "mail") == ["claire.aubry1@ac-amiens.fr"]


def test_a_profile_taken_out_of_the_policy_holds_those_it_made(academy: Academy) -> None:
    rows = (row(matricule="1003", prenom="Nour", fonction="COLTER"), HUGO)
    academy.night(
        DAY,
        academy.feed(
            *rows, row(matricule="1004", fonction="COLTER", prenom="Ysé", debut="2026-05-01"), day=DAY
        ),
    )
    academy.edit("policy.yaml", "  collectivite:     {when: {fonction: [COLTER]}}\n", "")
    plan = academy.plan("--as-of", DAY)
    assert {h["matricule"] for h in plan["holds"]} == {"1003", "1004"}
    assert all("COLTER" in h["why"] for h in plan["holds"])
    academy.quiet_night(DAY)
    # also on the night on which the waiting person is due; once the policy is corrected, the account is made
    academy.quiet_night("2026-04-20")
    academy.edit(
        "policy.yaml",
        "  sans_fonction: ",
        "  collectivite:     {when: {fonction: [COLTER]}}\n  sans_fonction: ",
    )
    # word for word the policy that a later run replaced
    academy.night("2026-04-21", code=4)
    put_back = academy.run("nightly", "--as-of", "2026-04-21", "--reason", "the profile is back")
    assert put_back.code == 0, put_back.err
    assert academy.names()["1004"] == "yse.dubreuil"


def test_a_return_is_recognised_by_a_digest_under_the_old_key(academy: Academy) -> None:
    gone = row(
        matricule="1005",
        prenom="Léo",
        nom_famille="Petit",
        numen="20E9512345XYZ",
        debut="2025-09-01",
        fin="2025-12-29",
    )
    feed_rows = (row(numen="20E9500001AAA"), HUGO, gone)
    academy.night("2025-12-01", academy.feed(gone, IDA, day="2025-12-01"))
    academy.nights(DAY, academy.feed(*feed_rows, IDA, day=DAY))
    assert state(academy, "leo.petit") == "archived"
    keys = academy.sandbox.folder / "secrets" / "keys"
    keys.write_text(f"k2 {'5a' * 32}\n{keys.read_text()}")
    academy.twice(DAY, academy.feed(*feed_rows, IDA, day=DAY))
    # recognised by the digest under the old key: no second account
    back = row(matricule="1005", prenom="Léo", nom_famille="Petit", numen="20E9512345XYZ", debut="2026-03-02")
    academy.twice("2026-03-02", academy.feed(*feed_rows, back, IDA, day="2026-03-02"))
    assert academy.names()["1005"] == "leo.petit"
    assert academy.values("leo.petit", "mail") == ["leo.petit@ac-amiens.fr"]
