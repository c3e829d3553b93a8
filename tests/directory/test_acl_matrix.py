"""Who may do what: every operation by every identity on a real server, against the table below.

For each operation every identity acts on its own entries, so that none sees the effects of another. A
refusal must be one for want of rights and must change nothing; an allowed operation must have its effect.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import (
    LDAPConstraintViolationResult,
    LDAPInsufficientAccessRightsResult,
    LDAPNoSuchObjectResult,
    LDAPOperationResult,
)
from ldap3.operation.search import search_operation

from tests.conftest import preparing, sandboxes
from tests.directory.config_server import config_server
from tests.directory.spoiling_proxy import SEARCH_DONE, body, operation
from tests.outside import find_software

POLICIES = "ou=policies,ou=ac-amiens,ou=education,o=gouv,c=fr"
SERVICES = "ou=services,ou=ac-amiens,ou=education,o=gouv,c=fr"
PASSWORD = "correct horse battery"
FRESH = "nouvelle phrase de passe"

LATE = f"cn=late.example,cn=piactl-nightly,{SERVICES}"
"""The nightly identity of a host that does not hold the run lock; `nightly` holds it."""

BASES = (
    "ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
    "ou=ac-amiens,ou=education,o=gouv,c=fr",
    "ou=education,o=gouv,c=fr",
    "o=gouv,c=fr",
)
"""From where programs search for accounts: the base of the accounts and all above."""

APPLICATION = f"cn=portail,ou=consumers,{SERVICES}"
"""The entry of an application that reads accounts, as docs/consumers.md adds one."""

EVERYBODY = (
    "reader",
    "nightly",
    "late",
    "desk",
    "administrator",
    "approver",
    "consumer",
    "self",
    "other",
    "anonymous",
)
SEES = {"reader", "nightly", "desk", "administrator"}
APPLIES = {"nightly", "administrator"}
SUPPORTS = {"desk", "administrator"}
APPLICATIONS = SEES | {"consumer"}
OWNERS = SEES | {"self"}
ADMINISTRATOR = {"administrator"}
NOBODY: set[str] = set()

# strongerAuthRequired (an anonymous write), noSuchObject (it may not see the entry), insufficientAccessRights
REFUSALS = {8, 32, 50}
CONSTRAINT = 19

Do = Callable[[ldap3.Connection, "Place"], Any]


@dataclass(frozen=True)
class Place:
    """The entries that one identity acts on."""

    who: str
    accounts: str
    state: str

    def __getattr__(self, name: str) -> str:
        below = {
            "account": "a",
            "protected": "p",
            "unmanaged": "u",
            "new": "n",
            "bare": "b",
            "bare_protected": "bp",
            "linked": "l",
            "coded": "c",
            "coded_protected": "cp",
            "waiting_protected": "wp",
        }
        records = {
            "run": "cn=run-{},ou=runs",
            "undo": "cn=undo-{},ou=runs",
            "attempt": "cn=att-{},ou=attempts",
            "more_attempts": "cn=more-{},ou=attempts",
            "request": "cn=req-{},ou=requests",
            "more_requests": "cn=more-{},ou=requests",
            "approval": "cn=yes-{},ou=approvals",
            "more_approvals": "cn=more-{},ou=approvals",
            "folder_of_approvals": "ou=approvals",
        }
        records |= {"state_record": "cn=state-{}", "waiting": "cn=wait-{},ou=waiting"}
        if name in below:
            return f"uid={below[name]}.{self.who},{self.accounts}"
        if name in records:
            return f"{records[name].format(self.who)},{self.state}"
        raise AttributeError(name)


def account(who: str, **values: Any) -> dict[str, Any]:
    """The values of a managed account."""
    return {
        "objectClass": ["inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount"],
        "cn": "Claire Exemple",
        "sn": "Exemple",
        "mail": f"{who}@example.org",
        "piactlState": "active",
        "piactlIdentifier": [who, f"{who}@example.org"],
        "piactlMatriculeDigest": "{k1}00",
        **values,
    }


def device(dn: str, **values: Any) -> dict[str, Any]:
    """The values of a device that contains its own parameters."""
    return {
        "objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"],
        "cn": "otp",
        "oathTOTPParams": dn,
        "oathOTPLength": 6,
        "oathHMACAlgorithm": "1.2.840.113549.2.7",
        "oathTOTPTimeStepPeriod": 30,
        "oathTOTPTimeStepWindow": 3,
        "oathTOTPLastTimeStep": 1,
        "oathSecret": b"twenty bytes of a key",
        "piactlSealed": b"{k1}sealed",
        **values,
    }


def hashed(password: str) -> str:
    salt = b"pepper"
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def arrange(root: ldap3.Connection, place: Place) -> None:
    """Adds entries of every kind for one identity."""
    person = {"objectClass": ["inetOrgPerson"], "cn": "U", "sn": "U", "userPassword": hashed(PASSWORD)}
    person["mail"] = f"u.{place.who}@example.org"
    values = {
        "userPassword": hashed(PASSWORD),
        "pwdAccountLockedTime": "20300101000000Z",
        "eduPersonEntitlement": "urn:mace:example.org:service:siecle:0800009A",
        "supannEntiteAffectation": "0800009A",
        "supannMailPrive": "claire@example.net",
        "supannEmpId": "1234567",
        "piactlAssignment": "an assignment",
    }
    root.add(place.account, attributes=account(f"a.{place.who}", **values))
    root.add(place.protected, attributes=account(f"p.{place.who}", piactlProtected="TRUE", **values))
    root.add(place.unmanaged, attributes=person)
    root.add(place.bare, attributes=account(f"b.{place.who}"))
    root.add(place.bare_protected, attributes=account(f"bp.{place.who}", piactlProtected="TRUE"))
    coded = {"pwdPolicySubentry": f"cn=activation,{POLICIES}"}
    root.add(place.coded, attributes=account(f"c.{place.who}", **coded))
    root.add(place.coded_protected, attributes=account(f"cp.{place.who}", piactlProtected="TRUE", **coded))
    token = {"oathTOTPToken": f"cn=otp,{place.account}"}
    waiting = coded | {"pwdReset": "TRUE", "piactlProtected": "TRUE"}
    root.add(place.waiting_protected, attributes=account(f"wp.{place.who}", **waiting))
    linked = account(f"l.{place.who}", **token)
    root.add(place.linked, attributes={**linked, "objectClass": [*linked["objectClass"], "oathTOTPUser"]})
    for holder in (place.account, place.protected):
        root.add(f"cn=otp,{holder}", attributes=device(f"cn=otp,{holder}"))
    for dn in (
        place.run,
        place.undo,
        place.attempt,
        place.state_record,
        place.waiting,
        place.request,
        place.approval,
    ):
        root.add(dn, attributes={"objectClass": "piactlRecord", "piactlData": "{}"})


def places_of(sandbox: Any) -> dict[str, Place]:
    return {who: Place(who, sandbox.accounts, sandbox.state) for who in EVERYBODY}


def arrange_all(sandbox: Any) -> dict[str, Place]:
    """Adds entries of every kind for each identity; nightly holds the run lock."""
    places = places_of(sandbox)
    with sandbox.root() as root:
        for place in places.values():
            arrange(root, place)
        unlocked(root, places["self"])
        hold_lock(root, sandbox.state)
        late = {
            "objectClass": ["applicationProcess", "simpleSecurityObject"],
            "userPassword": hashed(PASSWORD),
        }
        for dn in (LATE, APPLICATION):
            root.add(dn, attributes={**late, "pwdPolicySubentry": f"cn=services,{POLICIES}"})
    return places


def hold_lock(root: ldap3.Connection, state: str, who: str = f"cn=piactl-nightly,{SERVICES}") -> None:
    """Makes `who` the holder of the run lock."""
    values = {"objectClass": ["piactlRecord", "piactlRunLock"], "piactlData": "{}", "piactlWriter": who}
    root.add(f"cn=lock,{state}", attributes=values)


def read(kind: str, attribute: str, prefix: str = "") -> Do:
    """Allowed means that the value is returned."""

    def do(connection: ldap3.Connection, place: Place) -> bool:
        dn = kind if "=" in kind else prefix + getattr(place, kind)
        connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=[attribute])
        return any(e.get("raw_attributes", {}).get(attribute) for e in connection.response)

    return do


def find(kind: str, query: str) -> Do:
    """Allowed means that a search for the value finds the entry."""

    def do(connection: ldap3.Connection, place: Place) -> bool:
        connection.search(
            getattr(place, kind), query.replace("{who}", place.who), ldap3.BASE, attributes=["1.1"]
        )
        return any("dn" in e for e in connection.response)

    return do


def below(base: str, query: str) -> Do:
    """Allowed means that a search below the base finds one entry; a base that is not there refuses."""

    def do(connection: ldap3.Connection, place: Place) -> bool:
        connection.search(base, query.replace("{who}", place.who), ldap3.SUBTREE, attributes=["uid"])
        return any(e.get("raw_attributes", {}).get("uid") for e in connection.response)

    return do


def filled(value: Any, place: Place) -> list[Any]:
    """The values with `{who}` replaced by the identity: no two entries may have the same address."""
    values = value if isinstance(value, list) else [value]
    return [v.replace("{who}", place.who) if isinstance(v, str) else v for v in values]


def put(kind: str, *, prefix: str = "", **values: Any) -> Do:
    """Replaces each attribute; [] removes it."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        dn = kind if "=" in kind else prefix + getattr(place, kind)
        connection.modify(dn, {k: [(ldap3.MODIFY_REPLACE, filled(v, place))] for k, v in values.items()})

    return do


