"""Recovers from a directory that was restored or has lost data: finds the runs that are in the journal of
this host and not in the directory, and accepts their loss.

Once a loss is accepted, commands can write and sources accept their feeds again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from pathlib import Path

from piactl.core.journal_line import JournalLine, current_outcome
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.settings import DirectorySettings, Settings
from piactl.core.plan.run_state import RunStatus
from piactl.core.rules.desired import local_of
from piactl.core.text import counted, read_json
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.port import Reader, Writer
from piactl.directory.store.account_list import keep_name_writes
from piactl.directory.store.accounts import account_dn
from piactl.directory.store.records import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    UnreadableRecords,
    must,
    replace_record,
    stored,
)
from piactl.directory.store.state_records import read_last, read_memory, read_source, source_record
from piactl.errors import DirectoryOlder, PiactlError
from piactl.flows.apply.restored_directory import began_at, is_before, is_older
from piactl.flows.apply.run import CommandRun, Run
from piactl.flows.apply.unfinished_runs import unclean_last
from piactl.flows.plan.deleted_entries import first_owner, matricule_text
from piactl.journal import Intent, IntentOutcome, intent_outcome, read_lines
from piactl.journal.intent_format import intent_of
from piactl.journal.recorded_runs import stamped_writes

Feed = Mapping[str, str]
"""Source, file and digest of a feed that a run applied."""

MISSING, PRESENT, DIFFERS, SECRET = "missing", "present", "differs", "unknown"
_STATES = {IntentOutcome.DONE: PRESENT, IntentOutcome.UNKNOWN: SECRET}
_MADE = ("applied", "unchanged", "")
"""The outcomes of writes that were or may have been made; "" is the outcome in a killed run."""


@dataclass(slots=True)
class LostRun:
    """A run that the directory lacks. `ended` is "" if it was killed; `recorded`: it wrote a record.
    `remembered`: `cn=state` named it as the last run. `undone`: the directory has its record, but an entry
    that it wrote is as before that write, or missing."""

    run: str
    started: str
    command: tuple[str, ...]
    user: str
    as_of: str
    ended: str = ""
    recorded: bool = False
    remembered: bool = False
    undone: bool = False
    plan: str = ""
    feeds: tuple[Feed, ...] = ()
    intents: dict[int, Intent] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)

    def writes(self) -> list[Intent]:
        """The intents that were or may have been carried out."""
        return [intent for seq, intent in self.intents.items() if self.outcomes.get(seq, "") in _MADE]


@dataclass(frozen=True, slots=True)
class IntendedAccount:
    """One write of a lost run. `state` is PRESENT if the directory has the intended values, MISSING if the
    entry does not exist, DIFFERS if it has other values, SECRET if only a password was written, of which the
    journal has no digest."""

    uid: str
    kinds: tuple[str, ...]
    attributes: tuple[str, ...]
    state: str


def lost_runs(
    reader: Reader, settings: Settings, unreadable: UnreadableRecords, now: datetime
) -> list[LostRun]:
    """The runs of this host that the directory lacks, in order, without those accepted as lost.

    Runs older than `keep_runs_days` are left out, because their records may have been deleted. Raises
    JournalUnusable.
    """
    state = settings.directory.state
    folder = reader.search(Places(state).folder(RUNS), IN_RECORD, ["cn"], scope="one")
    present = {entry.text("cn") for entry in folder}
    last = read_last(reader, state, unreadable)
    later = {run for run in present if last is not None and is_before(last, run)}
    undone = _undone(reader, settings)
    runs, accepted = _runs_without(settings.journal_file, present, later | undone)
    since = now - timedelta(days=settings.keep_runs_days - 1)
    lost: list[LostRun] = []
    for run in runs:
        began = began_at(run.run)
        if run.run in accepted or (began is not None and began < since):
            continue
        run.undone = run.run in present and run.run in undone
        missing = run.undone or (run.remembered if run.run in present else run.recorded)
        followed = lost and run.run not in present and (run.writes() or run.feeds)
        if missing or followed:
            run.feeds = run.feeds or _feeds_of_plan(settings, run.plan)
            lost.append(run)
    return lost


def _undone(reader: Reader, settings: Settings) -> set[str]:
    """The runs with a write after the copy of the accounts that a restore brought back, as far as their
    entries show it. If entries are missing and none is older, another program deleted them."""
    accounts = settings.directory.accounts
    entries = {normal_dn(e.dn): e for e in reader.search(accounts, filters.ANY_ENTRY, ["entryCSN"])}
    writes = [(write, entries.get(normal_dn(write.dn))) for write in stamped_writes(settings.journal_file)]
    older = [
        entry.text("entryCSN") for write, entry in writes if entry is not None and is_older(entry, write)
    ]
    if not older and len(entries) > 1:
        return set()
    since = max(older, default="")
    return {
        write.run
        for write, entry in writes
        if write.csn > since and (entry is None or is_older(entry, write))
    }


def _runs_without(
    path: str, present: Collection[str], later: Collection[str]
) -> tuple[list[LostRun], set[str]]:
    """The runs of the journal that are not `present` or are `later` than the last run of the directory, and
    the runs that a present run accepted as lost."""
    runs: dict[str, LostRun] = {}
    accepted: dict[str, set[str]] = defaultdict(set)
    accepting: set[str] = set()
    for line in read_lines(path):
        if line.type == "accepted":
            accepted[line.run] |= set(line.fields["runs"])
        if line.type == "end" and line.run in present and line.fields.get("recorded") is True:
            accepting.add(line.run)
        if line.run in present and line.run not in later:
            continue
        if line.type == "run":
            runs[line.run] = _begun(line)
        elif line.run in runs:
            _add(runs[line.run], line)
    return list(runs.values()), {run for by in accepting & accepted.keys() for run in accepted[by]}


def _begun(line: JournalLine) -> LostRun:
    f = line.fields
    user = str(f.get("login") or f.get("sudo_user") or f.get("user") or "")
    return LostRun(line.run, line.time, tuple(map(str, f["command"])), user, str(f.get("as_of") or ""))


def _add(run: LostRun, line: JournalLine) -> None:
    f = line.fields
    if line.type == "intent":
        run.intents[line.seq] = intent_of(line)
    elif line.type in ("outcome", "resolved"):
        run.outcomes[f["intent"]] = current_outcome(str(f["outcome"]))
    elif line.type == "note" and str(f["text"]).startswith("plan "):
        run.plan = str(f["text"]).removeprefix("plan ")
    elif line.type == "end":
        run.ended, run.recorded = line.time, f.get("recorded") is True
        run.remembered = f.get("remembered") is True
        run.feeds = tuple(f.get("feeds", ()))


def _feeds_of_plan(settings: Settings, plan: str) -> tuple[Feed, ...]:
    """The feeds of a plan that this host stored; empty if it has no such plan."""
    if not plan:
        return ()
    file = Path(settings.state_folder) / "plans" / f"{plan[:16]}.json"
    try:
        feeds = read_json(file.read_text(encoding="utf-8"))["basis"]["feeds"]
        return tuple({name: str(feed[name]) for name in ("source", "file", "digest")} for feed in feeds)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _given_names(
    reader: Reader, lost: Iterable[LostRun], settings: DirectorySettings, keys: DigestKeys
) -> dict[str, str]:
    """The names that the lost runs gave, each with what tells its first owner (see `FirstOwners`)."""
    name = settings.attributes.get("supannEmpId", "supannEmpId")
    digests: dict[str, str] = {}
    names: dict[str, str] = {}
    for intent in (intent for run in lost for intent in run.writes()):
        uid = intent.uid
        if normal_dn(intent.dn) != normal_dn(account_dn(settings, uid)):
            continue
        if intent.added.get(name):
            digests[uid] = intent.added[name][0]
        given = ([uid] if intent.op == "add" else []) + ([local_of(intent.address)] if intent.address else [])
        if not given:
            continue
        if uid not in digests:
            entry = reader.read(intent.dn, [name])
            matricule = entry.text(name) if entry is not None else ""
            digests[uid] = keys.digest("journal", matricule_text(settings, uid, matricule))
        names.update(dict.fromkeys(given, first_owner(digests[uid], uid)))
    return names


def intended_accounts(reader: Reader, run: LostRun, keys: DigestKeys) -> list[IntendedAccount]:
    """The writes that the run intended, compared by digest with the current entries."""
    accounts = []
    for intent in run.writes():
        attributes = tuple(dict.fromkeys([*intent.added, *intent.removed]))
        entry = reader.read(intent.dn, attributes or ("objectClass",))
        values = entry.values if entry is not None else None
        outcome = intent_outcome(intent, values, lambda text: keys.candidates("journal", text))
        absent = entry is None and intent.op != "delete"
        state = MISSING if absent else _STATES.get(outcome, DIFFERS)
        accounts.append(IntendedAccount(intent.uid, intent.kinds, attributes, state))
    return accounts


def feeds_to_apply(
    reader: Reader,
    lost: Iterable[LostRun],
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
) -> list[Feed]:
    """The delta feeds of the lost runs in order, each once, without those applied in the directory."""
    sources = read_memory(reader, settings.directory.state, keys, unreadable).memory.sources
    feeds: dict[str, Feed] = {}
    for run, feed in ((lost_run, feed) for lost_run in lost for feed in lost_run.feeds):
        source = settings.sources.get(feed["source"])
        memory = sources.get(feed["source"])
        applied = memory is not None and feed["digest"] in memory.applied and not run.undone
        if source is not None and not source.full and not applied:
            feeds.setdefault(feed["digest"], feed)
    return list(feeds.values())


def accept_lost_runs(writer: Writer, command: CommandRun) -> tuple[list[LostRun], list[Feed]]:
    """Records in the journal and in the directory that the runs are lost. Returns these runs, and the feeds
    to apply again in order.

    Changes no account; the next night evaluates every account, and gives the names that the lost runs gave to
    their first owners alone. Raises PiactlError if no run is lost,
    JournalMissing, LockHeld; then nothing is written.
    """
    settings, keys, unreadable = command.settings, command.keys, command.unreadable
    with command.locked(writer, tolerated=(DirectoryOlder,)) as run:
        lost = lost_runs(writer, settings, unreadable, run.now())
        if run.compared and not lost:
            raise PiactlError("the directory lacks no run of this host; there is nothing to accept")
        feeds = feeds_to_apply(writer, lost, settings, keys, unreadable)
        names = [run_lost.run for run_lost in lost]
        run.record(RunStatus.RUNNING)
        run.journal.accepted(names, run.order.reason)
        for feed in feeds:
            _take_again(run, feed)
        owners = _given_names(writer, lost, settings.directory, keys)
        must(writer, keep_name_writes(writer, settings.directory, unreadable, owners))
        unclean_last(run)
        # later runs compare the directory with this one
        run.compared = True
        run.end({})
        run.record(
            RunStatus.DONE,
            note=f"accepted that the directory lacks {counted(len(names), 'run')}: {', '.join(names)}",
        )
    return lost, feeds


def _take_again(run: Run, feed: Feed) -> None:
    """Lets the source accept a feed once more, whatever its date."""
    dn = run.places.source(feed["source"])
    entry = run.writer.read(dn, [DATA])
    memory = run.unreadable.read(dn, entry.first(DATA), read_source) if entry is not None else None
    if memory is None:
        return  # no earlier feed of this source could refuse it
    again = dict.fromkeys([*memory.again, feed["digest"]])
    replace_record(run.writer, dn, stored(entry), source_record(replace(memory, again=tuple(again))))
