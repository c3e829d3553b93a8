"""The French catalogue has a form for every sentence of the modules that people read; each form works."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jinja2
import polib
import pytest

import piactl
from piactl.translation import Catalogue

HERE = Path(piactl.__file__).parent
CATALOGUE = HERE / "locale" / "fr" / "LC_MESSAGES" / "piactl.po"

READ = (
    "core/text.py", "core/timeline_rows.py", "core/explain", "core/rules", "core/plan", "core/edits",
    "core/naming", "core/model/overrides.py", "report", "feed/error_codes.py", "feed/csv_row_validator.py",
    "feed/header.py", "feed/feed.py", "feed/feed_file.py", "feed/other_files.py",
    "feed/people_builder.py", "feed/read_feed.py", "feed/rejects_file.py", "feed/value_checks.py",
    "planning/drift_fates.py",
    "planning", "edits", "ask", "helpdesk", "cli/framework/account_batch.py",
    "cli/framework/help_desk.py", "cli/framework/run_context.py", "cli/framework/terminal.py",
    "cli/commands/account.py",
    "cli/commands/account_edit.py", "cli/commands/account_history.py", "cli/commands/approve.py",
    "cli/commands/assignment.py", "cli/commands/exception.py",
    "cli/commands/feed.py", "cli/commands/forecast.py", "cli/commands/match.py", "cli/commands/drift.py",
    "cli/commands/nightly.py", "cli/commands/otp.py", "cli/commands/password.py",
    "cli/commands/runs.py", "cli/commands/undo.py", "cli/commands/why.py",
    "cli/commands/guards.py", "cli/commands/policy.py", "cli/commands/rehearse.py",
    "trials/rehearse_nights.py",
    "trials/policy_diff.py", "runs/notifications.py", "ask/status.py",
    "directory/same_on_servers.py", "cli/commands/doctor.py", "cli/commands/recover.py",
    "runs/recover_directory.py",
    "runs/known_server.py",
)  # fmt: skip
"""The modules whose text the help desk, the head of HR and schools read."""
NOT_READ = (
    "report/person_page.py", "report/templates/person.md.j2",  # are in French
    "report/metrics.py", "report/doctor_text.py",
    "report/escaping.py",
    "edits/adopt_entries.py", "edits/undo_account.py", "edits/undo_run.py", "ask/person_export.py",
    "planning/night_db.py", "planning/plan_table.py",  # queries
)  # fmt: skip
NO_SENTENCES = {
    "exception grant", "exception deny", "exception end", "function CODE --until DATE", "password approve",
    "otp approve",  # commands
    "feeds DIR", "days A..B", "out DIR",  # options
    "the old policy",  # the name of a run
    "not a path",
    "birth salt", "read back", "set or not",  # a purpose of digests, a word of the journal, a cell of CSV
    "password: {policy: cn=default,..., activation_policy: cn=activation",  # YAML
}  # fmt: skip
_EDGES = " \n.,;:!?()[]{}<>'\"/|=*-+%#&"
_MARKUP = re.compile(r"</?[a-z]+[ >]|=\"|: #|[{};]\s*$")
_PIECES = re.compile(r"\n|\{[a-z_]+\}|%d")
"""What separates the pieces of a literal: lines, and the values of a template."""
SAMPLES = {
    "day": "2026-09-0{}",
    "number": "4{}",
    "word": "xx{}",
    "names": "Zz{}",
    "text": "Yy{}",
    "said": "Ww{}",
}


def modules() -> list[Path]:
    paths = [
        path
        for name in READ
        for path in ([HERE / name] if name.endswith(".py") else sorted((HERE / name).rglob("*.[jp][2y]")))
    ]
    return [path for path in paths if str(path.relative_to(HERE)) not in NOT_READ]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each string in a module, except help texts, or in what a template prints."""
    if path.suffix == ".j2":
        tokens = jinja2.Environment().lex(path.read_text(encoding="utf-8"))
        yield from ((line, text.strip('"')) for line, kind, text in tokens if kind == "string")
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("typer.Option", "typer.Argument", "day_option", "re.compile", "AssertionError"):
                skipped.update(id(below) for below in ast.walk(node))
            if isinstance(node.func, ast.Attribute) and node.func.attr == "split":
                skipped.add(id(node.func.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each piece of a sentence in a module or a template."""
    for line, string in strings(path):
        for piece in _PIECES.split(string):
            text = piece.strip(_EDGES)
            command = text.startswith(("piactl ", "--"))
            if " " in text and re.search("[a-z]{2}", text) and not command and not _MARKUP.search(piece):
                yield line, text


@pytest.fixture(scope="module")
def entries() -> dict[str, str]:
    return {entry.msgid: entry.msgstr for entry in polib.pofile(str(CATALOGUE))}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HERE)))
def test_every_sentence_has_a_french_form(path: Path, entries: dict[str, str]) -> None:
    sentences = "\n".join(entries)
    assert [
        f"{line}: {text}"
        for line, text in literals(path)
        if text not in sentences and text not in NO_SENTENCES
    ] == []


def placeholders(text: str) -> list[str]:
    return re.findall(r"\{([a-z]+[0-9]*)\}", text)


def test_each_entry_is_unique_and_keeps_its_placeholders(entries: dict[str, str]) -> None:
    twice = Counter(entry.msgid for entry in polib.pofile(str(CATALOGUE)))
    assert [english for english, number in twice.items() if number > 1] == []
    for english, french in entries.items():
        assert french, english
        assert {*placeholders(french)} == {*placeholders(english)}, english
        assert {name.rstrip("0123456789") for name in placeholders(english)} <= SAMPLES.keys(), english


def test_each_sentence_finds_its_own_french_form(entries: dict[str, str]) -> None:
    """No other form matches its sentence."""
    catalogue = Catalogue(entries.items())
    wrong = []
    for english, french in entries.items():
        names = dict.fromkeys(placeholders(english))
        values = {
            name: SAMPLES[name.rstrip("0123456789")].format(number + 1) for number, name in enumerate(names)
        }
        sentence = catalogue.sentence(english.format_map(values) if values else english)
        if sentence != (french.format_map(values) if values else french):
            wrong.append((english, sentence))
    assert wrong == []


@pytest.mark.parametrize("joint", ["\n", "; ", ": ", ", ", " (", ") [", " and ", " or "])
@pytest.mark.parametrize("times", [90, 5_000])
def test_a_value_crafted_to_be_slow_is_returned_unchanged(
    entries: dict[str, str], joint: str, times: int
) -> None:
    """Another program may write such a value into the directory."""
    text = joint.join(["xx the yy"] * times)
    assert Catalogue(entries.items()).whole(text) == text
