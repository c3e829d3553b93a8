"""Options that several commands share, and the values they are turned into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

import typer

from piactl.errors import UsageError


class Layout(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"


class PlanLayout(StrEnum):
    TEXT = "text"
    JSON = "json"


Output = Annotated[
    Layout | None,
    typer.Option("-o", "--output", help="How to print; a table on a terminal, else tsv.", show_default=False),
]
ShowOutput = Annotated[
    Layout | None,
    typer.Option("-o", "--output", help="How to print; text without it.", show_default=False),
]
RunOutput = Annotated[PlanLayout, typer.Option("-o", "--output", help="json is one object.")]
PlanOutput = Annotated[
    PlanLayout, typer.Option("-o", "--output", help="json is the plan that `apply` takes.")
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="The day to answer for (YYYY-MM-DD), instead of today."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence, for the record.")]
Feeds = Annotated[
    list[str] | None,
    typer.Argument(metavar="FEED", help="Feed files, PATH or SOURCE=PATH.", show_default=False),
]
AcceptFeed = Annotated[
    list[str] | None,
    typer.Option("--accept-feed", metavar="SHA256", help="Let this one feed pass the limits of its source."),
]

AcceptPerson = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-person",
        metavar="MATRICULE",
        help="Take the other names under this matricule for the person of the account, this once.",
    ),
]


def read_day(text: str | None, today: date) -> date:
    """The day of --as-of, today without it. Raises UsageError."""
    return read_date("--as-of", text) or today


FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2100, 12, 31)
"""The days that can be meant, as in feeds. Sums of days stay inside the calendar."""


def read_date(option: str, text: str | None) -> date | None:
    """The day that an option gives, None without it. Raises UsageError."""
    if not text:
        return None
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            day = datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
        if not FIRST_DAY <= day <= LAST_DAY:
            raise UsageError(f"{option} {text}: is not between {FIRST_DAY} and {LAST_DAY}")
        return day
    raise UsageError(f"{option} {text}: is no day; write it as 2026-09-01")


def read_allowed(values: Sequence[str]) -> dict[str, int]:
    """`--allow KIND=N` as numbers by kind. Raises UsageError."""
    from piactl.core.changes import Kind

    allowed: dict[str, int] = {}
    kinds = {kind.value for kind in Kind}
    for value in values:
        kind, sign, number = value.partition("=")
        if not sign or kind not in kinds or not (number.isascii() and number.isdigit() and len(number) < 10):
            raise UsageError(
                f"--allow {value}: write KIND=N with a kind of change: {', '.join(sorted(kinds))}"
            )
        allowed[kind] = int(number)
    return allowed


def need_reason(reason: str, why: str, given: Mapping[str, object] | Sequence[object]) -> None:
    """Raises UsageError where an option that needs a reason comes without one."""
    if given and not reason.strip():
        raise UsageError(f'{why} needs a reason: add --reason "..."')
