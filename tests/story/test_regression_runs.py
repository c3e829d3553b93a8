"""Regression tests for runs, their lock, their records and their plans."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from piactl.cli.framework import writing_command
from piactl.cli.framework.configuration import open_configuration
from piactl.directory.interfaces import Writer
from piactl.directory.open import open_writer
from piactl.errors import LockLost
from piactl.host import caller
from piactl.host.secret_files import identity_password
from piactl.planning import collect_evaluations as planning
from piactl.planning import evaluate
from piactl.runs.run_lock import LockHolder, RunLock

from .academy import Academy, Ran
from .feeds import row
from .killed import killed_at_calls_of, killed_by

DAY, NEXT = "2026-09-10", "2026-09-11"
CLAIRE = row()
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur")
RENAMED = row(nom_usage="Aubry")


def record(academy: Academy, name: str) -> Any:
    """A record below piactl's state entry; None if there is none."""
    entry = academy.sandbox.entry(f"{name},{academy.sandbox.state}")
    return json.loads(entry["piactlData"][0]) if entry else None


def runs(academy: Academy) -> list[dict[str, Any]]:
    """The runs, the latest first."""
    listed_runs: list[dict[str, Any]] = academy.run("runs", "list", "-o", "json").json
    return listed_runs


# The lock


