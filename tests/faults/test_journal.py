"""The journal: its chain, what it keeps and never keeps, doubts, rotation, several processes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import json
import lzma
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from piactl.core.journal_line import GENESIS, MAX_LINE
from piactl.core.plan.write import WriteState
from piactl.directory.store.run_records import read_run
from piactl.errors import JournalUnusable
from piactl.journal import (
    LineFilter,
    Settlement,
    in_doubt,
    read_lines,
    state_of_intent,
    verify,
    writer,
)
from piactl.journal.event_stream import EventStream
from piactl.journal.query import changes

from .journals import digest, intend, journal_path, make_journal

__all__ = ["digest", "intend", "journal_path", "make_journal"]  # fixtures

WRITER = Path(__file__).with_name("journal_writer.py")
ENV = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def one_run(journal, intend, *uids: str) -> tuple[int, str]:
    with journal:
        numbers = journal.intents([intend(uid) for uid in uids])
        journal.outcomes([Settlement(number, "applied") for number in numbers])
        return journal.end({"applied": len(uids)})


# --- the chain ---------------------------------------------------------------------------------------------


def test_every_line_names_the_one_before_and_its_own_hash(make_journal, intend, journal_path):
    head = one_run(make_journal(), intend, "a.b", "c.d")
    journal_lines = lines(journal_path)
    assert [line["type"] for line in journal_lines] == [
        "run",
        "intent",
        "intent",
        "outcome",
        "outcome",
        "end",
    ]
    previous = GENESIS.hash
    for number, line in enumerate(journal_lines, start=1):
        own = line.pop("hash")
        text = json.dumps(line, sort_keys=True, separators=(",", ":"))
        assert (line["seq"], line["prev"]) == (number, previous)
        assert own == hashlib.sha256(text.encode()).hexdigest()
        previous = own
    assert head == (6, previous)
    proof = verify(journal_path, {"run-1": head})
    assert (proof.ok, proof.lines, proof.first, proof.head) == (True, 6, 1, head)


def test_the_run_line_says_who_where_and_what(make_journal, journal_path):
    make_journal(sudo_user="lea.petit", command=("piactl", "account", "show", "20E9501234ABC")).begin()
    line = lines(journal_path)[0]
    expected = {
        "type": "run",
        "run": "run-1",
        "time": "2027-09-01T00:00:00.000Z",
        "user": "svc-piactl",
        "sudo_user": "lea.petit",
        "login": "",
        "origin": "cron",
        "host": "host.invalid",
        "pid": 4242,
        "as_of": "2027-09-01",
        "policy": "policy-fp",
        "clean": 1,
        "command": ["piactl", "account", "show", "20E**********"],
    }
    assert {name: line[name] for name in expected} == expected


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_files_and_folders_are_private_whatever_the_umask(make_journal, tmp_path, mask):
    old = os.umask(mask)
    try:
        make_journal(path=str(tmp_path / "new" / "deep" / "j")).begin()
    finally:
        os.umask(old)
    modes = {p.name: p.stat().st_mode & 0o7777 for p in (tmp_path / "new").rglob("*")}
    assert modes == {"deep": 0o700, "j": 0o600, "j.head": 0o600}
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o700


def test_two_processes_at_once_make_one_chain(journal_path):
    started = [
        subprocess.Popen(
            [sys.executable, WRITER, journal_path, name, "249", "1", "paced"],
            env=ENV,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    for process in started:  # neither ends before the other one writes
        assert process.stdout.readline() == "begun\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _out, error = process.communicate(timeout=100)
        assert (process.returncode, error) == (0, "")
    proof = verify(journal_path)
    assert (proof.problem, proof.lines, proof.torn) == (None, 1000, 0)
    runs = [line.run for line in read_lines(journal_path)]
    assert (runs.count("left"), runs.count("right")) == (500, 500)
    turns = sum(1 for a, b in itertools.pairwise(runs) if a != b)
    print(f"the two took turns {turns} times")
    assert turns >= 100, "the two did not run at the same time: nothing was shown"


# --- what it never keeps -----------------------------------------------------------------------------------


def test_values_are_kept_as_keyed_digests_only(make_journal, intend, digest, journal_path):
    write = intend(
        "lea.petit",
        op="modify",
        add={
            "sn": ("Pétit-Canari".encode(),),
            "userPassword": (b"canary-password",),
            "photo": (b"\xff\x00z",),
        },
        delete={"mail": (b"canary@ac-amiens.fr",), "SN": ()},
        reason="NUMEN 20E9501234ABC corrected",
    )
    with make_journal() as journal:
        (number,) = journal.intents([write])
        message = "sn: value Pétit-Canari of canary@ac-amiens.fr refused for lea.petit, 20e9501234abc"
        journal.outcomes([Settlement(number, "failed", message)])
        journal.note("about 20E9501234ABC")
    intent, outcome, note = lines(journal_path)[1:]
    assert intent["attributes"] == {
        "sn": {"added": [digest(f"{write.dn.lower()}\0sn\0P\u00c3\u00a9tit-Canari")], "removed": []},
        "userPassword": {"added": ["{secret}"], "removed": []},
        "photo": {"added": [digest(f"{write.dn.lower()}\0photo\0\u00ff\0z")], "removed": []},
        "mail": {"added": [], "removed": [digest(f"{write.dn.lower()}\0mail\0canary@ac-amiens.fr")]},
        "SN": {"added": [], "removed": []},
    }
    assert outcome["message"] == "sn: value [value] of [value] refused for lea.petit, 20E**********"
    assert note["text"] == "about 20E**********"
    text = Path(journal_path).read_text().lower()
    assert not [word for word in ("canar", "9501234abc", "hunter") if word in text]
    assert "canary" not in repr(write)


def test_an_intent_of_a_new_entry_keeps_shortened_digests(make_journal, intend, digest, journal_path):
    """24 bits per value, and the key only once: most lines of a journal are about such entries."""
    values = {"mail": (b"canary@ac-amiens.fr", b"x@ac-amiens.fr"), "userPassword": (b"canary-password",)}
    write, other = intend("lea.petit", op="add", add=values), intend("a.b", op="add", add={"sn": (b"B",)})
    with make_journal() as journal:
        journal.intents([write, intend("c.d"), other])
    line, _modified, last = lines(journal_path)[1:]
    digests = [
        digest(f"{write.dn.lower()}\0mail\0{local_part}@ac-amiens.fr") for local_part in ("canary", "x")
    ]
    key, *tags = digests[0][1:].partition("}")[0], *(value.partition("}")[2][:6] for value in digests)
    of_other = digest(f"{other.dn.lower()}\0sn\0B").partition("}")[2][:6]
    assert (line["key"], last["key"]) == (key, key)
    assert line["attributes"] == {"mail": " ".join(tags), "userPassword": "{secret}"}
    assert last["attributes"] == {"sn": of_other}
    first, second, third = in_doubt(journal_path)
    assert first.added == {"mail": tuple(f"{{{key}}}{tag}" for tag in tags), "userPassword": ("{secret}",)}
    assert (list(second.added), third.added) == (["eduPersonEntitlement"], {"sn": (f"{{{key}}}{of_other}",)})
    assert [change.attributes for change in changes(journal_path)] == [
        ("mail", "userPassword"),
        ("eduPersonEntitlement",),
        ("sn",),
    ]
    assert verify(journal_path).ok


def test_an_added_entry_without_values_is_journalled_and_read(make_journal, intend, journal_path):
    """Applying a plan without another person's approval is journalled like this."""
    with make_journal() as journal:
        journal.intents([intend("a.b", op="add", add={"sn": (b"B",)}), intend("c.d", op="add", add={})])
        journal.intents([intend("e.f", op="add", add={})])
    assert [change.attributes for change in changes(journal_path)] == [("sn",), (), ()]
    assert [list(intent.added) for intent in in_doubt(journal_path)] == [["sn"], [], []]


