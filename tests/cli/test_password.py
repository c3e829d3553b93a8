"""`password`: activation passwords, checks of identity, blocks, and the rules of passwords."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ldap3
import pyotp
import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.cli.framework.help_desk import identity_checks
from piactl.directory.open import open_writer
from piactl.helpdesk.attempt_limits import ProofKind, TooManyAttempts, begin_attempt
from piactl.host.secret_files import identity_password
from piactl.sandbox.folder import POLICIES
from tests.story.academy import Academy, Ran, prepared
from tests.story.test_logins import day, post

from .streams import shared_forks
from .terminal import at_terminal

CLAIRE, IDA, LEA, ADMIN = "claire.dubreuil", "ida.roy", "lea.faure", "admin.secours"
NUMEN = "01E9501234ABC"
OTHER = "01E9501235ABC"
OWN = "quatre chats gris et lents"
CODES = f"cn=activation,{POLICIES}".encode()
CODE = re.compile(r"[2-9cfhkmprtwx]{4}(?:-[2-9cfhkmprtwx]{4}){4}")


@prepared
def staff(academy: Academy) -> Academy:
    """Claire, who has a NUMEN; Ida, who has none; Léa, who starts in five days."""
    rows = (
        post(-100, numen=NUMEN, courriel_prive="claire@example.org"),
        post(-100, matricule="1999", nom_famille="Roy", prenom="Ida"),
        post(5, matricule="1888", nom_famille="Faure", prenom="Léa"),
    )
    academy.night(day(0).isoformat(), academy.feed(*rows, day=day(0).isoformat()))
    return academy


def passwords_in(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["uid"]: row["activation_password"] for row in csv.DictReader(file)}


def given(
    academy: Academy, *names: str, words: tuple[str, ...] = (), code: int = 0
) -> tuple[Ran, dict[str, str]]:
    """Runs `password activate` into a file, with the NUMEN for Claire alone, else as the administrator;
    returns what it said, and the activation passwords by uid."""
    path = academy.folder / f"passwords-{len(academy.said)}.csv"
    proof = ("--numen-file", "-") if names == (CLAIRE,) else ("--administrator",)
    proof = () if "--administrator" in words else proof
    ran = academy.run("password", "activate", *names, "--out", path, *proof, *words, stdin=f"{NUMEN}\n")
    assert ran.code == code, f"exit {ran.code}: {ran.out}{ran.err}"
    return ran, passwords_in(path) if path.exists() else {}


def lets_in(academy: Academy, uid: str, password: str) -> bool:
    for ends in academy.values(uid, "pwdAccountTmpLockoutEnd"):  # after an earlier wrong password
        until = datetime.strptime(ends, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds() + 0.05))
    return academy.sandbox.accepts(academy.dn(uid), password)


def choose(academy: Academy, uid: str, code: str, password: str = OWN) -> None:
    """The owner logs in with the activation password and replaces it."""
    with academy.sandbox.bind(academy.dn(uid), code) as connection:
        connection.modify(academy.dn(uid), {"userPassword": [(ldap3.MODIFY_REPLACE, [password])]})


def block(academy: Academy, uid: str = CLAIRE) -> None:
    for _ in range(5):
        assert not lets_in(academy, uid, "not it at all")
    entry = academy.sandbox.entry(academy.dn(uid)) or {}
    state = {name: values for name, values in entry.items() if name.startswith("pwd")}
    assert len(state["pwdFailureTime"]) == 5, state
    assert state["pwdAccountLockedTime"][0][:14] <= max(state["pwdFailureTime"])[:14], state


def attempts(academy: Academy) -> dict[str, dict[str, object]]:
    entries = academy.sandbox.entries(f"ou=attempts,{academy.sandbox.state}", "(objectClass=piactlRecord)")
    names = {dn.partition(",")[0]: json.loads(entry["piactlData"][0]) for dn, entry in entries.items()}
    return {name: record for name, record in names.items() if name != "cn=clock"}


def reset(academy: Academy, numen: str, *words: str, uid: str = CLAIRE) -> tuple[Ran, dict[str, str]]:
    path = academy.folder / f"reset-{len(academy.said)}.csv"
    ran = academy.run(
        "password", "reset", uid, "--numen-file", "-", "--out", path, *words, stdin=f"{numen}\n"
    )
    return ran, passwords_in(path) if path.exists() else {}


# ---- activate


def test_an_activation_password_works_until_it_is_replaced(staff: Academy) -> None:
    path = staff.folder / "codes.csv"
    ran = staff.run(
        "password", "activate", CLAIRE, "--administrator", "--out", path, "--private-mail", "-o", "json"
    )
    assert ran.code == 0, ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not Path(f"{path}.unfinished").exists()
    with path.open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert list(line) == [
        "uid",
        "address",
        "display_name",
        "private_mail",
        "activation_password",
        "valid_until",
        "outcome",
    ]
    assert line["address"] == f"{CLAIRE}@ac-amiens.fr"
    assert (line["display_name"], line["private_mail"]) == ("Claire Dubreuil", "claire@example.org")
    assert CODE.fullmatch(line["activation_password"])
    (result,) = ran.json
    assert (result["uid"], result["outcome"], result["kinds"]) == (CLAIRE, "applied", ["password"])
    assert line["valid_until"] in result["message"]
    assert "applications that still log in" not in ran.err, "nothing logs in with a first password yet"
    entry = staff.entry(CLAIRE)
    assert (entry["pwdReset"], entry["pwdPolicySubentry"]) == ([b"TRUE"], [CODES])
    ends = datetime.strptime(entry["pwdAccountLockedTime"][0].decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    assert timedelta(hours=71, minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=72)
    assert lets_in(staff, CLAIRE, line["activation_password"])
    choose(staff, CLAIRE, line["activation_password"])
    assert lets_in(staff, CLAIRE, OWN)
    assert not lets_in(staff, CLAIRE, line["activation_password"])


def test_a_second_activation_password_replaces_the_first(staff: Academy) -> None:
    _, first = given(staff, CLAIRE)
    _, second = given(staff, CLAIRE)
    assert not lets_in(staff, CLAIRE, first[CLAIRE])
    assert lets_in(staff, CLAIRE, second[CLAIRE])
    assert staff.values(CLAIRE, "pwdAccountLockedTime") != []


def test_an_activation_password_is_shown_once_on_a_terminal(staff: Academy) -> None:
    code, screen = at_terminal(
        staff,
        "password",
        "activate",
        CLAIRE,
        "--administrator",
        answers={"Change 1 account: Claire Dubreuil": "y"},
    )
    assert code == 0, screen
    (shown,) = CODE.findall(screen)
    assert "Claire Dubreuil" in screen
    assert "shown this once" in screen
    assert lets_in(staff, CLAIRE, shown)


def test_no_activation_password_is_set_without_a_yes(staff: Academy) -> None:
    with staff.nothing_written():
        code, screen = at_terminal(
            staff,
            "password",
            "activate",
            CLAIRE,
            "--administrator",
            answers={"Change 1 account: Claire Dubreuil": "n"},
        )
    assert (code, CODE.findall(screen)) == (12, [])
    assert "nothing was changed" in screen


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "never to a pipe: type it on a terminal, or add --out FILE"),
        (("-o", "json"), "printed results never hold an activation password: with -o add --out FILE"),
    ],
)
def test_no_activation_password_goes_to_a_pipe(staff: Academy, words: tuple[str, ...], message: str) -> None:
    with staff.nothing_written():
        for command in (("activate", CLAIRE), ("reset", CLAIRE, "--without-check", "--reason", "x")):
            ran = staff.spawn("password", *command, *words, stdin="")
            assert (ran.code, CODE.findall(ran.out)) == (2, [])
            assert message in ran.err


def test_accounts_named_on_stdin_get_passwords_in_order(staff: Academy) -> None:
    path = staff.folder / "many.csv"
    ran = staff.run(
        "password",
        "activate",
        "-",
        "--administrator",
        "--out",
        path,
        "-o",
        "json",
        stdin=f'{LEA}\nnobody\n{{"uid": "{CLAIRE}"}}\n1888\n',
    )
    assert ran.code == 5
    outcomes = [(result["account"], result["outcome"]) for result in ran.json]
    assert outcomes == [(LEA, "applied"), ("nobody", "not found"), (CLAIRE, "applied"), ("1888", "refused")]
    assert list(passwords_in(path)) == [LEA, CLAIRE]
    assert lets_in(staff, CLAIRE, passwords_in(path)[CLAIRE])


def test_an_activation_password_set_early_works_from_the_first_day(staff: Academy) -> None:
    ran, passwords = given(staff, LEA)
    assert f"opens on {day(5)}" in ran.out
    assert not lets_in(staff, LEA, passwords[LEA])
    staff.change(LEA, pwdStartTime=[])
    assert lets_in(staff, LEA, passwords[LEA])
    ends = datetime.strptime(staff.values(LEA, "pwdAccountLockedTime")[0], "%Y%m%d%H%M%SZ").replace(
        tzinfo=UTC
    )
    assert ends - datetime.now(UTC) > timedelta(days=6), "its hours begin when the account opens"


def test_locked_and_closed_accounts_get_no_activation_password(staff: Academy) -> None:
    assert staff.run("account", "lock", CLAIRE, "--reason", "enquête").code == 0
    assert staff.run("account", "close", IDA, "--until", day(60).isoformat(), "--reason", "partie").code == 0
    with staff.nothing_written():
        ran = staff.run("password", "activate", CLAIRE, "--administrator", "--out", staff.folder / "x.csv")
        assert ran.code == 1
        assert "enquête" in ran.err
        assert f"piactl account unlock {CLAIRE}" in ran.err
        ran = staff.run("password", "activate", IDA, "--administrator", "--out", staff.folder / "x.csv")
        assert ran.code == 1
        assert "deactivated" in ran.err
        assert f"piactl why {IDA} login" in ran.err
    assert not (staff.folder / "x.csv").exists()


def test_dry_run_says_what_would_be_done(staff: Academy) -> None:
    with staff.nothing_written():
        ran = staff.run("password", "activate", CLAIRE, "--dry-run")
    assert ran.code == 0
    assert "would change" in ran.out
    assert CODE.findall(ran.out + ran.err) == []


def test_a_file_that_is_there_is_left_alone(staff: Academy) -> None:
    path = staff.folder / "codes.csv"
    path.write_text("kept", encoding="utf-8")
    with staff.nothing_written():
        ran = staff.run("password", "activate", CLAIRE, "--administrator", "--out", path)
        assert ran.code == 1
        assert "already exists" in ran.err
        ran = staff.run("password", "activate", CLAIRE, "--numen-file", "-", "--out", path, stdin=OTHER)
        assert (ran.code, "already exists" in ran.err) == (1, True), "and no proof is asked for and counted"
        assert not any("last" in count for count in attempts(staff).values())
        link = staff.folder / "link.csv"
        link.symlink_to(staff.folder / "elsewhere")
        assert staff.run("password", "activate", CLAIRE, "--administrator", "--out", link).code == 1
        assert (
            staff.run(
                "password", "activate", CLAIRE, "--administrator", "--out", staff.folder / "no" / "x.csv"
            ).code
            == 1
        )
    assert path.read_text(encoding="utf-8") == "kept"
    assert not (staff.folder / "elsewhere").exists()


DYING = """
import os, sys
from piactl.edits import carry_out_batch
real = carry_out_batch.write_alone
def dying(run, writes, *rest):
    if sys.argv[1] == "after":
        real(run, writes, *rest)
    os._exit(9)
