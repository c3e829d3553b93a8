"""Somebody writes devices with the password of the help desk, without piactl: the night sees it in the access
log, and log in is refused until the help desk makes a device again."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections.abc import Callable
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPInsufficientAccessRightsResult, LDAPOperationResult

from .academy import Academy
from .feeds import crowd
from .phones import KNOWN, enrolled, verified, verify
from .test_logins import PASSWORD, day, post

CLAIRE, IDA, HUGO, LEA = "claire.dubreuil", "ida.roy", "hugo.caron", "lea.petit"
EVERYBODY = (CLAIRE, IDA, HUGO, LEA)
PEOPLE = (
    post(-100),
    post(-100, matricule="1002", prenom="Ida", nom_famille="Roy"),
    post(-100, matricule="1003", prenom="Hugo", nom_famille="Caron"),
    post(-100, matricule="1004", prenom="Léa", nom_famille="Petit"),
)


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    """An academy with an access log, in which everybody has a password."""
    return make_academy(accesslog=True, after=with_passwords)


def with_passwords(academy: Academy) -> None:
    night(academy, -2)
    for uid in EVERYBODY:
        academy.change(uid, userPassword=[PASSWORD])


def night(academy: Academy, offset: int, *more: str) -> Any:
    as_of = day(offset).isoformat()
    return academy.night(as_of, academy.feed(*PEOPLE, *more, day=as_of))


def device(academy: Academy, uid: str) -> str:
    """The DN of the device of an account."""
    return f"cn={academy.values(uid, 'piactlDevice')[0]},{academy.dn(uid)}"


def stranger(academy: Academy, uid: str) -> tuple[str, dict[str, Any]]:
    dn = f"cn=autre,{academy.dn(uid)}"
    return dn, {
        "objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"],
        "cn": "autre",
        "piactlData": "{}",
        "oathTOTPParams": dn,
        "oathSecret": b"12345678901234567890",
        "oathOTPLength": "6",
        "oathHMACAlgorithm": "1.2.840.113549.2.7",
        "oathTOTPTimeStepPeriod": "30",
        "oathTOTPTimeStepWindow": "1",
    }


def suspended_device(academy: Academy, uid: str) -> tuple[str, dict[str, Any]]:
    """A device with the name to which suspended accounts are linked."""
    _, values = stranger(academy, uid)
    dn = f"cn=suspended,{academy.dn(uid)}"
    return dn, {**values, "cn": "suspended", "oathTOTPParams": dn}


def devices_of(academy: Academy, uid: str) -> list[str]:
    """The DNs of the entries below an account."""
    dn = academy.dn(uid)
    return [name for name in academy.sandbox.entries(dn, attributes=("cn",)) if name != dn]


def lets_in(academy: Academy, uid: str, code: str = "") -> bool:
    return academy.sandbox.accepts(academy.dn(uid), PASSWORD + code)


@pytest.mark.parametrize("fed", [False, True], ids=["dates alone", "feed"])
def test_a_device_that_no_journal_has_lets_nobody_in(academy: Academy, fed: bool) -> None:
    phones = {uid: verified(academy, uid, *KNOWN) for uid in (CLAIRE, HUGO, LEA)}
    # what piactl itself wrote is in the journal
    night(academy, 0)
    assert lets_in(academy, LEA, phones[LEA].code())
    as_of = day(0).isoformat()
    academy.quiet_night(as_of)
    replace, delete = ldap3.MODIFY_REPLACE, ldap3.MODIFY_DELETE
    with academy.sandbox.connect("desk") as desk:
        unlinked = {"piactlDevice": [(delete, [])], "oathTOTPToken": [(delete, [])]}
        desk.modify(academy.dn(CLAIRE), {**unlinked, "objectClass": [(delete, ["oathTOTPUser"])]})
        dn, values = stranger(academy, IDA)
        desk.add(dn, attributes=values)
        linked = {"piactlDevice": [(replace, ["autre"])], "oathTOTPToken": [(replace, [dn])]}
        desk.modify(academy.dn(IDA), {**linked, "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]})
        secret = {
            "oathSecret": [(replace, [b"12345678901234567890"])],
            "oathTOTPLastTimeStep": [(replace, ["1"])],
        }
        desk.modify(device(academy, HUGO), secret)
        # a device that is not linked opens nothing, and stays until somebody decides
        dn, values = stranger(academy, LEA)
        desk.add(dn, attributes=values)
    assert lets_in(academy, CLAIRE)
    feeds = [academy.feed(*PEOPLE, day=as_of)] if fed else []
    ran = academy.night(as_of, *feeds)
    assert ran.json["summary"] == {"update": 3}
    shown = academy.run("journal", "show", "--run", "last", "-o", "json").json
    assert {row["uid"] for row in shown} == {CLAIRE, IDA, HUGO}
    assert all("no journal has the change of its device by cn=piactl-desk" in row["reason"] for row in shown)
    for uid in (CLAIRE, IDA, HUGO):
        assert academy.values(uid, "piactlDevice") == ["suspended"]
        assert not lets_in(academy, uid)
    assert lets_in(academy, LEA, phones[LEA].code())
    academy.quiet_night(as_of, *feeds)
    # the help desk makes a new device
    phone = verified(academy, CLAIRE, *KNOWN)
    academy.quiet_night(as_of, *feeds)
    assert lets_in(academy, CLAIRE, phone.code())


def test_a_device_of_another_journal_is_left_to_that(academy: Academy) -> None:
    """A help desk with a host of its own has a journal that nights cannot read: the configuration says so."""
    academy.edit("piactl.yaml", "secrets/desk}", "secrets/desk, elsewhere: true}")
    with academy.sandbox.connect("desk") as desk:
        desk.modify(academy.dn(IDA), {"piactlDevice": [(ldap3.MODIFY_REPLACE, ["autre"])]})
    night(academy, 0)
    assert academy.values(IDA, "piactlDevice") == ["autre"]


@pytest.mark.parametrize("how", ["added again", "renamed", "moved"])
def test_a_device_that_takes_the_place_of_another_lets_nobody_in(academy: Academy, how: str) -> None:
    """The link stays as it is: another device gets the name of the one in force."""
    verified(academy, CLAIRE, *KNOWN)
    verified(academy, HUGO, *KNOWN)
    night(academy, 0)
    dn, name = device(academy, CLAIRE), academy.values(CLAIRE, "piactlDevice")[0]
    with academy.sandbox.connect("desk") as desk:
        desk.delete(dn)
        other, values = stranger(academy, CLAIRE)
        if how == "added again":
            desk.add(dn, attributes={**values, "cn": name, "oathTOTPParams": dn})
        elif how == "renamed":
            desk.add(other, attributes=values)
            desk.modify_dn(other, f"cn={name}", delete_old_dn=True)
        else:
            desk.modify_dn(device(academy, HUGO), f"cn={name}", new_superior=academy.dn(CLAIRE))
    night(academy, 0)
    assert academy.values(CLAIRE, "piactlDevice") == ["suspended"]
    assert not lets_in(academy, CLAIRE)


def test_many_devices_stop_no_night(academy: Academy) -> None:
    """The device of each of eleven accounts is written: HR's end is written in the same night."""
    academy.allow_up_to(50, "create", "profile_growth", "service_growth")
    others = crowd(12, debut=day(-100).isoformat())
    night(academy, -1, *others)
    uids = sorted(uid for uid in academy.names().values() if uid.startswith("louise"))
    with academy.sandbox.connect("desk") as desk:
        for uid in uids[:11]:
            desk.modify(academy.dn(uid), {"piactlDevice": [(ldap3.MODIFY_REPLACE, ["autre"])]})
    end = (day(-1)).isoformat()
    gone = [line.replace(";553;;", ";553;radiation;") for line in crowd(12, debut=end)]
    ran = night(academy, 0, gone[0], *others[1:11], gone[11])
    assert ran.code == 0
    for uid in (uids[0], uids[11]):
        assert academy.values(uid, "piactlState") == ["deactivated"]
    assert {academy.values(uid, "piactlDevice")[0] for uid in uids[:11]} == {"suspended"}


