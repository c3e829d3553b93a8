"""Two matricules of one person are one question, asked once; not at all where NUMEN and identity agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, crowd, row
from .test_other_person import cases
from .test_wrong_matricules import DAYS, JUSTINE, MISTYPED, NUMEN, OTHER, REST, decide

XAVIER = {
    "prenom": "Xavier", "nom_famille": "Bohain", "date_naissance": "1999-04-05", "numen": "01E9507654ABC",
}  # fmt: skip
ASSISTANT = {**XAVIER, "matricule": "A100", "corps": "790", "fonction": "AED", "debut": "2025-09-01"}
NAMES = (
    "Anne Aude Axelle Brice Cyril Dina Elsa Fanny Gaston Hugo Irma Jade Karl Lise Marc Nora Omar Paul Rose "
    "Sarah Tom Ugo Vera Willy Yann Zoe"
).split()
TEACHER = {**XAVIER, "matricule": "B200", "uai": MICHELIS}


def rentree(academy: Academy, day: str, *, teacher: dict[str, str] | None = None) -> list[object]:
    """The files of a night: an assistant until 31 August in one source, a teacher from 1 September in the
    other."""
    old = academy.feed(row(**ASSISTANT, fin="2026-08-31"), *crowd(3), day=day, source="assed")
    new = academy.feed(row(**(teacher or TEACHER)), row(matricule="77"), day=day, source="epp")
    return [old, new]


@pytest.mark.parametrize("first", ["2026-08-25", "2026-09-01", "2026-09-05"])
def test_the_two_numbers_of_a_rentree_are_one_account(academy: Academy, first: str) -> None:
    academy.sources(assed="kind: full", epp="kind: full")
    feeds = rentree(academy, first)
    academy.twice(first, *feeds)
    (uid,) = [uid for uid in academy.names().values() if uid.startswith("xavier")]
    assert {academy.show(m, first)["uid"] for m in ("A100", "B200")} == {uid}
    assert cases(academy) == []
    (joined,) = academy.run("match", "list", "--decided", "-o", "json").json
    assert (joined["decision"], joined["by"]) == ("same", "piactl")
    later = "2026-09-07"
    academy.night(later, *rentree(academy, later))
    assert academy.values(uid, "piactlState") == ["active"]
    assert {post["uai"] for post in academy.show(uid, later)["assignments"]} >= {MICHELIS}


@pytest.mark.parametrize("first", ["2026-08-25", "2026-09-01"])
def test_one_answer_settles_a_pair(academy: Academy, first: str) -> None:
    """Without a NUMEN it is one case, with both rows; who is decided to be the same has the account in the
    next night, also if the contract of the first number has ended."""
    academy.sources(assed="kind: full", epp="kind: full")
    teacher = {**TEACHER, "numen": ""}
    academy.night(first, *rentree(academy, first, teacher=teacher))
    (case,) = cases(academy)
    assert (case["matricule"], case["of"]) == ("A100", ["B200"])
    shown = academy.run("match", "show", case["case"], "--as-of", first).out
    for word in ("AED at 0800009A", "ENS at 0800010B", "Xavier Bohain", "same identity", "match wrong-row"):
        assert word in shown
    assert decide(academy, "same", day=first).code == 0
    assert decide(academy, "different", day=first, case=case["case"]).code == 1
    day = first[:-2] + f"{int(first[-2:]) + 1:02}"
    academy.twice(day, *rentree(academy, day, teacher=teacher))
    assert academy.show("A100", day)["uid"] == academy.show("B200", day)["uid"] == "xavier.bohain"
    assert len([uid for uid in academy.names().values() if uid.startswith("xavier")]) == 1
    assert cases(academy) == []


def test_a_pair_in_waiting_gets_its_account_in_a_night_without_a_feed(academy: Academy) -> None:
    academy.sources(assed="kind: full", epp="kind: full")
    day, start = "2026-08-25", "2026-11-01"
    old = academy.feed(row(**{**ASSISTANT, "debut": start}), *crowd(3), day=day, source="assed")
    new = academy.feed(row(**{**TEACHER, "debut": start}), row(matricule="77"), day=day, source="epp")
    academy.night(day, old, new)
    assert cases(academy) == []
    academy.night("2026-10-20")
    assert academy.show("A100", "2026-10-20")["uid"] == academy.show("B200", "2026-10-20")["uid"]


def test_a_pair_of_three_numbers_is_one_account(academy: Academy) -> None:
    numbers = [row(**{**TEACHER, "matricule": m, "uai": uai})
               for m, uai in (("B1", MICHELIS), ("B2", MARESCHAL), ("B3", "0800009A"))]  # fmt: skip
    academy.twice(DAYS[0], academy.feed(*numbers, *REST, day=DAYS[0]))
    assert {academy.show(m, DAYS[0])["uid"] for m in ("B1", "B2", "B3")} == {"xavier.bohain"}
    assert len(academy.show("B1", DAYS[0])["assignments"]) == 3


def test_one_numen_for_two_people_is_no_pair(academy: Academy) -> None:
    """Three newcomers with one NUMEN, one of them with another birth date: nothing joins by itself."""
    other = {**TEACHER, "matricule": "C3", "prenom": "Eve", "date_naissance": "1970-01-01"}
    rows = [row(**TEACHER), row(**{**TEACHER, "matricule": "B201"}), row(**other)]
    academy.night(DAYS[0], academy.feed(*rows, *REST, day=DAYS[0]))
    assert {case["matricule"] for case in cases(academy)} == {"B200", "B201"}
    assert not [uid for uid in academy.names().values() if uid.endswith("bohain")]


def test_a_numen_that_everybody_has_makes_short_cases(academy: Academy) -> None:
    """Nobody gets an account, and no case names everybody: 36,000 would each name 35,999."""
    rows = [row(**{**TEACHER, "matricule": f"B{n}", "prenom": name}) for n, name in enumerate(NAMES, 300)]
    halves = {"assed": rows[::2], "epp": rows[1::2]}
    feeds = [academy.feed(*half, *crowd(3), day=DAYS[0], source=name) for name, half in halves.items()]
    academy.night(DAYS[0], *feeds)
    asked = cases(academy)
    assert {case["matricule"] for case in asked} == {f"B{n}" for n in range(300, 300 + len(NAMES))}
    assert {len(case["of"]) for case in asked} <= {20, 21}
    assert not [uid for uid in academy.names().values() if uid.endswith("bohain")]


def test_an_address_that_a_whole_school_has_still_finds_the_namesake(academy: Academy) -> None:
    """The address counts with a name alone, so everybody who has it is compared, the last one, too."""
    one = {"courriel_prive": "secretariat@example.org", "numen": ""}
    staff = [
        row(**{**one, "matricule": f"S{n}", "prenom": name, "nom_famille": f"Bohain{name}"})
        for n, name in enumerate(NAMES, 300)
    ]
    academy.night(DAYS[0], academy.feed(*staff, *REST, day=DAYS[0]))
    again = row(**{**one, "matricule": "S999", "prenom": NAMES[-1], "nom_famille": f"Bohain{NAMES[-1]}"})
    academy.night(DAYS[1], academy.feed(*staff, again, *REST, day=DAYS[1]))
    assert [(case["matricule"], case["of"]) for case in cases(academy)] == [("S999", ["zoe.bohainzoe"])]
    assert "S999" not in academy.names()


def test_the_wrong_row_of_a_pair_is_named(academy: Academy) -> None:
    """A second row of a newcomer with a mistyped matricule, without a NUMEN."""
    right, wrong = {**TEACHER, "numen": ""}, {**TEACHER, "numen": "", "matricule": "B299", "uai": MARESCHAL}
    feed = academy.feed(row(**right), row(**wrong), *REST, day=DAYS[0])
    academy.night(DAYS[0], feed)
    assert decide(academy, "wrong-row", day=DAYS[0]).code == 1
    assert decide(academy, "wrong-row", "--matricule", "X", day=DAYS[0]).code == 1
    assert decide(academy, "wrong-row", "--matricule", "B299", day=DAYS[0]).code == 0
    for day in DAYS[1:3]:
        academy.night(day, academy.feed(row(**right), row(**wrong), *REST, day=day))
    assert academy.names()["B200"] == "xavier.bohain"
    assert "B299" not in academy.names()
    assert [case["decision"] for case in cases(academy)] == ["wrong-row"]
    academy.night(DAYS[3], academy.feed(row(**right), *REST, day=DAYS[3]))
    assert cases(academy) == []


@pytest.mark.parametrize("answer", ["wrong-row", "different"])
def test_an_automatic_join_can_be_taken_back(academy: Academy, answer: str) -> None:
    """Its key and its posts go, and the next nights do not join it again."""
    second = {**MISTYPED, "uai": MICHELIS}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0]))
    academy.twice(DAYS[1], academy.feed(row(**JUSTINE), row(**second), *REST, day=DAYS[1]))
    assert academy.show("5000001", DAYS[1])["uid"] == "justine.roche"
    (joined,) = academy.run("match", "list", "--decided", "-o", "json").json
    assert (joined["by"], joined["decision"]) == ("piactl", "same")
    ran = decide(academy, answer, day=DAYS[1], case=joined["case"])
    assert ran.code == 0, ran.err
    assert {p["uai"] for p in academy.show("justine.roche", DAYS[1])["assignments"]} == {"0800009A"}
    assert academy.run("account", "show", "5000001").code == 9
    for day in DAYS[2:4]:
        academy.night(day, academy.feed(row(**JUSTINE), row(**second), *REST, day=day))
        assert {p["uai"] for p in academy.show("justine.roche", day)["assignments"]} == {"0800009A"}
    assert ("5000001" in academy.names()) is (answer == "different")
    listed = [case["decision"] for case in cases(academy)]
    assert listed == ([] if answer == "different" else ["wrong-row"])


def test_a_number_given_to_somebody_else_stays_listed(academy: Academy) -> None:
    """HR gives the number of a leaver to a newcomer: decided to be different, she stays listed until HR
    corrects the number."""
    academy.night(DAYS[0], academy.feed(row(**JUSTINE, fin=DAYS[0]), *REST, day=DAYS[0]))
    lea = {**JUSTINE, "prenom": "Léa", "nom_famille": "Caron", "date_naissance": "2000-02-03"}
    lea |= {"numen": OTHER, "courriel_prive": ""}
    academy.night(DAYS[1], academy.feed(row(**lea), *REST, day=DAYS[1]))
    assert decide(academy, "different", day=DAYS[1]).code == 0
    for day in DAYS[2:5]:
        academy.night(day, academy.feed(row(**lea), *REST, day=day))
        assert [(c["doubt"], c["decision"]) for c in cases(academy)] == [("other-person", "different")]
    assert "1 decided case waits for HR to correct a row" in academy.run("status").out
    (finding,) = [f for f in academy.run("doctor", "-o", "json").json if f["id"] == "D59"]
    assert "waits" in str(finding)
    academy.night(DAYS[5], academy.feed(row(**{**lea, "matricule": "9999"}), *REST, day=DAYS[5]))
    assert cases(academy) == []
    assert academy.names()["9999"] == "lea.caron"


def test_accounts_that_turn_out_to_be_one_person_are_a_case(academy: Academy) -> None:
    """The second number had a wrong birth date and no NUMEN; HR corrects the date."""
    bare = {**JUSTINE, "numen": "", "courriel_prive": ""}
    wrong = {**bare, "matricule": "7000", "date_naissance": "1979-09-08", "uai": MICHELIS}
    right = {**wrong, "date_naissance": JUSTINE["date_naissance"]}
    academy.night(DAYS[0], academy.feed(row(**bare), row(**wrong), *REST, day=DAYS[0]))
    assert len(academy.names()) == 6
    academy.night(DAYS[1], academy.feed(row(**bare), row(**right), *REST, day=DAYS[1]))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]
    assert decide(academy, "same", day=DAYS[1]).code == 0
    for day in DAYS[2:4]:
        academy.night(day, academy.feed(row(**bare), row(**right), *REST, day=day))
        assert [c["doubt"] for c in cases(academy)] == ["identity-shared"]
    ran = decide(academy, "same", day=DAYS[3])
    assert (ran.code, "piactl account merge" in ran.err) == (1, True)
    uids = academy.names()
    merge = ("account", "merge", uids["7000"], uids["3396937"], "--reason", "doublon", "--as-of", DAYS[3])
    ran = academy.run(*merge, "--yes")
    assert ran.code == 0, ran.err
    academy.night(DAYS[4], academy.feed(row(**bare), row(**right), *REST, day=DAYS[4]))
    assert cases(academy) == []
    assert academy.show("7000", DAYS[4])["uid"] == academy.show("3396937", DAYS[4])["uid"]


@pytest.mark.parametrize("into", ["justine.roche", "justine.roche1"])
def test_a_shared_numen_is_closed_after_the_merge(academy: Academy, into: str) -> None:
    again = {"matricule": "4000", "prenom": "Justine", "nom_famille": "Roche", "uai": MICHELIS}
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), row(**again), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**JUSTINE), row(**again, numen=NUMEN), *REST, day=DAYS[1]))
    assert [c["doubt"] for c in cases(academy)] == ["numen-shared"]
    other = ({"justine.roche", "justine.roche1"} - {into}).pop()
    help_ = academy.run("account", "merge", "--help").out
    sure = ["--different-people"] if "--different-people" in help_ else []
    merge = ("account", "merge", other, into, "--reason", "vu", "--as-of", DAYS[1], "--yes", *sure)
    ran = academy.run(*merge)
    assert ran.code == 0, ran.err
    case = cases(academy)[0]["case"]
    assert decide(academy, "same", day=DAYS[1], case=case).code == 0
    assert cases(academy) == []
    academy.night(DAYS[2], academy.feed(row(**JUSTINE), row(**again, numen=NUMEN), *REST, day=DAYS[2]))
    assert cases(academy) == []


def test_a_birth_date_that_errs_and_returns_is_one_case(academy: Academy) -> None:
    right = {**JUSTINE, "numen": ""}
    wrong = {**right, "date_naissance": "1979-08-19"}
    academy.night(DAYS[0], academy.feed(row(**right), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**wrong), *REST, day=DAYS[1]))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]
    assert decide(academy, "same", day=DAYS[1]).code == 0
    for day, values in zip(DAYS[2:8], [wrong, right, right, wrong, wrong, right], strict=True):
        academy.night(day, academy.feed(row(**values), *REST, day=day))
        assert cases(academy) == [], day


def test_a_birth_date_that_hr_corrected_is_not_asked_again(academy: Academy) -> None:
    """Nobody answered the case: HR went back by itself. The rest of the row with the error is applied."""
    right = {**JUSTINE, "numen": ""}
    wrong = {**right, "date_naissance": "1979-08-19"}
    academy.night(DAYS[0], academy.feed(row(**right), *REST, day=DAYS[0]))
    academy.night(DAYS[1], academy.feed(row(**wrong), *REST, day=DAYS[1]))
    case = cases(academy)[0]["case"]
    plan = academy.run("plan", academy.feed(row(**right), *REST, day=DAYS[2]), "--as-of", DAYS[2])
    assert f"case {case} is closed: the HR data of matricule" in plan.out
    academy.night(DAYS[2], academy.feed(row(**right), *REST, day=DAYS[2]))
    born = academy.values("justine.roche", "piactlBirthDigest")
    moved = {**wrong, "fonction": "DIR"}
    for day in DAYS[3:5]:
        academy.night(day, academy.feed(row(**moved), *REST, day=day))
        assert cases(academy) == [], day
        assert academy.plan("--as-of", day)["holds"] == [], day
    assert "direction" in academy.values("justine.roche", "piactlProfile")
    assert academy.values("justine.roche", "piactlBirthDigest") == born
    listed = academy.run("match", "list", "--decided", "-o", "json").json
    assert [(c["case"], c["decision"]) for c in listed] == [(case, "wrong-row")]
    # another wrong date is another question
    other = {**wrong, "date_naissance": "1980-08-19"}
    academy.night(DAYS[5], academy.feed(row(**other), *REST, day=DAYS[5]))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]


def test_a_birth_date_is_one_case_whichever_source_brings_it(academy: Academy) -> None:
    """Two sources list the person, and both bring the same wrong date, one of them first."""
    academy.sources(agape="kind: full", epp="kind: full")
    wrong = {**JUSTINE, "date_naissance": "1979-08-19", "numen": ""}

    def night(day: str, of_agape: dict[str, str], of_epp: dict[str, str]) -> None:
        agape = academy.feed(row(**of_agape), *REST, day=day, source="agape")
        epp = academy.feed(row(**of_epp, uai=MICHELIS), row(matricule="77"), day=day, source="epp")
        academy.night(day, agape, epp)

    night(DAYS[0], JUSTINE, JUSTINE)
    academy.night(DAYS[1], academy.feed(row(**wrong), *REST, day=DAYS[1], source="agape"))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]
    assert decide(academy, "same", day=DAYS[1]).code == 0
    for day, of_agape, of_epp in [
        (DAYS[2], wrong, wrong), (DAYS[3], JUSTINE, wrong), (DAYS[4], JUSTINE, JUSTINE),
    ]:  # fmt: skip
        night(day, of_agape, of_epp)
        assert cases(academy) == [], day
        assert academy.plan("--as-of", day)["holds"] == [], day
    moved = {**JUSTINE, "fonction": "DIR"}
    night(DAYS[5], moved, {**wrong, "fonction": "DIR"})
    assert "direction" in academy.values("justine.roche", "piactlProfile")


def test_two_sources_with_different_birth_dates_of_a_newcomer(academy: Academy) -> None:
    """One of them errs: NUMEN and names agree, so the account is made."""
    academy.sources(agape="kind: full", epp="kind: full")
    wrong = {**JUSTINE, "date_naissance": "1979-08-19"}
    for day in DAYS[:3]:
        agape = academy.feed(row(**JUSTINE), *REST, day=day, source="agape")
        epp = academy.feed(row(**wrong, uai=MICHELIS), row(matricule="77"), day=day, source="epp")
        academy.night(day, agape, epp)
        assert cases(academy) == [], day
    assert len(academy.show("3396937", DAYS[2])["assignments"]) == 2


def test_a_birth_date_that_another_source_confirms_is_no_case(academy: Academy) -> None:
    """One source errs, the other has the date of the account: its row is applied, but not its date."""
    academy.sources(agape="kind: full", epp="kind: full")
    wrong = {**JUSTINE, "date_naissance": "1979-08-19"}
    for day, of_agape in ((DAYS[0], JUSTINE), (DAYS[1], {**wrong, "fonction": "DIR"}), (DAYS[2], wrong)):
        agape = academy.feed(row(**of_agape), *REST, day=day, source="agape")
        epp = academy.feed(row(**JUSTINE, uai=MICHELIS), row(matricule="77"), day=day, source="epp")
        academy.night(day, agape, epp)
        assert cases(academy) == [], day
    # another NUMEN is another person, who may have been given the number
    reused = {**wrong, "numen": OTHER}
    agape = academy.feed(row(**reused), *REST, day=DAYS[3], source="agape")
    epp = academy.feed(row(**JUSTINE, uai=MICHELIS), row(matricule="77"), day=DAYS[3], source="epp")
    academy.night(DAYS[3], agape, epp)
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]


def test_a_birth_date_is_not_asked_about_while_another_source_is_late(academy: Academy) -> None:
    """Two sources differ all the time. On a night without the one that has the date of the account nobody is
    asked, and the rest of the row is applied; after some days without it somebody is."""
    academy.sources(agape="kind: full", epp="kind: full")
    wrong = {**JUSTINE, "date_naissance": "1979-08-19"}

    def of_epp(day: str) -> Path:
        return academy.feed(row(**JUSTINE, uai=MICHELIS), row(matricule="77"), day=day, source="epp")

    def of_agape(day: str, **values: str) -> Path:
        return academy.feed(row(**{**wrong, **values}), *REST, day=day, source="agape")

    academy.night(DAYS[0], of_epp(DAYS[0]), academy.feed(row(**JUSTINE), *REST, day=DAYS[0], source="agape"))
    born = academy.values("justine.roche", "piactlBirthDigest")
    academy.night(DAYS[1], of_epp(DAYS[1]), of_agape(DAYS[1]))
    academy.night(DAYS[2], of_agape(DAYS[2], fonction="DIR"))
    assert cases(academy) == []
    assert "direction" in academy.values("justine.roche", "piactlProfile")
    assert academy.values("justine.roche", "piactlBirthDigest") == born
    academy.night(DAYS[20], of_agape(DAYS[20], fonction="ENS"))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]


def test_a_birth_date_of_a_delta_waits_for_no_other_source(academy: Academy) -> None:
    """A delta does not say it again, so it would be lost; the case stays beside a lock by hand."""
    academy.sources(agape="kind: full", deltas="kind: delta")
    academy.night(DAYS[0], academy.feed(row(**JUSTINE), *REST, day=DAYS[0], source="agape"))
    lock = ("account", "lock", "justine.roche", "--as-of", DAYS[0], "--reason", "appel", "--yes")
    assert academy.run(*lock).code == 0
    wrong = row(**{**JUSTINE, "date_naissance": "1979-08-19"}, uai=MICHELIS)
    academy.night(DAYS[1], academy.feed(wrong, day=DAYS[1], source="deltas"))
    assert [c["doubt"] for c in cases(academy)] == ["birth-changed"]
    assert academy.values("justine.roche", "piactlLock")


def test_a_number_joins_although_a_supplement_lists_the_person_that_night(academy: Academy) -> None:
    academy.sources(
        assed="kind: full", epp="kind: full",
        annuaire="kind: full, role: supplement, creates: false, namespace: aaf",
    )  # fmt: skip
    day = "2026-08-25"
    academy.night(day, academy.feed(row(**ASSISTANT, fin="2026-08-31"), *crowd(3), day=day, source="assed"))
    later = "2026-08-26"
    listed = {**ASSISTANT, "matricule": "900", "numen": "", "fin": "2026-08-31"}
    annuaire = academy.feed(row(**listed), row(matricule="901", prenom="Ada"), day=later, source="annuaire")
    academy.twice(later, *rentree(academy, later), annuaire)
    assert cases(academy) == []
    assert {academy.show(m, later)["uid"] for m in ("A100", "B200", "aaf:900")} == {"xavier.bohain"}
