"""The limits of a source: which whole feeds are refused on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.settings import LimitsPeriod, SourceLimits, SourceSettings
from piactl.core.plan.check_feed_limits import (
    LIMIT_CODES,
    ROW,
    FeedFacts,
    PartRecord,
    PastFeed,
    SourceRecord,
    column_warnings,
    comparable,
    feed_refusals,
    held_refusal,
    limits_on,
    part_refusals,
    record_of,
)
from piactl.core.plan.state_between_runs import SourceMemory

DAY = date(2026, 11, 3)
SOURCE = SourceSettings("epp")
FACTS = FeedFacts("epp", "epp.csv", "b" * 64, DAY, full=True, complete=True, rows=1000, people=1000)
LAST = SourceRecord("epp", "a" * 64, date(2026, 11, 2), 1000, 1000)
KNOWN = frozenset(str(n) for n in range(1000))


def _codes(facts=FACTS, last=LAST, known_matricules=KNOWN, present=KNOWN, source=SOURCE, as_of=DAY):
    refusals = feed_refusals(
        facts, last, len(known_matricules), len(known_matricules & present), source, as_of
    )
    assert {code for code, _ in refusals} <= set(LIMIT_CODES)
    assert all("accept it" in message for _, message in refusals)
    return [code for code, _ in refusals]


def test_an_ordinary_feed_is_fit():
    assert _codes() == []


def test_the_first_feed_is_fit():
    assert _codes(last=None, known_matricules=frozenset()) == []


PART = replace(FACTS, part=True, kind="sts_emp_0800009A_2026")


@pytest.mark.parametrize(
    ("day", "digest", "last", "applied", "others", "codes"),
    [
        (None, "b", None, "", "", []),
        (None, "b", None, "ab", "", []),
        (None, "a", None, "ab", "", ["older"]),
        (None, "c", None, "ab", "", []),
        # the feed that was applied last, and a newer one in the same run
        (None, "b", None, "ab", "c", ["older"]),
        (None, "c", None, "ab", "c", []),
        # two new feeds
        (None, "c", None, "ab", "cd", ["order-unknown"]),
        # dates
        (DAY, "c", date(2026, 11, 4), "ab", "", ["older"]),
        (DAY, "c", date(2026, 11, 2), "ab", "", []),
        (DAY, "a", date(2026, 11, 2), "ab", "", []),
        (DAY, "a", DAY, "ab", "", ["older"]),
        (DAY, "c", DAY, "ab", "", []),
        (None, "c", DAY, "ab", "", []),
    ],
)
def test_a_set_of_some_establishments_that_is_not_later(day, digest, last, applied, others, codes):
    facts = replace(PART, date=day, digest=digest)
    refusals = part_refusals(
        facts, PartRecord(last, tuple(applied)), {other: f"{other}.xml" for other in others}
    )
    assert [code for code, _ in refusals] == codes
    assert all("accept it" in message for _, message in refusals)


def test_the_last_sets_of_a_kind_are_remembered():
    record = PartRecord()
    for number in range(12):
        record = record.after(f"{number}", DAY if number < 3 else None)
    assert record == PartRecord(DAY, tuple(map(str, range(4, 12))))
    assert record.after("5", DAY).digests[-2:] == ("11", "5")
    memory = SourceMemory(LAST, applied=("x", "y"), undone=("5", "x"), parts={"k": record, "l": PartRecord()})
    assert memory.every_applied == {"y", *map(str, range(4, 12))} - {"5"}


@pytest.mark.parametrize(
    ("day", "last", "codes"),
    [
        (date(2026, 11, 1), date(2026, 11, 2), ["older"]),
        (date(2026, 11, 2), date(2026, 11, 2), []),
        (None, date(2026, 11, 2), []),
        (date(2026, 11, 1), None, []),
    ],
)
def test_a_feed_older_than_the_last(day, last, codes):
    assert _codes(replace(FACTS, date=day), replace(LAST, date=last)) == codes


@pytest.mark.parametrize(
    ("values", "bad", "refused"),
    [(1000, 51, True), (1000, 50, False), (100, 19, False), (100, 20, True), (20, 20, True), (0, 0, False)],
)
@pytest.mark.parametrize("column", ["uai", ROW])
def test_too_many_bad_values_in_a_column(column, values, bad, refused):
    assert _codes(replace(FACTS, columns={column: (values, bad)})) == (["bad-column"] if refused else [])


@pytest.mark.parametrize(
    ("count", "still", "refused"),
    [(1000, 900, False), (1000, 899, True), (19, 0, False), (20, 18, False), (20, 17, True), (0, 0, False)],
)
def test_too_few_known_matricules(count, still, refused):
    known_matricules = frozenset(str(n) for n in range(count))
    present = frozenset(str(n) for n in range(still)) | {f"new{n}" for n in range(2000)}
    assert _codes(known_matricules=known_matricules, present=present) == (["few-known"] if refused else [])


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


def test_an_old_or_faulty_delta_is_refused():
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
def test_each_day_has_the_limits_of_its_period(day, limits):
    assert limits_on(YEAR, day) == limits


def test_a_feed_is_checked_with_the_limits_of_the_day():
    facts = replace(FACTS, rows=1400)
    assert _codes(facts, source=YEAR) == ["size"]
    assert _codes(facts, source=YEAR, as_of=date(2026, 9, 1)) == []


COLUMNS = {ROW: (1000, 0), "position": (60, 0), "numen": (900, 0)}
VARIED = {"corps": 700, "position": 60, "fonction": 400}


def _values(uncommon, rows):
    return {column: {"A": rows - other, "B": other} for column, other in uncommon.items()}


def _past(rows=1000, uncommon=VARIED, **fields):
    filled = {column: values for column, (values, _) in COLUMNS.items() if column != ROW}
    return PastFeed("d" * 64, rows, filled, fields.pop("distinct", {}), _values(uncommon, rows), **fields)


def _columns(rows=1000, columns=COLUMNS, uncommon=VARIED, past=(_past(),), share=0.2, **facts):
    facts = replace(FACTS, rows=rows, columns=columns, values=_values(uncommon, rows), **facts)
    last = replace(LAST, rows=past[-1].rows, past=tuple(past))
    loose = replace(SOURCE, limits=replace(SOURCE.limits, size_share=9.0, column_share=share))
    return [message for code, message in feed_refusals(facts, last, len(KNOWN), len(KNOWN), loose, DAY)]


@pytest.mark.parametrize(
    ("filled", "refused"),
    [(900, False), (1000, False), (700, False), (699, True), (0, True)],
)
def test_a_column_filled_unlike_the_last_feed_is_refused(filled, refused):
    messages = _columns(columns={**COLUMNS, "numen": (filled, 0)})
    assert len(messages) == refused
    if refused:
        rows = f"{filled} of 1000 rows" if filled else "no row, for the column is missing"
        assert f"column numen: a value in {rows}" in messages[0]
        assert "90.0% in the last feed (limit: 20 % of the rows apart, from 20)" in messages[0]


def test_a_column_that_is_suddenly_filled_is_refused():
    assert len(_columns(columns={**COLUMNS, "position": (261, 0)})) == 1
    assert _columns(columns={**COLUMNS, "position": (260, 0)}) == []


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [(60, 0, True), (60, 5, True), (60, 6, False), (4, 0, True), (3, 0, True), (2, 0, False), (0, 0, False)],
)
def test_a_coded_column_that_no_longer_varies_is_refused(before, now, refused):
    past = _past(uncommon={**VARIED, "position": before})
    messages = _columns(uncommon={**VARIED, "position": now}, past=[past])
    assert len(messages) == refused
    if refused:
        assert f"column position: A in {1000 - now} of 1000 rows" in messages[0]
        assert f"another value in {before / 10:.1f}% in the last feed" in messages[0]


def test_variety_is_in_proportion_to_the_rows():
    few = {"corps": 70, "position": 6}
    assert _columns(rows=100, columns={}, uncommon={**few, "fonction": 4}, share=0.9) == []
    assert len(_columns(rows=100, columns={}, uncommon={**few, "fonction": 3}, share=0.9)) == 1


def test_few_rows_may_be_all_alike():
    few = {"corps": 3, "position": 5, "fonction": 10}
    none = dict.fromkeys(few, 0)
    assert _columns(rows=19, columns={}, uncommon=none, past=[_past(19, few)]) == []
    assert len(_columns(rows=20, columns={}, uncommon=none, past=[_past(20, few)])) == 3


@pytest.mark.parametrize(("other", "refused"), [(19, False), (20, True)])
def test_variety_of_a_column_that_is_not_coded_counts_from_the_floor(other, refused):
    past = _past(uncommon={"modalite": other})
    assert len(_columns(columns={}, uncommon={"modalite": 0}, past=[past])) == refused


@pytest.mark.parametrize(
    ("before", "now", "refused"), [(500, 51, False), (500, 50, True), (10, 1, True), (9, 1, False)]
)
def test_a_column_with_far_fewer_distinct_values_is_refused(before, now, refused):
    past = _past(distinct={"date_naissance": before})
    messages = _columns(past=[past], distinct={"date_naissance": now})
    assert len(messages) == refused
    if refused:
        assert f"column date_naissance: {now} distinct values, {before} in the last feed" in messages[0]


def test_values_are_compared_with_all_feeds_that_are_remembered():
    """Each night more people are heads of school: the last feed alone shows no difference."""
    past = [_past(uncommon={"fonction": 2 + 20 * night}) for night in range(10)]
    messages = _columns(columns={}, uncommon={"fonction": 293}, past=past)
    assert len(messages) == 1
    assert "column fonction: B in 293 of 1000 rows (29.3%), 9.2% in the last 10 feeds" in messages[0]
    assert _columns(columns={}, uncommon={"fonction": 292}, past=past) == []
    assert _columns(columns={}, uncommon={"fonction": 293}, past=past[-1:]) == []


def test_a_refusal_shows_the_share_of_a_value_now_and_before():
    values = {"fonction": {"DIR": 1000}}
    past = replace(_past(), values={"fonction": {"ENS": 998, "DIR": 2}})
    facts = replace(FACTS, values=values)
    (message,) = [m for _, m in feed_refusals(facts, replace(LAST, past=(past,)), 1000, 1000, SOURCE, DAY)]
    assert "column fonction: DIR in 1000 of 1000 rows (100.0%), 0.2% in the last feed" in message


FORMS = {"matricule": {"9": 990, "9a": 10}}


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, {}),
        ({"columns": {**COLUMNS, "numen": (840, 0)}}, {"numen": "a value in 840 of 1000 rows (84.0%), 90"}),
        ({"columns": {**COLUMNS, "numen": (860, 0)}}, {}),
        ({"values": _values({**VARIED, "corps": 640}, 1000)}, {"corps": "A in 360 of 1000 rows (36.0%)"}),
        ({"values": _values({**VARIED, "fonction": 0}, 1000)}, {"fonction": "A in 1000 of 1000 rows"}),
        ({"forms": {"matricule": {"9": 900, "a9": 100}}}, {"matricule": "form a9 in 10.0% of its values"}),
        ({"forms": {"matricule": {"a9": 19}}}, {}),
        ({"full": False, "columns": {}}, {}),
    ],
)  # fmt: skip
def test_a_column_that_differs_gives_a_warning_before_a_refusal(changes, warned):
    """The warning begins at a quarter of what refuses the feed, after three nights that can be compared."""
    usual = replace(FACTS, columns=COLUMNS, values=_values(VARIED, 1000), forms=FORMS)
    record = None
    for night in range(4):
        assert column_warnings(replace(usual, forms={}, columns={}), record, SOURCE, DAY) == {} or night == 3
        record = record_of(replace(usual, digest=f"{night}"), DAY, record)
    warnings = column_warnings(replace(usual, **changes), record, SOURCE, DAY)
    assert {column: message[: len(warned.get(column, ""))] for column, message in warnings.items()} == warned
    assert all("in the last 4 feeds" in message and "limit" not in message for message in warnings.values())


@pytest.mark.parametrize(
    ("before", "now", "warned"),
    [
        # two composed first names, in all feeds
        ({"forms": {"prenom": {"a": 36, "a-a": 2}}}, {}, ""),
        ({"forms": {"prenom": {"a": 36, "a-a": 4}}}, {"forms": {"prenom": {"a": 36, "a-a": 5}}}, ""),
        ({"forms": {"prenom": {"a": 36, "a-a": 2}}}, {"forms": {"prenom": {"a": 30, "a-a": 8}}}, "form a-a"),
        ({"forms": {"prenom": {"a": 38}}}, {"forms": {"prenom": {"a": 30, "a a a": 8}}}, "form a a a"),
        # the ninth form or value of a column is not remembered, however frequent it is
        ({"forms": {"discipline": dict.fromkeys("abcdefghi", 100)}}, {}, ""),
        ({"values": {"quotite": dict.fromkeys("abcdefghi", 100)}}, {}, ""),
        (
            {"values": {"quotite": dict.fromkeys("abcdefghi", 100)}},
            {"values": {"quotite": {"a": 20, **dict.fromkeys("bcdefgh", 100), "i": 180}}},
            "i in 180",
        ),
        ({"values": {"position": {"": 36, "detachement": 2}}, "rows": 38}, {}, ""),
    ],
)  # fmt: skip
def test_values_that_are_not_remembered_give_no_warning_while_they_stay(before, now, warned):
    """A rare value is not remembered: only a number that it cannot have had before is a difference."""
    usual = replace(FACTS, **{"distinct": {"prenom": 38, "discipline": 900}, **before})
    record = None
    for night in range(9):
        record = record_of(replace(usual, digest=f"{night}"), DAY, record)
    warnings = column_warnings(replace(usual, **now), record, SOURCE, DAY)
    assert len(warnings) == bool(warned), warnings
    assert all(message.startswith(warned) for message in warnings.values()), warnings


def test_what_is_remembered_of_a_feed():
    """The last ten full feeds, each once; for counted columns only the most frequent values."""
    values = {"corps": {**{f"{n}": 100 - n for n in range(9)}, "rare": 4}, "position": {"": 4}}
    record = LAST
    for night in range(12):
        facts = replace(FACTS, digest=f"{night}", columns=COLUMNS, values=values, distinct={"uai": 7})
        facts = replace(facts, forms=FORMS, establishments=frozenset({"0800009A"}))
        record = record_of(facts, DAY, record)
        assert record_of(facts, DAY, record) == record
    assert [past_feed.digest for past_feed in record.past] == [str(night) for night in range(2, 12)]
    assert record.past[-1].filled == {"position": 60, "numen": 900}
    assert record.past[-1].distinct == {"uai": 7}
    assert record.past[-1].values == {"corps": {f"{n}": 100 - n for n in range(8)}, "position": {}}
    assert record.past[-1].forms == {"matricule": {"9": 990, "9a": 10}}
    delta = record_of(replace(FACTS, full=False), DAY, record)
    assert (delta.past, delta.establishments) == (record.past, {"0800009A"})


def test_feeds_undone_or_before_an_accepted_one_are_not_compared():
    """It is not compared with undone feeds, nor with those before one that somebody accepted."""
    first, let, after = _past(), replace(_past(accepted=True), digest="let"), replace(_past(), digest="after")
    assert comparable([first, let, after], ()) == (let, after)
    assert comparable([first, let, after], ["let"]) == (first, after)
    assert comparable([first, replace(first, rows=0)], ()) == (first,)


def test_a_record_that_knows_nothing_of_columns_refuses_nothing():
    facts = replace(FACTS, columns=COLUMNS, values=_values(dict.fromkeys(VARIED, 0), 1000))
    assert _codes(facts) == []


@pytest.mark.parametrize(
    ("people", "count", "refused"),
    [
        (1000, 50, False),
        (1000, 51, True),
        (100, 19, False),
        (100, 20, True),
        (20, 20, True),
        (450, 22, False),
    ],
)
def test_too_many_people_held(people, count, refused):
    facts = replace(FACTS, people=people)
    refusal = held_refusal(facts, {str(n): f"why {n}" for n in range(count)}, SOURCE, DAY)
    assert (refusal is not None) == refused
    if refusal is not None:
        code, message = refusal
        assert code == "held"
        assert f"{count} of its {people} people are held (limit: 5 %, from 20)" in message
        assert "\n  0: why 0\n  1: why 1\n  2: why 2;\n" in message
        assert "accept it" in message
