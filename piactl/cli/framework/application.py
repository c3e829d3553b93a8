"""The commands put together: the one that is asked for is loaded, of the others only words are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.main import get_command

from piactl import __version__
from piactl.cli.framework.commands import COMMANDS, NOUNS, asked
from piactl.cli.framework.context import chosen, say
from piactl.cli.framework.terminal import discard
from piactl.errors import Exit, UsageError

# The values of options and arguments, converted without pydantic where they need no conversion.
#
# Newer versions of typer convert every value by pydantic. Its import takes 116 ms of CPU: `account show`
# takes 278 ms with `PlainValue` and 394 ms without it (medians of 20 on a busy machine). typer has no public
# way around it. Text, lists of text, members of an enumeration, and defaults that have their type already are
# converted here; everything else, and everything wrong, is left to typer, and so are its messages. Where
# typer lacks the private names that are used here, its own conversion stays.


class PlainValue:
    """Stands in for typer's own conversion of one parameter (`RuntimeParam`)."""

    def __init__(self, parameter: Any) -> None:
        self._annotation = parameter.type_descriptor.annotation
        self._special = parameter.type_descriptor.parameter_info.parser is not None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        read = self._read(value, several=several)
        if read is not None:
            return read
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)

    def _read(self, value: Any, *, several: bool) -> Any:
        """The value as its type; None where that is for typer to say."""
        annotation = self._annotation
        if self._special:
            return None
        if several:
            if get_origin(annotation) is not list or get_args(annotation) != (str,):
                return None
            texts = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
            return list(value) if texts else None
        if not isinstance(annotation, type):
            return None
        if isinstance(value, annotation) and annotation in (str, int):
            return value
        if issubclass(annotation, Enum):
            return next((one for one in annotation if value is one or value == one.value), None)
        return None


def read_plainly(command: Any) -> None:
    """Lets the parameters of a command and of those below it be read so, where typer has such a place."""
    for parameter in command.params:
        _read_plainly(parameter)
    help_option = command.get_help_option

    def plain_help_option(ctx: Any) -> Any:
        return _read_plainly(help_option(ctx))

    command.get_help_option = plain_help_option
    for below in getattr(command, "commands", {}).values():
        read_plainly(below)


def _read_plainly(parameter: Any) -> Any:
    if hasattr(parameter, "get_runtime_param") and getattr(parameter, "_runtime_param", "") is None:
        parameter._runtime_param = PlainValue(parameter)
    return parameter


_HELP = "Administers the life of staff accounts in an LDAP directory, from what HR says."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"piactl {__version__}")
        raise typer.Exit


def front(
    config: Annotated[
        str, typer.Option("--config", envvar="PIACTL_CONFIG", help="The configuration file (piactl.yaml).")
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="SERVER", help="Move the writes to this server; needs --reason.")
    ] = "",
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why the writes are moved to another server.")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    chosen.config, chosen.on, chosen.reason = config, on, reason


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
    loaded: Callable[..., Any] = getattr(import_module(f"piactl.cli.commands.{module}"), function)
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
