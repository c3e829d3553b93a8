"""Numbers for Unix hosts: each is given once, and hardly depends on the other accounts."""

from __future__ import annotations

import pytest

from piactl.core.model.policy import PosixSettings
from piactl.core.naming.posix_numbers import Numbers

SETTINGS = PosixSettings(100, 103, 1, "/home/{uid}", "/bin/sh")


def test_a_number_depends_on_the_uid_and_hardly_on_other_accounts() -> None:
    wide = PosixSettings(100_000, 1_100_000, 1, "/home/{uid}", "/bin/sh")
    uids = [f"p{n}" for n in range(1_000)]
    one, other = Numbers(wide, list), Numbers(wide, list)
    numbers = {uid: one.take(uid) for uid in uids}
    assert len({*numbers.values()}) == len(uids)
    # whichever accounts were made before or after
    again = {uid: other.take(uid) for uid in reversed(uids)}
    assert sum(numbers[uid] == again[uid] for uid in uids) >= 998


@pytest.mark.parametrize("gone", [False, True])
def test_no_number_is_given_twice(gone: bool) -> None:
    read = [(100, "a"), (101, "cn=b"), (101, "c"), (7, "d")]
    numbers = Numbers(SETTINGS, lambda: read, lambda number, uid: gone and (number, uid) != (103, "x"))
    assert [numbers.take("x"), numbers.take("x")] == ([103, 103] if gone else [numbers.take("x")] * 2)
    assert numbers.take("y") == (None if gone else ({102, 103} - {numbers.take("x")}).pop())
    assert numbers.take("z") is None
    assert numbers.take("x") is not None
    assert [numbers.is_of(n, owner) for n, owner in read] == (
        [False] * 4 if gone else [True, False, False, True]
    )
