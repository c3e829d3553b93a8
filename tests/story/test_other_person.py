"""Another person under a known matricule is a case until HR corrects it or somebody decides."""

from __future__ import annotations

from typing import Any

import ldap3
import pytest

from .academy import Academy
from .both_ways import same
from .feeds import MICHELIS, row

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
    name = {"paul.nouveau": "Autre Tout", "autre.tout": "Paul Nouveau"}[uid]
    for words in (name, uid, f"{other.name}:2", "another birth date", "piactl match show"):
        assert words in hold["why"]
    two.quiet_night(DAYS[1], other)
    both = [two.feed(text, day=DAYS[2], source=source) for source, text in (first, second)]
    assert holds(two.plan(*both, "--as-of", DAYS[2])) == [("C110", uid)]
    two.quiet_night(DAYS[2], *both)
    two.quiet_night(DAYS[3])
    two.quiet_night(DAYS[3], two.feed(first[1], day=DAYS[3], source=first[0]))
    assert len(two.values(uid, "piactlAssignment")) == 1


def test_the_summary_names_the_held_person(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    ran = two.run("nightly", two.feed(OTHER, day=DAYS[1], source="epp"), "--as-of", DAYS[1])
    assert ran.code == 0
    assert "1  held" in ran.out
    assert "Autre Tout" in ran.out
    assert "paul.nouveau" in ran.out


ONE_NAME_AGREES: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({}, {"nom_usage": "Aubry"}),
    ({}, {"nom_famille": "Aubry"}),
    ({}, {"prenom": "Clara"}),
    ({"prenom": "Héloïse", "nom_famille": "Lefèvre"}, {"prenom": "HELOISE", "nom_famille": "LEFEVRE"}),
    ({"prenom": "Jean Paul", "nom_famille": "de la Tour"}, {"prenom": "Jean-Paul", "nom_famille": "Roy"}),
    ({"nom_usage": "Aubry"}, {"nom_famille": "AUBRY", "prenom": "Clara"}),
    ({"nom_usage": "Aubry"}, {"prenom": "Clara"}),
    ({}, {"nom_famille": "Roy", "nom_usage": "Dubreuil", "prenom": "Clara"}),
)


def test_a_marriage_and_a_correction_go_through(academy: Academy) -> None:
    """One name that agrees is enough."""
    academy.allow_up_to(20)
    before, after = (
        [row(matricule=str(1001 + n), **pair[side]) for n, pair in enumerate(ONE_NAME_AGREES)]
        for side in (0, 1)
    )
    academy.night(DAYS[0], academy.feed(*before, day=DAYS[0]))
    feed = academy.feed(*after, day=DAYS[1])
    plan = academy.plan(feed, "--as-of", DAYS[1])
    assert plan["holds"] == []
    assert {change["matricule"] for change in plan["changes"]} == {str(1001 + n) for n in range(8)}
    academy.twice(DAYS[1], feed)


def test_a_name_given_by_hand_does_not_hold_the_person(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(), day=DAYS[0]))
    words = ["--usage-name", "Aubry", "--until", "2027-01-01", "--reason", "mariage", "--as-of", DAYS[0]]
    assert academy.run("account", "rename", "claire.dubreuil", *words).code == 0
    academy.night(DAYS[1], academy.feed(row(prenom="Clara"), day=DAYS[1]))
    assert academy.values("claire.dubreuil", "givenName") == ["Clara"]


def cases(academy: Academy, *words: str, as_of: str = DAYS[1]) -> list[dict[str, Any]]:
    ran = academy.run("match", "list", *words, "--as-of", as_of, "-o", "json")
    assert ran.code == 0, ran.err
    listed: list[dict[str, Any]] = ran.json
    return listed


