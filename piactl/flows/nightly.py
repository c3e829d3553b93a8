"""The nightly: read, plan, guard and apply in one run under the lock. And `apply` of a plan made before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from piactl.core.model.run_status import RunStatus
from piactl.core.text import counted
from piactl.directory.port import Writer
from piactl.directory.store.state_records import read_last
from piactl.errors import PiactlError, StalePlan, UnsafePlan
from piactl.flows.apply.executor import Done, Progress, Stop, apply_work, check_fresh
from piactl.flows.apply.run import Order, Run, check_date, head_facts, run_under_lock
from piactl.flows.helpdesk.rate_limit import forget_old_attempts
from piactl.flows.helpdesk.unblock import release_activation_policy
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.incremental.cache_file import keep
from piactl.flows.plan.incremental.next_cache import NextCache
from piactl.flows.plan.inputs.merge_feeds import Accepted, SourcedFeed
from piactl.flows.plan.inputs.run_state import read_run_state
from piactl.flows.plan.inputs.scan_feeds import scan_feeds
from piactl.flows.plan.plan_file import PlanFile, plan_document, plan_pieces
from piactl.flows.plan.proposal import Proposal
from piactl.flows.plan.rows.bundle import Work
from piactl.flows.site import Site
from piactl.private_files import forget_old, make_private_folder, write_private
from piactl.report.plan_text import Document


class RefusedPlan(UnsafePlan):
    """A plan that breaks guards, kept in `file` so that it can be looked at and approved."""

    def __init__(self, message: str, document: Document, file: Path) -> None:
        self.document, self.file = document, file
        super().__init__(message)


def run_nightly(
    site: Site,
    writer: Writer,
    order: Order,
    arguments: Sequence[str],
    accepted: Accepted,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
    progress: Progress,
    stop: Stop,
    keep_rejects: Callable[[Sequence[SourcedFeed], Proposal], None],
) -> tuple[Document, Done, Path | None]:
    """One night: its plan, what became of it, and the file the plan is kept in where it has changes.

    `keep_rejects` is given the feeds and the plan before anything is written.

    Raises FeedRefused with nothing written, RefusedPlan where guards are broken, LockHeld at once.
    """
    scans = scan_feeds(site, arguments)
    with run_under_lock(site, writer, order, now, say) as run:
        state = read_run_state(writer, site, order.as_of, feeds=bool(scans))
        check_date(order, state.memory.last, site.settings)
        feeds, proposal = build_plan(writer, site, scans, order.as_of, accepted, run.lock.keep, state)
        # with a million people, their lines take as much memory as all that is to come
        scans.clear()
        cache = proposal.cache
        if cache is not None:
            cache.release_feeds()
        document = plan_document(proposal, site.keys, Path(site.settings.state_folder))
        run.lock.keep()
        run.journal.note(f"plan {document['fingerprint']}")
        keep_rejects(feeds, proposal)
        feeds.clear()
        file = _keep_plan(run, document) if document["changes"] else None
        if document["refusals"] and file is not None:
            _refuse(run, document, file)
        done = apply_work(
            run,
            _work(document, proposal),
            progress=progress,
            stop=stop,
            brief=True,
            tell=cache.confirm if cache is not None else None,
            housekeeping=(release_activation_policy, forget_old_attempts),
        )
        # no cache is trusted after a run that did not end well
        if cache is not None and cache.kept and done.status is RunStatus.DONE:
            _keep_cache(run, cache)
        return document, done, file


def _keep_cache(run: Run, cache: NextCache) -> None:
    """Writes the sync cache for the next run on this host; a run without it only takes longer."""
    try:
        keep(run.site, cache.finished(run.order.run))
    except PiactlError as error:
        run.say(f"what is settled could not be kept, so the next night looks at everybody: {error}")


def _keep_plan(run: Run, document: Document) -> Path:
    """Keeps the plan on this host, where it can be looked at and approved; those of long ago go."""
    folder = Path(run.site.settings.state_folder) / "plans"
    file = folder / f"{document['fingerprint'][:16]}.json"
    make_private_folder(folder)
    write_private(file, plan_pieces(document))
    forget_old(folder, run.site.settings.keep_undo_days, run.now())
    return file


def _refuse(run: Run, document: Document, file: Path) -> None:
    """Ends the run with nothing written."""
    broken = counted(len(document["refusals"]), "guard is broken", "guards are broken")
    which = ", ".join(f"{one['kind']} ({one['found']} of {one['of']})" for one in document["refusals"])
    run.journal.end({"refused": len(document["refusals"])})
    run.record(
        RunStatus.REFUSED,
        plan=document["fingerprint"],
        policy=document["basis"]["policy"],
        feeds=document["basis"]["feeds"],
        summary=document["summary"],
        journal=head_facts(run.journal.head),
        ended=run.now().isoformat(timespec="milliseconds"),
        note=f"{broken}: {which}",
    )
    raise RefusedPlan(f"{broken}; nothing was written. The plan is kept in {file}", document, file)


def _work(document: Document, proposal: Proposal) -> Work:
    plan, last = proposal.plan, proposal.memory.last
    if last is None:
        raise AssertionError("a proposal always says what the last run will be")
    return Work(
        document["fingerprint"],
        plan.basis,
        plan.summary,
        plan.refusals,
        proposal.writes,
        proposal.records,
        last,
    )


def run_apply(
    site: Site,
    writer: Writer,
    order: Order,
    plan: PlanFile,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
    progress: Progress,
    stop: Stop,
) -> Done:
    """Applies exactly the plan of a file. Raises StalePlan, UnsafePlan, LockHeld; the same plan again is
    nothing to do."""
    work = plan.work
    with run_under_lock(site, writer, order, now, say, work.fingerprint) as run:
        last = read_last(writer, site.settings.directory.state, site.unreadable)
        made = check_fresh(work, site, last)
        if made:
            say(f"this plan was made true already by run {made}; nothing to do")
            run.journal.end({})
            run.record(RunStatus.DONE, plan=work.fingerprint, note=f"made true already by {made}")
            return Done(order.run)
        if order.as_of != order.today and not site.settings.any_date:
            raise StalePlan(f"the plan is of {order.as_of}, which is not today; make the plan again")
        check_date(order, last, site.settings)
        return apply_work(run, work, progress=progress, stop=stop)
