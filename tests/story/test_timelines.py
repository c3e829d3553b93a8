"""Random lives are loaded in one feed, and shown day by day as the independent reading expects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from piactl.cli.framework.configuration import open_configuration
from piactl.core.model.account import State
from piactl.core.model.person import Assignment
from tests.core import oracle

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, THUILLIER, row
from .test_forecast import kinds, same

FIRST = date(2027, 2, 1)
"""All starts are on or after this day, so that every life is loaded while its account can still be made."""

UAIS = (THUILLIER, MICHELIS, MARESCHAL, "0800881Y", "0809901C")
FUNCTIONS = ("ENS", "DIR", "EDU", "ADM")
POSITIONS = ("", "", "", "conge_parental", "disponibilite", "suspension", "detachement", "retraite", "deces")


@st.composite
def lives(draw: st.DrawFn) -> tuple[Assignment, ...]:
    """One to four posts of one person; starts and ends touch, overlap or miss each other by a day."""
    rows: dict[tuple[str, str, date], Assignment] = {}
    edges = [0]
    for number in range(draw(st.integers(1, 4))):
        near = st.sampled_from(edges).flatmap(
            lambda edge: st.sampled_from((-1, 0, 1, 2, 31, 59, 60, 61)).map(lambda gap: max(0, edge + gap))
        )
        start = draw(near | st.integers(0, 120)) if number else draw(st.integers(0, 14))
        length = draw(st.none() | st.integers(0, 5) | st.integers(6, 90))
        edges += [start] if length is None else [start, start + length]
        post = Assignment(
            uai=draw(st.sampled_from(UAIS)),
            function=draw(st.sampled_from(FUNCTIONS)),
            start=FIRST + timedelta(days=start),
            end=None if length is None else FIRST + timedelta(days=start + length),
            corps=draw(st.sampled_from(("553", "776"))),
            # the first post opens the account, whatever follows
            position=draw(st.sampled_from(POSITIONS)) if number else "",
        )
        rows.setdefault((post.uai, post.function, post.start), post)
    return tuple(rows.values())


def lines(number: int, life: Iterable[Assignment]) -> list[str]:
    return [
        row(
            matricule=str(7000 + number),
            prenom="Alix",
            nom_famille="Vie" + "".join(chr(97 + int(digit)) for digit in f"{number:03}"),
            uai=a.uai,
            fonction=a.function,
            debut=a.start.isoformat(),
            fin=a.end.isoformat() if a.end else "",
            corps=a.corps,
            position=a.position,
        )
        for a in life
    ]


def shown_rights(view: Any, day: date) -> frozenset[oracle.Right]:
    """The rights on one day by the from and to of the entitlements."""
    today = day.isoformat()
    return frozenset(
        (e["service"], e["uai"] or "")
        for e in view["entitlements"]
        if e["from"] <= today and (e["to"] is None or today <= e["to"])
    )


def shown_login(view: Any, day: date) -> bool:
    today = day.isoformat()
    return (view["login_from"] or today) <= today <= (view["login_until"] or today)


def interesting(history: dict[date, oracle.Day], first: date) -> list[date]:
    """The days on which anything changes, the days before them, and a few others."""
    days = sorted(day for day in history if day >= first)
    edges = {day for day, after in pairwise(days) if history[day] != history[after]}
    edges |= {day + timedelta(days=1) for day in edges}
    return sorted(edges | set(days[::29]))


def check(academy: Academy, many: list[tuple[Assignment, ...]]) -> int:
    """Loads everybody at once; returns how many pairs (person, day) were compared."""
    feed = academy.feed(
        *(line for number, life in enumerate(many) for line in lines(number, life)), day="2027-02-01"
    )
    academy.twice("2027-02-01", feed)
    names = academy.names()
    configuration = open_configuration(academy.sandbox.config)
    compared = 0
    asked: dict[date, dict[str, oracle.Day]] = {}
    for number, life in enumerate(many):
        world = oracle.world(life, configuration.policy, configuration.register)
        last = max(a.end or a.start for a in life) + timedelta(days=configuration.policy.retention + 65)
        history = oracle.history(world, FIRST, last)
        made = history[FIRST].state in (State.ACTIVE, State.ON_LEAVE, State.ANTICIPATED)
        assert (str(7000 + number) in names) == made, life
        if not made:
            continue
        for day in interesting(history, FIRST):
            asked.setdefault(day, {})[names[str(7000 + number)]] = history[day]
    for day, people in sorted(asked.items()):
        ran = academy.run(
            "account", "show", "-", "--as-of", day.isoformat(), "-o", "json", stdin="\n".join(people)
        )
        views = [ran.json] if len(people) == 1 else ran.json
        for view, (uid, expected) in zip(views, people.items(), strict=True):
            life = many[int(view["matricule"]) - 7000]
            where = f"{uid} on {day}: {life}"
            assert view["uid"] == uid
            assert view["state"] == expected.state.value, where
            assert view["locked"] == expected.locked, where
            assert shown_rights(view, day) == expected.rights, where
            assert shown_login(view, day) == expected.login, where
            compared += 1
    return compared


def collected(number: int) -> list[tuple[Assignment, ...]]:
    """A fixed series of random lives; the sandbox is loaded once for all of them."""
    series: list[tuple[Assignment, ...]] = []

    @settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(lives())
    def collect(life: tuple[Assignment, ...]) -> None:
        series.append(life)

    collect()
    return series


def test_account_show_agrees_with_the_oracle_on_any_day(academy: Academy) -> None:
    assert check(academy, collected(14)) > 100


@pytest.mark.long
def test_account_show_of_many_people_agrees_with_the_oracle(academy: Academy) -> None:
    assert check(academy, collected(300)) > 3000


@pytest.mark.parametrize(
    ("number", "days"),
    [pytest.param(8, 120, id="few"), pytest.param(60, 330, marks=pytest.mark.long, id="many")],
)
def test_the_forecast_of_random_lives_equals_their_nights(academy: Academy, number: int, days: int) -> None:
    rows = [line for n, life in enumerate(collected(number)) for line in lines(n, life)]
    academy.night(FIRST.isoformat(), academy.feed(*rows, day=FIRST.isoformat()))
    first, last = (FIRST + timedelta(days=ahead) for ahead in (1, days))
    forecast = same(academy, first.isoformat(), last.isoformat())
    assert len(forecast) > 5 * number
    assert kinds(forecast) >= {"update", "grant", "revoke", "suspend", "reopen", "deactivate", "archive"}


def test_the_directory_holds_what_was_foretold(academy: Academy) -> None:
    """Night after night the entry has what `account show` said about that day at the start."""
    many = collected(12)
    feed = academy.feed(*(line for n, life in enumerate(many) for line in lines(n, life)), day="2027-02-01")
    academy.night("2027-02-01", feed)
    uids = sorted(academy.names().values())
    configuration = open_configuration(academy.sandbox.config)
    prefix = configuration.policy.urn
    days = [FIRST + timedelta(days=offset) for offset in range(0, 260, 20)]
    foretold = {
        day: academy.run(
            "account", "show", "-", "--as-of", day.isoformat(), "-o", "json", stdin="\n".join(uids)
        ).json
        for day in days
    }
    seen = set()
    for day in days:
        if day > FIRST:
            academy.nights(day.isoformat())
        entries = academy.accounts()
        for view in foretold[day]:
            entry = entries[academy.dn(view["uid"])]
            seen.add(view["state"])
            assert entry["piactlState"][0].decode() == view["state"], (view["uid"], day)
            urns = {urn.decode().removeprefix(prefix) for urn in entry.get("eduPersonEntitlement", [])}
            rights = {":".join(filter(None, right)) for right in shown_rights(view, day)}
            assert urns == rights, (view["uid"], day)
    assert {"active", "grace", "deactivated", "archived"} <= seen


def nights_alone(academy: Academy, many: list[tuple[Assignment, ...]], step: int) -> int:
    """Runs nights for what is due, each followed by a look at everything, which must find nothing to do."""
    rows = [line for number, life in enumerate(many) for line in lines(number, life)]
    academy.night("2027-02-01", academy.feed(*rows, day="2027-02-01"))
    moved = 0
    academy.allow_up_to(
        2 * len(many), "update", "grant", "revoke", "lock", "profile_growth", "service_growth"
    )
    for offset in range(1, 300, step):
        day = (FIRST + timedelta(days=offset)).isoformat()
        moved += sum(academy.night(day).json["summary"].values())
        plan = academy.plan(academy.feed(*rows, day=day), "--as-of", day)
        assert plan["changes"] == [], day
    return moved


@pytest.mark.long
def test_due_nights_leave_nothing_to_a_full_one_for_many(academy: Academy) -> None:
    academy.allow_up_to(200)  # so many posts end in a few days that a guard would stop it
    assert nights_alone(academy, collected(200), 1) > 500
