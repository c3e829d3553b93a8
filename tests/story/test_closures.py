"""Closed and locked accounts by real binds: refused with the password policy, without it, and with a foreign
one; open again after a return, as they were before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ldap3
import pytest

from piactl.sandbox.tree import POLICIES

from .academy import Academy
from .feeds import row
from .phones import Phone, verified, verify
from .test_logins import PASSWORD, day

CLAIRE, IDA, NOUR = "claire.dubreuil", "ida.roy", "nour.vidal"
EVERYBODY = (CLAIRE, IDA, NOUR)
PEOPLE: tuple[dict[str, str], ...] = (
    {"matricule": "1001"},
    {"matricule": "1002", "prenom": "Ida", "nom_famille": "Roy"},
    {"matricule": "1003", "prenom": "Nour", "nom_famille": "Vidal"},
)
DEFAULT = f"cn=default,{POLICIES}"
FOREIGN = f"cn=nobody,{POLICIES}"
WHY = ("--reason", "a trial")


def feed(academy: Academy, as_of: int, *posts: dict[str, str]) -> None:
    """The night of a day, with a feed in which everybody has these posts."""
    rows = [row(**person, **one) for person in PEOPLE for one in posts]
    academy.night(day(as_of).isoformat(), academy.feed(*rows, day=day(as_of).isoformat()))


def post(start: int, end: int | None = None, **more: str) -> dict[str, str]:
    return {
        "debut": day(start).isoformat(),
        "fin": day(end).isoformat() if end is not None else "",
        **more,
    }


@dataclass
class Staff:
    """Claire has no device, Ida has one, Nour's telephone is lost."""

    academy: Academy
    ida: Phone
    nour: Phone

    def accepts(self, uid: str, code: str = "") -> bool:
        return self.academy.sandbox.accepts(self.academy.dn(uid), PASSWORD + code)

    def lets_in(self) -> set[str]:
        """Who logs in with the password alone, and, as `uid+code`, who with a code; no code is used up where
        it is refused."""
        found = {uid for uid in EVERYBODY if self.accepts(uid)}
        for uid, phone in ((IDA, self.ida), (NOUR, self.nour)):
            step = max(phone.shown + 1, phone.step)
            if self.accepts(uid, phone.at(step)):
                phone.shown = step
                found.add(f"{uid}+code")
        return found

    def run(self, *words: str, code: int = 0) -> Any:
        ran = self.academy.run(*words)
        assert ran.code == code, (words, ran)
        return ran

    def each(self, *words: str) -> None:
        self.run(*words[:2], *EVERYBODY, *words[2:], *WHY)

    def set_passwords(self) -> None:
        for uid in EVERYBODY:
            self.academy.change(uid, userPassword=[PASSWORD])


@pytest.fixture
def staff(academy: Academy) -> Staff:
    """Three people with passwords, in their posts since long."""
    return engaged(academy)


def engaged(academy: Academy) -> Staff:
    # wrong tries are not what is tried here, and would block
    with academy.sandbox.root() as root:
        root.modify(DEFAULT, {"pwdLockout": [(ldap3.MODIFY_REPLACE, ["FALSE"])]})
    feed(academy, -40, post(-300))
    ida, nour = (verified(academy, uid) for uid in (IDA, NOUR))
    staff = Staff(academy, ida, nour)
    staff.set_passwords()
    staff.run("otp", "suspend", NOUR, *WHY)
    assert staff.lets_in() == {CLAIRE, f"{IDA}+code"}
    return staff


@contextmanager
def under_the_policy(academy: Academy) -> Iterator[None]:
    yield


@contextmanager
def without_the_policy(academy: Academy) -> Iterator[None]:
    """Its entry is gone, so slapd applies none."""
    with academy.sandbox.root() as root:
        root.search(DEFAULT, "(objectClass=*)", ldap3.BASE, attributes=["*"])
        values = dict(root.response[0]["raw_attributes"])
        root.delete(DEFAULT)
    yield
    academy.sandbox.add(DEFAULT, values)


@contextmanager
def under_a_foreign_policy(academy: Academy) -> Iterator[None]:
    """The accounts name a policy that does not exist, so slapd applies none to them."""
    for uid in EVERYBODY:
        academy.change(uid, pwdPolicySubentry=[FOREIGN])
    yield
    for uid in EVERYBODY:
        academy.change(uid, pwdPolicySubentry=[])


POLICY = (under_the_policy, without_the_policy, under_a_foreign_policy)


def refused_in_any_case(staff: Staff) -> None:
    found = {}
    for policy in POLICY:
        with policy(staff.academy):
            found[policy.__name__] = staff.lets_in()
    assert found == {policy.__name__: set() for policy in POLICY}


def as_before(staff: Staff) -> None:
    """Everybody logs in as before, whatever the policy; a lost telephone stays lost."""
    for policy in POLICY:
        with policy(staff.academy):
            assert CLAIRE in staff.lets_in()
    assert staff.lets_in() == {CLAIRE, f"{IDA}+code"}
    staff.run("otp", "resume", NOUR, *WHY)
    assert staff.lets_in() == {CLAIRE, f"{IDA}+code", f"{NOUR}+code"}


def closed(staff: Staff) -> None:
    staff.each("account", "close", "--until", day(30).isoformat())


def reopened(staff: Staff) -> None:
    staff.each("account", "reopen")


def locked(staff: Staff) -> None:
    staff.each("account", "lock")


def locked_to_a_day(staff: Staff) -> None:
    staff.each("account", "lock", "--until", day(3).isoformat())


def locked_to_yesterday(staff: Staff) -> None:
    """Its dates let in since midnight; no night was run since."""
    staff.each("account", "lock", "--until", day(-1).isoformat(), "--as-of", day(-2).isoformat())


def unlocked(staff: Staff) -> None:
    staff.each("account", "unlock")


def the_night_after_the_lock(staff: Staff) -> None:
    staff.academy.night(day(0).isoformat())


def suspended_by_hr(staff: Staff) -> None:
    feed(staff.academy, -1, post(-300), post(-5, 30, position="suspension"))


def suspension_taken_back(staff: Staff) -> None:
    feed(staff.academy, 0, post(-300), post(-5, -1, position="suspension"))


def grace_over(staff: Staff) -> None:
    feed(staff.academy, -1, post(-300, -40))


def back_in_a_post(staff: Staff) -> None:
    feed(staff.academy, 0, post(-300, -40), post(0))


CASES: dict[str, tuple[Callable[[Staff], None], Callable[[Staff], None]]] = {
    "closed by hand": (closed, reopened),
    "locked": (locked, unlocked),
    "locked to a day": (locked_to_a_day, unlocked),
    "locked to yesterday": (locked_to_yesterday, the_night_after_the_lock),
    "locked by a position": (suspended_by_hr, suspension_taken_back),
    "deactivated by the night": (grace_over, back_in_a_post),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_without_any_policy_until_a_return(staff: Staff, name: str) -> None:
    shut, back = CASES[name]
    shut(staff)
    refused_in_any_case(staff)
    back(staff)
    as_before(staff)


def test_archived_and_back(staff: Staff) -> None:
    """Whoever can still set a password opens nothing by that. What is left of a lost telephone is that it is
    lost; a device that was in force went with the archival."""
    feed(staff.academy, -1, post(-300, -120))
    assert staff.academy.values(CLAIRE, "piactlState") == ["archived"]
    staff.set_passwords()
    refused_in_any_case(staff)
    feed(staff.academy, 0, post(-300, -120), post(0))
    staff.set_passwords()
    assert staff.lets_in() == {CLAIRE, IDA}
