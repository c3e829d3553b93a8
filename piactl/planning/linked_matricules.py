"""People who have several matricules in HR: each is one person, under the first one.

`Account.matricule` is the first matricule. Rows, absences and news under a further one are read as those of
the first, so that no other module needs to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.model.person import Assignment, Person
from piactl.core.plan.state_between_runs import Memory, SourceMemory, Waiting
from piactl.core.rules.desired_account import MATRICULE
from piactl.core.rules.feed_absences import PostName
from piactl.directory.store.rare_entries import RareEntries
from piactl.feed.feed_result import Feed
from piactl.phrase import Phrase, joined
from piactl.planning.account_index import AccountIndex
from piactl.planning.merge_feeds import merged_person


@dataclass(frozen=True, slots=True)
class LinkedMatricules:
    """`first`: further matricule -> first one. `unnamed`: the digest of a matricule that is not known in
    clear -> first one."""

    first: Mapping[str, str] = field(default_factory=dict)
    unnamed: Mapping[str, str] = field(default_factory=dict)

    def people(self) -> set[str]:
        """Every matricule of these people that is known."""
        return {*self.first, *self.first.values(), *self.unnamed.values()}

    def named(self, matricules: Iterable[str], keys: DigestKeys) -> LinkedMatricules:
        """The same, with those of `matricules` that were known by their digest."""
        if not self.unnamed:
            return self
        first = {
            matricule: self.unnamed[digest]
            for matricule in matricules
            for digest in keys.candidates(MATRICULE, matricule)
            if digest in self.unnamed and self.unnamed[digest] != matricule
        }
        return replace(self, first={**self.first, **first})

    def returning(self, index: AccountIndex, matricules: Iterable[str], keys: DigestKeys) -> LinkedMatricules:
        """The same, with those among `matricules` under which one person comes back from the archive."""
        if all(len(entry.account.matricule_digests) == 1 for entry in index.tombstones()):
            return self
        first, by_uid = dict(self.first), dict[str, str]()
        for matricule in sorted(matricules):
            entry = None if matricule in index.by_matricule else index.entry(matricule, keys)
            if entry is not None and by_uid.setdefault(entry.account.uid, matricule) != matricule:
                first[matricule] = by_uid[entry.account.uid]
        return replace(self, first=first)

    def feed(self, feed: Feed) -> Feed:
        """The feed with everything under the first matricules. Rows of one person that contradict each other
        hold the person."""
        if not self.first or self.first.keys().isdisjoint(feed.present):
            return feed
        held = {self._of(matricule): why for matricule, why in feed.held.items()}
        people: dict[str, Person] = {}
        for listed in feed.people.values():
            person = self._person(listed)
            before = people.get(person.matricule)
            if before is not None:
                person, contradictions = _joined(before, person)
                if contradictions:
                    held[person.matricule] = Phrase(
                        "{file}: rows of one person, matricules {matricule} and {other}, disagree in "
                        "{contradictions}",
                        file=feed.facts.file,
                        matricule=listed.matricule,
                        other=person.matricule,
                        contradictions=joined(contradictions, "{first}, {second}"),
                    )
            people[person.matricule] = person
        for matricule in held:
            people.pop(matricule, None)
        unread: dict[str, set[PostName]] = {}
        for matricule, posts in feed.unread.items():
            unread.setdefault(self._of(matricule), set()).update(posts)
        remarked = frozenset(map(self._of, feed.remarked))
        return replace(feed, people=people, held=held, unread=unread, remarked=remarked)

    def memory(self, memory: Memory) -> Memory:
        """The memory of earlier runs with everything under the first matricules."""
        if not self.first or self.first.keys().isdisjoint(memory.pending()):
            return memory
        waiting: dict[str, Waiting] = {}
        for matricule, record in memory.waiting.items():
            person, first = self._person(record.person), self._of(matricule)
            posts = tuple(
                replace(a, matricule=a.matricule or _own(matricule, first)) for a in record.assignments
            )
            before = waiting.get(first)
            if before is not None:
                posts = (*before.assignments, *(a for a in posts if a not in before.assignments))
            waiting[first] = replace(record, person=person, assignments=posts)
        sources = {name: self._source(source) for name, source in memory.sources.items()}
        return replace(memory, waiting=waiting, sources=sources)

    def _source(self, source: SourceMemory) -> SourceMemory:
        absences = (replace(a, matricule=self._of(a.matricule)) for a in source.absences.values())
        deviations = {self._of(matricule): deviation for matricule, deviation in source.deviations.items()}
        return replace(source, absences={a.key: a for a in absences}, deviations=deviations)

    def _of(self, matricule: str) -> str:
        return self.first.get(matricule, matricule)

    def _person(self, person: Person) -> Person:
        first = self._of(person.matricule)
        if first == person.matricule:
            return person
        posts = tuple(replace(a, matricule=person.matricule) for a in person.assignments)
        return replace(person, matricule=first, assignments=posts)


def _own(matricule: str, first: str) -> str:
    return "" if matricule == first else matricule


def _joined(before: Person, person: Person) -> tuple[Person, list[str]]:
    """One person out of the rows under two matricules, and the assignments that contradict each other. The
    data are those of the matricule with the latest post: nobody corrects those of a former one."""
    newest = max(
        before, person, key=lambda statement: max((a.start for a in statement.assignments), default=date.min)
    )
    joined, _ = merged_person(newest, person if newest is before else before)
    contradictions: list[str] = []
    posts: dict[tuple[object, ...], Assignment] = {a.key: a for a in before.assignments}
    lines = list(before.lines)
    for post, line in zip(person.assignments, person.lines, strict=True):
        known = posts.setdefault(post.key, post)
        if known is post:
            lines.append(line)
        elif known != post:
            assignment = Phrase(
                "the assignment {function} at {uai} from {start}",
                function=post.function,
                uai=post.uai,
                start=post.start,
            )
            contradictions.append(assignment)
    return replace(joined, assignments=tuple(posts.values()), lines=tuple(lines)), contradictions


def linked_matricules(rare: RareEntries) -> LinkedMatricules:
    """The people with several matricules."""
    first: dict[str, str] = {}
    unnamed: dict[str, str] = {}
    for matricule, further in rare.linked:
        for other in further:
            (unnamed if digest_key_id(other) else first)[other] = matricule
    return LinkedMatricules(first, unnamed)
