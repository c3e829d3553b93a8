"""Closed and locked accounts, by real binds: they are refused with the password policy, without it, and with
a foreign one; after a return they are open as before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ldap3
import pytest

from tests.outside import POLICIES

from .academy import Academy
from .feeds import row
from .phones import KNOWN, Phone, verified
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
    """Runs the night of a day, with a feed in which everybody has these posts."""
    rows = [row(**person, **post_columns) for person in PEOPLE for post_columns in posts]
    academy.night(day(as_of).isoformat(), academy.feed(*rows, day=day(as_of).isoformat()))


def post(start: int, end: int | None = None, **columns: str) -> dict[str, str]:
    return {
        "debut": day(start).isoformat(),
        "fin": day(end).isoformat() if end is not None else "",
        **columns,
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
        """Who can log in with the password alone, and, as `uid+code`, who can with a code. A refused code is
        not used up."""
        logins = {uid for uid in EVERYBODY if self.accepts(uid)}
        for uid, phone in ((IDA, self.ida), (NOUR, self.nour)):
            step = max(phone.shown + 1, phone.step)
            if self.accepts(uid, phone.at(step)):
                phone.shown = step
                logins.add(f"{uid}+code")
        return logins

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
def staff(make_academy: Callable[..., Academy]) -> Staff:
    academy = make_academy(after=engaged)
    before: Staff = academy.left
    return Staff(academy, replace(before.ida), replace(before.nour))


def engaged(academy: Academy) -> Staff:
    """Three people with passwords, who have had their posts for a long time."""
    # wrong tries are not tested here, and would block accounts
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
    """Inside, the entry of the policy is gone, so slapd applies none."""
    with academy.sandbox.root() as root:
        root.search(DEFAULT, "(objectClass=*)", ldap3.BASE, attributes=["*"])
        values = dict(root.response[0]["raw_attributes"])
        root.delete(DEFAULT)
    yield
    academy.sandbox.add(DEFAULT, values)


@contextmanager
def under_a_foreign_policy(academy: Academy) -> Iterator[None]:
    """Inside, the accounts name a policy that does not exist, so slapd applies none to them."""
    for uid in EVERYBODY:
        academy.change(uid, pwdPolicySubentry=[FOREIGN])
    yield
    for uid in EVERYBODY:
        academy.change(uid, pwdPolicySubentry=[])


POLICY = (under_the_policy, without_the_policy, under_a_foreign_policy)


def refused_in_any_case(staff: Staff) -> None:
    logins = {}
    for policy in POLICY:
        with policy(staff.academy):
            logins[policy.__name__] = staff.lets_in()
    assert logins == {policy.__name__: set() for policy in POLICY}


def as_before(staff: Staff) -> None:
    """Checks that everybody can log in as before, whatever the policy; a lost telephone stays lost."""
    for policy in POLICY:
        with policy(staff.academy):
            assert CLAIRE in staff.lets_in()
    assert staff.lets_in() == {CLAIRE, f"{IDA}+code"}
    staff.run("otp", "resume", NOUR, "--administrator", *WHY)
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
    """Locked until yesterday: the dates allow log in since midnight; no night was run since."""
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
def test_shut_accounts_are_refused_under_any_policy_until_a_return(staff: Staff, name: str) -> None:
    shut, back = CASES[name]
    shut(staff)
    refused_in_any_case(staff)
    back(staff)
    as_before(staff)


def test_an_archived_account_is_refused_until_a_return(staff: Staff) -> None:
    """A password that can still be set opens nothing. A lost telephone stays lost; a device in force is
    removed by the archival."""
    for night in (-2, 29, 30):
        feed(staff.academy, night, post(-300, -120))
    assert staff.academy.values(CLAIRE, "piactlState") == ["archived"]
    staff.set_passwords()
    refused_in_any_case(staff)
    feed(staff.academy, 31, post(-300, -120), post(0))
    staff.set_passwords()
    assert staff.lets_in() == {CLAIRE, IDA}


def test_a_device_is_asked_for_whatever_the_policy(staff: Staff) -> None:
    """The password alone lets in nobody who has a device, whether in force or suspended."""
    for policy in POLICY:
        with policy(staff.academy):
            assert staff.lets_in() == {CLAIRE, f"{IDA}+code"}, policy.__name__


# What else can happen to a closed or locked account


SHUT = {
    "closed": ("account", "close", IDA, "--until", day(30).isoformat()),
    "locked": ("account", "lock", IDA),
}


def no_device(academy: Academy, uid: str) -> str:
    return f"cn=suspended,{academy.dn(uid)}"


def linked(academy: Academy, uid: str) -> list[str]:
    return academy.values(uid, "oathTOTPToken")


@pytest.mark.parametrize("shut", SHUT)
def test_device_commands_do_not_open_a_shut_account(staff: Staff, shut: str) -> None:
    """A telephone is lost, found, given up, replaced: the device in force counts from the return on."""
    academy, back = staff.academy, "unlock" if shut == "locked" else "reopen"
    staff.run(*SHUT[shut], *WHY)
    for words in (
        ("suspend", IDA),
        ("resume", IDA, "--administrator"),
        ("remove", IDA, "--password-alone", "--administrator"),
    ):
        ran = staff.run("otp", *words, *WHY)
        assert linked(academy, IDA) == [no_device(academy, IDA)], words
        if words[0] != "suspend":
            assert f"the account is {shut}, so nobody logs in" in ran.out
    assert academy.values(IDA, "piactlDevice") == []
    staff.ida = verified(academy, IDA)
    with without_the_policy(academy):
        assert not {uid for uid in staff.lets_in() if uid.startswith(IDA)}
    staff.run("account", back, IDA, *WHY)
    assert {uid for uid in staff.lets_in() if uid.startswith(IDA)} == {f"{IDA}+code"}


@pytest.mark.parametrize("shut", SHUT)
def test_a_device_suspended_on_a_shut_account_stays_suspended(staff: Staff, shut: str) -> None:
    staff.run(*SHUT[shut], *WHY)
    staff.run("otp", "suspend", IDA, *WHY)
    staff.run("account", "unlock" if shut == "locked" else "reopen", IDA, *WHY)
    assert staff.lets_in() == {CLAIRE}
    staff.run("otp", "resume", IDA, "--administrator", *WHY)
    assert staff.lets_in() == {CLAIRE, f"{IDA}+code"}


def test_commands_report_what_refuses_log_in(staff: Staff) -> None:
    for uid, shut in ((IDA, "lock"), (CLAIRE, "closure")):
        staff.run("account", "lock" if shut == "lock" else "close", uid, *WHY,
                  *(() if shut == "lock" else ("--until", day(30).isoformat())))  # fmt: skip
        [view] = staff.run("otp", "show", uid, "-o", "json").json
        assert (view["login"], view["refused_by"]) == ("refused", shut)
        assert "logging in is REFUSED: the account is" in staff.run("otp", "show", uid).out
        assert staff.run("account", "show", uid, "-o", "json").json["refused_by"] == ["dates", "link"]
        assert "REFUSED by a link to no device as well" in staff.run("account", "show", uid).out
        [answer] = staff.run("why", uid, "login", "-o", "json").json["answers"]
        assert not answer["yes"]
        assert any("by a link to no device, under any password policy" in note for note in answer["notes"])
        assert "never the password alone" not in staff.run("why", uid, "login").out
    assert staff.run("account", "show", NOUR, "-o", "json").json["refused_by"] == []
    [view] = staff.run("otp", "show", NOUR, "-o", "json").json
    assert (view["login"], view["refused_by"]) == ("refused", "device")


def test_a_lock_by_position_that_ended_holds_until_the_next_night(academy: Academy) -> None:
    """Its dates allow log in, but the link does not until a night looks at it."""
    rows = [row(debut=day(-200).isoformat()), row(**post(-6, -1), position="suspension")]
    academy.night(day(-5).isoformat(), academy.feed(*rows, day=day(-5).isoformat()))
    academy.change(CLAIRE, userPassword=[PASSWORD])
    assert not academy.sandbox.accepts(academy.dn(CLAIRE), PASSWORD)
    academy.night(day(0).isoformat())
    assert academy.sandbox.accepts(academy.dn(CLAIRE), PASSWORD)


def test_why_explains_a_lock_that_ended_but_holds_until_the_night(staff: Staff) -> None:
    locked_to_yesterday(staff)
    [answer] = staff.run("why", CLAIRE, "login", "-o", "json").json["answers"]
    assert answer["yes"] is staff.accepts(CLAIRE) is False
    [cause] = [cause for cause in answer["causes"] if cause["kind"] == "entry"]
    assert "the entry refuses it (it is linked to no device" in cause["text"]
    assert cause["command"] == "piactl nightly"


def test_an_account_created_locked_is_linked_to_no_device(academy: Academy) -> None:
    """An account that is locked from its first night on gets its link with the first write."""
    person = row(debut=day(-5).isoformat(), position="suspension")
    academy.twice(day(0).isoformat(), academy.feed(person, day=day(0).isoformat()))
    academy.change(CLAIRE, userPassword=[PASSWORD])
    assert linked(academy, CLAIRE) == [no_device(academy, CLAIRE)]
    with without_the_policy(academy):
        assert not academy.sandbox.accepts(academy.dn(CLAIRE), PASSWORD)


def test_accounts_adopted_closed_or_locked_are_linked_to_no_device(academy: Academy) -> None:
    for uid, number in ((CLAIRE, "1001"), (IDA, "1002")):
        values = {"objectClass": ["inetOrgPerson", "supannPerson"], "supannEmpId": number, "uid": uid}
        attributes = {"cn": uid, "sn": "Ancien", "mail": f"{uid}@ac-amiens.fr", "userPassword": PASSWORD}
        academy.sandbox.add(academy.dn(uid), {**values, **attributes})
    ended_post = row(debut=day(-300).isoformat(), fin=day(-40).isoformat())
    suspended = row(**PEOPLE[1], debut=day(-300).isoformat(), position="suspension")
    feed_ = academy.feed(ended_post, suspended, day=day(0).isoformat())
    ran = academy.run("adopt", feed_, "--as-of", day(0).isoformat(), "--apply", *WHY)
    assert ran.code == 0, ran.err
    for uid in (CLAIRE, IDA):
        assert linked(academy, uid) == [no_device(academy, uid)]
        with without_the_policy(academy):
            assert not academy.sandbox.accepts(academy.dn(uid), PASSWORD)
    before = academy.stamps()
    academy.night(day(0).isoformat(), feed_)
    assert academy.stamps() == before
    undone = academy.run("undo", "last", *WHY)
    assert undone.code == 0, undone.err
    for uid in (CLAIRE, IDA):
        assert "oathTOTPUser" not in academy.values(uid, "objectClass")
        assert academy.sandbox.accepts(academy.dn(uid), PASSWORD)


def unlink(academy: Academy, uid: str) -> None:
    """Acts as another program that removes the link."""
    classes = [name for name in academy.values(uid, "objectClass") if name != "oathTOTPUser"]
    academy.change(uid, oathTOTPToken=[], objectClass=classes)


def test_the_night_restores_a_link_that_another_program_removed(staff: Staff) -> None:
    academy = staff.academy
    grace_over(staff)
    unlink(academy, CLAIRE)
    grace_over(staff)
    assert linked(academy, CLAIRE) == [no_device(academy, CLAIRE)]


def test_the_archival_restores_a_link_that_another_program_removed(staff: Staff) -> None:
    academy = staff.academy
    feed(academy, -1, post(-300, -120))
    unlink(academy, CLAIRE)
    feed(academy, 0, post(-300, -120))
    assert linked(academy, CLAIRE) == [no_device(academy, CLAIRE)]


def test_a_protected_account_is_held_and_the_administrator_links_it(staff: Staff) -> None:
    academy = staff.academy
    closed(staff)
    academy.change(CLAIRE, piactlProtected=["TRUE"])
    unlink(academy, CLAIRE)
    rows = [row(**person, **post(-300)) for person in PEOPLE]
    plan = academy.plan(academy.feed(*rows, day=day(0).isoformat()))
    assert [hold["uid"] for hold in plan["holds"]] == [CLAIRE]
    assert plan["changes"] == []
    staff.run("account", "close", CLAIRE, "--until", day(30).isoformat(), *WHY)
    assert linked(academy, CLAIRE) == [no_device(academy, CLAIRE)]


# Undo


def test_undo_removes_and_restores_the_link_to_no_device(staff: Staff) -> None:
    academy = staff.academy
    staff.run("account", "lock", IDA, *WHY)
    undone = staff.run("undo", "last", *WHY, "-o", "json").json
    assert {uid for uid in staff.lets_in() if uid.startswith(IDA)} == {f"{IDA}+code"}
    staff.run("undo", undone["run"], *WHY)
    assert linked(academy, IDA) == [no_device(academy, IDA)]


def test_undo_of_a_closure_links_the_current_device(staff: Staff) -> None:
    """The device before the closure is gone; another one was verified since."""
    academy = staff.academy
    staff.run(*SHUT["closed"], *WHY)
    staff.ida = verified(academy, IDA, *KNOWN)
    staff.run("undo", "last", *WHY)
    assert {uid for uid in staff.lets_in() if uid.startswith(IDA)} == {f"{IDA}+code"}


# An existing directory, and a server without the overlay


def without_otp(academy: Academy) -> str:
    """Removes slapo-otp, and the rights that name its attributes; returns the server's former settings."""
    path = academy.sandbox.folder / "slapd" / "slapd.conf"
    text = path.read_text(encoding="utf-8")
    less = re.sub(r"(?m)^access to [^\n]*oath[^\n]*\n(  by [^\n]*\n)*", "", text)
    less = re.sub(r"(?m)^constraint_attribute [^\n]*oath[^\n]*\n", "", less)
    less = less.replace("moduleload otp\n", "").replace("\noverlay otp\n", "\n")
    assert "otp" not in re.sub(r"(?m)^#.*$", "", less)
    restarted(academy, less)
    return text