carry_out_batch.write_alone = dying
from piactl.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_leaves_the_passwords_in_an_unfinished_file(staff: Academy, when: str) -> None:
    path = staff.folder / "codes.csv"
    words = (when, "password", "activate", CLAIRE, IDA, "--administrator", "--out", str(path))
    code, _, messages = shared_forks().ended(words, staff.sandbox.config, staff.folder, program=DYING)
    assert code == 9, messages
    assert path.read_bytes() == b"", "nothing that looks finished"
    unfinished = Path(f"{path}.unfinished")
    assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
    for uid, code in passwords_in(unfinished).items():
        assert lets_in(staff, uid, code) is (when == "after")
    assert set(passwords_in(unfinished)) == {CLAIRE, IDA}
    path.unlink()
    again = staff.run("password", "activate", CLAIRE, "--administrator", "--out", path)
    assert again.code == 1
    assert "left by a command that did not end" in again.err
    unfinished.unlink()
    assert "piactl password reset - --without-check" in again.err
    words = ("password", "reset", "-", "--without-check", "--reason", "the host stopped", "--out", path)
    ran = staff.run(*words, stdin=f"{CLAIRE}\n{IDA}\n")
    assert ran.code == 0, ran.err
    assert all(lets_in(staff, uid, code) for uid, code in passwords_in(path).items())


