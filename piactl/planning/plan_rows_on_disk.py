"""The rows of a plan and the accounts that wait for a name, in a file without a name."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from piactl.core.plan.change import Change, Kind
from piactl.core.plan.check_guards import Tally
from piactl.core.plan.write import Write
from piactl.core.rules.address_allocation import Claim
from piactl.host.private_files import nameless_database
from piactl.planning.signed_plan_file import (
    PlannedRows,
    StoredRows,
    planned_changes,
    planned_writes,
    row_texts,
)

_TABLES = """
CREATE TABLE plan(n INTEGER PRIMARY KEY, last INTEGER, keeps INTEGER, uid TEXT, changes BLOB, write BLOB);
CREATE INDEX plan_order ON plan(last, keeps, uid, n);
CREATE TABLE claim(n INTEGER PRIMARY KEY, first INTEGER, matricule TEXT, base TEXT, uid TEXT, claimant BLOB);
"""
_ORDER = "ORDER BY last, keeps, uid, n"


class PlanTable:
    """Rows are ordered: groups last, accounts that lose something first, then by uid, then as they were
    added. The `tally` counts their changes."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._tally = tally
        self._db = nameless_database(folder)
        self._db.executescript(_TABLES)
        self._changes = self._writes = 0

    def add(self, rows: Iterable[Write]) -> None:
        for write in rows:
            texts, text = row_texts(write)
            self._changes += len(texts)
            self._writes += 1
            place = (Kind.GROUP.value in write.kinds, not write.loses, write.uid)
            if texts:
                self._tally.add(write.changes, place)
            row = (self._writes, *place, b"\n".join(texts), text)
            self._db.execute("INSERT INTO plan VALUES (?,?,?,?,?,?)", row)

    def changes(self) -> PlannedRows[Change]:
        return planned_changes(StoredRows(partial(self._column, "changes"), self._changes))

    def writes(self) -> PlannedRows[Write]:
        return planned_writes(StoredRows(partial(self._column, "write"), self._writes))

    def _column(self, name: str) -> Iterator[bytes]:
        query = f"SELECT {name} FROM plan {_ORDER}"  # nosec B608
        return (text for (text,) in self._db.execute(query))

    def add_claims(self, claims: Iterable[tuple[Claim, object]]) -> None:
        """Adds the claims to names, each with who makes it."""
        rows = ((*claim, pickle.dumps(claimant, pickle.HIGHEST_PROTOCOL)) for claim, claimant in claims)
        self._db.executemany(
            "INSERT INTO claim(first, matricule, base, uid, claimant) VALUES (?,?,?,?,?)", rows
        )

    @property
    def has_claims(self) -> bool:
        return self._db.execute("SELECT 1 FROM claim LIMIT 1").fetchone() is not None

    def claims(self) -> Iterator[tuple[Claim, Any]]:
        """The claims in their order, each with who makes it."""
        query = "SELECT n, first, matricule, base, uid FROM claim ORDER BY first, matricule, base, uid"
        for number, *claim in self._db.execute(query):
            (packed,) = self._db.execute("SELECT claimant FROM claim WHERE n = ?", (number,)).fetchone()
            # this process alone has written it
            yield Claim(*claim), pickle.loads(packed)  # noqa: S301 # nosec B301
