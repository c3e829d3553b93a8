"""The application of typer: the requested command, and only the names of the others; and what is wrong with a
command line, in sentences of piactl, because typer has its own in English only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, wraps
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from piactl import __version__
from piactl.cli.framework.command_table import COMMANDS, GROUPS, NOUNS, asked
from piactl.cli.framework.configuration import chosen, use_configured_language
from piactl.cli.framework.interrupts import reach_the_command
from piactl.cli.framework.options import read_names
from piactl.cli.framework.start_through_sudo import refuse_command
from piactl.cli.framework.terminal import UNCHANGED, ask_reason, discard
from piactl.config.nearest_word import nearest
from piactl.errors import Exit, Interrupted, ReasonMissing, UsageError
from piactl.phrase import Phrase, joined
from piactl.translation import in_french, translate_word

_BEFORE_MARK = re.compile(" (?=[:;?])")
_NO_BREAK = "\N{NO-BREAK SPACE}"


class _Help:
    """The help in the language of the process, without Python types."""

    def get_help(self, ctx: Any) -> str:
        use_configured_language()
        text: str = super().get_help(ctx)  # type: ignore[misc]
        return text.replace(_NO_BREAK, " ")

    def format_usage(self: Any, ctx: Any, formatter: Any) -> None:
        pieces = map(in_words, self.collect_usage_pieces(ctx))
        formatter.write_usage(ctx.command_path, " ".join(pieces), translate_word("Usage: "))

    def format_help_text(self: Any, ctx: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(map(_translated, paragraphs(self))))

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:
        titles = {"argument": translate_word("Arguments:"), "option": translate_word("Options:")}
        for kind, title in titles.items():
            parameters = [p for p in self.get_params(ctx) if p.param_type_name == kind]
            if rows := [row for p in parameters if (row := plain_help(p, ctx))]:
                with _section(formatter, title):
                    formatter.write_dl(rows)

    def format_epilog(self: Any, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text("\b\n" + translate_word("Example:") + self.epilog.partition(":")[2])


class PlainCommand(_Help, TyperCommand):
    """A command of the table."""

    allow_extra_args = True  # so that `parse_args` gets them

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            problem = Phrase("One argument too many: {words}", words=" ".join(extra))
            raise UsageError(see_help(ctx.command_path, problem))
        return extra


class CommandGroup(_Help, TyperGroup):
    """The first words of the commands, or those below one of them, in a `Table`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        table: Any = self.commands
        if args[0] not in table and not args[0].startswith("-"):
            raise UsageError(see_help(ctx.command_path, unknown_command(args, table.noun)))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        table: Any = self.commands
        if table.noun:
            with _section(formatter, translate_word("Commands:")):
                formatter.write_dl([(word, _translated(line)) for word, line in table.summaries.items()])
            return
        for title, words in GROUPS.items():
            with _section(formatter, translate_word(title)):
                formatter.write_dl(
                    [(f"{word:<10}", _translated(table.summaries[word])) for word in words.split()]
                )


def _section(formatter: Any, title: str) -> Any:
    return formatter.section(title.removesuffix(":"))  # which adds it


def _translated(text: str) -> str:
    """A text whose lines do not begin with a mark in French."""
    return _BEFORE_MARK.sub(_NO_BREAK, translate_word(text))


def paragraphs(command: Any) -> list[str]:
    """The paragraphs of the help of a command, each as one line."""
    return [" ".join(paragraph.split()) for paragraph in cleandoc(command.help).split("\n\n")]


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
    text = parameter.help or ""
    notes = _NOTE.sub(lambda note: translate_word(note[0]), row[1].removeprefix(text))
    return in_words(words), _translated(text) + notes


_WORDS = {"str": "TEXT", "list[str]": "TEXT", "int": "N", "int range": "N", "path": "FILE"}
"""The types that typer writes in help, in the words of the manual."""
_NOTE = re.compile("required|default: |env var: ")
"""What typer adds to the help of a parameter, in brackets."""

_HELP = "Administer staff accounts in an LDAP directory from HR data."


def _choose(config: str) -> str:
    """At once, because help and usage errors are in the language of the configuration."""
    chosen.config, chosen.configuration = config, None
    return config


def _version(wanted: bool) -> None:
    if wanted:
        print(f"piactl {__version__}")
        raise typer.Exit


