"""Merges the feeds of one run into people with their assignments, and people on hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain
from pathlib import Path

from piactl.core.model.account import Account
from piactl.core.model.establishment import Register
from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.implausible_values import internal_address
from piactl.core.plan.case import Case
from piactl.core.plan.check_feed_limits import LEADING_ZEROS, FeedFacts, PartRecord, SourceRecord, record_of
from piactl.core.plan.plan import AbsentAssignment, Disagreement, HoldCode, Rejection
from piactl.core.plan.state_between_runs import SourceMemory
from piactl.core.rules.desired_account import Rules, assignment_problems, name_problem
from piactl.core.rules.feed_absences import Absence, Key, Testimony, after_feed
from piactl.core.rules.matching import NAMES, doubt_about, family_agrees, given_agrees, same_name
from piactl.core.rules.source_ranks import PERSON_DATA, Ranks, with_known_starts
from piactl.feed.feed_result import Feed
from piactl.feed.people_builder import Place
from piactl.phrase import Phrase, counted, joined
from piactl.planning.resolve_disagreements import Resolver

REMEMBERED = 100
"""The number of digests of applied feeds stored per source."""
MOST_PARTS = 1_000
"""The number of kinds of sets stored per source that gets its establishments in parts."""
MOST_REJECTED = 1_000
"""The number of rejected people without an account stored per source."""


@dataclass(frozen=True, slots=True)
class SourcedFeed:
    """A feed with the settings of its source and its file. `judgement` are its rejections by the policy and
    the naming rule (see `judged`)."""

    feed: Feed
    source: SourceSettings
    path: Path
    judgement: tuple[Rejection, ...] = ()

    @property
    def facts(self) -> FeedFacts:
        return self.feed.facts

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        return (*self.feed.rejections, *self.judgement)

    @property
    def holds(self) -> dict[str, str]:
        """Why the rows of the feed hold people, by matricule."""
        holds = dict(self.feed.held)
        for rejection in () if self.source.supplement else self.judgement:
            holds.setdefault(
                rejection.matricule or "", Phrase("rejected rows: {message}", message=rejection.message)
            )
        return holds

    @property
    def silence(self) -> bool:
        """Whether an assignment that the feed does not list is absent."""
        facts = self.feed.facts
        return facts.full and facts.complete and not facts.unattributed

    def lists_all(self, matricule: str, assignments: Iterable[Assignment], as_of: date) -> bool:
        """Whether the feed lists all assignments of a person from its source that were not over on its
        day."""
        day = min(self.feed.facts.date or as_of, as_of)
        person = self.feed.people.get(matricule)
        listed = {a.key for a in person.assignments} if person else set()
        mine = (a for a in assignments if a.source == self.source.name)
        return all(a.key in listed or a.is_over(day) for a in mine)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted by hand for one run: the digests of `feeds` that may exceed the limits of their
    source. `date`: the date of the run was given on the command line."""

    feeds: Collection[str] = ()
    date: bool = False


NOTHING = Accepted()


@dataclass(slots=True)
class MergedFeeds:
    """The merged feeds. Mappings are by matricule unless they say otherwise; `held` has the reason of each
    hold."""

    people: dict[str, Person] = field(default_factory=dict)
    assignments: dict[str, tuple[Assignment, ...]] = field(default_factory=dict)
    held: dict[str, tuple[HoldCode, str]] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    absents: list[AbsentAssignment] = field(default_factory=list)
    sources: dict[str, SourceMemory] = field(default_factory=dict)
    once: dict[str, tuple[Person, tuple[Assignment, ...]]] = field(default_factory=dict)
    """The person and all assignments from a delta, which perhaps no later feed repeats."""
    notes: dict[str, str] = field(default_factory=dict)
    """The reasons of changes that come from no row."""
    disagreements: list[Disagreement] = field(default_factory=list)
    disputed: set[str] = field(default_factory=set)
    """The people about whom sources disagree, or whose stored deviations change."""
    cases: dict[str, Case] = field(default_factory=dict)
    """The cases of this run, by id."""
    aside: dict[tuple[str, str], Case] = field(default_factory=dict)
    """By source and matricule, the case that keeps a person apart from their account; without a source, the
    case that keeps their NUMEN apart."""
    asked: set[tuple[str, str]] = field(default_factory=set)
    """The sources and matricules of all people in the feeds."""
    local: set[str] = field(default_factory=set)
    """The matricules of people whom the head of a school made."""
    doubted: dict[str, str] = field(default_factory=dict)
    """The people whose absence does not count, with the reason."""
    unread_people: set[tuple[str, str]] = field(default_factory=set)
    """The supplements and matricules of people of whom they say nothing in this run that can be read."""

    def hold(self, matricule: str, why: str, code: HoldCode) -> None:
        self.held.setdefault(matricule, (code, why))


