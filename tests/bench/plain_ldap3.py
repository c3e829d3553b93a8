"""What somebody with an LDAP library and an afternoon would write: one change after the other.

python -m bench.plain_ldap3 URI DN PASSWORD_FILE CHANGES.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ldap3


def main(uri: str, dn: str, password_file: str, changes: str) -> None:
    password = Path(password_file).read_text()
    server = ldap3.Server(uri)
    who = ldap3.Connection(server, dn, password, raise_exceptions=True)
    with who as connection, Path(changes).open() as lines:
        for line in lines:
            change = json.loads(line)
            if change["op"] == "add":
                connection.add(change["dn"], attributes=change["add"])  # type: ignore[no-untyped-call]
            elif change["op"] == "delete":
                connection.delete(change["dn"])  # type: ignore[no-untyped-call]
            else:
                modify(connection, change)


def modify(connection: ldap3.Connection, change: dict[str, Any]) -> None:
    steps: dict[str, list[Any]] = {}
    for name, values in change["delete"].items():
        if values:
            steps.setdefault(name, []).append((ldap3.MODIFY_DELETE, values))
        else:
            steps.setdefault(name, []).append((ldap3.MODIFY_REPLACE, change["add"].get(name, [])))
    for name, values in change["add"].items():
        if values and change["delete"].get(name) != []:
            steps.setdefault(name, []).append((ldap3.MODIFY_ADD, values))
    connection.modify(change["dn"], steps)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(*sys.argv[1:])
