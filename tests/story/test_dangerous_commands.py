"""Commands that could hurt the wrong person, or do something else than they seem to: what they say first."""

from __future__ import annotations

import json
import shlex
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from tests.cli.terminal import at_terminal

from .academy import Academy, Ran, prepared
from .feeds import MICHELIS, THUILLIER, row
from .phones import enrolled

SCHEMAS = Path(__file__).parents[2] / "schemas" / "json"
DAYS = [f"2026-11-{day:02}" for day in range(20, 31)]
WHY = ("--reason", "dit par la DRH")
JULIE, JULIE1 = "julie.petit", "julie.petit1"
JULIES = (
    row(matricule="1001", prenom="Julie", nom_famille="Petit", date_naissance="1985-08-08",
        numen="20E9512345XYZ"),
    row(matricule="1002", prenom="Julie", nom_famille="Petit", date_naissance="1985-12-12",
        numen="20E9567890XYZ", uai=MICHELIS, debut="2026-09-02"),
)  # fmt: skip


def in_french(academy: Academy) -> None:
    config = academy.sandbox.config
    config.write_text(f"{config.read_text()}language: fr\n", encoding="utf-8")


def done(academy: Academy, *words: str, code: int = 0) -> Ran:
    ran = academy.run(*words)
    assert ran.code == code, f"{ran.code}: {ran.out}{ran.err}"
    return ran


def checked(schema: str, document: Any) -> Any:
    validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(document)] == []
    return document


# Merges


@prepared
def namesakes(academy: Academy) -> Academy:
    """Two people of one name, with other birth dates and NUMENs."""
    academy.night(DAYS[0], academy.feed(*JULIES, day=DAYS[0]))
    assert academy.names() == {"1001": JULIE, "1002": JULIE1}
    return academy


def merge(academy: Academy, *options: str, code: int = 0) -> Ran:
    words = ("account", "merge", JULIE1, JULIE, *WHY, "--as-of", DAYS[0], "--yes", *options)
    return done(academy, *words, code=code)


def test_a_merge_of_two_people_who_differ_needs_the_word_for_each_difference(namesakes: Academy) -> None:
    with namesakes.nothing_written():
        refused = merge(namesakes, code=1)
        assert "their birth dates differ, their NUMENs differ, their names agree" in refused.err
        assert "--despite birth-date --despite numen" in refused.err
        assert "--despite numen" in merge(namesakes, "--despite", "birth-date", code=1).err
        assert "birth-date, numen or name" in merge(namesakes, "--despite", "age", code=2).err
    merged = merge(namesakes, "--despite", "birth-date", "--despite", "numen", "-o", "json")
    assert "although their birth dates differ, their NUMENs differ" in merged.json[0]["changes"][0]["reason"]
    assert namesakes.show(JULIE1, DAYS[0])["merged_into"] == JULIE


def test_a_merge_of_two_names_needs_the_word_name(academy: Academy) -> None:
    names = (("1001", "Gautier"), ("1002", "Gauthier"))
    rows = [row(matricule=number, prenom="Emile", nom_famille=name) for number, name in names]
    academy.night(DAYS[0], academy.feed(*rows, day=DAYS[0]))
    words = ("account", "merge", "emile.gauthier", "emile.gautier", *WHY, "--as-of", DAYS[0], "--yes")
    refused = done(academy, *words, code=1)
    assert "their birth dates cannot be compared, their NUMENs cannot be compared, their names differ" in (
        refused.err
    )
    done(academy, *words, "--despite", "name")


def test_a_merge_says_what_is_unknown_and_that_two_accounts_change(academy: Academy) -> None:
    rows = [row(matricule=n, prenom="Julie", nom_famille="Petit", uai=u)
            for n, u in (("1001", THUILLIER), ("1002", MICHELIS))]  # fmt: skip
    academy.night(DAYS[0], academy.feed(*rows, day=DAYS[0]))
    words = ("account", "merge", JULIE1, JULIE, *WHY, "--as-of", DAYS[0])
    code, screen = at_terminal(academy, *words, answers={"[y/N]": "n"})
    assert code == 12
    assert (
        "their birth dates cannot be compared, their NUMENs cannot be compared, their names agree" in screen
    )
    assert "Change 2 accounts: Julie Petit, " in screen
    assert f"{JULIE}: Julie Petit, ENS at {THUILLIER} (Lycée Louis Thuillier)" in screen
    assert f"{JULIE1}: Julie Petit, ENS at {MICHELIS} (Lycée Madeleine Michelis)" in screen


