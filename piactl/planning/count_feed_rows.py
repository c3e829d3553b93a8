"""A feed of a run, and what evaluations find of its people and of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from pathlib import Path

from piactl.core.model.person import Assignment
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.change import NewPost
from piactl.core.plan.check_feed_limits import LEADING_ZEROS, ROW, SAMPLE, FeedFacts, column_warnings
from piactl.core.plan.plan import EXPECTED, PLACES, FeedCounts, Place, Rejection, worst
from piactl.core.plan.state_between_runs import SourceMemory
from piactl.feed.feed_result import Feed, first_faults
from piactl.planning.merge_feeds import SourcedFeed

_CONTRADICT = frozenset({"assignment-contradicts", "person-contradicts"})


class Fate(Enum):
    """What a plan does with the rows of a person: it writes the account, holds the person, makes none, or
    needs nothing. UNKNOWN: the account still waits for its name."""

    APPLIED = "applied"
    HELD = "held"
    IGNORED = "ignored"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class FeedOfRun:
    """`remarks` returns the remarks about the feed, given the lines of rows that count once and of unusual
    NUMENs. The rows that no list or number has are unchanged."""

    source: SourceSettings
    path: Path
    facts: FeedFacts
    remarks: Callable[[Sequence[tuple[int, int]], Sequence[int]], Sequence[str]] = (
        lambda _duplicates, _numens: ()
    )
    known: int = 0
    """The people who are known from its source, and of these those who are still in it."""
    still: int = 0
    gone: list[str] = field(default_factory=list)
    """The first of those who are not."""
    rejections: list[Rejection] = field(default_factory=list)
    judged: list[Rejection] = field(default_factory=list)
    """The rejections by the layout of the source, and those by the policy and the naming rule."""
    held: dict[str, str] = field(default_factory=dict)
    duplicates: list[tuple[int, int]] = field(default_factory=list)
    unusual_numens: list[int] = field(default_factory=list)
    rejected_rows: set[tuple[str, int]] = field(default_factory=set)
    contradicting_rows: set[tuple[str, int]] = field(default_factory=set)
    held_rows: int = 0
    ignored_rows: int = 0
    applied_rows: int = 0
    back: int = 0
    places: list[Place] = field(default_factory=list)
    columns: frozenset[str] = frozenset()
    _rejected: dict[Rejection, None] = field(default_factory=dict)
    _raw_rows: dict[int, bytes] = field(default_factory=dict, repr=False)
    _part: Feed | None = None

    def add(self, sourced: SourcedFeed, known: Mapping[str, Sequence[Assignment]], as_of: date) -> None:
        """Adds what the feed says of some people, before the feeds are merged. `known` are the assignments
        of each of them before the run."""
        feed = sourced.feed
        self.rejections += feed.rejections
        self.judged += sourced.judgement
        self.duplicates += feed.duplicates
        self.unusual_numens += feed.unusual_numens
        present, name = feed.present, self.source.name
        # its set may be of some establishments alone
        uais = feed.written.uais if feed.written else None
        for matricule, posts in known.items():
            running = (a for a in posts if a.source == name and not a.is_over(as_of))
            if any(uais is None or a.uai in uais for a in running):
                self.known += 1
                if matricule in present:
                    self.still += 1
                else:
                    self.gone = sorted([*self.gone, matricule])[:SAMPLE]

    def add_rejected(self, part: Feed, raw: Mapping[int, bytes], rejections: Iterable[Rejection]) -> None:
        """Adds what is rejected of some people, whose rows are in `part` and `raw`, to the rejects."""
        self._part = part
        self._raw_rows |= part.raw_lines
        further = [r for r in rejections if r.file in part.files]
        self._rejected |= dict.fromkeys([*part.rejections, *further])
        held = () if self.source.supplement else {r.matricule for r in further} & part.people.keys()
        lines = {line for matricule in held for line in part.people[matricule or ""].lines}
        places = {(r.file, r.line) for r in further if r.line}
        if lines or places:
            self._raw_rows |= {n: row for n, row in raw.items() if n in lines or part.place(n) in places}

    def rejects(self) -> Feed | None:
        """The rows for the rejects file; None if none of its rows was read."""
        if self._part is None:
            return None
        rejections = tuple(sorted(self._rejected, key=lambda r: (r.line, r.column, r.code)))
        return replace(self._part, people={}, held={}, rejections=rejections, raw_lines=self._raw_rows)

    def add_rows(
        self, sourced: SourcedFeed, fate: Callable[[str], Fate], before: SourceMemory | None
    ) -> None:
        """Counts what becomes of the rows of some people; `before` is what was remembered of the source
        before the run."""
        feed = sourced.feed
        self.columns = feed.columns
        of_feed = [rejection for rejection in sourced.rejections if rejection.line]
        rejected = {(rejection.file, rejection.line) for rejection in of_feed}
        self.rejected_rows |= rejected
        self.contradicting_rows |= {(r.file, r.line) for r in of_feed if r.code in _CONTRADICT}
        uais: dict[int, str] = {}
        for matricule, person in feed.people.items():
            match fate(matricule):
                case Fate.HELD:
                    uais |= zip(person.lines, (a.uai for a in person.assignments), strict=False)
                case Fate.IGNORED:
                    self.ignored_rows += len(person.lines)
                case Fate.APPLIED:
                    self.applied_rows += len(person.lines)
        for person, faulty in feed.unusable:
            uai = "" if "uai" in faulty else person.assignments[0].uai
            single = len(person.lines) == 1
            uais |= zip(person.lines, [uai] if single else (a.uai for a in person.assignments), strict=False)
        held = {line: uai for line, uai in uais.items() if feed.place(line) not in rejected}
        self.held_rows += len(held)
        lines_at = {feed.place(line): uai for line, uai in uais.items() if uai}
        self.places += [(uai, {"held": 1}) for uai in held.values() if uai]
        self.places += [(lines_at[place], {"rejected": 1}) for place in rejected if place in lines_at]
        # the posts that an earlier feed lacked and this one has
        absent = before.absences if before else ()
        back = [
            post.uai
            for key in absent
            if key[0] in feed.people
            for post in feed.people[key[0]].assignments
            if post.key == key[1:]
        ]
        self.back += len(back)
        self.places += [(uai, {"back": 1}) for uai in back]

    def add_late(self, lines: Sequence[tuple[int, str]], fate: Fate) -> None:
        """Counts the rows of a person whose fate was UNKNOWN, each with its establishment."""
        if fate is Fate.HELD:
            self.held_rows += len(lines)
            self.places += [(uai, {"held": 1}) for _, uai in lines]
        elif fate is Fate.APPLIED:
            self.applied_rows += len(lines)

    def finish(self, skipped: int) -> None:
        """Completes the facts; `skipped` people are known from the source and in the feed, and were not
        evaluated. Rejected values count as bad in their columns, so that a renamed code refuses the feed
        instead of holding everybody."""
        self.known += skipped
        self.still += skipped
        columns = dict(self.facts.columns)
        for column, count in Counter(rejection.column for rejection in self.judged).items():
            values, bad = columns.get(column, (0, 0))
            columns[column] = (values, bad + count)
        for rejections in (self.rejections, self.judged):
            rejections.sort(key=lambda r: (r.file, r.line, r.column, r.code))
        wrong = first_faults([*self.rejections, *self.judged])
        month_first = any(rejection.code == "month-first" for rejection in self.rejections)
        self.facts = replace(self.facts, columns=columns, wrong=wrong, month_first=month_first)
        self.duplicates.sort()
        self.unusual_numens.sort()

    def zeros(self) -> dict[int, str]:
        """The messages of the rows that lost their leading zeros, by line."""
        return {r.line: r.message for r in self.rejections if r.code == LEADING_ZEROS}

    def quality(self, posts: Mapping[NewPost, int], before: SourceMemory | None, as_of: date) -> FeedCounts:
        """The quality of the feed; `posts` are all new posts."""
        facts, name = self.facts, self.source.name
        known = posts if before is not None else {}
        running = {
            post: number
            for post, number in known.items()
            if post[0] == name and (post[3] is None or post[3] >= as_of)
        }
        places, days = [*self.places], Counter[int]()
        for (_, uai, start, _), number in running.items():
            if start < as_of:
                places.append((uai, {"late": number}))
                days[(as_of - start).days] += number
        gone = before.record.establishments - facts.establishments if before and facts.establishments else ()
        places += [(uai, {"missing": 1}) for uai in gone if facts.full]
        parsed = facts.rows - facts.columns.get(ROW, (0, 0))[1]
        blanks = {
            column: max(0, parsed - facts.columns[column][0])
            for column in EXPECTED
            if column in self.columns and column in facts.columns
        }
        ignored = self.ignored_rows + len(self.duplicates)
        counts = len(self.rejected_rows), self.held_rows, ignored, self.applied_rows
        return FeedCounts(
            source=name,
            file=facts.file,
            digest=facts.digest,
            rows=facts.rows,
            applied=self.applied_rows,
            unchanged=max(0, facts.rows - sum(counts)),
            rejected=len(self.rejected_rows),
            held=self.held_rows,
            ignored=ignored,
            blanks=blanks,
            doubled=len(self.duplicates) + len(self.contradicting_rows),
            posts=sum(running.values()),
            late={str(lateness): number for lateness, number in sorted(days.items())},
            back=self.back,
            establishments=len(facts.establishments) if facts.full else 0,
            missing=len(gone) if facts.full else 0,
            places=worst(places, PLACES),
            warned=tuple(column_warnings(facts, before.comparable if before else None, self.source, as_of)),
        )
