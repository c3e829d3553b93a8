"""Fixtures of the tests of the journal, which import them by name."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from piactl.core.plan.write import Write
from piactl.journal import Actor, Journal, Order

JournalMaker = Callable[..., Journal]
DAY = date(2027, 9, 1)


def keyed(text: str) -> str:
    """Replaces a keyed digest."""
    return "{k1}" + hashlib.sha256(b"a key" + text.encode()).hexdigest()


def intended(uid: str, **fields: Any) -> Write:
    facts: dict[str, Any] = {"op": "modify", "kinds": ("grant",), "reason": "feed line 12"}
    facts["dn"] = f"uid={uid},ou=personnels EN,ou=ac-amiens,ou=education,o=gouv,c=fr"
    facts["add"] = {"eduPersonEntitlement": (b"urn:mace:ac-amiens.fr:service:iprof",)}
    return Write(uid=uid, **{**facts, **fields})


@pytest.fixture
def journal_path(tmp_path: Path) -> str:
    return str(tmp_path / "log" / "piactl.jsonl")


@pytest.fixture
def make_journal(journal_path: str) -> Iterator[JournalMaker]:
    """Makes journals of one file, not yet begun, whose clock moves one second per line; closes them all."""
    ticks = itertools.count()
    made: list[Journal] = []

    def make(run: str = "run-1", path: str = "", **options: Any) -> Journal:
        actor = Actor("svc-piactl", options.pop("sudo_user", ""), "", "cron", "host.invalid", 4242)
        command = options.pop("command", ("piactl", "nightly"))
        journal = Journal(
            path or journal_path,
            now=lambda: datetime(2027, 9, 1, tzinfo=UTC) + timedelta(seconds=next(ticks)),
            digest=keyed,
            secret=("userPassword", "oathSecret"),
            order=Order(run, DAY, DAY, False, command, actor, "policy-fp"),
            **options,
        )
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close()


@pytest.fixture
def intend() -> Callable[..., Write]:
    return intended


@pytest.fixture
def digest() -> Callable[[str], str]:
    return keyed
