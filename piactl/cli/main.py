"""The entry point: parses, calls one flow, prints, exits. Errors become exit codes here.

What it needs of piactl is imported in its functions, because memory and streams come first.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from piactl.phrase import Phrase

_PR_SET_DUMPABLE = 4
_FILES = 256


def main() -> None:
    """The `piactl` command."""
    from piactl.cli.framework.interrupts import leave_at_once

    leave_at_once()
    # a command ends soon and leaves no cycles to be found; looking for them costs a night a fifth of its time
    gc.disable()
    hide_memory()
    _open_missing_streams()
    from piactl.cli.framework.terminal import watch_stdout

    stdout = sys.stdout
    watch_stdout()
    code = run(sys.argv[1:])
    sys.stdout = stdout
    gc.freeze()  # the interpreter would look for cycles at exit, too
    sys.exit(code)


def hide_memory() -> None:
    """Keeps passwords and keys in the memory of this process from core files and from other processes of its
    user: no core file, and only root reads /proc/PID/environ and mem or attaches to it. Programs that it
    starts write no core file either. A system may lack these calls."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def take_limits() -> None:
    """Raises the limits of this process to what a command needs to end what it begins; its caller chooses
    them, also through sudo. Raises NotPermitted if it may not."""
    import resource

    from piactl.errors import NotPermitted
    from piactl.phrase import Phrase, joined

    needs = {
        "RLIMIT_FSIZE": Phrase("files of any size (ulimit -f)"),
        "RLIMIT_CPU": Phrase("CPU time without a limit (ulimit -t)"),
        "RLIMIT_AS": Phrase("memory without a limit (ulimit -v)"),
        "RLIMIT_DATA": Phrase("memory without a limit (ulimit -d)"),
        "RLIMIT_NOFILE": Phrase("at least {number} open files (ulimit -n)", number=_FILES),
    }
    lacking = []
    for name, need in needs.items():
        kind = getattr(resource, name)
        now, most = resource.getrlimit(kind)
        # no more files than needed: a slapd that piactl starts reserves memory for each
        wanted = max(now, min(most, _FILES)) if name == "RLIMIT_NOFILE" else most
        resource.setrlimit(kind, (wanted, most))
        if most != resource.RLIM_INFINITY and (name != "RLIMIT_NOFILE" or most < _FILES):
            lacking.append(need)
    if lacking:
        raise NotPermitted(
            Phrase(
                "piactl begins nothing that it might not end; it needs {needs}.\n"
                "Start it without these limits of the shell or the unit",
                needs=joined(lacking),
            )
        )


def _open_missing_streams() -> None:
    """Opens the null device in place of each standard stream that the caller closed. This comes first, so
    that no file of piactl gets its number, and no message is printed among the data."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open to the end, without pathlib


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; never raises."""
    try:
        return _outcome(arguments)
    except BrokenPipeError:
        # the reader of our output has ended; nothing can be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        from piactl.phrase import Phrase

        return _ended(Phrase("interrupted"), 130, arguments)


def _outcome(arguments: list[str]) -> int:
    from piactl.errors import Exit, PiactlError
    from piactl.translation import use

    use("")
    try:
        code = _command(arguments)
        if code != Exit.FAILED:  # a failed command has reported it, and must not report stdout again
            sys.stdout.flush()
        return code
    except PiactlError as error:
        return _ended(str(error), error.exit_code, arguments, error.options)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except PermissionError as error:
        return _ended(_forbidden(error), Exit.CONFIGURATION, arguments)
    except Exception as error:  # noqa: BLE001 - the last handler: users see no traceback
        return _ended(_bug(error), Exit.BUG, arguments)


def _command(arguments: list[str]) -> int:
    # first, because it needs nothing else
    if arguments == ["--version"]:
        from piactl import __version__

        print(f"piactl {__version__}")
        return 0
    from piactl.cli.framework.start_through_sudo import work_as_piactl
    from piactl.errors import NotPermitted

    if arguments[:1] == ["--complete"]:
        with suppress(NotPermitted):
            work_as_piactl(arguments)
        from piactl.cli.framework.complete import complete

        return complete(arguments[1:], sys.stdout.write)
    take_limits()
    work_as_piactl(arguments)
    from piactl.host.caller import caller

    caller()  # before any file is read
    from piactl.cli.framework.application import application

    return application(arguments)


def _ended(message: str, code: int, arguments: list[str], options: Sequence[str] = ()) -> int:
    from piactl.cli.framework.configuration import use_configured_language
    from piactl.cli.framework.output import say_error

    use_configured_language()
    say_error(message, code, arguments, options)
    return int(code)


def _forbidden(error: PermissionError) -> str:
    """The message for a file that this user may not use."""
    from piactl.host.private_files import may_not

    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "-"
    return Phrase("{name}: {text}", name=path, text=may_not(path, "use"))


def _bug(error: Exception) -> str:
    """A report of a bug, without the values that a traceback would show."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('piactl/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return Phrase(
        "this is a bug in piactl ({name} at {names}).\n"
        "Please report it with the command and this line; nothing of it holds personal data.",
        name=type(error).__name__,
        names=" > ".join(places[-4:]),
    )
