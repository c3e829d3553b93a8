"""The limits of a source: which whole feeds are refused on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.feedfacts import ROW, FeedFacts, SourceRecord
from piactl.core.feedlimits import LIMIT_CODES, feed_refusals, limits_on
from piactl.core.settings import LimitsPeriod, SourceLimits, SourceSettings

DAY = date(2026, 11, 3)
SOURCE = SourceSettings("epp")
FACTS = FeedFacts("epp", "epp.csv", "b" * 64, DAY, full=True, complete=True, rows=1000, people=1000)
LAST = SourceRecord("epp", "a" * 64, date(2026, 11, 2), 1000, 1000)
KNOWN = frozenset(str(n) for n in range(1000))


def _codes(facts=FACTS, last=LAST, known=KNOWN, present=KNOWN, source=SOURCE, as_of=DAY):
    refusals = feed_refusals(facts, last, known, present, source, as_of)
    assert {code for code, _ in refusals} <= set(LIMIT_CODES)
    assert all(f"--accept-feed {facts.digest}" in message for _, message in refusals)
    return [code for code, _ in refusals]


def test_an_ordinary_feed_is_fit():
    assert _codes() == []


def test_the_first_feed_is_fit():
    assert _codes(last=None, known=frozenset()) == []


@pytest.mark.parametrize(
    ("given", "last", "codes"),
    [
        (date(2026, 11, 1), date(2026, 11, 2), ["older"]),
        (date(2026, 11, 2), date(2026, 11, 2), []),
        (None, date(2026, 11, 2), []),
        (date(2026, 11, 1), None, []),
    ],
)
def test_a_feed_older_than_the_last(given, last, codes):
    assert _codes(replace(FACTS, date=given), replace(LAST, date=last)) == codes


@pytest.mark.parametrize(
    ("values", "bad", "refused"),
    [(1000, 51, True), (1000, 50, False), (100, 19, False), (100, 20, True), (20, 20, True), (0, 0, False)],
)
@pytest.mark.parametrize("column", ["uai", ROW])
def test_too_many_bad_values_in_a_column(column, values, bad, refused):
    assert _codes(replace(FACTS, columns={column: (values, bad)})) == (["bad-column"] if refused else [])


@pytest.mark.parametrize(
    ("known", "still", "refused"),
    [(1000, 900, False), (1000, 899, True), (19, 0, False), (20, 18, False), (20, 17, True), (0, 0, False)],
)
def test_too_few_known_matricules(known, still, refused):
    known_ones = frozenset(str(n) for n in range(known))
    present = frozenset(str(n) for n in range(still)) | {f"new{n}" for n in range(2000)}
    assert _codes(known=known_ones, present=present) == (["few-known"] if refused else [])


@pytest.mark.parametrize(
    ("rows", "last", "refused"),
    [
        (900, 1000, False),
        (899, 1000, True),
        (1100, 1000, False),
        (1101, 1000, True),
        (51, 100, False),
        (50, 100, True),
        (150, 100, True),
        (0, 49, False),
    ],
)
def test_a_size_too_far_from_the_last(rows, last, refused):
    assert _codes(replace(FACTS, rows=rows), replace(LAST, rows=last)) == (["size"] if refused else [])


def test_a_delta_may_be_small_and_name_few():
    assert _codes(replace(FACTS, full=False, rows=1), present=frozenset({"x"})) == []


def test_a_delta_may_be_neither_older_nor_wrong():
    facts = replace(FACTS, full=False, date=date(2026, 1, 1), columns={"uai": (30, 30)})
    assert _codes(facts) == ["older", "bad-column"]


def test_all_refusals_come_together():
    facts = replace(FACTS, date=date(2026, 1, 1), rows=30, columns={"uai": (30, 30), "debut": (30, 30)})
    assert _codes(facts, present=frozenset()) == ["older", "bad-column", "bad-column", "few-known", "size"]


def test_the_same_feed_again_is_never_refused():
    last = replace(LAST, digest=FACTS.digest, date=date(2027, 1, 1), rows=5)
    assert _codes(last=last, present=frozenset()) == []


LOOSE = SourceLimits(size_share=0.5)
RENTREE = LimitsPeriod("rentree", (8, 20), (9, 30), LOOSE)
WINTER = LimitsPeriod("hiver", (12, 20), (1, 5), SourceLimits(size_share=0.01))
YEAR = replace(SOURCE, periods=(RENTREE, WINTER))


@pytest.mark.parametrize(
    ("day", "limits"),
    [
        (date(2026, 8, 19), SOURCE.limits),
        (date(2026, 8, 20), LOOSE),
        (date(2026, 9, 30), LOOSE),
        (date(2026, 10, 1), SOURCE.limits),
        (date(2026, 12, 19), SOURCE.limits),
        (date(2026, 12, 20), WINTER.limits),
        (date(2026, 12, 31), WINTER.limits),
        (date(2027, 1, 1), WINTER.limits),
        (date(2027, 1, 5), WINTER.limits),
        (date(2027, 1, 6), SOURCE.limits),
        (date(2028, 2, 29), SOURCE.limits),
    ],
)
def test_periods_of_the_year(day, limits):
    assert limits_on(YEAR, day) == limits


def test_the_period_of_the_day_counts():
    facts = replace(FACTS, rows=1400)
    assert _codes(facts, source=YEAR) == ["size"]
    assert _codes(facts, source=YEAR, as_of=date(2026, 9, 1)) == []
