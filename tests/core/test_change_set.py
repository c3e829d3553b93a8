"""The LDAP write of an account and the changes that the plan shows agree, whatever the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from piactl.core.model.account import Account, State
from piactl.core.model.digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.diff import changes_of
from piactl.core.rules.address_allocation import addressed
from piactl.core.rules.desired import Desired, Rules, Subject, desired_account
from piactl.directory.port import RawEntry
from piactl.directory.store.accounts import Entry, Unreadable, account_write, entry_of
from piactl.directory.store.attribute_map import Encoding
from piactl.flows.plan.change_set import change_set

from .strategies import REGISTER, lives

ACCOUNTS = "ou=people,dc=example,dc=org"
ENCODING = Encoding("ac-amiens.fr", "urn:mace:ac-amiens.fr:service:", "Europe/Paris", accounts=ACCOUNTS)
DIRECTORY = DirectorySettings((), "dc=example,dc=org", ACCOUNTS, "", {})
KEYS = DigestKeys("k1", {"k1": b"0" * 32})

STATE = {"piactlState", "supannRessourceEtat", "supannRessourceEtatDate"}
NAME = {"cn", "sn", "givenName", "displayName"}
POSTS = {
    "piactlAssignment",
    "piactlProfile",
    "supannEntiteAffectation",
    "supannEntiteAffectationPrincipale",
    "supannEmpCorps",
}
LINK = {"oathTOTPToken", "objectClass"}
NAMED: Mapping[str, set[str]] = {
    "state": STATE | LINK,
    "locked": STATE | LINK | {"piactlLock"},
    "lock": {"piactlLock"},
    "address": {"mail", "piactlAlias", "piactlIdentifier"},
    "aliases": {"piactlAlias", "piactlIdentifier"},
    "identifiers": {"piactlIdentifier"},
    "display_name": NAME,
    "given_name": NAME,
    "family_name": {*NAME, "supannNomDeNaissance"},
    "usage_name": NAME,
    "civilite": {"personalTitle"},
    "private_mail": {"supannMailPrive"},
    "assignments": POSTS,
    "overrides": {"piactlOverride"},
    "exceptions": {"piactlException"},
    "device": {"piactlDevice", *LINK},
    "login_from": {"pwdStartTime"},
    "login_until": {"pwdEndTime"},
    "service": {"eduPersonEntitlement"},
    "services": {"eduPersonEntitlement"},
    "state_from": {"supannRessourceEtatDate"},
    "state_until": {"supannRessourceEtatDate"},
    "next_due": {"piactlNextDue"},
    "profiles": {"piactlProfile"},
    "establishments": POSTS,
    "corps": {"supannEmpCorps"},
    "refused_by": LINK,
}
"""The attributes that each fact of a change stands for."""

FOLLOWING = {"piactlNextDue", "supannRessourceEtatDate", *POSTS} - {"piactlAssignment"}
"""Attributes that follow from others and are named only where nothing else changes."""

TOUCHED = ("cn", "displayName", "mail", "pwdEndTime", "piactlNextDue", "supannRessourceEtat", "oathTOTPToken")
"""Attributes that somebody else may have deleted. A change of their own names them where nothing else
changes."""


IDA = Person("1001", "Roy", "Ida")


def named(desired: Desired, rules: Rules) -> Desired:
    return addressed(desired, "ida.roy", "ida.roy", rules.policy) if desired.base is not None else desired


def as_read(account: Account) -> Entry:
    raw = RawEntry(f"uid={account.uid},{ACCOUNTS}", ENCODING.values(account))
    entry = entry_of(raw, ENCODING)
    assert not isinstance(entry, Unreadable)
    return entry


@st.composite
def nights(draw: st.DrawFn) -> tuple[Entry, Desired, Rules]:
    """An account that the rules made on one day, perhaps without some values, and what they want later."""
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


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(nights())
def test_no_change_is_shown_without_a_write_and_none_is_written_unnamed(
    night: tuple[Entry, Desired, Rules],
) -> None:
    entry, desired, rules = night
    write = account_write(DIRECTORY, ENCODING, entry, desired.account)
    if write is None:
        assert changes_of(desired, rules) == []
        return
    changes = change_set(desired, write, rules, ENCODING).changes
    assert changes
    named_here: set[str] = set()
    for change in changes:
        facts = {**(change.before or {}), **change.after}
        named_here |= {name for fact in facts for name in NAMED.get(fact, ())}
        named_here |= set(facts.get("attributes", ()))  # type: ignore[call-overload]
    as_made = entry.values == as_read(entry.account).values
    if desired.account.state is not State.ARCHIVED and (as_made or "attributes" in changes[0].after):
        assert {*write.add, *write.delete} - named_here <= FOLLOWING
