"""A Reader that shows a directory as it would be after writes, without making them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence

from piactl.core.plan.write import Values, Write
from piactl.directory.client.filter_matching import DN, LowValues, matching
from piactl.directory.dn import normal_dn, parted
from piactl.directory.interfaces import Outcome, RawEntry, Reader, ServerFacts, WriteResult

_CSN = "entryCSN"


class SimulatedWrites:
    """The Reader over `real`. Memory grows with the entries that are taken and written, not with
    the directory."""

    def __init__(self, real: Reader) -> None:
        self._real = real
        self._entries: dict[str, tuple[RawEntry, LowValues] | None] = {}
        self._writes = 0

    def take(self, entries: Iterable[RawEntry]) -> None:
        """Holds entries of the real directory that are about to be written, except those already held."""
        for entry in entries:
            name = normal_dn(entry.dn)
            if name not in self._entries:
                self._entries[name] = entry, _low(name, entry.values)

    def held(self, dn: str) -> RawEntry | None:
        """The entry, if it was taken or written."""
        entry = self._entries.get(normal_dn(dn))
        return entry[0] if entry is not None else None

    def entries(self) -> Iterator[RawEntry]:
        """All entries that were taken or written."""
        return (entry[0] for entry in self._entries.values() if entry is not None)

    def facts(self) -> ServerFacts:
        return self._real.facts()

    def schema_meets(self, query: str) -> bool:
        return self._real.schema_meets(query)

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        name = normal_dn(dn)
        if name not in self._entries:
            return self._real.read(dn, attributes)
        entry = self._entries[name]
        return _only(entry[0], attributes) if entry is not None else None

    def search(
        self,
        base: str,
        query: str,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
        few: bool = False,
        own: bool = False,
    ) -> Iterator[RawEntry]:
        """Searches as if the writes had been made; the entries that are held come last."""
        for entry in self._real.search(base, query, attributes, scope=scope, few=few, own=own):
            if normal_dn(entry.dn) not in self._entries:
                yield entry
        fits, top = matching(query), normal_dn(base)
        for name, held in [*self._entries.items()]:
            if held is not None and fits(held[1]) and _within(name, top, scope):
                yield _only(held[0], attributes)

    def write(self, writes: Iterable[Write]) -> Generator[WriteResult]:
        """The results of these writes as if they were made, each once it is asked for."""
        for write in writes:
            name = normal_dn(write.dn)
            if write.op == "delete":
                self._entries[name] = None
                yield WriteResult(write, Outcome.APPLIED)
                continue
            before = self.held(write.dn) if name in self._entries else self._real.read(write.dn, ["*", _CSN])
            values = before.values if before is not None and write.op == "modify" else {}
            self._writes += 1
            csn = b"written-%d" % self._writes
            after = {**write.made_on(values), _CSN: (csn,)}
            self._entries[name] = RawEntry(write.dn, after), _low(name, after)
            yield WriteResult(write, Outcome.APPLIED, csn_before=values.get(_CSN, (b"",))[0], csn_after=csn)


def _low(dn: str, values: Values) -> LowValues:
    parts = tuple(part.encode() for part in dn.split(","))
    return {DN: parts, **{name.lower(): tuple(map(bytes.lower, some)) for name, some in values.items()}}


def _only(entry: RawEntry, attributes: Sequence[str]) -> RawEntry:
    if "*" in attributes:
        return entry
    low = {name.lower(): values for name, values in entry.values.items()}
    return RawEntry(entry.dn, {name: low[name.lower()] for name in attributes if name.lower() in low})


def _within(name: str, top: str, scope: str) -> bool:
    if scope == "one":
        return parted(name)[1] == top
    return name == top or not top or name.endswith("," + top)
