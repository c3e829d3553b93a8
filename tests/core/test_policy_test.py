"""Cases of a policy: every way in which the result can differ from what is expected."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from piactl.core.model.establishment import Establishment
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Profile, Service, When
from piactl.trials.policy_test import PolicyCase, case_problems

UAI = "0800009A"
TEACHER = When(fonction=frozenset({"ENS"}), line=3)
POLICY = Policy(
    profiles=(Profile("enseignant", TEACHER, 3),),
    services={
        "mail": Service("mail", "Mail", line=7),
        "livret": Service(
            "livret", "Livret", profiles=frozenset({"enseignant"}), per_establishment=True, line=8
        ),
        "siecle": Service("siecle", "Siècle", profiles=frozenset({"direction"}), line=9),
    },
    file="policy.yaml",
)
REGISTER = {UAI: Establishment(UAI, "Lycée Louis Thuillier")}
CASE = PolicyCase("one", 1, (Assignment(UAI, "ENS", date(2026, 9, 1)),), date(2026, 9, 10))


def problems(case: PolicyCase) -> list[str]:
    return list(case_problems(case, POLICY, REGISTER))


def test_a_case_that_holds() -> None:
    good = replace(
        CASE,
        state="active",
        profiles=("enseignant",),
        services=("mail", f"livret:{UAI}"),
        has=("mail",),
        lacks=("siecle",),
    )
    assert problems(good) == []
    assert problems(CASE) == [], "nothing is asked"


def test_each_difference_from_the_expected_result_is_reported() -> None:
    assert problems(replace(CASE, state="grace")) == [
        f"state: active, not grace; assigned: ENS at {UAI} from 2026-09-01 (policy.yaml:3)"
    ]
    assert problems(replace(CASE, profiles=())) == ["profiles: enseignant, not none"]
    (missing,) = problems(replace(CASE, has=("siecle",)))
    assert missing.startswith("siecle: missing; profile enseignant does not have it")
    assert missing.endswith("(policy.yaml:9)")
    (unexpected,) = problems(replace(CASE, services=("mail",)))
    assert unexpected.startswith(f"livret:{UAI}: not expected; profile enseignant: ENS")
    (present,) = problems(replace(CASE, lacks=("mail",)))
    assert present.endswith("(policy.yaml:7)")


def test_a_wrong_state_before_any_post_and_a_rejected_row_are_reported() -> None:
    (gone,) = problems(replace(CASE, day=date(2020, 1, 1), state="active"))
    assert gone.startswith("state: ")
    unknown = replace(CASE, posts=(Assignment(UAI, "ZZZ", date(2026, 9, 1)),))
    (rejected,) = problems(unknown)
    assert rejected.startswith("the feed row would be rejected: ")
