"""A feed changes what proves who somebody is: it is shown first, held off, and the owner is notified."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_password import CLAIRE, NUMEN, OTHER, given, reset

from .academy import Academy, prepared
from .killed import killed_at_calls_of, killed_by
from .phones import KNOWN, enrolled, verified, verify
from .test_logins import day, post

MAIL, THIEFS = "claire@example.org", "thief@example.net"
TODAY, UNTIL = day(0).isoformat(), day(7).isoformat()


def staffed(academy: Academy, **values: str) -> Academy:
    """Claire, with a NUMEN and a private address, after a night of yesterday."""
    before = day(-1).isoformat()
    academy.night(before, academy.feed(post(-100, numen=NUMEN, courriel_prive=MAIL, **values), day=before))
    return academy


@prepared
def staff(academy: Academy) -> Academy:
    return staffed(academy)


def changed(academy: Academy, numen: str = OTHER, mail: str = THIEFS, **values: str) -> Path:
    return academy.feed(post(-100, numen=numen, courriel_prive=mail, **values), day=TODAY)


def test_another_numen_and_address_are_shown_first_and_masked(staff: Academy) -> None:
    feed = changed(staff, civilite="MME", nom_usage="Autre")
    first, *_ = staff.plan(feed, "--as-of", TODAY)["changes"]
    assert (first["kind"], first["uid"]) == ("identity", CLAIRE)
    assert first["before"] == {"numen": "known", "private_mail": "c***@example.org"}
    assert first["after"] == {"numen": "another", "private_mail": "t***@example.net"}
    assert first["line"] == 2
    text = staff.run("plan", feed, "--as-of", TODAY).out
    kinds = [line.split()[1] for line in text.splitlines() if line[:7].strip().isdigit()]
    assert kinds[0] == "identity"
    assert "NUMEN changed, private address c***@example.org -> t***@example.net" in text
    assert not [secret for secret in (NUMEN, OTHER) if secret in text]


def test_a_changed_numen_proves_nothing_until_the_holdoff_is_over(staff: Academy) -> None:
    staff.twice(TODAY, changed(staff, mail=MAIL))
    assert staff.values(CLAIRE, "piactlProofChanged") == [f"numen {TODAY}"]
    with staff.nothing_written():
        for numen in (OTHER, NUMEN):
            ran, passwords = reset(staff, numen)
            assert (ran.code, passwords) == (1, {})
            assert f"changed on {TODAY}" in ran.err
            assert f"before {UNTIL}" in ran.err
            assert "--without-check --reason" in ran.err
    path = staff.folder / "administrator.csv"
    words = ("--without-check", "--reason", "came with an identity card", "--out", path)
    assert staff.run("password", "reset", CLAIRE, *words).code == 0
    staff.recorded(CLAIRE, piactlProofChanged=[f"numen {day(-7)}"])
    ran, passwords = reset(staff, OTHER)
    assert ran.code == 0, ran.err
    assert CLAIRE in passwords


def test_a_changed_private_address_is_not_handed_out(staff: Academy) -> None:
    staff.twice(TODAY, changed(staff, numen=NUMEN))
    assert staff.values(CLAIRE, "piactlProofChanged") == [f"private_mail {TODAY}"]
    ran, passwords = reset(staff, NUMEN, "--private-mail")
    assert ran.code == 0, ran.err
    (file,) = staff.folder.glob("reset-*.csv")
    assert list(passwords) == [CLAIRE]
    assert "example" not in file.read_text(encoding="utf-8").replace("ac-amiens.fr", "")
    assert f"its private address changed on {TODAY}, and is not handed out before {UNTIL}" in ran.out
    staff.recorded(CLAIRE, piactlProofChanged=[f"private_mail {day(-7)}"])
    ran, _ = reset(staff, NUMEN, "--private-mail")
    assert ran.code == 0, ran.err
    assert any(THIEFS in path.read_text(encoding="utf-8") for path in staff.folder.glob("reset-*.csv"))


def test_a_holdoff_of_another_program_counts_and_is_not_shortened(staff: Academy) -> None:
    added = [f"numen {TODAY}", f"numen {day(-300)}"]
    for values in (added, added[::-1], [*added, f"numen {day(-200)}"]):
        staff.change(CLAIRE, piactlProofChanged=values)
        ran, passwords = reset(staff, NUMEN)
        assert (ran.code, passwords, f"before {UNTIL}" in ran.err) == (1, {}, True), (values, ran)
    # a night that finds another NUMEN keeps the later day
    staff.change(CLAIRE, piactlProofChanged=[f"numen {day(3)}"])
    staff.night(TODAY, changed(staff, mail=MAIL))
    ran, passwords = reset(staff, OTHER)
    assert (ran.code, passwords, f"before {day(10)}" in ran.err) == (1, {}, True), ran


def test_a_holdoff_that_another_program_removed_goes_on(staff: Academy) -> None:
    staff.night(TODAY, changed(staff, mail=MAIL))
    staff.change(CLAIRE, piactlProofChanged=[])
    ran, passwords = reset(staff, OTHER)
    assert (ran.code, passwords, f"before {UNTIL}" in ran.err) == (1, {}, True), ran
    staff.night(TODAY)
    # which proof it was is not known
    assert staff.values(CLAIRE, "piactlProofChanged") == [f"numen {TODAY}", f"private_mail {TODAY}"]


def test_a_holdoff_of_zero_days_accepts_a_new_numen_at_once(staff: Academy) -> None:
    staff.edit("piactl.yaml", "password:\n", "password:\n  holdoff_days: 0\n")
    staff.night(TODAY, changed(staff))
    ran, passwords = reset(staff, OTHER, "--private-mail")
    assert ran.code == 0, ran.err
    assert CLAIRE in passwords


def test_a_numen_that_only_moves_to_another_key_is_the_same(staff: Academy) -> None:
    assert staff.run("key", "add", "--reason", "yearly").code == 0
    plan = staff.plan(changed(staff, numen=NUMEN, mail=MAIL), "--as-of", TODAY)
    assert [change["kind"] for change in plan["changes"]] == ["update"]
    staff.night(TODAY, changed(staff, numen=NUMEN, mail=MAIL))
    assert staff.values(CLAIRE, "piactlProofChanged") == []
    assert reset(staff, NUMEN)[0].code == 0


def test_a_first_numen_is_a_change_too(academy: Academy) -> None:
    before = day(-1).isoformat()
    academy.night(before, academy.feed(post(-100), day=before))
    ran = academy.night(TODAY, changed(academy))
    assert ran.json["summary"] == {"identity": 1}
    assert reset(academy, OTHER)[0].code == 1


def test_a_new_account_has_nothing_that_changed(staff: Academy) -> None:
    assert staff.values(CLAIRE, "piactlProofChanged") == []


def test_an_undo_puts_the_former_proof_back_in_force(staff: Academy) -> None:
    staff.night(TODAY, changed(staff))
    assert staff.run("undo", "last", "--reason", "a thief in the HR application").code == 0
    assert staff.values(CLAIRE, "piactlProofChanged") == []
    assert staff.values(CLAIRE, "supannMailPrive") == [f"{{PERSO}}{MAIL}"]
    assert reset(staff, NUMEN)[0].code == 0


def test_many_changes_in_one_night_are_refused(academy: Academy) -> None:
    def rows(mail: str) -> list[str]:
        names = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(30)]
        return [
            post(-100, matricule=f"30{number:02}", nom_famille=f"Roy{name}", courriel_prive=f"p{name}@{mail}")
            for number, name in enumerate(names)
        ]

    before = day(-1).isoformat()
    academy.night(before, academy.feed(*rows("example.org"), day=before))
    with academy.nothing_written():
        feed = academy.feed(*rows("example.net"), day=TODAY)
        ran = academy.run("nightly", feed, "--as-of", TODAY)
    assert ran.code == 4, ran.err
    assert "REFUSED by the guard identity" in ran.err
    assert "--allow identity=30" in ran.err


# ---- the owner is notified


def hooked(academy: Academy, script: str) -> Path:
    """Configures a hook for changes of proofs; returns the file to which its input is appended."""
    heard, hook = academy.folder / "heard", academy.folder / "hook"
    hook.write_text(f"#!/bin/sh\n{script.format(heard=heard)}\n", encoding="utf-8")
    hook.chmod(stat.S_IRWXU)
    hooks = f"hooks: {{proof_changed: [{hook}], seconds: 1}}\n"
    academy.edit("piactl.yaml", "state_folder: state\n", f"state_folder: state\n{hooks}")
    return heard


def notified(heard: Path) -> list[dict[str, Any]]:
    """The accounts in the notices to the hook, without the instants; empties the file."""
    accounts = []
    for line in heard.read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        assert message["event"] == "proof-changed"
        accounts += message["accounts"]
    heard.unlink()
    assert all(len(account.pop("when")) == 25 for account in accounts)
    return accounts


def test_the_owner_is_notified_at_the_address_known_before(staff: Academy) -> None:
    heard = hooked(staff, "cat >>{heard}")
    staff.night(TODAY, changed(staff))
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["numen", "private_mail"]}]
    staff.quiet_night(TODAY)
    assert not heard.exists()
    # the new address is in its hold-off, and the former one is no longer known
    given(staff, CLAIRE, words=("--administrator",))
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": "", "changed": ["password"]}]
    assert staff.run("undo", "last", "--reason", "a thief in the HR application").code == 0
    (account,) = notified(heard)
    assert (account["uid"], account["private_mail"]) == (CLAIRE, THIEFS)


def test_the_owner_is_notified_of_a_new_numen_password_or_device(staff: Academy) -> None:
    heard = hooked(staff, "cat >>{heard}")
    staff.night(TODAY, changed(staff, mail=MAIL))
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["numen"]}]
    given(staff, CLAIRE, words=("--administrator",))
    verified(staff, CLAIRE)
    assert [account["changed"] for account in notified(heard)] == [["password"], ["device"]]
    assert verify(staff, CLAIRE, enrolled(staff, CLAIRE).code(), *KNOWN).code == 0
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["device"]}]
    words = ("--password-alone", "--administrator", "--reason", "no telephone")
    assert staff.run("otp", "remove", CLAIRE, *words).code == 0
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["device"]}]


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 3", "ended with exit code 3"), ("exec sleep 30", "did not end within 1 seconds")],
)
def test_a_hook_that_fails_is_a_warning_and_ends_nothing(staff: Academy, script: str, why: str) -> None:
    hooked(staff, script)
    ran = staff.night(TODAY, changed(staff))
    assert why in ran.err
    assert f"tell them: {CLAIRE}" in ran.err
    assert ran.json["status"] == "done"
    assert staff.values(CLAIRE, "piactlProofChanged") == [f"numen {TODAY}", f"private_mail {TODAY}"]
    lines = (staff.sandbox.folder / "journal" / "piactl.jsonl").read_text("utf-8").splitlines()
    notes = [line["text"] for line in map(json.loads, lines) if line["type"] == "note"]
    assert [note for note in notes if CLAIRE in note and "not told" in note], notes
    # the next run tells them, whatever it does, and the one after that has nothing to tell
    hook, heard = staff.folder / "hook", staff.folder / "heard"
    hook.write_text(f"#!/bin/sh\ncat >>{heard}\n", encoding="utf-8")
    assert staff.run("password", "unblock", CLAIRE).code == 0
    staff.quiet_night(TODAY)
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["numen", "private_mail"]}]
    assert not [secret for secret in (NUMEN, OTHER) if secret in ran.err + ran.out]


def test_a_notice_that_cannot_be_stored_is_sent_and_a_malformed_one_stops_no_other(staff: Academy) -> None:
    heard = hooked(staff, "cat >>{heard}")
    notices = staff.sandbox.folder / "state" / "notices"
    told = {"uid": CLAIRE, "private_mail": MAIL, "changed": ["password"]}
    notices.write_text("in the place of the folder", encoding="utf-8")
    given(staff, CLAIRE, words=("--administrator",))
    assert notified(heard) == [told]
    notices.unlink()
    notices.mkdir(mode=stat.S_IRWXU)
    for name, text in (("bad", "{bad"), ("lacks", '[{"uid": "a"}]'), ("row", "[1]")):
        (notices / f"{name}.json").write_text(text, encoding="utf-8")
    given(staff, CLAIRE, words=("--administrator",))
    assert notified(heard) == [told]
    for name in ("bad", "lacks", "row"):
        assert f"{name}.json" in "".join(staff.said[-2:])
    assert {path.name for path in notices.iterdir()} == {"bad.json", "lacks.json", "row.json"}


def test_a_killed_run_leaves_its_notices_to_the_next_one(staff: Academy) -> None:
    """Killed before its first write and after it: who was changed is told once, and nobody else."""
    heard = hooked(staff, "cat >>{heard}")
    feed = changed(staff)
    for killer, made in (("executor.keep_undo", False), ("write_ahead.Settlement", True)):
        program = killed_at_calls_of(killer)
        words = ("--config", str(staff.sandbox.config), "nightly", str(feed), "--as-of", TODAY)
        killed_by(program, staff, "1", *words)
        assert not heard.exists()
        assert bool(staff.values(CLAIRE, "piactlProofChanged")) is made
        staff.night(TODAY)
        assert heard.exists() is made, killer
    told = {"uid": CLAIRE, "private_mail": MAIL, "changed": ["numen", "private_mail"]}
    assert notified(heard) == [told]
    staff.night(TODAY, feed)
    assert not heard.exists()
