"""The LDAP write that turns an account's entry into the desired account."""

from __future__ import annotations

from piactl.core.model.account import Account
from piactl.core.model.settings import DirectorySettings
from piactl.directory.dn import same_dn
from piactl.directory.port import EntryWrite, Values
from piactl.directory.store.accounts import Entry, account_dn
from piactl.directory.store.attribute_map import LINKED_CLASS, OBJECT_CLASSES, Encoding, differences


def account_write(
    settings: DirectorySettings, encoding: Encoding, current: Entry | None, desired: Account
) -> EntryWrite | None:
    """The atomic write that turns an entry into the desired account; None if nothing differs."""
    values = encoding.values(desired)
    if current is None:
        linked = (LINKED_CLASS,) if encoding.name("oathTOTPToken") in values else ()
        classes = [name.encode() for name in (*OBJECT_CLASSES, *linked)]
        return EntryWrite(
            "add", account_dn(settings, desired.uid), add={"objectClass": tuple(classes), **values}
        )
    return account_change(encoding, current.dn, current.values, values)


def account_change(encoding: Encoding, dn: str, current: Values, values: Values) -> EntryWrite | None:
    """The modify from the `current` values of an account to the desired ones, None if they are equal. The
    class that requires a link to a device is added and removed with the link."""
    link = encoding.name("oathTOTPToken")
    delete, add = map(dict, differences(current, _spelled(current, values, link)))
    if not delete and not add:
        return None
    if link in add and link not in delete:
        add["objectClass"] = (LINKED_CLASS.encode(),)
    if link in delete and link not in add:
        delete["objectClass"] = (LINKED_CLASS.encode(),)
    return EntryWrite("modify", dn, add=add, delete=delete)


def _spelled(current: Values, values: Values, name: str) -> Values:
    """Keeps a correct link as the server spells it, because a DN has several spellings."""
    old, new = current.get(name, ()), values.get(name, ())
    if len(old) == len(new) == 1 and same_dn(old[0].decode("utf-8", "replace"), new[0].decode()):
        return {**values, name: old}
    return values
