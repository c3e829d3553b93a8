"""Definitions of groups (groupOfURLs): slapd's overlay dynlist finds the members by them. And structures
(supannEntite): an entry for each establishment of the register, which an account names by its code.

piactl owns the groups whose `owner`, and the structures whose `seeAlso`, is the base of its records; other
entries beside them are not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from piactl.core.model.account import ASSIGNED
from piactl.core.model.establishment import Establishment
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Values, Write
from piactl.core.rules.groups_of_policy import ANYWHERE, Group
from piactl.directory import filters
from piactl.directory.dn import child, normal_dn, same_dn
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS, differences
from piactl.directory.store.attribute_map import Encoding

GROUP_CLASS, LISTING_CLASS = "groupOfURLs", "groupOfNames"
"""The class of groups, and that of the groups of earlier versions, which list their members."""
MEMBERS, OWNER = "memberURL", "owner"
"""The definition of a group, and who keeps the entry."""


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


@dataclass(frozen=True, slots=True)
class Kept:
    """The entries of one kind that piactl keeps: their classes, the attributes that it writes, and the one of
    these that names piactl as their keeper."""

    classes: tuple[str, ...]
    managed: tuple[str, ...]
    keeper: str

    def has_place(self, reader: Reader, base: str) -> bool:
        """Whether the server has the base of the entries, and their class."""
        return (
            reader.schema_meets(filters.with_class(self.classes[-1]))
            and reader.read(base, ["ou"]) is not None
        )

    def read(self, reader: Reader, directory: DirectorySettings, base: str) -> dict[str, GroupEntry]:
        """The entries below a base, by their normalized name. Members are not read."""
        entries = {}
        for raw in reader.search(base, filters.ANY_ENTRY, ("objectClass", *self.managed)):
            if not same_dn(raw.dn, base):
                keepers = [keeper for keeper in raw.texts(self.keeper) if "=" in keeper]
                owned = any(same_dn(keeper, directory.state) for keeper in keepers)
                entries[normal_dn(raw.dn)] = GroupEntry(raw.dn, raw.values, owned)
        return entries

    def write(self, dn: str, current: GroupEntry | None, values: Values) -> Write | None:
        """The write that creates the entry, or gives it these values; None if it has them."""
        if current is None:
            classes = tuple(name.encode() for name in self.classes)
            return Write("add", dn, add={"objectClass": classes, **values})
        old = {name: current.values[name] for name in self.managed if name in current.values}
        if len(old.get(self.keeper, ())) == 1 and current.owned:
            old[self.keeper] = values[self.keeper]  # a DN has several spellings
        gone, come = differences(old, values)
        return Write("modify", current.dn, add=come, delete=gone) if come or gone else None

    def deletion(self, current: GroupEntry) -> Write:
        """The write that removes an entry, as it was read."""
        names = ("objectClass", *self.managed)
        old = {name: current.values[name] for name in names if name in current.values}
        return Write("delete", current.dn, delete=old)


GROUPS = Kept((GROUP_CLASS,), ("cn", "description", MEMBERS, OWNER), OWNER)


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
        parts.append(_any_of([filters.equals(state, state_in_post.value) for state_in_post in ASSIGNED]))
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


# ---- structures


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
