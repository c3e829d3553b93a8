"""`nightly`: what cron runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.context import ProgressLine, put, say, this_site, today, writing
from piactl.cli.framework.options import (
    AcceptFeed,
    AcceptPerson,
    AsOf,
    Feeds,
    PlanLayout,
    Reason,
    RunOutput,
    need_reason,
    read_day,
)
from piactl.cli.framework.run_context import _now, done_code, new_order, say_refused, stop_on_signals, tell
from piactl.cli.framework.stdout import StdoutLost
from piactl.errors import Exit, PiactlError

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration as Site
    from piactl.flows.apply.run import Order
    from piactl.flows.plan.inputs.merge_feeds import SourcedFeed
    from piactl.flows.plan.proposal import Proposal


def nightly(
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: RunOutput = PlanLayout.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 5 where rows were rejected.")] = False,
    accept_feed: AcceptFeed = None,
    accept_person: AcceptPerson = None,
    reason: Reason = "",
) -> int:
    """Read the feeds, plan, check the guards and apply, in one run.

    Without feeds: what dates and the policy alone make due. Exit codes: 0 done, 4 refused by a guard or a
    clock, 5 done in part, 6 feed refused (nothing written, but where the configuration says `continue`),
    7 another run is writing, 8 directory unreachable, 10 configuration or policy invalid, or the default
    password policy missing (nothing written).
    """
    need_reason(reason, "--accept-feed", accept_feed or [])
    need_reason(reason, "--accept-person", accept_person or [])
    site = this_site()
    order = new_order(site, read_day(as_of, today(site)) if as_of else None, reason)
    try:
        accepted = (accept_feed or [], accept_person or [])
        code = _run(site, order, feeds or [], accepted, output, strict=strict)
    except PiactlError as error:
        _metrics(site, order, int(error.exit_code), {}, None)
        raise
    return code


def _run(
    site: Site,
    order: Order,
    feeds: Sequence[str],
    accepted: tuple[Sequence[str], Sequence[str]],
    output: PlanLayout,
    *,
    strict: bool,
) -> int:
    from piactl.core.text import counted
    from piactl.flows.nightly import RefusedPlan, run_nightly
    from piactl.flows.plan.inputs.merge_feeds import Accepted
    from piactl.report.plan_text import plan_text

    progress = ProgressLine("written")
    read: list[tuple[str, Path]] = []

    def keep_rejects(sourced: Sequence[SourcedFeed], proposal: Proposal) -> None:
        # the feeds are freed before the first write
        read.extend((one.feed.facts.digest, one.path) for one in sourced)
        _keep_rejects(site, order, sourced, proposal)

    with stop_on_signals() as stop, writing(site) as writer:
        try:
            document, done, file = run_nightly(
                site,
                writer,
                order,
                feeds,
                Accepted(*accepted, order.reason, order.explicit),
                now=_now,
                say=say,
                progress=progress,
                stop=stop,
                keep_rejects=keep_rejects,
            )
        except RefusedPlan as refused:
            say_refused(refused.document, str(refused.file))
            raise
        finally:
            progress.close()
    lost = None
    try:
        if output is PlanLayout.TEXT:
            put([plan_text(document, rest=f"every change: piactl plan show {file} --all")])
    except StdoutLost as error:
        lost = error
    try:
        tell(done, output, document)  # also then: what did not work goes to stderr
    except StdoutLost as error:
        lost = error
    code = done_code(done)
    if code == Exit.DONE and document["rejections"] and (strict or site.settings.strict):
        rejected = counted(len(document["rejections"]), "row was", "rows were")
        say(f"{rejected} rejected, and --strict is set")
        code = int(Exit.PARTLY)
    if lost is not None:
        say(f"{lost}\nThe run itself is {done.status}; see: piactl runs show {done.run}")
        code = int(lost.exit_code)
    if code == Exit.DONE or (code == Exit.FEED_REFUSED and done.without_feeds):
        _keep_applied(site, read)
    _metrics(site, order, code, document, done)
    return code


def _keep_applied(site: Site, read: Sequence[tuple[str, Path]]) -> None:
    """Leaves on this host what the last night that ended well has applied, digests and paths as sha256sum
    writes them: what moves feeds away can tell them from what arrived meanwhile."""
    from piactl.private_files import write_private

    # sha256sum would write a line break as an escape, and such a name stays where it is
    lines = [f"{digest}  {path.absolute()}\n" for digest, path in read if "\n" not in str(path)]
    try:
        write_private(Path(site.settings.state_folder) / "applied.sha256", os.fsencode("".join(lines)))
    except PiactlError as error:
        say(f"the feeds are applied, but what moves them away cannot know it; move them yourself: {error}")


def _keep_rejects(site: Site, order: Order, feeds: Sequence[SourcedFeed], proposal: Proposal) -> None:
    """Writes the rejected rows of each feed beside the state of this host, to be corrected and fed again."""
    from piactl.core.text import counted
    from piactl.feed.rejects_file import write_rejects
    from piactl.feed.row_index import with_rejections
    from piactl.private_files import forget_old, make_private_folder

    forget_old(Path(site.settings.state_folder) / "rejects", site.settings.keep_undo_days, _now())
    for sourced in feeds:
        known = set(sourced.feed.rejections)
        more = [r for r in proposal.plan.rejections if r.file == sourced.feed.facts.file and r not in known]
        feed = with_rejections(sourced.feed, sourced.path, more)
        if not feed.raw_lines:
            continue
        folder = Path(site.settings.state_folder) / "rejects"
        make_private_folder(folder)
        file = folder / f"{order.run}-{sourced.feed.facts.file}"
        count = write_rejects(file, feed, sourced.source)
        rows = counted(count, "row was", "rows were")
        say(f"{rows} rejected or held; corrected, they can be fed again: {file}")


def _metrics(site: Site, order: Order, code: int, document: Any, done: Any) -> None:
    if not site.settings.metrics_file:
        return
    from piactl.private_files import write_public
    from piactl.report.metrics import metrics_text

    try:
        counts = done.counts if done else {}
        now = _now().timestamp()
        text = metrics_text(order.run, now, code, document, counts, len(site.unreadable))
        write_public(Path(site.settings.metrics_file), text.encode())
    except PiactlError as error:
        say(f"the metrics could not be written: {error}")
