"""Gives a person another matricule of HR, merges two accounts of one person, splits the account of two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.acts import Act, ActRefused, Altered, Author
from piactl.core.model.account import NO_DEVICE, Account, Lock, ServiceException
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, running
from piactl.core.model.person import Assignment, by_start
from piactl.core.rules.career import NEVER
from piactl.core.rules.desired_account import MATRICULE, Rules, archived, with_matricules
from piactl.phrase import Phrase


def rekey(author: Author, old: str, new: str) -> Act:
    """Replaces the matricule `old` of the account by `new`. Raises ActRefused if it does not have `old`."""

    def act(account: Account, rules: Rules) -> Altered:
        if new in account.matricules and old not in account.matricules:
            return Altered(account)
        if new in account.matricules:
            raise ActRefused(
                Phrase(
                    "{uid}: it has matricule {new} already, beside {old}", uid=account.uid, new=new, old=old
                )
            )
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
    """The account without the digests of a matricule, and without the matricule if it is a further one; if it
    is the first, the caller removes it. Raises ActRefused if the account does not have it."""
    if matricule not in account.matricules:
        matricules = ", ".join(account.matricules) or Phrase("none in clear")
        raise ActRefused(
            Phrase(
                "{uid}: it has no matricule {matricule}; it has {matricules}",
                uid=account.uid,
                matricule=matricule,
                matricules=matricules,
            )
        )
    gone = rules.keys.candidates(MATRICULE, matricule)
    return replace(
        account,
        further_matricules=tuple(m for m in account.further_matricules if m != matricule),
        matricule_digests=tuple(digest for digest in account.matricule_digests if digest not in gone),
    )


def on_its_way(source: Account, mark: str) -> Account:
    """The account in the middle of a merge. The server refuses a name in two ledgers, so this one gives up
    its names first. They stay its aliases, and so stay reserved, until the other account has them."""
    names = frozenset(name for name in source.names if "@" in name)
    own = frozenset(name for name in source.identifiers if "@" not in name) | {source.uid}
    return replace(source, merged=mark, address=None, other_mails=frozenset(), aliases=names, identifiers=own)


def merged_tombstone(source: Account, keys: DigestKeys, as_of: date) -> Account:
    """What is left of a merged account: its uid, and the mark that names the other account. It keeps nothing
    that could identify a person."""
    return replace(
        archived(source),
        matricule_digests=(keys.digest("merged", source.uid),),
        numen_digest=None,
        identity_digest=None,
        birth_digest=None,
        state_from=as_of,
        login_until=NEVER,
        lock=None,
        locked=False,
        device=NO_DEVICE if source.device else "",
    )


def joined(into: Account, source: Account, as_of: date) -> Account:
    """The account that remains, with the names, matricules, posts, exceptions and overrides of both accounts.
    If both have the same one, it gets the later end; of two locks it gets the stricter one. Its own name and
    proofs stay.

    Raises ActRefused if the other account is closed by hand, because that would close this one.
    """
    if any(override.kind is OverrideKind.CLOSE for override in running(source.overrides, as_of)):
        raise ActRefused(
            Phrase(
                "{uid}: it is closed by hand, and {into} would be.\n"
                'Reopen it first: piactl account reopen {uid} --reason "...", or close {into} afterwards',
                uid=source.uid,
                into=into.uid,
            )
        )
    names = frozenset(name for name in source.names if "@" in name)
    further = {*into.further_matricules, *source.further_matricules, *filter(None, [source.matricule])}
    return replace(
        into,
        further_matricules=tuple(sorted(further - {into.matricule or ""})),
        matricule_digests=tuple(sorted({*into.matricule_digests, *source.matricule_digests})),
        aliases=(into.aliases | names) - {into.address},
        identifiers=into.identifiers | names,
        assignments=_posts(into, source),
        exceptions=tuple(_exceptions([*into.exceptions, *source.exceptions])),
        overrides=_overrides(into.overrides, source.overrides),
        lock=_stricter(into.lock, source.lock),
        protected=into.protected or source.protected,
    )


def _posts(into: Account, source: Account) -> tuple[Assignment, ...]:
    first = source.matricule or ""
    posts = {(a.source, *a.key): a for a in into.assignments}
    for post in source.assignments:
        same = posts.get((post.source, *post.key))
        if same is None:
            posts[(post.source, *post.key)] = replace(post, matricule=post.matricule or first)
        elif same.end is not None and (post.end is None or post.end > same.end):
            posts[(post.source, *post.key)] = replace(same, end=post.end, locks_until=post.locks_until)
    return tuple(sorted(posts.values(), key=by_start))


def _exceptions(exceptions: Sequence[ServiceException]) -> Iterable[ServiceException]:
    remaining = list(exceptions)
    while remaining:
        exception = remaining.pop(0)
        for other in [
            e
            for e in remaining
            if (e.grants, e.service, e.uai) == (exception.grants, exception.service, exception.uai)
        ]:
            if other.start <= exception.end and exception.start <= other.end:
                remaining.remove(other)
                later = max(exception, other, key=lambda e: e.end)
                exception = replace(later, start=min(exception.start, other.start))
        yield exception


def _overrides(of_into: Iterable[Override], of_source: Iterable[Override]) -> tuple[Override, ...]:
    overrides = {(o.kind, o.key): o for o in of_into}
    for override in of_source:
        if override.kind not in (OverrideKind.NAME, OverrideKind.CLOSE):
            key = override.kind, override.key
            overrides[key] = max(overrides.get(key, override), override, key=lambda o: o.until)
    return tuple(overrides.values())


def _stricter(one: Lock | None, other: Lock | None) -> Lock | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda lock: lock.until or date.max)


def without_joined(account: Account, matricule: str, rules: Rules) -> Account:
    """The account without a matricule that joined it, and without the posts that HR lists under it. Proofs
    and devices stay. Raises ActRefused if it is the account's first matricule."""
    if matricule == account.matricule:
        raise ActRefused(
            Phrase(
                "{uid}: {matricule} is its first matricule; to take it off: "
                'piactl account split {uid} --matricule {matricule} --reason "..."',
                uid=account.uid,
                matricule=matricule,
            )
        )
    posts = (a for a in account.assignments if a.matricule != matricule or a.source == MANUAL)
    return replace(without_matricule(account, matricule, rules), assignments=tuple(posts))


