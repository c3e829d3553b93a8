"""Addresses that another program adds or removes are shown, kept, and given to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldap3
import pytest

from .academy import Academy
from .both_ways import same
from .feeds import row

DAYS = [f"2026-09-{day:02}" for day in range(5, 20)]
CLAIRE = "claire.dubreuil"
OURS, THEIRS = f"{CLAIRE}@ac-amiens.fr", "leo.petit@ac-amiens.fr"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
LEO = row(matricule="1003", prenom="Léo", nom_famille="Petit")

Hand = Callable[[Academy], None]


def replaced(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[THEIRS])


def added(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[THEIRS, OURS])


def alias(academy: Academy) -> None:
    academy.change(CLAIRE, piactlAlias=[THEIRS])


HANDS = pytest.mark.parametrize("hand", [replaced, added, alias])


def feed(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(row(), IDA, *rows, day=day)


def first_night(academy: Academy) -> None:
    academy.night(DAYS[0], feed(academy, DAYS[0]))


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    """An academy after its first night."""
    return make_academy(after=first_night)


def stands(academy: Academy, uid: str = CLAIRE) -> tuple[list[str], list[str]]:
    return academy.values(uid, "mail"), academy.values(uid, "piactlAlias")


def addresses(plan: Any) -> list[tuple[str, str, str]]:
    return [(drift["uid"], text, drift["since"]) for drift in plan["drift"] for text in drift["theirs"]]


@HANDS
def test_a_foreign_address_is_reserved_at_once_and_always_reported(academy: Academy, hand: Hand) -> None:
    hand(academy)
    before = stands(academy)
    tonight = feed(academy, DAYS[1])
    plan = academy.plan(tonight, "--as-of", DAYS[1])
    (change,) = plan["changes"]
    assert (change["kind"], change["uid"], change["after"]) == ("update", CLAIRE, {"identifiers": [THEIRS]})
    assert "another program" in change["reason"]
    assert addresses(plan) == [(CLAIRE, THEIRS, DAYS[1])]
    academy.twice(DAYS[1], tonight)
    assert stands(academy) == before
    assert academy.values(CLAIRE, "piactlIdentifier") == [CLAIRE, OURS, THEIRS]
    for feeds in ([feed(academy, DAYS[2])], []):
        ran = academy.run("nightly", *feeds, "--as-of", DAYS[2])
        assert f"{THEIRS}, since {DAYS[1]}: waits for a decision" in ran.out
    assert stands(academy) == before


@HANDS
def test_a_newcomer_of_the_same_night_gets_no_foreign_address(academy: Academy, hand: Hand) -> None:
    hand(academy)
    academy.twice(DAYS[1], feed(academy, DAYS[1], LEO))
    assert academy.names()["1003"] == "leo.petit1"


@HANDS
def test_a_newcomer_of_a_night_without_a_feed_gets_no_foreign_address(
    make_academy: Callable[..., Academy], hand: Hand
) -> None:
    """That night looks at people who are due and at what was written since the last run."""
    academy = make_academy()
    waits = LEO.replace("2026-09-01", "2026-09-25")
    academy.night(DAYS[0], feed(academy, DAYS[0], waits))
    hand(academy)
    ran = academy.night("2026-09-10")
    assert ran.json["summary"] == {"create": 1, "update": 1}
    assert academy.names()["1003"] == "leo.petit1"
    assert THEIRS in academy.values(CLAIRE, "piactlIdentifier")


@HANDS
def test_an_account_made_by_hand_gets_no_foreign_address(academy: Academy, hand: Hand) -> None:
    hand(academy)
    words = ["--family-name", "Petit", "--given-name", "Léo", "--uai", "0800009A", "--function", "ENS"]
    words += ["--until", "2026-12-31", "--sponsor", "ida.roy", "--reason", "renfort", "--as-of", DAYS[0]]
    assert academy.run("account", "create", *words).code == 0
    assert f"uid=leo.petit1,{academy.sandbox.accounts}" in academy.accounts()


@HANDS
def test_a_foreign_address_that_was_removed_again_stays_reserved(academy: Academy, hand: Hand) -> None:
    hand(academy)
    academy.night(DAYS[1], feed(academy, DAYS[1]))
    academy.change(CLAIRE, mail=[OURS], piactlAlias=[])
    after = feed(academy, DAYS[2], LEO)
    plan = same(academy, DAYS[2], after)
    assert plan["drift"] == []
    assert {change["uid"] for change in plan["changes"]} == {"leo.petit1"}
    academy.twice(DAYS[2], after)
    assert stands(academy) == ([OURS], [])


@HANDS
def test_foreign_addresses_make_the_same_plan_with_marks_and_batches(academy: Academy, hand: Hand) -> None:
    hand(academy)
    tonight = feed(academy, DAYS[1], LEO)
    plan = same(academy, DAYS[1], tonight)
    assert {change["uid"] for change in plan["changes"]} == {CLAIRE, "leo.petit1"}
    academy.night(DAYS[1], feed(academy, DAYS[1]))
    plan = same(academy, DAYS[2], feed(academy, DAYS[2], LEO))
    assert addresses(plan) == [(CLAIRE, THEIRS, DAYS[1])]
    assert {change["uid"] for change in plan["changes"]} == {"leo.petit1"}


@HANDS
def test_a_foreign_address_stays_when_the_name_changes(academy: Academy, hand: Hand) -> None:
    hand(academy)
    academy.twice(DAYS[1], academy.feed(row(nom_usage="Aubry"), IDA, day=DAYS[1]))
    mails, aliases = stands(academy)
    assert "claire.aubry@ac-amiens.fr" in mails
    assert {OURS, THEIRS} <= {*mails, *aliases}
    assert {OURS, THEIRS} <= set(academy.values(CLAIRE, "piactlIdentifier"))


@HANDS
def test_a_foreign_address_on_a_held_account_is_given_to_nobody_else(academy: Academy, hand: Hand) -> None:
    hand(academy)
    wrong = academy.feed(row(debut="2026-09-31"), IDA, LEO, day=DAYS[1])
    plan = same(academy, DAYS[1], wrong)
    assert addresses(plan) == [(CLAIRE, THEIRS, DAYS[1])]
    academy.twice(DAYS[1], wrong)
    assert academy.names()["1003"] == "leo.petit1"
    assert academy.values(CLAIRE, "piactlIdentifier") == [CLAIRE, OURS]


@HANDS
def test_a_foreign_address_on_a_protected_account_is_given_to_nobody(academy: Academy, hand: Hand) -> None:
    academy.change(CLAIRE, piactlProtected=["TRUE"])
    hand(academy)
    academy.twice(DAYS[1], feed(academy, DAYS[1], LEO))
    assert academy.names()["1003"] == "leo.petit1"


@HANDS
def test_a_foreign_address_stays_reserved_after_archival(
    make_academy: Callable[..., Academy], hand: Hand
) -> None:
    academy = make_academy()
    gone = row(debut="2026-01-01", fin="2026-03-31")
    academy.night("2026-01-05", academy.feed(gone, IDA, day="2026-01-05"))
    hand(academy)
    academy.nights("2026-07-15")
    assert academy.values(CLAIRE, "piactlState") == ["archived"]
    assert THEIRS in academy.values(CLAIRE, "piactlIdentifier")
    assert stands(academy) == ([], [])
    academy.twice(DAYS[0], academy.feed(gone, IDA, LEO, day=DAYS[0]))
    assert academy.names()["1003"] == "leo.petit1"


def test_an_address_on_an_archived_account_is_taken_with_marks_too(
    make_academy: Callable[..., Academy],
) -> None:
    academy = make_academy()
    gone = row(debut="2026-01-01", fin="2026-03-31")
    academy.night("2026-01-05", academy.feed(gone, IDA, day="2026-01-05"))
    academy.nights("2026-07-15")
    replaced(academy)
    academy.night(DAYS[0], academy.feed(IDA, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(IDA, day=DAYS[1]))
    plan = same(academy, DAYS[2], academy.feed(IDA, LEO, day=DAYS[2]))
    assert [change["uid"] for change in plan["changes"]] == ["leo.petit1"]


def test_an_address_that_was_taken_away_is_put_back(academy: Academy) -> None:
    """This harms nobody: it is in the ledger, and nobody else may have it."""
    academy.change(CLAIRE, mail=[])
    tonight = feed(academy, DAYS[1])
    (change,) = same(academy, DAYS[1], tonight)["changes"]
    assert (change["kind"], change["after"]["ours"]) == ("drift", [f"mail: {OURS}"])
    assert "another program" in change["reason"]
    academy.twice(DAYS[1], tonight)
    assert stands(academy) == ([OURS], [])


def test_of_several_removed_addresses_that_of_the_name_is_put_back(academy: Academy) -> None:
    ran = academy.night(DAYS[1], academy.feed(row(nom_usage="Aubry"), IDA, day=DAYS[1]))
    assert academy.run("undo", ran.json["run"], "--reason", "erreur", "--as-of", DAYS[1]).code == 0
    assert stands(academy) == ([OURS], [])
    academy.change(CLAIRE, mail=[])
    academy.twice(DAYS[2], feed(academy, DAYS[2]))
    assert stands(academy) == ([OURS], [])


def test_a_removed_address_becomes_an_alias_under_a_new_name(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[])
    academy.twice(DAYS[1], academy.feed(row(nom_usage="Aubry"), IDA, day=DAYS[1]))
    assert stands(academy) == (["claire.aubry@ac-amiens.fr"], [OURS])


def test_the_case_of_letters_is_no_difference(academy: Academy) -> None:
    academy.change(CLAIRE, mail=["Claire.Dubreuil@AC-Amiens.fr"])
    tonight = feed(academy, DAYS[1])
    academy.quiet_night(DAYS[1], tonight)
    assert academy.plan(tonight, "--as-of", DAYS[1])["drift"] == []


def test_addresses_in_other_attributes_of_an_account_are_taken(make_academy: Callable[..., Academy]) -> None:
    academy = make_academy()
    academy.edit("piactl.yaml", "  identities:", "  taken_attributes: [uid, mail, labeledURI]\n  identities:")
    academy.night(DAYS[0], feed(academy, DAYS[0]))
    with academy.sandbox.root() as root:
        root.modify(academy.dn(CLAIRE), {"labeledURI": [(ldap3.MODIFY_ADD, [THEIRS])]})
    academy.twice(DAYS[1], feed(academy, DAYS[1], LEO))
    assert academy.names()["1003"] == "leo.petit1"


def test_a_name_of_another_account_is_reported_and_stops_nothing(
    make_academy: Callable[..., Academy],
) -> None:
    """It is already in the ledger of that account, and the server allows it in no second ledger."""
    academy = make_academy()
    married = row(matricule="1999", prenom="Ida", nom_famille="Roy", nom_usage="Kern", debut="2020-09-01")
    academy.night(DAYS[0], feed(academy, DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(), married, day=DAYS[1]))
    academy.change(CLAIRE, mail=["ida.roy@ac-amiens.fr"])
    plan = same(academy, DAYS[2], academy.feed(row(), married, day=DAYS[2]))
    (foreign,) = plan["drift"]
    assert (foreign["uid"], foreign["owner"]) == (CLAIRE, "ida.roy")
    academy.quiet_night(DAYS[2], academy.feed(row(), married, day=DAYS[2]))
    later_feed = academy.feed(row(civilite="MME"), married, day=DAYS[3])
    assert academy.twice(DAYS[3], later_feed).json["outcomes"] == {"applied": 1}


def test_a_foreign_address_on_two_accounts_belongs_to_the_first(academy: Academy) -> None:
    academy.change(CLAIRE, piactlAlias=[THEIRS])
    academy.change("ida.roy", piactlAlias=[THEIRS])
    plan = same(academy, DAYS[1], feed(academy, DAYS[1]))
    assert [(drift["uid"], drift["owner"]) for drift in plan["drift"]] == [
        (CLAIRE, None),
        ("ida.roy", CLAIRE),
    ]
    academy.twice(DAYS[1], feed(academy, DAYS[1]))
    assert THEIRS in academy.values(CLAIRE, "piactlIdentifier")


def test_an_account_with_undecided_addresses_can_be_locked(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[], piactlAlias=["ida.roy@ac-amiens.fr"])
    words = ["--reason", "vol", "--as-of", DAYS[0]]
    assert academy.run("account", "lock", CLAIRE, *words).code == 0


def test_the_forecast_gives_nobody_a_foreign_address(make_academy: Callable[..., Academy]) -> None:
    academy = make_academy()
    academy.night(DAYS[0], feed(academy, DAYS[0], LEO.replace("2026-09-01", "2026-09-25")))
    replaced(academy)
    rows = academy.run("forecast", "--as-of", DAYS[1], "--until", "2026-09-20", "-o", "json").json
    assert {change["uid"] for change in rows if change["kind"] == "create"} == {"leo.petit1"}
