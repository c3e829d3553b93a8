"""Names: the local parts of addresses, homonyms, which names are taken, and capital letters on accounts."""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType

from piactl.errors import PiactlError
from piactl.phrase import Phrase


def name_digest(local: str) -> int:
    """A local part as a number."""
    return int.from_bytes(blake2b(local.lower().encode(), digest_size=8).digest(), "little")


class NameDigests:
    """A set of names stored as digests. Among a million names, a free name looks taken once in about 10**13
    look-ups; that account then gets a digit."""

    def __init__(self, digests: Iterable[int]) -> None:
        self._digests, self._sorted = array("Q", digests), False

    def __contains__(self, local: object) -> bool:
        if not self._sorted:  # many runs look nothing up
            self._digests, self._sorted = array("Q", sorted(self._digests)), True
        digest = name_digest(str(local))
        index = bisect_left(self._digests, digest)
        return index < len(self._digests) and self._digests[index] == digest


MAX_LOCAL = 64 - 2
"""RFC 5321 allows 64 octets in a local part; two are reserved for the digits of a homonym."""


class UnusableName(PiactlError):
    """A name gives no address. `part` is the canonical column at fault, `problem` what is wrong with it, for
    somebody who typed it; `advice` is for one from HR."""

    def __init__(
        self, part: str, code: str, problem: str, advice: str = Phrase("correct it in the HR application")
    ) -> None:
        self.part = part
        self.code = code
        self.problem = problem
        super().__init__(Phrase("{problem}; {advice}", problem=problem, advice=advice) if advice else problem)


APOSTROPHES, DASHES = "'’‘‛ʼʻʽʹʾʿˈ´`′‵＇ꞌ", "-‐‑‒–—―−⁃﹘﹣－"
"""What people write for an apostrophe and a hyphen."""
_APOSTROPHES, _DASHES = dict.fromkeys(map(ord, APOSTROPHES), "'"), dict.fromkeys(map(ord, DASHES), "-")
_DROPPED = dict.fromkeys([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x180E])
# NFD alone would delete these letters instead of spelling them out
_LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ı": "i", "ŋ": "n"}
    | {"·": "", "‧": ""}
)

_CONTINUATION = "".join(chr(b) for b in range(0x80, 0xC0)) + bytes(
    b for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
).decode("cp1252")
MOJIBAKE = re.compile(f"[ÂÃÄÅ][{re.escape(_CONTINUATION)}]|â€")
"""UTF-8 that was read as Windows-1252 or ISO-8859-15."""
_C1 = re.compile(r"[\x80-\x9f]")
_ALLOWED = re.compile(r"[a-z' .-]+")
_DIGIT = re.compile(r"\d")

_PLACEHOLDERS = frozenset(
    (
        "sans prenom|sans nom|sansprenom|sansnom|inconnu|inconnue|non renseigne|non renseignee|neant|aucun|"
        "aucune|anonyme|a definir|a preciser|prenom|nom|null|none|nc|spn|x|xx|xxx|xxxx"
    ).split("|")
)
_HONORIFICS_FAMILY = frozenset("mr mr. mme mme. mlle mlle. monsieur madame mademoiselle dr dr.".split())
_HONORIFICS_GIVEN = _HONORIFICS_FAMILY | frozenset("m m. docteur pr pr. me me. maitre".split())
_NOTES = frozenset("ep ep. epouse epse nee veuve vve vve. veuf divorcee div. separee".split())
PARTICLES = frozenset(
    "d da das de del della der des di do dos du el la las le les los of ten ter van von y zu zum zur".split()
)

_RESERVED = frozenset("root bin adm lp mail postmaster abuse admin webmaster hostmaster".split())
_RESERVED_PREFIX = "ce."


def without_invisible(text: str) -> str:
    """`text` in NFC, without zero-width characters and soft hyphens."""
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_DROPPED))


