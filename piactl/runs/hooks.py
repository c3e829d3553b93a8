"""Hooks: the commands of the configuration that get the changes of accounts (`hooks.changes`), and notices
to the owners of accounts whose proofs changed (`hooks.proof_changed`).

A hook gets events (see `piactl.journal.event_stream`), one JSON object on each line of its stdin, at the
end of each run. What it gets comes from the journal alone: a run that is killed leaves its events to the
next one.
A hook that fails changes nothing that was done: its place in the journal stays, in `hooks.json` in the state
folder, and the next run tries again. Notices are written to the folder `notices` beside it before the first
write of their run, because the journal has no private address; at its end, or at that of the next one if it
was killed, the journal shows which of their changes were made.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from piactl.core.model.account import MAIL_PROOF, Account, held_off_until
from piactl.core.model.settings import ChangeHook, Settings
from piactl.core.plan.change import PASSWORD, Change, Kind
from piactl.core.text import read_json
from piactl.directory.store.account_entries import account_dn, read_private_mail
from piactl.errors import NotFound, PiactlError, system_words
from piactl.host.private_files import exposure, lock_file, make_private_folder, write_private
from piactl.journal.append_file import alive_runs
from piactl.journal.event_stream import Cursor, EventStream, head_cursor, read_cursor, was_made
from piactl.journal.files import newest_lines
from piactl.journal.intent_format import settlement_of
from piactl.phrase import Phrase, counted, first_line, joined
from piactl.runs.run import CommandRun, Promise, Run, note_afterwards

Say = Callable[[str], None]
CURSORS, NOTICES = "hooks.json", "notices"
IN_ONE_CALL = 100
"""Events that a hook gets at once."""
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The whole environment of a hook: nothing in it comes from the caller of piactl."""
_PROVING = frozenset({Kind.IDENTITY.value, PASSWORD, "otp-verify", "otp-remove"})
"""The kinds of writes that change what proves who the owner of an account is."""


Cursors = dict[tuple[str, ...], Cursor | None]
"""The place in the journal up to which each command got its events, None for the beginning."""


def cursors_file(settings: Settings) -> Path:
    return Path(settings.state_folder) / CURSORS


def read_cursors(settings: Settings) -> Cursors:
    """The cursors of this host; none if there are none yet. Raises PiactlError if they cannot be read."""
    file = cursors_file(settings)
    try:
        rows = read_json(file.read_text(encoding="utf-8"))["cursors"]
        return {tuple(row["run"]): read_cursor(row["after"]) if row["after"] else None for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, PiactlError):
        raise PiactlError(
            Phrase(
                "{file}: cannot be read; move it away, and the hooks begin with the next change", file=file
            )
        ) from None


def events_waiting(settings: Settings) -> int:
    """How many events wait for a hook on this host; 0 if that cannot be read, which each run reports."""
    try:
        cursors = read_cursors(settings)
        return sum(_waiting_for(hook, settings, cursors) for hook in _hooks(settings))
    except PiactlError:
        return 0


def _hooks(settings: Settings) -> Iterable[ChangeHook]:
    """The hooks of the configuration, those with the same command as one."""
    hooks: dict[tuple[str, ...], ChangeHook] = {}
    for hook in settings.change_hooks:
        kinds = hook.kinds | hooks.get(hook.command, hook).kinds
        hooks[hook.command] = replace(hook, kinds=kinds)
    return hooks.values()


def _waiting_for(hook: ChangeHook, settings: Settings, cursors: Cursors) -> int:
    if hook.command not in cursors:
        return 0
    stream = EventStream(settings.journal_file, cursors[hook.command])
    return sum(event.kind in hook.kinds for event in stream.new())


@contextmanager
def hooks_called(command: CommandRun, unstored: Sequence[Promise]) -> Iterator[None]:
    """Calls the hooks after this block with the changes of accounts in it, and with what earlier runs left;
    `unstored` are the notices of this run that could not be stored. Nothing that goes wrong with them fails
    the run."""
    settings, say = command.settings, command.say
    if settings.change_hooks:
        with _said(settings, say):
            _begin(settings)
    try:
        yield
    finally:
        if settings.change_hooks:
            with _said(settings, say):
                _empty(settings, say)
        if settings.proof_hook and (unstored or any(_folder(settings).glob("*.json"))):
            _tell_owners(command, unstored)


@contextmanager
def _said(settings: Settings, say: Say) -> Iterator[None]:
    try:
        yield
    except PiactlError as error:
        say(Phrase("the hooks were not called: {why}", why=str(error)))
    except OSError as error:
        why = Phrase("{name}: {text}", name=cursors_file(settings), text=system_words(error))
        say(Phrase("the hooks were not called: {why}", why=why))


