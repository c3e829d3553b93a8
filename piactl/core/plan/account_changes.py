"""Explains the difference between the current and the desired account as changes with reasons."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from datetime import date

from piactl.core.credentials.proofs import changed_proofs
from piactl.core.model.account import (
    LIVE,
    MAIL_PROOF,
    NUMEN_PROOF,
    Account,
    Lock,
    Right,
    State,
    masked_mail,
    right_text,
)
from piactl.core.model.keyed_digests import digest_key_id
from piactl.core.model.overrides import override_text, override_words
from piactl.core.model.person import Assignment
from piactl.core.plan.change import (
    LOGIN,
    PROFILE,
    RIGHT,
    STATE,
    Belongings,
    Change,
    Effect,
    Facts,
    Holding,
    Kind,
    NewPost,
)
from piactl.core.rules.desired_account import Desired, Rules
from piactl.core.rules.matching import NAMES, same_name
from piactl.core.rules.reasons import (
    OTHER_POSTS,
    Reason,
    exception_text,
    lock_reason,
    post_text,
    reason_facts,
    right_reason,
    sentence,
    state_reason,
    with_lock_left,
)
from piactl.core.text import from_to, iso
from piactl.phrase import Phrase, counted, joined

_NAMES = ("given_name", "family_name", "usage_name", "civilite", "private_mail")
_CLOSING = frozenset({State.DEACTIVATED, State.ARCHIVED})
_FOLLOWING = (
    *("state_from", "state_until", "next_due", "profiles", "local_profiles", "affiliations"),
    *("establishments", "corps", "ends", "unique_id", "posix"),
)
_BIRTH = ("identity_digest", "birth_digest")
"""Fields that change together with others. A plan names them only if nothing else changes."""


def state_kind(before: State, after: State) -> Kind | None:
    """The kind of a change of state; None if the state stays."""
    if before is after:
        return None
    if after is State.ACTIVE:
        return Kind.UPDATE if before is State.ANTICIPATED else Kind.REOPEN
    if after is State.ANTICIPATED:
        return Kind.REVOKE if before is State.ACTIVE else Kind.REOPEN
    if after is State.GRACE:
        return Kind.UPDATE if before in _CLOSING else Kind.REVOKE
    return {
        State.ON_LEAVE: Kind.SUSPEND,
        State.DEACTIVATED: Kind.DEACTIVATE,
        State.ARCHIVED: Kind.ARCHIVE,
    }[after]


def changes_of(desired: Desired, rules: Rules, fields: Container[str] | None = None) -> list[Change]:
    """The changes that turn the current account into the desired one. `fields` are the fields whose
    attributes differ on the entry (None: all). A difference that no attribute shows is not a change."""
    current, account = desired.subject.current, desired.account
    maker = _Maker(desired, rules, fields)
    if current is None:
        return [maker.created()]
    if account.state is current.state is State.ARCHIVED:
        return maker.update(rest=True)
    if account.state is State.ARCHIVED:
        return [maker.state(Kind.ARCHIVE)]
    changes = maker.identity()
    kind = state_kind(current.state, account.state)
    if kind is not None:
        changes.append(maker.state(kind))
    if current.locked != account.locked:
        changes.append(maker.lock())
    if current.address != account.address and current.address is not None:
        changes.append(maker.rename())
    if account.state not in _CLOSING:
        changes += [
            maker.right(Kind.REVOKE, right) for right in sorted(current.entitlements - account.entitlements)
        ]
        changes += [
            maker.right(Kind.GRANT, right) for right in sorted(account.entitlements - current.entitlements)
        ]
    changes += maker.update(rest=not changes)
    return changes


def account_facts(account: Account) -> dict[str, object]:
    """The values of an account for plans and reports: plain values, dates as ISO text."""
    return {
        "state": account.state.value,
        "address": account.address,
        "display_name": account.display_name,
        "services": sorted(map(right_text, account.entitlements)),
        "login_from": iso(account.login_from),
        "login_until": iso(account.login_until),
    }


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _lock_text(lock: Lock | None) -> str | None:
    if lock is None:
        return None
    if not lock.known_since:
        return Phrase("({by}: {reason})", by=lock.by, reason=lock.why)
    days = from_to(lock.since, lock.until)
    return Phrase("{days} ({by}: {reason})", days=days, by=lock.by, reason=lock.why)


class _Maker:
    """Makes the changes of one account. The scopes for guards are those of the account before the change."""

    def __init__(self, desired: Desired, rules: Rules, fields: Container[str] | None) -> None:
        self.desired, self.rules, self.fields = desired, rules, fields
        self.account = desired.account
        # a creation has no account before it and never reads `current`
        self.current = desired.subject.current or desired.account
        self.because = state_reason(
            desired.career, rules.as_of, rules.policy, rules.register, given=self.account.state
        )
        self.reason, self.behind = self._noted(sentence(self.because)), self.because.assignment
        self.place = self.because.line
        scope = self.current if self.current.assignments else self.account
        self.establishments = home_establishments(scope, rules.as_of)
        self.profiles = scope.profiles
        self.effect = effect_on(desired.subject.current, self.account)
        subject = desired.subject
        self.proofs = changed_proofs(self.account, subject.current, subject.person, rules.keys)

    def _change(
        self,
        kind: Kind,
        before: Mapping[str, object] | None,
        after: Mapping[str, object],
        reason: str,
        effective: date,
        behind: Assignment | None,
        place: int = 0,
        why: Reason | None = None,
    ) -> Change:
        """`place` is the line of the policy that decides, 0 if none does."""
        feed, _, line = (behind.origin if behind else "").rpartition(":")
        return Change(
            kind=kind,
            uid=self.account.uid,
            matricule=self.desired.subject.matricule or self.account.matricule,
            before=before,
            after=after,
            reason=reason,
            effective=effective,
            feed=feed or None,
            line=int(line) if line.isdigit() else None,
            rule=f"{self.rules.policy.file}:{place}" if place else None,
            source=behind.source if behind else None,
            establishments=self.establishments,
            profiles=self.profiles,
            effect=self.effect,
            why=reason_facts(why) if why else None,
        )

    def _noted(self, reason: Phrase) -> Phrase:
        """The reason with the note of a change by hand."""
        note = self.desired.subject.note
        return Phrase("{reason} ({note})", reason=reason, note=note) if note else reason

    def _written(self, field: str) -> bool:
        return self.fields is None or field in self.fields

    def created(self) -> Change:
        effective = self.account.state_from or self.rules.as_of
        reason, base = self.reason, self.account.uid.rstrip("0123456789")
        if base != self.account.uid:  # no name has a digit
            reason = Phrase("{reason}; only the name is that of {uid}", reason=reason, uid=base)
        facts = account_facts(self.account)
        because = self.because
        return self._change(Kind.CREATE, None, facts, reason, effective, self.behind, self.place, because)

    def state(self, kind: Kind) -> Change:
        before, after = account_facts(self.current), account_facts(self.account)
        if self.account.state not in _CLOSING:
            before, after = {"state": before["state"]}, {"state": after["state"]}
        effective = self.account.state_from or self.rules.as_of
        reason = self.reason
        if kind is Kind.ARCHIVE:
            days = counted(self.rules.policy.retention, "day", "days")
            reason = Phrase("{reason}; the retention of {days} is over", reason=reason, days=days)
        because = self.because
        return self._change(kind, before, after, reason, effective, self.behind, self.place, because)

    def lock(self) -> Change:
        kind = Kind.LOCK if self.account.locked else Kind.UNLOCK
        why = lock_reason(self.desired.career, self.rules.as_of, self.because)
        reason = self._noted(sentence(why)) if self.account.lock is None else self.account.lock.why
        if kind is Kind.UNLOCK:
            ended = (
                Phrase("the lock's end has passed")
                if self.current.lock
                else Phrase("no position locks it: {reason}", reason=self.reason)
            )
            reason = self.desired.subject.note or ended
        facts = ({"locked": self.current.locked}, {"locked": self.account.locked})
        return self._change(kind, *facts, reason, self.rules.as_of, why.assignment)

    def rename(self) -> Change:
        before = {"address": self.current.address, "aliases": sorted(self.current.aliases)}
        after = {"address": self.account.address, "aliases": sorted(self.account.aliases)}
        reason = self._noted(Phrase("the name is now {name}", name=self.account.display_name))
        return self._change(Kind.RENAME, before, after, reason, self.rules.as_of, self._row() or self.behind)

    def identity(self) -> list[Change]:
        current, account = self.current, self.account
        before: dict[str, object] = {}
        after: dict[str, object] = {}
        words = []
        if NUMEN_PROOF in self.proofs:
            before["numen"] = "known" if current.numen_digest else None
            after["numen"] = "another"
            words.append(Phrase("another NUMEN") if current.numen_digest else Phrase("first NUMEN"))
        if MAIL_PROOF in self.proofs:
            before["private_mail"] = masked_mail(current.private_mail)
            after["private_mail"] = masked_mail(account.private_mail)
            mail = Phrase("another private address") if account.private_mail else Phrase("no private address")
            words.append(mail)
        if not words:
            return []
        changed = Phrase("{proofs} in the HR data", proofs=joined(words, "{first} and {second}"))
        reason = self.desired.subject.note or changed
        return [self._change(Kind.IDENTITY, before, after, reason, self.rules.as_of, self._row())]

    def _row(self) -> Assignment | None:
        person = self.desired.subject.person
        return next(iter(person.assignments), None) if person is not None else None

    def right(self, kind: Kind, right: Right) -> Change:
        why = right_reason(
            self.desired.career, right, self.rules.as_of, self.rules.policy, self.account.state, self.because
        )
        reason = sentence(why)
        if why.code in OTHER_POSTS and self._same_posts():
            reason = Phrase("the policy no longer gives it: {reason}", reason=reason)
        facts = {"service": right[0], "uai": right[1] or None}
        having, lacking = {**facts, "held": True}, {**facts, "held": False}
        before, after = (lacking, having) if kind is Kind.GRANT else (having, lacking)
        return self._change(
            kind, before, after, reason, why.since or self.rules.as_of, why.assignment, why.line, why
        )

    def _same_posts(self) -> bool:
        """Whether nothing else than another policy can have changed the rights."""
        names = ("assignments", "overrides", "exceptions")
        return all(getattr(self.current, name) == getattr(self.account, name) for name in names)

    def update(self, *, rest: bool) -> list[Change]:
        """One change for all other fields. Fields that follow from others are named only if `rest` is set and
        nothing else changes."""
        current, account = self.current, self.account
        before: dict[str, object] = {}
        after: dict[str, object] = {}
        for name in _NAMES:
            old, new = getattr(current, name), getattr(account, name)
            if old != new and self._written(name) and name not in self.proofs:
                before[name], after[name] = old, new
        if set(current.matricules) != set(account.matricules) and current.matricules:
            before["matricules"], after["matricules"] = [*current.matricules], [*account.matricules]
        if set(current.assignments) != set(account.assignments):
            common = set(current.assignments) & set(account.assignments)
            policy = self.rules.policy
            before["assignments"] = [
                with_lock_left(post_text(a, policy), a) for a in current.assignments if a not in common
            ]
            after["assignments"] = [
                with_lock_left(post_text(a, policy), a) for a in account.assignments if a not in common
            ]
        for name, text in (("overrides", override_words), ("exceptions", exception_text)):
            olds, news = getattr(current, name), getattr(account, name)
            if set(olds) != set(news):
                before[name] = [text(old) for old in olds if old not in news]
                after[name] = [text(new) for new in news if new not in olds]
        # an archived account keeps the lock of a position, which ends when the person comes back without it
        comes_back = current.state is State.ARCHIVED
        if current.lock != account.lock and (current.locked == account.locked or comes_back):
            before["lock"], after["lock"] = _lock_text(current.lock), _lock_text(account.lock)
        if current.device != account.device:
            before["device"], after["device"] = current.device, account.device
        for name in ("login_from", "login_until"):
            old, new = iso(getattr(current, name)), iso(getattr(account, name))
            if old != new:
                before[name], after[name] = old, new
        if current.address is None and account.address is not None:
            before["address"], after["address"] = None, account.address
        adopted = sorted(current.foreign_addresses & account.identifiers)
        if adopted:
            before["identifiers"], after["identifiers"] = [], adopted
        reason, place = self.desired.subject.note or self._over(), 0
        if not reason and after and {"login_from", "login_until"}.issuperset(after):
            reason, place = self.reason, self.place
        reason = reason or self._reason_of(after)
        if not after and rest and current != account:
            for name in _FOLLOWING:
                old, new = _plain(getattr(current, name)), _plain(getattr(account, name))
                if old != new and self._written(name):
                    before[name], after[name] = old, new
            reason = Phrase("the rules give other values")
            if "ends" in after:  # the post of the day is another
                reason, place = self.reason, self.place
            if after.keys() == {"unique_id", "next_due"}:  # it was due only for that
                del before["next_due"], after["next_due"]
            if after.keys() == {"unique_id"}:
                reason = Phrase("an account gets its identifier for federations the day after it is made")
            if after.keys() == {"posix"}:
                reason = Phrase("Unix hosts see the account as accounts.posix of the policy says")
            if not after:
                reason = self._digests(before, after)
        if not after and not before:
            return []
        rows = [a for a in account.assignments if a not in set(current.assignments)]
        behind = rows[0] if rows else self._row() if {*_NAMES} & after.keys() else None
        return [self._change(Kind.UPDATE, before, after, reason, self.rules.as_of, behind, place)]

    def _digests(self, before: dict[str, object], after: dict[str, object]) -> str:
        """Adds the changed digests by the names of their keys, because the values are secret. Returns the
        reason."""
        singles = ("numen_digest", *_BIRTH)
        pairs = [(getattr(self.current, name), getattr(self.account, name)) for name in singles]
        digests = [
            *((old, old not in self.account.matricule_digests) for old in self.current.matricule_digests),
            *((old, old != new) for old, new in pairs),
        ]
        keys = sorted({digest_key_id(old) for old, gone in digests if old and gone})
        fresh = self.rules.keys.current
        if keys and keys != [fresh]:
            before["digest_key"], after["digest_key"] = " ".join(keys), fresh
            return Phrase("digests move to the current key, {key}", key=fresh)
        if self.current.numen_digest != self.account.numen_digest:
            before["digest_key"], after["digest_key"] = fresh, Phrase("{key} and the matching key", key=fresh)
            return Phrase("the digest of the NUMEN moves to the matching key")
        if any(getattr(self.current, name) != getattr(self.account, name) for name in _BIRTH):
            before["birth"] = "known" if self.current.birth_digest else None
            after["birth"] = "known" if self.account.birth_digest else None
            if self.rules.matching.identity_digests:
                return Phrase("the digests of the birth date follow HR")
            return Phrase("digests of birth dates are not kept")
        if self.current.numen_verifier != self.account.numen_verifier:
            before["verifier"], after["verifier"] = None, "made"
            return Phrase("a slow verifier of the NUMEN")
        return ""

    def _reason_of(self, after: Mapping[str, object]) -> str:
        """The reason for a change of addresses by another program, or of HR data."""
        reasons = []
        if "identifiers" in after:
            reasons.append(
                Phrase("another program added the address: it stays, and no other account gets it")
            )
        if "address" in after:
            reasons.append(Phrase("another program removed the address: it is put back"))
        if after.keys() - {"identifiers", "address"} or not reasons:
            reasons.insert(0, Phrase("changed in the HR data"))
        return joined(reasons)

    def _over(self) -> str:
        """The overrides and exceptions that ended, and what HR confirmed, as a reason."""
        ended = [
            Phrase("a change by hand has ended: {override}", override=override_text(override))
            for override in self.current.overrides
            if override.until < self.rules.as_of
        ]
        remaining = {(o.kind, o.uai, o.function, o.start) for o in self.account.overrides}
        ended += [
            Phrase("HR confirms a change by hand: {override}", override=override_text(override))
            for override in self.current.overrides
            if override.until >= self.rules.as_of
            and (override.kind, override.uai, override.function, override.start) not in remaining
        ]
        ended += [
            Phrase("an exception has ended: {exception}", exception=exception_text(exception))
            for exception in self.current.exceptions
            if exception.end < self.rules.as_of
        ]
        return joined(ended)


def home_establishments(account: Account, as_of: date) -> tuple[str, ...]:
    """The establishments of an account for guards: those of the day, else the last ones."""
    if len(account.assignments) == 1:
        return (account.assignments[0].uai,)
    today = {a.uai for a in account.assignments if a.covers(as_of)}
    if today:
        return tuple(sorted(today))
    ended = [a for a in account.assignments if a.is_over(as_of)]
    if not ended:
        return tuple(sorted({a.uai for a in account.assignments}))
    last = max(a.end for a in ended if a.end is not None)
    return tuple(sorted({a.uai for a in ended if a.end == last}))


def change_of(account: Account, kind: Kind, before: Facts, after: Facts, reason: str, day: date) -> Change:
    """The change of an account that another program or a person asks for, not the rules, on a day."""
    return Change(
        kind=kind,
        uid=account.uid,
        matricule=account.matricule,
        before=before,
        after=after,
        reason=reason,
        effective=day,
        establishments=home_establishments(account, day),
        profiles=account.profiles,
    )


def belongings(account: Account) -> Belongings:
    """The profiles and services of an account at any establishment; empty for a closed account."""
    if account.state not in LIVE:
        return frozenset()
    services = (("service", name) for name in services_of(account))
    return frozenset([*services, *(("profile", name) for name in account.profiles)])


def holdings(account: Account) -> frozenset[Holding]:
    """What a run can take from an account; nothing of a closed one."""
    if account.state not in LIVE:
        return frozenset()
    rights = ((RIGHT, right_text(right)) for right in account.entitlements)
    profiles = ((PROFILE, name) for name in account.profiles)
    unlocked = [] if account.locked else [(LOGIN, "")]
    return frozenset([*rights, *profiles, (STATE, account.state.value), *unlocked])


def services_of(account: Account) -> tuple[str, ...]:
    """The services that an account has a right to at any establishment."""
    return tuple(sorted({service for service, _ in account.entitlements}))


def effect_on(current: Account | None, account: Account) -> Effect:
    """The effect of turning `current` (None: a new account) into `account`."""
    having = holdings(account)
    if current is None:
        return Effect(belongings(account), given=having, posts=_posts(account, ()))
    before, after, had = belongings(current), belongings(account), holdings(current)
    # an archived account has no names and no assignments to compare
    comparable = State.ARCHIVED not in (current.state, account.state)
    other = tuple(other_values(current, account)) if comparable else ()
    posts = _posts(account, {a.key for a in current.assignments}) if comparable else ()
    sources = frozenset(a.source for a in account.assignments)
    return Effect(after - before, before - after, having - had, had - having, other, sources, posts)


def _posts(account: Account, known_keys: Container[object]) -> tuple[NewPost, ...]:
    return tuple((a.source, a.uai, a.start, a.end) for a in account.assignments if a.key not in known_keys)


_DETAILS = ("corps", "position", "discipline", "modality", "quotite")


def other_values(current: Account, account: Account) -> Iterator[str]:
    """What differs although no assignment has begun: `establishment` or `function` if an assignment differs
    from a known one only in that, `details` if a known assignment has other values, `end` if it has another
    end, `name` if a name differs in more than its spelling. A mutation is not among them, because it has its
    own start."""
    by_key = {a.key: a for a in current.assignments}
    starts = {(a.source, a.start, a.function) for a in current.assignments}
    places = {(a.source, a.start, a.uai) for a in current.assignments}
    new = [a for a in account.assignments if a.key not in by_key]
    if any((a.source, a.start, a.function) in starts for a in new):
        yield "establishment"
    if any((a.source, a.start, a.uai) in places for a in new):
        yield "function"
    pairs = [(by_key[a.key], a) for a in account.assignments if a.key in by_key]
    if any(old.end != a.end for old, a in pairs):
        yield "end"
    if any(getattr(old, name) != getattr(a, name) for old, a in pairs for name in _DETAILS):
        yield "details"
    if any(not same_name(getattr(current, name), getattr(account, name)) for name in NAMES):
        yield "name"
