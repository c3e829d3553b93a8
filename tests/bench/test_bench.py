"""The bench runs to its end and shows every case; no test fails because something is slow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run")
CASES = {
    ("first load", "bare server"),
    ("first load", "with accesslog"),
    ("first load", "two providers"),
    ("nothing to do", "with accesslog"),
    ("0.5 % changes", "with accesslog"),
    ("1 September", "with accesslog"),
    ("commands", "with accesslog"),
    ("lists", "with accesslog"),
    ("rehearsal", "with accesslog"),
    ("a set, read", "with accesslog"),
    ("a set, planned", "with accesslog"),
}


@pytest.mark.long
def test_a_quick_bench_shows_every_case() -> None:
    words = [str(RUN), "--quick", "--runs", "1", "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    cases = {(case["case"], case["place"]): case for case in shown["cases"]}
    assert set(cases) == CASES
    for case in cases.values():
        names = [contender["name"] for contender in case["contenders"]]
        assert case["reference"] in names
        rounds = {len(contender["rounds"]) for contender in case["contenders"]}
        assert rounds == {5 if case["case"] == "commands" else 1}  # commands are short, and run more often
        # all contenders wrote the same entries; a night with nothing to do wrote none
        written = {
            contender["name"]: contender["median"]["writes"]
            for contender in case["contenders"]
            if "nothing to do" not in contender["name"] and "--version" not in contender["name"]
        }
        assert len(set(written.values())) == 1, (case["case"], written)
        assert bool(set(written.values()) - {0}) == (
            case["case"]
            not in ("nothing to do", "commands", "lists", "rehearsal", "a set, read", "a set, planned")
        )
    assert {size["people"] for size in shown["sizes"]} == {2000}


@pytest.mark.long
def test_a_night_on_a_prepared_directory_has_nothing_to_write(tmp_path: Path) -> None:
    """The entries are made in parts and loaded by slapadd; they leave the following night nothing to do."""
    program = (
        "import sys; import bench.__main__ as bench, bench.cases as cases, bench.prepared as prepared\n"
        "bench.LARGE = cases.LARGE = 60; prepared.BYTES_A_PART = 20_000\n"
        "sys.exit(bench.main())"
    )
    words = [sys.executable, "-c", program, "--people", "600", "--runs", "1"]
    words += ["--case", "quiet", "-o", "json", "--dir", str(tmp_path)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "PYTHONPATH": str(RUN.parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    (case,) = json.loads(done.stdout)["cases"]
    assert case["case"] == "nothing to do"
    assert [contender["median"]["writes"] for contender in case["contenders"]] == [0] * 4
