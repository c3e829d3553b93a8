"""An academy of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox

from .academy import Academy


@pytest.fixture
def make_academy(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[..., Academy]:
    """Makes academies, each on its own sandbox."""

    def make(*, accesslog: bool = False) -> Academy:
        return Academy(make_sandbox(accesslog=accesslog), tmp_path)

    return make


@pytest.fixture
def academy(make_academy: Callable[..., Academy]) -> Academy:
    return make_academy()
