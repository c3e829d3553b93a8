"""Another person under a known matricule: held until HR corrects it, or somebody decides by hand."""

from __future__ import annotations

from typing import Any

import pytest

from .academy import Academy
from .feeds import MICHELIS, row
from .test_sync_cache import same, sifted

DAYS = [f"2026-09-{day:02}" for day in range(5, 15)]
PAUL = row(matricule="C110", civilite="M", prenom="Paul", nom_famille="Nouveau", date_naissance="1980-02-03")
OTHER = row(
    matricule="C110",
    civilite="MME",
    prenom="Autre",
    nom_famille="Tout",
    date_naissance="1991-04-05",
    uai=MICHELIS,
)


@pytest.fixture
def two(academy: Academy) -> Academy:
    """An academy with two full sources."""
    academy.sources(agape="kind: full", epp="kind: full")
    return academy


def holds(plan: Any) -> list[tuple[str, str | None]]:
    return [(hold["matricule"], hold["uid"]) for hold in plan["holds"]]


@pytest.mark.parametrize(
    ("first", "second"), [(("agape", PAUL), ("epp", OTHER)), (("epp", OTHER), ("agape", PAUL))]
)
def test_another_person_is_held_from_whichever_source_and_night(
    two: Academy, first: tuple[str, str], second: tuple[str, str]
) -> None:
    one = two.feed(first[1], day=DAYS[0], source=first[0])
    two.night(DAYS[0], one)
    (uid,) = two.names().values()
    other = two.feed(second[1], day=DAYS[1], source=second[0])
    (hold,) = two.plan(other, "--as-of", DAYS[1])["holds"]
    assert (hold["matricule"], hold["uid"]) == ("C110", uid)
    for words in ("Paul Nouveau", "Autre Tout", f"{other.name}:2", "--accept-person C110 --reason"):
        assert words in hold["why"]
    two.quiet_night(DAYS[1], other)
    both = [two.feed(text, day=DAYS[2], source=source) for source, text in (first, second)]
    assert holds(two.plan(*both, "--as-of", DAYS[2])) == [("C110", uid)]
    two.quiet_night(DAYS[2], *both)
    two.quiet_night(DAYS[3])
    two.quiet_night(DAYS[3], two.feed(first[1], day=DAYS[3], source=first[0]))
    assert len(two.values(uid, "piactlAssignment")) == 1


def test_the_summary_says_it(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    ran = two.run("nightly", two.feed(OTHER, day=DAYS[1], source="epp"), "--as-of", DAYS[1])
    assert ran.code == 0
    assert "1  held" in ran.out
    assert "Autre Tout" in ran.out
    assert "Paul Nouveau" in ran.out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"nom_usage": "Aubry"}),
        ({}, {"nom_famille": "Aubry"}),
        ({}, {"prenom": "Clara"}),
        ({"prenom": "Héloïse", "nom_famille": "Lefèvre"}, {"prenom": "HELOISE", "nom_famille": "LEFEVRE"}),
        ({"prenom": "Jean Paul", "nom_famille": "de la Tour"}, {"prenom": "Jean-Paul", "nom_famille": "Roy"}),
        ({"nom_usage": "Aubry"}, {"nom_famille": "AUBRY", "prenom": "Clara"}),
        ({"nom_usage": "Aubry"}, {"prenom": "Clara"}),
        ({}, {"nom_famille": "Roy", "nom_usage": "Dubreuil", "prenom": "Clara"}),
    ],
)
def test_a_marriage_and_a_correction_go_through(
    academy: Academy, before: dict[str, str], after: dict[str, str]
) -> None:
    """One name that agrees is enough."""
    academy.night(DAYS[0], academy.feed(row(**before), day=DAYS[0]))
    feed = academy.feed(row(**after), day=DAYS[1])
    plan = academy.plan(feed, "--as-of", DAYS[1])
    assert plan["holds"] == []
    assert plan["changes"]
    academy.twice(DAYS[1], feed)


def test_a_name_given_by_hand_makes_nobody_another_person(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(), day=DAYS[0]))
    words = ["--usage-name", "Aubry", "--until", "2027-01-01", "--reason", "mariage", "--as-of", DAYS[0]]
    assert academy.run("account", "rename", "claire.dubreuil", *words).code == 0
    academy.night(DAYS[1], academy.feed(row(prenom="Clara"), day=DAYS[1]))
    assert academy.values("claire.dubreuil", "givenName") == ["Clara"]


