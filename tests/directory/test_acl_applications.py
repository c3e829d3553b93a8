"""The settings of examples/consumers for programs that copy accounts: each reads what it needs, and no other
application does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.directory.config_server import ConfigServer, config_server
from tests.outside import ACCOUNTS, CONSUMERS, POLICIES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "consumers"
NAMES = {"sn": "Essai", "givenName": "Camille", "displayName": "Camille Essai"}
READ = {
    "keycloak": {"entryUUID", "modifyTimestamp", "sn", "givenName"},
    "nextcloud": {"entryUUID", "displayName"},
    "moodle": {"sn", "givenName"},
    "glpi": {"modifyTimestamp", "sn", "givenName"},
    "sympa": {"piactlAlias"},
}
"""What each reads besides what every application reads."""
ASKED = sorted(set().union(*READ.values()))
PEOPLE, LIMIT = 520, 500
PASSWORD = "a long word of an application"


def populated(tree: str) -> str:
    """The tree with accounts and the entries of the programs."""
    entries = [tree.rstrip()]
    for number in range(PEOPLE):
        uid = f"essai.{number}"
        values = {"cn": "Camille Essai", **NAMES, "mail": f"{uid}@example.org", "piactlState": "active"}
        values |= {"uid": uid, "piactlAlias": f"{uid}@example.net", "piactlIdentifier": uid}
        values["piactlMatriculeDigest"] = f"{{k1}}{number}"
        classes = ("inetOrgPerson", "eduPerson", "supannPerson", "piactlAccount")
        lines = [f"dn: uid={uid},{ACCOUNTS}", *(f"objectClass: {name}" for name in classes)]
        entries.append("\n".join([*lines, *(f"{name}: {value}" for name, value in values.items())]))
    for name in READ:
        head = (
            f"dn: cn={name},{CONSUMERS}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject"
        )
        policy = f"pwdPolicySubentry: cn=services,{POLICIES}"
        entries.append(f"{head}\ncn: {name}\nuserPassword: {PASSWORD}\n{policy}")
    return "\n\n".join(entries) + "\n"


@pytest.fixture
def server(sandbox: Any) -> Iterator[ConfigServer]:
    with config_server(sandbox, tree=populated) as server:
        yield server


def copied(sandbox: Any, name: str, condition: str = "") -> tuple[str, list[set[str]]]:
    """How the server ends a search by pages of 100, and what the program reads of each account found."""
    query = f"(&(objectClass=piactlAccount){condition})"
    with sandbox.bind(f"cn={name},{CONSUMERS}", PASSWORD) as connection:
        found = connection.extend.standard.paged_search(
            "ou=education,o=gouv,c=fr", query, ldap3.SUBTREE, attributes=ASKED, paged_size=100
        )
        entries = [{k for k, v in entry["raw_attributes"].items() if v} for entry in found]
        return connection.result["description"], entries


def test_a_program_copies_all_accounts_and_reads_what_it_needs(sandbox: Any, server: ConfigServer) -> None:
    directory = sandbox.at(server.uri)
    assert {path.stem for path in EXAMPLES.glob("*.ldif")} == READ.keys()
    known: dict[str, set[str]] = {name: set() for name in READ}
    for name, attributes in READ.items():
        assert copied(directory, name) == ("sizeLimitExceeded", [set()] * LIMIT)
        command = ["ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", server.uri, "-f", EXAMPLES / f"{name}.ldif"]
        subprocess.run(command, check=True, capture_output=True)
        known[name] = attributes
        assert copied(directory, name) == ("success", [attributes] * PEOPLE)
        for other, reads in known.items():
            assert copied(directory, other, "(uid=essai.7)")[1] == [reads]
    changed = {name: len(copied(directory, name, "(modifyTimestamp>=20200101000000Z)")[1]) for name in READ}
    assert changed == {name: PEOPLE * ("modifyTimestamp" in reads) for name, reads in READ.items()}
