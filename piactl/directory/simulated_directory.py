"""A Reader that shows a directory as it would be after writes, without making them; and the filters that find
entries in memory.

Reads go to the real directory, or to none; entries changed by simulated writes replace the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol

from piactl.directory.dn import normal_dn
from piactl.directory.port import (
    EntryWrite,
    Outcome,
    RawEntry,
    Reader,
    ServerFacts,
    Values,
    WriteResult,
)


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
    """A filter that finds what `find` finds, or with `others` everything except that."""

    find: Find
    others: bool


@lru_cache(maxsize=512)
def parsed(query: str) -> Find:
    """The function that finds the entries of a filter.

    It compares values without the case of ASCII letters, and orders them as bytes, which is right for the
    digits of days. Only filters made by `filters` are understood; other text raises ValueError.
    """
    part, end = _read(query, 0)
    if end != len(query):
        raise ValueError(f"not a filter: {query!r}")
    return lambda index: _all(index, part)


def conjuncts(query: str) -> list[str]:
    """The filters that must all find an entry; for a filter that is not an `&`, only the filter itself."""
    if not query.startswith("(&"):
        return [query]
    return list(_members(query, 2))


def _members(text: str, offset: int) -> Iterator[str]:
    while text[offset] == "(":
        _, end = _read(text, offset)
        yield text[offset:end]
        offset = end


def _read(text: str, offset: int) -> tuple[_Part, int]:
    """The filter that begins at `offset`, and where it ends."""
    if text[offset : offset + 1] != "(":
        raise ValueError(f"not a filter: {text!r}")
    sign = text[offset + 1 : offset + 2]
    if sign not in ("&", "|", "!"):
        end = text.index(")", offset)
        return _Part(_simple(text[offset + 1 : end]), others=False), end + 1
    members, offset = [], offset + 2
    while text[offset : offset + 1] == "(":
        member, offset = _read(text, offset)
        members.append(member)
    if not members or text[offset : offset + 1] != ")":
        raise ValueError(f"not a filter: {text!r}")
    return _joined(sign, members), offset + 1


def _joined(sign: str, members: list[_Part]) -> _Part:
    if sign == "!":
        return _Part(members[0].find, not members[0].others)
    if sign == "|":
        return _Part(lambda index: set().union(*(_all(index, member) for member in members)), others=False)
    wanted = [find for find, others in members if not others]
    unwanted = [find for find, others in members if others]

    def in_all(index: AttributeIndex) -> AbstractSet[str]:
        # begin with the smallest set: the others are then only asked about its members
        names, *larger_sets = sorted((find(index) for find in wanted), key=len) or [index.names()]
        for larger_set in larger_sets:
            names = names & larger_set
        for find in unwanted:
            names = names - find(index)
        return names

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


_CSN, _AUTHOR = "entryCSN", "modifiersName"


class EmptyDirectory:
    """A Reader that finds no entry, with the schema of slapo-otp or without it."""

    def __init__(self, *, otp: bool = True) -> None:
        self._otp = otp

    def facts(self) -> ServerFacts:
        return ServerFacts("", frozenset(), ())

    def has_class(self, name: str) -> bool:
        return self._otp

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return None

    def search(
        self,
        base: str,
        query: str,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
        few: bool = False,
    ) -> Iterator[RawEntry]:
        return iter(())

    def search_each(self, base: str, queries: Iterable[str], attributes: Sequence[str]) -> Iterator[RawEntry]:
        return iter(())


_FEW = 4
"""Answers with at most this many attributes are kept, because they are requested again and again."""


@dataclass(frozen=True, slots=True)
class _Reach:
    """Every entry below `base` that `query` finds and whose `attribute` is at most `last` is in memory."""

    base: str
    query: str
    attribute: str
    last: bytes

    def answers(self, base: str, query: str) -> bool:
        """Whether everything that a search can find is in memory."""
        parts = conjuncts(query)
        start = f"({self.attribute}<="
        days = [part[len(start) : -1].encode() for part in parts if part.startswith(start)]
        return base == self.base and self.query in parts and any(day <= self.last for day in days)


class _Entries:
    """Entries in memory by their normal DN, in the order in which they came, with an index of each
    attribute that a search uses. Attribute names are stored in lower case, and returned as the first entry
    spells them, or as a search requests them."""

    def __init__(self) -> None:
        self._entries: dict[str, RawEntry] = {}
        self._places: dict[str, int] = {}
        self._came = 0
        self._below: dict[str, set[str]] = {}
        self._having: dict[str, set[str]] = {}
        self._by_value: dict[str, dict[bytes, set[str]]] = {}
        self._spelled: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[tuple[str, RawEntry]]:
        return ((name, self._as_spelled(entry)) for name, entry in list(self._entries.items()))

    def get(self, name: str) -> RawEntry | None:
        entry = self._entries.get(name)
        return self._as_spelled(entry) if entry is not None else None

    def put(self, name: str, entry: RawEntry) -> None:
        values = {}
        for spelled, attribute_values in entry.values.items():
            low = spelled.lower()
            self._spelled.setdefault(low, spelled)
            values[low] = attribute_values
        before = self._entries.get(name)
        if before is None:
            self._places[name] = self._came
            self._came += 1
            self._below.setdefault(name.partition(",")[2], set()).add(name)
        self._entries[name] = RawEntry(entry.dn, values)
        self._reindex(name, before.values if before else {}, values)

    def remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            del self._places[name]
            self._below[name.partition(",")[2]].discard(name)
            self._reindex(name, entry.values, {})

    def read(self, name: str, attributes: Sequence[str]) -> RawEntry | None:
        entry = self._entries.get(name)
        return self._only(entry, _lowered(attributes)) if entry is not None else None

    def search(self, base: str, find: Find, attributes: Sequence[str], scope: str) -> Iterator[RawEntry]:
        """The entries that a filter finds below a normal DN; in a subtree, the entry of that DN too."""
        names = find(self)
        if scope == "one":
            names = names & self._below.get(base, set())
        lowered, end = _lowered(attributes), "," + base
        for name in self._in_order(names):
            if scope == "one" or name.endswith(end) or name == base:
                yield self._only(self._entries[name], lowered)

    def _in_order(self, names: AbstractSet[str]) -> list[str]:
        if len(names) * _MANY < len(self._entries):
            return sorted(names, key=self._places.__getitem__)
        return [name for name in self._entries if name in names]

    def _only(self, entry: RawEntry, lowered: Sequence[tuple[str, str]]) -> RawEntry:
        if ("*", "*") in lowered:
            return self._as_spelled(entry)
        values = entry.values
        return RawEntry(entry.dn, {name: values[low] for name, low in lowered if low in values})

    def _as_spelled(self, entry: RawEntry) -> RawEntry:
        spelled = self._spelled
        return RawEntry(entry.dn, {spelled[low]: values for low, values in entry.values.items()})

    def names(self) -> AbstractSet[str]:
        return self._entries.keys()

    def with_attribute(self, attribute: str) -> AbstractSet[str]:
        having = self._having.get(attribute)
        if having is None:
            having = {name for name, entry in self._entries.items() if entry.values.get(attribute)}
            self._having[attribute] = having
        return having

    def by_value(self, attribute: str) -> Mapping[bytes, AbstractSet[str]]:
        index = self._by_value.get(attribute)
        if index is None:
            index = self._by_value[attribute] = {}
            for name, entry in self._entries.items():
                for value in entry.values.get(attribute, ()):
                    index.setdefault(value.lower(), set()).add(name)
        return index

    def _reindex(self, name: str, before: Values, after: Values) -> None:
        for attribute, having in self._having.items():
            if after.get(attribute):
                having.add(name)
            else:
                having.discard(name)
        for attribute, index in self._by_value.items():
            old, new = before.get(attribute, ()), after.get(attribute, ())
            if old == new:
                continue
            for value in map(bytes.lower, old):
                names = index.get(value)
                if names is not None:
                    names.discard(name)
                    if not names:
                        del index[value]
            for value in map(bytes.lower, new):
                index.setdefault(value, set()).add(name)


_MANY = 8
"""If a filter finds fewer than one entry in this many, they are sorted; else all entries are gone over."""


def _lowered(attributes: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, name.lower()) for name in attributes]


class SimulatedDirectory:
    """The Reader of `port` over `real`; memory grows with the entries that are taken and written, not with
    the directory. `author` is the DN that makes the simulated writes. Attributes keep the spelling in which
    they were first requested or written."""

    def __init__(self, real: Reader, author: str = "") -> None:
        self._real, self._author = real, author
        self._memory = _Entries()
        self._gone: set[str] = set()
        self._now = datetime.min.replace(tzinfo=UTC)
        self._reaches: list[_Reach] = []
        self._answers: dict[tuple[str, str, tuple[str, ...], str], list[tuple[str, RawEntry]]] = {}

    def take(self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree") -> None:
        """Reads entries into memory; entries that are already there stay as they are."""
        for entry in self._real.search(base, query, attributes, scope=scope):
            name = normal_dn(entry.dn)
            if name not in self._gone and name not in self._memory:
                self._memory.put(name, entry)

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
        """Reads into memory the entries that `query` finds and whose `attribute` is at most `last`. Later
        searches for them, with a bound up to `last`, no longer ask the real directory."""
        reach = _Reach(base, query, attribute, last)
        bounded = f"(&{query}({attribute}<={last.decode('ascii')}))"
        self.take(base, bounded, [*attributes, "objectClass", attribute], scope=scope)
        self._reaches.append(reach)

    def bounded(self) -> Iterator[tuple[str, bytes]]:
        """(DN, value of the bounding attribute) of each entry in memory that `take_up_to` was asked for."""
        for reach in self._reaches:
            below = normal_dn(reach.base)
            entries = self._memory.search(below, parsed(reach.query), [reach.attribute], "subtree")
            for entry in entries:
                value = entry.first(reach.attribute)
                if value is not None:
                    yield entry.dn, value

    def load(self, entries: Iterable[RawEntry]) -> None:
        """Puts entries into memory as they are."""
        for entry in entries:
            self._memory.put(normal_dn(entry.dn), entry)

    def entries(self) -> Iterator[RawEntry]:
        """Every entry in memory, in the order in which they came."""
        return (entry for _, entry in self._memory)

    def begin(self, moment: datetime) -> None:
        """Sets the clock of the simulated server, which gives the writes that follow their entryCSNs."""
        self._now = moment

    def held(self, dn: str) -> RawEntry | None:
        """The simulated entry; None if no simulated write touched it."""
        return self._memory.get(normal_dn(dn))

    def facts(self) -> ServerFacts:
        return self._real.facts()

    def has_class(self, name: str) -> bool:
        return self._real.has_class(name)

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        name = normal_dn(dn)
        if name in self._gone:
            return None
        if name in self._memory:
            return self._memory.read(name, attributes)
        return self._real.read(dn, attributes)

    def search(
        self,
        base: str,
        query: str,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
        few: bool = False,
    ) -> Iterator[RawEntry]:
        """Searches as if the simulated writes had been made; simulated entries come last."""
        if not any(reach.answers(base, query) for reach in self._reaches):
            yield from self._unchanged(base, query, attributes, scope, few=few)
        yield from list(self._memory.search(normal_dn(base), parsed(query), attributes, scope))

    def search_each(self, base: str, queries: Iterable[str], attributes: Sequence[str]) -> Iterator[RawEntry]:
        for query in queries:
            yield from self.search(base, query, attributes)

    def apply(self, writes: Iterable[EntryWrite]) -> None:
        """Continues as if these writes had been made, one after the other."""
        for _ in self.write(writes):
            pass

    def write(self, writes: Iterable[EntryWrite]) -> Iterator[WriteResult]:
        """The results of these writes as if they were made, each once it is asked for."""
        for write in writes:
            name = normal_dn(write.dn)
            if write.op == "delete":
                self._memory.remove(name)
                self._gone.add(name)
                yield WriteResult(write, Outcome.APPLIED)
                continue
            self._gone.discard(name)
            values: Values = {}
            if write.op == "modify":
                before = self._memory.get(name) or self._real.read(write.dn, ["*", _CSN])
                values = before.values if before else {}
            self._now += timedelta(microseconds=1)
            csn = f"{self._now:%Y%m%d%H%M%S.%f}Z#000000#000#000000".encode()
            old = (values.get(_CSN) or (b"",))[0]
            stamps = {_CSN: (csn,), _AUTHOR: (self._author.encode(),)}
            self._memory.put(name, RawEntry(write.dn, {**write.made_on(values), **stamps}))
            yield WriteResult(write, Outcome.APPLIED, csn_before=old, csn_after=csn)

    def _unchanged(
        self, base: str, query: str, attributes: Sequence[str], scope: str, *, few: bool
    ) -> Iterator[RawEntry]:
        key = (base, query, tuple(attributes), scope)
        pairs: Iterable[tuple[str, RawEntry]] = self._answers.get(key, ())
        if not pairs:
            entries = self._real.search(base, query, attributes, scope=scope, few=few)
            pairs = ((normal_dn(entry.dn), entry) for entry in entries)
            if len(attributes) <= _FEW and "*" not in attributes:
                pairs = self._answers[key] = list(pairs)
        for name, entry in pairs:
            if name not in self._memory and name not in self._gone:
                yield entry