def test_a_lost_connection_leaves_no_set_password_unreported(
    staff: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from piactl.directory.store.password_state import ActivationPasswordWriter
    from piactl.errors import ReplyLost

    real = ActivationPasswordWriter.write

    def lost(self: ActivationPasswordWriter, writes: object) -> object:
        for write in writes:  # type: ignore[attr-defined]
            yield from real(self, [write])
            if IDA in write.dn:
                raise ReplyLost(f"{write.dn}: no answer came", [write.dn])

    def losing(self: ActivationPasswordWriter, writes: object) -> object:
        results = lost(self, writes)
        for write_result in results:  # type: ignore[attr-defined]
            if IDA in write_result.write.dn:
                continue
            yield write_result

    monkeypatch.setattr(ActivationPasswordWriter, "write", losing)
    path = staff.folder / "codes.csv"
    ran = staff.run("password", "activate", CLAIRE, IDA, LEA, "--administrator", "--out", path, "-o", "json")
    assert ran.code == 8
    assert [result["outcome"] for result in ran.json] == ["applied", "in doubt", "not made"]
    assert list(passwords_in(path)) == [CLAIRE, IDA], "what may have been set can be read"
    assert all(lets_in(staff, uid, code) for uid, code in passwords_in(path).items())


def test_activate_is_refused_without_an_activation_policy(staff: Academy) -> None:
    staff.edit("piactl.yaml", f"  activation_policy: cn=activation,{POLICIES}\n", "")
    with staff.nothing_written():
        ran = staff.run("password", "activate", CLAIRE, "--administrator", "--out", staff.folder / "x.csv")
    assert ran.code == 10
    assert "activation_policy" in ran.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pwdLockoutDuration": [900]}, "would be valid again"),
        ({"pwdLockout": ["FALSE"]}, "never end"),
        ({"pwdMustChange": ["FALSE"]}, "never have to be replaced"),
        ({"pwdMaxAge": [259200]}, "pwdMaxAge is set"),
        (None, "does not exist"),
    ],
)
def test_activate_is_refused_under_an_unsafe_activation_policy(
    staff: Academy, changes: dict[str, list[object]] | None, message: str
) -> None:
    policy = CODES.decode()
    assert "D30  ok" in staff.run("doctor").out
    with staff.sandbox.root() as root:
        if changes is None:
            root.delete(policy)
        else:
            root.modify(policy, {name: [(ldap3.MODIFY_REPLACE, values)] for name, values in changes.items()})
    with staff.nothing_written():
        ran = staff.run(
            "password", "activate", CLAIRE, IDA, "--administrator", "--out", staff.folder / "x.csv"
        )
    assert (ran.code, message in ran.err) == (1, True), ran.err
    assert not (staff.folder / "x.csv").exists()
    checks = {finding["id"]: finding for finding in staff.run("doctor", "-o", "json").json}
    assert checks["D30"]["result"] == "error"


