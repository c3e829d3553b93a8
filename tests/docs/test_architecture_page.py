"""The documents name modules that exist, and docs/architecture.md has the layers that the build checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from piactl.doctor.checks import CHECKS

TOP = Path(__file__).resolve().parents[2]
PAGES = [
    TOP / "CONTRIBUTING.md",
    TOP / "SECURITY.md",
    *TOP.glob("docs/*.md"),
    *TOP.glob("docs/decisions/*.md"),
]
_PLACES = (
    r"(?:cli|night|watch|ask|trials|helpdesk|edits|runs|planning|core|feed|directory|journal|config|report|"
    r"sandbox|piactl|tests|schemas|slapd|examples|docs)"
)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(TOP)) for page in PAGES])
def test_every_path_that_a_document_names_exists(page: Path) -> None:
    """Each path that begins with a folder of the project or of the package exists, in text and drawings."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"(?<![\w/.-])({_PLACES}/[\w/.-]*[\w/])(?![\w-]*\*)", text))
    missing = [name for name in named if not (TOP / name).exists() and not (TOP / "piactl" / name).exists()]
    assert not missing, missing


def test_the_layers_are_those_of_the_contracts() -> None:
    page = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = page.split("## Layers")[1].split("```")[1]
    table = page.split("## Layers")[1].split("## Where")[0]
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {c["name"]: c for c in project["tool"]["importlinter"]["contracts"]}
    order = [name for row in contracts["one layer order"]["layers"] for name in re.findall(r"\w+", row)]
    for name in order:
        assert re.search(rf"\b{name}\b", drawing + table) or name == "__main__", name
    for contract in ("layers of core", "layers of cli"):
        for row in contracts[contract]["layers"]:
            for name in re.findall(r"\w+", row):
                assert re.search(rf"\b{name}\b", drawing), (contract, name)
    firsts = [re.findall(r"\w+", row)[0] for row in contracts["one layer order"]["layers"][3:]]
    sequence = [word for word in re.findall(r"^ (\w+)", drawing, re.MULTILINE) if word in firsts]
    assert sequence == firsts


def test_checks_of_doctor_exist_and_no_number_is_used_again() -> None:
    """Numbers of earlier checks stand in the changelog and in one line of a page."""
    (line,) = re.findall(
        r"Numbers of checks that earlier\nversions made: ([D\d, ]+)\.",
        (TOP / "docs" / "hosts.md").read_text(encoding="utf-8"),
    )
    gone = set(line.split(", "))
    assert {*CHECKS, *gone} == {f"D{number:02d}" for number in range(1, 74)}
    assert not gone & {*CHECKS}
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace(line, "")
        assert set(re.findall(r"\bD\d\d\b", text)) <= {*CHECKS}, page.name
