"""One-off changes of accounts: the same rules, guards, preconditions and journal as a night.

An act says what an administrator changes of an account; the rules then say what follows from it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from piactl.core.edits import Act, ActRefused
from piactl.core.model.account import State
from piactl.core.model.digests import DigestKeys
from piactl.core.model.settings import Settings
from piactl.core.naming.local_part import TakenNames, UnusableName
from piactl.core.plan.change import Change
from piactl.core.plan.guards import Refusal, refusals
from piactl.core.rules.address_allocation import named
from piactl.core.rules.career import outlook
from piactl.core.rules.desired import Desired, Rules, Subject, desired_account, local_of, renamed_base
from piactl.core.text import counted
from piactl.directory.port import Writer
from piactl.directory.store.accounts import Entry, account_write
from piactl.directory.store.attribute_scans import read_foreign_names, read_identifiers
from piactl.directory.store.memory_records import read_last
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import PiactlError, UnsafePlan
from piactl.flows.apply.executor import Done, Stop, refused, write_alone
from piactl.flows.apply.run import Order, check_date, run_alone
from piactl.flows.plan.change_set import change_set
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.queries.accounts import AccountStore, career_and_status, find_entry

# Telling other systems of a lock: sessions that are open there go on until they are ended there.


def call_lock_hook(settings: Settings, uids: Sequence[str], say: Callable[[str], None]) -> bool:
    """Calls the configured command once, with a JSON object on its stdin: {"event": "lock", "uids": [...]}.

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
    text = json.dumps({"event": "lock", "uids": list(uids)}) + "\n"
    try:
        done = subprocess.run(
            list(command),
            input=text,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=settings.hook_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"did not end within {settings.hook_seconds} seconds"
    except OSError as error:
        why = f"could not be started: {error.strerror}"
    else:
        if done.returncode == 0:
            return True
        why = f"ended with exit code {done.returncode}"
    say(f"locked, but the hook {command[0]} {why}: sessions may go on; end them by hand")
    return False


@dataclass(frozen=True, slots=True)
class Prepared:
    """One account of a command: what would change, and the write; or the `error` that stands in the way.

    `write` None without an error: it is so already. `outlook` is what follows on later days. `then` are the
    writes of entries below the account that follow, in order, once `write` was made; `note` is a sentence for
    who asked, once it is done.
    """

    name: str
    uid: str = ""
    changes: tuple[Change, ...] = ()
    write: AccountWrite | None = None
    outlook: tuple[tuple[date, str], ...] = ()
    error: PiactlError | None = None
    then: tuple[AccountWrite, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Preparation:
    """All accounts of a command, in the order they were named, and the guards that they break together."""

    accounts: tuple[Prepared, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def writes(self) -> list[AccountWrite]:
        return [one.write for one in self.accounts if one.write is not None]


@dataclass(slots=True)
class Acted:
    """What became of a command: the outcome and message of each write, by uid, and the run."""

    run: str
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    stopped: str = ""


def prepare(
    store: AccountStore,
    rules: Rules,
    names: Iterable[str],
    act: Act,
    reason: str,
    unreadable: UnreadableRecords,
) -> Preparation:
    """What the act would change of each account, in the order of `names`. Nothing here can write.

    An account that cannot be found or changed is an error of its own; the others go on.
    """
    seen: dict[str, str] = {}
    accounts = []
    for name in names:
        uid = ""
        try:
            entry = find_entry(store, name)
            uid = entry.account.uid
            if uid in seen:
                raise ActRefused(f"{name}: names the same account as {seen[uid]} ({uid}); it is changed once")
            seen[uid] = name
            accounts.append(_prepared(store, name, entry, act, rules, reason))
        except PiactlError as error:
            accounts.append(Prepared(name, uid, error=error))
    changes = [change for one in accounts for change in one.changes]
    return Preparation(tuple(accounts), tuple(_broken(store, changes, rules, unreadable)))


def _prepared(store: AccountStore, name: str, entry: Entry, act: Act, rules: Rules, reason: str) -> Prepared:
    current = entry.account
    if current.state is State.ARCHIVED:
        raise ActRefused(
            f"{name}: the account is archived; what is left of it is only kept so that its addresses are "
            "given to nobody else.\nIf the person is back: piactl account create with the same matricule"
        )
    altered = act(current, rules)
    subject = Subject(
        matricule=current.matricule,
        current=altered.account,
        person=altered.person,
        assignments=altered.account.assignments,
        note=altered.note,
    )
    try:
        desired = desired_account(subject, rules)
    except UnusableName as error:
        raise ActRefused(f"{name}: {error}") from None
    if desired is None:
        raise AssertionError("an account that is there always has a desired one")
    # the act itself may have changed the name already
    base = desired.base or renamed_base(current, desired.account)
    desired = replace(desired, subject=replace(subject, current=current), base=base)
    return intended(store, name, entry, desired, rules, reason)


def intended(
    store: AccountStore,
    name: str,
    entry: Entry | None,
    desired: Desired,
    rules: Rules,
    reason: str,
) -> Prepared:
    """The changes and the one write that make an account the desired one, with the address it needs."""
    if desired.base is not None:
        desired = _addressed(store, desired, rules)
    write = account_write(store.directory, store.encoding.fitted_to(store.reader), entry, desired.account)
    uid = desired.account.uid
    if write is None:
        return Prepared(name, uid)
    changes = change_set(desired, write, rules, store.encoding)
    row = AccountWrite(uid, changes.kinds, reason or changes.changes[0].reason, write)
    before = None
    if entry is not None:
        before, _ = career_and_status(entry.account, rules.policy, rules.register, rules.as_of)
    held = max((override.until for override in desired.account.overrides), default=rules.as_of)
    ahead = tuple(outlook(before, desired.career, rules.as_of, held))
    return Prepared(name, uid, changes.changes, row, ahead)


def _addressed(store: AccountStore, desired: Desired, rules: Rules) -> Desired:
    taken = {
        *read_foreign_names(store.reader, store.directory, store.encoding),
        *read_identifiers(store.reader, store.directory, store.encoding),
    }
    names = TakenNames((local_of(name) for name in taken), rules.policy.first_homonym_digit)
    return named([desired], names, rules.policy)[0]


def _broken(
    store: AccountStore, changes: Sequence[Change], rules: Rules, unreadable: UnreadableRecords
) -> Sequence[Refusal]:
    """The guards of the day, against the accounts that the last run counted."""
    if not changes:
        return ()
    last = read_last(store.reader, store.directory.state, unreadable)
    return refusals(changes, last.census, rules.policy, rules.as_of) if last else ()


def carry_out(
    writer: Writer,
    order: Order,
    preparation: Preparation,
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
    stop: Stop,
    recorded: bool = True,
    emergency: bool = False,
    acted: Acted | None = None,
) -> Acted:
    """Makes the prepared changes: one journalled write per account, each on its preconditions.

    Raises UnsafePlan where a guard is broken that the order does not allow, with nothing written, and what
    refuses every further write; what was made before that stands in `acted`, where it is given. `emergency`
    as for `run_alone`.
    """
    acted = acted or Acted(order.run)
    broken = refused(preparation.refusals, order.allowed)
    if broken:
        guards = counted(len(broken), "guard is broken", "guards are broken")
        raise UnsafePlan(f"{guards}; nothing was written")
    if not preparation.writes:
        return acted
    last = read_last(writer, settings.directory.state, unreadable)
    check_date(order, last, settings)
    with run_alone(
        writer, order, settings, keys, unreadable, now, say, recorded=recorded, emergency=emergency
    ) as run:
        done = Done(order.run, results=acted.outcomes)
        then = {one.uid: one.then for one in preparation.accounts if one.then}
        write_alone(run, preparation.writes, done, stop, then)
    acted.stopped = done.stopped
    return acted
