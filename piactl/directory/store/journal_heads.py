"""Heads of the journals of all hosts, which the access rules let piactl add to and neither change nor delete.

One entry for each journal and day, one value for each command that wrote: a year of a host with a hundred
commands a day is some 4 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from piactl.core.journal_line import Anchor, read_anchor
from piactl.directory import filters
from piactl.directory.port import EntryWrite, Outcome, Reader, Writer
from piactl.directory.store.records import (
    IN_RECORD,
    JOURNALS,
    RECORD_CLASS,
    Places,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
)
from piactl.errors import PiactlError

HEAD = "description"


def has_folder(reader: Reader, places: Places) -> bool:
    """Whether the directory has the folder of the heads; one that an earlier piactl set up lacks it."""
    return reader.read(places.folder(JOURNALS), ["ou"]) is not None


def owners_with_heads(reader: Reader, places: Places, since: date) -> set[str]:
    """The owners of journals whose heads were stored since that day."""
    if not has_folder(reader, places):
        return set()
    days = (
        cn_of(e).rpartition("-")
        for e in reader.search(places.folder(JOURNALS), IN_RECORD, ["cn"], scope="one")
    )
    return {owner for owner, _, day in days if day >= f"{since:%Y%m%d}"}


def add_head(writer: Writer, places: Places, anchor: Anchor) -> None:
    """Adds a head to those of its journal and day. Raises PiactlError."""
    dn = places.journal_heads(anchor.owner, date.fromisoformat(anchor.time[:10]))
    value = {HEAD: (str(anchor).encode(),)}
    new = EntryWrite(
        "add",
        dn,
        add={
            "objectClass": (RECORD_CLASS.encode(),),
            "cn": (dn.partition("=")[2].partition(",")[0].encode(),),
            **value,
        },
    )
    more = EntryWrite("modify", dn, add=value)
    there = writer.read(dn, ["cn"]) is not None
    result = next(iter(writer.write([more if there else new])))
    if result.outcome is Outcome.CONFLICT and not there:  # another command was the first of the day
        result = next(iter(writer.write([more])))
    if result.outcome not in (Outcome.APPLIED, Outcome.ALREADY):
        raise PiactlError(f"{dn}: {result.message}")


def heads_of_journal(
    reader: Reader, places: Places, owner: str, unreadable: UnreadableRecords
) -> Iterator[Anchor]:
    """The stored heads of a journal, in no order; none without the folder. Raises as every search does."""
    if not has_folder(reader, places):
        return
    query = filters.all_of(IN_RECORD, filters.begins("cn", f"{owner}-"))
    for entry in reader.search(places.folder(JOURNALS), query, ["cn", HEAD], scope="one"):
        for value in entry.values.get(HEAD, ()):
            anchor = read_anchor(value.decode("ascii", "replace"))
            if anchor is None:
                why = "a value is no head of a journal: piactl did not write it"
                unreadable.add(
                    UnreadableRecord(entry.dn, why, "find out who added it, then delete the value")
                )
            elif anchor.owner == owner:
                yield anchor
