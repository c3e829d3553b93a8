"""Definitions of groups, and structures.

Groups (groupOfURLs): slapd's overlay dynlist finds the members by their definitions. Structures
(supannEntite): an entry for each establishment of the register, which the affectation of an account names by
its code.

piactl owns the groups whose `owner` is the base of its records, and the structures whose `seeAlso` is that
base; other entries beside them are not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from piactl.core.model.account import State
from piactl.core.model.person import Establishment
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Values, Write
from piactl.core.rules.group_definitions import ANYWHERE, Group
from piactl.directory import filters
from piactl.directory.dn import child, normal_dn, same_dn
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.accounts import IN_ACCOUNTS, differences
from piactl.directory.store.attribute_map import Encoding

GROUP_CLASS, LISTING_CLASS = "groupOfURLs", "groupOfNames"
"""The class of groups, and that of the groups of earlier versions, which list their members."""
MEMBERS, OWNER = "memberURL", "owner"
"""The definition of a group, and who keeps the entry."""
_MANAGED = ("cn", "description", MEMBERS, OWNER)
_ATTRIBUTES = ("objectClass", *_MANAGED)
_IN_POST = (State.ACTIVE, State.ON_LEAVE)
"""The states of accounts whose profile counts: people with a post on the day."""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """An entry below the base of the groups, or of the structures. `owned`: piactl made it."""

    dn: str
    values: Values
    owned: bool

    @property
    def lists_members(self) -> bool:
        classes = {name.lower() for name in self.values.get("objectClass", ())}
        return LISTING_CLASS.lower().encode() in classes

    @property
    def name(self) -> str:
        """The first part of its DN, by which plans and journals call it."""
        return group_name(self.dn)


def group_name(dn: str) -> str:
    return dn.split(",", 1)[0]


def group_dn(directory: DirectorySettings, group: Group) -> str:
    return child(directory.groups, "cn", group.name)


def members_filter(group: Group, encoding: Encoding) -> str:
    """The filter that finds the members of a group among the accounts."""
    parts = [IN_ACCOUNTS]
    right, profile, state = map(encoding.name, ("eduPersonEntitlement", "piactlProfile", "piactlState"))
    if group.rights:
        parts.append(_any_of([_right(right, encoding.urn, *group_right) for group_right in group.rights]))
    if group.profiles:
        parts.append(_any_of([filters.equals(profile, name) for name in group.profiles]))
        parts.append(_any_of([filters.equals(state, state_in_post.value) for state_in_post in _IN_POST]))
    return filters.all_of(*parts)


def _any_of(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else filters.any_of(*parts)


def _right(attribute: str, urn: str, service: str, uai: str) -> str:
    if uai == ANYWHERE:
        return filters.begins(attribute, f"{urn}{service}:")
    return filters.equals(attribute, ":".join(filter(None, (urn + service, uai))))


def group_values(group: Group, directory: DirectorySettings, encoding: Encoding) -> Values:
    """The values of the entry of a group, except its class."""
    where = quote(directory.accounts, safe="=,")
    url = f"ldap:///{where}??sub?{quote(members_filter(group, encoding), safe='()&|=:*')}"
    texts = {"cn": group.name, "description": group.label, MEMBERS: url, OWNER: directory.state}
    return {name: (text.encode(),) for name, text in texts.items()}


def shown_members(values: Values) -> str:
    """The filter of a definition as people read it."""
    urls = [url.decode("utf-8", "replace") for url in values.get(MEMBERS, ())]
    return " ".join(unquote(url.rpartition("?")[2]) for url in urls)


def has_groups(reader: Reader, directory: DirectorySettings) -> bool:
    """Whether the server has the base of the groups, and their class."""
    return (
        reader.schema_meets(filters.with_class(GROUP_CLASS))
        and reader.read(directory.groups, ["ou"]) is not None
    )


def read_groups(reader: Reader, directory: DirectorySettings) -> dict[str, GroupEntry]:
    """The entries below the base of the groups, by their normalized name. Members are not read."""
    return read_kept(reader, directory, directory.groups, _ATTRIBUTES, OWNER)


def read_kept(
    reader: Reader, directory: DirectorySettings, base: str, attributes: Sequence[str], keeper: str
) -> dict[str, GroupEntry]:
    """The entries below a base, by their normalized name. Those that name piactl as their `keeper` are its
    own."""
    entries = {}
    for raw in reader.search(base, filters.ANY_ENTRY, attributes):
        if not same_dn(raw.dn, base):
            entries[normal_dn(raw.dn)] = GroupEntry(raw.dn, raw.values, _owned(raw, directory, keeper))
    return entries


def _owned(raw: RawEntry, directory: DirectorySettings, keeper: str = OWNER) -> bool:
    return any(same_dn(owner, directory.state) for owner in raw.texts(keeper) if "=" in owner)


def group_write(
    group: Group, current: GroupEntry | None, directory: DirectorySettings, encoding: Encoding
) -> Write | None:
    """The write that creates or corrects the entry of a group; None if it is correct."""
    values = group_values(group, directory, encoding)
    if current is None:
        add = {"objectClass": (GROUP_CLASS.encode(),), **values}
        return Write("add", group_dn(directory, group), add=add)
    return correction(current, values, _MANAGED, OWNER)


def correction(current: GroupEntry, values: Values, managed: Sequence[str], owner: str) -> Write | None:
    """The write that gives an entry these values of its managed attributes; None if it has them. `owner` is
    the attribute with the DN of the keeper of the entry."""
    old = {name: current.values[name] for name in managed if name in current.values}
    if len(old.get(owner, ())) == 1 and current.owned:
        old[owner] = values[owner]  # a DN has several spellings
    gone, come = differences(old, values)
    return Write("modify", current.dn, add=come, delete=gone) if come or gone else None


def group_deletion(current: GroupEntry) -> Write:
    """The write that removes the entry of a group, as it was read."""
    old = {name: current.values[name] for name in _ATTRIBUTES if name in current.values}
    return Write("delete", current.dn, delete=old)


CLASS, KEEPER = "supannEntite", "seeAlso"
_CODE = "supannCodeEntite"
_OF_STRUCTURE = ("ou", _CODE, "description", "l", KEEPER)
_OF_STRUCTURE_ENTRY = ("objectClass", *_OF_STRUCTURE)


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
    return (
        reader.schema_meets(filters.with_class(CLASS))
        and reader.read(directory.structures, ["ou"]) is not None
    )


def read_structures(reader: Reader, directory: DirectorySettings) -> dict[str, GroupEntry]:
    """The entries below the base of the structures, by their normalized name."""
    return read_kept(reader, directory, directory.structures, _OF_STRUCTURE_ENTRY, KEEPER)


def structure_write(
    establishment: Establishment, current: GroupEntry | None, directory: DirectorySettings
) -> Write | None:
    """The write that creates or corrects the entry of an establishment; None if it is correct."""
    values = structure_values(establishment, directory)
    if current is None:
        classes = (b"organizationalUnit", CLASS.encode())
        dn = structure_dn(directory, establishment.uai)
        return Write("add", dn, add={"objectClass": classes, **values})
    return correction(current, values, _OF_STRUCTURE, KEEPER)


def structure_deletion(current: GroupEntry) -> Write:
    """The write that removes the entry of an establishment, as it was read."""
    old = {name: current.values[name] for name in _OF_STRUCTURE_ENTRY if name in current.values}
    return Write("delete", current.dn, delete=old)