def test_equal_values_of_two_people_do_not_look_equal(make_journal, intend, journal_path):
    with make_journal() as journal:
        journal.intents([intend("a.b"), intend("c.d")])
    digests = [line["attributes"]["eduPersonEntitlement"]["added"][0] for line in lines(journal_path)[1:]]
    assert len(set(digests)) == 2


def test_a_line_too_long_to_be_read_back_is_not_written(make_journal, intend, journal_path):
    journal = make_journal()
    journal.begin()
    before = Path(journal_path).read_bytes()
    with pytest.raises(JournalUnusable, match="longer than"):
        journal.intents([intend("a.b", reason="x" * MAX_LINE)])
    assert Path(journal_path).read_bytes() == before


# --- doubts ------------------------------------------------------------------------------------------------


def test_intents_without_outcome_are_in_doubt_once_their_run_is_gone(make_journal, intend, journal_path):
    assert in_doubt(journal_path) == []
    one_run(make_journal("old"), intend, "a.b")
    dying = make_journal("dying")
    dying.begin()
    first, second, third = dying.intents([intend("c.d"), intend("e.f", op="add"), intend("g.h")])
    dying.outcomes([Settlement(second, "applied")])
    assert in_doubt(journal_path) == [], "a run that is alive is at work on its own"
    dying.close()
    assert [(i.seq, i.uid) for i in in_doubt(journal_path)] == [(first, "c.d"), (third, "g.h")]

    heir = make_journal("heir")
    heir.begin()
    assert lines(journal_path)[-1]["clean"] == first
    heir.resolved([Settlement(first, "applied"), Settlement(third, "applied")])
    heir.end({})
    assert lines(journal_path)[-1]["clean"] == first
    heir.close()
    assert in_doubt(journal_path) == []
    one_run(make_journal("next"), intend, "a.b")
    assert lines(journal_path)[-1]["clean"] == lines(journal_path)[-1]["seq"]


