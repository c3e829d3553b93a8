"""Decisions about what another program changed: put back, adopted, or kept until a day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.acts import ActRefused, Altered, Author
from piactl.core.model.account import Account, State
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.plan.account_changes import change_of
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.drift import ADOPTABLE, DEVICE, Drift, DriftClass
from piactl.core.plan.state_between_runs import Vanished
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import MATRICULE, Desired, Rules, Subject, desired_account, with_ledger
from piactl.directory.interfaces import RawEntry
from piactl.directory.store.account_entries import (
    Entry,
    Unreadable,
    account_dn,
    account_write,
    again,
    with_base,
)
from piactl.directory.store.attribute_map import UnreadableEntry
from piactl.directory.store.base_digest import BASE
from piactl.directory.store.devices import raw_delete
from piactl.directory.store.find_drift import PROPERLY, read_foreign_devices
from piactl.edits.account_store import AccountStore, all_entries, find_entry
from piactl.edits.carry_out_batch import Batch, PreparedAccount, prepare_each
from piactl.edits.one_off_change import guarded, intended, prepared_account
from piactl.errors import PiactlError
from piactl.phrase import Phrase, counted, joined
from piactl.planning.account_writes import RESTORED
from piactl.planning.drift_by_rules import resolved, wanted
from piactl.planning.vanished_accounts import vanished_drift, vanished_words
from piactl.runs.undo_log import logged_values

_REBUILT = (
    "mail", "piactlAlias", "piactlIdentifier", "sn", "givenName", "supannNomDeNaissance", "personalTitle",
    "supannMailPrive", "piactlMatricule", "piactlMatriculeDigest", "piactlNumenDigest", "piactlNumenVerifier",
    "piactlIdentityDigest", "piactlBirthDigest", "piactlProofChanged", "piactlAssignment", "piactlException",
    "piactlOverride", "piactlLock", "piactlProtected",
)  # fmt: skip
"""The attributes that are restored for a deleted entry, as far as undo logs have them; the rules give the
rest."""
_LOST = {
    "piactlException": Phrase("a denial or a grant"),
    "piactlOverride": Phrase("an end or a closure"),
    "piactlAssignment": Phrase("an assignment"),
}
"""What a value of an attribute is, in words."""
_ITS_OWN = Phrase(
    "assignments, exceptions, overrides, device, lock, names and addresses count from now on as they stand "
    "on the entry: look at each of them"
)
_OTHERWISE = Phrase("a correction in HR, or piactl assignment add")


def standing_drift(
    store: AccountStore, names: Sequence[str], unreadable: Callable[[str], None]
) -> list[Drift]:
    """The drift of these accounts, or of all if there are no `names`, as the next run would find it.
    `unreadable` is called with the reason for each entry that cannot be read. Raises as `find_entry`."""
    if names:
        gone = store.gone(names)
        drifts = [
            drift for name in names if name not in gone for drift in store.drift_of(find_entry(store, name))
        ]
    else:
        present: set[str] = set()
        by_uid = store.drift(_noted(all_entries(store, unreadable), present), store.devices())
        gone = store.gone({*store.listed, *store.vanished} - present)
        drifts = [drift for account_drifts in by_uid.values() for drift in account_drifts]
    return sorted([*drifts, *vanished_drift(store.managed, gone)], key=lambda drift: drift.rank)


def _noted(entries: Iterable[Entry], uids: set[str]) -> Iterator[Entry]:
    for entry in entries:
        uids.add(entry.account.uid)
        yield entry


def prepare_revert(store: AccountStore, names: Iterable[str], author: Author) -> Batch:
    """The batch that puts back everything that another program changed on these accounts, as far as it is
    known. A deleted entry is made again: see `rebuilt`."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        devices = [
            raw_delete(raw).with_reason(entry.account.uid, (Kind.DRIFT.value,), author.reason)
            for raw in read_foreign_devices(store.reader, store.directory, entry.dn)
        ]
        if entry.drift is None and not devices:
            return _none(name, entry)
        ours = _settling(store, entry)
        act = lambda account, _: Altered(account, author.note)  # noqa: E731
        made = prepared_account(store, name, ours, act, author.reason)
        if entry.drift is not None and (entry.drift.baseless or made.write is None):
            made = _based(store, ours, made, author)
        changes = (
            *([_removed(entry.account, devices, store.rules, author)] if devices else []),
            *made.changes,
        )
        note = joined(filter(None, [_given_up(entry, store), made.note]))
        return replace(made, changes=changes, writes=(*devices, *made.writes), note=note)

    def made_again(name: str, gone: Vanished) -> PreparedAccount:
        desired = rebuilt(store, name, gone)
        made = intended(store, name, None, desired, author.reason)
        changes = tuple(
            replace(change, reason=joined([change.reason, author.note])) for change in made.changes
        )
        return replace(made, changes=changes, note=_rebuilt_words(desired.account))

    return guarded(store, _each(store, names, prepared, made_again))


