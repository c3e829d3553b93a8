"""What people prove their identity with, and the wait after failed checks.

The verifier of the NUMEN is slow to compute: somebody who has it and the key can guess only a few NUMENs a
second. It is scrypt over a keyed digest of the NUMEN. Its parameters are part of the value; a later version
can raise them: `{key}scrypt$LN$R$P$SALT$HASH`, with LN the binary logarithm of n.

During the hold-off a changed NUMEN proves nothing, and nothing is sent to a changed private address. Somebody
who changes both in an HR application could otherwise take an account over within minutes. The hold-off gives
its owner, who is notified at the former address, time to object.

Failed checks are counted per account and over all accounts. An attempt is counted before it is checked, and
no longer counted if it was right. Parallel attempts on several hosts therefore give no more tries than
attempts one after another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from piactl.core.model.account import MAIL_PROOF, NUMEN_PROOF, Account, State
from piactl.core.model.keyed_digests import NUMEN, DigestKeys, digest_key_id
from piactl.core.model.person import Person

LOG_N, R, P = 14, 8, 1
_MOST_MEMORY = 1 << 28
_MOST_R, _MOST_P = 16, 4
_PURPOSE = "numen-proof"


def numen_verifier(keys: DigestKeys, numen: str, salt: str) -> str:
    """The verifier of a NUMEN under the current key. `salt` differs by account and is not a secret."""
    salted = hashlib.sha256(salt.encode()).hexdigest()[:32]
    fields = (LOG_N, R, P, salted, _hash(keys, keys.current, numen, salted, LOG_N, R, P))
    return "{" + keys.current + "}scrypt$" + "$".join(map(str, fields))


def verifies(keys: DigestKeys, stored: str, numen: str) -> bool:
    """Whether `stored` is a verifier of the NUMEN, compared in constant time. False if it is not a verifier,
    or its key is unknown."""
    key = digest_key_id(stored)
    try:
        scheme, log_n, r, p, salt, expected = stored[stored.find("}") + 1 :].split("$")
        if scheme != "scrypt" or key not in keys.keys or not 10 <= int(log_n) <= 17:
            return False
        if not (1 <= int(r) <= _MOST_R and 1 <= int(p) <= _MOST_P):
            return False
        digest = _hash(keys, key, numen, salt, int(log_n), int(r), int(p))
    except ValueError:
        return False
    return hmac.compare_digest(digest.encode(), expected.encode())


def _hash(keys: DigestKeys, key: str, numen: str, salt: str, log_n: int, r: int, p: int) -> str:
    secret = hmac.digest(keys.keys[key], f"{_PURPOSE}\0{numen}".encode(), "sha256")
    return hashlib.scrypt(
        secret, salt=bytes.fromhex(salt), n=1 << log_n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32
    ).hex()


def changed_proofs(
    account: Account, current: Account | None, person: Person | None, keys: DigestKeys
) -> tuple[str, ...]:
    """The PROOFS in which `account` differs from the `current` account of a person, or that are new.

    A NUMEN that only moves to another key is unchanged. If the former digest is under an unknown key, the
    NUMEN counts as changed, because it cannot be compared. A return from the archive does not change the
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
    changes = ((name, account.proof_changed(name)) for name in names)
    days = [(name, max(day or as_of, as_of) if name in changed else day) for name, day in changes]
    return replace(account, proof_changes=tuple((name, day) for name, day in days if day is not None))


def without_changes(account: Account, proofs: Iterable[str], current: Account) -> Account:
    """The account with the days of these proofs as the `current` one has them: they did not change."""
    remaining = [change for change in account.proof_changes if change[0] not in proofs]
    before = [change for change in current.proof_changes if change[0] in proofs]
    return replace(account, proof_changes=tuple(sorted([*remaining, *before])))


FREE_TRIES = 5
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(days=7)
WINDOW = timedelta(hours=1)
"""The time over which the failures of all accounts are counted."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed checks of one account since the last successful one, and the time of the last failure."""

    failures: int = 0
    last: datetime | None = None

    def remembered(self, now: datetime) -> Attempts:
        """The attempts that still count: none if the last failure is older than FORGOTTEN_AFTER."""
        if self.last is None or now - self.last >= FORGOTTEN_AFTER:
            return Attempts()
        return self

    def failed(self, now: datetime) -> Attempts:
        return Attempts(self.failures + 1, now)

    @property
    def open_at(self) -> datetime | None:
        """When the next check is allowed; None is at once."""
        wait = wait_after(self.failures)
        return self.last + wait if self.last is not None and wait else None


def wait_after(failures: int) -> timedelta:
    """No wait before FREE_TRIES failures, then FIRST_WAIT, doubled by each further failure."""
    beyond = failures - FREE_TRIES
    if beyond < 0:
        return timedelta()
    # twenty doublings exceed LONGEST_WAIT; many more would overflow a timedelta
    doublings: int = 2 ** min(beyond, 20)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def recent(failures: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """The failures of all accounts within WINDOW, the oldest first."""
    return tuple(sorted(failure for failure in failures if now - failure < WINDOW))


def all_open_at(failures: Sequence[datetime], limit: int) -> datetime | None:
    """When the next check of any account is allowed; None is at once. `failures` are the recent ones."""
    return failures[-limit] + WINDOW if len(failures) >= limit else None
