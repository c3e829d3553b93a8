"""The changes that piactl makes, in a form that other programs can apply.

    python -m bench.requests dump FILE.ldif FOLDER     adds the entries of a dump of ldapsearch
    python -m bench.requests plan PLAN.json FOLDER     makes the writes of a plan of piactl

Both write into FOLDER `changes.ldif` for ldapadd and ldapmodify. These changes assert nothing.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.populations import TOP
from bench.servers import Server
from piactl.directory.store.base_digest import MANAGED
from piactl.sandbox.folder import ACCOUNTS

OWN_ACCOUNTS = "(objectClass=piactlAccount)"
EVERYTHING = ("*", *MANAGED)
"""What a dump asks for: some of the attributes that piactl writes are operational."""

Texts = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Changes:
    """The files of one set of changes."""

    folder: Path

    @property
    def ldif(self) -> Path:
        return self.folder / "changes.ldif"


def changes_of_dump(server: Server, folder: Path) -> Changes:
    """The changes that add all accounts of a directory to another one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dump.ldif").open("w", encoding="utf-8") as file:
        file.writelines(server.ask(ACCOUNTS, OWN_ACCOUNTS, *EVERYTHING))
    return _made("dump", folder / "dump.ldif", folder)


def changes_of_plan(plan: Path, folder: Path) -> Changes:
    """The writes of a plan to accounts."""
    folder.mkdir(parents=True, exist_ok=True)
    return _made("plan", plan, folder)


def _made(kind: str, source: Path, folder: Path) -> Changes:
    # in a process of its own, so that this one stays small (see measuring)
    words = [sys.executable, "-m", "bench.requests", kind, str(source), str(folder)]
    subprocess.run(words, cwd=TOP, check=True)
    return Changes(folder)


def ldif_lines(op: str, dn: str, add: Texts, delete: Texts) -> Iterator[str]:
    """One change as LDIF (RFC 2849)."""
    yield _line("dn", dn)
    yield f"changetype: {op}\n"
    if op == "add":
        for name, values in add.items():
            yield from (_line(name, value) for value in values)
    elif op == "modify":
        for name, values in delete.items():
            if values:
                yield from _clause("delete", name, values)
            else:
                yield from _clause("replace", name, add.get(name, ()))
        for name, values in add.items():
            if values and tuple(delete.get(name, ("",))) != ():
                yield from _clause("add", name, values)
    yield "\n"


def _clause(operation: str, name: str, values: Sequence[str]) -> Iterator[str]:
    yield f"{operation}: {name}\n"
    yield from (_line(name, value) for value in values)
    yield "-\n"


def _line(name: str, value: str) -> str:
    plain = value.isascii() and value.isprintable() and not value.startswith((" ", ":", "<"))
    if plain and not value.endswith(" "):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"


def _entries(lines: Iterable[str]) -> Iterator[dict[str, object]]:
    """The entries of a dump (unwrapped) as additions."""
    dn, values = "", dict[str, list[str]]()
    for line in lines:
        if line == "\n":
            if dn:
                yield {"op": "add", "dn": dn, "add": values, "delete": {}}
            dn, values = "", {}
            continue
        name, _, value = line.rstrip("\n").partition(":")
        text = base64.b64decode(value[2:]).decode() if value.startswith(":") else value[1:]
        if name == "dn":
            dn = text
        else:
            values.setdefault(name, []).append(text)


def _write(changes: Iterable[dict[str, object]], made: Changes) -> None:
    with made.ldif.open("w", encoding="utf-8") as ldif:
        for change in changes:
            op, dn, add, delete = (change[name] for name in ("op", "dn", "add", "delete"))
            ldif.writelines(ldif_lines(op, dn, add, delete))  # type: ignore[arg-type]


def main(kind: str, source: str, folder: str) -> None:
    with Path(source).open(encoding="utf-8") as file:
        changes = _entries(file) if kind == "dump" else json.load(file)["writes"]
        _write(changes, Changes(Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
