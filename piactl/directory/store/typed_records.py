"""The one reader and the one writer of what piactl keeps as JSON: the type of a value is its definition.

A key that no field has is not read, and a field without its key has its default. What a type alone does not
say stands in its `Layout`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")


class Misshapen(ValueError):
    """A record has a wrong shape; the text contains no value of it."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written, if its type does not say it, and how it is read."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a class is written: `only` these fields (all if empty), `brief` ones only if they do not have their
    default; the fields of the value `inline` stand among its own; `forms` are by field, `names` the keys of
    fields that are not the name."""

    only: Collection[str] = ()
    brief: Collection[str] = ()
    inline: str = ""
    forms: Mapping[str, Form] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


LAYOUTS: dict[type, Layout | Form] = {}
"""The layouts of classes, and the forms of those that are one text."""


def to_json(value: Any) -> Any:
    """The value as JSON has it."""
    layout = LAYOUTS.get(type(value))
    if isinstance(layout, Form):
        return layout.write(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value, layout or Layout())
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(one) for key, one in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(to_json, value))
    return [*map(to_json, value)] if isinstance(value, (tuple, list)) else value


def from_json(hint: Any, data: Any, name: str = "record") -> Any:
    """The value of this type in JSON; `name` says where it stands. Raises Misshapen, KeyError, ValueError."""
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return from_json(next(one for one in arguments if one is not type(None)), data, name)
    layout = LAYOUTS.get(origin)
    if isinstance(layout, Form):
        return layout.read(data)
    if is_dataclass(origin):
        return _value(cast(Any, origin), _expected(data, dict, name), layout or Layout())
    if is_typeddict(origin):
        record = _expected(data, dict, name)
        kinds = get_type_hints(origin)
        missing = (key for key in origin.__required_keys__ if key not in record)
        return {key: from_json(kinds[key], record[key], key) for key in (*missing, *record) if key in kinds}
    if origin is Mapping:
        key, item = arguments
        each = _expected(data, dict, name).items()
        return {from_json(key, one, name): from_json(item, value, name) for one, value in each}
    if origin in (tuple, frozenset, Sequence):
        values = _expected(data, list, name)
        several = arguments[1:] in ((), (...,))
        hints = arguments[:1] * len(values) if several else arguments
        made = (from_json(one, value, name) for one, value in zip(hints, values, strict=True))
        return frozenset(made) if origin is frozenset else tuple(made)
    return _single(origin, data, name)


def reader_of(hint: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Reads records of this type."""
    return lambda record: from_json(hint, record)


def _single(form: Any, data: Any, name: str) -> Any:
    if form is datetime:
        instant = datetime.fromisoformat(_expected(data, str, name))
        if instant.tzinfo is None:
            raise Misshapen(f"{name!r} has no time zone")
        return instant.astimezone(UTC)
    if form is date:
        day = date.fromisoformat(_expected(data, str, name))
        if not 1000 <= day.year < 9000:
            raise Misshapen(f"{name!r} is a day that nothing can mean")
        return day
    if issubclass(form, Enum):
        return form(data)
    if form is int and (not isinstance(data, int) or isinstance(data, bool) or data < 0):
        raise Misshapen(f"{name!r} is not a number")
    return _expected(data, form, name)


def _expected(data: Any, form: type[T], name: str) -> T:
    if not isinstance(data, form):
        raise Misshapen(f"{name!r} is not {_WORDS[form]}")
    return data


_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@cache
def _fields(form: Any) -> dict[str, tuple[Field[Any], Any]]:
    """The fields of a class that are written, each with its type."""
    hints, layout = get_type_hints(form), LAYOUTS.get(form)
    only = layout.only if isinstance(layout, Layout) else ()
    return {one.name: (one, hints[one.name]) for one in fields(form) if not only or one.name in only}


def _object(value: Any, layout: Layout) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, (slot, _) in _fields(cast(Any, type(value))).items():
        one = getattr(value, name)
        if name == layout.inline:
            record = {**_object(one, cast(Layout, LAYOUTS.get(type(one), Layout()))), **record}
        elif name not in layout.brief or one != _usual(slot):
            form = layout.forms.get(name)
            record[layout.names.get(name, name)] = form.write(one) if form else to_json(one)
    return record


def _value(form: type[T], record: Mapping[str, Any], layout: Layout) -> T:
    values: dict[str, Any] = {}
    own = {layout.names.get(name, name) for name in _fields(cast(Any, form))} if layout.inline else set()
    for name, (slot, hint) in _fields(cast(Any, form)).items():
        key, special = layout.names.get(name, name), layout.forms.get(name)
        if name == layout.inline:
            values[name] = from_json(hint, {k: one for k, one in record.items() if k not in own}, name)
        elif key in record or _usual(slot) is MISSING:
            values[name] = special.read(record[key]) if special else from_json(hint, record[key], key)
    return form(**values)


def _usual(slot: Field[Any]) -> Any:
    return slot.default_factory() if slot.default_factory is not MISSING else slot.default