def merge_feeds(
    feeds: Sequence[SourcedFeed],
    known: Mapping[str, tuple[Assignment, ...]],
    accounts: Mapping[str, Account],
    merged: MergedFeeds,
    rules: Rules,
    accepted: Accepted = NOTHING,
    doubt: Callable[[str], str] = lambda _matricule: "",
) -> None:
    """Merges the feeds, in their order and without the people whom a case keeps out, into the assignments
    that are `known` of each matricule; `accounts` are those that are not archived. `doubt` says why an
    absence of a matricule does not count, "" if it does.

    A person with a rejected row in any of the feeds is held: nothing about them changes in this run. But a
    supplement holds nobody whom other sources know, only its own posts of theirs.
    """
    others = [sourced.feed for sourced in feeds if not sourced.source.supplement]
    for sourced in feeds:
        merged.local |= sourced.feed.local
        merged.rejections += sourced.rejections
        for matricule, why in sourced.holds.items():
            known_elsewhere = any(matricule in feed.people or matricule in feed.held for feed in others)
            known_elsewhere |= bool(rules.supplements.authoritative(known.get(matricule, ())))
            if sourced.source.supplement and known_elsewhere:
                merged.unread_people.add((sourced.source.name, matricule))
            else:
                merged.hold(matricule, why, HoldCode.REJECTED)
    started = []
    for unstarted in feeds:
        # several sets of a source in one run: a post that the first one lists began then
        sourced = _with_known_starts(unstarted, merged.assignments, known, rules.as_of)
        _merge_people(sourced, known, accounts, merged, rules)
        _merge_assignments(sourced, known, accounts, merged, rules, accepted, doubt)
        started.append(sourced)
    for matricule, assignments in merged.assignments.items():
        merged.assignments[matricule] = rules.supplements.beside(assignments)
    _resolve_disagreements(started, known, accounts, merged, rules)


def _with_known_starts(
    sourced: SourcedFeed,
    merged: Mapping[str, tuple[Assignment, ...]],
    known: Mapping[str, tuple[Assignment, ...]],
    as_of: date,
) -> SourcedFeed:
    """The feed. Posts of a format that need not date them get the starts that are known, or `merged` from
    earlier feeds of the run."""
    if sourced.feed.written is None or "fin" in sourced.feed.written.columns:
        return sourced
    day = sourced.feed.facts.date or as_of
    people = {
        matricule: replace(
            person,
            assignments=with_known_starts(
                person.assignments, merged.get(matricule, known.get(matricule, ())), sourced.source.name, day
            ),
        )
        for matricule, person in sourced.feed.people.items()
    }
    return replace(sourced, feed=replace(sourced.feed, people=people))


def judged(sourced: SourcedFeed, policy: Policy, register: Register) -> SourcedFeed:
    """The feed with its rejections by the policy and the naming rule, and with the positions of the policy in
    place of HR's codes."""
    feed = sourced.feed
    usable = ((person, frozenset[str]()) for person in feed.people.values())
    rejections = tuple(
        rejection
        for person, faulty in chain(usable, feed.unusable)
        for rejection in policy_rejections(person, policy, register, feed.place)
        if _is_certain(rejection, person, faulty, policy)
    )
    coded = {
        matricule: replace(person, assignments=assignments)
        for matricule, person in feed.people.items()
        if (assignments := policy.without_codes(person.assignments)) is not person.assignments
    }
    if coded:
        feed = replace(feed, people={**feed.people, **coded})
    if sourced.source.supplement:
        feed = _without_unreadable(feed, policy, register)
    return replace(sourced, feed=feed, judgement=rejections)


