"""The otpauth URI as a QR code, for a terminal and as a PNG. The only module that knows segno."""

from __future__ import annotations

import io

import segno

_SCALE = 6
"""Pixels of one module in the PNG."""


def drawn(uri: str) -> str:
    """The QR code in half blocks, light on dark or dark on light alike: phones read both."""
    text = io.StringIO()
    segno.make(uri, error="m", micro=False).terminal(out=text, compact=True, border=2)
    return text.getvalue()


def png(uri: str) -> bytes:
    """The QR code as a PNG file."""
    picture = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(picture, kind="png", scale=_SCALE)
    return picture.getvalue()
