"""An academy of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.flows.plan import chunks
from tests.conftest import Sandbox

from .academy import Academy


@pytest.fixture(autouse=True)
def in_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --in-batches people are evaluated in chunks of two, as they are in chunks of some thousands where
    there are more; every story ends the same."""
    if request.config.getoption("--in-batches"):
        monkeypatch.setattr(chunks, "FEWEST", 0)
        monkeypatch.setattr(chunks, "SIZE", 2)


@pytest.fixture
def make_academy(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[..., Academy]:
    """Makes academies, each on its own sandbox."""

    def make(*, accesslog: bool = False, fresh: bool = False) -> Academy:
        return Academy(make_sandbox(accesslog=accesslog, fresh=fresh), tmp_path)

    return make


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    return make_academy()
