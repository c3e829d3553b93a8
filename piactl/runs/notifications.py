"""Hooks: the commands of the configuration that get the changes of accounts (`hooks.changes`), and notices
to the owners of accounts whose proofs changed (`hooks.proof_changed`).

A hook gets events (see `piactl.journal.event_stream`), one JSON object on each line of its stdin, at the
end of each run. What it gets comes from the journal alone: a run that is killed leaves its events to the
next one.
A hook that fails changes nothing that was done: its events wait in the outbox, `hooks.json` in the state
folder, and the next run tries again. Notices wait in the folder `notices` beside it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from piactl.core.model.account import MAIL_PROOF, Account, held_off_until
from piactl.core.model.settings import ChangeHook, Settings
from piactl.core.plan.change import Change, Kind
from piactl.core.text import read_json
from piactl.directory.port import Outcome, Reader, WriteResult
from piactl.directory.store.accounts import read_private_mail, removed_private_mail
from piactl.errors import NotFound, PiactlError
from piactl.journal.event_stream import Cursor, EventStream, head_cursor, read_cursor
from piactl.phrase import Phrase, counted, first_line, joined
from piactl.private_files import exposure, lock_file, make_private_folder, write_private

Say = Callable[[str], None]
OUTBOX, NOTICES = "hooks.json", "notices"
IN_ONE_CALL = 100
"""Events that a hook gets at once."""
_AT_ONCE = 1000
"""Events that are put into the outbox at once."""
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The whole environment of a hook: nothing in it comes from the caller of piactl."""


@dataclass(slots=True)
class Outbox:
    """The events that the hooks still have to get. `cursor` is the place in the journal up to which events
    were taken, None for its beginning; `waiting` has the events by command."""

    cursor: Cursor | None = None
    waiting: dict[tuple[str, ...], list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """How many events wait."""
        return sum(map(len, self.waiting.values()))


def outbox_file(settings: Settings) -> Path:
    return Path(settings.state_folder) / OUTBOX


def read_outbox(settings: Settings) -> Outbox | None:
    """The outbox of this host; None if there is none yet. Raises PiactlError if it cannot be read."""
    file = outbox_file(settings)
    try:
        document = read_json(file.read_text(encoding="utf-8"))
        cursor = read_cursor(document["cursor"]) if document["cursor"] else None
        return Outbox(cursor, {tuple(row["run"]): list(row["events"]) for row in document["waiting"]})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, PiactlError):
        raise PiactlError(
            Phrase(
                "{file}: cannot be read; move it away, and the hooks begin with the next change", file=file
            )
        ) from None


def events_waiting(settings: Settings) -> int:
    """How many events wait for a hook on this host; 0 if the outbox cannot be read, which each run
    reports."""
    try:
        outbox = read_outbox(settings)
    except PiactlError:
        return 0
    return outbox.events if outbox is not None else 0


@contextmanager
def hooks_called(settings: Settings, say: Say) -> Iterator[None]:
    """Calls the hooks after this block with the changes of accounts in it, and with what earlier runs left.
    Nothing that goes wrong with them fails the run."""
    if settings.change_hooks:
        with _said(settings, say):
            _begin(settings)
    try:
        yield
    finally:
        if settings.change_hooks:
            with _said(settings, say):
                _empty(settings, say)
        if why := _send(settings, say=say):
            say(
                Phrase(
                    "the hook {hook} {why}: notices to owners wait for the next run",
                    hook=settings.proof_hook[0],
                    why=why,
                )
            )


@contextmanager
def _said(settings: Settings, say: Say) -> Iterator[None]:
    try:
        yield
    except PiactlError as error:
        say(Phrase("the hooks were not called: {why}", why=str(error)))
    except OSError as error:
        say(Phrase("the hooks were not called: {why}", why=f"{outbox_file(settings)}: {error.strerror}"))


def _begin(settings: Settings) -> None:
    """Makes the outbox if there is none yet, so that a new hook gets no earlier events."""
    with _locked(settings, patience=1):
        if read_outbox(settings) is None:
            _save(settings, Outbox(head_cursor(settings.journal_file)))


def _empty(settings: Settings, say: Say) -> None:
    failed: dict[tuple[str, ...], str] = {}
    longest = max(hook.seconds for hook in settings.change_hooks)
    with _locked(settings, patience=longest + 1):
        outbox = read_outbox(settings)
        if outbox is None:  # it could not be written before the run
            outbox = Outbox(head_cursor(settings.journal_file))
        commands = [hook.command for hook in settings.change_hooks]
        outbox.waiting = {command: outbox.waiting.get(command, []) for command in commands}
        while True:
            taken = _take(settings, outbox, say)
            for hook in settings.change_hooks:
                if hook.command not in failed and (why := _delivered(settings, outbox, hook)):
                    failed[hook.command] = why
            if not taken:  # else other runs may have written meanwhile, and left their events to this one
                break
    for command, why in failed.items():
        facts = {"hook": command[0], "why": why}
        events = counted(len(outbox.waiting[command]), "event waits", "events wait")
        say(Phrase("the hook {hook} {why}: {events} for the next run", events=events, **facts))


