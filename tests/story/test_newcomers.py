"""Newcomers who may have an account already are a case before a second account is made."""

from __future__ import annotations

from typing import Any

import pytest

from piactl.report.metrics import metrics_text

from .academy import Academy, prepared
from .both_ways import one_by_one, same
from .feeds import MARESCHAL, MICHELIS, row, text
from .test_other_person import cases

DAYS = [f"2026-09-{day:02}" for day in range(5, 29)]
NUMEN, OTHER = "01E9501234ABC", "01E9507777XYZ"
LUC = {
    "matricule": "C200", "prenom": "Luc", "nom_famille": "Vasseur", "date_naissance": "1979-08-09",
    "courriel_prive": "luc@example.org", "numen": NUMEN,
}  # fmt: skip
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", date_naissance="1970-01-02")


def holds(plan: Any) -> list[tuple[str, str | None]]:
    return [(hold["matricule"], hold["uid"]) for hold in plan["holds"]]


def test_a_numen_under_another_matricule_is_a_case_until_decided(academy: Academy) -> None:
    """F2: the case lasts until it is decided; posts of the account that HR ends do end."""
    academy.sources(agape="kind: full", epp="kind: full")
    old = row(**LUC, fin=DAYS[1])
    new = row(**{**LUC, "matricule": "C201", "date_naissance": "", "courriel_prive": ""}, uai=MICHELIS)
    stays = row(**{**LUC, "matricule": "C300", "prenom": "Eve", "numen": "", "courriel_prive": ""})
    academy.night(DAYS[0], academy.feed(old, IDA, day=DAYS[0], source="agape"))
    academy.night(DAYS[1], academy.feed(new, stays, day=DAYS[1], source="epp"))
    assert [(c["doubt"], c["matricule"], c["of"]) for c in cases(academy)] == [
        ("same-person?", "C201", ["luc.vasseur"])
    ]
    # a later run with only the other source, then one without a feed
    ran = academy.night(DAYS[5], academy.feed(old, IDA, day=DAYS[5], source="agape"))
    assert "revoke" in ran.json["summary"]
    assert "viescolaire" not in str(academy.values("luc.vasseur", "eduPersonEntitlement"))
    academy.night(DAYS[6])
    assert [c["urgency"] for c in cases(academy, as_of=DAYS[6])] == ["soon"]
    assert [c["urgency"] for c in cases(academy, as_of=DAYS[12])] == ["overdue"]
    (warned,) = academy.plan("--as-of", DAYS[6])["remarks"][-1:]
    assert warned.startswith("WARNING: case ")
    plan = academy.plan("--as-of", DAYS[12])
    assert plan["remarks"][-1].startswith("ERROR: case ")
    assert plan["cases"] == {"open": 1, "soon": 1, "overdue": 1, "wrong": 0}
    assert 'piactl_last_run_cases{cases="overdue"} 1' in metrics_text(0.0, 0, plan, {})
    checks = {finding["id"]: finding for finding in academy.run("doctor", "-o", "json").json}
    assert checks["D59"]["result"] == "error"
    assert set(academy.names()) == {"C200", "C300", "1999"}
    # the result is the same if both are in one feed
    academy.night(DAYS[7], academy.feed(old, new, stays, day=DAYS[7], source="epp"))
    assert [c["since"] for c in cases(academy)] == [DAYS[1]]
    (case,) = cases(academy)
    words = (case["case"], "--reason", "deux personnes", "--as-of", DAYS[7])
    assert academy.run("match", "different", *words).code == 0
    academy.twice(DAYS[8], academy.feed(new, stays, day=DAYS[8], source="epp"))
    assert academy.names()["C201"] == "luc.vasseur1"
    assert academy.values("luc.vasseur1", "piactlNumenDigest") == []
    assert cases(academy) == []


@prepared
def known(academy: Academy) -> Academy:
    """Luc and Ida have accounts."""
    academy.night(DAYS[0], academy.feed(row(**LUC), IDA, day=DAYS[0]))
    return academy


