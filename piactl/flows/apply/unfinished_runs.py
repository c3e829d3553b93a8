"""Ends what earlier runs left unfinished: writes in doubt, LDIF files to read back, records of dead runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from piactl.core.plan.run_state import RunStatus
from piactl.core.text import counted
from piactl.directory import filters
from piactl.directory.store.records import DATA, IN_RECORD, RUNS, Record, replace_record
from piactl.directory.store.run_records import MARK, MARKED, put_run_record, read_run
from piactl.directory.store.state_records import last_run_in, last_run_record
from piactl.flows.apply.repeat_for_other_servers import (
    unanswered_intent,
    unanswered_records_since,
    write_again,
)
from piactl.flows.apply.run_lock import RunLock, alive_alone
from piactl.flows.apply.write_ahead import read_back
from piactl.journal import Intent, Settlement, in_doubt

if TYPE_CHECKING:
    from piactl.flows.apply.run import Run


def settle_doubts(run: Run) -> int:
    """Reads back the writes that earlier runs on this host left in doubt, and journals their outcomes.

    Only a run under the lock settles what a load by LDIF left: until then the LDIF may still be loaded.
    """
    locked = isinstance(run.lock, RunLock)
    intents = [intent for intent in in_doubt(run.settings.journal_file) if locked or not intent.load]
    settled = read_back(run.writer, run.settings.directory.accounts, intents, run.keys)
    if locked:
        # before the journal calls them settled: a run that dies in between leaves them to the next one
        _end_loads(run, intents, settled)
    if settled:
        made = zip(intents, settled, strict=True)
        again = [
            unanswered_intent(intent, run.writer, run.keys, made=settlement.outcome == "applied")
            for intent, settlement in made
            if settlement.outcome != "failed" and not intent.load
        ]
        write_again(run, again)
        run.journal.resolved(settled)
        pairs = zip(intents, settled, strict=True)
        run.unmade = [intent for intent, settlement in pairs if settlement.outcome != "applied"]
        done = len(settled) - len(run.unmade)
        writes = counted(
            len(settled),
            "write that an earlier run left in doubt was",
            "writes that an earlier run left in doubt were",
        )
        run.say(f"{writes} read back: {done} had been made")
    return len(settled)


def made_late(run: Run) -> list[tuple[str, str]]:
    """The uids, with a sentence, of the writes that had not been made when this run began, and are made now
    although it did not make them: something between the hosts held the requests of the earlier run. The next
    night evaluates everybody."""
    base, intents = run.settings.directory.accounts, run.unmade
    settled = read_back(run.writer, base, intents, run.keys) if intents else []
    late = [
        (
            intent.uid,
            f"a write of run {intent.run}, which had not been made when this run began, was made meanwhile: "
            "look what holds requests to the server, and run again with the feeds of today",
        )
        for intent, settlement in zip(intents, settled, strict=True)
        if settlement.outcome == "applied"
    ]
    for uid, words in late:
        run.journal.note(f"{uid}: {words}")
    if late:
        unclean_last(run)
    return late


def unfinished_runs(run: Run) -> Iterator[tuple[str, Record]]:
    """Name and record of the other runs that are marked as not ended."""
    marked = filters.all_of(IN_RECORD, filters.any_of(*(filters.equals(MARK, status) for status in MARKED)))
    for entry in list(run.writer.search(run.places.folder(RUNS), marked, [DATA], scope="one")):
        record = run.unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is not None and record["run"] != run.order.run:
            yield entry.dn, record


def _unfinished(run: Run, status: RunStatus) -> Iterator[tuple[str, Record]]:
    return ((dn, record) for dn, record in run.unfinished if record["status"] == status)


def _end_loads(run: Run, intents: Sequence[Intent], settled: Sequence[Settlement]) -> None:
    """Writes into the records of runs that wrote an LDIF what became of it. An LDIF that is not loaded by now
    can no longer be: its first entry is made here, and slapadd then refuses the file.

    Runs whose intents are in the journal of another host are left to the runs there.
    """
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for intent, settlement in zip(intents, settled, strict=True):
        if intent.load:
            outcomes[intent.run][settlement.outcome] += 1
    for dn, record in _unfinished(run, RunStatus.LOADING):
        name = record["run"]
        counts = outcomes[name]
        facts: dict[str, Any] = {"outcomes": dict(counts)}
        if run.writer.read(run.places.undo(name, 0), ["cn"]) is None:
            replace_record(run.writer, run.places.undo(name, 0), None, {"run": name, "changes": []})
            facts = {"summary": {}, "outcomes": {}}  # an undo has nothing to undo
        elif not counts and record.get("host") != run.order.actor.host:
            continue
        status, note = _load_ended(counts)
        if status is not RunStatus.DONE:
            unclean_last(run, name)
        put_run_record(run.writer, dn, {**record, **facts, "status": status, "note": note})
        run.say(f"run {name}: {note}")


def _load_ended(counts: Mapping[str, int]) -> tuple[RunStatus, str]:
    """Status and note of a run whose LDIF was read back."""
    made, total = counts["applied"], sum(counts.values())
    if not total:
        return (
            RunStatus.FAILED,
            "nothing of its LDIF can be read back from the journal of this host; see the accounts",
        )
    if not made:
        return RunStatus.FAILED, "its LDIF was not loaded and can no longer be; delete the file"
    accounts = counted(made, "account")
    if made == total:
        return RunStatus.DONE, f"its LDIF was loaded: {accounts}; delete the file"
    return RunStatus.PARTLY, f"its LDIF was loaded in part: {accounts} of {total}; plan again for the rest"


def unclean_last(run: Run, only: str = "") -> None:
    """Marks the last run as one that did not end well, so that the next night evaluates everybody. With
    `only`, a last run other than that one stays as it is."""
    entry = run.writer.read(run.places.last_run, [DATA])
    data = entry.first(DATA) if entry is not None else None
    last = last_run_in(run.places.last_run, data, run.unreadable) if data else None
    if last is None or (only and last.run != only):
        return
    replace_record(run.writer, run.places.last_run, data, last_run_record(replace(last, clean=False)))


def mark_interrupted(run: Run, why: str) -> None:
    """Marks the records of runs that died as interrupted; `why` is their note."""
    for dn, record in _unfinished(run, RunStatus.RUNNING):
        if not alive_alone(record, run.now()):
            write_again(run, [*unanswered_records_since(run, record["started"])])
            put_run_record(run.writer, dn, {**record, "status": RunStatus.INTERRUPTED, "note": why})
            feeds = ", ".join(feed["file"] for feed in record.get("feeds", []))
            if feeds:
                run.say(f"run {record['run']} was interrupted; apply its feeds again: {feeds}")
