"""`--since` and `--until`: a day, or a moment of it, as an instant."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from piactl.cli.options import FIRST_DAY, LAST_DAY
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


def read_period(
    site: Site, since: str, until: str, *, option: str = "--since"
) -> tuple[datetime | None, datetime | None]:
    """The two instants, both included, None where nothing was given; days are those of the policy's
    timezone. `option` is the one that gave the first. Raises UsageError with everything that is wrong."""
    if not since and not until:
        return None, None
    zone = ZoneInfo(site.policy.timezone)
    wrong: list[str] = []
    first = _instant(option, since, zone, wrong, whole_day=False)
    last = _instant("--until", until, zone, wrong, whole_day=True)
    if first and last and first > last:
        wrong.append(f"--since {since} is after --until {until}: no day lies between them")
    if wrong:
        raise UsageError("\n".join(wrong))
    return first, last


def _instant(option: str, text: str, zone: ZoneInfo, wrong: list[str], *, whole_day: bool) -> datetime | None:
    if not text:
        return None
    moment, whole = _read(text.strip(), zone)
    if moment is None:
        wrong.append(f"{option} {text}: is no day; write it as 2026-09-01, or as 2026-09-01T03:15")
    elif not FIRST_DAY <= moment.date() <= LAST_DAY:
        wrong.append(f"{option} {text}: is not between {FIRST_DAY} and {LAST_DAY}")
    elif whole and whole_day:
        return moment + timedelta(days=1) - timedelta(milliseconds=1)
    else:
        return moment
    return None


def _read(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """The instant, and whether a whole day was written."""
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone), True
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None, False
    return moment if moment.tzinfo else moment.replace(tzinfo=zone), False
