"""Reads a directory: complete results or an error, never a partial result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from piactl.directory.client.connection import Session
from piactl.directory.client.messages import PAGED
from piactl.directory.client.result_codes import (
    SIZE_LIMIT,
    ConnectionLost,
    Result,
    unfinished,
)
from piactl.directory.client.usable_server import Link
from piactl.directory.interfaces import RawEntry, ServerFacts
from piactl.errors import DirectoryTruncated
from piactl.phrase import Phrase

_Answer = TypeVar("_Answer")


_FEW = 4
"""The number of pages whose entries count as few."""


class DirectoryReader:
    """The Reader over one connection; a nested search opens another. A few entries, such as those
    directly below another one, come at once, without pages.

    If the server has closed an idle connection, a read is repeated once on a new one. A search that has
    already yielded entries is not repeated.
    """

    def __init__(self, link: Link, page_size: int) -> None:
        self._link = link
        self._page_size = page_size
        self._schema: dict[str, bool] = {}

    def facts(self) -> ServerFacts:
        """The facts about the current server; a failover changes them."""
        return self._link.live().facts

    def schema_meets(self, query: str) -> bool:
        if query not in self._schema:
            self._schema[query] = self._repeated(lambda session: session.schema_meets(query))
        return self._schema[query]

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
        self,
        base: str,
        query: str,
        attributes: Sequence[str],
        *,
        scope: str = "subtree",
        few: bool = False,
        own: bool = False,
    ) -> Iterator[RawEntry]:
        session = self._link.live()
        # a server keeps one paged search per connection: a second one ends the first
        nested = session.paging
        if nested:
            session = self._link.another()
        doing = Phrase("search below {base}", base=repr(base))
        paged, cookie = PAGED in session.facts.controls, b""
        # for a page, slapd goes over all entries of the database, even those outside the base
        few = paged and (few or scope == "one")

        def page(of: Session, most: int = 0) -> tuple[list[RawEntry], Result]:
            size = self._page_size if paged and not most else None
            return of.page(base, scope, query, attributes, size=size, cookie=cookie, most=most, referrals=own)

        def first(of: Session) -> tuple[list[RawEntry], Result]:
            return page(of, _FEW * self._page_size if few else 0)

        try:
            entries, result = first(session) if nested else self._repeated(first)
            session = session if nested else self._link.session
            if few and result.code == SIZE_LIMIT:
                entries, result = page(session)
            elif few:
                paged = False
            session.paging = paged
            while True:
                following = _checked(result, paged, session.uri, doing)
                if following and following == cookie and not entries:
                    raise DirectoryTruncated(
                        Phrase(
                            "{uri}: {doing}: the server repeats the same page.",
                            uri=session.uri,
                            doing=doing,
                        )
                    )
                yield from entries
                if not following:
                    return
                cookie = following
                entries, result = page(session)
        finally:
            session.paging = False
            if nested:
                session.close()

    def close(self) -> None:
        self._link.close()


def _checked(result: Result, paged: bool, uri: str, doing: str) -> bytes:
    """The cookie of the next page, empty at the end. Raises if the search was not completed."""
    if result.code:
        raise unfinished(result, uri, doing)
    if paged and result.cookie is None:
        raise DirectoryTruncated(
            Phrase(
                "{uri}: {doing}: the server did not say whether the result is complete; it is not used.\n"
                "Check its log: it advertises paged results but does not return them.",
                uri=uri,
                doing=doing,
            )
        )
    return result.cookie or b""
