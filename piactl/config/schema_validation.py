"""Validates a document against its JSON Schema and reports mistakes in plain words, with line and column.

Messages show the `description` of a schema after "expected": write descriptions to fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from rapidfuzz import fuzz, process

from piactl.config.strict_yaml import Document, Node, quoted, read_document, unclear
from piactl.resources import schemas_folder


def matches(pattern: str, text: str) -> bool:
    """Whether an ECMA pattern matches in a text: `$` is the end, not the place before a last newline."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (`key: value`)",
    "array": "a list",
}
_KEY_ERRORS = ("required", "additionalProperties", "dependentRequired")
_RENAMED = {"code_hours": "activation_hours"}
"""Former names of keys, and what they are called now."""
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
    # JSON Schema accepts 1.0 as an integer; in a file written by hand it is a mistake
    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # typeshed leaves its arguments untyped
    extended = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=checker)
    return extended(schema(name))


def _pattern(validator: Any, pattern: str, instance: object, _schema: object) -> Iterator[Exception]:
    """The keyword `pattern` with ECMA semantics; see `matches`."""
    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"does not match {pattern}")


def read_checked(path: Path, name: str) -> Document:
    """The document in a file, with every mistake that schema `name` reports. Raises ConfigurationInvalid if
    the file has no such document."""
    document = read_document(path, name, schema(name)["required"])
    check_schema(document, name)
    return document


def check_schema(document: Document, name: str) -> None:
    """Adds to the document every mistake that schema `name` reports."""
    data = document.root.data()
    reported: set[tuple[Any, ...]] = set()
    errors = sorted(_validator(name).iter_errors(data), key=lambda e: e.validator != "type")
    for error in errors:
        path = tuple(error.absolute_path)
        if error.validator in _KEY_ERRORS or "propertyNames" in error.absolute_schema_path:
            _report_keys(document, error, path)
        elif path not in reported:  # one mistake for one value, the type first
            reported.add(path)
            node = _node(document.root, path)
            if (node.line, node.column) not in document.refused:
                document.mistake(node, f"{_label(path)}: {_value_message(node, error)}")


def _node(root: Node, path: Sequence[str | int]) -> Node:
    node = root
    for step in path:
        node = node.items()[step] if isinstance(step, int) else node.at(step)
    return node


def _label(path: Iterable[str | int]) -> str:
    """The dotted name of a place, without the indexes of lists: the line identifies these."""
    return ".".join(step for step in path if isinstance(step, str)) or "the file"


def _report_keys(document: Document, error: Any, path: tuple[str | int, ...]) -> None:
    node = _node(document.root, path)
    where = f" in {_label(path)}" if path else ""
    if "propertyNames" in error.absolute_schema_path:
        key = error.instance
        _report_key(document, node, key, f"{key} is not allowed as a key{where}; {_expected_key(key, error)}")
    elif error.validator == "additionalProperties":
        properties = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in properties:
                _report_key(
                    document,
                    node,
                    key,
                    f"unknown key {key}{where}; {_advice(key, set(properties) - set(error.instance))}",
                )
    else:
        for key in _missing(error):
            description = error.schema.get("properties", {}).get(key, {}).get("description", "")
            document.mistake(
                node, f"{key} is missing{where}" + (f"; expected {description}" if description else "")
            )


def _advice(key: str, valid: set[str]) -> str:
    now = _RENAMED.get(key)
    return f"its name is {now} now" if now in valid else hint(key, valid)


def _missing(error: Any) -> list[str]:
    """The missing keys of a `required` or `dependentRequired` error."""
    missing: list[str] = []
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
    else:
        for key, needs in error.validator_value.items():
            if key in error.instance:
                missing += [need for need in needs if need not in error.instance]
    return missing


def _report_key(document: Document, node: Node, key: str, message: str) -> None:
    place = node.key_places.get(key, (node.line, node.column))
    if not document.has_mistake(*place):
        document.mistake(place, message)


def _expected_key(key: str, error: Any) -> str:
    if error.validator == "enum":
        return hint(key, error.validator_value)
    return f"expected {error.schema.get('description', 'another name')}"


def _value_message(node: Node, error: Any) -> str:
    schema_type = error.validator_value if error.validator == "type" else error.schema.get("type", [])
    types = [schema_type] if isinstance(schema_type, str) else list(schema_type)
    expected = (
        error.schema.get("description") or " or ".join(_TYPES.get(t, t) for t in types) or "another value"
    )
    if error.validator == "type":
        if node.value is None:
            return f"the value is missing; expected {expected}"
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
        return "a value appears twice in this list; keep one"
    return f"expected {expected}, found {quoted(node)}"


_NEAR_ENOUGH = 55
_MOST_LISTED = 16


def hint(word: str, valid: Iterable[str]) -> str:
    """`did you mean X?`, a list of the valid words if none is close, or `none is defined`."""
    words = sorted(set(valid))
    if not words:
        return "none is defined"
    best = process.extractOne(word.casefold(), {w: w.casefold() for w in words}, scorer=fuzz.ratio)
    if best is not None and best[1] >= _NEAR_ENOUGH:
        return f"did you mean {best[2]}?"
    listed = ", ".join(words[:_MOST_LISTED])
    return f"valid values: {listed}" + (", ..." if len(words) > _MOST_LISTED else "")
