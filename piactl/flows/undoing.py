"""What an undo of a run needs, kept in the directory so that any host can undo it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, islice
from typing import Any

from piactl.directory import filters
from piactl.directory.port import EntryWrite, Reader, Values
from piactl.directory.records import DATA, IN_RECORD, RUNS, Places, record_write
from piactl.directory.recordtext import UnreadableRecord, loads
from piactl.flows.proposal import AccountWrite
from piactl.flows.running import SECRETS, Run, must

UNDO_CHUNK = 400


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept of one account's write. `values` is False where it cannot be turned round: an archival,
    or one that replaced what nobody may read or keep. `made` is the digest of the values of a creation."""

    uid: str
    kinds: tuple[str, ...]
    write: EntryWrite
    values: bool = True
    made: str = ""


def keep_undo(run: Run, writes: Iterable[AccountWrite]) -> None:
    """Keeps what an undo of these account writes needs, before the first of them is made.

    Readable by the writing identities only. Of a creation a digest of its values is enough to tell whether
    they changed since; an archival cannot be undone, nor can what nobody may read, as passwords. Accounts
    are never deleted: what is deleted are their devices, of which nothing is kept.
    """
    rows = (_row(one) for one in writes if one.write.op != "delete")
    for number in count():
        chunk = list(islice(rows, UNDO_CHUNK))
        if not chunk:
            return
        run.lock.keep()
        record = {"run": run.order.run, "changes": chunk}
        must_write = record_write(run.places.undo(run.order.run, number), None, record)
        if must_write is not None:
            must(run.writer, must_write)


def _row(one: AccountWrite) -> dict[str, Any]:
    write = one.write
    row: dict[str, Any] = {"uid": one.uid, "dn": write.dn, "op": write.op, "kinds": list(one.kinds)}
    if write.op == "add":
        row["made"] = values_digest(write.add)
    elif (
        "archive" not in one.kinds
        and not SECRETS & {*write.add, *write.delete}
        and all(write.delete.values())
    ):
        row["add"] = _texts(write.add)
        row["delete"] = _texts(write.delete)
    return row


def values_digest(values: Values) -> str:
    """A digest of the values of an entry, whatever its classes."""
    parts = []
    for name in sorted(values):
        if name != "objectClass":
            parts += [b"\0\0", name.encode(), *sorted(values[name])]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def read_undo(reader: Reader, state: str, run: str) -> Iterator[Kept]:
    """What a run kept, in the order of its writes; nothing where it kept nothing or it was pruned.

    Only the writing identities may read it. Raises UnreadableRecord.
    """
    query = filters.all_of(IN_RECORD, filters.begins("cn", "undo-"))
    chunks = sorted(reader.search(Places(state).run(run), query, [DATA], scope="one"), key=lambda c: c.dn)
    for chunk in chunks:
        try:
            yield from [_kept(row) for row in loads(chunk.dn, chunk.first(DATA))["changes"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise UnreadableRecord(
                f"{chunk.dn}: what run {run} kept for an undo cannot be understood ({error!r}); "
                "put the accounts right by hand"
            ) from None


def _kept(row: Mapping[str, Any]) -> Kept:
    add, delete = _bytes(row.get("add", {})), _bytes(row.get("delete", {}))
    write = EntryWrite(row["op"], row["dn"], add=add, delete=delete)
    return Kept(
        row["uid"], tuple(row["kinds"]), write, bool(add or delete or row["op"] == "add"), row.get("made", "")
    )


def _bytes(values: Mapping[str, Sequence[str]]) -> Values:
    return {name: tuple(value.encode() for value in found) for name, found in values.items()}


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


def prune_runs(run: Run, days: int) -> int:
    """Takes away the records of runs older than `days`, for which nothing is kept any more; how many."""
    limit = f"{run.now() - timedelta(days=days):%Y%m%dT%H%M%S}"
    folder = run.places.folder(RUNS)
    undo = filters.all_of(IN_RECORD, filters.begins("cn", "undo-"))
    kept = {chunk.dn.partition(",")[2].lower() for chunk in run.writer.search(folder, undo, ["cn"])}
    old = [
        entry.dn
        for entry in run.writer.search(folder, IN_RECORD, ["cn"], scope="one")
        if entry.text("cn") < limit and entry.dn.lower() not in kept
    ]
    for dn in old:
        record = run.writer.read(dn, [DATA])
        if record is not None:
            must(run.writer, EntryWrite("delete", dn, delete={DATA: (record.first(DATA) or b"",)}))
    return len(old)
