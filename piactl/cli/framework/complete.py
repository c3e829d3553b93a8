"""Suggests completions of a command line to shells.

Commands come from their table, options from typer; services, profiles, uids and runs
are looked up. After an error there are no suggestions, and no message.

typer's own completion takes the words from the environment, which sudo drops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, NOUNS
from piactl.cli.framework.configuration import (
    Configuration,
    chosen,
    this_configuration,
    use_configured_language,
)
from piactl.cli.framework.start_through_sudo import refuse_command
from piactl.core.model.account import State
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.directory.store.attribute_scans import suggested_cases, suggested_runs, suggested_uids
from piactl.host.secret_files import identity_password
from piactl.translation import translate_word

Suggestion = tuple[str, str]
"""A word and its meaning, "" if it needs none."""

FILES = ":files"
"""Returned instead of suggestions: the shell itself completes file names."""


def completed(words: Sequence[str]) -> list[Suggestion]:
    """The suggestions for the last word. bash splits words at `=`; a lone `=` joins them again."""
    before, last = _joined(words)
    prefix = ""
    config, rest = _config(before)
    chosen.config, chosen.configuration = config, None
    use_configured_language()
    if rest is None:
        return [(FILES, "")]
    path, after = _path(rest)
    if path not in COMMANDS:
        return _fitting(_below(path), last) if not after else []

    available = load_command(path).params
    option, positional = _place(after, available)
    if option is None and last.startswith("-") and last != "-":
        name, sign, value = last.partition("=")
        option = _option(name, available) if sign else None
        if option is None:
            return _fitting(_options(available), last)
        last, prefix = value, f"{name}="
    target = option or _argument(positional, available)
    if target is None:
        return []
    suggestions = _fitting(_values(target, _Asked(last)), last)
    return [(word if word == FILES else prefix + word, meaning) for word, meaning in suggestions]


def _joined(words: Sequence[str]) -> tuple[list[str], str]:
    """The words before the last, and the last word."""
    joined: list[str] = []
    index = 0
    while index < len(words):
        if words[index] == "=" and joined and joined[-1].startswith("--"):
            following = words[index + 1] if index + 1 < len(words) else ""
            if index + 2 >= len(words):
                return joined, following
            joined.append(following)
            index += 2
            continue
        joined.append(words[index])
        index += 1
    return joined[:-1], joined[-1] if joined else ""


def _config(words: Sequence[str]) -> tuple[str, list[str] | None]:
    config, rest = "", list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        if name == "--config" and not sign:
            if not rest:
                return "", None
            value = rest.pop(0)
        config = value if name == "--config" else config
    return config, rest


def _path(words: Sequence[str]) -> tuple[str, list[str]]:
    if words and words[0] in NOUNS and len(words) > 1 and f"{words[0]} {words[1]}" in COMMANDS:
        return f"{words[0]} {words[1]}", list(words[2:])
    if words and (words[0] in COMMANDS or words[0] in NOUNS):
        return words[0], list(words[1:])
    return "", list(words)


def _below(path: str) -> list[Suggestion]:
    group = load_command(path)
    suggestions = [(word, translate_word(line)) for word, line in group.commands.summaries.items()]
    return [*suggestions, *_options(group.params)]


def _place(words: Sequence[str], available: Sequence[Any]) -> tuple[Any, int]:
    """The option whose value comes next, or None, and the number of arguments so far."""
    option: Any = None
    positional = 0
    for word in words:
        if option is not None:
            option = None
        elif word.startswith("-") and word != "-":
            named = _option(word, available)
            option = named if named is not None and not named.is_flag else None
        else:
            positional += 1
    return option, positional


def _option(word: str, available: Sequence[Any]) -> Any:
    return next((p for p in available if word.startswith("-") and word in p.opts), None)


def _argument(number: int, available: Sequence[Any]) -> Any:
    arguments = [parameter for parameter in available if parameter.param_type_name == "argument"]
    if number < len(arguments):
        return arguments[number]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _options(available: Iterable[Any]) -> list[Suggestion]:
    options = [parameter for parameter in available if parameter.param_type_name == "option"]
    long = [(max(p.opts, key=len), translate_word(p.help or "").split(". ")[0]) for p in options]
    return [*long, ("--help", translate_word("Show this message and exit."))]


def _fitting(suggestions: Iterable[Suggestion], last: str) -> list[Suggestion]:
    fitting = [(word, meaning) for word, meaning in suggestions if word == FILES or word.startswith(last)]
    if last.startswith("-"):
        return fitting
    return [suggestion for suggestion in fitting if not suggestion[0].startswith("-")] or fitting


def complete(words: Sequence[str], put: Callable[[str], Any]) -> int:
    """Prints one suggestion per line, with its meaning after a tab. Never fails and never writes messages."""
    try:
        for word, meaning in completed(words):
            put(f"{word}\t{meaning}\n" if meaning else f"{word}\n")
    except Exception:  # noqa: BLE001 - somebody who is typing expects no error
        return 0
    return 0


SECONDS = 0.15
"""The seconds that a lookup in the directory may take, so that the shell stays responsive."""

_FILES = ("FILE", "DIR", "PLAN", "FEED")


class _Asked(NamedTuple):
    """A value that is being typed: what is typed of it."""

    last: str

    @property
    def configuration(self) -> Configuration:
        refuse_command("completion")
        return this_configuration()


def _values(parameter: Any, asked: _Asked) -> list[Suggestion]:
    """The values of a parameter of typer, by what its help calls them. Raises any error of the lookup."""
    metavar = parameter.metavar or ""
    if metavar and metavar.islower():
        return _bare(metavar.split("|"))
    kind = (metavar or parameter.name).strip("[].").upper()
    if kind in _FILES:
        return [(FILES, "")]
    look_up = _LOOKUPS.get(kind)
    return list(look_up(asked)) if look_up else []


def _bare(words: Iterable[object]) -> list[Suggestion]:
    return [(str(word), "") for word in words]


def _in_directory(suggested: Callable[..., Iterable[str]], asked: _Asked) -> list[Suggestion]:
    return _bare(suggested(asked.configuration.settings.directory, identity_password, asked.last, SECONDS))


def _runs(asked: _Asked) -> list[Suggestion]:
    return [("last", translate_word("The last run.")), *reversed(_in_directory(suggested_runs, asked))]


def _services(asked: _Asked) -> list[Suggestion]:
    return [(name, entry.label) for name, entry in asked.configuration.policy.services.items()]


def _functions(asked: _Asked) -> list[Suggestion]:
    functions = {
        function: entry.name
        for entry in reversed(asked.configuration.policy.profiles)
        for function in entry.when.conditions.get("fonction", ())
    }
    return sorted(functions.items())


def _uais(asked: _Asked) -> list[Suggestion]:
    return [(uai, entry.name) for uai, entry in asked.configuration.register.items()]


_LOOKUPS: Mapping[str, Callable[[_Asked], Iterable[Suggestion]]] = {
    "ACCOUNT": partial(_in_directory, suggested_uids),
    "SPONSOR": partial(_in_directory, suggested_uids),
    "SERVICE": _services,
    "SERVICE|LOGIN": lambda asked: [
        ("login", translate_word("Why logging in works or does not.")),
        *_services(asked),
    ],
    "PROFILE": lambda asked: _bare(entry.name for entry in asked.configuration.policy.profiles),
    "STATE": lambda _: _bare(state.value for state in State),
    "UAI": _uais,
    "FUNCTION": _functions,
    "SOURCE": lambda asked: _bare(asked.configuration.settings.sources),
    "CASE": partial(_in_directory, suggested_cases),
    "RUN": _runs,
    "KIND=N": lambda _: _bare(f"{kind}=" for kind in GUARD_KINDS),
    "KIND": lambda _: _bare(kind.value for kind in Kind),
    "SHELL": lambda _: _bare(("bash", "zsh", "fish")),
}