def _without_unreadable(feed: Feed, policy: Policy, register: Register) -> Feed:
    """The feed of a supplement without the posts that the policy does not cover: they stay as they are, and
    hold nobody. A person whose name gives no address is held, as far as no other source knows them."""
    people, held = dict(feed.people), dict(feed.held)
    unread = {matricule: {*posts} for matricule, posts in feed.unread.items()}
    for matricule, person in feed.people.items():
        unusable = name_problem(person, policy)
        if unusable is not None:
            held[matricule] = Phrase("rejected rows: {message}", message=str(unusable))
        problems = {problem[0] for problem in assignment_problems(person.assignments, policy, register)}
        if problems:
            unread.setdefault(matricule, set()).update((a.uai, a.function) for a in problems)
            people[matricule] = person.without(problems)
        if unusable is not None or not people[matricule].assignments:
            del people[matricule]
    return replace(feed, people=people, held=held, unread=unread)


def _is_certain(rejection: Rejection, person: Person, faulty: frozenset[str], policy: Policy) -> bool:
    """Whether a rejection holds, whatever is in the columns that could not be read. The profile of a
    function can depend on them."""
    if rejection.column in faulty:
        return False
    if rejection.column != "fonction" or not faulty:
        return True
    function = person.assignments[0].function
    profiles = (profile.when.conditions for profile in policy.profiles)
    return not any(function in conditions.get("fonction", (function,)) for conditions in profiles)


def policy_rejections(person: Person, policy: Policy, register: Register, place: Place) -> list[Rejection]:
    """The rejections of the rows of one person by the policy and the naming rule."""
    lines = dict(zip((a.key for a in person.assignments), person.lines, strict=False))
    problems = assignment_problems(person.assignments, policy, register)
    faults = [(lines.get(post.key, 0), column, code, message) for post, column, code, message in problems]
    first = min(person.lines, default=0)
    unusable = name_problem(person, policy)
    if unusable is not None:
        faults.append((first, unusable.part, unusable.code, str(unusable)))
    internal = internal_address(person.private_mail, policy.domain)
    if internal:
        why = Phrase("{problem}; HR: correct it, or leave it blank", problem=internal)
        faults.append((first, "courriel_prive", "bad-mail", why))
    return [
        Rejection(*place(line), column, code, message, person.matricule)
        for line, column, code, message in faults
    ]


def _silent(sourced: SourcedFeed) -> frozenset[str]:
    """The fields of a person that a feed has no column for."""
    return frozenset(name for name, column in _COLUMNS.items() if column not in sourced.feed.columns)


def _merge_people(
    sourced: SourcedFeed,
    known: Mapping[str, tuple[Assignment, ...]],
    accounts: Mapping[str, Account],
    merged: MergedFeeds,
    rules: Rules,
) -> None:
    """Merges the rows of a person in several feeds. A contradiction holds the person. But if two sources
    differ only in the data of an account, an existing account keeps its data while the assignments change,
    and for a newcomer the source of the higher rank counts. Of several sets of a national feed, the last
    counts. A supplement says nothing about the data of people whom an authoritative source knows."""
    silent = _silent(sourced)
    for matricule, listed in sourced.feed.people.items():
        person = replace(listed, silent=silent) if silent else listed
        before = merged.people.get(matricule)
        is_set = sourced.feed.written is not None
        if before is not None and is_set and before.assignments[0].source == sourced.source.name:
            before = None
        if sourced.source.supplement:
            if before is not None:
                continue
            if rules.supplements.authoritative(known.get(matricule, ())):
                person = replace(person, silent=frozenset(_COLUMNS), birth_date=None, numen=None)
        if before is None:
            merged.people[matricule] = person
            continue
        both, contradictions = merged_person(before, person)
        if "date_naissance" in contradictions and _is_one_person(before, person, matricule in accounts):
            contradictions.remove("date_naissance")
            both, why = _with_one_birth_date(both, before, person, matricule in accounts, rules.ranks)
            uid = accounts[matricule].uid if matricule in accounts else None
            merged.disagreements.append(Disagreement(matricule, uid, ("date_naissance",), why))
        sources = {statement.assignments[0].source for statement in (before, person)}
        resolvable = len(sources) == 2 and set(contradictions) <= set(PERSON_DATA.values())
        columns = ", ".join(contradictions)
        rows = _both_rows(before, person)
        if contradictions and resolvable and matricule not in accounts:
            born = True if before.birth_date and person.birth_date else None
            resolvable = doubt_about(person, before, born) is None
            if resolvable:
                both, counts = _by_rank(both, before, person, rules.ranks)
                why = Phrase(
                    "{rows} differ in {columns}: {source} counts", rows=rows, columns=columns, source=counts
                )
                merged.disagreements.append(Disagreement(matricule, None, tuple(contradictions), why))
        if contradictions and not resolvable:
            why = Phrase("{rows} contradict each other in {columns}", rows=rows, columns=columns)
            merged.hold(matricule, why, HoldCode.CONTRADICTION)
        merged.people[matricule] = both


