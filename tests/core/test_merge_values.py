"""What a merged account takes from each of the two accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from piactl.core.acts import ActRefused
from piactl.core.acts.merge_values import joined, on_its_way
from piactl.core.model.account import Account, Lock, ServiceException, merge_mark, merged_into
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.model.person import Assignment

DAY, LATER = date(2026, 9, 5), date(2026, 12, 31)
KEYS = DigestKeys("k1", {"k1": b"k" * 32})
POST = Assignment("0800009A", "ENS", date(2026, 9, 1), DAY, source="epp")
INTO = Account(uid="a.b", matricule="1", matricule_digests=("d1",), address="a.b@x", assignments=(POST,))
FROM = Account(
    uid="a.b1", matricule="2", matricule_digests=("d2",), address="a.b1@x", identifiers=frozenset({"a.b1"})
)


def denied(start: date, end: date) -> ServiceException:
    return ServiceException(False, "iprof", "", start, end, "me", "why")


def override(kind: OverrideKind, until: date, **values: str) -> Override:
    return Override(kind, until, DAY, "me", "why", start=POST.start, day=DAY, **values)  # type: ignore[arg-type]


def test_equal_values_of_both_accounts_are_merged_with_the_later_end() -> None:
    open_ended, other = replace(POST, end=None), replace(POST, uai="0800010B")
    both = joined(INTO, replace(FROM, assignments=(open_ended, other)), DAY)
    assert both.assignments == (open_ended, other)
    assert [post.matricule for post in both.assignments] == ["", "2"]
    into = replace(INTO, exceptions=(denied(DAY, LATER),))
    source = replace(
        FROM, exceptions=(denied(date(2026, 9, 1), DAY), denied(date(2027, 1, 5), date(2027, 1, 9)))
    )
    ends = [(e.start, e.end) for e in joined(into, source, DAY).exceptions]
    assert ends == [(date(2026, 9, 1), LATER), (date(2027, 1, 5), date(2027, 1, 9))]
    ended = {"uai": POST.uai, "function": POST.function}
    of_into, of_source = (override(OverrideKind.END, until, **ended) for until in (DAY, LATER))
    name = override(OverrideKind.NAME, LATER, value="Petit")
    both = joined(replace(INTO, overrides=(of_into,)), replace(FROM, overrides=(of_source, name)), DAY)
    assert both.overrides == (of_source,)


@pytest.mark.parametrize(
    ("one", "other", "until"), [(DAY, LATER, LATER), (DAY, None, None), (None, LATER, None)]
)
def test_the_merged_account_has_the_stricter_of_two_locks(
    one: date | None, other: date | None, until: date | None
) -> None:
    first, second = (Lock(DAY, end, "me", "why") for end in (one, other))
    lock = joined(replace(INTO, lock=first), replace(FROM, lock=second), DAY).lock
    assert lock is not None
    assert lock.until == until
    assert joined(INTO, replace(FROM, lock=second), DAY).lock == second


def test_an_account_closed_by_hand_cannot_be_merged() -> None:
    closed = override(OverrideKind.CLOSE, LATER)
    with pytest.raises(ActRefused, match="closed by hand"):
        joined(INTO, replace(FROM, overrides=(closed,)), DAY)


def test_a_merge_mark_counts_only_with_its_digest_on_its_own_account() -> None:
    mark = merge_mark(KEYS, "a.b1", "a.b")
    way = on_its_way(FROM, mark)
    assert merged_into(way, KEYS) == "a.b"
    assert (way.address, way.aliases, way.identifiers) == (None, frozenset({"a.b1@x"}), frozenset({"a.b1"}))
    assert on_its_way(way, mark) == way
    for wrong in ("", "a.b", "{k1}00 a.b", mark.replace("a.b", "c.d"), mark.replace("{k1}", "{k9}")):
        assert merged_into(replace(FROM, merged=wrong), KEYS) is None
    assert merged_into(replace(INTO, merged=mark), KEYS) is None