def change(kind: str, **changes: tuple[str, list[Any]]) -> Do:
    def do(connection: ldap3.Connection, place: Place) -> None:
        dn = getattr(place, kind)
        connection.modify(dn, {k: [(op, filled(values, place))] for k, (op, values) in changes.items()})

    return do


def put_in(kind: str, values: Callable[[str, str], dict[str, Any]], prefix: str = "") -> Do:
    """Adds the entry `prefix` + kind; `values` gets the name of the identity and the DN."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        dn = kind if "=" in kind else prefix + getattr(place, kind)
        connection.add(dn, attributes=values(place.who, dn))

    return do


def take_out(kind: str, prefix: str = "") -> Do:
    def do(connection: ldap3.Connection, place: Place) -> None:
        connection.delete(prefix + getattr(place, kind))

    return do


def rename(kind: str) -> Do:
    def do(connection: ldap3.Connection, place: Place) -> None:
        connection.modify_dn(getattr(place, kind), f"uid=r.{place.who}")

    return do


def rename_to(kind: str, name: str, folder: str = "") -> Do:
    """Gives the entry another name and, if given, moves it to `folder` below the state."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        above = f"{folder}{place.state}" if folder else None
        connection.modify_dn(getattr(place, kind), name.replace("{who}", place.who), new_superior=above)

    return do


def move(kind: str, below: str, prefix: str = "") -> Do:
    """Moves the entry to another place: `below` is a kind of entry or a folder of records."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        above = f"{below}{place.state}" if "=" in below else getattr(place, below)
        connection.modify_dn(prefix + getattr(place, kind), f"cn=m.{place.who}", new_superior=above)

    return do


def by_password_modify(kind: str) -> Do:
    """Uses the extended operation, without the old password."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        dn = kind if "=" in kind else getattr(place, kind)
        connection.extend.standard.modify_password(dn, None, FRESH)

    return do


def compares(kind: str, attribute: str, value: str | bytes, prefix: str = "") -> Do:
    """Allowed means that the server answers the comparison."""

    def do(connection: ldap3.Connection, place: Place) -> bool:
        connection.compare(prefix + getattr(place, kind), attribute, value)
        return True

    return do


