"""`--since` and `--until`: a day, or a moment of it, as an instant."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from piactl.errors import UsageError

if TYPE_CHECKING:
    from piactl.flows.site import Site

Since = Annotated[
    str,
    typer.Option("--since", metavar="DATE", help="From that day on (YYYY-MM-DD, or with a time: ...T03:15)."),
]
Until = Annotated[
    str, typer.Option("--until", metavar="DATE", help="Up to that day, it included; or up to a moment.")
]

_DAYS = ("%Y-%m-%d", "%d/%m/%Y")


def read_period(site: Site, since: str, until: str) -> tuple[datetime | None, datetime | None]:
    """The two instants, both included, None where nothing was given; days are those of the policy's
    timezone. Raises UsageError with everything that is wrong."""
    if not since and not until:
        return None, None
    zone = ZoneInfo(site.policy.timezone)
    wrong: list[str] = []
    first = _instant("--since", since, zone, wrong, whole_day=False)
    last = _instant("--until", until, zone, wrong, whole_day=True)
    if first and last and first > last:
        wrong.append(f"--since {since} is after --until {until}: no day lies between them")
    if wrong:
        raise UsageError("\n".join(wrong))
    return first, last


def _instant(option: str, text: str, zone: ZoneInfo, wrong: list[str], *, whole_day: bool) -> datetime | None:
    if not text:
        return None
    for form in _DAYS:
        try:
            day = datetime.strptime(text.strip(), form).replace(tzinfo=zone)
        except ValueError:
            continue
        return day + timedelta(days=1) - timedelta(milliseconds=1) if whole_day else day
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        wrong.append(f"{option} {text}: is no day; write it as 2026-09-01, or as 2026-09-01T03:15")
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
