"""Evaluates the filters that `filters` makes on entries in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from piactl.directory.port import Values

Matches = Callable[[Values], bool]
Key = tuple[str, bytes | None]
"""An attribute and a value, both in lower case; None is any value."""

_CLASS = "objectclass"


@dataclass(frozen=True, slots=True)
class Matcher:
    """`finds` says whether a filter finds an entry, of its values by names of attributes in lower case. Every
    entry that it finds has one of the `keys`, for an index; None if the filter says nothing of the kind."""

    finds: Matches
    keys: tuple[Key, ...] | None


@lru_cache(maxsize=512)
def matcher(query: str) -> Matcher:
    """The matcher of a filter.

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


def _read(text: str, at: int) -> tuple[Matcher, int]:
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


def _joined(sign: str, members: list[Matcher]) -> Matcher:
    finds = [member.finds for member in members]
    known = [member.keys for member in members if member.keys is not None]
    if sign == "&":
        # nearly every entry has the class that a search asks for
        keys = min(known, key=lambda some: (any(name == _CLASS for name, _ in some), len(some)), default=None)
        return Matcher(lambda values: all(one(values) for one in finds), keys)
    if sign == "|":
        every = tuple(key for some in known for key in some) if len(known) == len(members) else None
        return Matcher(lambda values: any(one(values) for one in finds), every)
    return Matcher(lambda values: not finds[0](values), None)


def _simple(text: str) -> Matcher:
    attribute, sign, written = text.partition("=")
    if not sign:
        raise ValueError(f"not a filter: ({text})")
    name = attribute.lower()
    if name[-1:] in "<>":
        order, name = name[-1], name[:-1]
        bound, any_value = _plain(written), ((name, None),)
        if order == "<":
            return Matcher(lambda values: any(one <= bound for one in values.get(name, ())), any_value)
        return Matcher(lambda values: any(one >= bound for one in values.get(name, ())), any_value)
    if written == "*":
        return Matcher(lambda values: name in values, ((name, None),))
    wanted = _plain(written.removesuffix("*")).lower()
    if written.endswith("*"):
        return Matcher(
            lambda values: any(one.lower().startswith(wanted) for one in values.get(name, ())),
            ((name, None),),
        )
    return Matcher(
        lambda values: any(one.lower() == wanted for one in values.get(name, ())), ((name, wanted),)
    )


def _plain(written: str) -> bytes:
    """A value without its escapes."""
    first, *rest = written.encode().split(b"\\")
    return first + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest)
