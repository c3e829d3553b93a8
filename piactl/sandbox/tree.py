"""What a new sandbox's directory holds before its first start: bases, service identities, policies."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from urllib.parse import quote

SUFFIX = "o=gouv,c=fr"
_ACADEMIE = f"ou=ac-amiens,ou=education,{SUFFIX}"
ACCOUNTS = f"ou=personnels EN,{_ACADEMIE}"
STATE = f"ou=piactl,{_ACADEMIE}"
SERVICES = f"ou=services,{_ACADEMIE}"
POLICIES = f"ou=policies,{_ACADEMIE}"
ROOT = f"cn=root,{SERVICES}"
IDENTITIES = ("reader", "nightly", "desk", "administrator")

_DAY = 86400

# Five failures: a password of 12 characters whose other factor may be a confidential identifier.
# No forced renewal and no history, so that no old hash is kept. pwdMustChange makes pwdReset work.
_PEOPLE = {
    "pwdAttribute": "userPassword",
    "pwdMinLength": "12",
    "pwdCheckQuality": "2",
    "pwdLockout": "TRUE",
    "pwdMaxFailure": "5",
    "pwdFailureCountInterval": "900",
    "pwdLockoutDuration": "900",
    "pwdMustChange": "TRUE",
    "pwdAllowUserChange": "TRUE",
}
# A password that support gave out: it ends by itself, used or not.
_ACTIVATION = {**_PEOPLE, "pwdMaxAge": str(3 * _DAY)}
# Service identities have long random passwords; a lockout would let anybody stop the nightly run.
_SERVICES = {"pwdAttribute": "userPassword", "pwdLockout": "FALSE"}


def identity_dn(identity: str) -> str:
    """The DN of one of IDENTITIES."""
    return f"cn=piactl-{identity},{SERVICES}"


def tree_settings() -> dict[str, str]:
    """The placeholders of the server settings that name places of the tree."""
    return {
        "suffix": SUFFIX,
        "accounts": ACCOUNTS,
        "state": STATE,
        "services": SERVICES,
        "policies": POLICIES,
        "suffix_uri": quote(SUFFIX, safe="=,"),
        "accounts_uri": quote(ACCOUNTS, safe="=,"),
        "root": ROOT,
        **{identity: identity_dn(identity) for identity in IDENTITIES},
    }


def initial_ldif(passwords: Mapping[str, bytes]) -> str:
    """The whole initial tree as LDIF for slapadd; `passwords` has one for each of IDENTITIES.

    Only hashes of them are in the result.
    """
    entries = [
        _entry(SUFFIX, objectClass="organization", o="gouv"),
        _unit(f"ou=education,{SUFFIX}"),
        *(_unit(dn) for dn in (_ACADEMIE, ACCOUNTS, SERVICES, POLICIES, STATE)),
        *(_unit(f"ou={name},{STATE}") for name in ("runs", "sources", "waiting", "attempts", "pins")),
        _policy("default", _PEOPLE),
        _policy("activation", _ACTIVATION),
        _policy("services", _SERVICES),
    ]
    for identity in IDENTITIES:
        dn = identity_dn(identity)
        entries.append(
            f"dn: {dn}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\n"
            f"cn: piactl-{identity}\nuserPassword: {_hashed(passwords[identity])}\n"
            f"pwdPolicySubentry: cn=services,{POLICIES}\n"
        )
    return "\n".join(entries)


def _hashed(password: bytes) -> str:
    # 256 random bits need no slow hash, and a service identity binds at every command
    salt = secrets.token_bytes(16)
    digest = hashlib.sha1(password + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode("ascii")


def _unit(dn: str) -> str:
    return _entry(dn, objectClass="organizationalUnit", ou=dn.split(",", 1)[0].removeprefix("ou="))


def _policy(name: str, settings: Mapping[str, str]) -> str:
    head = f"dn: cn={name},{POLICIES}\nobjectClass: applicationProcess\nobjectClass: pwdPolicy\ncn: {name}\n"
    return head + "".join(f"{attribute}: {value}\n" for attribute, value in settings.items())


def _entry(dn: str, **values: str) -> str:
    return f"dn: {dn}\n" + "".join(f"{attribute}: {value}\n" for attribute, value in values.items())
