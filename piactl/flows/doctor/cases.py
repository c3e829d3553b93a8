"""Checks of how people are recognised: the digests of birth dates, and the cases that wait for a decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from piactl.core.model.settings import Settings
from piactl.directory.port import Reader
from piactl.directory.store.case_records import read_cases
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import PiactlError
from piactl.flows.doctor.checks import Finding, fine, note, skipped, unless_broken, worst


def examine_cases(reader: Reader, settings: Settings, today: date) -> Iterator[Finding]:
    """D58 and D59."""
    if settings.matching.identity_digests:
        yield fine("D58", "birth dates are compared, by digests")
    else:
        yield note(
            "D58",
            "matching.identity_digests is off: people are recognised by names and NUMEN alone",
            "Switch it on, unless your académie may not keep digests of birth dates.",
        )
    yield unless_broken("D59", lambda: _cases(reader, settings, today))


def _cases(reader: Reader, settings: Settings, today: date) -> Finding:
    try:
        cases = read_cases(reader, settings.directory.state, UnreadableRecords())
    except PiactlError as refused:
        return skipped("D59", str(refused).split("\n", 1)[0])
    matching = settings.matching
    overdue = [f"case {c.id} is open since {c.since}" for c in cases if c.overdue(matching, today)]
    soon = [
        f"case {c.id}: the newcomer starts on {c.start}, or has started"
        for c in cases
        if c.urgent(matching, today) and not c.overdue(matching, today)
    ]
    number = sum(case.open for case in cases)
    advice = "Decide them: piactl match list (docs/identity.md)."
    return worst("D59", overdue, soon, advice, f"{number} open, none is urgent")
