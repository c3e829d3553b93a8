"""The accounts of one run, as they were read, by what people are recognised by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from piactl.core.account import Account, State
from piactl.directory.accounts import Entry, Unreadable


@dataclass(slots=True)
class Book:
    """The accounts as they were read."""

    by_matricule: dict[str, Entry] = field(default_factory=dict)
    archived: dict[str, Entry] = field(default_factory=dict)
    anonymous: list[Entry] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    doubled: dict[str, list[str]] = field(default_factory=dict)
    numens: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry | Unreadable) -> None:
        if isinstance(entry, Unreadable):
            self.unreadable.append(entry)
            return
        account = entry.account
        if account.numen_digest:
            self.numens[account.numen_digest] = account.uid
        if account.state is State.ARCHIVED:
            self.archived[account.matricule_digest] = entry
        elif account.matricule is None:
            self.anonymous.append(entry)
        elif account.matricule in self.by_matricule:
            first = self.by_matricule[account.matricule].account.uid
            self.doubled.setdefault(account.matricule, [first]).append(account.uid)
        else:
            self.by_matricule[account.matricule] = entry

    def accounts(self) -> Iterable[Account]:
        for entry in (*self.by_matricule.values(), *self.archived.values(), *self.anonymous):
            yield entry.account
