"""The JSON form of a plan: what `plan -o json` prints and `apply` takes. It holds no secret and is signed.
While a plan is made, its rows, and the accounts that wait for a name, are in a file without a name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from piactl.core.model.guard_limits import Limit
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import Settings
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.check_guards import Impact, Tally
from piactl.core.plan.drift import Drift
from piactl.core.plan.plan import Contradiction, Disagreement, Hold, Plan, ReadyPlan, Rejection, Rows
from piactl.core.plan.write import Write, texts_of_values
from piactl.core.rules.address_allocation import Claim
from piactl.core.text import read_json
from piactl.directory.store.state_records import read_waiting
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout, from_json, to_json
from piactl.errors import StalePlan
from piactl.host.private_files import NamelessRows, nameless_database
from piactl.phrase import FORMS, Phrase, keep_forms, with_phrases

VERSION = 1
_PURPOSE = "plan"
_SEALS = ("fingerprint", "made_by", "signature")

encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode
"""A value as canonical JSON: no blanks, the names of each object sorted."""


# The rows of a plan, its changes and its writes, in a database without a name.


class StoredRows:
    """JSON objects in their order. `read` reads their texts, each of which has some, one a line."""

    def __init__(self, read: Callable[[], Iterator[bytes]], count: int) -> None:
        self._read, self._count = read, count

    def texts(self) -> Iterator[bytes]:
        """The rows as they were added."""
        for text in self._read():
            if text:
                yield from text.split(b"\n")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(json.loads, self.texts())


def store_rows(folder: Path, texts: Iterable[bytes]) -> StoredRows:
    """Keeps rows in a database of their own. `folder` and the errors are as in NamelessRows."""
    rows = NamelessRows(folder)
    for text in texts:
        rows.add(text)
    return StoredRows(rows.__iter__, len(rows))


T = TypeVar("T")
Facts = StoredRows | Sequence[Mapping[str, Any]]


class PlannedRows(Generic[T]):
    """The changes or the writes that the rows of a plan describe, read when they are asked for."""

    def __init__(self, rows: Facts, read: Callable[[Mapping[str, Any]], T]) -> None:
        self.rows, self._read = rows, read

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[T]:
        return map(self._read, self.rows)


def planned_changes(rows: Facts) -> PlannedRows[Change]:
    """The changes, without their effects, which only the guards use."""
    return PlannedRows(rows, _read_change)


def planned_writes(rows: Facts) -> PlannedRows[Write]:
    return PlannedRows(rows, _read_write)


def row_texts(write: Write) -> tuple[tuple[bytes, ...], bytes]:
    """The changes of a write and the write, as rows of a plan."""
    return tuple(_text(change_facts(change)) for change in write.changes), _text(_write_facts(write))


def _text(facts: object) -> bytes:
    return encode(facts).encode()


# A plan and its JSON form.


def sealed(plan: ReadyPlan, keys: DigestKeys, folder: Path, made_by: Sequence[str]) -> ReadyPlan:
    """The plan with its fingerprint, who made it, and its signature under the current key. Its changes and
    writes become rows, which are kept in `folder`."""
    changes, writes = plan.plan.changes, plan.writes
    if not isinstance(changes, PlannedRows):
        changes = planned_changes(store_rows(folder, map(_text, map(change_facts, changes))))
    if not isinstance(writes, PlannedRows):
        writes = planned_writes(store_rows(folder, map(_text, map(_write_facts, writes))))
    plan = replace(plan, plan=replace(plan.plan, changes=changes), writes=writes)
    digest = fingerprint(plan_document(plan))
    signature = keys.digest(_PURPOSE, _signed(digest, made_by))
    return replace(plan, fingerprint=digest, made_by=tuple(made_by), signature=signature)


def _signed(fingerprint: str, made_by: Iterable[str]) -> str:
    """What the signature covers; a plan of an older version does not say who made it."""
    return "\0".join([fingerprint, *made_by])


def plan_document(plan: ReadyPlan) -> dict[str, Any]:
    """A sealed plan as JSON values, as schemas/json/plan.schema.json describes them; its `changes` and
    `writes` are rows, read when they are asked for."""
    return {"version": VERSION, **to_json(plan)}


def fingerprint(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of the plan, without the seals and without the person who made it."""
    digest = hashlib.sha256()
    for piece in _canonical(document, b""):
        digest.update(piece)
    digest.update(b"}")
    return digest.hexdigest()


