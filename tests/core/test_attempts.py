"""How long to wait after wrong checks, what an activation password looks like, and when it ends."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from piactl.core.credentials.passwords import (
    ALPHABET,
    GROUPS,
    LENGTH,
    new_activation_password,
    valid_until,
)
from piactl.core.credentials.proofs import Attempts, all_open_at, recent, wait_after

NOW = datetime(2026, 9, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "wait"),
    [
        (0, timedelta()),
        (4, timedelta()),
        (5, timedelta(minutes=1)),
        (6, timedelta(minutes=2)),
        (15, timedelta(minutes=1024)),
        (16, timedelta(days=1)),
        (1_000_000, timedelta(days=1)),
    ],
)
def test_the_wait_grows_to_a_day(failures: int, wait: timedelta) -> None:
    assert wait_after(failures) == wait


def test_waits_begin_at_five_failures_and_are_forgotten_after_a_week() -> None:
    attempts = Attempts()
    for _ in range(5):
        assert attempts.remembered(NOW).open_at is None
        attempts = attempts.failed(NOW)
    assert attempts.open_at == NOW + timedelta(minutes=1)
    attempts = attempts.failed(NOW + timedelta(minutes=1))
    assert attempts.open_at == NOW + timedelta(minutes=3)
    assert attempts.remembered(NOW + timedelta(days=6)).failures == 6
    assert attempts.remembered(NOW + timedelta(days=8)) == Attempts()


def test_the_failures_of_all_accounts_count_for_an_hour() -> None:
    times = [NOW - timedelta(minutes=minutes) for minutes in (10, 59, 60, 90, 1)]
    assert recent(times, NOW) == tuple(NOW - timedelta(minutes=minutes) for minutes in (59, 10, 1))
    assert all_open_at(recent(times, NOW), 4) is None
    assert all_open_at(recent(times, NOW), 3) == NOW + timedelta(minutes=1)
    assert all_open_at(recent(times, NOW), 2) == NOW + timedelta(minutes=50)


def test_an_activation_password_is_hard_to_guess_and_easy_to_read() -> None:
    assert GROUPS * LENGTH * math.log2(len(set(ALPHABET))) >= 80
    assert not set(ALPHABET) & set("0o1li5saeiouyABCDEFGHIJKLMNOPQRSTUVWXYZ")
    drawn = [new_activation_password(secrets.choice) for _ in range(500)]
    texts = {code.reveal() for code in drawn}
    assert len(texts) == 500
    assert all([len(group) for group in text.split("-")] == [LENGTH] * GROUPS for text in texts)
    assert {char for text in texts for char in text} == {*ALPHABET, "-"}


def test_str_and_repr_do_not_show_an_activation_password() -> None:
    code = new_activation_password(secrets.choice)
    assert code.reveal() not in f"{code} {code!r} {[code]}"


def test_validity_of_an_activation_password_begins_when_the_account_opens() -> None:
    assert valid_until(NOW, None, 72) == NOW + timedelta(days=3)
    assert valid_until(NOW, NOW - timedelta(days=9), 72) == NOW + timedelta(days=3)
    assert valid_until(NOW, NOW + timedelta(days=9), 72) == NOW + timedelta(days=12)
