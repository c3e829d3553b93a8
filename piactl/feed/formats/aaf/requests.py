"""Reads the requests of a ficAlimMENESR file one by one, safely: nothing is resolved, fetched or expanded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, cast

from lxml import etree

ROOT = "ficAlimMENESR"
KINDS = ("addRequest", "modifyRequest", "deleteRequest")
_FACT = re.compile(
    r"\b(versionAF|versionSDET|codeAcademieExport|degre|dateGenerationExport)\b\W{1,5}([\w./-]+)"
)


class UnsafeXml(Exception):
    """The file declares entities or an internal subset: AAF needs neither, attacks do."""


class CutXml(Exception):
    """The root is not closed."""


class BadXml(Exception):
    """It is not XML, or not of this form; with the line."""


@dataclass(frozen=True, slots=True)
class Request:
    """`category` is that of the person or the structure, `values` has the attributes that were asked for."""

    kind: str
    id: str
    category: str
    values: Mapping[str, list[str]]
    line: int


def read_requests(stream: IO[bytes], names: Collection[str], facts: dict[str, str]) -> Iterator[Request]:
    """The requests of a file, with the attributes `names`; `facts` gets those that its comments state.

    Raises UnsafeXml, CutXml or BadXml.
    """
    # lxml reads this fast enough in C and frees what is read; network, DTD, entities and huge texts are off
    events = etree.iterparse(
        stream,
        events=("start", "end", "comment"),
        tag=(ROOT, *KINDS, etree.Comment),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
    )
    root = None
    try:
        for event, element in events:
            if root is None and event == "start":
                root = _checked(element)
            elif event == "comment":
                facts.update(_FACT.findall(str(element.text or "")[:1000]))
            elif event == "end" and element.tag in KINDS:
                if root is None or element.getparent() is not root:
                    raise BadXml(f"line {element.sourceline}: {element.tag} is not below {ROOT}")
                yield _request(element, names)
                element.clear()
                while element.getprevious() is not None:
                    del root[0]
    except etree.XMLSyntaxError as error:
        line, column = error.position
        words = re.sub(r", line \d+, column \d+.*", "", str(error.msg))
        cut = any(sign in words for sign in _CUT)
        raise (CutXml if cut else BadXml)(f"line {line}, column {column}: {words}") from None
    if root is None:
        raise BadXml(f"line 1: the root is not {ROOT}")


_CUT = ("Premature end", "Extra content at the end", "not finished", "Document is empty", "no element found")


def _checked(root: etree._Element) -> etree._Element:
    if root.tag != ROOT:
        raise BadXml(f"line {root.sourceline}: the root is {root.tag}, not {ROOT}")
    dtd = root.getroottree().docinfo.internalDTD
    declared = (*dtd.iterentities(), *dtd.iterelements()) if dtd is not None else ()  # type: ignore[attr-defined]
    if declared:
        raise UnsafeXml(f"line {root.sourceline}: the file declares entities or elements of its own")
    return root


def _request(element: etree._Element, names: Collection[str]) -> Request:
    category, identifier = "", ""
    values: dict[str, list[str]] = {}
    for part in element:
        if part.tag == "operationalAttributes":
            for attr in part:
                if attr.get("name") in ("categoriePersonne", "categorieStructure"):
                    category = next((_text(value) for value in attr if value.tag == "value"), "")
        elif part.tag == "identifier":
            identifier = next((_text(value) for value in part if value.tag == "id"), "")
        elif part.tag in ("attributes", "modifications"):
            for attr in part:
                name = attr.get("name")
                if name in names:
                    values.setdefault(str(name), []).extend(
                        _text(value) for value in attr if value.tag == "value"
                    )
    return Request(str(element.tag), identifier, category, values, _line(element))


def _line(element: etree._Element) -> int:
    return cast(int, element.sourceline or 0)  # the stubs do not know its type


def _text(element: etree._Element) -> str:
    if len(element):  # a reference to an entity is a child, and so is an element that does not belong here
        raise UnsafeXml(f"line {element.sourceline}: a value has more than text")
    return (element.text or "").strip()
