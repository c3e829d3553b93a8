"""Structures (supannEntite): an entry for each establishment of the register, which the affectation of an
account names by its code.

piactl keeps the entries whose `seeAlso` is the base of its records.
"""

from __future__ import annotations

from piactl.core.model.person import Establishment
from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import child
from piactl.directory.port import EntryWrite, Reader, Values
from piactl.directory.store.group_entries import GroupEntry, correction, read_kept

CLASS, KEEPER = "supannEntite", "seeAlso"
_CODE = "supannCodeEntite"
_MANAGED = ("ou", _CODE, "description", "l", KEEPER)
_ATTRIBUTES = ("objectClass", *_MANAGED)


def structure_dn(directory: DirectorySettings, uai: str) -> str:
    return child(directory.structures, _CODE, uai)


def structure_values(establishment: Establishment, directory: DirectorySettings) -> Values:
    """The values of the entry of an establishment, except its classes."""
    texts = {
        "ou": establishment.uai,
        _CODE: establishment.uai,
        "description": establishment.name,
        "l": establishment.commune,
        KEEPER: directory.state,
    }
    return {name: (text.encode(),) for name, text in texts.items() if text}


def has_structures(reader: Reader, directory: DirectorySettings) -> bool:
    """Whether the server has the base of the structures, and their class."""
    return reader.has_class(CLASS) and reader.read(directory.structures, ["ou"]) is not None


def read_structures(reader: Reader, directory: DirectorySettings) -> dict[str, GroupEntry]:
    """The entries below the base of the structures, by their normalized name."""
    return read_kept(reader, directory, directory.structures, _ATTRIBUTES, KEEPER)


def structure_write(
    establishment: Establishment, current: GroupEntry | None, directory: DirectorySettings
) -> EntryWrite | None:
    """The write that makes the entry of an establishment right; None if it is."""
    values = structure_values(establishment, directory)
    if current is None:
        classes = (b"organizationalUnit", CLASS.encode())
        dn = structure_dn(directory, establishment.uai)
        return EntryWrite("add", dn, add={"objectClass": classes, **values})
    return correction(current, values, _MANAGED, KEEPER)


def structure_deletion(current: GroupEntry) -> EntryWrite:
    """The write that removes the entry of an establishment, as it was read."""
    old = {name: current.values[name] for name in _ATTRIBUTES if name in current.values}
    return EntryWrite("delete", current.dn, delete=old)
