"""The schema that a server holds, compared with what piactl needs of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from piactl.directory import filters
from piactl.directory.client.parse_schema import Subschema
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.attribute_map import (
    EXPECTED_SCHEMA,
    OBJECT_CLASSES,
    POSIX_CLASS,
    WITH_CHECK_MODULE,
)
from piactl.directory.store.base_digest import MANAGED, POSIX
from piactl.directory.store.record_entries import RECORD_CLASS
from piactl.errors import SchemaLacking
from piactl.phrase import Phrase
from piactl.shipped_files import schemas_folder

OTP_CLASSES = ("oathTOTPUser", "oathTOTPToken", "oathTOTPParams")
_OF_OVERLAYS = (
    *("pwdStartTime", "pwdEndTime", "pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry"),
    "oathTOTPToken",
)
_MORE = ("userPassword", "piactlDigest")
_OF_RECORDS = ("piactlData", "piactlSealed")
_CLASSES = (*OBJECT_CLASSES, POSIX_CLASS, RECORD_CLASS)
_CLASSES_OF = {
    **dict.fromkeys(_OF_RECORDS, (RECORD_CLASS,)),
    **dict.fromkeys(POSIX, (*OBJECT_CLASSES, POSIX_CLASS)),
}
_WANTED = tuple(name for name in (*MANAGED, *_MORE, *_OF_RECORDS) if name not in _OF_OVERLAYS)
"""What comes with overlays has checks of its own."""
_DEFINITION = re.compile(r"^attributetype\s*(\(.*?\))\s*$", re.MULTILINE | re.DOTALL)

_OLDER = filters.all_of(filters.with_class("pwdPolicyChecker"), filters.none_of(WITH_CHECK_MODULE))
NEEDED_SERVER = Phrase("OpenLDAP 2.6 (Debian 13)")

Read = Callable[[str, Sequence[str]], RawEntry | None]


def why_older(schema_meets: Callable[[str], bool]) -> str:
    """What shows that a server is too old for piactl, "" if nothing does."""
    if schema_meets(EXPECTED_SCHEMA) or not schema_meets(_OLDER):
        return ""
    return Phrase("the server is OpenLDAP 2.5 or earlier: its password policies have no pwdUseCheckModule")


def refuse_older_server(reader: Reader) -> None:
    """Raises SchemaLacking for a server older than `NEEDED_SERVER`: there the settings of the password
    policies do not load, and a rename fails in every night."""
    why = why_older(reader.schema_meets)
    if why:
        raise SchemaLacking(
            Phrase(
                "{why}. piactl needs {needed_server}. Nothing was changed.",
                why=why,
                needed_server=NEEDED_SERVER,
            )
        )


def read_subschema(read: Read, place: str) -> Subschema | None:
    """The schema of the server, whose DN is `place`; None if it may not be read."""
    entry = read(place, ["attributeTypes", "objectClasses"])
    if entry is None or not entry.values.get("attributeTypes"):
        return None
    return Subschema(entry.values["attributeTypes"], entry.values.get("objectClasses", ()))


def schema_faults(schema: Subschema, renamed: Mapping[str, str]) -> list[str]:
    """All that is missing or differs from what piactl needs; `renamed` is default name -> name there."""
    posix = {POSIX_CLASS, *(renamed.get(name, name) for name in POSIX)}  # not every directory has them
    faults = [why for name, why in lacking(schema, renamed).items() if name not in posix]
    shipped = _shipped()
    for default in _WANTED:
        name = renamed.get(default, default)
        if not schema.has_attribute(name):
            continue
        if not schema.rule(name, "equality"):
            faults.append(
                Phrase("attribute {name} has no EQUALITY, so that no value of it can be asserted", name=name)
            )
        if shipped.has_attribute(default) and name == default:
            faults += _other(name, shipped, schema)
    return faults


def lacking(schema: Subschema, renamed: Mapping[str, str]) -> dict[str, str]:
    """The classes and attributes that the server would refuse in a new entry, each with the reason."""
    reasons: dict[str, str] = {
        name: Phrase("class {name} is missing", name=name) for name in _CLASSES if not schema.has_class(name)
    }
    for default in _WANTED:
        name = renamed.get(default, default)
        classes = _CLASSES_OF.get(default, OBJECT_CLASSES)
        if not schema.has_attribute(name):
            reasons[name] = Phrase("attribute {name} is missing", name=name)
        elif not schema.allows(classes, name):
            reasons[name] = Phrase(
                "none of the classes {names} allows the attribute {name}", names=", ".join(classes), name=name
            )
    return reasons


def _other(name: str, shipped: Subschema, schema: Subschema) -> list[str]:
    faults: list[str] = []
    for rule in ("equality", "ordering"):
        ours, theirs = shipped.rule(name, rule), schema.rule(name, rule)
        if ours and theirs and ours.lower() != theirs.lower():
            faults.append(
                Phrase(
                    "attribute {name} has {value} {theirs}, not {ours}",
                    name=name,
                    value=rule.upper(),
                    theirs=theirs,
                    ours=ours,
                )
            )
        elif ours and not theirs and rule == "ordering":
            faults.append(Phrase("attribute {name} has no ORDERING, {ours} is needed", name=name, ours=ours))
    if shipped.is_single(name) != schema.is_single(name):
        form = (
            Phrase("attribute {name} is not SINGLE-VALUE")
            if shipped.is_single(name)
            else Phrase("attribute {name} is SINGLE-VALUE")
        )
        faults.append(Phrase(form, name=name))
    return faults


def _shipped() -> Subschema:
    text = (schemas_folder() / "ldap" / "piactl.schema").read_text(encoding="utf-8")
    return Subschema(_DEFINITION.findall(text))
