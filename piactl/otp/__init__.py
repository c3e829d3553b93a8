"""One-time codes: their secrets, and how these are kept so that piactl itself can check a code. How they are
shown once is in `drawing`, which is loaded only for that."""

from piactl.otp.one_time_codes import OtpSecret, new_device_name, new_secret
from piactl.otp.sealed_secrets import SealBroken, sealed, unsealed

__all__ = ["OtpSecret", "SealBroken", "new_device_name", "new_secret", "sealed", "unsealed"]
