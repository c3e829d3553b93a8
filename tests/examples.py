"""How many random examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

SEARCH = "search"
"""The profile of `tests/run --all`, in which the examples differ from run to run."""


def examples(count: int) -> int:
    """All of them with --all, a third in the ordinary run, which tries the same ones each time."""
    return count if settings.get_current_profile_name() == SEARCH else count // 3
