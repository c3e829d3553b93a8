"""The secret of a device and the codes that follow from it (RFC 6238). The only module that knows pyotp, and
loads it only when a code is made."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from piactl.core.credentials.totp_devices import DIGITS, PERIOD

if TYPE_CHECKING:
    import pyotp

SECRET_BYTES = 20
"""160 bits, the length of the hash under HMAC-SHA-1 (RFC 4226, R6)."""


@dataclass(frozen=True, slots=True)
class OtpSecret:
    """A device's secret; nothing that prints values shows it."""

    raw: bytes = field(repr=False)

    def code(self, step: int) -> str:
        """The code of a step of 30 seconds since 1970."""
        return self._totp().generate_otp(step)

    def uri(self, issuer: str, address: str) -> str:
        """What an authenticator scans (Key URI Format): whoever reads it has the device."""
        return self._totp(issuer, address).provisioning_uri()

    def _totp(self, issuer: str | None = None, address: str | None = None) -> pyotp.TOTP:
        import pyotp

        text = base64.b32encode(self.raw).decode("ascii")
        return pyotp.TOTP(text, digits=DIGITS, interval=PERIOD, name=address, issuer=issuer)


def new_secret() -> OtpSecret:
    """A fresh secret from the system's generator."""
    return OtpSecret(secrets.token_bytes(SECRET_BYTES))


def new_device_name() -> str:
    """A name that no device had before: with a new one for each, a link can never lead to the wrong one."""
    return f"otp-{secrets.token_hex(4)}"
