"""The drift of the accounts of a run: what stays, what is listed, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.model.account import Account
from piactl.core.model.overrides import OverrideKind, running
from piactl.core.plan.drift import ENTRY, Drift, DriftClass, Fate, kept_until
from piactl.core.plan.run_state import Memory
from piactl.core.rules.desired import Rules
from piactl.directory.probe.authors import authors
from piactl.directory.store.accounts import Entry, Unreadable, with_kept
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.drift import usual_fate
from piactl.flows.plan.inputs.account_index import ManagedAccounts

Since = Mapping[str, Mapping[str, date]]


def decided(
    entry: Entry | Unreadable, encoding: Encoding, memory: Memory, rules: Rules
) -> Entry | Unreadable:
    """The entry with what stays of what another program changed: a tightening for some days, and what
    somebody decided to keep."""
    if isinstance(entry, Unreadable) or entry.drift is None:
        return entry
    since = memory.drift.get(entry.account.uid, {})
    overrides = running(entry.account.overrides, rules.as_of)

    def decide(attribute: str, drift_class: DriftClass) -> Fate:
        fate = usual_fate(attribute, drift_class)
        if drift_class is DriftClass.LOOSENING:
            return fate
        if any(o.kind is OverrideKind.KEEP and o.value == attribute for o in overrides):
            return Fate.KEPT
        first = since.get(attribute, rules.as_of)
        last = kept_until(attribute, first, rules.policy.drift_days, overrides)
        # a protected account is the administrator's: no night may write it, nor take the mark away
        ends = fate is Fate.KEPT and attribute != encoding.name("piactlProtected")
        return Fate.REVERTED if ends and rules.as_of > last else fate

    return with_kept(entry, encoding, decide)


def drift_list(
    accounts: ManagedAccounts,
    entries: Iterable[Entry],
    memory: Memory,
    rules: Rules,
    owners: Mapping[str, str],
) -> list[Drift]:
    """The drift of these accounts, what gives access first, with who wrote it as far as that is known."""
    drifted = [entry for entry in entries if entry.drift is not None]
    if not drifted:
        return []
    by = authors(accounts.reader, accounts.directory, [entry.dn for entry in drifted])
    found = []
    for entry in drifted:
        account = entry.account
        since = memory.drift.get(account.uid, {})
        for one in entry.drift.drift if entry.drift else ():
            first = since.get(one.attribute, rules.as_of)
            until = None
            if one.fate == Fate.KEPT:
                until = kept_until(one.attribute, first, rules.policy.drift_days, account.overrides)
            others = {owners.get(text.casefold(), account.uid) for text in one.theirs} - {account.uid}
            owner = min(others, default=None)
            found.append(
                replace(one, uid=account.uid, since=first, until=until, by=by.get(entry.dn, ""), owner=owner)
            )
    return sorted(found, key=lambda one: one.rank)


def remembered(drift: Sequence[Drift], before: Since, evaluated: Iterable[Account], *, partly: bool) -> Since:
    """What stands after a run, and since when: of evaluated accounts what this run does not revert, and of
    others, where it evaluates only some, what was known before."""
    seen = {account.uid for account in evaluated}
    after = {uid: dict(found) for uid, found in before.items() if partly and uid not in seen}
    for one in drift:
        if one.fate != Fate.REVERTED and one.attribute != ENTRY and one.since is not None:
            after.setdefault(one.uid, {})[one.attribute] = one.since
    return dict(sorted(after.items()))


def unresolved(entry: Entry, encoding: Encoding, desired: Account) -> tuple[str, ...]:
    """The attributes that the rules go by, of which another program removed a value that is not known."""
    drift = entry.drift
    if drift is None or not drift.unknown:
        return ()
    found = drift.found(encoding.values(desired))
    return tuple(name for name in drift.unknown if len(found.get(name, ())) < len(drift.gone[name]))


def lost_words(uid: str, attributes: Sequence[str]) -> str:
    names = " and ".join(attributes)
    return (
        f"another program changed {names}, and what it was is not known here; nothing of the account changes "
        f"until HR or somebody says so: piactl drift show {uid}"
    )
