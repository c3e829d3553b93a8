"""Reads back the writes that earlier runs left in doubt: what became of each, by the entry as it is now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from piactl.core.model.digests import DigestKeys
from piactl.directory import filters
from piactl.directory.dn import normal_dn, under
from piactl.directory.port import Reader, Values
from piactl.journal import Intent, IntentOutcome, Settlement, intent_outcome

MANY = 50
"""From so many intents below one base on, one search is cheaper than a read of each entry."""

_OUTCOMES = {IntentOutcome.DONE: "applied", IntentOutcome.NOT_DONE: "failed"}


def read_back(reader: Reader, base: str, intents: Sequence[Intent], keys: DigestKeys) -> list[Settlement]:
    """What became of each intent, in the order given. Many entries below `base`, which holds the accounts,
    are read in one search."""
    inside = [intent for intent in intents if under(intent.dn, base)]
    outcomes = _searched(reader, base, inside, keys) if len(inside) >= MANY else {}
    settlements = []
    for intent in intents:
        now = outcomes.get(intent.seq)
        if now is None:
            entry = reader.read(intent.dn, _attributes([intent]))
            now = _outcome(intent, entry.values if entry else None, keys)
        message = f"read back after run {intent.run}: {now.value}"
        settlements.append(Settlement(intent.seq, _OUTCOMES.get(now, "conflict"), message))
    return settlements


def _searched(
    reader: Reader, base: str, intents: Sequence[Intent], keys: DigestKeys
) -> dict[int, IntentOutcome]:
    """The outcome of each intent, by its number."""
    outcomes: dict[int, IntentOutcome] = {}
    attributes = _attributes(intents)
    missing: Sequence[Intent] = intents
    # names are compared as they are first: to normalise them takes longer than the search
    for key in (str.casefold, normal_dn):
        by_dn: dict[str, list[Intent]] = defaultdict(list)
        for intent in missing:
            by_dn[key(intent.dn)].append(intent)
        unknown = False
        for entry in reader.search(base, filters.ANY_ENTRY, attributes):
            found = by_dn.pop(key(entry.dn), None)
            unknown = unknown or found is None
            for intent in found or ():
                outcomes[intent.seq] = _outcome(intent, entry.values, keys)
        missing = [intent for rest in by_dn.values() for intent in rest]
        if not missing or not unknown:
            break
    outcomes.update((intent.seq, _outcome(intent, None, keys)) for intent in missing)
    return outcomes


def _attributes(intents: Sequence[Intent]) -> list[str]:
    return sorted({name for intent in intents for name in (*intent.added, *intent.removed)})


def _outcome(intent: Intent, present: Values | None, keys: DigestKeys) -> IntentOutcome:
    return intent_outcome(intent, present, lambda text: keys.candidates("journal", text))
