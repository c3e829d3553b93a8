"""Checks a document against its JSON Schema and says what is wrong in plain words, with line and column.

In the schemas `description` is written to complete "expected ...": it is what a message shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from piactl.config.accepting import accepts, matches
from piactl.config.nearest import hint
from piactl.config.nodes import Node
from piactl.config.strictyaml import Document, quoted, unclear
from piactl.resources import schemas_folder

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (`key: value`)",
    "array": "a list",
}
_KEY_ERRORS = ("required", "additionalProperties", "dependentRequired")
_YES = ("yes", "on", "y", "True", "TRUE", "Yes", "On", "YES", "ON")
_NO = ("no", "off", "n", "False", "FALSE", "No", "Off", "NO", "OFF")


@cache
def schema(name: str) -> dict[str, Any]:
    """The JSON Schema `name` of schemas/json."""
    loaded: dict[str, Any] = json.loads(
        (schemas_folder() / "json" / f"{name}.schema.json").read_text("utf-8")
    )
    return loaded


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator, validators  # imported here: it costs 80 ms

    # in JSON Schema 1.0 is an integer; in a file that a person wrote it is a mistake
    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # typeshed leaves its arguments untyped
    extended = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=checker)
    return extended(schema(name))


def _pattern(validator: Any, pattern: str, instance: object, _schema: object) -> Iterator[Exception]:
    """The keyword `pattern` as ECMA means it: `$` is the end of the text, not before a last newline."""
    from jsonschema import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"does not match {pattern}")


def check_schema(document: Document, name: str) -> None:
    """Adds a mistake to the document for everything that schema `name` refuses."""
    data = document.root.data()
    if accepts(schema(name), data):
        return
    told: dict[tuple[Any, ...], str] = {}
    errors = sorted(_validator(name).iter_errors(data), key=lambda e: e.validator != "type")
    for error in errors:
        path = tuple(error.absolute_path)
        if error.validator in _KEY_ERRORS or "propertyNames" in error.absolute_schema_path:
            _tell_keys(document, error, path)
        elif path not in told:  # one mistake for one value, the type first
            told[path] = error.validator
            node = _node(document.root, path)
            if (node.line, node.column) not in document.refused:
                document.mistake(node, f"{_label(path)}: {_value_message(node, error)}")


def _node(root: Node, path: Sequence[str | int]) -> Node:
    node = root
    for step in path:
        node = node.items()[step] if isinstance(step, int) else node.at(step)
    return node


def _label(path: Iterable[str | int]) -> str:
    """The dotted name of a place; members of lists are told by their line."""
    return ".".join(step for step in path if isinstance(step, str)) or "the file"


def _tell_keys(document: Document, error: Any, path: tuple[str | int, ...]) -> None:
    node = _node(document.root, path)
    where = f" in {_label(path)}" if path else ""
    if "propertyNames" in error.absolute_schema_path:
        key = error.instance
        _tell_key(document, node, key, f"{key} cannot be a key{where}; {_expected_key(key, error)}")
    elif error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                _tell_key(
                    document,
                    node,
                    key,
                    f"unknown key {key}{where}; {hint(key, set(known) - set(error.instance))}",
                )
    else:
        for key in _missing(error):
            what = error.schema.get("properties", {}).get(key, {}).get("description", "")
            document.mistake(node, f"{key} is missing{where}" + (f"; expected {what}" if what else ""))


def _missing(error: Any) -> list[str]:
    """The keys that one `required` or `dependentRequired` error tells of (the library makes one each)."""
    wanted: list[str] = []
    if error.validator == "required":
        wanted = [key for key in error.validator_value if key not in error.instance]
    else:
        for key, needs in error.validator_value.items():
            if key in error.instance:
                wanted += [need for need in needs if need not in error.instance]
    return wanted


def _tell_key(document: Document, node: Node, key: str, message: str) -> None:
    place = node.key_places.get(key, (node.line, node.column))
    if not document.has_mistake(*place):
        document.mistake(place, message)


def _expected_key(key: str, error: Any) -> str:
    if error.validator == "enum":
        return hint(key, error.validator_value)
    return f"expected {error.schema.get('description', 'another name')}"


def _value_message(node: Node, error: Any) -> str:
    wanted = error.validator_value if error.validator == "type" else error.schema.get("type", [])
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    expected = (
        error.schema.get("description") or " or ".join(_TYPES.get(t, t) for t in types) or "another value"
    )
    if error.validator == "type":
        if node.value is None:
            return f"there is no value; expected {expected}"
        if "string" in types and unclear(node) and matches(error.schema.get("pattern", ""), node.raw):
            kind = "code " if node.raw[:1].isdigit() else ""
            return f'{kind}{node.raw} must be quoted: "{node.raw}"'
        if "boolean" in types and node.raw in _YES + _NO:
            return f"write {'true' if node.raw in _YES else 'false'}, not {quoted(node)}"
    if error.validator == "enum" and isinstance(node.value, str):
        advice = hint(node.value, [str(value) for value in error.validator_value])
        if not advice.startswith("did you mean") and "description" in error.schema:
            advice = f"expected {expected}"
        return f"{quoted(node)} is not valid; {advice}"
    if error.validator == "uniqueItems":
        return "a value stands twice in this list; keep one"
    return f"expected {expected}, found {quoted(node)}"
