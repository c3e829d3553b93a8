"""`service` and `profile`: show the policy, without a directory."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.context import layout_or_default, put, put_object, put_text, this_configuration
from piactl.cli.framework.options import Output, ShowOutput
from piactl.core.text import condition
from piactl.report.policy_text import profile_text, service_text
from piactl.report.table import rendered

SERVICE_COLUMNS = (
    "name",
    "label",
    "scope",
    "grant_delay",
    "mutation_delay",
    "meanwhile",
    "handover",
    "in_grace",
    "otp",
    "profiles",
    "when",
    "line",
)
PROFILE_COLUMNS = ("name", "when", "services", "line")


def list_services(output: Output = None) -> None:
    """List the services of the policy: scope, delays in days, one-time code, profiles, line."""
    from piactl.flows.queries.policy import service_rows

    policy = this_configuration().policy
    layout = layout_or_default(output)
    rows = service_rows(policy)
    if layout == "table":
        rows = [{**row, "profiles": _few(row["profiles"], len(policy.profiles))} for row in rows]
    if layout not in _OBJECTS:
        rows = [{**row, "when": condition(row["when"]) if row["when"] else None} for row in rows]
    put(rendered(rows, SERVICE_COLUMNS, layout))


def show_service(
    service: Annotated[str, typer.Argument(help="The name of a service, as in `service list`.")],
    output: ShowOutput = None,
) -> None:
    """Show one service: when its rights begin and end, which profiles and positions give or take it."""
    from piactl.flows.queries.policy import service_view

    configuration = this_configuration()
    view = service_view(configuration.policy, service)
    if output is None:
        put_text([service_text(view, configuration.settings.policy_file)])
    else:
        rows = {**view, "given_by": [entry["name"] for entry in view["given_by"]]}
        rows["when"] = condition(view["when"]) if view["when"] else None
        keeping = [entry["name"] for entry in view["positions"] if entry["keeps"]]
        put_object(view, {**rows, "positions": keeping}, output.value)


def list_profiles(output: Output = None) -> None:
    """List the profiles in the order they are tried: whom they fit, what they give, line."""
    from piactl.flows.queries.policy import profile_rows

    layout = layout_or_default(output)
    rows = profile_rows(this_configuration().policy)
    if layout not in _OBJECTS:
        rows = [{**row, "when": condition(row["when"])} for row in rows]
    put(rendered(rows, PROFILE_COLUMNS, layout))


def show_profile(
    profile: Annotated[str, typer.Argument(help="The name of a profile, as in `profile list`.")],
    output: ShowOutput = None,
) -> None:
    """Show one profile: which assignments fit it, and what it gives."""
    from piactl.flows.queries.policy import profile_view

    configuration = this_configuration()
    view = profile_view(configuration.policy, profile)
    if output is None:
        put_text([profile_text(view, configuration.settings.policy_file)])
    else:
        row = {
            **view,
            "when": condition(view["when"]),
            "services": [entry["name"] for entry in view["services"]],
            "grace": "; ".join(
                f"{entry['days']} days: {condition(entry['when'])}" for entry in view["grace"]
            ),
        }
        put_object(view, row, output.value)


_OBJECTS = ("json", "ndjson")
_FEW = 3


def _few(profiles: list[str], total: int) -> str:
    """The names of a few profiles for a table, or their number."""
    if len(profiles) == total:
        return "all"
    return " ".join(profiles) if len(profiles) <= _FEW else f"{len(profiles)} of {total}"