@pytest.mark.parametrize("seed", range(2))
def test_what_a_run_calls_settled_is_what_the_whole_file_shows(make_journal, intend, journal_path, seed):
    """Random runs beside and after each other, some of which die: what a `run` line calls settled is what
    reading the whole file finds at that moment. An `end` line says no more than that."""
    chance = random.Random(seed)
    alive: list[list] = []
    for number in range(60):
        if not alive or chance.random() < 0.15:
            journal = make_journal(f"run-{number}")
            journal.begin()
            assert lines(journal_path)[-1]["clean"] == settled_below(journal_path)
            alive.append([journal, []])
        journal, mine = run = chance.choice(alive)
        step = chance.choice(["intents", "intents", "outcomes", "note", "resolved", "end", "die"])
        if step == "intents":
            mine += journal.intents([intend(f"a.b{index}") for index in range(chance.randint(1, 3))])
        elif step == "outcomes":
            chance.shuffle(mine)
            done = [mine.pop() for _ in range(chance.randint(0, len(mine)))]
            journal.outcomes([Settlement(intent, "applied") for intent in done])
        elif step == "note":
            journal.note("a word")
        elif step == "resolved":
            doubts = [intent.seq for intent in in_doubt(journal_path)]
            journal.resolved([Settlement(intent, "failed") for intent in doubts])
        else:
            if step == "end":
                journal.end({})
                assert lines(journal_path)[-1]["clean"] <= settled_below(journal_path)
            journal.close()
            alive.remove(run)


def settled_below(path: str) -> int:
    """The number below which every intent in the file is settled."""
    journal_lines = lines(path)[:-1]
    settled = {line["intent"] for line in journal_lines if line["type"] in ("outcome", "resolved")}
    return next(
        (line["seq"] for line in journal_lines if line["type"] == "intent" and line["seq"] not in settled),
        len(journal_lines) + 1,
    )


def test_a_doubt_is_found_behind_later_clean_runs(make_journal, intend, journal_path):
    dying = make_journal("dying")
    dying.begin()
    dying.intents([intend("a.b")])
    dying.close()
    for number in range(5):
        one_run(make_journal(f"later-{number}"), intend, "c.d")
    assert [i.uid for i in in_doubt(journal_path)] == ["a.b"]


def test_finding_doubts_does_not_read_what_was_settled_before(make_journal, intend, journal_path):
    one_run(make_journal("old"), intend, *(f"a.{i}" for i in range(1500)))
    dying = make_journal("dying")
    dying.begin()
    dying.intents([intend("c.d")])
    dying.close()
    text = Path(journal_path).read_bytes()
    middle = len(text) // 2
    Path(journal_path).write_bytes(text[:middle] + b"\n#\n" + text[middle + 3 :])
    assert [i.uid for i in in_doubt(journal_path)] == ["c.d"]
    assert not verify(journal_path).ok


URN, OTHER = b"urn:mace:ac-amiens.fr:service:iprof", b"urn:mace:ac-amiens.fr:service:messagerie"


