"""A journal that lacks a line and has new hashes, made by a program with the rights of piactl's user: the
heads on the records of runs and in syslog show it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from piactl.core.journal_line import Head, journal_owner, read_anchor, sealed
from piactl.journal import who
from tests.directory.test_acl_matrix import hold_lock
from tests.story.academy import Academy, Ran
from tests.story.feeds import row

UID = "claire.dubreuil"
WHY = ("--reason", "ticket 4711")
NUMBERS = count()


def journal_of(academy: Academy) -> Path:
    return academy.sandbox.folder / "journal" / "piactl.jsonl"


def forge(path: Path, *, without: str) -> None:
    """Removes the intents of one kind with their outcomes, computes all hashes anew, and removes the head
    file: anyone who can write the journal can do this."""
    after, lines, numbers = Head(0, "0" * 64), [], {}
    gone: set[int] = set()
    for raw in path.read_bytes().splitlines():
        body: dict[str, Any] = {k: v for k, v in json.loads(raw).items() if k not in ("prev", "hash")}
        seq = body.pop("seq")
        if without in body.get("kinds", ()) or body.get("intent") in gone:
            gone.add(seq)
            continue
        for name in ("intent", "clean", "upto"):
            body |= {name: numbers.get(body[name], body[name])} if name in body else {}
        line, after = sealed(body, after)
        numbers[seq] = after.seq
        lines.append(line)
    assert gone, f"no {without} in the journal"
    path.write_bytes(b"".join(lines))
    path.with_name(f"{path.name}.head").unlink()


class Syslog:
    """A program that takes what is sent to syslog."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)
        self.lines: list[str] = []

    def taken(self) -> list[str]:
        """All lines until now, as rsyslog writes them."""
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self.lines
            priority, _, message = text.partition(">")
            assert priority == "<85", "authpriv.notice"
            self.lines.append(f"Sep  1 02:00:01 host {message}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(autouse=True)
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Syslog]:
    address = str(tmp_path / "log")
    monkeypatch.setattr("piactl.journal.syslog.SYSLOG", address)
    syslog = Syslog(address)
    yield syslog
    syslog.close()


@pytest.fixture
def locked(make_academy: Any, syslog: Syslog) -> Academy:
    """After a night and one act of the help desk, which the tests then remove from the journal."""
    academy: Academy = make_academy()
    academy.night("2026-09-01", academy.feed(row()))
    activate(academy)
    return academy


def activate(academy: Academy) -> Ran:
    """An act of the help desk, which has no record in the directory."""
    file = academy.folder / f"handed-out-{next(NUMBERS)}"
    ran = academy.run("password", "activate", UID, "--administrator", *WHY, "--out", file)
    assert ran.code == 0, ran
    return ran


def compared(academy: Academy, lines: list[str]) -> Ran:
    """`journal verify` with lines of syslog on stdin."""
    return academy.run("journal", "verify", "--syslog", "-", stdin="".join(f"{line}\n" for line in lines))


def test_each_writing_command_sends_its_head_to_syslog(locked: Academy, syslog: Syslog) -> None:
    heads = [read_anchor(line.rpartition("journal head ")[2]) for line in syslog.taken()]
    last = json.loads(journal_of(locked).read_bytes().splitlines()[-1])
    assert [head.owner for head in heads if head] == [journal_owner(who().user, who().host)] * 2
    assert heads[-1] is not None
    assert heads[-1].head == Head(last["seq"], last["hash"])
    ran = compared(locked, ["Sep  1 02:00:00 host cron[7]: (root) CMD", *syslog.taken()])
    assert (ran.code, "3 stored heads match" in ran.out) == (0, True), ran
    assert locked.run("account", "list", "-o", "ndjson").code == 0
    assert len(syslog.taken()) == 2, "a command that reads sends none"


