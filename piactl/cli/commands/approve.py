"""`approve`, `reject`: a second person says yes or no to a plan."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.commands.plan import read_plan_file
from piactl.cli.framework.context import put_text, this_configuration, writing
from piactl.cli.framework.options import Reason, need_reason
from piactl.cli.framework.run_context import new_order, run_of
from piactl.core.model.settings import IdentityName
from piactl.exit_codes import Exit

PlanFile = Annotated[
    str, typer.Argument(metavar="PLAN", help="The file of the plan; - is stdin.", show_default=False)
]


def approve(file: PlanFile, reason: Reason = "") -> int:
    """Approve a plan that another person made, so that it can be applied.

    The policy says which plans need that (`approvals`). Read the plan first: `plan show PLAN`. An approval is
    for this plan alone, with the guards that it breaks and their numbers. It serves once, for the hours that
    the policy says, until another plan is made. The person who made the plan cannot approve it, and the
    person who approves it cannot apply it. Exit codes: 0 approved, 4 refused: you made the plan.
    """
    return _answer(file, reason, approved=True)


def reject(file: PlanFile, reason: Reason = "") -> int:
    """Reject a plan: neither it nor another plan with one of its feeds is applied.

    A later approval of a plan ends the rejection for that plan.
    """
    return _answer(file, reason, approved=False)


def _answer(file: str, reason: str, *, approved: bool) -> int:
    from piactl.flows.apply.approvals import answer_plan

    need_reason(reason, "approve" if approved else "reject", ["a reason"])
    configuration = this_configuration()
    ready = read_plan_file(file, configuration)
    order = new_order(configuration, ready.plan.basis.as_of, reason)
    with (
        writing(configuration, IdentityName.APPROVER) as writer,
        run_of(configuration, order).beside(writer) as run,
    ):
        one = answer_plan(run, ready, configuration.policy.approvals, approved=approved)
    short = ready.fingerprint[:12]
    if not approved:
        put_text([f"plan {short}: rejected by {one.by}; its feeds are not applied\n"])
        return int(Exit.DONE)
    hours = configuration.policy.approvals.hours
    put_text([f"plan {short}: approved by {one.by} for {hours} hours; another person applies it\n"])
    return int(Exit.DONE)
