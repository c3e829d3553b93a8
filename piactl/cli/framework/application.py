"""Assembles the application: loads the requested command, and only the names of the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from piactl import __version__
from piactl.cli.framework.commands import COMMANDS, GROUPS, NOUNS, asked
from piactl.cli.framework.context import chosen
from piactl.cli.framework.host import refuse_command
from piactl.cli.framework.options import read_names
from piactl.cli.framework.terminal import ask_reason, discard
from piactl.errors import Exit, Interrupted, ReasonMissing, UsageError


class PlainCommand(TyperCommand):
    """A command whose help has no Python types."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            parameters = [p for p in self.get_params(ctx) if p.param_type_name == kind]
            if rows := [row for p in parameters if (row := plain_help(p, ctx))]:
                with formatter.section(title):
                    formatter.write_dl(rows)


class GroupedCommands(TyperGroup):
    """The commands in the help, in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, words in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{w:<10}", self.commands[w].get_short_help_str(70)) for w in words.split()]
                )


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


class NotLoaded(Exception):
    """A command was called that is not loaded."""


def _unloaded() -> None:
    raise NotLoaded


def assembled(noun: str = "", verb: str = "", *, whole: bool = False) -> Any:
    """The application with the command `noun verb`, or with all commands if `whole`."""
    command: Any = get_command(_application(noun, verb, whole=whole))
    # typer lists groups last
    first = dict.fromkeys(words.partition(" ")[0] for words in COMMANDS)
    command.commands = {name: command.commands[name] for name in first if name in command.commands}
    return command


def _application(noun: str, verb: str, *, whole: bool) -> typer.Typer:
    app = typer.Typer(
        name="piactl",
        cls=GroupedCommands,
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(front)
    nouns: dict[str, typer.Typer] = {}
    for words, command in COMMANDS.items():
        short = command.summary
        first, _, second = words.partition(" ")
        wanted = whole or (first, second) in ((noun, ""), (noun, verb))
        if second and (whole or first == noun):
            if first not in nouns:
                nouns[first] = typer.Typer(no_args_is_help=True, help=NOUNS[first])
                app.add_typer(nouns[first], name=first, short_help=NOUNS[first])
            _add(nouns[first], second, _loaded(words) if wanted else _unloaded, short)
        elif not second:
            _add(app, first, _loaded(words) if wanted else _unloaded, short)
        elif first not in nouns:
            nouns[first] = app
            _add(app, first, _unloaded, NOUNS[first])
    return app


def _loaded(words: str) -> Callable[..., Any]:
    """The function of a command, which first refuses a caller who may not run it, and reads the names of
    accounts."""
    line = COMMANDS[words]
    function: Callable[..., Any] = getattr(import_module(f"piactl.cli.commands.{line.module}"), line.function)

    @wraps(function)
    def permitted(*args: Any, **values: Any) -> Any:
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
            raise Interrupted(*interrupt.args) from None

    return permitted


def _add(app: typer.Typer, name: str, function: Callable[..., Any], short: str) -> None:
    if function is _unloaded:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(name, short_help=short, context_settings=settings)(function)
    else:
        text, _, example = (function.__doc__ or "").partition("Example: ")
        words, example = text.rstrip(), _at_the_end(example)
        app.command(name, cls=PlainCommand, short_help=short, help=words, epilog=example)(function)


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


def _wrong_words(error: Any) -> str:
    """The message for a usage error, with the command that shows the help."""
    # remove a detail of typer's conversion
    words = str(error.format_message()).replace(": Value error, ", ": ")
    place = getattr(error, "ctx", None)
    return f"{words}\nSee: {place.command_path if place else 'piactl'} --help"


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
    chosen.printed = False
    _refuse_undecodable(arguments)
    chosen.words = tuple(arguments)
    try:
        try:
            result = _run(assembled(*asked(arguments)), arguments)
        except NotLoaded:
            result = _run(assembled(whole=True), arguments)
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
        raise UsageError(_wrong_words(error)) from None
    if result == Exit.INTERRUPTED:  # while typer read the options, which ends without a word
        raise Interrupted
    return result if isinstance(result, int) else int(Exit.DONE)


def _run(command: Any, arguments: list[str]) -> Any:
    return command.main(args=arguments, prog_name="piactl", standalone_mode=False)
