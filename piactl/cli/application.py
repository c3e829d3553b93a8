"""The commands put together: the one that is asked for is loaded, of the others only words are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from piactl import __version__
from piactl.cli.commands import COMMANDS, NOUNS, asked
from piactl.cli.context import chosen, say
from piactl.cli.stdout import discard
from piactl.cli.values import read_plainly
from piactl.errors import Exit, UsageError

_HELP = "Administers the life of staff accounts in an LDAP directory, from what HR says."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"piactl {__version__}")
        raise typer.Exit


def front(
    config: Annotated[
        str, typer.Option("--config", envvar="PIACTL_CONFIG", help="The configuration file (piactl.yaml).")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    chosen.config = config


class NotLoaded(Exception):
    """A command was reached that only its words stand for."""


def _unloaded() -> None:
    raise NotLoaded


def assembled(noun: str = "", verb: str = "", *, whole: bool = False) -> Any:
    """The application with the command of these words, or with every command where `whole`."""
    command: Any = get_command(_application(noun, verb, whole=whole))
    # typer puts those with commands of their own last
    first = dict.fromkeys(words.partition(" ")[0] for words in COMMANDS)
    command.commands = {name: command.commands[name] for name in first}
    read_plainly(command)
    return command


def _application(noun: str, verb: str, *, whole: bool) -> typer.Typer:
    app = typer.Typer(
        name="piactl",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(front)
    nouns: dict[str, typer.Typer] = {}
    for words, (module, function, short) in COMMANDS.items():
        first, _, second = words.partition(" ")
        wanted = whole or (first, second) in ((noun, ""), (noun, verb))
        if second and (whole or first == noun):
            if first not in nouns:
                nouns[first] = typer.Typer(no_args_is_help=True, help=NOUNS[first])
                app.add_typer(nouns[first], name=first, short_help=NOUNS[first])
            _add(nouns[first], second, _loaded(module, function) if wanted else _unloaded, short)
        elif not second:
            _add(app, first, _loaded(module, function) if wanted else _unloaded, short)
        elif first not in nouns:
            nouns[first] = app
            _add(app, first, _unloaded, NOUNS[first])
    return app


def _loaded(module: str, function: str) -> Callable[..., Any]:
    loaded: Callable[..., Any] = getattr(import_module(f"piactl.cli.{module}"), function)
    return loaded


def _add(app: typer.Typer, name: str, function: Callable[..., Any], short: str) -> None:
    if function is _unloaded:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(name, short_help=short, context_settings=settings)(function)
    else:
        app.command(name, short_help=short)(function)


# typer brings a click of its own in newer versions and uses the library in older ones: its own exceptions
# lead to the class of all errors of the command line in both
_COMMAND_LINE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _wrong_words(error: Any) -> str:
    """What is wrong with the words of the command, and where its help is."""
    # typer shows how it looked at the value
    words = str(error.format_message()).replace(": Value error, ", ": ")
    place = getattr(error, "ctx", None)
    return f"{words}\nSee: {place.command_path if place else 'piactl'} --help"


def _show_help(error: Any) -> None:
    try:
        error.show()
    except OSError:  # a stderr that takes nothing is nobody listening
        discard(sys.stderr)


def _refuse_undecodable(arguments: list[str]) -> None:
    """Raises UsageError where an argument is no text: nothing that is written could hold it as it is."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{argument}: holds bytes that are no UTF-8 text; type it where LANG is a UTF-8 locale, "
                "or give the file another name"
            ) from None


def application(arguments: list[str]) -> int:
    """Runs the command that the arguments name; its exit code."""
    _refuse_undecodable(arguments)
    try:
        try:
            result = _run(assembled(*asked(arguments)), arguments)
        except NotLoaded:
            result = _run(assembled(whole=True), arguments)
    except typer.Exit as leave:
        return int(leave.exit_code)
    except typer.Abort:
        return 130
    except Exception as error:
        if not isinstance(error, _COMMAND_LINE_ERROR):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            _show_help(error)
        else:
            say(_wrong_words(error))
        return int(Exit.USAGE)
    return result if isinstance(result, int) else int(Exit.DONE)


def _run(command: Any, arguments: list[str]) -> Any:
    return command.main(args=arguments, prog_name="piactl", standalone_mode=False)
