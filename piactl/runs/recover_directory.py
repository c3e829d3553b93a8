"""Recovers from a directory that was restored or has lost data, or from the loss of its server: finds the
runs that are in the journal of this host and not in the directory, and accepts their loss and the server.

Once a loss is accepted, commands can write and sources accept their feeds again. After a run with a wrong
clock `runs rewind` sets the day of the last run back.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from piactl.core.acts import ActRefused
from piactl.core.journal_line import JournalLine
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import DirectorySettings, IdentityName, Settings
from piactl.core.plan.recent_losses import losses_until, taken_until
from piactl.core.plan.state_between_runs import began_at
from piactl.core.plan.write import WriteState
from piactl.core.rules.desired_account import local_of
from piactl.core.text import read_json, utc_instant
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.open import open_reader
from piactl.directory.store.account_entries import account_dn
from piactl.directory.store.account_list import keep_name_writes
from piactl.directory.store.record_entries import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    UnreadableRecords,
    must,
    parsed,
    read_records,
    replace_record,
    stored,
)
from piactl.directory.store.run_records import read_runs, run_in
from piactl.directory.store.state_records import LAST_RUN, SOURCE, last_in, read_last, read_memory
from piactl.directory.store.typed_records import to_json
from piactl.directory.write.pipelined_writer import PipelinedWriter
from piactl.errors import DirectoryOlder, PiactlError
from piactl.host.secret_files import identity_password
from piactl.journal.end_of_journal import stamped_writes
from piactl.journal.intent_format import Intent, intent_of, settlement_of
from piactl.journal.origin_of_run import author_of
from piactl.journal.query import read_lines
from piactl.phrase import Phrase, counted, first_line, joined
from piactl.planning.vanished_accounts import first_owner, matricule_text
from piactl.runs.begin_run import begin_run
from piactl.runs.known_server import (
    check_server,
    compare_runs,
    is_older,
    meet,
    server_csns,
    server_of,
)
from piactl.runs.run import CommandRun, Run
from piactl.runs.run_checks import announce_key, check_needed_keys
from piactl.runs.server_clock import stamp_clock
from piactl.runs.unfinished_runs import unclean_last
from piactl.runs.write_ahead import state_now

_STATES = {WriteState.MADE: "present", WriteState.UNKNOWN: "unknown"}


def recovery_report(
    reader: Reader,
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    now: Callable[[], datetime],
    host: str,
) -> dict[str, Any]:
    """What the directory lacks, as `-o json` prints it: `older` says why it is older or another one, else
    None; `first_on` is the host of its last run if that is another one than `host`; `by_hand` are the
    commands that people have to give again. Raises JournalUnusable.
    """
    why, last_host, met = [], host, meet(reader, settings)
    try:
        compare_runs(met, host, settings, unreadable, now())
    except DirectoryOlder as older:
        why.append(first_line(str(older)))
    try:
        csn = ""
        if isinstance(reader, PipelinedWriter):
            csn = stamp_clock(reader, settings.directory.state, now).csn
        check_server(met.records, unreadable, server_of(met.records, csn), met.journal.recorded)
    except DirectoryOlder as another:
        why.append(first_line(str(another)))
        last_host = _host_of_last(reader, settings.directory.state, unreadable) or host
    lost = lost_runs(reader, settings, unreadable, now())
    runs = [
        {
            "run": run.run,
            "started": run.started,
            "ended": run.ended or None,
            "as_of": run.as_of or None,
            "command": list(run.command),
            "user": run.user,
            "feeds": [dict(feed) for feed in run.feeds],
            "accounts": [_intended(reader, intent, keys) for intent in run.writes()],
        }
        for run in lost
    ]
    feeds = feeds_to_apply(reader, lost, settings, keys, unreadable) if lost else []
    ids = {run.run for run in lost}
    return {
        "older": joined(why, "{first}\n{second}") or None,
        "first_on": last_host if last_host != host else None,
        "writes": _lacking_writes(reader, settings, unreadable),
        "runs": runs,
        "feeds": [dict(feed) for feed in feeds],
        # one that was given again after an earlier restore is there twice
        "by_hand": list(dict.fromkeys(command for run in runs if (command := _by_hand(run, ids)))),
    }


_OF_PLANS = ("nightly", "apply", "recover")


def _by_hand(run: Mapping[str, Any], lost: Collection[str]) -> str:
    """The command of a lost run of `lost`, for somebody to give it again; "" if it applied a plan, undid a
    lost run, or if the directory has what it wrote. Names from stdin are those of the accounts that it
    wrote; passwords are asked for and shown on the terminal, and no longer read from stdin or printed."""
    words = [*run["command"][1:]]
    if words[:1] == ["--config"]:
        words = words[2:]
    again = [account["uid"] for account in run["accounts"] if account["state"] != "present"]
    of_plan = not words or words[0] in _OF_PLANS or run["feeds"]
    if of_plan or (words[0] == "undo" and words[1] in lost) or not again:
        return ""
    at = words.index("-") if "-" in words[:3] else 0  # further on it is the value of an option
    words[at : at + 1] = dict.fromkeys(again) if at else words[:1]
    while "-" in words:
        at = words.index("-")
        words[at - 1 : at + 1] = []
    return shlex.join(["piactl", *words])


def _lacking_writes(
    reader: Reader, settings: Settings, unreadable: UnreadableRecords
) -> list[dict[str, int | str]]:
    """What the server of `reader` lacks by its contextCSN, for each server that was written to: `place` (the
    journal, the last run, or another server) knows of a write `there`, and it has those up to `here`, "" for
    none (UTC, ISO 8601). Empty if it keeps no contextCSN."""
    directory = settings.directory
    here = server_csns(reader, directory.suffix)
    last = read_last(reader, directory.state, unreadable)
    known: list[tuple[str, str]] = [
        (Phrase("the last run"), csn) for csn in (last.csns.values() if last is not None else ())
    ]
    for uri in directory.servers[1:]:
        alone = replace(directory, servers=(uri,))
        with suppress(PiactlError), open_reader(alone, IdentityName.READER, identity_password) as other:
            known += [(uri, csn) for csn in server_csns(other, alone.suffix).values()]
    known += [(Phrase("the journal"), write.csn) for write in stamped_writes(settings.journal_file)]
    newest: dict[str, tuple[str, str]] = {}
    for place, csn in known:
        number = csn.split("#")[2]
        newest[number] = max((csn, place), newest.get(number, ("", "")))
    return [
        {
            "server_id": int(number, 16),
            "here": _instant(here.get(number, "")),
            "there": _instant(csn),
            "place": place,
        }
        for number, (csn, place) in sorted(newest.items())
        if here and here.get(number, "") < csn
    ]


def _instant(csn: str) -> str:
    return utc_instant(csn.partition("#")[0]).isoformat(timespec="milliseconds") if csn else ""


def _host_of_last(reader: Reader, state: str, unreadable: UnreadableRecords) -> str:
    records = read_records(reader, state, beginning=())
    last = last_in(records, unreadable)
    record = run_in(records, last.run, unreadable) if last is not None and last.run else None
    return str(record.get("host", "")) if record is not None else ""


def _intended(reader: Reader, intent: Intent, keys: DigestKeys) -> dict[str, object]:
    """One write of a lost run. `state` is present if the directory has the intended values, missing if the
    entry does not exist, differs if it has other values, unknown if only a password was written, of which the
    journal has no digest."""
    attributes = tuple(dict.fromkeys([*intent.added, *intent.removed]))
    state, there = state_now(reader, intent, keys)
    word = _STATES.get(state, "differs") if there or intent.op == "delete" else "missing"
    return {"uid": intent.uid, "kinds": intent.kinds, "attributes": attributes, "state": word}


def lost_runs(
    reader: Reader, settings: Settings, unreadable: UnreadableRecords, now: datetime
) -> list[JournalledRun]:
    """The runs of this host that the directory lacks, in order, without those accepted as lost: each that has
    no record there although it left one, or a write of which is undone; and what followed the first of them
    without a record.

    Runs older than `keep_runs_days` are left out, because their records may have been deleted. Raises
    JournalUnusable.
    """
    folder = reader.search(Places(settings.directory.state).folder(RUNS), IN_RECORD, ["cn"], scope="one")
    present = {entry.text("cn") for entry in folder}
    undone = _undone(reader, settings)
    runs = journalled_runs(settings.journal_file, lambda run: run not in present or run in undone)
    accepted = {lost for run in runs if run.recorded and run.run in present for lost in run.accepted}
    since = now - timedelta(days=settings.keep_runs_days - 1)
    lost: list[JournalledRun] = []
    for run in runs:
        began = began_at(run.run)
        if run.run in accepted or (began is not None and began < since):
            continue
        run.undone = run.run in present and run.run in undone
        missing = run.run not in present and run.recorded
        followed = lost and run.run not in present and (run.feeds or any(run.writes()))
        if missing or run.undone or followed:
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


def _feeds_of_plan(settings: Settings, plan: str) -> tuple[Feed, ...]:
    if not plan:
        return ()
    file = Path(settings.state_folder) / "plans" / f"{plan[:16]}.json"
    try:
        feeds = read_json(file.read_text(encoding="utf-8"))["basis"]["feeds"]
        return tuple({name: str(feed[name]) for name in ("source", "file", "digest")} for feed in feeds)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _given_names(
    reader: Reader, lost: Iterable[JournalledRun], settings: DirectorySettings, keys: DigestKeys
) -> dict[str, str]:
    """The names that the lost runs gave, each with what tells its first owner (see `first_owner`)."""
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


def feeds_to_apply(
    reader: Reader,
    lost: Iterable[JournalledRun],
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


def accept_lost_runs(writer: Writer, command: CommandRun) -> tuple[list[JournalledRun], list[Feed]]:
    """Records in the journal and in the directory that the runs are lost. Returns these runs, and the feeds
    to apply again in order.

    Changes no account; the next night gives the names that the lost runs gave to their first owners alone.
    Raises PiactlError if no run is lost, SecretUnusable if accounts need a digest key that this host has
    retired, JournalMissing, LockHeld; then nothing is written.
    """
    settings, keys, unreadable = command.settings, command.keys, command.unreadable
    with begin_run(command, writer, locked=True, tolerated=(DirectoryOlder,)) as run:
        lost = lost_runs(writer, settings, unreadable, run.now())
        if run.compared and not lost:
            raise PiactlError(Phrase("the directory lacks no run of this host; there is nothing to accept"))
        check_needed_keys(writer, settings, keys)
        feeds = feeds_to_apply(writer, lost, settings, keys, unreadable)
        names = [run_lost.run for run_lost in lost]
        run.begin_to_write()
        run.journal.record("accepted", runs=names, reason=run.order.reason)
        for feed in feeds:
            _take_again(run, feed)
        owners = _given_names(writer, lost, settings.directory, keys)
        must(writer, keep_name_writes(writer, settings.directory, unreadable, owners))
        # later runs write to the server of this one
        unclean_last(run, server=run.server, csns=run.csns)
        if len(keys.keys) > 1:  # only `key add` announces one: the first is that of the directory
            announce_key(writer, settings.directory.state, keys)
        # later runs compare the directory with this one
        run.compared = True
        lacking = counted(len(names), "run", "runs")
        run.end(
            note=Phrase(
                "accepted that the directory lacks {runs}: {names}", runs=lacking, names=", ".join(names)
            )
        )
    return lost, feeds


def _take_again(run: Run, feed: Feed) -> None:
    dn = run.places.source(feed["source"])
    entry = run.writer.read(dn, [DATA])  # each feed of a source changes its record
    memory = run.unreadable.read(dn, entry.first(DATA), SOURCE) if entry is not None else None
    if memory is None:
        return  # no earlier feed of this source could refuse it
    again = dict.fromkeys([*memory.again, feed["digest"]])
    replace_record(run.writer, dn, stored(entry), to_json(replace(memory, again=tuple(again))))


# ---- the day of the last run, after a wrong clock


@dataclass(frozen=True, slots=True)
class Rewound:
    """The days before and after, and the runs that lie after the new day, the latest first."""

    run: str
    before: date
    after: date
    runs: tuple[Mapping[str, Any], ...]


def runs_after(
    reader: Reader, state: str, unreadable: UnreadableRecords, day: date, now: datetime
) -> tuple[Mapping[str, Any], ...]:
    """The records of the runs as of a later day than `day` that were not undone, the latest first."""
    return tuple(
        record
        for record in read_runs(reader, state, unreadable, now)
        if "as_of" in record and date.fromisoformat(record["as_of"]) > day and not record.get("undone_by")
    )


def rewind(writer: Writer, command: CommandRun, to: date) -> Rewound:
    """Sets the day of the last run back to `to`, so that nights as of that day and later are accepted; the
    next one knows nothing of accounts that is of a later day. Accounts stay as they are.

    Raises ActRefused if there is no run yet, and for a day after that of the last run; UnreadableRecord,
    LockHeld, UnsafePlan for a wrong clock, JournalUnusable.
    """
    with begin_run(command, writer, locked=True) as run:
        place = run.places.last_run
        data = run.records.data(place)
        if data is None:
            raise ActRefused(Phrase("no run has written yet: there is nothing to set back"))
        last = parsed(place, data, LAST_RUN)
        if to > last.as_of:
            raise ActRefused(
                Phrase(
                    "--to {to}: the day of the last run, {run}, is {day}; name a day before it",
                    to=to,
                    run=last.run,
                    day=last.as_of,
                )
            )
        after = runs_after(writer, run.settings.directory.state, run.unreadable, to, run.now())
        note = Phrase("the day of the last run is set back from {before} to {to}", before=last.as_of, to=to)
        run.journal.note(f"{note}: {run.order.reason}")
        losses, taken = losses_until(last.losses, to), taken_until(last.taken, to)
        # it is no longer the record that any plan was made on
        record = to_json(
            replace(last, run=run.order.run, as_of=to, plan="", clean=False, losses=losses, taken=taken)
        )
        replace_record(writer, place, data, record)
        run.facts |= {"rewound": [later_run["run"] for later_run in after], "day": to.isoformat()}
        run.end(note=note)
        return Rewound(run.order.run, last.as_of, to, after)


# ---- what the journal says of runs


Feed = Mapping[str, str]
"""Source, file and digest of a feed that a run applied."""

_MADE = ("applied", "unchanged", "")
"""The outcomes of writes that were or may have been made; "" is the outcome in a killed run."""


@dataclass(slots=True)
class JournalledRun:
    """`started` and `ended` are UTC, ISO 8601; `ended` is "" if it was killed. `recorded`: it has a record in
    the directory. `plan` is the fingerprint of its plan, "" if it has none. `accepted` are the runs that it
    accepted as lost. `undone`: the directory has its record, but an entry that it wrote is as before that
    write, or missing; the journal alone does not know."""

    run: str
    started: str
    command: tuple[str, ...]
    user: str
    as_of: str
    ended: str = ""
    recorded: bool = False
    plan: str = ""
    feeds: tuple[Feed, ...] = ()
    accepted: tuple[str, ...] = ()
    undone: bool = False
    intents: dict[int, Intent] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)

    def writes(self) -> Iterator[Intent]:
        """The intents that were or may have been carried out."""
        return (intent for seq, intent in self.intents.items() if self.outcomes.get(seq, "") in _MADE)


def journalled_runs(path: str, with_writes: Callable[[str], bool]) -> list[JournalledRun]:
    """The runs of all chains, in order, with their intents if `with_writes` is true for the id of the run.
    Raises JournalUnusable."""
    runs: dict[str, JournalledRun] = {}
    for line in read_lines(path):
        if line.type == "run":
            runs[line.run] = _begun(line)
        elif line.run in runs:
            _add(runs[line.run], line, with_writes=with_writes(line.run))
    return sorted(runs.values(), key=lambda run: run.started)


def _begun(line: JournalLine) -> JournalledRun:
    f = line.fields
    author = author_of(*(str(f.get(name) or "") for name in ("user", "sudo_user", "login")))
    as_of, plan = (str(f.get(name) or "") for name in ("as_of", "plan"))  # 0.2.0 wrote the plan here
    return JournalledRun(line.run, line.time, tuple(map(str, f["command"])), author, as_of, plan=plan)


def _add(run: JournalledRun, line: JournalLine, *, with_writes: bool) -> None:
    f = line.fields
    if line.type == "intent" and with_writes:
        run.intents[line.seq] = intent_of(line)
    elif with_writes and (settlement := settlement_of(line)) is not None:
        run.outcomes[settlement.intent] = settlement.outcome
    elif line.type == "note" and str(f["text"]).startswith("plan "):
        run.plan = str(f["text"]).removeprefix("plan ")
    elif line.type == "accepted":
        run.accepted = tuple(f["runs"])
    elif line.type == "end":
        run.ended, run.recorded = line.time, f.get("recorded") is True
        run.feeds = tuple(f.get("feeds", ()))
