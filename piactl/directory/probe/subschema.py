"""The schema that a server holds, compared with what piactl needs of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from piactl.directory.probe.probe import Probe
from piactl.directory.store.attribute_map import OBJECT_CLASSES
from piactl.directory.store.base_digest import MANAGED
from piactl.directory.store.records import RECORD_CLASS
from piactl.resources import schemas_folder

OTP_CLASSES = ("oathTOTPUser", "oathTOTPToken", "oathTOTPParams")
PASSWORD_ATTRIBUTES = ("pwdStartTime", "pwdEndTime", "pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry")
_MORE = ("userPassword", "piactlDigest", "piactlData", "piactlSealed")
_NAMES = re.compile(r"NAME\s+(?:'(?P<one>[^']+)'|\((?P<many>[^)]*)\))")
_WORD = re.compile(r"\b(?P<word>EQUALITY|ORDERING|SUP)\s+(?P<value>[\w.-]+)")
_DEFINITION = re.compile(r"^attributetype\s*\((?P<text>.*?)\)\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class AttributeType:
    """What matters of a definition: `equality` and `ordering` are names of matching rules, "" for none."""

    name: str
    equality: str
    ordering: str
    single: bool
    sup: str


@dataclass(frozen=True, slots=True)
class Subschema:
    """Attribute types and class names, by name in lower case."""

    attributes: Mapping[str, AttributeType]
    classes: frozenset[str]

    def has_attribute(self, name: str) -> bool:
        return name.lower() in self.attributes

    def equality(self, name: str) -> str:
        """The rule by which values are compared, also where it is inherited."""
        found = self.attributes.get(name.lower())
        while found is not None and not found.equality and found.sup:
            found = self.attributes.get(found.sup.lower())
        return found.equality if found else ""


def read_subschema(probe: Probe) -> Subschema | None:
    """The schema of the server; None where it may not be read."""
    root = probe.entry("", ["subschemaSubentry"])
    place = root.text("subschemaSubentry") if root else ""
    entry = probe.entry(place or "cn=Subschema", ["attributeTypes", "objectClasses"])
    if entry is None or not entry.values.get("attributeTypes"):
        return None
    attributes = _types(value.decode("utf-8", "replace") for value in entry.values["attributeTypes"])
    classes = [
        name
        for value in entry.values.get("objectClasses", ())
        for name in _names(value.decode("utf-8", "replace"))
    ]
    return Subschema(attributes, frozenset(name.lower() for name in classes))


def schema_faults(schema: Subschema, renamed: Mapping[str, str]) -> list[str]:
    """What is missing or other than piactl needs it, all of it; `renamed` is default name -> name there."""
    faults = [
        f"class {name} is missing"
        for name in (*OBJECT_CLASSES, RECORD_CLASS)
        if name.lower() not in schema.classes
    ]
    shipped = _shipped()
    for default in (*MANAGED, *_MORE):
        name = renamed.get(default, default)
        there = schema.attributes.get(name.lower())
        if default in PASSWORD_ATTRIBUTES:
            continue  # they come with an overlay, which has a check of its own
        if there is None:
            faults.append(f"attribute {name} is missing")
            continue
        if not schema.equality(name):
            faults.append(f"attribute {name} has no EQUALITY, so that no value of it can be asserted")
        wanted = shipped.get(default.lower())
        if wanted is not None and name == default:
            faults += _other(wanted, there)
    return faults


def _other(wanted: AttributeType, there: AttributeType) -> list[str]:
    faults = []
    for rule in ("equality", "ordering"):
        ours, theirs = getattr(wanted, rule), getattr(there, rule)
        if ours and theirs and ours.lower() != theirs.lower():
            faults.append(f"attribute {wanted.name} has {rule.upper()} {theirs}, not {ours}")
        elif ours and not theirs and rule == "ordering":
            faults.append(f"attribute {wanted.name} has no ORDERING, {ours} is needed")
    if wanted.single != there.single:
        faults.append(f"attribute {wanted.name} is {'not ' if wanted.single else ''}SINGLE-VALUE")
    return faults


def _shipped() -> dict[str, AttributeType]:
    """piactl's own attributes as they are shipped."""
    text = (schemas_folder() / "ldap" / "piactl.schema").read_text(encoding="utf-8")
    return _types(match["text"] for match in _DEFINITION.finditer(text))


def _types(texts: Iterable[str]) -> dict[str, AttributeType]:
    found = {}
    for text in texts:
        bare = re.sub(r"DESC\s+'[^']*'", "", text)
        words = {match["word"]: match["value"] for match in _WORD.finditer(bare)}
        single = "SINGLE-VALUE" in bare
        for name in _names(bare):
            equality, ordering = words.get("EQUALITY", ""), words.get("ORDERING", "")
            found[name.lower()] = AttributeType(name, equality, ordering, single, words.get("SUP", ""))
    return found


def _names(text: str) -> list[str]:
    match = _NAMES.search(text)
    if match is None:
        return []
    return [match["one"]] if match["one"] else re.findall(r"'([^']+)'", match["many"])