def link(kind: str) -> Do:
    def do(connection: ldap3.Connection, place: Place) -> None:
        dn = getattr(place, kind)
        connection.modify(
            dn,
            {
                "objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])],
                "oathTOTPToken": [(ldap3.MODIFY_ADD, [f"cn=otp,{dn}"])],
            },
        )

    return do


def new_record(who: str, dn: str) -> dict[str, Any]:
    return {"objectClass": "piactlRecord", "piactlData": "{}"}


def new_account(who: str, dn: str) -> dict[str, Any]:
    return account(f"n.{who}", pwdStartTime="20300101000000Z", pwdEndTime="20310101000000Z")


ADD, DELETE = ldap3.MODIFY_ADD, ldap3.MODIFY_DELETE
UNMARK = {
    "objectClass": (DELETE, ["piactlAccount"]),
    "piactlState": (DELETE, []),
    "piactlIdentifier": (DELETE, []),
    "piactlMatriculeDigest": (DELETE, []),
    "piactlAssignment": (DELETE, []),
}
ADOPT = {
    "objectClass": (ADD, ["piactlAccount"]),
    "piactlState": (ADD, ["active"]),
    "piactlIdentifier": (ADD, ["adopted.{who}"]),
    "piactlMatriculeDigest": (ADD, ["{k1}01"]),
}

READS: dict[str, tuple[Do, set[str]]] = {
    "an account's name": (read("account", "cn"), APPLICATIONS | OWNERS),
    "a protected account's name": (read("protected", "cn"), APPLICATIONS),
    "an account's address": (read("account", "mail"), APPLICATIONS | OWNERS),
    "an account's services": (read("account", "eduPersonEntitlement"), APPLICATIONS | OWNERS),
    "an account's establishments": (read("account", "supannEntiteAffectation"), APPLICATIONS | OWNERS),
    "an account's state": (read("account", "piactlState"), OWNERS),
    "an account's family name": (read("account", "sn"), OWNERS),
    "an account's private address": (read("account", "supannMailPrive"), SEES),
    "an account's matricule": (read("account", "supannEmpId"), SEES),
    "an account's assignments": (read("account", "piactlAssignment"), SEES),
    "an account's identifiers": (read("account", "piactlIdentifier"), SEES),
    "an application's password": (read(APPLICATION, "userPassword"), NOBODY),
    "find by what applications ask": (
        find("account", "(&(objectClass=piactlAccount)(uid=a.{who})(!(pwdReset=TRUE)))"),
        APPLICATIONS,
    ),
    **{
        f"find below {base.partition(',')[0]}": (
            below(base, "(&(objectClass=person)(uid=a.{who}))"),
            APPLICATIONS | OWNERS,
        )
        for base in BASES
    },
    "find a protected account below a base": (below(BASES[1], "(uid=p.{who})"), APPLICATIONS),
    "find an unmanaged entry below a base": (below(BASES[1], "(uid=u.{who})"), SEES),
    "find by some services": (
        find("account", "(eduPersonEntitlement=urn:mace:example.org:*:siecle:*)"),
        APPLICATIONS | OWNERS,
    ),
    "find by state": (find("account", "(piactlState=active)"), APPLICATIONS | OWNERS),
    "find by name": (find("account", "(sn=*)"), OWNERS),
    "find by private address": (find("account", "(supannMailPrive=*)"), SEES),
    "an unmanaged entry's address": (read("unmanaged", "mail"), SEES),
    "a digest": (read("account", "piactlMatriculeDigest"), SEES),
    "find by digest": (find("account", "(piactlMatriculeDigest={k1}00)"), SEES),
    "the link to a device": (read("linked", "oathTOTPToken"), SEES),
    "find by the class of accounts": (
        find("account", "(objectClass=piactlAccount)"),
        APPLICATIONS | OWNERS,
    ),
    "find by the class of those with a device": (find("linked", "(objectClass=oathTOTPUser)"), SEES),
    "the protected mark": (read("protected", "piactlProtected"), SEES),
    "a lockout": (read("account", "pwdAccountLockedTime"), SEES),
    "a password": (read("account", "userPassword"), NOBODY),
    "a protected account's password": (read("protected", "userPassword"), NOBODY),
    "an unmanaged entry's password": (read("unmanaged", "userPassword"), NOBODY),
    "a service identity's password": (read(f"cn=piactl-desk,{SERVICES}", "userPassword"), NOBODY),
    "find by password": (find("account", "(userPassword=*)"), NOBODY),
    "a device's last step": (read("account", "oathTOTPLastTimeStep", "cn=otp,"), SEES),
    "a protected device's last step": (read("protected", "oathTOTPLastTimeStep", "cn=otp,"), SEES),
    "a device's secret": (read("account", "oathSecret", "cn=otp,"), NOBODY),
    "a protected device's secret": (read("protected", "oathSecret", "cn=otp,"), NOBODY),
    "a device's sealed secret": (read("account", "piactlSealed", "cn=otp,"), SUPPORTS),
    "a protected device's sealed secret": (read("protected", "piactlSealed", "cn=otp,"), ADMINISTRATOR),
    "a comparison of a device's secret": (
        compares("account", "oathSecret", b"twenty bytes of a key", "cn=otp,"),
        NOBODY,
    ),
    "a comparison of a password": (compares("account", "userPassword", PASSWORD), NOBODY),
    "a run": (read("run", "piactlData"), SEES),
    "an undo record": (read("undo", "piactlData"), APPLIES),
    "an undo record's name": (read("undo", "cn"), APPLIES),
    "the state": (read("state_record", "piactlData"), SEES | {"approver"}),
    "an approval": (read("approval", "piactlData"), SEES - {"desk"} | {"approver"}),
    "who wrote an approval": (read("approval", "creatorsName"), SEES - {"desk"} | {"approver"}),
    "attempts": (read("attempt", "piactlData"), SEES),
    "the policy of passwords": (read(f"cn=default,{POLICIES}", "pwdMinLength"), SEES),
    "the server's rules": (read("olcDatabase={2}mdb,cn=config", "olcAccess"), {"reader", "administrator"}),
    "the server's load": (
        read("cn=Total,cn=Connections,cn=Monitor", "monitorCounter"),
        {"reader", "administrator"},
    ),
}

