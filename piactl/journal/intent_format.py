"""Intents: journal lines about writes before they are sent, with keyed digests instead of values.

An intent without an outcome is in doubt: its run died in between. `run` and `end` lines carry `clean`: every
intent with a lower number has an outcome. This stays true, so reading back from the end of the file may stop
there, or at `unmade`, the first intent that was read back as not made not long ago. The cost depends on what
was written since the last run that left nothing in doubt, not on the size of the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from piactl.core.journal_line import JournalLine, current_outcome
from piactl.core.model.keyed_digests import digest_key_id
from piactl.core.plan.write import Values, WriteState, state_of_write
from piactl.journal.append_file import alive_runs
from piactl.journal.files import newest_lines
from piactl.journal.unusable import unreadable
from piactl.phrase import with_phrases

SECRET = "{secret}"  # noqa: S105 - the mark, not a secret
"""Replaces the digest of a secret: the journal does not even hold a keyed digest of a password."""

TAG = 6
"""The number of hexadecimal digits of its digest that the intent of a new entry keeps for each value. Two
values of one attribute have the same digits once in 16 million."""

Digests = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Settlement:
    """The outcome of the intent with number `intent`: a word of OUTCOMES, and a message without values.
    `csn` is the entryCSN that the write left, "" if it is unknown."""

    intent: int
    outcome: str
    message: str = ""
    csn: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """One intent line read from the journal, with digests by attribute as `digests` makes them. `address` is
    the one that the write gave, or ""."""

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
    address: str = ""


def digest_text(dn: str, attribute: str, value: bytes) -> str:
    """The text that is digested. It includes the entry and the attribute, so that digests do not show that
    two people have equal values; latin-1 maps every byte string to a different text."""
    return _beginning(dn, attribute) + value.decode("latin-1")


def _beginning(dn: str, attribute: str) -> str:
    return f"{dn.lower()}\0{attribute.lower()}\0"


def digests(
    dn: str, values: Values, digest: Callable[[str], str], secret: Collection[str]
) -> dict[str, list[str]]:
    """The digests of `values` by attribute; `secret` holds attribute names in lower case."""
    made = {}
    for name, attribute_values in values.items():
        if name.lower() in secret:
            made[name] = [SECRET for _ in attribute_values]
        else:
            beginning = _beginning(dn, name)
            made[name] = [digest(beginning + value.decode("latin-1")) for value in attribute_values]
    return made


def tags_of(added: Mapping[str, list[str]]) -> dict[str, object]:
    """What the intent of a new entry holds: the beginnings of the digests by attribute, and once the id of
    their key."""
    made = (digest for digests in added.values() for digest in digests if digest != SECRET)
    tags = {
        name: " ".join(digest if digest == SECRET else tag_of(digest).partition("}")[2] for digest in digests)
        for name, digests in added.items()
    }
    return {"key": digest_key_id(next(made, "")), "attributes": tags}


def tag_of(digest: str) -> str:
    """The beginning of a digest, with the id of its key."""
    return digest[: digest.find("}") + 1 + TAG]


def intent_of(line: JournalLine) -> Intent:
    """The intent that a journal line holds."""
    f = line.fields
    if "key" in f:
        beginning = f"{{{f['key']}}}"
        tags = {
            name: tuple(tag if tag == SECRET else beginning + tag for tag in text.split())
            for name, text in f["attributes"].items()
        }
        sides: dict[str, Digests] = {"added": tags, "removed": {}}
    else:
        sides = {
            side: {n: tuple(both.get(side, ())) for n, both in f["attributes"].items() if both.get(side)}
            for side in ("added", "removed")
        }
    reason = with_phrases(f)["reason"]
    facts = (line.seq, line.run, line.time, f["uid"], f["dn"], f["op"], tuple(f["kinds"]), reason)
    address = str(f.get("facts", {}).get("new", ""))
    return Intent(*facts, sides["added"], sides["removed"], address)


def settlement_of(line: JournalLine) -> Settlement | None:
    """The outcome that a journal line holds, None for a line of another type."""
    if line.type not in ("outcome", "resolved"):
        return None
    f = line.fields
    number, outcome = f.get("intent"), current_outcome(str(f.get("outcome")))
    texts = (str(f.get(name, "")) for name in ("message", "csn"))
    return Settlement(number if isinstance(number, int) else 0, outcome, *texts)


def state_of_intent(
    intent: Intent, present: Values | None, candidates: Callable[[str], Iterable[str]]
) -> WriteState:
    """What the entry shows about the write of an intent, judged by its `present` values (None: no entry).

    `present` must hold the attributes that the intent names, if they have values; `candidates` gives the
    digests of one text under every key still known.
    """
    removed, added = (_by_name(_compared(side)) for side in (intent.removed, intent.added))
    has: set[tuple[str, str]] = set()
    for name, values in (present or {}).items():
        for value in values if name.lower() in {*removed, *added} else ():
            for digest in candidates(digest_text(intent.dn, name, value)):
                has |= {(name.lower(), digest), (name.lower(), tag_of(digest))}
    return state_of_write(intent.op, removed, added, _by_name(has) if present is not None else None)


def _by_name(digests: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, digest in digests:
        found.setdefault(name, set()).add(digest)
    return found


class Unsettled(NamedTuple):
    """Intents without an outcome, in order, and the number below which every intent is settled. `unmade` are
    those that were read back as not made: their requests may still be on the way. `hidden`: lines above that
    number are in rotated files that are gone."""

    intents: tuple[JournalLine, ...]
    clean: int
    unmade: tuple[JournalLine, ...] = ()
    hidden: bool = False

    @property
    def facts(self) -> dict[str, int]:
        """The fields of a `run` or `end` line about it."""
        return {"clean": self.clean, **({"unmade": self.unmade[0].seq} if self.unmade else {})}

    @property
    def all_settled(self) -> bool:
        """Whether nothing before the end of the journal has to be looked at again."""
        return not (self.intents or self.unmade or self.hidden)


UNMADE = timedelta(days=3)
"""How long runs look again at a write that was read back as not made: something between the hosts may still
hold its request. At least one night falls into it."""


def unsettled(path: str) -> Unsettled:
    """The unsettled intents of a journal, read back from its end as far as needed, and those that were read
    back as not made in the time UNMADE before its last line. Raises JournalUnusable for a line that cannot be
    read."""
    settled: set[int] = set()
    not_made: set[int] = set()
    open_intents: list[JournalLine] = []
    unmade: list[JournalLine] = []
    clean: int | None = None
    last = reached = needed = 0
    newest = ""
    try:
        for line in newest_lines(path):
            last, newest = last or line.seq, newest or line.time
            if clean is not None and line.seq < needed:
                reached = needed
                break
            reached = line.seq
            if (settlement := settlement_of(line)) is not None:
                if (
                    line.type == "resolved"
                    and settlement.intent not in settled  # the newest outcome counts
                    and settlement.outcome != "applied"
                    and datetime.fromisoformat(newest) - datetime.fromisoformat(line.time) < UNMADE
                ):
                    not_made.add(settlement.intent)
                settled.add(settlement.intent)
            elif line.type == "intent" and line.seq not in settled:
                open_intents.append(line)
            elif line.type == "intent" and line.seq in not_made:
                unmade.append(line)
            elif line.type in ("run", "end") and clean is None:
                clean = line.fields["clean"]
                needed = min(clean, line.fields.get("unmade", clean))
    except (KeyError, TypeError, ValueError):
        raise unreadable(path, 0, f"before number {reached} lacks what belongs to its type") from None
    open_intents.reverse()
    unmade.reverse()
    if clean is not None and reached > clean:
        # the lines between are in files that are gone: they cannot count as settled
        return Unsettled(tuple(open_intents), clean, tuple(unmade), hidden=True)
    first = open_intents[0].seq if open_intents else last + 1
    return Unsettled(tuple(open_intents), first, tuple(unmade))


def repeated(path: str, intents: Collection[Intent]) -> set[int]:
    """The numbers of the intents whose writes a later intent repeats. Raises JournalUnusable."""
    first, found = min((intent.seq for intent in intents), default=0), set[int]()
    for line in newest_lines(path):
        if line.seq <= first:
            break
        if line.type == "intent":
            later = [i for i in intents if i.seq < line.seq and i.dn.lower() == line.fields["dn"].lower()]
            found |= {intent.seq for intent in later if _repeats(intent_of(line), intent)}
    return found


def _repeats(later: Intent, earlier: Intent) -> bool:
    added, removed, now = (_tags(side) for side in (earlier.added, earlier.removed, later.added))
    if "delete" in (later.op, earlier.op):
        return later.op == earlier.op
    return added <= now and not (removed - added) & now


def _compared(side: Digests) -> set[tuple[str, str]]:
    return {(name.lower(), digest) for name, made in side.items() for digest in made if digest != SECRET}


def _tags(side: Digests) -> set[tuple[str, str]]:
    return {(name, tag_of(digest)) for name, digest in _compared(side)}


def in_doubt(path: str) -> list[Intent]:
    """The intents to read back, oldest first: those without an outcome, of runs that are no longer alive.

    A run that is alive on this host writes its own outcomes. Raises JournalUnusable.
    """
    return doubts_of(path, unsettled(path))


def doubts_of(path: str, found: Unsettled) -> list[Intent]:
    """As `in_doubt`, of the unsettled intents that were just read."""
    alive = alive_runs(path, {line.run for line in found.intents})
    return [intent_of(line) for line in found.intents if line.run not in alive]