def test_a_case_lasts_until_hr_agrees_and_ended_posts_still_end(two: Academy) -> None:
    """F1: the account keeps its owner, whatever feeds come; posts that HR ends do end."""
    paul = PAUL.replace("2026-09-01;", f"2026-09-01;{DAYS[4]}")
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1970-01-02")
    two.night(DAYS[0], two.feed(paul, stays, day=DAYS[0], source="agape"))
    two.night(DAYS[1], two.feed(OTHER, stays, day=DAYS[1], source="epp"))
    (case,) = cases(two)
    assert {k: case[k] for k in ("doubt", "source", "matricule", "name", "of", "since", "days")} == {
        "doubt": "other-person", "source": "epp", "matricule": "C110", "name": "Autre Tout",
        "of": ["paul.nouveau"], "since": DAYS[1], "days": 0,
    }  # fmt: skip
    for older, source, count in ((0, "epp", 1), (1, "epp", 0), (0, "agape", 0)):
        words = ("--older-than", str(older), "--source", source)
        assert len(cases(two, *words, as_of=DAYS[2])) == count
    shown = two.run("match", "show", case["case"], "--as-of", DAYS[2])
    for word in ("Paul Nouveau", "Autre Tout", "another birth date", "another given name", "match same"):
        assert word in shown.out
    assert "1980" not in shown.out
    # a night without a feed, and one with only the other source
    two.night(DAYS[2])
    two.night(DAYS[3], two.feed(paul, stays, day=DAYS[3], source="agape"))
    assert len(cases(two)) == 1
    ran = two.night(DAYS[5], two.feed(OTHER, stays, day=DAYS[5], source="epp"))
    assert ran.json["summary"].keys() & {"revoke", "deactivate"}
    assert two.values("paul.nouveau", "piactlState") != ["active"]
    assert two.values("paul.nouveau", "displayName") == ["Paul Nouveau"]
    # HR agrees again
    two.night(DAYS[6], two.feed(stays, PAUL.replace(";ENS;", ";DIR;"), day=DAYS[6], source="epp"))
    assert cases(two) == []


def undone(academy: Academy) -> str:
    """What `undo` says about the last run, which decided a case."""
    run = academy.run("runs", "list", "-o", "json").json[0]["run"]
    ran = academy.run("undo", run, "--yes", "--reason", "erreur")
    assert ran.code == 1
    return ran.err