def split_off(account: Account, matricule: str, rules: Rules) -> tuple[Account, tuple[Assignment, ...]]:
    """The account without a matricule and the posts that HR lists under it, and these posts. Proofs of
    identity are removed too, because they may be the other person's; the next feed brings them again.

    Raises ActRefused if the account has no other matricule that is known.
    """
    remaining, posts = _taken_off(account, matricule, rules)
    remaining = replace(
        remaining,
        numen_digest=None,
        numen_verifier=None,
        identity_digest=None,
        birth_digest=None,
        private_mail="",
        device="",
    )
    return remaining, posts


def take_off(author: Author, matricule: str) -> Act:
    """Takes a number of a supplement and its posts off an account. Everything else is of other sources."""
    return lambda account, rules: Altered(_taken_off(account, matricule, rules)[0], author.note)


def _taken_off(account: Account, matricule: str, rules: Rules) -> tuple[Account, tuple[Assignment, ...]]:
    remaining = without_matricule(account, matricule, rules)
    others = [other for other in account.matricules if other != matricule]
    if not others:
        raise ActRefused(
            Phrase(
                "{uid}: {matricule} is its only known matricule; there is nothing to split",
                uid=account.uid,
                matricule=matricule,
            )
        )
    first = others[0]

    def goes(post: Assignment) -> bool:
        return post.source != MANUAL and (post.matricule or account.matricule) == matricule

    def stays(post: Assignment) -> Assignment:
        return replace(post, matricule="" if post.matricule == first else post.matricule)

    remaining = replace(
        remaining,
        matricule=first,
        further_matricules=tuple(m for m in remaining.further_matricules if m != first),
        assignments=tuple(stays(post) for post in account.assignments if not goes(post)),
    )
    return remaining, tuple(replace(post, matricule="") for post in account.assignments if goes(post))
