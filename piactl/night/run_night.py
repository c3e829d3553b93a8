"""`nightly`: read, plan, check the guards and apply in one run under the lock; `apply`: apply the plan in a
file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from piactl.ask.history import LOOKS_BACK, unjournalled_words, watch
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.policy import Approvals
from piactl.core.model.settings import Settings
from piactl.core.plan.change import OF_DRIFT
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import LastRun, RunStatus, began_at
from piactl.core.rules.desired_account import Rules
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.state_records import last_in
from piactl.directory.store.typed_records import to_json
from piactl.doctor.canaries import try_canaries
from piactl.edits.account_store import AccountStore
from piactl.errors import FeedRefused, PiactlError, UnsafePlan
from piactl.feed.formats.kept_sets import FOLDER as SETS
from piactl.feed.formats.set_files import md5_beside
from piactl.feed.open_feed import digest_of_feed
from piactl.feed.rejects_file import write_rejects
from piactl.host.private_files import forget_old, make_private_folder, write_private
from piactl.journal.query import first_line
from piactl.night.housekeeping import after_merges, housekeeping
from piactl.phrase import Phrase, counted, joined
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import build_continuing
from piactl.planning.count_feed_rows import FeedOfRun
from piactl.planning.load_feeds import keep_sets, note_older, refused_feeds, scan_feeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import RunState, run_state
from piactl.planning.signed_plan_file import plan_document, plan_pieces, sealed
from piactl.report.plan_text import apply_command
from piactl.runs.apply_plan import Done, Progress, Stop, apply_work, made_already, refused
from piactl.runs.approvals import (
    ApprovalMissing,
    allow_rest,
    allow_same_plan,
    rejection_of,
    require_approval,
)
from piactl.runs.begin_run import begin_run
from piactl.runs.hooks import identity_notices, promise_notices
from piactl.runs.known_server import written_elsewhere
from piactl.runs.run import CommandRun, Run
from piactl.runs.run_checks import check_date


class RefusedPlan(UnsafePlan):
    """A plan that breaks guards (`broken`) or needs another person, kept in `file` so that it can be read and
    approved."""

    def __init__(self, message: str, note: str, ready: ReadyPlan, file: Path, *, broken: bool = True) -> None:
        self.ready, self.file, self.broken = ready, file, broken
        self._note = note
        super().__init__(message, ready.plan.refusals)

    @property
    def note(self) -> str:
        return self._note


@dataclass(frozen=True, slots=True)
class NightReport:
    """What came of a night: its plan, the outcome, and the file of the plan if it has changes. `feeds` are
    the digest and the path of each file that it read."""

    ready: ReadyPlan
    done: Done
    file: Path | None
    feeds: Sequence[tuple[str, Path]]


def run_nightly(
    command: CommandRun,
    writer: Writer,
    rules: Rules,
    encoding: Callable[[Reader], Encoding],
    arguments: Sequence[str],
    accepted: Accepted,
    *,
    progress: Progress,
    stop: Stop,
) -> NightReport:
    """One night. The run begins once the feeds are scanned; `encoding` returns the encoding for a server.

    Raises FeedRefused with nothing written, RefusedPlan if guards are broken, LockHeld at once.
    """
    settings, unreadable = command.settings, command.unreadable
    folder = Path(settings.state_folder)
    night = NightDb(folder, rules.keys)
    try:
        scans = scan_feeds(arguments, settings.sources, night.rows, settings.go_on, command.say)
    except FeedRefused:
        with begin_run(command, writer, locked=True):
            raise  # and the record of the run says so
    with begin_run(command, writer, locked=True) as run:
        accounts = ManagedAccounts(writer, settings.directory, encoding(writer))
        store = AccountStore(
            *accounts,
            rules.keys,
            rules.policy,
            rules.as_of,
            lambda day: replace(rules, as_of=day),
            unreadable=unreadable,
        )
        rare = after_merges(run, store)
        state = run_state(run.records, rare, rules, unreadable)
        check_date(run.order, state.memory.last, settings)
        state = _with_unwitnessed(run, state)
        _name_other_writers(run, state.memory.last)
        try:
            made = build_continuing(accounts, rules, settings, scans, state, night, accepted, run.lock.renew)
        except FeedRefused as error:
            note_older(error, folder)
            raise
        allow_rest(run, made.ready.plan)
        broken = refused(made.ready.plan.refusals, run.order.allowed)
        waits = bool(broken) and all(refusal.kind in OF_DRIFT for refusal in broken)
        if waits:
            state = replace(state, drift_waits=True)
            made = build_continuing(
                accounts, rules, settings, scans, state, night, accepted, run.lock.renew, before=made
            )
            run.say(_waiting_words(run, broken))
        for refusal in made.refused:
            note_older(refusal, folder)
        if made.refused:
            run.facts["refused_feeds"] = refused_feeds(made.refused)
        feeds, ready = made.feeds, made.ready
        for message in (*map(str, made.refused), *made.remarks):
            run.say(message)
        ready = sealed(ready, rules.keys, folder, run.order.actor.names)
        run.lock.renew()
        run.journal.note(f"plan {ready.fingerprint}")
        digests = _digests_of(feeds)
        _keep_rejects(run, feeds)
        keep_sets(feeds, run.say)
        forget_old(folder / SETS, settings.keep_undo_days, run.now())
        feeds.clear()
        # people who are held can break a guard although nothing changes
        worth_keeping = ready.plan.changes or ready.plan.refusals
        file = _keep_plan(run, ready) if worth_keeping else None
        if file is not None:
            try:
                _check_guards(run, ready, file)
                _require_approval(run, ready, rules.policy.approvals, file)
            except RefusedPlan:
                run.facts |= _refused_facts(ready)
                raise
        # those of the rest of an approved plan are allowed, and not shown as broken
        ready = replace(ready, plan=replace(ready.plan, refusals=()))
        promise_notices(run, [*identity_notices(run, ready.plan.changes, ready.plan.summary)])
        done = apply_work(
            run,
            ready,
            progress=progress,
            stop=stop,
            brief=True,
            tell=night.confirm,
            housekeeping=housekeeping(rules.policy.approvals, settings.keep_runs_days, rare),
        )
        done.without_feeds, done.drift_waits = made.refused, waits
        if not done.stopped:
            done.let_in = _canaries_let_in(run, settings)
        # after a run that did not end well, the next one knows what the one before it knew
        if done.status is RunStatus.DONE:
            _keep_known(run, night)
        return NightReport(ready, done, file, digests)


def _waiting_words(run: Run, broken: Sequence[Refusal]) -> Phrase:
    return Phrase(
        "warning: what other programs changed stays, because it breaks {guards}; the rest is applied.\n"
        "To take it back, by the command that this prints: piactl plan{day} --out {file}",
        guards=joined(refusal.words for refusal in broken),
        day=f" --as-of {run.order.as_of}" if run.order.explicit else "",
        file=f"{run.settings.plans_folder}/drift-{run.order.run}.json",
    )


def _canaries_let_in(run: Run, settings: Settings) -> int:
    """How many binds of canaries a server accepted; reports each of these, and those that prove nothing."""
    let_in = 0
    try:
        for result in try_canaries(run.writer, settings):
            if result.let_in is not False:
                words = Phrase("canary {result}", result=str(result))
                if result.let_in:
                    words = Phrase("canary {result}; it must be refused: piactl doctor", result=str(result))
                run.say(words)
            let_in += bool(result.let_in)
    except PiactlError as error:
        run.say(Phrase("the canaries could not be tried: {error}", error=str(error)))
    return let_in


def _with_unwitnessed(run: Run, state: RunState) -> RunState:
    """The state with the accounts whose device was changed without a line in the journal. Says which accounts
    were written without one since the last run began, and by whom.

    For devices it looks back a week, or to the last run, but not to before the journal begins."""
    last, directory, journal = state.memory.last, run.settings.directory, run.settings.journal_file
    if last is None:
        return state
    first = first_line(journal)
    since = min(last.began or run.now(), run.now() - LOOKS_BACK)
    since_line = max(since, datetime.fromisoformat(first.time)) if first is not None else None
    try:
        watched = watch(run.writer, directory, journal, began_at(last.run), since_line)
        changed = {uid: dict(marks) for uid, marks in watched.devices.items()}
        for uid in state.rare.at_no_device if first is not None else ():
            changed.setdefault(uid, {})[NO_DEVICE] = Phrase("it is where suspended accounts are linked")
    except PiactlError as error:
        why = Phrase("warning: writes without the journal cannot be looked for: {error}", error=str(error))
        run.say(why)
        return state
    sentence = unjournalled_words(watched.accounts)
    if sentence:
        run.say(Phrase("warning: {sentence}. See: piactl doctor", sentence=sentence))
    return state.remembering(unwitnessed=changed)


def _name_other_writers(run: Run, last: LastRun | None) -> None:
    """Says which other servers were written to since the last night began."""
    for number in written_elsewhere(run.server, run.csns, last):
        run.say(
            Phrase(
                "warning: serverID {number} was written to since the last night: other programs have to "
                "write at the server that piactl writes to (docs/hosts.md, Several servers)",
                number=int(number, 16),
            )
        )


def _keep_known(run: Run, night: NightDb) -> None:
    """Keeps what the next run on this host has to know; without it that run only takes longer."""
    try:
        night.take_as_known()
        night.keep()
    except PiactlError as error:
        run.say(
            Phrase(
                "what is known of the accounts was not kept, so the next night evaluates everybody: {error}",
                error=str(error),
            )
        )


def _digests_of(feeds: Sequence[FeedOfRun]) -> list[tuple[str, Path]]:
    """Digest and path of each feed, and of each .md5 beside one."""
    digests = []
    for feed in feeds:
        digests.append((feed.facts.digest, feed.path))
        digests.extend((digest_of_feed(md5_file), md5_file) for md5_file in md5_beside(feed.path))
    return digests


def _keep_rejects(run: Run, feeds: Sequence[FeedOfRun]) -> None:
    """Writes the rejected rows of each feed to the state folder, to be corrected and fed again."""
    folder = Path(run.settings.state_folder) / "rejects"
    forget_old(folder, run.settings.keep_rejects_days, run.now())
    for feed in feeds:
        rejects = feed.rejects()
        if rejects is None or not rejects.raw_lines:
            continue
        make_private_folder(folder)
        file = folder / f"{run.order.run}-{_csv_name(feed.facts.file)}"
        count = write_rejects(file, rejects, feed.source)
        rows = counted(count, "row was rejected or held", "rows were rejected or held")
        run.say(Phrase("{rows}; correct them and feed them again: {file}", rows=rows, file=file))


def _csv_name(file: str) -> str:
    """The name of a rejects file: it is CSV for every format of feed."""
    return file if Path(file).suffix not in {"", ".xml", ".zip", ".tgz", ".gz"} else f"{file}.csv"


def _keep_plan(run: Run, ready: ReadyPlan) -> Path:
    """Keeps the plan on this host, where it can be read and approved, and deletes old ones."""
    settings = run.settings
    folder, file = Path(settings.plans_folder), Path(settings.kept_plan(ready.fingerprint))
    if not file.is_file():
        make_private_folder(folder)
        write_private(file, plan_pieces(ready))
    forget_old(folder, settings.keep_undo_days, run.now())
    return file


def _check_guards(run: Run, ready: ReadyPlan, file: Path) -> None:
    """Raises RefusedPlan if the plan, kept in `file`, breaks a guard that is not allowed."""
    refusals = ready.plan.refusals
    if not refused(refusals, run.order.allowed):
        return
    broken = counted(len(refusals), "guard is broken", "guards are broken")
    which = joined(refusal.words for refusal in refusals)
    message = Phrase("{broken}; nothing was written. The plan is kept in {file}", broken=broken, file=file)
    note: str = Phrase("{broken}: {which}", broken=broken, which=which)
    rejected = rejection_of(run, ready)
    if rejected is not None:
        run.say(rejected.words)
        note = joined([rejected.words, note], "{first}\n{second}")
    raise RefusedPlan(message, note, ready, file)


def _refused_facts(ready: ReadyPlan) -> dict[str, object]:
    """What the record of a night says of a plan that is not applied."""
    return {
        "plan": ready.fingerprint,
        "policy": ready.plan.basis.policy,
        "feeds": plan_document(ready)["basis"]["feeds"],
        "summary": dict(ready.plan.summary),
        "broken": sorted({refusal.kind for refusal in ready.plan.refusals}),
    }


def _require_approval(run: Run, ready: ReadyPlan, rules: Approvals, file: Path) -> None:
    """Raises RefusedPlan if another person has to approve the plan that is kept in `file`."""
    try:
        require_approval(run, ready, rules, str(file), by_timer=True, then=_then(ready, file))
    except ApprovalMissing as missing:
        message = Phrase("{missing}\nThe plan is kept in {file}", missing=str(missing), file=file)
        note = str(missing).split("\n", 1)[0]
        raise RefusedPlan(message, note, ready, file, broken=False) from None


def _then(ready: ReadyPlan, file: Path) -> Phrase:
    """What comes after the approval of a plan that is kept in `file`."""
    apply = apply_command([*map(to_json, ready.plan.refusals)], str(file))
    return Phrase("\nThen: {command}", command=apply)


def run_apply(
    command: CommandRun,
    writer: Writer,
    ready: ReadyPlan,
    approvals: Approvals,
    *,
    progress: Progress,
    stop: Stop,
) -> Done:
    """Applies exactly this plan. `approvals` says whether other people have to approve it. Raises StalePlan,
    UnsafePlan, LockHeld; if the plan was applied already there is nothing to do."""
    with begin_run(command, writer, locked=True) as run:
        run.journal.note(f"plan {ready.fingerprint}")
        last = last_in(run.records, run.unreadable)
        done = made_already(run, ready, last)
        if done is not None:
            return done
        allow_same_plan(run, ready.fingerprint, refused(ready.plan.refusals, run.order.allowed))
        file = _keep_plan(run, ready)
        _check_guards(run, ready, file)
        require_approval(run, ready, approvals, str(file), then=_then(ready, file))
        promise_notices(run, [*identity_notices(run, ready.plan.changes, ready.plan.summary)])
        return apply_work(run, ready, progress=progress, stop=stop)
