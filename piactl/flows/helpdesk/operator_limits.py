"""How many activation passwords and devices each operator gave out today, and the guards on it.

The counts are one record in the directory, so those of another host count too. A command is counted by
compare-and-swap before it writes: of two at once, only one takes what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from piactl.core.model.account import Account
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.guards import Refusal, operation_refusals
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory.port import Reader, Writer
from piactl.directory.store.records import (
    DATA,
    Record,
    UnreadableRecords,
    number_of,
    stored,
    text_of,
)
from piactl.directory.store.state_records import read_last
from piactl.errors import UnsafePlan
from piactl.flows.accounts.batch import Batch, PreparedAccount
from piactl.flows.accounts.owner_notices import OwnerNotice, owner_notice
from piactl.flows.helpdesk.identity_check_limit import change_record, operations_dn

Counts = Mapping[str, Mapping[str, int]]
"""Operations of a day by operator and operation."""


@dataclass(frozen=True, slots=True)
class OperationGuard:
    """Counts what `operator` does on a day; `allowed` approves by kind of guard."""

    settings: Settings
    policy: Policy
    day: date
    operator: str
    allowed: Mapping[str, int]
    unreadable: UnreadableRecords

    @property
    def _state(self) -> str:
        return self.settings.directory.state

    def notice(self, account: Account, operation: str) -> OwnerNotice:
        """What the notice to the owner of an account says of an operation."""
        return owner_notice(account, operation, self.settings.password.holdoff_days, self.day)

    def guarded(self, reader: Reader, operation: str, accounts: tuple[PreparedAccount, ...]) -> Batch:
        """The batch of these accounts, each of whose writes is one operation, with the guards it breaks."""
        uids = [account.uid for account in accounts if account.write is not None]
        data = stored(reader.read(operations_dn(self._state), [DATA]))
        broken = self._refusals(reader, operation, uids, self._counts(data))
        return Batch(accounts, tuple(broken), self._reservation(operation, uids) if uids else None)

    def _reservation(self, operation: str, uids: Sequence[str]) -> Callable[[Writer], None]:
        def reserve(writer: Writer) -> None:
            def more(data: bytes | None) -> Record:
                counts = self._counts(data)
                if self._refusals(writer, operation, uids, counts, self.allowed):
                    raise UnsafePlan(
                        f"{counted(len(uids), 'account')}: another command used up what was left "
                        "of today; nothing was written. Repeat it to see the guard"
                    )
                own = counts.get(self.operator, {})
                own = {**own, operation: own.get(operation, 0) + len(uids)}
                return {"day": self.day.isoformat(), "operators": {**counts, self.operator: own}}

            change_record(writer, operations_dn(self._state), more)

        return reserve

    def _refusals(
        self,
        reader: Reader,
        operation: str,
        uids: Sequence[str],
        counts: Counts,
        allowed: Mapping[str, int] | None = None,
    ) -> list[Refusal]:
        last = read_last(reader, self._state, self.unreadable)
        earlier = (
            counts.get(self.operator, {}).get(operation, 0),
            sum(own.get(operation, 0) for own in counts.values()),
        )
        accounts = last.census.total if last else 0
        return operation_refusals(operation, uids, earlier, accounts, self.policy, self.day, allowed)

    def _counts(self, data: bytes | None) -> Counts:
        """The counts of the day in a record; empty for those of another day, or if they cannot be read."""
        if data is None:
            return {}
        counts = self.unreadable.read(operations_dn(self._state), data, read_operations)
        return counts[1] if counts and counts[0] == self.day else {}


def read_operations(record: Record) -> tuple[date, Counts]:
    """The day and the counts of a record. Raises KeyError, ValueError."""
    counts = {
        operator: {operation: number_of(own, operation) for operation in own}
        for operator, own in record["operators"].items()
    }
    return date.fromisoformat(text_of(record, "day")), counts
