"""A directory without entries, on which `directory.simulated_directory` builds one in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from piactl.directory.port import RawEntry, ServerFacts


class EmptyDirectory:
    """A Reader that finds no entry, with slapo-otp or without it."""

    def __init__(self, *, otp: bool = True) -> None:
        self._otp = otp

    def facts(self) -> ServerFacts:
        return ServerFacts("", frozenset(), frozenset(), frozenset(), ())

    def has_class(self, name: str) -> bool:
        return self._otp

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return None

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree"
    ) -> Iterator[RawEntry]:
        return iter(())
