"""What a newcomer runs first: the scripts keep to their own `.venv`, and pytest alone runs no long test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What examples/setup.sh needs of a checkout."""
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(TOP / name, tmp_path)
    return tmp_path


def set_up(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Runs examples/setup.sh for this checkout where no file may be long, so it never ends well."""
    return subprocess.run(
        ["bash", "-euc", f'ulimit -f 1; top="{checkout}"; . "{TOP}/examples/setup.sh"'],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("is_link", "over_ours"), [(False, False), (True, False), (False, True)])
def test_an_environment_of_somebody_else_is_left_alone(
    checkout: Path, is_link: bool, over_ours: bool
) -> None:
    own = checkout / ("elsewhere" if is_link else ".venv")
    (own / "bin").mkdir(parents=True)
    if over_ours:  # somebody ran `python3 -m venv .venv` over that of the script
        (own / ".piactl").write_text("of an older checkout\n")
        os.utime(own / ".piactl", (1, 1))
        (own / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (own / "bin" / "python").symlink_to(sys.executable)
    (own / "mine.txt").write_text("work of months")
    if is_link:
        (checkout / ".venv").symlink_to(own)
    done = set_up(checkout)
    assert (own / "mine.txt").read_text() == "work of months"
    assert (checkout / ".venv").is_symlink() == is_link
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{checkout}/.venv was not made by this script, so it is left as it is.\n"
        f"Move it away (mv {checkout}/.venv {checkout}/venv-of-mine) or remove it, then start again.\n"
    )


def test_an_own_environment_that_remained_unfinished_is_made_anew(checkout: Path) -> None:
    own = checkout / ".venv"
    own.mkdir()
    (own / ".piactl").write_text("of an older checkout\n")
    (own / "old.txt").write_text("old")
    done = set_up(checkout)
    assert done.returncode == 1
    assert "was not made" not in done.stderr
    assert not (own / "old.txt").exists()
    assert (own / "pyvenv.cfg").exists()
    assert (own / ".piactl").read_text() == "", "it is this script's, and not finished"


@pytest.mark.parametrize(
    ("options", "short", "long"),
    [([], True, False), (["-m", "long"], False, True)],
)
def test_pytest_runs_a_long_test_only_if_it_is_asked_for(options: list[str], short: bool, long: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/docs/test_supply_chain.py", *options],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("test_no_page_or_script_builds" in done.stdout) == short
    assert ("test_two_builds_are_the_same_bytes" in done.stdout) == long