def _is_one_person(left: Person, right: Person, known: bool) -> bool:
    """Whether the people of two sources are one although their birth dates differ: both rows were found to be
    of the account of their matricule, or NUMEN and names agree."""
    if left.assignments[0].source == right.assignments[0].source:
        return False
    same_numen = left.numen is not None and left.numen == right.numen
    return known or (same_numen and family_agrees(left, right) and given_agrees(left, right))


def _with_one_birth_date(
    merged: Person, left: Person, right: Person, known: bool, ranks: Ranks
) -> tuple[Person, str]:
    """The person of two sources that differ in the birth date: an account keeps that of its own, a newcomer
    gets that of the source of the higher rank; and a sentence about it."""
    first, _ = sorted(
        (left, right), key=lambda statement: ranks.place(statement.assignments[0].source, "birth_date")
    )
    rows = _both_rows(left, right)
    if known:
        why = Phrase("{rows} differ in date_naissance: that of the account stays", rows=rows)
        return replace(merged, birth_date=None), why
    source = first.assignments[0].source
    why = Phrase(
        "{rows} differ in {columns}: {source} counts", rows=rows, columns="date_naissance", source=source
    )
    return replace(merged, birth_date=first.birth_date), why


def _both_rows(left: Person, right: Person) -> str:
    return joined((person.assignments[0].origin for person in (left, right)), "{first} and {second}")


def _by_rank(merged: Person, left: Person, right: Person, ranks: Ranks) -> tuple[Person, str]:
    """A newcomer with the data of the source of the higher rank, and the sources that count for the fields in
    which both differ."""
    values, counts = {}, []
    for name in PERSON_DATA:
        order = sorted(
            (left, right), key=lambda statement: ranks.place(statement.assignments[0].source, name)
        )
        stated = [statement for statement in order if getattr(statement, name)]
        values[name] = getattr(stated[0], name) if stated else ""
        if len({getattr(statement, name) for statement in stated}) > 1:
            counts.append(stated[0].assignments[0].source)
    sources = joined(dict.fromkeys(counts), "{first} and {second}")
    return replace(merged, **values), sources  # type: ignore[arg-type]


