"""The README says what is true: every command is in it, its tour works, its exit codes are the code's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")


def commands() -> Iterator[str]:
    """The full name of every command, from the program itself."""
    from piactl.cli.framework.commands import COMMANDS

    yield from COMMANDS


def test_every_command_is_told() -> None:
    table = README.split("## The commands")[1].split("\n## ")[0]
    told = set()
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        first = ""
        for quoted in re.findall(r"`([^`]+)`", cell):
            words = [word for word in quoted.split() if re.fullmatch(r"[a-z]+", word)]
            first = first or words[0]
            told.add(" ".join(words))
            told.add(f"{first} {words[0]}")
    missing = [name for name in commands() if name not in told]
    assert not missing, f"not in the README: {missing}"


def test_help_of_every_command() -> None:
    for name in commands():
        done = subprocess.run(
            [sys.executable, "-m", "piactl", *name.split(), "--help"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "100"},
            cwd=TOP,
        )
        assert done.returncode == 0, (name, done.stderr)
        assert done.stdout.startswith("Usage: piactl " + name) or "Usage: piactl" in done.stdout
        assert len(done.stdout.splitlines()) > 5, name
        assert not done.stderr


def test_exit_codes_are_those_of_the_code() -> None:
    from piactl.errors import Exit

    told = {int(number) for number in re.findall(r"^\| (\d+) \| ", README, re.MULTILINE)}
    assert told == {int(code) for code in Exit}


@pytest.fixture
def folder() -> Iterator[Path]:
    # a short name: the path of a Unix socket may have some hundred characters only
    path = Path(tempfile.mkdtemp(prefix="piactl-readme-"))
    yield path
    subprocess.run(
        [sys.executable, "-m", "piactl", "sandbox", "stop", "--dir", str(path / "box")],
        capture_output=True,
        check=False,
        cwd=TOP,
    )
    shutil.rmtree(path)


def test_the_tour_works(folder: Path) -> None:
    block = README.split("## A tour in five minutes")[1].split("```")[1]
    lines = [line.split("#")[0].rstrip() for line in block.strip().splitlines()]
    lines = [line for line in lines if line and not line.startswith(". ")]
    assert len(lines) > 12
    script = ["set -eu", 'piactl() { "$PYTHON" -m piactl "$@"; }', 'python() { "$PYTHON" "$@"; }', *lines]
    (folder / "examples").symlink_to(TOP / "examples")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "camille.verdelot" in done.stdout
    assert "journal intact: " in done.stdout
