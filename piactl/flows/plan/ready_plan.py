"""A plan ready to run: the plan, the entry writes that carry it out, and the records that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from piactl.core.plan.change import LOSING
from piactl.core.plan.plan import Plan, Rows
from piactl.core.plan.run_state import LastRun, Waiting
from piactl.directory.port import EntryWrite


@dataclass(frozen=True, slots=True)
class AccountWrite:
    """The one write of one account, with the kinds of change it makes and the reason for the journal."""

    uid: str
    kinds: tuple[str, ...]
    reason: str
    write: EntryWrite
    waiting: Waiting | None = None
    """What to remember of the person if the write fails and no later feed repeats the news."""
    effective: Mapping[str, date] = field(default_factory=dict)
    """The day from which the rules require the changes, by kind, if it is not the day of the run."""

    @property
    def loses(self) -> bool:
        return any(kind in _LOSING_WORDS for kind in self.kinds)


_LOSING_WORDS = frozenset(kind.value for kind in LOSING)

Writes = Rows[AccountWrite]


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
    records: tuple[EntryWrite, ...]
    last: LastRun | None
    undo: Mapping[str, Any] | None = None
    fingerprint: str = ""
    made_by: tuple[str, ...] = ()
    signature: str = ""

    @property
    def undoes(self) -> str:
        """The run that this plan undoes, "" for any other plan."""
        return str(self.undo["run"]) if self.undo else ""