def restarted(academy: Academy, settings: str) -> None:
    academy.sandbox.stop()
    (academy.sandbox.folder / "slapd" / "slapd.conf").write_text(settings, encoding="utf-8")
    academy.sandbox.start()


@pytest.fixture
def standing(academy: Academy) -> tuple[Academy, str]:
    """A directory that closed accounts without a link: Claire's is closed, Ida's is locked, and Nour's is
    archived; and the settings of a server with slapo-otp."""
    settings = without_otp(academy)
    rows = [row(**person, **post(-300, end)) for person, end in zip(PEOPLE, (None, None, -120), strict=True)]
    academy.night(day(-130).isoformat(), academy.feed(*rows, day=day(-130).isoformat()))
    assert academy.run("account", "lock", IDA, *WHY, "--as-of", day(-30).isoformat()).code == 0
    rows[0] = row(**PEOPLE[0], **post(-300, -40))
    academy.night(day(-3).isoformat(), academy.feed(*rows, day=day(-3).isoformat()))
    academy.twice(day(-2).isoformat(), academy.feed(*rows, day=day(-2).isoformat()))
    states = {uid: academy.values(uid, "piactlState") for uid in EVERYBODY}
    assert states == {CLAIRE: ["deactivated"], IDA: ["active"], NOUR: ["archived"]}
    return academy, settings