def test_verify_says_that_only_syslog_has_the_head_of_an_act_of_the_help_desk(
    locked: Academy, syslog: Syslog
) -> None:
    ran = locked.run("journal", "verify")
    assert (ran.code, "1 stored head matches" in ran.out) == (0, True), ran
    assert "only syslog has the head of run" in ran.err
    ran = compared(locked, syslog.taken()[:1])
    assert (ran.code, "neither syslog nor the record of a run has a head" in ran.err) == (1, True), ran
    ran = compared(locked, ["Sep  1 02:00:00 host cron[7]: (root) CMD"])
    assert (ran.code, "there is no head of a journal in these lines" in ran.err) == (1, True), ran


def test_a_removed_act_of_the_help_desk_is_found_by_syslog(locked: Academy, syslog: Syslog) -> None:
    forge(journal_of(locked), without="password")
    for day in ("2026-09-02", "2026-09-03"):  # before and after the next night
        ran = compared(locked, syslog.taken())
        assert (ran.code, "the head in syslog of run" in ran.err) == (1, True), ran
        locked.run("nightly", locked.feed(row(), day=day), "--as-of", day, "--yes")


def test_a_removed_write_of_a_night_is_found_by_its_record(locked: Academy) -> None:
    forge(journal_of(locked), without="create")
    for day in ("2026-09-02", "2026-09-03"):  # before and after the next night
        verification = locked.run("journal", "verify")
        assert verification.code == 1
        assert "the head that" in verification.err or "anchors" in verification.err
        doctor = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}
        assert doctor["D09"]["result"] == "error"
        locked.run("nightly", locked.feed(row(), day=day), "--as-of", day, "--yes")


def test_a_recorded_run_without_a_line_is_found(locked: Academy) -> None:
    run = {"run": "20260902T010203-abcdef", "status": "done", "host": socket.gethostname()}
    first = json.loads(journal_of(locked).read_bytes().splitlines()[0])["time"]
    run["started"] = first.replace("Z", "+00:00")
    with locked.sandbox.root() as root:
        hold_lock(root, locked.sandbox.state)
        dn = f"cn={run['run']},ou=runs,{locked.sandbox.state}"
        root.add(dn, attributes={"objectClass": "piactlRecord", "piactlData": json.dumps(run)})
    verification = locked.run("journal", "verify")
    assert verification.code == 1
    assert f"run {run['run']}, recorded in the directory, has none" in verification.err


def test_a_forged_head_in_syslog_fails_verify_and_stops_no_night(locked: Academy, syslog: Syslog) -> None:
    """Anybody on the host can send one: a head of a missing line hides nothing. Lines with an impossible
    time, or of the journal of another host, are no heads of this journal."""
    owner = journal_owner(who().user, who().host)
    other = f"journal head 2026-09-01T00:00:00Z {owner}x r1 99999:{'0' * 64}"
    impossible = f"journal head 2026-02-30T00:00:00Z {owner} r1 99999:{'0' * 64}"
    ran = compared(locked, [*syslog.taken(), other, impossible])
    assert (ran.code, "3 stored heads match" in ran.out) == (0, True), ran
    lie = f"journal head 2026-09-01T00:00:00.000Z {owner} r1 {10**17}:{'0' * 64}"
    ran = compared(locked, [*syslog.taken(), lie])
    assert (ran.code, f"anchors {10**17}" in ran.err) == (1, True), ran
    locked.quiet_night("2026-09-02")


def test_heads_of_0_2_0_in_syslog_are_compared(locked: Academy, syslog: Syslog) -> None:
    lines = [f"{line} at ldapi:/// after 2026-08-31T00:00:00.000Z" for line in syslog.taken()]
    ran = compared(locked, lines)
    assert (ran.code, "3 stored heads match" in ran.out) == (0, True), ran


def test_without_syslog_a_command_goes_on_and_doctor_says_it(locked: Academy, syslog: Syslog) -> None:
    found = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}["D50"]
    assert found["result"] == "ok"
    syslog.close()
    activate(locked)
    found = {finding["id"]: finding for finding in locked.run("doctor", "-o", "json").json}["D50"]
    assert (found["result"], "syslog does not get the heads" in found["found"]) == ("warning", True)
