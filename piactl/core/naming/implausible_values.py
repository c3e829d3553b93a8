"""Recognises values of HR that are no names (à compléter, vacataire, TEST), names with a status or a title
beside them (Bréhat - congé, M. Bréhat), and private addresses in the domain of the accounts or a look-alike.

An address stays for ever, so such a value must not become one. Only what comes in is checked, with the policy
at hand, because a name of this kind may be real. Accounts that exist are not: their names and digests stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from functools import lru_cache

from piactl.core.naming.names import PARTICLES, UnusableName, plain_letters
from piactl.phrase import Phrase

_LOOKS_LIKE = str.maketrans("аеіӏорсухѕԁ01", "aeiiopcyxsdol")
_SHORTEST = 8
"""In shorter domains one letter more or less makes many other real ones."""


def internal_address(mail: str, domain: str) -> str:
    """The fault of a private address in a subdomain of `domain` or in a look-alike of it, or "". One in the
    domain itself is no fault: HR often has no other, and no password is handed out to it."""
    host, domain = mail.rpartition("@")[2].casefold(), domain.casefold()
    if not host or host == domain:
        return ""
    if host.endswith(f".{domain}"):
        return Phrase(
            "the private address is in {host}, a subdomain of {domain}: expected an address outside of it",
            host=host,
            domain=domain,
        )
    label = domain.rpartition(".")[0]
    seen, own = _skeleton(host), _skeleton(domain)
    is_near = len(domain) >= _SHORTEST and _one_apart(seen, own)
    has_its_name = label in host.split(".") or f".{domain}." in f".{host}"
    if is_near or seen == own or has_its_name:
        return Phrase(
            "the private address is in {host}, which is not {domain} but looks like it: expected an address "
            "outside of it",
            host=host,
            domain=domain,
        )
    return ""


def _skeleton(host: str) -> str:
    """A host without what the eye overlooks: accents, hyphens, letters of another alphabet, rn for m."""
    text = unicodedata.normalize("NFKD", host.translate(_LOOKS_LIKE))
    return "".join(c for c in text if c.isalnum() or c == ".").replace("rn", "m").replace("vv", "w")


def _one_apart(left: str, right: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours are exchanged."""
    if left == right or abs(len(left) - len(right)) > 1:
        return left == right
    place = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    if place is None:
        return True
    rest, other = left[place:], right[place:]
    exchanged = rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return exchanged or rest[1:] == other[1:] or rest == other[1:] or rest[1:] == other


_NO_NAMES = frozenset(
    (
        "n c|nc|n r|nr|nd|tbd|tba|vide|erreur|ne pas utiliser|ne plus utiliser|en attente|en cours|"
        "non communique|non communiquee|non connu|non connue|non nomme|non nommee|nom prenom|prenom nom|"
        "nom de famille|nom d'usage|professeur|professeure|enseignant|enseignante|test|tests"
    ).split("|")
)
_STILL_TO_DO = re.compile(
    r"a (?:completer|pourvoir|nommer|recruter|renseigner|saisir|designer|affecter|remplacer|supprimer|"
    r"definir|preciser|determiner|confirmer|corriger|verifier|venir)"
)
_NO_PERSON = re.compile(r"(?:poste|support|emploi|bmp|compte|utilisateur)s? .+|([a-z])\1\1+")
_TITLE = re.compile(r"(?:m|mr|mme|mlle|dr|pr|me|mgr)\. *(?=[a-z]{2})")

_CERTAIN = frozenset(
    "vacataire vacataires remplacant remplacante suppleant suppleante contractuel contractuelle stagiaire "
    "titulaire interimaire suspendu suspendue radie radiee decede decedee demissionnaire licencie licenciee "
    "retraitee disponibilite doublon".split()
)
"""Words that are no part of any name, wherever they stand; alone they are no name either."""
_BEFORE_AND_AFTER = _CERTAIN | {"retraite", "test", "tests"}
_AFTER = frozenset(
    "conge conges vacant vacante maladie maternite paternite invalidite dispo detache detachee detachement "
    "demission deces mute mutee mutation absent absente suspension inactif inactive sortant sortante "
    "supprime supprimee annule annulee clm cld cgm cmo mme mlle monsieur madame".split()
)
"""Words that may be a name alone or in front (Congé, Vacant), but after a name tell something of the
person."""
_EN = frozenset(
    "retraite conge conges disponibilite dispo detachement arret maladie mutation stage formation attente "
    "cours suspension".split()
)
_APART = re.compile(r"[()\[\]{}:,;/*|]|(?<!\S)-+|-+(?!\S)")
"""What stands between a name and a remark: brackets, marks, and a hyphen with a blank beside it."""
_SHOWN = 40


@lru_cache(maxsize=20_000)
def no_name(part: str, text: str) -> UnusableName | None:
    """The fault of a value that is no name, or more than the name; `part` is its column."""
    plain = plain_letters(text)
    # a NUMEN that slipped into the column has digits, and must not be shown
    if not plain or any(map(str.isdigit, plain)):
        return None
    value = repr(text[:_SHOWN])
    bare = " ".join(re.sub(r"[^a-z']+", " ", plain).split())
    if bare in _NO_NAMES or bare in _CERTAIN or _STILL_TO_DO.fullmatch(bare) or _NO_PERSON.fullmatch(bare):
        problem = Phrase("{part} {value} is not a name", part=part, value=value)
        fault = _fault(problem, Phrase("HR: correct it in your application"))
        return UnusableName(part, "name-placeholder", fault, "")
    title = _TITLE.match(plain)
    if title:
        begins = title[0].strip()
        problem = Phrase("{part} {value} begins with {title}", part=part, value=value, title=begins)
        fault = _fault(problem, Phrase("HR: write the name alone"))
        return UnusableName(part, "name-honorific", fault, "")
    status = _status(plain)
    if status:
        beside = repr(status)
        problem = Phrase("{part} {value} has {status} beside the name", part=part, value=value, status=beside)
        fault = _fault(problem, Phrase("HR: write the name alone, and a leave as a position"))
        return UnusableName(part, "name-status", fault, "")
    return None


def _fault(problem: str, step: str) -> Phrase:
    advice = Phrase(
        "{step}; administrator: or, if somebody is called so, add it to `real_names` in the policy", step=step
    )
    return Phrase("{problem}; {advice}", problem=problem, advice=advice)


def _status(plain: str) -> str:
    """The word beside a name that says something of the person, or ""."""
    words = [word.strip(".") for word in _APART.sub(" ", plain).split()]
    for place, word in enumerate(words):
        behind_a_name = any(before not in PARTICLES and before != "en" for before in words[:place])
        if word == "en" and words[place + 1 : place + 2] and words[place + 1] in _EN:
            return f"en {words[place + 1]}"
        if word in _BEFORE_AND_AFTER and (behind_a_name or (place == 0 and len(words) > 1)):
            return word
        if word in _AFTER and behind_a_name:
            return word
    return ""


def names_problem(names: dict[str, str], real: Container[str]) -> UnusableName | None:
    """The first fault of the names of a person, by column; names that are `real` have none."""
    for part, text in names.items():
        fault = no_name(part, text) if text else None
        if fault is not None and plain_letters(text) not in real:
            return fault
    return None
