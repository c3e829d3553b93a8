"""A plan with the night's database and without it, and of people who are evaluated one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from piactl.planning import build_plan
from piactl.planning.night_db import FILE

from .academy import Academy


def known(academy: Academy) -> Path:
    """The night's database."""
    return academy.sandbox.folder / "state" / FILE


def both(academy: Academy, day: str, *feeds: Path) -> tuple[Any, Any]:
    """The plan with the database, and the one without it of people who are evaluated one by one."""
    fast = academy.run("plan", *feeds, "--as-of", day, "-o", "json")
    saved = known(academy).read_bytes() if known(academy).exists() else None
    known(academy).unlink(missing_ok=True)
    with one_by_one():
        slow = academy.run("plan", *feeds, "--as-of", day, "-o", "json")
    if saved is not None:
        known(academy).write_bytes(saved)
    assert (fast.code, fast.err) == (slow.code, slow.err)
    return (json.loads(fast.out), json.loads(slow.out)) if fast.out else ({}, {})


@contextmanager
def one_by_one() -> Iterator[None]:
    """Inside, nobody is evaluated with others, except people who share a trace."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build_plan, "PEOPLE", 1)
        yield


def same(academy: Academy, day: str, *feeds: Path) -> Any:
    """The plan of a night, which must not depend on what is known, nor on who is evaluated with whom."""
    fast, slow = both(academy, day, *feeds)
    assert fast == slow
    return slow
