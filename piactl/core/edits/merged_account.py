"""Two accounts of one person become one: what the account that lives on has of both, and what is left of the
other. And one account of two people: what goes to an account of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.edits import ActRefused
from piactl.core.edits.matricules import without_matricule
from piactl.core.model.account import NO_DEVICE, Account, Lock, ServiceException
from piactl.core.model.digests import DigestKeys
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, running
from piactl.core.model.person import Assignment
from piactl.core.rules.career import NEVER
from piactl.core.rules.desired import Rules, archived


def on_its_way(source: Account, mark: str) -> Account:
    """The account whose names go to another one. The server lets no name stand in two ledgers, so this one
    gives them up first; as its aliases they stay taken until the other one has them."""
    names = frozenset(name for name in source.names if "@" in name)
    own = frozenset(name for name in source.identifiers if "@" not in name) | {source.uid}
    return replace(source, merged=mark, address=None, other_mails=frozenset(), aliases=names, identifiers=own)


def merged_tombstone(source: Account, keys: DigestKeys, as_of: date) -> Account:
    """What is left of a merged account: its uid, and the mark that names the other one. Nothing of the person
    stays, so that nobody is taken for them here."""
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
    """The account that lives on, with the names, matricules, posts, exceptions and overrides of both: of two
    that are the same the later end, of two locks the stricter one. Its name and its proofs stay.

    Raises ActRefused if the other account is closed by hand, because that would close this one.
    """
    if any(one.kind is OverrideKind.CLOSE for one in running(source.overrides, as_of)):
        raise ActRefused(
            f"{source.uid}: it is closed by hand, and {into.uid} would be.\n"
            f"Reopen it first: piactl account reopen {source.uid}, or close {into.uid} afterwards"
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
            posts[(post.source, *post.key)] = replace(same, end=post.end)
    return tuple(sorted(posts.values(), key=lambda a: (a.start, a.uai, a.function, a.source)))


def _exceptions(exceptions: Sequence[ServiceException]) -> Iterable[ServiceException]:
    left = list(exceptions)
    while left:
        one = left.pop(0)
        for other in [e for e in left if (e.grants, e.service, e.uai) == (one.grants, one.service, one.uai)]:
            if other.start <= one.end and one.start <= other.end:
                left.remove(other)
                later = max(one, other, key=lambda e: e.end)
                one = replace(later, start=min(one.start, other.start))
        yield one


def _overrides(of_into: Iterable[Override], of_source: Iterable[Override]) -> tuple[Override, ...]:
    overrides = {(p.kind, p.uai, p.function, p.start): p for p in of_into}
    for override in of_source:
        if override.kind not in (OverrideKind.NAME, OverrideKind.CLOSE):
            key = (override.kind, override.uai, override.function, override.start)
            overrides[key] = max(overrides.get(key, override), override, key=lambda p: p.until)
    return tuple(overrides.values())


def _stricter(one: Lock | None, other: Lock | None) -> Lock | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda lock: lock.until or date.max)


def split_off(account: Account, matricule: str, rules: Rules) -> tuple[Account, tuple[Assignment, ...]]:
    """The account without a matricule and the posts that HR lists under it, and these posts. What proves who
    somebody is goes too, because it may be the other's; the next feed brings it again.

    Raises ActRefused if the account has no other matricule that is known.
    """
    left = without_matricule(account, matricule, rules)
    others = [other for other in account.matricules if other != matricule]
    if not others:
        raise ActRefused(f"{account.uid}: {matricule} is its only known matricule; there is nothing to split")
    first = others[0]

    def goes(post: Assignment) -> bool:
        return post.source != MANUAL and (post.matricule or account.matricule) == matricule

    def stays(post: Assignment) -> Assignment:
        return replace(post, matricule="" if post.matricule == first else post.matricule)

    left = replace(
        left,
        matricule=first,
        further_matricules=tuple(m for m in left.further_matricules if m != first),
        assignments=tuple(stays(post) for post in account.assignments if not goes(post)),
        numen_digest=None,
        numen_verifier=None,
        identity_digest=None,
        birth_digest=None,
        private_mail="",
        device="",
    )
    return left, tuple(replace(post, matricule="") for post in account.assignments if goes(post))