def _begin(settings: Settings) -> None:
    with _locked(settings, patience=1):
        cursors = read_cursors(settings)
        if any(hook.command not in cursors for hook in _hooks(settings)):
            _save(settings, _of_hooks(settings, cursors))


def _of_hooks(settings: Settings, cursors: Cursors) -> Cursors:
    """The cursors of the hooks of the configuration; that of a new one is the end of the journal."""
    end = head_cursor(settings.journal_file)
    return {hook.command: cursors.get(hook.command, end) for hook in settings.change_hooks}


def _empty(settings: Settings, say: Say) -> None:
    failed: dict[tuple[str, ...], str] = {}
    longest = max(hook.seconds for hook in settings.change_hooks)
    with _locked(settings, patience=longest + 1):
        # a cursor is lacking if it could not be written before the run
        cursors = _of_hooks(settings, read_cursors(settings))
        taken = True
        while taken:  # other runs may have written meanwhile, and left their events to this one
            taken = False
            for hook in _hooks(settings):
                if hook.command not in failed:
                    before = cursors[hook.command]
                    if why := _delivered(settings, cursors, hook, say):
                        failed[hook.command] = why
                    taken = taken or cursors[hook.command] != before
        for hook in _hooks(settings):
            if why := failed.get(hook.command, ""):
                waiting = _waiting_for(hook, settings, cursors)
                events = counted(waiting, "event waits", "events wait")
                say(
                    Phrase(
                        "the hook {hook} {why}: {events} for the next run",
                        hook=hook.command[0],
                        why=why,
                        events=events,
                    )
                )


def _delivered(settings: Settings, cursors: Cursors, hook: ChangeHook, say: Say) -> str:
    """Calls a hook until nothing waits for it; returns why it failed, or ""."""
    stream = EventStream(settings.journal_file, cursors[hook.command])
    events = (event for event in stream.new() if event.kind in hook.kinds)
    try:
        some = list(islice(events, IN_ONE_CALL))
    except NotFound as lost:
        say(Phrase("warning: hooks may have missed events: {why}", why=first_line(str(lost))))
        cursors[hook.command] = None
        return _delivered(settings, cursors, hook, say)
    while some:
        text = "".join(json.dumps(event.record(), ensure_ascii=False) + "\n" for event in some)
        if why := called(hook.command, text, hook.seconds):
            return why
        # after the call: a run that dies in between calls twice rather than never
        cursors[hook.command] = some[-1].cursor
        _save(settings, cursors)
        some = list(islice(events, IN_ONE_CALL))
    if cursors[hook.command] != stream.reached:
        cursors[hook.command] = stream.reached
        _save(settings, cursors)
    return ""


def _save(settings: Settings, cursors: Cursors) -> None:
    rows = [{"run": command, "after": str(cursor or "")} for command, cursor in cursors.items()]
    write_private(cursors_file(settings), json.dumps({"cursors": rows}).encode())


@contextmanager
def _locked(settings: Settings, patience: int) -> Iterator[None]:
    """Lets one process at a time call the hooks. Raises PiactlError if another one has it for `patience`
    seconds: that one, or the next run, calls the hooks for what this one wrote."""
    with lock_file(cursors_file(settings).with_suffix(".lock")) as descriptor:
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


def missing_programs(settings: Settings) -> list[str]:
    """The hooks of the configuration whose program is missing, each with its name."""
    hooks = [("hooks.changes", hook.command) for hook in settings.change_hooks]
    hooks += [("hooks.proof_changed", settings.proof_hook)]
    missing = [(name, command[0]) for name, command in hooks if command and not shutil.which(command[0])]
    words = ((name, Phrase("{program}: there is no such program to run", program=p)) for name, p in missing)
    return [joined(pair, "{first}: {second}") for pair in words]


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
        return Phrase("could not be started: {reason}", reason=system_words(error))
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


def promise_notices(run: Run, notices: Sequence[OwnerNotice]) -> None:
    """Stores the notices of what the run is about to change, before its first write. `hooks_called` sends
    those of changes that were made, {"event": "proof-changed", "accounts": [...]} with no secret."""
    if not run.settings.proof_hook or not notices:
        return
    when = run.now().isoformat(timespec="seconds")
    promise = Promise(
        run.order.run, run.journal.head.seq, [{**asdict(notice), "when": when} for notice in notices]
    )
    folder = _folder(run.settings)
    try:
        make_private_folder(folder)
        text = json.dumps(asdict(promise), ensure_ascii=False)
        write_private(folder / f"{os.urandom(8).hex()}.json", text.encode())
    except (PiactlError, OSError):
        run.unstored.append(promise)


