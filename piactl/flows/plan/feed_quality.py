"""What becomes of the rows of feeds, and warnings about columns that differ from the last nights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import date

from piactl.core.plan.change import NewPost
from piactl.core.plan.feed_limits import ROW, column_warnings
from piactl.core.plan.feed_quality import EXPECTED, PLACES, FeedQuality, Place, worst
from piactl.core.plan.plan import Rejection
from piactl.core.plan.run_state import SourceMemory
from piactl.dataclass import dataclass
from piactl.flows.plan.inputs.merge_feeds import SourcedFeed

_CONTRADICT = frozenset({"assignment-contradicts", "person-contradicts"})
_DUPLICATES = "duplicates"


@dataclass(frozen=True, slots=True)
class PlannedPeople:
    """What a plan does with the people in its feeds, by matricule: it writes their account, or holds them, or
    they have no account. `posts` are all new posts. `staged` are people whose account it writes too, but
    whose rows are not in the feeds; `owners` has the matricule of each line, by source."""

    written: AbstractSet[str]
    held: AbstractSet[str]
    without: AbstractSet[str]
    posts: Mapping[NewPost, int]
    staged: Container[object] = ()
    owners: Mapping[str, Sequence[str]] = field(default_factory=dict)


def qualities(
    feeds: Iterable[SourcedFeed],
    planned_people: PlannedPeople,
    sources: Mapping[str, SourceMemory],
    as_of: date,
) -> Iterator[FeedQuality]:
    """The quality of each feed; `sources` is what was remembered before the run."""
    for sourced in feeds:
        before = sources.get(sourced.source.name)
        yield _quality(sourced, planned_people, before, as_of)


def warnings(sourced: SourcedFeed, before: SourceMemory | None, as_of: date) -> Mapping[str, str]:
    """How the columns of a feed differ from the last ones, by column."""
    if before is None:
        return {}
    return column_warnings(sourced.feed.facts, before.comparable, sourced.source, as_of)


def _quality(
    sourced: SourcedFeed, planned_people: PlannedPeople, before: SourceMemory | None, as_of: date
) -> FeedQuality:
    feed, facts, name = sourced.feed, sourced.feed.facts, sourced.source.name
    of_feed = [rejection for rejection in sourced.rejections if rejection.line]
    rejected = {(rejection.file, rejection.line) for rejection in of_feed}
    uais = dict(_uais(sourced, planned_people.held))
    held_lines = {line for line in uais if feed.place(line) not in rejected}
    duplicates = sum(remark.count for remark in feed.remarks if remark.code == _DUPLICATES)
    people = [person for m, person in feed.people.items() if m not in planned_people.held]
    ignored = duplicates + sum(
        len(person.lines) for person in people if person.matricule in planned_people.without
    )
    applied = sum(len(person.lines) for person in people if person.matricule in planned_people.written)
    applied += sum(map(planned_people.staged.__contains__, planned_people.owners.get(name, ())))
    counts = len(rejected), len(held_lines), ignored, applied
    known = before is not None
    late = [*_late(planned_people.posts, name, as_of)] if known else []
    uais = {line: uai for line, uai in uais.items() if uai}
    lines = {feed.place(line): uai for line, uai in uais.items()}
    places: list[Place] = [(uai, {"held": 1}) for line, uai in uais.items() if line in held_lines]
    places += [(lines[place], {"rejected": 1}) for place in rejected if place in lines]
    places += [(uai, {"late": number}) for uai, _, number in late]
    back = [*_back(sourced, before)]
    places += [(uai, {"back": 1}) for uai in back]
    gone = before.record.establishments - facts.establishments if before and facts.establishments else ()
    places += [(uai, {"missing": 1}) for uai in gone if facts.full]
    days: Counter[str] = Counter()
    for _, lateness, number in late:
        days[str(lateness)] += number
    parsed = facts.rows - facts.columns.get(ROW, (0, 0))[1]
    blanks = {
        column: max(0, parsed - facts.columns[column][0])
        for column in EXPECTED
        if column in feed.columns and column in facts.columns
    }
    return FeedQuality(
        source=name,
        file=facts.file,
        digest=facts.digest,
        rows=facts.rows,
        applied=applied,
        unchanged=max(0, facts.rows - sum(counts)),
        rejected=len(rejected),
        held=len(held_lines),
        ignored=ignored,
        blanks=blanks,
        doubled=duplicates + _contradicting(of_feed),
        posts=sum(_running(planned_people.posts, name, as_of).values()) if known else 0,
        late=dict(sorted(days.items(), key=lambda item: int(item[0]))),
        back=len(back),
        establishments=len(facts.establishments) if facts.full else 0,
        missing=len(gone) if facts.full else 0,
        places=worst(places, PLACES),
        warned=tuple(warnings(sourced, before, as_of)),
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


def _contradicting(rejections: Iterable[Rejection]) -> int:
    return len(
        {(rejection.file, rejection.line) for rejection in rejections if rejection.code in _CONTRADICT}
    )


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
