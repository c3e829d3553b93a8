"""The plan as a file: it is read row by row in the layout in which it was written, as a whole in any other,
and never accepted if anything in it was changed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from piactl.cli.framework.configuration import open_configuration
from piactl.core.plan.plan import ReadyPlan
from piactl.errors import PiactlError, StalePlan
from piactl.planning.signed_plan_file import PlannedRows, StoredRows, plan_document, read_plan, store_rows

from .academy import Academy
from .feeds import crowd, row

DAY, NEXT = "2026-09-05", "2026-09-06"


@pytest.fixture
def feed(academy: Academy) -> Path:
    academy.night(DAY, academy.feed(*crowd(3), day=DAY))
    return academy.feed(row(), *crowd(5), day=NEXT)


@pytest.fixture
def plan(academy: Academy, feed: Path) -> Path:
    """The plan of a night that makes three accounts."""
    file = academy.folder / "plan.json"
    ran = academy.run("plan", feed, "--as-of", NEXT, "--out", file)
    assert ran.code == 0, ran.err
    return file


def read(academy: Academy, text: bytes) -> ReadyPlan:
    configuration = open_configuration(academy.sandbox.config)
    return read_plan(
        "plan.json", io.BytesIO(text), configuration.keys, Path(configuration.settings.state_folder)
    )


def content(text: bytes) -> Any:
    return {
        name: value
        for name, value in json.loads(text).items()
        if name not in ("fingerprint", "made_by", "signature")
    }


def test_the_file_is_json_with_each_row_on_a_line_of_its_own(academy: Academy, plan: Path) -> None:
    text = plan.read_bytes()
    document = json.loads(text)
    assert len(document["writes"]) == 3
    lines = [line.rstrip(b",") for line in text.split(b"\n")]
    canonical = {"ensure_ascii": False, "sort_keys": True, "separators": (",", ":")}
    for plan_row in (*document["changes"], *document["writes"]):
        assert json.dumps(plan_row, **canonical).encode() in lines
    canonical_text = json.dumps(content(text), **canonical).encode()
    assert hashlib.sha256(canonical_text).hexdigest() == document["fingerprint"]
    assert text.replace(b"\n", b"").startswith(canonical_text[:-1])


def test_a_plan_in_another_layout_is_the_same_plan(academy: Academy, plan: Path) -> None:
    as_written = read(academy, plan.read_bytes())
    assert isinstance(as_written.writes, PlannedRows)
    assert isinstance(as_written.writes.rows, StoredRows)
    document = json.loads(plan.read_bytes())
    layouts: tuple[Any, ...] = ({}, {"sort_keys": True}, {"separators": (",", ":")}, {"indent": 1})
    for layout in layouts:
        plan.write_text(json.dumps(document, **layout))
        other = read(academy, plan.read_bytes())
        assert other.fingerprint == as_written.fingerprint
        assert list(other.writes) == list(as_written.writes)
    assert academy.run("apply", plan).code == 0


def test_a_file_is_never_written_in_place_of_a_device_or_a_pipe(academy: Academy, feed: Path) -> None:
    """As root, `--out /dev/null` would put a file where the host has its device."""
    place = academy.folder / "null"
    os.mkfifo(place)
    for words in (
        ("plan", feed, "--as-of", NEXT),
        ("feed", "rejects", academy.feed("no row", day=NEXT)),
    ):
        ran = academy.run(*words, "--out", place)
        assert ran.code == 1, ran
        assert "is a device, a pipe or a socket: name an ordinary file" in ran.err
        assert place.is_fifo()
    assert [*academy.folder.glob(".null*")] == []


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.long)])
def test_an_inserted_line_break_leaves_the_plan_equal_or_invalid(
    academy: Academy, plan: Path, step: int
) -> None:
    text = plan.read_bytes()
    before = list(read(academy, text).writes)
    same = 0
    for place in range(0, len(text), step):
        try:
            ready = read(academy, text[:place] + b"\n" + text[place:])
        except StalePlan:
            continue
        same += 1
        assert list(ready.writes) == before
        assert list(plan_document(ready)["changes"]) == json.loads(text)["changes"]
    assert 0 < same < len(text)


@pytest.mark.parametrize("step", [73, pytest.param(1, marks=pytest.mark.long)])
def test_a_plan_of_which_any_byte_was_changed_is_refused(academy: Academy, plan: Path, step: int) -> None:
    text = plan.read_bytes()
    for place in range(0, len(text) - 1, step):
        for other in {b"]", b"x", bytes([text[place] ^ 1])} - {text[place : place + 1]}:
            with pytest.raises(StalePlan):
                read(academy, text[:place] + other + text[place + 1 :])
    for end in range(0, len(text) - 1, step):
        with pytest.raises(StalePlan):
            read(academy, text[:end])


def test_a_plan_with_removed_doubled_or_swapped_rows_is_refused(academy: Academy, plan: Path) -> None:
    lines = plan.read_bytes().split(b"\n")
    rows = [index for index, line in enumerate(lines) if line.startswith(b"{") and index]
    assert len(rows) == 6
    for index in rows:
        harmed = ([*lines[:index], *lines[index + 1 :]], [*lines[: index + 1], *lines[index:]])
        for harmed_lines in harmed:
            with pytest.raises(StalePlan):
                read(academy, b"\n".join(harmed_lines))
    first, second = rows[0], rows[1]
    lines[first], lines[second] = lines[second], lines[first]
    with pytest.raises(StalePlan):
        read(academy, b"\n".join(lines))


def test_a_plan_with_a_name_twice_is_refused(academy: Academy, plan: Path) -> None:
    """Other programs show the last value of such a name, and piactl would apply another one."""
    text = plan.read_bytes()
    document = json.loads(text)
    fake = {"changes": document["changes"][:1], "writes": [], "summary": {}, "basis": {}}
    doubled = [text[:-2] + b",%b}\n" % json.dumps({n: v}).encode()[1:-1] for n, v in fake.items()]
    doubled.append(text.replace(b'"basis":{', b'"changes":[],"basis":{', 1))
    doubled.append(text.replace(b'"basis":{', b'"basis":{"as_of":"2026-01-01",', 1))
    indented = json.dumps(document, indent=1).encode()
    doubled.append(b'{"changes": [],' + indented[1:])
    doubled.append(indented.replace(b'"uid":', b'"uid": "x", "uid":', 1))
    for edited in doubled:
        assert edited != text
        plan.write_bytes(edited)
        for command in ("apply", "plan show"):
            ran = academy.run(*command.split(), plan)
            assert ran.code == 1, (edited[:80], edited[-80:])
            assert "is not a plan of piactl" in ran.err
    plan.write_bytes(text)
    assert academy.run("apply", plan).code == 0


def test_a_plan_comes_through_a_pipe(academy: Academy, plan: Path) -> None:
    pipe = academy.folder / "pipe"
    os.mkfifo(pipe)
    if not os.fork():
        pipe.write_bytes(plan.read_bytes())
        os._exit(0)
    ran = academy.run("apply", pipe)
    os.wait()
    assert (ran.code, "3 applied" in ran.out) == (0, True), ran.err
    assert "already applied by run" in academy.run("apply", "-", stdin=plan.read_text()).err


def test_a_plan_leaves_no_temporary_file(academy: Academy, feed: Path, plan: Path) -> None:
    file = academy.folder / "again.json"
    assert academy.run("plan", feed, "--as-of", NEXT, "--out", file).code == 0
    ours, theirs = content(file.read_bytes()), content(plan.read_bytes())
    assert (ours["writes"], ours["changes"]) == (theirs["writes"], theirs["changes"])
    folder = academy.sandbox.folder / "state"
    before = {*folder.rglob("*")}
    assert academy.run("apply", file).code == 0
    # the plan is kept, and no temporary file with its lines
    kept_plan = folder / "plans" / f"{json.loads(file.read_bytes())['fingerprint'][:16]}.json"
    assert {*folder.rglob("*")} == {*before, kept_plan}
    assert academy.run("nightly", feed, "--as-of", "2026-09-07").out.endswith("nothing to do\n")


def test_stored_rows_are_read_back_unchanged(tmp_path: Path) -> None:
    chance = random.Random(7)
    texts = [json.dumps({"x": chance.randbytes(chance.randrange(9_000)).hex()}).encode() for _ in range(300)]
    rows = store_rows(tmp_path, texts)
    assert list(rows.texts()) == list(rows.texts()) == texts
    assert list(rows) == list(map(json.loads, texts))
    assert len(rows) == 300
    assert list(tmp_path.iterdir()) == []


@contextmanager
def no_file_longer_than(length: int) -> Iterator[None]:
    """Inside, as on a full disk, the system refuses longer files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def test_a_full_disk_is_reported_and_no_plan_is_printed(
    academy: Academy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = academy.feed(*crowd(20), day=DAY)
    monkeypatch.setattr("piactl.cli.main.take_limits", lambda: None)  # it would raise the limit again
    with no_file_longer_than(8_000):
        ran = academy.run("plan", feed, "--as-of", DAY)
    assert (ran.code, ran.out) == (1, "")
    assert "make room on that disk" in ran.err
    long_rows = (bytes(100_000) for _ in range(300))
    with no_file_longer_than(1_000_000), pytest.raises(PiactlError, match="make room"):
        store_rows(tmp_path, long_rows)
