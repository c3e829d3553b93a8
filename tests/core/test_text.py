"""Instants in the form of the directory and of the ids of runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from piactl.core.text import utc_instant


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("20260901020304Z", 0),
        ("20260901020304", 0),
        ("20260901T020304", 0),
        ("20260901020304.5Z", 500_000),
        ("20260901020304.000017Z", 17),
        ("20260901020304.1234567Z", 123_456),
    ],
)
def test_an_instant_is_read_to_the_microsecond(text: str, microsecond: int) -> None:
    assert utc_instant(text) == datetime(2026, 9, 1, 2, 3, 4, microsecond, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "Z", "2026", "20261301000000Z", "20260901250000Z", "2026W011020304Z", "2026090102030xZ"]
    + ["20260901020304+0200", "20260901020304.xZ", "T0260901020304", "２０２６０９０１０２０３０４"],
)
def test_a_text_that_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(text)}$|isoformat|must be|hour|month"):
        utc_instant(text)
