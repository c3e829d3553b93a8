"""Heads of the journals of all hosts. The access rules let piactl add heads, but not change or delete them.

One entry for each journal and day, one value for each command that wrote: a year of a host with a hundred
commands a day is some 4 MB. Each head names the one before it, so a missing one is noticed. The record
`cn=pruned`, sealed under the keys, says up to which day the administrator pruned them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

from piactl.core.journal_line import Anchor, read_anchor
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.directory import filters
from piactl.directory.dn import child
from piactl.directory.port import EntryWrite, Outcome, RawEntry, Reader, Writer, write_one
from piactl.directory.store.records import (
    DATA,
    IN_RECORD,
    JOURNALS,
    RECORD_CLASS,
    Misshapen,
    Places,
    Record,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    dumps,
    record_write,
    records_in,
    stored,
    text_of,
)
from piactl.errors import PiactlError

HEAD = "description"


def has_folder(reader: Reader, places: Places) -> bool:
    """Whether the directory has the folder of the heads; a directory set up by an earlier piactl lacks it."""
    return reader.read(places.folder(JOURNALS), ["ou"]) is not None


def owners_with_heads(reader: Reader, places: Places, since: date) -> set[str]:
    """The owners of journals whose heads were stored since that day."""
    return {owner for owner, day, _ in _days(reader, places) if day >= f"{since:%Y%m%d}"}


def heads_since(reader: Reader, places: Places, since: date) -> Iterator[Anchor]:
    """The stored heads of all journals since a day."""
    for owner, day, dn in list(_days(reader, places)):
        if day >= f"{since:%Y%m%d}":
            yield from _anchors(reader.read(dn, [HEAD]), owner)


def add_head(writer: Writer, places: Places, anchor: Anchor) -> None:
    """Adds a head to those of its journal and day; it names the one before it. Raises PiactlError."""
    dn = places.journal_heads(anchor.owner, date.fromisoformat(anchor.time[:10]))
    entry = writer.read(dn, [HEAD])
    last = entry or _day_before(writer, places, anchor.owner, anchor.time[:10])
    earlier = [
        stored_anchor.time
        for stored_anchor in _anchors(last, anchor.owner)
        if stored_anchor.time < anchor.time
    ]
    value = {HEAD: (str(replace(anchor, after=max(earlier, default=""))).encode(),)}
    new = EntryWrite(
        "add",
        dn,
        add={
            "objectClass": (RECORD_CLASS.encode(),),
            "cn": (dn.partition("=")[2].partition(",")[0].encode(),),
            **value,
        },
    )
    modification = EntryWrite("modify", dn, add=value)
    result = write_one(writer, modification if entry else new)
    if result.outcome is Outcome.CONFLICT and not entry:  # another command was the first of the day
        result = write_one(writer, modification)
    if result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
        raise PiactlError(f"{dn}: {result.message}")


def highest_head(reader: Reader, places: Places, owner: str, since: str, now: str) -> Anchor | None:
    """The highest head of the last day of a journal, among those stored from `since` to `now` (UTC, ISO
    8601); None if there is none."""
    entry = reader.read(places.journal_heads(owner, date.fromisoformat(now[:10])), [HEAD])
    anchors = _anchors(entry or _day_before(reader, places, owner, now[:10]), owner)
    stored = (anchor for anchor in anchors if since <= anchor.time <= now)
    return max(stored, key=lambda anchor: anchor.head.seq, default=None)


def _day_before(reader: Reader, places: Places, owner: str, today: str) -> RawEntry | None:
    """The heads of the last day before `today` (ISO 8601) on which the journal of `owner` has any."""
    before = today.replace("-", "")
    days = [(day, dn) for name, day, dn in _days(reader, places) if name == owner and day < before]
    return reader.read(max(days)[1], [HEAD]) if days else None


def _days(reader: Reader, places: Places) -> Iterator[tuple[str, str, str]]:
    """The owner of a journal, a day (YYYYMMDD) with heads of it, and their DN."""
    for entry in records_in(reader, places.folder(JOURNALS), ["cn"]):
        owner, _, day = cn_of(entry).rpartition("-")
        if owner:
            yield owner, day, entry.dn


def last_heads(reader: Reader, places: Places, unreadable: UnreadableRecords) -> list[Anchor]:
    """The last head of each journal, among those that are stored under their day, where `has_head` looks."""
    last: dict[str, Anchor] = {}
    for owner, day, dn in sorted(_days(reader, places), reverse=True):
        if owner not in last:
            heads = _anchors(reader.read(dn, [HEAD]), owner, unreadable)
            of_day = [head for head in heads if head.time[:10].replace("-", "") == day]
            last |= {owner: max(of_day, key=lambda head: head.time)} if of_day else {}
    return list(last.values())


def has_head(reader: Reader, places: Places, anchor: Anchor) -> bool:
    dn = places.journal_heads(anchor.owner, date.fromisoformat(anchor.time[:10]))
    return anchor in _anchors(reader.read(dn, [HEAD]), anchor.owner)


def _anchors(
    entry: RawEntry | None, owner: str, unreadable: UnreadableRecords | None = None
) -> Iterator[Anchor]:
    """The heads of that owner in an entry; a value that is no head is added to `unreadable`."""
    for value in entry.values.get(HEAD, ()) if entry else ():
        anchor = read_anchor(value.decode("ascii", "replace"))
        if anchor is not None and anchor.owner == owner:
            yield anchor
        elif anchor is None and entry is not None and unreadable is not None:
            why = "a value is not a head of a journal: piactl did not write it"
            advice = "find out who added it, then delete the value"
            unreadable.add(UnreadableRecord(entry.dn, why, advice))


def prunable_days(reader: Reader, places: Places, before: date) -> list[str]:
    """The DNs of the heads stored before a day (UTC), except the last day of each journal."""
    days = sorted(_days(reader, places))
    last = {owner: day for owner, day, _ in days}
    return [dn for owner, day, dn in days if day < f"{before:%Y%m%d}" and day != last[owner]]


def pruned_write(
    reader: Reader, places: Places, keys: DigestKeys, before: date, by: str
) -> EntryWrite | None:
    """The write of the record that the heads stored before a day are pruned; None if that day or a later one
    is recorded."""
    dn = _pruned_dn(places)
    data = stored(reader.read(dn, [DATA]))
    known = pruned_before(reader, places, lambda: keys, UnreadableRecords())
    if known >= before.isoformat():
        return None
    record = {"before": before.isoformat(), "by": by}
    return record_write(dn, data, {**record, "seal": keys.digest(JOURNALS, dumps(record).decode())})


def pruned_before(
    reader: Reader, places: Places, keys: Callable[[], DigestKeys], unreadable: UnreadableRecords
) -> str:
    """The day (ISO 8601, UTC) before which heads were pruned by piactl, "" for none."""

    def parse(record: Record) -> str:
        facts = {"before": text_of(record, "before"), "by": text_of(record, "by")}
        if not keys().matches(text_of(record, "seal"), JOURNALS, dumps(facts).decode()):
            raise Misshapen("its seal is not of piactl's keys: another program wrote it")
        return facts["before"]

    dn = _pruned_dn(places)
    data = stored(reader.read(dn, [DATA]))
    return unreadable.read(dn, data, parse) or "" if data is not None else ""


def _pruned_dn(places: Places) -> str:
    return child(places.folder(JOURNALS), "cn", "pruned")


def heads_of_journal(
    reader: Reader, places: Places, owner: str, unreadable: UnreadableRecords
) -> Iterator[Anchor]:
    """The stored heads of a journal, in no particular order; none without the folder. Raises like every
    search."""
    query = filters.all_of(IN_RECORD, filters.begins("cn", f"{owner}-"))
    for entry in records_in(reader, places.folder(JOURNALS), ["cn", HEAD], query):
        yield from _anchors(entry, owner, unreadable)
