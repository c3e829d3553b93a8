"""What it means for the assignments of a person if a feed does not list them."""

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.person import Assignment
from piactl.core.rules.feed_absences import Absence, Testimony, after_feed

POST = Assignment("0800009A", "ENS", date(2026, 9, 1), source="rh", origin="a.csv:2")
ELSEWHERE = Assignment("0800010B", "ENS", date(2026, 9, 1), source="assed")


def says(day: date, digest: str = "d1", *, silence: bool = True, runs: int = 2) -> Testimony:
    return Testimony("rh", digest, day, silence, runs)


def absent(since: date, *feeds: str) -> dict[tuple[str, str, str, date], Absence]:
    absence = Absence("1", *POST.key, since, feeds)
    return {absence.key: absence}


def test_an_absence_does_not_postpone_an_earlier_end() -> None:
    short = replace(POST, end=date(2026, 10, 10))
    before = absent(date(2026, 10, 20), "d1")
    after, _ = after_feed("1", [short], [], says(date(2026, 10, 9), "d2"), before)
    assert after == (short,)


def test_a_feed_whose_absences_do_not_count_leaves_absences_as_they_are() -> None:
    before = absent(date(2026, 10, 5), "d1")
    after, waits = after_feed("1", [POST], [], says(date(2026, 10, 9), "d2", silence=False), before)
    assert after == (POST,)
    assert waits == list(before.values())
    assert after_feed("1", [POST], [], says(date(2026, 10, 9), silence=False), {}) == ((POST,), [])


def test_a_changed_end_counts_at_once_and_an_equal_row_keeps_its_origin() -> None:
    again = replace(POST, origin="b.csv:9")
    after, _ = after_feed("1", [POST], [again], says(date(2026, 10, 5)), {})
    assert after[0].origin == "a.csv:2"
    ended = replace(again, end=date(2026, 10, 1))
    after, _ = after_feed("1", [POST], [ended], says(date(2026, 10, 5)), {})
    assert after[0].end == date(2026, 10, 1)
    assert after[0].origin == "b.csv:9"


@pytest.mark.parametrize(("silence", "count"), [(True, 1), (False, 2)])
def test_a_corrected_start_replaces_the_old_one_in_a_full_feed_only(silence: bool, count: int) -> None:
    corrected = replace(POST, start=date(2026, 9, 5))
    after, waits = after_feed("1", [POST], [corrected], says(date(2026, 10, 5), silence=silence), {})
    assert len(after) == count
    assert corrected in after
    assert waits == []


def test_an_assignment_in_another_function_is_no_correction() -> None:
    other = replace(POST, function="DOC", start=date(2026, 9, 5))
    after, waits = after_feed("1", [POST], [other], says(date(2026, 10, 5)), {})
    assert set(after) == {POST, other}
    assert len(waits) == 1


RETIRED = Assignment("0800009A", "ENS", date(2026, 10, 1), position="retraite", source="rh")


def ends(assignment: Assignment) -> bool:
    return assignment.position == "retraite"


def test_a_past_retirement_stays_when_hr_drops_the_person() -> None:
    after, waits = after_feed("1", [RETIRED], [], says(date(2026, 10, 5)), {}, ends)
    assert (after, waits) == ((RETIRED,), [])
    ended = replace(POST, end=date(2026, 9, 30))
    after, waits = after_feed("1", [ended, RETIRED], [ended], says(date(2026, 10, 5)), {}, ends)
    assert (set(after), waits) == ({ended, RETIRED}, [])


def test_a_dropped_retirement_is_taken_back_if_hr_still_lists_the_post() -> None:
    after, waits = after_feed("1", [POST, RETIRED], [POST], says(date(2026, 10, 5)), {}, ends)
    assert set(after) == {POST, RETIRED}
    assert len(waits) == 1
    before = {waits[0].key: waits[0]}
    after, waits = after_feed("1", [POST, RETIRED], [POST], says(date(2026, 10, 6), "d2"), before, ends)
    assert (after, waits) == ((POST,), [])


def test_a_future_retirement_that_hr_drops_is_cancelled() -> None:
    ahead = replace(RETIRED, start=date(2027, 1, 1))
    after, waits = after_feed("1", [POST, ahead], [POST], says(date(2026, 10, 5)), {}, ends)
    assert len(waits) == 1
    before = {waits[0].key: waits[0]}
    after, waits = after_feed("1", [POST, ahead], [POST], says(date(2026, 10, 6), "d2"), before, ends)
    assert (after, waits) == ((POST,), [])


