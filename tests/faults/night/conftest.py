"""One world for each worker; before every test it is reset to the morning before the night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .building import build_world, end_world
from .world import World


@pytest.fixture(scope="session")
def built_world() -> Iterator[World]:
    world = build_world()
    yield world
    end_world(world)


@pytest.fixture
def world(built_world: World, tmp_path: Path) -> World:
    built_world.reset()
    return built_world
