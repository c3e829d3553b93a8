"""A directory without entries, on which `directory.imagined` builds one in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from piactl.directory.port import RawEntry, ServerFacts


class EmptyDirectory:
    """A Reader that finds no entry."""

    def facts(self) -> ServerFacts:
        return ServerFacts("", frozenset(), frozenset(), frozenset(), ())

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return None

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree"
    ) -> Iterator[RawEntry]:
        return iter(())