def _take(settings: Settings, outbox: Outbox, say: Say) -> bool:
    """Puts events of the journal into the outbox; returns whether there were any."""
    stream = EventStream(settings.journal_file, outbox.cursor)
    try:
        events = list(islice(stream.new(), _AT_ONCE))
    except NotFound as lost:
        say(Phrase("warning: hooks may have missed events: {why}", why=first_line(str(lost))))
        stream = EventStream(settings.journal_file, None)
        events = list(islice(stream.new(), _AT_ONCE))
    for hook in settings.change_hooks:
        records = [event.record() for event in events if event.kind in hook.kinds]
        outbox.waiting[hook.command] += records
    before = outbox.cursor
    outbox.cursor = events[-1].cursor if len(events) == _AT_ONCE else stream.reached
    if outbox.cursor != before:
        # before the calls: a run that dies in between calls twice rather than never
        _save(settings, outbox)
    return bool(events)


def _delivered(settings: Settings, outbox: Outbox, hook: ChangeHook) -> str:
    """Calls a hook until nothing waits for it; returns why it failed, or ""."""
    waiting = outbox.waiting[hook.command]
    while waiting:
        some = waiting[:IN_ONE_CALL]
        text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in some)
        if why := called(hook.command, text, hook.seconds):
            return why
        del waiting[: len(some)]
        _save(settings, outbox)
    return ""


def _save(settings: Settings, outbox: Outbox) -> None:
    document = {
        "cursor": str(outbox.cursor) if outbox.cursor else "",
        "waiting": [{"run": command, "events": events} for command, events in outbox.waiting.items()],
    }
    write_private(outbox_file(settings), json.dumps(document, ensure_ascii=False).encode())


@contextmanager
def _locked(settings: Settings, patience: int) -> Iterator[None]:
    """Lets one process at a time use the outbox. Raises PiactlError if another one has it for `patience`
    seconds: that one, or the next run, calls the hooks for what this one wrote."""
    with lock_file(outbox_file(settings).with_suffix(".lock")) as descriptor:
        for _ in range(10 * patience):
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.1)
        else:
            raise PiactlError(
                Phrase("another run is calling them, and it or the next run does it for this one, too")
            )
        yield


def missing_program(command: Sequence[str]) -> str:
    """A sentence if the program of a hook is missing or may not be run; "" if it is fine, or there is no
    hook."""
    if not command or shutil.which(command[0]) is not None:
        return ""
    return Phrase("{program}: there is no such program to run", program=command[0])


def missing_programs(settings: Settings) -> list[str]:
    """The hooks of the configuration whose program is missing, each with its name."""
    hooks = [("hooks.changes", hook.command) for hook in settings.change_hooks]
    hooks += [("hooks.proof_changed", settings.proof_hook)]
    missing = ((name, missing_program(command)) for name, command in hooks)
    return [joined([name, why], "{first}: {second}") for name, why in missing if why]


def called(command: Sequence[str], text: str, seconds: int) -> str:
    """Runs a command with a text on its stdin, and nothing else of this process; returns why it failed, or
    ""."""
    if exposed := exposure(command[0]) if command[0].startswith("/") else "":
        return Phrase("is not run: {why}", why=exposed)
    try:
        with subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        ) as process:
            try:
                process.communicate(text, timeout=seconds)
            except subprocess.TimeoutExpired:
                return Phrase("did not end within {seconds} seconds", seconds=seconds)
            finally:
                with suppress(ProcessLookupError):  # what it started ends with it
                    os.killpg(process.pid, signal.SIGKILL)
    except OSError as error:
        return Phrase("could not be started: {reason}", reason=error.strerror)
    code = process.returncode
    return Phrase("ended with exit code {code}", code=code) if code else ""


def say_sessions_go_on(settings: Settings, say: Say) -> None:
    """Says after a lock that open sessions continue, if no hook ends them."""
    if not any(Kind.LOCK.value in hook.kinds for hook in settings.change_hooks):
        say(
            Phrase(
                "open sessions continue: end them in each application, or name a command in hooks.changes "
                "that does"
            )
        )


@dataclass(frozen=True, slots=True)
class OwnerNotice:
    """The notice to the owner of an account at `private_mail`, the address known before; "" if there is none.
    `changed`: numen, private_mail, password, device."""

    uid: str
    private_mail: str
    changed: tuple[str, ...]