# ---- what the night does


def test_the_night_removes_the_activation_policy_after_replacement(staff: Academy) -> None:
    _, passwords = given(staff, CLAIRE, IDA)
    choose(staff, CLAIRE, passwords[CLAIRE])
    today = day(0).isoformat()
    ran = staff.run("nightly", "-o", "json")
    assert (ran.code, ran.json["summary"]) == (0, {}), ran.err
    assert "pwdPolicySubentry" not in staff.entry(CLAIRE)
    assert staff.entry(IDA)["pwdPolicySubentry"] == [CODES]
    assert lets_in(staff, CLAIRE, OWN)
    assert lets_in(staff, IDA, passwords[IDA])
    staff.quiet_night(today)
    assert staff.run("journal", "verify").code == 0


def test_a_night_that_may_not_remove_the_activation_policy_goes_on(staff: Academy) -> None:
    """With the rights of an older directory nightly may only read pwdPolicySubentry."""
    _, passwords = given(staff, CLAIRE)
    choose(staff, CLAIRE, passwords[CLAIRE])
    staff.sandbox.stop()
    settings = staff.sandbox.folder / "slapd" / "slapd.conf"
    text = settings.read_text(encoding="utf-8")
    right = r'(attrs=pwdPolicySubentry.*\n(?:  by .*\n)*?  by group/[^"]*"cn=lock,[^"]*") =zrscd'
    former, count = re.subn(right, r"\1 read", text)
    assert count == 3
    settings.write_text(former, encoding="utf-8")
    staff.sandbox.start()
    ran = staff.run("nightly", "-o", "json")
    assert ran.code == 0, ran.err
    assert "under the policy of activation passwords: " in ran.err
    assert staff.entry(CLAIRE)["pwdPolicySubentry"] == [CODES]
    checks = {finding["id"]: finding for finding in staff.run("doctor", "-o", "json").json}
    assert "nightly cannot remove the policy of activation passwords" in checks["D23"]["found"]
    assert staff.run("journal", "verify").code == 0


