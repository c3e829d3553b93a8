"""Activation passwords and ppolicy, by real binds: when one opens, when it ends, what replacing it leaves.

The server's clock cannot be set, so activation passwords end within seconds here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPInsufficientAccessRightsResult

from piactl.cli.framework.configuration import open_configuration
from piactl.core.credentials.passwords import ActivationPassword
from piactl.core.model.settings import PasswordSettings
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Writer
from piactl.directory.open import open_writer
from piactl.directory.store.password_state import (
    ActivationPasswordWriter,
    activation_write,
    policy_writes,
    unblock_write,
)
from piactl.host.secret_files import identity_password
from piactl.sandbox.folder import POLICIES
from tests.conftest import Sandbox

CODES = f"cn=activation,{POLICIES}"
CODE, SECOND = "cfhk-mprt-wx23-4678-9cfh", "kmpr-twx2-3467-89cf-hkmp"
OWN = "quatre chats gris et lents"
WRONG = "not it at all, sorry"


def dn(sandbox: Sandbox, uid: str = "a") -> str:
    return f"uid={uid},{sandbox.accounts}"


@pytest.fixture
def place(sandbox: Sandbox) -> Sandbox:
    """A sandbox with the account `a`, which has no password."""
    values = {
        "objectClass": ["inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount"],
        "cn": "Claire Exemple",
        "sn": "Exemple",
        "piactlState": "active",
        "piactlIdentifier": ["a"],
        "piactlMatriculeDigest": "{k1}00",
    }
    sandbox.add(dn(sandbox), values)
    return sandbox


@contextmanager
def desk(sandbox: Sandbox) -> Iterator[Writer]:
    settings = open_configuration(sandbox.config).settings.directory
    with open_writer(settings, "desk", identity_password) as writer:
        yield writer


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def set_code(sandbox: Sandbox, seconds: float, code: str = CODE) -> Outcome:
    with desk(sandbox) as writer:
        write = activation_write(writer, dn(sandbox), ActivationPassword(code), soon(seconds), CODES)
        return next(iter(ActivationPasswordWriter(writer).write([write]))).outcome


def block(sandbox: Sandbox, times: int = 5) -> None:
    for _ in range(times):
        assert not sandbox.accepts(dn(sandbox), WRONG)


def choose(sandbox: Sandbox, code: str = CODE) -> None:
    """The owner replaces the activation password, as a portal does for them."""
    with sandbox.bind(dn(sandbox), code) as connection:
        connection.modify(dn(sandbox), {"userPassword": [(ldap3.MODIFY_REPLACE, [OWN])]})


def held(sandbox: Sandbox, attribute: str) -> list[bytes]:
    entry = sandbox.entry(dn(sandbox))
    assert entry is not None
    return entry.get(attribute, [])


def wait_until_past(sandbox: Sandbox) -> None:
    """Waits until the instant of the entry's pwdAccountLockedTime is past."""
    ends = datetime.strptime(held(sandbox, "pwdAccountLockedTime")[0].decode(), "%Y%m%d%H%M%SZ")
    time.sleep(max(0.0, (ends.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) + 1.05)


def test_an_activation_password_opens_only_to_be_replaced(place: Sandbox) -> None:
    assert set_code(place, 600) is Outcome.APPLIED
    assert held(place, "userPassword")[0].startswith(b"{ARGON2}")
    with place.bind(dn(place), CODE) as connection, pytest.raises(LDAPInsufficientAccessRightsResult):
        connection.search(dn(place), "(objectClass=*)", ldap3.BASE)
    choose(place)
    assert not place.accepts(dn(place), CODE)
    time.sleep(2.05)  # the wrong password delays the next log in
    with place.bind(dn(place), OWN) as connection:
        assert connection.extend.standard.who_am_i() == f"dn:{dn(place)}"
    assert held(place, "pwdReset") == []
    assert held(place, "pwdAccountLockedTime") == []


def test_an_activation_password_ends_but_the_chosen_password_does_not(place: Sandbox) -> None:
    set_code(place, 2)
    assert place.accepts(dn(place), CODE)
    wait_until_past(place)
    assert not place.accepts(dn(place), CODE)
    assert not place.accepts(dn(place), CODE), "nor at the next try"
    assert set_code(place, 2, SECOND) is Outcome.APPLIED
    choose(place, SECOND)
    time.sleep(3.1)
    assert place.accepts(dn(place), OWN)


def own_password(sandbox: Sandbox) -> None:
    """An account under the policy of people, whose owner chose a password long ago."""
    with sandbox.connect("desk") as connection:
        connection.modify(dn(sandbox), {"userPassword": [(ldap3.MODIFY_REPLACE, [OWN])]})


def test_an_activation_password_opens_a_blocked_account_and_ends(place: Sandbox) -> None:
    own_password(place)
    block(place)
    assert not place.accepts(dn(place), OWN)
    assert set_code(place, 2, SECOND) is Outcome.APPLIED
    assert place.accepts(dn(place), SECOND)
    wait_until_past(place)
    assert not place.accepts(dn(place), SECOND)


def test_a_block_during_activation_leaves_no_password_without_an_end(place: Sandbox) -> None:
    own_password(place)
    with desk(place) as writer:
        write = activation_write(writer, dn(place), ActivationPassword(SECOND), soon(5), CODES)
        block(place)
        result = next(iter(ActivationPasswordWriter(writer).write([write])))
    assert result.outcome in (Outcome.APPLIED, Outcome.CONFLICT)
    if result.outcome is Outcome.CONFLICT:
        assert not place.accepts(dn(place), SECOND)
        return
    assert place.accepts(dn(place), SECOND)
    wait_until_past(place)
    assert not place.accepts(dn(place), SECOND)


class Meddled:
    """A writer; after its first write somebody removes the end of the activation password."""

    def __init__(self, writer: Writer, sandbox: Sandbox) -> None:
        self.writer, self.sandbox, self.first = writer, sandbox, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)

    def write(self, writes: Any) -> Any:
        yield from self.writer.write(writes)
        if self.first:
            self.first = False
            with self.sandbox.root() as root:
                root.modify(dn(self.sandbox), {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [])]})


