"""Decides for each account of a run whether an undo puts it back, or why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from piactl.core.model.account import Account, State, right_text
from piactl.core.model.overrides import MANUAL, OverrideKind
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import UnusableName
from piactl.core.plan.account_changes import change_of
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Values, Write, WriteState
from piactl.core.rules.desired_account import Desired, Rules, Subject, desired_account
from piactl.core.rules.groups_of_policy import groups_of
from piactl.directory.dn import normal_dn, same_dn
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.account_entries import (
    Entry,
    Unreadable,
    account_change,
    account_write,
    differences,
    entry_of,
    read_whole,
    with_base,
)
from piactl.directory.store.attribute_map import ACCOUNT_CLASS, Encoding
from piactl.directory.store.attribute_values import read_assignment
from piactl.directory.store.base_digest import BASE
from piactl.directory.store.devices import link_write
from piactl.directory.store.group_entries import group_dn, structure_dn
from piactl.directory.write.entry_comparison import differing, state_of_entry
from piactl.edits.account_store import career_and_status
from piactl.phrase import Phrase
from piactl.planning.account_writes import changes_of_write
from piactl.planning.drift_by_rules import decided, held_words
from piactl.planning.group_changes import group_row
from piactl.runs.undo_log import is_undoable, values_digest

WHO = ("modifiersName", "modifyTimestamp")
_HR_ATTRIBUTES = (
    "sn", "givenName", "personalTitle", "supannNomDeNaissance", "supannMailPrive", "piactlNumenDigest",
    "piactlIdentityDigest", "piactlBirthDigest",
)  # fmt: skip
_GONE = Phrase("the entry is gone")
_CLOSED = (State.DEACTIVATED, State.ARCHIVED)


class UndoFate(StrEnum):
    """The fate of an account in an undo. BEFORE: it already is as before the run."""

    REVERSED = Phrase("reversed")
    KEPT = Phrase("kept")
    IMPOSSIBLE = Phrase("impossible")
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Reversal:
    """One account of the run. `write` is set if it is reversed; `returns` are the changes that
    the next night would make again by the rules alone, `sources` the HR sources whose next feed may."""

    uid: str
    matricule: str | None
    fate: UndoFate
    why: str = ""
    write: Write | None = None
    returns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


Since = Callable[[Write, RawEntry, Sequence[str]], str]
"""Returns in words who changed these attributes of the entry after the run."""


@dataclass(slots=True)
class Inverting:
    """Inverts the writes of a run. `record` is the record of the run; `reason` is added to every change."""

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding
    rules: Rules
    record: Mapping[str, Any]
    reason: str
    since: Since
    last: LastRun | None = None
    """The last run."""
    moved: Collection[bytes] = ()
    """The names that the run took from the ledgers of accounts."""

    def reversals(self, logged_writes: Sequence[Write]) -> Iterator[Reversal]:
        """One reversal per account, in the order of the run's writes."""
        entries = self._entries(logged_writes)
        ledger = self.encoding.name("piactlIdentifier")
        self.moved = {name for logged_write in logged_writes for name in logged_write.delete.get(ledger, ())}
        for logged_write in logged_writes:
            write = self._without_identifiers(logged_write)
            yield self._reversal(write, entries.get(normal_dn(logged_write.dn)))

    def _without_identifiers(self, write: Write) -> Write:
        """The write without the ledger of names: an address that an account had stays reserved for it, unless
        it goes back to another account of the run. An entry that is released again loses its ledger; its own
        addresses count as taken anyway."""
        if ACCOUNT_CLASS.encode() in write.add.get("objectClass", ()):
            return write
        name = self.encoding.name("piactlIdentifier")
        add = {attribute: values for attribute, values in write.add.items() if attribute != name}
        moved = tuple(value for value in write.add.get(name, ()) if value in self.moved)
        return replace(write, add={**add, name: moved} if moved else add)

    def _entries(self, logged_writes: Sequence[Write]) -> dict[str, RawEntry]:
        encoding = self.encoding
        touched = (name for logged_write in logged_writes for name in logged_write.attributes)
        names = list(dict.fromkeys([*encoding.attributes, "objectClass", *WHO, *touched]))
        uids = list(dict.fromkeys(logged_write.uid for logged_write in logged_writes))
        raw_entries = read_whole(self.reader, self.directory, encoding, uids, names)
        entries = {normal_dn(raw.dn): raw for raw in raw_entries}
        for logged_write in logged_writes:
            # an entry that is no longer an account may still exist
            name = normal_dn(logged_write.dn)
            raw = None if name in entries else self.reader.read(logged_write.dn, names)
            if raw is not None:
                entries[name] = raw
        return entries

    def _reversal(self, logged_write: Write, raw: RawEntry | None) -> Reversal:
        if Kind.GROUP.value in logged_write.kinds:
            return self._group(logged_write, raw)
        creation = logged_write.op == "add"
        if raw is None:
            fate, why = (UndoFate.BEFORE, "") if creation else (UndoFate.IMPOSSIBLE, _GONE)
            return Reversal(logged_write.uid, None, fate, why)
        if not is_undoable(logged_write):
            why = Phrase("its earlier values were not kept")
            if Kind.ARCHIVE.value in logged_write.kinds:
                why = Phrase("it was archived: its data are gone")
            return Reversal(logged_write.uid, None, UndoFate.IMPOSSIBLE, why)
        where = WriteState.MADE if creation else state_of_entry(logged_write, raw)
        if where is WriteState.NOT_MADE:
            return Reversal(logged_write.uid, None, UndoFate.BEFORE)
        if creation and not _managed(raw):
            # another entry already had that name, and still has it
            return Reversal(logged_write.uid, None, UndoFate.BEFORE)
        entry = decided(entry_of(raw, self.encoding), self.encoding, self.last, self.rules)
        if isinstance(entry, Unreadable):
            changed = where is WriteState.CHANGED
            why = (
                self.since(logged_write, raw, differing(_inverse(logged_write, raw), raw))
                if changed
                else entry.why
            )
            return Reversal(logged_write.uid, entry.matricule, UndoFate.KEPT, why)
        if held := held_words(entry):
            return self._kept(entry, held)
        if self._protected(entry.account) and "alone" not in self.record:
            return self._kept(entry, Phrase("protected: only changes by hand are undone"))
        state, merged = map(self.encoding.name, ("piactlState", "piactlMergedInto"))
        was_archived = State.ARCHIVED.value.encode() in logged_write.delete.get(state, ())
        if creation or (was_archived and merged not in logged_write.delete):
            return self._closed(logged_write, raw, entry, where)
        if where is WriteState.CHANGED:
            return self._kept(
                entry, self.since(logged_write, raw, differing(_inverse(logged_write, raw), raw))
            )
        return self._restored(logged_write, raw, entry)

    def _group(self, logged_write: Write, raw: RawEntry | None) -> Reversal:
        """Puts the definition of a group back. The next night makes again what the policy still asks for."""
        where = state_of_entry(logged_write, raw)
        if where is WriteState.NOT_MADE:
            return Reversal(logged_write.uid, None, UndoFate.BEFORE)
        if where is WriteState.CHANGED:
            if raw is None:
                return Reversal(logged_write.uid, None, UndoFate.IMPOSSIBLE, _GONE)
            why = self.since(logged_write, raw, differing(_opposite(logged_write), raw))
            return Reversal(logged_write.uid, None, UndoFate.KEPT, why)
        before: Values = raw.values if raw is not None else {}
        write = _opposite(logged_write)
        after = {} if write.op == "delete" else write.made_on(before)
        row = group_row(write, before, after, self.reason, self.rules)
        wanted = self._is_wanted(logged_write.dn) != (write.op == "add")
        again = (Phrase("the group of the policy"),) if wanted else ()
        return Reversal(logged_write.uid, None, UndoFate.REVERSED, write=row, returns=again)

    def _is_wanted(self, dn: str) -> bool:
        groups = groups_of(self.rules.policy, self.rules.register)
        names = [group_dn(self.directory, group) for group in groups]
        if self.directory.structures:
            names += [structure_dn(self.directory, uai) for uai in self.rules.register]
        return any(same_dn(name, dn) for name in names)

    def _protected(self, account: Account) -> bool:
        return account.protected or account.uid in self.rules.policy.protected

    def _kept(self, entry: Entry, why: str) -> Reversal:
        return Reversal(entry.account.uid, entry.account.matricule, UndoFate.KEPT, why)

    def _closed(self, logged_write: Write, raw: RawEntry, entry: Entry, where: WriteState) -> Reversal:
        """Closes an account that the run created or restored from the archive: it loses its assignments, and
        the rules close it. It is never deleted, because its addresses must not go to another person."""
        account = entry.account
        if account.state in _CLOSED:
            return Reversal(account.uid, account.matricule, UndoFate.BEFORE)
        if logged_write.made and values_digest(entry.values) != logged_write.made:
            where = WriteState.CHANGED
        if where is WriteState.CHANGED:
            names = () if logged_write.made else differing(_inverse(logged_write, raw), raw)
            return self._kept(entry, self.since(logged_write, raw, names))
        bare = replace(account, assignments=(), overrides=(), exceptions=())
        desired = desired_account(Subject(account.matricule, bare, None, ()), self.rules)
        if desired is None:
            raise AssertionError("an existing account always has a desired one")
        encoding = self.encoding.fitted_to(self.reader)
        write = account_write(self.directory, encoding, entry, desired.account)
        if write is None:
            return Reversal(account.uid, account.matricule, UndoFate.BEFORE)
        sources = {assignment.source for assignment in account.assignments} - {MANUAL}
        return self._reversed(entry, desired.account, write, (), sources)

    def _restored(self, logged_write: Write, raw: RawEntry, entry: Entry) -> Reversal:
        write = self._linked(raw, _inverse(logged_write, raw))
        if not write.add and not write.delete:
            return self._kept(entry, Phrase("a closed or locked account keeps its link to no device"))
        after = RawEntry(raw.dn, write.made_on(raw.values))
        account = entry.account
        if not _managed(after):
            name = self.encoding.name(BASE)
            if raw.values.get(name):
                write = replace(write, delete={**write.delete, name: raw.values[name]})
            change = self._released(account)
            row = write.with_changes(account.uid, (change,), self.rules.as_of)
            return Reversal(account.uid, account.matricule, UndoFate.REVERSED, "", row)
        undone = entry_of(_without_base(after, self.encoding), self.encoding)
        if isinstance(undone, Unreadable):
            return self._kept(entry, undone.why)
        if Kind.DRIFT.value in logged_write.kinds and _stops(account) - _stops(undone.account):
            # without it the entry would count as it is, and the next night would open the account
            why = Phrase("the run put back what shut it and another program had removed")
            return self._kept(entry, why)
        if undone.account.state is State.ARCHIVED:  # merged again: the password that it got since ends too
            write = replace(write, delete={**write.delete, "userPassword": ()})
        returns = self._returns(account, undone.account)
        write = with_base(self.encoding, entry, write)
        return self._reversed(entry, undone.account, write, returns, self._sources(write))

    def _linked(self, raw: RawEntry, write: Write) -> Write:
        """The write with the right link to a device: a closed or locked account needs the link to no device,
        an open one must not have it, and a night may have changed it since."""
        encoding = self.encoding.fitted_to(self.reader)
        after = RawEntry(raw.dn, write.made_on(raw.values))
        undone = entry_of(_without_base(after, encoding), encoding)
        if not _managed(after):
            link = encoding.name("oathTOTPToken")
            follows = account_change(encoding, raw.dn, {link: after.values.get(link, ())}, {})
        elif isinstance(undone, Entry):
            follows = link_write(encoding, undone, undone.account.device)
        else:
            follows = None
        return _in_one(raw, write, follows) if follows is not None else write

    def _reversed(
        self, entry: Entry, undone: Account, write: Write, returns: Sequence[str], sources: set[str]
    ) -> Reversal:
        current, rules = entry.account, self.rules
        career, _ = career_and_status(undone, rules)
        desired = Desired(Subject(undone.matricule, current, None, undone.assignments), undone, career)
        changed = changes_of_write(desired, write, self.rules, self.encoding)
        own = {"reason": self.reason, "effective": self.rules.as_of, "feed": None, "line": None, "why": None}
        own["protected"] = self._protected(current)
        changes = [replace(change, **own) for change in changed]  # type: ignore[arg-type]
        return Reversal(
            uid=current.uid,
            matricule=current.matricule,
            fate=UndoFate.REVERSED,
            write=write.with_changes(current.uid, changes, self.rules.as_of),
            returns=tuple(returns),
            sources=tuple(sorted(sources)),
        )

    def _released(self, account: Account) -> Change:
        managed, released = {"managed": "yes"}, {"managed": "no"}
        change = change_of(account, Kind.UPDATE, managed, released, self.reason, self.rules.as_of)
        return replace(change, protected=self._protected(account))

    def _returns(self, current: Account, undone: Account) -> tuple[str, ...]:
        subject = Subject(undone.matricule, undone, None, undone.assignments)
        try:
            desired = desired_account(subject, self.rules)
        except UnusableName:
            # the night leaves such an account unchanged
            return ()
        return comes_back(current, undone, desired.account) if desired else ()

    def _sources(self, write: Write) -> set[str]:
        name = self.encoding.name
        texts = [
            value for side in (write.add, write.delete) for value in side.get(name("piactlAssignment"), ())
        ]
        sources = {read_assignment(text.decode()).source for text in texts} - {MANUAL}
        if not sources and any(
            name(attribute) in write.add or name(attribute) in write.delete for attribute in _HR_ATTRIBUTES
        ):
            sources = {str(feed["source"]) for feed in self.record.get("feeds", [])}
        return sources


