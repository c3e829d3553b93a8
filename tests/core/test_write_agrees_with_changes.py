"""The LDAP write of an account and the changes that the plan shows agree, whatever the account."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from piactl.core.model.account import Account, State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy, Profile, When
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.account_changes import changes_of
from piactl.core.plan.change import LAYOUT, Change
from piactl.core.rules.address_allocation import addressed
from piactl.core.rules.desired_account import Desired, Rules, Subject, archived, desired_account
from piactl.directory.interfaces import RawEntry
from piactl.directory.store.account_entries import Entry, Unreadable, account_write, entry_of
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.base_digest import BASE
from piactl.planning.account_writes import RESTORED, changes_of_write
from tests.examples import examples

from .strategies import REGISTER, lives

ACCOUNTS = "ou=people,dc=example,dc=org"
DIRECTORY = DirectorySettings((), "dc=example,dc=org", ACCOUNTS, "", {})
KEYS = DigestKeys("k1", {"k1": b"0" * 32})
ENCODING = Encoding(
    "ac-amiens.fr", "urn:mace:ac-amiens.fr:service:", "Europe/Paris", accounts=ACCOUNTS, keys=KEYS
)

TOUCHED = ("cn", "displayName", "mail", "pwdEndTime", "piactlNextDue", "supannRessourceEtat", "oathTOTPToken")
"""Attributes that another program may have deleted. A change names them if nothing else changes."""


BIRTH = ("identity_digest", "birth_digest")
DIGESTS = ("numen_digest", "matricule_digests", *BIRTH)
FOLLOWING = {
    *("state_from", "state_until", "next_due", "profiles", "local_profiles", "affiliations"),
    *("establishments", "corps", "ends", "unique_id", "posix"),
    *(*DIGESTS, "matricule", "further_matricules", "numen_verifier"),
}
"""Fields that change together with others. A plan names them only if nothing else changes."""
CAUSES = ("assignments", "overrides", "exceptions", "lock", "locked", "state", "entitlements")
NAMED_BY: Mapping[str, tuple[str, ...]] = {
    LAYOUT: (),
    "address": ("address", "other_mails", "identifiers"),  # an address enters the ledger
    "aliases": ("aliases", "identifiers"),
    "birth": BIRTH,
    "digest_key": DIGESTS,
    "matricules": ("matricule", "further_matricules", "matricule_digests"),
    "display_name": ("given_name", "family_name", "usage_name"),
    "posix": ("posix", "identifiers"),
    "numen": ("numen_digest", "numen_verifier", "proof_changes"),
    "verifier": ("numen_verifier",),
    "private_mail": ("private_mail", "proof_changes"),
    "refused_by": ("device",),
    "service": ("entitlements",),
    "services": ("entitlements",),
}

IDA = Person("1001", "Roy", "Ida")
POLICY = Policy(profiles=(Profile("tous", When()),))


def named(desired: Desired, rules: Rules) -> Desired:
    return addressed(desired, "ida.roy", "ida.roy", rules.policy) if desired.base is not None else desired


def as_read(account: Account) -> Entry:
    raw = RawEntry(f"uid={account.uid},{ACCOUNTS}", ENCODING.values(account))
    entry = entry_of(raw, ENCODING)
    assert not isinstance(entry, Unreadable)
    return entry


@st.composite
def nights(draw: st.DrawFn) -> tuple[Entry, Desired, Rules]:
    """An account that the rules made on one day, perhaps without some values, and the one wanted later."""
    life = draw(lives().filter(lambda life: life.assignments))
    begin = min(a.start for a in life.assignments)
    span = (life.last - begin).days
    first, later = sorted(draw(st.tuples(st.integers(0, span), st.integers(0, span))))
    rules = Rules(life.policy, REGISTER, day(begin, first), KEYS)
    made = desired_account(Subject("1001", None, IDA, life.assignments), rules)
    assume(made is not None)
    assert made is not None
    entry = as_read(named(made, rules).account)
    for name in draw(st.lists(st.sampled_from(TOUCHED), max_size=2)):
        values = {key: value for key, value in entry.values.items() if key != name}
        changed = entry_of(RawEntry(entry.dn, values), ENCODING)
        if not isinstance(changed, Unreadable):
            entry = changed
    rules = replace(rules, as_of=day(begin, later))
    person = draw(st.sampled_from((IDA, replace(IDA, given_name="Ada"), replace(IDA, civilite="MME"))))
    rows = life.assignments[draw(st.integers(0, len(life.assignments))) :]
    desired = desired_account(Subject("1001", entry.account, person, rows), rules)
    assume(desired is not None)
    assert desired is not None
    return entry, named(desired, rules), rules


def day(first: date, later: int) -> date:
    return first + timedelta(days=later)


def owner(fields: Container[str], changes: Sequence[Change]) -> Change:
    """The change that a written attribute with these fields belongs to: the one that names it, else the one
    that causes it, else the first."""
    named = [(change, named_fields(change)) for change in changes]
    for change, names in named:
        if any(name in fields for name in names):
            return change
    bringing = (change for cause in CAUSES for change, names in named if cause in names)
    return next(bringing, changes[0])


def named_fields(change: Change) -> frozenset[str]:
    """The fields of an account that the facts of a change name."""
    facts = {**(change.before or {}), **change.after}
    return frozenset(field for name in facts for field in NAMED_BY.get(name, (name,)))


def check(entry: Entry, desired: Desired, rules: Rules) -> None:
    """Every change of the desired account has a write. Every attribute of the write has a change that names
    it or causes it. An attribute that only another program changed is named. The base follows each write and
    belongs to no change."""
    write = account_write(DIRECTORY, ENCODING, entry, desired.account)
    if write is None or {*write.attributes} == {BASE}:
        assert changes_of(desired, rules, ()) == []
        return
    changes = changes_of_write(desired, write, rules, ENCODING)
    assert changes
    for attribute in {*write.attributes} - {BASE}:
        named = (
            change
            for change in changes
            if attribute in (*change.after.get(RESTORED, ()), *change.after.get(LAYOUT, ()))  # type: ignore[misc]
        )
        fields = ENCODING.fields[attribute]
        change = next(named, None) or owner(fields, changes)
        if desired.account.state is State.ARCHIVED or {*fields} & named_fields(change):
            continue
        if attribute in change.after.get(RESTORED, ()):  # type: ignore[operator]
            continue
        differing = {name for name in fields if differs(entry.account, desired.account, name)}
        assert differing <= FOLLOWING, (attribute, differing, change)
        assert differing or not fields, (attribute, change)
    written = {field for name in {*write.attributes} - {BASE} for field in ENCODING.fields[name]}
    for change in changes:
        assert named_fields(change) - {"attributes", "held", "uai"} <= written | IMPLIED, change


def differs(current: Account, desired: Account, field: str) -> bool:
    """Whether a field has another value; the order of several values matters only for establishments, of
    which the first is special."""
    old, new = getattr(current, field), getattr(desired, field)
    if isinstance(old, tuple) and field != "establishments":
        return set(old) != set(new)
    return bool(old != new)


IMPLIED = {"address", "other_mails", "identifiers", "aliases", "given_name", "family_name", "usage_name"} | {
    "entitlements",
    "login_from",
    "login_until",
    "locked",
    "numen_digest",
    "matricule_digests",
}
"""Fields that a creation, a rename or an end lists whether they change or not."""

ORDINARY = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@ORDINARY
@given(nights())
def test_each_written_attribute_of_a_night_belongs_to_a_change(night: tuple[Entry, Desired, Rules]) -> None:
    check(*night)


@ORDINARY
@given(nights(), nights(), st.booleans())
def test_each_written_attribute_between_any_two_accounts_belongs_to_a_change(
    first: tuple[Entry, Desired, Rules], second: tuple[Entry, Desired, Rules], archived_before: bool
) -> None:
    """The two accounts have only the uid in common."""
    entry, (_, desired, rules) = first[0], second
    if archived_before:
        entry = as_read(archived(entry.account))
    account = replace(desired.account, uid=entry.account.uid)
    desired = replace(desired, account=account, subject=replace(desired.subject, current=entry.account))
    check(entry, desired, rules)


def test_a_usage_name_equal_to_the_family_name_is_no_change() -> None:
    """HR repeats the family name as the usage name, but the entry has one attribute for both."""
    rules = Rules(POLICY, REGISTER, date(2026, 9, 5), KEYS)
    posts = (Assignment("0800009A", "ENS", date(2026, 9, 1), None),)
    person = replace(IDA, usage_name="Roy")
    made = desired_account(Subject("1001", None, person, posts), rules)
    assert made is not None
    entry = as_read(named(made, rules).account)
    other = replace(person, civilite="MME")
    desired = desired_account(Subject("1001", entry.account, other, posts), rules)
    assert desired is not None
    assert desired.account.usage_name != entry.account.usage_name
    write = account_write(DIRECTORY, ENCODING, entry, desired.account)
    assert write is not None
    (change,) = changes_of_write(desired, write, rules, ENCODING)
    assert change.after == {"civilite": "MME"}
