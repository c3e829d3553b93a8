"""The second reading of a feed reads only the rows that a run needs, and finds what a full one finds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed import reader
from piactl.feed.fingerprints import Skipped, digest_lines
from piactl.feed.reader import read_feed

HEADER = "matricule;nom_famille;prenom;uai;fonction;debut\n"
ROWS = [f"{n:04};Noé {n};Ada;0800009A;ENS;2026-09-01\n" for n in range(9)]
BODY = HEADER + "".join(ROWS) + ";Nom\n"
TRAILER = f"#FIN;rows=10;date=2026-09-01;sha256={hashlib.sha256(BODY.encode()).hexdigest()}\n"
SOURCE = SourceSettings("rh")
NEEDED = "0004"


def skipping(path: Path) -> Skipped:
    lines = digest_lines(path, SOURCE, b"k")
    assert lines is not None
    return Skipped(lines, {row[:4] for row in ROWS} - {NEEDED})


def found(path: Path, skipped: Skipped | None) -> object:
    try:
        feed = read_feed(path, SOURCE, skipped)
    except FeedRefused as refused:
        return refused.refusals
    return feed.facts, feed.rejections, dict(feed.raw_lines), feed.people[NEEDED]


@pytest.mark.parametrize(
    "text",
    [
        BODY + TRAILER,
        BODY + TRAILER.replace("=10", "=11"),
        BODY + TRAILER.replace("sha256=", "sha256=0")[:-2] + "\n",
        BODY + TRAILER + ROWS[0] + TRAILER,
        BODY + "#FIN;rows=\n",
        BODY + ROWS[8].strip(),
        HEADER + ROWS[0] + BODY,
    ],
    ids=["whole", "count", "digest", "after", "trailer", "cut", "header"],
)
def test_reading_only_the_needed_rows_gives_the_same_result(text: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(text, encoding="utf-8")
    assert found(path, skipping(path)) == found(path, None)


def test_only_the_rows_that_are_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, parsed = tmp_path / "feed.csv", list[bytes]()
    path.write_text(BODY + TRAILER, encoding="utf-8")
    read = reader.RowValidator.read
    monkeypatch.setattr(
        reader.RowValidator, "read", lambda rows, raw: (parsed.append(raw), read(rows, raw))[1]
    )
    read_feed(path, SOURCE, skipping(path))
    assert [raw.decode() for raw in parsed] == [ROWS[4].strip(), ";Nom"]


@pytest.mark.parametrize(
    ("was", "is_now"), [("0004;Noé", "0004;Léa"), ("0001;Noé", "0001;Léa"), ("\n;N", "\n;P")]
)
@pytest.mark.parametrize("hidden", [False, True])
def test_a_feed_that_changed_since_the_first_reading_is_refused(
    was: str, is_now: str, hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(BODY + TRAILER, encoding="utf-8")
    skipped = skipping(path)
    path.write_text((BODY + TRAILER).replace(was, is_now), encoding="utf-8")
    if hidden and not was.startswith("0001"):  # rows that are read are compared with their digests too
        monkeypatch.setattr(reader.OpenFeed, "state", lambda _opened: skipped.lines.state)
    with pytest.raises(FeedRefused) as refused:
        read_feed(path, SOURCE, skipped)
    assert [code for code, _ in refused.value.refusals] == ["changed"]


def test_a_feed_that_was_touched_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(BODY + TRAILER, encoding="utf-8")
    skipped = skipping(path)
    os.utime(path, (0, 0))
    assert found(path, skipped) == found(path, None)
