"""Runs the command with streams that are closed, full, or read by nobody, in children that start fast.

A process that has everything loaded forks for each command, which costs a hundredth of a second. Tests that
need a process of their own (environment, locale) spawn one.
"""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import json
import os
import pkgutil
import pwd
import select
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from tests.story.academy import Academy, Ran

TOP = Path(__file__).parents[2]
FULL, CLOSED, GONE = "full", "closed", "gone"
_NUMBERS = itertools.count()


class Forked:
    """A command in a process of its own, for a test that looks at it, stops it or kills it while it runs; as
    `subprocess.Popen`, with its output in files."""

    def __init__(self, forks: Forks, pid: int, files: list[Path]) -> None:
        self.pid, self.returncode, self._forks, self._files = pid, None, forks, files
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """The exit code (negative: the signal that killed it). Raises TimeoutExpired."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired("piactl", timeout)
        return self.returncode

    def communicate(self, timeout: float = 30) -> tuple[str, str]:
        """What it printed, once it has ended, on stdout and on stderr. Raises TimeoutExpired."""
        self.wait(timeout)
        out, err = (file.read_text("utf-8") if file.exists() else "" for file in self._files)
        for file in self._files:
            file.unlink(missing_ok=True)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._descriptor], [], [], seconds)[0]:
            os.close(self._descriptor)
            self.returncode = self._forks.ask(end=self.pid)
        return self.returncode


class Forks:
    """The process that forks. Its questions and answers are one line of JSON each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **question: Any) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def run(
        self,
        academy: Academy,
        *words: str,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        **special: Any,
    ) -> Ran:
        """Runs a command. `stdin` is text, or CLOSED; the other streams are FULL, CLOSED, GONE, or "", which
        keeps the output. `special` is as for `start`."""
        from tests.story.academy import Ran

        how = (stdin, stdout, stderr)
        return Ran(*self.ended(words, academy.sandbox.config, academy.folder, how=how, **special))

    def ended(
        self, words: Sequence[str], config: Path, folder: Path, *, seconds: float = 30, **special: Any
    ) -> tuple[int, str, str]:
        """The exit code (negative: the signal that killed it) and the output of a command, which ends within
        `seconds`. `special` is as for `start`."""
        process = self.start(words, config, folder, **special)
        try:
            out, err = process.communicate(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"no end within {seconds:.0f} s: {words}") from None
        assert "Traceback" not in out + err, err
        return process.returncode, out, err

    def start(
        self,
        words: Sequence[str],
        config: Path,
        folder: Path,
        *,
        how: tuple[str, str, str] = ("", "", ""),
        program: str = "",
        terminal: str = "",
        inside: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        system: Path | None = None,
    ) -> Forked:
        """Starts a command whose streams are files in `folder` until it has ended, or all of them the
        terminal of that name. The source text `program` runs before it, in the same process, or instead of it
        if it ends the process. `inside` is its working directory. It runs as `user`, and looks for the
        configuration at `system` if no option names one."""
        files = [folder / f"stream{next(_NUMBERS)}" for _ in range(2)]
        pid = self.ask(
            words=words,
            config=str(config),
            inside=str(inside or TOP),
            how=how,
            files=[str(file) for file in files],
            program=program,
            terminal=terminal,
            environment=dict(environment or {}),
            user=user,
            system=str(system or ""),
        )
        return Forked(self, pid, files)

    def program(self, file: Path) -> Path:
        """Makes the file a program that does what `piactl` does, for scripts and shells that call it. The
        command runs in a child of this process, with the arguments, descriptors, folder, umask and
        environment of the program; signals do not reach it, and its parent is not the script."""
        self.ask(answers=True)
        text = FORWARDING.format(python=sys.executable, address=_address(self.process.pid))
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
        return file


FORWARDING = """\
#!{python} -ISXutf8
import posix, sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
mask = posix.umask(0)
words = [word.encode("utf-8", "surrogateescape") for word in sys.argv[1:]]
variables = [name + b"=" + value for name, value in posix.environ.items()]
lines = [b"%d" % mask, posix.getcwdb(), b"%d" % len(words), *words, *variables]
server = socket(AF_UNIX, SOCK_SEQPACKET)
server.connect({address!r})
descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server.sendmsg([b"\\0".join(lines)], [(SOL_SOCKET, SCM_RIGHTS, descriptors)])
posix._exit(int(server.recv(9) or b"137"))
"""


