"""Two providers for each worker; every test finds them as on the morning before the night."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .providers.pair import Pair, build_pair, ldaps_too


@pytest.fixture(scope="session")
def built_pair() -> Iterator[Pair]:
    pair = build_pair()
    yield pair
    pair.close()


@pytest.fixture
def pair(built_pair: Pair) -> Pair:
    built_pair.reset()
    return built_pair


@pytest.fixture(scope="session")
def built_tls_pair() -> Iterator[Pair]:
    with ldaps_too():
        pair = build_pair(tls=True)
        yield pair
        pair.close()


@pytest.fixture(params=["ldapi", "ldaps"])
def either_pair(request: pytest.FixtureRequest) -> Pair:
    """Two providers that piactl reaches by ldapi, or by ldaps with a private CA."""
    built: Pair = request.getfixturevalue("built_pair" if request.param == "ldapi" else "built_tls_pair")
    built.reset()
    return built