def damaged(text: str) -> str:
    """The sign that `text` was decoded with the wrong encoding, or ""."""
    if "�" in text:
        return Phrase("contains the replacement character U+FFFD")
    if _C1.search(text):
        return Phrase("contains a C1 control character, as in Windows-1252 read as ISO-8859-1")
    if MOJIBAKE.search(unicodedata.normalize("NFC", text)):
        return Phrase("looks like UTF-8 read as Windows-1252")
    return ""


@lru_cache(maxsize=20_000)
def plain_letters(text: str) -> str:
    """`text` in small letters without accents, as far as they are Latin, with single blanks."""
    text = text.translate(_DROPPED)
    text = "".join(" " if c.isspace() else c for c in text)
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).translate(_DASHES)
    text = unicodedata.normalize("NFKC", text).lower().translate(_LETTERS)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return " ".join(text.split())


@lru_cache(maxsize=20_000)
def name_words(text: str, part: str) -> str:
    """A name in the letters of an address, words joined by hyphens.

    Raises UnusableName for names that need a decision: damaged text, placeholders, honorifics, digits,
    marginal notes, other alphabets. `part` is the column in the message.
    """
    lost = Phrase("{text} has a question mark in place of a letter", text=repr(text))
    lost = Phrase("contains a question mark") if any(map(str.isdigit, text)) else lost
    fault = damaged(text) or (lost if "?" in text else "")
    if fault:
        message = Phrase("{part} {fault}", part=part, fault=fault)
        raise UnusableName(part, "name-damaged", message)
    text = plain_letters(text)
    _refuse(text, part)
    text = re.sub(r" *' *", "", text)
    text = re.sub(r"[ .-]+", "-", text).strip("-")
    if not text:
        raise UnusableName(part, "name-empty", Phrase("{part} contains no letter", part=part))
    return text


def _refuse(text: str, part: str) -> None:
    words = text.split()
    if not words:
        raise UnusableName(part, "name-empty", Phrase("{part} is blank", part=part))
    if text in _PLACEHOLDERS:
        raise UnusableName(
            part,
            "name-placeholder",
            Phrase("{part} is a placeholder ({text}), not a name", part=part, text=text),
        )
    if _DIGIT.search(text):
        raise UnusableName(part, "name-digit", Phrase("{part} contains a digit", part=part))
    wrong = next((c for c in text if not _ALLOWED.fullmatch(c)), "")
    if wrong:
        shown = wrong if wrong.isascii() else f"U+{ord(wrong):04X}"
        raise UnusableName(
            part,
            "name-character",
            Phrase(
                "{part} contains {shown}, which cannot be used in an address",
                part=part,
                shown=shown,
            ),
        )
    honorifics = _HONORIFICS_GIVEN if part == "prenom" else _HONORIFICS_FAMILY
    if words[0] in honorifics:
        raise UnusableName(
            part,
            "name-honorific",
            Phrase("{part} begins with {word}, which is not a name", part=part, word=words[0]),
        )
    note = next((w for w in words if w in _NOTES), "") if len(words) > 1 else ""
    if note:
        raise UnusableName(
            part,
            "name-note",
            Phrase("{part} contains a marginal note ({note})", part=part, note=note),
        )


def local_part(given_name: str, usage_name: str, family_name: str) -> str:
    """`prenom.nom`, at most 62 characters, without the digit of a homonym. Raises UnusableName."""
    given = name_words(given_name, "prenom")
    surname, part = (usage_name, "nom_usage") if usage_name.strip() else (family_name, "nom_famille")
    family = name_words(surname, part)
    room = MAX_LOCAL - len(given) - 1
    if len(family) > room:
        family = _cut(family, room)
        if not family:
            raise UnusableName(
                part,
                "name-too-long",
                Phrase("prenom and {part} are too long for an address", part=part),
                Phrase("choose one in HR"),
            )
    local = f"{given}.{family}"
    if local in _RESERVED or local.startswith(_RESERVED_PREFIX):
        raise UnusableName(
            "prenom",
            "name-reserved",
            Phrase("{local} is a reserved address", local=local),
            Phrase("choose another in HR"),
        )
    return local


