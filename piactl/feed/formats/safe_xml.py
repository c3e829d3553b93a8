"""Reads untrusted XML: nothing is resolved, fetched or expanded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, cast
from xml.sax.saxutils import unescape  # replaces five sequences; parses nothing

from lxml import etree

from piactl.feed.formats.set_files import SetFiles
from piactl.phrase import Phrase


class XmlFault(Exception):
    """Why a file cannot be read, with the line. `code` is unsafe-xml (it declares entities or an internal
    subset: feeds need neither, attacks do), cut (the root is not closed) or bad-xml (it is not XML, or not of
    this form)."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


_CUT = ("Premature end", "Extra content at the end", "not finished", "Document is empty", "no element found")


_MOST_KEPT = 4_000_000
"""The most bytes that are read before elements are freed. An element takes thirty times the memory of `<v/>`,
and a request or a person is a few thousand bytes."""


class _Watched:
    """A stream that remembers its last bytes. Raises XmlFault if too many are read before elements are freed,
    which sets `kept` to 0."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._end, self.kept = stream, b"", 0

    def read(self, size: int = -1) -> bytes:
        piece = self._read(size)
        self.kept += len(piece)
        if self.kept > _MOST_KEPT:
            why = Phrase(
                "more than {most} bytes belong to one request or person, or to none", most=_MOST_KEPT
            )
            raise XmlFault("bad-xml", why)
        return piece

    def _read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._end = piece or self._end
        return piece

    def ends_with_tag(self) -> bool:
        """Whether the stream ends with the end of a tag; reads it to its end."""
        while self._read(1 << 20):
            pass
        return self._end.rstrip().endswith(b">")


class SafeEvents:
    """The events of a parser that resolves, fetches and expands nothing, to be iterated once. Raises
    XmlFault, also if the caller frees too little of what is read."""

    def __init__(self, stream: IO[bytes], events: Collection[str], tag: object) -> None:
        self._watched, self._events, self._tag = _Watched(stream), tuple(events), tag

    def __iter__(self) -> Iterator[tuple[str, etree._Element]]:
        # lxml reads this fast enough in C; network, DTD, entities and huge texts are off
        try:
            yield from etree.iterparse(
                self._watched,
                events=self._events,
                tag=self._tag,
                resolve_entities=False,
                no_network=True,
                load_dtd=False,
                dtd_validation=False,
                huge_tree=False,
                remove_pis=True,
                remove_blank_text=True,
            )
        except etree.XMLSyntaxError as error:
            line, column = error.position
            words = re.sub(r", line \d+, column \d+.*", "", str(error.msg))
            why = Phrase("line {line}, column {column}: {words}", line=line, column=column, words=words)
            if any(sign in words for sign in _CUT) or not self._watched.ends_with_tag():
                raise XmlFault("cut", Phrase("{why}: the file was cut", why=why)) from None
            raise XmlFault("bad-xml", why) from None

    def free(self, element: etree._Element) -> None:
        """Frees an element that is no longer needed, and those before it."""
        self._watched.kept = 0
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]  # type: ignore[union-attr]


def checked_root(root: etree._Element, tag: str = "") -> etree._Element:
    """The root. Raises XmlFault if the file declares entities or elements, or the root is not a `tag`."""
    if tag and root.tag != tag:
        why = Phrase("line {line}: the root is {root}, not {tag}", line=line_of(root), root=root.tag, tag=tag)
        raise XmlFault("bad-xml", why)
    dtd = root.getroottree().docinfo.internalDTD
    declared = (*dtd.iterentities(), *dtd.iterelements()) if dtd is not None else ()  # type: ignore[attr-defined]
    if declared:
        why = Phrase("line {line}: the file declares entities or elements of its own", line=root.sourceline)
        raise XmlFault("unsafe-xml", why)
    return root


def line_of(element: etree._Element) -> int:
    return cast(int, element.sourceline or 0)  # the stubs do not know its type


_ESCAPES = {"&apos;": "'", "&quot;": '"', "&#39;": "'", "&#34;": '"'}


def plain(text: str) -> str:
    """A value as it was meant: some exports escape twice (D&amp;apos;ARTOIS)."""
    return unescape(text, _ESCAPES) if "&" in text else text


def text_of(element: etree._Element) -> str:
    """The text of an element, without the blanks around it. Raises XmlFault."""
    if len(element):  # a reference to an entity is a child, and so is an element that does not belong here
        why = Phrase("line {line}: a value has more than text", line=element.sourceline)
        raise XmlFault("unsafe-xml", why)
    return plain((element.text or "").strip())


@contextmanager
def xml_refused(files: SetFiles, name: str) -> Iterator[None]:
    """Refuses the set if the file has a fault. Raises FeedRefused."""
    try:
        yield
    except XmlFault as fault:
        raise files.refuse(fault.code, Phrase("{name}: {fault}", name=name, fault=str(fault))) from None
