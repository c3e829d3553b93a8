"""The schema that a server holds, compared with what piactl needs of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from piactl.directory import filters
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.attribute_map import (
    EXPECTED_SCHEMA,
    OBJECT_CLASSES,
    POSIX_CLASS,
    WITH_CHECK_MODULE,
)
from piactl.directory.store.base_digest import MANAGED, POSIX
from piactl.directory.store.records import RECORD_CLASS
from piactl.errors import SchemaLacking
from piactl.resources import schemas_folder

OTP_CLASSES = ("oathTOTPUser", "oathTOTPToken", "oathTOTPParams")
PASSWORD_ATTRIBUTES = ("pwdStartTime", "pwdEndTime", "pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry")
_OF_OVERLAYS = (*PASSWORD_ATTRIBUTES, "oathTOTPToken")
_MORE = ("userPassword", "piactlDigest")
_OF_RECORDS = ("piactlData", "piactlSealed")
_CLASSES = (*OBJECT_CLASSES, POSIX_CLASS, RECORD_CLASS)
_CLASSES_OF = {
    **dict.fromkeys(_OF_RECORDS, (RECORD_CLASS,)),
    **dict.fromkeys(POSIX, (*OBJECT_CLASSES, POSIX_CLASS)),
}
_NAMES = re.compile(r"NAME\s+(?:'(?P<one>[^']+)'|\((?P<many>[^)]*)\))")
_ALLOWED = re.compile(r"\b(MUST|MAY|SUP)\s+(?:\(([^)]*)\)|([\w.;-]+))")
_WORD = re.compile(r"\b(?P<word>EQUALITY|ORDERING|SUBSTR|SUP)\s+(?P<value>[\w.-]+)")
_DEFINITION = re.compile(r"^attributetype\s*\((?P<text>.*?)\)\s*$", re.MULTILINE | re.DOTALL)

_OLDER = filters.all_of(filters.with_class("pwdPolicyChecker"), filters.none_of(WITH_CHECK_MODULE))
NEEDED_SERVER = "OpenLDAP 2.6 (Debian 13)"

Read = Callable[[str, Sequence[str]], RawEntry | None]


@dataclass(frozen=True, slots=True)
class AttributeType:
    """The parts of a definition that matter: `equality`, `ordering` and `substr` are names of matching rules,
    "" for none."""

    name: str
    equality: str
    ordering: str
    substr: str
    single: bool
    sup: str


@dataclass(frozen=True, slots=True)
class Subschema:
    """Attribute types, and the attributes that each class requires or allows, by name in lower case."""

    attributes: Mapping[str, AttributeType]
    classes: Mapping[str, frozenset[str]]

    def has_attribute(self, name: str) -> bool:
        return name.lower() in self.attributes

    def equality(self, name: str) -> str:
        """The rule by which values are compared, even if it is inherited."""
        return self._rule(name, "equality")

    def substr(self, name: str) -> str:
        """The rule by which parts of values are compared, even if it is inherited."""
        return self._rule(name, "substr")

    def _rule(self, name: str, kind: str) -> str:
        attribute_type = self.attributes.get(name.lower())
        while attribute_type is not None and not getattr(attribute_type, kind) and attribute_type.sup:
            attribute_type = self.attributes.get(attribute_type.sup.lower())
        return str(getattr(attribute_type, kind)) if attribute_type else ""

    def allows(self, classes: Iterable[str], name: str) -> bool:
        """Whether an entry of these classes can have the attribute; true if one of the classes is missing."""
        every = [self.classes.get(object_class.lower()) for object_class in classes]
        return None in every or any(name.lower() in allowed for allowed in every if allowed)


def why_older(schema_meets: Callable[[str], bool]) -> str:
    """What shows that a server is too old for piactl, "" if nothing does."""
    if schema_meets(EXPECTED_SCHEMA) or not schema_meets(_OLDER):
        return ""
    return "the server is OpenLDAP 2.5 or earlier: its password policies have no pwdUseCheckModule"


def refuse_older_server(reader: Reader) -> None:
    """Raises SchemaLacking for a server older than `NEEDED_SERVER`: there the settings of the password
    policies do not load, and a rename fails in every night."""
    why = why_older(reader.schema_meets)
    if why:
        raise SchemaLacking(f"{why}. piactl needs {NEEDED_SERVER}. Nothing was changed.")


def read_subschema(read: Read, place: str) -> Subschema | None:
    """The schema of the server, whose DN is `place`; None if it may not be read."""
    entry = read(place, ["attributeTypes", "objectClasses"])
    if entry is None or not entry.values.get("attributeTypes"):
        return None
    return _parsed(tuple(entry.values["attributeTypes"]), tuple(entry.values.get("objectClasses", ())))


@lru_cache(maxsize=2)
def _parsed(attributes: tuple[bytes, ...], classes: tuple[bytes, ...]) -> Subschema:
    types = _types(value.decode("utf-8", "replace") for value in attributes)
    return Subschema(types, _allowed([value.decode("utf-8", "replace") for value in classes]))


def schema_faults(schema: Subschema, renamed: Mapping[str, str]) -> list[str]:
    """All that is missing or differs from what piactl needs; `renamed` is default name -> name there."""
    posix = {POSIX_CLASS, *(renamed.get(name, name) for name in POSIX)}  # not every directory has them
    faults = [why for name, why in lacking(schema, renamed).items() if name not in posix]
    shipped = _shipped()
    for default, name in _wanted(renamed):
        server_type = schema.attributes.get(name.lower())
        if server_type is None:
            continue
        if not schema.equality(name):
            faults.append(f"attribute {name} has no EQUALITY, so that no value of it can be asserted")
        shipped_type = shipped.get(default.lower())
        if shipped_type is not None and name == default:
            faults += _other(shipped_type, server_type)
    return faults


def lacking(schema: Subschema, renamed: Mapping[str, str]) -> dict[str, str]:
    """The classes and attributes that the server would refuse in a new entry, each with the reason."""
    reasons = {name: f"class {name} is missing" for name in _CLASSES if name.lower() not in schema.classes}
    for default, name in _wanted(renamed):
        classes = _CLASSES_OF.get(default, OBJECT_CLASSES)
        if not schema.has_attribute(name):
            reasons[name] = f"attribute {name} is missing"
        elif not schema.allows(classes, name):
            reasons[name] = f"none of the classes {', '.join(classes)} allows the attribute {name}"
    return reasons


def _wanted(renamed: Mapping[str, str]) -> list[tuple[str, str]]:
    """(default name, name there) of the attributes that piactl needs; those of the password policy and of
    one-time codes come with overlays, and have checks of their own."""
    names = (name for name in (*MANAGED, *_MORE, *_OF_RECORDS) if name not in _OF_OVERLAYS)
    return [(name, renamed.get(name, name)) for name in names]


def _other(shipped_type: AttributeType, server_type: AttributeType) -> list[str]:
    faults = []
    for rule in ("equality", "ordering"):
        ours, theirs = getattr(shipped_type, rule), getattr(server_type, rule)
        if ours and theirs and ours.lower() != theirs.lower():
            faults.append(f"attribute {shipped_type.name} has {rule.upper()} {theirs}, not {ours}")
        elif ours and not theirs and rule == "ordering":
            faults.append(f"attribute {shipped_type.name} has no ORDERING, {ours} is needed")
    if shipped_type.single != server_type.single:
        faults.append(f"attribute {shipped_type.name} is {'not ' if shipped_type.single else ''}SINGLE-VALUE")
    return faults


def _shipped() -> dict[str, AttributeType]:
    """piactl's own attributes as they are shipped."""
    text = (schemas_folder() / "ldap" / "piactl.schema").read_text(encoding="utf-8")
    return _types(match["text"] for match in _DEFINITION.finditer(text))


