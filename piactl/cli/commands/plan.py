"""`plan` and `apply`: show what would change, and make exactly that true."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from piactl.cli.framework.context import ProgressLine, put, reading, say, this_site, today, writing
from piactl.cli.framework.options import (
    AcceptFeed,
    AcceptPerson,
    AsOf,
    Feeds,
    PlanLayout,
    PlanOutput,
    Reason,
    RunOutput,
    need_reason,
    read_allowed,
    read_day,
)
from piactl.cli.framework.run_context import (
    _now,
    apply_plan,
    done_code,
    new_order,
    say_refused,
    stop_on_signals,
    tell,
)
from piactl.errors import Exit, UnsafePlan, UsageError

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration as Site
    from piactl.flows.plan.plan_file import PlanFile


def plan(
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: PlanOutput = PlanLayout.TEXT,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Also write the plan to a file (mode 0600).")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Show every change, not the first few of each kind.")
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 3 where the plan has changes, not 0.")
    ] = False,
    accept_feed: AcceptFeed = None,
    accept_person: AcceptPerson = None,
    reason: Reason = "",
) -> int:
    """Show what would change, and why.

    Writes nothing to the directory. Without feeds: what dates and the policy alone change.
    `plan show FILE` shows a plan that was kept.
    Exit codes: 0 (with --detailed-exitcode 3 where there are changes), 4 where a guard is broken.
    """
    if feeds and feeds[0] == "show":
        return _show(feeds[1:], output, everything=everything)
    from piactl.flows.plan.build import build_plan
    from piactl.flows.plan.inputs.merge_feeds import Accepted
    from piactl.flows.plan.inputs.scan_feeds import scan_feeds
    from piactl.flows.plan.plan_file import plan_document

    need_reason(reason, "--accept-feed", accept_feed or [])
    need_reason(reason, "--accept-person", accept_person or [])
    site = this_site()
    day = read_day(as_of, today(site))
    scans = scan_feeds(site, feeds or [])
    with reading(site) as reader:
        accepted = Accepted(accept_feed or (), accept_person or (), reason)
        _, proposal = build_plan(reader, site, scans, day, accepted)
    document = plan_document(proposal, site.keys, Path(site.settings.state_folder))
    if out:
        from piactl.flows.plan.plan_file import plan_pieces
        from piactl.private_files import write_private

        write_private(Path(out), plan_pieces(document))
        say(f"kept in {out}; make it true with: piactl apply {out}")
    _print(document, output, everything=everything)
    if document["refusals"]:
        from piactl.core.text import counted
        from piactl.report.plan_text import approval

        broken = counted(len(document["refusals"]), "guard is broken", "guards are broken")
        say(f"{broken}; this plan would not be applied")
        say(f"To approve it: {approval(document['refusals'], out or 'FILE')}")
        return int(Exit.REFUSED)
    if detailed_exitcode and document["changes"]:
        return int(Exit.CHANGES)
    return int(Exit.DONE)


def _print(document: Any, output: PlanLayout, *, everything: bool) -> None:
    if output is PlanLayout.JSON:
        from piactl.flows.plan.plan_file import plan_pieces

        put(piece.decode() for piece in plan_pieces(document))
    else:
        from piactl.report.plan_text import plan_text

        put([plan_text(document, most=0 if everything else 3)])


def _show(files: list[str], output: PlanLayout, *, everything: bool) -> int:
    if len(files) != 1:
        raise UsageError("write: piactl plan show FILE")
    site = this_site()
    _print(read_plan_file(files[0], site).document, output, everything=everything)
    return int(Exit.DONE)


def read_plan_file(name: str, site: Any) -> Any:
    """The plan in a file, `-` is stdin."""
    from piactl.flows.plan.plan_file import read_plan

    folder = Path(site.settings.state_folder)
    try:
        with _seekable(name) as stream:
            return read_plan(name, stream, site.keys, folder)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise UsageError(f"{name}: the plan cannot be read ({why})") from None


def _seekable(name: str) -> BinaryIO:
    """A file that can be read twice, a pipe's content too."""
    import shutil
    from contextlib import ExitStack
    from tempfile import TemporaryFile

    if name != "-" and Path(name).is_file():
        return Path(name).open("rb")
    with ExitStack() as stack:
        copy = stack.enter_context(TemporaryFile())
        if name == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with Path(name).open("rb") as pipe:
                shutil.copyfileobj(pipe, copy)
        copy.seek(0)
        stack.pop_all()
    return copy


def apply(
    file: Annotated[str, typer.Argument(metavar="PLAN", help="A plan made with `plan --out`; - is stdin.")],
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="KIND=N", help="Approve a broken guard, with the exact number."),
    ] = None,
    reason: Reason = "",
    output: RunOutput = PlanLayout.TEXT,
    ldif: Annotated[
        str,
        typer.Option(
            "--ldif", metavar="FILE", help="Write a first migration to a new file, for slapadd to load."
        ),
    ] = "",
) -> int:
    """Apply exactly this plan, entry by entry.

    An entry that changed since the plan was made is a conflict: it is reported and skipped.
    With --ldif no account is written: the LDIF is for slapadd and a stopped server, in a directory that has
    no accounts yet, and the next run reads back what was loaded.
    Exit codes: 0 done, 4 refused by a guard, 5 done in part, 7 another run is writing.
    """
    allowed = read_allowed(allow or [])
    need_reason(reason, "--allow", allowed)
    site = this_site()
    plan_file = read_plan_file(file, site)
    if ldif:
        return _load(site, plan_file, file, Path(ldif), allowed, reason, output)
    done = apply_plan(site, plan_file, file, allowed, reason, output)
    return done_code(done)


def _load(
    site: Site,
    plan_file: PlanFile,
    name: str,
    ldif: Path,
    allowed: Mapping[str, int],
    reason: str,
    output: PlanLayout,
) -> int:
    from piactl.core.model.run_status import RunStatus
    from piactl.core.text import counted
    from piactl.flows.apply.executor import refused
    from piactl.flows.apply.offline_load import run_offline_load

    work = plan_file.work
    broken = refused(work.refusals, allowed)
    if broken:
        say_refused(plan_file.document, name)
        number = counted(len(broken), "guard is broken", "guards are broken")
        raise UnsafePlan(f"{number}; nothing was written")
    order = new_order(site, work.basis.as_of, reason, allowed)
    progress = ProgressLine("prepared")
    with stop_on_signals() as stop, writing(site) as writer:
        try:
            done = run_offline_load(
                writer,
                order,
                work,
                ldif,
                site.settings,
                site.policy,
                site.keys,
                site.unreadable,
                now=_now,
                say=say,
                progress=progress,
                stop=stop,
            )
        finally:
            progress.close()
    tell(done, output)
    if done.status is not RunStatus.LOADING:
        return done_code(done)
    for line in _next_steps(site.settings.directory.suffix, ldif):
        say(line)
    return int(Exit.DONE)


def _next_steps(suffix: str, ldif: Path) -> list[str]:
    return [
        "Nothing is loaded yet. Let no other run begin before this. On the host of the server, as root:",
        "  systemctl stop slapd",
        f"  slapadd -q -b {shlex.quote(suffix)} -l {shlex.quote(str(ldif.absolute()))}",
        "  chown -R openldap:openldap /var/lib/ldap    # the user and the database folder of slapd",
        "  systemctl start slapd",
        "Then run piactl nightly: it reads the accounts back. Delete the LDIF: it holds personal data.",
    ]
