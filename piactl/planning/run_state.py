"""What earlier runs left in the directory for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from piactl.core.plan.state_between_runs import Memory
from piactl.core.rules.desired_account import Rules
from piactl.directory.probe.schema_check import refuse_older_server
from piactl.directory.store.account_list import Listed, account_list_in
from piactl.directory.store.base_digest import LAYOUT
from piactl.directory.store.rare_entries import RareEntries, read_rare_entries
from piactl.directory.store.record_entries import (
    CASES,
    LISTS,
    SOURCES,
    WAITING,
    Records,
    UnreadableRecords,
    read_records,
)
from piactl.directory.store.state_records import Remembered, memory_in
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.linked_matricules import LinkedMatricules, linked_matricules
from piactl.planning.lost_zeros import Slips


@dataclass(frozen=True, slots=True)
class RunState:
    """The records that earlier runs left in the directory."""

    remembered: Remembered
    linked: LinkedMatricules = field(default_factory=LinkedMatricules)
    listed: Mapping[str, Listed] = field(default_factory=dict, repr=False)
    """The accounts that existed at the end of the last night, by uid."""
    first_owners: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The names that lost runs gave, each with what tells its first owner."""
    drift_waits: bool = False
    """Whether what other programs changed stays, because a guard of drift is broken."""
    rare: RareEntries = field(default_factory=RareEntries, repr=False)
    slips: Slips = field(default_factory=dict)
    """The matricules in the feeds that differ from known ones only by leading zeros, with the known ones."""

    @property
    def memory(self) -> Memory:
        """The memory of earlier runs, under the first matricule of each person."""
        return self.linked.memory(self.remembered.memory)

    @property
    def seals(self) -> bool:
        """Whether some accounts may have no sealed base: until a run of this version has ended well."""
        last = self.remembered.memory.last
        return last is None or last.layout < LAYOUT

    def remembering(self, **found: Any) -> RunState:
        """The state with these fields of its memory."""
        memory = replace(self.remembered.memory, **found)
        return replace(self, remembered=replace(self.remembered, memory=memory))


def read_run_state(accounts: ManagedAccounts, rules: Rules, unreadable: UnreadableRecords) -> RunState:
    """The state for a run as it is now. Raises SchemaLacking for a server that is too old, and what
    `memory_in` raises."""
    refuse_older_server(accounts.reader)
    state = accounts.directory.state
    records = read_records(accounts.reader, state, SOURCES, WAITING, beginning=(CASES, LISTS))
    return run_state(records, read_rare_entries(*accounts), rules, unreadable)


def run_state(records: Records, rare: RareEntries, rules: Rules, unreadable: UnreadableRecords) -> RunState:
    """The state for a run from these records and accounts. Raises what `memory_in` raises."""
    remembered = memory_in(records, rules.keys, unreadable)
    account_list = account_list_in(records, unreadable)
    listed, owners = dict(account_list.accounts()), account_list.first_owners()
    return RunState(remembered, linked_matricules(rare), listed, owners, rare=rare)