# ---- reset


def test_reset_with_the_right_numen_gives_an_activation_password(staff: Academy) -> None:
    ran, passwords = reset(staff, " 01e95 01234 abc ")
    assert ran.code == 0, ran.err
    assert lets_in(staff, CLAIRE, passwords[CLAIRE])
    assert attempts(staff).keys() == {"cn=operations"}, "a right answer leaves no count"


def test_a_numen_asked_for_at_a_terminal_is_not_shown(staff: Academy) -> None:
    code, screen = at_terminal(staff, "password", "reset", CLAIRE, answers={"NUMEN of": NUMEN, "[y/N]": "y"})
    assert code == 0, screen
    assert NUMEN not in screen
    (shown,) = CODE.findall(screen)
    assert lets_in(staff, CLAIRE, shown)


def test_a_proof_is_checked_before_the_question(staff: Academy) -> None:
    """A wrong one leads to no question, and counts once; after a right one the answer no writes nothing."""
    question = "[y/N]"
    for verb in ("activate", "reset"):
        if verb == "reset":
            staff.change(CLAIRE, userPassword=[OWN])
        with staff.nothing_written():
            code, screen = at_terminal(staff, "password", verb, CLAIRE, answers={"NUMEN of": OTHER})
            assert (code, question in screen) == (1, False), screen
            assert "4 tries are left" in screen
            code, screen = at_terminal(
                staff, "password", verb, CLAIRE, answers={"NUMEN of": NUMEN, question: "n"}
            )
            assert code == 12, screen
            assert screen.count("Claire Dubreuil, ENS at 0800009A (Lycée Louis Thuillier)") >= 2
        assert not any("last" in count for count in attempts(staff).values()), "a right answer ends the count"


def test_wrong_numens_are_counted_and_delay_the_next_attempt(staff: Academy) -> None:
    with staff.nothing_written():
        for remaining in (4, 3, 2, 1, 0):
            ran, passwords = reset(staff, OTHER)
            assert (ran.code, passwords) == (1, {})
            assert (f"{remaining} tr" in ran.err) if remaining else ("has to wait until " in ran.err), ran.err
        ran, _ = reset(staff, NUMEN)
        assert ran.code == 4, "the right one has to wait too"
        assert "can be made at" in ran.err
    journal = (staff.sandbox.folder / "journal" / "piactl.jsonl").read_text(encoding="utf-8")
    assert journal.count(f"{CLAIRE}: an identity check was wrong") == 5
    counts = attempts(staff)
    assert {str(count.get("failures")) for count in counts.values() if "last" in count} == {"5"}
    assert not any(CLAIRE in name for name in counts)
    ran, _ = reset(staff, "no numen")
    assert ran.code == 2, "a slip of the keyboard is not counted"
    assert attempts(staff) == counts
    (record,) = [name for name, count in counts.items() if "last" in count]
    past = {"failures": 5, "last": (datetime.now(UTC) - timedelta(seconds=61)).isoformat()}
    with staff.sandbox.root() as root:
        dn = f"{record},ou=attempts,{staff.sandbox.state}"
        root.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(past)])]})
    ran, passwords = reset(staff, NUMEN)
    assert ran.code == 0, ran.err
    assert lets_in(staff, CLAIRE, passwords[CLAIRE])
    assert not any("last" in count for count in attempts(staff).values())


