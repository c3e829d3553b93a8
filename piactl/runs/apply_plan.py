"""Applies a plan whose guards were checked: one write per account, each journalled before it is sent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any

from piactl.core.plan.change import Kind
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import ReadyPlan, Rows
from piactl.core.plan.recent_losses import losses_beyond, losses_without, taken_in_either
from piactl.core.plan.state_between_runs import LastRun, RunStatus
from piactl.core.plan.write import Write
from piactl.directory import filters
from piactl.directory.dn import first_pair, normal_dn, parted
from piactl.directory.interfaces import Outcome, RawEntry, WriteResult, write_one
from piactl.directory.store.account_entries import account_dn, written_after
from piactl.directory.store.account_list import account_list_writes
from piactl.directory.store.record_entries import (
    DATA,
    RUNS,
    UnreadableRecord,
    dumps,
    entries_of,
    is_record,
    misplaced_entries,
    must,
    record_write,
    replace_record,
    set_record,
    unwritten,
)
from piactl.directory.store.run_records import put_run_record, read_run
from piactl.directory.store.state_records import LAST_RUN
from piactl.directory.store.typed_records import to_json
from piactl.errors import PiactlError, StalePlan
from piactl.phrase import Phrase, joined
from piactl.runs.run import Run
from piactl.runs.run_checks import (
    check_date,
    check_not_replaced,
    check_plan_fits,
    require_schema,
    settings_digest,
)
from piactl.runs.undo_log import keep_undo
from piactl.runs.unfinished_runs import made_late
from piactl.runs.write_ahead import BATCH, JournalledWriting

MOST_PROBLEMS = 100
"""The largest number of problems that the record of a run names."""


@dataclass(slots=True)
class Done:
    """What became of a run. `problems` are (uid, outcome, message) of the writes that were not made."""

    run: str
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[Write] = field(default_factory=list)
    results: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Outcome and message by uid; if `brief`, only of the accounts whose write was not simply made."""
    stopped: str = ""
    wanted: int = 0
    """How many accounts the run was to write."""
    brief: bool = False
    late: list[str] = field(default_factory=list)
    """A sentence for each write of an earlier run that was made after it had been read back as not made."""
    let_in: int = 0
    """How many binds of canaries a server accepted."""
    drift_waits: bool = False
    """Whether a broken guard held back what other programs changed."""
    without_feeds: Sequence[PiactlError] = ()
    """Why the feeds of some sources were refused; the run went on without them."""

    @property
    def status(self) -> RunStatus:
        """The status of a run that no error ended."""
        if self.stopped:
            return RunStatus.STOPPED
        return RunStatus.PARTLY if self.problems else RunStatus.DONE

    def facts(self, most: int | None = None) -> dict[str, Any]:
        """The outcomes and the first `most` problems, as JSON has them."""
        problems = [{"uid": u, "outcome": o, "message": m} for u, o, m in self.problems[:most]]
        return {"outcomes": dict(self.counts), "problems": problems}


Progress = Callable[[int, int], None]
Stop = Callable[[], str]
"""The name of a signal that asked to stop, "" while none did."""
Tell = Callable[[str, WriteResult], None]
"""Gets the uid of an account and the result of each write to it."""
Housekeeping = tuple[str, Callable[[Run], object]]
"""A step after the changes of a run, which do not depend on it, and the folder whose records it is about: it
is left out while there are none; "" is a step that is always made."""


def refused(refusals: Sequence[Refusal], allowed: Mapping[str, int]) -> list[Refusal]:
    """The refusals that `allowed` does not cover: it approves kind by kind, with the exact number of
    accounts."""
    return [r for r in refusals if allowed.get(r.kind) != r.total]


