"""docs/glossary.md is followed: no word of its last table is used, and its terms are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from piactl.core.model.account import State
from piactl.core.plan.change import Kind

TOP = Path(__file__).resolve().parents[2]
GLOSSARY = TOP / "docs" / "glossary.md"
PAGE = GLOSSARY.read_text(encoding="utf-8")
EXEMPT = {GLOSSARY, TOP / "CHANGELOG.md"}


def _unused_words() -> list[str]:
    table = PAGE.split("\n## Words not used\n")[1]
    cells = re.findall(r"^\| (`.*?`) \| ", table, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def _pattern(word: str) -> re.Pattern[str]:
    """Matches the whole word, in any case; an underscore or a hyphen counts as a blank."""
    text = re.escape(word).replace(r"\*", r"[a-z]*").replace(r"\ ", r"[\s_-]+")
    return re.compile(rf"(?<![^\W_]){text}(?![^\W_])", re.IGNORECASE)


def _files() -> list[Path]:
    files = [
        *TOP.glob("piactl/**/*.py"),
        *TOP.glob("docs/**/*.md"),
        *TOP.glob("docs/*.py"),
        *TOP.glob("*.md"),
    ]
    return [path for path in files if path not in EXEMPT and path.parent.name != "decisions"]


TEXTS = {path.relative_to(TOP): path.read_text(encoding="utf-8") for path in _files()}
LOWER = {path: text.lower() for path, text in TEXTS.items()}


EMPTY_NAMES = {"one", "found", "told", "kept", "what", "at", "said"}


def _empty_names(tree: ast.AST) -> set[str]:
    """The variables and parameters that do not say what they hold. `one` may stay beside `other`."""
    nodes = list(ast.walk(tree))
    fields = {
        id(part.target)
        for node in nodes
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.AnnAssign)
    }
    names = {node.arg for node in nodes if isinstance(node, ast.arg)} | {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields
    }
    return names & (EMPTY_NAMES - ({"one"} if "other" in names else set()))


def test_empty_names_are_found() -> None:
    tree = ast.parse("def act(what): found: list = [one for one in what]")
    assert _empty_names(tree) == {"what", "found", "one"}
    assert not _empty_names(ast.parse("def same(one, other): return one is other"))
    assert not _empty_names(ast.parse("class Finding: found: str"))


def test_variables_say_what_they_hold() -> None:
    code = {path: ast.parse(text) for path, text in TEXTS.items() if path.suffix == ".py"}
    assert {path: names for path, tree in code.items() if (names := _empty_names(tree))} == {}


def test_patterns_find_words() -> None:
    assert _pattern("pin").search("is_pin = 1")
    assert not _pattern("pin").search("oathTokenPIN")
    assert not _pattern("pin").search("ping")
    assert _pattern("user account*").search("two User\naccounts")


@pytest.mark.parametrize("word", _unused_words())
def test_word_is_not_used(word: str) -> None:
    pattern = _pattern(word)
    # the pattern is slow, and most files do not even have the letters
    letters = re.split(r"[ *_-]", word.lower())[0]
    places = [path for path, text in LOWER.items() if letters in text and pattern.search(TEXTS[path])]
    uses = [
        f"{path}:{number}: {line.strip()}"
        for path in places
        for number, line in enumerate(TEXTS[path].splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not places, uses


def test_each_term_stands_once() -> None:
    body = PAGE.split("\n## Words not used\n")[0]
    cells = re.findall(r"^\| ([^|`]+) \| ", body, re.MULTILINE)
    terms = [term for cell in cells if cell != "word" for term in cell.split(", ")]
    assert len(terms) > 60
    assert len({*terms}) == len(terms)


def test_states_and_kinds_are_those_of_the_code() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| state |"))
    assert all(state.value in row for state in State)
    row = next(line for line in PAGE.splitlines() if line.startswith("| change |"))
    assert set(re.findall(r"`([a-z]+)`", row)) == {kind.value for kind in Kind}
