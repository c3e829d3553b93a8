"""The matricules of one person: HR gives another one."""

from __future__ import annotations

from dataclasses import replace

from piactl.core.edits import Act, ActRefused, Altered, Author
from piactl.core.model.account import Account
from piactl.core.model.digests import DigestKeys
from piactl.core.rules.desired import MATRICULE, Rules, with_matricules


def rekey(author: Author, old: str, new: str) -> Act:
    """Replaces the matricule `old` of the account by `new`. Raises ActRefused if it does not have `old`."""

    def act(account: Account, rules: Rules) -> Altered:
        if new in account.matricules and old not in account.matricules:
            return Altered(account)
        if new in account.matricules:
            raise ActRefused(f"{account.uid}: it has matricule {new} already, beside {old}")
        without = without_matricule(account, old, rules)
        further, digests = without.further_matricules, without.matricule_digests
        posts = (replace(a, matricule=new) if a.matricule == old else a for a in account.assignments)
        altered = replace(
            account,
            matricule=new if account.matricule == old else account.matricule,
            further_matricules=further if account.matricule == old else (*further, new),
            matricule_digests=(*digests, rules.keys.digest(MATRICULE, new)),
            assignments=tuple(posts),
        )
        return Altered(with_matricules(altered, rules.keys), author.note)

    return act


def without_matricule(account: Account, matricule: str, rules: Rules) -> Account:
    """The account without the digests and the further matricule; the first one is left to the caller. Raises
    ActRefused if the account does not have it."""
    if matricule not in account.matricules:
        known = ", ".join(account.matricules) or "none in clear"
        raise ActRefused(f"{account.uid}: it has no matricule {matricule}; it has {known}")
    gone = rules.keys.candidates(MATRICULE, matricule)
    return replace(
        account,
        further_matricules=tuple(m for m in account.further_matricules if m != matricule),
        matricule_digests=tuple(digest for digest in account.matricule_digests if digest not in gone),
    )


def joined(account: Account, matricule: str, keys: DigestKeys) -> Account:
    """The account with one more matricule. An archived account keeps its digest alone."""
    digests = tuple(sorted({*account.matricule_digests, keys.digest(MATRICULE, matricule)}))
    further = account.further_matricules
    if account.matricule is not None:
        further = tuple(sorted({*further, matricule}))
    return replace(account, matricule_digests=digests, further_matricules=further)
