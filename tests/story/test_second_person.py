"""Somebody cannot prove who they are: one operator requests an activation password or another device, and a
second one approves it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import ldap3
import pytest

from piactl.clock import utc_now
from piactl.host.caller import Caller
from piactl.journal import origin_of_run as journal_actor
from piactl.journal import who
from tests.cli.test_password import CLAIRE, IDA, LEA, lets_in, passwords_in, staff
from tests.directory.test_acl_matrix import hold_lock

from .academy import Academy, Ran
from .feeds import THUILLIER
from .phones import Phone, enrolled, verified
from .test_find import with_a_telephone
from .test_logins import PASSWORD

__all__ = ["staff"]

WHY = ("--reason", "came with an identity card, knows no NUMEN")
LATER = timedelta(hours=8, minutes=1)


@pytest.fixture
def people(staff: Academy, monkeypatch: pytest.MonkeyPatch) -> Academy:
    """Anne is logged in; Claire has chosen a password and has a device, Ida has no NUMEN."""
    for uid in (CLAIRE, IDA):
        staff.change(uid, userPassword=[PASSWORD])
    log_in(monkeypatch, "anne")
    return staff


def log_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Sets who the operator is for the kernel."""
    monkeypatch.setattr(journal_actor, "login_record", lambda: name)


def requested(academy: Academy, *words: str, code: int = 0) -> str:
    """The name of the request that a command makes; "" if it makes none."""
    ran = academy.run(*words, "--second-person", *WHY, *(("--yes",) if words[0] == "password" else ()))
    assert ran.code == code, ran
    match = re.search(r"approve (\S+)", ran.out)
    return match[1] if match and not code else ""


def approved(academy: Academy, request: str) -> tuple[Ran, dict[str, str]]:
    path = academy.folder / f"approved-{len(academy.said)}.csv"
    ran = academy.run("password", "approve", request, "--out", path, "--yes")
    return ran, passwords_in(path) if path.exists() else {}


def records(academy: Academy) -> dict[str, Any]:
    entries = academy.sandbox.entries(f"ou=requests,{academy.sandbox.state}", "(objectClass=piactlRecord)")
    return {dn: json.loads(entry["piactlData"][0]) for dn, entry in entries.items()}


def journal(academy: Academy) -> list[dict[str, Any]]:
    path = academy.sandbox.folder / "journal" / "piactl.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> Iterator[None]:
    """Inside, the clock of the commands is ahead."""
    with monkeypatch.context() as patch:
        for module in ("commands.approve", "framework.help_desk"):
            patch.setattr(f"piactl.cli.{module}.utc_now", lambda: utc_now() + ahead)
        yield