def owner_notice(account: Account, changed: str, holdoff_days: int, today: date) -> OwnerNotice:
    """The notice of a change that a command makes. A private address in its hold-off gets none: it may belong
    to a thief."""
    held_off = held_off_until(account, MAIL_PROOF, holdoff_days, today) is not None
    return OwnerNotice(account.uid, "" if held_off else account.private_mail, (changed,))


def notify_owners(
    settings: Settings, notices: Sequence[OwnerNotice], now: datetime, say: Say, note: Say
) -> None:
    """Calls the configured command once, with {"event": "proof-changed", "accounts": [...]} and no secret. A
    failure is reported and journalled (`note`), and the next run tries again; it does not fail the command
    that changed the accounts."""
    command = settings.proof_hook
    if not command or not notices:
        return
    when = now.isoformat(timespec="seconds")
    accounts = [
        {"uid": notice.uid, "private_mail": notice.private_mail, "changed": [*notice.changed], "when": when}
        for notice in notices
    ]
    why = _send(settings, accounts)
    if why:
        uids = [notice.uid for notice in notices[:5]] + (["..."] if len(notices) > 5 else [])
        say(
            Phrase(
                "the hook {hook} {why}: the owners may not know of it; tell them: {uids}",
                hook=command[0],
                why=why,
                uids=", ".join(uids),
            )
        )
        try:
            note(Phrase("owners not told: {uids}", uids=", ".join(notice.uid for notice in notices)))
        except PiactlError as error:
            say(Phrase("the journal cannot say so: {why}", why=str(error)))


def _send(settings: Settings, fresh: Sequence[Mapping[str, object]] = (), say: Say | None = None) -> str:
    """Calls the command with the fresh notices and those that wait; returns why that failed, or "". Then all
    of them wait, except fresh ones that cannot be stored. Files that cannot be read are left, and named with
    `say`."""
    command = settings.proof_hook
    if not command or not (fresh or notices_wait(settings)):
        return ""
    # before the call: a run that dies in between calls twice rather than never
    unstored = () if _stored(settings, fresh) else fresh
    try:
        with _locked(settings, patience=settings.hook_seconds + 1):
            waiting = dict(_waiting(settings, say))
            if why := _told(settings, [*itertools.chain.from_iterable(waiting.values()), *unstored]):
                return why
            for file in waiting:
                file.unlink()
    except PiactlError as error:
        return _told(settings, unstored) if unstored else Phrase("was not called: {why}", why=str(error))
    except OSError as error:
        return Phrase("is called again: {folder}: {why}", folder=_folder(settings), why=error.strerror)
    return ""


def _folder(settings: Settings) -> Path:
    return Path(settings.state_folder) / NOTICES


def _stored(settings: Settings, notices: Sequence[Mapping[str, object]]) -> bool:
    folder = _folder(settings)
    try:
        if notices:
            make_private_folder(folder)
            text = json.dumps(notices, ensure_ascii=False)
            write_private(folder / f"{os.urandom(8).hex()}.json", text.encode())
    except (PiactlError, OSError):
        return False
    return True


def _waiting(settings: Settings, say: Say | None) -> Iterator[tuple[Path, list[Mapping[str, str]]]]:
    for file in _folder(settings).glob("*.json"):
        try:
            accounts = list(read_json(file.read_text(encoding="utf-8")))
            sorted(map(itemgetter("when"), accounts), key=datetime.fromisoformat)
        except (OSError, ValueError, KeyError, TypeError):
            if say is not None:
                say(
                    Phrase(
                        "{file}: a notice to owners cannot be read: move it away, and tell its owners",
                        file=file,
                    )
                )
        else:
            yield file, accounts


def _told(settings: Settings, accounts: Sequence[Mapping[str, Any]]) -> str:
    if not accounts:  # another run has sent them
        return ""
    message = {"event": "proof-changed", "accounts": sorted(accounts, key=itemgetter("when"))}
    text = json.dumps(message, ensure_ascii=False) + "\n"
    return called(settings.proof_hook, text, settings.hook_seconds)


def notices_wait(settings: Settings) -> bool:
    """Whether notices wait for the next run of this host."""
    return any(_folder(settings).glob("*.json"))


@dataclass(slots=True)
class IdentityNotices:
    """Collects the notices of the changes of kind identity that a run makes."""

    settings: Settings
    _fields: Mapping[str, tuple[str, ...]]
    _made: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """DN, and the former private address if the write replaced it, by uid."""

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
        """The notices of the changes that were made. A private address that did not change is read, and left
        out in its hold-off."""
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