def apply_work(
    run: Run,
    ready: ReadyPlan,
    *,
    progress: Progress,
    stop: Stop,
    brief: bool = False,
    housekeeping: Sequence[Housekeeping] = (),
    tell: Tell | None = None,
) -> Done:
    """Applies the plan, and ends the run; `brief` is as in Done. Raises SchemaLacking and UnsafePlan before
    the first write. The `housekeeping` follows after all changes; if it fails, the run reports that but does
    not fail.

    Conflicts and failures of single accounts are counted, and the rest continues. Raises an error that
    prevents every write (DirectoryUnreachable, DirectoryRefused, LockLost, JournalUnusable).
    """
    facts = run_facts(ready) | {"settings": settings_digest(run.settings), "rules": run.order.rules}
    if ready.last is not None:
        check_not_replaced(run, facts, ready.plan.basis.after)
    require_schema(run.writer, run.settings.directory, ready.writes)
    done = Done(run.order.run, wanted=len(ready.writes), brief=brief)
    with _counted(run, done, facts):
        planned_on = mark_unclean(run, ready)
        keep_undo(run, ready.writes)
        # only an archival deletes anything
        archives = Kind.ARCHIVE.value in ready.plan.summary
        writes = _without_devices(run, ready.writes, done, stop) if archives else ready.writes
        _write_accounts(run, writes, done, stop, progress, tell)
        if not done.stopped:
            # before the record of this run, which makes the next one list only what is written from now on
            _keep_house(run, partial(_list_accounts, ready=ready))
            run.lock.renew()
            _write_records(run, ready, done, planned_on)
    if not done.stopped:
        _clear_records(run, housekeeping)
    _end(run, done)
    return done


@contextmanager
def _counted(run: Run, done: Done, facts: Mapping[str, Any]) -> Iterator[None]:
    """Begins to write; the record of a run that an error ends says what was done until then."""
    run.counts = done.counts
    run.begin_to_write(**facts)
    try:
        yield
    except PiactlError:
        run.facts |= done.facts(MOST_PROBLEMS)
        raise


def _end(run: Run, done: Done) -> None:
    late = made_late(run)
    done.late = [joined([uid, words], "{first}: {second}") for uid, words in late]
    done.problems += [(uid, Outcome.CONFLICT.value, words) for uid, words in late]
    run.facts |= done.facts(MOST_PROBLEMS)
    run.end(done.status, Phrase("stopped by {signal}", signal=done.stopped) if done.stopped else "")


def _keep_house(run: Run, step: Callable[[Run], object]) -> None:
    try:
        run.lock.renew()
        step(run)
    except PiactlError as error:
        why = str(error)
        run.say(Phrase("the changes were made, but the housekeeping after them was not: {why}", why=why))
    except Exception as bug:  # noqa: BLE001 - the night is done, whatever becomes of this
        where = getattr(step, "func", step).__qualname__
        run.say(
            Phrase(
                "the changes were made; {step} failed ({bug}): a bug in piactl, please report it",
                step=where,
                bug=type(bug).__name__,
            )
        )


def _clear_records(run: Run, housekeeping: Sequence[Housekeeping]) -> None:
    """Deletes old runs and names what is not piactl's, with one reading of piactl's tree, and makes the other
    steps."""
    state, settings = run.settings.directory.state, run.settings
    entries: list[RawEntry] = []

    def prune_runs(run: Run) -> None:
        entries.extend(entries_of(run.writer, state))
        for misplaced in misplaced_entries(entries, state):
            run.unreadable.add(misplaced)
        delete_old_records(run, entries, settings.keep_undo_days, settings.keep_runs_days)

    _keep_house(run, prune_runs)
    names = {normal_dn(entry.dn) for entry in entries} - {normal_dn(run.places.clock)}
    filled = {parted(name)[1] for name in names}
    for folder, step in housekeeping:
        place = normal_dn(run.places.folder(folder)) if folder else ""
        if not folder or place in filled or place not in names:  # it cannot be seen: the step says why
            _keep_house(run, step)


def _without_devices(run: Run, writes: Rows[Write], done: Done, stop: Stop) -> Rows[Write]:
    """Deletes the devices of accounts that are archived, all of them before any account is changed, no matter
    how many requests are sent in parallel; returns the other writes. An account whose device could not be
    deleted is left as it is for the next night, because no run looks below an archived account again."""
    devices = [write for write in writes if write.op == "delete"]
    if not devices:
        return writes
    _write_accounts(run, devices, done, stop)
    if done.stopped:
        return ()
    failed_uids = {write.uid for write in done.failed}
    return [write for write in writes if write.op != "delete" and write.uid not in failed_uids]


