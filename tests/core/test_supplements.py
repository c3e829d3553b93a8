"""Which posts a supplement adds to those of authoritative sources, and when they start."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position
from piactl.core.rules.lifecycle import posts_of
from piactl.core.rules.source_ranks import Supplements, with_known_starts

HERE, THERE = "0800009A", "0800010B"
RULE = Supplements(
    frozenset({"aaf", "prive"}), frozenset({"prive"}), frozenset({("prive", "-"), ("aaf", "-")})
)
FIRST = date(2026, 9, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def post(source: str, uai: str, start: int, end: int | None = None, function: str = "ENS") -> Assignment:
    return Assignment(uai, function, day(start), None if end is None else day(end), source=source)


@pytest.mark.parametrize(
    ("name", "posts", "remaining"),
    [
        ("it adds a post", [post("hr", HERE, 0), post("aaf", THERE, 3)], [(THERE, 3, None)]),
        ("HR has the post", [post("hr", HERE, 0), post("aaf", HERE, 3)], []),
        ("HR has ended the post", [post("hr", HERE, 0, 5), post("hr", THERE, 6), post("aaf", HERE, 3)], []),
        ("HR has it in another function", [post("hr", HERE, 0), post("aaf", HERE, 3, function="DOC")],
         [(HERE, 3, None)]),
        ("HR ends", [post("hr", HERE, 0, 9), post("aaf", THERE, 3)], [(THERE, 3, 9)]),
        ("HR is over", [post("hr", HERE, 0, 2), post("aaf", THERE, 3)], []),
        ("HR begins later", [post("hr", HERE, 7), post("aaf", THERE, 3)], [(THERE, 7, None)]),
        ("HR begins again later", [post("hr", HERE, 0, 1), post("hr", HERE, 7), post("aaf", THERE, 3)],
         [(THERE, 7, None)]),
        ("it ends before HR begins", [post("hr", HERE, 7), post("aaf", THERE, 3, 5)], []),
        ("by hand", [post("manual", HERE, 0, 9), post("aaf", THERE, 3)], [(THERE, 3, 9)]),
        ("nobody else", [post("aaf", THERE, 3)], []),
        ("it is idle", [post("hr", HERE, 0), post("prive", THERE, 3, function="-")], []),
        ("nobody else, and it is idle", [post("prive", THERE, 3, function="-")], [(THERE, 3, None)]),
        ("nobody else, and it creates", [post("prive", THERE, 3), post("aaf", HERE, 3)], [(THERE, 3, None)]),
    ],
)  # fmt: skip
def test_which_posts_a_supplement_adds_to_authoritative_ones(
    name: str, posts: list[Assignment], remaining: list[tuple[str, int, int | None]]
) -> None:
    after = RULE.beside(tuple(posts))
    ends = [(a.uai, a.start, a.end) for a in after if a.source in RULE.names]
    assert ends == [(uai, day(start), None if end is None else day(end)) for uai, start, end in remaining], (
        name
    )
    assert RULE.authoritative(after) == RULE.authoritative(posts), name
    assert RULE.beside(after) == after, name


POSTS = st.lists(
    st.builds(
        lambda source, uai, start, length: post(
            source, uai, start, None if length is None else start + length
        ),
        st.sampled_from(["hr", "epp", "aaf"]),
        st.sampled_from([HERE, THERE, "0800002T"]),
        st.integers(0, 30),
        st.none() | st.integers(0, 20),
    ),
    max_size=6,
)


@given(POSTS)
def test_a_supplement_closes_nothing_and_opens_nothing_alone(posts: list[Assignment]) -> None:
    after = RULE.beside(tuple(posts))
    first = RULE.authoritative(posts)
    assert RULE.authoritative(after) == first
    for added in after:
        assert any(a.start <= added.start for a in first)
        assert any(a.end is None or (added.end is not None and added.end <= a.end) for a in first)
    assert RULE.beside(after) == after


def test_a_listed_post_keeps_its_known_start_unless_it_ended_earlier() -> None:
    listed = [post("aaf", HERE, 9), post("aaf", THERE, 9)]
    known_posts = [post("aaf", HERE, 2), post("aaf", THERE, 2, 5), post("hr", THERE, 1)]
    assert [a.start for a in with_known_starts(listed, known_posts, "aaf", day(9))] == [day(2), day(9)]
    assert [a.start for a in with_known_starts(listed, known_posts, "aaf", day(6))] == [day(2), day(2)]


@pytest.mark.parametrize(
    ("name", "known_start", "stated", "start"),
    [
        ("a start that has passed is not rewritten", 2, 1, 2),
        ("nor by a later one", 2, 12, 2),
        ("a set without a start keeps the known one", 12, 9, 12),
        ("a start to come is corrected", 12, 15, 15),
        ("a start to come has passed", 12, 3, 3),
    ],
)
def test_a_stated_start_counts_until_it_has_passed(
    name: str, known_start: int, stated: int, start: int
) -> None:
    """On day 9; a post that a set does not date has the day of the set."""
    [listed] = with_known_starts([post("aaf", HERE, stated)], [post("aaf", HERE, known_start)], "aaf", day(9))
    assert listed.start == day(start), name


@pytest.mark.parametrize(
    ("name", "rows", "days"),
    [
        ("on leave from the only post", [("hr", HERE, 0, None, ""), ("hr", HERE, 3, 5, "conge")],
         [(0, 2), (6, 9)]),
        ("on leave from one of two", [("hr", HERE, 0, None, "conge"), ("hr", "0801616X", 2, 4, "")],
         [(2, 4)]),
        ("at work", [("hr", HERE, 0, None, "")], [(0, 9)]),
        ("by hand", [("manual", HERE, 0, 9, "conge")], []),
        ("HR has not begun", [("hr", HERE, 4, None, "conge")], [(0, 3)]),
        ("nobody else", [], [(0, 9)]),
    ],
)  # fmt: skip
def test_leave_from_every_other_post_suspends_the_post_of_a_supplement(
    name: str, rows: list[tuple[str, str, int, int | None, str]], days: list[tuple[int, int]]
) -> None:
    positions = {
        position.name: position for position in (Position("default"), Position("conge", keeps=frozenset()))
    }
    policy = Policy(positions=positions, supplements=frozenset({"aaf"}))
    others = [replace(post(source, uai, s, e), position=p) for source, uai, s, e, p in rows]
    (own,) = [
        career_post
        for career_post in posts_of([*others, post("aaf", THERE, 0, 9)], [], policy, {})
        if career_post.assignment.source == "aaf"
    ]
    first = FIRST.toordinal()
    assert [(a - first, b - first) for a, b in own.counts] == days, name
