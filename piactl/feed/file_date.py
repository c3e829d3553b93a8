"""The date in the name of a feed, and the number that orders feeds of one day."""

from __future__ import annotations

import re
from datetime import date


def file_date(name: str, pattern: str) -> date | None:
    """The first real date that `pattern` (groups year, month, day) finds in a file name."""
    return file_order(name, pattern)[0]


def file_order(name: str, pattern: str) -> tuple[date | None, int]:
    """The date that `file_date` finds, and the group `number` beside it, a time or a sequence number; 0
    without one."""
    for match in re.finditer(pattern, name) if pattern else ():
        parts = match.groupdict()
        try:
            day = date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
            return day, int(parts.get("number") or 0)
        except (ValueError, KeyError, TypeError):
            continue
    return None, 0
