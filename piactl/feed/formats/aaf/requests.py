"""Reads the requests of a ficAlimMENESR file one by one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import IO, NamedTuple

from lxml import etree

from piactl.feed.formats.safe_xml import BadXml, line_of, refuse_declarations, safe_events, text_of

ROOT = "ficAlimMENESR"
KINDS = ("addRequest", "modifyRequest", "deleteRequest")
_FACT = re.compile(
    r"\b(versionAF|versionSDET|codeAcademieExport|degre|dateGenerationExport)\b\W{1,5}([\w./-]+)"
)


class Request(NamedTuple):
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
    root = None
    for event, element in safe_events(stream, ("start", "end", "comment"), (ROOT, *KINDS, etree.Comment)):
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
    if root is None:
        raise BadXml(f"line 1: the root is not {ROOT}")


def read_params(stream: IO[bytes]) -> dict[str, str]:
    """The values of a file of params (InfosEducNat), by name. Raises as `read_requests`."""
    params = {}
    for event, element in safe_events(stream, ("start", "end"), None):
        if event == "start" and element.getparent() is None:
            refuse_declarations(element)
        elif event == "end" and element.tag == "param":
            text = " ".join(text_of(value) for value in element if value.tag == "value")
            params[str(element.get("name"))] = " ".join(text.split())
    return params


def _checked(root: etree._Element) -> etree._Element:
    if root.tag != ROOT:
        raise BadXml(f"line {root.sourceline}: the root is {root.tag}, not {ROOT}")
    return refuse_declarations(root)


def _request(element: etree._Element, names: Collection[str]) -> Request:
    category, identifier = "", ""
    values: dict[str, list[str]] = {}
    for part in element:
        tag = part.tag
        if tag == "operationalAttributes":
            for attr in part:
                if attr.get("name") in ("categoriePersonne", "categorieStructure"):
                    category = next((text_of(value) for value in attr if value.tag == "value"), "")
        elif tag == "identifier":
            identifier = next((text_of(value) for value in part if value.tag == "id"), "")
        elif tag in ("attributes", "modifications"):
            # most of the time of a set is spent here
            for attr in part:
                name = attr.get("name", "")
                if name in names:
                    texts = values.setdefault(name, [])
                    for value in attr:
                        if len(value):
                            text_of(value)
                        if value.tag == "value":
                            text = value.text
                            texts.append(text.strip() if text else "")
                    if tag == "modifications" and attr.get("operation", "replace") != "replace":
                        raise BadXml(f"line {attr.sourceline}: a modification is no replace")
    return Request(str(element.tag), identifier, category, values, line_of(element))
