"""piactl's dataclass is compared with that of the standard library, on classes with the same text."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from piactl import dataclass as own


class _Plain:
    """A base class with a docstring."""


def _frozen(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass(frozen=True, slots=True)
    class Frozen:
        a: int
        b: str = "x"
        secret: str = field(default="s", repr=False)
        c: list[int] = field(default_factory=list, compare=False)
        d: tuple[int, ...] = field(default=(), kw_only=True)

        @property
        def twice(self) -> int:
            return self.a * 2

    return Frozen  # type: ignore[no-any-return]


def _one_field(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass(frozen=True, slots=True)
    class OneField:
        a: int

    return OneField  # type: ignore[no-any-return]


def _with_dict(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass(frozen=True)
    class WithDict(_Plain):
        a: int
        b: int = 2

        def __hash__(self) -> int:
            return 7

    return WithDict  # type: ignore[no-any-return]


def _mutable(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass(slots=True)
    class Mutable:
        a: int
        made: dict[str, int] = field(default_factory=dict, init=False)

        def __post_init__(self) -> None:
            self.made["a"] = self.a

    return Mutable  # type: ignore[no-any-return]


def _empty(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass
    class Empty:
        none: ClassVar[int] = 0

    return Empty  # type: ignore[no-any-return]


def _below(dataclass: Callable[..., Any]) -> type[Any]:
    @dataclass(frozen=True, slots=True)
    class Below(_one_field(dataclass)):  # type: ignore[misc]
        b: int = 1

    return Below  # type: ignore[no-any-return]


_CASES: list[tuple[Callable[..., type[Any]], tuple[Any, ...], dict[str, Any]]] = [
    (_frozen, (1,), {"d": (3,)}),
    (_frozen, (1, "y", "t", [4]), {}),
    (_one_field, (1,), {}),
    (_with_dict, (1,), {"b": 3}),
    (_mutable, (1,), {}),
    (_empty, (), {}),
    (_below, (1,), {"b": 2}),
]


def _facts(cls: type[Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """What can be observed of an object, including the errors of refused operations."""
    instance = cls(*arguments, **named)
    facts: dict[str, Any] = {
        "repr": repr(instance).replace("dataclass.", ""),
        "equal": (instance == cls(*arguments, **named), instance == 3, instance != 3),
        "dict": dataclasses.asdict(instance),
        "names": [f.name for f in dataclasses.fields(instance)],
        "types": [f.type for f in dataclasses.fields(instance)],
        "annotations": inspect.get_annotations(cls),
        "signature": [(p.name, p.kind) for p in inspect.signature(cls).parameters.values()],
        "match": cls.__match_args__,
        "slots": hasattr(instance, "__dict__"),
        "copy": copy.copy(instance) == instance and copy.deepcopy(instance) == instance,
        "replace": repr(dataclasses.replace(instance, **({"a": 5} if arguments else {}))),
    }
    for name, act in {
        "hash": lambda: hash(instance),
        "set": lambda: setattr(instance, "a", 9),
        "delete": lambda: delattr(instance, "a"),
        "missing": lambda: cls(unknown=1),
    }.items():
        try:
            facts[name] = act()
        except (TypeError, AttributeError) as error:
            facts[name] = type(error)
    return facts


@pytest.mark.parametrize(("made", "arguments", "named"), _CASES)
def test_a_dataclass_behaves_as_that_of_the_standard_library(
    made: Callable[..., type[Any]], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    expected = _facts(made(dataclasses.dataclass), arguments, named)
    assert _facts(made(own.dataclass), arguments, named) == expected


def test_other_values_or_another_class_make_objects_unequal() -> None:
    one_field, below = _one_field(own.dataclass), _below(own.dataclass)
    assert one_field(1) != one_field(2)
    assert below(1, 2) != below(1, 3)
    assert one_field(1) != _one_field(own.dataclass)(1)  # the same values in another class


@own.dataclass(frozen=True, slots=True)
class _Stored:
    a: int
    b: tuple[str, ...] = ()


def test_a_frozen_object_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(_Stored(1, ("x",)))) == _Stored(1, ("x",))


def test_init_is_compiled_when_it_is_first_used() -> None:
    cls = _frozen(own.dataclass)
    assert not inspect.isfunction(cls.__dict__["__init__"])
    cls(1)
    assert inspect.isfunction(cls.__dict__["__init__"])