def test_one_requests_and_another_approves(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    with people.nothing_written():
        request = requested(people, "password", "reset", IDA)
        assert "To say: A colleague has to confirm this" in people.said[-2], "for the caller"
        (record,) = records(people).values()
        assert (record["account"], record["by"]) == (IDA, "anne")
        shown = people.run("password", "requests", "-o", "json").json
        assert [(row["request"], row["account"], row["kind"], row["by"]) for row in shown] == [
            (request, IDA, "password", "anne")
        ]
        # people read it in the time zone of the policy, in which the deadline was said
        local = [
            f"{datetime.fromisoformat(shown[0][name]).astimezone(ZoneInfo('Europe/Paris')):%Y-%m-%d %H:%M}"
            for name in ("at", "until")
        ]
        table = people.run("password", "requests", "-o", "table").out
        assert all(time in table for time in local), table
        # the same operator, one whom neither the kernel nor sudo knows, and one who names no request
        ran, _ = approved(people, request)
        assert (ran.code, "anne requested it" in ran.err) == (1, True), ran
        log_in(monkeypatch, "")
        ran, _ = approved(people, request)
        assert (ran.code, "neither the kernel nor sudo" in ran.err) == (1, True), ran
        assert requested(people, "password", "reset", IDA, code=1) == ""
        log_in(monkeypatch, "bruno")
        ran, _ = approved(people, "hhhh-hhhh")
        assert (ran.code, "there is no such request" in ran.err) == (9, True), ran
        ran = people.run("otp", "approve", request)
        assert (ran.code, f"piactl password approve {request}" in ran.err) == (1, True), ran
        assert people.run("password", "approve", request, "--dry-run").code == 0
    ran, passwords = approved(people, request)
    assert ran.code == 0, ran
    assert lets_in(people, IDA, passwords[IDA])
    assert not lets_in(people, IDA, PASSWORD)
    (line,) = [journal_line for journal_line in journal(people) if journal_line.get("kinds") == ["password"]]
    (run,) = [
        journal_line
        for journal_line in journal(people)
        if journal_line["type"] == "run" and journal_line["run"] == line["run"]
    ]
    assert run["login"] == "bruno"
    assert "requested by anne" in line["reason"]
    assert passwords[IDA] not in json.dumps(journal(people))
    # only once
    with people.nothing_written():
        ran, _ = approved(people, request)
        assert (ran.code, "approved by bruno" in ran.err) == (1, True), ran
    assert people.run("password", "requests", "-o", "json").json == []
    assert people.run("journal", "verify").code == 0
    document = people.run("account", "export", IDA, "-o", "json").json
    (exported_request,) = document["requests"]
    assert (
        exported_request["by"],
        exported_request["ended"]["by"],
        exported_request["ended"]["outcome"],
    ) == ("anne", "bruno", "approved")


def test_the_second_operator_is_told_whom_to_call_back(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = requested(people, "password", "reset", IDA)
    log_in(monkeypatch, "bruno")
    approve = ("password", "approve", request, "--out", people.folder / "out.csv", "--dry-run")
    said = people.run(*approve).err
    assert f"Call the school back (piactl establishment list {THUILLIER}), and speak to Ida " in said
    with_a_telephone(people, "03 53 01 02 03")
    assert "Call the school back, 03 53 01 02 03 (Lycée Louis Thuillier), and speak to Ida " in (
        people.run(*approve).err
    )


def test_requests_that_need_no_second_person_are_refused(people: Academy) -> None:
    with people.nothing_written():
        for words in (
            ("password", "reset", CLAIRE, "--administrator"),
            ("password", "reset", CLAIRE, "--without-check"),
            ("password", "reset", CLAIRE, IDA),
            ("otp", "verify", CLAIRE, "--administrator"),
        ):
            assert requested(people, *words, code=2) == "", words
        ran = people.run("password", "reset", CLAIRE, "--second-person")
        assert (ran.code, "needs a reason" in ran.err) == (2, True), ran
        assert requested(people, "otp", "verify", CLAIRE, code=1) == ""  # no device waits
    assert people.run("account", "lock", CLAIRE, "--reason", "x", "--yes").code == 0
    assert requested(people, "password", "reset", CLAIRE, code=1) == ""
    assert records(people) == {}


def test_replacing_a_device_is_approved_by_another_operator(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = verified(people, CLAIRE)
    enrolled(people, CLAIRE)
    replaced = requested(people, "otp", "verify", CLAIRE)
    new = enrolled(people, CLAIRE)
    request = requested(people, "otp", "verify", CLAIRE)
    first = enrolled(people, IDA)
    request_of_ida = requested(people, "otp", "verify", IDA)
    log_in(monkeypatch, "bruno")

    def approve(name: str, code: str, *words: str) -> Ran:
        return people.run("otp", "approve", name, *words, stdin=f"{code}\n")

    with people.nothing_written():
        ran = approve(replaced, new.code())
        assert (ran.code, "another device was enrolled since" in ran.err) == (1, True), ran
        new = Phone(new.secret)
        ran, _ = approved(people, request)
        assert (ran.code, f"piactl otp approve {request}" in ran.err) == (1, True), ran
        assert approve(request, "000000").code == 1
    ran = approve(request, new.code())
    assert ran.code == 0, ran
    assert not lets_in(people, CLAIRE, PASSWORD + old.code())
    assert lets_in(people, CLAIRE, PASSWORD + new.code())
    assert approve(request, new.code()).code == 1
    assert approve(request_of_ida, first.code()).code == 0, "she had none"
    assert any("requested by anne" in line.get("reason", "") for line in journal(people))


def test_a_request_is_over_after_eight_hours_or_when_it_is_withdrawn(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (requested(people, "password", "reset", uid) for uid in (CLAIRE, IDA))
    log_in(monkeypatch, "bruno")
    with people.nothing_written():
        with at(monkeypatch, LATER):
            ran, _ = approved(people, first)
            assert (ran.code, "is over since" in ran.err) == (1, True), ran
            assert people.run("password", "requests", "-o", "json").json == []
        ran = people.run("password", "requests", "--withdraw", second, "--reason", "she left", "--yes")
        assert ran.code == 0, ran
        ran, _ = approved(people, second)
        assert (ran.code, "withdrawn by bruno" in ran.err) == (1, True), ran
        assert people.run("password", "requests", "--withdraw", second, *WHY).code == 1
        assert people.run("password", "requests", "--withdraw", "x").code == 2  # no reason
    # a night removes expired requests with their ends
    with at(monkeypatch, -LATER / 2):
        requested(people, "password", "reset", IDA)
        withdrawn = requested(people, "password", "reset", IDA)
        people.run("password", "requests", "--withdraw", withdrawn, "--reason", "twice", "--yes")
    with at(monkeypatch, -LATER):
        requested(people, "password", "reset", IDA)
    assert len(records(people)) == 7
    assert people.run("nightly").code == 0
    assert len(records(people)) == 6
    monkeypatch.setattr("piactl.helpdesk.second_person.HOURS", LATER / 3)
    assert people.run("nightly").code == 0
    assert len(records(people)) == 3


def test_a_compromised_account_needs_new_requests_and_devices(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = enrolled(people, CLAIRE)
    requests = [requested(people, "password", "reset", uid) for uid in (IDA, CLAIRE)]
    device = requested(people, "otp", "verify", CLAIRE)
    other = requested(people, "password", "reset", LEA)
    for words in (("lock", IDA, CLAIRE, "--compromised"), ("unlock", IDA, CLAIRE)):
        assert people.run("account", *words, "--reason", "stolen", "--yes").code == 0
    (shown,) = people.run("otp", "show", CLAIRE, "-o", "json").json
    assert shown["devices"] == []
    left = people.run("password", "requests", "-o", "json").json
    assert [row["request"] for row in left] == [other]
    log_in(monkeypatch, "bruno")
    with people.nothing_written():
        for request in requests:
            ran, passwords = approved(people, request)
            assert (ran.code, "withdrawn by" in ran.err, passwords) == (1, True, {}), ran
        ran = people.run("otp", "approve", device, stdin=f"{phone.code()}\n")
        assert (ran.code, "withdrawn by" in ran.err) == (1, True), ran
    log_in(monkeypatch, "anne")
    again = requested(people, "password", "reset", IDA)
    log_in(monkeypatch, "bruno")
    ran, passwords = approved(people, again)
    assert ran.code == 0, ran
    assert lets_in(people, IDA, passwords[IDA])


def test_two_approvals_at_once(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    from piactl.cli.framework.configuration import open_configuration
    from piactl.clock import utc_now
    from piactl.core.acts import ActRefused
    from piactl.directory.open import open_writer
    from piactl.helpdesk.second_person import PASSWORD as KIND
    from piactl.helpdesk.second_person import Requests
    from piactl.host.secret_files import identity_password

    request = requested(people, "password", "reset", IDA)
    configuration = open_configuration(people.sandbox.config)
    directory = configuration.settings.directory

    def take(operator: str) -> str:
        with open_writer(directory, "desk", identity_password) as writer:
            requests = Requests(writer, directory.state, configuration.keys, configuration.unreadable, "UTC")
            actor = replace(who(), login=operator)
            open_request, _ = requests.to_approve(request, KIND, actor, utc_now())
            barrier.append(operator)
            while len(barrier) < 2:
                pass
            try:
                requests.approve(writer, open_request, operator, operator, utc_now())
            except ActRefused as refused:
                return str(refused)
        return ""

    barrier: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        messages = list(pool.map(take, ("bruno", "chloe")))
    assert sorted(map(bool, messages)) == [False, True], messages
    assert "another operator" in "".join(messages)
    log_in(monkeypatch, "dora")
    with people.nothing_written():
        assert approved(people, request)[0].code == 1


def test_forged_requests_do_not_count(people: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the password of the desk and without the keys of piactl, no request counts that is made up, for
    another account or operator, of another time, under another name, or used again."""
    request = requested(people, "password", "reset", IDA)
    ((dn, true),) = records(people).items()
    log_in(monkeypatch, "bruno")
    now = datetime.now().astimezone().isoformat()
    forged: dict[str, Any] = {
        "cfhk-2222": {**true, "account": CLAIRE},
        "cfhk-3333": {**true, "by": "zoe"},
        "cfhk-4444": {**true, "at": now},
        "cfhk-5555": true,
        "cfhk-6666": {**true, "seal": "{k9}00"},
        "cfhk-7777": {**true, "seal": 7},
        "cfhk-8888": [],
    }
    with people.sandbox.connect("desk") as desk:
        for name, record in forged.items():
            values = {"objectClass": "piactlRecord", "piactlData": json.dumps(record)}
            desk.add(f"cn={name},ou=requests,{people.sandbox.state}", attributes=values)
        with people.nothing_written():
            for name in forged:
                ran, passwords = approved(people, name)
                assert (ran.code, passwords) == (10, {}), ran
            listed = people.run("password", "requests", "-o", "json")
            assert ([row["request"] for row in listed.json], listed.code) == ([request], 5)
            assert listed.err.count("another program wrote it") >= 5
        ran, _ = approved(people, request)
        assert ran.code == 0, ran
        for change in (
            lambda: desk.delete(f"cn={request}-ended,ou=requests,{people.sandbox.state}"),
            lambda: desk.delete(dn),
            lambda: desk.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(true)])]}),
            lambda: desk.modify_dn(dn, "cn=cfhk-9999"),
        ):
            with pytest.raises(ldap3.core.exceptions.LDAPInsufficientAccessRightsResult):
                change()
    with people.nothing_written():
        assert approved(people, request)[0].code == 1


RAW: dict[str, Callable[[ldap3.Connection, str, dict[str, Any]], None]] = {
    "another operator": lambda raw, dn, true: put(raw, dn, {**true, "by": "zoe"}),
    "another account": lambda raw, dn, true: put(raw, dn, {**true, "account": CLAIRE}),
    "later": lambda raw, dn, true: put(raw, dn, {**true, "at": datetime.now().astimezone().isoformat()}),
    "another name": lambda raw, dn, true: raw.modify_dn(dn, "cn=cfhk-9999"),
    "its end": lambda raw, dn, true: raw.delete(dn.replace(",", "-ended,", 1)),
}


def put(connection: ldap3.Connection, dn: str, record: dict[str, Any]) -> None:
    connection.modify(dn, {"piactlData": [(ldap3.MODIFY_REPLACE, [json.dumps(record)])]})


@pytest.mark.parametrize("identity", ["reader", "nightly", "desk", "administrator"])
def test_a_used_request_cannot_be_used_again_whatever_is_written(
    people: Academy, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    """They write by LDAP, as each identity; the nightly one holds the run lock."""
    request = requested(
        people, "password", "reset", LEA
    )  # she never had a password, so the new one counts as another even within the same second
    ((dn, true),) = records(people).items()
    log_in(monkeypatch, "bruno")
    assert approved(people, request)[0].code == 0
    with people.sandbox.root() as root:
        hold_lock(root, people.sandbox.state)
    allowed = set()
    for label, do in RAW.items():
        with people.sandbox.connect(identity) as raw:
            try:
                do(raw, dn, true)
            except ldap3.core.exceptions.LDAPInsufficientAccessRightsResult:
                continue
        allowed.add(label)
        name = "cfhk-9999" if label == "another name" else request
        with people.nothing_written():
            for operator in ("anne", "bruno", "zoe"):
                log_in(monkeypatch, operator)
                ran, passwords = approved(people, name)
                assert (ran.code in (1, 10), passwords) == (True, {}), (label, ran)
        if label == "another name":
            with people.sandbox.root() as root:
                root.modify_dn("cn=cfhk-9999," + dn.partition(",")[2], dn.partition(",")[0])
        if label != "its end":
            with people.sandbox.root() as root:
                put(root, dn, true)
    # by the record alone the request is open again; the changed password shows that it was used
    assert allowed == (set(RAW) if identity in ("nightly", "administrator") else set())
    if allowed:
        assert "has got another password since" in ran.err


def test_kernel_and_sudo_must_agree_on_who_the_operator_is(
    people: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without a login record can take that of a colleague, but sudo knows its user."""
    request = requested(people, "password", "reset", IDA)

    def known_as(login: str, sudo_user: str) -> None:
        log_in(monkeypatch, login)
        monkeypatch.setattr(journal_actor, "caller", lambda: Caller(sudo_user, other=True))

    with people.nothing_written():
        known_as("bruno", "anne")
        ran, passwords = approved(people, request)
        assert (ran.code, passwords, "anne for sudo" in ran.err) == (1, {}, True), ran
        assert requested(people, "password", "reset", CLAIRE, code=1) == ""
    known_as("bruno", "bruno")
    assert approved(people, request)[0].code == 0


def test_a_directory_without_the_folder_says_what_to_do(people: Academy) -> None:
    with people.sandbox.root() as root:
        root.delete(f"ou=requests,{people.sandbox.state}")
    ran = people.run("password", "reset", IDA, "--second-person", *WHY, "--yes")
    assert (ran.code, "docs/upgrade-directory.md" in ran.err) == (1, True), ran
    assert people.run("password", "requests", "-o", "json").json == []
    doctor = {finding["id"]: finding for finding in people.run("doctor", "-o", "json").json}
    assert "ou=requests" in doctor["D15"]["found"]
    new = ("--out", people.folder / "reset.csv", "--yes")
    assert people.run("password", "reset", IDA, "--without-check", *WHY, *new).code == 0
