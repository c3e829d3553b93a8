"""Repeats writes that got no answer, if there are other servers, and compares the entries on all servers.

If slapd is killed between the commits of its database and of its access log, its last write reaches no other
server by delta-syncrepl. contextCSN does not show it, because the next write has a newer one. slapd never
answered that write. So every write without an answer is repeated, with the present values of the entry.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.text import counted
from piactl.directory import filters
from piactl.directory.dn import normal_dn, under
from piactl.directory.port import EntryWrite, Outcome, Reader, write_one
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.records import DATA, IN_RECORD, instant_of
from piactl.directory.store.replicated_values import CSN
from piactl.errors import DirectoryRefused, JournalUnusable
from piactl.journal import IntendedWrite, Intent, Settlement
from piactl.journal.intent_format import digest_text

if TYPE_CHECKING:
    from piactl.flows.apply.run import Run

OBJECT_CLASS = "objectClass"


class UnansweredWrite(NamedTuple):
    """A write that other servers may lack. `added` and `removed` are names of attributes, `classes` the
    object classes that it added to an entry, `erased` the names of the secrets that it removed."""

    dn: str
    op: str
    added: frozenset[str]
    removed: frozenset[str]
    classes: tuple[bytes, ...] = ()
    erased: frozenset[str] = frozenset()


class Rewritten(NamedTuple):
    """An entry that was written again: the names of the written attributes, and its entryCSN after that."""

    dn: str
    names: tuple[str, ...]
    csn: str


AGAIN = "written again for the other servers: its answer was lost"
_TIMES = 3
"""The number of tries to rewrite an entry that others change at the same time."""


def unanswered_write(write: EntryWrite, *, made: bool) -> UnansweredWrite:
    """The unanswered form of a write. `made`: the entry was found as after the write."""
    added, removed = frozenset(write.add), frozenset(write.delete)
    classes = write.add.get(OBJECT_CLASS, ()) if write.op == "modify" else ()
    return UnansweredWrite(write.dn, write.op, added, removed, classes, _erased(added, removed, made))


def unanswered_intent(intent: Intent, reader: Reader, keys: DigestKeys, *, made: bool) -> UnansweredWrite:
    """The same for an intent of an earlier run; see `unanswered_write`."""
    added, removed = frozenset(intent.added), frozenset(intent.removed)
    classes: tuple[bytes, ...] = ()
    if intent.op == "modify" and (digests := {*intent.added.get(OBJECT_CLASS, ())}):
        entry = reader.read(intent.dn, [OBJECT_CLASS])
        classes = tuple(
            name
            for name in (entry.values.get(OBJECT_CLASS, ()) if entry else ())
            if digests & {*keys.candidates("journal", digest_text(intent.dn, OBJECT_CLASS, name))}
        )
    return UnansweredWrite(intent.dn, intent.op, added, removed, classes, _erased(added, removed, made))


def _erased(added: frozenset[str], removed: frozenset[str], made: bool) -> frozenset[str]:
    return (removed - added) & SECRETS if made else frozenset()


def unanswered_records_since(run: Run, began: str) -> Iterator[UnansweredWrite]:
    """The writes of all records of piactl since a run began that did not end. Records have no intents, and
    the run may have died with its server."""
    stamp = instant_of(began).strftime("%Y%m%d%H%M%S.000000Z#000000#000#000000")
    written = filters.all_of(IN_RECORD, filters.at_least(CSN, stamp))
    for entry in run.writer.search(run.places.state, written, ["cn"]):
        if normal_dn(entry.dn) != normal_dn(run.places.lock):
            yield UnansweredWrite(entry.dn, "modify", frozenset({DATA}), frozenset())


def write_again(run: Run, writes: Sequence[UnansweredWrite]) -> None:
    """Writes the present values of the changed attributes once more, if there are other servers.

    The intents of these writes stay open until all servers have the entries (`wait_for_others`): the next run
    repeats them if this one ends before. A refused write is left to that comparison.
    """
    if len(run.settings.directory.servers) == 1 or not writes:
        return
    by_dn: dict[str, UnansweredWrite] = {}
    for unanswered in writes:
        same = by_dn.get(unanswered.dn)
        by_dn[unanswered.dn] = _both(same, unanswered) if same else unanswered
    present = ((unanswered, _present(run, unanswered)) for unanswered in by_dn.values())
    rows = [(unanswered, write) for unanswered, write in present if write is not None]
    numbers = run.journal.intents([_intended(run, write) for _, write in rows])
    for number, (unanswered, write) in zip(numbers, rows, strict=True):
        run.again[number] = Rewritten(
            unanswered.dn, (*unanswered.added, *unanswered.removed), _written(run, unanswered, write)
        )


def _intended(run: Run, write: EntryWrite) -> IntendedWrite:
    """The intent of a write. The intent of a record has no values, because the journal has no other write of
    it."""
    name = write.dn.partition("=")[2].partition(",")[0]
    if under(write.dn, run.places.state):
        return IntendedWrite(name, write.dn, write.op, (), AGAIN)
    return IntendedWrite(name, write.dn, write.op, (), AGAIN, write.add, write.delete)


def _both(first: UnansweredWrite, second: UnansweredWrite) -> UnansweredWrite:
    """Two writes of one entry as one. Any write of an entry that a server lacks makes it fetch the whole
    entry."""
    if "delete" in (first.op, second.op):
        return second
    modified = [unanswered for unanswered in (first, second) if unanswered.op == "modify"] or [first]
    return UnansweredWrite(
        first.dn,
        modified[0].op,
        frozenset().union(*(unanswered.added for unanswered in modified)),
        frozenset().union(*(unanswered.removed for unanswered in modified)),
        tuple(dict.fromkeys(chain.from_iterable(unanswered.classes for unanswered in modified))),
        second.erased,
    )


def _present(run: Run, unanswered: UnansweredWrite) -> EntryWrite | None:
    """The write of the present values; None if the entry was deleted or added since."""
    rdn = unanswered.dn.partition("=")[0].lower()
    names = sorted(unanswered.added | unanswered.removed) or [DATA]
    entry = run.writer.read(unanswered.dn, [*names, CSN])
    if (entry is None) != (unanswered.op == "delete"):
        return None
    if entry is None:
        return EntryWrite("delete", unanswered.dn)
    plain = [name for name in names if name not in (*SECRETS, OBJECT_CLASS) and name.lower() != rdn]
    if unanswered.op == "add":
        # a server without the entry refuses any change of it, and then reads the entry
        plain = [name for name in plain if entry.values.get(name)][-1:]
    delete: dict[str, tuple[bytes, ...]] = dict.fromkeys(plain, ())
    add = {name: entry.values[name] for name in plain if entry.values.get(name)}
    if unanswered.op == "modify":
        delete |= dict.fromkeys(unanswered.erased, ())
        here = {name.lower() for name in entry.values.get(OBJECT_CLASS, ())}
        if classes := tuple(name for name in unanswered.classes if name.lower() in here):
            delete[OBJECT_CLASS] = add[OBJECT_CLASS] = classes
        elif OBJECT_CLASS in unanswered.removed:
            delete[OBJECT_CLASS], add[OBJECT_CLASS] = (), entry.values.get(OBJECT_CLASS, ())
    return EntryWrite("modify", unanswered.dn, add, delete, entry.first(CSN) or b"")


def _written(run: Run, unanswered: UnansweredWrite, write: EntryWrite) -> str:
    """Makes the write. Returns the entryCSN after it, "" if it was not made."""
    present: EntryWrite | None = write
    for _ in range(_TIMES):
        if present is None or not (present.add or present.delete):
            break
        run.lock.check()
        try:
            result = write_one(run.writer, present)
        except DirectoryRefused:
            break
        if result.outcome is Outcome.APPLIED:
            return result.csn_after.decode("ascii", "replace")
        present = _present(run, unanswered)
    return ""


def wait_for_others(run: Run, seconds: float) -> list[str]:
    """Waits at most `seconds` seconds until all servers have what was written, and settles the intents of the
    entries that were written again.

    Returns a sentence for each server that lags behind. If none does, returns one sentence about the entries
    that were written again and still differ, if there are any.
    """
    write_again(run, [unanswered_write(write, made=True) for write in _unanswered_records(run)])
    deadline = time.monotonic() + seconds
    lagging = run.writer.lagging(seconds)
    if lagging or not run.again:
        return lagging
    seconds_left = max(0.0, deadline - time.monotonic())
    unequal = run.writer.unequal(
        seconds_left, {rewritten.dn: rewritten.names for rewritten in run.again.values()}
    )
    equal = {number: rewritten for number, rewritten in run.again.items() if rewritten.dn not in unequal}
    outcome, message = Outcome.APPLIED.value, "the other servers have it"
    run.journal.outcomes([Settlement(n, outcome, message, rewritten.csn) for n, rewritten in equal.items()])
    for number in equal:
        del run.again[number]
    if not unequal:
        return []
    first, *others = unequal.values()
    return [f"{first} (and {counted(len(others), 'more entry', 'more entries')})" if others else first]


def leave_in_doubt(run: Run) -> None:
    """Writes intents for the records that this run wrote without an answer, for the next run: an error ends
    this one before it compares them."""
    if len(run.settings.directory.servers) > 1:
        with suppress(JournalUnusable):
            run.journal.intents([_intended(run, write) for write in _unanswered_records(run)])


def _unanswered_records(run: Run) -> list[EntryWrite]:
    """The unanswered writes of records, except those of the lock, which every run writes again and again."""
    excluded_dns = {
        normal_dn(dn) for dn in (run.places.lock, *(rewritten.dn for rewritten in run.again.values()))
    }
    return [
        write
        for write in run.writer.unanswered()
        if under(write.dn, run.places.state) and normal_dn(write.dn) not in excluded_dns
    ]