@pytest.mark.parametrize(
    ("op", "added", "removed", "present", "expected"),
    [
        ("add", [URN], [], None, WriteState.NOT_MADE),
        ("add", [URN], [], [URN, OTHER], WriteState.MADE),
        ("add", [URN], [], [OTHER], WriteState.CHANGED),
        ("delete", [], [URN], None, WriteState.MADE),
        ("delete", [], [URN], [URN], WriteState.NOT_MADE),
        ("delete", [], [URN], [OTHER], WriteState.CHANGED),
        ("modify", [URN], [OTHER], [URN], WriteState.MADE),
        ("modify", [URN], [OTHER], [OTHER], WriteState.NOT_MADE),
        ("modify", [URN], [OTHER], [URN, OTHER], WriteState.CHANGED),
        ("modify", [URN], [OTHER], [], WriteState.CHANGED),
        ("modify", [URN], [OTHER], None, WriteState.CHANGED),
        ("modify", [], [OTHER], [], WriteState.MADE),
        ("modify", [], [OTHER], [OTHER], WriteState.NOT_MADE),
        ("modify", [URN], [], [], WriteState.NOT_MADE),
        ("modify", [], [], [], WriteState.UNKNOWN),
    ],
)
def test_the_values_of_an_entry_tell_whether_an_intent_was_done(
    make_journal, intend, digest, journal_path, op, added, removed, present, expected
):
    name = "eduPersonEntitlement"
    sides = {
        "add": {name: tuple(added), "userPassword": (b"not compared",)},
        "delete": {name: tuple(removed)},
    }
    with make_journal() as journal:
        journal.intents([intend("a.b", op=op, **sides)])
    (intent,) = in_doubt(journal_path)
    values = None if present is None else {"EDUPERSONENTITLEMENT": present, "cn": [b"A B"]}
    outcome = state_of_intent(intent, values, lambda text: [digest("another key" + text), digest(text)])
    assert outcome is expected
    if present:
        lost = state_of_intent(intent, values, lambda text: [digest("another key" + text)])
        assert lost is not WriteState.NOT_MADE or not removed


# --- rotation ----------------------------------------------------------------------------------------------


def test_the_chain_goes_on_when_the_file_was_rotated_away(make_journal, intend, journal_path):
    first = one_run(make_journal("one"), intend, "a.b")
    Path(journal_path).rename(journal_path + ".1")
    second = one_run(make_journal("two"), intend, "c.d")
    begins = lines(journal_path)[0]
    assert (begins["type"], begins["after"]) == ("continued", {"seq": first.seq, "hash": first.hash})
    assert (begins["seq"], begins["prev"]) == (first.seq + 1, first.hash)
    Path(journal_path + ".1").rename(journal_path + ".2")
    Path(journal_path).rename(journal_path + ".1")
    Path(journal_path + ".2.gz").write_bytes(gzip.compress(Path(journal_path + ".2").read_bytes()))
    Path(journal_path + ".2").unlink()
    Path(journal_path).touch(0o600)  # as `create` of logrotate does
    third = one_run(make_journal("three"), intend, "e.f")
    proof = verify(journal_path, {"one": first, "two": second, "three": third})
    assert (proof.problem, proof.first, proof.lines) == (None, 1, third.seq)
    assert [line.seq for line in read_lines(journal_path)] == list(range(1, third.seq + 1))

    Path(journal_path + ".1").unlink()
    gone = verify(journal_path, {"three": third})
    assert str(gone.problem) == (
        f"{journal_path}:1: has number {second.seq + 1} where {first.seq + 1} is due: "
        f"lines {first.seq + 1} to {second.seq} are missing before it"
    )
    Path(journal_path + ".2.gz").unlink()
    pruned = verify(journal_path, {"one": first, "three": third})
    assert (pruned.problem, pruned.first, pruned.uncovered) == (None, second.seq + 1, ("one",))


def test_a_running_process_notices_that_the_file_was_rotated_away(make_journal, intend, journal_path):
    with make_journal() as journal:
        (number,) = journal.intents([intend("a.b")])
        Path(journal_path).rename(journal_path + "-20270901")
        journal.outcomes([Settlement(number, "applied")])
        journal.end({})
    assert [line["type"] for line in lines(journal_path)] == ["continued", "outcome", "end"]
    assert verify(journal_path).ok
    assert in_doubt(journal_path) == []


def test_a_copy_and_a_cut_while_a_run_writes_lose_only_lines_in_between(make_journal, intend, journal_path):
    """As `copytruncate` of logrotate does, which the pages forbid: verify names the lines that it lost."""
    path, copy = Path(journal_path), Path(journal_path + ".1")
    with make_journal() as journal:
        journal.intents([intend("a.b")])
        copy.write_bytes(path.read_bytes())
        os.truncate(path, 0)
        journal.intents([intend("c.d")])
        assert verify(journal_path).ok
        Path(journal_path + ".2").write_bytes(copy.read_bytes())
        copy.write_bytes(path.read_bytes())
        journal.intents([intend("e.f")])
        os.truncate(path, 0)
        journal.end({})
    assert "line 5 is missing before it" in str(verify(journal_path).problem)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_doubt_in_a_rotated_file_is_found(make_journal, intend, journal_path, compressed):
    dying = make_journal("dying")
    dying.begin()
    dying.intents([intend("a.b")])
    dying.close()
    if compressed:
        Path(journal_path + ".1.gz").write_bytes(gzip.compress(Path(journal_path).read_bytes()))
        Path(journal_path).unlink()
    else:
        Path(journal_path).rename(journal_path + ".1")
    assert [i.uid for i in in_doubt(journal_path)] == ["a.b"]
    one_run(make_journal("later"), intend, "c.d")
    assert [i.uid for i in in_doubt(journal_path)] == ["a.b"]
    assert lines(journal_path)[-1]["clean"] == 2


