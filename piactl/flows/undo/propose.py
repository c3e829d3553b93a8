"""`undo`: the plan that puts back what a run changed. Nothing here can write.

Accounts are put back, one by one, where they still hold what the run put in. What piactl remembers of feeds
is not turned back, but for two things: the next night looks at everything, and the feeds of the run are
refused until they are accepted by hand, for they would do the same again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from piactl.core.model.run_status import RunStatus
from piactl.core.model.settings import DirectorySettings, Settings
from piactl.core.plan.change import Change
from piactl.core.plan.guards import Losses, counts_by_kind, refusals
from piactl.core.plan.plan import Basis, Hold, Plan
from piactl.core.plan.run_state import LastRun, Memory
from piactl.core.rules.desired import Rules
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.attribute_map import encoding_of
from piactl.directory.store.memory_records import memory_writes, read_memory
from piactl.directory.store.records import UnreadableRecords
from piactl.directory.store.run_records import read_runs
from piactl.errors import AccountNotFound, PiactlError
from piactl.flows.apply.run_lock import alive_alone
from piactl.flows.apply.undo_log import Kept, read_undo
from piactl.flows.plan.plan_file import sealed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.undo.reversals import WHO, Fate, Inverting, Reversal

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undoing:
    """The plan of an undo, with the run that it undoes and what becomes of each account of that run."""

    record: Record
    reversals: tuple[Reversal, ...]
    ready: ReadyPlan
    incomplete: bool = False
    """Whether a part of what the run kept cannot be read: its accounts are not among the reversals."""

    def of(self, fate: Fate) -> list[Reversal]:
        return [one for one in self.reversals if one.fate is fate]


def propose_undo(
    reader: Reader,
    settings: Settings,
    rules: Rules,
    register_digest: str,
    unreadable: UnreadableRecords,
    name: str,
    reason: str,
    now: datetime,
) -> Undoing:
    """The plan that undoes the run `name`; `last` is the last one that changed accounts and was no undo.

    `reader` must be one that may read what runs keep. Raises AccountNotFound for a run that there is not,
    PiactlError where it is still at work or nothing is left to undo it with. A plan that breaks guards is
    returned with its refusals.
    """
    directory = settings.directory
    records = read_runs(reader, directory.state, unreadable, now)
    record = _chosen(records, name, now)
    before = len(unreadable)
    kept = list(read_undo(reader, directory.state, record["run"], unreadable))
    incomplete = len(unreadable) > before
    if not kept and incomplete:
        raise PiactlError(
            f"run {record['run']}: nothing that its undo needs can be read; nothing was changed"
        )
    if (
        not kept
        and (record.get("outcomes") or record.get("summary"))
        and record["status"] != RunStatus.REFUSED
    ):
        _explain_nothing_kept(record, settings.keep_undo_days)
    words = f"undo of run {record['run']}"
    reason = f"{words}: {reason}" if reason else words
    since = _Since(reader, directory.state, unreadable, records, record)
    encoding = encoding_of(rules.policy, directory)
    inverting = Inverting(reader, directory, encoding, rules, record, reason, since.words)
    reversals = tuple(inverting.reversals(kept))
    ready = _planned(reader, directory, rules, register_digest, unreadable, records, record, reversals)
    return Undoing(record, reversals, sealed(ready, rules.keys, Path(settings.state_folder)), incomplete)


def _chosen(records: Sequence[Record], name: str, now: datetime) -> Record:
    changing = (
        r for r in records if r.get("summary") and r["status"] != RunStatus.REFUSED and not r.get("undoes")
    )
    found = next(changing, None) if name == "last" else next((r for r in records if r["run"] == name), None)
    if found is None:
        which = "no run has changed accounts" if name == "last" else f"{name}: no such run"
        raise AccountNotFound(
            f"{which}; see: piactl runs list\nWhat support does to passwords and devices leaves no run; "
            "it is in the journal and cannot be undone"
        )
    if found["status"] == RunStatus.RUNNING and alive_alone(found, now):
        raise PiactlError(f"run {found['run']} is still at work; undo it when it has ended")
    if found["status"] == RunStatus.LOADING:
        raise PiactlError(
            f"run {found['run']} wrote an LDIF that no run has read back yet; undo it after the next run: "
            "piactl nightly"
        )
    return found


def _explain_nothing_kept(record: Record, days: int) -> None:
    raise PiactlError(
        f"run {record['run']}: what its undo needs is not there; it is taken away after {days} days "
        "(keep_undo_days).\nWhat the run changed is in the journal: piactl journal show --run "
        f"{record['run']}"
    )


@dataclass(slots=True)
class _Since:
    """Tells who changed an account after the run: a later run where one is known, else another hand."""

    reader: Reader
    state: str
    unreadable: UnreadableRecords
    records: Sequence[Record]
    record: Record
    later: dict[str, list[tuple[Record, frozenset[str]]]] | None = None
    """By uid, the runs after this one that wrote it, the latest first, and the attributes they wrote."""

    def words(self, kept: Kept, raw: RawEntry, names: Sequence[str]) -> str:
        if self.later is None:
            self.later = self._read_later()
        mine = {*kept.write.add, *kept.write.delete}
        for record, touched in self.later.get(kept.uid, ()):
            if not mine or touched & mine:
                return (
                    f"changed since by run {record['run']} of {_author(record)}: {record.get('command', '')}"
                )
        who, when = raw.text(WHO[0]) or "somebody", _spoken_time(raw.text(WHO[1]))
        what = f" in {', '.join(names)}" if names else ""
        return f"changed since{what}; last modified by {who} {when}"

    def _read_later(self) -> dict[str, list[tuple[Record, frozenset[str]]]]:
        found: dict[str, list[tuple[Record, frozenset[str]]]] = defaultdict(list)
        for record in self.records:
            if record["run"] == self.record["run"]:
                break
            for one in read_undo(self.reader, self.state, record["run"], self.unreadable):
                found[one.uid].append((record, frozenset({*one.write.add, *one.write.delete})))
        return found


def _author(record: Record) -> str:
    return str(record.get("sudo_user") or record.get("user") or "somebody")


def _spoken_time(text: str) -> str:
    """A GeneralizedTime as people read it."""
    try:
        return f"at {datetime.strptime(text[:14], '%Y%m%d%H%M%S'):%Y-%m-%d %H:%M:%S} UTC"  # noqa: DTZ007
    except ValueError:
        return "at an unknown time"


def _planned(
    reader: Reader,
    directory: DirectorySettings,
    rules: Rules,
    register_digest: str,
    unreadable: UnreadableRecords,
    records: Sequence[Record],
    record: Record,
    reversals: Sequence[Reversal],
) -> ReadyPlan:
    as_of = rules.as_of
    remembered = read_memory(reader, directory.state, rules.keys, unreadable, due=as_of)
    last = remembered.memory.last
    rows = [one for one in reversals if one.write is not None]
    rows.sort(key=lambda one: (one.write is not None and not one.write.loses, one.uid))
    changes: list[Change] = [change for one in rows for change in one.changes]
    sources = remembered.memory.sources
    if rows or any(one.get("undoes") == record["run"] for one in records):
        sources = _marked(remembered.memory, records, record)
    marked = replace(remembered.memory, sources=sources)
    marks = memory_writes(remembered, marked, directory.state, rules.keys)
    left = [one for one in reversals if one.fate in (Fate.KEPT, Fate.IMPOSSIBLE)]
    plan = Plan(
        basis=Basis(
            feeds=(),
            policy=rules.policy.digest,
            register=register_digest,
            directory=directory.accounts,
            after=last.run if last else "",
            as_of=as_of,
        ),
        changes=tuple(changes),
        holds=tuple(Hold(one.matricule, one.uid, one.why) for one in left),
        refusals=tuple(refusals(changes, last.census, rules.policy, as_of)) if last else (),
        remarks=(f"undo of run {record['run']}: {record.get('command', '')}",),
        summary=counts_by_kind(changes),
    )
    # not clean: the next night must look at everything
    after = replace(last, as_of=as_of, clean=False, losses=_losses_left(last, record)) if last else None
    writes = tuple(one.write for one in rows if one.write is not None)
    return ReadyPlan(plan, writes, tuple(marks), after, _facts(record, reversals))


def _losses_left(last: LastRun, record: Record) -> Losses:
    """The losses that later runs count, without those of the day of the run that is undone."""
    return {day: counts for day, counts in last.losses.items() if day.isoformat() != record.get("as_of")}


def _marked(memory: Memory, records: Sequence[Record], record: Record) -> dict[str, Any]:
    """The memory of the sources in which the feeds of the run are undone, or, where the run was itself an
    undo, no longer are."""
    by_id = {one["run"]: one for one in records}
    undone = True
    origin: Record | None = record
    while origin is not None and origin.get("undoes"):
        # each once: records that name each other would have no end
        origin, undone = by_id.pop(origin["undoes"], None), not undone
    sources = dict(memory.sources)
    for feed in (origin or {}).get("feeds", []):
        source = sources.get(feed["source"])
        if source is None:
            continue
        others = tuple(one for one in source.undone if one != feed["digest"])
        marked = (*others, feed["digest"]) if undone else others
        if set(marked) != set(source.undone):
            sources[feed["source"]] = replace(source, undone=marked)
    return sources


def _facts(record: Record, reversals: Sequence[Reversal]) -> dict[str, Any]:
    """What the plan says of its undo, as schemas/json/plan.schema.json has it."""
    return {
        "run": record["run"],
        "command": record.get("command", ""),
        "user": _author(record),
        "as_of": record.get("as_of", ""),
        "started": record["started"],
        "feeds": list(record.get("feeds", [])),
        "unchanged": sum(1 for one in reversals if one.fate is Fate.BEFORE),
        "accounts": [
            {
                "uid": one.uid,
                "outcome": one.fate.value,
                "message": one.why,
                "kinds": list(one.write.kinds) if one.write else [],
                "returns": list(one.returns),
                "sources": list(one.sources),
            }
            for one in reversals
            if one.fate is not Fate.BEFORE
        ],
    }
