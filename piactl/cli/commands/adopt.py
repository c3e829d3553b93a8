"""`adopt`: makes accounts of existing entries of the directory."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.account_command import ask
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AcceptFeed,
    AsOf,
    Form,
    PlanOut,
    PlanOutput,
    SometimesReason,
    Yes,
    need_reason,
    read_allowed,
)
from piactl.cli.framework.writing_command import apply_plan, done_code, say_next_steps, show_plan, write_plan
from piactl.core.plan.plan import ReadyPlan
from piactl.edits.adopt_entries import propose_adoption
from piactl.errors import Exit, UsageError
from piactl.host.private_files import refuse_output
from piactl.journal import who
from piactl.phrase import Phrase, counted
from piactl.planning.load_feeds import read_feeds
from piactl.planning.signed_plan_file import plan_document, sealed
from piactl.report.plan_text import plan_text


def adopt(
    feeds: Annotated[list[str], typer.Argument(metavar="FEED...", help="Feed files, PATH or SOURCE=PATH.")],
    matricule_attribute: Annotated[
        str,
        typer.Option(
            "--matricule-attribute",
            metavar="NAME",
            help="The attribute with the matricule; supannEmpId by default.",
        ),
    ] = "",
    numen_attribute: Annotated[
        str,
        typer.Option(
            "--numen-attribute",
            metavar="NAME",
            help="The attribute with the NUMEN, for entries that the matricule does not identify.",
        ),
    ] = "",
    out: PlanOut = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Show every entry, not the first few of each kind.")
    ] = False,
    apply_: Annotated[bool, typer.Option("--apply", help="Apply the plan at once.")] = False,
    reason: SometimesReason = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="KIND=N", help="With --apply: approve a broken guard for exactly N accounts."
        ),
    ] = None,
    yes: Yes = False,
    output: PlanOutput = Form.TEXT,
    as_of: AsOf = None,
    accept_feed: AcceptFeed = None,
) -> int:
    """Make accounts of existing entries of the directory whose matricule is in the feeds.

    An adopted entry keeps its uid, its address, its other addresses of the domain (as aliases), its
    password and every value that piactl does not manage. The plan shows each value that would be replaced,
    and each entry that stays unmanaged, with the reason. Nothing is written without --apply; `apply PLAN`
    applies a plan of --out. Names never identify an entry. Adopt before the first night: a night creates an
    account for everybody who has none.

    Exit codes: 0 done, 4 refused by a guard, 5 done in part.

    Example: piactl adopt rh.csv --all
    """
    allowed = read_allowed(allow or [])
    need_reason(reason, "--accept-feed", accept_feed or [])
    need_reason(reason, "--apply", ["--apply"] if apply_ else [])
    if allowed and not apply_:
        raise UsageError(
            Phrase("--allow needs --apply; to approve a plan in a file: piactl apply PLAN --allow KIND=N")
        )
    configuration = this_configuration()
    if out:
        refuse_output("--out", out, configuration.settings.plans_folder)
    planned = _planned(configuration, feeds, matricule_attribute, numen_attribute, as_of, accept_feed or [])
    ready, file = _sealed(configuration, planned, out, write=apply_)
    if apply_:
        return _apply(configuration, ready, file, allowed, reason, output, yes=yes)
    show_plan(ready, output, most=0 if everything else 5)
    if ready.plan.refusals or (file and ready.writes):
        say_next_steps(ready, file)
    return int(Exit.REFUSED if ready.plan.refusals else Exit.DONE)


def _planned(
    configuration: Configuration,
    feeds: list[str],
    matricule: str,
    numen: str,
    as_of: date | None,
    accepted: list[str],
) -> ReadyPlan:
    day = as_of or today(configuration)
    read = read_feeds(feeds, configuration.settings.sources)
    with reading(configuration) as reader:
        return propose_adoption(
            reader,
            configuration.settings.directory,
            configuration.rules(day),
            configuration.unreadable,
            read,
            matricule_attribute=matricule,
            numen_attribute=numen,
            accepted=accepted,
        )


def _sealed(
    configuration: Configuration, planned: ReadyPlan, out: str, *, write: bool
) -> tuple[ReadyPlan, str]:
    """The sealed plan, and the file it was written to, or ""."""
    folder = Path(configuration.settings.state_folder)
    ready = sealed(planned, configuration.keys, folder, who().names)
    if not out and write:
        out = configuration.settings.kept_plan(ready.fingerprint)
    if out:
        write_plan(ready, out)
    return ready, out


def _apply(
    configuration: Configuration,
    ready: ReadyPlan,
    file: str,
    allowed: dict[str, int],
    reason: str,
    output: Form,
    *,
    yes: bool,
) -> int:
    if ready.writes:
        entries = counted(len(ready.writes), "entry", "entries")
        question = Phrase("Adopt {entries}?", entries=entries)
        ask(lambda: plan_text(plan_document(ready)), question, yes=yes)
    return done_code(apply_plan(configuration, ready, file, allowed, reason, output))
