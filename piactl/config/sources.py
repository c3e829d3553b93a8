"""The HR sources of the configuration: layouts and limits."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePath

from piactl.config.guard_settings import day_of_year
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.core.model.overrides import MANUAL
from piactl.core.model.settings import LimitsPeriod, SourceLimits, SourceSettings

_USUAL = SourceSettings("")
_DATE_GROUPS = ("year", "month", "day")
_TRIAL = datetime(2026, 9, 21)  # noqa: DTZ001 a civil day; its year, month and day differ


def read_sources(document: Document, node: Node) -> dict[str, SourceSettings]:
    """The sources by name. Adds to the document the mistakes that the schema cannot find."""
    sources = {name: _source(document, name, source) for name, source in node.entries()}
    _refuse_shared_files(document, node)
    # a supplement has the lowest rank, wherever it stands
    return dict(sorted(sources.items(), key=lambda item: item[1].supplement))


def _source(document: Document, name: str, node: Node) -> SourceSettings:
    label = f"sources.{name}"
    if name == MANUAL:
        document.mistake(
            node, f"{label}: this name is reserved for changes made by hand; choose another name"
        )
    _check_date_pattern(document, node.at("date_pattern"), label)
    for place in node.at("date_formats").text_nodes():
        _check_date_format(document, place, label)
    constants, columns = node.at("constants"), node.at("columns")
    for column, place in constants.entries():
        if column in dict(columns.entries()):
            document.mistake(
                place, f"{label}.constants.{column}: this column is also under columns; keep one of them"
            )
    _check_format(document, node, label)
    supplement = node.at("role").text("authoritative") == "supplement"
    limits = _limits(node.at("limits"), SourceLimits())
    return SourceSettings(
        name=name,
        full=node.at("kind").text("full") == "full",
        trailer=node.at("trailer").truth(_USUAL.trailer),
        files=tuple(node.at("files").texts()),
        date_pattern=node.at("date_pattern").text(_USUAL.date_pattern),
        delimiter=node.at("delimiter").text(_USUAL.delimiter),
        encoding=node.at("encoding").text(_USUAL.encoding),
        date_formats=tuple(node.at("date_formats").texts()) or _USUAL.date_formats,
        columns=_table(columns),
        values={column: _table(table) for column, table in node.at("values").entries()},
        constants=_table(constants),
        absent_runs=node.at("absent_runs").integer(_USUAL.absent_runs),
        namespace=node.at("namespace").text(_USUAL.namespace),
        format=node.at("format").text(_USUAL.format),
        supplement=supplement,
        creates=node.at("creates").truth(not supplement),
        perimeter={key: ",".join(value.texts()) for key, value in node.at("perimeter").entries()},
        drop_functions=tuple(node.at("drop_functions").texts()),
        empty_values=node.at("empty_values").text(_USUAL.empty_values),
        delta_days=node.at("delta_days").integer(_USUAL.delta_days),
        delta_weekdays=tuple(node.at("delta_weekdays").texts()) or _USUAL.delta_weekdays,
        feed_days=node.at("feed_days").integer(_USUAL.feed_days),
        limits=limits,
        periods=_periods(document, node.at("limits").at("periods"), limits, label),
    )


_OF_CSV = ("trailer", "delimiter", "encoding", "date_formats", "columns")
_OF_SETS = ("perimeter", "drop_functions", "empty_values", "delta_days", "delta_weekdays")


def _check_format(document: Document, node: Node, label: str) -> None:
    """Adds a mistake for a setting that the format of the source does not have."""
    form = node.at("format").text(_USUAL.format)
    given = dict(node.entries())
    for name in _OF_SETS if form == "csv" else _OF_CSV:
        if name in given:
            document.mistake(given[name], f"{label}.{name}: the format {form} has no such setting")
    if form == "sts" and (node.at("role").text() != "supplement" or node.at("creates").truth(default=False)):
        document.mistake(node, f"{label}: the format sts needs role: supplement, and makes no accounts")
    for name in _OF_SETS if form == "sts" else ():
        if name in given:
            document.mistake(given[name], f"{label}.{name}: the format sts has no such setting")
    if form == "csv" and "kind" not in given:
        expected = "expected full (a feed lists everyone) or delta"
        document.mistake(node, f"kind is missing in {label}; {expected}")
    if form != "csv" and node.at("kind").text("full") != "full":
        document.mistake(given["kind"], f"{label}.kind: the format {form} is read as complete sets: full")


def _table(node: Node) -> dict[str, str]:
    return {key: value.text() for key, value in node.entries()}


def _limits(node: Node, usual: SourceLimits) -> SourceLimits:
    return SourceLimits(
        bad_share=node.at("bad_share").number(usual.bad_share),
        bad_floor=node.at("bad_floor").integer(usual.bad_floor),
        known_share=node.at("known_share").number(usual.known_share),
        known_floor=node.at("known_floor").integer(usual.known_floor),
        size_share=node.at("size_share").number(usual.size_share),
        size_floor=node.at("size_floor").integer(usual.size_floor),
        column_share=node.at("column_share").number(usual.column_share),
        column_floor=node.at("column_floor").integer(usual.column_floor),
        held_share=node.at("held_share").number(usual.held_share),
        held_floor=node.at("held_floor").integer(usual.held_floor),
        max_rows=node.at("max_rows").integer(usual.max_rows),
        max_bytes=node.at("max_bytes").integer(usual.max_bytes),
        max_field=node.at("max_field").integer(usual.max_field),
    )


def _periods(document: Document, node: Node, usual: SourceLimits, label: str) -> tuple[LimitsPeriod, ...]:
    """The periods; a limit that a period does not set is the one outside periods."""
    return tuple(
        LimitsPeriod(
            name,
            day_of_year(document, period.at("from"), f"{label}.limits.periods.{name}.from"),
            day_of_year(document, period.at("to"), f"{label}.limits.periods.{name}.to"),
            _limits(period, usual),
        )
        for name, period in node.entries()
    )


def _check_date_pattern(document: Document, node: Node, label: str) -> None:
    if not isinstance(node.value, str):
        return
    try:
        groups = re.compile(node.value).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        document.mistake(node, f"{label}.date_pattern: not a regular expression: {error}")
        return
    missing = [group for group in _DATE_GROUPS if group not in groups]
    if missing:
        wanted = " and ".join(f"(?P<{group}>...)" for group in missing)
        document.mistake(node, f"{label}.date_pattern: the group {wanted} is missing")


def _check_date_format(document: Document, node: Node, label: str) -> None:
    text = node.text()
    try:
        # newer Pythons warn about a format without a year before they refuse it
        has_year = any(word in text for word in ("%Y", "%y", "%G", "%D", "%x", "%c"))
        good = has_year and datetime.strptime(_TRIAL.strftime(text), text) == _TRIAL  # noqa: DTZ007 a civil day
    except (ValueError, re.error):
        good = False
    if not good:
        document.mistake(
            node,
            f"{label}.date_formats: {quoted(node)} must contain a day, a month and a year, such as %d/%m/%Y",
        )


def _refuse_shared_files(document: Document, sources: Node) -> None:
    """Adds a mistake for a file name pattern of two sources: the source of a feed would be ambiguous."""
    first: dict[str, str] = {}
    for name, source in sources.entries():
        for place in source.at("files").text_nodes():
            owner = first.setdefault(PurePath(place.text()).name, name)
            if owner != name:
                document.mistake(
                    place,
                    f"sources.{name}.files: {quoted(place)} is also a pattern of source {owner}; keep one",
                )
