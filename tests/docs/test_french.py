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

NOT_READ = (
    "report/person_page.py", "report/templates/person.md.j2",  # are in French
    "cli/framework/command_table.py", "cli/framework/options.py",  # help, which the catalogue has
    "core/model/field_notes.py", "core/model/guard_limits.py", "core/model/policy.py",
    "core/model/settings.py",  # what a type says of a file, which the catalogue has
    "core/journal_line.py", "journal/query.py", "journal/syslog.py", "cli/commands/plan.py",
    "directory/probe/trial_requests.py", "directory/client/result_codes.py",
    "directory/client/reader.py",  # codes, and names of requests
    "edits/adopt_entries.py", "edits/undo_account.py", "edits/undo_run.py", "ask/person_export.py",
    "report/metrics.py", "report/escaping.py", "cli/framework/output.py",  # for programs
    "planning/night_db.py", "planning/plan_rows_on_disk.py", "feed/feed_rows_in_memory.py",
    "host/private_files.py", "directory/store/attribute_values.py",  # queries, layouts
    "feed/formats/safe_xml.py", "feed/formats/set_files.py",  # words of XML, names of formats
    "sandbox/folder.py", "sandbox/server.py", "trials/first_configuration.py",  # files that they write
    "directory/client/messages.py", "directory/client/strategy.py", "directory/client/usable_server.py",
    "directory/dn.py", "directory/filters.py", "runs/undo_log.py", "journal/files.py",
    "journal/intent_format.py", "journal/writer.py", "cli/commands/journal.py",
    "runs/journal_heads.py",  # mistakes of piactl itself, and of damaged bytes
)  # fmt: skip
"""The modules with English that people do not read, or that the catalogue gets in another way."""
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
    "cannot start any token", "end of stream", "expected ',' or", "node content", "hexdecimal number",
    "could not find expected", "block sequence entries are not allowed",
    "unknown escape character",  # what YAML says
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
    paths = sorted(HERE.rglob("*.[jp][2y]"))
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