def test_the_plan_of_a_merge_says_what_differs(namesakes: Academy) -> None:
    file = namesakes.folder / "merge.json"
    assert "--despite" in merge(namesakes, "--out", str(file), code=1).err
    despite = ("--despite", "birth-date", "--despite", "numen")
    merge(namesakes, "--out", str(file), *despite)
    assert "although their birth dates differ" in done(namesakes, "plan", "show", str(file)).out
    done(namesakes, "apply", str(file), *WHY)
    assert namesakes.show(JULIE1, DAYS[0])["merged_into"] == JULIE


def test_why_of_a_merged_account_names_the_other(namesakes: Academy) -> None:
    merge(namesakes, "--despite", "birth-date", "--despite", "numen")
    for words in ((), ("login",), ("iprof",)):
        ran = done(namesakes, "why", JULIE1, *words, "--as-of", DAYS[0])
        assert f"merged into {JULIE}" in ran.out
        assert "account create" not in ran.out
        assert f"piactl why {JULIE}" in ran.out or words == ("login",)


# Closures


@prepared
def staffed(academy: Academy) -> Academy:
    """Claire is at work, Solène left and is in grace."""
    left = {"matricule": "1002", "prenom": "Solène", "nom_famille": "Quevreux", "debut": "2025-09-01"}
    academy.night("2026-11-09", academy.feed(row(), row(**left), day="2026-11-09"))
    academy.night(DAYS[0], academy.feed(row(), row(**left, fin="2026-11-10"), day=DAYS[0]))
    return academy


def state(academy: Academy, uid: str, day: str) -> str:
    return str(academy.show(uid, day)["state"])


def test_what_why_proposes_closes_on_the_days_that_it_says(staffed: Academy) -> None:
    [answer, *_] = done(staffed, "why", "claire.dubreuil", "--as-of", DAYS[0], "-o", "json").json["answers"]
    [closing] = [r for r in answer["remedies"] if "account close" in (r["command"] or "")]
    words = shlex.split(closing["command"].replace('"..."', '"départ"'))
    first, last = (date.fromisoformat(words[words.index(name) + 1]) for name in ("--from", "--until"))
    assert f"from {first} to {last}" in closing["text"]
    done(staffed, *words[1:])
    days = (first - timedelta(days=1), first, last, last + timedelta(days=1))
    verdicts = [
        done(staffed, "why", "claire.dubreuil", "--as-of", day.isoformat(), "-o", "json").json["answers"][0]
        for day in days[1:]
    ]
    assert [v["verdict"] for v in verdicts] == ["deactivated", "deactivated", "active"]


def test_the_preview_of_a_closure_has_both_days_and_the_state_after_it(staffed: Academy) -> None:
    words = ("account", "close", "claire.dubreuil", "--until", DAYS[5], *WHY, "--as-of", DAYS[0], "--dry-run")
    ran = done(staffed, *words)
    assert f"closed by hand from {DAYS[0]} to {DAYS[5]} inclusive" in ran.out
    after = {event["what"] for event in done(staffed, *words, "-o", "json").json[0]["outlook"]
             if event["day"] == DAYS[6]}  # fmt: skip
    assert "state active" in after
    in_french(staffed)
    ran = done(staffed, *words)
    assert "fermé à la main du 20/11/2026 au 25/11/2026 inclus" in ran.out
    assert "26/11/2026 état actif" in ran.out


def test_an_account_in_grace_is_closed_until_its_grace_ends(staffed: Academy) -> None:
    assert state(staffed, "solene.quevreux", DAYS[0]) == "grace"
    words = ("account", "close", "solene.quevreux", *WHY, "--as-of", DAYS[0], "--yes")
    ran = done(staffed, *words)
    assert f"closed by hand from {DAYS[0]} to 2026-12-10 inclusive" in ran.out
    for day in (DAYS[0], DAYS[1], "2026-12-10", "2026-12-11"):
        assert state(staffed, "solene.quevreux", day) == "deactivated"


# Retired and suspended people


def test_why_says_that_a_person_is_retired_and_does_not_propose_to_reopen(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(), day=DAYS[0]))
    feed = academy.feed(row(), row(position="retraite", debut=DAYS[5]), day=DAYS[1])
    academy.night(DAYS[1], feed)
    academy.night(DAYS[5])
    for day, account_state in ((DAYS[6], "grace"), ("2027-01-10", "deactivated")):
        for words in ((), ("login",), ("iprof",)):
            ran = done(academy, "why", "claire.dubreuil", *words, "--as-of", day)
            assert f"position retraite from {DAYS[5]}" in ran.out, words
            assert f"[{feed.name}:3]" in ran.out
            assert "reopen" not in ran.out
        assert account_state in done(academy, "why", "claire.dubreuil", "--as-of", day).out
    in_french(academy)
    ran = done(academy, "why", "claire.dubreuil", "--as-of", DAYS[6])
    assert "position « retraite » à partir du 25/11/2026" in ran.out


