"""Runs the command with streams that are closed, full, or read by nobody, in children that start fast.

A process that has everything loaded forks for each command, which costs a hundredth of a second. Tests that
need a process of their own (environment, locale) spawn one.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import pkgutil
import pwd
import select
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tests.story.academy import Academy, Ran

TOP = Path(__file__).parents[2]
FULL, CLOSED, GONE = "full", "closed", "gone"


class Forks:
    """The process that forks. Its questions and answers are one line of JSON each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(
        self,
        academy: Academy,
        *words: str,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        user: int | None = None,
        system: Path | None = None,
    ) -> Ran:
        """Runs a command. `stdin` is text, or CLOSED; the other streams are FULL, CLOSED, GONE, or "", which
        keeps the output. The command runs as `user`, and looks for the configuration at `system` if no option
        names one."""
        from tests.story.academy import Ran

        how = (stdin, stdout, stderr)
        return Ran(
            *self.ended(
                words, academy.sandbox.config, academy.folder, how=how, user=user, system=str(system or "")
            )
        )

    def ended(
        self,
        words: Sequence[str],
        config: Path,
        folder: Path,
        *,
        how: tuple[str, str, str] = ("", "", ""),
        user: int | None = None,
        system: str = "",
        program: str = "",
        seconds: float = 30,
    ) -> tuple[int, str, str]:
        """The exit code (negative: the signal that killed it) and the output of a command, which ends within
        `seconds`; its streams are files in `folder` meanwhile. With `program` this source text is run instead
        of piactl, and takes the words."""
        files = [str(folder / f"stream{number}") for number in (1, 2)]
        asked = {
            "words": words,
            "config": str(config),
            "how": how,
            "files": files,
            "user": user,
            "system": system,
            "program": program,
            "seconds": seconds,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        code = json.loads(self.process.stdout.readline())
        assert code is not None, f"no end within {seconds:.0f} s: {words}"
        out, err = (Path(file).read_text("utf-8") if Path(file).exists() else "" for file in files)
        for file in files:
            Path(file).unlink(missing_ok=True)
        assert "Traceback" not in out + err, err
        return code, out, err


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
    from piactl.cli.framework.commands import COMMANDS, asked
    from tests.remembered import remember_commands_and_configurations

    if "CALLER" in os.environ:  # the real user of sudo's process is who called it
        caller = os.environ.pop("CALLER")
        if os.geteuid() == 0:
            os.setresuid(pwd.getpwnam(caller).pw_uid, 0, 0)
        else:
            from piactl import caller as of_process

            named = cache(lambda: of_process.Caller(caller, other=True))
            of_process.caller = named  # type: ignore[assignment]
    remember_commands_and_configurations()
    for words in COMMANDS:
        application.assembled(*asked(words.split()))
    with redirect_stdout(io.StringIO()):
        application.application(["completion", "bash"])  # loads what typer loads with its first value
    gc.collect()
    gc.freeze()  # so that no garbage collection in a child copies pages
    # its own descriptors, so that no child writes into the answers
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in iter(questions.readline, ""):
        _warm(Path(json.loads(line)["config"]))
        child = os.fork()
        if child == 0:
            questions.close()
            answers.close()
            _child(json.loads(line))
        print(json.dumps(_ended(child, json.loads(line)["seconds"])), file=answers, flush=True)


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


def _ended(child: int, seconds: float) -> int | None:
    """The exit code of a child; None if it had to be killed."""
    descriptor = os.pidfd_open(child)
    has_ended = select.select([descriptor], [], [], seconds)[0]
    os.close(descriptor)
    if not has_ended:
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if has_ended else None


def _child(asked: dict[str, Any]) -> NoReturn:
    streams, files = asked["how"], ["", *asked["files"]]
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        _replace(number, streams[number], files[number])
        closed = streams[number] == CLOSED
        # in the encoding that the interpreter took from its environment
        encoding = getattr(sys, f"__{name}__").encoding
        setattr(sys, name, None if closed else os.fdopen(number, mode, encoding=encoding, closefd=False))
    sys.argv = ["piactl", *asked["words"]]
    os.environ["PIACTL_CONFIG"] = str(asked["config"])
    code = 99
    try:
        from piactl.caller import caller
        from piactl.cli.framework import context
        from piactl.cli.main import main

        if asked["system"]:
            del os.environ["PIACTL_CONFIG"]
            context.SYSTEM_CONFIGURATION = Path(asked["system"])
        if asked["user"] is not None:
            os.setgroups([])
            os.setgid(asked["user"])
            os.setuid(asked["user"])
            caller.cache_clear()
        if asked["program"]:
            exec(asked["program"], {"__name__": "__main__"})
        else:
            main()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 98
        try:
            sys.stdout.flush()
        except OSError:
            code = 120  # the exit code of the interpreter in this case
    finally:
        os._exit(code)


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
    elif stream == FULL:
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, number)
    os.close(descriptor)


if __name__ == "__main__":
    _serve()
