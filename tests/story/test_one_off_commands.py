"""One-off commands on real accounts: what they do at once, and what later nights do."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.cli.streams import shared_forks
from tests.outside import civil_today
from tests.programs import WITHOUT_SERVER, before_writing

from .academy import Academy, Ran, prepared
from .feeds import MARESCHAL, MICHELIS, THUILLIER, row

DAY = "2026-09-05"
CLAIRE = "claire.dubreuil"
IDA = row(matricule="1999", prenom="Ida", nom_famille="Roy", fonction="DIR", debut="2020-09-01")
PASSWORD = "Lampadaire-41-oranger"


@prepared
def claire(academy: Academy) -> Academy:
    """Claire, who teaches, and Ida, who directs, after one night."""
    academy.night(DAY, academy.feed(row(), IDA, day=DAY))
    return academy


def act(academy: Academy, *words: str, day: str = DAY, code: int = 0) -> Ran:
    ran = academy.run(*words, "--as-of", day, "--reason", "sur demande", "-o", "json")
    assert ran.code == code, f"exit {ran.code}, not {code}: {ran.out}{ran.err}"
    return ran


def one(ran: Ran) -> dict[str, Any]:
    (result,) = ran.json
    return dict(result)


def night(academy: Academy, day: str, *rows: str) -> None:
    academy.night(day, academy.feed(*(rows or (row(), IDA)), day=day))


def state(academy: Academy, uid: str = CLAIRE) -> str:
    return academy.values(uid, "piactlState")[0]


def can_log_in(academy: Academy, uid: str = CLAIRE) -> bool:
    try:
        with academy.sandbox.bind(academy.dn(uid), PASSWORD):
            return True
    except ldap3.core.exceptions.LDAPInvalidCredentialsResult:
        return False


# ---- locks


def test_a_lock_refuses_log_in_despite_hr_and_a_password_reset(academy: Academy) -> None:
    today = civil_today("Europe/Paris").isoformat()
    academy.night(today, academy.feed(row(debut="2020-09-01", fin="2090-08-31"), day=today))
    academy.change(CLAIRE, userPassword=[PASSWORD])
    assert can_log_in(academy)
    locked = academy.run("account", "lock", CLAIRE, "--reason", "enquête", "-o", "json")
    assert one(locked)["kinds"][0] == "lock"
    assert "sessions" in locked.err
    assert not can_log_in(academy)
    academy.change(CLAIRE, userPassword=[PASSWORD])
    assert not can_log_in(academy)
    academy.night(today, academy.feed(row(debut="2020-09-01", fin="2091-08-31"), day=today))
    assert not can_log_in(academy)
    assert academy.values(CLAIRE, "supannRessourceEtat") == ["{COMPTE}S:SupannVerrouAdministratif"]
    again = academy.run("account", "lock", CLAIRE, "--reason", "enquête", "-o", "json")
    assert one(again)["outcome"] == "unchanged"
    academy.run("account", "unlock", CLAIRE, "--reason", "close")
    assert can_log_in(academy)


def test_an_administrator_cannot_lift_a_lock_set_by_hr(claire: Academy) -> None:
    night(claire, "2026-09-06", row(position="suspension"), IDA)
    ran = claire.run("account", "unlock", CLAIRE, "--as-of", "2026-09-06", "--reason", "x")
    assert ran.code == 1
    assert "position in HR" in ran.err


# ---- names


def test_a_usage_name_by_hand_changes_the_address_until_it_is_removed(claire: Academy) -> None:
    refused = claire.run(
        "account", "rename", CLAIRE, "--usage-name", "Aubry", "--as-of", DAY, "--reason", "mariage"
    )
    assert refused.code == 1
    assert "--until" in refused.err
    act(claire, "account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-12-31")
    assert claire.values(CLAIRE, "mail") == ["claire.aubry@ac-amiens.fr"]
    assert claire.values(CLAIRE, "piactlAlias") == ["claire.dubreuil@ac-amiens.fr"]
    night(claire, "2026-09-06")
    assert claire.values(CLAIRE, "mail") == ["claire.aubry@ac-amiens.fr"]
    act(claire, "account", "rename", CLAIRE, "--usage-name", "", day="2026-09-06")
    assert claire.values(CLAIRE, "mail") == ["claire.dubreuil@ac-amiens.fr"]
    assert claire.values(CLAIRE, "piactlAlias") == ["claire.aubry@ac-amiens.fr"]
    assert claire.values(CLAIRE, "uid") == [CLAIRE]
    assert claire.values(CLAIRE, "piactlOverride") == []


def test_a_usage_name_by_hand_stays_though_the_post_that_hr_lists_has_ended(claire: Academy) -> None:
    """Claire is in her grace."""
    left = row(fin="2026-09-05")
    night(claire, "2026-09-06", left, IDA)
    words = ("account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-10-20")
    act(claire, *words, day="2026-09-06")
    [override] = claire.run("override", "list", "--as-of", "2026-09-06", "-o", "json").json
    assert (override["uid"], override["until"]) == (CLAIRE, "2026-10-20")
    night(claire, "2026-09-07", left, IDA)
    assert claire.values(CLAIRE, "mail") == ["claire.aubry@ac-amiens.fr"]


def test_a_name_that_gives_no_address_is_refused(claire: Academy) -> None:
    with claire.nothing_written():
        ran = act(claire, "account", "rename", CLAIRE, "--usage-name", "?", "--until", "2026-12-31", code=1)
    assert one(ran)["outcome"] == "refused"


# ---- closing and reopening


def test_imports_keep_a_closure_by_hand_until_its_end(claire: Academy) -> None:
    act(claire, "account", "close", CLAIRE, "--until", "2026-09-20")
    assert state(claire) == "deactivated"
    night(claire, "2026-09-06")
    assert state(claire) == "deactivated"
    plan = claire.plan("--as-of", "2026-09-21")
    assert plan["changes"][0]["kind"] == "reopen"
    assert any("has ended" in c["reason"] for c in plan["changes"])
    claire.night("2026-09-21")
    assert state(claire) == "active"


def test_a_dry_run_shows_what_follows_the_end_of_an_override(claire: Academy) -> None:
    """It shows the end of a closure, after which HR applies again; for people unknown to HR, the closing."""
    close = ("account", "close", "claire.dubreuil", "--until", "2026-09-14", "--reason", "essai", "--dry-run")
    (shown,) = claire.run(*close, "-o", "json", "--as-of", DAY).json
    after = ("a change by hand has ended: the HR data apply again", "state active")
    assert shown["outlook"][-2:] == [{"day": "2026-09-15", "what": what} for what in after]
    made = ("--family-name", "Morin", "--given-name", "Zoé", "--uai", "0800009A", "--function", "ENS")
    options = ("--sponsor", "claire.dubreuil", "--until", "2026-09-14", "--reason", "essai", "--dry-run")
    (shown,) = claire.run("account", "create", *made, *options, "-o", "json", "--as-of", DAY).json
    assert "state deactivated" in {event["what"] for event in shown["outlook"]}


def test_a_post_that_starts_after_a_closure_reopens_the_account(claire: Academy) -> None:
    act(claire, "account", "close", CLAIRE, "--until", "2027-08-31")
    night(claire, "2026-10-01", row(fin="2026-09-30"), row(uai=MICHELIS, debut="2026-10-01"), IDA)
    assert state(claire) == "active"


def test_no_archival_while_a_change_by_hand_holds(claire: Academy) -> None:
    act(claire, "account", "close", CLAIRE, "--until", "2027-08-31")
    night(claire, "2027-03-01")
    assert state(claire) == "deactivated"
    night(claire, "2027-09-01")
    assert state(claire) == "active"


def test_a_reopened_account_stays_open_until_its_day(claire: Academy) -> None:
    night(claire, "2026-11-15", row(fin="2026-09-30"), IDA)
    assert state(claire) == "deactivated"
    refused = act(claire, "account", "reopen", CLAIRE, day="2026-11-15", code=1)
    assert "assignment add" in one(refused)["message"]
    act(claire, "account", "reopen", CLAIRE, "--until", "2026-11-30", day="2026-11-15")
    assert state(claire) == "active"
    night(claire, "2026-11-16", row(fin="2026-09-30"), IDA)
    assert state(claire) == "active"
    claire.night("2026-12-01")
    assert state(claire) == "grace"


def test_a_closure_is_taken_back(claire: Academy) -> None:
    before = claire.managed()
    act(claire, "account", "close", CLAIRE, "--until", "2027-08-31")
    act(claire, "account", "reopen", CLAIRE)
    assert claire.managed() == before


# ---- assignments


def test_a_move_by_hand_follows_the_delays_of_the_policy(claire: Academy) -> None:
    words = (
        "assignment",
        "move",
        "ida.roy",
        "--to",
        MICHELIS,
        "--from",
        "2026-10-01",
        "--until",
        "2027-08-31",
    )
    with claire.nothing_written():
        foretold = one(act(claire, *words, "--dry-run"))
    assert foretold["outcome"] == "would change"
    ahead = {(e["day"], e["what"]) for e in foretold["outlook"]}
    # siecle: mutation_delay 1, handover 15
    assert ("2026-10-02", f"gets siecle:{MICHELIS}") in ahead
    assert ("2026-10-16", f"loses siecle:{THUILLIER}") in ahead
    act(claire, *words)
    night(claire, "2026-10-01")
    rights = {(e["service"], e["uai"]) for e in claire.show("ida.roy", "2026-10-01")["entitlements"]}
    assert ("siecle", THUILLIER) in rights
    claire.night("2026-10-02")
    urn = f"urn:mace:ac-amiens.fr:service:siecle:{MICHELIS}"
    assert urn in claire.values("ida.roy", "eduPersonEntitlement")
    claire.quiet_night("2026-10-03", claire.feed(row(), IDA, day="2026-10-03"))


def test_an_end_by_hand_takes_precedence_over_hr_until_its_day(claire: Academy) -> None:
    refused = act(claire, "assignment", "end", CLAIRE, "--on", "2026-09-30", code=1)
    assert "--until" in one(refused)["message"]
    act(claire, "assignment", "end", CLAIRE, "--on", "2026-09-30", "--until", "2026-10-20")
    night(claire, "2026-10-01")
    assert state(claire) == "grace"
    (override,) = claire.run("override", "list", "-o", "json", "--as-of", "2026-10-01").json
    assert (override["uid"], override["kind"], override["until"], override["reason"]) == (
        CLAIRE,
        "end",
        "2026-10-20",
        "sur demande",
    )
    claire.night("2026-10-21")
    assert state(claire) == "active"
    assert claire.run("override", "list", "-o", "json", "--as-of", "2026-10-21").json == []


def test_an_end_by_hand_survives_a_corrected_start(claire: Academy) -> None:
    act(claire, "assignment", "end", CLAIRE, "--on", "2026-09-30", "--until", "2026-12-31")
    night(claire, "2026-10-01", row(debut="2026-08-31"), IDA)
    assert state(claire) == "grace"


def test_imports_leave_an_assignment_added_by_hand(claire: Academy) -> None:
    words = ["assignment", "add", CLAIRE, "--uai", MARESCHAL, "--function", "ENS", "--until", "2026-09-20"]
    act(claire, *words)
    assert MARESCHAL in claire.values(CLAIRE, "supannEntiteAffectation")
    night(claire, "2026-09-06")
    assert MARESCHAL in claire.values(CLAIRE, "supannEntiteAffectation")
    assert one(act(claire, *words, "--from", DAY, day="2026-09-06"))["outcome"] == "unchanged"
    claire.night("2026-09-21")
    assert MARESCHAL not in claire.values(CLAIRE, "supannEntiteAffectation")


def test_an_end_must_name_one_of_several_assignments(claire: Academy) -> None:
    night(claire, "2026-09-06", row(), row(uai=MICHELIS), IDA)
    words = ("assignment", "end", CLAIRE, "--on", "2026-09-30", "--until", "2026-12-31")
    message = one(act(claire, *words, day="2026-09-06", code=1))["message"]
    assert THUILLIER in message
    assert MICHELIS in message
    act(claire, *words, "--uai", MICHELIS, day="2026-09-06")
    night(claire, "2026-10-05", row(), row(uai=MICHELIS), IDA)
    assert claire.values(CLAIRE, "supannEntiteAffectation") == [THUILLIER]


def test_ending_overrides_restores_the_account(claire: Academy) -> None:
    before = claire.managed()
    act(
        claire,
        "assignment",
        "move",
        CLAIRE,
        "--to",
        MICHELIS,
        "--from",
        "2026-10-01",
        "--until",
        "2027-08-31",
    )
    act(claire, "account", "rename", CLAIRE, "--usage-name", "Aubry", "--until", "2026-12-31")
    act(claire, "override", "end", CLAIRE)
    after = claire.managed()
    for entries in (before, after):
        for name in ("piactlIdentifier", "piactlAlias"):
            entries[claire.dn(CLAIRE)].pop(name, None)
    assert after == before


# ---- people whom HR does not know


def test_an_account_unknown_to_hr_needs_a_sponsor_and_ends_on_its_day(claire: Academy) -> None:
    words = ["account", "create", "--family-name", "Novak", "--given-name", "Éva", "--uai", THUILLIER]
    missing = claire.run(*words, "--as-of", DAY, "--reason", "x")
    assert missing.code == 2
    for option in ("--function", "--until", "--sponsor"):
        assert option in missing.err
    words += ["--function", "ENS", "--until", "2026-09-20"]
    assert act(claire, *words, "--sponsor", "personne", code=9).err.count("--sponsor") == 1
    made = one(act(claire, *words, "--sponsor", "ida.roy"))
    assert (made["uid"], made["kinds"]) == ("eva.novak", ["create"])
    (override,) = claire.run("override", "list", "-o", "json", "--as-of", DAY).json
    assert (override["sponsor"], override["until"]) == ("ida.roy", "2026-09-20")
    night(claire, "2026-09-06")
    night(claire, "2026-09-07")
    assert state(claire, "eva.novak") == "active"
    claire.night("2026-09-21")
    assert state(claire, "eva.novak") == "grace"


def test_a_homonym_gets_a_number_and_keeps_its_address_on_return(claire: Academy) -> None:
    words = ["account", "create", "--family-name", "Dubreuil", "--given-name", "Claire", "--uai", THUILLIER]
    words += ["--function", "ENS", "--until", "2026-09-20", "--sponsor", "ida.roy", "--matricule", "X77"]
    assert one(act(claire, *words))["uid"] == "claire.dubreuil1"
    taken = act(claire, *words, code=1)
    assert "has the account claire.dubreuil1 already" in taken.err
    claire.nights("2027-03-01")
    assert state(claire, "claire.dubreuil1") == "archived"
    words[words.index("2026-09-20")] = "2027-06-30"
    assert one(act(claire, *words, day="2027-03-01"))["uid"] == "claire.dubreuil1"
    assert claire.values("claire.dubreuil1", "mail") == ["claire.dubreuil1@ac-amiens.fr"]


# ---- exceptions


def test_exceptions_are_given_listed_respected_and_end(claire: Academy) -> None:
    siecle = ("--service", "siecle", "--uai", THUILLIER)
    act(claire, "exception", "grant", CLAIRE, *siecle, "--until", "2026-09-10")
    act(claire, "exception", "deny", CLAIRE, "--service", "iprof", "--until", "2026-09-10")
    night(claire, "2026-09-06")
    rights = {(e["service"], e["uai"]) for e in claire.show(CLAIRE, "2026-09-06")["entitlements"]}
    assert ("siecle", THUILLIER) in rights
    urns = claire.values(CLAIRE, "eduPersonEntitlement")
    assert "urn:mace:ac-amiens.fr:service:iprof" not in urns
    rows = claire.run("exception", "list", "-o", "json", "--as-of", "2026-09-06").json
    assert [(r["kind"], r["service"], r["end"]) for r in rows] == [
        ("deny", "iprof", "2026-09-10"),
        ("grant", "siecle", "2026-09-10"),
    ]
    act(claire, "exception", "end", CLAIRE, "--service", "iprof", day="2026-09-06")
    assert "urn:mace:ac-amiens.fr:service:iprof" in claire.values(CLAIRE, "eduPersonEntitlement")
    claire.night("2026-09-11")
    assert claire.values(CLAIRE, "piactlException") == []


INVALID = {
    "--service iproff --until 2026-12-31": "iprof",
    "--service siecle --until 2026-12-31": "--uai",
    f"--service iprof --uai {THUILLIER} --until 2026-12-31": "leave --uai out",
    "--service iprof": "--until",
    "--until 2026-12-31": "--service",
    "--service iprof --until bientot": "not a valid date",
    "--service iprof --until 2026-09-01": "before the first day",
}


def test_an_invalid_exception_is_refused(claire: Academy) -> None:
    with claire.nothing_written():
        for words, message in INVALID.items():
            refused = ("exception", "grant", CLAIRE, *words.split(), "--as-of", DAY, "--reason", "x")
            ran = claire.run(*refused)
            assert ran.code == (9 if message == "iprof" else 2), words
            assert message in ran.err


# ---- many at once


def test_accounts_from_stdin_are_locked_in_the_order_of_the_lines(claire: Academy) -> None:
    listed = claire.run("account", "list", "-o", "ndjson", "--as-of", DAY).out
    (ida,) = [line for line in listed.splitlines() if json.loads(line)["uid"] == "ida.roy"]
    lines = [ida, "personne", '"claire.dubreuil"', "1999"]
    words = ("account", "lock", "-", "--as-of", DAY, "--reason", "x", "-o", "ndjson")
    ran = claire.run(*words, stdin="\n".join(lines))
    assert ran.code == 5
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert [r["outcome"] for r in results] == ["applied", "not found", "applied", "refused"]
    assert [r["uid"] for r in results] == ["ida.roy", None, "claire.dubreuil", "ida.roy"]
    assert "names the same account" in results[3]["message"]


def test_the_pipe_of_docs_accounts_md_says_whom_it_would_lock(academy: Academy, tmp_path: Path) -> None:
    """The pipe of docs/accounts.md, run with a shell, jq and the command."""
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text()
    (pipe,) = re.findall(r"^piactl account list .* \|\n    piactl account lock - .*$", page, re.MULTILINE)
    today = civil_today("Europe/Paris")
    ended_post = {"debut": "2020-09-01", "fin": (today - timedelta(days=1)).isoformat()}
    people = [
        row(debut="2020-09-01", fin="2090-08-31"),
        row(matricule="1999", prenom="Ida", nom_famille="Roy"),
    ]
    academy.run("nightly", academy.feed(*people, day=today.isoformat()))
    academy.run(
        "nightly",
        academy.feed(
            row(**ended_post), row(matricule="1999", prenom="Ida", nom_famille="Roy"), day=today.isoformat()
        ),
    )
    command = tmp_path / "piactl"
    command.write_text(f'#!/bin/sh\nexec {" ".join(academy.words())} "$@"\n')
    command.chmod(stat.S_IRWXU)
    environment = {**academy.environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", f"{pipe} -o ndjson"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (result,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (result["uid"], result["outcome"]) == (CLAIRE, "would change")


def test_a_line_of_stdin_that_is_no_name_stops_all(claire: Academy) -> None:
    with claire.nothing_written():
        ran = claire.run(
            "account", "lock", "-", "--as-of", DAY, "--reason", "x", stdin=f'{CLAIRE}\n{{"id": 3}}\n'
        )
    assert ran.code == 2
    assert "line 2" in ran.err


def test_a_change_by_another_program_meanwhile_is_a_conflict(
    claire: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_writing(monkeypatch, lambda: claire.change(CLAIRE, piactlState=["grace"]))
    night(claire, "2026-09-06", row(fin="2026-09-30"), IDA)
    ran = act(claire, "account", "close", CLAIRE, "--until", "2026-12-31", day="2026-09-06", code=1)
    assert one(ran)["outcome"] == "conflict"
    assert "piactlState" in one(ran)["message"]


def test_a_one_off_command_ignores_the_run_lock_and_is_recorded(claire: Academy) -> None:
    lock_record = {"run": "other", "host": "elsewhere", "pid": 1, "began": 1, "who": "x", "place": "y"}
    lock_record |= {"since": "2026-11-25T00:00:00+00:00", "expires": "2999-01-01T00:00:00+00:00"}
    lock = f"cn=lock,{claire.sandbox.state}"
    with claire.sandbox.root() as root:
        root.add(lock, "piactlRecord", {"cn": "lock", "piactlData": json.dumps(lock_record)})
    act(claire, "account", "lock", CLAIRE)
    assert claire.run("nightly", "--as-of", DAY).code == 7
    last = claire.run("runs", "show", "last", "-o", "json").json
    assert (last["status"], last["reason"], last["summary"]) == (
        "done",
        "sur demande",
        {"lock": 1, "update": 1},
    )


def test_without_a_reason_nothing_is_done(claire: Academy) -> None:
    with claire.nothing_written():
        ran = claire.run("account", "lock", CLAIRE, "--as-of", DAY, "--reason", "  ")
    assert ran.code == 2
    assert "--reason" in ran.err


def test_a_night_marks_only_dead_commands_as_interrupted(claire: Academy) -> None:
    act(claire, "account", "lock", CLAIRE)
    run = claire.run("runs", "show", "last", "-o", "json").json["run"]
    dn = f"cn={run},ou=runs,{claire.sandbox.state}"
    entry = claire.sandbox.entry(dn) or {}
    record = json.loads(entry["piactlData"][0])
    began = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    for alone, status in (
        ({"pid": os.getpid(), "began": began}, "running"),
        ({"pid": 1, "began": 1}, "interrupted"),
    ):
        changed = {**record, "status": "running", "alone": {**record["alone"], **alone}}
        with claire.sandbox.root() as root:
            values = {"piactlData": [json.dumps(changed)], "description": ["running"]}
            root.modify(dn, {name: [("MODIFY_REPLACE", value)] for name, value in values.items()})
        claire.night(DAY)
        assert claire.run("runs", "show", run, "-o", "json").json["status"] == status


def test_changes_before_a_server_failure_are_printed_and_sent_to_hooks(
    claire: Academy, tmp_path: Path
) -> None:
    heard, hook = tmp_path / "heard", tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ncat >>{heard}\n")
    hook.chmod(stat.S_IRWXU)
    claire.edit(
        "piactl.yaml",
        "state_folder: state\n",
        f"state_folder: state\nhooks: {{changes: [{{kinds: [lock], run: [{hook}]}}]}}\n",
    )
    claire.edit("piactl.yaml", "  suffix:", "  in_flight: 1\n  suffix:")
    words = ["account", "lock", CLAIRE, "ida.roy", "--as-of", DAY, "--reason", "x", "-o", "ndjson"]
    code, out, messages = shared_forks().ended(
        words, claire.sandbox.config, claire.folder, program=WITHOUT_SERVER
    )
    assert code == 8, messages
    results = [json.loads(line) for line in out.splitlines()]
    assert [(r["uid"], r["outcome"]) for r in results] == [(CLAIRE, "applied"), ("ida.roy", "not made")]
    assert [json.loads(line)["uid"] for line in heard.read_text().splitlines()] == [CLAIRE]
    assert "the server went away" in messages
