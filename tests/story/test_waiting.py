"""People whose accounts are not due yet, several feeds in one run, and feeds that contradict each other."""

from __future__ import annotations

import pytest

from .academy import Academy
from .feeds import MICHELIS, row

HERE = row()
COMING = row(
    matricule="1002", numen="20E9512345XYZ", prenom="Hugo", nom_famille="Vasseur", debut="2026-11-01"
)


def waiting(academy: Academy) -> int:
    return len(academy.sandbox.entries(f"cn=waiting,{academy.sandbox.state}")) - 1


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_the_account_is_made_on_the_due_night_without_any_feed(academy: Academy, kind: str) -> None:
    academy.sources(hr=f"kind: {kind}")
    academy.twice("2026-09-05", academy.feed(HERE, COMING, day="2026-09-05"))
    assert academy.names() == {"1001": "claire.dubreuil"}
    academy.quiet_night("2026-10-16")
    academy.night("2026-10-17")
    academy.quiet_night("2026-10-17")
    assert academy.names() == {"1001": "claire.dubreuil", "1002": "hugo.vasseur"}
    assert academy.values("hugo.vasseur", "piactlState") == ["anticipated"]
    assert academy.values("hugo.vasseur", "pwdStartTime") == ["20261031230000Z"]
    assert len(academy.values("hugo.vasseur", "piactlNumenDigest")) == 1
    academy.night("2026-11-01")
    assert academy.values("hugo.vasseur", "piactlState") == ["active"]


def test_a_later_feed_changes_people_in_waiting(academy: Academy) -> None:
    academy.sources(hr="kind: delta")
    academy.night("2026-09-05", academy.feed(HERE, COMING, day="2026-09-05"))
    changed = COMING.replace("Vasseur", "Vasser").replace("0800009A", MICHELIS)
    academy.night("2026-09-06", academy.feed(changed, day="2026-09-06"))
    academy.night("2026-10-17")
    uais = {a["uai"] for a in academy.show("hugo.vasser", "2026-10-17")["assignments"]}
    assert uais == {"0800009A", MICHELIS}


def test_people_absent_before_their_start_never_get_an_account(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(HERE, COMING, day="2026-09-05"))
    first = academy.feed(HERE, day="2026-09-06", mark="a")
    plan = academy.plan(first, "--as-of", "2026-09-06")
    assert [(a["matricule"], a["uid"], a["seen"]) for a in plan["absents"]] == [("1002", None, 1)]
    academy.night("2026-09-06", first)
    academy.night("2026-09-07", academy.feed(HERE, day="2026-09-07"))
    academy.quiet_night("2026-11-02")
    assert academy.names() == {"1001": "claire.dubreuil"}


def both(academy: Academy, full: list[str], delta: list[str], day: str) -> list:
    return [
        academy.feed(*full, day=day, source="epp"),
        academy.feed(*delta, day=day, source="moves"),
    ]


def test_of_sources_that_contradict_each_other_the_first_counts(academy: Academy) -> None:
    """The other name is listed, and everything else is done; if they contradict each other in the NUMEN, the
    person is held."""
    academy.sources(epp="kind: full", moves="kind: delta")
    academy.night("2026-09-05", *both(academy, [HERE], [row(matricule="1003", prenom="Nour")], "2026-09-05"))
    changed = row(nom_usage="Aubry", uai=MICHELIS)
    other = row(nom_usage="Aubin", fin="2026-10-01")
    feeds = both(academy, [changed], [other, row(matricule="1003", prenom="Noor")], "2026-09-06")
    plan = academy.plan(*feeds, "--as-of", "2026-09-06")
    assert [(d["uid"], d["columns"]) for d in plan["disagreements"]] == [("claire.dubreuil", ["nom_usage"])]
    assert plan["holds"] == []
    academy.night("2026-09-06", *feeds)
    assert academy.values("claire.dubreuil", "mail") == ["claire.aubry@ac-amiens.fr"]
    assert {a["uai"] for a in academy.show("claire.dubreuil", "2026-09-06")["assignments"]} == {
        "0800009A",
        MICHELIS,
    }
    feeds = both(
        academy,
        [row(numen="20E9512345XYZ", uai=MICHELIS)],
        [row(numen="20E9512346XYZ", fin="2026-09-01")],
        "2026-09-07",
    )
    plan = academy.plan(*feeds, "--as-of", "2026-09-07")
    assert [(h["uid"], "numen" in h["why"]) for h in plan["holds"]] == [("claire.dubreuil", True)]
    before = academy.stamps()
    academy.night("2026-09-07", *feeds)
    assert academy.stamps()[academy.dn("claire.dubreuil")] == before[academy.dn("claire.dubreuil")]


@pytest.mark.parametrize("due_only", [True, False])
def test_a_person_waiting_to_return_from_the_archive_keeps_the_account(
    academy: Academy, due_only: bool
) -> None:
    """The night on which the account is due reads only what is due, and an archived entry never is."""
    old = row(debut="2026-01-01", fin="2026-03-31", numen="20E9512345XYZ")
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-01-05", academy.feed(old, stays, day="2026-01-05"))
    academy.nights("2026-07-01")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    back = row(debut="2026-11-01", uai=MICHELIS, numen="20E9512345XYZ")
    feed = academy.feed(old, back, stays, day="2026-09-05")
    academy.twice("2026-09-05", feed)
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    academy.twice("2026-10-17", *([] if due_only else [feed]))
    assert academy.names() == {"1001": "claire.dubreuil", "1999": "ida.roy"}
    assert len(academy.accounts()) == 2
    assert academy.values("claire.dubreuil", "piactlState") == ["anticipated"]
    assert academy.values("claire.dubreuil", "mail") == ["claire.dubreuil@ac-amiens.fr"]
