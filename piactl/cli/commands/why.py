"""`why`: explains the state, a right or a log in of an account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.account_batch import read_names
from piactl.cli.framework.context import display, layout_or_default, put, reading, say, this_configuration
from piactl.cli.framework.options import AsOf, ShowOutput, read_day
from piactl.clock import civil_today, utc_now
from piactl.config.schema_validation import hint
from piactl.errors import Exit, NotFound, PiactlError
from piactl.report.establishments import with_names
from piactl.report.table import rendered
from piactl.report.why_text import COLUMNS, why_rows, why_text

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.core.model.policy import Service
    from piactl.directory.port import Reader

LOGIN = "login"


def why(
    account: Annotated[
        str,
        typer.Argument(metavar="ACCOUNT", help="A uid, an address, an alias or a matricule; - is stdin."),
    ],
    subject: Annotated[
        str,
        typer.Argument(
            metavar="[SERVICE|login]",
            help="A service of the policy, or `login`; the state by default.",
            show_default=False,
        ),
    ] = "",
    output: ShowOutput = None,
    as_of: AsOf = None,
) -> int:
    """Explain why an account is in its state, has a service or not, can log in or not, on any day.

    The answer names the rule with its line in the policy, the assignment with its feed row, and the smallest
    change that would reverse it. `why ACCOUNT login` lists everything that prevents a log in, in the order to
    fix it, each with the command that helps.

    With `-` the accounts are read from stdin, one per line, plain or as objects with a uid; the answers
    follow in that order.
    """

    configuration = this_configuration()
    service = _service(configuration.policy.services, subject)
    day = read_day(as_of, civil_today(configuration.policy.timezone))
    now = utc_now()
    names = read_names([account])
    views: list[Any] = []
    code = int(Exit.DONE)
    with reading(configuration) as reader:
        for name in names:
            try:
                views.append(_answered(reader, configuration, name, subject, service, day, now))
            except PiactlError as error:
                if account != "-":
                    raise
                say(str(error))
                code = int(Exit.PARTLY)
    _print(views, layout_or_default(output) if output else "", single=account != "-")
    return code


def _service(services: Mapping[str, Service], subject: str) -> Service | None:
    """The service of that name; None for `login` and for the state. Raises NotFound."""
    if subject in ("", LOGIN):
        return None
    service = services.get(subject)
    if service is None:
        raise NotFound(f"{subject}: the policy has no such service; {hint(subject, [*services, LOGIN])}")
    return service


def _answered(
    reader: Reader,
    configuration: Configuration,
    name: str,
    subject: str,
    service: Service | None,
    day: date,
    now: datetime,
) -> Any:
    from piactl.flows.queries.explain import why_login, why_service, why_state

    rules, settings = configuration.rules(day), configuration.settings
    store = configuration.accounts(reader, day)
    if service is not None:
        return why_service(store, rules, name, service, now, settings)
    if subject == LOGIN:
        return why_login(store, rules, name, now, settings, configuration.unreadable)
    return why_state(store, rules, name, now, settings)


def _print(views: list[Any], layout: str, *, single: bool) -> None:
    if layout == "json" and single:
        put([json.dumps(views[0], ensure_ascii=False, indent=2) + "\n"])
        return

    if layout in ("json", "ndjson"):
        put(rendered(views, COLUMNS, layout))
    elif layout:
        put(rendered((row for view in views for row in why_rows(view)), COLUMNS, layout))
    else:
        register = this_configuration().register
        display(
            with_names("\n" * bool(number) + why_text(view), register) for number, view in enumerate(views)
        )
