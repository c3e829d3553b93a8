"""The acceptance suite (tests/outside.py): which of its files know piactl from inside."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from piactl import errors
from tests.outside import BRIDGES, INSIDE, KNOWN, SUITE, Exit

TESTS = Path(__file__).resolve().parents[1]
MODULES = "|".join(
    path.stem
    for path in (TESTS.parent / "piactl").iterdir()
    if path.stem.isidentifier() and path.stem[0] != "_"
)
NAMED = re.compile(rf"\bpiactl\.(?:{MODULES})\b[\w.]*|^\s*from piactl import \w+", re.MULTILINE)
"""A module of piactl, imported or named in a string."""


@cache
def named(file: Path) -> frozenset[str]:
    """The modules of piactl that a file names itself, except those that every test may name."""
    names = NAMED.findall(file.read_text(encoding="utf-8"))
    return frozenset(name.strip() for name in names if not name.startswith(KNOWN))


@cache
def helpers(file: Path) -> set[Path]:
    """The files of the tests that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (
            node.level or (node.module or "").startswith("tests")
        ):
            continue
        folder = file.parents[node.level - 1] if node.level else TESTS.parent
        module = folder.joinpath(*(node.module or "").split("."))
        parts = [module, *(module / name.name for name in node.names)]
        found |= {part.with_suffix(".py") for part in parts if part.with_suffix(".py").is_file()}
    return found


def known(file: Path) -> set[str]:
    """The modules of piactl that a file names, itself or by helpers other than the bridges."""
    seen, todo = set[Path](), [file]
    while todo:
        part = todo.pop()
        if part not in seen and str(part.relative_to(TESTS)) not in BRIDGES:
            seen.add(part)
            todo += helpers(part)
    return set().union(*map(named, seen))


def test_only_the_files_that_are_listed_know_piactl_from_inside() -> None:
    suite = {str(file.relative_to(TESTS)): known(file) for glob in SUITE for file in TESTS.glob(glob)}
    assert len(suite) > 150
    assert {file: modules for file, modules in suite.items() if modules and file not in INSIDE} == {}
    assert [file for file in INSIDE if not suite.get(file)] == [], "these know nothing more: remove them here"


def test_the_bridges_are_needed() -> None:
    assert [file for file in BRIDGES if not NAMED.search((TESTS / file).read_text(encoding="utf-8"))] == []


def test_the_exit_codes_are_those_that_are_promised() -> None:
    assert {code.name: int(code) for code in errors.Exit} == {code.name: int(code) for code in Exit}
