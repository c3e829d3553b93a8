"""Whether HR changed what a person proves their identity with: the NUMEN, the private address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from piactl.core.model.account import MAIL_PROOF, NUMEN_PROOF, Account, State
from piactl.core.model.digests import NUMEN, DigestKeys, digest_key_id
from piactl.core.model.person import Person


def changed_proofs(
    account: Account, current: Account | None, person: Person | None, keys: DigestKeys
) -> tuple[str, ...]:
    """The PROOFS that `account` has otherwise than the `current` one of a person, or newly.

    A NUMEN that only moves to another key is the same. A NUMEN whose former digest is under a key that is
    not known counts as changed: nobody can tell. What comes back with an archived account is no change of its
    private address, which the archive does not hold.
    """
    if current is None:
        return ()
    changed = []
    old, new = current.numen_digest, account.numen_digest
    if new is not None and old != new:
        numen = person.numen if person is not None else None
        if numen is not None:
            same = old is not None and keys.matches(old, NUMEN, numen.reveal())
        else:
            same = old is not None and digest_key_id(old) != digest_key_id(new)
        if not same:
            changed.append(NUMEN_PROOF)
    if current.private_mail != account.private_mail and current.state is not State.ARCHIVED:
        changed.append(MAIL_PROOF)
    return tuple(changed)


def with_proof_changes(
    account: Account, current: Account, person: Person | None, keys: DigestKeys, as_of: date
) -> Account:
    """The account with the day on which each proof changed."""
    changed = changed_proofs(account, current, person, keys)
    if not changed:
        return account
    names = sorted({*dict(account.proof_changes), *changed})
    known = ((name, account.proof_changed(name)) for name in names)
    days = [(name, max(day or as_of, as_of) if name in changed else day) for name, day in known]
    return replace(account, proof_changes=tuple((name, day) for name, day in days if day is not None))


def without_changes(account: Account, proofs: Iterable[str], current: Account) -> Account:
    """The account with the days of these proofs as the `current` one has them: they did not change."""
    kept = [change for change in account.proof_changes if change[0] not in proofs]
    before = [change for change in current.proof_changes if change[0] in proofs]
    return replace(account, proof_changes=tuple(sorted([*kept, *before])))