def write_alone(
    run: Run,
    writes: Sequence[Write],
    done: Done,
    stop: Stop,
    then: Mapping[str, Sequence[Write]] | None = None,
    undo: Sequence[Write] | None = None,
    finish: Callable[[Run], None] | None = None,
) -> None:
    """Makes the writes of a one-off command, which leaves piactl's memory of the nights as it is.

    `done.results` gets the outcome of each, except those that a stop or an error left undone. `then` are
    writes by uid that follow in order once the account's own was made; the first that fails gives the outcome
    of the account. `undo` are the writes that an undo takes back, if these are not `writes`. `finish` ends
    what earlier commands left unfinished. Raises, as `apply_work` does, what prevents every write.
    """
    kinds = Counter(kind for write in writes for kind in write.kinds)
    with _counted(run, done, {"summary": dict(kinds)}):
        if run.recorded:
            keep_undo(run, writes if undo is None else undo)
        _write_accounts(run, writes, done, stop)
        for uid, following in (then or {}).items():
            _write_then(run, uid, following, done)
        if finish is not None:
            finish(run)
        if run.recorded:
            every = [*writes, *chain.from_iterable((then or {}).values())]
            _keep_house(run, partial(_list_written, writes=every))
    _end(run, done)


def _write_then(run: Run, uid: str, following: Sequence[Write], done: Done) -> None:
    """Makes the writes that follow an account's own. No signal ends it, because it finishes what was
    begun."""
    first = done.results.get(uid)
    for write in following:
        if first is None or done.results[uid][0] not in (Outcome.APPLIED.value, Outcome.UNCHANGED.value):
            return
        _write_accounts(run, [write], done)
        done.results[uid] = done.results[write.uid]
    if first is not None and done.results[uid][0] in (Outcome.APPLIED.value, Outcome.UNCHANGED.value):
        done.results[uid] = first


def write_beside(run: Run, writes: Sequence[Write]) -> Done:
    """Makes journalled writes that are not part of the plan: the record of the run does not count them."""
    done = Done(run.order.run)
    if writes:
        _write_accounts(run, writes, done)
    return done


def mark_unclean(run: Run, ready: ReadyPlan) -> bytes | None:
    """Marks the last run as one that did not end well, with the losses that this one plans, until its own
    record replaces it. Returns the record of the last run as it is then, None if there is none.

    Raises StalePlan if the record is not that of the run that the plan follows.
    """
    data = run.records.data(run.places.last_run)
    if data is None:
        return None
    last = run.records.value(run.places.last_run, LAST_RUN, run.unreadable)
    if last is None or not (ready.writes or ready.records):
        return data
    if last.run != ready.plan.basis.after and last.plan != ready.fingerprint:
        raise StalePlan(
            Phrase(
                "another run, {run}, has been recorded since this one was planned; run again", run=last.run
            )
        )
    planned = losses_without(ready.last.losses, run.order.allowed) if ready.last else last.losses
    unfinished = losses_beyond(planned, last.losses) or last.unfinished
    taken = taken_in_either(last.taken, ready.last.taken) if ready.last else last.taken
    record = to_json(replace(last, clean=False, unfinished=unfinished, taken=taken))
    replace_record(run.writer, run.places.last_run, data, record)
    return dumps(record)


def run_facts(ready: ReadyPlan) -> dict[str, Any]:
    """What the record of a run says of its plan."""
    # an adoption reads a feed and does not apply it: a later night does
    feeds = () if Kind.ADOPT.value in ready.plan.summary else ready.plan.basis.feeds
    counted = ready.plan.counted
    return {
        "plan": ready.fingerprint,
        "policy": ready.plan.basis.policy,
        "register": ready.plan.basis.register,
        "after": ready.plan.basis.after,
        "feeds": [{"source": f.source, "file": f.file, "digest": f.digest} for f in feeds],
        "summary": dict(ready.plan.summary),
        **({"quality": list(map(asdict, ready.plan.quality))} if ready.plan.quality else {}),
        **({"counted": {kind: list(n) for kind, n in counted.items()}} if counted else {}),
        **({"held": len(ready.plan.holds)} if ready.plan.holds else {}),
        **({"undoes": ready.undoes} if ready.undoes else {}),
    }


