"""The date in the name of a feed."""

from __future__ import annotations

import re
from datetime import date


def file_date(name: str, pattern: str) -> date | None:
    """The first real date that `pattern` (groups year, month, day) finds in a file name."""
    if not pattern:
        return None
    for match in re.finditer(pattern, name):
        parts = match.groupdict()
        try:
            return date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
        except (ValueError, KeyError, TypeError):
            continue
    return None