def test_simultaneous_attempts_do_not_exceed_the_limit(staff: Academy) -> None:
    configuration = open_configuration(staff.sandbox.config)
    now = datetime.now(UTC)

    def attempt(number: int) -> bool:
        with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
            checks = identity_checks(configuration, writer)
            try:
                begin_attempt(checks, CLAIRE, now + timedelta(microseconds=number), ProofKind.NUMEN)
            except TooManyAttempts:
                return False
            return True

    # read once, before the threads
    assert configuration.policy is not None
    assert configuration.keys is not None
    with ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(attempt, range(12)))
    assert allowed.count(True) == 5
    counts = attempts(staff)
    assert [count["failures"] for count in counts.values() if "last" in count] == [5]
    assert len(counts["cn=all"]["failures"]) == 5  # type: ignore[arg-type]


def test_failures_per_hour_limits_attempts_on_all_accounts(staff: Academy) -> None:
    staff.edit("piactl.yaml", "password:\n", "password:\n  failures_per_hour: 5\n")
    configuration = open_configuration(staff.sandbox.config)
    now = datetime.now(UTC)
    with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
        checks = identity_checks(configuration, writer)
        for number in range(4):
            begin_attempt(checks, f"somebody{number}", now, ProofKind.NUMEN)
        begin_attempt(checks, "right", now, ProofKind.NUMEN).right()
        begin_attempt(checks, "somebody5", now, ProofKind.NUMEN)
        before = attempts(staff)
        with pytest.raises(TooManyAttempts, match="of all accounts"):
            begin_attempt(checks, CLAIRE, now + timedelta(minutes=59), ProofKind.NUMEN)
        assert attempts(staff) == before, "who is refused is not counted"
        begin_attempt(checks, CLAIRE, now + timedelta(minutes=61), ProofKind.NUMEN).right()


def test_a_numen_is_checked_with_an_older_key(staff: Academy) -> None:
    keys = staff.sandbox.folder / "secrets" / "keys"
    keys.write_text(f"k2 {os.urandom(32).hex()}\n{keys.read_text()}", encoding="ascii")
    ran, passwords = reset(staff, NUMEN)
    assert ran.code == 0, ran.err
    assert lets_in(staff, CLAIRE, passwords[CLAIRE])


def test_reset_without_a_numen_needs_without_check_and_a_reason(staff: Academy) -> None:
    with staff.nothing_written():
        ran, _ = reset(staff, NUMEN, uid=IDA)
        assert ran.code == 1
        assert "--without-check" in ran.err
        assert (
            staff.run("password", "reset", IDA, "--without-check", "--out", staff.folder / "x.csv").code == 2
        )
    path = staff.folder / "ida.csv"
    ran = staff.run("password", "reset", IDA, "--without-check", "--reason", "vue en personne", "--out", path)
    assert ran.code == 0, ran.err
    assert lets_in(staff, IDA, passwords_in(path)[IDA])


