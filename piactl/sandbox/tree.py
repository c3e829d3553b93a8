"""What a new sandbox's directory holds before its first start: bases, service identities, policies."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from urllib.parse import quote

from piactl.sandbox.rendering import render

SUFFIX = "o=gouv,c=fr"
_EDUCATION = f"ou=education,{SUFFIX}"
_ACADEMIE = f"ou=ac-amiens,{_EDUCATION}"
ACCOUNTS = f"ou=personnels EN,{_ACADEMIE}"
STATE = f"ou=piactl,{_ACADEMIE}"
_SERVICES = f"ou=services,{_ACADEMIE}"
POLICIES = f"ou=policies,{_ACADEMIE}"
IDENTITIES = ("reader", "nightly", "desk", "administrator")


def identity_dn(identity: str) -> str:
    """The DN of one of IDENTITIES."""
    return f"cn=piactl-{identity},{_SERVICES}"


def tree_settings() -> dict[str, str]:
    """The placeholders of the server settings that name places of the tree."""
    return {
        "suffix": SUFFIX,
        "accounts": ACCOUNTS,
        "state": STATE,
        "services": _SERVICES,
        "policies": POLICIES,
        "suffix_uri": quote(SUFFIX, safe="=,"),
        "accounts_uri": quote(ACCOUNTS, safe="=,"),
        "root": f"cn=root,{_SERVICES}",
        **{identity: identity_dn(identity) for identity in IDENTITIES},
    }


def initial_ldif(passwords: Mapping[str, bytes]) -> str:
    """The whole initial tree as LDIF for slapadd; `passwords` has one for each of IDENTITIES.

    Only hashes of them are in the result.
    """
    hashes = {f"{identity}_hash": _hashed(passwords[identity]) for identity in IDENTITIES}
    above = f"dn: {SUFFIX}\nobjectClass: organization\no: gouv\n\n"
    above += "".join(
        f"dn: {dn}\nobjectClass: organizationalUnit\nou: {dn.split(',')[0].removeprefix('ou=')}\n\n"
        for dn in (_EDUCATION, _ACADEMIE, ACCOUNTS)
    )
    return above + render("tree.ldif.in", {**tree_settings(), **hashes})


def _hashed(password: bytes) -> str:
    # 256 random bits need no slow hash, and a service identity binds at every command
    salt = secrets.token_bytes(16)
    digest = hashlib.sha1(password + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode("ascii")
