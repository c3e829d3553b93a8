"""`forecast` shows what the nights will do: change by change, name by name, guard by guard."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from .academy import Academy, prepared
from .feeds import MARESCHAL, MICHELIS, THUILLIER, crowd, row

TOP = Path(__file__).resolve().parents[2]


HUGO = {"prenom": "Hugo", "nom_famille": "Vidal"}


def ines(**values: str) -> str:
    return row(matricule="2006", prenom="Inès", nom_famille="Roussel", fonction="DIR", **values)


def foretold(academy: Academy, as_of: str, until: str) -> list[dict[str, Any]]:
    ran = academy.run("forecast", "--as-of", as_of, "--until", until, "-o", "json")
    assert ran.code == 0, ran.err
    return ran.json


def nights(academy: Academy, as_of: str, until: str, foretold: set[date]) -> list[dict[str, Any]]:
    """Really runs the nights of the foretold days, those before them, and the last one of the period; returns
    the changes of their plans, each with its day. What was not foretold is made by one of these nights, too.
    A plan that a guard refuses is approved with its numbers."""
    done = []
    first, last = date.fromisoformat(as_of), date.fromisoformat(until)
    eves = {max(day - timedelta(days=1), first) for day in foretold}
    for day in sorted(foretold | eves | {last}):
        ran = academy.run("nightly", "--as-of", day.isoformat(), "-o", "json")
        assert ran.code in (0, 4), ran.err
        if ran.code == 4:
            plan = json.loads(Path(ran.plan_file).read_text(encoding="utf-8"))
            approve(academy, plan, ran.plan_file)
            done += as_told(day, plan)
        elif ran.json["summary"]:
            file = academy.sandbox.folder / "state" / "plans" / f"{ran.json['plan'][:16]}.json"
            done += as_told(day, json.loads(file.read_text(encoding="utf-8")))
    return done


def approve(academy: Academy, plan: Any, file: str | Path) -> None:
    allow = sorted({f"{refusal['kind']}={refusal['total']}" for refusal in plan["refusals"]})
    words = [word for guard in allow for word in ("--allow", guard, "--reason", "the end of the year")]
    ran = academy.run("apply", file, *words)
    assert ran.code == 0, ran.err


def as_told(day: date, plan: Any) -> list[dict[str, Any]]:
    stopped = sorted({refusal["kind"] for refusal in plan["refusals"]})
    return [{"date": day.isoformat(), **change, "stopped_by": stopped} for change in plan["changes"]]


def same(academy: Academy, as_of: str, until: str) -> list[dict[str, Any]]:
    """Forecasts, runs the nights and compares; returns the forecast."""
    with academy.nothing_written():
        forecast = foretold(academy, as_of, until)
    done = nights(academy, as_of, until, {date.fromisoformat(change["date"]) for change in forecast})
    assert forecast == done
    return forecast


def kinds(rows: list[dict[str, Any]]) -> set[str]:
    return {change["kind"] for change in rows}


def test_the_forecast_covers_every_change_that_a_date_causes(academy: Academy) -> None:
    """People in waiting with the same name, returns from the archive, leaves, a death, a lock, an exception
    and a change by hand that end, a protected account, an archival that waits for an absence."""
    gone = {"debut": "2025-09-01", "fin": "2026-06-30"}
    rows = [
        row(matricule="2001", prenom="Marie", nom_famille="Martin", debut="2020-09-01"),
        row(matricule="2002", prenom="Marie", nom_famille="Martin", debut="2026-10-20", uai=MICHELIS),
        row(matricule="2003", prenom="Marie", nom_famille="Martin", debut="2026-10-20"),
        row(matricule="2004", prenom="Marie", nom_famille="Martin", debut="2026-10-25"),
        row(matricule="2005", prenom="Yann", nom_famille="Le Goff", fin="2026-09-30", corps="776"),
        ines(fin="2026-10-10"),
        ines(uai=MICHELIS, debut="2026-10-11"),
        row(matricule="2007", **HUGO, fin="2026-10-05"),
        row(matricule="2007", **HUGO, debut="2026-10-06", fin="2026-10-25", position="disponibilite"),
        row(matricule="2007", **HUGO, debut="2026-10-26", uai=MARESCHAL),
        row(matricule="2008", prenom="Odile", nom_famille="Fayard"),
        row(matricule="2008", prenom="Odile", nom_famille="Fayard", debut="2026-10-12", position="deces"),
        row(matricule="2009", prenom="Paul", nom_famille="Garde"),
        row(matricule="2010", prenom="Zoé", nom_famille="Tardieu"),
        row(matricule="2011", prenom="Admin", nom_famille="Secours", fin="2026-10-01"),
        row(matricule="2012", prenom="Lise", nom_famille="Absente"),
    ]  # fmt: skip
    old = row(matricule="2013", prenom="Rose", nom_famille="Ancienne", **gone)
    academy.night("2026-05-01", academy.feed(*rows[:1], old, day="2026-05-01"))
    academy.night("2026-08-30", academy.feed(*rows[:1], old, day="2026-08-30"))
    back = row(matricule="2013", prenom="Rose", nom_famille="Ancienne", debut="2026-11-02", uai=THUILLIER)
    academy.night("2026-09-07", academy.feed(*rows, old, back, day="2026-09-07"))
    academy.night("2026-09-08", academy.feed(*rows[:-1], old, back, day="2026-09-08"))
    done = {"--as-of": "2026-09-10", "--reason": "a trial"}
    words = [word for pair in done.items() for word in pair]
    for command in (
        ("account", "lock", "paul.garde", "--until", "2026-10-08"),
        ("exception", "grant", "zoe.tardieu", "--service", "gestion_rh", "--until", "2026-10-15"),
        ("exception", "deny", "paul.garde", "--service", "iprof", "--until", "2026-10-09"),
        ("assignment", "end", "zoe.tardieu", "--on", "2026-09-20", "--until", "2026-10-18"),
    ):  # fmt: skip
        ran = academy.run(*command, *words)
        assert ran.code == 0, (command, ran.err)
    forecast = same(academy, "2026-09-11", "2026-12-20")
    assert kinds(forecast) == {
        "create", "update", "grant", "revoke", "suspend", "reopen", "deactivate", "archive", "lock", "unlock",
    }  # fmt: skip
    made = {
        change["matricule"]: (change["date"], change["uid"])
        for change in forecast
        if change["kind"] == "create"
    }
    assert made == {
        "2002": ("2026-10-05", "marie.martin1"),
        "2003": ("2026-10-05", "marie.martin2"),
        "2004": ("2026-10-10", "marie.martin3"),
    }
    assert "admin.secours" not in {change["uid"] for change in forecast}
    assert ("2013", "reopen") in {(change["matricule"], change["kind"]) for change in forecast}


def strict(academy: Academy) -> None:
    """A policy by which at most two accounts may be deactivated in a night."""
    usual = "  deactivate: {floor: 15, share: 0.01, per_establishment: {max: 5, share: 0.2}}\n  archive: "
    academy.edit("policy.yaml", usual, "  deactivate: {max: 2, share: 0.01}\n  archive: ")


def test_the_forecast_names_the_guards_that_stop_a_night(academy: Academy) -> None:
    strict(academy)
    rows = [*crowd(6, fin="2027-01-10", debut="2026-09-01"), row(debut="2020-09-01")]
    academy.night("2027-01-05", academy.feed(*rows, day="2027-01-05"))
    academy.night("2027-02-03")
    forecast = same(academy, "2027-02-04", "2027-02-18")
    stopped = {(change["date"], *change["stopped_by"]) for change in forecast if change["stopped_by"]}
    assert stopped == {("2027-02-10", "deactivate")}


def test_a_guard_is_reported_with_its_numbers(academy: Academy) -> None:
    strict(academy)
    for day in ("2027-01-05", "2027-01-06"):
        academy.night(day, academy.feed(*crowd(6, fin="2027-01-10"), row(), day=day))
    ran = academy.run("forecast", "--as-of", "2027-01-06", "--until", "2027-02-10", "-o", "table")
    assert ran.code == 0
    assert "2027-02-10: guards would stop this night" in ran.err
    assert "6 of 7 accounts" in ran.err, ran.err
    table = [line.split() for line in ran.out.splitlines()]
    assert table[0] == ["date", "revoke", "deactivate", "accounts", "guards"]
    assert table[1:] == [
        ["2027-01-11", "6", "6"],
        ["2027-02-10", "6", "6", "deactivate"],
        ["in", "all", "6", "6", "12"],
    ]


def test_the_forecast_applies_a_changed_policy_on_its_first_night(academy: Academy) -> None:
    """The first night of the forecast then looks at everything, as the real night will."""
    academy.night("2026-10-01", academy.feed(*crowd(4), row(fin="2026-10-20"), day="2026-10-01"))
    academy.edit("policy.yaml", "Annuaire académique, profiles: all", "Annuaire, profiles: [direction]")
    forecast = same(academy, "2026-10-02", "2026-10-24")
    first = [change for change in forecast if change["date"] == "2026-10-02"]
    assert len({change["uid"] for change in first}) == 5
    assert {change["date"] for change in forecast} == {"2026-10-02", "2026-10-21"}


def test_a_forecast_without_a_change_says_so(academy: Academy) -> None:
    academy.night("2026-10-01", academy.feed(row(), day="2026-10-01"))
    quiet = academy.run("forecast", "--as-of", "2026-10-02", "-o", "table")
    assert (quiet.out, quiet.code) == ("", 0)
    assert "nothing is due until 2026-11-01" in quiet.err


LEAVER = {"prenom": "Yann", "nom_famille": "Le Goff", "courriel_prive": "yann@example.org"}


@prepared
def leaving(academy: Academy) -> Academy:
    rows = [
        row(matricule="2001", **LEAVER, fin="2026-10-10"),
        ines(fin="2026-10-05"),
        ines(uai=MICHELIS, debut="2026-10-06"),
        row(matricule="2003", prenom="Odile", nom_famille="Fayard", fin="2026-09-10"),
        row(matricule="2004", prenom="Ida", nom_famille="Roy"),
        row(matricule="2005", prenom="Hugo", nom_famille="Vidal", fin="2026-12-31"),
    ]  # fmt: skip
    academy.night("2026-09-05", academy.feed(*rows, day="2026-09-05"))
    academy.night("2026-10-01")
    return academy


def test_leavers(leaving: Academy) -> None:
    ran = leaving.run("forecast", "--leavers", "30", "--as-of", "2026-10-01", "-o", "json")
    assert ran.code == 0, ran.err
    rows = {leaver["uid"]: leaver for leaver in ran.json}
    assert sorted(rows) == ["ines.roussel", "odile.fayard", "yann.le-goff"]
    yann = rows["yann.le-goff"]
    ending = {(right["service"], right["uai"]): right["last_day"] for right in yann["services_ending"]}
    assert ending[("iprof", None)] == "2026-10-10"
    assert ("messagerie", None) not in ending, "it lasts through the grace"
    assert {name: yann[name] for name in ("state", "state_then", "login_ends", "grace_ends")} == {
        "state": "active", "state_then": "grace", "login_ends": "2026-11-09", "grace_ends": "2026-11-09",
    }  # fmt: skip
    assert (yann["deactivated_on"], yann["archived_on"]) == ("2026-11-10", "2026-12-10")
    assert "private_mail" not in yann

    ines = rows["ines.roussel"]
    lost = {(right["service"], right["uai"]): right["last_day"] for right in ines["services_ending"]}
    assert lost[("siecle", THUILLIER)] == "2026-10-20", "the handover goes on for 15 days"
    assert (ines["state_then"], ines["login_ends"], ines["archived_on"]) == ("active", None, None)

    odile = rows["odile.fayard"]
    assert [right["service"] for right in odile["services_ending"]] == ["colibris", "messagerie"]
    assert {right["last_day"] for right in odile["services_ending"]} == {"2026-10-10"}
    assert (odile["login_ends"], odile["grace_ends"], odile["deactivated_on"], odile["archived_on"]) == (
        "2026-10-10", "2026-10-10", "2026-10-11", "2026-11-10",
    )  # fmt: skip


def test_leavers_for_a_mail_merge(leaving: Academy) -> None:
    ran = leaving.run("forecast", "--leavers", "30", "--as-of", "2026-10-01", "-o", "csv", "--private-mail")
    rows = {leaver["uid"]: leaver for leaver in csv.DictReader(io.StringIO(ran.out))}
    assert rows["yann.le-goff"]["private_mail"] == "yann@example.org"
    assert rows["yann.le-goff"]["address"] == "yann.le-goff@ac-amiens.fr"
    assert "annuaire 2026-10-10; " in rows["yann.le-goff"]["services_ending"]
    assert "yann@example.org" not in leaving.run("forecast", "--leavers", "30", "--as-of", "2026-10-01").out
    # a changed address is not shown in its hold-off
    for day, shown in (("2026-09-24", True), ("2026-09-25", False)):
        leaving.change("yann.le-goff", piactlProofChanged=[f"private_mail {day}"])
        ran = leaving.run(
            "forecast", "--leavers", "30", "--as-of", "2026-10-01", "-o", "csv", "--private-mail"
        )
        assert ("yann@example.org" in ran.out) is shown, day
        assert ("yann.le-goff: its private address changed on 2026-09-25" in ran.err) is not shown, ran.err


def test_departures_leave_out_people_who_only_move(leaving: Academy) -> None:
    words = ["forecast", "--leavers", "30", "--as-of", "2026-10-01", "--departures", "-o", "json"]
    assert [leaver["uid"] for leaver in leaving.run(*words).json] == ["odile.fayard", "yann.le-goff"]
    columns = "civilite,given_name,family_name,functions,establishment_names,grace_ends"
    _, yann = leaving.run(*words, "--columns", columns).json
    assert yann == {
        "civilite": None,
        "given_name": "Yann",
        "family_name": "Le Goff",
        "functions": ["ENS"],
        "establishment_names": ["Lycée Louis Thuillier"],
        "grace_ends": "2026-11-09",
    }
    assert list(yann) == columns.split(",")


INVALID = {
    "--until soon": "--until soon: not a valid date",
    "--until 2026-09-01": "--until 2026-09-01: is before the first night of the forecast",
    "--until 2096-09-01": "days ahead",
    "--leavers 0": "--leavers 0: give a number of days",
    "--leavers 30 --until 2026-12-01 --list": "--until and --leavers",
    "--private-mail": "--private-mail: only with --leavers",
    "--columns uid --departures": "--departures: only with --leavers",
    "--leavers 30 --columns uid,famly_name": "famly_name: is not a column; did you mean family_name?",
    "--leavers 30 --columns ,": "--columns: names no column",
    "--leavers 30 --columns private_mail": "private_mail: is not a column",
}


def test_invalid_options_are_refused(leaving: Academy) -> None:
    for words, message in INVALID.items():
        ran = leaving.run("forecast", "--as-of", "2026-10-01", *words.split())
        assert (ran.code, ran.out) == (2, ""), words
        assert message in ran.err


def test_a_forecast_from_a_past_day_begins_later(leaving: Academy) -> None:
    ran = leaving.run("forecast", "--as-of", "2026-09-20", "--until", "2026-10-10", "-o", "ndjson")
    assert ran.code == 0
    assert "the forecast begins on" in ran.err
    assert '"date": "2026-10-06"' in ran.out
