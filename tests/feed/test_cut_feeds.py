"""A feed is cut at every byte and broken in every row: nobody vanishes without notice."""

from __future__ import annotations

import random

import pytest

from piactl.errors import FeedRefused
from piactl.feed.header import COLUMNS


def test_a_feed_with_a_trailer_cut_at_any_byte_loses_nobody(sample, read):
    content = sample.with_trailer(sample.text(*sample.four()).encode(), 5, sha256=True)
    people = read(content, trailer=True).people
    passed = []
    for size in range(len(content)):
        try:
            feed = read(content[:size], trailer=True)
        except FeedRefused:
            continue
        passed.append(size)
        assert feed.people == people
    digest = len(";sha256=") + 64
    # Without its line end or its digest, the trailer still confirms every row.
    assert passed == [len(content) - 1 - digest, len(content) - digest, len(content) - 1]


def test_a_feed_without_a_trailer_passes_only_if_cut_between_lines(sample, read):
    content = sample.text(*sample.four()).encode()
    ends = {i + 1 for i, byte in enumerate(content) if byte == 10}
    for size in range(len(content)):
        try:
            feed = read(content[:size])
        except FeedRefused:
            continue
        # Only a cut between two lines can pass; the limits of the source find it.
        assert size in ends
        assert feed.facts.rows == content[:size].count(b"\n") - 1
        ends.remove(size)
    assert ends == {len(content), len(sample.header) + 1}


BREAKS = {
    "garbage": lambda row: "§$%&/()=?",
    "emptied": lambda row: "",
    "delimiter removed": lambda row: row.replace(";", "", 1),
    "middle delimiter removed": lambda row: ";".join(row.split(";")[:8]) + ";".join(row.split(";")[8:]),
    "delimiter added": lambda row: row.replace(";", ";;", 1),
    "delimiter added at the end": lambda row: row + ";",
    "delimiter added at the beginning": lambda row: ";" + row,
    "bad date": lambda row: row.replace("01/09/2026", "31/09/2026"),
    "wrong UAI letter": lambda row: (
        row.replace("0800009A", "0800009B").replace("0800010B", "0800010A").replace("0800002T", "0800002A")
    ),
    "NUL": lambda row: row.replace("553", "5\0003"),
    "truncated": lambda row: row[: len(row) // 2],
    "truncated in the matricule": lambda row: row[:2],
    "reversed": lambda row: row[::-1],
    "blanked matricule": lambda row: row[4:],
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_row_affects_no_other_person(kind, sample, read):
    rows = sample.four()
    intact = read(sample.text(*rows))
    for place, row in enumerate(rows):
        broken = [*rows[:place], BREAKS[kind](row), *rows[place + 1 :]]
        assert broken != rows
        feed = read(sample.text(*broken))
        owner = row[:4]
        others = {m: p for m, p in feed.people.items() if m != owner}
        assert others == {m: intact.people[m] for m in others}
        if owner in feed.people:
            # They have another row; the broken one belongs to nobody, so every absence is held.
            assert feed.facts.unattributed > 0
            assert set(feed.people[owner].assignments) < set(intact.people[owner].assignments)
        else:
            assert owner in feed.held or feed.facts.unattributed > 0
        assert feed.present | {owner} >= set(intact.people)
        assert place + 2 in feed.raw_lines


def test_shuffled_rows_and_columns_give_the_same_people(sample, read):
    rows = sample.four()
    expected = read(sample.text(*rows)).people
    chance = random.Random(20260901)
    for _ in range(30):
        order = list(range(len(COLUMNS)))
        chance.shuffle(order)
        lines = chance.sample(rows, len(rows))
        shuffled = [";".join(line.split(";")[i] for i in order) for line in (sample.header.upper(), *lines)]
        people = read(sample.text(*shuffled[1:], header=shuffled[0])).people
        assert people.keys() == expected.keys()
        for matricule, person in people.items():
            assert set(person.assignments) == set(expected[matricule].assignments)
            assert person.numen == expected[matricule].numen
            assert (person.family_name, person.given_name) == (
                expected[matricule].family_name,
                expected[matricule].given_name,
            )
