"""A night puts the rows of a feed into a table, reads those of the people that it evaluates, and finds what a
reading of all rows finds."""

from __future__ import annotations

import gc
import hashlib
import sys
import threading
from collections.abc import Container
from pathlib import Path

import pytest

from piactl.core.model.settings import SourceLimits, SourceSettings
from piactl.errors import FeedRefused
from piactl.feed import read_feed as reader
from piactl.feed.feed_rows_in_memory import RowTable
from piactl.feed.read_feed import FeedReader, read_feed, scan_feed
from piactl.host.private_files import nameless_database

HEADER = "matricule;nom_famille;prenom;uai;fonction;debut\n"
ROWS = [f"{n:04};Noé {n};Ada;0800009A;ENS;2026-09-01\n" for n in range(9)]
BODY = HEADER + "".join(ROWS) + ";Nom\n"
TRAILER = f"#FIN;rows=10;date=2026-09-01;sha256={hashlib.sha256(BODY.encode()).hexdigest()}\n"
SOURCE = SourceSettings("rh")
NEEDED = "0004"
KNOWN = {row[:4] for row in ROWS} - {NEEDED}


def scanned(
    path: Path, source: SourceSettings = SOURCE, known: Container[str] = (), key: bytes = b"k"
) -> tuple[FeedReader, RowTable]:
    """The feed once the rows of all people except the known ones are read. They are the batch too."""
    db = nameless_database(path.parent)
    table = RowTable(db, key)
    feed = scan_feed(path, source, table, 1)
    table.index([])
    people = [owner for owner in table.owners(1) if owner not in known]
    db.executemany("INSERT INTO wanted VALUES (?)", ((one,) for one in people))
    table.set_batch([*people, ""])
    for _ in feed.read_wanted():
        pass
    return feed, table


def found(path: Path, known: Container[str] | None) -> object:
    try:
        if known is None:
            whole = read_feed(path, SOURCE)
            return whole.facts, whole.rejections, dict(whole.raw_lines), whole.people[NEEDED], whole.remarks
        feed, _ = scanned(path, known=known)
        part, _ = feed.of_batch()
    except FeedRefused as refused:
        return refused.refusals
    remarks = feed.remarks(part.duplicates, part.unusual_numens)
    return feed.facts, part.rejections, dict(part.raw_lines), part.people[NEEDED], remarks


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
    assert found(path, KNOWN) == found(path, None)


def test_a_feed_that_changes_while_it_is_scanned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(BODY + TRAILER, encoding="utf-8")
    count = reader.RowValidator.count

    def written_meanwhile(rows: reader.RowValidator, raw: bytes) -> str:
        path.write_text((BODY + TRAILER).replace("0001;Noé", "0001;Léa"), encoding="utf-8")
        return count(rows, raw)

    monkeypatch.setattr(reader.RowValidator, "count", written_meanwhile)
    with pytest.raises(FeedRefused) as refused:
        scanned(path)
    assert [code for code, _ in refused.value.refusals] == ["changed"]


def digests(path: Path, key: bytes = b"k") -> dict[str, int]:
    _, table = scanned(path, key=key)
    query = "SELECT owner, sum(digest) FROM row WHERE owner <> '' GROUP BY owner"
    return dict(table._db.execute(query))


def test_the_digest_of_a_person_depends_on_their_rows_the_header_and_the_key(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(HEADER + "".join(ROWS), encoding="utf-8")
    other.write_text(HEADER + "".join(reversed(ROWS)), encoding="utf-8")
    assert digests(one) == digests(other)
    other.write_text(HEADER + "".join(ROWS[:8]) + ROWS[8].replace("ENS", "DIR"), encoding="utf-8")
    changed = {person for person, digest in digests(one).items() if digests(other)[person] != digest}
    assert changed == {"0008"}
    other.write_text(HEADER.replace("prenom", "Prenom") + "".join(ROWS), encoding="utf-8")
    assert digests(one).items().isdisjoint(digests(other).items())
    assert digests(one).items().isdisjoint(digests(one, b"other").items())


@pytest.mark.parametrize("limit", ["max_bytes", "max_rows"])
def test_nothing_is_scanned_beyond_the_limits(limit: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(BODY + TRAILER, encoding="utf-8")
    scanned(path)
    with pytest.raises(FeedRefused) as refused:
        scanned(path, SourceSettings("rh", limits=SourceLimits(**{limit: 1})))
    assert [code for code, _ in refused.value.refusals] == [limit.replace("max_", "too-many-")]


def test_a_database_without_a_name_is_removed_by_a_collection_in_any_thread(tmp_path: Path) -> None:
    """When Python collects what refers to itself is by chance: it may be while threads work."""
    failures: list[BaseException | None] = []
    ring: list[object] = [nameless_database(tmp_path)]
    ring.append(ring)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda failure: failures.append(failure.exc_value))
        del ring
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
    assert failures == []