def test_without_slapo_otp_only_the_dates_refuse_log_in(standing: tuple[Academy, str]) -> None:
    """As before, the dates refuse log in, and doctor says that nothing else does."""
    academy, _ = standing
    for uid in EVERYBODY:
        assert linked(academy, uid) == []
        academy.change(uid, userPassword=[PASSWORD])
        assert not academy.sandbox.accepts(academy.dn(uid), PASSWORD)
    with without_the_policy(academy):
        assert academy.sandbox.accepts(academy.dn(CLAIRE), PASSWORD)
    [finding] = [finding for finding in academy.run("doctor", "-o", "json").json if finding["id"] == "D38"]
    assert finding["result"] == "warning"
    assert "class oathTOTPUser is missing" in finding["found"]
    assert "REFUSED by these dates alone" in academy.run("account", "show", CLAIRE).out
    [answer] = academy.run("why", CLAIRE, "login", "-o", "json").json["answers"]
    assert any("dates alone" in note for note in answer["notes"])
    assert academy.run("account", "unlock", IDA, *WHY).code == 0
    assert academy.sandbox.accepts(academy.dn(IDA), PASSWORD)


@pytest.mark.parametrize("fed", [True, False])
def test_a_night_links_accounts_that_were_shut_without_a_link(
    standing: tuple[Academy, str], fed: bool
) -> None:
    """The next night links accounts that are closed or locked already, with a feed or without; its plan says
    why. The night after has nothing to do."""
    academy, settings = standing
    restarted(academy, settings)
    rows = [row(**person, **post(-300, end)) for person, end in zip(PEOPLE, (-40, None, -120), strict=True)]
    feeds = [academy.feed(*rows, day=day(0).isoformat())] if fed else []
    plan = academy.plan(*feeds)
    assert plan["summary"] == {"update": 3}
    assert {change["uid"] for change in plan["changes"]} == set(EVERYBODY)
    for change in plan["changes"]:
        assert change["after"] == {"refused_by": ["dates", "link to no device"]}
        assert "its dates alone count only where a password policy applies" in change["reason"]
    if not fed:
        forecast = academy.run("forecast", "-o", "json")
        assert [change["uid"] for change in forecast.json if change["kind"] == "update"] == [
            change["uid"] for change in plan["changes"]
        ]
    today = day(0).isoformat()
    academy.twice(today, *feeds)
    for uid in EVERYBODY:
        assert linked(academy, uid) == [no_device(academy, uid)]
        academy.change(uid, userPassword=[PASSWORD])
    with without_the_policy(academy):
        assert not {uid for uid in EVERYBODY if academy.sandbox.accepts(academy.dn(uid), PASSWORD)}
    undone = academy.run("undo", "last", *WHY, "-o", "json").json
    assert {account["outcome"] for account in undone["accounts"]} == {"kept"}