def test_a_newcomer_with_a_known_identity_is_held_as_a_case(known: Academy) -> None:
    """F3: the matricule and NUMEN differ; name, birth date and private address are the same."""
    again = row(**{**LUC, "matricule": "C201", "numen": OTHER})
    feed = known.feed(row(**LUC), again, IDA, day=DAYS[1])
    plan = same(known, DAYS[1], feed)
    assert holds(plan) == [("C201", None)]
    assert plan["changes"] == []
    with one_by_one():
        assert holds(known.plan(feed, "--as-of", DAYS[1])) == [("C201", None)]
    known.quiet_night(DAYS[1], feed)
    (case,) = cases(known)
    shown = known.run("match", "show", case["case"], "--as-of", DAYS[1]).out
    for word in (
        "same identity",
        "same private address",
        "luc.vasseur",
        "l***@example.org",
        "match different",
    ):
        assert word in shown
    assert "luc@example.org" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    (side_by_side,) = [line for line in shown.splitlines() if line.split()[:1] == ["private"]]
    assert side_by_side.split() == ["private", "l***@example.org", "l***@example.org"]
    out = known.run("nightly", feed, "--as-of", DAYS[1]).out
    assert case["case"] in out


EVIDENCE: dict[str, tuple[dict[str, str], str | None]] = {
    "C301": ({"numen": "01E9507771XYZ", "courriel_prive": ""}, "same identity"),
    "C302": ({"numen": "", "date_naissance": "", "prenom": "Lucien"}, "same private address"),
    "C303": ({"date_naissance": "1990-01-01", "prenom": "Eve", "nom_famille": "Roy"}, "same NUMEN"),
    "C304": ({"numen": "", "date_naissance": "", "prenom": "Eve", "nom_famille": "Roy"}, None),
    "C305": (
        {"numen": "01E9507775XYZ", "date_naissance": "1990-01-01", "courriel_prive": "l@example.net"},
        None,
    ),
}
"""Newcomer -> what differs from a known person each, and the evidence that they are one."""


