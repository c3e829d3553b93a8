"""Any bytes give a Feed or raise FeedRefused, and nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import feed_refusals
from piactl.errors import FeedRefused
from piactl.feed.error_codes import REFUSALS, REJECTIONS
from piactl.feed.feed_result import Feed
from piactl.feed.read_feed import read_feed
from piactl.feed.rejects_file import rejects_content

_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "cut", "swap", "repeat"]),
        st.integers(0, 5000),
        st.binary(max_size=6)
        | st.sampled_from(
            [b"\n", b"\r", b";", b'"', b"\0", b"#FIN", b"\xc3\xa9", b"\xe9", b"X", b"\xef\xbb\xbf"]
        ),
    ),
    max_size=8,
)
_SOURCES = st.builds(
    SourceSettings,
    name=st.just("epp"),
    full=st.booleans(),
    trailer=st.booleans(),
    encoding=st.sampled_from(["utf-8", "windows-1252", "iso-8859-15"]),
    delimiter=st.sampled_from(["", "", ";", ",", "\t"]),
)


def _edited(content: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, piece in edits:
        offset = place % (len(content) + 1)
        match kind:
            case "put":
                content = content[:offset] + piece + content[offset:]
            case "cut":
                content = content[:offset] + content[offset + len(piece) * 9 :]
            case "swap":
                content = content[:offset] + piece + content[offset + len(piece) :]
            case "repeat":
                content = content[:offset] + content[max(0, offset - 40) :]
    return content


def _hold_the_promises(path: Path, content: bytes, source: SourceSettings) -> Feed | None:
    path.write_bytes(content)
    try:
        feed = read_feed(path, source)
    except FeedRefused as error:
        refusals = error.refusals
        feed = None
    else:
        refusals = ()
    if feed is None:
        assert refusals
        assert {code for code, _ in refusals} <= set(REFUSALS)
        return None
    assert {r.code for r in feed.rejections} <= set(REJECTIONS)
    assert not set(feed.people) & set(feed.held)
    assert {r.matricule for r in feed.rejections} - {None} == set(feed.held)
    assert {r.line for r in feed.rejections} <= set(feed.raw_lines)
    assert all(content.count(raw) for raw in feed.raw_lines.values())
    assert all(person.assignments for person in feed.people.values())
    assert feed.facts.rows > 0
    feed_refusals(feed.facts, None, 0, 0, source, date(2026, 9, 1))
    if feed.raw_lines:
        path.write_bytes(rejects_content(feed))
        try:
            again = read_feed(path, source)
        except FeedRefused:
            return feed
        assert not again.facts.full
        assert set(again.people) <= set(feed.held)
    return feed


def _fuzz(sample, path: Path, examples: int) -> list[int]:
    complete = sample.with_trailer(sample.text(*sample.four()).encode(), 5)
    bare = sample.text(*sample.four()).encode()
    counts = [0, 0]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.sampled_from([complete, bare, b""]), _EDITS, st.binary(max_size=200), _SOURCES)
    def run(start: bytes, edits: list[tuple[str, int, bytes]], tail: bytes, source: SourceSettings) -> None:
        content = _edited(start, edits) if start else tail
        counts[_hold_the_promises(path, content, source) is None] += 1

    run()
    return counts


def test_any_bytes_give_a_feed_or_a_refusal(sample, tmp_path):
    read, refused = _fuzz(sample, tmp_path / "epp-20260901.csv", 300)
    assert read > 10
    assert refused > 10


@pytest.mark.long
def test_many_random_files_give_a_feed_or_a_refusal(sample, tmp_path):
    read, refused = _fuzz(sample, tmp_path / "epp-20260901.csv", 100_000)
    print(f"{read} feeds read, {refused} refused")
    assert read + refused >= 100_000
    assert read > 1000
    assert refused > 1000