def test_why_says_that_a_person_is_suspended_and_does_not_propose_to_reopen(academy: Academy) -> None:
    academy.night(DAYS[0], academy.feed(row(), day=DAYS[0]))
    suspended = row(position="suspension", debut=DAYS[1], fin=DAYS[7])
    feed = academy.feed(row(fin=DAYS[7]), suspended, day=DAYS[1])
    academy.night(DAYS[1], feed)
    for day in (DAYS[2], DAYS[8]):  # during the suspension, and in the grace after it
        for words in ((), ("login",)):
            ran = done(academy, "why", "claire.dubreuil", *words, "--as-of", day)
            assert "position verrouille" in ran.out, (day, words)
            assert f"[{feed.name}:3]" in ran.out
            assert "reopen" not in ran.out
    assert "exception grant" not in done(academy, "why", "claire.dubreuil", "iprof", "--as-of", DAYS[2]).out


# Positions in plans


@pytest.mark.parametrize(
    ("position", "end", "words", "french"),
    [
        ("retraite", "", f"leaves on {DAYS[5]} by position retraite",
         "départ le 25/11/2026 (position « retraite »)"),
        ("conge_parental", "2026-12-31", f"on leave from {DAYS[5]} to 2026-12-31 by position acces_reduit",
         "en congé du 25/11/2026 au 31/12/2026 (position « acces_reduit »)"),
        ("suspension", "", f"locked from {DAYS[5]} by position verrouille",
         "verrouillé à partir du 25/11/2026 (position « verrouille »)"),
    ],
)  # fmt: skip
def test_a_plan_shows_a_position_as_what_it_does(
    academy: Academy, position: str, end: str, words: str, french: str
) -> None:
    academy.night(DAYS[0], academy.feed(row(), day=DAYS[0]))
    feed = academy.feed(row(), row(position=position, debut=DAYS[5], fin=end), day=DAYS[1])
    plan = ("plan", str(feed), "--as-of", DAYS[1])
    shown = done(academy, *plan).out
    assert f"+ {words} as ENS at {THUILLIER} (Lycée Louis Thuillier)" in shown
    assert "+ ENS at" not in shown
    config = academy.sandbox.config
    english = config.read_text()
    in_french(academy)
    assert f"+ {french}, ENS à {THUILLIER} (Lycée Louis Thuillier)" in done(academy, *plan).out
    config.write_text(english)
    academy.night(DAYS[1], feed)
    undo = done(academy, "undo", "last", *WHY, "--as-of", DAYS[1], "--dry-run").out
    assert f"- {words}" in undo


def test_a_plan_says_what_an_extension_changes(academy: Academy) -> None:
    """On its first day only the last day of the account changes."""
    academy.night(DAYS[0], academy.feed(row(fonction="RPL", fin=DAYS[4]), day=DAYS[0]))
    extend = ("account", "extend", "claire.dubreuil", "--until", "2027-08-31", *WHY, "--as-of", DAYS[0])
    done(academy, *extend, "--yes")
    plan = done(academy, "plan", "--as-of", DAYS[5]).out
    assert f"last day {DAYS[4]} -> 2027-08-31" in plan
    assert f"assigned: RPL at {THUILLIER} (Lycée Louis Thuillier) from {DAYS[5]} to 2027-08-31" in plan
    assert "the rules give other values" not in plan


# Names in previews and questions


@prepared
def three_maries(academy: Academy) -> Academy:
    """Three namesakes; one is in grace, one begins soon."""
    posts = ({"uai": THUILLIER}, {"uai": MICHELIS}, {"uai": THUILLIER, "fonction": "DIR"})
    rows = [
        row(
            matricule=str(1001 + n), numen=f"20E951234{n}XYZ", prenom="Marie", nom_famille="Martin", **columns
        )
        for n, columns in enumerate(posts)
    ]
    academy.night(DAYS[0], academy.feed(*rows, day=DAYS[0]))
    return academy