def test_a_decision_by_hand_lets_it_through_once(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    other = two.feed(OTHER, day=DAYS[1], source="epp")
    words = ["--as-of", DAYS[1], "--accept-person", "C110", "--reason", "la même, dit la DRH"]
    ran = two.run("nightly", other, *words, "-o", "json")
    assert ran.code == 0, ran.err
    assert two.values("paul.nouveau", "mail") == ["autre.tout@ac-amiens.fr"]
    assert two.values("paul.nouveau", "supannNomDeNaissance") == ["Tout"]
    shown = two.run("journal", "show", "--run", ran.json["run"], "-o", "json").json
    (line,) = [one for one in shown if one["uid"] == "paul.nouveau"]
    assert "la même, dit la DRH" in line["reason"]
    assert "C110" in line["reason"]
    # the same source is heard from now on; the other one is held in its turn
    two.quiet_night(DAYS[2], two.feed(OTHER, day=DAYS[2], source="epp"))
    back = two.feed(PAUL, day=DAYS[3], source="agape")
    assert holds(two.plan(back, "--as-of", DAYS[3])) == [("C110", "paul.nouveau")]
    two.quiet_night(DAYS[3], back)


def test_a_plan_that_lets_it_through_carries_the_reason(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    other = two.feed(OTHER, day=DAYS[1], source="epp")
    file = two.folder / "plan.json"
    words = ["--as-of", DAYS[1], "--accept-person", "C110", "--reason", "vu: 01E9501234ABC", "--out", file]
    ran = two.run("plan", other, *words)
    assert ran.code == 0, ran.err
    assert two.run("apply", file).code == 0
    assert two.values("paul.nouveau", "displayName") == ["Autre Tout"]
    shown = two.run("journal", "show", "--account", "paul.nouveau", "-o", "json").json
    (line,) = [one for one in shown if "rename" in one["kinds"]]
    assert "vu: 01E**********" in line["reason"]
    assert "01E9501234ABC" not in file.read_text() + str(shown)


def test_only_who_is_held_can_be_let_through(two: Academy) -> None:
    first = two.feed(PAUL, row(), day=DAYS[0], source="agape")
    two.night(DAYS[0], first)
    for matricule in ("1001", "9999"):
        words = ["--as-of", DAYS[1], "--accept-person", matricule, "--reason", "x"]
        for command in ("plan", "nightly"):
            ran = two.run(command, first, *words)
            assert ran.code == 2
            assert f"--accept-person {matricule}" in ran.err
    ran = two.run("nightly", first, "--as-of", DAYS[1], "--accept-person", "C110")
    assert ran.code == 2
    assert "needs a reason" in ran.err


@pytest.mark.parametrize("other", [OTHER, OTHER.replace(";ENS;", ";???;")])
def test_a_delta_does_not_bring_another_person_in_later(academy: Academy, other: str) -> None:
    """What a delta tells of a held person waits; what it tells of another one does not."""
    academy.sources(agape="kind: full", epp="kind: delta")
    academy.night(DAYS[0], academy.feed(PAUL, day=DAYS[0], source="agape"))
    academy.quiet_night(DAYS[1], academy.feed(other, day=DAYS[1], source="epp"))
    academy.quiet_night(DAYS[2])
    academy.quiet_night(DAYS[3], academy.feed(PAUL, day=DAYS[3], source="agape"))
    again = academy.feed(OTHER, day=DAYS[4], source="epp")
    words = ["--as-of", DAYS[4], "--accept-person", "C110", "--reason", "la même"]
    assert academy.run("nightly", again, *words).code == 0
    assert academy.values("paul.nouveau", "displayName") == ["Autre Tout"]


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_another_person_does_not_take_the_place_of_somebody_who_waits(academy: Academy, kind: str) -> None:
    academy.sources(agape="kind: full", epp=f"kind: {kind}")
    later = PAUL.replace("2026-09-01", "2026-11-01")
    academy.night(DAYS[0], academy.feed(later, day=DAYS[0], source="agape"))
    assert academy.names() == {}
    other = academy.feed(OTHER.replace("2026-09-01", "2026-11-01"), day=DAYS[1], source="epp")
    assert holds(academy.plan(other, "--as-of", DAYS[1])) == [("C110", None)]
    academy.quiet_night(DAYS[1], other)
    academy.night("2026-10-20")
    assert academy.names() == {"C110": "paul.nouveau"}
    assert [a["uai"] for a in academy.show("paul.nouveau", "2026-11-02")["assignments"]] == ["0800009A"]


def test_a_return_from_the_archive_cannot_be_compared(academy: Academy) -> None:
    """A tombstone has no names: whoever comes back under its matricule is taken for its person."""
    gone = row(debut="2026-01-01", fin="2026-03-31")
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-01-05", academy.feed(gone, stays, day="2026-01-05"))
    academy.night("2026-07-15")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    back = row(prenom="Autre", nom_famille="Tout")
    academy.night(DAYS[0], academy.feed(back, stays, day=DAYS[0]))
    assert academy.values("claire.dubreuil", "displayName") == ["Autre Tout"]


def test_it_is_the_same_with_marks_and_in_batches(academy: Academy) -> None:
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy")
    academy.night(DAYS[0], academy.feed(PAUL, stays, day=DAYS[0]))
    feed = academy.feed(OTHER, stays, day=DAYS[1])
    assert holds(same(academy, DAYS[1], feed)) == [("C110", "paul.nouveau")]
    academy.quiet_night(DAYS[1], feed)
    assert holds(same(academy, DAYS[2], academy.feed(OTHER, stays, day=DAYS[2]))) == [
        ("C110", "paul.nouveau")
    ]
    words = ["--as-of", DAYS[2], "--accept-person", "C110", "--reason", "la même", "-o", "json"]
    feed = academy.feed(OTHER, stays, day=DAYS[2])
    slow = academy.run("plan", feed, *words)
    assert {change["kind"] for change in slow.json["changes"]} >= {"rename"}
    with sifted():
        assert academy.run("plan", feed, *words) == slow
