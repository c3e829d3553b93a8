"""What commands print: data to stdout in the chosen layout, messages and the next command to stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO, TypeVar

from piactl.cli.framework.command_table import COMMANDS, asked, asked_form
from piactl.cli.framework.configuration import chosen
from piactl.cli.framework.terminal import discard, is_dumb, print_utf8
from piactl.config.nearest_word import hint
from piactl.core.model.keyed_digests import masked
from piactl.core.text import listed_words
from piactl.errors import REASON, Exit, PiactlError, UsageError
from piactl.host import roles_of_caller
from piactl.phrase import Phrase, joined
from piactl.report.escaping import coloured, shown
from piactl.report.table import rendered
from piactl.translation import read_word, translate

View = Mapping[str, Any]


Found = TypeVar("Found")


def say(text: str) -> None:
    """Prints a message to stderr, with control characters escaped. A closed stderr is not an error."""
    try:
        for line in _with_groups(translate(text)).split("\n"):
            print(_painted(f"piactl: {shown(line)}", sys.stderr), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def _with_groups(text: str) -> str:
    """A text for people. On a host it names the group of each command in it that its reader may not give: the
    caller, or for a timer whoever reads its mail."""
    held = roles_of_caller.held()
    if held is None or roles_of_caller.Role.ROOT in held:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        match = _PRINTED.match(line)
        if match and is_of_others(match[3]):
            who = roles_of_caller.groups_of(_roles_of(match[3]))
            groups = (
                translate(Phrase("(group {who})", who=who))
                if who != roles_of_caller.Role.ROOT
                else f"({who})"
            )
            if match[1].strip():
                line = f"{match[1]} {groups}{match[2]}{match[3]}"
            elif lines:
                lines[-1] += f" {groups}"
        lines.append(line)
    return "\n".join(lines)


def is_of_others(command: str) -> bool:
    """Whether the reader of a printed command may not give it on this host."""
    held, of_command = roles_of_caller.held(), _roles_of(command)
    if held is None or roles_of_caller.Role.ROOT in held or not of_command:
        return False
    return held.isdisjoint({*of_command} - {roles_of_caller.Role.SERVICE})


def is_to_hand_over(command: str) -> bool:
    """Whether a person of the help desk hands a printed command over; where no roles are known, everybody may
    be one."""
    if roles_of_caller.held() is not None:
        return is_of_others(command)
    of_command = {*_roles_of(command)}
    return bool(of_command) and roles_of_caller.Role.DESK not in of_command


_PRINTED = re.compile(r"(.*?)( ?: | {2,}|^ *)(piactl [a-z-].*)$")
"""A command at the end of a line, and what separates it from the words before."""


_OF_ADMINISTRATOR = frozenset({"--administrator", "--without-check", "--allow"})
"""Options that need the role of the administrator, whoever has the command."""


def _roles_of(command: str) -> Iterable[roles_of_caller.Role]:
    """The roles that may give a printed command; nothing for words that are none."""
    words = command.split()[1:]
    first, second = asked(words)
    line = COMMANDS.get(f"{first} {second}") or COMMANDS.get(first)
    if line is not None and not _OF_ADMINISTRATOR.isdisjoint(words):
        return (roles_of_caller.Role.ADMINISTRATOR,)
    return line.roles if line is not None else ()


def say_again(options: Sequence[str]) -> None:
    """Says the command as it was typed, with these options (see `PiactlError.options`), for an administrator
    to copy."""
    command = typed_again(options)
    if "-" in chosen.words:
        say(Phrase("To go on all the same, with the same input and output: {command}", command=command))
    else:
        say(Phrase("To go on all the same: {command}", command=command))


_GIVEN_AGAIN = "--accept-feed"
"""The option whose earlier values count beside new ones."""


_OF_TIMER = frozenset({"--html"})
"""The options of a night that people may not give through sudo."""


def typed_again(options: Sequence[str], typed: Sequence[str] | None = None) -> str:
    """The command line as it was `typed`, or this one, with more options, each with its value: one that was
    given before is replaced, a reason stays, and a trial is one no more."""
    typed = chosen.words if typed is None else typed
    words = iter(word for word in typed if word not in (*options, "--dry-run"))
    names = {option.partition(" ")[0] for option in options} - {_GIVEN_AGAIN, "--reason"}
    names |= _OF_TIMER if roles_of_caller.held() is not None else set()
    kept = []
    for word in words:
        name, sign, _ = word.partition("=")
        if name not in names:
            kept.append(shlex.quote(masked(word)))
        elif not sign:
            next(words, None)
    has_reason = any(word.partition("=")[0] == "--reason" for word in kept)
    added = [option for option in options if not (has_reason and option == REASON)]
    place = kept.index("--") if "--" in kept else len(kept)
    return " ".join(["piactl", *kept[:place], *added, *kept[place:]])


def go_on_as(*words: str) -> None:
    """Has another command said in place of the one as it was typed, which has not the options to go on."""
    chosen.words = (*(("--config", chosen.config) if chosen.config else ()), *words)


def say_error(message: str, code: int, arguments: Sequence[str], options: Sequence[str] = ()) -> None:
    """Prints the error that ends a command, and the command with the `options` that go on all the same: to
    stderr, and where the arguments ask for json or ndjson and no data were printed, to stdout as
    schemas/json/error.schema.json says."""
    say(message)
    if options:
        say_again(options)
    form = asked_form(arguments)
    if form in ("json", "ndjson") and not chosen.printed:
        print_utf8()
        facts = {"code": int(code), "message": message, "next": next_step(message, code, arguments)}
        if options:
            facts["next"] = typed_again(options)
        with suppress(PiactlError):  # stdout is lost
            put_json({"error": facts}, 2 if form == "json" else None)


def next_step(message: str, code: int, arguments: Sequence[str]) -> str:
    """The first command that the message names, else what is next after every error of this code of the
    command with these arguments."""
    named = next(filter(None, map(_PRINTED.match, message.split("\n"))), None)
    if named:
        return str(named[3]).removesuffix(")")
    if code == Exit.USAGE:
        command = " ".join(asked(list(arguments))).strip()
        return Phrase("piactl {command} --help", command=command) if command in COMMANDS else "piactl --help"
    return _NEXT.get(code, _CORRECT)


_CORRECT = "correct what the message names, and repeat the command"


_NEXT: dict[int, str] = {
    Exit.LOCKED: "repeat the command once the other run has ended; see: piactl runs list",
    Exit.UNREACHABLE: "piactl doctor",
    Exit.CONFIGURATION: "correct the file that the message names",
    Exit.OLDER: "piactl recover",
    Exit.BUG: "report it",
    Exit.DECLINED: "repeat the command",
    Exit.INTERRUPTED: "repeat the command",
}


def say_text(text: str) -> None:
    """Prints to stderr a text for people that a question is about; stdout is for data. The text is whole
    lines without external characters."""
    print(_painted(translate(text), sys.stderr), end="", file=sys.stderr)


def _painted(text: str, stream: TextIO) -> str:
    """The text with colours, if the stream is a terminal that has some."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or is_dumb():
        return text
    return coloured(text)


