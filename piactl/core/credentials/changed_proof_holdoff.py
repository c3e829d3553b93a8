"""The hold-off: the days in which a changed NUMEN proves nothing, and a changed private address gets nothing.

Whoever changes both in an HR application could otherwise take an account over within minutes. The hold-off
gives its owner, who is told at the former address, time to object.
"""

from __future__ import annotations

from datetime import date, timedelta

from piactl.core.model.account import Account


def held_off_until(account: Account, proof: str, days: int, today: date) -> date | None:
    """The first day on which a proof (one of PROOFS) counts again; None if it counts today."""
    changed = account.proof_changed(proof)
    if changed is None:
        return None
    until = changed + timedelta(days=days)
    return until if today < until else None
