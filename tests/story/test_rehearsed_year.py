"""A year of files is rehearsed: the three bad nights are named, and the others are ordinary."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from io import StringIO
from pathlib import Path

import pytest

from tests.outside import run

from .population import COLUMNS, feed_text, write_feeds
from .rehearsal import Rehearsal
from .test_ordinary_year import nights
from .test_wrong_as_a_whole import WRONG

YEAR = date(2026, 8, 24), date(2027, 4, 30)
BAD = {
    "half of the people missing": ("feed refused", "known from this source"),
    "uai moved by one row": ("refused", "other_establishment"),
    "one in 25 is a head of school": ("refused", "other_function"),
}


def piactl(rehearsal: Rehearsal, *words: object) -> tuple[int, str]:
    configuration = rehearsal.folder / "piactl.yaml"
    lines = configuration.read_text(encoding="utf-8").splitlines(keepends=True)
    # root runs the tests on some hosts, and a configuration that names users refuses root
    configuration.write_text("".join(line for line in lines if not line.startswith("      user: ")), "utf-8")
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["--config", str(configuration), *map(str, words)])
    return code, out.getvalue() or err.getvalue()


@pytest.mark.parametrize(
    ("people", "every"), [(250, 20), pytest.param(5_000, 6, marks=pytest.mark.long)], ids=["250", "5000"]
)
def test_the_bad_nights_of_a_year_are_named(tmp_path: Path, people: int, every: int) -> None:
    feeds = write_feeds(tmp_path / "feeds", people, 1, list(nights(every, *YEAR)), None)
    rehearsal = Rehearsal(tmp_path, tmp_path / "feeds" / "establishments.csv")
    later = [feed for feed in feeds if feed.night.day.month in (11, 1, 4) and feed.night.day.year > 2025]
    spoilt = {}
    for (name, why), feed in zip(BAD.items(), (later[0], later[len(later) // 2], later[-1]), strict=True):
        rows = [line.split(";") for line in feed.path.read_text(encoding="utf-8").splitlines()[1:-1]]
        rows.sort(key=lambda row: row[COLUMNS.index("uai")])
        feed.path.write_text(feed_text(WRONG[name](rows), feed.night.day), encoding="utf-8")
        spoilt[feed.night.day.isoformat()] = why
    code, out = piactl(
        rehearsal, "rehearse", "--feeds", tmp_path / "feeds", "--days", f"{YEAR[0]}..{YEAR[1]}", "--out",
        tmp_path / "year", "-o", "ndjson",
    )  # fmt: skip
    assert code == 5, out
    rehearsed = [json.loads(line) for line in out.splitlines()]
    assert len(rehearsed) == (YEAR[1] - YEAR[0]).days + 1
    stopped = {night["date"]: night for night in rehearsed if night["status"] != "done"}
    assert {*stopped} == {*spoilt}
    for day, (status, why) in spoilt.items():
        named = " ".join(
            [stopped[day].get("why", ""), *(guard["kind"] for guard in stopped[day].get("guards", ()))]
        )
        assert (stopped[day]["status"], why in named) == (status, True), named
    code, table = piactl(rehearsal, "guards", "suggest", tmp_path / "year", "-o", "json")
    assert code == 0
    counted = {suggestion["kind"]: suggestion for suggestion in json.loads(table) if not suggestion["period"]}
    assert all(
        suggestion["limit"] is None or suggestion["most"] <= suggestion["limit"]
        for suggestion in counted.values()
    ), counted
    code, score = piactl(rehearsal, "feed", "score", tmp_path / "year", "-o", "json")
    assert code == 0
    scored = [night["date"] for night in json.loads(score)["nights"]]
    assert {*scored} == {str(feed.night.day) for feed in feeds} - {*spoilt}
    refused = json.loads(score)["refused"]
    assert [(refusal["source"], refusal["date"]) for refusal in refused] == [("rh", day) for day in spoilt]
    words = zip((refusal["why"] for refusal in refused), ("known", "establishment", "function"), strict=True)
    assert all(any(word in code for code in why) for why, word in words), refused
    assert json.loads(score)["sources"][0]["refused"] == len(spoilt)
    assert all(refusal["rows"] > people / 3 for refusal in refused)
