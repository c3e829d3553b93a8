"""Gives the first server, entry by entry, what another server has and it lacks or has otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from piactl.core.model.digests import DigestKeys
from piactl.core.model.run_status import RunStatus
from piactl.core.model.settings import DirectorySettings, Settings
from piactl.directory.client.connection import Password
from piactl.directory.open import open_reader, open_writer
from piactl.directory.port import EntryWrite, RawEntry, Reader, Values
from piactl.directory.store.attribute_map import SECRETS, Encoding
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import DirectoryOlder, UsageError
from piactl.flows.apply.executor import Done, write_beside
from piactl.flows.apply.restored_directory import compare_runs
from piactl.flows.apply.run import Order, head_facts, locked_run
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.recover.differences import (
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
    """What the first server, `to`, would get from the server `source`. `left` are entries that stay as they
    are, each with the reason; `passwords` the uids of accounts whose password cannot be copied."""

    source: str
    to: str
    writes: list[AccountWrite] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)


def one_server(settings: DirectorySettings, uri: str) -> DirectorySettings:
    """The same directory with one server only."""
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
    """Compares the first server of the list with `source` and plans the writes; entries above others come
    first. Changes nothing. Raises UsageError where `source` is not another server of the list."""
    to = settings.servers[0]
    if source not in settings.servers[1:]:
        known = ", ".join(settings.servers[1:]) or "none"
        raise UsageError(f"{source}: name a server of directory.servers other than the first one ({known})")
    scope = Scope(settings.accounts, settings.state, encoding)
    with ExitStack() as stack:
        readers = {
            uri: stack.enter_context(open_reader(one_server(settings, uri), identity, password))
            for uri in (to, source)
        }
        found = sorted(
            differences(readers, scope, settings.suffix, folder, Counter()), key=lambda one: one.dn.count(",")
        )
        mending = Mending(source, to)
        for one in found:
            _plan(mending, one, scope, readers[to], readers[source], reason)
    return mending


def _plan(mending: Mending, one: Difference, scope: Scope, first: Reader, other: Reader, reason: str) -> None:
    old, new = scope.entry(first, one.dn), scope.entry(other, one.dn)
    uid = (new or old or RawEntry(one.dn, {})).text("uid") or one.dn.partition("=")[2].partition(",")[0]
    if new is None:
        mending.left.append((one.dn, f"is not on {mending.source}, and stays"))
        return
    if one.kind == DEVICE and old is None:
        mending.left.append((one.dn, "the secret of a device cannot be copied: enrol it again"))
        return
    if one.kind == ACCOUNT and (old is None or {PASSWORD, CHANGED} & set(one.attributes)):
        mending.passwords.append(uid)
    write = _write(one.dn, old, new)
    if write is not None:
        mending.writes.append(AccountWrite(uid, (KIND,), reason, write))
        mending.kinds.append(one.kind)


def _write(dn: str, old: RawEntry | None, new: RawEntry) -> EntryWrite | None:
    """The write that makes the copyable values of `old` those of `new`; None where they are the same."""
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
    left = {
        name: tuple(value for value in found if value not in others.get(name, ()))
        for name, found in values.items()
    }
    return {name: found for name, found in left.items() if found}


def mend(
    mending: Mending,
    order: Order,
    settings: Settings,
    password: Password,
    identity: str,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
) -> Done:
    """Makes the writes of the plan at the first server, each journalled and on its preconditions.

    Raises JournalMissing, LockHeld, and what refuses every further write.
    """
    with (
        open_writer(one_server(settings.directory, mending.to), identity, password) as writer,
        locked_run(writer, order, settings, keys, unreadable, now, say, tolerated=(DirectoryOlder,)) as run,
    ):
        run.record(RunStatus.RUNNING)
        done = write_beside(run, mending.writes)
        done.status = RunStatus.PARTLY if done.problems else RunStatus.DONE
        # the server may have got the runs that it lacked
        run.compared = compare_runs(
            writer, order.actor.host, settings, unreadable, now, tolerated=(DirectoryOlder,)
        )
        run.end(done.counts)
        run.record(
            done.status,
            ended=run.now().isoformat(timespec="milliseconds"),
            outcomes=dict(done.counts),
            problems=[{"uid": u, "outcome": o, "message": m} for u, o, m in done.problems[:100]],
            journal=head_facts(run.journal.head),
            note=f"mended {mending.to} from {mending.source}",
        )
    return done
