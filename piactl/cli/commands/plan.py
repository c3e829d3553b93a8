"""`plan` and `apply`: show what would change, and apply exactly that plan."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

import typer

from piactl.cli.commands.account_edit import apply_merge
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AcceptFeed,
    AllChanges,
    Allow,
    AsOf,
    By,
    Feeds,
    Form,
    ImpactGroup,
    PlanFile,
    PlanOrImpact,
    PlanOut,
    RunOutput,
    SometimesReason,
    need_reason,
    read_allowed,
)
from piactl.cli.framework.output import display, layout_or_default, say
from piactl.cli.framework.writing_command import (
    apply_plan,
    done_code,
    refusals_as_json,
    say_next_steps,
    show_plan,
    write_plan,
)
from piactl.config.strict_yaml import STDIN
from piactl.core.model.policy import MERGE
from piactl.core.plan.plan import Plan, ReadyPlan
from piactl.directory.store.typed_records import to_json
from piactl.errors import Exit, UsageError, system_words
from piactl.host.private_files import refuse_input, refuse_output, refuse_own_file
from piactl.host.roles_of_caller import Role, refuse_command
from piactl.journal import who
from piactl.phrase import Phrase, counted
from piactl.planning.build_plan import build_continuing
from piactl.planning.load_feeds import keep_sets, scan_feeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import read_run_state
from piactl.planning.signed_plan_file import read_plan, sealed
from piactl.report.plan_text import impact_rows, impact_table


def plan(
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: PlanOrImpact = None,
    by: By = None,
    out: PlanOut = "",
    everything: AllChanges = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 3 instead of 0 if the plan has changes.")
    ] = False,
    accept_feed: AcceptFeed = None,
    reason: SometimesReason = "",
    draft: Annotated[
        str, typer.Option("--policy", metavar="FILE", help="Plan with this draft of a policy; - is stdin.")
    ] = "",
) -> int:
    """Show what would change, and why. Writes nothing to the directory.

    Without feeds, shows the changes due by date and policy alone. `plan show FILE` shows a stored plan.
    With --by, prints one row for each group: its accounts that change, by kind, and the guard nearest to
    its limit. A plan made with --policy can be applied once the draft has become the policy.

    Exit codes: 0 done, 3 the plan has changes (with --detailed-exitcode), 4 a guard is broken, 6 a feed is
    refused.

    Example: piactl plan rh.csv --all
    """
    check_form(output, by)
    if feeds and feeds[0] == "show":
        return _show(feeds[1:], output, by, everything=everything)
    refuse_command("plan of feeds", (Role.ADMINISTRATOR, Role.SERVICE))
    need_reason(reason, "--accept-feed", accept_feed or [])
    live = this_configuration()
    configuration = with_policy("--policy", draft, live) if draft else live
    settings = configuration.settings
    if out:
        refuse_output("--out", out, settings.plans_folder)
    day = as_of or today(configuration)
    with refusals_as_json(output if by is None else None), ExitStack() as stack:
        night = NightDb(Path(settings.state_folder), configuration.keys)
        scans = scan_feeds(feeds or [], settings.sources, night.rows, settings.go_on, say)
        reader = stack.enter_context(reading(configuration))
        accounts = configuration.managed(reader)
        rules = configuration.rules(day)
        state = read_run_state(accounts, rules, configuration.unreadable)
        accepted = Accepted(accept_feed or (), bool(as_of))
        planned = build_continuing(accounts, rules, settings, scans, state, night, accepted)
    for message in (*map(str, planned.refused), *planned.remarks):
        say(message)
    ready = sealed(planned.ready, configuration.keys, Path(settings.state_folder), who().names)
    if out:
        write_plan(ready, out)
        keep_sets(planned.feeds, say)
    _show_plan(ready, configuration, output, by, everything=everything)
    if ready.plan.refusals:
        broken = counted(len(ready.plan.refusals), "guard is broken", "guards are broken")
        say(Phrase("{guards}; this plan would not be applied", guards=broken))
    if out or ready.plan.refusals:
        drafted = configuration.policy.digest != live.policy.digest
        file = live.settings.policy_file
        first = Phrase("make {draft} the policy ({file})", draft=draft, file=file) if drafted else ""
        say_next_steps(ready, out, first)
    if ready.plan.refusals:
        return int(Exit.REFUSED)
    if planned.refused:
        return int(Exit.FEED_REFUSED)
    if detailed_exitcode and ready.plan.changes:
        return int(Exit.CHANGES)
    return int(Exit.DONE)


def check_form(output: Form | None, by: ImpactGroup | None) -> None:
    """Raises UsageError for a form of rows without --by, and for text with it."""
    if by is None and output not in (None, Form.TEXT, Form.JSON):
        raise UsageError(
            Phrase("-o {output}: only with --by; otherwise give text or json", output=str(output))
        )
    if by is not None and output is Form.TEXT:
        raise UsageError(Phrase("-o text: not with --by; give table, json, ndjson, csv, tsv or xlsx"))


def show_impact(plan: Plan, configuration: Configuration, output: Form | None, by: ImpactGroup) -> None:
    """Prints a row for each group that the plan touches, with the words of the configuration for it."""
    labels = (
        {uai: place.name for uai, place in configuration.register.items()} if by is ImpactGroup.UAI else {}
    )
    if by is ImpactGroup.SERVICE:
        labels = {name: service.label for name, service in configuration.policy.services.items()}
    rows = impact_rows((to_json(impact) for impact in plan.impact if impact.by == by), labels)
    layout = layout_or_default(output)
    if rows or layout != "table":
        display(impact_table(rows, layout), layout)
    else:
        say(Phrase("no account changes"))


def with_policy(option: str, draft: str, live: Configuration) -> Configuration:
    """The configuration with a draft of a policy, the value of an option or argument, in place of the policy;
    `-` is stdin. Raises UsageError."""
    if draft != live.settings.policy_file:
        refuse_input(option, draft)
    path = STDIN if draft == "-" else Path(draft)
    if path != STDIN and not path.exists():
        raise UsageError(Phrase("{option} {file}: there is no such file", option=option, file=draft))
    return replace(live, settings=replace(live.settings, policy_file=str(path)))


def _show_plan(
    ready: ReadyPlan,
    configuration: Configuration,
    output: Form | None,
    by: ImpactGroup | None,
    *,
    everything: bool,
) -> None:
    if by is not None:
        show_impact(ready.plan, configuration, output, by)
        return
    show_plan(ready, output, most=0 if everything else 3)


def _show(files: list[str], output: Form | None, by: ImpactGroup | None, *, everything: bool) -> int:
    if len(files) != 1:
        raise UsageError(Phrase("write: piactl plan show FILE"))
    configuration = this_configuration()
    _show_plan(read_plan_file(files[0], configuration), configuration, output, by, everything=everything)
    return int(Exit.DONE)


def read_plan_file(name: str, configuration: Configuration) -> ReadyPlan:
    """The plan in a file, `-` is stdin. Raises UsageError, StalePlan."""
    folder = Path(configuration.settings.state_folder)
    try:
        with _seekable(name, configuration.settings.plans_folder) as stream:
            return read_plan(name, stream, configuration.keys, folder)
    except (OSError, ValueError) as error:
        why = system_words(error) if isinstance(error, OSError) else Phrase("not a path")
        raise UsageError(Phrase("{file}: the plan cannot be read ({why})", file=name, why=why)) from None


def _seekable(name: str, plans: str) -> BinaryIO:
    """The open file, or a copy of the content of a pipe, so that it can be read twice. Raises UsageError
    under sudo for a file of this user that is not in the folder `plans`."""
    with ExitStack() as stack:
        if name != "-" and Path(name).is_file():
            file = stack.enter_context(Path(name).open("rb"))
            refuse_own_file(name, file.fileno(), plans)
            stack.pop_all()
            return file
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
    file: PlanFile,
    allow: Allow = None,
    reason: SometimesReason = "",
    output: RunOutput = Form.TEXT,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass",
            help="Apply without the approval of another person; raises an alarm, needs --reason.",
        ),
    ] = False,
) -> int:
    """Apply exactly this plan, entry by entry.

    An entry that changed since the plan was made is a conflict: it is reported and skipped.

    Exit codes: 0 done, 4 refused by a guard, 5 done in part, 7 another run is writing.

    Example: piactl apply plan.json
    """
    allowed = read_allowed(allow or [])
    need_reason(reason, "--allow", allowed)
    need_reason(reason, "--break-glass", ["--break-glass"] if break_glass else [])
    configuration = this_configuration()
    ready = read_plan_file(file, configuration)
    with refusals_as_json(output, ready=ready):
        if MERGE in ready.plan.summary:
            return apply_merge(ready, file, allow or [], reason, output, break_glass=break_glass)
        done = apply_plan(configuration, ready, file, allowed, reason, output, break_glass=break_glass)
        return done_code(done)
