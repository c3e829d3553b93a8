"""Which source a file comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.errors import NotFound, UsageError
from piactl.feed.open_feed import feed_argument, source_of

EPP = SourceSettings("epp", files=("epp-*.csv", "EPP_*.txt"))
AGAPE = SourceSettings("agape", files=("agape-*.csv",))
BOTH = {"epp": EPP, "agape": AGAPE}


def test_the_patterns_tell_the_source():
    assert source_of(Path("/in/epp-20260901.csv"), BOTH) is EPP
    assert source_of(Path("agape-1.csv"), BOTH) is AGAPE


def test_the_only_source_needs_no_pattern():
    assert source_of(Path("whatever.csv"), {"epp": EPP}) is EPP


def test_no_pattern_fits():
    with pytest.raises(UsageError, match="epp, agape"):
        source_of(Path("other.csv"), BOTH)


def test_several_patterns_fit():
    with pytest.raises(UsageError, match=r"several sources \(epp, all\)"):
        source_of(Path("epp-1.csv"), {"epp": EPP, "all": SourceSettings("all", files=("*",))})


def test_without_sources():
    with pytest.raises(UsageError, match="no source"):
        source_of(Path("epp-1.csv"), {})


def test_a_source_can_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epp-1.csv").touch()
    assert feed_argument("agape=epp-1.csv", BOTH) == (AGAPE, Path("epp-1.csv"))
    assert feed_argument("epp-1.csv", BOTH) == (EPP, Path("epp-1.csv"))


def test_a_path_may_hold_an_equals_sign(tmp_path):
    path = tmp_path / "year=2026" / "epp-1.csv"
    path.parent.mkdir()
    path.touch()
    assert feed_argument(str(path), BOTH) == (EPP, path)


@pytest.mark.parametrize("text", ["eep=epp-1.csv", "epp="])
def test_a_name_that_is_no_source_or_names_no_file(text):
    with pytest.raises((UsageError, NotFound)):
        feed_argument(text, BOTH)
