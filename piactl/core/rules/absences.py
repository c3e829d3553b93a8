"""What a feed's silence means: an assignment that a complete full feed no longer lists.

Source: design "The feed". An absence ends an assignment only after several distinct complete feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from piactl.core.model.assignment import Assignment

Key = tuple[str, str, str, date]
"""Matricule, UAI, function, start."""


@dataclass(frozen=True, slots=True)
class Absence:
    """An assignment missing from the feeds of its source since `since`, so far from `feeds` (digests)."""

    matricule: str
    uai: str
    function: str
    start: date
    since: date
    feeds: tuple[str, ...]

    @property
    def key(self) -> Key:
        return (self.matricule, self.uai, self.function, self.start)


@dataclass(frozen=True, slots=True)
class Testimony:
    """What one feed may say: `digest` names it, `day` is its date, `silence` whether an absence counts.

    Silence counts only for a complete full feed in which every row could be attributed to a person.
    """

    source: str
    digest: str
    day: date
    silence: bool
    absent_runs: int


def after_feed(
    matricule: str,
    known: Sequence[Assignment],
    told: Sequence[Assignment],
    testimony: Testimony,
    waiting: Mapping[Key, Absence],
    ends: Callable[[Assignment], bool] = lambda _: False,
) -> tuple[tuple[Assignment, ...], list[Absence]]:
    """The assignments of a person after one feed, and the absences that still wait for confirmation.

    `known` are all assignments known before, of every source; those of other sources stay. An assignment
    that ended before the feed's day is history and stays. One whose start was corrected (the same post,
    overlapping, under a start that was not known) is replaced, unless that would take back a start that
    has come. What the feed tells counts at once.

    `ends` says which rows end all others (a retirement). Such a row that has begun is history too, for
    HR soon drops the retired altogether; it is taken back only where HR goes on listing a post that it ended.
    """
    others = [a for a in known if a.source != testimony.source]
    mine = {a.key: a for a in known if a.source == testimony.source}
    # the known one of two equals is kept: it has the origin that the entry holds, so nothing is rewritten
    result = {a.key: mine[a.key] if mine.get(a.key) == a else a for a in told}
    waits: list[Absence] = []
    for key, assignment in mine.items():
        if key in result:
            continue
        if not testimony.silence:
            result[key] = assignment
            before = waiting.get((matricule, *key))
            if before is not None:
                waits.append(before)
            continue
        news = [new for new in told if new.key not in mine]
        if any(_is_correction(new, assignment, testimony.day, ends) for new in news):
            continue
        if any(ends(row) and row.start > assignment.start for row in told) and not ends(assignment):
            # HR says by that row on which day the post ends, and no longer lists the post itself
            result[key] = assignment
            continue
        ending = ends(assignment) and assignment.start <= testimony.day
        past = assignment.end is not None and assignment.end < testimony.day
        if (ending and not _contradicted(assignment, told, testimony.day, ends)) or (past and not ending):
            result[key] = assignment
            continue
        left, wait = _absent(matricule, assignment, testimony, waiting.get((matricule, *key)))
        if left is not None and (wait is not None or not ending):
            result[key] = left
        if wait is not None:
            waits.append(wait)
    ordered = sorted([*others, *result.values()], key=lambda a: (a.start, a.uai, a.function, a.source))
    return tuple(ordered), waits


def _is_correction(new: Assignment, old: Assignment, day: date, ends: Callable[[Assignment], bool]) -> bool:
    """The same post under another start. A post that has begun and would only begin later is none: that
    would close an account at once, so it is an absence and a new start."""
    begun = old.start <= day < new.start
    same = new.uai == old.uai and new.function == old.function and ends(new) == ends(old)
    return same and new.overlaps(old) and not begun


def _contradicted(
    ending: Assignment, told: Sequence[Assignment], day: date, ends: Callable[[Assignment], bool]
) -> bool:
    """Whether the feed goes on listing a post, of today or to come, that this row had ended."""
    return any(
        not ends(post) and post.start <= ending.start and (post.end is None or post.end >= day)
        for post in told
    )


def _absent(
    matricule: str, assignment: Assignment, testimony: Testimony, before: Absence | None
) -> tuple[Assignment | None, Absence | None]:
    since = before.since if before else testimony.day
    feeds = before.feeds if before else ()
    if testimony.digest not in feeds:
        feeds = (*feeds, testimony.digest)
    if len(feeds) < testimony.absent_runs:
        return assignment, Absence(matricule, *assignment.key, since, feeds)
    last = since - timedelta(days=1)
    if assignment.start > last:
        return None, None
    if assignment.end is None or assignment.end > last:
        assignment = replace(assignment, end=last)
    return assignment, None
