"""The decisions of administrators about cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from piactl.core.acts import ActRefused, Altered, Author
from piactl.core.acts.merge_values import without_joined
from piactl.core.model.account import Account, masked_mail, merged_into
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.case import Case, CaseAnswer, Decision
from piactl.core.plan.change import Kind
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.matching import Doubt, name_text, with_matricule
from piactl.core.rules.reasons import post_text
from piactl.core.text import facts_of
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.store.account_entries import Unreadable, account_write, read_accounts_named
from piactl.directory.store.record_entries import DATA, Places, parsed, record_write, replace_record, stored
from piactl.directory.store.state_records import CASE
from piactl.directory.store.typed_records import to_json
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch, PreparedAccount
from piactl.edits.one_off_change import owner_of, prepare
from piactl.errors import NotFound
from piactl.phrase import Phrase, joined
from piactl.planning.drift_by_rules import held_words
from piactl.runs.begin_run import begin_run
from piactl.runs.run import CommandRun


def find_case(reader: Reader, state: str, id_: str) -> tuple[Case, bytes]:
    """A case, and the bytes of its record. Raises NotFound, UnreadableRecord."""
    case, data = stored_case(reader, state, id_)
    if case is None or data is None:
        raise NotFound(Phrase("{id}: there is no such case; see: piactl match list", id=id_))
    return case, data


def stored_case(reader: Reader, state: str, id_: str) -> tuple[Case | None, bytes | None]:
    """A case, and the bytes of its record; None if there is none. Raises UnreadableRecord."""
    place = Places(state).case(id_)
    data = stored(reader.read(place, [DATA]))
    return (parsed(place, data, CASE), data) if data is not None else (None, None)


def case_row(store: AccountStore, case: Case, data: bytes | None, uid: str, reason: str) -> Write | None:
    """The write of a case, whose record holds `data`, as it follows the write of an account; None if the
    record says the same."""
    write = record_write(Places(store.directory.state).case(case.id), data, to_json(case))
    return write.with_reason(uid, (Kind.UPDATE.value,), reason) if write is not None else None


def case_facts(case: Case, settings: Settings, as_of: date) -> dict[str, Any]:
    """A case as one row."""
    decision, matching = case.decision, settings.matching
    urgency = Phrase("soon") if case.urgent(matching, as_of) else ""
    if case.overdue(matching, as_of):
        urgency = Phrase("overdue")
    return {
        "case": case.id,
        **facts_of(case, "doubt", "source", "matricule", "since"),
        "name": name_text(case.person),
        "of": [*case.accounts, *case.people],
        "days": (as_of - case.since).days,
        "urgency": urgency,
        "decision": decision.answer.value if decision else None,
        "by": decision.by if decision else None,
        "reason": decision.reason if decision else None,
    }


def case_view(case: Case, store: AccountStore, settings: Settings, as_of: date) -> dict[str, Any]:
    """A case with what HR states beside each account and newcomer; private addresses are masked."""
    policy = store.policy
    sides = [_side(case.matricule, name_text(case.person), case.person, "", (), policy)]
    for entry in read_accounts_named(*store.managed, list(case.accounts)):
        if not isinstance(entry, Unreadable):
            account, words = entry.account, case.evidence.get(entry.account.uid, ())
            name = "" if account.matricule is None else name_text(account)
            sides.append(_side(account.uid, name, account, account.state.value, words, policy))
    for person in case.newcomers:
        words = case.evidence.get(person.matricule, ())
        sides.append(
            _side(person.matricule, name_text(person), person, Phrase("no account yet"), words, policy)
        )
    facts = case_facts(case, settings, as_of)
    answers = _answers(case)
    return {
        **facts,
        "origin": case.origin,
        "sides": sides,
        "newcomers": list(case.people),
        "answers": answers,
    }


def _side(
    who: str, name: str, person: Any, state: str, words: Iterable[str], policy: Policy
) -> dict[str, Any]:
    return {
        "who": who,
        "name": name,
        "civilite": person.civilite,
        "private_mail": masked_mail(person.private_mail),
        "state": state,
        "assignments": [post_text(a, policy) for a in person.assignments],
        "evidence": list(words),
    }


def _answers(case: Case) -> dict[str, str]:
    whose = joined(case.evidence, "{first} or {second}")
    wrong = Phrase(
        "what {source} states of {matricule} is rejected until HR corrects it",
        source=case.source or Phrase("HR"),
        matricule=case.matricule,
    )
    if not case.others:
        return {
            "same": Phrase(
                "with --account, the matricule {matricule} joins that account, and the next night with the "
                "feed brings its posts",
                matricule=case.matricule,
            ),
            "different": Phrase(
                "{matricule} stays without an account; the case is closed", matricule=case.matricule
            ),
        }
    if case.of_newcomer and not case.accounts:
        numbers = ", ".join([case.matricule, *case.people])
        return {
            "same": Phrase(
                "the next night with a feed makes one account for the matricules {numbers}", numbers=numbers
            ),
            "different": Phrase(
                "the next night with a feed makes an account for each; a NUMEN that both have goes to the "
                "first"
            ),
            "wrong-row": Phrase(
                "with --matricule, one of {numbers}: that row is rejected until HR corrects it",
                numbers=numbers,
            ),
        }
    if case.of_newcomer:
        return {
            "same": Phrase(
                "the matricule {matricule} joins {whose}: no second account is made, and the next night "
                "with the feed brings its posts",
                matricule=case.matricule,
                whose=whose,
            ),
            "different": Phrase(
                "the next night with the feed makes an account of its own for {matricule}; a NUMEN that "
                "both have stays where it is",
                matricule=case.matricule,
            ),
            "wrong-row": joined([wrong, Phrase("nobody gets an account by it")]),
        }
    if case.doubt is Doubt.SHARED_NUMEN:
        return {
            "same": Phrase(
                "{matricule} and {whose} are two accounts of one person: piactl account merge",
                matricule=case.matricule,
                whose=whose,
            ),
            "different": Phrase(
                "the NUMEN stays with {whose}; ask HR to correct it for {matricule}",
                whose=whose,
                matricule=case.matricule,
            ),
        }
    if case.doubt is Doubt.SHARED_IDENTITY:
        return {
            "same": Phrase(
                "{matricule} and {whose} are two accounts of one person: piactl account merge",
                matricule=case.matricule,
                whose=whose,
            ),
            "different": Phrase("two people have the same names and birth date; both keep their accounts"),
        }
    return {
        "same": Phrase(
            "the next night with the feed takes over what {source} states of {matricule}",
            source=case.source,
            matricule=case.matricule,
        ),
        "different": Phrase(
            "what {source} states of {matricule} is another person's, and is not applied; the case stays "
            "listed until HR corrects it",
            source=case.source,
            matricule=case.matricule,
        ),
        "wrong-row": joined([wrong, Phrase("the account stays as it is")]),
    }


def refuse_second(case: Case, decision: Decision | None) -> None:
    """Raises ActRefused if a case is decided and would get another answer, or is not decided and would be
    opened again."""
    if decision is None:
        if case.open:
            raise ActRefused(Phrase("{id}: it is not decided; see: piactl match list --decided", id=case.id))
    elif case.decision is not None:
        before = case.decision
        if before.answer is decision.answer:
            raise ActRefused(Phrase("{id}: this is the decision already", id=case.id))
        raise ActRefused(
            Phrase(
                "{id}: {by} decided on {day}: {answer}. For another answer, first: piactl match forget {id} "
                '--reason "..."',
                id=case.id,
                by=before.by,
                day=before.day,
                answer=before.answer.value,
            )
        )


def decide(writer: Writer, command: CommandRun, id_: str, decision: Decision | None) -> Case:
    """Writes the decision of a case, or takes it back (None), by one asserted write; returns the case.

    Raises NotFound, ActRefused if it is decided already, and what `begin_run` raises.
    """
    state = command.settings.directory.state
    with begin_run(command, writer, locked=True) as run:
        case, data = find_case(writer, state, id_)
        refuse_second(case, decision)
        answer = decision.answer.value if decision else Phrase("open again")
        note = Phrase(
            "case {id} of matricule {matricule}: {answer}", id=id_, matricule=case.matricule, answer=answer
        )
        run.journal.note(f"{note}: {command.order.reason}")
        case = replace(case, decision=decision)
        replace_record(writer, Places(state).case(id_), data, to_json(case))
        run.facts["decided"] = [id_, answer]
        run.end(note=note)
    return case


def prepare_join(store: AccountStore, id_: str, decision: Decision) -> Batch:
    """The write that joins the matricule of a case to the account that it decides on, and the record of the
    decision after it. Raises NotFound, ActRefused."""
    case, data = find_case(store.reader, store.directory.state, id_)
    refuse_second(case, decision)
    owner = owner_of(store, case.matricule)
    if owner is not None:
        raise ActRefused(
            Phrase(
                "{id}: matricule {matricule} has the account {uid} by now; if both are one person: "
                'piactl account merge {uid} {other} --reason "..."',
                id=id_,
                matricule=case.matricule,
                uid=owner.account.uid,
                other=decision.one,
            )
        )
    entry = find_entry(store, decision.one)
    if held := held_words(entry):
        raise ActRefused(held)
    if entry.account.protected:
        raise ActRefused(
            Phrase(
                "{uid}: the account is protected; remove it from `protected` of the policy first",
                uid=decision.one,
            )
        )
    account = with_matricule(entry.account, case.matricule, store.keys)
    write = account_write(store.directory, store.encoding, entry, account)
    if write is None:
        raise ActRefused(Phrase("{id}: this is the decision already", id=id_))
    row = write.with_reason(
        decision.one, (Kind.UPDATE.value,), Phrase("case {id}: {reason}", id=id_, reason=decision.reason)
    )
    note = Phrase("the next night with the feed brings the posts of the matricule")
    writes = (row, _decision_row(store, case, data, decision, decision.one))
    people = (entry.account,)
    return Batch((PreparedAccount(id_, decision.one, writes=writes, note=note, people=people),))


def _decision_row(store: AccountStore, case: Case, data: bytes, decision: Decision, uid: str) -> Write:
    """The write of a decision, as it follows the write of an account."""
    reason = Phrase("case {id}: {reason}", id=case.id, reason=decision.reason)
    row = case_row(store, replace(case, decision=decision), data, uid, reason)
    if row is None:
        raise ActRefused(Phrase("{id}: this is the decision already", id=case.id))
    return row


def joined_account(store: AccountStore, case: Case, matricule: str) -> str:
    """The uid of the account that a decided case has joined a matricule to; "" if there is none, or if it is
    the only matricule of the account."""
    if not (case.of_newcomer and case.answered(CaseAnswer.SAME)):
        return ""
    owner = owner_of(store, matricule)
    if owner is None or len(owner.account.matricule_digests) < 2:
        return ""
    return owner.account.uid


def prepare_separation(
    store: AccountStore, id_: str, matricule: str, decision: Decision, author: Author
) -> Batch:
    """Takes a matricule, with the posts that HR lists under it, off the account that it joined, and records
    the decision about its case after that. No account is made. Raises NotFound, ActRefused."""
    case, data = find_case(store.reader, store.directory.state, id_)
    uid = joined_account(store, case, matricule)

    def act(account: Account, rules: Rules) -> Altered:
        return Altered(without_joined(account, matricule, rules), author.note)

    batch = prepare(store, [uid], act, author.reason)
    (prepared,) = batch.accounts
    if prepared.error is not None:
        raise prepared.error
    note = Phrase("matricule {matricule} and its posts are taken off {uid}", matricule=matricule, uid=uid)
    writes = (*prepared.writes, _decision_row(store, case, data, decision, uid))
    return replace(batch, accounts=(replace(prepared, writes=writes, note=note),))


def are_one_account(store: AccountStore, case: Case) -> bool:
    """Whether the accounts of a case have been merged into the one of its matricule."""
    owner = owner_of(store, case.matricule)
    if owner is None:
        return False
    others = read_accounts_named(*store.managed, list(case.accounts))
    uids = {
        merged_into(entry.account, store.keys) or entry.account.uid
        for entry in others
        if not isinstance(entry, Unreadable)
    }
    return uids <= {owner.account.uid}


def wrong_matricule(case: Case, matricule: str) -> str:
    """The matricule of the wrong row of a case: the one that is named, or the only one. Raises ActRefused."""
    rows = [case.matricule, *case.people] if case.of_newcomer else [case.matricule]
    by_rule = case.decision is not None and case.decision.by_rule
    if matricule:
        if matricule not in rows:
            raise ActRefused(
                Phrase(
                    "{id}: {matricule} is not of this case; its rows are of {rows}",
                    id=case.id,
                    matricule=matricule,
                    rows=", ".join(rows),
                )
            )
        return matricule
    if len(rows) > 1 and not by_rule:
        raise ActRefused(
            Phrase(
                "{id}: add --matricule, that of the wrong row, one of {rows}",
                id=case.id,
                rows=", ".join(rows),
            )
        )
    return case.matricule


def decision_on(
    case: Case, answer: CaseAnswer, name: str, by: str, reason: str, day: date, *, merged: bool = False
) -> Decision:
    """The decision on a case. `name` is the account or person meant, or the matricule of the wrong row; it
    may be "" if the case has only one. `merged`: its accounts are one by now. Raises ActRefused."""
    others = [*case.accounts, *case.people]
    if answer is CaseAnswer.WRONG_ROW:
        return Decision(answer, by, reason, day, wrong_matricule(case, name))
    if answer is CaseAnswer.DIFFERENT:
        return Decision(answer, by, reason, day)
    if case.doubt in (Doubt.SHARED_NUMEN, Doubt.SHARED_IDENTITY) and not merged:
        raise ActRefused(
            Phrase(
                "{id}: these are two accounts. If they are of one person: piactl account merge {matricule} "
                '{other} --reason "..."',
                id=case.id,
                matricule=case.matricule,
                other=name or others[0],
            )
        )
    if case.gates:
        return Decision(answer, by, reason, day, case.matricule)
    if not others and not name:
        raise ActRefused(Phrase("{id}: add --account, the account of this person", id=case.id))
    if name and others and name not in others:
        raise ActRefused(
            Phrase(
                "{id}: {name} is not of this case; it is about {others}",
                id=case.id,
                name=name,
                others=joined(others, "{first} and {second}"),
            )
        )
    if len(others) > 1 and not name:
        raise ActRefused(Phrase("{id}: add --account, one of {others}", id=case.id, others=", ".join(others)))
    return Decision(answer, by, reason, day, name or others[0])
