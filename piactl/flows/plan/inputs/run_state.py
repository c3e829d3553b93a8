"""What earlier runs left in the directory, read once in a run and passed on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from piactl.core.plan.run_state import LastRun, Memory
from piactl.directory.port import Reader
from piactl.directory.store.memory_records import Remembered, read_memory
from piactl.flows.site import Site


@dataclass(frozen=True, slots=True)
class RunState:
    """The records of earlier runs. `due_only`: the run has no feed and nothing but the date has changed since
    the last run, so only the accounts and the people in waiting that are due were or will be read."""

    remembered: Remembered
    due_only: bool

    @property
    def memory(self) -> Memory:
        return self.remembered.memory


def read_run_state(reader: Reader, site: Site, as_of: date, *, feeds: bool) -> RunState:
    """The state for a run with or without `feeds`. Raises what `read_memory` raises."""
    due_only = False

    def due(last: LastRun | None) -> date | None:
        nonlocal due_only
        due_only = not feeds and _only_the_date_changed(reader, site, last)
        return as_of if due_only else None

    remembered = read_memory(reader, site.settings.directory.state, site.keys, site.unreadable, due=due)
    return RunState(remembered, due_only)


def _only_the_date_changed(reader: Reader, site: Site, last: LastRun | None) -> bool:
    return (
        last is not None
        and last.clean
        and last.policy == site.policy.digest
        and last.register == site.register_digest
        and last.otp_schema == site.encoding_for(reader).otp_schema
    )
