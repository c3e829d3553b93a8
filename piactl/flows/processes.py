"""Does work on many accounts, planning and lists, in separate processes, at most one for each core.

They are forked, so that each begins with what this process has read: rules, feeds, cache. This process has no
threads and starts none, so a fork copies no lock that a thread holds. A child has no connection, no lock and
no journal: its first step puts /dev/null in the place of every open file of this process, except its pipe and
the files that it is given. It writes nothing but a nameless file of its own for what it stages.

If a child ends before its work does, whatever the reason, ProcessLost is raised here. One process then does
the work, and meets the same error if there is one.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PEOPLE_EACH = 2_000
"""The number of people to evaluate that is worth a process: starting one costs as much as some hundred
people."""

Answer = Callable[[Any], Any]
R = TypeVar("R")


class ProcessLost(Exception):
    """A child could not be started, or ended before its work did. Its text says which."""


def process_count(people: int) -> int:
    """How many processes are worth starting for this number of people to evaluate."""
    return max(1, min(core_count(), people // PEOPLE_EACH))


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Child:
    """One forked process that answers requests with `answer`."""

    def __init__(self, answer: Answer, files: Iterable[int] = ()) -> None:
        """`files` are the descriptors that stay open in it."""
        from multiprocessing.connection import Pipe  # most nights evaluate few people, and need none

        self._pipe, theirs = Pipe()
        # between the fork and the first step of the child no signal may run the handlers of this process
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _child(theirs, answer, files, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def fileno(self) -> int:
        return self._pipe.fileno()

    def send(self, request: Any) -> None:
        """Raises ProcessLost."""
        self._io(self._pipe.send, request)

    def receive(self) -> Any:
        """The answer to the first request without one. Raises ProcessLost."""
        return self._io(self._pipe.recv)

    def end(self) -> None:
        self._pipe.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _io(self, call: Callable[..., Any], *arguments: object) -> Any:
        try:
            return call(*arguments)
        except (EOFError, OSError):
            raise ProcessLost("one of the processes ended early, as where memory is short") from None


@contextmanager
def children(number: int, answer: Answer, files: Sequence[int] = ()) -> Iterator[list[Child]]:
    """Starts `number` children, and ends them when the context is left. Raises ProcessLost if one cannot be
    started."""
    started: list[Child] = []
    try:
        try:
            for _ in range(number):
                started.append(Child(answer, files))
        except OSError as error:
            raise ProcessLost(f"a process could not be started ({error.strerror})") from None
        yield started
    finally:
        for child in started:
            child.end()


def answers(some: Sequence[Child], requests: Iterable[R]) -> Iterator[tuple[int, R, Any]]:
    """The answers to requests, in the order of the requests, each with the number of the child that gave it
    and its request. One request is made ahead, while all children work. Raises ProcessLost."""
    from multiprocessing.connection import wait

    rest, sent, yielded = iter(requests), 0, 0
    following = next(rest, None)
    idle, busy = deque(range(len(some))), dict[Any, tuple[int, int, R]]()
    done: dict[int, tuple[int, R, Any]] = {}
    while True:
        while idle and following is not None:
            number = idle.popleft()
            some[number].send(following)
            busy[some[number]] = number, sent, following
            sent, following = sent + 1, next(rest, None)
        if not busy:
            return
        for child in wait([*busy]):
            number, place, request = busy.pop(child)
            done[place] = number, request, some[number].receive()
            idle.append(number)
        while yielded in done:
            yield done.pop(yielded)
            yielded += 1


def _child(pipe: Connection, answer: Answer, files: Iterable[int], mask: Iterable[int]) -> None:
    """What a child does from its first to its last step: it never returns."""
    code = 1
    try:
        _close_all_but({pipe.fileno(), *files})
        # a Ctrl-C, or the end of a service, reaches all processes: the parent decides, and ends this one
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _serve(pipe, answer)
        code = 0
    finally:
        # whatever the error is, the parent meets the same and reports it
        os._exit(code)


def _serve(pipe: Connection, answer: Answer) -> None:
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(request))


def _close_all_but(kept_descriptors: set[int]) -> None:
    """Puts /dev/null in the place of every other descriptor: objects of the parent that close theirs then
    close nothing that is in use."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        number = int(name)
        if number not in kept_descriptors and number != nothing:
            os.dup2(nothing, number, inheritable=False)
