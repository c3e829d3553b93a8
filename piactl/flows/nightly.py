"""`nightly`: read, plan, check the guards and apply in one run under the lock; `apply`: apply the plan in a
file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from piactl.core.model.account import NO_DEVICE
from piactl.core.model.policy import Approvals
from piactl.core.model.settings import Settings
from piactl.core.plan.change import OF_DRIFT
from piactl.core.plan.guards import Refusal
from piactl.core.plan.run_state import LastRun, RunStatus
from piactl.core.rules.desired import Rules
from piactl.core.text import counted
from piactl.directory.port import Reader, WriteResult
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.devices import deletions_at_no_device
from piactl.directory.store.records import UnreadableRecords
from piactl.directory.store.state_records import read_last
from piactl.errors import FeedRefused, PiactlError, UnsafePlan
from piactl.feed.formats.kept_sets import FOLDER as SETS
from piactl.flows.apply.approvals import ApprovalMissing, require_approval
from piactl.flows.apply.approved_rest import allow_rest, allow_same_plan
from piactl.flows.apply.executor import Done, Progress, Stop, apply_work, made_already, refused
from piactl.flows.apply.hooks_and_owner_notices import IdentityNotices, notify_owners
from piactl.flows.apply.known_server import began_at, written_elsewhere
from piactl.flows.apply.run import Run, note_afterwards
from piactl.flows.apply.run_checks import check_date
from piactl.flows.canaries import try_canaries
from piactl.flows.housekeeping import finish_interrupted_merges, housekeeping
from piactl.flows.plan.build import build_continuing
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import keep_sets, note_older, refused_feeds, scan_feeds
from piactl.flows.plan.inputs.merge_feeds import Accepted, SourcedFeed
from piactl.flows.plan.night_db import NightDb
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.run_state import RunState, read_run_state
from piactl.flows.plan.signed_plan_file import plan_document, plan_pieces, sealed
from piactl.flows.queries.accounts import AccountStore
from piactl.flows.queries.history_and_unjournalled import LOOKS_BACK, unjournalled, unwitnessed
from piactl.journal.query import first_line
from piactl.private_files import forget_old, make_private_folder, write_private


class RefusedPlan(UnsafePlan):
    """A plan that breaks guards (`broken`) or needs another person, kept in `file` so that it can be read and
    approved."""

    def __init__(self, message: str, ready: ReadyPlan, file: Path, *, broken: bool = True) -> None:
        self.ready, self.file, self.broken = ready, file, broken
        super().__init__(message, ready.plan.refusals)


def run_nightly(
    under_lock: AbstractContextManager[Run],
    settings: Settings,
    rules: Rules,
    encoding: Callable[[Reader], Encoding],
    unreadable: UnreadableRecords,
    arguments: Sequence[str],
    accepted: Accepted,
    *,
    say: Callable[[str], None],
    progress: Progress,
    stop: Stop,
    keep_rejects: Callable[[Sequence[SourcedFeed], ReadyPlan], None],
) -> tuple[ReadyPlan, Done, Path | None]:
    """One night: its plan, the outcome, and the file of the plan if it has changes.

    `under_lock` begins the run once the feeds are scanned; `encoding` returns the encoding for a server.
    `keep_rejects` is called with the feeds and the plan before anything is written.

    Raises FeedRefused with nothing written, RefusedPlan if guards are broken, LockHeld at once.
    """
    folder = Path(settings.state_folder)
    night = NightDb(folder, rules.keys)
    scans = scan_feeds(arguments, settings.sources, night.rows, settings.go_on, say)
    with ExitStack() as after, under_lock as run:
        accounts = ManagedAccounts(run.writer, settings.directory, encoding(run.writer))
        store = AccountStore(
            *accounts, rules.keys, rules.policy, rules.as_of, lambda day: replace(rules, as_of=day),
            unreadable=unreadable,
        )  # fmt: skip
        finish_interrupted_merges(run, store, rules)
        state = read_run_state(accounts, rules, unreadable)
        check_date(run.order, state.memory.last, settings)
        state = _with_unwitnessed(run, state)
        _name_other_writers(run, state.memory.last)
        try:
            made = build_continuing(accounts, rules, settings, scans, state, night, accepted, run.lock.renew)
        except FeedRefused as error:
            note_older(error, folder)
            raise
        allow_rest(run, made.ready.plan)
        waiting = _of_drift_alone(refused(made.ready.plan.refusals, run.order.allowed))
        if waiting:
            state = replace(state, drift_waits=True)
            made = build_continuing(accounts, rules, settings, scans, state, night, accepted, run.lock.renew)
            say(_waiting_words(waiting))
        for refusal in made.refused:
            note_older(refusal, folder)
        if made.refused:
            run.facts = {"refused_feeds": refused_feeds(made.refused)}
        feeds, ready = made.feeds, made.ready
        for message in made.messages:
            say(message)
        ready = sealed(ready, rules.keys, folder, run.order.actor.names)
        run.lock.keep()
        run.journal.note(f"plan {ready.fingerprint}")
        keep_rejects(feeds, ready)
        keep_sets(feeds, run.say)
        forget_old(folder / SETS, settings.keep_undo_days, run.now())
        feeds.clear()
        # people who are held can break a guard although nothing changes
        worth_keeping = ready.plan.changes or ready.plan.refusals
        file = _keep_plan(run, ready) if worth_keeping else None
        if file is not None and refused(ready.plan.refusals, run.order.allowed):
            _refuse(run, ready, file)
        if file is not None:
            _require_approval(run, ready, rules.policy.approvals, file)
        ready = replace(ready, plan=replace(ready.plan, refusals=()))
        notices = _tell_after(after, run, ready)

        def tell(uid: str, result: WriteResult) -> None:
            notices.add(uid, result)
            night.confirm(uid, result)

        done = apply_work(
            run,
            ready,
            progress=progress,
            stop=stop,
            brief=True,
            tell=tell,
            housekeeping=housekeeping(rules.policy.approvals, settings.keep_runs_days),
        )
        done.without_feeds, done.drift_waits = made.refused, bool(waiting)
        if not done.stopped:
            done.let_in = _canaries_let_in(run, settings)
        # after a run that did not end well, the next one knows what the one before it knew
        if done.status is RunStatus.DONE:
            _keep_known(run, night)
        return ready, done, file


def _of_drift_alone(broken: Sequence[Refusal]) -> Sequence[Refusal]:
    """The broken guards, if all of them count what other programs did."""
    return broken if all(refusal.kind in OF_DRIFT for refusal in broken) else ()


def _waiting_words(broken: Sequence[Refusal]) -> str:
    which = "; ".join(refusal.words for refusal in broken)
    totals = {refusal.kind: refusal.total for refusal in broken}
    allow = " ".join(f"--allow {kind}={total}" for kind, total in totals.items())
    return (
        f"warning: what other programs changed stays, because it breaks {which}; the rest is applied.\n"
        f'To take it back: piactl plan --out FILE, then piactl apply FILE {allow} --reason "..."'
    )


def _tell_after(after: ExitStack, run: Run, ready: ReadyPlan) -> IdentityNotices:
    """Collects the changes of proofs that the run makes; their owners are notified when `after` ends, however
    the run ends."""
    settings = run.settings
    notices = IdentityNotices.of(ready.plan.changes, ready.plan.summary, settings)

    def tell() -> None:
        changed = notices.notices(run.writer, run.order.today)
        notify_owners(settings, changed, run.now(), run.say, partial(note_afterwards, run))

    after.callback(tell)
    return notices


def _canaries_let_in(run: Run, settings: Settings) -> int:
    """How many binds of canaries a server accepted; reports each of these, and those that prove nothing."""
    let_in = 0
    try:
        for result in try_canaries(run.writer, settings):
            if result.let_in is not False:
                run.say(f"canary {result}{'; it must be refused: piactl doctor' if result.let_in else ''}")
            let_in += bool(result.let_in)
    except PiactlError as error:
        run.say(f"the canaries could not be tried: {error}")
    return let_in


def _with_unwitnessed(run: Run, state: RunState) -> RunState:
    """The state with the accounts whose device was changed without a line in the journal. Looks back a week,
    or to the last run, but not to before the journal begins."""
    last, settings = state.memory.last, run.settings
    _name_unjournalled(run, last)
    first = first_line(settings.journal_file)
    if last is None or first is None:
        return state
    since = max(min(last.began or run.now(), run.now() - LOOKS_BACK), datetime.fromisoformat(first.time))
    try:
        changed = unwitnessed(run.writer, settings.directory, settings.journal_file, since)
        for uid in deletions_at_no_device(run.writer, settings.directory.accounts):
            changed.setdefault(uid, {})[NO_DEVICE] = "it is where suspended accounts are linked"
    except PiactlError as error:
        run.say(f"warning: changes of devices without the journal cannot be looked for: {error}")
        return state
    return state.with_unwitnessed(changed)


def _name_unjournalled(run: Run, last: LastRun | None) -> None:
    """Says which accounts were written since the last run began, by whom, without a line in the journal."""
    since = began_at(last.run) if last is not None else None
    if since is None:
        return
    directory, journal = run.settings.directory, run.settings.journal_file
    try:
        sentence = unjournalled(run.writer, directory, journal, run.order.actor.user, since).sentence()
    except PiactlError as error:
        sentence = f"writes without the journal cannot be looked for: {error}"
    if sentence:
        run.say(f"warning: {sentence}. See: piactl doctor")


def _name_other_writers(run: Run, last: LastRun | None) -> None:
    """Says which other servers were written to since the last night began."""
    for number in written_elsewhere(run.server, run.csns, last):
        run.say(
            f"warning: serverID {int(number, 16)} was written to since the last night: other programs have "
            "to write at the server that piactl writes to (docs/administration.md, Several servers)"
        )


def _keep_known(run: Run, night: NightDb) -> None:
    """Keeps what the next run on this host has to know; without it that run only takes longer."""
    try:
        night.settle()
        night.keep()
    except PiactlError as error:
        run.say(f"what is known of the accounts was not kept, so the next night evaluates everybody: {error}")


def _keep_plan(run: Run, ready: ReadyPlan) -> Path:
    """Keeps the plan on this host, where it can be read and approved, and deletes old ones."""
    settings = run.settings
    folder, file = Path(settings.plans_folder), Path(settings.kept_plan(ready.fingerprint))
    if not file.is_file():
        make_private_folder(folder)
        write_private(file, plan_pieces(ready))
    forget_old(folder, settings.keep_undo_days, run.now())
    return file


def _refuse(run: Run, ready: ReadyPlan, file: Path) -> None:
    """Ends the run with nothing written."""
    refusals = ready.plan.refusals
    broken = counted(len(refusals), "guard is broken", "guards are broken")
    which = "; ".join(refusal.words for refusal in refusals)
    run.journal.end({"refused": len(refusals)})
    _record_refused(run, ready, f"{broken}: {which}")
    raise RefusedPlan(f"{broken}; nothing was written. The plan is kept in {file}", ready, file)


def _record_refused(run: Run, ready: ReadyPlan, note: str) -> None:
    run.record(
        RunStatus.REFUSED,
        plan=ready.fingerprint,
        policy=ready.plan.basis.policy,
        feeds=plan_document(ready)["basis"]["feeds"],
        summary=dict(ready.plan.summary),
        broken=sorted({refusal.kind for refusal in ready.plan.refusals}),
        note=note,
    )


def _require_approval(run: Run, ready: ReadyPlan, rules: Approvals, file: Path) -> None:
    """Raises RefusedPlan if another person has to approve the plan that is kept in `file`."""
    try:
        require_approval(run, ready, rules, str(file), by_timer=True)
    except ApprovalMissing as missing:
        run.journal.end({"refused": 1})
        _record_refused(run, ready, str(missing).split("\n", 1)[0])
        raise RefusedPlan(f"{missing}\nThe plan is kept in {file}", ready, file, broken=False) from None


def run_apply(
    under_lock: AbstractContextManager[Run],
    ready: ReadyPlan,
    approvals: Approvals,
    *,
    progress: Progress,
    stop: Stop,
) -> Done:
    """Applies exactly this plan, in the run that `under_lock` begins. `approvals` says whether other people
    have to approve it. Raises StalePlan, UnsafePlan, LockHeld; if the plan was applied already there is
    nothing to do."""
    with ExitStack() as after, under_lock as run:
        last = read_last(run.writer, run.settings.directory.state, run.unreadable)
        done = made_already(run, ready, last)
        if done is not None:
            return done
        allow_same_plan(run, ready.fingerprint, refused(ready.plan.refusals, run.order.allowed))
        require_approval(run, ready, approvals, str(_keep_plan(run, ready)))
        notices = _tell_after(after, run, ready)
        return apply_work(run, ready, progress=progress, stop=stop, tell=notices.add)
