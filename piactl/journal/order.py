"""The order of a run: what was asked for, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.journal.origin_of_run import Actor


@dataclass(frozen=True, slots=True)
class Order:
    """The request for a run: its id, its date, its command, its user. `command` has the words of the command
    line, which never hold a secret.

    `today` is the date of the clock. `explicit`: the date was given on the command line. `policy` is the
    digest of the current policy file, `rules` that of its content, `urn` the beginning of its rights.
    """

    run: str
    as_of: date
    today: date
    explicit: bool
    command: tuple[str, ...]
    actor: Actor
    policy: str
    reason: str = ""
    allowed: Mapping[str, int] = field(default_factory=dict)
    urn: str = ""
    rules: str = ""
    break_glass: bool = False
    """Whether the plan is applied without the approval of another person that it needs."""