def test_reset_needs_a_one_time_code_if_a_device_is_in_force(staff: Academy) -> None:
    uri = staff.folder / "uri"
    assert staff.run("otp", "enroll", CLAIRE, "--uri-file", uri).code == 0
    device = pyotp.parse_uri(uri.read_text(encoding="utf-8").strip())
    assert isinstance(device, pyotp.TOTP)
    start = datetime.now(UTC)
    digits = [device.at(start + timedelta(seconds=30 * step)) for step in range(4)]
    proved = f"{NUMEN}\n{digits[0]}\n"
    assert staff.run("otp", "verify", CLAIRE, "--proof-file", "-", stdin=proved).code == 0
    used, wrong = digits[0], f"{(int(digits[1]) + 1) % 1_000_000:06}"
    messages = set()
    with staff.nothing_written():
        for numen, code in ((NUMEN, wrong), (OTHER, wrong), (NUMEN, used), (NUMEN, "abc")):
            ran, passwords = reset(staff, f"{numen}\n{code}", "--one-time-code-file", "-")
            assert (ran.code, passwords) == (1, {})
            messages.add(re.sub("[0-9] tr(y is|ies are)", "N", ran.err))
        assert reset(staff, NUMEN)[0].code == 2, "the code was not given"
    assert len(messages) == 1, f"which was wrong is not said: {messages}"
    ran, _ = reset(staff, f"{OTHER}\n{digits[1]}", "--one-time-code-file", "-")
    assert (ran.code, "has to wait" in ran.err) == (1, True)
    assert re.sub(".*; ", "", ran.err) not in messages
    for dn in attempts(staff):
        with staff.sandbox.root() as root:
            root.delete(f"{dn},ou=attempts,{staff.sandbox.state}")
    ran, passwords = reset(staff, f"{NUMEN}\n{digits[2]}", "--one-time-code-file", "-")
    assert ran.code == 0, ran.err
    assert not lets_in(staff, CLAIRE, passwords[CLAIRE]), "the device is asked for as before"
    assert lets_in(staff, CLAIRE, passwords[CLAIRE] + digits[3])
    assert "one-time code" in ran.out
    journal = staff.run("journal", "show", "-o", "json").json
    assert [change["kinds"] for change in journal][-2:] == [["otp-code"], ["password"]], journal[-2:]
    assert staff.run("journal", "verify").code == 0


def test_a_numen_file_that_others_may_read_is_refused(staff: Academy) -> None:
    path, exposed = staff.folder / "x.csv", staff.folder / "numen"
    exposed.write_text(NUMEN, encoding="ascii")
    exposed.chmod(0o644)
    with staff.nothing_written():
        ran = staff.run("password", "reset", CLAIRE, "--numen-file", exposed, "--out", path)
    assert (ran.code, "0644" in ran.err, path.exists()) == (10, True, False), ran.err


# ---- unblock


def test_a_block_by_wrong_passwords_is_taken_away(staff: Academy) -> None:
    staff.change(CLAIRE, userPassword=[OWN], pwdReset=[])
    block(staff)
    assert not lets_in(staff, CLAIRE, OWN)
    ran = staff.run("password", "unblock", CLAIRE)
    assert ran.code == 0, ran.err
    assert "the block by wrong passwords is gone" in ran.out
    assert lets_in(staff, CLAIRE, OWN)
    with staff.nothing_written():
        again = staff.run("password", "unblock", CLAIRE, "-o", "json")
    assert (again.code, again.json[0]["outcome"]) == (0, "unchanged")
    assert f"piactl why {CLAIRE} login" in again.json[0]["message"]


def test_an_administrators_lock_stays(staff: Academy) -> None:
    staff.change(CLAIRE, userPassword=[OWN], pwdReset=[])
    block(staff)
    assert staff.run("account", "lock", CLAIRE, "--reason", "enquête").code == 0
    ran = staff.run("password", "unblock", CLAIRE)
    assert ran.code == 0
    assert "something else keeps it closed" in ran.out
    assert not lets_in(staff, CLAIRE, OWN)
    assert staff.values(CLAIRE, "pwdAccountLockedTime") == []
    assert staff.run("account", "unlock", CLAIRE, "--reason", "close").code == 0
    assert lets_in(staff, CLAIRE, OWN)


def codes_policy(staff: Academy, **values: str) -> None:
    """Changes the policy of activation passwords; "" takes a value out."""
    with staff.sandbox.root() as root:
        changes = {name: [(ldap3.MODIFY_REPLACE, [value] if value else [])] for name, value in values.items()}
        root.modify(CODES.decode(), changes)