def _write_accounts(
    run: Run,
    writes: Rows[Write],
    done: Done,
    stop: Stop = lambda: "",
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> None:
    writing = JournalledWriting(run, stop)
    try:
        for made, (write, result) in enumerate(writing.results(writes), 1):
            outcome, message = result.outcome, result.message
            done.counts[outcome.value] += 1
            if not done.brief or outcome is not Outcome.APPLIED:
                done.results[write.uid] = (outcome.value, message)
            if outcome in (Outcome.CONFLICT, Outcome.FAILED):
                done.problems.append((write.uid, outcome.value, message))
                done.failed.append(write)
            if tell is not None:
                tell(write.uid, result)
            if progress is not None and (made % BATCH == 0 or made == len(writes)):
                progress(made, len(writes))
    finally:
        done.stopped = done.stopped or writing.stopped
        if writing.unmade:
            done.counts[Outcome.FAILED.value] += writing.unmade


def _write_records(run: Run, ready: ReadyPlan, done: Done, planned_on: bytes | None) -> None:
    """Writes the records of sources and people in waiting, then the record of the last run, which
    shows that all before it was written."""
    skipped = len(run.unreadable)
    for result in run.writer.write(list(ready.records)):
        _check_written(run, result)
    for write in done.failed:
        if write.waiting is not None:
            _keep_waiting(run, write)
    if ready.undoes:
        _mark_undone(run, ready.undoes)
    if ready.last is None:
        return
    clean = ready.last.clean and not done.problems and len(run.unreadable) == skipped
    losses = losses_without(ready.last.losses, run.order.allowed)
    last = replace(
        ready.last,
        run=run.order.run,
        plan=ready.fingerprint,
        clean=clean,
        losses=losses,
        server=run.server,
        csns=run.csns,
    )
    if not clean:  # an account that was not written has no sealed base yet
        before = run.records.value(run.places.last_run, LAST_RUN, run.unreadable)
        last = replace(last, layout=before.layout if before else 0)
    # it replaces the record that the plan was made on, and no other
    changed = record_write(run.places.last_run, planned_on, to_json(last))
    if changed is not None:
        _check_written(run, write_one(run.writer, changed))
    run.remembered = True


def _check_written(run: Run, result: WriteResult) -> None:
    """Raises PiactlError if a record of piactl was not written. If another program put an entry in its place,
    or below it, that is reported instead."""
    if result.outcome not in (Outcome.CONFLICT, Outcome.FAILED):
        return
    dn = result.write.dn
    if result.write.op == "delete" and result.outcome is Outcome.FAILED:
        why = Phrase("the record is over and cannot be deleted ({message})", message=result.message)
        run.unreadable.add(UnreadableRecord(dn, why, Phrase("delete what stands below it, then the entry")))
    elif (entry := run.writer.read(dn, ["objectClass"])) is not None and not is_record(entry):
        why = Phrase("another entry is where piactl's record belongs, which was not written")
        run.unreadable.add(UnreadableRecord(dn, why, Phrase("delete it")))
    else:
        raise unwritten(dn, result)


def _list_accounts(run: Run, ready: ReadyPlan) -> None:
    """Lists the accounts that were written since the run before this one began. The first run of a week lists
    all accounts, in case another program removed a record. Accounts that an undo took out of management leave
    the list. Raises PiactlError."""
    before = run.records.value(run.places.last_run, LAST_RUN, run.unreadable)
    released = {change.uid for change in ready.plan.changes if change.before == {"managed": "yes"}}
    since = before.week_began(run.order.as_of) if before else None
    those = written_after(since) if since else ""
    writes = account_list_writes(run.writer, run.settings.directory, run.unreadable, those, released)
    must(run.writer, run.while_locked(writes))


def _list_written(run: Run, writes: Sequence[Write]) -> None:
    """Lists the accounts that these writes of a one-off command made, or to which they gave a name or
    matricule. Raises PiactlError."""
    directory = run.settings.directory
    uid, *watched = (directory.attributes.get(n, n) for n in ("uid", "supannEmpId", "piactlIdentifier"))
    uids = {
        write.uid
        for write in writes
        if write.add.keys() & {*watched}
        and normal_dn(write.dn) == normal_dn(account_dn(directory, write.uid))
    }
    if uids:
        query = filters.any_of(*(filters.equals(uid, value) for value in sorted(uids)))
        must(run.writer, run.while_locked(account_list_writes(run.writer, directory, run.unreadable, query)))


def _mark_undone(run: Run, undone: str) -> None:
    dn = run.places.run(undone)
    entry = run.writer.read(dn, [DATA])
    if entry is not None:
        record = run.unreadable.read(dn, entry.first(DATA), read_run)
        if record is not None:
            put_run_record(run.writer, dn, {**record, "undone_by": run.order.run})


def _keep_waiting(run: Run, write: Write) -> None:
    """Remembers what HR said of a person whose write failed, if no later feed would say it again."""
    waiting = write.waiting
    if waiting is None:
        return
    digest = run.keys.digest("matricule", waiting.person.matricule)
    result = set_record(run.writer, run.places.waiting(digest), to_json(waiting), waiting.due)
    if result is not None:
        _check_written(run, result)


def made_already(run: Run, ready: ReadyPlan, last: LastRun | None) -> Done | None:
    """The outcome of a run whose plan an earlier run applied; None if the plan may be applied today. Raises
    as `check_plan_fits` and `check_date`."""
    order = run.order
    made = check_plan_fits(ready, run.settings, order.policy, last)
    if made:
        run.say(Phrase("this plan was already applied by run {run}; nothing to do", run=made))
        run.facts["plan"] = ready.fingerprint
        run.end(note=Phrase("already applied by {run}", run=made))
        return Done(order.run)
    if order.as_of != order.today and not run.settings.any_date:
        raise StalePlan(
            Phrase("the plan is of {day}, which is not today; make the plan again", day=order.as_of)
        )
    check_date(order, last, run.settings)
    return None


# ---- old records


def delete_old_records(run: Run, entries: Iterable[RawEntry], undo_days: int, run_days: int) -> None:
    """Deletes the undo log of runs older than `undo_days`, and the records of runs older than `run_days`
    that have no undo log any more. `entries` are those of piactl's tree, with their classes."""
    undo_limit, limit = (
        f"{run.now() - timedelta(days=days):%Y%m%dT%H%M%S}" for days in (undo_days, run_days)
    )
    runs, kept_runs = [], set()
    folder = normal_dn(run.places.folder(RUNS))
    for entry in filter(is_record, entries):
        of_run = entry.dn.partition(",")[2]
        if parted(normal_dn(entry.dn))[1] == folder:
            runs.append(entry.dn)
        elif entry.dn.lower().startswith("cn=undo-") and parted(normal_dn(of_run))[1] == folder:
            old = _RUN_ID.match(of_run) and first_pair(of_run)[1] < undo_limit
            if not (old and _deleted(run, entry.dn)):
                kept_runs.add(of_run.lower())
    for dn in runs:
        if _RUN_ID.match(dn) and first_pair(dn)[1] < limit and dn.lower() not in kept_runs:
            _deleted(run, dn)


_RUN_ID = re.compile(r"cn=\d{8}T\d{6}-", re.IGNORECASE)
"""The beginning of the name of a run's record; entries with other names are not piactl's."""


def _deleted(run: Run, dn: str) -> bool:
    """Deletes a record unless it has changed; returns whether it was deleted. Reports one that cannot be
    deleted."""
    result = set_record(run.writer, dn, None)
    if result is None:
        return False
    if result.outcome is Outcome.FAILED:
        why = Phrase("the record is over and cannot be deleted ({message})", message=result.message)
        run.unreadable.add(UnreadableRecord(dn, why, Phrase("delete what stands below it, then the entry")))
    return result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED)
