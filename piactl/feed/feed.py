"""One feed that was read: who is in it, what was rejected, who is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from piactl.core.model.numen import Numen
from piactl.core.model.person import Person
from piactl.core.plan.feed_limits import FeedFacts
from piactl.core.plan.plan import Rejection
from piactl.feed.warnings import Remark


@dataclass(frozen=True, slots=True)
class Feed:
    """`people` by matricule are those all of whose rows were understood; `held` says why of the others.

    `raw_lines` are the bytes, with their ends, of every rejected row and of every row of a held person,
    by line; like `header` they are for the rejects file, and they hold NUMENs.
    """

    facts: FeedFacts
    people: Mapping[str, Person] = field(repr=False)
    rejections: tuple[Rejection, ...]
    held: Mapping[str, str]
    remarks: tuple[Remark, ...]
    delimiter: str
    encoding: str
    is_rejects: bool = False
    header: bytes = field(default=b"", repr=False)
    raw_lines: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    columns: frozenset[str] = frozenset()
    """The canonical columns that it has: a blank in one is no value, of another it says nothing."""

    remarked: frozenset[str] = frozenset()
    """The matricules with lines that a remark is about."""

    other_numens: tuple[Numen, ...] = field(default=(), repr=False)
    """NUMENs of rows that contradict others or are broken."""

    def numens(self) -> Iterator[Numen]:
        """Every NUMEN that was read."""
        yield from self.other_numens
        for person in self.people.values():
            if person.numen is not None:
                yield person.numen

    @property
    def unattributed(self) -> int:
        """How many rows could not be told whose they are; then no absence means anything."""
        return self.facts.unattributed

    @property
    def present(self) -> frozenset[str]:
        """Every matricule that the feed names, held ones included."""
        return frozenset(self.people) | frozenset(self.held)
