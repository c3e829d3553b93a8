"""An academy for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from piactl.planning import build_plan
from tests.conftest import Sandbox, preparing
from tests.remembered import kept_folder

from .academy import Academy


@pytest.fixture(autouse=True)
def in_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --in-batches people are evaluated in batches of two, as large populations are in batches of a
    thousand; every story ends the same."""
    if request.config.getoption("--in-batches"):
        monkeypatch.setattr(build_plan, "PEOPLE", 2)


@pytest.fixture
def make_academy(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[..., Academy]:
    """Makes academies, each on its own sandbox: new ones, or as the function `after` leaves them, which is
    called once in a process."""

    def make(
        *, accesslog: bool = False, fresh: bool = False, after: Callable[[Academy], Any] | None = None
    ) -> Academy:
        if after is None:
            return Academy(make_sandbox(accesslog=accesslog, fresh=fresh), tmp_path)
        prepared_academy = _kept(after, accesslog)
        shutil.copytree(prepared_academy.folder, tmp_path, dirs_exist_ok=True)
        sandbox = make_sandbox(accesslog=accesslog, like=prepared_academy.sandbox.folder)
        return Academy(
            sandbox, tmp_path, [*prepared_academy.said], prepared_academy.feeds, prepared_academy.left
        )

    return make


@cache
def _kept(after: Callable[[Academy], Any], accesslog: bool) -> Academy:
    """A stopped academy, as the function leaves it."""
    with preparing(accesslog=accesslog) as sandbox:
        academy = Academy(sandbox, kept_folder())
        academy.left = after(academy)
    return academy


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    return make_academy()
