"""Prints the impact of a plan by establishment, profile, service or source."""

from __future__ import annotations

from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.context import display, layout_or_default, say
from piactl.cli.framework.options import ImpactGroup, PlanForm
from piactl.core.plan.plan import Plan
from piactl.errors import UsageError
from piactl.flows.plan.signed_plan_file import impact_facts
from piactl.report.plan_text import impact_rows, impact_table


def check_form(output: PlanForm | None, by: ImpactGroup | None) -> None:
    """Raises UsageError for a form of rows without --by, and for text with it."""
    if by is None and output not in (None, PlanForm.TEXT, PlanForm.JSON):
        raise UsageError(f"-o {output}: only with --by; otherwise give text or json")
    if by is not None and output is PlanForm.TEXT:
        raise UsageError("-o text: not with --by; give table, json, ndjson, csv, tsv or excel")


def show_impact(plan: Plan, configuration: Configuration, output: PlanForm | None, by: ImpactGroup) -> None:
    """Prints a row for each group that the plan touches, with the words of the configuration for it."""
    labels = (
        {uai: place.name for uai, place in configuration.register.items()} if by is ImpactGroup.UAI else {}
    )
    if by is ImpactGroup.SERVICE:
        labels = {name: service.label for name, service in configuration.policy.services.items()}
    rows = impact_rows((impact_facts(impact) for impact in plan.impact if impact.by == by), labels)
    layout = layout_or_default(output)
    if rows or layout != "table":
        display(impact_table(rows, layout), layout)
    else:
        say("no account changes")
