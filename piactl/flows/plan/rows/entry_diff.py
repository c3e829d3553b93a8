"""From the accounts that should be to the changes and writes that make them so."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from piactl.core.model.account import State
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.plan import Hold
from piactl.core.plan.run_state import Waiting, bare
from piactl.core.rules.career import career
from piactl.core.rules.desired import NUMEN, Desired, Rules, Subject
from piactl.directory.dn import normal_dn
from piactl.directory.port import EntryWrite, Reader, Values
from piactl.directory.store.accounts import Entry, account_write, read_whole
from piactl.directory.store.devices import device_deletions, link_write
from piactl.flows.plan.inputs.account_index import AccountIndex
from piactl.flows.plan.rows.bundle import AccountWrite
from piactl.flows.plan.rows.change_set import change_set
from piactl.flows.site import Site

Row = tuple[AccountWrite, list[Change]]

PROTECTED = "protected: no import touches it"


def place_of(row: Row) -> tuple[bool, str]:
    """What the rows of a plan are ordered by."""
    return not row[0].loses, row[0].uid


@dataclass(slots=True)
class EntryDiff:
    """`waiting` are the people in waiting before the run. `told_once`: a feed of this run is a delta, which
    tells its news only once. `holds` fills with the protected accounts that would have changed."""

    reader: Reader
    site: Site
    rules: Rules
    index: AccountIndex
    waiting: Mapping[str, Waiting]
    told_once: bool
    holds: list[Hold] = field(default_factory=list)

    def rows(self, desired: Sequence[Desired]) -> list[Row]:
        """The writes, each with its changes, accounts that lose something first."""
        rows = self._unlinked_archived({one.account.uid for one in desired})
        foreign = self._foreign(one for one in desired if one.account.state is State.ARCHIVED)
        for one in desired:
            write = self.write(one)
            if write is None:
                continue
            if self.protected(one):
                uid = one.account.uid
                self.holds.append(Hold(one.subject.matricule, uid, PROTECTED))
                continue
            if one.account.state is State.ARCHIVED:
                # no values: whatever they hold, for some can be read by nobody and some have no equality
                write = replace(write, delete={**write.delete, **foreign.get(one.account.uid, {})})
            rows.append(self.row(one, write))
        # before the accounts, for the order keeps what is equal: a crash between leaves no device behind
        rows = [*self._devices_of_archived([row for row, _ in rows]), *rows]
        rows.sort(key=place_of)
        return rows

    def write(self, one: Desired) -> EntryWrite | None:
        """The write that makes the account so; None where it is."""
        matricule = one.subject.matricule
        entry = self.index.entry(matricule, self.rules.keys) if matricule else None
        encoding = self.site.encoding_for(self.reader)
        return account_write(self.site.settings.directory, encoding, entry, one.account)

    def protected(self, one: Desired) -> bool:
        """Whether no import may touch the account."""
        current = one.subject.current
        return current is not None and (current.protected or current.uid in self.rules.policy.protected)

    def row(self, one: Desired, write: EntryWrite) -> Row:
        """A write with the changes that it makes."""
        changes = change_set(one, write, self.rules, self.site.encoding)
        reason, retry = changes.changes[0].reason, self._retry(one.subject)
        return AccountWrite(one.account.uid, changes.kinds, reason, write, retry), list(changes.changes)

    def link_of_archived(self, entry: Entry) -> EntryWrite | None:
        """The write that links an archived account to no device, None where it is so. It was archived before
        there was such a link, or another hand took it away; the rules say nothing more of it."""
        return link_write(self.site.encoding_for(self.reader), entry, entry.account.device)

    def _unlinked_archived(self, coming_back: Container[str]) -> list[Row]:
        rows = []
        for entry in self.index.archived.values():
            write = self.link_of_archived(entry) if entry.account.uid not in coming_back else None
            if write is None:
                continue
            nobody = career((), self.rules.policy, self.rules.register)
            one = Desired(Subject(None, entry.account, None, ()), entry.account, nobody)
            if self.protected(one):
                self.holds.append(Hold(None, entry.account.uid, PROTECTED))
            else:
                rows.append(self.row(one, write))
        return rows

    def _devices_of_archived(self, rows: Iterable[AccountWrite]) -> list[Row]:
        """The deletions of the devices of accounts that are archived: no secret outlives the person."""
        archived = [row for row in rows if Kind.ARCHIVE.value in row.kinds]
        accounts = self.site.settings.directory.accounts
        found = device_deletions(self.reader, accounts, [row.write.dn for row in archived])
        return [
            (AccountWrite(row.uid, row.kinds, "the account is archived", write), [])
            for row in archived
            for write in found.get(normal_dn(row.write.dn), [])
        ]

    def _foreign(self, archived: Iterable[Desired]) -> dict[str, Values]:
        """What an archival takes away besides the managed values, by uid: what others have put on the
        entries, rights of other systems, the password."""
        encoding, directory = self.site.encoding, self.site.settings.directory
        kept = {"objectclass", *(name.lower() for name in encoding.attributes)}
        kept.discard(encoding.name("eduPersonEntitlement").lower())
        uids = [one.account.uid for one in archived]
        found: dict[str, Values] = {}
        for raw in read_whole(self.reader, directory, encoding, uids):
            names = [name for name in raw.values if name.lower() not in kept]
            found[raw.text(encoding.name("uid"))] = dict.fromkeys((*names, "userPassword"), ())
        return found

    def _retry(self, subject: Subject) -> Waiting | None:
        person = subject.person
        if person is None or not self.told_once:
            return self.waiting.get(subject.matricule or "")
        numen = subject.numen_digest
        if person.numen is not None:
            numen = self.rules.keys.digest(NUMEN, person.numen.reveal())
        return Waiting(bare(person), numen, subject.assignments, self.rules.as_of)