def test_an_activation_password_that_lost_its_end_gets_it_again(place: Sandbox) -> None:
    with desk(place) as writer:
        write = activation_write(writer, dn(place), ActivationPassword(CODE), soon(600), CODES)
        assert (
            next(iter(ActivationPasswordWriter(Meddled(writer, place)).write([write]))).outcome
            is Outcome.APPLIED
        )
    assert held(place, "pwdAccountLockedTime") == [write.add["pwdAccountLockedTime"][0]]


def test_of_two_activation_passwords_at_once_the_second_is_a_conflict(place: Sandbox) -> None:
    """Neither operator can read the password, and everything else in the two writes is the same."""
    ends = soon(600)
    with desk(place) as writer:
        writes = [
            activation_write(writer, dn(place), ActivationPassword(text), ends, CODES)
            for text in (CODE, CODE[::-1])
        ]
        outcomes = [next(iter(ActivationPasswordWriter(writer).write([write]))).outcome for write in writes]
    assert outcomes == [Outcome.APPLIED, Outcome.CONFLICT]
    assert place.accepts(dn(place), CODE)


def test_wrong_tries_delay_an_activation_password_and_leave_its_end(place: Sandbox) -> None:
    """The delay ends by itself, whoever guesses, also for the password that the owner chooses."""
    set_delay(place, CODES, 1)
    set_code(place, 600)
    ends = held(place, "pwdAccountLockedTime")
    for _ in range(6):
        block(place)
        assert held(place, "pwdAccountLockedTime") == ends
        time.sleep(1.05)
    set_delay(place, CODES, 3)
    block(place)
    assert not place.accepts(dn(place), CODE)
    time.sleep(3.1)
    assert place.accepts(dn(place), CODE)
    choose(place)
    block(place)
    assert not place.accepts(dn(place), OWN)
    time.sleep(3.1)
    assert place.accepts(dn(place), OWN)


