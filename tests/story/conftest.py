"""An academy of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from piactl.flows.plan.chunked import chunks as sifting
from tests.conftest import Sandbox

from .academy import Academy


@pytest.fixture(autouse=True)
def in_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --in-batches people are looked at two by two, as they are by some thousands where they are very
    many; every story ends the same."""
    if request.config.getoption("--in-batches"):
        monkeypatch.setattr(sifting, "MANY", 0)
        monkeypatch.setattr(sifting, "BATCH", 2)


@pytest.fixture
def make_academy(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[..., Academy]:
    """Makes academies, each on its own sandbox."""

    def make(*, accesslog: bool = False) -> Academy:
        return Academy(make_sandbox(accesslog=accesslog), tmp_path)

    return make


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    return make_academy()
