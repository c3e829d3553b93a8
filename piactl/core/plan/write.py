"""One write of one entry: one value for the plan, the journal, the way to the server and the undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum

from piactl.core.plan.change import LOSING, Change
from piactl.core.plan.state_between_runs import Waiting
from piactl.phrase import Phrase

Values = Mapping[str, tuple[bytes, ...]]
"""Raw values by LDAP attribute name, spelled as requested."""

UNREADABLE: tuple[bytes, ...] = ()
"""In `Write.delete`: the attribute is replaced, whatever it holds, and no undo can put that back."""


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic write of one entry: `op` is add, modify or delete.

    add: `add` is the whole entry. modify: the values of `delete` are removed and those of `add` are added.
    The entry must still hold every value of `delete` and none of `add` (an assertion of RFC 4528),
    else nothing is changed. An attribute that is UNREADABLE in `delete` is replaced, whatever it holds:
    passwords are written like this, because nobody may read them. delete: `delete` are values that the entry
    must still hold.

    The write of an account or a group says what it is for: `uid` of the account, or the name of the group,
    `kinds` of change and `reason`, which the journal and the undo log keep, the `changes` of the plan that it
    makes, and `effective`, the day from which the rules require them, by kind, if it is not the day of the
    run. `waiting`: what to remember of the person if the write fails and no later feed repeats the news.
    `made`: in the undo log, which has few values of a new account, the digest of all of them.
    """

    op: str
    dn: str
    # values are not in the repr of a write, because some are secrets
    add: Values = field(default_factory=dict, repr=False)
    delete: Values = field(default_factory=dict, repr=False)
    uid: str = ""
    kinds: tuple[str, ...] = ()
    reason: str = ""
    changes: tuple[Change, ...] = field(default=(), repr=False)
    effective: Mapping[str, date] = field(default_factory=dict)
    waiting: Waiting | None = field(default=None, repr=False)
    made: str = ""

    @property
    def loses(self) -> bool:
        """Whether it takes something away."""
        return not _LOSING_WORDS.isdisjoint(self.kinds)

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.delete, *self.add)))

    def made_on(self, values: Values) -> Values:
        """The values of an entry after this write; `values` are those before it."""
        result = dict(values)
        for name, gone in self.delete.items():
            remaining = tuple(value for value in result.get(name, ()) if value not in gone) if gone else ()
            if remaining:
                result[name] = remaining
            else:
                result.pop(name, None)
        for name, new in self.add.items():
            result[name] = (*result.get(name, ()), *new)
        return result

    def with_reason(self, uid: str, kinds: tuple[str, ...], reason: str) -> Write:
        """The same write, with what it is for."""
        return replace(self, uid=uid, kinds=kinds, reason=reason)

    def with_changes(
        self,
        uid: str,
        changes: Iterable[Change],
        as_of: date,
        *,
        reason: str = "",
        waiting: Waiting | None = None,
    ) -> Write:
        """The same write, for these changes of a run of the day `as_of`. `reason` is that of the person who
        wants them, instead of that of the first change."""
        changes = tuple(changes)
        days: dict[str, date] = {}
        for change in changes:
            kind = change.kind.value
            days[kind] = min(days.get(kind, change.effective), change.effective)
        return replace(
            self,
            uid=uid,
            kinds=tuple(days),
            reason=reason or changes[0].reason,
            changes=changes,
            effective={kind: day for kind, day in days.items() if day != as_of},
            waiting=waiting,
        )


_LOSING_WORDS = frozenset(kind.value for kind in LOSING)


def texts_of_values(values: Values) -> dict[str, list[str]]:
    """The values as JSON has them. Raises UnicodeDecodeError for one that is no text."""
    return {name: list(map(bytes.decode, of_attribute)) for name, of_attribute in values.items()}


class WriteState(Enum):
    """What an entry shows about a write. UNKNOWN: nothing that can be compared was to change."""

    MADE = "applied"
    NOT_MADE = "not applied"
    CHANGED = "changed since"
    UNKNOWN = Phrase("unknown from the entry")


Tokens = Mapping[str, Set[str | bytes]]
"""What stands for the values of each attribute, by name in lower case: the values, folded, or digests."""


def state_of_write(
    op: str, removed: Tokens, added: Tokens, present: Tokens | None, replaced: Set[str] = frozenset()
) -> WriteState:
    """Whether a write was made, judged by what the entry has of the attributes it names (None: no entry).

    Attributes that cannot be read are in none of these. `replaced`: attributes that the write gives just the
    values of `added`, whatever they were.
    """
    if present is None:
        missing = {"add": WriteState.NOT_MADE, "delete": WriteState.MADE}
        return missing.get(op, WriteState.CHANGED)
    names = {*removed, *added}
    if not names:
        return WriteState.UNKNOWN
    made = unmade = True
    nothing: Set[str | bytes] = frozenset()
    for name in names:
        has, gone, new = (side.get(name, nothing) for side in (present, removed, added))
        if name in replaced:
            made = made and has == new
            continue
        made = made and new <= has and not (gone - new) & has
        unmade = unmade and gone <= has and not (new - gone) & has
    if op == "delete":
        return WriteState.NOT_MADE if unmade else WriteState.CHANGED
    if made:
        return WriteState.MADE
    return WriteState.NOT_MADE if op == "modify" and unmade else WriteState.CHANGED
