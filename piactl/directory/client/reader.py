"""Reads a directory: complete results or an error, never a partial result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from piactl.directory.client.connection import Session
from piactl.directory.client.controls import PAGED, SYNC
from piactl.directory.client.failover import Link
from piactl.directory.client.result_codes import ConnectionLost, Result, unfinished
from piactl.directory.port import RawEntry, Refresh, ServerFacts
from piactl.errors import DirectoryTruncated

_Answer = TypeVar("_Answer")


class DirectoryReader:
    """The Reader of `port` over one connection; a nested search opens another.

    If the server has closed an idle connection, a read is repeated once on a new one. A search that has
    already yielded entries is not repeated.
    """

    def __init__(self, link: Link, page_size: int) -> None:
        self._link = link
        self._page_size = page_size
        self._classes: dict[str, bool] = {}

    def facts(self) -> ServerFacts:
        """The facts about the current server; a failover changes them."""
        return self._link.live().facts

    def has_class(self, name: str) -> bool:
        if name not in self._classes:
            self._classes[name] = self._repeated(lambda session: session.has_class(name))
        return self._classes[name]

    def read(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        return self._repeated(lambda session: session.entry(dn, attributes))

    def _repeated(self, read: Callable[[Session], _Answer]) -> _Answer:
        session = self._link.live()
        try:
            return read(session)
        except ConnectionLost as lost:
            if lost.late:
                raise
            return read(self._link.again())

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, scope: str = "subtree"
    ) -> Iterator[RawEntry]:
        if scope not in ("one", "subtree"):
            raise ValueError(f"no such scope: {scope!r}")
        session = self._link.live()
        if not session.paging:
            yield from self._pages(session, base, query, attributes, scope)
            return
        # a server keeps one paged search per connection: a second one ends the first
        session = self._link.another()
        try:
            yield from self._pages(session, base, query, attributes, scope)
        finally:
            session.close()

    def refresh(self, base: str, query: str, attributes: Sequence[str], cookie: str) -> Refresh | None:
        session = self._link.live()
        if SYNC not in session.facts.controls or session.paging:
            return None
        return self._repeated(lambda session: session.refresh(base, query, attributes, cookie))

    def _pages(
        self, session: Session, base: str, query: str, attributes: Sequence[str], scope: str
    ) -> Iterator[RawEntry]:
        paged = PAGED in session.facts.controls
        doing = f"search below {base!r}"
        cookie = b""
        try:
            entries, result = self._first(session, base, query, attributes, scope, paged)
            session = session if not session.closed else self._link.session
            session.paging = paged
            while True:
                following = _checked(result, paged, session.uri, doing)
                if following and following == cookie and not entries:
                    raise DirectoryTruncated(f"{session.uri}: {doing}: the server repeats the same page.")
                yield from entries
                if not following:
                    return
                cookie = following
                entries, result = session.page(
                    base, scope, query, attributes, size=self._page_size, cookie=cookie
                )
        finally:
            session.paging = False

    def _first(
        self, session: Session, base: str, query: str, attributes: Sequence[str], scope: str, paged: bool
    ) -> tuple[list[RawEntry], Result]:
        size = self._page_size if paged else None
        try:
            return session.page(base, scope, query, attributes, size=size)
        except ConnectionLost as lost:
            if lost.late or session is not self._link.session:
                raise
            return self._link.again().page(base, scope, query, attributes, size=size)

    def close(self) -> None:
        self._link.close()


def _checked(result: Result, paged: bool, uri: str, doing: str) -> bytes:
    """The cookie of the next page, empty at the end. Raises if the search was not completed."""
    if result.code:
        raise unfinished(result, uri, doing)
    if paged and result.cookie is None:
        raise DirectoryTruncated(
            f"{uri}: {doing}: the server did not say whether the result is complete; it is not used.\n"
            "Check its log: it advertises paged results but does not return them."
        )
    return result.cookie or b""
