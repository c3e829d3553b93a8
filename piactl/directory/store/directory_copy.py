"""A copy of a directory: its accounts, its records and the names that others have, for a private server.

A private server knows the standard schema and piactl's. So attributes have their usual names in a copy, and
entries that piactl does not manage are only what they take: their names, and the attributes of accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Values
from piactl.directory.dn import child, naming_values, normal_dn, parted, under
from piactl.directory.filters import ANY_ENTRY
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.ldif import ldif_entry
from piactl.directory.store.account_entries import UUID
from piactl.directory.store.attribute_map import ACCOUNT_CLASS, MADE, Encoding
from piactl.directory.store.record_entries import DATA, DUE, FOLDERS, RECORD_CLASS, SOURCES, WAITING, Places

_READ = (SOURCES, WAITING)
_CONTAINER = (b"organizationalUnit", b"extensibleObject")
_RECORD = frozenset({"cn", DATA.lower(), DUE.lower(), UUID.lower()})


def copied_settings(settings: DirectorySettings) -> DirectorySettings:
    """The settings of a copy: the usual names of attributes, and no groups and structures, which follow the
    policy. The attribute that names accounts stays, because it is in their DNs."""
    names = {name: here for name, here in settings.attributes.items() if name == "uid"}
    return replace(settings, attributes=names, taken_attributes=("uid", "mail"), groups="", structures="")


def read_directory(reader: Reader, suffix: str, encoding: Encoding) -> Iterator[RawEntry]:
    """Every entry below the suffix, with what the identity of `reader` may read."""
    return reader.search(suffix, ANY_ENTRY, ["*", *encoding.attributes])


def read_copy(reader: Reader, settings: DirectorySettings, encoding: Encoding) -> Iterator[RawEntry]:
    """The entries of a copy but for those that only stand above others, without what the server says of when
    and by whom they were written. `settings` are those of the copy."""
    wanted = {*encoding.attributes, "objectClass", "cn", "mail", DATA, DUE} - {MADE}
    for entry in reader.search(settings.suffix, ANY_ENTRY, sorted(wanted)):
        if not entry.values.keys() <= {"objectClass", "cn", UUID}:
            yield entry


class DirectoryCopy:
    """Makes the copy of a directory with these `settings` as LDIF. `encoding` is the one of the copy."""

    def __init__(self, settings: DirectorySettings, encoding: Encoding) -> None:
        self._settings, folder = settings, Places(settings.state).folder
        self._names = {here.lower(): name for name, here in settings.attributes.items() if name != "uid"}
        self._taken = {name.lower() for name in settings.taken_attributes} - {encoding.name("uid").lower()}
        self._attributes = {name.lower(): name for name in encoding.attributes}
        self._classes = encoding.classes
        self._there: set[str] = set()
        self._beside: list[bytes] = []
        self._bases = (settings.accounts, *map(folder, FOLDERS))
        # what was done, which no night reads
        self._past = tuple("," + normal_dn(folder(name)) for name in FOLDERS if name not in _READ)

    def ldif(self, entries: Iterable[RawEntry]) -> Iterator[bytes]:
        """The entries that a night may ask for, each after the one above it; entries that are missing above
        others are made."""
        for entry in sorted(entries, key=lambda entry: entry.dn.count(",")):
            if under(entry.dn, self._settings.suffix) and not normal_dn(entry.dn).endswith(self._past):
                yield from self._put(entry.dn, self._values(entry))
        for base in self._bases:
            yield from self._put(base, _container(base))
        if self._beside:
            dn = child(self._settings.state, "ou", "taken")
            yield from self._put(dn, {**_container(dn), "mail": tuple(dict.fromkeys(self._beside))})

    def _put(self, dn: str, values: Values) -> Iterator[bytes]:
        name, above = normal_dn(dn), parted(dn)[1]
        if name in self._there:
            return
        if above and name != normal_dn(self._settings.suffix):
            yield from self._put(above, _container(above))
        self._there.add(name)
        yield ldif_entry(dn, values)

    def _values(self, entry: RawEntry) -> Values:
        renamed = {self._names.get(name.lower(), name): values for name, values in entry.values.items()}
        classes = {
            value.decode("ascii", "replace").lower(): value for value in renamed.get("objectClass", ())
        }
        if RECORD_CLASS.lower() in classes:
            kept = {name: values for name, values in renamed.items() if name.lower() in _RECORD}
            return {"objectClass": (RECORD_CLASS.encode(),), **kept}
        kept = {
            self._attributes[name.lower()]: values
            for name, values in renamed.items()
            if name.lower() in self._attributes
        }
        mails = (v for name, values in entry.values.items() if name.lower() in self._taken for v in values)
        if ACCOUNT_CLASS.lower() in classes:
            known = {*kept.get("mail", ())}
            self._beside += [value for value in mails if value not in known and value.isascii()]
            own = tuple(value for name, value in classes.items() if name in self._classes)
            return {"objectClass": own, **kept}
        taken = tuple(dict.fromkeys(value for value in mails if value.isascii()))
        return {**kept, **({"mail": taken} if taken else {}), **_container(entry.dn)}


def _container(dn: str) -> Values:
    names = {name: (value,) for name, value in naming_values(dn).items()}
    return {"objectClass": _CONTAINER, "ou": next(iter(names.values())), **names}
