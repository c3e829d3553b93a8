"""What becomes of the rows of feeds, and warnings about columns that differ from the last nights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Protocol

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.change import NewPost
from piactl.core.plan.feed_limits import ROW, FeedFacts, column_warnings
from piactl.core.plan.feed_quality import EXPECTED, PLACES, FeedQuality, Place, worst
from piactl.core.plan.memory import SourceMemory
from piactl.planning.inputs.merge_feeds import SourcedFeed

_CONTRADICT = frozenset({"assignment-contradicts", "person-contradicts"})


class Fate(Enum):
    """What a plan does with the rows of a person: it writes the account, holds the person, makes none, or
    needs nothing. UNKNOWN: the account still waits for its name."""

    APPLIED = "applied"
    HELD = "held"
    IGNORED = "ignored"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


class FeedOfPlan(Protocol):
    """A feed of a plan, with the lines of rows that count once."""

    @property
    def source(self) -> SourceSettings: ...
    @property
    def facts(self) -> FeedFacts: ...
    @property
    def duplicates(self) -> Sequence[int]: ...


def column_warnings_of(
    facts: FeedFacts, source: SourceSettings, before: SourceMemory | None, as_of: date
) -> Mapping[str, str]:
    """How the columns of a feed differ from the last ones, by column."""
    return column_warnings(facts, before.comparable, source, as_of) if before is not None else {}


@dataclass(slots=True)
class FeedQualityCount:
    """Counts what becomes of the rows of one feed, person by person."""

    rejected: set[tuple[str, int]] = field(default_factory=set)
    contradicting: set[tuple[str, int]] = field(default_factory=set)
    held: int = 0
    ignored: int = 0
    applied: int = 0
    back: int = 0
    places: list[Place] = field(default_factory=list)
    columns: frozenset[str] = frozenset()

    def add(self, sourced: SourcedFeed, fate: Callable[[str], Fate], before: SourceMemory | None) -> None:
        """Adds the rows of some people; `before` is what was remembered of the source before the run."""
        feed = sourced.feed
        self.columns = feed.columns
        of_feed = [rejection for rejection in sourced.rejections if rejection.line]
        rejected = {(rejection.file, rejection.line) for rejection in of_feed}
        self.rejected |= rejected
        self.contradicting |= {(r.file, r.line) for r in of_feed if r.code in _CONTRADICT}
        fates = {matricule: fate(matricule) for matricule in feed.people}
        uais = dict(_uais(sourced, {m for m, its_fate in fates.items() if its_fate is Fate.HELD}))
        held = {line: uai for line, uai in uais.items() if feed.place(line) not in rejected}
        self.held += len(held)
        for matricule, its_fate in fates.items():
            lines = len(feed.people[matricule].lines)
            self.ignored += lines if its_fate is Fate.IGNORED else 0
            self.applied += lines if its_fate is Fate.APPLIED else 0
        lines_at = {feed.place(line): uai for line, uai in uais.items() if uai}
        self.places += [(uai, {"held": 1}) for uai in held.values() if uai]
        self.places += [(lines_at[place], {"rejected": 1}) for place in rejected if place in lines_at]
        back = [*_back(sourced, before)]
        self.back += len(back)
        self.places += [(uai, {"back": 1}) for uai in back]

    def add_lines(self, lines: Sequence[tuple[int, str]], fate: Fate) -> None:
        """Adds the rows of one person, each with its establishment."""
        if fate is Fate.HELD:
            self.held += len(lines)
            self.places += [(uai, {"held": 1}) for _, uai in lines]
        elif fate is Fate.APPLIED:
            self.applied += len(lines)

    def quality(
        self, feed: FeedOfPlan, posts: Mapping[NewPost, int], before: SourceMemory | None, as_of: date
    ) -> FeedQuality:
        """The quality of the feed; `posts` are all new posts."""
        facts, name, known = feed.facts, feed.source.name, before is not None
        late = [*_late(posts, name, as_of)] if known else []
        gone = before.record.establishments - facts.establishments if before and facts.establishments else ()
        places = [*self.places, *((uai, {"late": number}) for uai, _, number in late)]
        places += [(uai, {"missing": 1}) for uai in gone if facts.full]
        days: Counter[str] = Counter()
        for _, lateness, number in late:
            days[str(lateness)] += number
        parsed = facts.rows - facts.columns.get(ROW, (0, 0))[1]
        blanks = {
            column: max(0, parsed - facts.columns[column][0])
            for column in EXPECTED
            if column in self.columns and column in facts.columns
        }
        ignored = self.ignored + len(feed.duplicates)
        counts = len(self.rejected), self.held, ignored, self.applied
        return FeedQuality(
            source=name,
            file=facts.file,
            digest=facts.digest,
            rows=facts.rows,
            applied=self.applied,
            unchanged=max(0, facts.rows - sum(counts)),
            rejected=len(self.rejected),
            held=self.held,
            ignored=ignored,
            blanks=blanks,
            doubled=len(feed.duplicates) + len(self.contradicting),
            posts=sum(_running(posts, name, as_of).values()) if known else 0,
            late=dict(sorted(days.items(), key=lambda item: int(item[0]))),
            back=self.back,
            establishments=len(facts.establishments) if facts.full else 0,
            missing=len(gone) if facts.full else 0,
            places=worst(places, PLACES),
            warned=tuple(column_warnings_of(facts, feed.source, before, as_of)),
        )


def _uais(sourced: SourcedFeed, held_matricules: AbstractSet[str]) -> Iterator[tuple[int, str]]:
    """The lines of people who are held, with their establishment, "" if it cannot be read."""
    feed = sourced.feed
    people = [person for matricule, person in feed.people.items() if matricule in held_matricules]
    for person in people:
        yield from zip(person.lines, (a.uai for a in person.assignments), strict=False)
    for person, faulty in feed.unusable:
        uai = "" if "uai" in faulty else person.assignments[0].uai
        of_line = (
            (uai for _ in person.lines) if len(person.lines) == 1 else (a.uai for a in person.assignments)
        )
        yield from zip(person.lines, of_line, strict=False)


def _running(posts: Mapping[NewPost, int], source: str, as_of: date) -> dict[NewPost, int]:
    """The new posts of a source that are not over."""
    return {
        post: number
        for post, number in posts.items()
        if post[0] == source and (post[3] is None or post[3] >= as_of)
    }


def _late(posts: Mapping[NewPost, int], source: str, as_of: date) -> Iterator[tuple[str, int, int]]:
    """Establishment, days and number of the new posts of a source that began before they were known."""
    for (_, uai, start, _), number in _running(posts, source, as_of).items():
        if start < as_of:
            yield uai, (as_of - start).days, number


def _back(sourced: SourcedFeed, before: SourceMemory | None) -> Iterator[str]:
    """The establishment of each post that an earlier feed lacked and this one has."""
    for matricule, *key in before.absences if before else ():
        person = sourced.feed.people.get(matricule)
        yield from (a.uai for a in person.assignments if a.key == tuple(key)) if person is not None else ()
