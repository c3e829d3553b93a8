"""The standard streams: stdout, which may fail, and questions on a terminal; and signals during a run."""

from __future__ import annotations

import codecs
import getpass
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, TypeVar

from piactl.errors import Declined, PiactlError, UsageError, system_words
from piactl.host.private_files import refuse_input, refuse_missing
from piactl.host.secret_files import read_password
from piactl.phrase import Phrase
from piactl.translation import translate

_ESCAPED = "piactl-escaped"
T = TypeVar("T")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """A character that the encoding of stdout lacks, escaped as in JSON, so that JSON stays valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)), error.end


class StdoutLost(PiactlError):
    """Stdout cannot be written."""


class WatchedStdout:
    """Wraps `stream`: its errors become StdoutLost, except BrokenPipeError.

    After one error every call fails, because
    libraries try a stream and swallow its error. The unwritten rest is discarded: a flush at the end of the
    interpreter would print a traceback and change the exit code.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._watched(self._stream.write, text)

    def flush(self) -> None:
        self._watched(self._stream.flush)

    def _watched(self, act: Callable[..., T], *arguments: str) -> T:
        if self._lost:
            raise StdoutLost(self._lost)
        try:
            return act(*arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            discard(self._stream)
            self._lost = Phrase(
                "stdout cannot be written ({reason}); free space there, or send it elsewhere",
                reason=system_words(error),
            )
            raise StdoutLost(self._lost) from None


def watch_stdout() -> None:
    """From now on stdout tells of its errors, and escapes what its encoding lacks."""
    codecs.register_error(_ESCAPED, _escaped)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)
    sys.stdout = WatchedStdout(sys.stdout)


def print_utf8(encoding: str = "utf-8") -> None:
    """From now on stdout is UTF-8, or has another encoding, whatever the locale."""
    if isinstance(sys.stdout, WatchedStdout):
        sys.stdout.reconfigure(encoding=encoding, errors=_ESCAPED)


def discard(stream: TextIO) -> None:
    """Redirects the rest of a stream to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_dumb() -> bool:
    """Whether the terminal only prints characters."""
    return os.environ.get("TERM", "dumb") == "dumb"


def can_ask() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_reason() -> str:
    """The reason of a command without --reason, asked for on a terminal; "" where there is none."""
    return _answer(Phrase("Reason, in a sentence for the record: ")) if can_ask() else ""


def confirm(question: str) -> None:
    """Asks on the terminal. Raises Declined on any answer but yes."""
    if _answer(Phrase("{question} [y/N] ", question=question)).lower() not in ("y", "yes", "o", "oui"):
        raise Declined(UNCHANGED)


def _answer(question: str) -> str:
    with interruptible(), suppress(UnicodeDecodeError):
        print(translate(question), end="", file=sys.stderr, flush=True)
        _wait_for_answer()
        return sys.stdin.readline().strip()
    return ""


UNCHANGED = Phrase("nothing was changed")


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a question before anything is changed: an interrupt in it says so."""
    try:
        yield
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise KeyboardInterrupt(UNCHANGED) from None


def _wait_for_answer() -> None:
    """Waits until stdin can be read. A signal that arrives between the question and the read interrupts this
    wait; it would not interrupt the read."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        select.select([0, awake], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(awake)
        os.close(wake)


def ask_secret(name: str, source: str | None, option: str) -> str:
    """A secret: from `source` (`-` is the next line of stdin, else a file of mode 0600), else from a prompt
    on a terminal. `option` is the option that names the source, for the message.

    Raises UsageError if there is no secret, or for a file under sudo; SecretUnusable for a file that others
    can read. Never waits for input without a terminal.
    """
    if source == "-":
        return _line_of_stdin(name, option)
    if source is not None:
        refuse_input(option, source)
        refuse_missing(source)
        return read_password(os.path.abspath(source)).decode("utf-8", "replace")  # noqa: PTH100 the text it takes
    if not can_ask():
        raise UsageError(
            Phrase(
                "{name} can only be asked for on a terminal: give it with {option} FILE (mode 0600), or "
                "{option} - for a line of stdin",
                name=name,
                option=option,
            )
        )
    return _without_echo(name)


def _line_of_stdin(name: str, option: str) -> str:
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise UsageError(Phrase("{name}: stdin is not valid UTF-8", name=name)) from None
    if not line.strip("\r\n"):
        raise UsageError(
            Phrase("{name}: {option} - was given, but stdin has no line for it", name=name, option=option)
        )
    return line.rstrip("\r\n")


def _without_echo(name: str) -> str:
    try:
        with interruptible():
            text = getpass.getpass(translate(Phrase("{name} (not shown): ", name=name)), stream=sys.stderr)
    except EOFError:
        raise UsageError(Phrase("{name}: none was given; nothing was changed", name=name)) from None
    if not text:
        raise UsageError(Phrase("{name}: none was given; nothing was changed", name=name))
    return text


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], str]]:
    """During a run, which finishes and records the current write and then stops: a function that returns the
    name of the received signal, "" if there was none."""
    names: list[str] = []
    before = {
        number: signal.signal(number, lambda received, _: names.append(signal.Signals(received).name))
        for number in _SIGNALS
    }
    try:
        yield lambda: names[-1] if names else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
