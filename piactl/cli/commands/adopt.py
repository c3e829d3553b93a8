"""`adopt`: entries that an académie already has become accounts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.context import put, reading, say, this_configuration, today
from piactl.cli.framework.options import (
    AcceptFeed,
    AsOf,
    PlanLayout,
    PlanOutput,
    Reason,
    need_reason,
    read_allowed,
    read_day,
)
from piactl.cli.framework.terminal import confirmed
from piactl.errors import Exit, UsageError
from piactl.report.plan_text import approval, plan_text

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.flows.plan.proposal import Proposal


def adopt(
    feeds: Annotated[list[str], typer.Argument(metavar="FEED...", help="Feed files, PATH or SOURCE=PATH.")],
    matricule_attribute: Annotated[
        str,
        typer.Option(
            "--matricule-attribute",
            metavar="NAME",
            help="Where entries hold the matricule; else supannEmpId.",
        ),
    ] = "",
    numen_attribute: Annotated[
        str,
        typer.Option(
            "--numen-attribute",
            metavar="NAME",
            help="Where entries hold the NUMEN: it recognises those whose matricule does not.",
        ),
    ] = "",
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Keep the plan in a file (mode 0600).")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Show every entry, not the first few of each kind.")
    ] = False,
    apply_: Annotated[
        bool, typer.Option("--apply", help="Make the plan true at once; without it nothing is written.")
    ] = False,
    reason: Reason = "",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="KIND=N", help="With --apply: approve a broken guard, exact number."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation. Guards still apply.")] = False,
    output: PlanOutput = PlanLayout.TEXT,
    as_of: AsOf = None,
    accept_feed: AcceptFeed = None,
) -> int:
    """Make accounts of entries that the directory already has, where their matricule is one of the feeds.

    An adopted entry keeps its uid, its address, its other addresses of the domain (as aliases), its password
    and everything that piactl does not manage. The plan shows each value that would be replaced, and every
    entry that is left alone with why; `apply PLAN` makes it true, or --apply. Nobody is recognised by name.
    Run it before the first night: a night makes a new account for everybody who has none.

    Exit codes: 0, 4 where a guard is broken, 5 done in part.
    """
    allowed = read_allowed(allow or [])
    need_reason(reason, "--accept-feed", accept_feed or [])
    need_reason(reason, "--apply", ["--apply"] if apply_ else [])
    if allowed and not apply_:
        raise UsageError(
            "--allow goes with --apply; a plan that is kept is approved by: piactl apply PLAN --allow"
        )
    configuration = this_configuration()
    proposal = _proposed(configuration, feeds, matricule_attribute, numen_attribute, as_of, accept_feed or [])
    document, file = _kept(configuration, proposal, out, keep=apply_)
    if apply_:
        return _apply(configuration, document, file, allowed, reason, output, yes=yes)
    _show(document, output, everything=everything)
    if document["refusals"]:
        say(f"To approve it: {approval(document['refusals'], file or 'FILE')}")
        return int(Exit.REFUSED)
    if file and document["writes"]:
        say(f"make it true with: piactl apply {file}")
    return int(Exit.DONE)


def _proposed(
    configuration: Configuration,
    feeds: list[str],
    matricule: str,
    numen: str,
    as_of: str | None,
    accepted: list[str],
) -> Proposal:
    from piactl.flows.adopt import propose_adoption
    from piactl.flows.plan.inputs.load_feeds import read_feeds

    day = read_day(as_of, today(configuration))
    read = read_feeds(feeds, configuration.settings.sources)
    with reading(configuration) as reader:
        return propose_adoption(
            reader,
            configuration.settings.directory,
            configuration.rules(day),
            configuration.register_digest,
            configuration.unreadable,
            read,
            matricule_attribute=matricule,
            numen_attribute=numen,
            accepted=accepted,
        )


def _kept(
    configuration: Configuration, proposal: Proposal, out: str, *, keep: bool
) -> tuple[dict[str, Any], str]:
    """The plan as JSON values, and the file that it is kept in, "" in none."""
    from piactl.flows.plan.plan_file import plan_document, plan_pieces
    from piactl.private_files import make_private_folder, write_private

    document = plan_document(proposal, configuration.keys, Path(configuration.settings.state_folder))
    if not out and keep:
        folder = Path(configuration.settings.state_folder) / "plans"
        make_private_folder(folder)
        out = str(folder / f"{document['fingerprint'][:16]}.json")
    if out:
        write_private(Path(out), plan_pieces(document))
        say(f"the plan is kept in {out}")
    return document, out


def _apply(
    configuration: Configuration,
    document: dict[str, Any],
    file: str,
    allowed: dict[str, int],
    reason: str,
    output: PlanLayout,
    *,
    yes: bool,
) -> int:
    from piactl.cli.commands.plan import read_plan_file
    from piactl.cli.framework.run_context import apply_plan, done_code

    if not yes and document["writes"] and sys.stdin.isatty() and sys.stderr.isatty():
        print(plan_text(document), end="", file=sys.stderr)
        if not confirmed(f"Adopt {len(document['writes'])} entries?"):
            say("nothing was changed")
            return int(Exit.FAILED)
    return done_code(
        apply_plan(configuration, read_plan_file(file, configuration), file, allowed, reason, output)
    )


def _show(document: dict[str, Any], output: PlanLayout, *, everything: bool) -> None:
    from piactl.flows.plan.plan_file import plan_pieces

    if output is PlanLayout.JSON:
        put(piece.decode() for piece in plan_pieces(document))
    else:
        put([plan_text(document, most=0 if everything else 5)])
