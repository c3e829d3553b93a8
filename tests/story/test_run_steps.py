"""The steps of one person through a night: `why ACCOUNT --run RUN`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.test_schemas import wrong

from .academy import Academy
from .feeds import row
from .test_night_page import DAYS, staffed

__all__ = ["staffed"]


def way(academy: Academy, name: str, run: str = "last") -> dict[str, tuple[str, str, str]]:
    view = academy.run("why", name, "--run", run, "-o", "json")
    assert view.code == 0, view.err
    assert wrong("why-run", view.json) == []
    return {step["step"]: (step["verdict"], step["code"], step["text"]) for step in view.json["steps"]}


def second_night(academy: Academy) -> None:
    """Runs a second night: Ida's post ends soon, Noel is another person, and a newcomer's row is wrong."""
    born = {"nom_famille": "Verdelot"}
    rows = [
        row(prenom="Claire", **born, date_naissance="1980-03-04"),
        row(matricule="1002", prenom="Ida", **born, date_naissance="1981-03-04", fin="2026-09-10"),
        row(matricule="1003", prenom="Zoé", nom_famille="Roussel", date_naissance="1975-06-07"),
        row(matricule="1004", prenom="Léo", nom_famille="Petit", debut="31/02/2026"),
        row(matricule="1005", prenom="Rémi", nom_famille="Petit"),
    ]
    academy.night(DAYS[1], academy.feed(*rows, day=DAYS[1]))


def verdicts(steps: dict[str, tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(verdict, code) for verdict, code, _ in steps.values()]


NOT_REACHED = ("skipped", "not-reached")


def test_each_step_says_what_became_of_a_person(staffed: Academy) -> None:
    second_night(staffed)
    ida = way(staffed, "ida.verdelot")
    assert verdicts(ida) == [
        ("done", "read"), ("done", "matched"), ("done", "differs"), ("done", "changes"),
        ("done", "within-limits"), ("done", "applied"),
    ]  # fmt: skip
    assert ".csv:3" in ida["row"][2]
    assert "update" in ida["difference"][2]

    assert way(staffed, "remi.petit")["matching"][1] == "newcomer"
    assert verdicts(way(staffed, "claire.verdelot")) == [
        ("skipped", "no-news"), ("done", "matched"), ("done", "same"), ("skipped", "no-change"),
        ("skipped", "no-change"), ("skipped", "no-change"),
    ]  # fmt: skip

    noel = way(staffed, "noel.verdelot")
    assert verdicts(noel)[1:] == [("held", "case"), *[NOT_REACHED] * 4]
    assert "piactl match show" in noel["matching"][2]

    leo = way(staffed, "1004")
    assert verdicts(leo) == [("held", "rejected"), *[NOT_REACHED] * 5]
    assert ".csv:5: debut: " in leo["row"][2]
    assert "[" not in leo["row"][2], "the code of the step is for programs"


def test_the_text_the_table_and_french(staffed: Academy) -> None:
    second_night(staffed)
    ran = staffed.run("why", "noel.verdelot", "--run", "last")
    assert "  matching    HELD     case" in ran.out
    assert "guards" not in ran.out, "people read the steps that were reached"
    table = staffed.run("why", "-", "--run", "last", "-o", "csv", stdin="ida.verdelot\nnobody.here\n")
    assert table.code == 5
    assert table.out.startswith("uid,run,step,verdict,code,text\nida.verdelot,")
    french = staffed.run_in_french("why", "ida.verdelot", "--run", "last")
    assert "aucun garde-fou n'est franchi" in french.out


@pytest.mark.parametrize("words", [("iprof",), ("--as-of", DAYS[0])])
def test_a_run_excludes_a_service_and_a_day(staffed: Academy, words: Any) -> None:
    assert staffed.run("why", "ida.verdelot", *words, "--run", "last").code == 2


def test_unknown_runs_and_people(staffed: Academy) -> None:
    assert staffed.run("why", "ida.verdelot", "--run", "20200101T000000-abcdef").code == 9
    assert staffed.run("why", "nobody.here", "--run", "last").code == 9


def test_what_a_guard_held(staffed: Academy) -> None:
    """Two of three leave, which is too many. The plan says who, and the run that nothing was written."""
    staffed.allow_up_to(0, "deactivate")
    rows = [
        row(matricule=str(1001 + n), prenom=name, nom_famille="Verdelot", date_naissance=f"198{n}-03-04",
            fin="2026-09-05")
        for n, name in enumerate(["Claire", "Ida", "Noel"])
    ]  # fmt: skip
    staffed.night(DAYS[1], staffed.feed(*rows, day=DAYS[1]))
    staffed.night("2026-10-10", code=4)
    claire = way(staffed, "claire.verdelot")
    assert claire["guards"][:2] == ("held", "deactivate")
    assert claire["write"][:2] == NOT_REACHED
    ran = staffed.run("runs", "list", "-o", "json").json[0]
    plan = ran["note"]
    assert plan
    plan_file = next((staffed.sandbox.folder / "state" / "plans").glob(f"{ran['plan'][:16]}.json"))
    staffed.run("apply", plan_file, "--allow", "deactivate=3", "--reason", "vu avec la DRH")
    claire = way(staffed, "claire.verdelot")
    assert claire["row"][:2] == ("skipped", "no-feed")
    assert claire["guards"] == ("done", "allowed", "approved: deactivate=3")
    assert claire["write"][1] == "applied"
    plan_file.unlink()
    assert way(staffed, "claire.verdelot")["rules"][1] == "not-kept"
    staffed.night("2026-10-11", staffed.feed(row(), day="2026-08-01"), code=6)
    assert list(way(staffed, "claire.verdelot")) == ["row"]
