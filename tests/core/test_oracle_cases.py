"""Each sentence on the life of an account and on its rights, as a case with its days, counted by hand.

Both readings of the rules must pass them: piactl's own, and the day by day one that it is compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from piactl.core.model.establishment import Establishment
from piactl.core.model.person import Assignment
from piactl.core.model.policy import GraceRule, Policy, Position, Profile, Service, When
from piactl.core.rules.career import career_of

from . import oracle
from .strategies import REGISTER

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The quicker one, if it is there: each worker reads all cases."""
FILES = ("rules-life.yaml", "rules-rights.yaml")
CASES = [
    case
    for name in FILES
    for case in yaml.load((Path(__file__).parent.parent / "cases" / name).read_text("utf-8"), Loader)
]
KEYS = {"case", "why", "services", "policy", "assignments", "closed_on", "expect"}

ESTABLISHMENTS = {
    **REGISTER,
    "0800881Y": Establishment("0800881Y", "École Pigeonnier", "151", "1D", "public"),
}
MESSAGERIE = frozenset({"messagerie"})
NOTHING: frozenset[str] = frozenset()
TEACHING = frozenset({"enseignant"})
HEADS = frozenset({"direction"})
POSITIONS = (
    Position("default"),
    Position("maladie"),
    Position("disponibilite", keeps=NOTHING),
    Position("conge_parental", keeps=MESSAGERIE, login=True),
    Position("mise_a_disposition", keeps=MESSAGERIE, login=False),
    Position("suspension", keeps=NOTHING, lock=True),
    Position("enquete", keeps=MESSAGERIE, lock=True),
    Position("stage", grace=5),
    Position("mission", grace=0),
    Position("retraite", ends=True),
    Position("retraite_longue", ends=True, grace=90),
    Position("radiation", ends=True, grace=0),
    Position("deces", ends=True, grace=0, lock=True),
)
SERVICES = (
    Service("messagerie", "Messagerie", in_grace=True),
    Service("iprof", "I-Prof", TEACHING | HEADS, mutation_delay=2),
    Service("gel", "Gel", mutation_delay=2, keep=False),
    Service("magistere", "M@gistère", grant_delay=3, mutation_delay=3, keep=False),
    Service("pilotage", "Pilotage", HEADS, grant_delay=4, mutation_delay=1, keep=False),
    Service("parcours", "Parcours", grant_delay=3, mutation_delay=5, in_grace=True),
    Service("bulletin", "Bulletin", TEACHING, mutation_delay=5, in_grace=True),
    Service("siecle", "SIECLE", HEADS, per_establishment=True, mutation_delay=1, handover=15),
    Service("stsweb", "STS-Web", HEADS, per_establishment=True, handover=5, in_grace=True),
    Service("pronote", "Notes", TEACHING, per_establishment=True, mutation_delay=5, handover=10),
)
POLICY = Policy(
    grace=(GraceRule(When(corps=frozenset({"776"})), 60), GraceRule(When(), 30)),
    profiles=(
        Profile("enseignant1d", When(fonction=frozenset({"ENS"}), degree=frozenset({"1D"}))),
        Profile("enseignant", When(fonction=frozenset({"ENS"}))),
        Profile("direction", When(fonction=frozenset({"DIR"}))),
        Profile("administratif", When(fonction=frozenset({"ADM"}))),
    ),
    positions={p.name: p for p in POSITIONS},
)

Answers = dict[str, Any]


def read_assignment(text: str) -> Assignment:
    match = re.fullmatch(r"(\S+) (\S+) (\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)?((?: \w+=\w+)*)", text)
    assert match, f"not an assignment: {text}"
    uai, function, start, end, rest = match.groups()
    options = dict(item.split("=") for item in rest.split())
    assert options.keys() <= {"corps", "position", "source"}, text
    return Assignment(
        uai, function, date.fromisoformat(start), date.fromisoformat(end) if end else None, **options
    )


def days(text: str | date) -> list[date]:
    first, _, last = str(text).partition("..")
    begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
    assert begin <= end, f"an empty range of days: {text}"
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def read_policy(case: dict[str, Any]) -> Policy:
    services = {s.name: s for s in SERVICES}
    return replace(
        POLICY,
        services={name: services[name] for name in case.get("services", ("messagerie",))},
        **case.get("policy", {}),
    )


def counts(assignments: Iterable[Assignment]) -> list[str]:
    return sorted(f"{a.uai} {a.start}" for a in assignments)


def rights(entitlements: frozenset[tuple[str, str]]) -> list[str]:
    return sorted(f"{service}@{uai}" if uai else service for service, uai in entitlements)


def by_the_rules(case: dict[str, Any], rows: list[Assignment], asked: list[date]) -> Iterator[Answers]:
    career = career_of(rows, read_policy(case), ESTABLISHMENTS, closed_on=case.get("closed_on"))
    for day in asked:
        yield {
            "state": career.state_on(day).value,
            "rights": rights(career.rights_on(day)),
            "locked": career.locked_on(day),
            "login": career.login_on(day),
            "counts": counts(post.assignment for post in career.posts_on(day)),
            "profiles": sorted(career.profiles_on(day)),
        }


def day_by_day(case: dict[str, Any], rows: list[Assignment], asked: list[date]) -> Iterator[Answers]:
    world = oracle.world(rows, read_policy(case), ESTABLISHMENTS, case.get("closed_on"))
    history = oracle.history(world, min(asked), max(asked))
    for day in asked:
        yield {
            "state": history[day].state.value,
            "rights": rights(history[day].rights),
            "locked": history[day].locked,
            "login": history[day].login,
            "counts": counts(history[day].assignments),
            "profiles": sorted(history[day].profiles),
        }


@pytest.mark.parametrize("reading", [by_the_rules, day_by_day])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_both_readings_of_the_rules_pass_the_case(case: dict[str, Any], reading: Any) -> None:
    assert case.keys() <= KEYS, f"unknown keys {case.keys() - KEYS}"
    assert case["why"], "a case says why"
    assert case["expect"], "a case expects something"
    rows = [read_assignment(text) for text in case["assignments"]]
    expectations = [(day, row) for row in case["expect"] for day in days(row["days"])]
    wrong = []
    for (day, row), answers in zip(
        expectations, reading(case, rows, [day for day, _ in expectations]), strict=True
    ):
        assert len(row) > 1, f"nothing is expected on {row['days']}"
        wrong += [
            f"{day} {key}: {answers[key]}, expected {value}"
            for key, value in row.items()
            if key != "days" and answers[key] != value
        ]
    assert not wrong, "\n".join(wrong[:10])


def test_cases_have_names_of_their_own() -> None:
    names = [case["case"] for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 80
