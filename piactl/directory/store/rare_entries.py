"""The few entries below the accounts that every run looks for, found by one search: accounts with several
matricules, accounts in a merge, devices of other programs, accounts that go under another password policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from piactl.core.model.account import NO_DEVICE, State
from piactl.core.model.settings import DirectorySettings, PasswordSettings
from piactl.core.plan.write import Write
from piactl.directory import filters
from piactl.directory.dn import normal_dn, parted
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS, Entry, Unreadable, entry_of
from piactl.directory.store.attribute_map import ACCOUNT_CLASS, Encoding
from piactl.directory.store.devices import raw_delete
from piactl.directory.store.find_drift import (
    ANY_DEVICE,
    DEVICE_CLASS,
    foreign_devices,
    is_foreign_device,
)
from piactl.directory.store.password_state import POLICY, odd_policies
from piactl.directory.store.record_entries import DATA, has_class


@dataclass(frozen=True, slots=True)
class RareEntries:
    """`linked`: first matricule and further ones of each account with several. `merging`: the accounts with
    the mark of a merge that are not archived yet. `at_no_device`: the deletions of the devices with the name
    to which suspended accounts are linked, each of which lets somebody in; by uid in normal spelling.
    `foreign_devices`: the devices that no identity of piactl added. `odd_policies`: whether an account goes
    under another password policy."""

    linked: Sequence[tuple[str, Sequence[str]]] = ()
    merging: Sequence[Entry | Unreadable] = ()
    at_no_device: Mapping[str, Write] = field(default_factory=dict)
    foreign_devices: Sequence[RawEntry] = ()
    odd_policies: bool = False


def read_rare_entries(
    reader: Reader,
    directory: DirectorySettings,
    encoding: Encoding,
    passwords: PasswordSettings | None = None,
) -> RareEntries:
    """The rare entries; without `passwords`, nothing is said of password policies."""
    matricule, further, merged, state = map(
        encoding.name, ("supannEmpId", "piactlMatricule", "piactlMergedInto", "piactlState")
    )
    archived = State.ARCHIVED.value
    not_archived = filters.none_of(filters.equals(state, archived))
    in_merge = filters.all_of(IN_ACCOUNTS, filters.present(merged), not_archived)
    of_policy = odd_policies(passwords) if passwords is not None else ()
    accounts = filters.any_of(filters.present(further), in_merge, *of_policy)
    devices = filters.any_of(filters.equals("cn", NO_DEVICE), *foreign_devices(directory))
    query = filters.any_of(filters.all_of(IN_ACCOUNTS, accounts), filters.all_of(ANY_DEVICE, devices))
    names = [matricule, further, merged, state, "objectClass", DATA, "creatorsName", POLICY]
    linked, devices_found, marked, odd = [], [], False, False
    for raw in reader.search(directory.accounts, query, names, few=True):
        if has_class(raw, DEVICE_CLASS):
            devices_found.append(raw)
        if has_class(raw, ACCOUNT_CLASS):
            if raw.values.get(further) and raw.text(matricule):
                linked.append((raw.text(matricule), raw.texts(further)))
            marked = marked or bool(raw.values.get(merged) and raw.text(state) != archived)
            odd = odd or bool(raw.values.get(POLICY))
    others = [raw for raw in devices_found if is_foreign_device(raw, directory)]
    at_no_device = _at_no_device(reader, directory.accounts) if devices_found else {}
    merging = [*reader.search(directory.accounts, in_merge, encoding.attributes)] if marked else []
    return RareEntries(linked, [entry_of(raw, encoding) for raw in merging], at_no_device, others, odd)


def _at_no_device(reader: Reader, accounts: str) -> dict[str, Write]:
    """A search of its own, because the server decides which spellings are this name."""
    named = filters.all_of(ANY_DEVICE, filters.equals("cn", NO_DEVICE))
    return {
        parted(parted(normal_dn(raw.dn))[1])[0].partition("=")[2]: raw_delete(raw)
        for raw in reader.search(accounts, named, [DATA])
    }