WRITES: dict[str, tuple[Do, set[str]]] = {
    "add an account": (put_in("new", new_account), APPLIES),
    "add an account with a password": (
        put_in("new", lambda who, dn: account(f"n.{who}", userPassword=FRESH)),
        ADMINISTRATOR,
    ),
    "add a protected account": (
        put_in("new", lambda who, dn: account(f"n.{who}", piactlProtected="TRUE")),
        ADMINISTRATOR,
    ),
    "add an account marked as not protected": (
        put_in("new", lambda who, dn: account(f"n.{who}", piactlProtected="FALSE")),
        ADMINISTRATOR,
    ),
    "add an account with an old lockout": (
        put_in("new", lambda who, dn: account(f"n.{who}", pwdReset="TRUE")),
        ADMINISTRATOR,
    ),
    "add an entry that is not managed": (
        put_in("new", lambda who, dn: {"objectClass": "inetOrgPerson", "cn": "N", "sn": "N"}),
        ADMINISTRATOR,
    ),
    "add an account below an account": (
        put_in("account", lambda who, dn: account(f"n.{who}"), "uid=below,"),
        ADMINISTRATOR,
    ),
    "set the address": (put("account", mail="new.{who}@example.org"), APPLIES),
    "set the services": (put("account", eduPersonEntitlement="urn:mace:example.org:service:x"), APPLIES),
    "set an exception": (put("account", piactlException="grant"), APPLIES),
    "add an object class": (change("account", objectClass=(ADD, ["labeledURIObject"])), APPLIES),
    "give an account up": (change("account", **UNMARK), ADMINISTRATOR),
    "set the start of logging in": (put("account", pwdStartTime="20300101000000Z"), APPLIES),
    "set the end of logging in": (put("account", pwdEndTime="20300101000000Z"), APPLIES),
    "set the end of logging in, protected": (put("protected", pwdEndTime="20300101000000Z"), ADMINISTRATOR),
    "set the address, protected": (put("protected", mail="new.{who}@example.org"), ADMINISTRATOR),
    "protect": (put("account", piactlProtected="TRUE"), ADMINISTRATOR),
    "end the protection": (put("protected", piactlProtected=[]), ADMINISTRATOR),
    "set the address, unmanaged": (put("unmanaged", mail="new.{who}@example.org"), ADMINISTRATOR),
    "adopt": (change("unmanaged", **ADOPT), ADMINISTRATOR),
    "delete an account": (take_out("bare"), ADMINISTRATOR),
    "delete a protected account": (take_out("bare_protected"), ADMINISTRATOR),
    "delete an unmanaged entry": (take_out("unmanaged"), ADMINISTRATOR),
    "change the uid": (rename("bare"), ADMINISTRATOR),
    "set the password": (put("account", userPassword=FRESH), SUPPORTS | {"self"}),
    "set the password, protected": (put("protected", userPassword=FRESH), ADMINISTRATOR),
    "set the password, unmanaged": (put("unmanaged", userPassword=FRESH), ADMINISTRATOR),
    "set the password, service": (put(f"cn=piactl-reader,{SERVICES}", userPassword=FRESH), NOBODY),
    "give out a password": (
        put("account", userPassword=FRESH, pwdReset="TRUE", pwdPolicySubentry=f"cn=activation,{POLICIES}"),
        SUPPORTS,
    ),
    "take the password away": (put("account", userPassword=[]), SUPPORTS | {"nightly", "self"}),
    "take the password away, protected": (put("protected", userPassword=[]), ADMINISTRATOR),
    "end a lockout": (put("account", pwdAccountLockedTime=[]), SUPPORTS),
    "end a lockout, protected": (put("protected", pwdAccountLockedTime=[]), ADMINISTRATOR),
    "demand a new password": (put("account", pwdReset="TRUE"), SUPPORTS),
    "put under the policy of codes": (
        change("account", pwdPolicySubentry=(ADD, [f"cn=activation,{POLICIES}"])),
        SUPPORTS,
    ),
    "take out of the policy of codes": (
        change("coded", pwdPolicySubentry=(DELETE, [f"cn=activation,{POLICIES}"])),
        SUPPORTS | {"nightly"},
    ),
    "take out of the policy of codes, protected": (
        change("coded_protected", pwdPolicySubentry=(DELETE, [f"cn=activation,{POLICIES}"])),
        APPLIES,
    ),
    "put under the policy of protected accounts": (
        change("protected", pwdPolicySubentry=(ADD, [f"cn=protected,{POLICIES}"])),
        APPLIES,
    ),
    "put a protected account under the policy of people": (
        change("protected", pwdPolicySubentry=(ADD, [f"cn=default,{POLICIES}"])),
        ADMINISTRATOR,
    ),
    "take a protected account out of the policy of codes before its owner chose": (
        change("waiting_protected", pwdPolicySubentry=(DELETE, [f"cn=activation,{POLICIES}"])),
        ADMINISTRATOR,
    ),
    "add a device": (put_in("account", lambda who, dn: device(dn, cn="two"), "cn=two,"), SUPPORTS),
    "add a device, protected": (
        put_in("protected", lambda who, dn: device(dn, cn="two"), "cn=two,"),
        ADMINISTRATOR,
    ),
    "add a device, unmanaged": (
        put_in("unmanaged", lambda who, dn: device(dn, cn="two"), "cn=two,"),
        ADMINISTRATOR,
    ),
    "add a device with a password": (
        put_in("account", lambda who, dn: person_device(dn), "cn=two,"),
        ADMINISTRATOR,
    ),
    "link a device": (link("account"), SUPPORTS | {"nightly"}),
    "link a device, protected": (link("protected"), ADMINISTRATOR),
    "set a device's secret": (put("account", prefix="cn=otp,", oathSecret=b"another key"), SUPPORTS),
    "set a device's secret, protected": (put("protected", prefix="cn=otp,", oathSecret=b"x"), ADMINISTRATOR),
    "seal a device's secret": (put("account", prefix="cn=otp,", piactlSealed=b"{k2}sealed"), SUPPORTS),
    "seal a device's secret, protected": (
        put("protected", prefix="cn=otp,", piactlSealed=b"{k2}sealed"),
        ADMINISTRATOR,
    ),
    "advance a device's step": (put("account", prefix="cn=otp,", oathTOTPLastTimeStep=2), SUPPORTS),
    "advance a device's step, protected": (
        put("protected", prefix="cn=otp,", oathTOTPLastTimeStep=2),
        ADMINISTRATOR,
    ),
    "delete a device": (take_out("account", "cn=otp,"), SUPPORTS | {"nightly"}),
    "delete a device, protected": (take_out("protected", "cn=otp,"), ADMINISTRATOR),
    "write the state": (put("state_record", piactlData='{"run": 1}'), APPLIES),
    "add a record": (put_in("state_record", new_record, "cn=below,"), APPLIES),
    "delete a record": (take_out("state_record"), APPLIES),
    "write a run": (put("run", piactlData='{"run": 1}'), APPLIES),
    "write an undo record": (put("undo", piactlData='{"run": 1}'), APPLIES),
    "delete an undo record": (take_out("undo"), APPLIES),
    "write who is absent": (put("waiting", piactlData='{"run": 1}'), APPLIES),
    "count an attempt": (put("attempt", piactlData='{"n": 1}'), SUPPORTS | {"nightly", "late"}),
    "count the first attempt": (put_in("more_attempts", new_record), SUPPORTS | {"nightly", "late"}),
    "take a name by a count": (
        put_in("more_attempts", lambda who, dn: {**account(f"x.{who}"), "cn": dn[3:].split(",")[0]}),
        ADMINISTRATOR,
    ),
    "make a count something else": (
        change("attempt", objectClass=(ADD, ["extensibleObject"])),
        ADMINISTRATOR,
    ),
    "describe a count": (put("attempt", description="x"), ADMINISTRATOR),
    "put an entry below a count": (put_in("attempt", new_record, "cn=below,"), ADMINISTRATOR),
    "request": (put_in("more_requests", new_record), SUPPORTS | {"nightly"}),
    "request as something else": (
        put_in("more_requests", lambda who, dn: {"objectClass": ["piactlRecord", "piactlRunLock"]}),
        {"nightly", "administrator"},
    ),
    "approve": (put_in("more_approvals", new_record), {"approver"}),
    "approve as something else": (
        put_in("more_approvals", lambda who, dn: {"objectClass": ["piactlRecord", "piactlRunLock"]}),
        NOBODY,
    ),
    "change an approval": (put("approval", piactlData='{"run": 1}'), NOBODY),
    "empty an approval": (put("approval", piactlData=[]), NOBODY),
    "describe an approval": (put("approval", description="x"), NOBODY),
    "delete an approval": (take_out("approval"), {"nightly"}),
    "rename an approval": (rename_to("approval", "cn=gone.{who}"), NOBODY),
    "move an approval": (rename_to("approval", "cn=gone.{who}", "ou=waiting,"), NOBODY),
    "make a record an approval": (rename_to("waiting", "cn=yes2.{who}", "ou=approvals,"), NOBODY),
    "make a request an approval": (rename_to("request", "cn=yes2.{who}", "ou=approvals,"), NOBODY),
    "rename the folder of the approvals": (rename_to("folder_of_approvals", "ou=old.{who}"), NOBODY),
    "change a request": (put("request", piactlData='{"run": 1}'), APPLIES),
    "empty a request": (put("request", piactlData=[]), APPLIES),
    "delete a request": (take_out("request"), APPLIES),
    "rename a request": (rename_to("request", "cn=gone.{who}"), APPLIES),
    # an entry that may be written at one place cannot be moved to another one
    "move a request to the counts": (move("request", "ou=attempts,"), APPLIES),
    "move a count to the requests": (move("attempt", "ou=requests,"), APPLIES),
    "move a count to the runs": (move("attempt", "ou=runs,"), APPLIES),
    "move a count below an account": (move("attempt", "account"), ADMINISTRATOR),
    "move a device to a protected account": (move("account", "protected", "cn=otp,"), ADMINISTRATOR),
    "move a device away from a protected account": (move("protected", "account", "cn=otp,"), ADMINISTRATOR),
    "move a device to the requests": (move("account", "ou=requests,", "cn=otp,"), ADMINISTRATOR),
    "change the password by its operation": (by_password_modify("account"), SUPPORTS | {"self"}),
    "change the password by its operation, protected": (by_password_modify("protected"), ADMINISTRATOR),
    "change the password by its operation, service": (
        by_password_modify(f"cn=piactl-desk,{SERVICES}"),
        NOBODY,
    ),
    "forget attempts": (take_out("attempt"), SUPPORTS | {"nightly", "late"}),
    "change the policy of passwords": (put(f"cn=default,{POLICIES}", pwdMinLength="1"), NOBODY),
    "make a service identity": (
        put_in(f"cn=evil,{SERVICES}", lambda who, dn: {"objectClass": "applicationProcess"}),
        NOBODY,
    ),
    "write above the accounts": (put("ou=education,o=gouv,c=fr", description="x"), NOBODY),
    "change the server's rules": (put("olcDatabase={2}mdb,cn=config", olcReadOnly="TRUE"), NOBODY),
}


