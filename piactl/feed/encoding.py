"""The encoding of a file: what to say of one that is wrong, and which one it looks like."""

from __future__ import annotations

from piactl.phrase import Phrase

CODECS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-15": "iso8859-15"}
"""Encoding of a source -> Python codec; each is decoded strictly."""


def undecodable(raw: bytes, configured: str) -> Phrase:
    """The fault of bytes that do not decode: the encoding that was expected, and that of the bytes."""
    return Phrase(
        "bytes are not {configured}, as expected; they look like {instead}",
        configured=configured,
        instead=likely_encoding(raw, configured),
    )


def likely_encoding(sample: bytes, configured: str) -> str:
    """The encoding, other than the configured one, that would decode `sample`."""
    if b"\0" in sample:
        return "utf-16"
    if configured != "utf-8":
        try:
            sample.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return "utf-8"
    # Both decode nearly everything; only Windows-1252 has letters and marks in 80 to 9F.
    if configured == "windows-1252":
        return "iso-8859-15"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "iso-8859-15" if configured != "iso-8859-15" else "utf-8"
    return "windows-1252"