def test_previews_and_questions_name_the_person(three_maries: Academy) -> None:
    words = ("account", "lock", "marie.martin1", *WHY, "--as-of", DAYS[0])
    person = f"Marie Martin, ENS at {MICHELIS} (Lycée Madeleine Michelis)"
    assert person in done(three_maries, *words, "--dry-run").out
    code, screen = at_terminal(three_maries, *words, answers={"[y/N]": "n"})
    assert code == 12
    assert f"Change 1 account: {person}? [y/N]" in screen
    [result] = done(three_maries, *words, "--dry-run", "-o", "json").json
    named = {"uid": "marie.martin1", "display_name": "Marie Martin", "post": f"ENS at {MICHELIS}"}
    assert result["people"] == [named]
    names = ("marie.martin", "marie.martin1", "marie.martin2")
    code, screen = at_terminal(
        three_maries, "account", "lock", *names, *WHY, "--as-of", DAYS[0], answers={"[y/N]": "n"}
    )
    assert "Change 3 accounts? [y/N]" in screen
    for post in (f"ENS at {THUILLIER}", f"ENS at {MICHELIS}", f"DIR at {THUILLIER}"):
        assert f"Marie Martin, {post}" in screen


def test_the_help_desk_sees_whom_it_is_about(three_maries: Academy) -> None:
    in_french(three_maries)
    person = f"Marie Martin, DIR à {THUILLIER} (Lycée Louis Thuillier)"
    activate = ("password", "activate", "marie.martin2", "--administrator")
    code, screen = at_terminal(three_maries, *activate, answers={"[o/N]": "n"})
    assert code == 12
    assert f"Modifier 1 compte : {person} ? [o/N]" in screen
    code, screen = at_terminal(
        three_maries,
        "password",
        "reset",
        "marie.martin2",
        answers={"NUMEN": "20E9500000XYZ"},
    )
    assert code == 1
    assert f"marie.martin2 : {person}\nNUMEN" in screen
    file = three_maries.folder / "uri.txt"
    done(three_maries, "otp", "enroll", "marie.martin2", "--uri-file", str(file), "--yes")
    verify = {"Le NUMEN": "20E9500000XYZ"}
    resync = {"Premier code": "000000", "juste après": "000001"}
    for word, answers in (("verify", verify), ("resync", resync)):
        _, screen = at_terminal(three_maries, "otp", word, "marie.martin2", answers=answers)
        assert f"marie.martin2 : {person}\n" in screen.partition(next(iter(answers)))[0]


def test_what_the_help_desk_writes_is_asked_first(three_maries: Academy) -> None:
    """Also after a proof and a code: whose account it is, and nothing is changed but counts if the answer is
    no; --yes asks nothing."""
    in_french(three_maries)
    uid, numen = "marie.martin2", "20E9512342XYZ"
    question = f"Modifier 1 compte : Marie Martin, DIR à {THUILLIER} (Lycée Louis Thuillier) ? [o/N]"
    reset = ("password", "reset", uid)
    with three_maries.nothing_written():
        code, screen = at_terminal(three_maries, *reset, answers={"NUMEN de": numen, question: "n"})
    assert (code, "rien n'a été changé" in screen) == (12, True), screen
    code, screen = at_terminal(three_maries, *reset, "--yes", answers={"NUMEN de": numen})
    assert (code, "[o/N]" in screen) == (0, False), screen
    phone = enrolled(three_maries, uid)
    before = three_maries.values(uid, "oathTOTPToken")
    verify, answers = ("otp", "verify", uid), {"Le NUMEN": numen, "Code du": phone.code()}
    code, screen = at_terminal(three_maries, *verify, answers={**answers, question: "n"})
    assert (code, three_maries.values(uid, "oathTOTPToken")) == (12, before), screen
    answers["Code du"] = phone.code()
    code, screen = at_terminal(three_maries, *verify, answers={**answers, question: "oui"})
    assert code == 0, screen
    assert three_maries.values(uid, "oathTOTPToken") != before
    resync = {"Premier code": phone.code(), "juste après": phone.code()}
    code, screen = at_terminal(three_maries, "otp", "resync", uid, answers={**resync, question: "n"})
    assert code == 12, screen


# Accounts that an open case holds

TODAY = datetime.now(ZoneInfo("Europe/Paris")).date()


def day(offset: int) -> str:
    return (TODAY + timedelta(days=offset)).isoformat()


@prepared
def held(academy: Academy) -> Academy:
    """Claire's contract ended; she comes back under another matricule, and nobody has decided the case."""
    claire = {"numen": "20E9512345XYZ", "date_naissance": "1985-08-08"}
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy")
    before = row(**claire, debut=day(-300), fin=day(-50))
    academy.night(day(-90), academy.feed(before, ida, day=day(-90)))
    academy.night(day(-1), academy.feed(before, ida, day=day(-1)))
    again = row(**{**claire, "numen": "20E9599999ABC"}, matricule="2001", debut=day(-2))
    academy.night(day(0), academy.feed(before, ida, again, day=day(0)))
    return academy


