"""Which account the number of a supplement joins by itself, and how a wrong join is taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.aaf_sets import Agent

from . import feeds
from .academy import Academy
from .feeds import MICHELIS, MILLEVOYE
from .test_aaf import aaf, with_aaf

UID = "jean-luc.trogneux"
NAMED = {"nom_famille": "Trogneux", "prenom": "Jean-Luc", "date_naissance": "14/07/1980"}
OWN = Agent("500", ("4077$ENS",), sn="TROGNEUX", given="JEAN LUC")
TWIN = replace(OWN, id="501", given="JEAN BAPTISTE", functions=("4078$DIR",))
NAMESAKE = replace(TWIN, given="JEAN LUC")
WHY = ("--reason", "vu avec la DRH", "--yes")


def hr(academy: Academy, day: int, *others: dict[str, str]) -> Path:
    rows = [feeds.row(**NAMED), *(feeds.row(**{**NAMED, **values}) for values in others)]
    return academy.feed(*rows, feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy"), day=date(day))


def date(day: int) -> str:
    return f"2026-09-{day:02}"


def night(academy: Academy, day: int, *agents: Agent, others: tuple[dict[str, str], ...] = ()) -> Any:
    """A night of HR and, with `agents`, of a set that lists them."""
    sets = [aaf(academy, date(day).replace("-", ""), *agents)] if agents else []
    return academy.night(date(day), hr(academy, day, *others), *sets)


def matricules(academy: Academy, day: int, name: str = UID) -> list[str]:
    numbers: list[str] = academy.show(name, date(day))["matricules"]
    return numbers


def services(academy: Academy, day: int, name: str = UID) -> set[str]:
    return {right["service"] for right in academy.show(name, date(day))["entitlements"]}


def known(academy: Academy) -> Academy:
    """An academy that HR has told of Jean-Luc, with AAF as a supplement."""
    with_aaf(academy)
    night(academy, 1)
    return academy


def joined(academy: Academy) -> Academy:
    """The same after a night that joined the number of Jean-Luc in the set."""
    night(known(academy), 2, OWN)
    assert matricules(academy, 2) == ["1001", "aaf:500"]
    return academy


@pytest.mark.parametrize("other", [TWIN, NAMESAKE], ids=["twin", "namesake"])
def test_a_second_number_does_not_join_an_account_whose_number_is_in_the_set(make_academy, other) -> None:
    academy = make_academy(after=joined)
    for day in (3, 4):
        night(academy, day, OWN, other)
        assert matricules(academy, day) == ["1001", "aaf:500"]
        assert "siecle" not in services(academy, day)


def test_a_number_of_a_part_of_the_set_does_not_join_an_account_with_one(make_academy) -> None:
    """A set of one establishment does not say whether the number of the account is still in use."""
    academy = make_academy(after=joined)
    other = replace(NAMESAKE, functions=("4079$DIR",))
    path = aaf(academy, "20260903", other, name=f"ENT2D_{MILLEVOYE}")
    academy.night(date(3), hr(academy, 3), path)
    assert matricules(academy, 3) == ["1001", "aaf:500"]


def test_a_number_does_not_join_while_another_source_of_its_namespace_is_silent(make_academy) -> None:
    """The number of the account may be in the set that did not come."""
    academy = make_academy(after=joined)
    academy.edit(
        "piactl.yaml",
        "  aaf: {format: aaf,",
        '  aaf1d: {format: aaf1d, role: supplement, namespace: aaf, files: ["ENT1D*"]}\n  aaf: {format: aaf,',
    )
    night(academy, 3, replace(NAMESAKE, id="502"))
    assert matricules(academy, 3) == ["1001", "aaf:500"]


def test_whole_first_names_tell_twins_of_one_set_apart(make_academy) -> None:
    academy = make_academy(after=known)
    night(academy, 2, TWIN)
    assert matricules(academy, 2) == ["1001"]
    night(academy, 3, OWN, TWIN)
    assert matricules(academy, 3) == ["1001", "aaf:500"]
    # a first name of one word is compared with the first word of the other
    assert "siecle" not in services(academy, 3)


def test_first_names_of_one_word_join_as_before(make_academy) -> None:
    academy = make_academy(after=known)
    night(academy, 2, replace(OWN, given="JEAN"))
    assert matricules(academy, 2) == ["1001", "aaf:500"]


def test_a_new_number_joins_once_the_former_one_has_left_the_set(make_academy) -> None:
    academy = make_academy(after=joined)
    night(academy, 3, replace(OWN, id="502"))
    assert matricules(academy, 3) == ["1001", "aaf:500", "aaf:502"]


def test_nothing_joins_while_a_case_about_the_same_people_is_open(make_academy) -> None:
    academy = make_academy(after=known)
    newcomer = ({"matricule": "1002", "uai": MICHELIS},)
    for day in (2, 3):
        night(academy, day, OWN, others=newcomer)
        assert matricules(academy, day) == ["1001"]
    [case] = academy.run("match", "list", "-o", "json").json
    same = academy.run("match", "same", case["case"], *WHY, "--as-of", date(3))
    assert same.code == 0, same.err
    night(academy, 4, OWN, others=newcomer)
    assert matricules(academy, 4) == ["1001", "1002", "aaf:500"]


def test_nothing_joins_an_account_whose_row_is_of_somebody_else(make_academy) -> None:
    """On the night that opens the case of a matricule, its account gets no number either."""
    academy = make_academy(after=known)
    rows = feeds.row(**{**NAMED, "date_naissance": "01/02/1991"}), feeds.row(matricule="1999", prenom="Ida")
    for day in (2, 3):
        feed = academy.feed(*rows, day=date(day))
        academy.night(date(day), feed, aaf(academy, date(day).replace("-", ""), OWN))
        assert matricules(academy, day) == ["1001"]


def test_the_number_of_a_twin_joins_the_account_of_the_twin(make_academy) -> None:
    academy = make_academy(after=joined)
    twin = ({"matricule": "1002", "prenom": "Jean-Baptiste", "uai": MICHELIS},)
    night(academy, 3, OWN, TWIN, others=twin)
    [case] = academy.run("match", "list", "-o", "json").json
    different = academy.run("match", "different", case["case"], "--reason", "jumeaux", "--as-of", date(3))
    assert different.code == 0, different.err
    night(academy, 4, OWN, TWIN, others=twin)
    night(academy, 5, OWN, TWIN, others=twin)
    assert matricules(academy, 5) == ["1001", "aaf:500"]
    assert matricules(academy, 5, "jean-baptiste.trogneux") == ["1002", "aaf:501"]


def test_numbers_of_two_supplements_join_one_account(make_academy) -> None:
    """One number a night, so that each join is a change of its own."""
    academy = make_academy()
    with_aaf(academy, '}\n  gpei: {format: aaf, role: supplement, namespace: gpei, files: ["GPEI*"]')
    night(academy, 1)
    for day in (2, 3):
        named = date(day).replace("-", "")
        other = aaf(academy, named, OWN)
        renamed = other.rename(other.parent / f"GPEI_Complet_{named}.zip")
        academy.night(date(day), hr(academy, day), renamed, aaf(academy, named, OWN))
    assert matricules(academy, 3) == ["1001", "aaf:500", "gpei:500"]


def test_the_first_set_adds_numbers_without_breaking_a_guard(make_academy) -> None:
    academy = make_academy()
    with_aaf(academy)
    people = feeds.crowd(12, date_naissance="14/07/1980")
    academy.night(date(1), academy.feed(*people, day=date(1)))
    academy.allow_up_to(5, "update")
    agents = [
        Agent(row.split(";")[0], ("4077$ENS",), sn=row.split(";")[4].upper(), given="LOUISE")
        for row in people
    ]
    sets = academy.feed(*people, day=date(2)), aaf(academy, "20260902", *agents)
    planned = academy.plan(*sets, "--as-of", date(2))
    assert planned["summary"] == {"update": 12}
    assert planned["changes"][0]["after"]["matricules"] == ["5000", "aaf:5000"]
    assert academy.night(date(2), *sets).json["summary"] == {"update": 12}
    assert all(len(matricules(academy, 2, agent.id)) == 2 for agent in agents)
    # other updates still count
    moved = [row.replace(";553;", ";575;") for row in people]
    academy.night(date(3), academy.feed(*moved, day=date(3)), code=4)


# ---- taking a wrong join back


def wrongly_joined(academy: Academy) -> Academy:
    """Jean-Luc's account has the number of his namesake, and the right as head of another lycée."""
    night(known(academy), 2, replace(NAMESAKE, id="500"))
    assert "siecle" in services(academy, 2)
    academy.change(UID, userPassword=["quatre chats gris et lents"])
    return academy