def front(
    config: Annotated[
        str,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="PIACTL_CONFIG",
            callback=_choose,
            is_eager=True,
            help="The configuration file (piactl.yaml).",
        ),
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options before the command."""


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
                Phrase(
                    "{argument}: not valid UTF-8; type it where LANG is a UTF-8 locale, "
                    "or give the file another name",
                    argument=argument,
                )
            ) from None


def application(arguments: list[str]) -> int:
    """Runs the command of the arguments and returns its exit code."""
    chosen.printed = chosen.began = False
    chosen.config, chosen.configuration = "", None
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
        raise UsageError(wrong_words(error, arguments)) from None
    if result == Exit.INTERRUPTED:  # while typer read the options, which ends without a word
        raise Interrupted
    return result if isinstance(result, int) else int(Exit.DONE)


# ---- what is wrong with a command line


_NEAR_ENOUGH = 70


def wrong_words(error: Any, arguments: list[str]) -> Phrase:
    """The message for a usage error of typer, with the command that shows the help. Some errors do not say
    whose they are."""
    place = getattr(error, "ctx", None)
    command = place.command_path if place else " ".join(["piactl", *filter(None, asked(arguments))])
    return see_help(command, _problem(error, arguments))


def see_help(command: str, problem: str) -> Phrase:
    """The problem with a command, with the command that shows the help."""
    return Phrase("{problem}\nSee: {command} --help", problem=problem, command=command)


def _problem(error: Any, arguments: list[str]) -> str:
    # newer versions of typer bundle click, older ones use the library: the names are the same in both
    kind = type(error).__name__
    if kind == "MissingParameter" and error.param:
        if error.param.param_type_name == "argument":
            return Phrase("Missing argument {name}", name=_name(error.param))
        return Phrase("Missing option {name}", name=_name(error.param))
    if kind == "NoSuchOption":
        names = [name for p in error.ctx.command.params for name in p.opts] if error.ctx else []
        options = [name for name in names if name.startswith("--")]
        problem = Phrase("No such option: {option}", option=error.option_name)
        meant = nearest(error.option_name, [*options, "--help"], _NEAR_ENOUGH)
        if meant or not options:
            return _with_meant(problem, meant)
        return Phrase("{problem}; there are: {names}", problem=problem, names=", ".join(options))
    if kind == "BadOptionUsage":
        if any(argument.startswith(f"{error.option_name}=") for argument in arguments):
            return Phrase("Option {option} does not take a value", option=error.option_name)
        return Phrase("Option {option} needs a value", option=error.option_name)
    if isinstance(error, typer.BadParameter) and error.param:
        return Phrase("Invalid value for {name}: {problem}", name=_name(error.param), problem=error.message)
    if not asked(arguments)[0]:
        return Phrase("Missing command")
    return str(error.format_message())


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return " / ".join(parameter.opts)
    return Phrase(VALUE.findall(parameter.metavar or parameter.name.upper())[0])


def in_words(text: str) -> str:
    """The terms of options and arguments with their values (FILE, DATE) in the language of the process."""
    return VALUE.sub(lambda value: translate_word(value[0]), text)


VALUE = re.compile("[A-Z][A-Z0-9]+")


def unknown_command(words: Sequence[str], noun: str) -> str:
    """The problem with words that begin no command below a noun, "" for the first word of all."""
    problem = Phrase("No such command: {word}", word=" ".join(filter(None, ("piactl", noun, words[0]))))
    meant = _command_meant(words, noun)
    return _with_meant(problem, f"piactl {meant}" if meant else None)


def _with_meant(problem: Phrase, word: str | None) -> str:
    return joined([problem, Phrase("did you mean {word}?", word=word)] if word else [problem])


def _command_meant(words: Sequence[str], noun: str) -> str:
    """The command that somebody probably meant, who may have typed French words; "" if none is near."""
    before = f"{noun} " if noun else ""
    paths = {path.removeprefix(before).split()[0] for path in COMMANDS if path.startswith(before)}
    french = {word: path for path in sorted(paths) for word in in_french(f"piactl {before}{path}").split()}
    names = french | {path: path for path in paths}
    word = nearest(words[0], names, _NEAR_ENOUGH)
    if word is None:
        return ""
    found = f"{before}{names[word]}"
    below = _command_meant(words[1:], found) if found in NOUNS and words[1:] else ""
    return below or found
