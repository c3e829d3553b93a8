"""Which entries that were there before piactl become accounts, and which do not and why. Pure.

An entry is adopted for what HR's identifier on it says, never for its name alone, and keeps its uid, its
address and the other addresses of the domain. Whatever is doubtful leaves the entry as it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from piactl.core.model.numen import read_numen
from piactl.core.naming.local_part import has_base

_UID = re.compile(r"[a-z0-9.-]+")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Incumbent:
    """An entry that piactl does not manage yet.

    `mails` are the values of its address attribute, `others` those of the other attributes whose addresses
    count as taken, `matricules` and `numens` (keyed digests) what it may be recognised by, `rights` its
    entitlements under piactl's URN. `fault` is what of the entry itself stands in the way, "" if nothing.
    """

    dn: str
    uids: tuple[str, ...]
    mails: tuple[str, ...]
    others: tuple[str, ...] = ()
    matricules: tuple[str, ...] = ()
    numens: tuple[str, ...] = field(default=(), repr=False)
    rights: frozenset[tuple[str, str]] = frozenset()
    civilite: str = ""
    private_mail: str = ""
    fault: str = ""

    @property
    def uid(self) -> str:
        return self.uids[0] if self.uids else ""

    @property
    def names(self) -> frozenset[str]:
        """All its names, without case."""
        return frozenset(name.casefold() for name in (*self.uids, *self.mails, *self.others))


@dataclass(frozen=True, slots=True)
class Match:
    """An entry and the matricule of the person whose it is. `by` says how it was recognised."""

    incumbent: Incumbent
    matricule: str
    by: str


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An entry that is left as it is, and why; `matricule` where it is known whose it is."""

    incumbent: Incumbent
    why: str
    matricule: str | None = None


def recognised(
    incumbents: Iterable[Incumbent], matricules: Iterable[str], numens: Mapping[str, str]
) -> tuple[list[Match], list[Unmatched]]:
    """Whose each entry is: by its matricule, else by its NUMEN. `numens`: matricule by keyed digest.

    Two entries of one person are both left, and so is one whose identifiers name two people.
    """
    known = {matricule.casefold(): matricule for matricule in matricules}
    claims: dict[str, list[Match]] = defaultdict(list)
    unmatched: list[Unmatched] = []
    for one in incumbents:
        found = {known[m.casefold()]: "matricule" for m in one.matricules if m.casefold() in known}
        if not found:
            found = {numens[digest]: "NUMEN" for digest in one.numens if digest in numens}
        if len(found) == 1:
            ((matricule, by),) = found.items()
            claims[matricule].append(Match(one, matricule, by))
        else:
            unmatched.append(Unmatched(one, _unknown(one, sorted(found))))
    matches: list[Match] = []
    for matricule, claimed in claims.items():
        if len(claimed) == 1:
            matches += claimed
            continue
        uids = ", ".join(sorted(match.incumbent.uid or match.incumbent.dn for match in claimed))
        why = f"several entries are of matricule {matricule}: {uids}; decide which is the account"
        unmatched += [Unmatched(match.incumbent, why, matricule) for match in claimed]
    return matches, unmatched


def _unknown(one: Incumbent, found: Sequence[str]) -> str:
    if found:
        return f"its identifiers name several people of the feed: matricules {', '.join(found)}"
    if one.matricules:
        return f"matricule {', '.join(map(harmless, one.matricules))} is not in the feed"
    if one.numens:
        return "its NUMEN is not in the feed, and it has no matricule"
    return "it has no matricule"


def harmless(text: str) -> str:
    """A value of a foreign entry as a message may show it: short, and a NUMEN masked."""
    numen = read_numen(text)
    if numen is not None:
        return str(numen)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def obstacle(one: Incumbent, domain: str) -> str:
    """Why an entry cannot become an account, whoever it belongs to; "" where it can."""
    if one.fault:
        return one.fault
    if len(one.uids) != 1:
        return f"it has {len(one.uids) or 'no'} uids; an account has exactly one"
    if not _UID.fullmatch(one.uid):
        return (
            f"uid {harmless(one.uid)} is not made of a-z, 0-9, dot and hyphen alone; piactl renames no entry"
        )
    if not one.mails:
        return "it has no address; give it one by hand"
    if not any(in_domain(mail, domain) for mail in one.mails):
        shown = ", ".join(map(harmless, one.mails))
        return f"its address {shown} is not in the domain {domain}; give it one by hand"
    return ""


def in_domain(address: str, domain: str) -> bool:
    local, sign, host = address.rpartition("@")
    return bool(local) and bool(sign) and host.casefold() == domain.casefold()


def main_address(one: Incumbent, domain: str, base: str) -> str | None:
    """The one address that its mail goes by: the only one, else that of its uid, else that of its name,
    `base` being the local part of the name; None where several may be meant."""
    here = [mail for mail in one.mails if in_domain(mail, domain)]
    if len(here) > 1:
        by_uid = [mail for mail in here if _local(mail) == one.uid.casefold()]
        by_name = [mail for mail in here if has_base(_local(mail), base)]
        here = by_uid if len(by_uid) == 1 else by_name
    return here[0] if len(here) == 1 else None


def kept_aliases(one: Incumbent, domain: str, address: str) -> frozenset[str]:
    """Its other addresses of the domain, one spelling of each."""
    spelled: dict[str, str] = {}
    for name in sorted((*one.mails, *one.others)):
        if in_domain(name, domain) and name.casefold() != address.casefold():
            spelled.setdefault(name.casefold(), name)
    return frozenset(spelled.values())


def _local(address: str) -> str:
    return address.partition("@")[0].casefold()


def clashes(
    matches: Iterable[Match], managed: Iterable[str], strangers: Iterable[tuple[str, Iterable[str]]]
) -> dict[str, str]:
    """Entries whose names another entry has too: why, by DN. `managed` are the identifiers of all accounts,
    archived ones too, `strangers` the names of unmanaged entries by DN."""
    accounts = {name.casefold() for name in managed}
    owners: dict[str, set[str]] = defaultdict(set)
    for dn, names in strangers:
        for name in names:
            owners[name.casefold()].add(dn)
    found: dict[str, str] = {}
    for match in matches:
        one = match.incumbent
        taken = sorted(one.names & accounts)
        shared = sorted(name for name in one.names if owners[name] - {one.dn})
        if taken:
            found[one.dn] = f"an account, maybe an archived one, has or had {', '.join(taken)}"
        elif shared:
            others = ", ".join(sorted(owners[shared[0]] - {one.dn}))
            found[one.dn] = f"{', '.join(shared)} stands on another entry too: {others}"
    return found
