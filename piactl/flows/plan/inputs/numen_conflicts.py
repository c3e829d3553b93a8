"""Whom nobody may touch in a run because one identifier is claimed by two people."""

from __future__ import annotations

from piactl.core.model.digests import DigestKeys
from piactl.core.plan.run_state import Memory
from piactl.core.rules.desired import NUMEN
from piactl.flows.plan.inputs.account_index import AccountIndex
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds


def hold_shared_numens(told: MergedFeeds, index: AccountIndex, memory: Memory, keys: DigestKeys) -> None:
    """One NUMEN under two matricules holds both: nobody can tell whose it is."""
    owners: dict[str, str] = {}
    waiting = _waiting_numens(told, memory)
    for matricule, person in told.people.items():
        if person.numen is None:
            continue
        candidates = keys.candidates(NUMEN, person.numen.reveal())
        waits = next((waiting[c] for c in candidates if c in waiting), matricule)
        entry = index.entry(matricule, keys)
        own = entry.account.uid if entry else None
        uid = next((index.numens[c] for c in candidates if c in index.numens), None)
        other = owners.setdefault(candidates[0], matricule)
        if uid is not None and uid != own:
            why = f"its NUMEN is that of the account {uid}, which has another matricule"
            told.hold(matricule, why)
            _hold_uid(told, index, uid, f"its NUMEN came under another matricule, {matricule}")
        elif waits != matricule:
            told.hold(matricule, f"its NUMEN is that of somebody in waiting, matricule {waits}")
            told.hold(waits, f"its NUMEN came under another matricule, {matricule}")
        elif other != matricule:
            told.hold(matricule, f"its NUMEN came under another matricule too, {other}")
            told.hold(other, f"its NUMEN came under another matricule too, {matricule}")


def _waiting_numens(told: MergedFeeds, memory: Memory) -> dict[str, str]:
    """Digest of the NUMEN -> matricule of those in waiting whom no feed of this run gives one."""
    return {
        one.numen_digest: matricule
        for matricule, one in memory.waiting.items()
        if one.numen_digest and (matricule not in told.people or told.people[matricule].numen is None)
    }


def _hold_uid(told: MergedFeeds, index: AccountIndex, uid: str, why: str) -> None:
    if uid in index.matricules:
        told.hold(index.matricules[uid], why)