def test_a_wrong_join_is_taken_back_without_another_account(make_academy) -> None:
    academy = make_academy(after=wrongly_joined)
    split = ("account", "split", UID, "--matricule", "aaf:500", *WHY, "--as-of", date(2))
    with academy.nothing_written():
        shown = academy.run(*split, "--dry-run")
    assert "no account is made of matricule aaf:500" in shown.out, shown.out + shown.err
    done = academy.run(*split)
    assert done.code == 0, done.err
    assert (matricules(academy, 2), services(academy, 2) & {"siecle"}) == (["1001"], set())
    assert academy.values(UID, "userPassword"), "the password stays"
    digests = academy.values(UID, "piactlIdentityDigest")
    assert digests, "what proves the person stays"
    for day in (3, 4):
        night(academy, day, replace(NAMESAKE, id="500"))
        assert matricules(academy, day) == ["1001"]
        assert "siecle" not in services(academy, day)
    assert set(academy.names().values()) == {UID, "ida.roy"}
    [case] = academy.run("match", "list", "--decided", "-o", "json").json
    assert (case["matricule"], case["of"], case["decision"]) == ("aaf:500", [UID], "different")
    # the right number still joins
    night(academy, 5, replace(NAMESAKE, id="500"), replace(OWN, id="503"))
    assert matricules(academy, 5) == ["1001", "aaf:503"]


def test_a_number_that_was_taken_back_can_be_given_back(make_academy) -> None:
    academy = make_academy(after=wrongly_joined)
    done = academy.run("account", "split", UID, "--matricule", "aaf:500", *WHY, "--as-of", date(2))
    assert done.code == 0, done.err
    undone = academy.run("undo", "last", "--yes", "--reason", "erreur", "--as-of", date(2))
    assert undone.code == 0, undone.err
    assert matricules(academy, 2) == ["1001", "aaf:500"]
    night(academy, 3, replace(NAMESAKE, id="500"))
    assert "siecle" in services(academy, 3)


def test_the_only_matricule_cannot_be_taken_off(make_academy) -> None:
    academy = make_academy(after=wrongly_joined)
    refused = academy.run("account", "split", UID, "--matricule", "aaf:999", *WHY)
    assert (refused.code, "it has no matricule aaf:999" in refused.err) == (1, True)
