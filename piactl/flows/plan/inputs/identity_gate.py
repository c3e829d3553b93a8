"""The gate: a row changes the account of its matricule only if it describes the same person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piactl.core.model.account import Account
from piactl.core.model.person import Person
from piactl.core.plan.identity_case import Answer, Case, renewed, stated
from piactl.core.plan.plan import HoldCode
from piactl.core.plan.run_state import Memory, bare
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import compared, doubt_about, same_birth
from piactl.core.rules.same_person import Named
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds, SourcedFeed


def those_let_in(
    feeds: Sequence[SourcedFeed],
    accounts: Mapping[str, Account],
    memory: Memory,
    merged: MergedFeeds,
    rules: Rules,
) -> list[SourcedFeed]:
    """The feeds without the people whom a case keeps from the account of their matricule, or from the
    person in waiting; `accounts` has archived ones too. The cases are in `merged`, and what is known goes
    on.

    What waits for an account is compared as well: it may come from a delta whose people were held.
    """
    let_in = []
    for sourced in feeds:
        source, apart = sourced.source.name, set()
        for matricule, person in sourced.feed.people.items():
            case = _case(matricule, person, source, accounts, memory, rules)
            if case is not None and _keeps_out(case, merged):
                apart.add(matricule)
                merged.aside[source, matricule] = case
            merged.asked.add((source, matricule))
        if apart:
            people = {m: person for m, person in sourced.feed.people.items() if m not in apart}
            sourced = replace(sourced, feed=replace(sourced.feed, people=people))
        let_in.append(sourced)
    for matricule, waiting in memory.waiting.items():
        account = accounts.get(matricule)
        born = True if account and account.identity_digest in (waiting.births[0], None) else None
        case = _compared(waiting.person, account, born, "waiting", rules, memory) if account else None
        if case is not None and _keeps_out(case, merged):
            merged.hold(matricule, case.why, HoldCode.CASE)
    return let_in


def _keeps_out(case: Case, merged: MergedFeeds) -> bool:
    merged.cases[case.id] = case
    if case.answered(Answer.SAME) and case.decision is not None:
        merged.notes[case.matricule] = f"case {case.id}, {case.decision.by}: {case.decision.reason}"
        return False
    return True


def _case(
    matricule: str, person: Person, source: str, accounts: Mapping[str, Account], memory: Memory, rules: Rules
) -> Case | None:
    account, waiting = accounts.get(matricule), memory.waiting.get(matricule)
    if account is not None:
        known: Named = account
        births = (account.identity_digest, account.birth_digest)
    elif waiting is not None:
        known, births = waiting.person, waiting.births
    else:
        return None
    return _compared(person, known, same_birth(person, *births, rules.keys), source, rules, memory)


def _compared(
    person: Person, known: Named, born: bool | None, source: str, rules: Rules, memory: Memory
) -> Case | None:
    doubt = doubt_about(person, known, born)
    if doubt is None:
        return None
    uid = known.uid if isinstance(known, Account) else None
    case = Case(
        doubt=doubt,
        source=source,
        person=replace(bare(person), assignments=person.assignments),
        accounts=() if uid is None else (uid,),
        people=(person.matricule,) if uid is None else (),
        evidence={uid or person.matricule: compared(person, known, born)},
        since=rules.as_of,
        stated=stated(rules.keys, person),
    )
    return renewed(case, person, memory.cases, rules.keys)
