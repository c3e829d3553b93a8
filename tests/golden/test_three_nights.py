"""Three nights of invented people give the plans, journal, accounts and answers of the files beside this one.

A change of behaviour shows here as a difference, so that none goes unnoticed. Write the files anew with
`tests/run tests/golden --update-golden`, and say in the commit which differences are intended.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.outside import start_sandbox, stop_sandbox
from tests.story.academy import Academy

FILES = Path(__file__).parent / "three-nights"
ROOT = Path(__file__).parents[2]
TODAY = "2026-11-24"
KEY = "6f" * 32

_VOLATILE = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?"), "INSTANT"),
    (re.compile(r"[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\{k1\}2\$[A-Za-z0-9+/=]+"), "BASE"),
    (re.compile(rf"\b{re.escape(pwd.getpwuid(os.getuid()).pw_name)}\b"), "USER"),
    (re.compile(r"\b" + re.escape(socket.gethostname())), "HOST"),
    (re.compile(r"(/[\w.-]+)*/piactl-test-\w+"), "DIR"),
)
"""What differs between two runs of the same nights: run ids, instants, digests (bases contain the entryUUID),
and who runs them."""


@pytest.fixture(scope="module")
def nights() -> Iterator[dict[str, Any]]:
    """Runs the three nights and a few one-off commands; gives each output by the name of its golden file."""
    folder = Path(tempfile.mkdtemp(prefix="piactl-test-"))
    try:
        box = folder / "box"
        status = start_sandbox(box)
        (box / "secrets" / "keys").write_text(f"k1 {KEY}\n")
        assert status.pid is not None
        try:
            sandbox = Sandbox(box, status.configuration, *status.uris, status.pid)
            yield _three_nights(Academy(sandbox, folder))
        finally:
            stop_sandbox(box)
    finally:
        shutil.rmtree(folder)


def _three_nights(academy: Academy) -> dict[str, Any]:
    feeds = academy.folder / "feeds"
    generator = [sys.executable, ROOT / "examples" / "make_feeds.py", "--people", "60", "--seed", "5"]
    subprocess.run([*generator, "--today", TODAY, "--out", feeds], check=True, capture_output=True)
    cast = json.loads((feeds / "cast.json").read_text(encoding="utf-8"))
    outputs: dict[str, Any] = {}
    codes: list[dict[str, Any]] = []

    def run(*words: str | Path) -> Any:
        ran = academy.run(*words, "-o", "json")
        shown = [str(word).replace(str(academy.folder), "DIR") for word in words]
        codes.append({"command": shown, "exit": ran.code})
        return json.loads(ran.out) if ran.out else None

    for number, night in enumerate(cast["nights"], 1):
        feed, day = feeds / night["file"], night["date"]
        outputs[f"plan-{number}"] = run("plan", feed, "--as-of", day)
        outputs[f"nightly-{number}"] = run("nightly", feed, "--as-of", day)
    run("nightly", feeds / cast["cut"], "--as-of", TODAY)
    uids = sorted(_uids(cast["people"]))
    lock = ("account", "lock", uids[0], "--reason", "stolen telephone", "--until", "2026-12-31")
    outputs["lock"] = run(*lock, "--as-of", TODAY)
    grant = (
        "exception",
        "grant",
        uids[1],
        "--service",
        "colibris",
        "--reason",
        "jury",
        "--until",
        "2026-12-15",
    )
    outputs["exception"] = run(*grant, "--as-of", TODAY)
    outputs["plan-dates-only"] = run("plan", "--as-of", "2026-12-20")
    outputs["account-show"] = [run("account", "show", uid, "--as-of", TODAY) for uid in uids[:8]]
    outputs["why"] = [run("why", uid, "--as-of", TODAY) for uid in uids[:8]]
    outputs["why-service"] = [run("why", uid, "iprof", "--as-of", TODAY) for uid in uids[:8]]
    outputs["why-login"] = [run("why", uid, "login", "--as-of", TODAY) for uid in uids[:8]]
    outputs["timeline"] = [run("account", "timeline", uid, "--as-of", TODAY) for uid in uids[:4]]
    outputs["forecast"] = run("forecast", "--as-of", TODAY, "--until", "2027-01-15")
    outputs["undo"] = run("undo", "last", "--reason", "wrong account", "--as-of", TODAY)
    outputs["undo"].pop("command")  # the words of the program that runs the test
    outputs["exit-codes"] = codes
    outputs["journal"] = [_journal_kinds(line) for line in run("journal", "show")]
    return outputs


def _uids(people: Any) -> Iterator[str]:
    """The uids of the cast, in which each role is a person or a list of people."""
    for part in people.values() if isinstance(people, dict) else people:
        if isinstance(part, dict) and "uid" in part:
            yield part["uid"]
        elif isinstance(part, dict | list):
            yield from _uids(part)


def _journal_kinds(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line.get(name) for name in ("kinds", "uid", "outcome", "reason", "attributes")}


def _golden_text(value: Any) -> str:
    text = "\n".join(_lines(value)) + "\n"
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def _lines(value: Any, depth: int = 2) -> Iterator[str]:
    """JSON with each member of the outer `depth` levels on its own line, so that differences are readable."""
    if not value or not depth or not isinstance(value, dict | list):
        yield json.dumps(value, ensure_ascii=False, sort_keys=True)
        return
    pairs = sorted(value.items()) if isinstance(value, dict) else [("", item) for item in value]
    yield "{" if isinstance(value, dict) else "["
    for position, (name, member) in enumerate(pairs, 1):
        lines = list(_lines(member, depth - 1))
        lines[0] = (f"{json.dumps(name)}: " if name else "") + lines[0]
        lines[-1] += "," if position < len(pairs) else ""
        yield from (" " + line for line in lines)
    yield "}" if isinstance(value, dict) else "]"


NAMES = (
    *(f"{command}-{number}" for number in (1, 2, 3) for command in ("plan", "nightly")),
    *("plan-dates-only", "account-show", "why", "why-service", "why-login", "timeline", "forecast"),
    *("lock", "exception", "undo", "journal", "exit-codes"),
)


@pytest.mark.parametrize("name", NAMES)
def test_nights_are_those_of_the_golden_files(
    name: str, nights: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    file = FILES / f"{name}.json"
    text = _golden_text(nights[name])
    if request.config.getoption("--update-golden"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_every_golden_file_is_compared(nights: dict[str, Any]) -> None:
    assert set(nights) == set(NAMES) == {file.stem for file in FILES.glob("*.json")}
