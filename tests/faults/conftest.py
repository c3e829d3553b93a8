"""Two providers for each worker; every test finds them as on the morning before the night."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .providers.pair import Pair, build_pair


@pytest.fixture(scope="session")
def built_pair() -> Iterator[Pair]:
    pair = build_pair()
    yield pair
    pair.close()


@pytest.fixture
def pair(built_pair: Pair) -> Pair:
    built_pair.reset()
    return built_pair