def test_wrong_passwords_delay_an_activation_password_and_why_says_so(staff: Academy) -> None:
    codes_policy(staff, pwdMinDelay="4", pwdMaxDelay="4")
    _, passwords = given(staff, CLAIRE)
    ends = staff.values(CLAIRE, "pwdAccountLockedTime")
    for _ in range(5):
        assert not staff.sandbox.accepts(staff.dn(CLAIRE), "not it at all")
    assert "delayed by wrong passwords until" in staff.run("why", CLAIRE, "login").out
    with staff.nothing_written():
        ran = staff.run("password", "unblock", CLAIRE)
    assert (ran.code, "it is not blocked: wrong passwords delay it until " in ran.out) == (0, True), ran
    assert "unchanged" in ran.out
    assert "To say: Wait until " in ran.out
    assert lets_in(staff, CLAIRE, passwords[CLAIRE])
    assert staff.values(CLAIRE, "pwdAccountLockedTime") == ends


def test_unblock_restores_the_end_of_an_activation_password(staff: Academy) -> None:
    codes_policy(staff, pwdMaxFailure="5", pwdMinDelay="", pwdMaxDelay="")  # as an earlier piactl set it
    _, passwords = given(staff, CLAIRE)
    ends = staff.values(CLAIRE, "pwdAccountLockedTime")
    block(staff)
    assert not lets_in(staff, CLAIRE, passwords[CLAIRE])
    ran = staff.run("password", "unblock", CLAIRE)
    assert (ran.code, "it has an activation password" in ran.out) == (0, True)
    assert lets_in(staff, CLAIRE, passwords[CLAIRE])
    (again,) = staff.values(CLAIRE, "pwdAccountLockedTime")
    assert abs(int(again[:-1]) - int(ends[0][:-1])) <= 1, "counted from when it was given"
    with staff.nothing_written():
        staff.run("password", "unblock", CLAIRE)


def test_unblock_does_not_extend_an_expired_activation_password(staff: Academy) -> None:
    _, passwords = given(staff, CLAIRE)
    staff.edit("piactl.yaml", "password:\n", "password:\n  activation_hours: 1\n")
    with staff.sandbox.root() as root:
        past = f"{datetime.now(UTC) - timedelta(minutes=5):%Y%m%d%H%M%SZ}"
        old = f"{datetime.now(UTC) - timedelta(hours=2):%Y%m%d%H%M%SZ}"
        dn = staff.dn(CLAIRE)
        root.modify(dn, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [past])]})
        relax = [("1.3.6.1.4.1.4203.666.5.12", True, None)]
        root.modify(dn, {"pwdChangedTime": [(ldap3.MODIFY_REPLACE, [old])]}, controls=relax)
    with staff.nothing_written():
        ran = staff.run("password", "unblock", CLAIRE)
    assert ran.code == 1
    assert "piactl password activate" in ran.err
    assert not lets_in(staff, CLAIRE, passwords[CLAIRE])


# ---- check


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("Lampadaire-41-oranger", ""),
        ("trop court", "characters; 12 are needed"),
        ("mon nom est Dubreuil", "a name of its owner"),
        (f"x{NUMEN.lower()}y", "a NUMEN"),
    ],
)
def test_a_new_password_is_checked_and_never_shown(staff: Academy, password: str, message: str) -> None:
    ran = staff.run("password", "check", CLAIRE, stdin=f"{password}\n")
    assert ran.code == (1 if message else 0), ran.err
    assert message in ran.out
    assert password not in ran.out + ran.err
    shown = staff.run("password", "check", CLAIRE, "-o", "json", stdin=f"{password}\n")
    assert shown.json[0]["good"] is not bool(message)
    assert password not in shown.out


def test_minimum_lengths_of_directory_and_protected_accounts_apply(staff: Academy) -> None:
    with staff.sandbox.root() as root:
        root.modify(f"cn=default,{POLICIES}", {"pwdMinLength": [(ldap3.MODIFY_REPLACE, [25])]})
    ran = staff.run("password", "check", stdin="Lampadaire-41-oranger\n")
    assert (ran.code, "25 are needed" in ran.out) == (1, True)
    staff.change(CLAIRE, piactlProtected=["TRUE"])
    with staff.sandbox.root() as root:
        root.modify(f"cn=default,{POLICIES}", {"pwdMinLength": [(ldap3.MODIFY_REPLACE, [12])]})
    ran = staff.run("password", "check", CLAIRE, stdin="vache-41-pre\n")
    assert (ran.code, "16 are needed" in ran.out) == (1, True)


# ---- secrets