def test_a_start_that_has_come_is_not_moved_into_the_future_at_once() -> None:
    moved = replace(POST, start=date(2026, 12, 1))
    after, waits = after_feed("1", [POST], [moved], says(date(2026, 10, 5)), {})
    assert set(after) == {POST, moved}
    assert [absence.key for absence in waits] == [("1", *POST.key)]
    early = date(2026, 8, 1)
    assert after_feed("1", [POST], [moved], says(early), {}) == ((moved,), [])


def test_a_future_retirement_listed_instead_of_the_post_ends_nothing_yet() -> None:
    ahead = replace(RETIRED, start=date(2026, 12, 1))
    after, waits = after_feed("1", [POST], [ahead], says(date(2026, 10, 5)), {}, ends)
    assert (set(after), waits) == ({POST, ahead}, [])
    after, waits = after_feed("1", after, [ahead], says(date(2026, 10, 6), "d2"), {}, ends)
    assert (set(after), waits) == ({POST, ahead}, [])


SUSPENDED = replace(POST, position="suspension")
KEPT = replace(SUSPENDED, end=date(2026, 10, 4), locks_until=date.max)


def locks(assignment: Assignment) -> bool:
    return assignment.position == "suspension"


@pytest.mark.parametrize(
    ("row", "left"),
    [
        pytest.param(SUSPENDED, KEPT, id="open"),
        pytest.param(
            replace(SUSPENDED, end=date(2026, 12, 31)),
            replace(KEPT, locks_until=date(2026, 12, 31)),
            id="with an end",
        ),
        pytest.param(
            replace(SUSPENDED, start=date(2026, 10, 7)),
            replace(KEPT, start=date(2026, 10, 7), end=date(2026, 10, 7)),
            id="begun while its absence waited",
        ),
        pytest.param(POST, replace(POST, end=date(2026, 10, 4)), id="no lock"),
        pytest.param(
            replace(SUSPENDED, end=date(2026, 10, 7)), replace(SUSPENDED, end=date(2026, 10, 7)), id="over"
        ),
    ],
)
def test_an_absence_of_the_person_ends_the_post_and_leaves_its_lock(
    row: Assignment, left: Assignment
) -> None:
    absence = Absence("1", *row.key, date(2026, 10, 5), ("d1",))
    known = {absence.key: absence}
    after, _ = after_feed("1", [row], [], says(date(2026, 10, 9), "d2"), known, ends, locks=locks)
    assert after == (left,)


def test_an_absence_of_the_row_alone_ends_the_lock() -> None:
    before = absent(date(2026, 10, 5), "d1")
    other = replace(ELSEWHERE, source="rh")
    after, _ = after_feed("1", [SUSPENDED], [other], says(date(2026, 10, 9), "d2"), before, ends, locks=locks)
    assert set(after) == {other, replace(SUSPENDED, end=date(2026, 10, 4))}


@pytest.mark.parametrize(
    ("listed", "silence", "stays"),
    [
        pytest.param([], True, True, id="nothing"),
        pytest.param([replace(ELSEWHERE, source="rh")], True, False, id="another post"),
        pytest.param([replace(ELSEWHERE, source="rh")], False, True, id="another post in a delta"),
        pytest.param(
            [replace(ELSEWHERE, source="rh", end=date(2026, 10, 1))],
            True,
            True,
            id="another post that is over",
        ),
    ],
)
def test_a_lock_that_stayed_ends_when_its_source_lists_the_person(
    listed: list[Assignment], silence: bool, stays: bool
) -> None:
    testimony = says(date(2026, 10, 20), "d3", silence=silence)
    after, waits = after_feed("1", [KEPT], listed, testimony, {}, ends, locks=locks)
    assert [a.locks_until for a in after if a.uai == KEPT.uai] == [date.max if stays else None]
    assert waits == []


def test_a_lock_that_stayed_is_not_ended_by_another_source() -> None:
    other = Testimony("assed", "d3", date(2026, 10, 20), silence=True, absent_runs=2)
    assert after_feed("1", [KEPT], [ELSEWHERE], other, {}, ends, locks=locks)[0] == (KEPT, ELSEWHERE)


def test_the_row_that_is_listed_again_locks_itself() -> None:
    after, _ = after_feed("1", [KEPT], [SUSPENDED], says(date(2026, 10, 20), "d3"), {}, ends, locks=locks)
    assert after == (SUSPENDED,)
