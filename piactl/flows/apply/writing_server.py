"""The server that piactl writes to: the first of the list, unless an operator has moved the writes.

Two servers that both take writes can each give the run lock while they cannot reach each other. So piactl
never changes the server by itself. The word of the operator is a record on the server that the writes were
moved to; it holds for every command and host until the first server is back and has everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from piactl.core.model.settings import DirectorySettings, IdentityName
from piactl.dataclass import dataclass
from piactl.directory.client.connection import Password
from piactl.directory.open import open_reader, open_writer
from piactl.directory.port import Outcome, Reader, Writer
from piactl.directory.store.journal_heads import heads_since
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
from piactl.journal import Actor


@dataclass(frozen=True, slots=True)
class Move:
    """The word of an operator that piactl writes to `server`, another one than the first of the list. `known`
    is the last run that this server had then, "" for none."""

    server: str
    reason: str
    by: str
    since: str
    known: str = ""


def read_move(r: Mapping[str, Any]) -> Move:
    """Parses the record of a move. Raises KeyError, ValueError."""
    known = text_of(r, "known") if "known" in r else ""
    return Move(text_of(r, "server"), text_of(r, "reason"), text_of(r, "by"), text_of(r, "since"), known)


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
    actor: Actor,
    now: datetime,
) -> Iterator[tuple[Writer, str]]:
    """A writer of the server that piactl writes to, and a sentence about a move, "" where there is none.

    `on` moves the writes to that server, for a `reason`. Without `ask_all` the other servers are only asked
    for the record of a move if the first does not answer. Raises UsageError for a server that is not listed
    or a move without a reason, UnsafePlan for a return after two servers were written to, and
    DirectoryUnreachable.
    """
    first, *others = settings.servers
    if on:
        if on not in settings.servers:
            raise NotFound(f"--on {on}: not one of directory.servers ({', '.join(settings.servers)})")
        if not reason.strip():
            raise UsageError("--on needs a reason: piactl --on SERVER --reason TEXT COMMAND")
    move = None if on or not others else _find_move(settings, identity, password, unreadable, ask_all)
    server = on or (move.server if move else first)
    back = move is not None and move.server != first and _has_everything(settings, move, identity, password)
    # the help desk may not end a move: it follows until another command has
    returns = back and identity != IdentityName.DESK
    if returns:
        server = first
    order = replace(settings, servers=(server, *(uri for uri in settings.servers if uri != server)))
    try:
        with open_writer(order, identity, password) as writer:
            if back and move is not None:
                _refuse_two_writers(writer, settings.state, unreadable, move, first, now)
            if on and on != first:
                old = _move_at(writer, settings.state, unreadable)
                if old is not None and old.server == on:
                    known = old.known
                else:
                    runs = _runs(writer, settings.state, unreadable, now, now.date())
                    known = max((run for run, _, _ in runs), default="")
                since = now.isoformat(timespec="seconds")
                _put(writer, settings.state, Move(on, reason, actor.author, since, known))
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
    """The record of a move, on the first server that has one; servers that cannot be asked are passed over.

    A move to a server that is no longer listed is void.
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


def _runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime, day: date
) -> Iterator[tuple[str, str, str]]:
    """The runs that left a record, and those since the eve of a day that left the head of their journal, as
    every command of the help desk does: each with the server where it ended, "" for unknown, and its host."""
    for record in read_runs(reader, state, unreadable, now):
        server = record.get("server", "") if "ended" in record else ""
        yield record["run"], server, record.get("host", "an unknown host")
    for head in heads_since(reader, Places(state), day - timedelta(days=1)):
        yield head.run, head.server, head.owner


def _refuse_two_writers(
    reader: Reader, state: str, unreadable: UnreadableRecords, move: Move, first: str, now: datetime
) -> None:
    """Raises UnsafePlan if a whole run was made at another server, before or after the move, of which the
    server of the move did not know: of one entry that both changed or made, the later version is left whole,
    and what the other server acknowledged is gone."""
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
    if result is not None and result.outcome not in (Outcome.APPLIED, Outcome.ALREADY):
        raise PiactlError(f"{dn}: the move of the writes cannot be recorded: {result.message}")
