"""Decides which entries that piactl does not manage become accounts.

An entry is adopted if it has an identifier of HR, never by its name alone. It keeps its uid, its address and
its other addresses of the domain. In doubt the entry stays as it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from piactl.core.model.keyed_digests import read_numen
from piactl.core.naming.names import has_base
from piactl.phrase import Phrase

_UID = re.compile(r"[a-z0-9.-]+")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Incumbent:
    """An entry that piactl does not manage yet.

    `mails` are the values of its address attribute, `others` the values of the other attributes whose
    addresses count as taken, `matricules` and `numens` (keyed digests) what may identify its person, `rights`
    its entitlements under piactl's URN. `fault` is what prevents its adoption, "" if nothing.
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
class EntryMatch:
    """An entry and the matricule of its person. `by` is the identifier that they have in common."""

    incumbent: Incumbent
    matricule: str
    by: str


@dataclass(frozen=True, slots=True)
class Unmatched:
    """An entry that stays as it is, and the reason; `matricule` if its person is known."""

    incumbent: Incumbent
    why: str
    matricule: str | None = None


def recognised(
    incumbents: Iterable[Incumbent], matricules: Iterable[str], numens: Mapping[str, str]
) -> tuple[list[EntryMatch], list[Unmatched]]:
    """The person of each entry, by its matricule, else by its NUMEN. `numens`: matricule by keyed digest.

    If two entries belong to one person, both stay as they are. So does an entry whose identifiers name two
    people.
    """
    matricules_by_name: dict[str, list[str]] = defaultdict(list)
    for matricule in matricules:
        for name in {matricule.casefold(), matricule.casefold().rpartition(":")[2]}:
            matricules_by_name[name].append(matricule)
    claims: dict[str, list[EntryMatch]] = defaultdict(list)
    unmatched: list[Unmatched] = []
    for incumbent in incumbents:
        by_matricule = {
            matricule: "matricule"
            for m in incumbent.matricules
            for matricule in matricules_by_name.get(m.casefold(), ())
        }
        if not by_matricule:
            by_matricule = {numens[digest]: "NUMEN" for digest in incumbent.numens if digest in numens}
        if len(by_matricule) == 1:
            ((matricule, by),) = by_matricule.items()
            claims[matricule].append(EntryMatch(incumbent, matricule, by))
        else:
            unmatched.append(Unmatched(incumbent, _unknown(incumbent, sorted(by_matricule))))
    matches: list[EntryMatch] = []
    for matricule, claimed in claims.items():
        if len(claimed) == 1:
            matches += claimed
            continue
        uids = ", ".join(sorted(match.incumbent.uid or match.incumbent.dn for match in claimed))
        why = Phrase(
            "several entries have matricule {matricule}: {uids}; decide which is the account",
            matricule=matricule,
            uids=uids,
        )
        unmatched += [Unmatched(match.incumbent, why, matricule) for match in claimed]
    return matches, unmatched


def _unknown(incumbent: Incumbent, matricules: Sequence[str]) -> str:
    if matricules:
        return Phrase(
            "its identifiers name several people of the feed: matricules {matricules}",
            matricules=", ".join(matricules),
        )
    if incumbent.matricules:
        return Phrase(
            "matricule {matricule} is not in the feed",
            matricule=", ".join(map(harmless, incumbent.matricules)),
        )
    if incumbent.numens:
        return Phrase("its NUMEN is not in the feed, and it has no matricule")
    return Phrase("it has no matricule")


def harmless(text: str) -> str:
    """A value of a foreign entry for a message: cut short, and a NUMEN masked."""
    numen = read_numen(text)
    if numen is not None:
        return str(numen)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def obstacle(incumbent: Incumbent, domain: str) -> str:
    """The reason why an entry cannot become an account, "" if it can."""
    if incumbent.fault:
        return incumbent.fault
    if len(incumbent.uids) != 1:
        if not incumbent.uids:
            return Phrase("it has no uids; an account has exactly one")
        return Phrase("it has {number} uids; an account has exactly one", number=len(incumbent.uids))
    if not _UID.fullmatch(incumbent.uid):
        uid = harmless(incumbent.uid)
        return Phrase(
            "uid {uid} has characters other than a-z, 0-9, dot and hyphen; piactl renames no entry", uid=uid
        )
    if not incumbent.mails:
        return Phrase("it has no address; give it one by hand")
    if not any(in_domain(mail, domain) for mail in incumbent.mails):
        shown = ", ".join(map(harmless, incumbent.mails))
        return Phrase(
            "its address {address} is not in the domain {domain}; give it one by hand",
            address=shown,
            domain=domain,
        )
    return ""


def in_domain(address: str, domain: str) -> bool:
    local, sign, host = address.rpartition("@")
    return bool(local) and bool(sign) and host.casefold() == domain.casefold()


def main_address(incumbent: Incumbent, domain: str, base: str) -> str | None:
    """The main address of an entry: the only one, else the one that matches its uid, else the one that
    matches its name (`base` as the local part); None if several match."""
    candidates = [mail for mail in incumbent.mails if in_domain(mail, domain)]
    if len(candidates) > 1:
        by_uid = [mail for mail in candidates if _local(mail) == incumbent.uid.casefold()]
        by_name = [mail for mail in candidates if has_base(_local(mail), base)]
        candidates = by_uid if len(by_uid) == 1 else by_name
    return candidates[0] if len(candidates) == 1 else None


def kept_aliases(incumbent: Incumbent, domain: str, address: str) -> frozenset[str]:
    """Its other addresses of the domain, one spelling of each."""
    spelled: dict[str, str] = {}
    for name in sorted((*incumbent.mails, *incumbent.others)):
        if in_domain(name, domain) and name.casefold() != address.casefold():
            spelled.setdefault(name.casefold(), name)
    return frozenset(spelled.values())


def _local(address: str) -> str:
    return address.partition("@")[0].casefold()


def clashes(
    matches: Iterable[EntryMatch], managed: Iterable[str], strangers: Iterable[tuple[str, Iterable[str]]]
) -> dict[str, str]:
    """The reason, by DN, for each entry whose names another entry has too. `managed` are the identifiers of
    all accounts, archived ones too, `strangers` the names of unmanaged entries by DN."""
    accounts = {name.casefold() for name in managed}
    owners: dict[str, set[str]] = defaultdict(set)
    for dn, names in strangers:
        for name in names:
            owners[name.casefold()].add(dn)
    reasons: dict[str, str] = {}
    for match in matches:
        incumbent = match.incumbent
        taken = sorted(incumbent.names & accounts)
        shared = sorted(name for name in incumbent.names if owners[name] - {incumbent.dn})
        if taken:
            reasons[incumbent.dn] = Phrase(
                "an account (perhaps archived) has or had {names}", names=", ".join(taken)
            )
        elif shared:
            others = ", ".join(sorted(owners[shared[0]] - {incumbent.dn}))
            reasons[incumbent.dn] = Phrase(
                "{names} is also on another entry: {others}", names=", ".join(shared), others=others
            )
    return reasons
