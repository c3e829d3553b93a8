"""`dataclass` as in the standard library, for commands that start often.

The standard library compiles up to seven methods of each class when its module is loaded, which was a
fifth of the CPU of `account show`, and looks for special types in each annotation. Here only `__init__` is
compiled, when the first object is made. It sets the fields of a frozen class by their slots, which takes half
the time of `object.__setattr__`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False):
        """Makes a dataclass for which `dataclasses.fields`, `replace` and `asdict` work, but not InitVar."""

        def made(cls):
            own_names = set(cls.__dict__)
            if not cls.__doc__:  # the standard library would generate one from the signature
                cls.__doc__ = cls.__name__
            types = inspect.get_annotations(cls)
            if not any(special in str(type_) for type_ in types.values() for special in _SPECIAL):
                # the standard library would look for these in each text with a regular expression
                cls.__annotations__ = dict.fromkeys(types, object)
            cls = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
            cls.__annotations__ = types
            for field in dataclasses.fields(cls):
                field.type = types.get(field.name, field.type)
            for name, method in _methods(cls, frozen, slots).items():
                if name not in own_names:
                    setattr(cls, name, method)
            return cls

        return made if cls is None else made(cls)


_SPECIAL = ("ClassVar", "InitVar", "KW_ONLY")


def _methods(cls: Any, frozen: bool, slots: bool) -> dict[str, Any]:
    fields = dataclasses.fields(cls)
    compared = _values([field.name for field in fields if field.compare])

    def equal(self: Any, other: Any) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    methods = {"__init__": _Init(cls, frozen, slots), "__repr__": _repr, "__eq__": equal, "__hash__": None}
    if frozen:
        methods["__hash__"] = lambda self: hash(compared(self))
        methods |= {"__setattr__": _refuse_assignment, "__delattr__": _refuse_deletion}
    if frozen and slots:  # unpickling would assign the fields, which a frozen class refuses
        stored = _values([field.name for field in fields])

        def restore(self: Any, values: tuple[Any, ...]) -> None:
            for field, value in zip(fields, values, strict=True):
                getattr(cls, field.name).__set__(self, value)

        methods |= {"__getstate__": lambda self: stored(self), "__setstate__": restore}
    return methods


def _values(names: list[str]) -> Callable[[Any], Any]:
    """A function that returns the values of these fields of an object, as a tuple."""
    return attrgetter(*names) if len(names) > 1 else lambda self: tuple(getattr(self, n) for n in names)


def _repr(self: Any) -> str:
    names = (field.name for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _refuse_assignment(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


class _Init:
    """The `__init__` of a dataclass until it is used: then the compiled one takes its place."""

    __slots__ = ("_cls", "_frozen", "_slots")

    def __init__(self, cls: Any, frozen: bool, slots: bool) -> None:
        self._cls, self._frozen, self._slots = cls, frozen, slots

    def __get__(self, instance: object, owner: type) -> Any:
        self._cls.__init__ = _compiled(self._cls, self._frozen, self._slots)
        return getattr(owner if instance is None else instance, "__init__")  # noqa: B009 - for mypy


def _compiled(cls: Any, frozen: bool, slots: bool) -> Any:
    values: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters: dict[bool, list[str]] = {False: [], True: []}
    body = []
    for field in dataclasses.fields(cls):
        name = value = field.name
        default = ""
        if field.default_factory is not dataclasses.MISSING:
            values[f"_new_{name}"] = field.default_factory
            default = "=_missing"
            value = f"_new_{name}() if {name} is _missing else {name}" if field.init else f"_new_{name}()"
        elif field.default is not dataclasses.MISSING:
            values[f"_default_{name}"] = field.default
            default = f"=_default_{name}"
        if field.init:
            parameters[bool(field.kw_only)].append(name + default)
        if frozen and slots:
            values[f"_set_{name}"] = getattr(cls, name).__set__
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    named = ["*", *parameters[True]] if parameters[True] else []
    text = (
        f"def create({', '.join(values)}):\n"
        f" def __init__({', '.join(['self', *parameters[False], *named])}):\n  "
        + "\n  ".join(body or ["pass"])
        + "\n return __init__"
    )
    made: dict[str, Any] = {}
    exec(text, {"__name__": cls.__module__}, made)  # noqa: S102 # nosec B102 - made of field names only
    method = made["create"](**values)
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    method.__annotations__ = {field.name: field.type for field in dataclasses.fields(cls)}
    return method
