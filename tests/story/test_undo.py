"""`undo` puts back what a run changed, keeps what was changed since, and shows what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ldap3

from tests.cli.terminal import at_terminal
from tests.docs.test_schemas import wrong

from .academy import Academy, prepared
from .feeds import crowd, row
from .killed import killed_at_calls_of, killed_by

EVE, DAY, NEXT, LATER = "2026-09-10", "2026-09-11", "2026-09-12", "2026-09-13"
WHY = ("--reason", "sur demande")
CLAIRE = row(debut="2025-09-01")
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Caron", debut="2025-09-01")
NOUR = row(matricule="1003", prenom="Nour", nom_famille="Vidal", debut="2025-09-01")
BAD = (row(debut="2025-09-01", fin="2026-09-05"), HUGO.replace("Caron", "Carron"), NOUR)


def undo(academy: Academy, *words: str | Path, run: str = "last", day: str = DAY, code: int = 0) -> Any:
    """Runs `undo RUN`, which must end with this exit code; returns its result object."""
    why = () if {"--dry-run", "--out", "--reason"} & {*words} else WHY
    ran = academy.run("undo", run, "--as-of", day, *words, *why, "-o", "json")
    assert ran.code == code, f"exit {ran.code}, not {code}: {ran.out}{ran.err}"
    return ran.json


def fates(result: Any) -> dict[str, str]:
    return {account["uid"]: account["outcome"] for account in result["accounts"]}


def of(result: Any, uid: str) -> Any:
    return next(account for account in result["accounts"] if account["uid"] == uid)


def state(academy: Academy) -> dict[str, dict[str, list[bytes]]]:
    """What piactl keeps of each account, except the names that it has or had, which are never removed."""
    accounts = academy.managed()
    return {dn: {n: v for n, v in entry.items() if n != "piactlIdentifier"} for dn, entry in accounts.items()}


@prepared
def known(academy: Academy) -> Academy:
    """Claire and Hugo, after a night."""
    academy.night(EVE, academy.feed(CLAIRE, HUGO, day=EVE))
    return academy


@prepared
def bad(academy: Academy) -> Any:
    """A night has closed, renamed and made one account each by mistake. `left`: the accounts before, the feed
    and the run."""
    academy.night(EVE, academy.feed(CLAIRE, HUGO, day=EVE))
    before = state(academy)
    feed = academy.feed(*BAD, day=DAY)
    run = academy.night(DAY, feed).json["run"]
    assert state(academy) != before
    return before, feed, run


# Whole nights


def test_a_night_is_undone_and_the_right_feed_goes_on(bad: Academy) -> None:
    before, _, run = bad.left
    result = undo(bad, "--reason", "fichier tronqué")
    assert result["undoes"] == run
    assert fates(result) == dict.fromkeys(["claire.dubreuil", "hugo.caron", "nour.vidal"], "reversed")
    after = state(bad)
    made = after.pop(bad.dn("nour.vidal"))
    assert after == before
    assert made["piactlState"] == [b"deactivated"]
    assert made["mail"] == [b"nour.vidal@ac-amiens.fr"]
    assert "piactlAssignment" not in made
    # a given address stays taken, and the former one leads to the account again
    assert "hugo.carron@ac-amiens.fr" in bad.values("hugo.caron", "piactlIdentifier")
    assert bad.values("hugo.caron", "piactlAlias") == []
    bad.quiet_night(DAY, bad.feed(CLAIRE, HUGO, day=DAY))
    bad.quiet_night(NEXT)


def test_an_account_closed_by_undo_reopens_with_a_right_feed(bad: Academy) -> None:
    undo(bad)
    bad.night(NEXT, bad.feed(CLAIRE, HUGO, NOUR, day=NEXT))
    assert bad.names()["1003"] == "nour.vidal"
    assert bad.show("nour.vidal", NEXT)["state"] == "active"


def test_the_undone_file_is_refused_until_it_is_accepted(bad: Academy) -> None:
    _, feed, _ = bad.left
    undone = undo(bad)
    assert [undone_feed["file"] for undone_feed in undone["feeds"]] == [feed.name]
    with bad.nothing_written():
        ran = bad.run("nightly", feed, "--as-of", NEXT)
    assert ran.code == 6
    assert "the run that applied it was undone" in ran.err
    digest = ran.err.partition("--accept-feed ")[2].split()[0]
    ran = bad.run("nightly", feed, "--as-of", NEXT, "--accept-feed", digest, "--reason", "juste")
    assert ran.code == 0, ran.err
    assert bad.values("nour.vidal", "piactlState") == ["active"]
    bad.quiet_night(NEXT, feed)


def test_a_second_undo_changes_nothing_and_runs_list_names_both(bad: Academy) -> None:
    _, _, run = bad.left
    first = undo(bad)
    with bad.nothing_written():
        again = undo(bad)
    assert again["accounts"] == []
    assert (again["undoes"], again["unchanged"], again["run"]) == (run, 3, None)
    notes = {
        listed_run["run"]: listed_run["note"] for listed_run in bad.run("runs", "list", "-o", "json").json
    }
    assert notes[first["run"]] == f"undo of run {run}"
    assert notes[run] == f"undone by run {first['run']}"
    lines = bad.run("journal", "show", "--run", first["run"], "-o", "json").json
    assert {line["reason"] for line in lines if line.get("uid")} == {f"undo of run {run}: sur demande"}


def test_an_undo_is_undone_and_the_feed_counts_again(bad: Academy) -> None:
    _, feed, _ = bad.left
    after = state(bad)
    first = undo(bad)
    undo(bad, run=first["run"])
    assert state(bad) == after
    bad.quiet_night(DAY, feed)


def test_dry_run_and_plan_write_nothing_and_the_plan_can_be_applied(bad: Academy) -> None:
    before, _, _ = bad.left
    file = bad.folder / "undo.json"
    with bad.nothing_written():
        planned = undo(bad, "--dry-run")
        undo(bad, "--out", file)
    assert set(fates(planned).values()) == {"would be reversed"}
    assert of(planned, "hugo.caron")["sources"] == ["hr"]
    document = bad.run("plan", "show", file, "-o", "json").json
    assert wrong("plan", document) == []
    assert bad.run("apply", file).code == 0
    after = state(bad)
    del after[bad.dn("nour.vidal")]
    assert after == before
    assert undo(bad)["accounts"] == []


# What is kept


def test_an_account_changed_since_by_another_program_is_kept(bad: Academy) -> None:
    before, _, _ = bad.left
    bad.change("hugo.caron", mail=["h.caron@ac-amiens.fr"])
    hands = state(bad)[bad.dn("hugo.caron")]
    result = undo(bad, code=5)
    assert fates(result) == {
        "claire.dubreuil": "reversed", "hugo.caron": "kept", "nour.vidal": "reversed",
    }  # fmt: skip
    message = of(result, "hugo.caron")["message"]
    assert message.startswith("changed since in mail; last modified by cn=root,")
    after = state(bad)
    assert after[bad.dn("hugo.caron")] == hands
    assert after[bad.dn("claire.dubreuil")] == before[bad.dn("claire.dubreuil")]


def test_what_a_later_run_changed_is_kept_and_the_run_named(bad: Academy) -> None:
    _, _, run = bad.left
    ran = bad.run("account", "lock", "claire.dubreuil", "nour.vidal", "--reason", "vol", "--as-of", DAY)
    assert ran.code == 0, ran.err
    later = bad.run("runs", "show", "last", "-o", "json").json["run"]
    result = undo(bad, run=run, code=5)
    for uid in ("claire.dubreuil", "nour.vidal"):
        assert of(result, uid)["outcome"] == "kept"
        assert of(result, uid)["message"].startswith(f"changed since by run {later} of ")
    assert fates(undo(bad, run=later)) == dict.fromkeys(["claire.dubreuil", "nour.vidal"], "reversed")
    assert fates(undo(bad, run=run)) == dict.fromkeys(["claire.dubreuil", "nour.vidal"], "reversed")


def test_what_does_not_concern_the_run_is_no_conflict(bad: Academy) -> None:
    bad.change("hugo.caron", telephoneNumber=["0322000000"])
    assert fates(undo(bad))["hugo.caron"] == "reversed"
    assert bad.values("hugo.caron", "telephoneNumber") == ["0322000000"]


def test_an_archival_cannot_be_undone(academy: Academy) -> None:
    ended_post = row(debut="2025-09-01", fin="2026-05-31")
    academy.night("2026-05-01", academy.feed(ended_post, HUGO, day="2026-05-01"))
    academy.night("2026-07-01")
    academy.nights(EVE)
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    with academy.nothing_written():
        result = undo(academy, day=EVE, code=5)
    assert fates(result) == {"claire.dubreuil": "impossible"}
    assert of(result, "claire.dubreuil")["message"] == "it was archived: its data are gone"


def test_an_account_reopened_from_the_archive_by_mistake_is_closed(academy: Academy) -> None:
    ended_post = row(debut="2025-09-01", fin="2026-05-31")
    academy.night("2026-05-01", academy.feed(ended_post, HUGO, day="2026-05-01"))
    for day in ("2026-07-01", EVE):
        academy.nights(day)
    academy.night(DAY, academy.feed(ended_post, row(debut="2026-09-01"), HUGO, day=DAY))
    assert academy.values("claire.dubreuil", "piactlState") == ["active"]
    assert fates(undo(academy)) == {"claire.dubreuil": "reversed"}
    assert academy.values("claire.dubreuil", "piactlState") == ["deactivated"]
    assert undo(academy)["accounts"] == []
    academy.nights("2026-11-13")
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]


def test_protected_since_is_kept(bad: Academy) -> None:
    bad.edit("policy.yaml", "protected: [admin.secours]", "protected: [admin.secours, hugo.caron]")
    result = undo(bad, code=5)
    assert of(result, "hugo.caron")["outcome"] == "kept"
    assert of(result, "hugo.caron")["message"].startswith("protected")


# Guards, and what comes back


def test_a_guard_stops_an_undo_until_it_is_allowed(academy: Academy) -> None:
    academy.allow_up_to(20, "create", "update", "profile_growth", "service_growth")
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    academy.night(DAY, academy.feed(CLAIRE, *crowd(12, debut="2025-09-01"), day=DAY))
    with academy.nothing_written():
        ran = academy.run("undo", "last", "--as-of", DAY, *WHY)
        trial = academy.run("undo", "last", "--as-of", DAY, "--dry-run")
    assert (trial.code, "dry-run" in trial.err.partition("To go on")[2]) == (4, False), trial.err
    assert ran.code == 4
    assert "REFUSED by the guard deactivate" in ran.err
    assert "--reason 'sur demande' --allow deactivate=12" in ran.err
    assert academy.run("undo", "last", "--as-of", DAY, "--allow", "deactivate=12").code == 2
    planned = undo(academy, "--dry-run", code=4)
    assert {(refusal["kind"], refusal["total"]) for refusal in planned["refusals"]} == {("deactivate", 12)}
    result = undo(academy, "--allow", "deactivate=12", "--reason", "mauvais fichier")
    assert list(fates(result).values()) == ["reversed"] * 12


def test_undo_lists_what_the_next_night_will_do_again(academy: Academy) -> None:
    ending = row(debut="2025-09-01", fin="2026-09-10")
    academy.night(EVE, academy.feed(ending, HUGO, day=EVE))
    before = state(academy)
    academy.night(DAY)
    after = state(academy)
    assert after != before
    result = undo(academy)
    assert "state grace" in of(result, "claire.dubreuil")["returns"]
    assert any(word.startswith("loses ") for word in of(result, "claire.dubreuil")["returns"])
    assert of(result, "claire.dubreuil")["sources"] == []
    assert state(academy) == before
    text = academy.run("undo", result["run"], "--as-of", DAY, "--dry-run").out
    assert "come back with the next night" not in text
    academy.night(DAY)
    assert state(academy) == after


def test_undo_prints_what_it_put_back_and_what_comes_back(bad: Academy) -> None:
    _, feed, run = bad.left
    ran = bad.spawn("undo", "last", "--as-of", DAY, *WHY)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"Undo of run {run}: ")
    assert "3  reversed: put back as before the run" in ran.out
    assert "hugo.caron: hugo.carron@ac-amiens.fr -> hugo.caron@ac-amiens.fr" in ran.out
    assert "come back with the next feed of hr that has the same values: correct the feed" in ran.out
    assert f"this file is refused from now on: hr={feed.name}" in ran.out
    assert ran.err == ""


def test_a_change_of_policy_comes_back(academy: Academy) -> None:
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    academy.edit("policy.yaml", "profiles: all}\n", "profiles: [direction]}\n")
    academy.night(DAY)
    assert of(undo(academy), "claire.dubreuil")["returns"] == ["loses annuaire"]


def test_undo_of_a_delta_says_that_hr_must_send_it_again(academy: Academy) -> None:
    academy.sources(hr="kind: full", news="kind: delta")
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    academy.night(DAY, academy.feed(NOUR, day=DAY, source="news"))
    ran = academy.run("undo", "last", "--as-of", DAY, *WHY)
    assert ran.code == 0, ran.err
    assert "news sends each change only once: HR has to send the correct rows again" in ran.out


# One-off commands


def acted(academy: Academy, *words: str) -> None:
    ran = academy.run(*words, "--reason", "essai", "--as-of", DAY)
    assert ran.code == 0, ran.err


def test_one_off_commands_are_undone(known: Academy) -> None:
    known.night(DAY)
    claire, until = "claire.dubreuil", ("--until", "2026-12-31")
    for words in (
        ("account", "lock", claire),
        ("account", "close", claire, *until),
        ("account", "rename", claire, "--usage-name", "Morel", *until),
        ("exception", "grant", claire, "--service", "colibris", *until),
        ("assignment", "add", claire, "--uai", "0800010B", "--function", "ENS", "--until", until[1]),
    ):
        before = state(known)
        acted(known, *words)
        assert state(known) != before, words
        result = undo(known)
        assert fates(result) == {claire: "reversed"}, words
        assert of(result, claire)["returns"] == [], words
        assert state(known) == before, words
    known.quiet_night(DAY)


def test_an_account_made_by_hand_is_closed(academy: Academy) -> None:
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    acted(
        academy, "account", "create", "--family-name", "Vidal", "--given-name", "Nour", "--uai", "0800009A",
        "--function", "ENS", "--until", "2026-12-31", "--sponsor", "claire.dubreuil",
    )  # fmt: skip
    result = undo(academy)
    assert fates(result) == {"nour.vidal": "reversed"}
    assert of(result, "nour.vidal")["sources"] == []
    assert academy.show("nour.vidal", DAY)["state"] == "deactivated"
    academy.quiet_night(DAY)


def test_undoing_an_unlock_warns_of_open_sessions(academy: Academy) -> None:
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    acted(academy, "account", "lock", "claire.dubreuil")
    acted(academy, "account", "unlock", "claire.dubreuil")
    ran = academy.run("undo", "last", "--as-of", DAY, *WHY)
    assert ran.code == 0, ran.err
    assert academy.show("claire.dubreuil", DAY)["locked"] is True
    assert "open sessions continue" in ran.err


def test_an_adopted_entry_is_given_back(academy: Academy) -> None:
    academy.sandbox.add(
        academy.dn("cdubreuil"),
        {
            "objectClass": ["inetOrgPerson", "supannPerson"], "uid": "cdubreuil", "cn": "DUBREUIL",
            "sn": "ANCIEN", "mail": "claire.dubreuil@ac-amiens.fr", "supannEmpId": "1001",
            "roomNumber": "B12",
        },
    )  # fmt: skip
    operational = {"entryCSN", "modifyTimestamp", "modifiersName"}
    before = {n: sorted(v) for n, v in academy.entry("cdubreuil").items() if n not in operational}
    feed = academy.feed(CLAIRE, day=DAY)
    ran = academy.run("adopt", feed, "--as-of", DAY, "--apply", "--reason", "migration")
    assert ran.code == 0, ran.err
    assert academy.values("cdubreuil", "piactlState") == ["active"]
    assert fates(undo(academy)) == {"cdubreuil": "reversed"}
    after = {n: sorted(v) for n, v in academy.entry("cdubreuil").items() if n not in operational}
    assert after == before
    assert undo(academy)["accounts"] == []


# Runs that cannot be undone, and undos that end early


def test_a_run_whose_undo_was_pruned_says_so(bad: Academy) -> None:
    _, _, run = bad.left
    with bad.sandbox.root() as connection:
        connection.delete(f"cn=undo-00000,cn={run},ou=runs,{bad.sandbox.state}")
    ran = bad.run("undo", run, "--as-of", DAY, *WHY)
    assert ran.code == 1
    assert "it is deleted after 90 days (keep_undo_days)" in ran.err


def test_a_run_that_changed_nothing(academy: Academy) -> None:
    academy.night(EVE, academy.feed(CLAIRE, day=EVE))
    run = academy.night(DAY).json["run"]
    ran = academy.run("undo", run, "--as-of", DAY, *WHY)
    assert (ran.code, ran.err) == (0, "")
    assert "Nothing to undo." in ran.out


def test_the_help_desk_cannot_read_undo_records(bad: Academy) -> None:
    _, _, run = bad.left
    with bad.sandbox.connect("desk") as connection:
        connection.search(f"cn={run},ou=runs,{bad.sandbox.state}", "(cn=undo-*)", attributes=["*"])
        assert [entry for entry in connection.response if "dn" in entry] == []


def test_a_killed_undo_is_finished_by_repeating_it(academy: Academy) -> None:
    people = crowd(12, debut="2025-09-01")
    academy.edit("piactl.yaml", "  suffix:", "  in_flight: 1\n  suffix:")
    academy.allow_up_to(20, "rename", "update", "other_name")
    academy.night(EVE, academy.feed(*people, day=EVE))
    before = state(academy)
    feed = academy.feed(*(person.replace("Louise", "Lou-Ann") for person in people), day=DAY)
    run = academy.night(DAY, feed).json["run"]
    program = killed_at_calls_of("write_ahead.Settlement")
    killed_by(program, academy, "9", "undo", "last", "--as-of", DAY, *WHY)
    half = state(academy)
    made = sum(half[dn] == before[dn] for dn in before)
    assert made in (9, 10)
    ran = academy.run("undo", run, "--as-of", DAY, *WHY, "-o", "json")
    assert ran.code == 0, ran.err
    assert "left in doubt were read back: " in ran.err
    assert (len(ran.json["accounts"]), ran.json["unchanged"]) == (12 - made, made)
    assert state(academy) == before
    assert academy.run("journal", "verify").code == 0
    assert academy.run("nightly", feed, "--as-of", DAY).code == 6
    academy.quiet_night(DAY, academy.feed(*people, day=DAY))


def test_the_result_object(bad: Academy) -> None:
    assert set(undo(bad, "--dry-run")) == {
        "run", "status", "undoes", "command", "user", "as_of", "started", "feeds", "unchanged", "deltas",
        "accounts", "refusals", "plan", "next",
    }  # fmt: skip


# Reason, and asking


def test_undo_needs_a_reason_unless_it_only_plans(bad: Academy) -> None:
    with bad.nothing_written():
        for words in ((), ("--yes",), ("--reason", "  "), ("-o", "json"), ("--allow", "rename=1")):
            ran = bad.run("undo", "last", "--as-of", DAY, *words)
            assert ran.code == 2, (words, ran)
            assert 'add --reason "..."' in ran.err
            assert "json" not in words or [*ran.json] == ["error"]
            assert "json" in words or ran.out == ""
        for words in (("--dry-run",), ("--out", str(bad.folder / "undo.json"))):
            assert bad.run("undo", "last", "--as-of", DAY, *words).code == 0, words


def test_on_a_terminal_it_shows_what_it_would_do_and_asks_before_it_begins(bad: Academy) -> None:
    _, _, run = bad.left
    words = ("undo", "last", "--as-of", DAY, *WHY)
    state = bad.sandbox.entries(bad.sandbox.state)
    journal = (bad.sandbox.folder / "journal" / "piactl.jsonl").read_bytes()
    with bad.nothing_written():
        code, screen = at_terminal(bad, *words, answers={"[y/N]": "n"})
    assert code == 12
    shown, _, rest = screen.partition("Put back 3 accounts? [y/N]")
    assert f"Undo of run {run}: " in shown
    assert "hugo.caron: hugo.carron@ac-amiens.fr -> hugo.caron@ac-amiens.fr" in shown
    assert "nothing was changed" in rest
    assert bad.sandbox.entries(bad.sandbox.state) == state, "no lock, no record of a run"
    assert (bad.sandbox.folder / "journal" / "piactl.jsonl").read_bytes() == journal
    code, screen = at_terminal(bad, *words, answers={"[y/N]": "y"})
    assert (code, "3  reversed: put back as before the run" in screen) == (0, True), screen
    code, screen = at_terminal(bad, "undo", "last", "--as-of", DAY, "--yes", *WHY)
    assert "[y/N]" not in screen


def test_on_a_terminal_it_asks_though_no_account_changes(bad: Academy) -> None:
    """An undo died after the accounts were put back and before the feed was recorded as undone."""
    undo(bad)
    source = f"cn=hr,ou=sources,{bad.sandbox.state}"
    entry = bad.sandbox.entry(source)
    assert entry is not None
    record = json.loads(entry["piactlData"][0])
    assert record.pop("undone")
    with bad.sandbox.root() as root:
        root.modify(source, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record).encode()])]})
    entries = bad.sandbox.entries(bad.sandbox.state)
    code, screen = at_terminal(bad, "undo", "last", "--as-of", DAY, *WHY, answers={"[y/N]": "n"})
    assert (code, "Change no account, but record the undo? [y/N]" in screen) == (12, True), screen
    assert bad.sandbox.entries(bad.sandbox.state) == entries
