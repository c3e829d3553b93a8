"""Plans the undo of a run. Nothing here can write.

Each account that still has the values of the run is put back. The state that piactl keeps of feeds is not
undone, with one exception: the feeds of the run are refused
until they are accepted by hand, because they would make the same changes again, and confirm no absence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from piactl.core.model.settings import DirectorySettings, Settings
from piactl.core.plan.case import CaseAnswer
from piactl.core.plan.change import Change
from piactl.core.plan.check_guards import tally
from piactl.core.plan.plan import Basis, Hold, HoldCode, Plan, ReadyPlan
from piactl.core.plan.recent_losses import is_recent, taken_after
from piactl.core.plan.state_between_runs import Memory, RunStatus
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import Rules
from piactl.core.text import utc_instant
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.attribute_map import encoding_of
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.directory.store.run_records import author_of_run, read_runs
from piactl.directory.store.state_records import memory_writes, read_last, read_memory
from piactl.edits.undo_account import WHO, Inverting, Reversal, UndoFate
from piactl.errors import NotFound, PiactlError
from piactl.phrase import Phrase, counted, joined
from piactl.planning.signed_plan_file import sealed
from piactl.runs.undo_log import read_undo
from piactl.runs.unfinished_runs import alive_alone

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undoing:
    """The plan of an undo, the run that it undoes, and the fate of each account of that run."""

    record: Record
    reversals: tuple[Reversal, ...]
    ready: ReadyPlan
    incomplete: bool = False
    """Whether a part of the undo log of the run cannot be read; its accounts are not in `reversals`."""

    def of(self, fate: UndoFate) -> list[Reversal]:
        return [reversal for reversal in self.reversals if reversal.fate is fate]


def propose_undo(
    reader: Reader,
    settings: Settings,
    rules: Rules,
    unreadable: UnreadableRecords,
    name: str,
    reason: str,
    now: datetime,
    made_by: Sequence[str],
) -> Undoing:
    """The plan that undoes the run `name`; `last` is the last run that changed accounts and is not an undo.

    `reader` must be allowed to read the undo log. Raises NotFound if there is no such run, PiactlError
    if it is still running or its undo log is gone. A plan that breaks guards is returned with its refusals.
    """
    directory = settings.directory
    records = read_runs(reader, directory.state, unreadable, now)
    record = _chosen(records, name, now)
    before = len(unreadable)
    if record.get("decided"):
        case, answer = record["decided"]
        back, answer = ("forget", answer) if answer in [*CaseAnswer] else ("different", Phrase("open again"))
        raise PiactlError(
            Phrase(
                "run {run} changed no account. It decided case {case}: {answer}.\n"
                'To take that back: piactl match {back} {case} --reason "...". See: piactl match show {case}',
                run=record["run"],
                case=case,
                answer=answer,
                back=back,
            )
        )
    undo_entries = list(read_undo(reader, directory.state, record["run"], unreadable))
    incomplete = len(unreadable) > before
    if not undo_entries and incomplete:
        raise PiactlError(
            Phrase(
                "run {run}: its undo log cannot be read; nothing was changed. See: piactl doctor",
                run=record["run"],
            )
        )
    if (
        not undo_entries
        and (record.get("outcomes") or record.get("summary"))
        and record["status"] != RunStatus.REFUSED
    ):
        _explain_nothing_kept(record, settings.keep_undo_days)
    words = Phrase("undo of run {run}", run=record["run"])
    if reason:
        words = Phrase("undo of run {run}: {reason}", run=record["run"], reason=reason)
    since = _Since(reader, directory.state, unreadable, records, record)
    encoding = encoding_of(rules.policy, directory, rules.keys)
    last = read_last(reader, directory.state, UnreadableRecords())
    inverting = Inverting(reader, directory, encoding, rules, record, words, since.words, last)
    reversals = tuple(inverting.reversals(undo_entries))
    ready = _planned(reader, directory, rules, unreadable, records, record, reversals)
    plan = sealed(ready, rules.keys, Path(settings.state_folder), made_by)
    return Undoing(record, reversals, plan, incomplete)


def _chosen(records: Sequence[Record], name: str, now: datetime) -> Record:
    changing = (
        r for r in records if r.get("summary") and r["status"] != RunStatus.REFUSED and not r.get("undoes")
    )
    chosen = next(changing, None) if name == "last" else next((r for r in records if r["run"] == name), None)
    if chosen is None:
        which = (
            Phrase("no run has changed accounts")
            if name == "last"
            else Phrase("{name}: no such run", name=name)
        )
        raise NotFound(
            Phrase(
                "{which}; see: piactl runs list\n"
                "Changes of passwords and devices by the help desk are not runs; they are in the journal and "
                "cannot be undone",
                which=which,
            )
        )
    if chosen["status"] == RunStatus.RUNNING and alive_alone(chosen, now):
        raise PiactlError(Phrase("run {run} is still running; undo it when it has ended", run=chosen["run"]))
    return chosen


def _explain_nothing_kept(record: Record, days: int) -> None:
    raise PiactlError(
        Phrase(
            "run {run}: its undo log is gone; it is deleted after {days} (keep_undo_days).\n"
            "What the run changed is in the journal: piactl journal show --run {run}",
            run=record["run"],
            days=counted(days, "day", "days"),
        )
    )


@dataclass(slots=True)
class _Since:
    """Finds who changed an account after the run: a later run, or another program."""

    reader: Reader
    state: str
    unreadable: UnreadableRecords
    records: Sequence[Record]
    record: Record
    later: dict[str, list[tuple[Record, frozenset[str]]]] | None = None
    """By uid: the later runs that wrote the account, the latest first, with the attributes they wrote."""

    def words(self, logged_write: Write, raw: RawEntry, names: Sequence[str]) -> str:
        if self.later is None:
            self.later = self._read_later()
        # of a new account only some attributes are kept
        attributes = {*logged_write.attributes} if not logged_write.made else set()
        for record, touched in self.later.get(logged_write.uid, ()):
            if not attributes or touched & attributes:
                return Phrase(
                    "changed since by run {run} of {author}: {command}",
                    run=record["run"],
                    author=author_of_run(record),
                    command=record.get("command", ""),
                )
        author, when = raw.text(WHO[0]) or Phrase("somebody"), _spoken_time(raw.text(WHO[1]))
        modified = Phrase("last modified by {author} {when}", author=author, when=when)
        changed = Phrase("changed since")
        if names:
            changed = Phrase("changed since in {names}", names=", ".join(names))
        return joined([changed, modified])

    def _read_later(self) -> dict[str, list[tuple[Record, frozenset[str]]]]:
        later: dict[str, list[tuple[Record, frozenset[str]]]] = defaultdict(list)
        for record in self.records:
            if record["run"] == self.record["run"]:
                break
            for logged_write in read_undo(self.reader, self.state, record["run"], self.unreadable):
                later[logged_write.uid].append((record, frozenset(logged_write.attributes)))
        return later


def _spoken_time(text: str) -> Phrase:
    """A GeneralizedTime in words."""
    try:
        return Phrase("at {time} UTC", time=f"{utc_instant(text[:14]):%Y-%m-%d %H:%M:%S}")
    except ValueError:
        return Phrase("at an unknown time")


def _planned(
    reader: Reader,
    directory: DirectorySettings,
    rules: Rules,
    unreadable: UnreadableRecords,
    records: Sequence[Record],
    record: Record,
    reversals: Sequence[Reversal],
) -> ReadyPlan:
    as_of, (origin, undone) = rules.as_of, _origin(records, record)
    remembered = read_memory(reader, directory.state, rules.keys, unreadable, due=as_of)
    last = remembered.memory.last
    writes = [reversal.write for reversal in reversals if reversal.write is not None]
    # a name can go back to one account only after the other gave it up
    ledger = directory.attributes.get("piactlIdentifier", "piactlIdentifier")
    writes.sort(key=lambda write: (ledger not in write.delete, not write.loses, write.uid))
    changes: list[Change] = [change for write in writes for change in write.changes]
    sources = remembered.memory.sources
    if (
        writes
        or _counts(remembered.memory, record)
        or any(reversal.get("undoes") == record["run"] for reversal in records)
    ):
        sources = _marked(remembered.memory, origin, undone)
    marked = replace(remembered.memory, sources=sources)
    marks = memory_writes(remembered, marked, directory.state, rules.keys)
    remaining = [reversal for reversal in reversals if reversal.fate in (UndoFate.KEPT, UndoFate.IMPOSSIBLE)]
    given = {change.uid: change.effect.given for change in changes if change.effect.given}
    # what an undo takes is what nobody should have had: to give it again is growth, and it is not remembered
    back = given if undone and is_recent(_day(record), as_of) else {}
    counts = tally(changes, taken=back)
    plan = Plan(
        basis=Basis.of(rules, directory.accounts, last),
        changes=tuple(changes),
        holds=tuple(
            Hold(reversal.matricule, reversal.uid, reversal.why, HoldCode.UNDO) for reversal in remaining
        ),
        refusals=tuple(counts.refusals(last.census, rules.policy, as_of)) if last else (),
        remarks=(
            Phrase("undo of run {run}: {reason}", run=record["run"], reason=record.get("command", "")),
            *counts.remarks(),
        ),
        summary=counts.by_kind(),
    )
    after = None
    if last:
        taken = taken_after(last.taken, {} if undone else counts.lost, given, as_of)
        # without those of the day of the undone run
        losses = {day: n for day, n in last.losses.items() if day.isoformat() != record.get("as_of")}
        after = replace(last, as_of=as_of, clean=False, losses=losses, taken=taken)
    return ReadyPlan(plan, writes, tuple(marks), after, _facts(record, reversals))


def _counts(memory: Memory, record: Record) -> bool:
    """Whether a run may count although it changed no account: it is an undo, or one of its feeds confirms an
    absence."""
    digests = {feed["digest"] for feed in record.get("feeds", [])}
    absences = (absence for source in memory.sources.values() for absence in source.absences.values())
    return bool(record.get("undoes")) or any(digests.intersection(absence.feeds) for absence in absences)


def _origin(records: Sequence[Record], record: Record) -> tuple[Record | None, bool]:
    """The run that an undo of `record` undoes in the end, None if its record is gone, and whether it undoes
    it: the undo of an undo does it again."""
    by_id = {other["run"]: other for other in records}
    undone = True
    origin: Record | None = record
    while origin is not None and origin.get("undoes"):
        # visit each record once: records that name each other would loop
        origin, undone = by_id.pop(origin["undoes"], None), not undone
    return origin, undone


def _day(record: Record) -> date:
    return date.fromisoformat(record["as_of"] if "as_of" in record else record["started"][:10])


def _marked(memory: Memory, origin: Record | None, undone: bool) -> dict[str, Any]:
    """The memory of the sources with the feeds of the run marked as undone, or no longer marked."""
    sources = dict(memory.sources)
    for feed in (origin or {}).get("feeds", []):
        source = sources.get(feed["source"])
        if source is None:
            continue
        others = tuple(other for other in source.undone if other != feed["digest"])
        marked = (*others, feed["digest"]) if undone else others
        if set(marked) != set(source.undone):
            sources[feed["source"]] = replace(source, undone=marked)
    return sources


def _facts(record: Record, reversals: Sequence[Reversal]) -> dict[str, Any]:
    return {
        "run": record["run"],
        "command": record.get("command", ""),
        "user": author_of_run(record),
        "as_of": record.get("as_of", ""),
        "started": record["started"],
        "feeds": list(record.get("feeds", [])),
        "unchanged": sum(1 for reversal in reversals if reversal.fate is UndoFate.BEFORE),
        "accounts": [
            {
                "uid": reversal.uid,
                "outcome": reversal.fate.value,
                "message": reversal.why,
                "kinds": list(reversal.write.kinds) if reversal.write else [],
                "returns": list(reversal.returns),
                "sources": list(reversal.sources),
            }
            for reversal in reversals
            if reversal.fate is not UndoFate.BEFORE
        ],
    }
