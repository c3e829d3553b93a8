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
CLAIRE, ANNE, NOE = EVERYBODY = "claire.dubreuil", "anne.martin", "noe.garnier"
POSTS: tuple[dict[str, str], ...] = (
    {},
    {"matricule": "1004", "prenom": "Anne", "nom_famille": "Martin"},
    {"matricule": "1005", "prenom": "Noé", "nom_famille": "Garnier"},
)
FOREIGN = {
    uid: f"{name}.petit@ac-amiens.fr" for uid, name in zip(EVERYBODY, ("leo", "luc", "eve"), strict=True)
}
OURS, THEIRS = f"{CLAIRE}@ac-amiens.fr", FOREIGN[CLAIRE]
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
LEO = row(matricule="1003", prenom="Léo", nom_famille="Petit")
NEWCOMERS = (
    LEO,
    row(matricule="1006", prenom="Luc", nom_famille="Petit"),
    row(matricule="1007", prenom="Eve", nom_famille="Petit"),
)
NUMBERED = {"1003": "leo.petit1", "1006": "luc.petit1", "1007": "eve.petit1"}
"""The newcomers, whose addresses another program has given to Claire, Anne and Noé."""


def people(**values: str) -> list[str]:
    return [row(**post, **values) for post in POSTS]


def feed(academy: Academy, day: str, *rows: str) -> Path:
    return academy.feed(*people(), IDA, *rows, day=day)


def first_night(academy: Academy) -> None:
    academy.allow_up_to(20)
    academy.night(DAYS[0], feed(academy, DAYS[0]))


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    """An academy after its first night."""
    return make_academy(after=first_night)


def replaced(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[THEIRS])


def written_by_others(academy: Academy) -> None:
    """Acts as another program that replaces an address, adds one, and adds an alias."""
    replaced(academy)
    academy.change(ANNE, mail=[FOREIGN[ANNE], f"{ANNE}@ac-amiens.fr"])
    academy.change(NOE, piactlAlias=[FOREIGN[NOE]])


def stands(academy: Academy, uid: str = CLAIRE) -> tuple[list[str], list[str]]:
    return academy.values(uid, "mail"), academy.values(uid, "piactlAlias")


def addresses(plan: Any) -> set[tuple[str, str, str]]:
    return {(drift["uid"], text, drift["since"]) for drift in plan["drift"] for text in drift["theirs"]}


def reserved(academy: Academy, uid: str) -> bool:
    names = {uid, f"{uid}@ac-amiens.fr", FOREIGN[uid]}
    return set(academy.values(uid, "piactlIdentifier")) == names


def test_a_foreign_address_is_reserved_at_once_and_always_reported(academy: Academy) -> None:
    written_by_others(academy)
    before = {uid: stands(academy, uid) for uid in EVERYBODY}
    tonight = feed(academy, DAYS[1])
    plan = academy.plan(tonight, "--as-of", DAYS[1])
    changes = {change["uid"]: (change["kind"], change["after"]) for change in plan["changes"]}
    assert changes == {uid: ("update", {"identifiers": [FOREIGN[uid]]}) for uid in EVERYBODY}
    assert all("another program" in change["reason"] for change in plan["changes"])
    assert addresses(plan) == {(uid, FOREIGN[uid], DAYS[1]) for uid in EVERYBODY}
    academy.twice(DAYS[1], tonight)
    assert {uid: stands(academy, uid) for uid in EVERYBODY} == before
    assert all(reserved(academy, uid) for uid in EVERYBODY)
    for feeds in ([feed(academy, DAYS[2])], []):
        ran = academy.run("nightly", *feeds, "--as-of", DAYS[2])
        for uid in EVERYBODY:
            assert f"{FOREIGN[uid]}, since {DAYS[1]}: waits for a decision" in ran.out
    assert {uid: stands(academy, uid) for uid in EVERYBODY} == before


def test_a_newcomer_of_the_same_night_gets_no_foreign_address(academy: Academy) -> None:
    written_by_others(academy)
    tonight = feed(academy, DAYS[1], *NEWCOMERS)
    plan = same(academy, DAYS[1], tonight)
    assert {change["uid"] for change in plan["changes"]} == {*EVERYBODY, *NUMBERED.values()}
    academy.twice(DAYS[1], tonight)
    assert academy.names().items() >= NUMBERED.items()


def test_a_newcomer_of_a_night_without_a_feed_gets_no_foreign_address(academy: Academy) -> None:
    """That night looks at people who are due and at what was written since the last run."""
    waits = [line.replace("2026-09-01", "2026-09-25") for line in NEWCOMERS]
    academy.night(DAYS[0], feed(academy, DAYS[0], *waits))
    written_by_others(academy)
    ran = academy.night("2026-09-10")
    assert ran.json["summary"] == {"create": 3, "update": 3}
    assert academy.names().items() >= NUMBERED.items()
    assert all(reserved(academy, uid) for uid in EVERYBODY)


def test_an_account_made_by_hand_gets_no_foreign_address(academy: Academy) -> None:
    written_by_others(academy)
    for given in ("Léo", "Luc", "Eve"):
        words = ["--family-name", "Petit", "--given-name", given, "--uai", "0800009A", "--function", "ENS"]
        words += ["--until", "2026-12-31", "--sponsor", "ida.roy", "--reason", "renfort", "--as-of", DAYS[0]]
        assert academy.run("account", "create", *words).code == 0
    assert {academy.dn(uid) for uid in NUMBERED.values()} <= academy.accounts().keys()