@dataclass
class Leaps:
    """A clock that only moves when the test moves it."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at

    def on(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)


@contextmanager
def locks(academy: Academy) -> Iterator[tuple[Writer, RunLock, Leaps]]:
    """A held lock of 300 seconds, the clock that it uses, and a writer."""
    configuration = open_configuration(academy.sandbox.config)
    now = Leaps()
    holder = LockHolder("20260910T010203-abcdef", "other.example", 4242, 1, "piactl", "elsewhere")
    with open_writer(configuration.settings.directory, "nightly", identity_password) as writer:
        lock = RunLock(writer, configuration.settings.directory.state, holder, 300, now)
        lock.acquire(None)
        yield writer, lock, now


def expiry(academy: Academy) -> datetime:
    return datetime.fromisoformat(record(academy, "cn=lock")["expires"])


def test_an_expired_run_lock_that_nobody_took_can_be_renewed(academy: Academy) -> None:
    with locks(academy) as (_, lock, now):
        now.on(400)
        with pytest.raises(LockLost):
            lock.check()
        lock.keep()
        lock.check()
        assert expiry(academy) == now() + timedelta(seconds=300)


def test_a_plan_that_takes_long_renews_the_lock_meanwhile(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Leaps()
    expiries: list[datetime] = []
    hold, groups = evaluate.find_cases, planning.plan_groups

    def begun(*arguments: Any) -> None:
        expiries.append(expiry(academy))
        now.on(200)
        hold(*arguments)

    def ended(*arguments: Any) -> Any:
        expiries.append(expiry(academy))
        return groups(*arguments)

    monkeypatch.setattr(writing_command, "utc_now", now)
    monkeypatch.setattr(evaluate, "find_cases", begun)
    monkeypatch.setattr(planning, "plan_groups", ended)
    academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    assert expiries[1] - expiries[0] == timedelta(seconds=200)


def test_a_process_that_proc_hides_counts_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    began = caller.process_began(1)
    assert caller.is_alive(1, began)
    assert not caller.is_alive(1, began + 1)
    monkeypatch.setattr(caller, "read_process", lambda _pid: None)
    assert caller.is_alive(1, began)
    assert Path("/proc/self/ns/pid").readlink().name in caller.this_place()


def test_a_process_that_has_ended_does_not_count_as_alive() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        began = caller.process_began(process.pid)
        assert caller.is_alive(process.pid, began)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # only its exit code is left
        assert not caller.is_alive(process.pid, began)
    assert not caller.is_alive(process.pid, began)


# Records


def test_a_refused_feed_is_in_the_list_of_runs_with_its_reason(academy: Academy) -> None:
    academy.night(NEXT, academy.feed(CLAIRE, day=NEXT))
    academy.night(NEXT, academy.feed(CLAIRE, HUGO, day=DAY), code=6)
    last = runs(academy)[0]
    assert last["status"] == "refused"
    assert "it is dated 2026-09-10, but one dated 2026-09-11 has been applied" in last["note"]
    assert last["ended"]


def test_a_night_that_broke_a_guard_is_in_the_list_of_runs_with_its_reason(academy: Academy) -> None:
    academy.edit(
        "policy.yaml", "  create:     {floor: 20, share: 0.02}", "  create:     {max: 0, share: 0.02}"
    )
    academy.night("2026-10-10", academy.feed(CLAIRE, day=DAY))
    academy.night("2026-10-11", academy.feed(CLAIRE, HUGO, day=NEXT), code=4)
    last = runs(academy)[0]
    assert (last["status"], last["note"]) == ("refused", "1 guard is broken: create (1, 0 are allowed)")


def test_a_run_that_failed_early_is_in_the_list_with_its_reason(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    with academy.sandbox.root() as root:
        root.delete(f"ou=waiting,{academy.sandbox.state}")
    academy.night(NEXT, academy.feed(CLAIRE, day=NEXT), code=1)
    last = runs(academy)[0]
    assert last["status"] == "failed"
    assert "ou=waiting" in last["note"]


def killed(academy: Academy, *feeds: Path) -> None:
    """A run is killed before it writes its first account."""
    program = killed_at_calls_of("executor._write_accounts")
    killed_by(program, academy, "1", "nightly", *map(str, feeds), "--as-of", NEXT)


def test_a_night_without_a_feed_after_a_killed_run_puts_a_changed_entry_right(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, HUGO, day=DAY))
    killed(academy, academy.feed(RENAMED, HUGO, day=NEXT))
    # such as at an entry without a due date
    academy.change("hugo.vasseur", displayName=["H."])
    academy.night(NEXT)
    assert academy.values("hugo.vasseur", "displayName") == ["Hugo Vasseur"]


def test_a_run_that_was_killed_is_not_listed_as_running_for_ever(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    feed = academy.feed(RENAMED, day=NEXT)
    killed(academy, feed)
    assert runs(academy)[0]["status"] == "running"
    ran = academy.night(NEXT)
    assert f"was interrupted; apply its feeds again: {feed.name}" in ran.err
    assert [run["status"] for run in runs(academy)] == ["done", "interrupted", "done"]
    assert "whose process on this host has ended" in runs(academy)[1]["note"]


def test_a_damaged_record_of_a_source_before_the_first_night_is_replaced(academy: Academy) -> None:
    dn = f"cn=hr,ou=sources,{academy.sandbox.state}"
    academy.sandbox.add(dn, {"objectClass": ["piactlRecord"], "piactlData": ["rubbish"]})
    ran = academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    assert f"{dn}: the record " in ran.err
    assert "restore the entry, or delete it" in ran.err
    assert record(academy, "cn=hr,ou=sources")["source"] == "hr"


# Plans


def planned(academy: Academy) -> Path:
    academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    file = academy.folder / "plan.json"
    academy.plan(academy.feed(RENAMED, day=NEXT), "--as-of", NEXT, "--out", file)
    return file


def refused(academy: Academy, file: Path) -> Ran:
    """Checks that `apply` of the plan fails, writes nothing, and that its record says why."""
    with academy.nothing_written():
        ran = academy.run("apply", file)
    assert ran.code == 1, ran.err
    assert runs(academy)[0]["status"] == "refused"
    assert runs(academy)[0]["note"] in ran.err
    return ran


def test_a_plan_is_stale_after_the_register_changed(academy: Academy) -> None:
    file = planned(academy)
    register = academy.sandbox.folder / "establishments.csv"
    register.write_bytes(register.read_bytes() + b"\n")
    assert "the establishment register has changed since the plan was made" in refused(academy, file).err


def test_yesterdays_plan_is_stale_today(academy: Academy) -> None:
    file = planned(academy)
    academy.edit("piactl.yaml", "any_date: true", "any_date: false")
    assert "the plan is of 2026-09-11, which is not today; make the plan again" in refused(academy, file).err


# Files


def test_old_rejects_and_plans_are_deleted_and_recent_ones_kept(academy: Academy) -> None:
    academy.edit("piactl.yaml", "any_date: true", "keep_undo_days: 30\nany_date: true")
    wrong = row(matricule="1003", prenom="Nour", nom_famille="Caron", uai="0800009B")
    state = academy.sandbox.folder / "state"
    for day, rows in {DAY: [CLAIRE], NEXT: [CLAIRE, HUGO]}.items():
        academy.night(day, academy.feed(*rows, wrong, day=day))
    files = {name: sorted((state / name).iterdir()) for name in ("rejects", "plans")}
    assert [len(paths) for paths in files.values()] == [2, 2]
    for old, late in files.values():
        for file, days in ((old, 31), (late, 29)):
            os.utime(file, times=(time.time() - days * 86400,) * 2)
    academy.night("2026-09-12", academy.feed(RENAMED, HUGO, wrong, day="2026-09-12"))
    for name, (old, late) in files.items():
        remaining = set((state / name).iterdir())
        assert old not in remaining, name
        assert late in remaining, name
        assert len(remaining) == 2, name


def test_old_run_records_are_deleted_and_running_ones_are_marked(academy: Academy) -> None:
    academy.night(DAY, academy.feed(CLAIRE, day=DAY))
    old = "20200101T000000-abcdef"
    folder = f"ou=runs,{academy.sandbox.state}"
    record = f'{{"run":"{old}","status":"done","started":"2020-01-01T00:00:00+00:00"}}'
    with academy.sandbox.root() as root:
        root.add(f"cn={old},{folder}", "piactlRecord", {"cn": old, "piactlData": record})
    assert old in [run["run"] for run in academy.run("runs", "list", "-o", "json").json]
    academy.night(NEXT)
    assert old not in [run["run"] for run in academy.run("runs", "list", "-o", "json").json]
    marked = academy.sandbox.entries(folder, "(description=*)")
    assert marked == {}
    killed(academy, academy.feed(RENAMED, day=NEXT))
    assert len(academy.sandbox.entries(folder, "(description=running)")) == 1
    academy.night(NEXT)
    assert academy.sandbox.entries(folder, "(description=*)") == {}