def _address(pid: int) -> str:
    """The name of the socket at which a process that forks takes commands of programs."""
    return f"\0piactl-tests-{pid}"


@contextmanager
def forking(path: str = str(TOP), /, **environment: str) -> Iterator[Forks]:
    """Starts the process, with the environment of the tests or, as under cron, with `environment` alone."""
    environment = {**(environment or os.environ), "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


@cache
def shared_forks() -> Forks:
    """One such process for all tests of this process."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forking())


def command(*words: str | Path) -> Ran:
    """Runs a command that needs no configuration in this process."""
    from tests.outside import Exit, run
    from tests.story.academy import Ran

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(word) for word in words])
    assert code != Exit.BUG, err.getvalue()
    return Ran(code, out.getvalue(), err.getvalue())


def forking_for_others(**environment: str) -> AbstractContextManager[Forks]:
    """Starts the process for commands of users who may not enter the checkout or read its Python."""
    from tests.remembered import installation_for_every_user

    path = f"{installation_for_every_user()}{os.pathsep}{TOP}"
    return forking(path, **{**os.environ, **environment, "LOAD_ALL": "1"})


def load_piactl() -> None:
    import piactl

    for module in pkgutil.walk_packages(piactl.__path__, "piactl."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def _serve() -> None:
    load_piactl()
    if "LOAD_ALL" in os.environ:
        _load_library()
    from piactl.cli.framework import application
    from piactl.cli.framework.command_table import COMMANDS
    from tests.remembered import remember_configurations

    if "CALLER" in os.environ:  # the real user of sudo's process is who called it
        os.setresuid(pwd.getpwnam(os.environ.pop("CALLER")).pw_uid, 0, 0)
    remember_configurations()
    for words in COMMANDS:
        application.load_command(words)
    with redirect_stdout(io.StringIO()):
        application.application(["completion", "bash"])  # loads what typer loads with its first value
    gc.collect()
    gc.freeze()  # so that no garbage collection in a child copies pages
    # its own descriptors, so that no child writes into the answers
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    programs = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    programs.bind(_address(os.getpid()))
    programs.listen()
    children: list[int] = []
    while True:
        ready_to_read, _, _ = select.select([questions, programs], [], [])
        if programs in ready_to_read:
            children = [*(child for child in children if not os.waitpid(child, os.WNOHANG)[0])]
            children.append(_take(programs.accept()[0]))
        if questions not in ready_to_read:
            continue
        line = questions.readline()
        if not line:
            break
        asked = json.loads(line)
        if "answers" in asked:
            answer = 0
        elif "end" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["end"], 0)[1])
        else:
            _warm(Path(asked["config"]))
            begun, ready = os.pipe()
            answer = os.fork()
            if answer == 0:
                questions.close()
                answers.close()
                os.close(begun)
                _child(asked, ready)
            os.close(ready)
            os.read(begun, 1)  # its end: the child has its streams
            os.close(begun)
        print(answer, file=answers, flush=True)


def _warm(config: Path) -> None:
    """Reads the configuration here, so that a child only has to check that its files are the same."""
    from piactl.cli.framework.configuration import open_configuration

    with suppress(Exception):
        configuration = open_configuration(config)
        assert configuration.policy
        assert configuration.register


def _load_library() -> None:
    """Loads the standard library for children that change their user, who may not read its files."""
    unwanted = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "tkinter", "test", "__main__"}
    codecs = ("ascii", "cp1252", "idna", "iso8859_15", "latin_1", "unicode_escape", "utf_16", "utf_8_sig")
    names = [*(sys.stdlib_module_names - unwanted), *(f"encodings.{codec}" for codec in codecs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(names):
            with suppress(ImportError):
                import_module(name)


def _take(program: socket.socket) -> int:
    """Runs the command of a program in a child, which tells the program its exit code. Returns its pid."""
    with program:
        message, descriptors, _, _ = socket.recv_fds(program, 1 << 20, 3)
        mask, folder, number, *rest = message.split(b"\0")
        words, variables = rest[: int(number)], rest[int(number) :]
        environment = dict(variable.split(b"=", 1) for variable in variables)
        if config := environment.get(b"PIACTL_CONFIG"):
            _warm(Path(os.fsdecode(os.path.join(folder, config))))  # noqa: PTH118
        child = os.fork()
        if child == 0:
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            _run(lambda: _become(int(mask), folder, words, environment), told=program)
        for descriptor in descriptors:
            os.close(descriptor)
    return child


def _stream(number: int, name: str, mode: str, encoding: str) -> TextIO:
    """A stream as the interpreter made it for its environment, or makes it with this PYTHONIOENCODING."""
    real = getattr(sys, f"__{name}__")
    errors = real.errors if not encoding else "backslashreplace" if name == "stderr" else "strict"
    return os.fdopen(number, mode, encoding=encoding or real.encoding, errors=errors, closefd=False)


def _become(mask: int, folder: bytes, words: list[bytes], environment: Mapping[bytes, bytes]) -> None:
    """Gives this process, which was forked just now, what a program has except its descriptors."""
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    encoding = os.fsdecode(environment.get(b"PYTHONIOENCODING", b""))
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        setattr(sys, name, _stream(number, name, mode, encoding))
    os.umask(mask)
    os.chdir(folder)
    os.environ.clear()
    os.environb.update(environment)
    sys.argv = ["piactl", *map(os.fsdecode, words)]


def _child(asked: dict[str, Any], ready: int) -> NoReturn:
    def prepare() -> None:
        _prepare(asked)
        os.close(ready)
        if asked["program"]:
            _precede(asked["program"])

    _run(prepare)


def _run(prepare: Callable[[], None], told: socket.socket | None = None) -> NoReturn:
    code = 99
    try:
        prepare()
        from piactl.cli.main import main

        main()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 98
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        try:
            atexit._run_exitfuncs()
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
        except OSError:
            code = 120  # the exit code of the interpreter in this case
        if told is not None:
            told.send(b"%d" % code)
        os._exit(code)


def _prepare(asked: dict[str, Any]) -> None:
    """Gives this process, which was forked just now, its streams, folder, environment and user."""
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if asked["terminal"]:
        os.setsid()
    files = [asked["terminal"]] * 3 if asked["terminal"] else ["", *asked["files"]]
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if asked["terminal"]:
            _open(number, asked["terminal"], os.O_RDWR | os.O_NOCTTY)
        else:
            _replace(number, asked["how"][number], files[number])
        stream = None
        if asked["how"][number] != CLOSED:
            stream = _stream(number, name, mode, asked["environment"].get("PYTHONIOENCODING", ""))
        setattr(sys, name, stream)
    os.chdir(asked["inside"])
    if asked["environment"]:
        os.environ.clear()
        os.environ.update(asked["environment"])
    sys.argv = ["piactl", *asked["words"]]
    os.environ["PIACTL_CONFIG"] = asked["config"]
    if asked["system"]:
        from piactl.cli.framework import configuration

        del os.environ["PIACTL_CONFIG"]
        configuration.SYSTEM_CONFIGURATION = Path(asked["system"])
    if asked["user"] is not None:
        from piactl.host.caller import caller

        os.setgroups([])
        os.setgid(asked["user"])
        os.setuid(asked["user"])
        caller.cache_clear()


def _precede(program: str) -> None:
    """Runs the program. What it replaces in a module is replaced where piactl has imported it, too: in a new
    process it would come before all imports."""
    own = {name: module for name, module in sys.modules.items() if name.startswith("piactl.")}
    before = {name: dict(vars(module)) for name, module in (*own.items(), ("socket", socket))}
    exec(program, {"__name__": "__main__"})
    for name, values in before.items():
        for word, old in values.items():
            new = getattr(sys.modules[name], word)
            if new is not old:
                for module in own.values():
                    for alias in [alias for alias, value in vars(module).items() if value is old]:
                        setattr(module, alias, new)


def _open(number: int, file: str, flags: int) -> None:
    descriptor = os.open(file, flags, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)


def _replace(number: int, stream: str, file: str) -> None:
    if stream == CLOSED:
        os.close(number)
        return
    if number == 0:
        descriptor, writing = os.pipe()
        os.write(writing, stream.encode())
        os.close(writing)
    elif stream == GONE:
        reading, descriptor = os.pipe()
        os.close(reading)
    else:
        full = stream == FULL
        _open(number, "/dev/full" if full else file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        return
    os.dup2(descriptor, number)
    os.close(descriptor)


if __name__ == "__main__":
    _serve()
