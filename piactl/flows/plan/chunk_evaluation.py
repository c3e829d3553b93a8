"""Evaluates one chunk of people, and makes the rows of the plan for those who need something.

Nothing here talks to the directory, so a separate process may do it (see `flows/processes`): what it needs of
the directory comes with the chunk.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from piactl.core.model.account import Account, State
from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.posix_numbers import GivenNumbers
from piactl.core.plan.change import Change
from piactl.core.plan.guards import counts_of
from piactl.core.plan.run_state import Memory
from piactl.core.plan.sync_cache import EntryDraft, Home, key_of
from piactl.core.rules.address_allocation import Claim, addressed, claim_of, with_number
from piactl.core.rules.career import career_of
from piactl.core.rules.desired import Desired, Rules, Subject
from piactl.core.rules.matching import Traces, traces_of
from piactl.dataclass import dataclass
from piactl.directory.dn import normal_value
from piactl.directory.port import EntryWrite, RawEntry
from piactl.directory.store.accounts import Entry, Unreadable, entry_of
from piactl.feed.people_builder import RowIndex
from piactl.flows.drift import decided
from piactl.flows.plan.deleted_entries import hold_found
from piactl.flows.plan.evaluate import Evaluation
from piactl.flows.plan.incremental import NextCache, home_of
from piactl.flows.plan.inputs.account_index import AccountIndex, ManagedAccounts, traces_of_account
from piactl.flows.plan.inputs.identity_cases import find_cases
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds, SourcedFeed, judged
from piactl.flows.plan.plan_rows import PlanRows, Row, place_of
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.plan.signed_plan_file import row_texts
from piactl.flows.plan.staged import PlannedRow, SharedTraces, Spool, WantedRow


@dataclass(frozen=True, slots=True)
class Chunk:
    """The entries of some accounts, with the uidNumber of each uid that needs one; or some people without an
    account, by matricule, with the DN of the unmanaged entry that has the matricule, if any has."""

    entries: Sequence[RawEntry] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    newcomers: Sequence[str] = ()
    unmanaged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StagedAccount:
    """The order of a staged change, and the cache entries of the account as it is before the run and after
    it."""

    key: str
    uid: str
    before: EntryDraft
    after: EntryDraft | None
    number: int
    loses: bool


@dataclass(slots=True)
class ChunkResult:
    """What a chunk yields. `unchanged` are the cache entries of the accounts that need nothing, `others` the
    uids of those left to the joint evaluation, `lost` the digests of matricules that another program changed,
    `matricules` the hashes of all matricules. Each newcomer has its place in the chunk, the claim without the
    matricule, and its number; the numbers in `traces` count `changed` and `newcomers` from 0."""

    matricules: array[int] = field(default_factory=lambda: array("q"))
    traces: SharedTraces = field(default_factory=SharedTraces)
    lost: set[str] = field(default_factory=set)
    unchanged: list[EntryDraft] = field(default_factory=list)
    changed: list[StagedAccount] = field(default_factory=list)
    newcomers: list[tuple[int, Claim, int]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _ChangedRow:
    """What one account needs."""

    write: AccountWrite
    changes: tuple[Change, ...]
    home: Home | None
    draft: EntryDraft | None


class ChunkEvaluation:
    """`apart` are the people left to the joint evaluation, by matricule, and `sponsors` those by uid. Values
    are staged in `folder` if there are more than `most`."""

    def __init__(
        self,
        accounts: ManagedAccounts,
        rules: Rules,
        sources: Mapping[str, SourceSettings],
        cache: NextCache,
        memory: Memory,
        apart: set[str],
        folder: Path,
        most: int,
    ) -> None:
        self.accounts, self.rules, self.sources, self.cache = accounts, rules, sources, cache
        self.memory, self.apart, self.as_of = memory, apart, rules.as_of
        self.sponsors: frozenset[str] = frozenset()
        # nobody in a chunk waits or is absent
        remembered = {name: replace(source, absences={}) for name, source in memory.sources.items()}
        self.chunk_memory = Memory(memory.last, remembered, cases=memory.cases)
        self.feeds: list[SourcedFeed] = []
        self.rows_of: dict[str, RowIndex] = {}
        self._changed: Spool[_ChangedRow] = Spool(folder, most)
        self._newcomers: Spool[tuple[Account, str]] = Spool(folder, most)
        """The accounts, still without a name, each with the note of its person."""

    def answer(self, request: Chunk | list[WantedRow]) -> ChunkResult | list[PlannedRow]:
        """The answer of a separate process to a request. Raises FeedRefused."""
        return self.evaluate(request) if isinstance(request, Chunk) else list(self.rows(request))

    def evaluate(self, chunk: Chunk) -> ChunkResult:
        """Raises FeedRefused."""
        return self._evaluate_newcomers(chunk) if chunk.newcomers else self._evaluate_accounts(chunk)

    def rows(self, wanted: Iterable[WantedRow]) -> Iterator[PlannedRow]:
        """The rows of staged values, in the order of `wanted`."""
        # nobody here waits, and nobody's drift is listed: those are left to the joint evaluation
        plan_rows = PlanRows(self.accounts, self.rules, AccountIndex(), {}, has_delta=False)
        for wanted_row in wanted:
            if not wanted_row.uid:
                row = self._changed[wanted_row.number]
                yield planned_row((row.write, list(row.changes)), row.home, row.draft)
                continue
            policy = self.rules.policy
            desired = addressed(self._newcomer(wanted_row), wanted_row.local, wanted_row.uid, policy)
            if policy.posix is not None and wanted_row.posix:
                desired = replace(
                    desired, account=with_number(desired.account, wanted_row.posix, policy.posix)
                )
            write = plan_rows.write(desired)
            if write is None:
                raise AssertionError("a new account takes a write")
            draft = self.cache.draft_of(desired.account, b"", self.as_of)
            home = draft.home if draft is not None else home_of(desired.account, self.as_of)
            yield planned_row(plan_rows.row(desired, write), home, draft)

    def _newcomer(self, staged: WantedRow) -> Desired:
        """A staged newcomer. The HR data of the person, with the NUMEN, are in the account; the career is
        made again, because keeping it takes longer."""
        account, note = self._newcomers[staged.number]
        subject = Subject(account.matricule, None, None, account.assignments, note=note)
        career = career_of(account.assignments, self.rules.policy, self.rules.register)
        return Desired(subject, account, career, staged.local)

    def of(self, sourced: SourcedFeed, people: Iterable[str]) -> SourcedFeed:
        """The feed with the rows of these people only, judged."""
        feed, rows = sourced.feed, self.rows_of[sourced.source.name].of(people)
        held = {**feed.held, **rows.held}
        remarked = feed.remarked | rows.remarked
        # the joint evaluation judges the rows of held people
        feed = replace(
            feed, people=rows.people, held=held, unread=rows.unread, remarked=remarked, unusable=()
        )
        return judged(replace(sourced, feed=feed), self.rules.policy, self.rules.register)

    def _evaluate_accounts(self, chunk: Chunk) -> ChunkResult:
        """Keeps the cache entries of the accounts that need nothing, stages what others need, leaves the rest
        to the joint evaluation."""
        index, result = AccountIndex(), ChunkResult()
        # what earlier runs noted of an account is for the joint evaluation, which also ends the note, and
        # reports sponsors who leave
        noted = self.memory.drift.keys() | self.memory.archivals.keys() | self.sponsors
        uids, days, encoding = [], self.rules.policy.drift_days, self.accounts.encoding
        for raw in chunk.entries:
            entry = decided(entry_of(raw, encoding), encoding, self.memory, self.as_of, days)
            matricule, uid = (
                (entry.matricule, entry.uid)
                if isinstance(entry, Unreadable)
                else (entry.account.matricule, entry.account.uid)
            )
            uids.append(uid)
            if matricule is not None:
                result.matricules.append(hash(matricule))
            if isinstance(entry, Unreadable):
                result.lost.add(entry.digest)
                continue
            known = uid in noted or normal_value(uid) in self.memory.unwitnessed
            if matricule not in self.apart and not known and entry.drift is None:
                index.add(entry)
            else:
                result.traces.add_apart(matricule, traces_of_account(entry.account))
        evaluation, merged = self._evaluation(index, index.by_matricule, chunk.numbers)
        stated = dict(merged.people)  # with all NUMENs, also those that a case keeps out
        for entry in index.entries():
            own = traces_of_account(entry.account)
            result.traces.add({*self._traces(stated, entry.account.matricule), *own}, _key(entry))
        desired, _ = self._desired(evaluation, merged)
        unsure = evaluation.unsure(merged, Memory(None, merged.sources))
        changed = set()
        plan_rows = PlanRows(self.accounts, self.rules, index, {}, has_delta=False)
        for wanted in desired:
            current = wanted.subject.current
            account_entry = index.by_matricule.get(wanted.subject.matricule or "")
            if current is not None and account_entry is not None:
                write = plan_rows.write(wanted)
                if wanted.base is not None or write is not None:
                    changed.add(current.uid)
                if write is not None and not {current.uid, current.matricule} & unsure:
                    staged = self._stage(wanted, account_entry, write, plan_rows, evaluation)
                    if staged is not None:
                        number = len(result.changed)
                        result.changed.append(staged)
                        result.traces.changes(number, self._traces(stated, current.matricule))
        changed |= {e.account.uid for e in index.tombstones() if plan_rows.mends_archived(e)}
        result.unchanged += evaluation.cache_entries({*unsure, *changed})
        done = {draft.key for draft in result.unchanged} | {staged.key for staged in result.changed}
        evaluated = {e.account.uid for e in index.entries() if _key(e) in done}
        result.others += [uid for uid in uids if uid not in evaluated]
        return result

    def _stage(
        self, desired: Desired, entry: Entry, write: EntryWrite, plan_rows: PlanRows, evaluation: Evaluation
    ) -> StagedAccount | None:
        """Stages what an account needs. None if that depends on other accounts."""
        current, account, csn = entry.account, desired.account, entry.csn
        if desired.base is not None or account.state is State.ARCHIVED or plan_rows.protected(desired):
            return None
        if current.foreign_addresses:  # another account may have them, and the plan names them
            return None
        before = self.cache.draft_of(current, b"", self.as_of)
        if before is None:  # some source does not list it
            return None
        draft = self.cache.draft_of(account, csn, self.as_of) if evaluation.listed(account) else None
        account_write, changes = plan_rows.row(desired, write)
        row = _ChangedRow(account_write, tuple(changes), home_of(account, self.as_of), draft)
        number = self._changed.add(row)
        return StagedAccount(_key(entry), account_write.uid, before, draft, number, account_write.loses)

    def _evaluate_newcomers(self, chunk: Chunk) -> ChunkResult:
        """Stages the new accounts of people who have none."""
        matricules, result = chunk.newcomers, ChunkResult()
        evaluation, merged = self._evaluation(AccountIndex(), matricules)
        unheld = merged.people.keys() - merged.held.keys()
        hold_found(merged, {m: dn for m, dn in chunk.unmanaged.items() if m in unheld})
        desired, newcomer_traces = self._desired(evaluation, merged)
        unsure = evaluation.unsure(merged, Memory(None, merged.sources))
        by_matricule = {wanted.subject.matricule: wanted for wanted in desired}
        numbers = {}
        for place, matricule in enumerate(matricules):
            wanted = by_matricule.get(matricule)
            claim = claim_of(wanted, self.rules.policy) if wanted else None
            former = wanted is not None and wanted.subject.person is not None and wanted.subject.person.former
            if wanted is not None and claim is not None and matricule not in unsure and not former:
                numbers[matricule] = len(result.newcomers)
                staged = self._newcomers.add((wanted.account, wanted.subject.note))
                result.newcomers.append((place, claim._replace(matricule=""), staged))
        for matricule, traces in newcomer_traces.items():
            result.traces.add(traces)
            if matricule in numbers:
                result.traces.comes(numbers[matricule], traces)
        return result

    def _evaluation(
        self, index: AccountIndex, matricules: Iterable[str], numbers: Mapping[str, int] | None = None
    ) -> tuple[Evaluation, MergedFeeds]:
        feeds = [self.of(sourced, matricules) for sourced in self.feeds]
        evaluation = Evaluation(
            self.rules, self.sources, feeds, self.chunk_memory, index, self.cache, lambda: None
        )
        if self.rules.policy.posix is not None:
            evaluation.numbers = GivenNumbers(self.rules.policy.posix, numbers or {})
        # the joint evaluation, to which archivals are left, knows what earlier runs noted
        evaluation.archives_at_once = True
        return evaluation, evaluation.merge()

    def _desired(
        self, evaluation: Evaluation, merged: MergedFeeds
    ) -> tuple[list[Desired], dict[str, Traces]]:
        """The desired accounts, and the traces of the newcomers by matricule."""
        traces = find_cases(merged, evaluation.index, self.chunk_memory, self.rules)
        return evaluation.desired(evaluation.subjects(merged), ()), traces

    def _traces(self, people: Mapping[str, Person], matricule: str | None) -> set[str]:
        """The traces of a person in the feeds."""
        person = people.get(matricule or "")
        return {*traces_of(person, self.rules.keys)} if person else set()


def planned_row(row: Row, home: Home | None = None, draft: EntryDraft | None = None) -> PlannedRow:
    """A row as it is written."""
    write, changes = row
    return PlannedRow(place_of(row), *row_texts(write, changes), counts_of(changes), home, draft)


def _key(entry: Entry) -> str:
    return key_of(entry.account.uid, entry.account.matricule)
