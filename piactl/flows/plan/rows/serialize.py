"""The rows of a plan, its changes and its writes, as JSON values and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from piactl.core.plan.change import Change, Kind
from piactl.core.plan.run_state import Waiting
from piactl.directory.port import EntryWrite
from piactl.directory.store.memory_records import read_waiting, waiting_record
from piactl.flows.plan.rows.bundle import AccountWrite
from piactl.flows.plan.rows.json_lines import Lines, encode


@dataclass(frozen=True, slots=True)
class PlannedWrites:
    """The writes of a plan that stand in its rows, made of them whenever they are asked for."""

    rows: Lines | Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[AccountWrite]:
        return map(_read_account_write, self.rows)


@dataclass(frozen=True, slots=True)
class PlannedChanges:
    """The same of its changes, without their scopes, which only the guards ask for."""

    rows: Lines

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Change]:
        return map(_read_change, self.rows)


def _read_change(row: Mapping[str, Any]) -> Change:
    facts = {**row, "kind": Kind(row["kind"]), "effective": date.fromisoformat(row["effective"])}
    return Change(**facts)


def add_row(changes: Lines, writes: Lines, write: AccountWrite, made: Iterable[Change]) -> None:
    """Adds one row of a plan to its lines."""
    for change in made:
        changes.add(encode(change_facts(change)).encode())
    writes.add(encode(_account_write(write)).encode())


def change_lines(changes: Iterable[Change], folder: Path) -> Lines:
    return changes.rows if isinstance(changes, PlannedChanges) else Lines(folder, map(change_facts, changes))


def write_lines(writes: Iterable[AccountWrite], folder: Path) -> Lines:
    if isinstance(writes, PlannedWrites) and isinstance(writes.rows, Lines):
        return writes.rows
    return Lines(folder, map(_account_write, writes))


def change_facts(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "uid": change.uid,
        "matricule": change.matricule,
        "before": change.before,
        "after": change.after,
        "reason": change.reason,
        "feed": change.feed,
        "line": change.line,
        "effective": change.effective.isoformat(),
    }


def _texts(values: Mapping[str, tuple[bytes, ...]]) -> dict[str, list[str]]:
    return {name: list(map(bytes.decode, found)) for name, found in values.items()}


def _bytes(values: Mapping[str, list[str]]) -> dict[str, tuple[bytes, ...]]:
    return {name: tuple(value.encode() for value in found) for name, found in values.items()}


def write_facts(write: EntryWrite) -> dict[str, Any]:
    return {"op": write.op, "dn": write.dn, "add": _texts(write.add), "delete": _texts(write.delete)}


def read_write(w: Mapping[str, Any]) -> EntryWrite:
    return EntryWrite(w["op"], w["dn"], add=_bytes(w["add"]), delete=_bytes(w["delete"]))


def _account_write(write: AccountWrite) -> dict[str, Any]:
    waiting: Waiting | None = write.waiting
    return {
        "uid": write.uid,
        "kinds": list(write.kinds),
        "reason": write.reason,
        **write_facts(write.write),
        "waiting": waiting_record(waiting) if waiting else None,
    }


def _read_account_write(w: Mapping[str, Any]) -> AccountWrite:
    waiting = read_waiting(w["waiting"]) if w["waiting"] else None
    return AccountWrite(w["uid"], tuple(w["kinds"]), w["reason"], read_write(w), waiting)
