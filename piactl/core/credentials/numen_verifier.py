"""The verifier of a NUMEN: slow to compute, so that whoever has it and the key guesses a few NUMENs a second.

It is scrypt over a keyed digest of the NUMEN. The parameters stand in the value, so that a later version can
raise them: `{key}scrypt$LN$R$P$SALT$HASH`, with LN the binary logarithm of n.
"""

from __future__ import annotations

import hashlib
import hmac

from piactl.core.model.digests import DigestKeys, digest_key_id

LOG_N, R, P = 14, 8, 1
_MOST_MEMORY = 1 << 28
_MOST_R, _MOST_P = 16, 4
_PURPOSE = "numen-proof"


def numen_verifier(keys: DigestKeys, numen: str, salt: str) -> str:
    """The verifier of a NUMEN under the current key. `salt` differs by account and is no secret."""
    salted = hashlib.sha256(salt.encode()).hexdigest()[:32]
    fields = (LOG_N, R, P, salted, _hash(keys, keys.current, numen, salted, LOG_N, R, P))
    return "{" + keys.current + "}scrypt$" + "$".join(map(str, fields))


def verifies(keys: DigestKeys, stored: str, numen: str) -> bool:
    """Whether `stored` is a verifier of the NUMEN, compared in constant time; False for what is none, or is
    under a key that is not known."""
    key = digest_key_id(stored)
    try:
        scheme, log_n, r, p, salt, expected = stored[stored.find("}") + 1 :].split("$")
        if scheme != "scrypt" or key not in keys.keys or not 10 <= int(log_n) <= 17:
            return False
        if not (1 <= int(r) <= _MOST_R and 1 <= int(p) <= _MOST_P):
            return False
        found = _hash(keys, key, numen, salt, int(log_n), int(r), int(p))
    except ValueError:
        return False
    return hmac.compare_digest(found.encode(), expected.encode())


def _hash(keys: DigestKeys, key: str, numen: str, salt: str, log_n: int, r: int, p: int) -> str:
    secret = hmac.digest(keys.keys[key], f"{_PURPOSE}\0{numen}".encode(), "sha256")
    return hashlib.scrypt(
        secret, salt=bytes.fromhex(salt), n=1 << log_n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32
    ).hex()