def identity_notices(
    run: Run, changes: Iterable[Change], summary: Mapping[str, int]
) -> Iterator[OwnerNotice]:
    """The notices of the changes of kind identity that a run is about to make."""
    settings = run.settings
    if not settings.proof_hook or Kind.IDENTITY.value not in summary:
        return
    for change in changes:
        if change.kind is Kind.IDENTITY:
            dn = account_dn(settings.directory, change.uid)
            try:
                mail, changed = read_private_mail(run.writer, dn, settings.directory)
            except (PiactlError, ValueError):
                mail, changed = "", ()
            account = Account(
                uid=change.uid,
                matricule=None,
                matricule_digests=(),
                private_mail=mail,
                proof_changes=changed,
            )
            notice = owner_notice(account, "", settings.password.holdoff_days, run.order.today)
            known = mail if MAIL_PROOF in change.after else notice.private_mail
            yield replace(notice, private_mail=known, changed=tuple(change.after))


def _tell_owners(command: CommandRun, unstored: Sequence[Promise]) -> None:
    """Calls the command once for all notices. A failure is reported, and for those of this run journalled;
    the next run tries again."""
    settings, own = command.settings, command.order.run
    fresh: list[Mapping[str, Any]] = []
    uids: list[str] = []
    try:
        fresh = [account for promise in unstored for account in _made(settings, promise)]
        uids = [account["uid"] for account in fresh]
        with _locked(settings, patience=settings.hook_seconds + 1):
            accounts, files = list(fresh), dict(_waiting(command))
            for promise in files.values():
                made = _made(settings, promise)
                accounts += made
                uids += [account["uid"] for account in made if promise.run == own]
            why = _told(settings, accounts)
            if not why:
                for file in files:
                    file.unlink()
    except PiactlError as error:
        why = _told(settings, fresh) if fresh else Phrase("was not called: {why}", why=str(error))
    except OSError as error:
        why = Phrase("is called again: {folder}: {why}", folder=_folder(settings), why=system_words(error))
    if not why:
        return
    if not uids:
        command.say(
            Phrase(
                "the hook {hook} {why}: notices to owners wait for the next run",
                hook=settings.proof_hook[0],
                why=why,
            )
        )
        return
    command.say(
        Phrase(
            "the hook {hook} {why}: the owners may not know of it; tell them: {uids}",
            hook=settings.proof_hook[0],
            why=why,
            uids=", ".join(uids[:5] + (["..."] if len(uids) > 5 else [])),
        )
    )
    try:
        note_afterwards(command, Phrase("owners not told: {uids}", uids=", ".join(uids)))
    except PiactlError as error:
        command.say(Phrase("the journal cannot say so: {why}", why=str(error)))


def _made(settings: Settings, promise: Promise) -> list[Mapping[str, Any]]:
    """The notices of changes that were made, or may have been: a write in doubt counts. Raises
    JournalUnusable."""
    made, uids = dict[int, bool](), set[str]()
    for line in newest_lines(settings.journal_file):
        if line.seq <= promise.after:
            break
        if (settlement := settlement_of(line)) is not None:
            made.setdefault(settlement.intent, was_made(line.type, settlement.outcome))
        elif line.type == "intent" and line.run == promise.run and made.get(line.seq, True):
            proving = not _PROVING.isdisjoint(line.fields["kinds"])
            uids |= {line.fields["uid"]} if proving else set()
    return [account for account in promise.accounts if account["uid"] in uids]


def _folder(settings: Settings) -> Path:
    return Path(settings.state_folder) / NOTICES


def _waiting(command: CommandRun) -> Iterator[tuple[Path, Promise]]:
    """The stored notices, but for those of another run that is under way. Names files that cannot be read."""
    path = command.settings.journal_file
    for file in _folder(command.settings).glob("*.json"):
        try:
            facts = read_json(file.read_text(encoding="utf-8"))
            promise = Promise(str(facts["run"]), int(facts["after"]), list(facts["accounts"]))
            sorted(map(itemgetter("when"), promise.accounts), key=datetime.fromisoformat)
            alive = alive_runs(path, [promise.run])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            command.say(
                Phrase(
                    "{file}: a notice to owners cannot be read: move it away, and tell its owners", file=file
                )
            )
        else:
            if not alive:
                yield file, promise


def _told(settings: Settings, accounts: Sequence[Mapping[str, Any]]) -> str:
    if not accounts:  # another run has sent them, or nothing was changed
        return ""
    message = {"event": "proof-changed", "accounts": sorted(accounts, key=itemgetter("when"))}
    text = json.dumps(message, ensure_ascii=False) + "\n"
    return called(settings.proof_hook, text, settings.hook_seconds)