def test_match_different_is_remembered_until_match_forget(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    two.night(DAYS[1], two.feed(OTHER, day=DAYS[1], source="epp"))
    (case,) = cases(two)
    words = (case["case"], "--reason", "vu: 01E9501234ABC", "--as-of", DAYS[1])
    assert two.run("match", "different", case["case"]).code == 2  # no reason
    assert two.run("match", "forget", *words).code == 1
    assert two.run("match", "different", *words).code == 0
    assert f"piactl match forget {case['case']} " in undone(two)
    assert two.run("match", "different", *words).code == 1
    # it stays listed until HR corrects its row
    assert [listed["decision"] for listed in cases(two)] == ["different"]
    (decided,) = cases(two, "--decided")
    assert decided["decision"] == "different"
    assert "01E9501234ABC" not in str(decided) + two.run("runs", "list", "-o", "json").out
    two.quiet_night(DAYS[2], two.feed(OTHER, day=DAYS[2], source="epp"))
    assert len(cases(two, "--decided")) == 1
    # a third person is a new case
    third = OTHER.replace("Autre", "Encore")
    two.quiet_night(DAYS[3], two.feed(third, day=DAYS[3], source="epp"))
    assert [open_case["since"] for open_case in cases(two)] == [DAYS[3]]
    two.quiet_night(DAYS[4], two.feed(OTHER, day=DAYS[4], source="epp"))
    words = (case["case"], "--reason", "non", "--as-of", DAYS[4])
    assert two.run("match", "different", *words).code == 0
    assert two.run("match", "forget", *words).code == 0
    assert f"piactl match different {case['case']} " in undone(two)
    assert len(cases(two)) == 1
    assert two.run("match", "show", "00000000").code == 9


def test_match_same_lets_hr_change_the_account(academy: Academy) -> None:
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1970-01-02")
    academy.night(DAYS[0], academy.feed(PAUL, stays, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(OTHER, stays, day=DAYS[1]))
    (case,) = cases(academy)
    words = ("--reason", "la même, dit la DRH", "--as-of", DAYS[1])
    assert academy.run("match", "same", case["case"], *words).code == 0
    ran = academy.twice(DAYS[2], academy.feed(OTHER, stays, day=DAYS[2]))
    assert academy.values("paul.nouveau", "mail") == ["autre.tout@ac-amiens.fr"]
    shown = academy.run("journal", "show", "--run", ran.json["run"], "-o", "json").json
    assert any("la même, dit la DRH" in line["reason"] for line in shown if line["uid"] == "paul.nouveau")
    assert cases(academy) == cases(academy, "--decided") == []
    # from now on the former person is the other one
    academy.quiet_night(DAYS[3], academy.feed(PAUL, stays, day=DAYS[3]))
    assert len(cases(academy)) == 1


BOTH_NAMES_DIFFER = {
    "C110": ("1980-02-03", "1980-02-03", None),
    "C111": ("1980-02-03", "", "other-person?"),
    "C112": ("", "1980-02-03", "other-person?"),
    "C113": ("", "", "other-person?"),
    "C114": ("1980-02-03", "1980-03-02", "other-person"),
}
"""Birth date before and after, doubt."""


def test_both_names_differ(academy: Academy) -> None:
    def rows(side: int, prenom: str, nom: str) -> list[str]:
        return [
            row(
                matricule=matricule,
                prenom=prenom,
                nom_famille=f"{nom}{chr(97 + n)}",
                date_naissance=values[side] or "",
            )
            for n, (matricule, values) in enumerate(BOTH_NAMES_DIFFER.items())
        ]

    academy.night(DAYS[0], academy.feed(*rows(0, "Paul", "Nouveau"), day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(*rows(1, "Autre", "Tout"), day=DAYS[1]))
    expected = {matricule: doubt for matricule, (*_, doubt) in BOTH_NAMES_DIFFER.items() if doubt}
    assert {case["matricule"]: case["doubt"] for case in cases(academy)} == expected
    given = {academy.show(m, DAYS[1])["uid"]: m for m in BOTH_NAMES_DIFFER}
    for uid, matricule in given.items():
        name = "Paul" if matricule in expected else "Autre"
        assert academy.values(uid, "givenName") == [name], matricule


BIRTH_DATE_DIFFERS = {
    "C110": ("PAUL", "NOUVEAUA", "birth-changed"),
    "C111": ("Paul", "Roy", "other-person"),
    "C112": ("Jean", "Nouveauc", "other-person"),
}
"""Names after, doubt."""


def test_the_birth_date_differs(academy: Academy) -> None:
    before, other = [], []
    for n, (matricule, (prenom, nom, _)) in enumerate(BIRTH_DATE_DIFFERS.items()):
        names = {"prenom": "Paul", "nom_famille": f"Nouveau{chr(97 + n)}"}
        before.append(row(matricule=matricule, date_naissance="1980-02-03", **names))
        other.append(row(matricule=matricule, date_naissance="1981-02-03", prenom=prenom, nom_famille=nom))
    academy.night(DAYS[0], academy.feed(*before, day=DAYS[0]))
    academy.quiet_night(DAYS[1], academy.feed(*other, day=DAYS[1]))
    expected = {matricule: doubt for matricule, (*_, doubt) in BIRTH_DATE_DIFFERS.items()}
    assert {case["matricule"]: case["doubt"] for case in cases(academy)} == expected
    academy.quiet_night(DAYS[2], academy.feed(*before, day=DAYS[2]))
    assert cases(academy) == []


def test_missing_identity_digests_are_written_in_one_night(academy: Academy) -> None:
    """This is so also after a key was added; a setting removes the digests again."""
    people = [
        row(matricule=f"200{n}", prenom=name, nom_famille="Roy", date_naissance=f"1970-01-0{n}")
        for n, name in enumerate(("Anne", "Ida", "Luc"), start=1)
    ]
    academy.edit("piactl.yaml", "sources:", "matching: {identity_digests: false}\nsources:")
    academy.night(DAYS[0], academy.feed(*people, day=DAYS[0]))

    def digests(name: str) -> set[str]:
        return {v.decode() for entry in academy.accounts().values() for v in entry.get(name, [])}

    assert digests("piactlIdentityDigest") == digests("piactlBirthDigest") == set()
    academy.edit("piactl.yaml", "identity_digests: false", "identity_digests: true")
    # the guards do not count it
    assert academy.night(DAYS[1], academy.feed(*people, day=DAYS[1])).json["summary"] == {"update": 3}
    before = digests("piactlBirthDigest")
    assert len(before) == len(digests("piactlIdentityDigest")) == 3
    academy.quiet_night(DAYS[1], academy.feed(*people, day=DAYS[1]))
    assert academy.run("key", "add", "--reason", "annuel").code == 0
    academy.night(DAYS[2], academy.feed(*people, day=DAYS[2]))
    assert {digest[:4] for digest in digests("piactlBirthDigest")} == {"{k2}"}
    assert academy.run("key", "list", "-o", "json").json[0]["births"] == 3
    academy.edit("piactl.yaml", "identity_digests: true", "identity_digests: false")
    again = academy.feed(*people, day=DAYS[3])
    # a setting that a later run had replaced
    assert academy.run("nightly", again, "--as-of", DAYS[3], "--reason", "not kept").code == 0
    assert digests("piactlIdentityDigest") == digests("piactlBirthDigest") == set()


def test_an_archived_account_loses_the_digests_where_they_are_not_kept(academy: Academy) -> None:
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    gone = row(date_naissance="1980-02-03", debut="2026-01-01", fin="2026-03-31")
    academy.night("2026-01-05", academy.feed(gone, stays, day="2026-01-05"))
    academy.nights("2026-07-15")
    assert academy.values("claire.dubreuil", "piactlIdentityDigest")
    academy.edit("piactl.yaml", "sources:", "matching: {identity_digests: false}\nsources:")
    feed = academy.feed(stays, day=DAYS[0])
    (change,) = same(academy, DAYS[0], feed)["changes"]
    assert (change["kind"], change["uid"]) == ("update", "claire.dubreuil")
    assert change["reason"] == "digests of birth dates are not kept"
    academy.twice(DAYS[0], feed)
    for name in ("piactlIdentityDigest", "piactlBirthDigest"):
        assert academy.values("claire.dubreuil", name) == []
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]


def test_equal_birth_dates_have_different_digests(academy: Academy) -> None:
    twins = [
        row(matricule=f"200{n}", prenom=name, nom_famille="Roy", date_naissance="1970-01-01")
        for n, name in enumerate(("Anne", "Ida"))
    ]
    academy.night(DAYS[0], academy.feed(*twins, day=DAYS[0]))
    values = [entry["piactlBirthDigest"] for entry in academy.accounts().values()]
    assert values[0] != values[1]
    assert not any(
        date in value
        for date in (b"1970-01", b"19700101")
        for entry in academy.accounts().values()
        for v in entry.values()
        for value in v
    )


def test_an_unreadable_case_is_reported_and_made_again(two: Academy) -> None:
    two.night(DAYS[0], two.feed(PAUL, day=DAYS[0], source="agape"))
    other = two.feed(OTHER, day=DAYS[1], source="epp")
    two.night(DAYS[1], other)
    (case,) = cases(two)
    dn = f"cn=case-{case['case']},{two.sandbox.state}"
    with two.sandbox.root() as root:
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [b"{no json"])]})
        root.add(f"cn=case-foreign,{two.sandbox.state}", "device", {"cn": "case-foreign"})
    ran = two.run("nightly", two.feed(OTHER, day=DAYS[2], source="epp"), "--as-of", DAYS[2])
    assert f"case-{case['case']}" in ran.err
    assert "case-foreign" in ran.err
    assert [open_case["case"] for open_case in cases(two)] == [case["case"]]


