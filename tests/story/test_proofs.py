"""Who gets an activation password or another device: people who prove who they are, with daily limits."""

from __future__ import annotations

import json
from pathlib import Path

import ldap3
import pytest

from tests.cli.test_password import (
    CLAIRE,
    IDA,
    LEA,
    NUMEN,
    OTHER,
    attempts,
    choose,
    given,
    lets_in,
    reset,
    staff,
)

from .academy import Academy, Ran, prepared
from .phones import Phone, enrolled, verified, verify
from .test_logins import PASSWORD, day, post

ADMINISTRATOR = ("--administrator", "--reason", "came with an identity card")

__all__ = ["staff"]


def replaced(academy: Academy, code: str, *options: str, proof: str = "") -> Ran:
    """Runs `otp verify` for a device that replaces another, with a proof on the first line of stdin."""
    words = ("--proof-file", "-") if proof else ()
    stdin = f"{proof}\n{code}\n" if proof else f"{code}\n"
    return academy.run("otp", "verify", CLAIRE, *words, *options, stdin=stdin)


# ---- activate


def test_people_who_chose_a_password_have_to_prove_who_they_are(staff: Academy) -> None:
    _, passwords = given(staff, CLAIRE)
    given(staff, CLAIRE, words=("--yes",))  # nobody has chosen one yet
    _, passwords = given(staff, CLAIRE)
    choose(staff, CLAIRE, passwords[CLAIRE])
    with staff.nothing_written():
        ran, _ = given(staff, CLAIRE, code=1)
        assert f"piactl password reset {CLAIRE}" in ran.err
        assert f"piactl password reset {CLAIRE} --without-check --reason" in ran.err
        given(staff, CLAIRE, words=("--administrator",), code=1)
        given(staff, CLAIRE, words=ADMINISTRATOR, code=1)
        assert staff.run("password", "activate", CLAIRE, "--dry-run").code == 1


def test_a_batch_activates_only_accounts_without_a_chosen_password(staff: Academy) -> None:
    staff.change(CLAIRE, userPassword=[PASSWORD])
    ran, passwords = given(staff, CLAIRE, IDA, LEA, words=("-o", "json"), code=5)
    assert [result["outcome"] for result in ran.json] == ["refused", "applied", "applied"]
    assert set(passwords) == {IDA, LEA}
    assert lets_in(staff, CLAIRE, PASSWORD)


def test_an_activation_password_needs_the_numen_or_a_second_person(staff: Academy) -> None:
    def activate(*names: str, numen: str = "") -> Ran:
        words = ("--numen-file", "-") if numen else ()
        out = staff.folder / f"asked-{len(staff.said)}.csv"
        return staff.run("password", "activate", *names, "--out", out, *words, stdin=f"{numen}\n")

    with staff.nothing_written():
        ran = activate(CLAIRE)
        assert (ran.code, f"NUMEN of {CLAIRE} can only be asked for" in ran.err) == (2, True), ran.err
        ran = activate(CLAIRE, numen=OTHER)
        assert (ran.code, "the NUMEN is not that of" in ran.err) == (1, True), ran.err
        ran = activate(IDA, numen=NUMEN)
        assert (ran.code, f"piactl password reset {IDA} --second-person" in ran.err) == (1, True), ran.err
        ran = activate(CLAIRE, IDA, numen=NUMEN)
        assert (ran.code, ran.err.endswith(" --administrator\n")) == (2, True), ran.err
    assert list(counts(staff).values()) == [1]
    assert activate(CLAIRE, numen=NUMEN).code == 0
    assert activate(IDA, LEA, "--administrator").code == 0


def test_a_first_device_needs_the_numen_or_a_second_person(staff: Academy) -> None:
    claire, ida = enrolled(staff, CLAIRE), enrolled(staff, IDA)
    with staff.nothing_written():
        ran = verify(staff, CLAIRE, claire.code())
        assert (ran.code, f"NUMEN of {CLAIRE} can only be asked for" in ran.err) == (2, True), ran.err
        ran = verify(staff, IDA, ida.code())
        assert (ran.code, f"piactl otp verify {IDA} --second-person" in ran.err) == (1, True), ran.err
        ran = replaced(staff, claire.code(), proof=OTHER)
        assert (ran.code, "the NUMEN is not that of" in ran.err) == (1, True), ran.err
    assert replaced(staff, claire.at(claire.step), proof=NUMEN).code == 0
    assert verify(staff, IDA, ida.at(ida.step), *ADMINISTRATOR).code == 0


# ---- stolen


