"""Copies entries that are missing or different on the first server from another server."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path

from piactl.core.model.account import State
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.change import Kind
from piactl.core.plan.run_state import RunStatus
from piactl.dataclass import dataclass
from piactl.directory.client.connection import Password
from piactl.directory.open import open_reader, open_writer
from piactl.directory.port import EntryWrite, RawEntry, Reader, Values
from piactl.directory.store.attribute_map import SECRETS, Encoding
from piactl.errors import DirectoryOlder, NotFound
from piactl.flows.apply.executor import MOST_PROBLEMS, Done, write_beside
from piactl.flows.apply.restored_directory import compare_runs
from piactl.flows.apply.run import CommandRun
from piactl.flows.apply.undo_log import keep_undo
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.server_differences import (
    ACCOUNT,
    CHANGED,
    CSN,
    DEVICE,
    PASSWORD,
    Difference,
    Scope,
    differences,
)

KIND = "mend"
"""The kind of these writes in the journal."""
_KEPT_BY_SERVER = frozenset({CHANGED, CSN})


@dataclass(slots=True)
class Mending:
    """The writes that copy entries from the server `source` to the first server, `to`. `left` are entries
    that stay as they are, with the reason; `passwords` the uids of accounts whose password cannot be
    copied. `undo` are the writes of accounts, of a new one with its managed values alone: an undo puts back
    accounts, not records and devices."""

    source: str
    to: str
    writes: list[AccountWrite] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    undo: list[AccountWrite] = field(default_factory=list)


def one_server(settings: DirectorySettings, uri: str) -> DirectorySettings:
    """The settings of the directory with only this server."""
    return replace(settings, servers=(uri,))


def propose_mending(
    settings: DirectorySettings,
    password: Password,
    encoding: Encoding,
    source: str,
    identity: str,
    reason: str,
    folder: Path,
) -> Mending:
    """Compares the first configured server with `source` and plans the writes, parents first. Changes
    nothing. Raises NotFound if `source` is not another server of the list."""
    to = settings.servers[0]
    if source not in settings.servers[1:]:
        known = ", ".join(settings.servers[1:]) or "none"
        raise NotFound(f"{source}: name a server of directory.servers other than the first one ({known})")
    scope = Scope(settings.accounts, settings.state, encoding)
    with ExitStack() as stack:
        readers = {
            uri: stack.enter_context(open_reader(one_server(settings, uri), identity, password))
            for uri in (to, source)
        }
        differing = sorted(
            differences(readers, scope, settings.suffix, folder, Counter()),
            key=lambda difference: difference.dn.count(","),
        )
        mending = Mending(source, to)
        for difference in differing:
            _plan(mending, difference, scope, readers[to], readers[source], reason)
    return mending


def _plan(
    mending: Mending, difference: Difference, scope: Scope, first: Reader, other: Reader, reason: str
) -> None:
    old, new = scope.entry(first, difference.dn), scope.entry(other, difference.dn)
    uid = (new or old or RawEntry(difference.dn, {})).text("uid") or difference.dn.partition("=")[
        2
    ].partition(",")[0]
    if new is None:
        mending.left.append((difference.dn, f"is not on {mending.source}; left alone"))
        return
    if difference.kind == DEVICE and old is None:
        mending.left.append((difference.dn, "the secret of a device cannot be copied: enrol it again"))
        return
    if difference.kind == ACCOUNT and (old is None or {PASSWORD, CHANGED} & set(difference.attributes)):
        mending.passwords.append(uid)
    write = _write(difference.dn, old, new)
    if write is None:
        return
    encoding = scope.encoding
    archived = State.ARCHIVED.value.encode() in write.add.get(encoding.name("piactlState"), ())
    one = AccountWrite(uid, (KIND, Kind.ARCHIVE.value) if archived else (KIND,), reason, write)
    mending.writes.append(one)
    mending.kinds.append(difference.kind)
    if difference.kind == ACCOUNT:
        made = replace(write, add=encoding.managed(new)) if write.op == "add" else write
        mending.undo.append(replace(one, write=made))


def _write(dn: str, old: RawEntry | None, new: RawEntry) -> EntryWrite | None:
    """The write that gives `old` the copyable values of `new`; None if they are equal."""
    wanted = _copied(new)
    if old is None:
        return EntryWrite("add", dn, add=wanted)
    present = _copied(old)
    add = _without(wanted, present)
    delete = _without(present, wanted)
    return EntryWrite("modify", dn, add=add, delete=delete) if add or delete else None


def _copied(entry: RawEntry) -> Values:
    return {
        name: values
        for name, values in entry.values.items()
        if values and name not in SECRETS and name not in _KEPT_BY_SERVER
    }


def _without(values: Values, others: Values) -> dict[str, tuple[bytes, ...]]:
    remaining = {
        name: tuple(value for value in own if value not in others.get(name, ()))
        for name, own in values.items()
    }
    return {name: own for name, own in remaining.items() if own}


def mend(mending: Mending, command: CommandRun, password: Password, identity: str) -> Done:
    """Makes the planned writes on the first server, each with journal lines and preconditions.

    Raises JournalMissing, LockHeld, and errors that prevent every further write.
    """
    with (
        open_writer(one_server(command.settings.directory, mending.to), identity, password) as writer,
        command.locked(writer, tolerated=(DirectoryOlder,)) as run,
    ):
        facts = {"summary": {KIND: len(mending.undo)}} if mending.undo else {}
        run.record(RunStatus.RUNNING, **facts)
        keep_undo(run, mending.undo)
        done = write_beside(run, mending.writes)
        done.status = RunStatus.PARTLY if done.problems else RunStatus.DONE
        # the server may now have the runs that it lacked
        host = run.order.actor.host
        run.compared = compare_runs(
            writer, host, run.settings, run.unreadable, run.now, tolerated=(DirectoryOlder,)
        )
        run.end(done.counts)
        run.record(
            done.status,
            **facts,
            **done.facts(MOST_PROBLEMS),
            note=f"mended {mending.to} from {mending.source}",
        )
    return done
