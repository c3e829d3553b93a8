"""The front door: parse, call one flow, print, exit. Here errors become exit codes."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The `piactl` command."""
    _open_missing_streams()
    sys.exit(run(sys.argv[1:]))


def _open_missing_streams() -> None:
    """A standard stream that was closed for us becomes the null device: first of all, so that no file of
    ours gets its number, and so that what is said is not printed among the data."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open to the end, without pathlib


def run(arguments: list[str]) -> int:
    """Runs one command and gives its exit code; never raises."""
    try:
        # looked at first because a shell asks for it often, and it needs nothing of what follows
        if arguments == ["--version"]:
            from piactl import __version__

            print(f"piactl {__version__}", flush=True)
            return 0
        return _outcome(arguments)
    except BrokenPipeError:
        # whoever read our output has gone; what would be flushed at exit has nowhere to go either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _stdout_lost(error)
    except KeyboardInterrupt:
        print("piactl: interrupted", file=sys.stderr)
        return 130


def _outcome(arguments: list[str]) -> int:
    from piactl.cli.application import application
    from piactl.cli.context import finish_stdout, say
    from piactl.errors import Exit, PiactlError

    try:
        code = application(arguments)
        finish_stdout()
        return code
    except PiactlError as error:
        say(str(error))
        return int(error.exit_code)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - the last door: nobody is shown a traceback
        if isinstance(error, OSError):
            # what could not be printed is still to be printed, so trying again shows whether it was stdout
            sys.stdout.flush()
        say(_bug(error))
        return int(Exit.BUG)


def _stdout_lost(error: OSError) -> int:
    """For what is printed by others than `put`: the version and the help."""
    from piactl.cli.context import StdoutLost, finish_stdout, say

    lost = f"stdout cannot be written ({error.strerror})"
    try:
        finish_stdout()
    except StdoutLost as why:
        lost = str(why)
    say(lost)
    return int(StdoutLost.exit_code)


def _bug(error: Exception) -> str:
    """A bug, told without the values that a traceback would show."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('piactl/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return (
        f"this is a bug in piactl ({type(error).__name__} at {' > '.join(places[-4:])}).\n"
        "Please report it with the command and this line; nothing of it holds personal data."
    )
