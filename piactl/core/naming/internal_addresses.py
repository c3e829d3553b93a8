"""Recognises private addresses that are in the domain of the accounts, or only look so."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from piactl.phrase import Phrase

_LOOKS_LIKE = str.maketrans("аеіӏорсухѕԁ01", "aeiiopcyxsdol")
_SHORTEST = 8
"""In shorter domains one letter more or less makes many other real ones."""


def internal_address(mail: str, domain: str) -> str:
    """The fault of a private address in a subdomain of `domain` or in a look-alike of it, or "". One in the
    domain itself is no fault: HR often has no other, and no password is handed out to it."""
    return _fault(mail.rpartition("@")[2].casefold(), domain.casefold()) if mail else ""


@lru_cache(maxsize=20_000)
def _fault(host: str, domain: str) -> str:
    if host == domain:
        return ""
    if host.endswith(f".{domain}"):
        return Phrase(
            "the private address is in {host}, a subdomain of {domain}: expected an address outside of it",
            host=host,
            domain=domain,
        )
    label = domain.rpartition(".")[0]
    seen, own = _skeleton(host), _skeleton(domain)
    is_near = len(domain) >= _SHORTEST and _one_apart(seen, own)
    has_its_name = label in host.split(".") or f".{domain}." in f".{host}"
    if is_near or seen == own or has_its_name:
        return Phrase(
            "the private address is in {host}, which is not {domain} but looks like it: expected an address "
            "outside of it",
            host=host,
            domain=domain,
        )
    return ""


def _skeleton(host: str) -> str:
    """A host without what the eye overlooks: accents, hyphens, letters of another alphabet, rn for m."""
    text = unicodedata.normalize("NFKD", host.translate(_LOOKS_LIKE))
    return "".join(c for c in text if c.isalnum() or c == ".").replace("rn", "m").replace("vv", "w")


def _one_apart(left: str, right: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours are exchanged."""
    if left == right or abs(len(left) - len(right)) > 1:
        return left == right
    place = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    if place is None:
        return True
    rest, other = left[place:], right[place:]
    exchanged = rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return exchanged or rest[1:] == other[1:] or rest == other[1:] or rest[1:] == other
