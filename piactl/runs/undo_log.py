"""The undo log of runs, stored in the directory so that any host can undo them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from typing import Any

from piactl.core.plan.change import Kind
from piactl.core.plan.write import UNREADABLE, Values, Write, texts_of_values
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.interfaces import Reader
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.base_digest import BASE
from piactl.directory.store.record_entries import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    Record,
    UnreadableRecords,
    must,
    new_record,
)
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout, from_json, to_json
from piactl.runs.run import Run

UNDO_CHUNK = 400
IN_UNDO_LOG = filters.all_of(IN_RECORD, filters.begins("cn", "undo-"))
_MADE_BY_RULES = ("piactlAssignment", "piactlOverride", "piactlException")
"""The attributes of a new account that are logged: a deleted entry is made again from them."""


def _read_values(data: Any) -> Values:
    texts = from_json(Mapping[str, tuple[str, ...]], data)
    return {name: tuple(map(str.encode, some)) for name, some in texts.items()}


_VALUES = Form(texts_of_values, _read_values)
LAYOUTS[Write] = Layout(
    only=("op", "dn", "uid", "kinds", "add", "delete", "made"),
    brief=("add", "delete", "made"),
    forms={"add": _VALUES, "delete": _VALUES},
)


def keep_undo(run: Run, writes: Iterable[Write]) -> None:
    """Stores what an undo of these account writes needs, before the first of them is made.

    Only the writing identities can read them. For a new account, a digest shows whether its values changed
    since. Archivals and unreadable values, such as passwords, cannot be undone. Accounts are never deleted,
    groups are; deleted devices are not logged.
    """
    rows = (_row(write) for write in writes if write.op != "delete" or Kind.GROUP.value in write.kinds)
    must(run.writer, run.while_locked(_undo_records(run, rows)))


def _undo_records(run: Run, rows: Iterator[Record]) -> Iterator[Write]:
    for number in count():
        chunk = list(islice(rows, UNDO_CHUNK))
        if not chunk:
            return
        record = {"run": run.order.run, "changes": chunk}
        yield new_record(run.places.undo(run.order.run, number), record)


def _row(write: Write) -> Record:
    bare = replace(write, add={}, delete={})
    if Kind.GROUP.value in write.kinds:
        kept = write
    elif write.op == "add":
        own = {name: write.add[name] for name in _MADE_BY_RULES if name in write.add}
        kept = replace(bare, add=own, made=values_digest(write.add))
    elif (
        Kind.ARCHIVE.value in write.kinds
        or not SECRETS.isdisjoint(write.attributes)
        or UNREADABLE in write.delete.values()
    ):
        kept = bare
    else:  # an undo makes the base anew
        add, delete = (
            {n: some for n, some in side.items() if n != BASE} for side in (write.add, write.delete)
        )
        kept = replace(bare, add=add, delete=delete)
    try:
        row: Record = to_json(kept)
    except UnicodeDecodeError:  # values of other programs that are not text are not kept
        row = to_json(bare)
    return row


def values_digest(values: Values) -> str:
    """A digest of the values of an entry, except its object classes and its base."""
    parts = []
    for name in sorted(values):
        if name not in ("objectClass", BASE):
            parts += [b"\0\0", name.encode(), *sorted(values[name])]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def read_undo(reader: Reader, state: str, run: str, unreadable: UnreadableRecords) -> Iterator[Write]:
    """Yields the logged writes of a run in order; none if the log is empty or was pruned. Adds unreadable
    parts to `unreadable`.

    Only the writing identities can read the log.
    """
    chunks = sorted(
        reader.search(Places(state).run(run), IN_UNDO_LOG, [DATA], scope="one"), key=lambda c: c.dn
    )
    for chunk in chunks:
        yield from unreadable.read(chunk.dn, chunk.first(DATA), read_logged_writes) or ()


def logged_values(reader: Reader, state: str, uid: str, unreadable: UnreadableRecords) -> Values:
    """The values of each attribute after the logged writes of an account. Empty without writes."""
    writes = []
    for chunk in reader.search(Places(state).folder(RUNS), IN_UNDO_LOG, [DATA]):
        chunk_name, _, run = chunk.dn.partition(",")
        for logged_write in unreadable.read(chunk.dn, chunk.first(DATA), read_logged_writes) or ():
            if logged_write.uid == uid:
                writes.append((run, chunk_name, logged_write))
    values: dict[str, tuple[bytes, ...]] = {}
    for _, _, write in sorted(writes, key=lambda row: row[:2]):
        for name in write.attributes:
            gone = write.delete.get(name, ())
            remaining = (value for value in values.get(name, ()) if value not in gone)
            values[name] = (*remaining, *write.add.get(name, ()))
    return values


def read_logged_writes(record: Record) -> tuple[Write, ...]:
    """The logged writes of one record. Raises KeyError, TypeError, ValueError."""
    writes: tuple[Write, ...] = from_json(tuple[Write, ...], record["changes"], "changes")
    if not all(write.op in ("add", "modify", "delete") and normal_dn(write.dn) for write in writes):
        raise ValueError("not a write of an account")
    return writes


def is_undoable(logged_write: Write) -> bool:
    """Whether the log has what an undo puts back: not of an archival, nor of values that cannot be read."""
    return bool(logged_write.add or logged_write.delete or logged_write.op == "add")
