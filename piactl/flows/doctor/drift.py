"""Checks of what other programs changed on accounts, and of what only another program can have written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date

from piactl.core.plan.drift import DriftClass
from piactl.core.text import counted
from piactl.directory.store.accounts import Unreadable, as_found, read_accounts
from piactl.directory.store.memory_records import read_drift_memory, vanished_accounts
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import PiactlError
from piactl.flows.doctor.checks import Finding, skipped, worst
from piactl.flows.doctor.records import Content
from piactl.flows.drift import decided
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.vanished import still_gone, vanished_words

_FEW = 10
"""How many accounts are named in one finding."""
_SHARED = "Show them with piactl account show; two accounts of one person: piactl account merge."


def examine_drift(content: Content) -> Iterator[Finding]:
    """D55 to D57."""
    try:
        yield from (*_entries(content), _gone(content))
    except PiactlError as refused:
        why = str(refused).split("\n", 1)[0]
        yield from (skipped(id_, why) for id_ in ("D55", "D56", "D57"))


def _entries(content: Content) -> Iterator[Finding]:
    """D55, and D57: a name or matricule is that of one account, whose ledger has its names."""
    encoding, policy = content.encoding, content.policy()
    memory = read_drift_memory(content.reader, content.directory.state)
    classes, holders = Counter[str](), defaultdict[str, set[str]](set)
    unlisted = []
    for read in read_accounts(content.reader, content.directory, encoding):
        entry = decided(read, encoding, memory, date.min, policy.drift_days)  # whatever its fate
        if isinstance(entry, Unreadable):
            continue
        account = as_found(entry, encoding)
        classes.update({one.drift_class for one in entry.drift.drift} if entry.drift else ())
        unlisted += [f"{account.uid} has {a}" for a in sorted(account.foreign_addresses)]
        for name in {*(name.casefold() for name in account.names), *account.matricules}:
            holders[name].add(account.uid)
    counts = {one: f"{counted(classes[one], 'account')} with {one}" for one in DriftClass if classes[one]}
    errors = [counts.pop(DriftClass.LOOSENING)] if DriftClass.LOOSENING in counts else []
    advice = "Decide what stays, the next night reverts the rest: piactl drift list (docs/drift.md)."
    yield worst("D55", errors, [*counts.values()], advice, "no other program has changed one")
    shared = [f"{', '.join(sorted(uids))} share {name}" for name, uids in holders.items() if len(uids) > 1]
    unlisted = [f"{one}, which its ledger of names lacks" for one in unlisted]
    advice = f"{_SHARED} The next night enters a name that nobody else has in the ledger."
    yield worst("D57", _few(shared), _few(unlisted), advice, "each stands for one account")


def _gone(content: Content) -> Finding:
    gone = vanished_accounts(content.reader, content.directory.state, UnreadableRecords())
    there = still_gone(ManagedAccounts(content.reader, content.directory, content.encoding), gone)
    words = [vanished_words(uid, unmanaged=one.unmanaged) for uid, one in there.items()]
    return worst("D56", _few(words), [], "See piactl drift list and docs/drift.md.", "no entry is gone")


def _few(findings: list[str]) -> list[str]:
    more = len(findings) - _FEW
    return [*findings[:_FEW], f"and {more} more"] if more > 0 else findings
