"""The writes of a plan, and the plan ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from piactl.core.plan.change import LOSING
from piactl.core.plan.guards import Refusal
from piactl.core.plan.plan import Basis
from piactl.core.plan.run_state import LastRun, Waiting
from piactl.directory.port import EntryWrite


@dataclass(frozen=True, slots=True)
class AccountWrite:
    """The one write of one account, with the kinds of change it makes and why, for the journal."""

    uid: str
    kinds: tuple[str, ...]
    reason: str
    write: EntryWrite
    waiting: Waiting | None = None
    """What must be remembered of the person where the write fails and no later feed will tell it again."""

    @property
    def loses(self) -> bool:
        return any(kind in _LOSING_WORDS for kind in self.kinds)


_LOSING_WORDS = frozenset(kind.value for kind in LOSING)


class Writes(Protocol):
    """The writes of accounts in the order in which they are made, gone over as often as wanted: not all of
    them need be in the memory."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[AccountWrite]: ...


@dataclass(frozen=True, slots=True)
class Work:
    """A plan ready to be made true, whether it was just made or read from a file."""

    fingerprint: str
    basis: Basis
    summary: Mapping[str, int]
    refusals: tuple[Refusal, ...]
    writes: Writes
    records: tuple[EntryWrite, ...]
    last: LastRun | None
    undoes: str = ""
    """The run that this plan undoes."""
