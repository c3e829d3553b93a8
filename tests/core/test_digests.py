"""Digests under several keys: all verify, new ones use the current key, and old ones move to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.model.keyed_digests import DigestKeys, digest_key_id, read_numen
from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy, Profile, When
from piactl.core.naming.names import TakenNames
from piactl.core.plan.change import Change
from piactl.core.plan.diff import changes_of
from piactl.core.rules.address_allocation import addressed, claim_of, take
from piactl.core.rules.desired import Rules, Subject, desired_account

DAY = date(2026, 9, 1)
POLICY = Policy(profiles=(Profile("enseignant", When()),))
OLD = DigestKeys("k1", {"k1": b"1" * 32})
BOTH = DigestKeys("k2", {"k2": b"2" * 32, "k1": b"1" * 32})
NEW = DigestKeys("k2", {"k2": b"2" * 32})


def person(numen: str | None = "20E1234567XYZ") -> Person:
    parsed_numen = read_numen(numen) if numen else None
    return Person(
        "100", "Petit", "Julie", assignments=(Assignment("0800009A", "ENS", DAY),), numen=parsed_numen
    )


def night(keys: DigestKeys, who: Person | None, current: object = None) -> tuple[object, list[Change]]:
    rules = Rules(POLICY, {}, DAY, keys)
    rows = who.assignments if who else current.assignments  # type: ignore[attr-defined]
    desired = desired_account(Subject("100", current, who, rows), rules)  # type: ignore[arg-type]
    assert desired is not None
    claim = claim_of(desired, POLICY)
    if claim is not None:
        desired = addressed(desired, *take(claim, TakenNames([], 1)), POLICY)
    return desired.account, changes_of(desired, rules) if current != desired.account else []


def test_both_keys_verify_digests_and_the_current_one_makes_them() -> None:
    old = OLD.digest("matricule", "100")
    assert digest_key_id(old) == "k1"
    assert BOTH.matches(old, "matricule", "100")
    assert not BOTH.matches(old, "matricule", "101")
    assert not BOTH.matches(old, "numen", "100")
    assert not NEW.matches(old, "matricule", "100")
    assert BOTH.candidates("matricule", "100") == (NEW.digest("matricule", "100"), old)
    assert BOTH.is_older(old)


def test_a_night_moves_digests_once() -> None:
    account, _ = night(OLD, person())
    moved, changes = night(BOTH, person(), account)
    assert [change.reason for change in changes] == ["digests move to the current key, k2"]
    assert dict(changes[0].after) == {"digest_key": "k2"}
    assert night(BOTH, person(), moved) == (moved, [])
    assert night(NEW, person(), moved) == (moved, [])


def test_the_digest_of_a_numen_that_hr_omits_stays_under_its_key() -> None:
    account, _ = night(OLD, person())
    moved, changes = night(BOTH, None, account)
    assert len(changes) == 1
    keys = (moved.matricule_digests[0], moved.numen_digest)  # type: ignore[attr-defined]
    assert list(map(digest_key_id, keys)) == ["k2", "k1"]


@pytest.mark.parametrize(
    ("before", "words", "was"),
    [("20E1234567ABC", "another NUMEN in the HR data", "known"), (None, "first NUMEN in the HR data", None)],
)
def test_a_changed_or_first_numen_is_reported_without_its_value(
    before: str | None, words: str, was: str | None
) -> None:
    account, _ = night(OLD, person(before))
    _, changes = night(OLD, person(), account)
    assert [(c.reason, c.before, c.after) for c in changes] == [(words, {"numen": was}, {"numen": "another"})]
    assert "20E" not in repr(changes)


def test_an_alias_that_only_the_entry_has_is_no_change() -> None:
    account, _ = night(OLD, person())
    other = replace(account, aliases=frozenset({"x@ac-amiens.fr"}))  # type: ignore[type-var]
    assert night(OLD, person(), other)[1] == []
