"""One-time-code devices by real binds: slapd itself asks for the code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import pytest

from piactl.cli.framework.account_command import AccountCommand, Manner
from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.cli.framework.help_desk import identity_checks
from piactl.core.acts import Author
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Writer, WriteResult, write_one
from piactl.directory.open import open_writer
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import find_entry
from piactl.edits.carry_out_batch import carry_out
from piactl.errors import DirectoryRefused, PiactlError
from piactl.helpdesk.device_changes import (
    prepare_resumption,
    prepare_suspension,
    prepare_verification,
)
from piactl.helpdesk.verify_code import WrongCode, use_code
from piactl.host.private_files import write_private
from piactl.host.secret_files import identity_password
from piactl.journal import Order, who
from piactl.runs.run import CommandRun

from .academy import Academy, Ran, prepared
from .feeds import row
from .phones import KNOWN, Phone, enrolled, resync, verified, verify
from .test_logins import PASSWORD, day, post

UID = "claire.dubreuil"


@prepared
def claire(academy: Academy) -> Academy:
    """An academy with one active account that has a password."""
    first = day(-40).isoformat()
    academy.night(first, academy.feed(post(-100), day=first))
    academy.change(UID, userPassword=[PASSWORD])
    return academy


def lets_in(academy: Academy, code: str = "") -> bool:
    return academy.sandbox.accepts(academy.dn(UID), PASSWORD + code)


def devices(academy: Academy) -> dict[str, dict[str, list[bytes]]]:
    return academy.sandbox.entries(academy.sandbox.accounts, "(objectClass=oathTOTPToken)")


def shown(academy: Academy) -> Any:
    ran = academy.run("otp", "show", UID, "-o", "json")
    assert ran.code == 0, ran.err
    return ran.json[0]


def do(academy: Academy, *words: str) -> None:
    ran = academy.run("otp", *words, "--reason", "asked for on the telephone")
    assert ran.code == 0, ran.err


def test_a_verified_device_makes_log_in_need_password_and_code(claire: Academy) -> None:
    phone = enrolled(claire, UID)
    assert lets_in(claire), "an unverified device changes nothing"
    assert verify(claire, UID, phone.code(), *KNOWN).code == 0
    assert not lets_in(claire)
    code = phone.code()
    assert lets_in(claire, code)
    assert not lets_in(claire, code), "a code is good once"
    assert not lets_in(claire, "000000")
    assert claire.values(UID, "objectClass").count("oathTOTPUser") == 1
    view = shown(claire)
    assert view["login"] == "password and code"
    assert [device["use"] for device in view["devices"]] == ["in force"]


def test_the_code_that_verified_does_not_log_in(claire: Academy) -> None:
    phone = enrolled(claire, UID)
    code = phone.code()
    assert verify(claire, UID, code, *KNOWN).code == 0
    assert not lets_in(claire, code)
    again = verify(claire, UID, code, *KNOWN)
    assert again.code == 1
    assert "no new device waits" in again.err


def test_an_older_device_stays_until_the_new_one_is_verified(claire: Academy) -> None:
    old = verified(claire, UID)
    abandoned = enrolled(claire, UID)
    new = enrolled(claire, UID)
    assert len(devices(claire)) == 2, "an abandoned one is replaced"
    assert lets_in(claire, old.code())
    assert not lets_in(claire, new.code())
    assert verify(claire, UID, abandoned.code(), *KNOWN).code == 1
    assert lets_in(claire, old.code())
    assert verify(claire, UID, new.code(), *KNOWN).code == 0
    assert not lets_in(claire, old.code())
    assert lets_in(claire, new.code())
    assert len(devices(claire)) == 1
    assert not lets_in(claire)


def test_a_lost_device_is_refused_and_can_be_replaced(claire: Academy) -> None:
    lost = verified(claire, UID)
    do(claire, "suspend", UID)
    assert not lets_in(claire)
    assert not lets_in(claire, lost.code())
    assert shown(claire)["login"] == "refused"
    assert verify(claire, UID, lost.code()).code == 1, "a suspended device is given back, not verified"
    new = enrolled(claire, UID)
    assert not lets_in(claire)
    assert verify(claire, UID, new.code(), *KNOWN).code == 0
    assert lets_in(claire, new.code())
    assert not lets_in(claire)
    assert len(devices(claire)) == 1
    assert claire.run("otp", "resume", UID, "--reason", "found").code == 0
    assert lets_in(claire, new.code()), "it is in force already"


def test_removing_the_device_returns_to_the_password_alone(claire: Academy) -> None:
    phone = verified(claire, UID)
    refused = claire.run("otp", "remove", UID, "--reason", "no telephone any more")
    assert refused.code == 1
    assert "iprof (off-site)" in refused.err
    assert lets_in(claire, phone.code())
    do(claire, "remove", UID, "--password-alone", "--administrator")
    assert lets_in(claire)
    assert devices(claire) == {}
    assert "oathTOTPUser" not in claire.values(UID, "objectClass")
    assert claire.values(UID, "piactlDevice") == []
    with claire.nothing_written():
        do(claire, "remove", UID, "--password-alone", "--administrator")


def test_resync_accepts_a_device_whose_clock_is_ahead(claire: Academy) -> None:
    phone = verified(claire, UID)
    phone.ahead = 3000
    assert not lets_in(claire, phone.code())
    assert resync(claire, UID, phone).code == 0
    code = phone.code()
    assert lets_in(claire, code)
    assert not lets_in(claire, code)
    assert not lets_in(claire)
    drift = shown(claire)["devices"][0]["drift_seconds"]
    assert 3000 - 60 <= drift <= 3000 + 150
    # steps that the fast clock passed are used up: once corrected, it has to catch up
    phone.ahead, phone.shown = 0, 0
    back = resync(claire, UID, phone)
    assert back.code == 1
    assert "are used up. piactl: Wait until then" in " ".join(back.err.split())


def test_resync_accepts_an_unverified_device_whose_clock_is_behind(claire: Academy) -> None:
    phone = enrolled(claire, UID, ahead=-3600)
    wrong = verify(claire, UID, phone.code(), *KNOWN)
    assert wrong.code == 1
    assert "otp resync" in wrong.err
    assert resync(claire, UID, phone).code == 0
    assert lets_in(claire), "resynchronised is not verified"
    assert verify(claire, UID, phone.code(), *KNOWN).code == 0
    assert lets_in(claire, phone.code())
    assert not lets_in(claire)
    assert "behind" in claire.run("otp", "show", UID).out


@pytest.mark.parametrize("ahead", [2 * 3600 + 300, -2 * 3600 - 300])
def test_resync_refuses_a_clock_that_is_too_wrong(claire: Academy, ahead: int) -> None:
    phone = enrolled(claire, UID, ahead=ahead)
    before = devices(claire)
    ran = resync(claire, UID, phone)
    assert ran.code == 1
    assert "more than 120 minutes" in ran.err
    assert devices(claire) == before


def test_two_codes_must_follow_each_other(claire: Academy) -> None:
    phone = verified(claire, UID)
    first, _, third = phone.code(), phone.code(), phone.code()
    ran = claire.run("otp", "resync", UID, stdin=f"{first}\n{third}\n")
    assert ran.code == 1
    assert claire.run("otp", "resync", UID, stdin=f"{first}\n{first}\n").code == 1
    assert lets_in(claire, first), "what was refused is not used up"


@pytest.mark.parametrize("jump", [False, True])
def test_no_secret_outlives_the_person(claire: Academy, jump: bool) -> None:
    verified(claire, UID)
    enrolled(claire, UID)
    assert len(devices(claire)) == 2
    first, last = day(-40 if jump else -5).isoformat(), day(95).isoformat()
    claire.night(first, claire.feed(post(-100, -39), day=first))
    eve = day(94).isoformat()
    claire.night(eve, claire.feed(post(-100, -39), day=eve))
    assert len(devices(claire)) == 2
    feed = claire.feed(post(-100, -39), day=last)
    plan = claire.plan(feed, "--as-of", last)
    assert [change["kind"] for change in plan["changes"]] == ["archive"]
    claire.twice(last, feed)
    assert claire.values(UID, "piactlState") == ["archived"]
    assert devices(claire) == {}
    assert claire.values(UID, "piactlDevice") == []
    assert claire.values(UID, "oathTOTPToken") == [f"cn=suspended,{claire.dn(UID)}"]
    gone = claire.run("otp", "enroll", UID, "--uri-file", claire.folder / "late.uri")
    assert gone.code == 1
    assert not (claire.folder / "late.uri").exists()


def test_an_account_whose_device_cannot_be_deleted_is_not_archived(claire: Academy) -> None:
    """A device changes between the plan and its apply: an archived account would leave the device behind."""
    verified(claire, UID)
    claire.edit("policy.yaml", "retention: 30", "retention: 5")
    first, eve, last = (day(offset).isoformat() for offset in (-40, -1, 0))
    for night in (first, eve):
        claire.night(night, claire.feed(post(-100, -39), day=night))
    feed = claire.feed(post(-100, -39), row(matricule="1999", prenom="Ida", nom_famille="Roy"), day=last)
    file = claire.folder / "plan.json"
    assert claire.run("plan", feed, "--as-of", last, "--out", file).code == 0
    do(claire, "suspend", UID)
    ran = claire.run("apply", file)
    assert ran.code == 5
    assert claire.values(UID, "piactlState") == ["deactivated"]
    assert claire.names()["1999"] == "ida.roy"
    assert len(devices(claire)) == 1
    # a failed archival is noted anew
    claire.twice(last, feed)
    claire.night(day(1).isoformat())
    assert claire.values(UID, "piactlState") == ["archived"]
    assert devices(claire) == {}


def test_with_codes_at_a_portal_devices_are_not_linked(claire: Academy) -> None:
    claire.edit("policy.yaml", "otp: {enforced_by: directory}", "otp: {enforced_by: portal, issuer: Amiens}")
    phone = enrolled(claire, UID)
    assert verify(claire, UID, phone.code(), *KNOWN).code == 0
    assert claire.values(UID, "oathTOTPToken") == []
    [name] = claire.values(UID, "piactlDevice")
    assert [dn.split(",")[0] for dn in devices(claire)] == [f"cn={name}"]
    assert lets_in(claire)
    assert not lets_in(claire, phone.code())
    do(claire, "suspend", UID)
    assert claire.values(UID, "piactlDevice") == ["suspended"]
    assert lets_in(claire)


def test_otp_check_verifies_codes_for_a_portal(claire: Academy) -> None:
    def check(code: str, *options: str) -> Ran:
        return claire.run("otp", "check", UID, *options, stdin=code + "\n")

    claire.edit("policy.yaml", "otp: {enforced_by: directory}", "otp: {enforced_by: portal, issuer: Amiens}")
    none = check("123456")
    assert (none.code, "no device is in force" in none.err) == (1, True)
    phone = enrolled(claire, UID)
    file = claire.folder / "code"
    write_private(file, phone.code().encode())
    assert claire.run("otp", "verify", UID, *KNOWN, "--code-file", file).code == 0
    again = check("", "--code-file", str(file))
    assert (again.code, "used before" in again.err) == (1, True), again
    good = phone.code()
    assert [check("no code").code, check("000000").code] == [1, 1]
    right = check(good)
    assert (right.code, right.out) == (0, f"{UID}: the code is good, and used up\n"), right
    assert check(good).code == 1, "good once"
    codes = [check("000000").code for _ in range(4)]
    waits = check(phone.code())
    assert (codes, waits.code, "can be made at" in waits.err) == ([1] * 4, 4, True), waits
    journal = (claire.sandbox.folder / "journal" / "piactl.jsonl").read_text()
    assert journal.count(f"{UID}: an identity check was wrong") == 7
    assert good not in journal
    assert claire.run("journal", "verify").code == 0
    do(claire, "suspend", UID)
    assert "suspended" in check(phone.code()).err
    claire.run("account", "lock", UID, "--reason", "x")
    assert "locked" in check(phone.code()).err


def test_protected_accounts_are_out_of_the_desks_reach(claire: Academy) -> None:
    claire.change(UID, piactlProtected=["TRUE"])
    phone = verified(claire, UID, *KNOWN)
    assert not lets_in(claire)
    assert lets_in(claire, phone.code())
    last = phone.shown
    file = claire.folder / "desk.uri"
    with claire.nothing_written():
        for words in (
            ("enroll", UID, "--uri-file", file),
            ("suspend", UID, "--reason", "lost"),
            ("resume", UID, "--reason", "found"),
            ("remove", UID, "--password-alone", "--reason", "gone"),
            ("verify", UID),
            ("resync", UID),
        ):
            ran = claire.run("otp", *words, stdin=f"{phone.code()}\n{phone.code()}\n")
            assert (ran.code, "--administrator" in ran.err) == (1, True), ran.err
    assert not file.exists()
    assert lets_in(claire, phone.at(last + 1))


def test_the_server_itself_keeps_the_desk_from_protected_accounts(claire: Academy) -> None:
    """Whatever the command assumes, the server refuses."""
    phone = verified(claire, UID)
    configuration, _ = configuration_and_entry(claire)
    with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
        store = configuration.accounts(writer)
        made = prepare_suspension(store, [UID], Author("t", "t"), now(), "desk")
        claire.change(UID, piactlProtected=["TRUE"])
        [row_] = made.writes
        with pytest.raises(DirectoryRefused):
            list(writer.write([row_]))
        with pytest.raises(DirectoryRefused):
            list(writer.write([made.accounts[0].writes[1]]))
        entry = find_entry(store, UID)
        with pytest.raises(PiactlError, match="cannot be checked"):
            use(configuration, writer, entry, phone.code())


def test_guessing_is_slowed_down(claire: Academy) -> None:
    phone = enrolled(claire, UID)
    good = phone.code()
    wrong = [code for code in ("111111", "222222", "333333", "444444", "555555", "666666") if code != good]
    codes = [verify(claire, UID, code, *KNOWN).code for code in wrong[:5]]
    assert codes == [1] * 5
    late = verify(claire, UID, good, *KNOWN)
    assert late.code == 4
    assert "can be made at" in late.err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_journal_disk_uses_no_code_up(claire: Academy) -> None:
    code = enrolled(claire, UID).code()
    journal, copy = claire.sandbox.folder / "journal", claire.folder / "copy"
    script = f"""
        cp -a {journal} {copy}; mount -t tmpfs -o size=1m,mode=700 tmpfs {journal} || exit 77
        cp -a {copy}/. {journal}/; rm -r {copy}
        head -c 2000000 /dev/zero > {journal}/full 2>/dev/null
        truncate -s -$PAGES {journal}/full; exec "$@" """
    for pages in range(0, 9000, 4096):
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
            + claire.words("otp", "verify", UID, *KNOWN),
            env={**claire.environment(), "PAGES": str(pages)},
            input=f"{code}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == 77:
            pytest.skip(done.stderr)
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True), done
    assert verify(claire, UID, code, *KNOWN).code == 0, "it was not used up"


# ---- what happens at the same time, and in a crash


def configuration_and_entry(academy: Academy) -> tuple[Configuration, Entry]:
    configuration = open_configuration(academy.sandbox.config)
    with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
        return configuration, find_entry(configuration.accounts(writer), UID)


def use(configuration: Configuration, writer: Writer, entry: Entry, code: str) -> str:
    """Why the code is not good; "" for a good one, which is used up."""
    keys, unreadable = configuration.keys, configuration.unreadable
    try:
        make = lambda write: write_one(writer, write).outcome  # noqa: E731
        use_code(writer, keys, unreadable, entry, code, datetime.now(UTC), make)
    except WrongCode as wrong:
        return str(wrong)
    return ""


def test_a_code_used_by_eight_threads_at_once_is_good_once(claire: Academy) -> None:
    phone = verified(claire, UID)
    configuration, entry = configuration_and_entry(claire)
    # read once, before the threads
    assert configuration.encoding
    assert configuration.keys
    for _ in range(3):
        code, outcomes, barrier = phone.code(), [], Barrier(8)

        def race(code: str = code, outcomes: list[str] = outcomes, barrier: Barrier = barrier) -> None:
            with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
                barrier.wait()
                outcomes.append(use(configuration, writer, entry, code))

        threads = [Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert len(outcomes) == 8
        assert sorted("was used" in why for why in outcomes) == [False] + [True] * 7
        assert outcomes.count("") == 1


@pytest.mark.long
def test_150_concurrent_guesses_block_the_account(claire: Academy) -> None:
    """slapd counts failures after its check, so it checks 150 guesses although it should allow only five; it
    does not check later ones."""
    phone = verified(claire, UID)
    right, dn = phone.code(), claire.dn(UID)
    near = {phone.at(phone.step + ahead) for ahead in range(-2, 4)}
    wrong = [code for code in map("{:06}".format, range(160)) if code not in near][:149]
    barrier = Barrier(150)

    def bind(code: str) -> bool:
        barrier.wait()
        return claire.sandbox.accepts(dn, PASSWORD + code)

    with ThreadPoolExecutor(150) as pool:
        let_in = list(pool.map(bind, [*wrong[:75], right, *wrong[75:]]))
    assert not any(let_in[:75] + let_in[76:])
    assert claire.values(UID, "pwdAccountLockedTime") != []
    assert not claire.sandbox.accepts(dn, PASSWORD + right), "blocked, and used up if it passed"


def test_a_code_checked_by_piactl_is_used_up_for_slapd_too(claire: Academy) -> None:
    def tried(code: str) -> str:
        configuration, entry = configuration_and_entry(claire)
        with open_writer(configuration.settings.directory, "desk", identity_password) as writer:
            return use(configuration, writer, entry, code)

    phone = verified(claire, UID)
    code = phone.code()
    assert "not a code" in tried("12 34")
    assert tried(f" {code[:3]} {code[3:]}") == ""
    assert "was used before" in tried(code)
    assert not lets_in(claire, code), "used up for slapd too"
    assert lets_in(claire, phone.code())
    do(claire, "suspend", UID)
    assert "its device is suspended" in tried(phone.code())


class Dying:
    """A writer whose process dies after `writes_left` writes of devices and accounts."""

    def __init__(self, writer: Any, writes_left: int) -> None:
        self._writer, self.left = writer, writes_left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, writes: Sequence[Write]) -> Iterator[WriteResult]:
        for write in writes:
            if "ou=attempts" not in write.dn:
                if not self.left:
                    raise PiactlError("died")
                self.left -= 1
            yield from self._writer.write([write])


def order() -> Order:
    now = datetime.now(UTC)
    return Order(f"{now:%Y%m%dT%H%M%S}-{now.microsecond:06}", day(0), day(0), False, ("piactl",), who(), "")


def now() -> datetime:
    return datetime.now(UTC)


def begun(academy: Academy, action: str, before: str) -> Phone:
    """Gives the account the device that the command needs; returns the telephone that it concerns."""
    phone = verified(academy, UID) if before != "none" else None
    if before == "suspended":
        do(academy, "suspend", UID)
    return enrolled(academy, UID) if action == "verify" or phone is None else phone


@pytest.mark.parametrize(
    ("action", "before", "writes_left"),
    [
        *(("verify", "none", writes_left) for writes_left in range(2)),
        *(
            ("verify", before, writes_left)
            for before in ("verified", "suspended")
            for writes_left in range(3)
        ),
        *(("suspend", "verified", writes_left) for writes_left in range(2)),
        *(("resume", "suspended", writes_left) for writes_left in range(2)),
    ],
)
def test_a_device_command_that_crashed_midway_can_be_repeated(
    claire: Academy, action: str, before: str, writes_left: int
) -> None:
    phone = begun(claire, action, before)
    configuration = open_configuration(claire.sandbox.config)
    author = Author("t", "a test")
    with open_writer(configuration.settings.directory, "desk", identity_password) as real:
        dying: Any = Dying(real, writes_left)
        store, unreadable = configuration.accounts(dying), configuration.unreadable
        made = {
            "verify": lambda: prepare_verification(
                store,
                identity_checks(configuration, dying),
                UID,
                lambda _: phone.code(),
                lambda _: None,
                AccountCommand(configuration, Manner(""), order(), author).operation_guard(),
                author,
                now,
                "desk",
            ),
            "suspend": lambda: prepare_suspension(store, [UID], author, now(), "desk"),
            "resume": lambda: prepare_resumption(
                store, [UID], configuration.settings.password, lambda _: None, author, "desk"
            ),
        }[action]()
        assert made.accounts[0].error is None
        command = CommandRun(
            order(),
            configuration.settings,
            configuration.keys,
            unreadable,
            now,
            lambda _: None,
            recorded=False,
        )
        with pytest.raises(PiactlError, match="died"):
            raise carry_out(dying, made, command, lambda: "").error or AssertionError("it did not die")
    if before != "none":
        assert not lets_in(claire), "the password alone"
    # repeating the command completes it, and a used code is refused
    if action == "verify":
        code = phone.code()
        again = verify(claire, UID, code, *KNOWN)
        assert again.code == (1 if writes_left == 2 else 0), again.err
        assert ("in force already" in again.err) is (writes_left == 2)
    else:
        do(claire, action, UID, "--administrator")
    unused = code if action == "verify" and writes_left == 2 else phone.code()
    assert lets_in(claire, unused) is (action != "suspend")
    assert not lets_in(claire)
    enrolled(claire, UID)
    assert len(devices(claire)) == 2, "what was left over goes"
