"""Several processes that evaluate people make the same plan as one process."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from piactl.flows import processes
from piactl.flows.plan import build, chunks, staged
from piactl.flows.plan.chunk_evaluation import ChunkEvaluation
from piactl.flows.queries import find_and_filter

from .academy import Academy
from .feeds import MICHELIS, crowd, row
from .test_sync_cache import marks

DAY, NEXT = "2026-09-05", "2026-09-06"
IDAS = [
    row(matricule=f"30{n:02}", prenom="Ida", nom_famille="Roy", debut=f"20{n:02}-09-01") for n in range(9)
]
SHARED = [
    row(matricule=m, prenom="Zoé", nom_famille=name, numen="20E9512345XYZ")
    for m, name in (("3201", "Abel"), ("3202", "Brun"))
]
LATE = row(matricule="3101", prenom="Noé", nom_famille="Kern", debut="2027-09-01")
BROKEN = row(matricule="3301", prenom="Max", nom_famille="Olin").replace("2026-09-01", "2026-09-31")
FIRST = [*reversed(IDAS), row(), LATE, SHARED[0], *crowd(8), SHARED[1], BROKEN]
"""Homonyms, and people who wait, are held, or share a NUMEN."""
SECOND = [
    *(row(matricule=f"40{n:02}", prenom="Ida", nom_famille="Roy", debut="2026-09-06") for n in range(3)),
    *IDAS[2:],
    row(uai=MICHELIS),
    SHARED[1],
    *crowd(8)[1:],
    crowd(8)[0].replace(";ENS;", ";DIR;"),
    row(matricule="4101", prenom="Zoé", nom_famille="Cerf", numen="20E9512345XYZ"),
]
"""Newcomers, homonyms of accounts, absences, a move, a new function, a NUMEN that others have."""


LOST = "one of the processes ended early, as where memory is short"
ALONE = "piactl: warning: {}: one process makes the plan alone, which takes longer\n"


@contextmanager
def by(count: int, size: int = 1) -> Iterator[list[int]]:
    """Inside, `count` processes evaluate chunks of this size; yields the pids of started processes."""
    pids: list[int] = []
    start = processes.Child.__init__

    def started(child: processes.Child, *arguments: Any) -> None:
        start(child, *arguments)
        pids.append(child.pid)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunks, "FEWEST", 0)
        patched.setattr(chunks, "SIZE", size)
        patched.setattr(chunks, "_ROWS", 2)
        patched.setattr(build, "process_count", lambda _people: count)
        patched.setattr(processes.Child, "__init__", started)
        yield pids


def plan(academy: Academy, feed: Path, day: str, message: str = "") -> str:
    result = academy.run("plan", feed, "--as-of", day, "-o", "json")
    assert (result.code, result.err) == (0, message)
    return str(result.out)


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_plans_are_the_same_byte_for_byte(academy: Academy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first load, and a second night without a cache: by one, two and three processes, in chunks of several
    sizes, with staged changes in memory and on disk."""
    first = academy.feed(*FIRST, day=DAY)
    for day, feed in ((DAY, first), (NEXT, academy.feed(*SECOND, day=NEXT))):
        alone = plan(academy, feed, day)
        for count, size, in_memory in ((1, 3, 0), (2, 1, 40), (2, 5, 0), (3, 2, 0)):
            monkeypatch.setattr(staged, "IN_MEMORY", in_memory)
            with by(count, size) as pids:
                assert plan(academy, feed, day) == alone, (count, size)
            assert len(pids) == (count if count > 1 else 0)
            assert not any(map(is_running, pids))
        if day == DAY:
            with by(2):
                assert academy.night(DAY, first).json["outcomes"] == {"applied": 18}
            # a cache that two processes made has an entry for everybody
            cache = marks(academy).read_bytes()
            assert cache.count(b"\n") > 18
            marks(academy).unlink()


