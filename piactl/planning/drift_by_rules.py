"""The drift of accounts for nights, commands and queries: what the rules make of it, since when it exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import OverrideKind, running
from piactl.core.model.person import Person
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import UnusableName
from piactl.core.plan.drift import DEVICE, Drift, DriftClass, DriftFate, changed_words
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.rules.desired_account import Rules, Subject, desired_account, with_ledger
from piactl.core.text import facts_of
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.probe.access_log import authors
from piactl.directory.store.account_entries import Entry, Unreadable, again
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import BASE, LAYOUT, is_sealed
from piactl.directory.store.find_drift import (
    DATES,
    LOST_END,
    NAMES,
    Drifted,
    compare,
    rows_of,
)
from piactl.phrase import Phrase, joined

Since = Mapping[str, Mapping[str, date]]


def decided(
    entry: Entry | Unreadable, encoding: Encoding, last: LastRun | None, rules: Rules
) -> Entry | Unreadable:
    """The entry with what another program changed, as the rules want it today. Once a night of this version
    has sealed all bases (see `LastRun`), an entry without a sealed one lost it to another program; before, a
    base that is not sealed is compared, too."""
    if isinstance(entry, Unreadable) or is_settled(entry):
        return entry
    if not is_sealed(entry.base):
        if last is not None and last.layout >= LAYOUT and encoding.bases is not None:
            entry = replace(entry, drift=Drifted(encoding.bases.names))
        elif entry.base and encoding.bases is not None:
            drift = compare(encoding.bases, entry.dn, entry.uuid, entry.values, entry.base)
            compared = again(entry, encoding, drift)
            if isinstance(compared, Unreadable):
                return compared
            entry = compared
    return entry if entry.drift is None else resolved(entry, encoding, wanted(entry.account, rules), rules)


def wanted(account: Account, rules: Rules) -> Account:
    """The account that the rules make of what is known, without a feed."""
    if account.state is State.ARCHIVED:
        return account
    subject = Subject(account.matricule, with_ledger(account, {}), None, account.assignments)
    try:
        desired = desired_account(subject, rules, archives=False)
    except UnusableName:
        return account
    return desired.account if desired is not None else account


def resolved(
    entry: Entry, encoding: Encoding, account: Account, rules: Rules, person: Person | None = None
) -> Entry | Unreadable:
    """The entry with those removed values that the `account` of the rules has, and with what becomes of each
    change. `person` has the data that HR has just stated again."""
    drift = entry.drift
    if drift is None:
        return entry
    if drift.baseless:
        name = encoding.name(BASE)
        theirs = (Phrase("another value"),) if entry.base else ()
        row = Drift("", name, DriftClass.LOOSENING.value, ("?",), theirs, DriftFate.WAITS.value)
        return replace(entry, drift=replace(drift, rows=(row,), unknown=(name,)))
    values, names = encoding.values(account), {text.encode() for text in _names_of(entry, encoding)}
    candidates = {
        name: (*values.get(name, ()), *(names if drift.names[name] in NAMES else ())) for name in drift.gone
    }
    drift = replace(drift, found={name: drift.matching(name, some) for name, some in candidates.items()})
    overrides = running(account.overrides, rules.as_of)
    kept = {override.value for override in overrides if override.kind is OverrideKind.KEEP}
    rows = tuple(rows_of(drift, entry.values, values, kept, person))
    lost = [row.attribute for row in rows if row.fate == DriftFate.UNKNOWN]
    result = again(entry, encoding, replace(drift, rows=rows, unknown=tuple(lost)), rules.as_of)
    ends = [name for name in drift.gone if drift.names[name] in DATES and not drift.is_complete(name)]
    if lost and ends and isinstance(result, Entry) and result.account.lock is None:
        # nobody knows the end, so it counts as in force
        result = replace(result, account=replace(result.account, lock=LOST_END))
    return result


def _names_of(entry: Entry, encoding: Encoding) -> Iterator[str]:
    """The names that an entry itself shows to be those of its account."""
    raw = RawEntry(entry.dn, entry.values)
    yield from (name for name in map(encoding.name, sorted(NAMES)) for name in raw.texts(name))
    for uid in raw.texts(encoding.name("uid")):
        yield f"{uid}@{encoding.domain}"


def drift_list(
    reader: Reader, directory: DirectorySettings, entries: Iterable[Entry], since: Since, as_of: date
) -> list[Drift]:
    """The drift of these `decided` entries, with its author if known. What gives access comes first."""
    drifted = [entry for entry in entries if entry.drift is not None]
    by = authors(reader, directory, [entry.dn for entry in drifted]) if drifted else {}
    shown = (drift for entry in drifted for drift in drift_of(entry, since, as_of, by))
    return sorted(shown, key=lambda drift: drift.rank)


def drift_of(
    entry: Entry,
    since: Since,
    as_of: date,
    by: Mapping[str, str],
    owners: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Drift]:
    """The drift of a `decided` entry. `by` are the authors of entries, `owners` those of names."""
    account, rows = entry.account, entry.drift.rows if entry.drift is not None else ()
    first = since.get(account.uid, {})
    keep = {o.value: o.until for o in account.overrides if o.kind is OverrideKind.KEEP}
    for drift in rows:
        others = {owners.get(text.casefold(), account.uid) for text in drift.theirs} - {account.uid}
        yield replace(
            drift,
            uid=account.uid,
            since=first.get(drift.attribute, as_of),
            until=keep.get(drift.attribute) if drift.fate == DriftFate.KEPT else None,
            by=by.get(entry.dn, ""),
            owner=min(others, default=None),
        )


def drift_row(drift: Drift) -> dict[str, Any]:
    """One drift as documents have it, without the uid of the account."""
    names = ("attribute", "ours", "theirs", "fate", "since", "until", "by", "owner")
    return {"class": drift.drift_class, **facts_of(drift, *names)}


def device_drift(
    reader: Reader, directory: DirectorySettings, devices: Iterable[RawEntry]
) -> Iterator[Drift]:
    """The drift of the devices that another program added. The link of an account to a device is not part of
    this: see `drift_list`."""
    owners = {raw.dn: raw.dn.partition(",")[2] for raw in devices}
    if not owners:
        return
    by = authors(reader, directory, [*owners])
    uid = directory.attributes.get("uid", "uid")
    for dn, owner in owners.items():
        entry = reader.read(owner, [uid])
        if entry is not None:
            yield Drift(
                uid=entry.text(uid),
                attribute=DEVICE,
                drift_class=DriftClass.LOOSENING.value,
                ours=(),
                theirs=(dn,),
                fate=DriftFate.WAITS.value,
                by=by.get(dn, ""),
            )


def standing(drifts: Iterable[Drift]) -> Since:
    """The drift that is left after a run, and since when: what this run does not revert."""
    after: dict[str, dict[str, date]] = {}
    for drift in drifts:
        if drift.fate != DriftFate.REVERTED and drift.since is not None:
            after.setdefault(drift.uid, {})[drift.attribute] = drift.since
    return dict(sorted(after.items()))


def drift_summary(entry: Entry, drift: Iterable[Drift]) -> str:
    """The drift of an account in a sentence."""
    uid = entry.account.uid
    return held_words(entry) or Phrase(
        "{uid}: {changes}: piactl drift show {uid}", uid=uid, changes=changed_words(drift)
    )


def is_settled(entry: Entry) -> bool:
    """Whether the account has a sealed base, and only piactl has changed it since."""
    return entry.drift is None and is_sealed(entry.base)


def held_words(entry: Entry, *decided: str) -> str:
    """Why an account gains nothing: another program removed the base, or something that the rules need and
    that is not known here. "" if it gains what the rules give, also if an act has `decided` these
    attributes."""
    drift, uid = entry.drift, entry.account.uid
    if drift is None or drift.settles:
        return ""
    names = joined((name for name in drift.unknown if name not in decided), "{first} and {second}")
    if not names:
        return ""
    if drift.baseless:
        return Phrase(
            "another program removed the base ({names}), so what else it changed cannot be seen; the "
            "account gains nothing until somebody looks: piactl account show {uid}, piactl account history "
            '{uid}, then piactl drift revert {uid} --reason "..."',
            names=names,
            uid=uid,
        )
    return Phrase(
        "another program changed {names}, and what it was is not known here; the account gains nothing "
        "until HR or somebody says what: piactl drift show {uid}",
        names=names,
        uid=uid,
    )
