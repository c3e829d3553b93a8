"""What a command takes, from its function, and the values that could be meant, for completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from piactl.cli.commands import COMMANDS
from piactl.cli.completing import FILES, Parameter, Suggestion

if TYPE_CHECKING:
    from piactl.core.settings import Settings

SECONDS = 0.15
"""What a lookup in the directory may take: who is typing does not wait."""

_FILES = ("FILE", "DIR", "PLAN", "FEED")


def parameters(words: str) -> list[Parameter]:
    """The options and arguments of a command, in the order of its function."""
    module, function, _ = COMMANDS[words]
    hints = get_type_hints(getattr(import_module(f"piactl.cli.{module}"), function), include_extras=True)
    return [_parameter(name, hint) for name, hint in hints.items() if get_origin(hint) is Annotated]


def _parameter(name: str, hint: Any) -> Parameter:
    annotation, info = get_args(hint)[:2]
    kinds = [one for one in (get_args(annotation) or (annotation,)) if one is not type(None)]
    several = get_origin(annotation) is list or any(get_origin(one) is list for one in kinds)
    kind = kinds[0]
    option = type(info).__name__ == "OptionInfo"
    # typer takes the first spelling in an annotation for a default, until it looks closer
    spelled = (info.default, *(info.param_decls or ()))
    declared = tuple(word for word in spelled if isinstance(word, str) and word.startswith("-"))
    words = (declared or (f"--{name.replace('_', '-')}",)) if option else ()
    if kind is bool:
        sort: Any = "flag"
    elif isinstance(kind, type) and issubclass(kind, Enum):
        sort = kind
    else:
        sort = (info.metavar or name).strip("[].").upper()
    return Parameter(words, sort, (info.help or "").split(". ")[0], several)


def looked_up(target: Parameter, last: str, config: str, *, first: bool) -> list[Suggestion]:
    """The values that a parameter can have; `first`: it is the first argument. Raises what goes wrong."""
    kind = target.kind
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [(str(one.value), "") for one in kind]
    if kind in _FILES:
        return [(FILES, "")]
    found = _LOOKUPS.get(kind) or _LOOKUPS.get(kind.partition("|")[0])
    return found(last, config, first) if found else []


def _settings(config: str) -> Settings:
    from pathlib import Path

    from piactl.cli.context import chosen, configuration_path
    from piactl.config.settings import read_settings

    chosen.config = config
    return read_settings(Path(configuration_path()))


def _accounts(last: str, config: str, _first: bool) -> list[Suggestion]:
    from piactl.directory.suggesting import suggested_uids
    from piactl.secrets import read_password

    settings = _settings(config)
    return [(uid, "") for uid in suggested_uids(settings.directory, read_password, last, SECONDS)]


def _runs(last: str, config: str, _first: bool) -> list[Suggestion]:
    from piactl.directory.suggesting import suggested_runs
    from piactl.secrets import read_password

    settings = _settings(config)
    runs = suggested_runs(settings.directory, read_password, last, SECONDS)
    return [("last", "The last run."), *((run, "") for run in reversed(runs))]


def _services(_last: str, config: str, _first: bool) -> list[Suggestion]:
    return [(name, one.label) for name, one in _policy(config).services.items()]


def _services_or_login(last: str, config: str, first: bool) -> list[Suggestion]:
    return [("login", "Why logging in works or does not."), *_services(last, config, first)]


def _profiles(_last: str, config: str, _first: bool) -> list[Suggestion]:
    return [(one.name, "") for one in _policy(config).profiles]


def _policy(config: str) -> Any:
    from pathlib import Path

    from piactl.config.policy import read_policy

    return read_policy(Path(_settings(config).policy_file))


def _states(_last: str, _config: str, _first: bool) -> list[Suggestion]:
    from piactl.core.account import State

    return [(state.value, "") for state in State]


def _guarded(_last: str, _config: str, _first: bool) -> list[Suggestion]:
    from piactl.core.changes import Kind

    return [(f"{kind.value}=", "") for kind in Kind]


def _kinds(_last: str, _config: str, _first: bool) -> list[Suggestion]:
    from piactl.core.changes import Kind

    return [(kind.value, "") for kind in Kind]


def _shells(_last: str, _config: str, _first: bool) -> list[Suggestion]:
    return [(shell, "") for shell in ("bash", "zsh", "fish")]


Lookup = Callable[[str, str, bool], list[Suggestion]]
_LOOKUPS: Mapping[str, Lookup] = {
    "ACCOUNT": _accounts,
    "SPONSOR": _accounts,
    "SERVICE": _services,
    "SERVICE|LOGIN": _services_or_login,
    "PROFILE": _profiles,
    "STATE": _states,
    "RUN": _runs,
    "KIND=N": _guarded,
    "KIND": _kinds,
    "SHELL": _shells,
}
