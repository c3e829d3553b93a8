"""Adoption: makes accounts of existing entries of people in the HR data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from piactl.core.model.account import ADOPTED, Account, State
from piactl.core.model.keyed_digests import NUMEN
from piactl.core.model.person import Assignment, Person
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import UnusableName, local_part
from piactl.core.plan.account_changes import account_facts, change_of, changes_of
from piactl.core.plan.adoption_rules import (
    EntryMatch,
    clashes,
    kept_aliases,
    main_address,
    obstacle,
    recognised,
)
from piactl.core.plan.change import LOSING, Kind
from piactl.core.plan.check_guards import tally
from piactl.core.plan.plan import Basis, Hold, HoldCode, Plan, ReadyPlan
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Write
from piactl.core.rules.address_allocation import numbered
from piactl.core.rules.desired_account import MATRICULE, Desired, Rules, Subject, desired_account
from piactl.core.rules.reasons import sentence, state_reason
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import read_accounts
from piactl.directory.store.account_list import read_account_list
from piactl.directory.store.attribute_map import encoding_of
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.directory.store.state_records import read_memory
from piactl.directory.store.unmanaged_entries import (
    Recognition,
    Stranger,
    adoption_write,
    posix_values,
    read_strangers,
    replaced_values,
)
from piactl.errors import UsageError
from piactl.phrase import Phrase, counted, joined
from piactl.planning.account_index import AccountIndex, ManagedAccounts, census_of, numbers_of
from piactl.planning.find_cases import find_cases
from piactl.planning.load_feeds import check_limits
from piactl.planning.merge_feeds import MergedFeeds, SourcedFeed, judged, merge_feeds


def recognised_entries(
    strangers: Mapping[str, Stranger], merged: MergedFeeds, index: AccountIndex, rules: Rules, by: Recognition
) -> tuple[list[EntryMatch], list[Hold]]:
    """The entries that can be adopted, by uid, and a hold with the reason for each other entry.

    `strangers` are all entries that piactl does not manage, by DN.
    """
    inside = [stranger.incumbent for stranger in strangers.values() if stranger.inside]
    matches, unmatched = recognised(inside, {**merged.people, **merged.held}, _numens(merged, by))
    holds = [
        Hold(entry.matricule, entry.incumbent.uid or entry.incumbent.dn, entry.why, HoldCode.ADOPTION)
        for entry in unmatched
    ]
    names = ((dn, stranger.incumbent.names) for dn, stranger in strangers.items())
    clashing = clashes(matches, index.names, names)
    adoptable = []
    for match in matches:
        incumbent = match.incumbent
        why = _obstacle(match, merged, index, rules) or clashing.get(incumbent.dn, "")
        if why:
            holds.append(Hold(match.matricule, incumbent.uid or incumbent.dn, why, HoldCode.ADOPTION))
        else:
            adoptable.append(match)
    return sorted(adoptable, key=lambda match: match.incumbent.uid), holds


def _numens(merged: MergedFeeds, by: Recognition) -> dict[str, str]:
    """Matricule by digest of the NUMEN, without NUMENs of several people."""
    if not by.numen:
        return {}
    digests = {m: by.digest(p.numen.reveal()) for m, p in merged.people.items() if p.numen is not None}
    owners = Counter(digests.values())
    return {digest: m for m, digest in digests.items() if owners[digest] == 1}


def _obstacle(match: EntryMatch, merged: MergedFeeds, index: AccountIndex, rules: Rules) -> str:
    entry = index.entry(match.matricule, rules.keys)
    if entry is not None:
        return Phrase(
            "its person, matricule {matricule}, already has the account {uid}",
            matricule=match.matricule,
            uid=entry.account.uid,
        )
    if match.matricule in merged.held:
        return merged.held[match.matricule][1]
    if match.incumbent.uid in rules.policy.protected:
        return Phrase("protected: no import touches it")
    return obstacle(match.incumbent, rules.policy.domain)


@dataclass(frozen=True, slots=True)
class _Adoption:
    """An entry and the account that it becomes."""

    match: EntryMatch
    desired: Desired
    write: Write


def propose_adoption(
    reader: Reader,
    directory: DirectorySettings,
    rules: Rules,
    unreadable: UnreadableRecords,
    feeds: Sequence[SourcedFeed],
    *,
    matricule_attribute: str = "",
    numen_attribute: str = "",
    accepted: Collection[str] = (),
) -> ReadyPlan:
    """The plan that makes accounts of the entries of people in the feeds, with its writes.

    Entries are recognised by `matricule_attribute` (default supannEmpId) and, if given, by `numen_attribute`.
    The feeds do not count as applied, and no account changes. Entries that cannot be adopted become holds of
    the plan with the reason. Raises FeedRefused, UsageError, DirectoryTruncated, DirectoryUnreachable.
    """
    by = Recognition(
        matricule_attribute or directory.attributes.get("supannEmpId", "supannEmpId"),
        numen_attribute,
        lambda numen: rules.keys.digest(NUMEN, numen),
    )
    return _Adopting(reader, directory, rules, unreadable, feeds, by).plan(accepted)


class _Adopting:
    def __init__(
        self,
        reader: Reader,
        directory: DirectorySettings,
        rules: Rules,
        unreadable: UnreadableRecords,
        feeds: Sequence[SourcedFeed],
        by: Recognition,
    ) -> None:
        self.reader, self.directory, self.rules, self.by = reader, directory, rules, by
        self.as_of = rules.as_of
        self.encoding = encoding_of(rules.policy, directory, rules.keys)
        self.feeds = [judged(sourced, rules.policy, rules.register) for sourced in feeds]
        self.memory = read_memory(reader, directory.state, rules.keys, unreadable).memory
        self.index = AccountIndex()
        for entry in read_accounts(reader, directory, self.encoding):
            self.index.add(entry)
        self.holds: list[Hold] = []
        listed = read_account_list(reader, directory.state, unreadable)
        accounts = ManagedAccounts(reader, directory, self.encoding)
        self.numbers = numbers_of(accounts, rules.policy, dict(listed.accounts()))

    def plan(self, accepted: Collection[str]) -> ReadyPlan:
        assignments = {m: entry.account.assignments for m, entry in self.index.by_matricule.items()}
        assignments.update({m: waiting.assignments for m, waiting in self.memory.waiting.items()})
        check_limits(self.feeds, self.memory, assignments, self.as_of, accepted)
        accounts = {m: entry.account for m, entry in self.index.by_matricule.items()}
        merged = MergedFeeds(sources=dict(self.memory.sources))
        merge_feeds(self.feeds, assignments, accounts, merged, self.rules)
        find_cases(merged, self.feeds, self.index, self.memory, self.rules)
        try:
            unmanaged = read_strangers(self.reader, self.directory, self.encoding, self.by)
            strangers = {stranger.incumbent.dn: stranger for stranger in unmanaged}
        except ValueError as error:
            names = "--matricule-attribute, --numen-attribute"
            raise UsageError(Phrase("{name}: {text}", name=names, text=str(error))) from None
        matches, self.holds = recognised_entries(strangers, merged, self.index, self.rules, self.by)
        adoptions = list(self._adoptions(matches, strangers, merged))
        return self._planned(adoptions, strangers, merged)

    def _hold(self, match: EntryMatch, why: str) -> None:
        self.holds.append(Hold(match.matricule, match.incumbent.uid, why, HoldCode.ADOPTION))

    def _adoptions(
        self, matches: Iterable[EntryMatch], strangers: Mapping[str, Stranger], merged: MergedFeeds
    ) -> Iterator[_Adoption]:
        for match in matches:
            person = merged.people[match.matricule]
            waiting = self.memory.waiting.get(match.matricule)
            waiting_assignments = waiting.assignments if waiting else ()
            try:
                subject = self._subject(
                    match, person, merged.assignments.get(match.matricule, waiting_assignments)
                )
            except UnusableName as error:
                self._hold(match, str(error))
                continue
            if subject is None:
                why = Phrase(
                    "it has several addresses, none of its uid or its name; leave one of them in its mail"
                )
                self._hold(match, why)
                continue
            desired = desired_account(subject, self.rules)
            if desired is None or desired.account.state is State.ARCHIVED:
                why = Phrase(
                    "its person left so long ago that the account would be archived, and its data erased"
                )
                self._hold(match, why)
                continue
            yield self._adoption(match, strangers[match.incumbent.dn], desired)

    def _subject(
        self, match: EntryMatch, person: Person, assignments: tuple[Assignment, ...]
    ) -> Subject | None:
        """The person, with the entry as an open account; None if its main address is uncertain. Raises
        UnusableName."""
        incumbent, domain, keys = match.incumbent, self.rules.policy.domain, self.rules.keys
        base = local_part(person.given_name, person.usage_name, person.family_name)
        address = main_address(incumbent, domain, base)
        if address is None:
            return None
        aliases = kept_aliases(incumbent, domain, address)
        current = Account(
            uid=incumbent.uid,
            matricule=match.matricule,
            matricule_digests=(keys.digest(MATRICULE, match.matricule),),
            civilite=incumbent.civilite,
            family_name=person.family_name,
            given_name=person.given_name,
            usage_name=person.usage_name,
            private_mail=incumbent.private_mail,
            address=address,
            aliases=aliases,
            identifiers=aliases | {incumbent.uid, address},
            assignments=assignments,
            entitlements=incumbent.rights,
        )
        return Subject(match.matricule, current, person, assignments)

    def _adoption(self, match: EntryMatch, stranger: Stranger, desired: Desired) -> _Adoption:
        # its NUMEN and private address are as new as the account; the age of a password is not known
        proof_changes = ((ADOPTED, self.as_of),)
        posix = posix_values(stranger, self.encoding)
        desired = replace(desired, account=replace(desired.account, proof_changes=proof_changes, posix=posix))
        if posix:
            # entries without these values get a number in the next night
            desired = numbered(desired, self.numbers, stranger.incumbent.dn) or desired
        account = desired.account
        write = adoption_write(stranger, account, self.encoding.fitted_to(self.reader), self.by)
        before, after = replaced_values(stranger, write)
        because = state_reason(desired.career, self.as_of, self.rules.policy, self.rules.register)
        behind = because.assignment
        feed, _, line = (behind.origin if behind else "").rpartition(":")
        facts = {**account_facts(account), "aliases": sorted(account.aliases), **after}
        reason = Phrase("adopted by its {by}; {why}", by=match.by, why=sentence(because))
        adopted = replace(
            change_of(account, Kind.ADOPT, before, facts, reason, self.as_of),
            effective=account.state_from or self.as_of,
            feed=feed or None,
            line=int(line) if line.isdigit() else None,
        )
        # guards count what the rules remove from an entry that had all rights until now
        losses = [change for change in changes_of(desired, self.rules) if change.kind in LOSING]
        return _Adoption(match, desired, write.with_changes(account.uid, (adopted, *losses), self.as_of))

    def _planned(
        self, adoptions: Sequence[_Adoption], strangers: Mapping[str, Stranger], merged: MergedFeeds
    ) -> ReadyPlan:
        changes = [change for adoption in adoptions for change in adoption.write.changes]
        census, counted = census_of(self.index.accounts(), self.as_of), tally(changes)
        facts = (sourced.feed.facts for sourced in self.feeds)
        plan = Plan(
            basis=Basis.of(self.rules, self.directory.accounts, self.memory.last, facts),
            changes=tuple(changes),
            rejections=tuple(merged.rejections),
            holds=tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or ""))),
            refusals=tuple(counted.refusals(census, self.rules.policy, self.as_of)),
            remarks=tuple(self._remarks(adoptions, strangers, merged)),
            summary=counted.by_kind(),
            totals=counted.totals(),
        )
        former = self.memory.last
        layout = former.layout if former else 0
        last = LastRun("", self.as_of, "", "", "", True, census, layout=layout)
        writes = tuple(adoption.write for adoption in adoptions)
        return ReadyPlan(plan, writes, (), last)

    def _remarks(
        self, adoptions: Sequence[_Adoption], strangers: Mapping[str, Stranger], merged: MergedFeeds
    ) -> Iterator[str]:
        inside = [stranger for stranger in strangers.values() if stranger.inside]
        adopted = {adoption.match.matricule for adoption in adoptions}
        without_entry = [m for m in merged.people if m not in adopted and m not in self.index.by_matricule]
        yield Phrase(
            "by {attributes}: {adopted} of {entries} that were not managed",
            attributes=joined(filter(None, [self.by.matricule, self.by.numen]), "{first} and {second}"),
            adopted=len(adopted),
            entries=counted(len(inside), "entry", "entries"),
        )
        if without_entry:
            yield Phrase(
                "{people} of the feed without an entry to adopt: the next night with the feed makes accounts "
                "for those who have an open post, are not held and are in no case; settle the entries on "
                "hold first, or a person may get a second account",
                people=counted(len(without_entry), "person", "people"),
            )
        if not any(stranger.incumbent.matricules for stranger in inside) and inside:
            yield Phrase(
                "no entry has the attribute {attribute}; name the attribute with the matricule: "
                "--matricule-attribute",
                attribute=self.by.matricule,
            )
        shown = sum(stranger.shows_numen for stranger in inside)
        if shown:
            yield Phrase(
                "{entries} with a NUMEN in clear text, a secret: piactl stores a keyed digest; remove the "
                "NUMEN when nothing else needs it",
                entries=counted(shown, "entry", "entries"),
            )
