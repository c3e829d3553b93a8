"""The writes that turn the current accounts into the desired ones, each with its changes.

The attributes of the entry are compared with those of the desired account. That is the write. The changes
explain it: each names fields whose attributes differ, and each written attribute belongs to a change. No
change is shown without a write.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain

from piactl.core.credentials.proofs import changed_proofs, without_changes
from piactl.core.model.account import NO_DEVICE, Account, State
from piactl.core.plan.account_changes import change_of, changes_of
from piactl.core.plan.change import LAYOUT, Change, Facts, Kind
from piactl.core.plan.drift import Drift, DriftClass, DriftFate
from piactl.core.plan.plan import Hold, HoldCode
from piactl.core.plan.state_between_runs import Memory, Waiting
from piactl.core.plan.write import Values, Write
from piactl.core.rules.career import Career, career_of
from piactl.core.rules.desired_account import Desired, Rules, Subject, desired_account, reduced, with_lock
from piactl.core.rules.matching import with_births
from piactl.directory.dn import normal_dn, normal_value
from piactl.directory.probe.access_log import authors
from piactl.directory.store.account_entries import (
    Entry,
    account_write,
    as_found,
    only_renews_base,
    read_whole,
    reducing_write,
    with_base,
)
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import BASE, is_sealed
from piactl.directory.store.devices import device_deletions
from piactl.directory.store.find_drift import Drifted
from piactl.directory.store.rare_entries import RareEntries
from piactl.phrase import Phrase
from piactl.planning.account_index import AccountIndex, ManagedAccounts
from piactl.planning.drift_by_rules import drift_of, held_words, resolved

_STRUCTURAL = "structuralObjectClass"

RESTORED = "attributes"
"""The fact of a change that names the attributes which another program changed."""

PROTECTED = Phrase("protected: no import touches it")
SEALS = Phrase("the base that shows what another program changes")


def planned_row(
    desired: Desired,
    write: Write,
    rules: Rules,
    encoding: Encoding,
    drift: Sequence[Drift] = (),
    *,
    waiting: Waiting | None = None,
    reason: str = "",
    every: bool = False,
) -> Write:
    """The write of an account in a plan, with the changes that it makes; one of the base alone makes none.
    `drift`, `every`: see `changes_of_write`. `reason` is that of the person who changes the account, instead
    of that of the rules."""
    uid = desired.account.uid
    if only_renews_base(encoding, write):
        return write.with_reason(uid, (), SEALS)
    changes = changes_of_write(desired, write, rules, encoding, drift, every=every)
    return write.with_changes(uid, changes, rules.as_of, reason=reason, waiting=waiting)


@dataclass(slots=True)
class PlanRows:
    """`memory` is what earlier runs left, `news` what deltas say in this run and no later feed repeats, by
    matricule. `whole`: every full source has a feed in this run, so what none of them has is over.
    `drift_waits`: what other programs changed stays, and `withheld` collects the accounts that lost only what
    HR or a date ends. `seals`: every account gets a sealed base. `holds` collects the protected accounts that
    would have changed. An account that is `unwitnessed` (see Memory) is linked to no device until the help
    desk makes or resumes one."""

    accounts: ManagedAccounts
    rules: Rules
    index: AccountIndex
    memory: Memory
    owners: Mapping[str, str]
    news: Mapping[str, Waiting]
    whole: bool
    drift_waits: bool
    seals: bool
    holds: list[Hold] = field(default_factory=list)
    withheld: set[str | None] = field(default_factory=set)
    _drift: dict[str, list[Drift]] = field(default_factory=dict)
    _by: Mapping[str, str] = field(default_factory=dict)

    def rows(self, desired: Sequence[Desired], decided: Set[str]) -> list[Write]:
        """The writes, each with its changes, in no order. `decided` are the accounts
        about which the run decides something, by uid: these and others."""
        later = decided - {wanted.account.uid for wanted in desired}
        drifted = [e for e in self.index.entries() if e.drift is not None and e.account.uid not in later]
        if drifted:
            self._by = authors(*self.accounts[:2], [entry.dn for entry in drifted])
        for changed in drifted:
            self._show(changed)
        rows = [*self._mended_archived(decided)]
        archived = [w.account.uid for w in desired if w.account.state is State.ARCHIVED]
        foreign = foreign_values(self.accounts, archived)
        for asked in desired:
            wanted, entry, write = self.with_known_drift(asked)
            uid = wanted.account.uid
            if entry is not None and entry.drift is not None and (held := held_words(entry)):
                self.holds.append(Hold(wanted.subject.matricule, uid, held, HoldCode.DRIFT))
                rows += self._ended(wanted, entry, entry.drift)
                continue
            if self.drift_waits and entry is not None and entry.drift is not None:
                rows += self._withheld(wanted, entry)
                continue
            if write is None:
                continue
            if self._is_protected(wanted.subject.current):
                self.holds.append(Hold(wanted.subject.matricule, uid, PROTECTED, HoldCode.PROTECTED))
                continue
            if wanted.account.state is State.ARCHIVED:
                # without values, because some cannot be read and some have no equality rule
                erased = foreign.get(uid, {})
                classes = (*write.delete.get("objectClass", ()), *erased.get("objectClass", ()))
                delete = {**write.delete, **erased, **({"objectClass": classes} if classes else {})}
                write = replace(write, delete=delete)
            rows.append(self.row(wanted, write))
        rows += self._suspended(decided)
        rows += self._sealed({row.uid for row in rows})
        # before the accounts, because a plan keeps this order: a crash in between leaves no device behind
        return [*self._devices_of_archived(rows), *rows]

    def _ended(self, desired: Desired, entry: Entry, drift: Drifted) -> Iterator[Write]:
        """The row of an account that gains nothing until somebody decides: it loses what another program
        gave, and what HR or a date ends. If an assignment was lost, only the feeds of all sources show
        whether it is over."""
        present = as_found(entry, self.accounts.encoding)
        account = reduced(present, present, entry.account)
        if self.whole or self.accounts.encoding.name("piactlAssignment") not in drift.unknown:
            account = reduced(account, account, self._not_archived(desired))
        yield from self._reduced_row(desired, entry, present, account)

    def _sealed(self, written: Container[str]) -> Iterator[Write]:
        """The rows that give their first sealed base to the accounts that get nothing else: those of held
        people, and protected ones. Only an administrator may write those with a mark of protection."""
        for entry in self.index.entries() if self.seals else ():
            if is_sealed(entry.base) or entry.account.uid in written or entry.account.protected:
                continue
            write = with_base(self.accounts.encoding, entry, Write("modify", entry.dn))
            if write.add:
                yield write.with_reason(entry.account.uid, (), SEALS)

    def _suspended(self, decided: Container[str]) -> Iterator[Write]:
        """The rows of accounts about which this run decides nothing, because a person is held, but whose
        device nobody witnessed."""
        for entry in self.index.entries() if self.memory.unwitnessed else ():
            account = entry.account
            if account.uid in decided or not self._unwitnessed(account) or self._is_protected(account):
                continue
            wanted = Desired(Subject(account.matricule, account, None, ()), account, self._nobody())
            if entry.drift is not None:
                present = as_found(entry, self.accounts.encoding)
                yield from self._reduced_row(wanted, entry, present, present)
                continue
            wanted, _, write = self.with_known_drift(wanted)
            if write is not None:
                yield self.row(wanted, write)

    def _withheld(self, desired: Desired, entry: Entry) -> Iterator[Write]:
        """The row of an account that keeps what another program changed, because a guard of drift is broken:
        it only loses what HR or a date ends."""
        self.withheld.add(desired.subject.matricule)
        present = as_found(entry, self.accounts.encoding)
        account = reduced(present, entry.account, self._not_archived(desired))
        yield from self._reduced_row(desired, entry, present, account)

    def _not_archived(self, desired: Desired) -> Account:
        """The desired account; instead of an archived one, which would erase what nobody has looked at, a
        closed one."""
        if desired.account.state is not State.ARCHIVED:
            return desired.account
        return (desired_account(desired.subject, self.rules, archives=False) or desired).account

    def _reduced_row(
        self, desired: Desired, entry: Entry, present: Account, account: Account
    ) -> Iterator[Write]:
        if account.lock is not None and account.lock != present.lock:
            account = with_lock(account, account.lock, desired.career, self.rules.as_of)
        if self._unwitnessed(present):
            account = replace(account, device=NO_DEVICE)
        write = reducing_write(self.accounts.encoding, entry, present, account)
        if write is not None and not self._is_protected(desired.subject.current):
            subject = replace(desired.subject, current=present)
            yield self.row(replace(desired, subject=subject, account=account, base=None), write)

    def with_known_drift(self, desired: Desired) -> tuple[Desired, Entry | None, Write | None]:
        """The desired account, with what is known of the current one once the rules are known, its entry, and
        its write."""
        subject = desired.subject
        entry = self.index.entry(subject.matricule, self.rules.keys) if subject.matricule else None
        if entry is not None and entry.drift is not None:
            encoding = self.accounts.encoding
            again = resolved(entry, encoding, desired.account, self.rules, subject.person)
            if isinstance(again, Entry):  # it was readable with fewer values
                entry = again
                self._show(entry)
            current = entry.account
            # a proof that HR repeats did not change, whatever another program wrote
            before, after = (
                changed_proofs(desired.account, current_account, subject.person, self.rules.keys)
                for current_account in (subject.current, current)
            )
            account = without_changes(desired.account, {*before} - {*after}, current)
            desired = replace(desired, subject=replace(subject, current=current), account=account)
        why = self._unwitnessed(entry.account) if entry is not None else ""
        if why and desired.account.state is not State.ARCHIVED:
            subject = replace(desired.subject, note=desired.subject.note or why)
            account = replace(desired.account, device=NO_DEVICE)
            desired = replace(desired, subject=subject, account=account)
        directory, encoding = self.accounts.directory, self.accounts.encoding
        return desired, entry, account_write(directory, encoding, entry, desired.account)

    def _show(self, entry: Entry) -> None:
        drift = drift_of(entry, self.memory.drift, self.rules.as_of, self._by, self.owners)
        self._drift[entry.account.uid] = [*drift]

    def _unwitnessed(self, account: Account) -> str:
        """Who changed the device in force, or the link to one, without a journal, in words; "" for nobody."""
        marked = account.device != NO_DEVICE
        changed = self.memory.unwitnessed.get(normal_value(account.uid), {}) if marked else {}
        return changed.get("", "") or changed.get(normal_value(account.device), "")

    def _is_protected(self, account: Account | None) -> bool:
        """Whether no import may touch an account; None for a new one."""
        return account is not None and (account.protected or account.uid in self.rules.policy.protected)

    def row(self, desired: Desired, write: Write) -> Write:
        """A write with the changes that it makes; a write of the base alone makes none."""
        drift, matricule = self._drift.get(desired.account.uid, ()), desired.subject.matricule or ""
        waiting = self.news.get(matricule) or self.memory.waiting.get(matricule)
        return planned_row(desired, write, self.rules, self.accounts.encoding, drift, waiting=waiting)

    def left_over(self, rows: Iterable[Write]) -> list[Drift]:
        """The drift as it is once these rows are written. It includes what should be reverted and no write
        reverts, and leaves out what another program and the rules agree on."""
        written = {row.uid: {*row.attributes} for row in rows}
        held_uids = {hold.uid for hold in self.holds}
        remaining = []
        for drift in chain.from_iterable(self._drift.values()):
            if drift.uid in held_uids or self.drift_waits:
                waits = drift.fate == DriftFate.REVERTED
                remaining.append(replace(drift, fate=DriftFate.WAITS.value) if waits else drift)
            elif drift.fate in (DriftFate.WAITS, DriftFate.KEPT):
                remaining.append(drift)
            elif drift.attribute in written.get(drift.uid, ()):
                remaining.append(replace(drift, fate=DriftFate.REVERTED.value))
            elif drift.fate == DriftFate.UNKNOWN:
                remaining.append(drift)
        return remaining

    def _mended_archived(self, coming_back: Container[str]) -> Iterator[Write]:
        """The rows that link archived accounts to no device, take back what another program changed, remove
        digests that are not to be kept, or give an account its base. The rules ask for nothing more of an
        archived account."""
        directory, encoding = self.accounts.directory, self.accounts.encoding
        for entry in self.index.tombstones():
            account = entry.account
            if account.uid in coming_back:
                continue
            if entry.drift is None and not self.rules.matching.identity_digests:
                account = with_births(account, (None, None))
            elif entry.drift is not None:
                reverted = any(drift.fate == DriftFate.REVERTED for drift in entry.drift.rows)
                if self.drift_waits or not reverted:
                    continue
            write = account_write(directory, encoding, entry, account)
            if write is None:
                continue
            if not self._is_protected(account):
                subject = Subject(None, entry.account, None, ())
                yield self.row(Desired(subject, account, self._nobody()), write)
            elif entry.drift is not None or not only_renews_base(encoding, write):
                self.holds.append(Hold(None, account.uid, PROTECTED, HoldCode.PROTECTED))

    def _nobody(self) -> Career:
        return career_of((), self.rules.policy, self.rules.register)

    def _devices_of_archived(self, rows: Iterable[Write]) -> list[Write]:
        archived = [row for row in rows if Kind.ARCHIVE.value in row.kinds]
        dns = [row.dn for row in archived]
        deletions = device_deletions(self.accounts.reader, self.accounts.directory.accounts, dns)
        return [
            write.with_reason(row.uid, row.kinds, Phrase("the account is archived"))
            for row in archived
            for write in deletions.get(normal_dn(row.dn), [])
        ]


def devices_at_no_device(rare: RareEntries, unwitnessed: Mapping[str, Mapping[str, str]]) -> Iterator[Write]:
    """The deletions of devices that have the name to which suspended accounts are linked."""
    if not any(NO_DEVICE in marks for marks in unwitnessed.values()):
        return
    reason = Phrase("no device may have the name to which suspended accounts are linked")
    for uid, write in rare.at_no_device.items():
        yield write.with_reason(uid, (Kind.UPDATE.value,), reason)


def foreign_values(accounts: ManagedAccounts, uids: Sequence[str]) -> dict[str, Values]:
    """What an archival removes besides the managed values, by uid: attributes and classes of other programs,
    rights of other systems, the password."""
    encoding = accounts.encoding
    kept_attributes = {"objectclass", _STRUCTURAL.lower(), *(name.lower() for name in encoding.attributes)}
    kept_attributes.discard(encoding.name("eduPersonEntitlement").lower())
    removed: dict[str, Values] = {}
    for raw in read_whole(*accounts, uids, ("*", _STRUCTURAL)):
        names = [name for name in raw.values if name.lower() not in kept_attributes]
        own = {*encoding.classes, raw.text(_STRUCTURAL).lower()}
        # a class may require an attribute that goes
        classes = tuple(v for v in raw.values.get("objectClass", ()) if v.decode().lower() not in own)
        erased: Values = dict.fromkeys((*names, "userPassword"), ())
        removed[raw.text(encoding.name("uid"))] = {**erased, **({"objectClass": classes} if classes else {})}
    return removed


# The changes of a write.


def changes_of_write(
    desired: Desired,
    write: Write,
    rules: Rules,
    encoding: Encoding,
    drift: Iterable[Drift] = (),
    *,
    every: bool = False,
) -> list[Change]:
    """The changes of the write that makes an account the desired one, at least one.

    Attributes that another program changed, and that no change of the account explains, have changes of their
    own, which name them: one for each class of `drift`, and one for those that are not known as such. With
    `every`, so do those that a change explains, because nothing else lists them. Attributes that only get the
    form of this version have one change.
    """
    if desired.subject.current is None:
        return changes_of(desired, rules)
    formed = _formed(desired, write, encoding)
    written = sorted({*write.attributes} - {encoding.name(BASE), *formed})
    fields = {field for attribute in written for field in encoding.fields.get(attribute, ())}
    changes = changes_of(desired, rules, fields)
    foreign = _changed_by_others(desired, written, encoding) if changes else written
    shown = written if every else foreign
    stays = (DriftFate.KEPT, DriftFate.WAITS)
    drifted = [
        attribute_drift
        for attribute_drift in drift
        if attribute_drift.attribute in shown and not (every and attribute_drift.fate in stays)
    ]
    changes[:0] = _reverted(desired, drifted, rules)
    # the object class of the link changes with it
    known = {attribute_drift.attribute for attribute_drift in drifted} | (
        {"objectClass"} if drifted else set()
    )
    foreign = [name for name in foreign if name not in known]
    if foreign:
        changes.append(_restored(desired, write, foreign, rules, encoding))
    if formed:
        reason = Phrase(
            "an earlier version wrote the entry: it gets the form that SUPANN and eduPerson define"
        )
        facts = {LAYOUT: formed}
        changes.append(change_of(desired.account, Kind.UPDATE, facts, facts, reason, rules.as_of))
    return changes


def _formed(desired: Desired, write: Write, encoding: Encoding) -> list[str]:
    """The attributes that only get the form of this version. An account that is archived, or comes back, has
    other values, not another form."""
    current, archived = desired.subject.current, desired.account.state is State.ARCHIVED
    if current is None or (current.state is State.ARCHIVED) != archived:
        return []
    return encoding.formed(write)


def _reverted(desired: Desired, drift: Sequence[Drift], rules: Rules) -> Iterator[Change]:
    """The changes that take back what another program changed; what gave access comes first."""
    for drift_class in DriftClass:
        some = [attribute_drift for attribute_drift in drift if attribute_drift.drift_class == drift_class]
        if not some:
            continue
        names = [attribute_drift.attribute for attribute_drift in some]
        by = next((attribute_drift.by for attribute_drift in some if attribute_drift.by), "")
        reason = Phrase("another program changed it")
        if by:
            reason = Phrase("another program changed it, {by}", by=by)
        before = {RESTORED: names, "theirs": [f"{d.attribute}: {v}" for d in some for v in d.theirs]}
        ours = [f"{d.attribute}: {v}" for d in some for v in d.ours]
        after = {RESTORED: names, "class": drift_class.value, "ours": ours}
        yield change_of(desired.account, Kind.DRIFT, before, after, reason, rules.as_of)


def _changed_by_others(desired: Desired, written: Sequence[str], encoding: Encoding) -> list[str]:
    """The written attributes whose fields the account already has as it should."""
    current, account = desired.subject.current, desired.account
    if current is None or account.state is State.ARCHIVED:
        return []
    made_of = {name: encoding.fields.get(name, ()) for name in written}
    return [
        name
        for name, fields in made_of.items()
        if fields and all(getattr(current, field) == getattr(account, field) for field in fields)
    ]


def _restored(desired: Desired, write: Write, names: list[str], rules: Rules, encoding: Encoding) -> Change:
    """The change that restores managed attributes, or that links a closed or locked account to no device so
    that the directory refuses it."""
    before: Facts = {RESTORED: names}
    after: Facts = {RESTORED: names}
    reason = Phrase("managed attributes were changed by another program: {names}", names=", ".join(names))
    link = encoding.name("oathTOTPToken")
    if desired.account.shut and link in write.add and {link, "objectClass"}.issuperset(names):
        before, after = {"refused_by": ["dates"]}, {"refused_by": ["dates", Phrase("link to no device")]}
        reason = Phrase(
            "the account is closed, and its dates alone count only where a password policy applies"
        )
        if desired.account.locked:
            reason = Phrase(
                "the account is locked, and its dates alone count only where a password policy applies"
            )
    return change_of(desired.account, Kind.UPDATE, before, after, reason, rules.as_of)
