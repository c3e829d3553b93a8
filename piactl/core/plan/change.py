"""The steps of a plan, each with its reason, and the kinds of change and of guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum


class Kind(Enum):
    """The kinds of change, the same words in plans, guards and reports."""

    DRIFT = "drift"
    IDENTITY = "identity"
    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    RENAME = "rename"
    GRANT = "grant"
    REVOKE = "revoke"
    SUSPEND = "suspend"
    REOPEN = "reopen"
    DEACTIVATE = "deactivate"
    ARCHIVE = "archive"
    LOCK = "lock"
    UNLOCK = "unlock"
    GROUP = "group"


LOSING = frozenset({Kind.REVOKE, Kind.SUSPEND, Kind.DEACTIVATE, Kind.ARCHIVE, Kind.LOCK})
"""Kinds that take something away: accounts with one of them are written first."""

GROWTH = {"profile": "profile_growth", "service": "service_growth"}
OTHER = {name: f"other_{name}" for name in ("establishment", "function", "details", "name")}
END = "end"
"""In `Effect.other`: the guard `update` counts it."""
HELD = "held"
LOOSENING = "loosening"
OF_DRIFT = frozenset({Kind.DRIFT.value, LOOSENING})
"""The guards that count what other programs did. If only these are broken, nights hold that back alone."""
WINDOW = {kind.value: f"{kind.value}_window" for kind in Kind if kind in LOSING}
"""The guard on several days, by kind of loss."""
PASSWORD, DEVICE = "password", "device"
OPERATIONS = {
    operation: (operation, f"{operation}_operator", f"{operation}_day") for operation in (PASSWORD, DEVICE)
}
"""The guards of what the help desk does: per command, per operator and day, per day."""
GUARD_KINDS = (
    *(kind.value for kind in Kind),
    *GROWTH.values(),
    *OTHER.values(),
    HELD,
    LOOSENING,
    *WINDOW.values(),
    *(kind for kinds in OPERATIONS.values() for kind in kinds),
)
"""The kinds of guard, which `check_guards` explains: what policies limit and `--allow` names."""

Belongings = frozenset[tuple[str, str]]
"""Pairs of "profile" or "service" and a name of the policy."""

PROFILE, RIGHT, STATE, LOGIN = "profile", "right", "state", "login"
Holding = tuple[str, str]
"""What a run can take from an account and a later one give back: a PROFILE, a RIGHT to a service (at an
establishment), the STATE that it was open in, LOGIN without a lock."""

NewPost = tuple[str, str, date, date | None]
"""Source, UAI, start and end of an assignment that an account did not have before."""

Facts = Mapping[str, object]
"""Values before or after a change, by field name: text, numbers, lists of text, or None."""


LAYOUT = "layout"
"""The fact of a change that names the attributes that are written anew in the form of this version."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of all changes of one account: the profiles and services that it gains and loses, and what
    differs although no assignment is new (`other`): establishment, function, details, end, name (see
    `other_values`). `sources` are the sources of its assignments, `posts` its new assignments. `given`
    and `taken` are the holdings (see Holding) that it gains and loses."""

    gains: Belongings = frozenset()
    losses: Belongings = frozenset()
    given: frozenset[Holding] = frozenset()
    taken: frozenset[Holding] = frozenset()
    other: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()
    posts: tuple[NewPost, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One step for one account, or for one group: then `uid` is the name of its entry. `before` is None for a
    creation. The reason only explains.

    `feed` and `line` name the feed row that caused it, if any. `effective` is the day from which the rules
    require it, which may be past. `rule` is the line of the policy that decides it (`policy.yaml:87`).
    `source` is the source of the row. `establishments`, `profiles` and `effect` are for guards.
    """

    kind: Kind
    uid: str
    matricule: str | None
    before: Facts | None
    after: Facts
    reason: str
    effective: date
    feed: str | None = None
    line: int | None = None
    rule: str | None = None
    source: str | None = None
    establishments: tuple[str, ...] = field(default=(), compare=False)
    profiles: tuple[str, ...] = field(default=(), compare=False)
    effect: Effect = field(default=Effect(), compare=False)
    why: Facts | None = field(default=None, compare=False)
    """The reason of a state or a right as data (see `core.rules.reasons`), where the rules gave it."""
    protected: bool = False
    """Whether the account is protected: only the undo of a change by hand changes one."""
