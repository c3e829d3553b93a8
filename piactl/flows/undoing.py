"""What an undo of a run needs, kept in the directory so that any host can undo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from piactl.directory import filters
from piactl.directory.port import EntryWrite
from piactl.directory.records import DATA, IN_RECORD, RUNS, record_write
from piactl.flows.proposal import AccountWrite
from piactl.flows.running import Run, must

UNDO_CHUNK = 400


def keep_undo(run: Run, writes: Sequence[AccountWrite]) -> None:
    """Keeps what an undo of these account writes needs, before the first of them is made.

    Readable by the writing identity only. A creation needs no values to be undone, an archival cannot be.
    """
    rows = []
    for one in writes:
        write = one.write
        row: dict[str, Any] = {"uid": one.uid, "dn": write.dn, "op": write.op, "kinds": list(one.kinds)}
        if write.op == "modify" and "archive" not in one.kinds:
            row["add"] = _texts(write.add)
            row["delete"] = _texts(write.delete)
        rows.append(row)
    for number, start in enumerate(range(0, len(rows), UNDO_CHUNK)):
        run.lock.keep()
        record = {"run": run.order.run, "changes": rows[start : start + UNDO_CHUNK]}
        must_write = record_write(run.places.undo(run.order.run, number), None, record)
        if must_write is not None:
            must(run.writer, must_write)


def _texts(values: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    return {name: [value.decode() for value in found] for name, found in values.items()}


def prune_undo(run: Run, days: int) -> int:
    """Takes away what the undo of runs older than `days` needed."""
    limit = f"{run.now() - timedelta(days=days):%Y%m%dT%H%M%S}"
    gone = 0
    query = filters.all_of(IN_RECORD, filters.begins("cn", "undo-"))
    for name in [chunk.dn for chunk in run.writer.search(run.places.folder(RUNS), query, ["cn"])]:
        if name.split(",")[1].partition("=")[2] >= limit:
            continue
        chunk = run.writer.read(name, [DATA])
        if chunk is not None:
            must(run.writer, EntryWrite("delete", name, delete={DATA: (chunk.first(DATA) or b"",)}))
            gone += 1
    return gone