def own_password(operation: str, *values: str) -> Do:
    """Changes the entry of the identity itself; others try that of the reader."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        name = place.who if place.who in SEES else "reader"
        connection.modify(f"cn=piactl-{name},{SERVICES}", {"userPassword": [(operation, [*values])]})

    return do


def foreign(kind: str, dn: str) -> dict[str, tuple[Do, set[str]]]:
    """Every way to put an account under the password policy `dn`."""
    under = {"userPassword": FRESH, "pwdReset": "TRUE", "pwdPolicySubentry": dn}
    codes = f"cn=activation,{POLICIES}"
    ways: dict[str, Do] = {
        "added": change("account", pwdPolicySubentry=(ADD, [dn])),
        "in place of none": put("account", pwdPolicySubentry=dn),
        "in place of the one of codes": put("coded", pwdPolicySubentry=dn),
        "with a code": put("account", **under),
        "protected": put("protected", pwdPolicySubentry=dn),
        "of codes, protected": put("protected", pwdPolicySubentry=codes),
        "in a new account": put_in("new", lambda who, _: account(f"n.{who}", pwdPolicySubentry=dn)),
    }
    return {f"policy, {kind}, {way}": (do, ADMINISTRATOR) for way, do in ways.items()}


PASSWORDS = (
    "add an account with a password",
    "set the password",
    "set the password, protected",
    "give out a password",
    "change the password by its operation",
    "change the password by its operation, protected",
)
"""Those of WRITES that give an account a password."""

HOSTILE: dict[str, tuple[Do, set[str]]] = {
    **foreign("not there", f"cn=gone,{POLICIES}"),
    **{
        f"policy, {kind}": (put("account", userPassword=FRESH, pwdPolicySubentry=dn), ADMINISTRATOR)
        for kind, dn in {
            "of everybody": f"cn=default,{POLICIES}",
            "of the services": f"cn=services,{POLICIES}",
            "below the one of codes": f"cn=x,cn=activation,{POLICIES}",
            "another account": "uid=u.reader,ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
        }.items()
    },
    "a second password": (change("account", userPassword=(ADD, [FRESH])), NOBODY),
    "a second password, protected": (change("protected", userPassword=(ADD, [FRESH])), NOBODY),
    # entries of other applications are exempt: those that have two could no longer be changed
    "a second password, unmanaged": (change("unmanaged", userPassword=(ADD, [FRESH])), ADMINISTRATOR),
    "a second password, hashed": (change("account", userPassword=(ADD, [hashed(FRESH)])), NOBODY),
    "two passwords at once": (put("account", userPassword=[FRESH, PASSWORD + "s"]), NOBODY),
    "a new account with two passwords": (
        put_in("new", lambda who, _: account(f"n.{who}", userPassword=[hashed(FRESH), hashed(PASSWORD)])),
        NOBODY,
    ),
    "an own password": (own_password(ldap3.MODIFY_REPLACE, FRESH), NOBODY),
    "an own second password": (own_password(ADD, FRESH), NOBODY),
    "no own password": (own_password(DELETE), NOBODY),
    **{
        f"the password of the identity {name}": (
            put(f"cn=piactl-{name},{SERVICES}", userPassword=FRESH),
            NOBODY,
        )
        for name in ("reader", "nightly", "desk", "administrator", "approver")
    },
}
"""Writes of values that give wrong access, and who may make them."""


def own_dn(place: Place) -> str:
    own = {"late": LATE, "consumer": APPLICATION}
    return own.get(place.who, f"cn=piactl-{place.who},{SERVICES}")


def take_lock(writer: str = "") -> Do:
    """Adds the run lock in the name of the identity itself or of `writer`."""

    def do(connection: ldap3.Connection, place: Place) -> None:
        hold_lock(connection, place.state, writer or own_dn(place))

    return do


def take_over(writer: str = "") -> Do:
    def do(connection: ldap3.Connection, place: Place) -> None:
        changes = {"piactlWriter": writer or own_dn(place), "piactlData": '{"run": 1}'}
        connection.modify(
            f"cn=lock,{place.state}", {k: [(ldap3.MODIFY_REPLACE, [v])] for k, v in changes.items()}
        )

    return do


def release_lock(connection: ldap3.Connection, place: Place) -> None:
    connection.delete(f"cn=lock,{place.state}")


LOCKS: dict[str, tuple[Do, set[str]]] = {
    "add": (take_lock(), APPLIES | {"late"}),
    "take over": (take_over(), APPLIES | {"late"}),
    "release": (release_lock, APPLIES | {"late"}),
    **{
        f"{action} for {who}": (do(dn), ADMINISTRATOR)
        for action, do in (("add", take_lock), ("hand over", take_over))
        for who, dn in {
            "the desk": f"cn=piactl-desk,{SERVICES}",
            "an account": "uid=u.reader,ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
        }.items()
    },
}


def person_device(dn: str) -> dict[str, Any]:
    """The values of a device that can also be used to log in."""
    values = device(dn, cn="two", userPassword=FRESH)
    values["objectClass"] = [*values["objectClass"], "simpleSecurityObject"]
    return values


def bound(sandbox: Any, who: str, place: Place) -> Any:
    """A connection as `who`; self is the account that is changed, other is another person with a password."""
    if who == "self":
        return sandbox.bind(place.account, PASSWORD)
    if who == "other":
        return sandbox.bind(Place("reader", place.accounts, place.state).unmanaged, PASSWORD)
    if who in ("late", "consumer"):
        return sandbox.bind(LATE if who == "late" else APPLICATION, PASSWORD)
    return sandbox.bind("", "") if who == "anonymous" else sandbox.connect(who)


def require_refusal(who: str, refused: LDAPOperationResult, codes: Container[int] = REFUSALS) -> None:
    """Fails on any other error than a refusal of rights: then the operation itself was wrong."""
    assert refused.result in codes, f"{who}: {refused}"


def stamps(sandbox: Any) -> list[bytes]:
    """The raw answers of the server with the entryCSN of every entry, which any change of it moves. They are
    not parsed, because this is asked some thousand times."""
    with sandbox.root() as root:
        words = ("o=gouv,c=fr", "(objectClass=*)", ldap3.SUBTREE, ldap3.DEREF_NEVER, ["entryCSN"])
        root.strategy.send("searchRequest", search_operation(*words, 0, 0, False, None, None))
        answers: list[bytes] = []
        while not answers or operation(answers[-1])[1] != SEARCH_DONE:
            answers += root.strategy.receiving()
        assert len(answers) > 50
        return [body(answer) for answer in answers]


def unlocked(root: ldap3.Connection, place: Place) -> None:
    root.modify(place.account, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [])]})


@cache
def _arranged() -> Path:
    with preparing() as sandbox:
        arrange_all(sandbox)
    return sandbox.folder


@cache
def _arranged_tree() -> str:
    """The content of that sandbox as LDIF."""
    slapcat = find_software().slapadd.with_name("slapcat")
    command = [slapcat, "-f", _arranged() / "slapd" / "slapd.conf", "-b", "o=gouv,c=fr"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.fixture
def arranged(make_sandbox: Callable[..., Any]) -> Any:
    """A sandbox for one test, after `arrange_all`."""
    return make_sandbox(like=_arranged())


Serve = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def kept() -> Iterator[Callable[[str], Any]]:
    """One server with each form of the settings, after `arrange_all`, for tests that leave it as it is."""
    with sandboxes() as make, ExitStack() as stack:

        @cache
        def server(form: str) -> Any:
            return stack.enter_context(served(make(like=_arranged()), form))

        yield server


@pytest.fixture
def serve(kept: Callable[[str], Any], make_sandbox: Callable[..., Any]) -> Serve:
    """A server with a form of the settings: the one that all tests share if nobody may do the operation,
    because a refusal changes nothing, which `who_may` checks."""

    def serve(form: str, may_change: set[str]) -> AbstractContextManager[Any]:
        return served(make_sandbox(like=_arranged()), form) if may_change else nullcontext(kept(form))

    return serve


@pytest.mark.parametrize("name", READS)
def test_each_identity_reads_what_the_table_allows_and_no_more(kept: Callable[[str], Any], name: str) -> None:
    do, expected = READS[name]
    allowed = set()
    sandbox = kept("slapd.conf")
    places = places_of(sandbox)
    with sandbox.root() as root:
        assert do(root, places["reader"])  # the value is there to be read
    for who, place in places.items():
        with bound(sandbox, who, place) as connection:
            try:
                if do(connection, place):
                    allowed.add(who)
            except LDAPOperationResult as refused:
                require_refusal(who, refused)
    # the run lock concerns only writes
    assert allowed == expected | ({"late"} if "nightly" in expected else set())


@pytest.mark.parametrize("form", ["slapd.conf", "cn=config"])
def test_a_search_from_above_shows_nothing_above(kept: Callable[[str], Any], form: str) -> None:
    """An application finds accounts, groups and structures, and a person the own entry alone."""
    sandbox = kept(form)
    places = places_of(sandbox)
    containers = {f"{name},{BASES[1]}" for name in ("ou=groupes", "ou=structures")}
    accounts = set(sandbox.entries(BASES[0], "(objectClass=piactlAccount)"))
    assert len(accounts) > 50
    for who, expected in {
        "consumer": accounts | containers,
        "self": {places["self"].account},
        "other": set(),
    }.items():
        with bound(sandbox, who, places[who]) as connection:
            for base in BASES:
                for query in ("(objectClass=*)", "(!(uid=x))"):
                    connection.search(base, query, ldap3.SUBTREE, attributes=["1.1"])
                    found = {e["dn"] for e in connection.response if "dn" in e}
                    assert found == {dn for dn in expected if dn.endswith(base)}, (who, base)


@pytest.mark.parametrize("name", WRITES)
def test_each_identity_writes_what_the_table_allows_and_no_more(serve: Serve, name: str) -> None:
    do, expected = WRITES[name]
    with serve("slapd.conf", expected) as server:
        # passwords are refused by the overlay constraint, before the rights
        assert who_may(server, do, REFUSALS | ({CONSTRAINT} if name in PASSWORDS else set())) == expected


@pytest.mark.parametrize("name", [*PASSWORDS, "take the password away", "take the password away, protected"])
def test_who_may_write_passwords_on_a_server_from_cn_config(serve: Serve, name: str) -> None:
    do, expected = WRITES[name]
    with serve("cn=config", expected) as server:
        assert who_may(server, do, REFUSALS | {CONSTRAINT}) == expected


@pytest.mark.parametrize("name", PASSWORDS)
def test_the_rights_alone_allow_nobody_else_to_set_a_password(arranged: Any, name: str) -> None:
    without_sets(arranged)
    do, expected = WRITES[name]
    assert who_may(arranged, do) == expected


@pytest.mark.parametrize("form", ["slapd.conf", "cn=config"])
@pytest.mark.parametrize("name", LOCKS)
def test_who_may_take_hand_over_and_release_the_run_lock(
    kept: Callable[[str], Any], name: str, form: str
) -> None:
    """A nightly identity takes the lock for itself, also from another one, and gives it to nobody else."""
    do, expected = LOCKS[name]
    server = kept(form)
    allowed = set()
    for who, place in places_of(server).items():
        given_lock(server, "" if name.startswith("add") else f"cn=piactl-administrator,{SERVICES}")
        with bound(server, who, place) as connection:
            try:
                do(connection, place)
            except LDAPOperationResult as refused:
                require_refusal(who, refused)
            else:
                allowed.add(who)
    given_lock(server, f"cn=piactl-nightly,{SERVICES}")
    assert allowed == expected


def given_lock(server: Any, who: str) -> None:
    """Gives the run lock to somebody, or removes it."""
    with server.root() as root:
        with suppress(LDAPNoSuchObjectResult):
            root.delete(f"cn=lock,{server.state}")
        if who:
            hold_lock(root, server.state, who)


@pytest.mark.parametrize("form", ["slapd.conf", "cn=config"])
@pytest.mark.parametrize("name", HOSTILE)
def test_who_may_write_values_that_give_wrong_access(serve: Serve, name: str, form: str) -> None:
    do, expected = HOSTILE[name]
    with serve(form, expected) as server:
        assert who_may(server, do, REFUSALS | {CONSTRAINT}) == expected


def without_sets(sandbox: Any) -> None:
    """Restarts the server without the rules that say who may send a password."""
    sandbox.stop()
    settings = sandbox.folder / "slapd" / "slapd.conf"
    text, count = re.subn(r"(?m)^constraint_attribute userPassword set .*\n", "", settings.read_text())
    assert count
    settings.write_text(text)
    sandbox.start()


@contextmanager
def served(arranged: Any, form: str) -> Iterator[Any]:
    """The server with this form of the settings, after `arrange_all`."""
    if form == "slapd.conf":
        yield arranged
        return
    with config_server(arranged, tree=lambda _: _arranged_tree()) as server:
        yield arranged.at(server.uri)


def who_may(sandbox: Any, do: Do, refusals: Container[int] = REFUSALS) -> set[str]:
    """The identities that may do the operation; checks that a refusal changes nothing."""
    allowed = set()
    for who, place in places_of(sandbox).items():
        with bound(sandbox, who, place) as connection:
            before = stamps(sandbox)
            try:
                do(connection, place)
            except LDAPOperationResult as refused:
                require_refusal(who, refused, refusals)
                assert stamps(sandbox) == before, f"{who}: refused, and yet changed"
            else:
                allowed.add(who)
                assert stamps(sandbox) != before, f"{who}: done, and nothing changed"
    return allowed


@pytest.mark.parametrize("form", ["slapd.conf", "cn=config"])
def test_an_activation_password_cannot_replace_itself(arranged: Any, form: str) -> None:
    with served(arranged, form) as server:
        place = places_of(server)["desk"]
        with server.connect("desk") as desk:
            WRITES["give out a password"][0](desk, place)
        with server.bind(place.account, FRESH) as owner:
            for old in (FRESH, None):
                with pytest.raises(LDAPConstraintViolationResult):
                    owner.extend.standard.modify_password(place.account, old, FRESH)
            with pytest.raises(LDAPConstraintViolationResult):
                owner.modify(place.account, {"userPassword": [(ldap3.MODIFY_REPLACE, [FRESH])]})
            assert server.entry(place.account)["pwdReset"] == [b"TRUE"]
            assert owner.extend.standard.modify_password(place.account, FRESH, PASSWORD)
        assert "pwdReset" not in server.entry(place.account)
        assert server.accepts(place.account, PASSWORD)
        assert not server.accepts(place.account, FRESH)


def test_a_protected_account_may_change_its_own_password(sandbox: Any) -> None:
    place = Place("self", sandbox.accounts, sandbox.state)
    with sandbox.root() as root:
        arrange(root, place)
        root.modify(place.protected, {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [])]})
    with sandbox.bind(place.protected, PASSWORD) as connection:
        connection.modify(place.protected, {"userPassword": [(ldap3.MODIFY_REPLACE, [FRESH])]})
    assert sandbox.accepts(place.protected, FRESH)


@pytest.mark.parametrize(
    ("operation", "kind", "name", "refused"),
    [
        (DELETE, "account", "piactlAccount", ["reader", "nightly", "desk"]),
        (ADD, "unmanaged", "piactlAccount", ["reader", "nightly", "desk"]),
        (ADD, "account", "oathTOTPUser", ["reader"]),
        (ADD, "protected", "oathTOTPUser", ["reader", "nightly", "desk"]),
        (ADD, "account", "labeledURIObject", ["reader", "desk"]),
    ],
)
def test_changing_an_object_class_alone_is_refused_for_want_of_rights(
    sandbox: Any, operation: str, kind: str, name: str, refused: list[str]
) -> None:
    """The reason is not only that the schema refuses a class without its attributes."""
    place = Place("x", sandbox.accounts, sandbox.state)
    with sandbox.root() as root:
        arrange(root, place)
        hold_lock(root, sandbox.state)
    for identity in refused:
        with sandbox.connect(identity) as connection, pytest.raises(LDAPInsufficientAccessRightsResult):
            connection.modify(getattr(place, kind), {"objectClass": [(operation, [name])]})


def test_nightly_may_assert_managed_attributes_but_no_password(sandbox: Any) -> None:
    """An assertion needs the right to search by its values: managed attributes, not secrets."""
    place = Place("nightly", sandbox.accounts, sandbox.state)
    with sandbox.root() as root:
        arrange(root, place)
        hold_lock(root, sandbox.state)
    changes = {"piactlState": [(ldap3.MODIFY_REPLACE, ["grace"])]}
    with sandbox.connect("nightly") as connection:
        with pytest.raises(LDAPOperationResult) as refused:
            connection.modify(place.account, changes, controls=[assertion("piactlState", "archived")])
        assert refused.value.result == 122
        connection.modify(place.account, changes, controls=[assertion("piactlState", "active")])
        with pytest.raises(LDAPOperationResult) as secret:
            connection.modify(place.account, changes, controls=[assertion("userPassword", hashed(PASSWORD))])
        assert secret.value.result in {122, 50}
    assert sandbox.entry(place.account)["piactlState"] == [b"grace"]


def assertion(attribute: str, value: str) -> tuple[str, bool, bytes]:
    """The RFC 4528 control for `attribute=value`; both are short enough for one-byte lengths."""
    parts = b"".join(b"\x04" + bytes([len(t)]) + t for t in (attribute.encode(), value.encode()))
    return ("1.3.6.1.1.12", True, b"\xa3" + bytes([len(parts)]) + parts)