def test_the_plan_is_complete_after_a_process_was_lost(academy: Academy) -> None:
    """A process is killed while it evaluates or makes rows, has no memory left, or is not started by the
    kernel. The operator reads why the plan took longer."""
    feed = academy.feed(*FIRST, day=DAY)
    alone = plan(academy, feed, DAY)
    parent = os.getpid()

    def killed(*_: Any) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    def short(*_: Any) -> None:
        if os.getpid() != parent:
            raise MemoryError

    for method, harm in (("_evaluate_newcomers", killed), ("rows", killed), ("_desired", short)):
        original: Callable[..., Any] = getattr(ChunkEvaluation, method)

        def harmed(*arguments: Any, harm: Any = harm, original: Any = original) -> Any:
            harm()
            return original(*arguments)

        counts: list[int] = []
        built = build._Build.plan

        def noting(plan_build: Any, state: Any, counts: list[int] = counts, built: Any = built) -> Any:
            counts.append(plan_build.processes(len(FIRST)))
            return built(plan_build, state)

        with by(2) as pids, pytest.MonkeyPatch.context() as patched:
            patched.setattr(ChunkEvaluation, method, harmed)
            patched.setattr(build._Build, "plan", noting)
            assert plan(academy, feed, DAY, ALONE.format(LOST)) == alone, method
        assert (len(pids), counts) == (2, [2, 1]), method
        assert not any(map(is_running, pids))

    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    why = f"a process could not be started ({os.strerror(errno.EAGAIN)})"
    with by(2), pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fork", full)
        assert plan(academy, feed, DAY, ALONE.format(why)) == alone


def test_lists_are_the_same_byte_for_byte(academy: Academy) -> None:
    """In blocks of two accounts, by one, two and three processes, also if one is killed: with an account that
    another program changed, one that cannot be read, and a sponsor without an account."""
    assert academy.night(DAY, academy.feed(*FIRST, day=DAY)).code == 0
    academy.change("ida.roy3", displayName=["Autre Main"])
    academy.recorded("ida.roy5", piactlState=["unknown"])
    lists = [
        ("-o", "ndjson"),
        ("-o", "ndjson", "--columns", "uid,given_name,functions"),
        ("-o", "json"),
        ("-o", "csv", "--state", "active"),
        ("-o", "ndjson", "--drift"),
        ("-o", "ndjson", "--sponsor", "nobody.here"),
    ]

    def listed(*words: str) -> tuple[int, str, str]:
        result = academy.run("account", "list", "--as-of", DAY, *words)
        return result.code, result.out, result.err

    alone = {words: listed(*words) for words in lists}
    assert [code for code, _, _ in alone.values()] == [5, 5, 5, 5, 5, 9]
    assert len(alone[lists[0]][1].splitlines()) > 15
    parent, original = os.getpid(), find_and_filter.entry_of

    def killed(*arguments: Any) -> Any:
        if os.getpid() != parent and arguments[0].dn.startswith("uid=ida.roy7,"):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    for count, entry_of in ((2, original), (3, original), (2, killed)):
        for words in lists:
            with by(count) as pids, pytest.MonkeyPatch.context() as patched:
                patched.setattr(find_and_filter, "AT_ONCE", 2)
                patched.setattr(find_and_filter, "core_count", lambda count=count: count)
                patched.setattr(find_and_filter, "entry_of", entry_of)
                assert listed(*words) == alone[words], (count, words)
            assert len(pids) == (0 if "--sponsor" in words else count)
            assert not any(map(is_running, pids))


def test_a_process_has_nothing_open_but_its_pipe_and_the_feeds(academy: Academy, tmp_path: Path) -> None:
    feed = academy.feed(*FIRST, day=DAY)
    original, parent = ChunkEvaluation.evaluate, os.getpid()

    def looking(*arguments: Any) -> Any:
        if os.getpid() != parent:
            names = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}
            sockets = sum(
                str(link.readlink()).startswith("socket:")
                for link in Path("/proc/self/fd").iterdir()
                if link.is_symlink() and os.path.lexists(link)
            )
            others = {name for name in names if not name.startswith(("socket:", "/proc/"))}
            text = f"{sockets} {sorted(others)}\n"
            with (tmp_path / "open").open("a") as log:
                log.write(text)
        return original(*arguments)

    with by(2), pytest.MonkeyPatch.context() as patched:
        patched.setattr(ChunkEvaluation, "evaluate", looking)
        plan(academy, feed, DAY)
    lines = set((tmp_path / "open").read_text().splitlines())
    assert lines == {f"1 {sorted(['/dev/null', str(feed)])}"}


def test_a_process_ends_with_its_parent() -> None:
    """Its pipe is closed when the parent ends, even by SIGKILL. It leaves signals to both to the parent."""
    child = processes.Child(str)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child.pid, number)
    child._pipe.close()
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_few_people_are_not_worth_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    counts = [processes.process_count(people) for people in (0, 300, 3_999, 4_000, 6_500, 36_000)]
    assert counts == [1, 1, 1, 2, 3, 3]
