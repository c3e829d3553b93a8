"""The application of typer: the requested command, and only the names of the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from piactl import __version__
from piactl.cli.framework.command_table import COMMANDS, GROUPS, NOUNS, asked
from piactl.cli.framework.configuration import chosen
from piactl.cli.framework.interrupts import reach_the_command
from piactl.cli.framework.options import read_names
from piactl.cli.framework.start_through_sudo import refuse_command
from piactl.cli.framework.terminal import UNCHANGED, ask_reason, discard
from piactl.errors import Exit, Interrupted, ReasonMissing, UsageError


class PlainCommand(TyperCommand):
    """A command whose help has no Python types."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            parameters = [p for p in self.get_params(ctx) if p.param_type_name == kind]
            if rows := [row for p in parameters if (row := plain_help(p, ctx))]:
                with formatter.section(title):
                    formatter.write_dl(rows)


class CommandGroup(TyperGroup):
    """The first words of the commands, or those below one of them, in a `Table`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        table: Any = self.commands
        if table.noun:
            with formatter.section("Commands"):
                formatter.write_dl([*table.summaries.items()])
            return
        for title, words in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{word:<10}", table.summaries[word]) for word in words.split()])


class Table(Mapping[str, Any]):
    """The commands below a noun, or the first words of all, by word. A command is loaded once it is asked
    for."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        below = {words: line.summary for words, line in COMMANDS.items()}
        if noun:
            below = {w.removeprefix(f"{noun} "): s for w, s in below.items() if w.startswith(f"{noun} ")}
        first = (words.partition(" ")[0] for words in below)
        self.summaries = {word: below.get(word) or NOUNS[word] for word in first}

    def __iter__(self) -> Iterator[str]:
        return iter(self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)

    def __getitem__(self, word: str) -> Any:
        self.summaries[word]
        return load_command(f"{self.noun} {word}".strip())


def plain_help(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """The words of a parameter and its help, with the types in the words of the manual; None if hidden."""
    row = parameter.get_help_record(ctx)
    if row is None:
        return None
    words, of_type, rest = row[0].partition(" <")
    if of_type and parameter.param_type_name == "option":
        shown = rest.removesuffix(">")
        words += f" {_WORDS.get(shown, shown)}"
    return words, row[1]


_WORDS = {"str": "TEXT", "list[str]": "TEXT", "int": "N", "int range": "N", "path": "FILE"}
"""The types that typer writes in help, in the words of the manual."""

_HELP = "Administer staff accounts in an LDAP directory from HR data."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"piactl {__version__}")
        raise typer.Exit


def front(
    config: Annotated[
        str,
        typer.Option(
            "--config", metavar="FILE", envvar="PIACTL_CONFIG", help="The configuration file (piactl.yaml)."
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    chosen.config, chosen.configuration = config, None


@cache
def load_command(words: str = "") -> Any:
    """The command of these words, or the group of a noun, of typer; "" is the whole application."""
    app = typer.Typer(
        cls=CommandGroup,
        help=NOUNS.get(words, _HELP),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if words in COMMANDS:
        function = _permitted(words)
        text, _, example = (function.__doc__ or "").partition("Example: ")
        app.command(cls=PlainCommand, help=text.rstrip(), epilog=_at_the_end(example))(function)
        return get_command(app)
    app.callback()((lambda: None) if words else front)
    group: Any = get_command(app)
    group.commands = Table(words)
    return group


_OF_FILES = ("init", "sandbox", "key", "journal", "rehearse")
"""Commands that change files without a run."""


def _permitted(words: str) -> Callable[..., Any]:
    """The function of a command, which first refuses a caller who may not run it, and reads the names of
    accounts."""
    line = COMMANDS[words]
    function: Callable[..., Any] = getattr(import_module(f"piactl.cli.commands.{line.module}"), line.function)

    @wraps(function)
    def permitted(*args: Any, **values: Any) -> Any:
        reach_the_command()
        refuse_command(words)
        if "names" in values:
            values["names"] = read_names(values["names"])
        try:
            try:
                return function(*args, **values)
            except ReasonMissing:
                values["reason"] = ask_reason()
                if not values["reason"]:
                    raise
                return function(*args, **values)
        except KeyboardInterrupt as interrupt:  # typer would end with 130 and say nothing
            certain = not chosen.began and words.partition(" ")[0] not in _OF_FILES
            raise Interrupted(*(interrupt.args or ([UNCHANGED] if certain else []))) from None

    return permitted


def _at_the_end(example: str) -> str:
    """An example below the options, in lines that are not wrapped: a long command breaks before options."""
    lines = [""]
    for piece in re.split(r" (?=--)", " ".join(example.split())):
        if lines[-1] and len(lines[-1]) + len(piece) > 70:
            lines.append("")
        lines[-1] += f" {piece}" if lines[-1] else piece
    return "\b\nExample:\n  " + " \\\n      ".join(lines)


# newer versions of typer bundle click, older ones use the library: typer's own exceptions lead to the right
# base class in both
_COMMAND_LINE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _wrong_words(error: Any, arguments: list[str]) -> str:
    """The message for a usage error, with the command that shows the help. Some errors do not say whose they
    are."""
    place = getattr(error, "ctx", None)
    command = place.command_path if place else " ".join(["piactl", *filter(None, asked(arguments))])
    return f"{error.format_message()}\nSee: {command} --help"


def _show_help(error: Any) -> None:
    try:
        error.show()
    except OSError:  # stderr is closed
        discard(sys.stderr)


_FEEDS = (("nightly", ""), ("plan", ""), ("policy", "test"))
"""The commands whose arguments are the files in HR's folder: they name a file with such a name, and go on."""
_FLAGS = ("--", "--strict", "--public")


def _refuse_undecodable(arguments: list[str]) -> None:
    """Raises UsageError if an argument is not valid UTF-8, because it could not be stored unchanged."""
    first, second = asked(arguments)
    feeds = (first, "") in _FEEDS or (first, second) in _FEEDS
    for before, argument in zip(["", *arguments], arguments, strict=False):
        try:
            argument.encode()
        except UnicodeEncodeError:
            is_value = before.startswith("-") and before not in _FLAGS
            if feeds and not is_value and not argument.startswith("-") and Path(argument).is_file():
                continue
            raise UsageError(
                f"{argument}: not valid UTF-8; type it where LANG is a UTF-8 locale, "
                "or give the file another name"
            ) from None


def application(arguments: list[str]) -> int:
    """Runs the command of the arguments and returns its exit code."""
    chosen.printed = chosen.began = False
    _refuse_undecodable(arguments)
    chosen.words = tuple(arguments)
    try:
        result = load_command().main(args=arguments, prog_name="piactl", standalone_mode=False)
    except typer.Exit as leave:
        return int(leave.exit_code)
    except typer.Abort:
        raise Interrupted from None
    except Exception as error:
        if not isinstance(error, _COMMAND_LINE_ERROR):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            _show_help(error)
            return int(Exit.USAGE)
        raise UsageError(_wrong_words(error, arguments)) from None
    if result == Exit.INTERRUPTED:  # while typer read the options, which ends without a word
        raise Interrupted
    return result if isinstance(result, int) else int(Exit.DONE)
