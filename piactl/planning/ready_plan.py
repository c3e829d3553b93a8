"""A plan ready to run: the plan, the entry writes that carry it out, and the records that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from piactl.core.plan.plan import Plan, Rows
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Write

Writes = Rows[Write]


@dataclass(frozen=True, slots=True)
class ReadyPlan:
    """A plan with its writes, just made or read from a file.

    `writes` are those of accounts, `records` those of piactl's own entries, which follow. `last` is the
    record of the run that carries the plan out. `undo` describes the run that the plan undoes. `fingerprint`
    and `signature` are "" until `signed_plan_file.sealed`. `made_by` are the people behind the plan, as the
    kernel and sudo name them.
    """

    plan: Plan
    writes: Writes
    records: tuple[Write, ...]
    last: LastRun | None
    undo: Mapping[str, Any] | None = None
    fingerprint: str = ""
    made_by: tuple[str, ...] = ()
    signature: str = ""

    @property
    def undoes(self) -> str:
        """The run that this plan undoes, "" for any other plan."""
        return str(self.undo["run"]) if self.undo else ""
