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

from piactl.phrase import Phrase, keep_forms, with_phrases

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
    fields that are not the name. Sentences of `sentences` are kept with
    their forms (see piactl.phrase)."""

    only: Collection[str] = ()
    brief: Collection[str] = ()
    inline: str = ""
    forms: Mapping[str, Form] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    sentences: bool = False


LAYOUTS: dict[type, Layout | Form] = {}
"""The layouts of classes, and the forms of those that are one text."""


_PLAIN = frozenset({str, Phrase, int, float, bool, type(None)})


def to_json(value: Any) -> Any:
    """The value as JSON has it."""
    if type(value) in _PLAIN:
        return value
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
    return _reader(hint)(data, name)


def reader_of(hint: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Reads records of this type."""
    return lambda record: from_json(hint, record)


_Read = Callable[[Any, str], Any]
"""Reads a value, with the name of where it stands."""


@cache
def _reader(hint: Any) -> _Read:
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        inner = _reader(next(one for one in arguments if one is not type(None)))
        return lambda data, name: None if data is None else inner(data, name)
    layout = LAYOUTS.get(origin)
    if isinstance(layout, Form):
        form = layout
        return lambda data, _name: form.read(data)
    if is_dataclass(origin):
        return _reader_of_class(cast(Any, origin), layout or Layout())
    if is_typeddict(origin):
        return _reader_of_keys(origin)
    if origin is Mapping:
        key, item = map(_reader, arguments)
        return lambda data, name: {
            key(one, name): item(value, one) for one, value in _expected(data, dict, name).items()
        }
    if origin in (tuple, frozenset, Sequence):
        return _reader_of_list(frozenset if origin is frozenset else tuple, arguments)
    if issubclass(origin, Enum):
        return lambda data, _name: origin(data)
    return _SINGLE.get(origin) or (lambda data, name: _expected(data, origin, name))


def _reader_of_list(form: Callable[[Any], Any], arguments: tuple[Any, ...]) -> _Read:
    if arguments[1:] in ((), (...,)):
        item = _reader(arguments[0])
        return lambda data, name: form([item(one, name) for one in _expected(data, list, name)])
    items = [*map(_reader, arguments)]
    return lambda data, name: form(
        [item(one, name) for item, one in zip(items, _expected(data, list, name), strict=True)]
    )


def _reader_of_keys(form: Any) -> _Read:
    readers = {key: _reader(kind) for key, kind in get_type_hints(form).items()}
    required = form.__required_keys__

    def read(data: Any, name: str) -> Any:
        record = _expected(data, dict, name)
        keys = (key for key in readers if key in record or key in required)
        return {key: readers[key](record[key], key) for key in keys}

    return read


def _reader_of_class(form: Callable[..., Any], layout: Layout) -> _Read:
    slots = []
    for name, (slot, hint) in _fields(form).items():
        own = layout.forms.get(name)
        each = _reader(hint) if own is None else cast(_Read, lambda data, _name, own=own: own.read(data))
        slots.append((name, layout.names.get(name, name), _usual(slot) is MISSING, each))
    keys = {key for _, key, _, _ in slots}

    def read(data: Any, name: str) -> Any:
        record, values = _expected(data, dict, name), {}
        if layout.sentences:
            record = with_phrases(record)
        for field_name, key, required, each in slots:
            if field_name == layout.inline:
                values[field_name] = each({k: one for k, one in record.items() if k not in keys}, name)
            elif key in record or required:
                values[field_name] = each(record[key], key)
        return form(**values)

    return read


def _read_instant(data: Any, name: str) -> datetime:
    instant = datetime.fromisoformat(_expected(data, str, name))
    if instant.tzinfo is None:
        raise Misshapen(Phrase("{name} has no time zone", name=repr(name)))
    return instant.astimezone(UTC)


def _read_day(data: Any, name: str) -> date:
    day = date.fromisoformat(_expected(data, str, name))
    if not 1000 <= day.year < 9000:
        raise Misshapen(Phrase("{name} is a day that nothing can mean", name=repr(name)))
    return day


def _read_number(data: Any, name: str) -> int:
    if type(data) is not int or data < 0:
        raise Misshapen(_is_not(name, _NUMBER))
    return data


def _read_share(data: Any, name: str) -> float:
    if type(data) not in (int, float):
        raise Misshapen(_is_not(name, _NUMBER))
    return float(data)


_SINGLE: Mapping[type, _Read] = {
    int: _read_number,
    float: _read_share,
    date: _read_day,
    datetime: _read_instant,
}


def _expected(data: Any, form: type[T], name: str) -> T:
    if not isinstance(data, form):
        raise Misshapen(_is_not(name, _WORDS.get(form, _NUMBER)))
    return data


def _is_not(name: str, kind: str) -> Phrase:
    return Phrase("{name} is not {kind}", name=repr(name), kind=kind)


_NUMBER = Phrase("a number")
_WORDS: Mapping[type, str] = {
    str: Phrase("text"),
    bool: Phrase("true or false"),
    list: Phrase("a list"),
    dict: Phrase("an object"),
}


@cache
def _fields(form: Any) -> dict[str, tuple[Field[Any], Any]]:
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
    return keep_forms(record) if layout.sentences else record


def _usual(slot: Field[Any]) -> Any:
    return slot.default_factory() if slot.default_factory is not MISSING else slot.default
