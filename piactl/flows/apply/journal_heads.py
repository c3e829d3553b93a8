"""Stores the head of the journal elsewhere after each command that writes, and reads what is stored.

A head proves every line up to it. A program that rewrites the journal, and reads what piactl reads, cannot
take a stored head back: syslog and the file of `journal_heads` are out of piactl's reach, and the directory
lets only the administrator change or delete one. A forged head makes `journal verify` fail; no run is refused
for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from datetime import datetime
from pathlib import Path

from piactl.core.journal_line import GENESIS, Anchor, Head, journal_owner
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.settings import Settings
from piactl.dataclass import dataclass
from piactl.directory.port import Reader, Writer
from piactl.directory.store.journal_heads import (
    add_head,
    has_folder,
    has_head,
    heads_of_journal,
    last_heads,
    pruned_before,
)
from piactl.directory.store.records import Places, UnreadableRecords, instant_of
from piactl.directory.store.run_records import read_runs, written_by
from piactl.errors import DirectoryUnreachable, PiactlError, ReplyLost
from piactl.journal import Journal, Verification
from piactl.journal.heads import alive_runs, append_head, log_head, read_heads
from piactl.journal.query_and_export import text_of
from piactl.private_files import write_private

REMEMBERED = "journal-head"
"""The file in the state folder with the last heads that doctor saw, of its own journal and of those of
others."""


@contextmanager
def head_stored(
    journal: Journal,
    writer: Writer,
    settings: Settings,
    owner: str,
    run: str,
    now: Callable[[], datetime],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Stores the head of the journal at the end, however the command ends. A head that cannot be stored is
    reported, and the head of the next command covers these lines too."""
    reachable: Writer | None = writer
    try:
        yield
    except (DirectoryUnreachable, ReplyLost):
        reachable = None
        raise
    finally:
        if journal.head != GENESIS:
            anchor = Anchor(text_of(now()), owner, run, journal.head, server=writer.facts().uri)
            store_head(anchor, reachable, settings, say)


def store_head(anchor: Anchor, writer: Writer | None, settings: Settings, say: Callable[[str], None]) -> None:
    """Stores a head at every place; None as `writer` leaves out the directory."""
    log_head(anchor)
    if settings.journal_heads:
        try:
            append_head(settings.journal_heads, anchor)
        except PiactlError as error:
            say(f"warning: {error}")
    if writer is None:
        return
    try:
        add_head(writer, Places(settings.directory.state), anchor)
    except PiactlError as error:
        why = str(error).split("\n", 1)[0]
        say(f"warning: the head of the journal is not stored in the directory: {why}. See: piactl doctor")


@dataclass(frozen=True, slots=True)
class StoredHeads:
    """The stored heads of one journal, by where they are stored and by run.

    `runs` are the runs that have a record in the directory, with their start (UTC, ISO 8601): each has lines
    in the journal. `begun` is the run that began the journal anew, "" for none: what is older is not
    compared. `folder`: the directory takes heads. `removed` are the heads that are neither there nor pruned:
    the times of those that others in the directory name as the one before them, and the times and owners of
    the last heads of other journals that were seen there.
    """

    heads: Mapping[str, Head]
    runs: Mapping[str, str] = field(default_factory=dict)
    begun: str = ""
    folder: bool = True
    removed: tuple[str, ...] = ()

    @property
    def missed(self) -> str:
        """A sentence about the heads that somebody removed, "" if none is missed."""
        first = f"a head was removed from the directory, stored at {self.removed[0]}" if self.removed else ""
        return first + (f", and {len(self.removed) - 1} more" if len(self.removed) > 1 else "")

    def uncovered(self, path: str, proof: Verification) -> str:
        """The last run that ended after the highest stored head, "" if there is none. A run that is still
        alive may be about to store its own."""
        highest = max((head.seq for head in self.heads.values()), default=0)
        if proof.ended is None or proof.ended.seq <= highest or alive_runs(path, [proof.ended.run]):
            return ""
        return proof.ended.run


