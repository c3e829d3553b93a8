"""The French catalogue has a form for every sentence of the parts that people read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest

import piactl

HERE = Path(piactl.__file__).parent
CATALOGUE = HERE / "locale" / "fr" / "LC_MESSAGES" / "piactl.po"

READ = (
    "core/text.py", "core/timeline_rows.py", "core/explain", "core/rules", "core/plan", "core/edits",
    "core/naming", "report", "feed/error_codes.py", "feed/column_validators.py", "feed/csv_row_parser.py",
    "feed/people_builder.py", "feed/rejects_file.py", "flows/drift.py", "flows/plan", "flows/accounts",
    "flows/queries", "flows/helpdesk", "cli/framework/account_batch.py", "cli/framework/run_context.py",
    "cli/framework/terminal.py", "cli/commands/account.py", "cli/commands/account_edit.py",
    "cli/commands/account_timeline.py", "cli/commands/assignment.py", "cli/commands/drift.py",
    "cli/commands/exception.py", "cli/commands/match.py", "cli/commands/nightly.py", "cli/commands/otp.py",
    "cli/commands/otp_enroll.py", "cli/commands/override.py", "cli/commands/password.py",
    "cli/commands/second_person.py", "cli/commands/status.py", "cli/commands/undo.py", "cli/commands/why.py",
)  # fmt: skip
"""What a help desk, the head of HR and a school read."""
NOT_READ = (
    "report/person_page.py",  # French already
    "report/metrics.py", "report/recover_text.py", "report/policy_text.py", "report/doctor_text.py",
    "report/journal_text.py", "report/colours.py",
)  # fmt: skip
_EDGES = " \n.,;:!?()[]{}<>'\"/|=*-+%#&"


def modules() -> list[Path]:
    found = [
        path
        for name in READ
        for path in sorted([HERE / name] if name.endswith(".py") else (HERE / name).rglob("*.py"))
    ]
    return [path for path in found if str(path.relative_to(HERE)) not in NOT_READ]


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of the pieces of the sentences of a module: of help texts none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        # options, arguments and their help; names of attributes in a blank-separated text
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "typer.Option",
            "typer.Argument",
            "re.compile",
        ):
            skipped.update(id(below) for below in ast.walk(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
            skipped.add(id(node.func.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            for piece in node.value.split("\n"):
                text = piece.strip(_EDGES)
                if " " in text and re.search("[a-z]{2}", text) and not text.startswith(("piactl ", "--")):
                    yield node.lineno, text


def missing(path: Path, known: str) -> list[str]:
    name = path.relative_to(HERE)
    return [f"{name}:{line}: {text}" for line, text in literals(path) if text not in known]


@pytest.fixture(scope="module")
def entries() -> list[tuple[str, str]]:
    return [(entry.msgid, entry.msgstr) for entry in polib.pofile(str(CATALOGUE))]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HERE)))
def test_every_sentence_has_a_form(path: Path, entries: list[tuple[str, str]]) -> None:
    known = "\n".join(english for english, _ in entries)
    assert missing(path, known) == []
