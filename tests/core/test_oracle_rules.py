"""The rules and their second reading agree on every day of random lives.

`piactl.core.rules.career` is arithmetic on periods; `oracle` walks day by day. Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from piactl.core.model.account import State
from piactl.core.model.person import Assignment
from piactl.core.rules.career import Career, career_of
from tests.examples import examples

from . import oracle
from .strategies import REGISTER, Life, lives

ORDINARY = settings(
    max_examples=examples(300),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(ORDINARY, max_examples=5_000)


def names(assignments: Iterable[Assignment]) -> list[tuple[str, ...]]:
    """The assignments without their ends, because a retirement cuts these."""
    return sorted(
        (a.uai, a.function, a.start.isoformat(), a.position, a.corps, a.source) for a in assignments
    )


QUESTIONS: dict[str, tuple[Callable[[Career, date], Any], Callable[[oracle.Day], Any]]] = {
    "state": (lambda c, day: c.state_on(day).value, lambda d: d.state.value),
    "rights": (lambda c, day: sorted(c.rights_on(day)), lambda d: sorted(d.rights)),
    "locked": (lambda c, day: c.locked_on(day), lambda d: d.locked),
    "login": (lambda c, day: c.login_on(day), lambda d: d.login),
    "counting": (
        lambda c, day: names(post.assignment for post in c.posts_on(day)),
        lambda d: names(d.assignments),
    ),
    "profiles": (lambda c, day: sorted(c.profiles_on(day)), lambda d: sorted(d.profiles)),
}


def disagreements(life: Life) -> Iterator[str]:
    """Each day and question on which the two readings differ, by day."""
    world = oracle.world(life.assignments, life.policy, REGISTER, life.closed_on)
    days = oracle.history(world, life.first, life.last)
    rules = career_of(life.assignments, life.policy, REGISTER, closed_on=life.closed_on)
    for day, expected in days.items():
        for question, (ask, look) in QUESTIONS.items():
            answer, should = ask(rules, day), look(expected)
            if answer != should:
                yield f"{day} {question}: the rules say {answer}, day by day it is {should}"
    for day, change in oracle.next_changes(days).items():
        answer = rules.next_change(day)
        if answer != change:
            yield f"{day} next_change: the rules say {answer}, day by day it is {change}"


def agree(life: Life) -> None:
    lines = [line for _, line in zip(range(8), disagreements(life), strict=False)]
    assert not lines, "\n".join([*lines, repr(life)])


@ORDINARY
@given(lives())
def test_rules_agree_with_the_day_by_day_reading(life: Life) -> None:
    agree(life)


@pytest.mark.long
@LONG
@given(lives())
def test_rules_agree_on_many_lives(life: Life) -> None:
    agree(life)


@settings(ORDINARY, max_examples=examples(100))
@given(lives())
def test_order_of_the_rows_does_not_matter(life: Life) -> None:
    forward = career_of(life.assignments, life.policy, REGISTER, closed_on=life.closed_on)
    backward = career_of(life.assignments[::-1], life.policy, REGISTER, closed_on=life.closed_on)
    day = life.first
    while day <= life.last:
        for question, (ask, _) in QUESTIONS.items():
            assert ask(forward, day) == ask(backward, day), f"{day} {question} {life!r}"
        day += timedelta(days=1)


@ORDINARY
@given(lives())
def test_a_kept_career_is_the_one_that_was_computed(life: Life) -> None:
    """Somebody with one assignment may get the career that was computed for another one like it."""
    for row in life.assignments:
        computed, kept = (career_of((row,), life.policy, REGISTER) for _ in range(2))
        assert kept == computed


# The comparison can fail: each mistake must be seen in some random life.

MISTAKES: dict[str, tuple[str, Any]] = {
    "counts: no override": ("overrides", lambda b, a: False),
    "counts: the function is not looked at": ("overrides", lambda b, a: b.uai == a.uai and b.start > a.start),
    "continues: adjoining is not enough": (
        "continues",
        lambda b, a: b.uai == a.uai and a.start < b.start and (a.end is None or a.end >= b.start),
    ),
    "follows: the bridge has no end": ("within_bridge", lambda w, b, a: True),
    "follows: the bridge is one day short": (
        "within_bridge",
        lambda w, b, a: (b.start - a.end).days <= w.policy.bridge - 1,
    ),
    "follows: never": ("follows", lambda w, b, a: False),
    "continues nothing: forgotten": ("continues_any", lambda w, b: False),
    "keep: never": ("bridged", lambda *args: False),
    "handover: never": ("handed_over", lambda *args: False),
    "in_grace: never": ("lasts_in_grace", lambda *args: set()),
    "in_grace: prolongs a handover": (
        "lasts_in_grace",
        lambda w, last, service, past: {
            right for right in past[last].rights if service.in_grace and right[0] == service.name
        },
    ),
    "grace: none": ("in_grace", lambda *args: False),
    "anticipated: never": ("near", lambda *args: ()),
    "locked: never": ("locked", lambda *args: False),
    "locked: not after an absence": ("left_by_absence", lambda *args: False),
    "retirement: one day late": (
        "ended_by",
        lambda a, row: (
            a if a.start > row.start or (a.end and a.end <= row.start) else replace(a, end=row.start)
        ),
    ),
    "delay: always as granted": ("delay", lambda w, b, service: service.grant_delay),
}


RARE = {"keep: never": 1, "in_grace: prolongs a handover": 4}
"""The batch that showed a rare mistake: it is tried first, because the ones before it take seconds."""

OFTEN = ("counts: no override", "handover: never", "locked: never", "delay: always as granted")
"""The mistakes that the ordinary run plants; whether the comparison sees all of them, the long run shows."""

Corpus = list[tuple[Life, dict[date, oracle.Day]]]


def days_of(life: Life) -> dict[date, oracle.Day]:
    world = oracle.world(life.assignments, life.policy, REGISTER, life.closed_on)
    return oracle.history(world, life.first, life.last)


BATCH = 50
BATCHES = 60
_drawn: dict[int, Corpus] = {}


def batch(number: int) -> Corpus:
    """Random lives with their right histories, the same for each number. Call it with the real oracle."""
    if number not in _drawn:
        corpus: Corpus = []

        @seed(number)
        @settings(ORDINARY, max_examples=BATCH, database=None, phases=[Phase.generate])
        @given(lives())
        def collect(life: Life) -> None:
            corpus.append((life, days_of(life)))

        collect()
        _drawn[number] = corpus
    return _drawn[number]


@pytest.mark.parametrize(
    "mistake",
    [m if m in OFTEN else pytest.param(m, marks=pytest.mark.long) for m in MISTAKES],
)
def test_random_lives_reveal_each_mistake(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong = MISTAKES[mistake]
    assert callable(getattr(oracle, name))
    for number in (RARE.get(mistake, 0), *range(BATCHES)):
        lives_of_batch = batch(number)
        with monkeypatch.context() as patched:
            patched.setattr(oracle, name, wrong)
            if any(days_of(life) != right for life, right in lives_of_batch):
                return
    pytest.fail(f"{BATCH * BATCHES} random lives do not show the mistake {mistake!r}")


@pytest.mark.long
def test_random_lives_contain_every_state_lock_and_kind_of_right_often() -> None:
    """Every state, lock, refused log in and kind of right occurs often."""
    days = [day for number in range(5) for _, history in batch(number) for day in history.values()]
    for state in State:
        assert sum(day.state is state for day in days) > 150, state
    assert sum(day.locked for day in days) > 150
    assert sum(day.state is State.ON_LEAVE and not day.login for day in days) > 50
    assert sum(day.state is State.GRACE and bool(day.rights) for day in days) > 50
    assert sum(len(day.assignments) > 1 for day in days) > 150
    assert sum(any(uai for _, uai in day.rights) for day in days) > 150