def put(pieces: Iterable[str]) -> None:
    """Prints data to stdout. A closed pipe is not an error. Raises StdoutLost if stdout cannot be written for
    another reason."""
    try:
        for piece in pieces:
            chosen.printed = True
            sys.stdout.write(piece)
        chosen.printed = True  # no rows are data, too
        sys.stdout.flush()
    except BrokenPipeError:
        # caught here, so that a run that wrote keeps its own exit code
        discard(sys.stdout)


def put_json(value: object, indent: int | None = 2) -> None:
    """Prints one JSON value. Raises as `put`."""
    put([json.dumps(value, ensure_ascii=False, indent=indent) + "\n"])


def display(pieces: Iterable[str], layout: str = "text") -> None:
    """Prints text for people, on a terminal with colours. A `table` is in their language already
    (`report.table`), other layouts are data. Raises as `put`."""
    if layout not in ("text", "table"):
        put(pieces)
        return
    text = "".join(pieces) if layout == "table" else _with_groups("".join(map(translate, pieces)))
    put([_painted(text, sys.stdout)])


def show_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], output: object, *, only: bool = False
) -> None:
    """Prints rows in the chosen layout, by default a table on a terminal, else tsv. With `only`, json and
    ndjson have no other columns. Raises as `put`."""
    layout = layout_or_default(output)
    display(rendered(rows, columns, layout, only=only), layout)


def read_columns(text: str, usual: Sequence[str], further: Sequence[str]) -> tuple[str, ...]:
    """The columns that `--columns` names, the usual ones without it. Raises UsageError."""
    valid = (*usual, *further)
    typed = [name.strip() for name in text.split(",") if name.strip()]
    names = tuple(dict.fromkeys(read_word(name, valid) for name in typed))
    wrong = [
        Phrase("--columns {name}: is not a column; {hint}", name=name, hint=hint(name, map(Phrase, valid)))
        for name in names
        if name not in valid
    ]
    if text and not names:
        wrong = [Phrase("--columns: names no column; there are: {columns}", columns=listed_words(valid))]
    if wrong:
        raise UsageError(joined(wrong, "{first}\n{second}"))
    return names or tuple(usual)


FIELDS = ("field", "value")


def field_rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One object as rows of FIELDS."""
    return [{"field": name, "value": value} for name, value in row.items()]


def show_views(
    views: Sequence[View],
    text_of: Callable[[View], str],
    columns: Sequence[str],
    output: object,
    *,
    single: bool,
    rows_of: Callable[[View], Iterable[Mapping[str, Any]]] = lambda view: [view],
) -> None:
    """Prints documents: as text, in json and ndjson whole (a `single` one in json is one object), else as the
    rows of each. Raises as `put`."""
    layout = layout_or_default(output) if output else "text"
    if layout == "text":
        display(map(text_of, views))
    elif layout == "json" and single:
        put_json(views[0])
    else:
        whole = layout in ("json", "ndjson")
        rows = views if whole else (row for view in views for row in rows_of(view))
        display(rendered(rows, columns, layout), layout)


def of_each(names: Iterable[str], view_of: Callable[[str], Found], *, alone: bool) -> tuple[list[Found], int]:
    """What `view_of` returns for each name, and the exit code. Reports the error of a name, or raises it
    if the name is `alone`."""
    views, code = [], Exit.DONE
    for name in names:
        try:
            views.append(view_of(name))
        except PiactlError as error:
            if alone:
                raise
            say(str(error))
            code = Exit.PARTLY
    return views, int(code)


def layout_or_default(layout: object) -> str:
    """The chosen layout; by default a table on a terminal, else tsv."""
    if layout is not None:
        return str(getattr(layout, "value", layout))
    if sys.stdout.isatty():
        return "table"
    print_utf8()
    return "tsv"


@contextmanager
def progress_line(task: str) -> Iterator[Callable[[int, int], None]]:
    """Shows the progress of a run on stderr, rewritten in place; only on a terminal. Leaving it ends the
    line."""
    is_open = False

    def show(done: int, total: int) -> None:
        nonlocal is_open
        if sys.stderr.isatty():
            progress = Phrase("{task}: {done} of {total}", task=task, done=done, total=total)
            is_open = done < total
            end = "" if is_open else "\n"
            print("\r" + translate(progress), end=end, file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if is_open:
            print(file=sys.stderr)
