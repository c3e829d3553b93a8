"""Structures (supannEntite): an entry for each establishment of the register, which the affectation of an
account names by its code. piactl owns those whose `seeAlso` is the base of its records."""

from __future__ import annotations

from piactl.core.model.establishment import Establishment
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Values
from piactl.directory.dn import child
from piactl.directory.store.group_entries import Kept

CLASS, KEEPER = "supannEntite", "seeAlso"
_CODE = "supannCodeEntite"
STRUCTURES = Kept(("organizationalUnit", CLASS), ("ou", _CODE, "description", "l", KEEPER), KEEPER)


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