def _stops(account: Account) -> set[object]:
    """What shuts an account, or takes a service from it."""
    denials = (exception for exception in account.exceptions if not exception.grants)
    closures = (override for override in account.overrides if override.kind is OverrideKind.CLOSE)
    return {*denials, *closures, *([account.lock] if account.lock is not None else [])}


def _managed(raw: RawEntry) -> bool:
    return ACCOUNT_CLASS.lower().encode() in {value.lower() for value in raw.values.get("objectClass", ())}


def _without_base(raw: RawEntry, encoding: Encoding) -> RawEntry:
    return replace(raw, values={n: v for n, v in raw.values.items() if n != encoding.name(BASE)})


def _opposite(write: Write) -> Write:
    op = {"add": "delete", "delete": "add"}.get(write.op, write.op)
    return Write(op, write.dn, add=write.delete, delete=write.add)


def _inverse(logged_write: Write, raw: RawEntry) -> Write:
    return Write("modify", raw.dn, add=logged_write.delete, delete=logged_write.add)


def _in_one(raw: RawEntry, first: Write, second: Write) -> Write:
    after = second.made_on(first.made_on(raw.values))
    names = {*second.add, *second.delete} - {BASE}
    delete, add = differences(
        {name: raw.values.get(name, ()) for name in names}, {name: after.get(name, ()) for name in names}
    )
    return replace(
        first,
        add={**{name: values for name, values in first.add.items() if name not in names}, **add},
        delete={**{name: values for name, values in first.delete.items() if name not in names}, **delete},
    )


def comes_back(current: Account, undone: Account, redone: Account) -> tuple[str, ...]:
    """What the next night would change back, in words. `current` is the account before the undo, `undone`
    after it, `redone` the account that the rules then give."""
    returning: list[str] = []
    if undone.state is not current.state and redone.state is current.state:
        returning.append(Phrase("state {state}", state=current.state.words))
    if undone.locked != current.locked and redone.locked == current.locked:
        returning.append(Phrase("locked") if current.locked else Phrase("no longer locked"))
    if undone.surname != current.surname and redone.surname == current.surname:
        returning.append(Phrase("the name {name}", name=current.display_name))
    for right in sorted(current.entitlements ^ undone.entitlements):
        if (right in redone.entitlements) == (right in current.entitlements):
            gets = right in current.entitlements
            text = right_text(right)
            returning.append(
                Phrase("gets {right}", right=text) if gets else Phrase("loses {right}", right=text)
            )
    window = (current.login_from, current.login_until)
    same = (redone.login_from, redone.login_until) == window != (undone.login_from, undone.login_until)
    if same and not returning:
        returning.append(
            Phrase("log in until {until}", until=current.login_until)
            if current.login_until
            else Phrase("log in without an end")
        )
    return tuple(returning)
