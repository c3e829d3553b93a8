"""Updates the French catalogue from the code, and compiles it: python docs/catalogue.py

New sentences get an empty translation, and those that no code has any more go. Write the French into
piactl/locale/fr/LC_MESSAGES/piactl.po, and run it again. tests/docs/test_french.py checks both files.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from piactl import __version__
from piactl.cli.framework.application import VALUE, load_command, paragraphs, plain_help
from piactl.cli.framework.command_table import COMMANDS, GROUPS, NOUNS
from piactl.config.typed_reading import Group, Kind, Slot, keys_of
from piactl.core.model.field_notes import Names, NotBeside
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.translation import use
from piactl.trials.policy_test import PolicyCases

PACKAGE = Path(__file__).resolve().parents[1] / "piactl"
PO = PACKAGE / "locale" / "fr" / "LC_MESSAGES" / "piactl.po"
MO = PO.with_suffix(".mo")
_KEYWORDS: Mapping[str, tuple[int, ...]] = {
    "Phrase": (0,),
    "Unfit": (0,),
    "counted": (1, 2),
    "joined": (1,),
    "translate_word": (0,),
}
"""The functions with sentences, and the places of these among the arguments."""


def sentences() -> Catalog:
    """The sentences of the code, without translations."""
    found = Catalog(fuzzy=False)
    for path in (*PACKAGE.rglob("*.py"), Path(__file__).with_name("translated_words.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if message := isinstance(node, ast.Call) and _message(node):
                found.add(message)
    for text in (*help_texts(), *expected_texts()):
        found.add(text)
    return found


def _message(call: ast.Call) -> str | tuple[str, ...]:
    """The sentence of a call, the singular and plural of `counted`; "" if it has none. Babel itself would
    miss those within an f-string or another call."""
    places = _KEYWORDS.get(ast.unparse(call.func), ())
    given = [call.args[place] for place in places if place < len(call.args)]
    texts = tuple(one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return texts[0] if len(texts) == 1 else texts or ""


def help_texts() -> Iterator[str]:
    """The texts of the help: titles, summaries, paragraphs, options and the words for their values; and the
    commands themselves, whose French is the words that somebody may type in their place."""
    use("en")
    yield from GROUPS
    for words in dict.fromkeys(["", *NOUNS, *COMMANDS]):
        command: Any = load_command(words)
        context = command.make_context(words, [], resilient_parsing=True)
        yield from paragraphs(command)
        if words:
            yield f"piactl {words}"
            yield COMMANDS[words].summary if words in COMMANDS else NOUNS[words]
        for parameter in command.get_params(context):
            yield from filter(None, [parameter.help])
            yield from VALUE.findall((plain_help(parameter, context) or [""])[0])
        yield from VALUE.findall(" ".join(command.collect_usage_pieces(context)))
    yield from ("required", "default: ", "env var: ")


def expected_texts() -> Iterator[str]:
    """What the types of the files that people write say is expected."""
    seen: set[Any] = set()
    slots: list[Any] = [Slot("", Kind(form), True, None) for form in (Settings, Policy, PolicyCases)]
    while slots:
        slot = slots.pop()
        if isinstance(slot, Group):
            yield slot.expected
            slots += slot.keys.values()
            continue
        kind = slot.kind
        yield from filter(None, [kind.expected])
        yield from [note.wrong for note in kind.notes.values() if isinstance(note, Names)]
        yield from [note.instead for note in kind.notes.values() if isinstance(note, NotBeside)]
        slots += [Slot("", below, True, None) for below in (kind.key, kind.item) if below]
        if is_dataclass(kind.form) and kind.form not in seen:
            seen.add(kind.form)
            slots += keys_of(kind.form).values()


def french() -> Catalog:
    """The catalogue as it is in the file."""
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def updated() -> tuple[bytes, bytes]:
    """What the catalogue has to be, and its compiled form."""
    catalogue = french()
    catalogue.project, catalogue.version, catalogue.msgid_bugs_address = "piactl", __version__, "none"
    created = catalogue.creation_date
    catalogue.update(sentences(), no_fuzzy_matching=True, update_header_comment=False)
    catalogue.creation_date = catalogue.revision_date = created  # else each update would change the file
    text, compiled = io.BytesIO(), io.BytesIO()
    write_po(text, catalogue, width=110, no_location=True, sort_output=True, ignore_obsolete=True)
    write_mo(compiled, catalogue)
    return text.getvalue(), compiled.getvalue()


if __name__ == "__main__":
    text, compiled = updated()
    PO.write_bytes(text)
    MO.write_bytes(compiled)