def test_undoing_a_lock_removes_a_link_added_later(standing: tuple[Academy, str]) -> None:
    """The lock was made without a link, which a later night added."""
    academy, settings = standing
    [lock] = [run for run in academy.run("runs", "list", "-o", "json").json if "lock" in run["summary"]]
    restarted(academy, settings)
    academy.night(day(0).isoformat())
    assert linked(academy, IDA) == [no_device(academy, IDA)]
    academy.change(IDA, userPassword=[PASSWORD])
    ran = academy.run("undo", lock["run"], *WHY)
    assert ran.code == 0, ran.err
    assert academy.sandbox.accepts(academy.dn(IDA), PASSWORD)


def test_with_codes_at_a_portal_only_shut_accounts_are_linked(staff: Staff) -> None:
    """The overlay refuses closed accounts there too; an account that is open is not linked."""
    academy = staff.academy
    academy.edit("policy.yaml", "otp: {enforced_by: directory}", "otp: {enforced_by: portal, issuer: Amiens}")
    feed(academy, -2, post(-300))
    assert {uid: linked(academy, uid) for uid in EVERYBODY} == {uid: [] for uid in EVERYBODY}
    closed(staff)
    refused_in_any_case(staff)
    reopened(staff)
    assert staff.lets_in() == set(EVERYBODY)
