"""Finds entries in memory with the filters that `filters` makes, by an index of attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple, Protocol


class AttributeIndex(Protocol):
    """The names of entries by their attributes. Names of attributes and values are in lower case."""

    def names(self) -> AbstractSet[str]:
        """All names."""

    def with_attribute(self, attribute: str) -> AbstractSet[str]: ...

    def by_value(self, attribute: str) -> Mapping[bytes, AbstractSet[str]]: ...


Find = Callable[[AttributeIndex], AbstractSet[str]]
"""The names of the entries that a filter finds. The set may be one of the index: do not change it."""

_NONE: frozenset[str] = frozenset()


class _Part(NamedTuple):
    """A filter that finds what `find` finds, or with `others` everything but that."""

    find: Find
    others: bool


@lru_cache(maxsize=512)
def parsed(query: str) -> Find:
    """What a filter finds.

    Values are compared without the case of ASCII letters, and ordered as bytes: so are the digits of days.
    Understands what `filters` makes and nothing else; other text is a ValueError.
    """
    found, end = _read(query, 0)
    if end != len(query):
        raise ValueError(f"not a filter: {query!r}")
    return lambda index: _all(index, found)


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


def _read(text: str, at: int) -> tuple[_Part, int]:
    """The filter that begins at `at`, and where it ends."""
    if text[at : at + 1] != "(":
        raise ValueError(f"not a filter: {text!r}")
    sign = text[at + 1 : at + 2]
    if sign not in ("&", "|", "!"):
        end = text.index(")", at)
        return _Part(_simple(text[at + 1 : end]), others=False), end + 1
    members, at = [], at + 2
    while text[at : at + 1] == "(":
        member, at = _read(text, at)
        members.append(member)
    if not members or text[at : at + 1] != ")":
        raise ValueError(f"not a filter: {text!r}")
    return _joined(sign, members), at + 1


def _joined(sign: str, members: list[_Part]) -> _Part:
    if sign == "!":
        return _Part(members[0].find, not members[0].others)
    if sign == "|":
        return _Part(lambda index: set().union(*(_all(index, member) for member in members)), others=False)
    wanted = [find for find, others in members if not others]
    unwanted = [find for find, others in members if others]

    def in_all(index: AttributeIndex) -> AbstractSet[str]:
        # the smallest set first: every other one is only asked for its members
        found, *more = sorted((find(index) for find in wanted), key=len) or [index.names()]
        for one in more:
            found = found & one
        for find in unwanted:
            found = found - find(index)
        return found

    return _Part(in_all, others=False)


def _all(index: AttributeIndex, part: _Part) -> AbstractSet[str]:
    find, others = part
    return index.names() - find(index) if others else find(index)


def _simple(text: str) -> Find:
    attribute, sign, written = text.partition("=")
    if not sign:
        raise ValueError(f"not a filter: ({text})")
    name = attribute.lower()
    if name[-1:] in "<>":
        order, name, bound = name[-1], name[:-1], _plain(written)
        if order == "<":
            return lambda index: _where(index, name, lambda value: value <= bound)
        return lambda index: _where(index, name, lambda value: value >= bound)
    if written == "*":
        return lambda index: index.with_attribute(name)
    wanted = _plain(written.removesuffix("*"))
    if written.endswith("*"):
        return lambda index: _where(index, name, lambda value: value.startswith(wanted))
    return lambda index: index.by_value(name).get(wanted, _NONE)


def _where(index: AttributeIndex, attribute: str, fits: Callable[[bytes], bool]) -> AbstractSet[str]:
    return set().union(*(names for value, names in index.by_value(attribute).items() if fits(value)))


def _plain(written: str) -> bytes:
    """A value without its escapes, in lower case."""
    first, *rest = written.encode().split(b"\\")
    return (first + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest)).lower()
