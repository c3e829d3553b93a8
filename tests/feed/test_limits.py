"""The limits of a source: which whole feeds are refused on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.settings import LimitsPeriod, SourceLimits, SourceSettings
from piactl.core.plan.feed_limits import (
    LIMIT_CODES,
    ROW,
    FeedFacts,
    SourceRecord,
    feed_refusals,
    held_refusal,
    limits_on,
)

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


COLUMNS = {ROW: (1000, 0), "position": (60, 0), "numen": (900, 0)}
VARIED = {"corps": 700, "position": 60, "fonction": 400}


def _columns(rows=1000, columns=COLUMNS, uncommon=VARIED, last_rows=1000, last_uncommon=VARIED):
    facts = replace(FACTS, rows=rows, columns=columns, uncommon=uncommon)
    last = replace(LAST, rows=last_rows, columns=COLUMNS, uncommon=last_uncommon)
    loose = replace(SOURCE, limits=replace(SOURCE.limits, size_share=9.0))
    return [message for code, message in feed_refusals(facts, last, KNOWN, KNOWN, loose, DAY)]


@pytest.mark.parametrize(
    ("filled", "refused"),
    [(900, False), (1000, False), (700, False), (699, True), (0, True)],
)
def test_a_column_filled_otherwise_than_in_the_last_feed(filled, refused):
    found = _columns(columns={**COLUMNS, "numen": (filled, 0)})
    assert len(found) == refused
    if refused:
        assert f"column numen has a value in {filled} of 1000 rows" in found[0]
        assert "in the last one in 90% (limit: 20 % of the rows, from 20)" in found[0]


def test_a_column_that_is_filled_at_last_is_another_one_too():
    assert len(_columns(columns={**COLUMNS, "position": (261, 0)})) == 1
    assert _columns(columns={**COLUMNS, "position": (260, 0)}) == []


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [(60, 0, True), (60, 5, True), (60, 6, False), (4, 0, True), (3, 0, True), (2, 0, False), (0, 0, False)],
)
def test_a_coded_column_that_is_all_alike(before, now, refused):
    found = _columns(uncommon={**VARIED, "position": now}, last_uncommon={**VARIED, "position": before})
    assert len(found) == refused
    if refused:
        assert f"column position has the same value in {1000 - now} of 1000 rows" in found[0]


def test_variety_is_in_proportion_to_the_rows():
    assert _columns(rows=100, columns={}, uncommon={**VARIED, "fonction": 4}) == []
    assert len(_columns(rows=100, columns={}, uncommon={**VARIED, "fonction": 3})) == 1


def test_few_rows_may_be_all_alike():
    few = {"corps": 3, "position": 5, "fonction": 10}
    none = dict.fromkeys(few, 0)
    assert _columns(rows=19, columns={}, uncommon=none, last_rows=19, last_uncommon=few) == []
    assert len(_columns(rows=20, columns={}, uncommon=none, last_rows=20, last_uncommon=few)) == 3


def test_a_record_that_knows_nothing_of_columns_refuses_nothing():
    facts = replace(FACTS, columns=COLUMNS, uncommon=dict.fromkeys(VARIED, 0))
    assert _codes(facts) == []


@pytest.mark.parametrize(
    ("people", "held", "refused"),
    [
        (1000, 50, False),
        (1000, 51, True),
        (100, 19, False),
        (100, 20, True),
        (20, 20, True),
        (450, 22, False),
    ],
)
def test_too_many_people_held(people, held, refused):
    facts = replace(FACTS, people=people)
    found = held_refusal(facts, {str(n): f"why {n}" for n in range(held)}, SOURCE, DAY)
    assert (found is not None) == refused
    if found is not None:
        code, message = found
        assert code == "held"
        assert f"{held} of its {people} people are held (limit: 5 %, from 20)" in message
        assert "such as 0: why 0; 1: why 1;" in message
        assert f"--accept-feed {facts.digest}" in message