def stored_heads(
    reader: Reader,
    settings: Settings,
    keys: Callable[[], DigestKeys],
    unreadable: UnreadableRecords,
    user: str,
    host: str,
    now: datetime,
) -> StoredHeads:
    """Reads the records of runs, the heads in the directory, in the file, and the one that doctor remembers.
    Raises PiactlError."""
    places, owner = Places(settings.directory.state), journal_owner(user, host)
    records, begun, since = [], "", ""
    for record in read_runs(reader, settings.directory.state, unreadable, now):
        if written_by(record, host, user):
            records.append(record)
            if record.get("begun") and record.get("journal"):
                begun, since = str(record["run"]), text_of(instant_of(record["started"]))
                break
    heads_by_run = {
        r["run"]: Head(r["journal"]["seq"], r["journal"]["hash"]) for r in records if r.get("journal")
    }
    named = {f"run {run}": head for run, head in heads_by_run.items()}
    directory_anchors = list(heads_of_journal(reader, places, owner, unreadable))
    elsewhere = [("in the directory", a) for a in directory_anchors]
    oldest = max(since, pruned_before(reader, places, keys, unreadable))
    expected_times = {a.after for a in directory_anchors if a.after >= oldest}
    if settings.journal_heads:
        file_anchors = read_heads(settings.journal_heads)
        elsewhere += [(f"in {settings.journal_heads}", a) for a in file_anchors if a.owner == owner]
    elsewhere += [("that doctor saw", a) for a in remembered_heads(settings) if a.owner == owner]
    for where, anchor in elsewhere:
        if anchor.time < since or heads_by_run.get(anchor.run) == anchor.head:
            continue
        named[f"the head {where} of run {anchor.run} ({anchor.head.seq}:{anchor.head.hash[:8]})"] = (
            anchor.head
        )
    return StoredHeads(
        named,
        {record["run"]: text_of(instant_of(record["started"])) for record in records},
        begun,
        has_folder(reader, places),
        (
            *sorted(expected_times - {a.time for a in directory_anchors} - {""}),
            *map(_seen, removed_heads(reader, settings, keys, unreadable, owner)),
        ),
    )


def removed_heads(
    reader: Reader,
    settings: Settings,
    keys: Callable[[], DigestKeys],
    unreadable: UnreadableRecords,
    owner: str,
) -> list[Anchor]:
    """The heads of other owners' journals that this host remembers as the last ones, and that are neither in
    the directory nor pruned."""
    places = Places(settings.directory.state)
    others = [anchor for anchor in remembered_heads(settings) if anchor.owner != owner]
    since = pruned_before(reader, places, keys, unreadable) if others else ""
    return [anchor for anchor in others if anchor.time >= since and not has_head(reader, places, anchor)]


def watch_heads(
    reader: Reader,
    settings: Settings,
    keys: Callable[[], DigestKeys],
    unreadable: UnreadableRecords,
    owner: str,
) -> str:
    """Remembers the last heads of the journals of other owners than `owner`, and returns a sentence about
    those that somebody removed, "" for none. These stay remembered. Raises PiactlError."""
    gone = removed_heads(reader, settings, keys, unreadable, owner)
    last = last_heads(reader, Places(settings.directory.state), unreadable)
    own = [anchor for anchor in remembered_heads(settings) if anchor.owner == owner]
    others = [anchor for anchor in last if anchor.owner != owner]
    remember_heads(settings, [*own, *gone, *others])
    return StoredHeads({}, removed=tuple(map(_seen, gone))).missed


def _seen(anchor: Anchor) -> str:
    return f"{anchor.time} by {anchor.owner}"


def remembered_heads(settings: Settings) -> list[Anchor]:
    """What `remember_heads` wrote last; nothing if this user may not read it."""
    file = remembered_file(settings)
    return read_heads(file) if os.path.exists(file) else []  # noqa: PTH110 - also false if it is not theirs


def remember_heads(settings: Settings, heads: Sequence[Anchor]) -> None:
    """Writes the heads where the next run or doctor compares them, if this user owns the state folder."""
    folder = Path(settings.state_folder)
    if heads and folder.is_dir() and folder.stat().st_uid == os.geteuid():
        write_private(Path(remembered_file(settings)), "".join(f"{head}\n" for head in heads).encode())


def remembered_file(settings: Settings) -> str:
    return str(Path(settings.state_folder) / REMEMBERED)
