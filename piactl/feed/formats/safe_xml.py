"""XML from strangers: nothing is resolved, fetched or expanded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, cast

from lxml import etree

from piactl.feed.formats.set_files import SetFiles


class UnsafeXml(Exception):
    """The file declares entities or an internal subset: AAF needs neither, attacks do."""


class CutXml(Exception):
    """The root is not closed."""


class BadXml(Exception):
    """It is not XML, or not of this form; with the line."""


_CUT = ("Premature end", "Extra content at the end", "not finished", "Document is empty", "no element found")


class _Watched:
    """A stream that knows how it ends."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._end = stream, b""

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._end = piece or self._end
        return piece

    def ends_with_tag(self) -> bool:
        """Whether the last thing in it is the end of a tag."""
        while self.read(1 << 20):
            pass
        return self._end.rstrip().endswith(b">")


def safe_events(
    stream: IO[bytes], events: Collection[str], tag: object
) -> Iterator[tuple[str, etree._Element]]:
    """What a parser meets that resolves, fetches and expands nothing. Raises UnsafeXml, CutXml or BadXml."""
    # lxml reads this fast enough in C and frees what is read; network, DTD, entities and huge texts are off
    watched = _Watched(stream)
    try:
        yield from etree.iterparse(
            watched,
            events=tuple(events),
            tag=tag,
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
        cut = any(sign in words for sign in _CUT) or not watched.ends_with_tag()
        raise (CutXml if cut else BadXml)(f"line {line}, column {column}: {words}") from None


def refuse_declarations(root: etree._Element) -> etree._Element:
    """The root. Raises UnsafeXml if the file declares entities or elements."""
    dtd = root.getroottree().docinfo.internalDTD
    declared = (*dtd.iterentities(), *dtd.iterelements()) if dtd is not None else ()  # type: ignore[attr-defined]
    if declared:
        raise UnsafeXml(f"line {root.sourceline}: the file declares entities or elements of its own")
    return root


def line_of(element: etree._Element) -> int:
    return cast(int, element.sourceline or 0)  # the stubs do not know its type


def text_of(element: etree._Element) -> str:
    """The text of an element, without the blanks around it. Raises UnsafeXml."""
    if len(element):  # a reference to an entity is a child, and so is an element that does not belong here
        raise UnsafeXml(f"line {element.sourceline}: a value has more than text")
    return (element.text or "").strip()


@contextmanager
def xml_refused(files: SetFiles, name: str) -> Iterator[None]:
    """Makes a fault of a file refuse its set."""
    try:
        yield
    except UnsafeXml as error:
        raise files.refuse("unsafe-xml", f"{name}: {error}") from None
    except CutXml as error:
        raise files.refuse("cut", f"{name}: {error}: the file was cut") from None
    except BadXml as error:
        raise files.refuse("bad-xml", f"{name}: {error}") from None
