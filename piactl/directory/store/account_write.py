"""The LDAP write that turns an account's entry into the desired account."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import replace

from piactl.core.model.account import Account
from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import same_dn
from piactl.directory.port import EntryWrite, Values
from piactl.directory.store.accounts import Entry, account_dn
from piactl.directory.store.attribute_map import FOLLOWING_CLASSES, OBJECT_CLASSES, Encoding
from piactl.directory.store.base_digest import BASE


def account_write(
    settings: DirectorySettings,
    encoding: Encoding,
    current: Entry | None,
    desired: Account,
    agreed: Collection[str] = (),
) -> EntryWrite | None:
    """The atomic write that turns an entry into the desired account; None if nothing differs. What another
    program tightened stays; `agreed` are the attributes in which the entry is right although another program
    wrote it."""
    values = encoding.values(desired)
    if current is None:
        classes = [name.encode() for name in (*OBJECT_CLASSES, *following_classes(encoding, values))]
        dn = account_dn(settings, desired.uid)
        return with_base(encoding, None, EntryWrite("add", dn, add={"objectClass": tuple(classes), **values}))
    if current.drift is not None:
        values = current.drift.with_theirs(values, current.values, encoding.values(current.account))
    write = account_change(encoding, current.dn, current.values, values)
    if write is None and not agreed and _is_fresh(encoding, current):
        return None
    return with_base(encoding, current, write or EntryWrite("modify", current.dn), agreed)


def only_renews_base(encoding: Encoding, write: EntryWrite) -> bool:
    """Whether the write changes nothing but the base."""
    return {*write.add, *write.delete} == {encoding.name(BASE)}


def with_base(
    encoding: Encoding, entry: Entry | None, write: EntryWrite, agreed: Collection[str] = ()
) -> EntryWrite:
    """The write of an account, with the base that it has after it. `entry` is None for a new one. Where
    another program removed the base, a write makes no other: it would say that all is piactl's own."""
    if entry is not None and entry.drift is not None and entry.drift.baseless:
        return write
    bases = encoding.bases
    if bases is None:
        raise AssertionError("an account is written by an encoding with keys")
    old, values = (entry.base, entry.values) if entry is not None else (b"", {})
    kept = entry.drift.kept if entry is not None and entry.drift is not None else ()
    new, name = bases.after(write.dn, values, old, write, agreed, kept), encoding.name(BASE)
    if new == old:
        return write
    delete = {**write.delete, name: (old,)} if old else write.delete
    return replace(write, add={**write.add, name: (new,)}, delete=delete)


def _is_fresh(encoding: Encoding, entry: Entry) -> bool:
    """Whether the base needs no renewal. That of an entry with drift waits until there is none."""
    bases = encoding.bases
    return bases is None or entry.drift is not None or bases.is_fresh(bases.read(entry.base))


def account_change(encoding: Encoding, dn: str, current: Values, values: Values) -> EntryWrite | None:
    """The modify from the `current` values of an account to the desired ones, None if they are equal. The
    classes that follow an attribute are added and removed with it."""
    link = encoding.name("oathTOTPToken")
    delete, add = map(dict, differences(current, _spelled(current, values, link)))
    if not delete and not add:
        return None
    come, go = (
        tuple(name.encode() for name in following_classes(encoding, one.keys() - other.keys()))
        for one, other in ((add, delete), (delete, add))
    )
    add |= {"objectClass": come} if come else {}
    delete |= {"objectClass": go} if go else {}
    return EntryWrite("modify", dn, add=add, delete=delete)


def following_classes(encoding: Encoding, attributes: Container[str]) -> list[str]:
    """The classes that an account has together with these attributes."""
    return [one for name, one in FOLLOWING_CLASSES.items() if encoding.name(name) in attributes]


def _spelled(current: Values, values: Values, name: str) -> Values:
    """Keeps a correct link as the server spells it, because a DN has several spellings."""
    old, new = current.get(name, ()), values.get(name, ())
    if len(old) == len(new) == 1 and same_dn(old[0].decode("utf-8", "replace"), new[0].decode()):
        return {**values, name: old}
    return values


def differences(current: Values, desired: Values) -> tuple[Values, Values]:
    """(values to remove, values to add) that turn the managed values of an entry into the desired ones."""
    delete: dict[str, tuple[bytes, ...]] = {}
    add: dict[str, tuple[bytes, ...]] = {}
    for name in dict.fromkeys([*current, *desired]):
        old, new = current.get(name, ()), desired.get(name, ())
        if old == new:
            continue
        removed = tuple(value for value in old if value not in new)
        come = tuple(value for value in new if value not in old)
        if removed:
            delete[name] = removed
        if come:
            add[name] = come
    return delete, add
