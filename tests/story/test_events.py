"""`events`: every change that was made comes at least once, despite kills; no id is ever used again."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections import Counter
from pathlib import Path
from threading import Timer
from typing import Any

import jsonschema
import pytest

from .academy import Academy
from .feeds import row
from .killed import killed_at_calls_of, killed_by

SCHEMA = Path(__file__).parents[2] / "schemas" / "json" / "events.schema.json"
DAY = "2026-09-01"
WHY = ("--reason", "appel du proviseur", "--as-of", DAY)
KILLER = killed_at_calls_of("runs.event_facts", "write_ahead.Settlement")


@pytest.fixture
def school(academy: Academy) -> Academy:
    rows = [row(matricule=str(n), prenom=f"P{'abcdef'[n]}ul", debut=DAY) for n in range(6)]
    academy.night(DAY, academy.feed(*rows, day=DAY))
    return academy


def events_of(academy: Academy, *words: str) -> list[dict[str, Any]]:
    ran = academy.run("events", *words, "-o", "ndjson")
    assert ran.code == 0, ran.err
    records = [json.loads(line) for line in ran.out.splitlines()]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for document in (records, *records):  # the array of -o json, and each line
        jsonschema.validate(document, schema)
    return records


def journal(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def test_a_record_says_what_changed(school: Academy) -> None:
    created = events_of(school)
    assert school.run("events", "-o", "json").json == created
    assert [event["kind"] for event in created] == ["create"] * 6
    first = created[0]
    assert first["state"] == "active"
    assert first["address"] == {"old": None, "new": f"{first['uid']}@ac-amiens.fr"}
    assert "messagerie" in first["services"]["added"]
    assert "livret:0800009A" in first["services"]["added"]
    assert first["effective"] == DAY

    uid = first["uid"]
    assert (
        school.run("account", "rename", uid, "--usage-name", "Roy", "--until", "2026-12-01", *WHY, "-y").code
        == 0
    )
    assert school.run("account", "lock", uid, *WHY, "-y").code == 0
    later = events_of(school, "--since", created[-1]["id"])
    assert Counter(event["kind"] for event in later) == {"rename": 1, "update": 2, "lock": 1}
    renamed, locked = (next(event for event in later if event["kind"] == kind) for kind in ("rename", "lock"))
    assert renamed["address"]["old"] == first["address"]["new"]
    assert renamed["address"]["new"].endswith(".roy@ac-amiens.fr")
    assert locked["state"] is None
    assert events_of(school, "--since", later[-1]["id"]) == []
    assert events_of(school, "--since", later[1]["id"]) == later[2:]


def test_other_forms_have_one_row_for_each_event(school: Academy) -> None:
    lines = school.run("events", "-o", "tsv").out.splitlines()
    assert lines[0].split("\t")[:4] == ["id", "at", "kind", "uid"]
    assert len(lines) == 7
    assert school.run("events", "--follow", "-o", "json").code == 2


def test_passwords_dry_runs_and_empty_nights_make_no_event(school: Academy) -> None:
    last = events_of(school)[-1]["id"]
    uid = events_of(school)[0]["uid"]
    file = school.folder / "passwords"
    words = ("--administrator", "--reason", "arrivée", "--out", file, "-y")
    assert school.run("password", "activate", uid, *words).code == 0
    assert school.run("account", "lock", uid, *WHY, "--dry-run").code == 0
    assert school.night("2026-09-02").json["summary"] == {}
    assert events_of(school, "--since", last) == []


@pytest.mark.parametrize("number", [1, 3, 6, 9, 12])
def test_a_kill_loses_no_event(academy: Academy, number: int) -> None:
    """A night for six people is killed at each intent and before each outcome."""
    rows = [row(matricule=str(n), prenom=f"P{'abcdef'[n]}ul", debut=DAY) for n in range(6)]
    feed = academy.feed(*rows, day=DAY)
    words = ("--config", str(academy.sandbox.config), "nightly", str(feed), "--as-of", DAY)
    killed_by(KILLER, academy, str(number), *words)
    before = events_of(academy)
    academy.night(DAY, feed)
    after = events_of(academy, *(("--since", before[-1]["id"]) if before else ()))
    together = before + after
    assert together == events_of(academy)
    made = Counter((event["uid"], event["kind"]) for event in together)
    assert made == Counter((uid, "create") for uid in academy.names().values())
    assert len({event["id"] for event in together}) == 6


def test_rotated_files_are_read_too(school: Academy) -> None:
    every = events_of(school)
    path = journal(school)
    path.with_name(path.name + ".2.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert events_of(school, "--since", every[2]["id"]) == every[3:]
    assert school.run("account", "lock", every[0]["uid"], *WHY, "-y").code == 0
    assert [event["kind"] for event in events_of(school, "--since", every[4]["id"])] == [
        "create",
        "lock",
        "update",
    ]
    assert events_of(school)[:-2] == every


def test_a_cursor_before_a_removed_file_is_refused_and_one_after_it_goes_on(school: Academy) -> None:
    every = events_of(school)
    path = journal(school)
    first, last = every[0]["id"], every[-1]["id"]
    path.rename(path.with_name(path.name + ".1"))
    assert school.run("account", "lock", every[0]["uid"], *WHY, "-y").code == 0
    lock, update = events_of(school, "--since", last)
    path.with_name(path.name + ".1").unlink()
    assert events_of(school, "--since", lock["id"]) == [update]
    assert events_of(school) == [lock, update]
    ran = school.run("events", "--since", first, "-o", "ndjson")
    assert (ran.code, [*ran.json]) == (9, ["error"])
    assert "are not there any more: the files with them were removed" in ran.err


def test_a_cursor_of_another_journal_is_refused(school: Academy) -> None:
    every = events_of(school)
    number, _, hash_ = every[0]["id"].partition("-")
    other = f"{number}-{hash_[::-1] if hash_ != hash_[::-1] else '0' * 16}"
    assert school.run("events", "--since", other).code == 9
    ahead = f"{10**6}.1-{hash_}"
    ran = school.run("events", "--since", ahead)
    assert (ran.code, ran.out) == (9, "")
    assert "are of another journal" in ran.err
    assert school.run("events", "--since", "yesterday").code == 2


def test_follow_prints_new_events_across_a_journal_rotation(school: Academy) -> None:
    every = events_of(school)
    words = school.words("events", "--since", every[4]["id"], "--follow")
    with subprocess.Popen(
        words, env=school.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        end = Timer(60, following.kill)  # a missing event fails the test instead of blocking it
        end.start()
        assert json.loads(following.stdout.readline()) == every[5]
        assert school.run("account", "lock", every[0]["uid"], *WHY, "-y").code == 0
        kinds = [json.loads(following.stdout.readline())["kind"] for _ in range(2)]
        assert kinds == ["lock", "update"]
        path = journal(school)
        path.rename(path.with_name(path.name + ".1"))
        assert school.run("account", "unlock", every[0]["uid"], *WHY, "-y").code == 0
        kinds = [json.loads(following.stdout.readline())["kind"] for _ in range(2)]
        assert kinds == ["unlock", "update"]
        end.cancel()
        following.terminate()
        assert following.wait(30) == 0, following.stderr.read() if following.stderr else ""
