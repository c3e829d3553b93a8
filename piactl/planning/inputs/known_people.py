"""The gate: a row changes the account of its matricule, or the person in waiting, only if it is of the same
person. Else it is a case."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from piactl.core.model.account import Account
from piactl.core.model.keyed_digests import NUMEN, DigestKeys
from piactl.core.model.person import Person
from piactl.core.plan.identity_case import (
    Case,
    CaseAnswer,
    renewed,
    stated,
    states_again,
)
from piactl.core.plan.memory import Memory, Waiting, bare
from piactl.core.plan.plan import HoldCode, Rejection
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import (
    STRONG,
    Doubt,
    Named,
    births_of,
    compared,
    doubt_about,
    family_agrees,
    given_agrees,
    same_birth,
    traces_of,
)
from piactl.phrase import Phrase
from piactl.planning.inputs.account_index import AccountIndex, traces_of_account
from piactl.planning.inputs.merge_feeds import MergedFeeds, SourcedFeed


def reject_if_wrong(case: Case, person: Person, merged: MergedFeeds) -> bool:
    """Rejects the rows of a person if it is decided that they are wrong."""
    if case.decision is None or case.wrong_matricule != person.matricule:
        return False
    decision = case.decision
    why = Phrase(
        "case {id}: {by} decided on {day} that this row is wrong: {reason}",
        id=case.id,
        by=decision.by,
        day=decision.day,
        reason=decision.reason,
    )
    for assignment in person.assignments or (None,):
        file, _, line = (assignment.origin if assignment else "").rpartition(":")
        number = int(line) if line.isdecimal() else 0
        rejection = Rejection(file, number, "matricule", "wrong-row", why, person.matricule)
        merged.rejections.append(rejection)
    return True


def those_let_in(
    feeds: Sequence[SourcedFeed],
    accounts: Mapping[str, Account],
    index: AccountIndex,
    memory: Memory,
    merged: MergedFeeds,
    rules: Rules,
) -> list[SourcedFeed]:
    """The feeds without the people whom a case separates from the account of their matricule, or from the
    person in waiting. The account then keeps the known data. `accounts` has archived ones too. The cases are
    added to `merged`.

    People in waiting who have an account are compared as well: they may come from a delta whose people were
    held.
    """
    let_in = []
    names = {sourced.source.name for sourced in feeds}
    for sourced in feeds:
        source, people = sourced.source.name, dict(sourced.feed.people)
        # a delta does not say again what was left out, so it waits for nobody
        heard = names if sourced.feed.facts.full else {*memory.sources}
        for matricule, person in sourced.feed.people.items():
            account, waiting = accounts.get(matricule), memory.waiting.get(matricule)
            if account is not None or waiting is not None:
                gate = _Gate(person, account, waiting, source, heard, rules, memory)
                case = gate.case(index, [o.feed.people.get(matricule) for o in feeds if o is not sourced])
                if case is not None:
                    case = _asked_already(case, person, merged, rules.keys)
                    if _keeps_out(case, merged):
                        del people[matricule]
                        merged.aside[source, matricule] = case
                        reject_if_wrong(case, person, merged)
                elif gate.without_birth:
                    people[matricule] = replace(person, birth_date=None)
            merged.asked.add((source, matricule))
        let_in.append(replace(sourced, feed=replace(sourced.feed, people=people)))
    for matricule, waiting in memory.waiting.items():
        account = accounts.get(matricule)
        if account is not None:
            born = True if account.identity_digest in (waiting.births[0], None) else None
            doubt = doubt_about(waiting.person, account, born)
            if doubt is not None:
                case = _gating(doubt, waiting.person, account, born, "waiting", {}, rules, memory)
                if _keeps_out(case, merged):
                    merged.hold(matricule, case.why, HoldCode.CASE)
    return let_in


def _asked_already(case: Case, person: Person, merged: MergedFeeds, keys: DigestKeys) -> Case:
    """The case; if another source asks the same question tonight, that one."""
    gating = {id_: asked for id_, asked in merged.cases.items() if asked.gates}
    return renewed(case, person, gating, keys) if gating and case.id not in gating else case


def _keeps_out(case: Case, merged: MergedFeeds) -> bool:
    merged.cases[case.id] = case
    if case.answered(CaseAnswer.SAME) and case.decision is not None:
        merged.notes[case.matricule] = Phrase(
            "case {id}, {by}: {reason}", id=case.id, by=case.decision.by, reason=case.decision.reason
        )
        return False
    return True


@dataclass(slots=True)
class _Gate:
    """Compares a row with the account of its matricule, or with the person in waiting. `without_birth`: the
    row is let in, but not its birth date, which is taken for a typing error."""

    person: Person
    account: Account | None
    waiting: Waiting | None
    source: str
    heard: Collection[str]
    """The sources that are not waited for: those that have a feed tonight."""
    rules: Rules
    memory: Memory
    without_birth: bool = False

    def case(self, index: AccountIndex, elsewhere: Iterable[Person | None]) -> Case | None:
        """The case; None if it is the same person. `elsewhere`: what other sources state of them tonight."""
        person, keys = self.person, self.rules.keys
        known: Named
        if self.account is not None:
            known, births = self.account, births_of(self.account)
        elif self.waiting is not None:
            known, births = self.waiting.person, self.waiting.births
        else:
            return None
        born = same_birth(person, *births, keys)
        doubt = doubt_about(person, known, born)
        if doubt is None or (doubt is Doubt.BIRTH_CHANGED and self._confirmed(list(elsewhere))):
            return None
        also = _also_of(person, self.account, index, keys)
        return _gating(doubt, person, known, born, self.source, also, self.rules, self.memory)

    def _confirmed(self, elsewhere: Sequence[Person | None]) -> bool:
        """Whether a changed birth date needs no decision: the account had it before somebody decided about
        the one that it has now, or another source states the same one. It is an error if HR has corrected it
        once, or if the NUMEN is that of the account and another source states the date of the account, or may
        still do so."""
        person, keys = self.person, self.rules.keys
        self.without_birth = any(states_again(case, person, keys) for case in self.memory.cases.values())
        if self.without_birth:
            return True
        decided = (
            case
            for case in self.memory.cases.values()
            if case.matricule == person.matricule and case.gates and case.answered(CaseAnswer.SAME)
        )
        if any(same_birth(person, None, birth, keys) for case in decided for birth in case.births):
            return True
        others = [
            other
            for other in elsewhere
            if other is not None and family_agrees(other, person) and given_agrees(other, person)
        ]
        if any(other.birth_date == person.birth_date for other in others):
            return True
        account = self.account
        if account is None or person.numen is None:
            return False
        same_numen = account.numen_digest in keys.candidates(NUMEN, person.numen.reveal())
        self.without_birth = same_numen and (
            any(same_birth(other, *births_of(account), keys) for other in others)
            or self._may_be_heard(account)
        )
        return self.without_birth

    def _may_be_heard(self, account: Account) -> bool:
        """Whether another source, of which a post runs, has no feed tonight and had one lately: one that
        states another birth date all the time is asked about at no night on which the other one is late."""
        rules, sources = self.rules, self.memory.sources
        running = [a for a in account.assignments if not a.is_over(rules.as_of)]
        names = {a.source for a in rules.supplements.authoritative(running)} - {*self.heard}
        last = [sources[name].record.date for name in names & sources.keys()]
        most = rules.matching.max_hold_days
        return any(day is not None and (rules.as_of - day).days <= most for day in last)


def _also_of(
    person: Person, account: Account | None, index: AccountIndex, keys: DigestKeys
) -> dict[str, tuple[str, ...]]:
    """The other accounts that have the NUMEN or the identity of a row, with the evidence: the row may be
    theirs, under the wrong matricule."""
    traces, also = traces_of(person, keys), {}
    for holder in (holder for trace in traces for holder in index.holders.get(trace, ())):
        words = traces.evidence(traces_of_account(holder))
        if holder is not account and not STRONG.isdisjoint(words):
            also[holder.uid] = words
    return also


def _gating(
    doubt: Doubt,
    person: Person,
    known: Named,
    born: bool | None,
    source: str,
    also: Mapping[str, tuple[str, ...]],
    rules: Rules,
    memory: Memory,
) -> Case:
    uid = known.uid if isinstance(known, Account) else None
    birth = known.birth_digest if isinstance(known, Account) else None
    case = Case(
        doubt=doubt,
        source=source,
        person=replace(bare(person), assignments=person.assignments),
        accounts=tuple(dict.fromkeys([*filter(None, [uid]), *sorted(also)])),
        newcomers=() if uid is not None else (bare(person),),
        evidence={uid or person.matricule: compared(person, known, born), **also},
        since=rules.as_of,
        stated=stated(rules.keys, person),
        births=(birth,) if birth and doubt is Doubt.BIRTH_CHANGED else (),
    )
    return renewed(case, person, memory.cases, rules.keys)
