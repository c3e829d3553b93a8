"""What an undo may do to each account that a run wrote: put back what was there, or leave it and say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import MANUAL
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.local_part import UnusableName
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.diff import home_establishments
from piactl.core.plan.redone_by_night import comes_back
from piactl.core.rules.desired import Desired, Rules, Subject, desired_account
from piactl.directory.dn import normal_dn
from piactl.directory.port import EntryWrite, RawEntry, Reader
from piactl.directory.simulated_directory import written
from piactl.directory.store.account_write import account_change, account_write
from piactl.directory.store.accounts import Entry, Unreadable, entry_of, read_whole
from piactl.directory.store.attribute_map import ACCOUNT_CLASS, Encoding, differences
from piactl.directory.store.composite_values import read_assignment
from piactl.directory.store.devices import link_write
from piactl.directory.write.entry_state import EntryState, differing, entry_state
from piactl.flows.apply.undo_log import Kept, values_digest
from piactl.flows.plan.change_set import change_set
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.queries.accounts import career_and_status

WHO = ("modifiersName", "modifyTimestamp")
_HR_ATTRIBUTES = (
    "sn",
    "givenName",
    "personalTitle",
    "supannNomDeNaissance",
    "supannMailPrive",
    "piactlNumenDigest",
)
_CLOSED = (State.DEACTIVATED, State.ARCHIVED)


class Fate(StrEnum):
    """BEFORE: the account is as it was before the run, which never wrote it or was undone already."""

    REVERSED = "reversed"
    KEPT = "kept"
    IMPOSSIBLE = "impossible"
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Reversal:
    """One account of the run. `write` and `changes` only where it is reversed; `returns` is what the next
    night would do once more by the rules alone, `sources` are those of HR whose next feed may."""

    uid: str
    matricule: str | None
    fate: Fate
    why: str = ""
    write: AccountWrite | None = None
    changes: tuple[Change, ...] = ()
    returns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


Since = Callable[[Kept, RawEntry, Sequence[str]], str]
"""Who changed these attributes of the entry after the run, in words."""


@dataclass(slots=True)
class Inverting:
    """`record` is that of the run; `reason` stands at every change of the undo."""

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding
    rules: Rules
    record: Mapping[str, Any]
    reason: str
    since: Since

    def reversals(self, kept: Sequence[Kept]) -> Iterator[Reversal]:
        """One per account, in the order in which the run wrote them."""
        entries = self._entries(kept)
        for one in kept:
            write = self._without_identifiers(one.write)
            yield self._reversal(replace(one, write=write), entries.get(normal_dn(one.write.dn)))

    def _without_identifiers(self, write: EntryWrite) -> EntryWrite:
        """An address that an account had, however short a time, stays its own: nobody else ever gets it.
        An entry that is given back has those it came with, which count as taken as well."""
        if ACCOUNT_CLASS.encode() in write.add.get("objectClass", ()):
            return write
        name = self.encoding.name("piactlIdentifier")
        add = {attribute: values for attribute, values in write.add.items() if attribute != name}
        return replace(write, add=add)

    def _entries(self, kept: Sequence[Kept]) -> dict[str, RawEntry]:
        encoding = self.encoding
        touched = (name for one in kept for name in (*one.write.add, *one.write.delete))
        names = list(dict.fromkeys([*encoding.attributes, "objectClass", *WHO, *touched]))
        uids = list(dict.fromkeys(one.uid for one in kept))
        whole = read_whole(self.reader, self.directory, encoding, uids, names)
        entries = {normal_dn(raw.dn): raw for raw in whole}
        for one in kept:
            # an entry that is no account any more may still be there
            name = normal_dn(one.write.dn)
            raw = None if name in entries else self.reader.read(one.write.dn, names)
            if raw is not None:
                entries[name] = raw
        return entries

    def _reversal(self, kept: Kept, raw: RawEntry | None) -> Reversal:
        creation = kept.write.op == "add"
        if raw is None:
            fate, why = (Fate.BEFORE, "") if creation else (Fate.IMPOSSIBLE, "the entry is gone")
            return Reversal(kept.uid, None, fate, why)
        if not kept.values:
            archived = Kind.ARCHIVE.value in kept.kinds
            why = "it was archived: its data are gone" if archived else "what was there before was not kept"
            return Reversal(kept.uid, None, Fate.IMPOSSIBLE, why)
        where = EntryState.DONE if creation else entry_state(kept.write, raw)
        if where is EntryState.UNTOUCHED:
            return Reversal(kept.uid, None, Fate.BEFORE)
        if creation and not _managed(raw):
            # another entry of that name was in the way, and still is
            return Reversal(kept.uid, None, Fate.BEFORE)
        entry = entry_of(raw, self.encoding)
        if isinstance(entry, Unreadable):
            changed = where is EntryState.OTHER
            why = self.since(kept, raw, differing(_inverse(kept, raw), raw)) if changed else entry.why
            return Reversal(kept.uid, entry.matricule, Fate.KEPT, why)
        if self._protected(entry.account):
            return self._kept(entry, "protected: of such accounts only what was done by hand is undone")
        if creation or self._was_archived(kept):
            return self._closed(kept, raw, entry, where)
        if where is EntryState.OTHER:
            return self._kept(entry, self.since(kept, raw, differing(_inverse(kept, raw), raw)))
        return self._restored(kept, raw, entry)

    def _protected(self, account: Account) -> bool:
        by_hand = "alone" in self.record
        return not by_hand and (account.protected or account.uid in self.rules.policy.protected)

    def _was_archived(self, kept: Kept) -> bool:
        old = kept.write.delete.get(self.encoding.name("piactlState"), ())
        return State.ARCHIVED.value.encode() in old

    def _kept(self, entry: Entry, why: str) -> Reversal:
        return Reversal(entry.account.uid, entry.account.matricule, Fate.KEPT, why)

    def _closed(self, kept: Kept, raw: RawEntry, entry: Entry, where: EntryState) -> Reversal:
        """An account that the run made, or brought back from the archive, is never taken away, for its
        addresses must go to nobody else: it loses its assignments, and the rules close it."""
        account = entry.account
        if account.state in _CLOSED:
            return Reversal(account.uid, account.matricule, Fate.BEFORE)
        if kept.made and values_digest(entry.values) != kept.made:
            where = EntryState.OTHER
        if where is EntryState.OTHER:
            names = () if kept.made else differing(_inverse(kept, raw), raw)
            return self._kept(entry, self.since(kept, raw, names))
        bare = replace(account, assignments=(), overrides=(), exceptions=())
        desired = desired_account(Subject(account.matricule, bare, None, ()), self.rules)
        if desired is None:
            raise AssertionError("an account that is there always has a desired one")
        encoding = self.encoding.fitted_to(self.reader)
        write = account_write(self.directory, encoding, entry, desired.account)
        if write is None:
            return Reversal(account.uid, account.matricule, Fate.BEFORE)
        sources = {one.source for one in account.assignments} - {MANUAL}
        return self._reversed(entry, desired.account, write, (), sources)

    def _restored(self, kept: Kept, raw: RawEntry, entry: Entry) -> Reversal:
        write = self._linked(raw, _inverse(kept, raw))
        if not write.add and not write.delete:
            return self._kept(entry, "an account that is closed or locked keeps its link to no device")
        after = RawEntry(raw.dn, written(raw.values, write))
        account = entry.account
        if not _managed(after):
            change = self._released(account)
            row = AccountWrite(account.uid, (change.kind.value,), self.reason, write)
            return Reversal(account.uid, account.matricule, Fate.REVERSED, "", row, (change,))
        undone = entry_of(after, self.encoding)
        if isinstance(undone, Unreadable):
            return self._kept(entry, undone.why)
        returns = self._returns(account, undone.account)
        return self._reversed(entry, undone.account, write, returns, self._sources(write))

    def _linked(self, raw: RawEntry, write: EntryWrite) -> EntryWrite:
        """The write with the link that follows from what it leaves: the night may have moved that since, and
        an account that is closed or locked again must have it, one that opens must not."""
        encoding = self.encoding.fitted_to(self.reader)
        after = RawEntry(raw.dn, written(raw.values, write))
        undone = entry_of(after, encoding)
        if not _managed(after):
            link = encoding.name("oathTOTPToken")
            follows = account_change(encoding, raw.dn, {link: after.values.get(link, ())}, {})
        elif isinstance(undone, Entry):
            follows = link_write(encoding, undone, undone.account.device)
        else:
            follows = None
        return _in_one(raw, write, follows) if follows is not None else write

    def _reversed(
        self, entry: Entry, undone: Account, write: EntryWrite, returns: Sequence[str], sources: set[str]
    ) -> Reversal:
        current, rules = entry.account, self.rules
        path, _ = career_and_status(undone, rules.policy, rules.register, rules.as_of)
        desired = Desired(Subject(undone.matricule, current, None, undone.assignments), undone, path)
        changed = change_set(desired, write, self.rules, self.encoding).changes
        own = {"reason": self.reason, "effective": self.rules.as_of, "feed": None, "line": None}
        changes = tuple(replace(one, **own) for one in changed)  # type: ignore[arg-type]
        kinds = tuple(dict.fromkeys(change.kind.value for change in changes))
        return Reversal(
            uid=current.uid,
            matricule=current.matricule,
            fate=Fate.REVERSED,
            write=AccountWrite(current.uid, kinds, self.reason, write),
            changes=changes,
            returns=tuple(returns),
            sources=tuple(sorted(sources)),
        )

    def _released(self, account: Account) -> Change:
        """An entry that the run took over is left to others again."""
        return Change(
            kind=Kind.UPDATE,
            uid=account.uid,
            matricule=account.matricule,
            before={"managed": "yes"},
            after={"managed": "no"},
            reason=self.reason,
            effective=self.rules.as_of,
            establishments=home_establishments(account, self.rules.as_of),
            profiles=account.profiles,
        )

    def _returns(self, current: Account, undone: Account) -> tuple[str, ...]:
        subject = Subject(undone.matricule, undone, None, undone.assignments)
        try:
            desired = desired_account(subject, self.rules)
        except UnusableName:
            # the night holds such an account as it is
            return ()
        return comes_back(current, undone, desired.account) if desired else ()

    def _sources(self, write: EntryWrite) -> set[str]:
        """The sources of HR whose values the write takes back."""
        name = self.encoding.name
        texts = [
            value for side in (write.add, write.delete) for value in side.get(name("piactlAssignment"), ())
        ]
        sources = {read_assignment(text.decode()).source for text in texts} - {MANUAL}
        if not sources and any(name(one) in write.add or name(one) in write.delete for one in _HR_ATTRIBUTES):
            sources = {str(feed["source"]) for feed in self.record.get("feeds", [])}
        return sources


def _managed(raw: RawEntry) -> bool:
    return ACCOUNT_CLASS.lower().encode() in {value.lower() for value in raw.values.get("objectClass", ())}


def _inverse(kept: Kept, raw: RawEntry) -> EntryWrite:
    return EntryWrite("modify", raw.dn, add=kept.write.delete, delete=kept.write.add)


def _in_one(raw: RawEntry, first: EntryWrite, second: EntryWrite) -> EntryWrite:
    """Two writes of an entry, one after the other, as one."""
    after = written(written(raw.values, first), second)
    names = {*second.add, *second.delete}
    delete, add = differences(
        {name: raw.values.get(name, ()) for name in names}, {name: after.get(name, ()) for name in names}
    )
    return replace(
        first,
        add={**{name: values for name, values in first.add.items() if name not in names}, **add},
        delete={**{name: values for name, values in first.delete.items() if name not in names}, **delete},
    )
