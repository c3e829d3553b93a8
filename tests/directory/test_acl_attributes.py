"""Identity × attribute × hostile value, on a real server. The attributes are those of piactl.schema: a new
attribute without a line below fails here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPOperationResult

from tests.outside import SCHEMAS

from .test_acl_matrix import (
    ADMINISTRATOR,
    APPLIES,
    EVERYBODY,
    LATE,
    NOBODY,
    POLICIES,
    REFUSALS,
    SUPPORTS,
    Place,
    arranged,
    bound,
    places_of,
    served,
    stamps,
)

__all__ = ["arranged"]  # a fixture

SCHEMA = (SCHEMAS / "ldap" / "piactl.schema").read_text(encoding="utf-8")
SYNTAXES = r"1\.3\.6\.1\.4\.1\.1466\.115\.121\.1\."
DEFINITIONS = {
    name: (syntax, bool(single))
    for name, syntax, single in re.findall(
        rf"(?s)attributetype \( \S+ NAME '(\w+)'.*?SYNTAX {SYNTAXES}(\d+)( SINGLE-VALUE)? \)", SCHEMA
    )
}
ALL = APPLIES | SUPPORTS


@dataclass(frozen=True)
class Writers:
    """Who may write the attribute on an account, on one of its devices, and on a record of a run; None if the
    class of the entry does not have it. Only the administrator writes protected accounts."""

    account: set[str] | None = None
    device: set[str] | None = None
    record: set[str] | None = None

    def of(self, kind: str) -> set[str] | None:
        if kind == "protected":
            return None if self.account is None else self.account & ADMINISTRATOR
        writers: set[str] | None = getattr(self, kind)
        return writers


RULES = {
    "piactlState": Writers(APPLIES),
    "piactlIdentifier": Writers(APPLIES),
    "piactlAlias": Writers(APPLIES),
    "piactlMatriculeDigest": Writers(APPLIES),
    "piactlNumenDigest": Writers(APPLIES),
    "piactlNumenVerifier": Writers(APPLIES),
    "piactlMatricule": Writers(APPLIES),
    "piactlMergedInto": Writers(APPLIES),
    "piactlIdentityDigest": Writers(APPLIES),
    "piactlBirthDigest": Writers(APPLIES),
    "piactlProofChanged": Writers(APPLIES),
    "piactlNextDue": Writers(APPLIES, SUPPORTS, APPLIES),
    "piactlProfile": Writers(APPLIES),
    "piactlAssignment": Writers(APPLIES),
    "piactlException": Writers(APPLIES),
    "piactlLock": Writers(APPLIES),
    "piactlProtected": Writers(ADMINISTRATOR),
    "piactlDigest": Writers(APPLIES),
    "piactlData": Writers(None, SUPPORTS, APPLIES),
    "piactlOverride": Writers(APPLIES),
    "piactlDevice": Writers(ALL),
    "piactlSealed": Writers(None, SUPPORTS),
    "piactlWriter": Writers(),
}
"""Only the run lock has piactlWriter: `test_who_may_take_hand_over_and_release_the_run_lock` tries it."""

VALUES: dict[str, list[Any]] = {
    "15": ["{not json {who}", "20991231 {who}", "uid=a.other {who}", "\x1b[31mred {who}"],
    "26": ["taken.{who}@example.org", "a;=1+1.{who}@example.org"],
    "27": ["99991231", "-1"],
    "7": ["TRUE", "FALSE"],
    "40": [b"\xff\x00 no record", b'{"run": 1e999}', b'{"last": "2099-01-01T00:00:00+00:00"}'],
    "12": [
        LATE,
        f"cn=default,{POLICIES}",
        "uid=u.other,ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr",
    ],
}
"""Hostile values by syntax: malformed, far in the future, of somebody else, harmful on a terminal."""

SERVERS = {
    "pwdPolicySubentry": ([f"cn=gone,{POLICIES}", f"cn=protected,{POLICIES}"], ADMINISTRATOR),
    "pwdStartTime": (["19700101000000Z", "20991231000000Z"], APPLIES),
    "pwdEndTime": (["20991231000000Z"], APPLIES),
    "pwdAccountLockedTime": (["20991231000000Z", "000001010000Z"], SUPPORTS),
    "pwdReset": (["FALSE"], SUPPORTS),
    "oathTOTPToken": (["cn=otp,uid=a.other,ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr"], ALL),
    "pwdHistory": (["20200101000000Z#1.2.3#5#aaaaa"], NOBODY),
    "pwdFailureTime": (["20200101000000Z"], NOBODY),
}
"""Attributes of ppolicy and slapo-otp on an account: hostile values, and who may write them."""


def test_every_attribute_of_the_schema_has_its_rule() -> None:
    assert len(DEFINITIONS) == SCHEMA.count("attributetype (")
    assert RULES.keys() == DEFINITIONS.keys(), "say below who may write the new attribute, and on what"
    assert {syntax for syntax, _ in DEFINITIONS.values()} <= VALUES.keys()


OBJECT_CLASS, CONSTRAINT, SYNTAX = 65, 19, 21


def passes(connection: ldap3.Connection, dn: str, attribute: str, value: Any) -> bool:
    """Whether the rights let the value pass; the classes of the entry may still lack the attribute."""
    code = 0
    try:
        connection.modify(dn, {attribute: [(ldap3.MODIFY_REPLACE, [value])]})
    except LDAPOperationResult as refused:
        code = refused.result
    # slapd says CONSTRAINT for attributes that only it writes
    assert code in REFUSALS | {0, OBJECT_CLASS, CONSTRAINT}, (dn, attribute, value, code)
    return code in (0, OBJECT_CLASS)


def entries(place: Place) -> dict[str, str]:
    return {
        "account": place.account,
        "protected": place.protected,
        "device": f"cn=otp,{place.account}",
        "record": place.run,
    }


def tried(writers: Writers, values: list[Any]) -> list[tuple[str, Any, set[str]]]:
    """(kind of entry, value, who may write it)."""
    kinds = ("account", "protected", "device", "record")
    return [(kind, v, who) for kind in kinds if (who := writers.of(kind)) is not None for v in values]


@pytest.mark.parametrize("form", ["slapd.conf", "cn=config"])
def test_who_may_write_hostile_values_into_each_attribute(arranged: Any, form: str) -> None:
    rows = [
        (attribute, *row)
        for attribute, (syntax, _) in DEFINITIONS.items()
        for row in tried(RULES[attribute], VALUES[syntax])
    ]
    rows += [(name, *row) for name, (values, who) in SERVERS.items() for row in tried(Writers(who), values)]
    assert len(rows) > 100
    wrong = []
    with served(arranged, form) as server:
        places = places_of(server)
        for who in EVERYBODY:
            before = stamps(server)
            may_write = False
            with bound(server, who, places[who]) as connection:
                for attribute, kind, value, writers in rows:
                    own = value.replace("{who}", f"{who}-{kind}") if isinstance(value, str) else value
                    right = passes(connection, entries(places[who])[kind], attribute, own)
                    may_write |= right
                    if right != (who in writers):
                        wrong.append(
                            f"{who} {'can' if right else 'cannot'} write {attribute}={value} of {kind}"
                        )
            assert may_write or stamps(server) == before, f"{who}: refused, and yet changed"
    assert wrong == []


def test_single_valued_attributes_refuse_two_values(arranged: Any) -> None:
    """Not even those who may write the attribute can add one."""
    places = places_of(arranged)
    single = [name for name, (_, single_valued) in DEFINITIONS.items() if single_valued and name in SINGLE]
    assert len(single) > 5
    with bound(arranged, "administrator", places["administrator"]) as administrator:
        for name in single:
            values = SINGLE[name]
            with pytest.raises(LDAPOperationResult) as refused:
                administrator.modify(
                    places["administrator"].account, {name: [(ldap3.MODIFY_REPLACE, values)]}
                )
            assert refused.value.result in {CONSTRAINT, SYNTAX}, name


SINGLE: dict[str, list[Any]] = {
    "piactlState": ["active", "grace"],
    "piactlNumenDigest": ["{k1}00", "{k1}01"],
    "piactlNumenVerifier": ["{k1}scrypt", "{k1}scrypt$14"],
    "piactlMergedInto": ["{k1}00 a.b", "{k1}01 a.b"],
    "piactlIdentityDigest": ["{k1}00", "{k1}01"],
    "piactlBirthDigest": ["{k1}00$0", "{k1}01$0"],
    "piactlNextDue": ["20300101", "20310101"],
    "piactlLock": ["a", "b"],
    "piactlProtected": ["TRUE", "FALSE"],
    "piactlDigest": ["a", "b"],
    "piactlDevice": ["a", "b"],
}
