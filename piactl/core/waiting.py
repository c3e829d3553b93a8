"""People whom HR has told of and whose account is not due yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from piactl.core.assignment import Assignment
from piactl.core.person import Person
from piactl.core.policy import Policy


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is remembered of such a person, so that a night without a feed can make the account.

    `person` carries neither NUMEN nor assignments; `numen_digest` and `assignments` stand for them.
    """

    person: Person
    numen_digest: str | None
    assignments: tuple[Assignment, ...]
    due: date


def waiting_for(
    person: Person, numen_digest: str | None, assignments: Sequence[Assignment], policy: Policy, as_of: date
) -> Waiting | None:
    """The record of a person without an account, None where no start lies ahead."""
    starts = [a.start for a in assignments if a.start > as_of]
    if not starts:
        return None
    return Waiting(
        bare(person), numen_digest, tuple(assignments), min(starts) - timedelta(days=policy.open_before)
    )


def bare(person: Person) -> Person:
    """The person without what must not or need not be remembered."""
    return replace(person, numen=None, assignments=(), lines=(), birth_date=None)
