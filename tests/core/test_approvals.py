"""Which plans need another person, and which approvals count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from piactl.core.model.guard_limits import Limit
from piactl.core.model.policy import ApprovalRule, Approvals
from piactl.core.plan.approval_rules import ApplyRequest, Approval, reasons, rejection, serving
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import Basis, FeedBasis, Plan

NOW = datetime(2026, 9, 1, 3, tzinfo=UTC)
FEED = FeedBasis("hr", "hr.csv", "f1", None, 10, full=True)
PLAN = Plan(
    Basis((FEED,), "p1", "", "", "", date(2026, 9, 1)),
    refusals=(Refusal("deactivate", "deactivate", 61, 1000, Limit(20, 0.01), "all accounts", (), 61),),
    summary={"deactivate": 61, "archive": 10},
    changes=(
        *(Change(Kind.DEACTIVATE, f"u{n}", "1", {}, {}, "", date(2026, 9, 1)) for n in range(61)),
        *(Change(Kind.ARCHIVE, f"u{n}", "1", {}, {}, "", date(2026, 9, 1)) for n in range(55, 65)),
        Change(Kind.UPDATE, "admin.secours", "2", {}, {}, "", date(2026, 9, 1), protected=True),
    ),
)
REQUEST = ApplyRequest(PLAN, "x1", {"anne"}, {}, ())
YES = Approval("one", "x1", "p1", True, {"deactivate": 61}, ("f1",), "bruno", NOW - timedelta(hours=1), "vu")


@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        (ApprovalRule(refused=frozenset({"any"})), True),
        (ApprovalRule(refused=frozenset({"deactivate"})), True),
        (ApprovalRule(refused=frozenset({"create"})), False),
        (ApprovalRule(kinds=frozenset({"deactivate", "archive"}), more_than=64), True),
        (ApprovalRule(kinds=frozenset({"deactivate", "archive"}), more_than=65), False),
        (ApprovalRule(kinds=frozenset({"create"})), False),
        (ApprovalRule(protected=True), True),
    ],
)
def test_which_plans_need_another_person(rule: ApprovalRule, needs: bool) -> None:
    assert bool(reasons(PLAN, Approvals((rule, rule)))) is needs
    assert len(reasons(PLAN, Approvals((rule, rule)))) <= 1
    if rule.protected:
        assert reasons(PLAN, Approvals((rule,))) == ["changes protected accounts: admin.secours"]
        assert reasons(replace(PLAN, changes=()), Approvals((rule,))) == []


@pytest.mark.parametrize(
    ("approval", "request_", "why"),
    [
        (YES, REQUEST, ""),
        (replace(YES, by="anne"), REQUEST, "made or applies the plan"),
        (replace(YES, by="ANNE"), REQUEST, "made or applies the plan"),
        (replace(YES, policy="p2"), REQUEST, "other limits"),
        (replace(YES, allowed={"deactivate": 60}), REQUEST, "other limits"),
        (replace(YES, at=NOW + timedelta(minutes=2)), REQUEST, "ahead of the clock"),
        (replace(YES, at=NOW - timedelta(hours=24)), REQUEST, "older than 24 hours"),
        (YES, replace(REQUEST, used={"one": "r1"}), "used by run r1"),
        (YES, replace(REQUEST, later=(NOW,)), "another plan was made since"),
        (YES, replace(REQUEST, later=(NOW - timedelta(hours=2),)), ""),
    ],
)
def test_which_approvals_count_for_a_plan_and_why_others_do_not(
    approval: Approval, request_: ApplyRequest, why: str
) -> None:
    serve, not_serving = serving(request_, [approval], Approvals(), NOW)
    assert serve == ([] if why else [approval])
    assert [why in text for text in not_serving] == ([True] if why else [])


def test_two_approvals_by_one_person_count_once() -> None:
    two = [
        replace(YES, by=YES.by.upper()),
        replace(YES, name="two"),
        replace(YES, plan="x2"),
        replace(YES, approved=False),
    ]
    serve, not_serving = serving(REQUEST, two, Approvals(), NOW)
    assert ([approval.name for approval in serve], not_serving) == (["two"], [])


def test_the_last_word_counts() -> None:
    no = replace(YES, approved=False, at=NOW, plan="x2", reason="test")
    about = REQUEST.plan, REQUEST.fingerprint
    assert rejection(*about, [], ()) is None
    assert rejection(*about, [YES], ()) is None
    assert rejection(*about, [YES, no], ()) == no
    assert rejection(*about, [YES, no], no.feeds) is None, "its feeds were applied since"
    assert rejection(*about, [no, replace(YES, at=NOW + timedelta(minutes=1))], ()) is None
    assert rejection(*about, [replace(no, feeds=("f2",))], ()) is None
    assert rejection(*about, [replace(no, feeds=(), plan="x1")], ()) is not None
