"""Merges two accounts of one person, splits the account of two people, and gives a person another matricule.

A merge is three writes of accounts, in the one order that the server allows: the account that goes gives up
its names, with a mark that says to which account; the other one takes everything; the first becomes a
tombstone. The mark is the intent: the next run or command after a crash finishes the merge from the entries
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from piactl.core.acts import ActRefused, Altered, Author
from piactl.core.acts import merge_values as values_after_merge_or_split
from piactl.core.model.account import NO_DEVICE, Account, State, merge_mark, merged_into
from piactl.core.model.person import Assignment, Person, namespace_of, read_matricule
from piactl.core.model.policy import MERGE
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.account_changes import change_of
from piactl.core.plan.case import Case, CaseAnswer, Decision, stated
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.plan import Basis, Plan, ReadyPlan
from piactl.core.plan.write import Values, Write
from piactl.core.rules.desired_account import Rules, Subject, desired_account
from piactl.core.rules.matching import (
    BIRTH_DATE,
    NAME,
    NUMEN_WORD,
    SAME_IDENTITY,
    Doubt,
    accounts_compared,
)
from piactl.directory.dn import normal_dn
from piactl.directory.store.account_entries import (
    Entry,
    Unreadable,
    account_change,
    account_write,
    read_accounts_of,
    with_base,
)
from piactl.directory.store.base_digest import BASE
from piactl.directory.store.devices import device_deletions
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch, PreparedAccount
from piactl.edits.decide_case import case_row, stored_case
from piactl.edits.one_off_change import guarded, intended, owner_of, prepare, prepared_account
from piactl.errors import PiactlError, UsageError
from piactl.feed.value_checks import check_matricule
from piactl.phrase import Phrase, joined
from piactl.planning.account_writes import foreign_values
from piactl.planning.drift_by_rules import held_words
from piactl.runs.apply_plan import write_beside
from piactl.runs.run import Run

_GOES = (Kind.DEACTIVATE.value,)
PASSWORD: Values = {"userPassword": ()}


def prepare_merge(
    store: AccountStore,
    name: str,
    into_name: str,
    author: Author,
    *,
    protected: bool,
    despite: Collection[str],
) -> Batch:
    """The merge of the account `name` into another. Raises ActRefused; without `protected` also for protected
    accounts, and for two people who differ in more than `despite` names."""
    source, into = find_entry(store, name), find_entry(store, into_name)
    if source.dn == into.dn:
        raise ActRefused(
            Phrase(
                "{name} and {into_name} are the same account, {uid}",
                name=name,
                into_name=into_name,
                uid=into.account.uid,
            )
        )
    for account in (source.account, into.account):
        if account.state is State.ARCHIVED and (other := merged_into(account, store.keys)):
            raise ActRefused(
                Phrase("{uid}: it was merged into {other}; name that one", uid=account.uid, other=other)
            )
        if account.state is State.ARCHIVED:
            raise ActRefused(Phrase("{uid}: it is archived, so there is nothing to merge", uid=account.uid))
        if account.protected and not protected:
            raise ActRefused(Phrase("{uid}: it is protected", uid=account.uid)).with_options(
                "--administrator"
            )
        if merged_into(account, store.keys) is not None:
            raise ActRefused(
                Phrase(
                    "{uid}: a merge of it is not finished; the next command that writes does it",
                    uid=account.uid,
                )
            )
    if held := held_words(source):
        raise ActRefused(held)
    compared = accounts_compared(source.account, into.account)
    refuse_different(source.account, into.account, compared, despite)
    rows, taking = _rows(store, source, into, author)
    differ = [_compared_words(name, same=False) for name, same in compared.items() if same is False]
    going = _going(source.account, into.account, store.rules, author, differ)
    changes = (going, *taking.changes)
    undo = _undone(store, source, into.account, author)
    merge = PreparedAccount(
        name,
        source.account.uid,
        changes=changes,
        writes=tuple(rows),
        outlook=taking.outlook,
        note=Phrase(
            "{compared}\nit is merged into {uid}, which has its addresses; its password and devices end",
            compared=_all_words(compared),
            uid=into.account.uid,
        ),
        people=(source.account, into.account),
        undo=(undo, *taking.writes),
    )
    return guarded(store, (merge,))


def refuse_different(
    source: Account, into: Account, compared: Mapping[str, bool | None], despite: Collection[str]
) -> None:
    """Raises ActRefused for two people who differ in more than `despite` names."""
    differ = [name for name, same in compared.items() if same is False]
    if {*differ} <= {*despite}:
        return
    raise ActRefused(
        Phrase(
            "{uid} and {other} may be two people: {compared}\nGo on if HR says that they are one person",
            uid=source.uid,
            other=into.uid,
            compared=_all_words(compared),
        )
    ).with_options(*(f"--despite {name}" for name in differ))


def _all_words(compared: Mapping[str, bool | None]) -> str:
    words = (_compared_words(name, same=same) for name, same in compared.items())
    return joined(words, "{first}, {second}")


def _compared_words(name: str, *, same: bool | None) -> Phrase:
    what = {BIRTH_DATE: Phrase("birth dates"), NUMEN_WORD: Phrase("NUMENs"), NAME: Phrase("names")}[name]
    if same is None:
        return Phrase("their {what} cannot be compared", what=what)
    return Phrase("their {what} agree", what=what) if same else Phrase("their {what} differ", what=what)


def merge_plan(batch: Batch, store: AccountStore) -> ReadyPlan:
    """A merge as a plan, which another person reads and approves. The command that merges makes the same plan
    again, because its writes need their order."""
    (merge,) = batch.accounts
    basis = Basis.of(store.rules, store.directory.accounts, store.last)
    accounts = {(change.kind.value, change.uid) for change in merge.changes}
    summary = {**Counter(kind for kind, _ in sorted(accounts)), MERGE: 1}
    plan = Plan(basis, changes=merge.changes, refusals=batch.refusals, summary=summary)
    return ReadyPlan(plan, merge.writes, (), None)


def _rows(
    store: AccountStore, source: Entry, into: Entry, author: Author
) -> tuple[list[Write], PreparedAccount]:
    """The remaining writes of a merge, in order; and the changes of the account that remains."""
    uid, reason = source.account.uid, author.reason
    encoding = store.encoding
    on_its_way = values_after_merge_or_split.on_its_way(
        source.account, merge_mark(store.keys, uid, into.account.uid)
    )
    begins = account_write(store.directory, encoding, source, on_its_way)
    begun = begins.made_on(source.values) if begins else source.values
    base = encoding.name(BASE)
    values = {name: attribute_values for name, attribute_values in begun.items() if name != base}
    first = begun.get(base, (source.base,))[-1]
    taking = prepared_account(
        store,
        into.account.uid,
        into,
        lambda account, rules: Altered(
            values_after_merge_or_split.joined(account, source.account, rules.as_of), author.note
        ),
        reason,
    )
    foreign = foreign_values(store.managed, [uid])[uid]
    rights = encoding.name("eduPersonEntitlement")
    erased = {name: values for name, values in foreign.items() if name != rights}
    before = [begins, *_credentials(store, source, erased)]
    rows = [write.with_reason(uid, _GOES, reason) for write in before if write is not None]
    rows += taking.writes
    ends = _buried(store, Entry(source.dn, on_its_way, values, base=first, uuid=source.uuid))
    rows += [ends.with_reason(uid, _GOES, reason)] if ends else []
    return rows, taking


def _credentials(store: AccountStore, entry: Entry, erased: Values = PASSWORD) -> Iterator[Write]:
    yield from device_deletions(store.reader, store.directory.accounts, [entry.dn]).get(
        normal_dn(entry.dn), []
    )
    yield Write("modify", entry.dn, delete=erased)


def _undone(store: AccountStore, source: Entry, into: Account, author: Author) -> Write:
    """The writes of the account that goes, as the one write that an undo takes back; without its device,
    which is deleted."""
    account = source.account
    suspended = replace(account, device=NO_DEVICE if account.device else "")
    on_its_way = values_after_merge_or_split.on_its_way(
        suspended, merge_mark(store.keys, account.uid, into.uid)
    )
    values = store.encoding.values(suspended)
    write = _buried(store, Entry(source.dn, on_its_way, values))
    if write is None:
        raise AssertionError("a tombstone differs from an account")
    return write.with_reason(account.uid, _GOES, author.reason)


def _buried(store: AccountStore, source: Entry) -> Write | None:
    encoding = store.encoding
    tombstone = values_after_merge_or_split.merged_tombstone(source.account, store.keys, store.as_of)
    write = account_change(encoding, source.dn, source.values, encoding.values(tombstone))
    name = encoding.name("eduPersonEntitlement")
    entry = store.reader.read(source.dn, [name])
    rights = entry.values.get(name, ()) if entry is not None else ()
    if write is None:
        return None
    return with_base(
        encoding, source, replace(write, delete={**write.delete, name: rights}) if rights else write
    )


def _going(source: Account, into: Account, rules: Rules, author: Author, differ: Sequence[str]) -> Change:
    reason = Phrase("merged into {into} ({note})", into=into.uid, note=author.note)
    if differ:
        reason = Phrase(
            "merged into {into} although {differ} ({note})",
            into=into.uid,
            differ=joined(differ, "{first}, {second}"),
            note=author.note,
        )
    before = {"state": source.state.value, "address": source.address}
    after = {"state": State.ARCHIVED.value, "address": None, "merged_into": into.uid}
    return change_of(source, Kind.DEACTIVATE, before, after, reason, rules.as_of)


def finish_merges(run: Run, store: AccountStore, marked: Sequence[Entry | Unreadable]) -> None:
    """Finishes the merges, cut short by a crash, of the accounts that are `marked`. A mark that piactl did
    not make is ignored."""
    for source in marked:
        if not isinstance(source, Entry):
            continue
        uid, into = source.account.uid, merged_into(source.account, store.keys)
        if into is None:
            run.say(Phrase("{uid}: another program marked it as merged; piactl ignores the mark", uid=uid))
            continue
        try:
            problem = _finished(run, store, source, find_entry(store, into))
        except PiactlError as error:
            problem = str(error)
        if problem:
            run.say(
                Phrase(
                    "{uid}: its merge into {into} is not finished: {problem}",
                    uid=uid,
                    into=into,
                    problem=problem,
                )
            )
        else:
            run.say(
                Phrase("{uid}: its merge into {into} had been cut short, and is finished", uid=uid, into=into)
            )


def _finished(run: Run, store: AccountStore, source: Entry, into: Entry) -> str:
    """Makes the remaining writes of a merge in order; returns the message of the first that failed, or ""."""
    author = Author(run.order.actor.user, Phrase("the merge into {uid} was cut short", uid=into.account.uid))
    for row in _rows(store, source, into, author)[0]:
        for _, _, message in write_beside(run, [row]).problems:
            return message
    return ""


def _as_now(
    store: AccountStore,
    made: Entry,
    person: Person,
    posts: Sequence[Assignment],
    author: Author,
) -> PreparedAccount:
    """The account that an earlier split made, with names and posts as they are now: runs hold both accounts
    until the split ends, but a run may have changed the other account while the split was under way."""
    names = {name: getattr(person, name) for name in ("family_name", "given_name", "usage_name", "civilite")}
    keys = {post.key for post in posts}

    def act(account: Account, _rules: Rules) -> Altered:
        own = (post for post in account.assignments if post.key not in keys)
        return Altered(replace(account, **names, assignments=(*posts, *own)), author.note)

    return prepared_account(store, made.account.uid, made, act, author.reason)


def prepare_split(
    store: AccountStore,
    name: str,
    matricule: str,
    author: Author,
    sources: Iterable[SourceSettings] = (),
) -> Batch:
    """The split of a matricule and its posts off an account. The new account is made before the other one
    gives up the matricule: after a crash in between, both have it, every run holds both, and the same
    command, run again, does the rest. A number that only supplements among the `sources` have is taken off,
    and makes no account. Raises ActRefused."""
    matricule = read_matricule(matricule)
    entry = find_entry(store, name)
    account = entry.account
    if account.protected:
        raise ActRefused(
            Phrase("{uid}: it is protected; remove it from `protected` of the policy first", uid=account.uid)
        )
    numbered = [source for source in sources if source.namespace == namespace_of(matricule)]
    if numbered and all(source.supplement for source in numbered):
        return _without_number(store, name, entry, matricule, numbered[0].name, author)
    _, posts = values_after_merge_or_split.split_off(account, matricule, store.rules)
    remaining = prepared_account(
        store,
        name,
        entry,
        lambda account, rules: Altered(
            values_after_merge_or_split.split_off(account, matricule, rules)[0], author.note
        ),
        author.reason,
    )
    person = Person(matricule, account.family_name, account.given_name, account.usage_name, account.civilite)
    subject = Subject(matricule, None, person, posts, note=author.note)
    others = read_accounts_of(*store.managed, store.keys, [matricule])
    made = next((other for other in others if isinstance(other, Entry) and other.dn != entry.dn), None)
    if made is not None:
        new: PreparedAccount | None = _as_now(store, made, person, posts, author)
    else:
        desired = desired_account(subject, store.rules)
        new = intended(store, name, None, desired, author.reason) if desired else None
    ends = [w.with_reason(account.uid, ("split",), author.reason) for w in _credentials(store, entry)]
    rows = (*ends, *(new.writes if new else ()), *remaining.writes)
    changes = (*remaining.changes, *(new.changes if new else ()))
    addresses, places = ", ".join(sorted(account.addresses)), ", ".join(sorted({post.uai for post in posts}))
    contact = ", ".join(filter(None, [account.display_name, account.address, account.private_mail]))
    other = Phrase(
        "matricule {matricule} has no account, because none of its posts is open", matricule=matricule
    )
    if made:
        other = Phrase("matricule {matricule} has the account that was made before", matricule=matricule)
    elif new:
        other = Phrase("matricule {matricule} has the account {uid}", matricule=matricule, uid=new.uid)
    note = Phrase(
        "{uid} keeps its addresses: {addresses}; {other}\n"
        "password and devices end. Contact both: {contact}; matricule {matricule}, {places}",
        uid=account.uid,
        addresses=addresses,
        other=other,
        matricule=matricule,
        contact=contact,
        places=places or Phrase("no post"),
    )
    split = PreparedAccount(
        name,
        account.uid,
        changes=changes,
        writes=rows,
        outlook=remaining.outlook,
        note=note,
        undo=tuple(ends[-1:]),
        people=(account,),
    )
    return guarded(store, (split,))


def _without_number(
    store: AccountStore, name: str, entry: Entry, matricule: str, source: str, author: Author
) -> Batch:
    """The account without a number of a supplement, and the decision that keeps it from joining again."""
    account = entry.account
    taken_off = prepared_account(
        store, name, entry, values_after_merge_or_split.take_off(author, matricule), author.reason
    )
    names = (account.family_name, account.given_name, account.usage_name, account.civilite)
    person, uid = Person(matricule, *names), account.uid
    case = Case(
        doubt=Doubt.SAME_PERSON,
        source=source,
        person=person,
        accounts=(uid,),
        evidence={uid: (SAME_IDENTITY,)},
        since=store.as_of,
        stated=stated(store.keys, person),
        decision=Decision(CaseAnswer.DIFFERENT, author.by, author.reason, store.as_of),
    )
    before, data = stored_case(store.reader, store.directory.state, case.id)
    if before is not None and before.answered(CaseAnswer.DIFFERENT):  # nor is it the number of these
        accounts = tuple(sorted({*before.accounts, uid}))
        case = replace(case, accounts=accounts, evidence={**before.evidence, **case.evidence})
    decided = case_row(store, case, data, uid, author.reason)
    note = Phrase(
        "no account is made of matricule {matricule}, and it does not join {uid} again by itself\n"
        'To take that back: piactl match same {id} --reason "..."',
        matricule=matricule,
        uid=uid,
        id=case.id,
    )
    writes = (*taken_off.writes, *filter(None, [decided]))
    return guarded(store, (replace(taken_off, writes=writes, note=note),))


def prepare_rekey(
    store: AccountStore,
    name: str,
    old: str,
    new: str,
    author: Author,
) -> Batch:
    """The account of `name` with the matricule `new` in place of `old`. Raises UsageError, ActRefused if
    another account has `new`."""
    old, new = read_matricule(old), _new_matricule(new)
    uid = find_entry(store, name).account.uid
    owner = owner_of(store, new)
    if owner is not None and owner.account.uid != uid:
        raise ActRefused(
            Phrase(
                "matricule {matricule} is that of the account {owner}; if both are one person: piactl "
                'account merge {owner} {uid} --reason "..."',
                matricule=new,
                owner=owner.account.uid,
                uid=uid,
            )
        )
    return prepare(store, [name], values_after_merge_or_split.rekey(author, old, new), author.reason)


def _new_matricule(text: str) -> str:
    """The matricule of --to, with its namespace. Raises UsageError if HR cannot write it in this form."""
    fault = check_matricule(text.strip().rpartition(":")[2])[1]
    if fault is not None:
        raise UsageError(Phrase("{name}: {text}", name="--to", text=fault[1]))
    return read_matricule(text)