def set_delay(sandbox: Sandbox, policy: str, seconds: int) -> None:
    with sandbox.root() as root:
        values = [(ldap3.MODIFY_REPLACE, [str(seconds)])]
        root.modify(policy, {"pwdMinDelay": values, "pwdMaxDelay": values})


def test_guesses_of_an_activation_password_are_as_slow_as_those_of_others(place: Sandbox) -> None:
    """In an hour not more wrong passwords are looked at than under the policy of people."""
    with place.root() as root:
        policies = {}
        for name in ("default", "activation"):
            root.search(f"cn={name},{POLICIES}", "(objectClass=*)", ldap3.BASE, attributes=["*"])
            (entry,) = root.response
            policies[name] = {k: int(v[0]) for k, v in entry["raw_attributes"].items() if v[0].isdigit()}
    people, codes = policies["default"], policies["activation"]
    seconds = looked_at = 0
    while seconds <= 3600:
        failures = min(looked_at, codes["pwdMaxRecordedFailure"])
        seconds += min(codes["pwdMinDelay"] << failures, codes["pwdMaxDelay"])
        looked_at += 1
    assert codes["pwdFailureCountInterval"] >= 3600
    assert codes.get("pwdMaxFailure", 0) == 0
    assert looked_at <= people["pwdMaxFailure"] * 3600 / people["pwdLockoutDuration"]


def test_unblocking_clears_the_count_and_keeps_the_end(place: Sandbox) -> None:
    set_code(place, 600)
    ends = held(place, "pwdAccountLockedTime")
    with place.root() as root:  # the server was set up by an earlier piactl
        earlier = {"pwdMaxFailure": ["5"], "pwdMinDelay": [], "pwdMaxDelay": []}
        root.modify(CODES, {name: [(ldap3.MODIFY_REPLACE, values)] for name, values in earlier.items()})
    block(place)
    assert not place.accepts(dn(place), CODE)
    with desk(place) as writer:
        lock_end = datetime.strptime(ends[0].decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        write = unblock_write(writer, dn(place), ends=lock_end)
        assert write is not None
        assert next(iter(writer.write([write]))).outcome is Outcome.APPLIED
    assert held(place, "pwdAccountLockedTime") == ends
    assert held(place, "pwdFailureTime") == []
    assert place.accepts(dn(place), CODE)


def test_an_account_leaves_the_activation_policy_after_the_replacement(place: Sandbox) -> None:
    settings = open_configuration(place.config).settings.directory
    passwords = PasswordSettings(activation_policy=CODES)
    set_code(place, 600)
    lock = {
        "objectClass": ["piactlRecord", "piactlRunLock"],
        "piactlWriter": settings.identities["nightly"].dn,
    }
    place.add(f"cn=lock,{place.state}", lock)
    with open_writer(settings, "nightly", identity_password) as writer:
        assert list(policy_writes(writer, settings, passwords)) == []
        choose(place)
        ((uid, write, foreign),) = policy_writes(writer, settings, passwords)
        assert (uid, foreign, write) == (
            "a",
            "",
            Write("modify", dn(place), delete={"pwdPolicySubentry": (CODES.encode(),)}),
        )
        assert next(iter(writer.write([write]))).outcome is Outcome.APPLIED
        assert list(policy_writes(writer, settings, passwords)) == []
    block(place)
    assert not place.accepts(dn(place), OWN)
    with place.root() as root:  # fifteen minutes ago: the block of the policy of people is over
        past = f"{soon(-901):%Y%m%d%H%M%SZ}"
        root.modify(dn(place), {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [past])]})
    assert place.accepts(dn(place), OWN)
