"""Validates a document against its JSON Schema and reports mistakes in plain words, with line and column.

Messages show the `description` of a schema after "expected": write descriptions to fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from piactl.config.strict_yaml import Document, Node, quoted, read_document, unclear
from piactl.resources import schemas_folder

# A small validator for valid files; jsonschema is loaded only to describe the mistakes of a file that this
# one does not accept. A schema keyword that is unknown here makes `accepts` return False. Nearly every file
# is valid, and every command reads two. CPU to validate both (medians of 20 on a busy machine): 2 ms here,
# 75 ms with jsonschema, whose import is most of it, 124 ms with fastjsonschema, which compiles the schemas.

Schema = Mapping[str, Any]
"""A schema; true and false are schemas too."""

_SILENT = frozenset({"$schema", "$id", "$defs", "title", "description", "then", "else"})


class _UnknownKeyword(Exception):
    """The schema uses a keyword that only jsonschema supports."""


def accepts(schema: Schema, document: object) -> bool:
    """True only if jsonschema would find no mistake. An `integer` is a number written without a point."""
    try:
        return _fits(schema, document, schema)
    except _UnknownKeyword:
        return False


def _fits(schema: Schema | bool, value: Any, root: Schema) -> bool:
    if isinstance(schema, bool):
        return schema
    for keyword, constraint in schema.items():
        if keyword in _SILENT:
            continue
        check = _CHECKS.get(keyword)
        if check is None:
            raise _UnknownKeyword
        if not check(constraint, value, schema, root):
            return False
    return True


def _type(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
    return any(_is(name, value) for name in ([constraint] if isinstance(constraint, str) else constraint))


def _is(name: str, value: Any) -> bool:
    if name in ("integer", "number"):
        kinds: Any = int if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if name == "null":
        return value is None
    kind = {"string": str, "boolean": bool, "object": dict, "array": list}.get(name)
    if kind is None:
        raise _UnknownKeyword
    return isinstance(value, kind)


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: true is not 1."""
    return type(one) is type(other) and not isinstance(one, dict | list) and bool(one == other)


def _ref(constraint: Any, value: Any, _schema: Schema, root: Schema) -> bool:
    place, _, name = constraint.rpartition("/")
    if place != "#/$defs":
        raise _UnknownKeyword
    return _fits(root["$defs"][name], value, root)


def _properties(constraint: Any, value: Any, _schema: Schema, root: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(_fits(below, value[name], root) for name, below in constraint.items() if name in value)


def _additional(constraint: Any, value: Any, schema: Schema, root: Schema) -> bool:
    if not isinstance(value, dict) or constraint is True:
        return True
    others = [value[name] for name in value if name not in schema.get("properties", {})]
    return not others if constraint is False else all(_fits(constraint, other, root) for other in others)


def _names(constraint: Any, value: Any, _schema: Schema, root: Schema) -> bool:
    return not isinstance(value, dict) or all(_fits(constraint, name, root) for name in value)


def _items(constraint: Any, value: Any, _schema: Schema, root: Schema) -> bool:
    return not isinstance(value, list) or all(_fits(constraint, item, root) for item in value)


def _unique(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
    if not isinstance(value, list) or not constraint:
        return True
    if any(not isinstance(item, str) for item in value):
        raise _UnknownKeyword
    return len(set(value)) == len(value)


def _required(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
    return not isinstance(value, dict) or all(name in value for name in constraint)


def _dependent(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(need in value for name, needs in constraint.items() if name in value for need in needs)


def _if(constraint: Any, value: Any, schema: Schema, root: Schema) -> bool:
    branch = "then" if _fits(constraint, value, root) else "else"
    return _fits(schema.get(branch, {}), value, root)


def _fast_pattern(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
    return not isinstance(value, str) or matches(constraint, value)


def matches(pattern: str, text: str) -> bool:
    """Whether an ECMA pattern matches in a text: `$` is the end, not the place before a last newline."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


def _number(compare: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def check(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
        return not _is("number", value) or compare(value, constraint)

    return check


def _length(kind: type) -> Callable[..., bool]:
    def check(constraint: Any, value: Any, _schema: Schema, _root: Schema) -> bool:
        return not isinstance(value, kind) or len(value) >= constraint  # type: ignore[arg-type]

    return check


_CHECKS: Mapping[str, Callable[..., bool]] = {
    "type": _type,
    "$ref": _ref,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
    "uniqueItems": _unique,
    "required": _required,
    "dependentRequired": _dependent,
    "if": _if,
    "pattern": _fast_pattern,
    "enum": lambda constraint, value, *_: any(_same(choice, value) for choice in constraint),
    "const": lambda constraint, value, *_: _same(constraint, value),
    "minimum": _number(lambda value, limit: value >= limit),
    "maximum": _number(lambda value, limit: value <= limit),
    "exclusiveMaximum": _number(lambda value, limit: value < limit),
    "minLength": _length(str),
    "minItems": _length(list),
    "minProperties": _length(dict),
}


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
    from jsonschema import Draft202012Validator, validators  # imported here, see above

    # JSON Schema accepts 1.0 as an integer; in a file written by hand it is a mistake
    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # typeshed leaves its arguments untyped
    extended = extend(Draft202012Validator, {"pattern": _pattern}, type_checker=checker)
    return extended(schema(name))


def _pattern(validator: Any, pattern: str, instance: object, _schema: object) -> Iterator[Exception]:
    """The keyword `pattern` with ECMA semantics; see `matches`."""
    from jsonschema import ValidationError

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
    if accepts(schema(name), data):
        return
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
    from rapidfuzz import fuzz, process  # imported here: only a mistake needs it

    words = sorted(set(valid))
    if not words:
        return "none is defined"
    best = process.extractOne(word.casefold(), {w: w.casefold() for w in words}, scorer=fuzz.ratio)
    if best is not None and best[1] >= _NEAR_ENOUGH:
        return f"did you mean {best[2]}?"
    listed = ", ".join(words[:_MOST_LISTED])
    return f"valid values: {listed}" + (", ..." if len(words) > _MOST_LISTED else "")