@pytest.mark.parametrize("other", [OTHER, OTHER.replace(";ENS;", ";???;")])
def test_a_delta_about_another_person_is_not_applied_later(academy: Academy, other: str) -> None:
    """What a delta says about a held person waits; what it says about another person does not."""
    academy.sources(agape="kind: full", epp="kind: delta")
    academy.night(DAYS[0], academy.feed(PAUL, day=DAYS[0], source="agape"))
    academy.quiet_night(DAYS[1], academy.feed(other, day=DAYS[1], source="epp"))
    academy.quiet_night(DAYS[2])
    academy.quiet_night(DAYS[3], academy.feed(PAUL, day=DAYS[3], source="agape"))
    if "???" not in other:
        (case,) = cases(academy)
        words = (case["case"], "--reason", "la même", "--as-of", DAYS[4])
        assert academy.run("match", "same", *words).code == 0
        academy.night(DAYS[4], academy.feed(OTHER, day=DAYS[4], source="epp"))
        assert len(academy.values("paul.nouveau", "piactlAssignment")) == 2


@pytest.mark.parametrize("kind", ["full", "delta"])
def test_another_person_does_not_replace_a_person_in_waiting(academy: Academy, kind: str) -> None:
    academy.sources(agape="kind: full", epp=f"kind: {kind}")
    later = PAUL.replace("2026-09-01", "2026-11-01")
    academy.night(DAYS[0], academy.feed(later, day=DAYS[0], source="agape"))
    assert academy.names() == {}
    other = academy.feed(OTHER.replace("2026-09-01", "2026-11-01"), day=DAYS[1], source="epp")
    assert holds(academy.plan(other, "--as-of", DAYS[1])) == [("C110", None)]
    academy.quiet_night(DAYS[1], other)
    academy.night("2026-10-20", code=5)  # the case is undecided for too long
    assert academy.names() == {"C110": "paul.nouveau"}
    assert [a["uai"] for a in academy.show("paul.nouveau", "2026-11-02")["assignments"]] == ["0800009A"]


