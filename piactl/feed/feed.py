"""The result of reading a feed: people, rejections and held people."""

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
    """`people`: matricule -> person, for people whose rows are all valid. `held`: matricule -> reason, for
    the others.

    `raw_lines` maps line numbers to the bytes, with line end, of every rejected row and of every row of a
    held person. They and `header` are for the rejects file, and contain NUMENs.
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
    """The canonical columns of the feed. A missing column says nothing; a blank in a column is an empty
    value."""

    remarked: frozenset[str] = frozenset()
    """The matricules with a remark about one of their lines."""

    other_numens: tuple[Numen, ...] = field(default=(), repr=False)
    """NUMENs of rows that contradict others or are broken."""

    def numens(self) -> Iterator[Numen]:
        """Every NUMEN in the feed."""
        yield from self.other_numens
        for person in self.people.values():
            if person.numen is not None:
                yield person.numen

    @property
    def unattributed(self) -> int:
        """The number of rows without a certain owner. If there are any, no absence counts."""
        return self.facts.unattributed

    @property
    def present(self) -> frozenset[str]:
        """Every matricule in the feed, held ones included."""
        return frozenset(self.people) | frozenset(self.held)
