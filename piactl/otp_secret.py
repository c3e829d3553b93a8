"""One-time codes (RFC 6238): the secret of a device, its QR code, and its sealed copy.

The only home of pyotp, segno and cryptography.

slapd checks codes at a bind from `oathSecret`, which no service identity may read. piactl checks codes when
it cannot bind, because it does not know the password, or a new password is what is asked for: when a device
is verified or resynchronised, or proves who the person is at a password reset. The alternatives:

- letting an identity read `oathSecret`: anyone with that identity's password has every second factor of the
  académie, from any host that reaches the directory;
- letting slapd check them, with a helper entry that has a known password and a link to the device: needs an
  identity that may make entries with passwords, and one bind for each of the hundreds of steps of a
  resynchronisation;
- the choice: a copy of the secret in the device's own entry (`piactlSealed`), encrypted under a key derived
  from the site's key file. The directory alone, its backups, its replicas and its access log reveal nothing;
  the key file alone reveals nothing; any host with both can check codes, and deleting a device deletes its
  copy. Only the identities that change devices may read the copy at all.

AES-256-GCM; the key is HMAC-SHA-256 of a fixed text under the key of the file, so that digests and seals
never share a key; account and device are authenticated with it, so that a copy moved to another entry does
not open. The id of the key comes before the copy; a copy under an older key is sealed anew when it is used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import secrets
from dataclasses import dataclass, field

import pyotp
import segno
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from piactl.core.credentials.totp_devices import DIGITS, PERIOD
from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.errors import PiactlError
from piactl.phrase import Phrase

_NONCE = 12
_PURPOSE = b"piactl: seal of one-time-code secrets, 1"


class SealBroken(PiactlError):
    """The sealed copy of a secret does not open: its key is missing, it was changed, or it belongs to another
    device."""


def sealed(secret: OtpSecret, keys: DigestKeys, uid: str, device: str) -> bytes:
    """The copy of a secret for one device of one account, under the current key: `{key id}` and bytes."""
    nonce = secrets.token_bytes(_NONCE)
    box = _cipher(keys.keys[keys.current]).encrypt(nonce, secret.raw, _place(uid, device))
    return b"{" + keys.current.encode("ascii") + b"}" + nonce + box


def unsealed(copy: bytes, keys: DigestKeys, uid: str, device: str) -> OtpSecret:
    """The secret in a copy. Raises SealBroken, which says which key is missing."""
    where = Phrase("device {device} of {uid}", device=device, uid=uid)
    key = digest_key_id(copy[:64].decode("latin-1"))
    if key not in keys.keys:
        raise SealBroken(
            Phrase(
                "{where}: its secret is sealed with key {value}, which this host's key file does not "
                "have.\n"
                "Copy the key file from the host that has it; see: piactl key list",
                where=where,
                value=key or "(none)",
            )
        )
    box = copy[len(key) + 2 :]
    try:
        raw = _cipher(keys.keys[key]).decrypt(box[:_NONCE], box[_NONCE:], _place(uid, device))
    except (InvalidTag, ValueError):
        raise SealBroken(
            Phrase(
                "{where}: the sealed copy of its secret was changed, or belongs to another device.\n"
                "Enrol a new device: piactl otp enroll {uid}",
                where=where,
                uid=uid,
            )
        ) from None
    return OtpSecret(raw)


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(hmac.new(key, _PURPOSE, hashlib.sha256).digest())


def _place(uid: str, device: str) -> bytes:
    return f"{uid}\0{device}".encode()


SECRET_BYTES = 20
"""160 bits, the length of the hash in HMAC-SHA-1 (RFC 4226, R6)."""


@dataclass(frozen=True, slots=True)
class OtpSecret:
    """A device's secret; nothing that prints values shows it."""

    raw: bytes = field(repr=False)

    def code(self, step: int) -> str:
        """The code of a step of 30 seconds since 1970."""
        return self._totp().generate_otp(step)

    def uri(self, issuer: str, address: str) -> str:
        """The URI that an authenticator scans (Key URI Format). It contains the secret."""
        return self._totp(issuer, address).provisioning_uri()

    def _totp(self, issuer: str | None = None, address: str | None = None) -> pyotp.TOTP:
        text = base64.b32encode(self.raw).decode("ascii")
        return pyotp.TOTP(text, digits=DIGITS, interval=PERIOD, name=address, issuer=issuer)


def new_secret() -> OtpSecret:
    """A fresh secret from the system's generator."""
    return OtpSecret(secrets.token_bytes(SECRET_BYTES))


def new_device_name() -> str:
    """A name that no device had before. Each device gets a new one, so that a link never leads to the wrong
    device."""
    return f"otp-{secrets.token_hex(4)}"


_BORDER = 2
_SCALE = 6
"""Pixels of one module in the PNG."""


def drawn(uri: str, *, blocks: bool) -> tuple[str, int]:
    """The QR code for a terminal, and its width in columns. With `blocks` it consists of half blocks, light
    on dark or dark on light (phones read both); without, it is twice as large, of blanks with ANSI
    sequences."""
    code, text = segno.make(uri, error="m", micro=False), io.StringIO()
    code.terminal(out=text, compact=blocks, border=_BORDER)
    return text.getvalue(), int(code.symbol_size(border=_BORDER)[0]) * (1 if blocks else 2)


def png(uri: str) -> bytes:
    """The QR code as a PNG file."""
    picture = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(picture, kind="png", scale=_SCALE)
    return picture.getvalue()
