"""Decides whether a person is the owner of the account of their matricule, and which accounts may belong to a
newcomer, by names, digests of birth dates, NUMENs and private addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Protocol

from piactl.core.model.account import PLACEHOLDER, Account, amended
from piactl.core.model.keyed_digests import NUMEN, DigestKeys, digest_key_id
from piactl.core.model.person import Person
from piactl.core.model.settings import MatchingSettings
from piactl.core.naming.names import UnusableName, name_words
from piactl.phrase import Phrase

NAMES = ("family_name", "given_name", "usage_name")


class Named(Protocol):
    """A person in the HR data, or an account."""

    @property
    def family_name(self) -> str: ...

    @property
    def usage_name(self) -> str: ...

    @property
    def given_name(self) -> str: ...


def same_name(left: str, right: str) -> bool:
    """Whether two names give the same address: accents, case, hyphens and apostrophes do not count."""
    return folded(left) == folded(right)


def name_text(person: Named) -> str:
    """The names of a person in a sentence, with the name at birth if it differs."""
    name = f"{person.given_name} {person.usage_name or person.family_name}".strip()
    return (
        Phrase("{name} ({family_name} at birth)", name=name, family_name=person.family_name)
        if person.usage_name
        else name
    )


def folded(name: str) -> str:
    """A name as it is compared: in the letters of an address."""
    try:
        return name_words(name, "nom_famille") if name.strip() else ""
    except UnusableName:  # an entry may have any name
        return " ".join(name.casefold().split())


IDENTITY, BIRTH = "identity", "birth"
"""The purposes of the two digests of a birth date."""


class Doubt(StrEnum):
    """Why a case needs a decision: three about a known matricule, one about an unknown one, two about what HR
    states of a known person and another account has: a NUMEN, or birth date and names."""

    OTHER_PERSON = "other-person"
    PERHAPS_OTHER = "other-person?"
    BIRTH_CHANGED = "birth-changed"
    SAME_PERSON = "same-person?"
    SHARED_NUMEN = "numen-shared"
    SHARED_IDENTITY = "identity-shared"


# The digests. No date is stored.


def identity_digests(keys: DigestKeys, person: Person) -> tuple[str, ...]:
    """The digests of birth date, family name at birth and first given name together, the one under the
    current key first; none without a birth date."""
    if person.birth_date is None:
        return ()
    names = f"{folded(person.family_name)}\0{_first(person.given_name)}"
    return keys.candidates(IDENTITY, f"{person.birth_date}\0{names}")


def _first(given: str) -> str:
    return folded(given).partition("-")[0]


Births = tuple[str | None, str | None]
"""The digest of the identity and the digest of the birth date."""


def births_of(account: Account) -> Births:
    return account.identity_digest, account.birth_digest


def with_births(account: Account, births: Births) -> Account:
    if births_of(account) == births:
        return account
    return amended(account, identity_digest=births[0], birth_digest=births[1])


def birth_digests(before: Births, person: Person, keys: DigestKeys, settings: MatchingSettings) -> Births:
    """The digests of a person under the current key, made from the birth date that HR states; `before` if HR
    states none; none if the configuration stores none."""
    if not settings.identity_digests:
        return None, None
    if person.birth_date is None:
        return before
    birth = before[1]
    if birth is None or keys.is_older(birth) or not _is_born(keys, birth, person.birth_date):
        salt = birth.rpartition("$")[2] if birth else keys.digest("birth salt", person.matricule)[-16:]
        birth = f"{keys.digest(BIRTH, f'{salt}{person.birth_date}')}${salt}"
    return identity_digests(keys, person)[0], birth


def _is_born(keys: DigestKeys, stored: str, birth: date) -> bool:
    digest, _, salt = stored.rpartition("$")
    return keys.matches(digest, BIRTH, f"{salt}{birth}")


def same_birth(person: Person, identity: str | None, birth: str | None, keys: DigestKeys) -> bool | None:
    """Whether a person has the birth date of these digests; None if one side is unknown. A digest under an
    unknown key is ignored."""
    if person.birth_date is None:
        return None
    if identity in identity_digests(keys, person):
        return True
    if birth is None or digest_key_id(birth) not in keys.keys:
        return None
    return _is_born(keys, birth, person.birth_date)


# A known matricule.


def doubt_about(person: Person, known: Named, born: bool | None) -> Doubt | None:
    """Why a person may not be the owner of the account of their matricule; None if they are. `born`: the
    result of `same_birth`. A family name agrees if any two of those at birth and in usage do. If no birth
    date is known, the uid counts too, so that names cannot change step by step into the names of another
    person. An archived account has no other names."""
    if born:
        return None
    named = known.family_name != PLACEHOLDER
    agree = [family_agrees(person, known), given_agrees(person, known)] if named else [True, False]
    if born is None:
        return None if any(agree) and _is_of_uid(person, known) else Doubt.PERHAPS_OTHER
    return Doubt.BIRTH_CHANGED if all(agree) else Doubt.OTHER_PERSON


def _is_of_uid(person: Person, known: Named) -> bool:
    """Whether the names still have something in common with the uid, which the account got at its start. A
    uid of another form than `prenom.nom` is ignored."""
    if not isinstance(known, Account):
        return True
    given, dot, family = known.uid.rstrip("0123456789").partition(".")
    if not dot or given.partition("-")[0] == _first(person.given_name):
        return True
    theirs, ours = _families(person), _families(known)
    # the name at birth agrees and the uid has the usage name, or no name is new
    at_birth = folded(person.family_name) == folded(known.family_name)
    return (
        family in theirs or (at_birth and family in ours) or (theirs <= ours and given_agrees(person, known))
    )


def _families(person: Named) -> set[str]:
    return {folded(person.family_name), folded(person.usage_name)} - {""}


def family_agrees(person: Named, known: Named) -> bool:
    if person.family_name == known.family_name:
        return True
    return not _families(person).isdisjoint(_families(known))


def given_agrees(person: Named, known: Named) -> bool:
    return person.given_name == known.given_name or _first(person.given_name) == _first(known.given_name)


def whole_given_agrees(person: Named, known: Named) -> bool:
    """Whether the given names agree as a whole if both have several words, for twins share the first one
    (Jean-Luc, Jean-Baptiste); else their first words. The names of an archived account are unknown."""
    if known.family_name == PLACEHOLDER:
        return True
    ours, theirs = folded(person.given_name), folded(known.given_name)
    return ours == theirs if "-" in ours and "-" in theirs else given_agrees(person, known)


def compared(person: Named, known: Named, born: bool | None) -> tuple[str, ...]:
    """How the birth dates and the names of two people compare, in words."""
    birth = {
        True: Phrase("same birth date"),
        False: Phrase("another birth date"),
        None: Phrase("birth date unknown"),
    }[born]
    if known.family_name == PLACEHOLDER:
        return (birth, Phrase("names unknown: archived"))
    family = Phrase("same family name") if family_agrees(person, known) else Phrase("another family name")
    given = Phrase("same given name") if given_agrees(person, known) else Phrase("another given name")
    return birth, family, given


BIRTH_DATE, NUMEN_WORD, NAME = "birth-date", "numen", "name"
"""What is compared of two people before their accounts are merged."""


def accounts_compared(one: Account, other: Account) -> dict[str, bool | None]:
    """Whether two accounts have the same birth date, NUMEN and name; None for what cannot be compared. Birth
    dates are compared by the digests of the identities, which hold the names too: of people of other names
    they say nothing. First names of several words are compared whole: twins have one birth date."""
    first_names = folded(one.given_name), folded(other.given_name)
    given = first_names[0] == first_names[1] or not all("-" in name for name in first_names)
    names = family_agrees(one, other) and given_agrees(one, other) and given
    identity = _same_digest(one.identity_digest, other.identity_digest)
    at_birth = same_name(one.family_name, other.family_name) and (
        _first(one.given_name) == _first(other.given_name)
    )
    birth = identity if identity or at_birth else None
    return {BIRTH_DATE: birth, NUMEN_WORD: _same_digest(one.numen_digest, other.numen_digest), NAME: names}


def _same_digest(one: str | None, other: str | None) -> bool | None:
    """Whether two digests without a salt are of one value; None if one is missing or under another key."""
    if one is None or other is None or digest_key_id(one) != digest_key_id(other):
        return None
    return one == other


# An unknown matricule.


@dataclass(frozen=True, slots=True)
class Traces:
    """What is known of one person, to be compared with another: the digests of an account, or all digests
    that the values of a feed may have."""

    named: Named
    numens: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()
    mail: str = ""

    def __iter__(self) -> Iterator[str]:
        """The values by which a person with the same evidence is looked up."""
        yield from self.numens
        yield from self.identities
        if self.mail:
            yield self.mail

    def plus(self, other: Traces) -> Traces:
        """With the NUMENs and identities of `other`."""
        numens, identities = self.numens | other.numens, self.identities | other.identities
        return replace(self, numens=numens, identities=identities)

    def evidence(self, other: Traces) -> tuple[str, ...]:
        """The evidence that both are one person: `same NUMEN`, `same identity`, and `same private address`,
        which counts only with a name. Empty: two people, even of one name."""
        evidence = []
        if not self.numens.isdisjoint(other.numens):
            evidence.append(SAME_NUMEN)
        if not self.identities.isdisjoint(other.identities):
            evidence.append(SAME_IDENTITY)
        one_name = family_agrees(self.named, other.named) or given_agrees(self.named, other.named)
        if self.mail and self.mail == other.mail and one_name:
            evidence.append(SAME_MAIL)
        return tuple(evidence)


MAIL = "mail:"
SAME_NUMEN, SAME_IDENTITY, SAME_MAIL = (
    Phrase("same NUMEN"),
    Phrase("same identity"),
    Phrase("same private address"),
)
FORMER = Phrase("former matricule")
EVIDENCE: Mapping[str, Phrase] = {
    words: words
    for words in (
        *(SAME_NUMEN, SAME_IDENTITY, SAME_MAIL, FORMER),
        *(Phrase("same birth date"), Phrase("another birth date"), Phrase("birth date unknown")),
        *(Phrase("same family name"), Phrase("another family name"), Phrase("names unknown: archived")),
        *(Phrase("same given name"), Phrase("another given name")),
    )
}
"""What may agree or not, and is read from the record of a case, in the words of people."""
CERTAIN = frozenset({SAME_NUMEN, SAME_IDENTITY})
"""The evidence that, taken together, needs no decision unless the settings forbid it."""
STRONG = frozenset({SAME_NUMEN, SAME_IDENTITY, FORMER})
"""The evidence that holds an account: its person may be in the feed under another matricule."""


def traces_of(person: Person, keys: DigestKeys) -> Traces:
    """The traces of a person in a feed."""
    numens = keys.candidates(NUMEN, person.numen.reveal()) if person.numen is not None else ()
    identities = frozenset(identity_digests(keys, person))
    return Traces(person, frozenset(numens), identities, mail_trace(person.private_mail))


def stored_traces(named: Named, numen: str | None, identity: str | None, mail: str) -> Traces:
    """The traces of an account, or of a person in waiting."""
    numens, identities = (frozenset(filter(None, [digest])) for digest in (numen, identity))
    return Traces(named, numens, identities, mail_trace(mail))


def mail_trace(address: str) -> str:
    return f"{MAIL}{address.casefold()}" if address else ""


def joins(evidence: Collection[str], born: bool | None, names: bool) -> bool:
    """Whether a newcomer joins the account whose former matricule the feed names. `names`: a name agrees."""
    return SAME_NUMEN in evidence or (bool(born) and names)


def with_matricule(account: Account, matricule: str, keys: DigestKeys) -> Account:
    """The account with one more matricule. An archived account keeps only its digest."""
    digests = tuple(sorted({*account.matricule_digests, keys.digest("matricule", matricule)}))
    further = account.further_matricules
    if account.matricule is not None:
        further = tuple(sorted({*further, matricule}))
    return replace(account, matricule_digests=digests, further_matricules=further)
