"""The sealed copy of a device's secret, with which piactl itself checks a code.

slapd checks codes at a bind from `oathSecret`, which no service identity may read. piactl has codes to check
where there is no bind to make, because the password is not known or is what is asked for: when a device is
verified, resynchronised, or stands in for the person at a password reset. Ways that were weighed:

- letting an identity read `oathSecret`: whoever gets that identity's password has every second factor of the
  académie, from any host that reaches the directory;
- letting slapd check it, by a helper entry with a known password linked to the device: needs an identity
  that may make entries with passwords, and one bind for each of the hundreds of steps of a resynchronisation;
- this one: a copy of the secret in the device's own entry (`piactlSealed`), encrypted under a key derived
  from the site's key file. The directory alone, its backups, its replicas and its access log say nothing;
  the key file alone says nothing; any host with both checks codes, and a device that is deleted takes its
  copy along. Only the identities that change devices may read the copy at all.

AES-256-GCM; the key is HMAC-SHA-256 of a fixed text under the key of the file, so that digests and seals
never share a key; account and device are authenticated with it, so that a copy put on another entry does not
open. The id of the key stands before the copy; a copy under an older key is sealed anew when it is used.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from piactl.core.model.digests import DigestKeys, digest_key_id
from piactl.errors import PiactlError
from piactl.otp.one_time_codes import OtpSecret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
_PURPOSE = b"piactl: seal of one-time-code secrets, 1"


class SealBroken(PiactlError):
    """The sealed copy of a secret does not open: its key is missing, or it is another entry's."""


def sealed(secret: OtpSecret, keys: DigestKeys, uid: str, device: str) -> bytes:
    """The copy of a secret for one device of one account, under the current key: `{key id}` and bytes."""
    nonce = secrets.token_bytes(_NONCE)
    box = _cipher(keys.keys[keys.current]).encrypt(nonce, secret.raw, _place(uid, device))
    return b"{" + keys.current.encode("ascii") + b"}" + nonce + box


def unsealed(copy: bytes, keys: DigestKeys, uid: str, device: str) -> OtpSecret:
    """The secret in a copy. Raises SealBroken, which says which key is missing."""
    where = f"device {device} of {uid}"
    key = digest_key_id(copy[:64].decode("latin-1"))
    if key not in keys.keys:
        raise SealBroken(
            f"{where}: its secret is sealed with key {key or '(none)'}, which this host's key file does not "
            "have.\nCopy the key file from the host that has it; see: piactl key list"
        )
    from cryptography.exceptions import InvalidTag

    box = copy[len(key) + 2 :]
    try:
        raw = _cipher(keys.keys[key]).decrypt(box[:_NONCE], box[_NONCE:], _place(uid, device))
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"{where}: the sealed copy of its secret was changed, or belongs to another device.\n"
            f"Enrol a new device: piactl otp enroll {uid}"
        ) from None
    return OtpSecret(raw)


def _cipher(key: bytes) -> AESGCM:
    # loaded when a seal is made or opened: whoever only looks at devices does not wait for it
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hmac.new(key, _PURPOSE, hashlib.sha256).digest())


def _place(uid: str, device: str) -> bytes:
    return f"{uid}\0{device}".encode()
