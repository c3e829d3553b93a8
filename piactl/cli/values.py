"""The values of options and arguments, read without pydantic where they need no reading.

Newer versions of typer turn every value into its type by pydantic, whose import alone takes longer than
`account show`. Text, lists of text, words of an enumeration, and defaults that have their type already are
read here; everything else, and everything wrong, is left to typer, whose words are the ones that are shown.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args, get_origin


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
