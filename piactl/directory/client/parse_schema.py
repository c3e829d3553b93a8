"""The schema of a server, parsed by ldap3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ldap3.protocol.rfc4512 import AttributeTypeInfo, ObjectClassInfo


class Subschema:
    """Attribute types and classes, from their definitions; found by any of their names, in any case."""

    def __init__(self, attributes: Sequence[bytes | str], classes: Sequence[bytes | str] = ()) -> None:
        self._attributes: Any = AttributeTypeInfo.from_definition([*attributes])  # type: ignore[no-untyped-call]
        self._classes: Any = ObjectClassInfo.from_definition([*classes])  # type: ignore[no-untyped-call]

    def has_attribute(self, name: str) -> bool:
        return name in self._attributes

    def has_class(self, name: str) -> bool:
        return name in self._classes

    def rule(self, name: str, kind: str) -> str:
        """The matching rule of an attribute, also if it is inherited; `kind` is equality, ordering or substr;
        "" for none."""
        while name in self._attributes:
            definition = self._attributes[name]
            if rule := getattr(definition, kind, None):
                return str(rule[0])
            name = definition.superior[0] if definition.superior else ""
        return ""

    def is_single(self, name: str) -> bool:
        return bool(self._attributes[name].single_value)

    def allows(self, classes: Iterable[str], name: str) -> bool:
        """Whether an entry of these classes can have the attribute; true if one of the classes is missing."""
        return any(
            object_class not in self._classes or name.lower() in self._allowed(object_class)
            for object_class in classes
        )

    def _allowed(self, object_class: str) -> set[str]:
        """The attributes that a class requires or allows, also by inheritance, in lower case."""
        if object_class not in self._classes:
            return set()
        definition = self._classes[object_class]
        own = {name.lower() for name in (*definition.must_contain, *definition.may_contain)}
        return own.union(*map(self._allowed, definition.superior or ()))
