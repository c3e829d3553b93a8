"""One world for each worker; every test finds it as on the morning before the night."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .world import World, build_world, end_world


@pytest.fixture(scope="session")
def built_world() -> Iterator[World]:
    world = build_world()
    yield world
    end_world(world)


@pytest.fixture
def world(built_world: World) -> World:
    built_world.reset()
    return built_world
