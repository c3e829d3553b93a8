"""`service` and `profile` show the policy; `policy diff|test` compare two policies and test one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.ask.show_policy import profile_rows, profile_view, service_rows, service_view
from piactl.cli.commands.plan import check_form, show_impact, with_policy
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AllChanges,
    AsOf,
    By,
    Feeds,
    Form,
    Output,
    PlanOrImpact,
    ShowOutput,
)
from piactl.cli.framework.output import (
    FIELDS,
    display,
    field_rows,
    go_on_as,
    layout_or_default,
    put_json,
    say,
    show_rows,
    show_views,
)
from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.strict_yaml import STDIN
from piactl.core.plan.check_guards import no_own_guards
from piactl.core.plan.plan import Plan
from piactl.core.text import condition
from piactl.directory.store.typed_records import to_json
from piactl.errors import Exit
from piactl.host.private_files import refuse_input, refuse_missing
from piactl.phrase import Phrase, counted, joined
from piactl.planning.load_feeds import scan_feeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.report.establishment_names import with_names
from piactl.report.plan_text import difference_text
from piactl.report.policy_text import profile_text, service_text
from piactl.trials.policy_test import case_problems, policy_diff, read_policy_cases

SERVICE_COLUMNS = (
    "name", "label", "scope", "grant_delay", "mutation_delay", "meanwhile", "handover", "in_grace",
    "otp", "profiles", "when", "line",
)  # fmt: skip
PROFILE_COLUMNS = ("name", "when", "services", "line")
_OBJECTS = ("json", "ndjson")
_FEW = 3


def list_services(output: Output = None) -> None:
    """List the services of the policy: scope, delays in days, one-time code, profiles, line.

    Example: piactl service list
    """
    policy = this_configuration().policy
    layout = layout_or_default(output)
    rows = service_rows(policy)
    if layout == "table":
        rows = [{**row, "profiles": _few(row["profiles"], len(policy.profiles))} for row in rows]
    if layout not in _OBJECTS:
        rows = [{**row, "when": condition(row["when"]) if row["when"] else None} for row in rows]
    show_rows(rows, SERVICE_COLUMNS, layout)


def show_service(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The name of a service, as in `service list`.")
    ],
    output: ShowOutput = None,
) -> None:
    """Show one service: when its rights begin and end, which profiles and positions give or take it.

    Example: piactl service show iprof
    """
    configuration = this_configuration()
    view = service_view(configuration.policy, service)
    row = {
        **view,
        "when": condition(view["when"]) if view["when"] else None,
        "given_by": [entry["name"] for entry in view["given_by"]],
        "positions": [entry["name"] for entry in view["positions"] if entry["keeps"]],
    }
    _show_one(view, service_text, configuration, output, row)


def list_profiles(output: Output = None) -> None:
    """List the profiles in the order in which they are tried: whom they fit, what they give, line.

    Example: piactl profile list
    """
    layout = layout_or_default(output)
    rows = profile_rows(this_configuration().policy)
    if layout not in _OBJECTS:
        rows = [{**row, "when": condition(row["when"])} for row in rows]
    show_rows(rows, PROFILE_COLUMNS, layout)


def show_profile(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="The name of a profile, as in `profile list`.")
    ],
    output: ShowOutput = None,
) -> None:
    """Show one profile: which assignments fit it, and what it gives.

    Example: piactl profile show enseignant
    """
    configuration = this_configuration()
    view = profile_view(configuration.policy, profile)
    grace = (
        joined([counted(entry["days"], "day", "days"), condition(entry["when"])], "{first}: {second}")
        for entry in view["grace"]
    )
    row = {
        **view,
        "when": condition(view["when"]),
        "services": [entry["name"] for entry in view["services"]],
        "grace": joined(grace),
    }
    _show_one(view, profile_text, configuration, output, row)


def _show_one(
    view: Mapping[str, Any],
    text: Callable[[Mapping[str, Any], str], str],
    configuration: Configuration,
    output: Form | None,
    row: Mapping[str, Any],
) -> None:
    """Prints a service or a profile; `row` has its fields for a table."""
    show_views(
        [view],
        lambda view: text(view, configuration.settings.policy_file),
        FIELDS,
        output,
        single=True,
        rows_of=lambda _: field_rows(row),
    )


def _few(profiles: list[str], total: int) -> str:
    """The names of a few profiles for a table, or their number."""
    if len(profiles) == total:
        return Phrase("all")
    if len(profiles) <= _FEW:
        return " ".join(profiles)
    return Phrase("{number} of {total}", number=len(profiles), total=total)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy file.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: PlanOrImpact = None,
    by: By = None,
    everything: AllChanges = False,
) -> int:
    """Show what changes, and for whom, if policy NEW replaces OLD, with the line that decides.

    Both policies are applied in memory to the same people on the same day: the accounts of the directory,
    with the feeds if any are given. Changes that are due anyway are not shown. Nothing is written.

    Exit codes: 0 no account differs, 3 accounts differ, 6 a feed is refused.

    Example: piactl policy diff policy.yaml draft.yaml
    """
    check_form(output, by)
    go_on_as("nightly", *(feeds or ()))
    live = this_configuration()
    before, after = with_policy("OLD", old, live), with_policy("NEW", new, live)
    settings, day = live.settings, as_of or today(live)
    with ExitStack() as stack:
        night = NightDb(Path(settings.state_folder), live.keys)
        scans = scan_feeds(feeds or [], settings.sources, night.rows, settings.go_on, say)
        reader = stack.enter_context(reading(live))
        accounts = before.managed(reader)
        encoding = after.encoding.fitted_to(reader)
        accepted = Accepted((), bool(as_of))
        due, plan = policy_diff(
            accounts,
            before.rules(day),
            after.rules(day),
            encoding,
            settings,
            live.unreadable,
            scans,
            night,
            accepted,
        )
    if due.summary:
        number = counted(len({change.uid for change in due.changes}), "account", "accounts")
        say(
            Phrase(
                "{accounts} would change under {policy} today; this is not shown",
                accounts=number,
                policy=old,
            )
        )
    if by is not None:
        show_impact(plan, after, output, by)
    else:
        _show(plan, old, new, output, everything=everything)
    return int(Exit.CHANGES if plan.summary else Exit.DONE)


def _show(plan: Plan, old: str, new: str, output: Form | None, *, everything: bool) -> None:
    facts = {"old": old, "new": new, **to_json(plan)}
    if output is Form.JSON:
        put_json({**facts, "changes": [*facts["changes"]]}, 1)  # of very many people they are on disk
    else:
        text = difference_text(facts, most=0 if everything else 3)
        display([with_names(text, this_configuration().register)])


def check_cases(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The cases (YAML), see docs/policy.md; - is stdin.", show_default=False
        ),
    ],
    draft: Annotated[
        str, typer.Option("--policy", metavar="FILE", help="Test this draft of a policy; - is stdin.")
    ] = "",
    establishments: Annotated[
        str, typer.Option("--establishments", metavar="FILE", help="Test with this establishment register.")
    ] = "",
    output: Output = None,
) -> int:
    """Test the policy with cases: assignments and a day, and the state and services expected.

    Needs no directory. With --policy and --establishments it needs no configuration either, and can run
    where the policy is kept.

    Exit codes: 0 every case is as expected, 1 a case is not.

    Example: piactl policy test policy-cases.yaml
    """
    for name, value in (("FILE", file), ("--policy", draft), ("--establishments", establishments)):
        refuse_input(name, value or None)
        if value not in ("", "-"):
            refuse_missing(value)
    policy = read_policy(_named(draft)) if draft else this_configuration().policy
    register = read_register(_named(establishments)) if establishments else this_configuration().register
    rows = []
    for case in read_policy_cases(_named(file), policy):
        problems = list(case_problems(case, policy, register))
        rows.append({"line": case.line, "case": case.name, "ok": not problems, "problems": problems})
    failed = sum(not row["ok"] for row in rows)
    layout = layout_or_default(output)
    shown = [row for row in rows if not row["ok"]] if layout == "table" else rows
    if shown or layout != "table":
        show_rows(shown, ("line", "case", "ok", "problems"), layout)
    if missing := no_own_guards(policy):
        say(missing)
    say(Phrase("{cases}: {number} not as expected", cases=counted(len(rows), "case", "cases"), number=failed))
    return int(Exit.FAILED if failed else Exit.DONE)


def _named(name: str) -> Path:
    """The file that the command line names, `-` is stdin."""
    return STDIN if name == "-" else Path(name)
