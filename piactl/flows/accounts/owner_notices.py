"""Notices to people: to the owners of accounts whose proofs changed, and to those who lock accounts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import date, datetime

from piactl.core.model.account import MAIL_PROOF, Account, held_off_until
from piactl.core.model.settings import Settings
from piactl.core.plan.change import Change, Kind
from piactl.dataclass import dataclass
from piactl.directory.port import Outcome, Reader, WriteResult
from piactl.directory.store.accounts import read_private_mail, removed_private_mail
from piactl.errors import PiactlError
from piactl.flows.apply.hooks import called

Say = Callable[[str], None]


def say_sessions_go_on(settings: Settings, say: Say) -> None:
    """Says after a lock that open sessions continue, if no hook ends them."""
    if not any(Kind.LOCK.value in hook.kinds for hook in settings.change_hooks):
        say(
            "open sessions continue: end them in each application, or name a command in hooks.changes "
            "that does"
        )


@dataclass(frozen=True, slots=True)
class OwnerNotice:
    """The notice to the owner of an account at `private_mail`, the address known before; "" if there is none.
    `changed`: numen, private_mail, password, device."""

    uid: str
    private_mail: str
    changed: tuple[str, ...]


def owner_notice(account: Account, changed: str, holdoff_days: int, today: date) -> OwnerNotice:
    """The notice of a change that a command makes. A private address in its hold-off gets none: it may be
    that of a thief."""
    held_off = held_off_until(account, MAIL_PROOF, holdoff_days, today) is not None
    return OwnerNotice(account.uid, "" if held_off else account.private_mail, (changed,))


def tell_owners(settings: Settings, notices: Sequence[OwnerNotice], now: datetime, say: Say) -> None:
    """Calls the configured command once, with {"event": "proof-changed", "accounts": [...]} and no secret. A
    failure is reported, but does not fail the command that changed the accounts."""
    command = settings.proof_hook
    if not command or not notices:
        return
    when = now.isoformat(timespec="seconds")
    accounts = [
        {"uid": one.uid, "private_mail": one.private_mail, "changed": [*one.changed], "when": when}
        for one in notices
    ]
    message = {"event": "proof-changed", "accounts": accounts}
    why = called(command, json.dumps(message, ensure_ascii=False) + "\n", settings.hook_seconds)
    if why:
        say(
            f"the hook {command[0]} {why}: the owners may not know of it; tell them: "
            + ", ".join(one.uid for one in notices[:5])
            + (", ..." if len(notices) > 5 else "")
        )


@dataclass(slots=True)
class IdentityNotices:
    """Collects the notices of the changes of kind identity that a run makes."""

    settings: Settings
    _fields: Mapping[str, tuple[str, ...]]
    _made: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """DN, and the former private address where the write replaced it, by uid."""

    @classmethod
    def of(cls, changes: Iterable[Change], summary: Mapping[str, int], settings: Settings) -> IdentityNotices:
        kind = Kind.IDENTITY
        wanted = settings.proof_hook and kind.value in summary
        return cls(settings, {c.uid: tuple(c.after) for c in changes if c.kind is kind} if wanted else {})

    def add(self, uid: str, result: WriteResult) -> None:
        """Takes the result of a write."""
        if uid in self._fields and result.outcome is Outcome.APPLIED:
            removed = removed_private_mail(result.write, self.settings.directory)
            self._made[uid] = result.write.dn, removed if MAIL_PROOF in self._fields[uid] else None

    def notices(self, reader: Reader, today: date) -> list[OwnerNotice]:
        """The notices of the changes that were made. A private address that did not change is read, if it is
        not in its hold-off."""
        return [
            OwnerNotice(uid, self._unchanged(reader, dn, today) if mail is None else mail, self._fields[uid])
            for uid, (dn, mail) in self._made.items()
        ]

    def _unchanged(self, reader: Reader, dn: str, today: date) -> str:
        try:
            mail, changed = read_private_mail(reader, dn, self.settings.directory)
        except (PiactlError, ValueError):
            return ""
        account = Account(uid="", matricule=None, matricule_digests=(), proof_changes=changed)
        held_off = held_off_until(account, MAIL_PROOF, self.settings.password.holdoff_days, today)
        return "" if held_off else mail