def initial_uid(given_name: str, usage_name: str, family_name: str) -> str:
    """The uid of the form `initial`: first letter of the given name, then the surname, letters only."""
    given, _, family = local_part(given_name, usage_name, family_name).partition(".")
    return given[0] + family.replace("-", "")


def _cut(family: str, room: int) -> str:
    """The words that fit into the length, without a particle at the end."""
    words = family.split("-")
    while words and (len("-".join(words)) > room or words[-1] in PARTICLES):
        words.pop()
    return "-".join(words)


def has_base(local: str, base: str) -> bool:
    """Whether `local` is `base`, with or without the digits of a homonym."""
    return local == base or (local.startswith(base) and local[len(base) :].isdigit())


class TakenNames:
    """The local parts in use, now or before, by accounts, archived accounts and unmanaged entries, and
    `also`. A name in `owners` is free for its first owner alone: `owns` tells from what stands beside it
    whether a matricule is theirs."""

    def __init__(
        self,
        taken: Iterable[str],
        first_digit: int,
        also: Container[str] = (),
        owners: Mapping[str, str] = MappingProxyType({}),
        owns: Callable[[str, str], bool] = lambda _owner, _matricule: False,
    ) -> None:
        self._taken = {name.lower() for name in taken}
        self._also = also
        self._owners, self._owns = owners, owns
        self._first = first_digit
        # the next number of each base; without it n homonyms would take n * n look-ups
        self._next: dict[str, int] = {}

    def __contains__(self, local: str) -> bool:
        return local in self._taken or local in self._also or local in self._owners

    def take(self, base: str, matricule: str = "") -> str:
        """Takes and returns the first local part of a base that is free for a person: without digit, then
        from the first digit."""
        # a number that was passed over may be kept for the next person
        name, number = base, self._first if self._owners else self._next.get(base, self._first)
        while name in self and not self._is_kept_for(name, matricule):
            name, number = f"{base}{number}", number + 1
        self._next[base] = number
        self._taken.add(name)
        return name

    def _is_kept_for(self, name: str, matricule: str) -> bool:
        free = name in self._owners and name not in self._taken and name not in self._also
        return free and self._owns(self._owners[name], matricule)


AS_WRITTEN, PROPER, NOM = ("as-written", "proper", "NOM")
"""Names as HR writes them; names in capitals as people write them; the same with family names in capitals."""

_FRENCH = frozenset({"de", "du", "des"})
"""In small letters if something follows."""
_FOREIGN = frozenset("da das do dos di del della den der ten ter von zu y e".split())
"""In small letters within a name, but not as its first word: `Pereira da Silva`, but `Da Silva`, as usual in
France."""
_WORD = rf"[^\s.{re.escape(APOSTROPHES + DASHES)}]+"


def shown_name(field: str, name: str, case: str) -> str:
    """A field of a person as its account shows it; only names change."""
    if case == AS_WRITTEN or field not in ("given_name", "family_name", "usage_name"):
        return name
    return name.upper() if case == NOM and field != "given_name" else _proper(name)


@lru_cache(maxsize=20_000)
def _proper(name: str) -> str:
    """A name in capitals as people write it: `DE LA TOUR D'AUVERGNE` is `de La Tour d'Auvergne`. A name with
    small letters was written with care, and stays as it is."""
    if name != name.upper():
        return name

    def written(match: re.Match[str]) -> str:
        word, after = match[0].lower(), name[match.end() : match.end() + 1]
        if after and after in APOSTROPHES:  # only d' is small, not O'Brien, N'Guyen or L'Hermite
            small = word == "d"
        else:
            small = bool(after) and (word in _FRENCH or (word in _FOREIGN and match.start() > 0))
        return word if small else word[:1].upper() + word[1:]

    return re.sub(_WORD, written, name)