def test_a_compromised_password_and_device_stay_useless_after_the_lock(staff: Academy) -> None:
    """The thief knows the password and has the telephone; the owner gets in again by a new proof alone."""
    phone = verified(staff, CLAIRE, "--administrator", "--reason", "known in person")
    staff.change(CLAIRE, userPassword=[PASSWORD])
    stolen, code = staff.entry(CLAIRE)["userPassword"], phone.code()
    before = len(staff.sandbox.entries(staff.dn(CLAIRE)))
    ran = staff.run("account", "lock", CLAIRE, "--compromised", "--reason", "stolen", "--yes", "-o", "json")
    assert ran.code == 0, ran.err
    [result] = ran.json
    assert (result["outcome"], "password" in result["kinds"]) == ("applied", True)
    assert "userPassword" not in staff.entry(CLAIRE)
    assert len(staff.sandbox.entries(staff.dn(CLAIRE))) == before, "one write, of the account alone"
    assert staff.run("account", "lock", CLAIRE, "--compromised", "--reason", "stolen", "--yes").code == 0
    assert staff.run("account", "unlock", CLAIRE, "--reason", "found", "--yes").code == 0
    staff.night(day(0).isoformat())
    assert not lets_in(staff, CLAIRE, PASSWORD + code)
    assert not lets_in(staff, CLAIRE, PASSWORD)
    [answer] = staff.run("why", CLAIRE, "login", "-o", "json").json["answers"]
    causes = {cause["kind"]: cause for cause in answer["causes"]}
    assert {"no-password", "device-lost"} <= set(causes)
    assert "needs an activation password" in causes["no-password"]["text"]
    assert causes["no-password"]["command"] == f"piactl password activate {CLAIRE}"
    assert stolen[0].decode() not in Path(staff.sandbox.folder / "journal/piactl.jsonl").read_text("utf-8")
    # an account that is locked already
    assert staff.run("account", "lock", IDA, "--reason", "stolen", "--yes").code == 0
    staff.change(IDA, userPassword=[PASSWORD])
    ran = staff.run("account", "lock", IDA, "--compromised", "--reason", "stolen", "--yes")
    assert (ran.code, "userPassword" in staff.entry(IDA)) == (0, False), ran.err
    assert staff.run("account", "unlock", IDA, "--reason", "found", "--yes").code == 0
    assert staff.run("password", "unblock", IDA, "--reason", "asks for it").code == 0
    assert not lets_in(staff, IDA, PASSWORD)
    _, passwords = given(staff, IDA)
    assert lets_in(staff, IDA, passwords[IDA])


# ---- counts


def counts(academy: Academy) -> dict[str, int]:
    """The wrong answers that count against an account, by record."""
    records = attempts(academy).items()
    return {name: int(str(record["failures"])) for name, record in records if "last" in record}


def test_wrong_numens_and_wrong_codes_are_counted_apart(staff: Academy) -> None:
    for _ in range(3):
        assert reset(staff, OTHER)[0].code == 1
    assert sorted(counts(staff).values()) == [3]
    phone = enrolled(staff, CLAIRE)
    for _ in range(2):
        assert verify(staff, CLAIRE, "000000", *ADMINISTRATOR).code == 1
    assert sorted(counts(staff).values()) == [2, 3]
    assert verify(staff, CLAIRE, phone.code(), *ADMINISTRATOR).code == 0
    assert sorted(counts(staff).values()) == [2, 3], "a device that anybody could enrol ends no count"
    for tries in (1, 0):
        ran, _ = reset(staff, f"{OTHER}\n{phone.code()}", "--one-time-code-file", "-")
        assert (ran.code, f"{tries} tr" in ran.err or "has to wait" in ran.err) == (1, True), ran.err
    assert reset(staff, f"{NUMEN}\n{phone.code()}", "--one-time-code-file", "-")[0].code == 4


# ---- devices


@pytest.mark.parametrize("proof", ["code", "numen"])
def test_replacing_a_device_needs_an_old_code_or_the_numen(staff: Academy, proof: str) -> None:
    staff.change(CLAIRE, userPassword=[PASSWORD])
    old = verified(staff, CLAIRE)
    new = enrolled(staff, CLAIRE)
    code = new.code()
    with staff.nothing_written():
        assert replaced(staff, code).code == 2, "no proof was given"
        assert replaced(staff, code, proof="neither").code == 2
        assert replaced(staff, code, proof=OTHER).code == 1
        ran = replaced(staff, code, proof="000000")
        assert (ran.code, "is not one of" in ran.err) == (1, True), ran.err
    new = Phone(new.secret)
    given_proof = NUMEN if proof == "numen" else old.code()
    ran = replaced(staff, new.code(), proof=given_proof)
    assert ran.code == 0, ran.err
    assert not lets_in(staff, CLAIRE, PASSWORD + old.code())
    assert lets_in(staff, CLAIRE, PASSWORD + new.code())
    journal = (staff.sandbox.folder / "journal" / "piactl.jsonl").read_text(encoding="utf-8")
    assert journal.count(f"{CLAIRE}: an identity check was wrong") == 2
    assert NUMEN not in journal


