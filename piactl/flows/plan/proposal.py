"""What planning yields: the plan with its writes."""

from __future__ import annotations

from dataclasses import dataclass

from piactl.core.plan.plan import Plan
from piactl.core.plan.run_state import Memory
from piactl.directory.port import EntryWrite
from piactl.flows.plan.incremental.next_cache import NextCache
from piactl.flows.plan.rows.bundle import Writes


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with its writes: first those of accounts, then those of piactl's own records."""

    plan: Plan
    writes: Writes
    records: tuple[EntryWrite, ...]
    memory: Memory
    cache: NextCache | None = None
    """The sync cache that the run leaves for the next one."""