def test_one_kind_of_evidence_is_enough_for_a_case(academy: Academy) -> None:
    known, newcomers = [], []
    for n, (matricule, (values, _)) in enumerate(EVIDENCE.items()):
        person = {**LUC, "matricule": f"C20{n}", "nom_famille": f"Vasseur{chr(97 + n)}"}
        person |= {"numen": f"01E950123{n}ABC", "courriel_prive": f"luc{n}@example.org"}
        known.append(row(**person))
        newcomers.append(row(**{**person, "matricule": matricule, **values}, uai=MARESCHAL))
    academy.night(DAYS[0], academy.feed(*known, IDA, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(*known, IDA, *newcomers, day=DAYS[1]))
    listed = {case["matricule"]: case["case"] for case in cases(academy)}
    assert {*listed} == {matricule for matricule, (_, evidence) in EVIDENCE.items() if evidence}
    assert {*EVIDENCE} & academy.names().keys() == {*EVIDENCE} - {*listed}
    for matricule, case in listed.items():
        assert str(EVIDENCE[matricule][1]) in academy.run("match", "show", case, "--as-of", DAYS[1]).out


def test_two_newcomers_of_one_identity_get_accounts_once_decided(academy: Academy) -> None:
    """Neither account is made: both rows are one case. Once decided as different, both accounts are made."""
    twice = [row(**{**LUC, "matricule": m, "numen": n}) for m, n in (("C200", NUMEN), ("C201", OTHER))]
    feed = academy.feed(*twice, IDA, day=DAYS[0])
    academy.night(DAYS[0], feed)
    assert academy.names() == {"1999": "ida.roy"}
    (case,) = cases(academy)
    assert (case["matricule"], case["of"]) == ("C200", ["C201"])
    words = (case["case"], "--reason", "jumeaux", "--as-of", DAYS[0])
    assert academy.run("match", "different", *words).code == 0
    academy.twice(DAYS[1], academy.feed(*twice, IDA, day=DAYS[1]))
    assert set(academy.names().values()) == {"ida.roy", "luc.vasseur", "luc.vasseur1"}
    assert cases(academy) == []


def test_the_numen_of_another_account_is_not_taken_over(known: Academy) -> None:
    ida = IDA.replace("1999;;", f"1999;{NUMEN};")
    known.quiet_night(DAYS[1], known.feed(row(**LUC), ida, day=DAYS[1]))
    assert [(c["doubt"], c["matricule"], c["of"]) for c in cases(known)] == [
        ("numen-shared", "1999", ["luc.vasseur"])
    ]
    ran = known.run("match", "same", cases(known)[0]["case"], "--reason", "x", "--as-of", DAYS[1])
    assert (ran.code, "piactl account merge 1999 luc.vasseur" in ran.err) == (1, True)
    known.night(DAYS[2], known.feed(row(**LUC), ida.replace(";ENS;", ";DIR;"), day=DAYS[2]))
    assert known.values("ida.roy", "piactlNumenDigest") == []
    known.night(DAYS[3], known.feed(row(**LUC), IDA, day=DAYS[3]))
    assert cases(known) == []


def test_a_homonym_gets_an_account_and_a_remark(known: Academy) -> None:
    other = row(matricule="C201", prenom="Luc", nom_famille="Vasseur", date_naissance="1990-01-01")
    feed = known.feed(row(**LUC), IDA, other, day=DAYS[1])
    (made,) = known.plan(feed, "--as-of", DAYS[1])["changes"]
    assert made["uid"] == "luc.vasseur1"
    assert "only the name is that of luc.vasseur" in made["reason"]


def decided(academy: Academy, answer: str, *words: str, day: str = DAYS[1]) -> Any:
    (case,) = cases(academy)
    ran = academy.run("match", answer, case["case"], *words, "--reason", "vu", "--as-of", day)
    assert ran.code == 0, ran.err
    return ran


def test_match_same_joins_the_matricule_to_the_account(academy: Academy) -> None:
    """It is a mutation: the post of the new matricule follows, and no second account is made."""
    old, new = row(**LUC, fin=DAYS[3]), row(**{**LUC, "matricule": "C201", "numen": OTHER}, uai=MICHELIS)
    academy.night(DAYS[0], academy.feed(old, IDA, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(old, new, IDA, day=DAYS[1]))
    (case,) = cases(academy)
    words = (case["case"], "--reason", "vu", "--as-of", DAYS[1])
    with academy.nothing_written():
        assert academy.run("match", "same", *words, "--dry-run").code == 0
    ran = academy.run("match", "same", *words, "-o", "json")
    assert ran.code == 0, ran.err
    assert academy.run("match", "same", *words).code == 1
    ran = academy.twice(DAYS[2], academy.feed(old, new, IDA, day=DAYS[2]))
    assert set(academy.accounts()) == {academy.dn("luc.vasseur"), academy.dn("ida.roy")}
    posts = academy.show("C201", DAYS[2])["assignments"]
    assert {post["uai"] for post in posts} == {"0800009A", MICHELIS}
    assert cases(academy) == []
    # the former matricule is gone, but the person stays
    academy.night(DAYS[5], academy.feed(new, IDA, day=DAYS[5]))
    assert academy.values("luc.vasseur", "piactlState") == ["active"]


def test_an_undone_join_is_a_case_again(academy: Academy) -> None:
    new = row(**{**LUC, "matricule": "C201", "numen": OTHER}, uai=MICHELIS)
    academy.night(DAYS[0], academy.feed(row(**LUC), IDA, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**LUC), new, IDA, day=DAYS[1]))
    decided(academy, "same")
    run = academy.run("runs", "list", "-o", "json").json[0]["run"]
    ran = academy.run("undo", run, "--reason", "non", "--as-of", DAYS[1])
    assert ran.code == 0, ran.err
    academy.quiet_night(DAYS[2], academy.feed(row(**LUC), new, IDA, day=DAYS[2]))
    assert len(cases(academy)) == 1


def test_a_person_comes_back_from_the_archive_under_another_matricule(academy: Academy) -> None:
    academy.night(
        "2026-01-05",
        academy.feed(
            row(**LUC, debut="2026-01-01", fin="2026-03-31"),
            IDA.replace("2026-09-01", "2020-09-01"),
            day="2026-01-05",
        ),
    )
    academy.nights("2026-08-15")
    assert academy.values("luc.vasseur", "piactlState") == ["archived"]
    new = row(**{**LUC, "matricule": "C201", "courriel_prive": "", "numen": OTHER})
    ida = IDA.replace("2026-09-01", "2020-09-01")
    academy.night(DAYS[0], academy.feed(new, ida, day=DAYS[0]))
    assert [c["of"] for c in cases(academy)] == [["luc.vasseur"]]
    decided(academy, "same")
    academy.twice(DAYS[2], academy.feed(new, ida, day=DAYS[2]))
    assert academy.values("luc.vasseur", "piactlState") == ["active"]
    assert academy.names() == {"C201": "luc.vasseur", "1999": "ida.roy"}


@pytest.mark.parametrize("archived", [False, True])
def test_numen_and_identity_join_unless_the_setting_forbids_it(academy: Academy, archived: bool) -> None:
    ida = IDA.replace("2026-09-01", "2020-09-01")
    dates = {"debut": "2026-01-01", "fin": "2026-03-31" if archived else ""}
    academy.night("2026-01-05", academy.feed(row(**LUC, **dates), ida, day="2026-01-05"))
    if archived:
        academy.nights("2026-08-15")
    # the former matricule is still listed, or its post has ended
    new = row(**{**LUC, "matricule": "C201"}, uai=MICHELIS)
    old = [] if archived else [row(**LUC, **dates)]
    alone = row(**{**LUC, "matricule": "C300", "numen": "", "courriel_prive": ""})
    feed = academy.feed(ida, *old, new, day=DAYS[0])
    academy.edit("piactl.yaml", "sources:", "matching: {automatic: []}\nsources:")
    assert [hold["matricule"] for hold in academy.plan(feed, "--as-of", DAYS[0])["holds"]] == ["C201"]
    academy.edit("piactl.yaml", "matching: {automatic: []}\n", "")
    same(academy, DAYS[0], feed)
    academy.twice(DAYS[0], feed)
    assert len(academy.accounts()) == 2
    assert MICHELIS in str(academy.show("luc.vasseur", DAYS[0])["assignments"])
    academy.night(DAYS[1], academy.feed(ida, *old, new, alone, day=DAYS[1]))
    assert [c["matricule"] for c in cases(academy)] == ["C300"]


def test_two_newcomers_decided_to_be_one(academy: Academy) -> None:
    twice = [row(**{**LUC, "matricule": m, "numen": n}) for m, n in (("C200", NUMEN), ("C201", OTHER))]
    academy.night(DAYS[0], academy.feed(*twice, IDA, day=DAYS[0]))
    (case,) = [c["case"] for c in cases(academy)]
    words = (case, "--reason", "doublon", "--as-of", DAYS[0])
    assert academy.run("match", "same", *words).code == 0
    # one answer settles both; a second one is refused
    for answer in ("same", "different"):
        assert academy.run("match", answer, *words).code == 1
    academy.twice(DAYS[1], academy.feed(*twice, IDA, day=DAYS[1]))
    assert len(academy.accounts()) == 2
    assert academy.show("C200", DAYS[1])["uid"] == academy.show("C201", DAYS[1])["uid"] == "luc.vasseur"
    assert cases(academy) == []


FORMER: dict[str, tuple[dict[str, str], bool]] = {
    "C301": ({"nom_famille": "Vasseura-Roy", "numen": "01E9507771XYZ", "courriel_prive": ""}, True),
    "C302": ({"date_naissance": "", "nom_famille": "Roy", "courriel_prive": ""}, True),
    "C303": ({"numen": "01E9507773XYZ", "date_naissance": "", "courriel_prive": ""}, False),
    "C304": (
        {"numen": "01E9507774XYZ", "date_naissance": "1990-01-01", "courriel_prive": "", "prenom": "Eve"},
        False,
    ),
}
"""Newcomer -> what differs from the person whose matricule the row names as its former one, and whether they
are joined."""


def test_a_former_matricule_in_the_feed_joins_only_with_evidence(academy: Academy) -> None:
    """It joins if the NUMEN, or birth date and a name, agree; on its own it is a case."""
    known, newcomers = [], []
    for n, (matricule, (values, _)) in enumerate(FORMER.items()):
        person = {**LUC, "matricule": f"C20{n}", "nom_famille": f"Vasseur{chr(97 + n)}"}
        person |= {"numen": f"01E950123{n}ABC", "courriel_prive": f"luc{n}@example.org"}
        known.append(row(**person))
        newcomers.append(row(**{**person, "matricule": matricule, **values}, uai=MICHELIS))
    academy.night(DAYS[0], academy.feed(*known, IDA, day=DAYS[0]))
    *lines, end = text([*newcomers, IDA], DAYS[1]).splitlines()
    former = ["ancien_matricule", *(f"C20{n}" for n in range(4)), ""]
    content = [f"{line};{name}" for line, name in zip(lines, former, strict=True)]
    feed = academy.raw_feed("\n".join([*content, end, ""]).encode())
    same(academy, DAYS[1], feed)
    academy.twice(DAYS[1], feed)
    assert len(academy.accounts()) == 5
    listed = {case["matricule"]: case for case in cases(academy)}
    for n, (matricule, (_, joined)) in enumerate(FORMER.items()):
        if joined:
            assert MICHELIS in str(academy.show(matricule, DAYS[1])["assignments"])
            assert matricule not in listed
        else:
            assert listed[matricule]["of"] == [f"luc.vasseur{chr(97 + n)}"]
            shown = academy.run("match", "show", listed[matricule]["case"], "--as-of", DAYS[1]).out
            assert "former matricule" in shown
