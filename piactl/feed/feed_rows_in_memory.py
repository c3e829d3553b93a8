"""The rows of the feeds of a run, in a table in memory that ends with the run: they hold NUMENs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

_TABLES = """
CREATE TEMP TABLE row(feed INTEGER, line INTEGER, owner TEXT, key TEXT, digest INTEGER, raw BLOB);
CREATE TEMP TABLE wanted(key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE batch(key TEXT PRIMARY KEY) WITHOUT ROWID;
"""  # fmt: skip
_NONE = ""
"""The key of the rows without an owner."""


class RowTable:
    """The rows by feed and line. `owner` is the matricule of a row as it is written, `key` the first
    matricule of that person. The people of a run are in `wanted`, those that are evaluated together in
    `batch`."""

    def __init__(self, db: sqlite3.Connection, key: bytes) -> None:
        """`key` is that of the digests of rows."""
        self._db, self.key = db, key
        db.executescript(_TABLES)

    def add(self, rows: Iterable[tuple[int, int, str, int, bytes]]) -> None:
        """Adds rows: feed, line, owner, digest, bytes."""
        self._db.execute("DROP INDEX IF EXISTS temp.row_key")
        self._db.executemany("INSERT INTO row VALUES (?1,?2,?3,?3,?4,?5)", rows)

    def index(self, first: Iterable[tuple[str, str]]) -> None:
        """Prepares the table once all feeds are in it. `first` are the further matricules of people, each
        with the first one."""
        self._db.execute("CREATE INDEX IF NOT EXISTS temp.row_key ON row(key)")
        self._db.execute("UPDATE row SET key = owner WHERE key <> owner")
        self._db.executemany("UPDATE row SET key = ? WHERE owner = ?", ((key, m) for m, key in first))

    def clear(self) -> None:
        """Removes all rows."""
        self._db.execute("DELETE FROM row")

    def forget(self, feed: int) -> None:
        """Removes the rows of a feed."""
        self._db.execute("DELETE FROM row WHERE feed = ?", (feed,))

    def owners(self, feed: int) -> set[str]:
        """Every matricule in a feed."""
        rows = self._db.execute("SELECT DISTINCT owner FROM row WHERE feed = ?", (feed,))
        return {owner for (owner,) in rows} - {_NONE}

    def set_batch(self, keys: Iterable[str]) -> None:
        self._db.execute("DELETE FROM batch")
        self._db.executemany("INSERT INTO batch VALUES (?)", ((key,) for key in keys))

    def of_batch(self, feed: int) -> list[tuple[int, bytes]]:
        """Line and bytes of the rows of the people in the batch."""
        query = "SELECT line, raw FROM batch CROSS JOIN row USING (key) WHERE feed = ? ORDER BY line"
        return self._db.execute(query, (feed,)).fetchall()

    def of_wanted(self, feed: int) -> Iterator[tuple[int, str, bytes]]:
        """Line, key and bytes of the rows of wanted people, and of those without an owner."""
        query = (
            "SELECT line, key, raw FROM row WHERE feed = ? "
            "AND (key = '' OR key IN (SELECT key FROM wanted)) ORDER BY rowid"
        )
        return iter(self._db.execute(query, (feed,)))
