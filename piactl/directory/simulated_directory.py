"""A Reader that shows a directory as it would be after writes, without making them.

Reads go to the real directory; entries changed by simulated writes replace the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from piactl.directory.dn import normal_dn
from piactl.directory.port import EntryWrite, RawEntry, Reader, ServerFacts, Values

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


_FEW = 4
"""Answers of at most so many attributes are kept, for they are asked for again and again."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """Every entry below `base` that `query` finds and whose `attribute` is at most `last` is in memory."""

    base: str
    query: str
    attribute: str
    last: bytes

    def answers(self, base: str, query: str) -> bool:
        """Whether a search can find nothing that is not in memory."""
        parts = conjuncts(query)
        start = f"({self.attribute}<="
        days = [part[len(start) : -1].encode() for part in parts if part.startswith(start)]
        return base == self.base and self.query in parts and any(day <= self.last for day in days)


class SimulatedDirectory:
    """The Reader of `port` over `real`; memory grows with what is taken in and written, not with what is
    there. Attributes keep the spelling in which they were asked for or written first."""

    def __init__(self, real: Reader) -> None:
        self._real = real
        self._entries: dict[str, RawEntry] = {}
        self._gone: set[str] = set()
        self._reaches: list[_Reach] = []
        self._answers: dict[tuple[str, str, tuple[str, ...], str], list[tuple[str, RawEntry]]] = {}

    def take(self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree") -> None:
        """Reads entries into memory; those that are there already stay as they are."""
        for entry in self._real.search(base, query, attributes, scope=scope):
            name = normal_dn(entry.dn)
            if name not in self._gone:
                self._entries.setdefault(name, entry)

    def take_up_to(
        self,
        base: str,
        query: str,
        attribute: str,
        last: bytes,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
    ) -> None:
        """Reads the entries that `query` finds and whose `attribute` is at most `last` into memory, so that
        later searches for them, with a bound up to `last`, ask the real directory no more."""
        reach = _Reach(base, query, attribute, last)
        bounded = f"(&{query}({attribute}<={last.decode('ascii')}))"
        self.take(base, bounded, [*attributes, "objectClass", attribute], scope=scope)
        self._reaches.append(reach)

    def bounded(self) -> Iterator[tuple[str, bytes]]:
        """(DN, value) of each entry in memory that `take_up_to` was asked for, by its bounding attribute."""
        for reach in self._reaches:
            below = "," + normal_dn(reach.base)
            finds = matcher(reach.query)
            for name, entry in self._entries.items():
                value = entry.first(reach.attribute)
                if value is not None and name.endswith(below) and finds(entry.values):
                    yield entry.dn, value

    def held(self, dn: str) -> RawEntry | None:
        """The simulated entry; None if no simulated write touched it."""
        return self._entries.get(normal_dn(dn))

    def facts(self) -> ServerFacts:
        return self._real.facts()

    def has_class(self, name: str) -> bool:
        return self._real.has_class(name)

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        name = normal_dn(dn)
        if name in self._gone:
            return None
        found = self._entries.get(name)
        return _only(found, attributes) if found else self._real.read(dn, attributes)

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree"
    ) -> Iterator[RawEntry]:
        """Searches as if the simulated writes had been made; simulated entries come last."""
        if not any(reach.answers(base, query) for reach in self._reaches):
            yield from self._unchanged(base, query, attributes, scope)
        finds, top = matcher(query), normal_dn(base)
        for name, entry in list(self._entries.items()):
            inside = name.endswith("," + top) if scope == "subtree" else name.partition(",")[2] == top
            if (inside or (name == top and scope == "subtree")) and finds(entry.values):
                yield _only(entry, attributes)

    def apply(self, writes: Iterable[EntryWrite]) -> None:
        """Goes on as if these writes had been made, one after the other."""
        for write in writes:
            name = normal_dn(write.dn)
            if write.op == "delete":
                self._entries.pop(name, None)
                self._gone.add(name)
                continue
            self._gone.discard(name)
            values: Values = {}
            if write.op == "modify":
                before = self._entries.get(name) or self._real.read(write.dn, ["*"])
                values = before.values if before else {}
            self._entries[name] = RawEntry(write.dn, written(values, write))

    def _unchanged(self, base: str, query: str, attributes: Sequence[str], scope: str) -> Iterator[RawEntry]:
        key = (base, query, tuple(attributes), scope)
        pairs: Iterable[tuple[str, RawEntry]] = self._answers.get(key, ())
        if not pairs:
            found = self._real.search(base, query, attributes, scope=scope)
            pairs = ((normal_dn(entry.dn), entry) for entry in found)
            if len(attributes) <= _FEW and "*" not in attributes:
                pairs = self._answers[key] = list(pairs)
        for name, entry in pairs:
            if name not in self._entries and name not in self._gone:
                yield entry


def written(values: Values, write: EntryWrite) -> Values:
    """The values of an entry after a write of it."""
    result = dict(values)
    for name, gone in write.delete.items():
        left = tuple(value for value in result.get(name, ()) if value not in gone) if gone else ()
        if left:
            result[name] = left
        else:
            result.pop(name, None)
    for name, new in write.add.items():
        result[name] = (*result.get(name, ()), *new)
    return result


def _only(entry: RawEntry, attributes: Sequence[str]) -> RawEntry:
    if "*" in attributes:
        return entry
    wanted = {name.lower(): name for name in attributes}
    values = {wanted[n.lower()]: values for n, values in entry.values.items() if n.lower() in wanted}
    return RawEntry(entry.dn, values)
