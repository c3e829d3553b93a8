"""A first load in transactions: as one of single writes leaves it, also where piactl is killed in the middle.

A slapd that ends with the connection (2.6.10 can, see `directory/transactions.py`) is started again, as an
administrator would.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .building import build_migration, end_world
from .moments import wait_for_lines
from .survival import check_directory, check_half, check_journal, check_nothing_left_to_do, check_survived
from .world import World, _runs

PEOPLE = 1500
EXTENDED = "cn=Extended,cn=Operations,cn=Monitor"


@pytest.fixture(scope="module")
def migration() -> Iterator[World]:
    world = build_migration(PEOPLE)
    yield world
    end_world(world)


@pytest.fixture
def together(migration: World) -> Path:
    """The configuration that asks for transactions; the directory is without accounts."""
    migration.reset()
    return migration.configure("together.yaml", directory__transactions="first-migration")


def extended_requests(world: World) -> int:
    """How many slapd was asked since it was started: a transaction takes two."""
    return int(world.entries(EXTENDED)[EXTENDED]["monitorOpCompleted"][0])


@pytest.mark.long
def test_a_first_load_in_transactions_is_the_same(migration: World, together: Path) -> None:
    ended = migration.run(migration.night(config=together))
    assert ended.code == 0, ended.said
    assert 6 <= extended_requests(migration) <= 20
    check_directory(migration)
    check_journal(migration)
    check_nothing_left_to_do(migration)


@pytest.mark.long
def test_piactl_killed_in_the_middle_of_a_first_load(migration: World, together: Path) -> None:
    rng = random.Random(5805)
    ends = Counter[str]()
    for number in range(12):
        migration.reset()
        process = migration.spawn(migration.night(config=together))
        # the intents of the hundreds after the first, which are sent singly
        if wait_for_lines(migration, process, rng.choice([303, 403, 503, 1003, 1203])):
            time.sleep(rng.uniform(0, 0.12) * migration.seconds)
        process.kill()
        process.communicate(timeout=20)
        struck = process.returncode == -signal.SIGKILL
        time.sleep(0.5)  # slapd notices, goes on or ends
        slapd = "slapd went on" if _runs(migration.pid) else "slapd ended"
        migration.kill_slapd()
        migration.start_slapd()
        done = check_half(migration)
        lock = migration.lock()
        check_survived(migration, str(lock["run"]) if lock else "")
        ends["struck" if struck else "too late"] += 1
        print(f"{number}: {len(done)} of {len(migration.changed)} made, {slapd}")
    assert ends["struck"] >= 8
    check_nothing_left_to_do(migration)
