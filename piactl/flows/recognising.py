"""Whose the entries are that piactl does not manage, and what stands in the way of adopting them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from piactl.core.adoption import Match, clashes, obstacle, recognised
from piactl.core.desired import Rules
from piactl.core.rejection import Hold
from piactl.directory.incumbents import Recognition, Stranger
from piactl.flows.book import Book
from piactl.flows.telling import Told


def recognised_entries(
    strangers: Mapping[str, Stranger], told: Told, book: Book, rules: Rules, by: Recognition
) -> tuple[list[Match], list[Hold]]:
    """The entries of people of the feeds that nothing stands in the way of, by uid; and why of the others.

    `strangers` are all entries that piactl does not manage, by DN.
    """
    inside = [stranger.incumbent for stranger in strangers.values() if stranger.inside]
    matches, unmatched = recognised(inside, {**told.people, **told.held}, _numens(told, by))
    holds = [Hold(one.matricule, one.incumbent.uid or one.incumbent.dn, one.why) for one in unmatched]
    names = ((dn, stranger.incumbent.names) for dn, stranger in strangers.items())
    clashing = clashes(matches, book.names, names)
    good = []
    for match in matches:
        one = match.incumbent
        why = _obstacle(match, told, book, rules) or clashing.get(one.dn, "")
        if why:
            holds.append(Hold(match.matricule, one.uid or one.dn, why))
        else:
            good.append(match)
    return sorted(good, key=lambda match: match.incumbent.uid), holds


def _numens(told: Told, by: Recognition) -> dict[str, str]:
    """Matricule by digest of the NUMEN; one that two people have names nobody."""
    if not by.numen:
        return {}
    digests = {m: by.digest(p.numen.reveal()) for m, p in told.people.items() if p.numen is not None}
    owners = Counter(digests.values())
    return {digest: m for m, digest in digests.items() if owners[digest] == 1}


def _obstacle(match: Match, told: Told, book: Book, rules: Rules) -> str:
    entry = book.entry(match.matricule, rules.keys)
    if entry is not None:
        return f"its person, matricule {match.matricule}, has the account {entry.account.uid} already"
    if match.matricule in told.held:
        return told.held[match.matricule]
    if match.incumbent.uid in rules.policy.protected:
        return "protected: no import touches it"
    return obstacle(match.incumbent, rules.policy.domain)
