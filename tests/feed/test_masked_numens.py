"""A NUMEN is shown nowhere, whichever column it is in."""

from __future__ import annotations

import pytest

from piactl.errors import FeedRefused
from piactl.feed.header import COLUMNS, shown

CANARY = "20E0642731QZJ"


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("written", [CANARY, CANARY.lower(), "20 E 06 42731 QZJ", CANARY + "K", CANARY[:-1]])
def test_no_message_and_no_repr_shows_a_numen(column, written, sample, read):
    rows = (sample.row(**{"numen": CANARY, column: written}), sample.row(matricule="0002", numen=CANARY))
    feed = read(sample.text(*rows, sample.row(uai="0800010B"), sample.row(matricule="0003")))
    texts = [repr(feed), repr(feed.people), *feed.held.values(), *feed.held]
    texts += [str(r) for r in feed.rejections] + [str(r) for r in feed.remarks]
    for text in texts:
        # A matricule or a name that only looks like a NUMEN is kept as HR says; no message contains it.
        if column in (
            "nom_famille",
            "prenom",
            "nom_usage",
            "corps",
            "position",
            "fonction",
            "discipline",
            "civilite",
        ):
            text = text.replace(f"{written!r}", "")
        if column == "matricule" and written in (CANARY + "K", CANARY[:-1]):
            text = text.replace(written, "")
        assert CANARY[3:] not in text.replace(" ", "").upper()
    assert feed.rejections or "0003" in feed.people


def test_a_refusal_shows_no_numen(sample, read):
    header = sample.header.replace("uai", CANARY)
    with pytest.raises(FeedRefused) as caught:
        read(sample.text(sample.row(), header=header))
    assert CANARY[3:] not in str(caught.value)


def test_a_shown_value_is_cut_escaped_and_masked():
    assert shown("a\x1b[31m") == repr("a\x1b[31m")
    assert len(shown("é" * 500)) <= 42
    assert shown(CANARY) == repr("20E" + "*" * 10)
    assert shown("0800009A") == "'0800009A'"