@pytest.mark.parametrize(("ending", "form"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_a_damaged_compressed_file_is_reported_and_stops_a_new_run(
    make_journal, intend, journal_path, ending, form
):
    one_run(make_journal("one"), intend, "a.b")
    packed = form.compress(Path(journal_path).read_bytes())
    Path(journal_path).unlink()
    Path(f"{journal_path}.1.{ending}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(JournalUnusable, match="cannot be decompressed"):
        make_journal("blind").begin()  # what is in doubt cannot be known
    assert "cannot be decompressed" in str(verify(journal_path).problem)
    with pytest.raises(JournalUnusable, match="cannot be decompressed"):
        list(read_lines(journal_path))


# --- reading -----------------------------------------------------------------------------------------------


def test_reading_the_lines_of_one_account(make_journal, intend, journal_path):
    assert list(read_lines(journal_path)) == []
    one_run(make_journal("one"), intend, "a.b", "c.d")
    one_run(make_journal("two"), intend, "c.d")
    assert [line.seq for line in read_lines(journal_path)] == list(range(1, 11))
    assert [line.seq for line in read_lines(journal_path, "c.d")] == [3, 5, 8, 9]


def test_a_period_begins_in_the_file_that_has_its_first_line(make_journal, intend, journal_path):
    """Older files are not even read."""
    one_run(make_journal("one"), intend, "a.b")
    Path(journal_path).rename(journal_path + "-20270901")
    one_run(make_journal("two"), intend, "c.d")
    Path(journal_path).rename(journal_path + "-20270902")
    one_run(make_journal("three"), intend, "e.f")
    times = {line.run: datetime.fromisoformat(line.time) for line in read_lines(journal_path)}
    old = Path(journal_path + "-20270901")
    old.write_bytes(old.read_bytes()[:-20] + b"\n#\n")

    def found(since: datetime) -> list[str]:
        return [change.uid for change in changes(journal_path, LineFilter(since=since))]

    assert found(times["two"]) == ["e.f"]
    assert found(times["two"] - timedelta(seconds=3)) == ["c.d", "e.f"]
    with pytest.raises(JournalUnusable, match="20270901"):
        found(times["one"] - timedelta(days=1))


def test_the_former_word_for_an_outcome_is_read_as_the_present_one(
    make_journal, intend, journal_path, monkeypatch
):
    """Version 0.2.0 wrote `already so` instead of `unchanged` into journals and records of runs."""
    monkeypatch.setattr(writer, "OUTCOMES", ("already so",))
    facts = {"effective": {"grant": "2027-09-01"}}
    with make_journal("one", facts=lambda _write: facts) as journal:
        (intent,) = journal.intents([intend("a.b")])
        journal.outcomes([Settlement(intent, "already so")])
        journal.end({"already so": 1})
    assert b'"already so"' in Path(journal_path).read_bytes()
    assert verify(journal_path).problem is None
    assert [change.outcome for change in changes(journal_path)] == ["unchanged"]
    assert [event.uid for event in EventStream(journal_path, None).new()] == ["a.b"]
    record = {"run": "one", "status": "done", "started": "2027-09-01T00:00:00+00:00"}
    counts = {"already so": 2, "applied": 1}
    assert read_run({**record, "outcomes": counts})["outcomes"] == {"unchanged": 2, "applied": 1}


def test_reading_stops_at_a_bad_line_and_ignores_an_unfinished_one(make_journal, intend, journal_path):
    one_run(make_journal("one"), intend, "a.b")
    text = Path(journal_path).read_bytes()
    Path(journal_path).write_bytes(text + b'{"half')
    assert len(list(read_lines(journal_path))) == 4
    Path(journal_path).write_bytes(text.replace(b"\n", b"\n#\n", 1))
    with pytest.raises(JournalUnusable, match=r"piactl\.jsonl:2: a line is not JSON"):
        list(read_lines(journal_path))