def test_a_return_from_the_archive_is_compared_by_birth_date(academy: Academy) -> None:
    """A tombstone has only the names in its uid, with which a person without a birth date is compared."""
    gone = row(date_naissance="1980-02-03", debut="2026-01-01", fin="2026-03-31")
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-01-05", academy.feed(gone, stays, day="2026-01-05"))
    academy.nights("2026-07-15")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    other = row(date_naissance="1980-02-04")
    academy.quiet_night(DAYS[0], academy.feed(other, stays, day=DAYS[0]))
    assert [case["doubt"] for case in cases(academy)] == ["other-person"]
    back = row(prenom="Autre", nom_famille="Tout")
    academy.quiet_night(DAYS[1], academy.feed(back, stays, day=DAYS[1]))
    assert [case["doubt"] for case in cases(academy)] == ["other-person?"]
    academy.night(DAYS[2], academy.feed(row(nom_famille="Roy"), stays, day=DAYS[2]))
    assert academy.values("claire.dubreuil", "displayName") == ["Claire Roy"]
    assert cases(academy) == []


def test_another_person_is_held_alike_with_marks_and_in_batches(academy: Academy) -> None:
    stays = row(matricule="1999", prenom="Ida", nom_famille="Roy")
    academy.night(DAYS[0], academy.feed(PAUL, stays, day=DAYS[0]))
    feed = academy.feed(OTHER, stays, day=DAYS[1])
    assert holds(same(academy, DAYS[1], feed)) == [("C110", "paul.nouveau")]
    academy.quiet_night(DAYS[1], feed)
    assert holds(same(academy, DAYS[2], academy.feed(OTHER, stays, day=DAYS[2]))) == [
        ("C110", "paul.nouveau")
    ]