def _resolve_disagreements(
    feeds: Sequence[SourcedFeed],
    known: Mapping[str, tuple[Assignment, ...]],
    accounts: Mapping[str, Account],
    merged: MergedFeeds,
    rules: Rules,
) -> None:
    """Keeps for each person with an account the statements that count, and stores the others."""
    deviations = {name: dict(source.deviations) for name, source in merged.sources.items()}

    def fills(source: str, column: str) -> bool:
        past = merged.sources[source].record.past if source in merged.sources else ()
        return not past or any(feed.filled.get(column) for feed in past)

    case = rules.policy.name_case
    resolver = Resolver(rules.as_of, rules.keys, rules.ranks, fills, deviations, case)
    silent = {sourced.source.name: _silent(sourced) for sourced in feeds}
    for matricule, person in merged.people.items():
        account = accounts.get(matricule)
        if account is None or matricule in merged.held:
            continue
        by_source = {s.source.name: s.feed.people[matricule] for s in feeds if matricule in s.feed.people}
        before = known.get(matricule, ())
        assignments = merged.assignments.get(matricule, before)
        authoritative = rules.supplements.authoritative(assignments)
        if authoritative:
            assignments = tuple(authoritative)
            by_source = {s: listed for s, listed in by_source.items() if s not in rules.supplements.names}
            if not by_source:
                continue
        if resolver.is_sole(matricule, by_source, assignments):
            continue
        merged.people[matricule] = resolver.resolved(
            person,
            account,
            {name: replace(person_of, silent=silent[name]) for name, person_of in by_source.items()},
            assignments,
        )
    merged.disagreements += resolver.disagreements
    merged.disputed = {
        *resolver.moved,
        *(disagreement.matricule or "" for disagreement in merged.disagreements),
    }
    for name, after in deviations.items():
        if after != merged.sources[name].deviations:
            merged.sources[name] = replace(merged.sources[name], deviations=after)


_COLUMNS = {**PERSON_DATA, "birth_date": "date_naissance", "numen": "numen"}


def merged_person(first: Person, second: Person) -> tuple[Person, list[str]]:
    """The person merged from two feeds, and the columns that contradict each other.

    A value wins over a blank. Names that differ only in case or accents are equal; the first spelling stays.
    """
    values: dict[str, object] = {}
    contradictions = []
    for name, column in _COLUMNS.items():
        left, right = getattr(first, name), getattr(second, name)
        if left and right and left != right and not (name in NAMES and same_name(left, right)):
            contradictions.append(column)
        values[name] = left or right
    silent = first.silent & second.silent
    return replace(first, silent=silent, **values), contradictions  # type: ignore[arg-type]


def _merge_assignments(
    sourced: SourcedFeed,
    known: Mapping[str, tuple[Assignment, ...]],
    accounts: Mapping[str, Account],
    merged: MergedFeeds,
    rules: Rules,
    accepted: Accepted,
    doubt: Callable[[str], str],
) -> None:
    ends = rules.policy.ends_all

    def doubted(matricule: str) -> bool:
        why = doubt(matricule)
        if why:
            merged.doubted[matricule] = why
        return bool(why)

    def locks(assignment: Assignment) -> bool:
        return assignment.start <= rules.as_of and rules.policy.locks(assignment)

    facts, source = sourced.feed.facts, sourced.source
    waiting: Mapping[Key, Absence] = {}
    if source.name in merged.sources:
        waiting = merged.sources[source.name].absences
    testimony = Testimony(
        source=source.name,
        digest=facts.digest,
        # a feed dated ahead must not put an absence into the future
        day=min(facts.date or rules.as_of, rules.as_of),
        silence=sourced.silence,
        absent_runs=source.absent_runs,
        uais=sourced.feed.written.uais if sourced.feed.written else None,
        gone=sourced.feed.written.gone if sourced.feed.written else frozenset(),
        unread=sourced.feed.unread,
    )
    absences: dict[Key, Absence] = {}
    waiting_of: dict[str, dict[Key, Absence]] = {}
    for key, absence in waiting.items():
        waiting_of.setdefault(key[0], {})[key] = absence
    for matricule in _concerned(sourced, known, merged, waiting):
        before = merged.assignments.get(matricule, known.get(matricule, ()))
        person = sourced.feed.people.get(matricule)
        place = (source.name, matricule)
        apart = place in merged.aside or place in merged.unread_people
        if matricule in merged.held or apart:
            absences.update(waiting_of.get(matricule, {}))
        if apart:
            continue
        if person is not None and not facts.full:
            once = after_feed(matricule, before, person.assignments, testimony, {}, ends, doubted, locks)[0]
            merged.once[matricule] = (merged.people.get(matricule, person), once)
        if matricule in merged.held:
            continue
        rows = person.assignments if person else ()
        after, waits = after_feed(matricule, before, rows, testimony, waiting, ends, doubted, locks)
        absences.update({absence.key: absence for absence in waits})
        for key, absence in waiting_of.get(matricule, {}).items():
            if key in absences or key[1:] in {row.key for row in rows} or not _ended(key, before, after):
                continue
            # stored until a later run finds the assignment ended, because the write of this run may fail
            feeds = tuple(dict.fromkeys([*absence.feeds, facts.digest]))
            absences[key] = replace(absence, feeds=feeds)
            since = absence.since.isoformat()
            absent = Phrase(
                "absent from {feeds} of {source} since {since}",
                feeds=counted(len(feeds), "feed", "feeds"),
                source=source.name,
                since=since,
            )
            merged.notes[matricule] = joined(filter(None, (merged.notes.get(matricule), absent)))
        if after != before:
            merged.assignments[matricule] = after
            if any(testimony.deletes(matricule, a) for a in before if a.source == source.name):
                merged.notes.setdefault(
                    matricule,
                    Phrase("{file} of {source} deletes the person", file=facts.file, source=source.name),
                )
    merged.absents = [a for a in merged.absents if a.source != source.name]
    merged.absents += [
        AbsentAssignment(
            matricule=a.matricule,
            uid=accounts[a.matricule].uid if a.matricule in accounts else None,
            source=source.name,
            uai=a.uai,
            function=a.function,
            start=a.start,
            since=a.since,
            seen=len(a.feeds),
            needed=source.absent_runs,
        )
        for _, a in sorted(absences.items())
        if len(a.feeds) < source.absent_runs
    ]
    record = _record(sourced, merged, rules.as_of, accepted)
    earlier = merged.sources.get(source.name) or SourceMemory(record)
    applied = (*(digest for digest in earlier.applied if digest != record.digest), record.digest)
    parts = dict(earlier.parts)
    if facts.part:
        day = min(facts.date, rules.as_of) if facts.date else None
        parts[facts.kind] = parts.pop(facts.kind, PartRecord()).after(facts.digest, day)
    merged.sources[source.name] = replace(
        earlier,
        record=record,
        absences=absences,
        applied=applied[-REMEMBERED:],
        undone=tuple(d for d in earlier.undone if d != facts.digest),
        again=tuple(d for d in earlier.again if d != facts.digest),
        parts=dict([*parts.items()][-MOST_PARTS:]),
        rejected=_rejected(sourced, accounts) if facts.full else earlier.rejected,
    )


