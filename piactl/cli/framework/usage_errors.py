"""What is wrong with a command line, in sentences of piactl: typer has its own in English only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer

from piactl.cli.framework.command_table import COMMANDS, NOUNS, asked
from piactl.config.nearest_word import nearest
from piactl.phrase import Phrase, joined
from piactl.translation import in_french, translate_word

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
