"""The drift of accounts for nights, commands and queries: what stays, what is listed, since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from piactl.core.model.account import Account
from piactl.core.model.overrides import OverrideKind, running
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.drift import DEVICE, ENTRY, Drift, DriftClass, DriftFate, changed_words, kept_until
from piactl.core.plan.run_state import Memory
from piactl.core.text import iso
from piactl.directory.port import Reader
from piactl.directory.probe.access_log import authors
from piactl.directory.store.accounts import Entry, Unreadable, with_kept
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import LAYOUT, is_sealed
from piactl.directory.store.drift import read_foreign_devices, usual_fate

Since = Mapping[str, Mapping[str, date]]


def decided(
    entry: Entry | Unreadable, encoding: Encoding, memory: Memory, as_of: date, drift_days: int
) -> Entry | Unreadable:
    """The entry with those changes of another program that stay: a tightening for `drift_days`, and what
    somebody decided to keep. An entry without a base, or with one that is not sealed, counts as drift, too,
    if it had a sealed one (see `LastRun`)."""
    if isinstance(entry, Unreadable) or is_settled(entry):
        return entry
    last = memory.last
    based = last is not None and last.unbased is not None and entry.account.uid not in last.unbased
    # until a night of this version has sealed it, an unsealed base counts
    unsealed = bool(entry.base) and not (based and last and last.layout >= LAYOUT)
    if entry.drift is None and not based and not unsealed:
        return entry
    since = memory.drift.get(entry.account.uid, {})
    overrides = running(entry.account.overrides, as_of)

    def decide(attribute: str, drift_class: DriftClass) -> DriftFate:
        fate = usual_fate(attribute, drift_class)
        if drift_class is DriftClass.LOOSENING:
            return fate
        if any(o.kind is OverrideKind.KEEP and o.value == attribute for o in overrides):
            return DriftFate.KEPT
        last = kept_until(attribute, since.get(attribute, as_of), drift_days, overrides)
        # a protected account is the administrator's: no night may write it or remove the mark
        ends = fate is DriftFate.KEPT and attribute != encoding.name("piactlProtected")
        return DriftFate.REVERTED if ends and as_of > last else fate

    return with_kept(entry, encoding, decide, based=based, unsealed=unsealed)


def drift_list(
    reader: Reader,
    directory: DirectorySettings,
    entries: Iterable[Entry],
    memory: Memory,
    as_of: date,
    drift_days: int,
    owners: Mapping[str, str] = MappingProxyType({}),
) -> list[Drift]:
    """The drift of these `decided` entries, with its author if known. What gives access comes first."""
    drifted = [(entry, entry.drift.drift) for entry in entries if entry.drift is not None]
    if not drifted:
        return []
    by = authors(reader, directory, [entry.dn for entry, _ in drifted])
    result = []
    for entry, drifts in drifted:
        account = entry.account
        since = memory.drift.get(account.uid, {})
        for drift in drifts:
            first = since.get(drift.attribute, as_of)
            until = None
            if drift.fate == DriftFate.KEPT:
                until = kept_until(drift.attribute, first, drift_days, account.overrides)
            others = {owners.get(text.casefold(), account.uid) for text in drift.theirs} - {account.uid}
            owner = min(others, default=None)
            result.append(
                replace(
                    drift, uid=account.uid, since=first, until=until, by=by.get(entry.dn, ""), owner=owner
                )
            )
    return sorted(result, key=lambda drift: drift.rank)


def drift_row(drift: Drift) -> dict[str, Any]:
    """One drift as documents have it, without the uid of the account."""
    return {
        "attribute": drift.attribute,
        "class": drift.drift_class,
        "ours": list(drift.ours),
        "theirs": list(drift.theirs),
        "fate": drift.fate,
        "since": iso(drift.since),
        "until": iso(drift.until),
        "by": drift.by,
        "owner": drift.owner,
    }


def device_drift(reader: Reader, directory: DirectorySettings, base: str = "") -> Iterator[Drift]:
    """The devices below the accounts, or below one (a DN), that another program added. The link of an account
    to a device is not part of this: see `drift_list`."""
    owners = {raw.dn: raw.dn.partition(",")[2] for raw in read_foreign_devices(reader, directory, base)}
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


def remembered(
    drifts: Sequence[Drift], before: Since, evaluated: Iterable[Account], *, partly: bool
) -> Since:
    """The drift that is left after a run, and since when: for evaluated accounts, what this run does not
    revert; for others, if it evaluates accounts only `partly`, what was known before."""
    evaluated_uids = {account.uid for account in evaluated}
    after = {uid: dict(since) for uid, since in before.items() if partly and uid not in evaluated_uids}
    for drift in drifts:
        if (
            drift.fate != DriftFate.REVERTED
            and drift.attribute not in (ENTRY, DEVICE)
            and drift.since is not None
        ):
            after.setdefault(drift.uid, {})[drift.attribute] = drift.since
    return dict(sorted(after.items()))


def drift_summary(entry: Entry, drift: Iterable[Drift]) -> str:
    """The drift of an account in a sentence."""
    uid = entry.account.uid
    if entry.drift is not None and is_held(entry):
        return lost_words(entry, entry.drift.unknown)
    return f"{uid}: {changed_words(drift)}: piactl drift show {uid}"


def is_settled(entry: Entry) -> bool:
    """Whether the account has a sealed base, and only piactl has changed it since."""
    return entry.drift is None and is_sealed(entry.base)


def is_held(entry: Entry) -> bool:
    """Whether another program removed what the rules need, or the base, and what it removed is unknown: the
    account gains nothing."""
    return entry.drift is not None and bool(entry.drift.unknown)


def unresolved(entry: Entry, encoding: Encoding, desired: Account) -> tuple[str, ...]:
    """The attributes that the rules need and from which another program removed an unknown value."""
    drift = entry.drift
    if drift is None or not drift.unknown:
        return ()
    if drift.baseless:
        return drift.unknown
    found_values = drift.found(encoding.values(desired))
    return tuple(name for name in drift.unknown if len(found_values.get(name, ())) < len(drift.gone[name]))


def lost_words(entry: Entry, attributes: Sequence[str]) -> str:
    """The sentence that says why a held account gains nothing."""
    uid, names = entry.account.uid, " and ".join(attributes)
    if entry.drift is not None and entry.drift.baseless:
        return (
            f"another program removed the base ({names}), so what else it changed cannot be seen; the "
            f"account gains nothing until somebody looks: piactl account show {uid}, piactl account history "
            f"{uid}, then piactl drift revert {uid}"
        )
    return (
        f"another program changed {names}, and what it was is not known here; the account gains nothing "
        f"until HR or somebody says what: piactl drift show {uid}"
    )
