"""The commands of the configuration that tell other systems and people of what was done.

Each gets one JSON object on its stdin and may run for `hooks.seconds`. What it does changes nothing that was
done before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from piactl.core.credentials.holdoff import held_off_until
from piactl.core.model.account import MAIL_PROOF, Account
from piactl.core.model.settings import Settings
from piactl.core.plan.change import Change, Kind
from piactl.directory.port import Outcome, Reader, WriteResult
from piactl.directory.store.accounts import read_private_mail, removed_private_mail
from piactl.errors import PiactlError

Say = Callable[[str], None]


def missing_program(command: Sequence[str]) -> str:
    """Says that the program of a hook is not there or may not be run; "" where it is fine, or there is no
    hook."""
    if not command or shutil.which(command[0]) is not None:
        return ""
    return f"{command[0]}: there is no such program to run"


def missing_programs(settings: Settings) -> list[str]:
    """The hooks of the configuration whose program is missing, each with its name."""
    hooks = {"hooks.lock": settings.lock_hook, "hooks.proof_changed": settings.proof_hook}
    return [f"{name}: {why}" for name, command in hooks.items() if (why := missing_program(command))]


def call_lock_hook(settings: Settings, uids: Sequence[str], say: Say) -> bool:
    """Calls the configured command once, with {"event": "lock", "uids": [...]}: sessions that are open
    elsewhere go on until they are ended there.

    Without one it says that open sessions go on. False where the command failed; the lock stands all the
    same.
    """
    command = settings.lock_hook
    if not command:
        say(
            "sessions that are open elsewhere go on: end them there, or name a command in hooks.lock "
            "that does"
        )
        return True
    why = _called(command, {"event": "lock", "uids": list(uids)}, settings.hook_seconds)
    if why:
        say(f"locked, but the hook {command[0]} {why}: sessions may go on; end them by hand")
    return not why


def _called(command: Sequence[str], message: Mapping[str, object], seconds: int) -> str:
    """Runs a command with a message on its stdin; why it failed, or ""."""
    try:
        done = subprocess.run(
            list(command),
            input=json.dumps(message, ensure_ascii=False) + "\n",
            encoding="utf-8",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {seconds} seconds"
    except OSError as error:
        return f"could not be started: {error.strerror}"
    return f"ended with exit code {done.returncode}" if done.returncode else ""


@dataclass(frozen=True, slots=True)
class OwnerNotice:
    """What the owner of an account is told at `private_mail`, the address known before; "" where there is
    none. `changed`: numen, private_mail, password, device."""

    uid: str
    private_mail: str
    changed: tuple[str, ...]


def owner_notice(account: Account, changed: str, holdoff_days: int, today: date) -> OwnerNotice:
    """The notice of a change that a command makes. A private address in its hold-off is told nothing: it may
    be a thief's."""
    held_off = held_off_until(account, MAIL_PROOF, holdoff_days, today) is not None
    return OwnerNotice(account.uid, "" if held_off else account.private_mail, (changed,))


def tell_owners(settings: Settings, notices: Sequence[OwnerNotice], now: datetime, say: Say) -> None:
    """Calls the configured command once, with {"event": "proof-changed", "accounts": [...]}, no secret in it.
    A failure is said, and is none of the command that changed the accounts."""
    command = settings.proof_hook
    if not command or not notices:
        return
    when = now.isoformat(timespec="seconds")
    accounts = [
        {"uid": one.uid, "private_mail": one.private_mail, "changed": [*one.changed], "when": when}
        for one in notices
    ]
    why = _called(command, {"event": "proof-changed", "accounts": accounts}, settings.hook_seconds)
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