def test_replacing_a_lost_device_needs_the_numen_or_an_administrator(staff: Academy) -> None:
    verified(staff, CLAIRE)
    verified(staff, IDA)
    for uid in (CLAIRE, IDA):
        assert staff.run("otp", "suspend", uid, "--reason", "lost").code == 0
    new = enrolled(staff, CLAIRE)
    code = new.code()
    assert replaced(staff, code, proof="123456").code == 2, "no device is in force"
    assert replaced(staff, code, proof=NUMEN).code == 0
    code = enrolled(staff, IDA).code()
    ran = verify(staff, IDA, code)
    assert ran.code == 1, "no NUMEN is known of her"
    assert "--administrator --reason" in ran.err
    assert verify(staff, IDA, code, "--administrator").code == 2, "without a reason"
    assert verify(staff, IDA, code, *ADMINISTRATOR).code == 0


def test_a_suspended_device_comes_back_with_a_proof_only(staff: Academy) -> None:
    phone = verified(staff, CLAIRE)
    verified(staff, IDA)
    for uid in (CLAIRE, IDA):
        assert staff.run("otp", "suspend", uid, "--reason", "lost").code == 0
    words = ("otp", "resume", CLAIRE, "--reason", "found")
    with staff.nothing_written():
        assert staff.run(*words).code == 2, "no proof was given"
        assert staff.run(*words, "--proof-file", "-", stdin=f"{OTHER}\n").code == 1
        assert staff.run(*words, "--proof-file", "-", stdin=f"{phone.code()}\n").code == 2, (
            "who has it shows codes"
        )
        ran = staff.run("otp", "resume", IDA, *words[3:])
        assert (ran.code, "no NUMEN is known" in ran.err) == (1, True), ran
        ran = staff.run("otp", "resume", "-", *words[3:], "-o", "json", stdin=f"{CLAIRE}\n{IDA}\n")
        assert [result["outcome"] for result in ran.json] == ["refused", "refused"]
        assert staff.run(*words, "--dry-run").code == 0
    assert staff.run(*words, "--proof-file", "-", stdin=f"{NUMEN}\n").code == 0
    assert staff.run("otp", "resume", CLAIRE, IDA, *ADMINISTRATOR).code == 0
    assert staff.values(IDA, "piactlDevice") != ["none"]


def test_a_device_is_removed_with_a_proof_only(staff: Academy) -> None:
    phone = verified(staff, CLAIRE)
    verified(staff, IDA)
    words = ("otp", "remove", CLAIRE, "--password-alone", "--reason", "no telephone")
    with staff.nothing_written():
        assert staff.run(*words).code == 2
        assert staff.run(*words, "--proof-file", "-", stdin=f"{OTHER}\n").code == 1
        ran = staff.run(*words[:2], "-", *words[3:], "-o", "json", stdin=f"{CLAIRE}\n{IDA}\n")
        assert [result["outcome"] for result in ran.json] == ["refused", "refused"]
        assert staff.run(*words, "--dry-run").code == 0
    assert staff.run(*words, "--proof-file", "-", stdin=f"{phone.code()}\n").code == 0
    assert staff.run(*words[:2], IDA, *words[3:], "--administrator").code == 0


def test_a_numen_in_its_holdoff_replaces_no_device(staff: Academy) -> None:
    old = verified(staff, CLAIRE)
    staff.change(CLAIRE, piactlProofChanged=[f"numen {day(0)}"])
    code = enrolled(staff, CLAIRE).code()
    ran = replaced(staff, code, proof=NUMEN)
    assert (ran.code, f"before {day(7)}" in ran.err) == (1, True), ran.err
    assert replaced(staff, code, proof=old.code()).code == 0


# ---- guards


@prepared
def forty(academy: Academy) -> Academy:
    """Forty people who have never had a password."""
    names = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(40)]
    rows = [post(-100, matricule=f"30{n:02}", nom_famille=f"Roy{name}") for n, name in enumerate(names)]
    academy.night(day(0).isoformat(), academy.feed(*rows, day=day(0).isoformat()))
    return academy


def of_today(academy: Academy) -> dict[str, dict[str, int]]:
    (record,) = [record for name, record in attempts(academy).items() if name == "cn=operations"]
    return record["operators"]  # type: ignore[return-value]