def plan_pieces(plan: ReadyPlan) -> Iterator[bytes]:
    """A sealed plan as a file: canonical JSON, each change and each write on a line of its own, the seals
    last."""
    document = plan_document(plan)
    yield from _canonical(document, b"\n")
    yield from (b',"%b":%b' % (name.encode(), encode(document[name]).encode()) for name in _SEALS)
    yield b"}\n"


def _canonical(document: Mapping[str, Any], end: bytes) -> Iterator[bytes]:
    """Canonical JSON without the seals and the last brace; `end` is written where each row ends."""
    before = b"{"
    for name in sorted(document.keys() - set(_SEALS)):
        value = document[name]
        yield b"%b%b:" % (before, encode(name).encode())
        if isinstance(value, StoredRows) and value:
            between = b"[" + end
            for text in value.texts():
                yield between
                yield text
                between = b"," + end
            yield end + b"]"
        else:
            yield encode(list(value) if isinstance(value, StoredRows) else value).encode()
        before = b","


def read_plan(name: str, stream: BinaryIO, keys: DigestKeys, folder: Path) -> ReadyPlan:
    """The plan in a file that can be read twice; its rows are kept in `folder`.

    Raises StalePlan for a file that is not a plan, was edited or was signed with another key.
    """
    try:
        document = _rowwise(stream, folder)
        if document is None:
            stream.seek(0)
            document = read_json(stream.read())
        claimed, signature = document["fingerprint"], document["signature"]
        signed = _signed(str(claimed), map(str, document.get("made_by", ())))
        digest = fingerprint(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StalePlan(
            Phrase(
                "{name}: is not a plan of piactl; make one with: piactl plan FEED... --out FILE", name=name
            )
        ) from None
    if not hmac.compare_digest(digest.encode(), str(claimed).encode()) or not keys.matches(
        str(signature), _PURPOSE, signed
    ):
        raise StalePlan(
            Phrase(
                "{name}: was edited since it was made, or made with another key; make the plan again",
                name=name,
            )
        )
    if document["version"] != VERSION:
        raise _of_another_version(name)
    try:
        plan: ReadyPlan = from_json(ReadyPlan, document)
        return plan
    except (ValueError, KeyError, TypeError):
        raise _of_another_version(name) from None


def read_kept_plan(settings: Settings, keys: DigestKeys, record: Mapping[str, Any]) -> ReadyPlan | None:
    """The plan of the run of a record, if this host kept it. Raises StalePlan for a file that was edited."""
    file = Path(settings.kept_plan(str(record.get("plan"))))
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return read_plan(str(file), stream, keys, Path(settings.state_folder))


def _of_another_version(name: str) -> StalePlan:
    return StalePlan(Phrase("{name}: was made by another version of piactl; make the plan again", name=name))


def _rowwise(stream: BinaryIO, folder: Path) -> dict[str, Any] | None:
    """A plan in the layout of `plan_pieces`, with stored rows; None for any other layout.

    The fingerprint is then made of these rows, wherever the lines of the file end.
    """
    try:
        return _rows_apart(stream, folder)
    except (ValueError, TypeError):
        return None


def _rows_apart(stream: BinaryIO, folder: Path) -> dict[str, Any] | None:
    rows: dict[str, StoredRows] = {}
    text = stream.readline()
    for name in ("changes", "writes"):
        if not text.endswith(b'"%b":[\n' % name.encode()):
            continue
        if read_json(text + b"]}")[name] != []:
            return None
        end = [b""]
        rows[name] = store_rows(folder, _rows_until(stream, end))
        text += end[0]
    document = read_json(text)
    if stream.read(1):
        return None
    return {**document, **{name: lines for name, lines in rows.items() if lines}}


def _rows_until(stream: BinaryIO, end: list[bytes]) -> Iterator[bytes]:
    """The rows of a list, one a line; puts its last line into `end`. Raises ValueError and
    TypeError for another layout."""
    for line in stream:
        end[0] = line
        if line.startswith(b"]"):
            return
        row = line.removesuffix(b"\n").removesuffix(b",")
        if not isinstance(read_json(row), dict):
            raise TypeError
        yield row


# The parts of a plan as JSON values and back.

LAYOUTS[Limit] = Layout(only=("max", "share"))
LAYOUTS |= dict.fromkeys((Rejection, Hold, Disagreement, Contradiction, Drift), Layout(sentences=True))
_AS_IT_IS = Form(lambda value: value, lambda value: value)
LAYOUTS[Impact] = Layout(forms={"found": _AS_IT_IS})  # what grows may shrink


def change_facts(change: Change) -> dict[str, Any]:
    """A change as JSON values, without its effect."""
    return {
        "kind": change.kind.value,
        "uid": change.uid,
        "matricule": change.matricule,
        **keep_forms({"before": change.before, "after": change.after, "reason": change.reason}),
        "feed": change.feed,
        "line": change.line,
        "rule": change.rule,
        "source": change.source,
        "establishments": list(change.establishments),
        "profiles": list(change.profiles),
        "effective": change.effective.isoformat(),
        **({"why": change.why} if change.why else {}),
        **({"protected": True} if change.protected else {}),
    }


def _read_change(facts: Mapping[str, Any]) -> Change:
    values = with_phrases(facts)
    values |= {"kind": Kind(facts["kind"]), "effective": date.fromisoformat(facts["effective"])}
    scopes = {name: tuple(facts.get(name, ())) for name in ("establishments", "profiles")}
    return Change(**{**values, **scopes})


def _entry_facts(write: Write) -> dict[str, Any]:
    return {
        "op": write.op,
        "dn": write.dn,
        "add": texts_of_values(write.add),
        "delete": texts_of_values(write.delete),
    }


def _read_entry_write(facts: Mapping[str, Any]) -> Write:
    return Write(facts["op"], facts["dn"], add=_bytes(facts["add"]), delete=_bytes(facts["delete"]))


def _write_facts(write: Write) -> dict[str, Any]:
    """The write of an account or a group as JSON values, without its changes, which are rows of their own."""
    days = {kind: day.isoformat() for kind, day in write.effective.items()}
    return {
        "uid": write.uid,
        "kinds": list(write.kinds),
        **keep_forms({"reason": write.reason}),
        **_entry_facts(write),
        "waiting": to_json(write.waiting) if write.waiting else None,
        **({"effective": days} if days else {}),
    }


def _read_write(facts: Mapping[str, Any]) -> Write:
    return replace(
        _read_entry_write(facts),
        uid=facts["uid"],
        kinds=tuple(facts["kinds"]),
        reason=with_phrases({name: facts[name] for name in ("reason", FORMS) if name in facts})["reason"],
        waiting=read_waiting(facts["waiting"]) if facts["waiting"] else None,
        effective={kind: date.fromisoformat(day) for kind, day in facts.get("effective", {}).items()},
    )


def _bytes(values: Mapping[str, list[str]]) -> dict[str, tuple[bytes, ...]]:
    return {name: tuple(value.encode() for value in texts) for name, texts in values.items()}


def _rows_of(rows: Rows[Any], facts: Callable[[Any], Any]) -> Facts:
    return rows.rows if isinstance(rows, PlannedRows) else [*map(facts, rows)]


LAYOUTS[Plan] = Layout(
    only=[one.name for one in fields(Plan) if one.name != "counted"],
    brief=("quality", "archivals"),
    forms={"changes": Form(lambda changes: _rows_of(changes, change_facts), planned_changes)},
    sentences=True,
)
LAYOUTS[ReadyPlan] = Layout(
    brief=("undo",),
    inline="plan",
    forms={
        "writes": Form(lambda writes: _rows_of(writes, _write_facts), planned_writes),
        "records": Form(
            lambda writes: [*map(_entry_facts, writes)], lambda facts: tuple(map(_read_entry_write, facts))
        ),
        "undo": Form(keep_forms, with_phrases),
    },
)


# ---- the rows of a plan that is being made


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