def _given_up(entry: Entry, store: AccountStore) -> str:
    """The values that a revert gives up, because nobody knows them; "" if there are none."""
    unknown = entry.drift.unknown if entry.drift is not None and not entry.drift.baseless else ()
    names = {store.encoding.name(default): word for default, word in _LOST.items()}
    if not unknown:
        return ""
    values = [
        Phrase("{value} ({name})", value=names.get(name, Phrase("a value")), name=name) for name in unknown
    ]
    return Phrase(
        "gives up {values} that another program removed: its words are lost",
        values=joined(values, "{first} and {second}"),
    )


def _settling(store: AccountStore, entry: Entry) -> Entry:
    """The entry of which the next write takes back what another program changed, as far as it is known, and
    gives up the rest. Raises ActRefused if it cannot be read so."""
    if entry.drift is None:
        return entry
    ours = again(entry, store.encoding, replace(entry.drift, settles=True))
    if isinstance(ours, Entry) and not entry.drift.baseless:
        ours = resolved(ours, store.encoding, wanted(ours.account, store.rules), store.rules)
    if isinstance(ours, Unreadable):
        raise ActRefused(ours.why)
    return ours


def _based(store: AccountStore, entry: Entry, made: PreparedAccount, author: Author) -> PreparedAccount:
    """The account with a new base, because another program removed the old one."""
    name, account = store.encoding.name(BASE), entry.account
    before = {RESTORED: [name], "theirs": []}
    ours = [Phrase("{name}: made anew", name=name)]
    after = {RESTORED: [name], "class": DriftClass.LOOSENING.value, "ours": ours}
    reason = Phrase(
        "its base is made anew: what the rules do not give counts as on the entry; {note}", note=author.note
    )
    base_change = change_of(account, Kind.DRIFT, before, after, reason, store.as_of)
    changes = (base_change, *made.changes)
    kinds = tuple(dict.fromkeys(change.kind.value for change in changes))
    write = made.write or with_base(store.encoding, entry, Write("modify", entry.dn))
    row = write.with_reason(account.uid, kinds, author.reason)
    return replace(made, changes=changes, writes=(row,), note=_ITS_OWN)


def prepare_adopt(store: AccountStore, names: Iterable[str], author: Author) -> Batch:
    """The batch that makes the names and addresses that another program wrote piactl's own. Raises ActRefused
    for values that only the command for them may give."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        if entry.drift is None:
            return _none(name, entry)
        drifts = entry.drift.rows
        for drift in drifts:
            if drift.drift_class not in ADOPTABLE:
                raise ActRefused(
                    Phrase(
                        "{name}: {attribute} was changed by another program ({drift_class}), which nobody "
                        "adopts.\nTo give it: {command}; to put it back: piactl drift revert {uid} "
                        '--reason "..."',
                        name=name,
                        attribute=drift.attribute,
                        drift_class=drift.drift_class,
                        command=PROPERLY.get(drift.attribute, _OTHERWISE),
                        uid=entry.account.uid,
                    )
                )
            if drift.drift_class == DriftClass.PRESENTATION:
                raise ActRefused(
                    Phrase(
                        "{name}: {attribute} follows from the names of HR. To keep it: piactl drift "
                        "override {uid} --until DATE --reason TEXT; another name: piactl account rename",
                        name=name,
                        attribute=drift.attribute,
                        uid=entry.account.uid,
                    )
                )
        account = with_ledger(entry.account, {})
        former = {
            text for drift in drifts if drift.attribute == store.encoding.name("mail") for text in drift.ours
        }
        account = replace(account, aliases=account.aliases | (former - {"?"} - {account.address}))
        entry = replace(entry, drift=replace(entry.drift, settles=True))
        write = account_write(store.directory, store.encoding, entry, account)
        if write is None:
            return PreparedAccount(name, account.uid)
        before = {"identifiers": sorted(former)}
        after = {"identifiers": sorted(text for drift in drifts for text in drift.theirs)}
        reason = Phrase("what another program wrote is adopted; {note}", note=author.note)
        change = change_of(account, Kind.UPDATE, before, after, reason, store.as_of)
        row = write.with_reason(account.uid, (change.kind.value,), author.reason)
        return PreparedAccount(name, account.uid, (change,), (row,))

    return guarded(store, _each(store, names, prepared))


def prepare_keep(
    store: AccountStore,
    names: Iterable[str],
    author: Author,
    until: date,
) -> Batch:
    """The batch that keeps, until a day, what another program changed on these accounts. Raises ActRefused
    for what gives access."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        if entry.drift is None:
            return _none(name, entry)
        drifts = entry.drift.rows
        for drift in drifts:
            if drift.drift_class == DriftClass.LOOSENING:
                raise ActRefused(
                    Phrase(
                        "{name}: {attribute} gives access that nobody granted, which does not stay.\n"
                        "To give it: {command}",
                        name=name,
                        attribute=drift.attribute,
                        command=PROPERLY.get(drift.attribute, _OTHERWISE),
                    )
                )
        overrides = tuple(
            Override(OverrideKind.KEEP, until, store.as_of, author.by, author.reason, value=drift.attribute)
            for drift in drifts
        )

        def act(account: Account, _rules: Rules) -> Altered:
            return Altered(replace(account, overrides=(*account.overrides, *overrides)), author.note)

        return prepared_account(store, name, entry, act, author.reason)

    return guarded(store, _each(store, names, prepared))