def _rejected(sourced: SourcedFeed, accounts: Mapping[str, Account]) -> tuple[str, ...]:
    """The people without an account whose rows are rejected: a file of corrected rejects is compared with
    them. Those that only lost zeros are not among them."""
    slips = {r.matricule for r in sourced.feed.rejections if r.code == LEADING_ZEROS}
    people = {*sourced.feed.held, *(r.matricule or "" for r in sourced.judgement)}
    return tuple(sorted(people - slips - accounts.keys() - {""})[:MOST_REJECTED])


def _ended(key: Key, before: Sequence[Assignment], after: Sequence[Assignment]) -> bool:
    old = [a for a in before if a.key == key[1:]]
    return bool(old) and old != [a for a in after if a.key == key[1:]]


def _concerned(
    sourced: SourcedFeed,
    known: Mapping[str, tuple[Assignment, ...]],
    merged: MergedFeeds,
    waiting: Mapping[Key, Absence],
) -> Iterable[str]:
    name = sourced.source.name
    silent = [
        matricule
        for matricule, assignments in known.items()
        if matricule not in sourced.feed.people and any(a.source == name for a in assignments)
    ]
    early = [m for m in merged.assignments if m not in known and m not in sourced.feed.people]
    rest = [key[0] for key in waiting]
    return dict.fromkeys([*sourced.feed.people, *silent, *early, *rest])


def _record(sourced: SourcedFeed, merged: MergedFeeds, as_of: date, accepted: Accepted) -> SourceRecord:
    """The record of the source after this feed. A file of corrected rejects does not replace the feed."""
    facts = sourced.feed.facts
    before = merged.sources.get(sourced.source.name)
    if sourced.source.full and not facts.full and before is not None:
        return before.record
    # a feed dated after the run must not make later feeds "older"
    day = min(facts.date, as_of) if facts.date else None
    let_through = facts.digest in accepted.feeds
    return record_of(facts, day, before.record if before else None, accepted=let_through)
