"""The only place that asks what time it is."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def utc_now() -> datetime:
    """The current instant, aware, UTC."""
    return datetime.now(UTC)


def civil_today(timezone: str) -> date:
    """Today's civil day in `timezone` (an IANA name such as Europe/Paris)."""
    return datetime.now(ZoneInfo(timezone)).date()
