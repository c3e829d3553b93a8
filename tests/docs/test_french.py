"""Every sentence of the modules that people read is a Phrase, and the catalogue has its French form."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path
from string import Formatter
from types import ModuleType

import jinja2
import pytest

import piactl
from piactl.report.translated_words import WORDS

HERE = Path(piactl.__file__).parent

READ = (
    "core/text.py", "core/timeline_rows.py", "core/explain", "core/rules", "core/plan", "core/acts",
    "core/naming", "core/model/overrides.py", "report", "feed/error_codes.py", "feed/csv_row_validator.py",
    "feed/header.py", "feed/feed_result.py", "feed/open_feed.py",
    "feed/people_builder.py", "feed/read_feed.py", "feed/rejects_file.py", "feed/value_checks.py",
    "planning/drift_by_rules.py",
    "planning", "edits", "ask", "helpdesk", "cli/framework/account_command.py",
    "cli/framework/help_desk.py", "cli/framework/writing_command.py", "cli/framework/terminal.py",
    "cli/commands/account.py", "cli/commands/account_find.py", "cli/commands/establishment.py",
    "cli/commands/account_edit.py", "cli/commands/account_export.py",
    "cli/commands/account_history.py", "cli/commands/approve.py",
    "cli/commands/assignment.py", "cli/commands/exception.py",
    "cli/commands/feed.py", "cli/commands/forecast.py", "cli/commands/match.py", "cli/commands/drift.py",
    "cli/commands/nightly.py", "cli/commands/otp.py", "cli/commands/password.py",
    "cli/commands/runs.py", "cli/commands/undo.py", "cli/commands/why.py",
    "cli/commands/guards.py", "cli/commands/policy.py", "cli/commands/rehearse.py",
    "trials/rehearse_nights.py",
    "trials/policy_diff.py", "trials/policy_test.py", "runs/hooks.py", "ask/status.py",
    "directory/same_on_servers.py", "cli/commands/doctor.py", "cli/commands/recover.py",
    "runs/recover_directory.py",
    "runs/known_server.py", "config", "cli/framework/application.py", "cli/framework/complete.py",
    "cli/framework/usage_errors.py", "doctor",
)  # fmt: skip
"""The modules whose text the help desk, the head of HR and schools read."""
NOT_READ = (
    "report/person_page.py", "report/templates/person.md.j2",  # are in French
    "report/metrics.py",
    "report/escaping.py",
    "edits/adopt_entries.py", "edits/undo_account.py", "edits/undo_run.py", "ask/person_export.py",
    "planning/night_db.py", "planning/plan_rows_on_disk.py",  # queries
)  # fmt: skip
NO_SENTENCES = {
    "exception grant", "exception deny", "exception end", "function CODE --until DATE", "password approve",
    "otp approve", "password reset", "otp verify", "runs rewind", "until DATE --reason",  # commands
    "feeds DIR", "days A..B", "out DIR", "out passwords.csv", "a reason",  # options
    "not applied", "not changed since", "changed since", "would change", "would be reversed", "not made",
    "let in", "left over", "password and code", "feed refused", "waits for a decision",
    "waits for the next feed",  # codes
    "int range",  # types of typer
    "Administer staff accounts in an LDAP directory from HR data",  # help
    "did you mean",  # how an advice begins
    "mapping values are not allowed", "did not find expected key", "block end",
    "cannot start any token",  # what YAML says
    "is wrong",  # how a reason of core begins
    "an identity check was wrong",  # in the journal
    "the old policy",  # the name of a run
    "not a path",
    "chmod 700", "mkdir -m 700",  # commands
    "s own", "this host", "each server", "the directory and the journal",  # what `doctor` reads
    "is not a valid date; use YYYY-MM-DD", "the policy has no",  # mistakes in a file of `policy test`
    "birth salt", "read back", "set or not",  # a purpose of digests, a word of the journal, a cell of CSV
    "password: {policy: cn=default,..., activation_policy: cn=activation",  # YAML
}  # fmt: skip
_OF_THE_CATALOGUE = ("Phrase", "Unfit", "counted", "joined", "translate_word")
_EDGES = " \n.,;:!?()[]{}<>'\"/|=*-+%#&"
_MARKUP = re.compile(r"</?[a-z]+[ >]|=\"|: #|[{};]\s*$")
_PIECES = re.compile(r"\n|\{[a-z_]+\}|%d")
"""What separates the pieces of a literal: lines, and the values of a template."""


def modules() -> list[Path]:
    paths = [
        path
        for name in READ
        for path in ([HERE / name] if name.endswith(".py") else sorted((HERE / name).rglob("*.[jp][2y]")))
    ]
    return [path for path in paths if str(path.relative_to(HERE)) not in NOT_READ]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each string in a module, except Phrases and help texts, or in what a template
    prints, except its words."""
    if path.suffix == ".j2":
        tokens = jinja2.Environment().lex(path.read_text(encoding="utf-8"))
        texts = ((line, text.strip('"')) for line, kind, text in tokens if kind == "string")
        yield from ((line, text) for line, text in texts if text not in WORDS)
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _OF_THE_CATALOGUE:
            skipped.update(map(id, node.args))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in (
                "typer.Option",
                "typer.Argument",
                "day_option",
                "uai_option",
                "number_option",
                "word_option",
                "re.compile",
                "AssertionError",
                "Text",
            ):
                skipped.update(id(below) for below in ast.walk(node))
            if isinstance(node.func, ast.Attribute) and node.func.attr == "split":
                skipped.add(id(node.func.value))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
            skipped.update(id(below) for below in ast.walk(node))  # what a type says of a file
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


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HERE)))
def test_every_sentence_is_a_phrase(path: Path) -> None:
    assert [f"{line}: {text}" for line, text in literals(path) if text not in NO_SENTENCES] == []


def _script() -> ModuleType:
    """docs/catalogue.py as a module."""
    place = importlib.util.spec_from_file_location("docs_catalogue", HERE.parent / "docs" / "catalogue.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


catalogue = _script()
FRENCH = {message.id: message for message in catalogue.french() if message.id}


def test_the_catalogue_has_the_sentences_of_the_code_and_no_other() -> None:
    """If it fails after a change of a sentence, run: python docs/catalogue.py"""
    wanted = {message.id for message in catalogue.sentences() if message.id}
    assert sorted(map(str, wanted - FRENCH.keys())) == []
    assert sorted(map(str, FRENCH.keys() - wanted)) == []


def test_the_extraction_sees_every_sentence() -> None:
    """Those within an f-string, too."""
    seen = {message.id[0] if isinstance(message.id, tuple) else message.id for message in FRENCH.values()}
    calls = (
        node
        for path in HERE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Phrase" and node.args
    )
    forms = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert forms - seen == set()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_sentence_has_a_french_form_with_its_values() -> None:
    for message in FRENCH.values():
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(forms), message.id
        if message.python_brace_format:
            assert all(placeholders(form) == placeholders(str(message.id)) for form in forms), message.id


def test_the_compiled_catalogue_is_up_to_date() -> None:
    """If it fails after a change of the catalogue, run: python docs/catalogue.py"""
    with catalogue.MO.open("rb") as file:
        compiled = GNUTranslations(file)
    for message in FRENCH.values():
        if isinstance(message.id, tuple):
            assert [compiled.ngettext(*message.id, n) for n in (1, 2)] == list(message.string), message.id
        else:
            assert compiled.gettext(message.id) == message.string, message.id