def test_activation_passwords_have_a_limit_per_command_operator_and_day(forty: Academy) -> None:
    uids = sorted(uid for uid in forty.names().values())
    with forty.nothing_written():
        ran, _ = given(forty, *uids[:11], code=4)
        assert "REFUSED by the guard password" in ran.err
        assert "--allow password=11" in ran.err
        words = ("--allow", "password=11")
        given(forty, *uids[:11], words=words, code=2)  # the approver gives a reason and is an administrator
        alone = ("password", "activate", uids[0], "--out", forty.folder / "x.csv", *words)
        ran = forty.run(*alone, "--reason", "rentrée")
        assert (ran.code, "only an administrator approves guards" in ran.err) == (2, True), ran.err
    words = (*words, "--allow", "password_operator=11")
    _, passwords = given(forty, *uids[:11], words=(*ADMINISTRATOR, *words))
    assert len(passwords) == 11
    assert of_today(forty) == {}, "what was approved does not count"
    given(forty, *uids[11:21])
    with forty.nothing_written():
        ran, _ = given(forty, *uids[21:24], code=4)
        assert "one operator, one day" in ran.err
        assert "password_day" in ran.err
    ((operator, own),) = of_today(forty).items()
    assert (bool(operator), own) == (True, {"password": 10})
    # the night, another day, and a record that cannot be read
    assert forty.run("nightly").code == 0
    assert of_today(forty)[operator] == {"password": 10}
    dn = f"cn=operations,ou=attempts,{forty.sandbox.state}"
    yesterday = {"day": day(-1).isoformat(), "operators": {operator: {"password": 500}}}
    for data in (json.dumps(yesterday), "no record"):
        with forty.sandbox.root() as root:
            root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [data])]})
        given(forty, uids[11])
    assert of_today(forty)[operator] == {"password": 1}


def test_activations_on_another_host_count_for_the_limit(forty: Academy) -> None:
    uids = sorted(forty.names().values())
    given(forty, *uids[:6])
    with forty.sandbox.root() as root:
        record = {"day": day(0).isoformat(), "operators": {"somebody": {"password": 9}}}
        dn = f"cn=operations,ou=attempts,{forty.sandbox.state}"
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]})
    ran, _ = given(forty, *uids[6:12], code=4)
    assert "REFUSED by the guard password_day: 15 of 40 accounts" in ran.err
    assert "password_operator" not in ran.err


def test_two_commands_at_once_do_not_both_take_what_is_left(forty: Academy) -> None:
    from piactl.cli.framework.configuration import open_configuration
    from piactl.core.plan.change import PASSWORD
    from piactl.core.plan.write import Write
    from piactl.directory.open import open_writer
    from piactl.edits.carry_out_batch import PreparedAccount
    from piactl.errors import UnsafePlan
    from piactl.helpdesk.attempt_limits import OperationGuard
    from piactl.host.secret_files import identity_password

    configuration = open_configuration(forty.sandbox.config)
    settings, policy = configuration.settings, configuration.policy
    guard = OperationGuard(settings, policy, day(0), "somebody", {}, configuration.unreadable)
    row = Write("modify", "uid=x").with_reason("x", ("password",), "")
    accounts = tuple(PreparedAccount(f"x{n}", f"x{n}", writes=(row,)) for n in range(6))
    with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
        both = [guard.guarded(writer, PASSWORD, accounts) for _ in range(2)]
        assert [batch.refusals for batch in both] == [(), ()]
        first, second = (batch.reserve for batch in both)
        assert first is not None
        assert second is not None
        first(writer)
        with pytest.raises(UnsafePlan, match="used up"):
            second(writer)
    assert of_today(forty) == {"somebody": {"password": 6}}


def test_devices_that_are_replaced_have_limits_too(staff: Academy) -> None:
    staff.edit(
        "policy.yaml",
        "  device_operator:   {floor: 15, share: 0.002}",
        "  device_operator: {max: 1, share: 0.0}",
    )
    verified(staff, CLAIRE)
    assert "cn=operations" not in attempts(staff), "a first device replaces none"
    assert replaced(staff, enrolled(staff, CLAIRE).code(), proof=NUMEN).code == 0
    ran = replaced(staff, enrolled(staff, CLAIRE).code(), proof=NUMEN)
    assert (ran.code, "REFUSED by the guard device_operator" in ran.err) == (4, True), ran.err
    phone = enrolled(staff, CLAIRE)
    ran = replaced(staff, phone.code(), *ADMINISTRATOR, "--allow", "device_operator=2")
    assert ran.code == 0, ran.err


def test_a_command_refused_by_a_guard_leaves_no_file_of_passwords(forty: Academy) -> None:
    given(forty, *sorted(forty.names().values())[:11], code=4)
    assert not [*forty.folder.glob("passwords-*")]
    assert not [path for path in Path(forty.folder).iterdir() if "unfinished" in path.name]
