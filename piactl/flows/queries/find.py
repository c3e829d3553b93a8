"""Finds accounts by the names of people, also with a typing error."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from piactl.core.model.account import Account

_NEAR = 80
"""Of 100: one wrong letter in five is near, another first name of the same length is not."""
MOST_NEAR = 10


def find_by_name(accounts: Iterable[Account], wanted: str) -> tuple[list[Account], bool]:
    """The accounts in whose names, uid or addresses each word of `wanted` begins a word, by uid; and whether
    these are exact. If there are none, the MOST_NEAR nearest, the best first.

    Accents, case, hyphens and apostrophes do not count.
    """
    from rapidfuzz import fuzz, process

    words = _folded(wanted)
    known = {account.uid: (account, _names(account)) for account in accounts}
    exact = [
        account
        for account, names in known.values()
        if words and all(any(name.startswith(word) for name in names) for word in words)
    ]
    if exact or not words:
        return sorted(exact, key=lambda a: a.uid), True
    texts = {uid: " ".join(names) for uid, (_, names) in known.items()}
    best = process.extract(
        " ".join(words), texts, scorer=fuzz.partial_token_sort_ratio, limit=MOST_NEAR, score_cutoff=_NEAR
    )
    return [known[uid][0] for _, _, uid in best], False


def _names(account: Account) -> tuple[str, ...]:
    text = (account.given_name, account.usage_name, account.family_name, account.uid)
    addresses = (name.partition("@")[0] for name in account.names)
    return tuple(dict.fromkeys(word for part in (*text, *addresses) for word in _folded(part)))


def _folded(text: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(c for c in letters if not unicodedata.combining(c)))
