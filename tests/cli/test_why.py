"""`why`: complaints that support hears, reproduced in a sandbox and each answered by one command."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from tests.story.academy import Academy, Ran
from tests.story.feeds import MICHELIS, THUILLIER, row

TODAY = datetime.now(ZoneInfo("Europe/Paris")).date()
CLAIRE = "claire.dubreuil"
PASSWORD = "Correct-Horse-7"
SCHEMA = Path(__file__).parents[2] / "schemas" / "json" / "why.schema.json"


def day(offset: int) -> str:
    return (TODAY + timedelta(days=offset)).isoformat()


def post(start: int, end: int | None = None, **values: str) -> str:
    return row(debut=day(start), fin="" if end is None else day(end), **values)


def apply_rows(academy: Academy, *rows: str, as_of: int = 0, before: int = 10) -> None:
    """Runs a night some days before and one on the day, so that ended posts had an account."""
    for offset in (as_of - before, as_of):
        academy.night(day(offset), academy.feed(*rows, day=day(offset)))


def why(academy: Academy, *words: str) -> Any:
    ran = academy.run("why", CLAIRE, *words, "-o", "json")
    assert ran.code == 0, ran.err
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(ran.json)] == []
    return ran.json


def answer(academy: Academy, *words: str) -> Any:
    return why(academy, *words)["answers"][0]


def causes(academy: Academy, *words: str) -> dict[str, Any]:
    return {cause["kind"]: cause for cause in answer(academy, "login", *words)["causes"]}


def done(academy: Academy, command: str) -> Ran:
    """Runs a command that `why` proposes, with a reason filled in."""
    words = shlex.split(command.replace('"..."', '"as why says"'))
    assert words[0] == "piactl"
    ran = academy.run(*words[1:])
    assert ran.code == 0, ran.err
    return ran


def proposed(explanation: Any, part: str) -> str:
    commands = [r["command"] for r in explanation["remedies"] if part in (r["command"] or "")]
    assert len(commands) == 1, explanation["remedies"]
    return str(commands[0])


# The state


def test_the_state_is_explained_with_rules_dates_and_services(academy: Academy) -> None:
    apply_rows(academy, post(-100, 200))
    view = why(academy)
    state, *services = view["answers"]
    assert (state["verdict"], state["since"], state["until"]) == ("active", day(-100), day(200))
    assert state["assignment"]["origin"].endswith(".csv:2")
    assert {"day": day(201), "what": "state grace"} in state["coming"]
    policy = Path(view["policy_file"]).read_text(encoding="utf-8").splitlines()
    for rule in state["rules"]:
        word = rule["key"].partition(".")[2]
        assert policy[rule["line"] - 1].strip().startswith(f"{word}:")
    granted = {(service["subject"], service["uai"]): service["yes"] for service in services}
    assert granted["iprof", None]
    assert granted["livret", THUILLIER]
    assert not granted["siecle", THUILLIER]
    text = academy.run("why", CLAIRE).out
    assert f"active on {day(0)}, since {day(-100)}, until {day(200)}" in text
    assert f"[{state['assignment']['origin']}]" in text


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([post(-100, -10)], "grace"),
        ([post(-100, -40)], "deactivated"),
        ([post(5)], "anticipated"),
        ([post(-100), post(-5, 20, position="disponibilite")], "on-leave"),
    ],
    ids=["grace", "deactivated", "anticipated", "on-leave"],
)
def test_the_remedy_of_a_state_changes_it(academy: Academy, rows: list[str], state: str) -> None:
    """The state changes on the day that the remedy names, or by its command."""
    apply_rows(academy, *rows, before=60 if state == "deactivated" else 10)
    explanation = answer(academy)
    assert explanation["verdict"] == state
    waits = [r["day"] for r in explanation["remedies"] if r["command"] is None and r["day"]]
    assert waits, explanation
    for until in waits:
        assert answer(academy, "--as-of", until)["verdict"] != state
        eve = (datetime.fromisoformat(until) - timedelta(days=1)).date().isoformat()
        assert answer(academy, "--as-of", eve)["verdict"] == state
    if state in ("grace", "deactivated"):
        done(academy, proposed(explanation, "account extend"))
        assert answer(academy)["verdict"] == "active"


def test_an_archived_account(academy: Academy) -> None:
    apply_rows(academy, post(-100, -80), as_of=-75)
    academy.nights(day(0))
    explanation = answer(academy)
    assert (explanation["verdict"], explanation["yes"]) == ("archived", False)
    assert not answer(academy, "iprof")["yes"]
    assert causes(academy).keys() == {"archived"}


def test_an_open_account_whose_assignments_another_program_removed(academy: Academy) -> None:
    """None is left that `account extend` could prolong."""
    apply_rows(academy, post(-100, 200))
    academy.change(CLAIRE, piactlAssignment=[])
    assert not answer(academy, "login", "--as-of", day(300))["yes"]
    answer(academy, "iprof")
    ran = academy.run("account", "extend", CLAIRE, "--until", day(400), "--reason", "x", "--dry-run")
    assert (ran.code, "HR ends all its assignments" in ran.err) == (1, True)


# A service


def test_the_delay_of_a_service_after_a_mutation_is_explained(academy: Academy) -> None:
    """The complaint "I moved and see no I-Prof": the delay is named with its line and its last day."""
    academy.edit("policy.yaml", "meanwhile: keep\n    otp", "meanwhile: none\n    otp")
    apply_rows(academy, post(-100, -1), post(0, uai=MICHELIS))
    explanation = answer(academy, "iprof")
    assert not explanation["yes"]
    assert explanation["until"] == day(1)
    assert "mutation_delay" in explanation["reason"]
    assert explanation["assignment"]["uai"] == MICHELIS
    assert explanation["remedies"][0]["day"] == day(2)
    assert answer(academy, "iprof", "--as-of", day(2))["yes"]
    assert causes(academy)["delay"]["until"] == day(1)
    done(academy, proposed(explanation, "exception grant"))
    explanation = answer(academy, "iprof")
    assert explanation["yes"]
    assert "an exception: grant" in explanation["reason"]
    done(academy, proposed(explanation, "exception end"))
    assert not answer(academy, "iprof")["yes"]


def test_a_denial_and_its_end(academy: Academy) -> None:
    apply_rows(academy, post(-100))
    done(academy, proposed(answer(academy, "iprof"), "exception deny"))
    explanation = answer(academy, "iprof")
    assert not explanation["yes"]
    assert "denial of iprof" in explanation["reason"]
    assert "as why says" in explanation["reason"]
    done(academy, proposed(explanation, "exception end"))
    assert answer(academy, "iprof")["yes"]


def test_a_service_per_establishment_is_explained_after_a_mutation(academy: Academy) -> None:
    """After a mutation: the old establishment's right, by handover to its last day, and the new one's."""
    apply_rows(academy, post(-100, -2), post(-1, uai=MICHELIS))
    old, new = why(academy, "livret")["answers"]
    assert (old["uai"], old["yes"], old["until"]) == (THUILLIER, True, day(5))
    assert "handover" in old["reason"]
    assert (new["uai"], new["yes"], new["since"]) == (MICHELIS, True, day(-1))
    old, new = why(academy, "livret", "--as-of", day(6))["answers"]
    assert not old["yes"]
    assert new["yes"]


def test_a_position_that_does_not_keep_the_service(academy: Academy) -> None:
    apply_rows(academy, post(-100), post(-5, 20, position="conge_parental"))
    explanation = answer(academy, "iprof")
    assert not explanation["yes"]
    assert explanation["until"] == day(20)
    assert explanation["rules"][0]["key"] == "positions.acces_reduit"
    assert explanation["assignment"]["position"] == "acces_reduit"
    assert answer(academy, "colibris")["yes"]


def test_a_service_of_other_profiles_can_be_granted(academy: Academy) -> None:
    apply_rows(academy, post(-100))
    explanation = answer(academy, "siecle")
    assert "it is for cpe, direction" in explanation["reason"]
    done(academy, proposed(explanation, "exception grant"))
    assert answer(academy, "siecle")["yes"]


def test_an_override_is_explained_with_its_reason(academy: Academy) -> None:
    apply_rows(academy, post(-100))
    ran = academy.run("account", "close", CLAIRE, "--until", day(10), "--reason", "left early")
    assert ran.code == 0, ran.err
    explanation = answer(academy, "iprof")
    assert not explanation["yes"]
    assert explanation["until"] == day(10)
    assert "left early" in explanation["reason"]
    assert answer(academy, "iprof", "--as-of", day(11))["yes"]
    done(academy, proposed(explanation, "account reopen"))
    assert answer(academy, "iprof")["yes"]


# Logging in


def with_password(academy: Academy, *rows: str) -> None:
    apply_rows(academy, *(rows or [post(-100)]))
    academy.change(CLAIRE, userPassword=[PASSWORD])
    # the password policy asks to change a password that somebody else set
    academy.change(CLAIRE, pwdReset=["FALSE"])


def lets_in(academy: Academy, password: str = PASSWORD) -> bool:
    return academy.sandbox.accepts(academy.dn(CLAIRE), password)


def test_a_log_in_that_works(academy: Academy) -> None:
    with_password(academy)
    explanation = answer(academy, "login")
    assert explanation["yes"]
    assert lets_in(academy)
    assert {cause["effect"] for cause in explanation["causes"]} <= {"service"}


def test_no_password_was_ever_set(academy: Academy) -> None:
    """The command asks for the NUMEN if there is one; else two operators are needed."""
    apply_rows(academy, post(-100, numen="01E9501234ABC"))
    assert causes(academy)["no-password"]["command"] == f"piactl password activate {CLAIRE}"


def test_no_password_and_no_numen(academy: Academy) -> None:
    apply_rows(academy, post(-100))
    command = causes(academy)["no-password"]["command"]
    assert command == f'piactl password reset {CLAIRE} --second-person --reason "..."'


def test_blocked_by_wrong_passwords(academy: Academy) -> None:
    """The complaint "my account is blocked": since when, until when, and the command."""
    with_password(academy)
    for _ in range(5):
        assert not lets_in(academy, "wrong")
    explanation = answer(academy, "login")
    assert explanation["yes"] is lets_in(academy) is False
    cause = causes(academy)["blocked"]
    assert cause["command"] == f"piactl password unblock {CLAIRE}"
    until = datetime.fromisoformat(cause["until"])
    assert timedelta(minutes=13) < until - datetime.now(until.tzinfo) <= timedelta(minutes=15)


def test_a_password_that_must_be_changed(academy: Academy) -> None:
    apply_rows(academy, post(-100))
    academy.change(CLAIRE, userPassword=[PASSWORD])
    explanation = answer(academy, "login")
    assert explanation["yes"]
    assert causes(academy)["must-change"]["effect"] == "asked"


def test_locked_and_several_causes_at_once(academy: Academy) -> None:
    with_password(academy)
    for _ in range(5):
        lets_in(academy, "wrong")
    ran = academy.run("account", "lock", CLAIRE, "--until", day(3), "--reason", "an inquiry")
    assert ran.code == 0, ran.err
    login_causes = causes(academy)
    assert list(login_causes)[:2] == ["lock", "blocked"]
    assert "an inquiry" in login_causes["lock"]["text"]
    assert login_causes["lock"]["until"] == day(3)
    done(academy, login_causes["lock"]["command"])
    assert "lock" not in causes(academy)


@pytest.mark.parametrize(
    ("rows", "kind", "works"),
    [
        ([post(5)], "not-started", False),
        ([post(-100, -10)], "grace", True),
        ([post(-100), post(-2, 30, position="disponibilite")], "leave", False),
        ([post(-100), post(-2, 30, position="suspension")], "position-lock", False),
    ],
    ids=["not started", "grace", "leave", "suspension"],
)
def test_log_in_is_explained_by_start_grace_leave_or_suspension(
    academy: Academy, rows: list[str], kind: str, works: bool
) -> None:
    with_password(academy, *rows)
    explanation = answer(academy, "login")
    assert explanation["yes"] is lets_in(academy) is works
    assert kind in {cause["kind"] for cause in explanation["causes"]}
    assert "entry" not in {cause["kind"] for cause in explanation["causes"]}


def test_log_in_to_a_closed_account_is_explained(academy: Academy) -> None:
    apply_rows(academy, post(-100, -40), before=60)
    academy.change(CLAIRE, userPassword=[PASSWORD])
    explanation = answer(academy, "login")
    assert explanation["yes"] is lets_in(academy) is False
    assert explanation["causes"][0]["kind"] == "closed"
    assert day(-40) in explanation["causes"][0]["text"]


def test_an_entry_that_lets_in_a_closed_account_is_reported(academy: Academy) -> None:
    """The entry allows log in for longer than the rules do: `why` says so, with the day of the last run.
    Dates alone do not open a closed account; another program must also have unlinked it."""
    apply_rows(academy, post(-100, -40), before=60)
    academy.change(CLAIRE, userPassword=[PASSWORD], pwdEndTime=[f"{TODAY.year + 2}0101000000Z"])
    assert answer(academy, "login")["yes"] is lets_in(academy) is False
    assert "entry" not in causes(academy)
    classes = [name for name in academy.values(CLAIRE, "objectClass") if name != "oathTOTPUser"]
    academy.change(CLAIRE, oathTOTPToken=[], objectClass=classes)
    assert lets_in(academy)
    explanation = answer(academy, "login")
    assert explanation["causes"][0]["kind"] == "entry"
    assert explanation["causes"][0]["effect"] == "let in"
    assert day(0) in explanation["causes"][0]["text"]
    assert not explanation["yes"]


def test_the_entry_refuses_what_the_rules_allow(academy: Academy) -> None:
    with_password(academy)
    academy.change(CLAIRE, pwdEndTime=["20200101000000Z"])
    explanation = answer(academy, "login")
    assert explanation["yes"] is lets_in(academy) is False
    assert explanation["causes"][0]["kind"] == "entry"
    assert explanation["since"] is None


def device(academy: Academy, name: str, **values: Any) -> str:
    dn = f"cn={name},{academy.dn(CLAIRE)}"
    academy.sandbox.add(
        dn,
        {
            "objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"],
            "cn": name,
            "oathOTPLength": "6",
            "oathHMACAlgorithm": "1.2.840.113549.2.7",
            "oathTOTPTimeStepPeriod": "30",
            "oathTOTPTimeStepWindow": "3",
            "oathSecret": b"x" * 20,
            **values,
        },
    )
    return dn


def test_missing_drifting_and_lost_devices_are_explained(academy: Academy) -> None:
    """No device, a device with a wrong clock, a lost one: each with the command that helps."""
    with_password(academy)
    cause = causes(academy)["device-none"]
    assert "I-Prof" in cause["text"]
    assert cause["command"] == f"piactl otp enroll {CLAIRE}"
    device(academy, "phone", oathTOTPTimeStepDrift="-2")
    academy.recorded(CLAIRE, piactlDevice=["phone"])
    cause = causes(academy)["device-drift"]
    assert "1 min behind" in cause["text"]
    assert "otp resync" in cause["command"]
    academy.recorded(CLAIRE, piactlDevice=["other"])
    loss = causes(academy)["device-lost"]
    assert loss["effect"] == "refused"
    assert "other" in loss["text"]


# The command


@pytest.mark.parametrize("word", ["iprofs", "logn"])
def test_an_unknown_service(academy: Academy, word: str) -> None:
    ran = academy.run("why", CLAIRE, word)
    assert ran.code == 9
    assert ran.out == ""
    assert "did you mean" in ran.err


def test_an_unknown_account_is_not_found(academy: Academy) -> None:
    ran = academy.run("why", "nobody", "iprof")
    assert (ran.code, ran.out) == (9, "")
    assert "no account has this" in ran.err
    assert academy.run("why", CLAIRE, "iprof", "--as-of", "soon").code == 2


def test_several_accounts_are_read_from_stdin(academy: Academy) -> None:
    apply_rows(academy, post(-100), post(-100, matricule="1002", prenom="Alix", nom_famille="Vie"))
    ran = academy.run("why", "-", "iprof", "-o", "json", stdin=f"alix.vie\nnobody\n{CLAIRE}\n")
    assert ran.code == 5
    assert [view["uid"] for view in ran.json] == ["alix.vie", CLAIRE]
    assert "nobody" in ran.err
    lines = academy.run("why", "-", "-o", "ndjson", stdin=f"{CLAIRE}\nalix.vie\n").out.splitlines()
    assert [json.loads(line)["uid"] for line in lines] == [CLAIRE, "alix.vie"]
    table = academy.run("why", CLAIRE, "login", "-o", "tsv").out.splitlines()
    assert table[0].split("\t")[:3] == ["uid", "as_of", "subject"]
    assert any("no password" in line for line in table[1:])