def test_a_foreign_address_that_was_removed_again_stays_reserved(academy: Academy) -> None:
    written_by_others(academy)
    academy.night(DAYS[1], feed(academy, DAYS[1]))
    plan = same(academy, DAYS[2], feed(academy, DAYS[2], *NEWCOMERS))
    assert addresses(plan) == {(uid, FOREIGN[uid], DAYS[1]) for uid in EVERYBODY}
    assert {change["uid"] for change in plan["changes"]} == {*NUMBERED.values()}
    for uid in EVERYBODY:
        academy.change(uid, mail=[f"{uid}@ac-amiens.fr"], piactlAlias=[])
    after = feed(academy, DAYS[2], *NEWCOMERS)
    plan = same(academy, DAYS[2], after)
    assert plan["drift"] == []
    assert {change["uid"] for change in plan["changes"]} == {*NUMBERED.values()}
    academy.twice(DAYS[2], after)
    assert [stands(academy, uid) for uid in EVERYBODY] == [([f"{uid}@ac-amiens.fr"], []) for uid in EVERYBODY]


def test_a_foreign_address_stays_when_the_name_changes(academy: Academy) -> None:
    written_by_others(academy)
    academy.twice(DAYS[1], academy.feed(*people(nom_usage="Aubry"), IDA, day=DAYS[1]))
    for uid in EVERYBODY:
        mails, aliases = stands(academy, uid)
        assert f"{uid.partition('.')[0]}.aubry@ac-amiens.fr" in mails
        both = {f"{uid}@ac-amiens.fr", FOREIGN[uid]}
        assert both <= {*mails, *aliases}
        assert both <= set(academy.values(uid, "piactlIdentifier"))


def test_a_foreign_address_on_a_held_account_is_given_to_nobody_else(academy: Academy) -> None:
    written_by_others(academy)
    wrong = academy.feed(*people(debut="2026-09-31"), IDA, *NEWCOMERS, day=DAYS[1])
    plan = same(academy, DAYS[1], wrong)
    assert addresses(plan) == {(uid, FOREIGN[uid], DAYS[1]) for uid in EVERYBODY}
    academy.twice(DAYS[1], wrong)
    assert academy.names().items() >= NUMBERED.items()
    for uid in EVERYBODY:
        assert academy.values(uid, "piactlIdentifier") == [uid, f"{uid}@ac-amiens.fr"]


def test_a_foreign_address_on_a_protected_account_is_given_to_nobody(academy: Academy) -> None:
    for uid in EVERYBODY:
        academy.change(uid, piactlProtected=["TRUE"])
    written_by_others(academy)
    academy.twice(DAYS[1], feed(academy, DAYS[1], *NEWCOMERS))
    assert academy.names().items() >= NUMBERED.items()


def test_a_foreign_address_stays_reserved_after_archival(make_academy: Callable[..., Academy]) -> None:
    academy = make_academy()
    academy.allow_up_to(20)
    gone = people(debut="2026-01-01", fin="2026-03-31")
    academy.night("2026-01-05", academy.feed(*gone, IDA, day="2026-01-05"))
    written_by_others(academy)
    academy.nights("2026-07-15")
    for uid in EVERYBODY:
        assert academy.values(uid, "piactlState") == ["archived"]
        assert FOREIGN[uid] in academy.values(uid, "piactlIdentifier")
        assert stands(academy, uid) == ([], [])
    academy.twice(DAYS[0], academy.feed(*gone, IDA, *NEWCOMERS, day=DAYS[0]))
    assert academy.names().items() >= NUMBERED.items()


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
    ran = academy.night(DAYS[1], academy.feed(row(nom_usage="Aubry"), *people()[1:], IDA, day=DAYS[1]))
    assert academy.run("undo", ran.json["run"], "--reason", "erreur", "--as-of", DAYS[1]).code == 0
    assert stands(academy) == ([OURS], [])
    academy.change(CLAIRE, mail=[])
    academy.twice(DAYS[2], feed(academy, DAYS[2]))
    assert stands(academy) == ([OURS], [])


def test_a_removed_address_becomes_an_alias_under_a_new_name(academy: Academy) -> None:
    academy.change(CLAIRE, mail=[])
    academy.twice(DAYS[1], academy.feed(row(nom_usage="Aubry"), *people()[1:], IDA, day=DAYS[1]))
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
    academy.night(DAYS[1], academy.feed(*people(), married, day=DAYS[1]))
    academy.change(CLAIRE, mail=["ida.roy@ac-amiens.fr"])
    plan = same(academy, DAYS[2], academy.feed(*people(), married, day=DAYS[2]))
    (foreign,) = plan["drift"]
    assert (foreign["uid"], foreign["owner"]) == (CLAIRE, "ida.roy")
    academy.quiet_night(DAYS[2], academy.feed(*people(), married, day=DAYS[2]))
    later_feed = academy.feed(row(civilite="MME"), *people()[1:], married, day=DAYS[3])
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
