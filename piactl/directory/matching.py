"""Whether an entry in memory is one that a search filter finds; the filters are those of `filters`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from piactl.directory.port import Values

Matches = Callable[[Values], bool]


@lru_cache(maxsize=512)
def matcher(query: str) -> Matches:
    """What tells of the values of an entry whether `query` finds it.

    Values are compared without the case of ASCII letters, and ordered as bytes: so are the digits of days.
    Understands what `filters` makes and nothing else; other text is a ValueError.
    """
    found, end = _read(query, 0)
    if end != len(query):
        raise ValueError(f"not a filter: {query!r}")
    return found


def conjuncts(query: str) -> list[str]:
    """The filters that must all find an entry; a filter that is no `&` is its own only one."""
    if not query.startswith("(&"):
        return [query]
    return list(_members(query, 2))


def _members(text: str, at: int) -> Iterator[str]:
    while text[at] == "(":
        _, end = _read(text, at)
        yield text[at:end]
        at = end


def _read(text: str, at: int) -> tuple[Matches, int]:
    """The filter that begins at `at`, and where it ends."""
    if text[at : at + 1] != "(":
        raise ValueError(f"not a filter: {text!r}")
    sign = text[at + 1 : at + 2]
    if sign not in ("&", "|", "!"):
        end = text.index(")", at)
        return _simple(text[at + 1 : end]), end + 1
    members, at = [], at + 2
    while text[at : at + 1] == "(":
        member, at = _read(text, at)
        members.append(member)
    if not members or text[at : at + 1] != ")":
        raise ValueError(f"not a filter: {text!r}")
    return _joined(sign, members), at + 1


def _joined(sign: str, members: list[Matches]) -> Matches:
    if sign == "&":
        return lambda values: all(member(values) for member in members)
    if sign == "|":
        return lambda values: any(member(values) for member in members)
    return lambda values: not members[0](values)


def _simple(text: str) -> Matches:
    attribute, sign, written = text.partition("=")
    if not sign:
        raise ValueError(f"not a filter: ({text})")
    if attribute[-1:] in "<>":
        bound = _plain(written)
        if attribute[-1] == "<":
            return lambda values: any(value <= bound for value in _all(values, attribute[:-1]))
        return lambda values: any(value >= bound for value in _all(values, attribute[:-1]))
    if written == "*":
        return lambda values: bool(_all(values, attribute))
    if written.endswith("*"):
        start = _plain(written[:-1]).lower()
        return lambda values: any(value.lower().startswith(start) for value in _all(values, attribute))
    wanted = _plain(written).lower()
    return lambda values: any(value.lower() == wanted for value in _all(values, attribute))


def _all(values: Values, attribute: str) -> tuple[bytes, ...]:
    """The values of an attribute, however its name is spelled."""
    if attribute in values:
        return values[attribute]
    low = attribute.lower()
    return next((found for name, found in values.items() if name.lower() == low), ())


def _plain(written: str) -> bytes:
    """A value without its escapes."""
    first, *rest = written.encode().split(b"\\")
    return first + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest)
