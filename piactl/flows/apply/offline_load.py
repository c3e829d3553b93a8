"""`apply PLAN --ldif FILE`: a first migration as an LDIF that slapadd loads into a stopped server.

slapadd runs no overlay and checks no schema, so everything that they would refuse is checked here. The
LDIF holds, in this order: what an undo of the run needs, the accounts, piactl's memory of the feeds. A load
that ended early therefore lacks the memory, and the next run plans for everybody. The run stays `loading`
until another run has read its accounts back (unfinished_runs.settle_doubts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from piactl.core.model.policy import Policy
from piactl.core.plan.run_state import RunStatus
from piactl.core.rules.desired import local_of
from piactl.core.text import counted
from piactl.directory.ldif import ldif_entry
from piactl.directory.port import Outcome, Writer
from piactl.directory.store.accounts import IN_ACCOUNTS, NAMES
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.attribute_scans import read_foreign_names
from piactl.directory.store.records import record_write
from piactl.directory.store.state_records import last_run_record, read_last
from piactl.errors import PiactlError, UnsafePlan
from piactl.flows.apply.approvals import require_approval
from piactl.flows.apply.executor import (
    Done,
    Progress,
    Stop,
    made_already,
    mark_unclean,
    refused,
    run_facts,
)
from piactl.flows.apply.run import CommandRun, Run
from piactl.flows.apply.undo_log import undo_writes
from piactl.flows.apply.write_ahead import intended_write
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.journal import Settlement
from piactl.private_files import write_private

GROUP = 1000
"""Intents that are synced to the journal together."""


class NotLoadable(PiactlError):
    """The plan or the directory is not fit for a first migration."""


class _Stopped(PiactlError):
    """A signal asked to stop before the LDIF was whole."""


def run_offline_load(
    writer: Writer,
    command: CommandRun,
    ready: ReadyPlan,
    file: Path,
    policy: Policy,
    *,
    progress: Progress,
    stop: Stop,
) -> Done:
    """Writes the LDIF of a plan that makes accounts and nothing else, into a directory that has none.

    `file` must not exist. Writes the intents to the journal and the run's record to the directory, but no
    account. Raises NotLoadable, StalePlan, UnsafePlan, LockHeld with nothing written.
    """
    if file.exists() or file.is_symlink():
        raise NotLoadable(f"{file}: is there already, and is not overwritten; name a new file")
    directory = command.settings.directory
    with command.locked(writer, ready.fingerprint) as run:
        last = read_last(writer, directory.state, command.unreadable)
        done = made_already(run, ready, last)
        if done is not None:
            return done
        broken = refused(ready.plan.refusals, command.order.allowed)
        if broken:
            raise UnsafePlan(f"the plan breaks {counted(len(broken), 'guard')}; nothing was written", broken)
        require_approval(run, ready, policy.approvals)
        _check_loadable(run, ready, encoding_of(policy, directory, None))
        return _write_ldif(run, ready, file, progress, stop, remember=last is None)


def _check_loadable(run: Run, ready: ReadyPlan, encoding: Encoding) -> None:
    """Raises NotLoadable if slapadd would make what a server refuses, or if the place for it is not empty."""
    directory = run.settings.directory
    if not len(ready.writes):
        raise NotLoadable("the plan makes no account; apply it without --ldif")
    account = next(iter(run.writer.search(directory.accounts, IN_ACCOUNTS, ["cn"])), None)
    if account is not None:
        raise NotLoadable(
            f"{account.dn} is an account: --ldif is for a first migration, into a directory that has none.\n"
            "Apply the plan without --ldif"
        )
    existing_record = next((write for write in ready.records if write.op != "add"), None)
    if existing_record is not None:
        raise NotLoadable(
            f"{existing_record.dn} is there already: an earlier run has applied a feed.\n"
            "Apply the plan without --ldif"
        )
    _check_names(run, ready, encoding)


def _check_names(run: Run, ready: ReadyPlan, encoding: Encoding) -> None:
    """Raises NotLoadable if a write does not make an account, or a name would be given twice, which the
    overlay `unique` refuses."""
    attributes = [encoding.name(name) for name in NAMES]
    seen: set[str] = set()
    for row in ready.writes:
        if row.write.op != "add":
            raise NotLoadable(
                f"the plan changes {row.write.dn}, which is there already; an LDIF can only make accounts.\n"
                "Apply the plan without --ldif"
            )
        # the uid is among them
        values = {value.decode().casefold() for name in attributes for value in row.write.add.get(name, ())}
        if not values.isdisjoint(seen):
            raise NotLoadable(
                f"{min(values & seen)}: the plan gives this name to two accounts; make the plan again"
            )
        seen |= values
    local_parts = {local_of(name) for name in seen}
    for name in read_foreign_names(run.writer, run.settings.directory, encoding):
        if local_of(name.casefold()) in local_parts:
            raise NotLoadable(
                f"{name}: an entry that piactl does not manage has this name, and the plan gives it to an "
                "account; make the plan again"
            )


def _write_ldif(
    run: Run, ready: ReadyPlan, file: Path, progress: Progress, stop: Stop, *, remember: bool
) -> Done:
    """Writes the LDIF, its intents and the record of the run. `remember`: the LDIF also holds the record of
    the last run; if there is one already, it is only marked, and the next night evaluates everybody."""
    done = Done(run.order.run, RunStatus.LOADING)
    facts = {**run_facts(ready), "ldif": str(file.absolute())}
    intents: list[int] = []
    run.record(RunStatus.LOADING, **facts)
    try:
        mark_unclean(run, ready)
        write_private(file, _pieces(run, ready, intents, progress, stop, remember=remember), new=True)
    except PiactlError as error:
        _give_up(run, facts, intents, error)
        if not isinstance(error, _Stopped):
            raise
        done.status, done.stopped = RunStatus.STOPPED, str(error)
        done.counts[Outcome.FAILED.value] = len(intents)
        return done
    done.counts = Counter({RunStatus.LOADING: len(intents)})
    run.end(done.counts, facts["feeds"])
    run.record(RunStatus.LOADING, **facts, journal=run.head_facts())
    return done


def _pieces(
    run: Run, ready: ReadyPlan, intents: list[int], progress: Progress, stop: Stop, *, remember: bool
) -> Iterator[bytes]:
    """The text of the LDIF; the intents of accounts are on the disk before their entries."""
    for undo in undo_writes(run, ready.writes):
        yield ldif_entry(undo.dn, undo.add)
    writes = iter(ready.writes)
    while group := list(islice(writes, GROUP)):
        signal = stop()
        if signal:
            raise _Stopped(signal)
        run.lock.keep()
        intents += run.journal.intents([intended_write(run, row, load=True) for row in group])
        yield b"".join(ldif_entry(row.write.dn, row.write.add) for row in group)
        progress(len(intents), len(ready.writes))
    for record in ready.records:
        yield ldif_entry(record.dn, record.add)
    if remember and ready.last is not None:
        last = replace(ready.last, run=run.order.run, plan=ready.fingerprint)
        state = record_write(run.places.last_run, None, last_run_record(last))
        if state is not None:
            yield ldif_entry(state.dn, state.add)
    run.lock.keep()
    run.lock.check()


def _give_up(run: Run, facts: Mapping[str, object], intents: list[int], error: PiactlError) -> None:
    """Ends a run that produced no LDIF."""
    stopped = isinstance(error, _Stopped)
    why = "not made: no LDIF was written"
    try:
        if intents:
            run.journal.outcomes([Settlement(number, Outcome.FAILED.value, why) for number in intents])
        run.journal.end({Outcome.FAILED.value: len(intents)})
    except PiactlError as silent:
        run.say(f"the next run reads back what this one left in the journal: {silent}")
    try:
        run.record(
            RunStatus.STOPPED if stopped else RunStatus.FAILED,
            # without changes, so that no undo takes it for one that made some
            **{**facts, "summary": {}},
            note=f"stopped by {error}" if stopped else str(error),
        )
    except PiactlError as silent:
        run.say(f"the record of the run could not be written: {silent}")
