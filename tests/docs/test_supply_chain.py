"""The locks have what pyproject.toml requires, each file with its hash; two builds give the same wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ANY = Marker("python_version > '3'")
BACKEND = [text for text in requires("hatchling") or () if (Requirement(text).marker or ANY).evaluate()]
LOCKS = {
    "requirements-build.lock": ["hatchling", "editables", *BACKEND],
    "requirements.lock": PROJECT["dependencies"],
    "requirements-dev.lock": [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]],
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_every_requirement_with_its_hashes(name: str) -> None:
    text = (TOP / name).read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if block.strip()]
    locked: dict[str, list[str]] = {}
    for block in blocks:
        requirement = Requirement(block.partition(" \\\n")[0])
        (version,) = requirement.specifier
        assert version.operator == "==", requirement
        assert re.fullmatch(r"(?s)[^\n]*( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", block), requirement
        locked.setdefault(canonicalize_name(requirement.name), []).append(version.version)
    for dependency in map(Requirement, LOCKS[name]):
        versions = locked.pop(canonicalize_name(dependency.name))
        assert all(dependency.specifier.contains(version) for version in versions), dependency
    assert "://" not in text, "where files come from is the installing host's choice"


def test_no_page_or_script_builds_with_what_the_index_has_that_day() -> None:
    """Without isolation, pip builds with the locked backend, else it fetches and runs the newest one."""
    files = [TOP / "README.md", TOP / "CONTRIBUTING.md", *TOP.glob("docs/*.md"), *TOP.glob("examples/**/*")]
    built = re.compile(r"(?:pip|pipx|packages)[^\n&`]*(?: \.(?=[\s`]|$)| --editable )[^\n`]*", re.MULTILINE)
    lines = [
        line
        for file in files
        if file.is_file() and not file.is_symlink()
        for line in built.findall(file.read_text("utf-8", "replace"))
    ]
    assert len(lines) >= 3
    assert [line for line in lines if "--no-build-isolation" not in line] == []


@pytest.mark.long
def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    wheels = []
    for number in ("one", "two"):
        folder = tmp_path / number
        done = subprocess.run(
            [
                sys.executable,
                *"-m pip wheel --no-deps --no-build-isolation -w".split(),
                str(folder),
                str(TOP),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
        assert done.returncode == 0, done.stderr
        (wheel,) = folder.glob("*.whl")
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]


def test_the_package_has_what_the_page_loads_for_applications() -> None:
    page = (TOP / "docs" / "consumers.md").read_text("utf-8")
    build = (TOP / "examples" / "deb" / "build").read_text("utf-8")
    (copied,) = re.findall(r"cp -r examples/\{(.*)\} ", build)
    assert {*re.findall(r"-f examples/(\w+)/", page)} == {"consumers"} <= {*copied.split(",")}
