"""What is about to be written to the directory: names of attributes, and keyed digests of values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from piactl.core.journal_line import JournalLine

SECRET = "{secret}"  # noqa: S105 - the mark, not a secret
"""Stands for the digest of a secret: of a password not even a keyed digest is kept."""

Values = Mapping[str, Iterable[bytes]]
Digests = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class IntendedWrite:
    """One write that is about to be sent: `op` is add, modify or delete.

    `added` and `removed` are raw values by attribute; they reach the file only as keyed digests. `reason`
    is written as it is: it must name facts (a feed line, a rule), never a person's data. `load`: it goes into
    an LDIF, which a person loads later.
    """

    uid: str
    dn: str
    op: str
    kinds: tuple[str, ...]
    reason: str
    added: Values = field(default_factory=dict, repr=False)
    removed: Values = field(default_factory=dict, repr=False)
    load: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the intent with number `intent`: a word of OUTCOMES, and a message without values."""

    intent: int
    outcome: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """One intent line as it was read. The digests are those of `digests`, by attribute."""

    seq: int
    run: str
    time: str
    uid: str
    dn: str
    op: str
    kinds: tuple[str, ...]
    reason: str
    added: Digests
    removed: Digests
    load: bool = False


class Standing(Enum):
    """How the entry of an intent stands now."""

    DONE = "applied"
    NOT_DONE = "not applied"
    CHANGED = "changed since"
    UNKNOWN = "cannot be told from the entry"


def digest_text(dn: str, attribute: str, value: bytes) -> str:
    """The text of which a digest is made. Entry and attribute are in it, so that equal values of two
    people cannot be told to be equal; latin-1 gives every byte string a text of its own."""
    return f"{dn.lower()}\0{attribute.lower()}\0{value.decode('latin-1')}"


def digests(
    dn: str, values: Values, digest: Callable[[str], str], secret: Collection[str]
) -> dict[str, list[str]]:
    """The digests of `values` by attribute; `secret` holds attribute names in lower case."""
    return {
        name: [SECRET if name.lower() in secret else digest(digest_text(dn, name, v)) for v in found]
        for name, found in values.items()
    }


def intent_of(line: JournalLine) -> Intent:
    """The intent in a line of that type."""
    f = line.fields
    sides = {
        side: {name: tuple(both.get(side, ())) for name, both in f["attributes"].items() if both.get(side)}
        for side in ("added", "removed")
    }
    kinds, load = tuple(f["kinds"]), f.get("load") is True
    return Intent(
        line.seq, line.run, line.time, f["uid"], f["dn"], f["op"], kinds, f["reason"], **sides, load=load
    )


def standing(intent: Intent, present: Values | None, candidates: Callable[[str], Iterable[str]]) -> Standing:
    """How the entry stands whose present values are `present` (None: there is no such entry).

    `present` must hold the attributes that the intent names, as far as they have values; `candidates` gives
    the digests of one text under every key still known. UNKNOWN where only secrets were to change.
    """
    if present is None:
        return {"add": Standing.NOT_DONE, "delete": Standing.DONE}.get(intent.op, Standing.CHANGED)
    wanted = {n.lower() for side in (intent.added, intent.removed) for n in side}
    there = {
        (name.lower(), found)
        for name, values in present.items()
        if name.lower() in wanted
        for value in values
        for found in candidates(digest_text(intent.dn, name, value))
    }
    added = {(n.lower(), d) for n, found in intent.added.items() for d in found if d != SECRET}
    removed = {(n.lower(), d) for n, found in intent.removed.items() for d in found if d != SECRET} - added
    if not added and not removed:
        return Standing.UNKNOWN
    if intent.op == "delete":
        return Standing.NOT_DONE if removed <= there else Standing.CHANGED
    if added <= there and not removed & there:
        return Standing.DONE
    if intent.op == "modify" and removed <= there and not added & there:
        return Standing.NOT_DONE
    return Standing.CHANGED
