"""The decisions of administrators about cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from piactl.core.edits import ActRefused
from piactl.core.model.account import masked_mail
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.change import Kind
from piactl.core.plan.identity_case import Case, CaseAnswer, Decision
from piactl.core.plan.run_state import RunStatus
from piactl.core.rules.matching import Doubt, name_text, with_matricule
from piactl.core.rules.reasons import post_text
from piactl.directory.port import Reader, Writer
from piactl.directory.store.accounts import Unreadable, account_write, read_accounts_named
from piactl.directory.store.case_records import case_record, read_case
from piactl.directory.store.records import DATA, Places, parsed, record_write, replace_record
from piactl.errors import NotFound
from piactl.flows.accounts.batch import Batch, PreparedAccount
from piactl.flows.accounts.edit import owner_of
from piactl.flows.apply.run import CommandRun
from piactl.flows.drift import is_held, lost_words
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.queries.accounts import AccountStore


def find_case(reader: Reader, state: str, id_: str) -> tuple[Case, bytes]:
    """A case, and the bytes of its record. Raises NotFound, UnreadableRecord."""
    entry = reader.read(Places(state).case(id_), [DATA])
    if entry is None:
        raise NotFound(f"{id_}: there is no such case; see: piactl match list")
    data = entry.first(DATA) or b""
    return parsed(entry.dn, data, read_case), data


def case_facts(case: Case, settings: Settings, as_of: date) -> dict[str, Any]:
    """A case as one row."""
    decision, matching = case.decision, settings.matching
    urgency = "overdue" if case.overdue(matching, as_of) else "soon" if case.urgent(matching, as_of) else ""
    return {
        "case": case.id,
        "doubt": case.doubt.value,
        "source": case.source,
        "matricule": case.matricule,
        "name": name_text(case.person),
        "of": [*case.accounts, *case.people],
        "since": case.since.isoformat(),
        "days": (as_of - case.since).days,
        "urgency": urgency,
        "decision": decision.answer.value if decision else None,
        "by": decision.by if decision else None,
        "reason": decision.reason if decision else None,
    }


def case_view(case: Case, store: AccountStore, settings: Settings, as_of: date) -> dict[str, Any]:
    """A case with what HR states beside each account; private addresses are masked."""
    policy = store.policy
    sides = [_side(case.matricule, name_text(case.person), case.person, "", (), policy)]
    for entry in read_accounts_named(store.reader, store.directory, store.encoding, list(case.accounts)):
        if not isinstance(entry, Unreadable):
            account, words = entry.account, case.evidence.get(entry.account.uid, ())
            name = "" if account.matricule is None else name_text(account)
            sides.append(_side(account.uid, name, account, account.state.value, words, policy))
    sides += [
        _side(matricule, "", None, "no account yet", case.evidence.get(matricule, ()), policy)
        for matricule in case.people
    ]
    facts = case_facts(case, settings, as_of)
    return {**facts, "origin": case.origin, "sides": sides, "answers": _answers(case)}


def _side(
    who: str, name: str, person: Any, state: str, words: Iterable[str], policy: Policy
) -> dict[str, Any]:
    return {
        "who": who,
        "name": name,
        "civilite": person.civilite if person else "",
        "private_mail": masked_mail(person.private_mail) if person else None,
        "state": state,
        "assignments": [post_text(a, policy) for a in person.assignments] if person else [],
        "evidence": list(words),
    }


def _answers(case: Case) -> dict[str, str]:
    """The effect of each answer, in words."""
    whose = " or ".join(case.evidence)
    if not case.others:
        return {
            "same": f"with --account, the matricule {case.matricule} joins that account, and the next "
            "night with the feed brings its posts",
            "different": f"{case.matricule} stays without an account; the case is closed",
        }
    if case.of_newcomer:
        return {
            "same": f"the matricule {case.matricule} joins {whose}: no second account is made, and the next "
            "night with the feed brings its posts",
            "different": f"the next night with the feed makes an account of its own for {case.matricule}; a "
            "NUMEN that both have stays where it is",
        }
    if not case.gates:
        return {
            "same": f"{case.matricule} and {whose} are two accounts of one person: piactl account merge",
            "different": f"the NUMEN stays with {whose}; ask HR to correct it for {case.matricule}",
        }
    return {
        "same": f"the next night with the feed takes over what {case.source} states of {case.matricule}",
        "different": f"what {case.source} states of {case.matricule} is not applied; ask HR to correct it",
    }


def decide(writer: Writer, command: CommandRun, id_: str, decision: Decision | None) -> Case:
    """Writes the decision of a case, or takes it back (None), by one asserted write; returns the case.

    Raises NotFound, ActRefused if it has this decision already, and what `CommandRun.locked` raises.
    """
    state = command.settings.directory.state
    with command.locked(writer) as run:
        case, data = find_case(writer, state, id_)
        if (case.decision and case.decision.answer) == (decision and decision.answer):
            raise ActRefused(
                f"{id_}: this is the decision already"
                if decision
                else f"{id_}: it is not decided; see: piactl match list --decided"
            )
        answer = decision.answer.value if decision else "open again"
        note = f"case {id_} of matricule {case.matricule}: {answer}"
        run.journal.note(f"{note}: {command.order.reason}")
        case = replace(case, decision=decision)
        replace_record(writer, Places(state).case(id_), data, case_record(case))
        run.journal.end({})
        run.record(
            RunStatus.DONE,
            note=note,
            decided=[id_, answer],
        )
    return case


def prepare_join(store: AccountStore, id_: str, decision: Decision) -> Batch:
    """The write that joins the matricule of a case to the account that it decides on, and the record of the
    decision after it. Raises NotFound, ActRefused."""
    case, data = find_case(store.reader, store.directory.state, id_)
    owner = owner_of(store, case.matricule)
    if owner is not None:
        raise ActRefused(
            f"{id_}: matricule {case.matricule} has the account {owner.account.uid} by now; if both are one "
            f'person: piactl account merge {owner.account.uid} {decision.one} --reason "..."'
        )
    stored_entry = next(
        iter(read_accounts_named(store.reader, store.directory, store.encoding, [decision.one])), None
    )
    if stored_entry is None:
        raise NotFound(f"{decision.one}: no account has this uid")
    entry = store.decided(stored_entry)
    if isinstance(entry, Unreadable):
        raise ActRefused(entry.why)
    if entry.drift is not None and is_held(entry):
        raise ActRefused(lost_words(entry, entry.drift.unknown))
    if entry.account.protected:
        raise ActRefused(
            f"{decision.one}: the account is protected; remove it from `protected` of the policy first"
        )
    account = with_matricule(entry.account, case.matricule, store.keys)
    encoding = store.encoding.fitted_to(store.reader)
    write = account_write(store.directory, encoding, entry, account)
    record = case_record(replace(case, decision=decision))
    decision_write = record_write(Places(store.directory.state).case(id_), data, record)
    if write is None or decision_write is None:
        raise ActRefused(f"{id_}: this is the decision already")
    reason = f"case {id_}: {decision.reason}"
    rows = [
        AccountWrite(decision.one, (Kind.UPDATE.value,), reason, entry_write)
        for entry_write in (write, decision_write)
    ]
    note = "the next night with the feed brings the posts of the matricule"
    people = (entry.account,)
    return Batch(
        (PreparedAccount(id_, decision.one, (), rows[0], then=(rows[1],), note=note, people=people),)
    )


def decision_on(case: Case, answer: CaseAnswer, name: str, by: str, reason: str, day: date) -> Decision:
    """The decision on a case. `name` is the account or person meant; it may be "" if the case has only one.
    Raises ActRefused."""
    others = [*case.accounts, *case.people]
    if answer is CaseAnswer.DIFFERENT:
        return Decision(answer, by, reason, day)
    if case.doubt is Doubt.SHARED_NUMEN:
        raise ActRefused(
            f"{case.id}: these are two accounts. If they are of one person: "
            f'piactl account merge {case.matricule} {name or others[0]} --reason "..."'
        )
    if not others and not name:
        raise ActRefused(f"{case.id}: add --account, the account of this person")
    if name and others and name not in others:
        raise ActRefused(f"{case.id}: {name} is not of this case; it is about {' and '.join(others)}")
    if len(others) > 1 and not name:
        raise ActRefused(f"{case.id}: add --account, one of {', '.join(others)}")
    return Decision(answer, by, reason, day, name or others[0])
