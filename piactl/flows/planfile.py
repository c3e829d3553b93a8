"""The plan as a file: what `plan -o json` prints and `apply` takes. It holds no secret and is signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from piactl.core.changes import Change
from piactl.core.digests import DigestKeys
from piactl.core.guards import Refusal
from piactl.core.plan import AbsentAssignment, Basis, FeedBasis
from piactl.core.policy import Limit
from piactl.core.waiting import Waiting
from piactl.directory.port import EntryWrite
from piactl.directory.recordtext import last_run_record, read_last_run, read_waiting, waiting_record
from piactl.errors import StalePlan
from piactl.flows.proposal import AccountWrite, Proposal, Work

VERSION = 1
_PURPOSE = "plan"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan that was read back: what apply needs of it, and the whole document for those who show it."""

    work: Work
    document: Mapping[str, Any]


def plan_document(
    proposal: Proposal, keys: DigestKeys, undo: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The plan as JSON values, with its fingerprint and its signature under the current key. `undo` is what
    the plan of an undo says of the run that it undoes, `run` among it."""
    plan = proposal.plan
    last = proposal.memory.last
    document: dict[str, Any] = {
        "version": VERSION,
        "basis": _basis(plan.basis),
        "summary": dict(plan.summary),
        "changes": [change_facts(change) for change in plan.changes],
        "rejections": [_fields(r, "file line column code message matricule") for r in plan.rejections],
        "holds": [_fields(h, "matricule uid why") for h in plan.holds],
        "absents": [absent_facts(a) for a in plan.absents],
        "refusals": [refusal_facts(r) for r in plan.refusals],
        "remarks": list(plan.remarks),
        "writes": [_account_write(write) for write in proposal.writes],
        "records": [_write(write) for write in proposal.records],
        "last": last_run_record(last) if last else None,
        **({"undo": undo} if undo else {}),
    }
    document["fingerprint"] = fingerprint(document)
    document["signature"] = keys.digest(_PURPOSE, document["fingerprint"])
    return document


def fingerprint(document: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of all but the fingerprint and the signature themselves."""
    content = {name: value for name, value in document.items() if name not in ("fingerprint", "signature")}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_plan(name: str, text: bytes, keys: DigestKeys) -> PlanFile:
    """The plan in a file. Raises StalePlan for what is no plan, was edited or was signed with another key."""
    try:
        document = json.loads(text)
        claimed, signature = document["fingerprint"], document["signature"]
        found = fingerprint(document)
    except (ValueError, KeyError, TypeError, RecursionError):
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
        writes=tuple(_read_account_write(w) for w in document["writes"]),
        records=tuple(_read_write(w) for w in document["records"]),
        last=read_last_run(document["last"]) if document["last"] else None,
        undoes=document.get("undo", {}).get("run", ""),
    )
    return PlanFile(work, document)


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


def _texts(values: Mapping[str, tuple[bytes, ...]]) -> dict[str, list[str]]:
    return {name: [value.decode() for value in found] for name, found in values.items()}


def _bytes(values: Mapping[str, list[str]]) -> dict[str, tuple[bytes, ...]]:
    return {name: tuple(value.encode() for value in found) for name, found in values.items()}


def _write(write: EntryWrite) -> dict[str, Any]:
    return {"op": write.op, "dn": write.dn, "add": _texts(write.add), "delete": _texts(write.delete)}


def _read_write(w: Mapping[str, Any]) -> EntryWrite:
    return EntryWrite(w["op"], w["dn"], add=_bytes(w["add"]), delete=_bytes(w["delete"]))


def _account_write(write: AccountWrite) -> dict[str, Any]:
    waiting: Waiting | None = write.waiting
    return {
        "uid": write.uid,
        "kinds": list(write.kinds),
        "reason": write.reason,
        **_write(write.write),
        "waiting": waiting_record(waiting) if waiting else None,
    }


def _read_account_write(w: Mapping[str, Any]) -> AccountWrite:
    waiting = read_waiting(w["waiting"]) if w["waiting"] else None
    return AccountWrite(w["uid"], tuple(w["kinds"]), w["reason"], _read_write(w), waiting)
