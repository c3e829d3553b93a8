"""The case of names on accounts, if HR writes them in capitals."""

from __future__ import annotations

import re
from functools import lru_cache

from piactl.core.naming.local_part import APOSTROPHES, DASHES

AS_WRITTEN, PROPER, NOM = ("as-written", "proper", "NOM")
"""As HR writes them; names in capitals as people write them; the same with every family name in capitals."""

_FRENCH = frozenset({"de", "du", "des"})
"""Small wherever something follows."""
_FOREIGN = frozenset("da das do dos di del della den der ten ter von zu y e".split())
"""Small within a name, but not as its first word: `Pereira da Silva`, but `Da Silva`, as usual in France."""
_WORD = re.compile(rf"[^\s.{re.escape(APOSTROPHES + DASHES)}]+")


def shown_name(field: str, name: str, case: str) -> str:
    """A field of a person as its account shows it; only names change."""
    if case == AS_WRITTEN or field not in ("given_name", "family_name", "usage_name"):
        return name
    return name.upper() if case == NOM and field != "given_name" else _proper(name)


@lru_cache(maxsize=20_000)
def _proper(name: str) -> str:
    """A name without any small letter as people write it: `DE LA TOUR D'AUVERGNE` is `de La Tour d'Auvergne`.
    A name with small letters was written with care, and stays."""
    if name != name.upper():
        return name

    def written(found: re.Match[str]) -> str:
        word, after = found[0].lower(), name[found.end() : found.end() + 1]
        if after and after in APOSTROPHES:  # d' is small; O'Brien, N'Guyen and L'Hermite are not
            small = word == "d"
        else:
            small = bool(after) and (word in _FRENCH or (word in _FOREIGN and found.start() > 0))
        return word if small else word[:1].upper() + word[1:]

    return _WORD.sub(written, name)
