"""Absences: assignments that a complete full feed no longer lists.

An absence ends an assignment only after several distinct complete feeds agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from piactl.core.model.person import Assignment, by_start

Key = tuple[str, str, str, date]
"""Matricule, UAI, function, start."""

PostName = tuple[str, str]
"""UAI and function of a post in a row that cannot be read; "" for what is not known."""


@dataclass(frozen=True, slots=True)
class Absence:
    """An assignment missing since `since` from the feeds of its source with the digests `feeds`."""

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
    """The properties of a feed that matter for absences: digest, date, and whether an absence counts
    (`silence`), at all establishments or only at `uais`. It says of the people in `gone` that they left, so
    their absence needs no confirmation.

    Absences count only for a complete full feed in which every row has a certain owner. A post that one of
    the `unread` rows of the person may be about is not absent.
    """

    source: str
    digest: str
    day: date
    silence: bool
    absent_runs: int
    uais: frozenset[str] | None = None
    gone: frozenset[str] = frozenset()
    unread: Mapping[str, Collection[PostName]] = field(default_factory=dict)

    def deletes(self, matricule: str, assignment: Assignment) -> bool:
        """Whether the feed says that the person left, by the matricule that it lists the assignment under."""
        return (assignment.matricule or matricule) in self.gone

    def covers(self, uai: str) -> bool:
        return self.uais is None or uai in self.uais

    def may_list(self, matricule: str, assignment: Assignment) -> bool:
        """Whether an unread row of the person may be about this assignment."""
        posts = self.unread.get(matricule, ())
        return any(u in ("", assignment.uai) and f in ("", assignment.function) for u, f in posts)


def after_feed(
    matricule: str,
    known: Sequence[Assignment],
    listed: Sequence[Assignment],
    testimony: Testimony,
    waiting: Mapping[Key, Absence],
    ends: Callable[[Assignment], bool] = lambda _: False,
    doubted: Callable[[str], bool] = lambda _: False,
    locks: Callable[[Assignment], bool] = lambda _: False,
) -> tuple[tuple[Assignment, ...], list[Absence]]:
    """The assignments of a person after one feed, and the absences that are not yet confirmed.

    `known` are all assignments before the feed, of every source; those of other sources stay. An assignment
    that ended before the day of the feed stays. An assignment with a corrected start (the same post,
    overlapping, under a new start) is replaced, unless the correction would undo a start that has passed.
    Assignments in the feed count at once.

    `ends` says which rows end all others (a retirement). Such a row also stays once it has begun, because HR
    soon stops listing retired people; it is removed only if the feed still lists a post that it ended.

    `doubted` says of a matricule whether its absence does not count, because the person may be in the feed
    under another one.
    `locks` says which rows lock the account. An absence ends such a post, but its lock stays (`locks_until`)
    until a feed of the same source lists the person without it.
    """
    others = [a for a in known if a.source != testimony.source]
    from_source = {a.key: a for a in known if a.source == testimony.source}
    # of two equal assignments keep the known one: its origin is on the entry, so nothing is rewritten
    result = {a.key: from_source[a.key] if from_source.get(a.key) == a else a for a in listed}
    waits: list[Absence] = []
    still_listed = any(not row.is_over(testimony.day) for row in listed)
    for key, assignment in from_source.items():
        if key in result:
            continue
        silent = testimony.silence and testimony.covers(assignment.uai)
        if not silent or testimony.may_list(matricule, assignment):
            result[key] = assignment
            before = waiting.get((matricule, *key))
            if before is not None:
                waits.append(before)
            continue
        if assignment.locks_until is not None and still_listed:
            assignment = replace(assignment, locks_until=None)
        news = [new for new in listed if new.key not in from_source]
        if any(_is_correction(new, assignment, testimony.day, ends) for new in news):
            continue
        if any(ends(row) and row.start > assignment.start for row in listed) and not ends(assignment):
            # the row of the ending gives the last day of the post, which the feed no longer lists
            result[key] = assignment
            continue
        ending = ends(assignment) and (assignment.start <= testimony.day or locks(assignment))
        past = assignment.is_over(testimony.day)
        if (ending and not _contradicted(assignment, listed, testimony.day, ends)) or (past and not ending):
            result[key] = assignment
            continue
        earlier = waiting.get((matricule, *key))
        if not testimony.deletes(matricule, assignment) and doubted(matricule):
            result[key] = assignment
            waits += [earlier] if earlier is not None else []
            continue
        remaining, wait = _absent(matricule, assignment, testimony, earlier)
        if wait is None and locks(assignment) and not (still_listed or ending):
            remaining = _locking(assignment, remaining)
        if remaining is not None and (wait is not None or not ending):
            result[key] = remaining
        if wait is not None:
            waits.append(wait)
    ordered = sorted([*others, *result.values()], key=by_start)
    return tuple(ordered), waits


def _locking(assignment: Assignment, ended: Assignment | None) -> Assignment:
    """A post that an absence `ended` (None: before it began), with the lock that stays."""
    last = ended.end if ended is not None else assignment.start
    return replace(assignment, end=last, locks_until=assignment.end or date.max)


def _is_correction(new: Assignment, old: Assignment, day: date, ends: Callable[[Assignment], bool]) -> bool:
    """Whether `new` is the same post with a corrected start. A post that has begun cannot get a later start
    this way, because that would close an account at once: it is an absence and a new start."""
    begun = old.start <= day < new.start
    same = new.uai == old.uai and new.function == old.function and ends(new) == ends(old)
    return same and new.overlaps(old) and not begun


def _contradicted(
    ending: Assignment, listed: Sequence[Assignment], day: date, ends: Callable[[Assignment], bool]
) -> bool:
    """Whether the feed still lists a current or future post that this row ended."""
    return any(not ends(post) and post.start <= ending.start and not post.is_over(day) for post in listed)


def _absent(
    matricule: str, assignment: Assignment, testimony: Testimony, before: Absence | None
) -> tuple[Assignment | None, Absence | None]:
    since = before.since if before else testimony.day
    feeds = before.feeds if before else ()
    if testimony.digest not in feeds:
        feeds = (*feeds, testimony.digest)
    if len(feeds) < testimony.absent_runs and not testimony.deletes(matricule, assignment):
        return assignment, Absence(matricule, *assignment.key, since, feeds)
    last = since - timedelta(days=1)
    if assignment.start > last:
        return None, None
    if assignment.end is None or assignment.end > last:
        assignment = replace(assignment, end=last)
    return assignment, None
