"""The server that piactl writes to: the first of the list, unless an operator has moved the writes.

Two servers that both take writes can each give the run lock while they cannot reach each other. So piactl
never changes the server by itself. The operator's decision is a record on the server that the writes were
moved to; it holds for every command and host until the first server is back and has everything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from piactl.core.model.settings import DirectorySettings, IdentityName
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory.client.connection import Password
from piactl.directory.open import open_reader, open_writer
from piactl.directory.port import Outcome, Reader, Writer
from piactl.directory.store.records import (
    DATA,
    Places,
    UnreadableRecords,
    instant_of,
    set_record,
    text_of,
)
from piactl.directory.store.run_records import read_runs
from piactl.errors import DirectoryUnreachable, NotFound, PiactlError, UnsafePlan, UsageError
from piactl.flows.server_differences import ACCOUNT, Difference, Scope, first_differences
from piactl.journal import Actor

FOLLOWING = (IdentityName.DESK, IdentityName.APPROVER)
"""The identities that may not delete the record of a move."""
_PAUSE = 1.0
"""Seconds between two comparisons of a server that is back."""


@dataclass(frozen=True, slots=True)
class Move:
    """The decision of an operator that piactl writes to `server`, which is not the first of the list. `known`
    is the last run that this server had then, "" for none."""

    server: str
    reason: str
    by: str
    since: str
    known: str = ""


def read_move(r: Mapping[str, Any]) -> Move:
    """Parses the record of a move. Raises KeyError, ValueError."""
    known_run = text_of(r, "known") if "known" in r else ""
    return Move(text_of(r, "server"), text_of(r, "reason"), text_of(r, "by"), text_of(r, "since"), known_run)


@contextmanager
def open_writing_server(
    settings: DirectorySettings,
    identity: str,
    password: Password,
    unreadable: UnreadableRecords,
    *,
    on: str = "",
    reason: str = "",
    ask_all: bool = True,
    scope: Scope,
    folder: Path,
    actor: Actor,
    now: datetime,
) -> Iterator[tuple[Writer, str]]:
    """A writer of the server that piactl writes to, and a sentence about a move, "" if there is none.

    `on` moves the writes to that server, for a `reason`. Without `ask_all`, the other servers are asked for
    the record of a move only if the first does not answer, and a move goes on while the servers differ in
    entries of `scope`; with it, such a difference is refused. `folder` is for what exceeds the memory. Raises
    NotFound for a server that is not listed, UsageError for a move without a reason, UnsafePlan for a return
    after two servers were written to or to a server that differs, and DirectoryUnreachable.
    """
    first, *others = settings.servers
    if on:
        if on not in settings.servers:
            raise NotFound(f"--on {on}: not one of directory.servers ({', '.join(settings.servers)})")
        if not reason.strip():
            raise UsageError("--on needs a reason: piactl --on SERVER --reason TEXT COMMAND")
    move = None if on or not others else _find_move(settings, identity, password, unreadable, ask_all)
    server = on or (move.server if move else first)
    back = returns = False
    # the help desk and approvers may not end a move: they follow it until another command ends it
    if move is not None and move.server != first:
        back = _has_everything(settings, move, identity, password)
        if back:
            with open_reader(replace(settings, servers=(move.server,)), identity, password) as reader:
                _refuse_two_writers(reader, settings.state, unreadable, move, first, now)
        if identity not in FOLLOWING and (back or ask_all):
            patience = settings.replication_seconds if ask_all else 0
            returns, wrong = _compared(settings, move, identity, password, scope, folder, back, patience)
            if wrong and ask_all:
                raise UnsafePlan(_unequal(wrong, first, move))
    if returns:
        server = first
    order = replace(settings, servers=(server, *(uri for uri in settings.servers if uri != server)))
    try:
        with open_writer(order, identity, password) as writer:
            if returns and not back and move is not None:
                _refuse_two_writers(writer, settings.state, unreadable, move, first, now)
            if on and on != first:
                old = _move_at(writer, settings.state, unreadable)
                if old is not None and old.server == on:
                    known_run = old.known
                else:
                    runs = _runs(writer, settings.state, unreadable, now, now.date())
                    known_run = max((run for run, _, _ in runs), default="")
                since = now.isoformat(timespec="seconds")
                _put(writer, settings.state, Move(on, reason, actor.author, since, known_run))
                yield writer, f"writes go to {on} from now on, until {first} is back and has everything"
            elif returns or (on and others):
                _put(writer, settings.state, None)
                yield writer, f"{first} is back and has everything: writes go to it again"
            elif move is not None and server != first:
                yield writer, f"writes go to {server} since {move.since} ({move.by}: {move.reason})"
            else:
                yield writer, ""
    except DirectoryUnreachable as gone:
        if on or not others or move is not None or server != first:
            raise
        raise type(gone)(
            f"{gone}\nOnly the first server is written to. If it is lost for long, move the writes: "
            "piactl --on SERVER --reason TEXT COMMAND (docs/administration.md)"
        ) from None


def _find_move(
    settings: DirectorySettings,
    identity: str,
    password: Password,
    unreadable: UnreadableRecords,
    ask_all: bool,
) -> Move | None:
    """The record of a move, on the first server that has one; servers that cannot be reached are skipped.

    A move to a server that is no longer listed is ignored.
    """
    for uri in settings.servers:
        try:
            with open_reader(replace(settings, servers=(uri,)), identity, password) as reader:
                move = _move_at(reader, settings.state, unreadable)
        except DirectoryUnreachable:
            continue
        if move is not None and move.server in settings.servers:
            return move
        if not ask_all:
            break
    return None


def _move_at(reader: Reader, state: str, unreadable: UnreadableRecords) -> Move | None:
    entry = reader.read(Places(state).move, [DATA])
    return None if entry is None else unreadable.read(entry.dn, entry.first(DATA), read_move)


def _has_everything(settings: DirectorySettings, move: Move, identity: str, password: Password) -> bool:
    """Whether the first server has everything that the server of the move has."""
    order = (move.server, settings.servers[0])
    try:
        with open_writer(replace(settings, servers=order), identity, password) as writer:
            return not writer.lagging(0)
    except PiactlError:
        return False


def _compared(
    settings: DirectorySettings,
    move: Move,
    identity: str,
    password: Password,
    scope: Scope,
    folder: Path,
    back: bool,
    patience: float,
) -> tuple[bool, list[Difference]]:
    """Whether writes may return to the first server, by its entries and those of the server of the move; and
    the entries that are wrong after `patience` seconds: different, although replication has nothing more to
    bring. `back`: by its contextCSN the first server has everything.

    contextCSN alone does not show it. A slapd that refreshes takes over the contextCSN with the first
    deletion, before the entries; another slapd that refreshes from it at that moment deletes its own entries
    that the first does not have yet. A slapd that was killed keeps an older contextCSN of its own until it
    writes again.
    """
    deadline = time.monotonic() + patience
    try:
        with ExitStack() as stack:
            readers = {
                uri: stack.enter_context(open_reader(replace(settings, servers=(uri,)), identity, password))
                for uri in (settings.servers[0], move.server)
            }
            while True:
                differing = first_differences(readers, scope, settings.suffix, folder)
                wrong = [
                    difference
                    for difference in differing
                    if not difference.coming and (back or _lost(difference, move.server))
                ]
                if not wrong or time.monotonic() + _PAUSE > deadline:
                    return not (wrong if back else differing), wrong
                time.sleep(_PAUSE)
    except PiactlError:
        return False, []


def _lost(difference: Difference, server: str) -> bool:
    """Whether the server lacks an account. piactl deletes no account; a run may have deleted other entries
    there."""
    return difference.kind == ACCOUNT and server in difference.lacking


def _unequal(wrong: list[Difference], first: str, move: Move) -> str:
    lacking = Counter(uri for difference in wrong for uri in difference.lacking)
    lacks = "".join(f"; {uri} lacks {number} of them" for uri, number in lacking.items())
    return (
        f"{first} is back, but {counted(len(wrong), 'entry differs', 'entries differ')} between it and "
        f"{move.server}, although replication has nothing more to bring (contextCSN){lacks}: "
        f"{wrong[0].dn}{', ...' if wrong[1:] else ''}\n"
        "Nothing was written. See all: piactl doctor --compare. Copy the one that is right to the other "
        '(docs/restore.md, "Replace or mend a server")\n'
        f'Then go on: piactl --on {first} --reason "..." COMMAND'
    )


def _runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime, day: date
) -> Iterator[tuple[str, str, str]]:
    """The runs that left a record, and those since the day before `day` that left the head of their journal,
    as every command of the help desk does: each with the server where it ended, "" if unknown, and its host
    or the owner of its journal."""
    for record in read_runs(reader, state, unreadable, now):
        server = record.get("server", "") if "ended" in record else ""
        yield record["run"], server, record.get("host", "an unknown host")


def _refuse_two_writers(
    reader: Reader, state: str, unreadable: UnreadableRecords, move: Move, first: str, now: datetime
) -> None:
    """Raises UnsafePlan if a whole run was made at another server, before or after the move, and the server
    of the move did not know of it. If both servers changed or made one entry, only the later version remains,
    and what the other server acknowledged is lost."""
    elsewhere = {
        run: whose
        for run, server, whose in _runs(reader, state, unreadable, now, instant_of(move.since).date())
        if move.known
        and server not in ("", move.server)
        and run.partition("-")[0] > move.known.partition("-")[0]
    }
    if elsewhere:
        runs = ", ".join(f"{run} of {whose}" for run, whose in elsewhere.items())
        raise UnsafePlan(
            f"two servers were written to: the writes were moved to {move.server} at {move.since} "
            f"({move.by}: {move.reason}), and that server did not know of these runs elsewhere: {runs}\n"
            "Nothing was written. Accounts may have the values, or the person, of the one or the other: "
            "compare them with the journals of both hosts (piactl journal show --run RUN), and give new "
            f'activation passwords.\nThen go on: piactl --on {first} --reason "..." COMMAND'
        )


def _put(writer: Writer, state: str, move: Move | None) -> None:
    """Writes or deletes the record of the move. Raises PiactlError."""
    dn = Places(state).move
    record = (
        None
        if move is None
        else {name: getattr(move, name) for name in ("server", "reason", "by", "since", "known")}
    )
    result = set_record(writer, dn, record)
    if result is not None and result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
        raise PiactlError(f"{dn}: the move of the writes cannot be recorded: {result.message}")