def the_case(academy: Academy) -> str:
    [case] = done(academy, "match", "list", "-o", "json").json
    return str(case["case"])


def test_why_names_the_open_case_that_holds_an_account(held: Academy) -> None:
    case = the_case(held)
    for words in ((), ("login",), ("iprof",)):
        why_names(held, case, *words)


def why_names(held: Academy, case: str, *words: str) -> None:
    ran = done(held, "why", "claire.dubreuil", *words)
    assert f"an administrator or HR decides case {case}" in ran.out
    assert "under matricule 2001 may be the person of claire.dubreuil" in ran.out
    assert f"piactl match show {case}" in ran.out
    assert "account reopen" not in ran.out
    assert "wait until" not in ran.out
    view = checked("why.schema.json", done(held, "why", "claire.dubreuil", *words, "-o", "json").json)
    assert [(c["case"], c["command"]) for c in view["cases"]] == [(case, f"piactl match show {case}")]
    assert not [r for a in view["answers"] for r in a["remedies"] if r["text"].startswith("wait")]
    assert done(held, "why", "ida.roy", *words, "-o", "json").json["cases"] == []


def test_account_show_and_timeline_name_the_case(held: Academy) -> None:
    case = the_case(held)
    for words in (("show",), ("timeline",)):
        ran = done(held, "account", *words, "claire.dubreuil")
        assert f"decides case {case}" in ran.out + ran.err
        view = done(held, "account", *words, "claire.dubreuil", "-o", "json").json
        assert [c["case"] for c in view["cases"]] == [case]
        ran = done(held, "account", *words, "ida.roy")
        assert "case" not in ran.out + ran.err
    checked("account.schema.json", done(held, "account", "show", "claire.dubreuil", "-o", "json").json)


def test_the_help_desk_names_the_case(held: Academy) -> None:
    case = the_case(held)
    desk = (
        ("password", "activate", "claire.dubreuil", "--out", str(held.folder / "out.csv")),
        ("password", "reset", "claire.dubreuil", "--numen-file", "-", "--out", str(held.folder / "out.csv")),
    )
    for words in desk:
        ran = held.run(*words, stdin="20E9512345XYZ\n")
        assert ran.code == 1, ran
        assert f"decides case {case}" in ran.err, words
    assert f"decides case {case}" in held.run("password", "unblock", "claire.dubreuil", "--yes").out
    in_french(held)
    ran = held.run(*desk[0])
    assert f"du cas {case} " in ran.err
    assert " decides " not in ran.err


def test_a_case_about_the_own_matricule_of_an_account_is_named(academy: Academy) -> None:
    """HR prolongs a contract and corrects the birth date by mistake: the end of before counts until then."""
    claire = {"date_naissance": "1985-08-08", "debut": "2025-09-01"}
    academy.night(DAYS[0], academy.feed(row(**claire, fin=DAYS[1]), day=DAYS[0]))
    longer = row(**{**claire, "date_naissance": "1985-12-12"}, fin="2027-08-31")
    academy.night(DAYS[2], academy.feed(longer, day=DAYS[2]))
    case = the_case(academy)
    ran = done(academy, "why", "claire.dubreuil", "--as-of", DAYS[2])
    assert "grace on" in ran.out
    assert f"decides case {case}: " in ran.out
    assert "may be another person than that of claire.dubreuil" in ran.out
    assert "reopen" not in ran.out


def test_a_case_that_holds_an_archived_account_is_named(academy: Academy) -> None:
    claire = {"numen": "20E9512345XYZ", "date_naissance": "1985-08-08"}
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy")
    academy.night(day(-200), academy.feed(row(**claire, debut=day(-300), fin=day(-190)), ida, day=day(-200)))
    academy.nights(day(-50))
    again = row(**{**claire, "numen": "20E9599999ABC"}, matricule="2001", debut=day(0))
    academy.night(day(0), academy.feed(again, ida, day=day(0)))
    case = the_case(academy)
    ran = done(academy, "why", "claire.dubreuil")
    assert "archived on" in ran.out
    assert f"decides case {case}: " in ran.out
    assert "account create" not in ran.out
    ran = academy.run(
        *("password", "activate", "claire.dubreuil", "--administrator", "--out", academy.folder / "out.csv")
    )
    assert (ran.code, f"decides case {case}: " in ran.err) == (1, True), ran


def test_a_decided_case_holds_nobody(held: Academy) -> None:
    case = the_case(held)
    done(held, "match", "different", case, *WHY)
    view = done(held, "why", "claire.dubreuil", "-o", "json").json
    assert view["cases"] == []
    assert [r for r in view["answers"][0]["remedies"] if "account extend" in (r["command"] or "")]
