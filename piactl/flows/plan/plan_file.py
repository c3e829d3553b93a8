"""The plan as a file: what `plan -o json` prints and `apply` takes. It holds no secret and is signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from piactl.core.model.digests import DigestKeys
from piactl.core.model.policy import Limit
from piactl.core.plan.guards import Refusal
from piactl.core.plan.plan import AbsentAssignment, Basis, DueArchival, FeedBasis
from piactl.directory.store.state_records import last_run_record, read_last_run
from piactl.errors import StalePlan
from piactl.flows.plan.proposal import Proposal
from piactl.flows.plan.rows.bundle import Work
from piactl.flows.plan.rows.json_lines import Lines, encode
from piactl.flows.plan.rows.serialize import PlannedWrites, change_lines, read_write, write_facts, write_lines

VERSION = 1
_PURPOSE = "plan"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan that was read back: what apply needs of it, and the whole document for those who show it."""

    work: Work
    document: Mapping[str, Any]


def plan_document(
    proposal: Proposal, keys: DigestKeys, folder: Path, undo: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The plan as JSON values, with its fingerprint and its signature under the current key; its `changes`
    and `writes` are Lines, kept in `folder` where they are many. `undo` is what the plan of an undo says of
    the run that it undoes, `run` among it."""
    plan = proposal.plan
    last = proposal.memory.last
    document: dict[str, Any] = {
        "version": VERSION,
        "basis": _basis(plan.basis),
        "summary": dict(plan.summary),
        "changes": change_lines(plan.changes, folder),
        "rejections": [_fields(r, "file line column code message matricule") for r in plan.rejections],
        "holds": [_fields(h, "matricule uid why") for h in plan.holds],
        "absents": [absent_facts(a) for a in plan.absents],
        "disagreements": [
            {**_fields(d, "matricule uid why"), "columns": list(d.columns)} for d in plan.disagreements
        ],
        "foreign_addresses": [
            {**_fields(one, "uid address"), "since": one.since.isoformat(), "owner": one.owner or None}
            for one in plan.foreign_addresses
        ],
        "refusals": [refusal_facts(r) for r in plan.refusals],
        "remarks": list(plan.remarks),
        "writes": write_lines(proposal.writes, folder),
        "records": [write_facts(write) for write in proposal.records],
        "last": last_run_record(last) if last else None,
        **({"archivals": [_archival(one) for one in plan.archivals]} if plan.archivals else {}),
        **({"undo": undo} if undo else {}),
    }
    document["fingerprint"] = fingerprint(document)
    document["signature"] = keys.digest(_PURPOSE, document["fingerprint"])
    return document


_SEALS = ("fingerprint", "signature")


def fingerprint(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of all but the fingerprint and the signature themselves."""
    digest = hashlib.sha256()
    for piece in _canonical(document, b""):
        digest.update(piece)
    digest.update(b"}")
    return digest.hexdigest()


def plan_pieces(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The plan as a file: canonical JSON, each change and each write on a line of its own, the seals last."""
    yield from _canonical(document, b"\n")
    yield from (b',"%b":%b' % (name.encode(), encode(document[name]).encode()) for name in _SEALS)
    yield b"}\n"


def _canonical(document: Mapping[str, Any], end: bytes) -> Iterator[bytes]:
    """Canonical JSON without the seals and the last brace; `end` stands where each row ends."""
    before = b"{"
    for name in sorted(document.keys() - set(_SEALS)):
        value = document[name]
        yield b"%b%b:" % (before, encode(name).encode())
        if isinstance(value, Lines) and value:
            between = b"[" + end
            for text in value.texts():
                yield between
                yield text
                between = b"," + end
            yield end + b"]"
        else:
            yield encode(list(value) if isinstance(value, Lines) else value).encode()
        before = b","


def read_plan(name: str, stream: BinaryIO, keys: DigestKeys, folder: Path) -> PlanFile:
    """The plan in a file, which can be read from its start again; its rows are kept in `folder` where they
    are many. Raises StalePlan for what is no plan, was edited or was signed with another key."""
    try:
        document = _rowwise(stream, folder)
        if document is None:
            stream.seek(0)
            document = json.load(stream)
        claimed, signature = document["fingerprint"], document["signature"]
        found = fingerprint(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StalePlan(
            f"{name}: is no plan of piactl; make one with: piactl plan FEED... --out FILE"
        ) from None
    if not hmac.compare_digest(found.encode(), str(claimed).encode()) or not keys.matches(
        str(signature), _PURPOSE, found
    ):
        raise StalePlan(
            f"{name}: was edited since it was made, or made with another key; make the plan again"
        )
    if document["version"] != VERSION:
        raise StalePlan(f"{name}: was made by another version of piactl; make the plan again")
    work = Work(
        fingerprint=found,
        basis=_read_basis(document["basis"]),
        summary=document["summary"],
        refusals=tuple(_read_refusal(r) for r in document["refusals"]),
        writes=PlannedWrites(document["writes"]),
        records=tuple(read_write(w) for w in document["records"]),
        last=read_last_run(document["last"]) if document["last"] else None,
        undoes=document.get("undo", {}).get("run", ""),
    )
    return PlanFile(work, document)


def _rowwise(stream: BinaryIO, folder: Path) -> dict[str, Any] | None:
    """A plan in the layout of `plan_pieces`, its rows as Lines; None for any other layout.

    What is given is what the fingerprint is then made of, wherever the lines of the file end.
    """
    try:
        return _rows_apart(stream, folder)
    except ValueError:
        return None


def _rows_apart(stream: BinaryIO, folder: Path) -> dict[str, Any] | None:
    rows = {name: Lines(folder) for name in ("changes", "writes")}
    text = stream.readline()
    for name, lines in rows.items():
        if not text.endswith(b'"%b":[\n' % name.encode()):
            continue
        if json.loads(text + b"]}")[name] != []:
            return None
        line = b""
        for line in stream:
            if line.startswith(b"]"):
                break
            row = line.removesuffix(b"\n").removesuffix(b",")
            if not isinstance(json.loads(row), dict):
                return None
            lines.add(row)
        text += line
    document = json.loads(text)
    if stream.read(1):
        return None
    return {**document, **{name: lines for name, lines in rows.items() if lines}}


def absent_facts(absent: AbsentAssignment) -> dict[str, Any]:
    a = absent.absence
    return {
        "matricule": a.matricule,
        "uid": absent.uid,
        "source": absent.source,
        "uai": a.uai,
        "function": a.function,
        "start": a.start.isoformat(),
        "since": a.since.isoformat(),
        "seen": len(a.feeds),
        "needed": absent.needed,
    }


def _archival(one: DueArchival) -> dict[str, Any]:
    return {"uid": one.uid, "due": one.due.isoformat(), "noted": one.noted.isoformat()}


def _fields(value: object, names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names.split()}


def _basis(basis: Basis) -> dict[str, Any]:
    return {
        "feeds": [
            {**_fields(f, "source file digest rows full"), "date": f.date.isoformat() if f.date else None}
            for f in basis.feeds
        ],
        **_fields(basis, "policy register directory after"),
        "as_of": basis.as_of.isoformat(),
    }


def _read_basis(b: Mapping[str, Any]) -> Basis:
    feeds = tuple(
        FeedBasis(
            f["source"],
            f["file"],
            f["digest"],
            date.fromisoformat(f["date"]) if f["date"] else None,
            f["rows"],
            f["full"],
        )
        for f in b["feeds"]
    )
    as_of = date.fromisoformat(b["as_of"])
    return Basis(feeds, b["policy"], b["register"], b["directory"], b["after"], as_of)


def refusal_facts(r: Refusal) -> dict[str, Any]:
    limit = {"max": r.limit.max, "share": r.limit.share}
    return {**_fields(r, "guard kind found of scope total"), "limit": limit, "sample": list(r.sample)}


def _read_refusal(r: Mapping[str, Any]) -> Refusal:
    limit = Limit(r["limit"]["max"], r["limit"]["share"])
    return Refusal(
        r["guard"], r["kind"], r["found"], r["of"], limit, r["scope"], tuple(r["sample"]), r["total"]
    )