def _types(texts: Iterable[str]) -> dict[str, AttributeType]:
    attribute_types = {}
    for text in texts:
        bare = re.sub(r"DESC\s+'[^']*'", "", text)
        words = {match["word"]: match["value"] for match in _WORD.finditer(bare)}
        single = "SINGLE-VALUE" in bare
        for name in _names(bare):
            equality, ordering, substr = (words.get(rule, "") for rule in ("EQUALITY", "ORDERING", "SUBSTR"))
            attribute_types[name.lower()] = AttributeType(
                name, equality, ordering, substr, single, words.get("SUP", "")
            )
    return attribute_types


def _allowed(texts: Sequence[str]) -> dict[str, frozenset[str]]:
    """The attributes that each class requires or allows, including those that it inherits."""
    own: dict[str, dict[str, set[str]]] = {}
    for text in texts:
        bare = re.sub(r"DESC\s+'[^']*'", "", text)
        lists: dict[str, set[str]] = {"MUST": set(), "MAY": set(), "SUP": set()}
        for word, several, single in _ALLOWED.findall(bare):
            lists[word].update(name.strip().lower() for name in (several or single).split("$"))
        own.update(dict.fromkeys((name.lower() for name in _names(bare)), lists))

    def of(name: str) -> frozenset[str]:
        lists = own.get(name, {"MUST": set(), "MAY": set(), "SUP": set()})
        return frozenset(lists["MUST"] | lists["MAY"]).union(*map(of, lists["SUP"]))

    return {name: of(name) for name in own}


def _names(text: str) -> list[str]:
    match = _NAMES.search(text)
    if match is None:
        return []
    return [match["one"]] if match["one"] else re.findall(r"'([^']+)'", match["many"])