def _each(
    store: AccountStore,
    names: Iterable[str],
    prepare: Callable[[str, Entry], PreparedAccount],
    of_gone: Callable[[str, Vanished], PreparedAccount] | None = None,
) -> tuple[PreparedAccount, ...]:
    """As `prepare_each`; `of_gone` prepares the accounts whose entry is gone."""
    names = list(names)
    gone = store.gone(names)

    def prepared(name: str) -> PreparedAccount:
        vanished_account = gone[name]
        try:
            if vanished_account.unmanaged or of_gone is None:
                raise ActRefused(vanished_words(name, unmanaged=vanished_account.unmanaged))
            return of_gone(name, vanished_account)
        except PiactlError as error:
            return PreparedAccount(name, name, error=error)

    present_accounts = iter(prepare_each(store, [name for name in names if name not in gone], prepare))
    return tuple(prepared(name) if name in gone else next(present_accounts) for name in names)


def rebuilt(store: AccountStore, uid: str, gone: Vanished) -> Desired:
    """The account that replaces a deleted entry: its matricule, what the undo logs of runs have of it, and
    names from its uid if they have none. Without assignments it is closed until the next feed.

    Raises ActRefused for an archived account.
    """
    if not gone.matricule:
        raise ActRefused(
            Phrase(
                "{uid}: the account was archived, and its entry held only names, which nobody gets; "
                "restore it from a backup of the server if you need it",
                uid=uid,
            )
        )
    last_values = logged_values(store.reader, store.directory.state, uid, store.unreadable)
    encoding, dn = store.encoding, account_dn(store.directory, uid)
    values = {
        encoding.name(attribute): last_values.get(encoding.name(attribute), ()) for attribute in _REBUILT
    }
    fixed = {"uid": uid, "supannEmpId": gone.matricule, "piactlState": State.DEACTIVATED.value}
    values |= {encoding.name(name): (text.encode(),) for name, text in fixed.items()}
    try:
        account = encoding.account(RawEntry(dn, {name: some for name, some in values.items() if some}))
    except UnreadableEntry as error:
        raise ActRefused(Phrase("{error}; its undo log holds it", error=str(error))) from None
    words = [word.title() for word in uid.rstrip("0123456789").split(".")]
    address = account.address or f"{uid}@{store.policy.domain}"
    digest = store.keys.digest(MATRICULE, gone.matricule)
    account = replace(
        account,
        matricule_digests=tuple(sorted({*account.matricule_digests, digest})),
        family_name=account.family_name or words[-1],
        given_name=account.given_name or words[0],
        address=address,
        identifiers=account.identifiers | {uid, address, f"{uid}@{store.policy.domain}"},
        state_from=store.as_of,
        protected=uid in store.policy.protected or account.protected,
    )
    desired = desired_account(
        Subject(gone.matricule, account, None, account.assignments), store.rules, archives=False
    )
    if desired is None:
        raise AssertionError("an account that is there always has a desired one")
    return replace(desired, subject=replace(desired.subject, current=None), base=None)


def _rebuilt_words(account: Account) -> str:
    lists = (
        counted(len(account.assignments), "assignment", "assignments"),
        counted(len(account.exceptions), "exception", "exceptions"),
        counted(len(account.overrides), "override", "overrides"),
        counted(1 if account.lock else 0, "lock", "locks"),
    )
    counts = joined((count for count in lists if count.values["number"]), "{first}, {second}")
    return Phrase(
        "made again with what the undo logs have: {counts}. What was written before they begin is not known "
        "here: HR repeats its own, and the journal names the rest (piactl account history {uid}). The "
        "password and devices do not come back",
        counts=counts or Phrase("names alone"),
        uid=account.uid,
    )


def _removed(account: Account, devices: Sequence[Write], rules: Rules, author: Author) -> Change:
    before = {"theirs": [f"{DEVICE}: {device.dn}" for device in devices]}
    after = {"class": DriftClass.LOOSENING.value, "ours": []}
    reason = Phrase("another program added a device; {note}", note=author.note)
    return change_of(account, Kind.DRIFT, before, after, reason, rules.as_of)


def _none(name: str, entry: Entry) -> PreparedAccount:
    return PreparedAccount(name, entry.account.uid, note=Phrase("no other program has changed it"))
