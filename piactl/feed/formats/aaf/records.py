"""A person of a set as one line of text, and what the requests of a delta make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from piactl.feed.formats.aaf.forms import Form
from piactl.feed.formats.aaf.requests import Request
from piactl.feed.formats.kept_sets import SEPARATOR

Record = list[str]
"""The id, the file and the line, the attributes with one value in the order of the form, the functions."""

FACTS = 3


def record_of(request: Request, form: Form, file: str) -> Record:
    values = request.values
    own = [found[0] if (found := values.get(name)) else "" for name in form.singles]
    return [request.id, file, str(request.line), *own, *filter(None, values.get(form.functions, ()))]


def modified(record: Record, request: Request, form: Form, file: str, *, clears: bool) -> Record:
    """The person after a modification: an attribute that it lacks is unchanged, and so is one without a value
    unless such a one `clears`."""
    result = [record[0], file, str(request.line), *record[FACTS:]]
    for place, name in enumerate(form.singles, FACTS):
        if name in request.values:
            value = first(request.values, name)
            if value or clears:
                result[place] = value
    if form.functions in request.values:
        functions = [text for text in request.values[form.functions] if text]
        if functions or clears:
            result[FACTS + len(form.singles) :] = functions
    return result


def after_requests(
    records: Sequence[Record], requests: Sequence[tuple[Request, str]], form: Form, *, clears: bool
) -> list[Record]:
    """What the requests for one person make of their records; several differing ones if they contradict each
    other, none if the person is deleted. A modification of somebody unknown makes none."""
    added = [record_of(one, form, file) for one, file in requests if one.kind == "addRequest"]
    result = list(added)
    for request, file in requests:
        if request.kind == "modifyRequest":
            result += [modified(one, request, form, file, clears=clears) for one in records or added]
    if result and any(request.kind == "deleteRequest" for request, _ in requests):
        result += records
    unique = {(one[0], *one[FACTS:]): one for one in reversed(result)}
    return [*reversed(unique.values())]


def to_line(record: Record) -> bytes:
    return (SEPARATOR.join(record).replace("\n", " ") + "\n").encode("utf-8", "replace")


def first(values: Mapping[str, Sequence[str]], name: str) -> str:
    found = values.get(name)
    return found[0] if found else ""