def shouted(dn: str) -> str:
    """Another spelling of a DN, as a request may have it."""
    return "".join(part.upper() if "=" not in part else part for part in re.split(r"(?<==)|(?=,)", dn))


def widened(dn: str) -> str:
    """A spelling with characters that slapd, but not everybody, compares as equal."""
    return dn.replace("=ida", "=\u0130da").replace("=hugo", "=ｈugo").replace("=otp", "=ｏtp")


@pytest.mark.parametrize("spelled", [shouted, widened])
def test_every_spelling_of_a_name_is_seen(academy: Academy, spelled: Callable[[str], str]) -> None:
    for uid in (CLAIRE, HUGO):
        verified(academy, uid, *KNOWN)
    night(academy, 0)
    replace, delete = ldap3.MODIFY_REPLACE, ldap3.MODIFY_DELETE
    with academy.sandbox.connect("desk") as desk:
        dn, values = stranger(academy, IDA)
        desk.add(spelled(dn), attributes=values)
        linked = {"piactlDevice": [(replace, ["autre"])], "oathTOTPToken": [(replace, [dn])]}
        desk.modify(
            spelled(academy.dn(IDA)), {**linked, "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]}
        )
        unlinked = {"piactlDevice": [(delete, [])], "oathTOTPToken": [(delete, [])]}
        desk.modify(spelled(academy.dn(CLAIRE)), {**unlinked, "objectClass": [(delete, ["oathTOTPUser"])]})
        desk.modify(spelled(device(academy, HUGO)), {"oathSecret": [(replace, [b"12345678901234567890"])]})
    night(academy, 0)
    for uid in (IDA, CLAIRE, HUGO):
        assert academy.values(uid, "piactlDevice") == ["suspended"], uid


def test_verifying_or_resuming_trusts_no_foreign_secret(academy: Academy) -> None:
    """What was changed in a device without a journal stays foreign, whoever puts it in force."""
    verified(academy, HUGO, *KNOWN)
    lost = device(academy, HUGO)
    assert academy.run("otp", "suspend", HUGO, "--reason", "lost").code == 0
    phone = enrolled(academy, CLAIRE, *KNOWN)
    [pending] = devices_of(academy, CLAIRE)
    moved_phone = enrolled(academy, LEA, *KNOWN)
    [moved] = devices_of(academy, LEA)
    replace, aside = ldap3.MODIFY_REPLACE, f"cn=aside,{academy.dn(LEA)}"
    with academy.sandbox.connect("desk") as desk:
        desk.modify(lost, {"oathSecret": [(replace, [b"12345678901234567890"])]})
        desk.modify_dn(moved, "cn=aside")
        desk.modify(aside, {"oathSecret": [(replace, [b"12345678901234567890"])]})
        desk.modify_dn(aside, moved.partition(",")[0])
        desk.modify(pending, {"oathTOTPTimeStepWindow": [(replace, ["99999"])]})
    assert verify(academy, CLAIRE, phone.code(), *KNOWN).code == 0
    assert verify(academy, LEA, moved_phone.code(), *KNOWN).code == 0
    assert academy.run("otp", "resume", HUGO, *KNOWN).code == 0
    night(academy, 0)
    for uid in (CLAIRE, HUGO, LEA):
        assert academy.values(uid, "piactlDevice") == ["suspended"], uid
    # a new device is trusted
    phone = verified(academy, CLAIRE, *KNOWN)
    night(academy, 0)
    assert lets_in(academy, CLAIRE, phone.code())


def test_an_undo_puts_no_foreign_link_back(academy: Academy) -> None:
    """The owner had a device, the help desk's password removed it: after an undo the next night sees it."""
    verified(academy, CLAIRE, *KNOWN)
    night(academy, 0)
    delete = ldap3.MODIFY_DELETE
    with academy.sandbox.connect("desk") as desk:
        unlinked = {"piactlDevice": [(delete, [])], "oathTOTPToken": [(delete, [])]}
        desk.modify(academy.dn(CLAIRE), {**unlinked, "objectClass": [(delete, ["oathTOTPUser"])]})
    night(academy, 0)
    assert academy.run("undo", "last", "--reason", "too many", "--yes").code == 0
    academy.night(day(0).isoformat())
    assert academy.values(CLAIRE, "piactlDevice") == ["suspended"]
    assert not lets_in(academy, CLAIRE)


def test_a_person_whom_a_night_holds_is_suspended_too(academy: Academy) -> None:
    night(academy, 0)
    dn, values = stranger(academy, IDA)
    with academy.sandbox.connect("desk") as desk:
        desk.add(dn, attributes=values)
        linked = {
            "piactlDevice": [(ldap3.MODIFY_REPLACE, ["autre"])],
            "oathTOTPToken": [(ldap3.MODIFY_REPLACE, [dn])],
        }
        desk.modify(academy.dn(IDA), {**linked, "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]})
    as_of = day(0).isoformat()
    unreadable = [
        line.replace(day(-100).isoformat(), "31/02/2026") if "Roy" in line else line for line in PEOPLE
    ]
    ran = academy.night(as_of, academy.feed(*unreadable, day=as_of))
    assert "1 row was rejected or held" in ran.err
    assert academy.values(IDA, "piactlDevice") == ["suspended"]
    assert not lets_in(academy, IDA)


def test_nobody_makes_a_device_where_suspended_accounts_are_linked(academy: Academy) -> None:
    for identity in ("desk", "administrator", "nightly"):
        dn, values = suspended_device(academy, CLAIRE)
        with academy.sandbox.connect(identity) as connection:
            for spelled in (dn, dn.replace("cn=suspended", "CN=Suspended")):
                with pytest.raises(LDAPInsufficientAccessRightsResult):
                    connection.add(spelled, attributes={**values, "cn": "Suspended"})


@pytest.mark.parametrize("fed", [False, True], ids=["dates alone", "feed"])
def test_a_night_deletes_a_device_where_suspended_accounts_are_linked(academy: Academy, fed: bool) -> None:
    """An older server may have one, and no rule of slapd looks at the new name of a device that is moved."""
    night(academy, 0)
    as_of = day(0).isoformat()
    dn, values = stranger(academy, HUGO)
    with academy.sandbox.connect("desk") as desk:
        desk.add(dn, attributes=values)
        desk.modify_dn(dn, "cn=ｓuspended", new_superior=academy.dn(CLAIRE))
    with academy.sandbox.root() as root:
        dn, values = suspended_device(academy, IDA)
        root.add(dn, attributes=values)
        linked = {"piactlDevice": ["suspended"], "oathTOTPToken": [dn]}
        changes = {name: [(ldap3.MODIFY_REPLACE, value)] for name, value in linked.items()}
        root.modify(academy.dn(IDA), {**changes, "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]})
    feeds = [academy.feed(*PEOPLE, day=as_of)] if fed else []
    academy.night(as_of, *feeds)
    for uid in (CLAIRE, IDA):
        assert devices_of(academy, uid) == []
    assert academy.values(IDA, "piactlDevice") == ["suspended"]
    assert not lets_in(academy, IDA)
    academy.quiet_night(as_of, *feeds)


def test_no_write_of_a_device_keeps_a_leaver_in(academy: Academy) -> None:
    """Somebody writes the link of leavers again and again while the night, or a help desk, shuts them out."""
    for uid in (IDA, HUGO, LEA):
        verified(academy, uid, *KNOWN)
    night(academy, 0)
    as_of, over = day(0).isoformat(), threading.Event()
    replace, delete = ldap3.MODIFY_REPLACE, ldap3.MODIFY_DELETE
    unlinked = {"piactlDevice": [(delete, [])], "oathTOTPToken": [(delete, [])]}
    none = {**unlinked, "objectClass": [(delete, ["oathTOTPUser"])]}

    def disturb(uid: str) -> None:
        dn = academy.dn(uid)
        with academy.sandbox.connect("desk") as desk:
            for n in itertools.count():
                linked = {
                    "piactlDevice": [(replace, [f"d{n}"])],
                    "oathTOTPToken": [(replace, [f"cn=d{n},{dn}"])],
                }
                again = {**linked, "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]}
                for change in (linked, *((none, again) if uid != LEA else ())):
                    with contextlib.suppress(LDAPOperationResult):
                        desk.modify(dn, change)
                if over.is_set():
                    return

    threads = [threading.Thread(target=disturb, args=(uid,)) for uid in (IDA, HUGO, LEA)]
    for thread in threads:
        thread.start()
    try:
        gone = [post(-100, -1, matricule="1002", prenom="Ida", nom_famille="Roy", position="radiation")]
        academy.night(as_of, academy.feed(PEOPLE[0], *gone, *PEOPLE[2:], day=as_of))
        assert academy.run("account", "lock", HUGO, "--compromised", "--reason", "x").code == 0
        assert academy.run("otp", "suspend", LEA, "--reason", "x").code == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert academy.values(IDA, "piactlState") == ["deactivated"]
    assert academy.values(HUGO, "piactlLock") != []
    academy.night(as_of)
    for uid in (IDA, HUGO, LEA):
        assert not lets_in(academy, uid)
