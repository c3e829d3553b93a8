"""`policy`: compare two policies over the same people, and test one with cases, before it is live."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.commands.plan import with_policy
from piactl.cli.framework.context import (
    display,
    layout_or_default,
    put_json,
    reading,
    say,
    this_configuration,
    today,
)
from piactl.cli.framework.impact import check_form, show_impact
from piactl.cli.framework.options import AsOf, By, Feeds, Output, PlanForm, PlanOrImpact, read_day
from piactl.core.text import counted
from piactl.exit_codes import Exit
from piactl.private_files import refuse_input, refuse_missing

if TYPE_CHECKING:
    from piactl.core.plan.plan import Plan


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy file.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: PlanOrImpact = None,
    by: By = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every change, not the first few of each kind.")
    ] = False,
) -> int:
    """Show what changes for whom where NEW takes the place of OLD, and the line of the policy that does it.

    Both policies are applied to the same people on the same day, in memory: the accounts of the directory,
    with the feeds if any are given. What is due anyway is not shown. Nothing is written. Exit codes: 0 nobody
    is touched, 3 accounts differ, 6 a feed is refused.
    """
    from piactl.flows.plan.inputs.account_index import ManagedAccounts
    from piactl.flows.plan.inputs.load_feeds import scan_feeds
    from piactl.flows.plan.inputs.merge_feeds import Accepted
    from piactl.flows.policy_diff import policy_diff

    check_form(output, by)
    live = this_configuration()
    before, after = with_policy("OLD", old, live), with_policy("NEW", new, live)
    settings, day = live.settings, read_day(as_of, today(live))
    with ExitStack() as stack:
        scans = scan_feeds(feeds or [], settings.sources, live.keys, settings.go_on, say)
        reader = stack.enter_context(reading(live))
        accounts = ManagedAccounts(reader, settings.directory, before.encoding.fitted_to(reader))
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
            accepted,
        )
    if due.summary:
        number = len({change.uid for change in due.changes})
        say(f"{counted(number, 'account', 'accounts')} would change under {old} today; this is not shown")
    if by is not None:
        show_impact(plan, after, output, by)
    else:
        _show(plan, old, new, output, everything=everything)
    return int(Exit.CHANGES if plan.summary else Exit.DONE)


def _show(plan: Plan, old: str, new: str, output: PlanForm | None, *, everything: bool) -> None:
    from piactl.flows.plan.plan_file import plan_facts
    from piactl.report.establishments import with_names
    from piactl.report.plan_text import difference_text

    facts = {"old": old, "new": new, **plan_facts(plan)}
    if output is PlanForm.JSON:
        put_json(facts, 1)
    else:
        text = difference_text(facts, most=0 if everything else 3)
        display([with_names(text, this_configuration().register)])


def check_cases(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The cases (YAML), see docs/policy.md.", show_default=False)
    ],
    draft: Annotated[
        str, typer.Option("--policy", metavar="FILE", help="Test this draft of a policy; - is stdin.")
    ] = "",
    establishments: Annotated[
        str, typer.Option("--establishments", metavar="FILE", help="Test with this establishment register.")
    ] = "",
    output: Output = None,
) -> int:
    """Test the policy with cases: posts and a day, then the state and the services that follow.

    Needs no directory. With --policy and --establishments it needs no configuration either, so it can run
    where the policy is kept. Exit codes: 0 every case is as expected, 1 a case is not.
    """
    from piactl.config.policy import read_policy
    from piactl.config.policy_tests import read_policy_cases
    from piactl.config.register import read_register
    from piactl.core.explain.policy_test import case_problems
    from piactl.report.table import rendered

    for name, value in (("FILE", file), ("--policy", draft), ("--establishments", establishments)):
        refuse_input(name, value or None)
    for named in filter(None, (file, establishments, draft if draft != "-" else "")):
        refuse_missing(named)
    policy_file = Path("/dev/stdin" if draft == "-" else draft) if draft else None
    policy = read_policy(policy_file) if policy_file else this_configuration().policy
    register = read_register(Path(establishments)) if establishments else this_configuration().register
    rows = []
    for case in read_policy_cases(Path(file), policy):
        problems = list(case_problems(case, policy, register))
        rows.append({"line": case.line, "case": case.name, "ok": not problems, "problems": problems})
    failed = sum(not row["ok"] for row in rows)
    layout = layout_or_default(output)
    shown = [row for row in rows if not row["ok"]] if layout == "table" else rows
    if shown or layout != "table":
        display(rendered(shown, ("line", "case", "ok", "problems"), layout), layout)
    say(f"{counted(len(rows), 'case', 'cases')}: {failed} not as expected")
    return int(Exit.FAILED if failed else Exit.DONE)
