"""One-time codes: their secrets, how these are kept so that piactl itself can check a code, how they are
shown once."""

from piactl.otp.codes import OtpSecret, new_device_name, new_secret
from piactl.otp.drawing import drawn, png
from piactl.otp.sealing import SealBroken, sealed, unsealed

__all__ = ["OtpSecret", "SealBroken", "drawn", "new_device_name", "new_secret", "png", "sealed", "unsealed"]
