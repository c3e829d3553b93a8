"""Values of accounts, and what is derived from them."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date

from piactl.core.model.account import Account, Lock, State, amended

ACCOUNT = Account(uid="a.b", matricule="1", matricule_digests=("d1",), address="a.b@x")
LOCK = Lock(date(2026, 9, 5), None, "me", "why")


def test_an_amended_account_is_a_copy_with_some_other_values() -> None:
    for values in ({"lock": LOCK}, {"uid": "c.d", "state": State.GRACE}, {"matricule": None}):
        assert amended(ACCOUNT, **values) == replace(ACCOUNT, **values)  # type: ignore[arg-type]
    # no field is left out
    names = [field.name for field in fields(Account)]
    other = replace(ACCOUNT, **{name: name for name in names})  # type: ignore[arg-type]
    again = amended(other, uid="c.d")
    assert [getattr(again, name) for name in names] == ["c.d" if name == "uid" else name for name in names]
    assert ACCOUNT.uid == "a.b"


def test_amending_with_the_same_values_returns_the_same_account() -> None:
    assert amended(ACCOUNT, uid="a.b", lock=None) is ACCOUNT
