"""Under a French locale no command prints an English word to people, however it ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import piactl
from piactl.cli.framework.application import load_command
from piactl.errors import Exit
from tests.story.academy import Academy, Ran
from tests.story.phones import verified

from .command_cases import CASES, CLAIRE, WHY, filled
from .test_every_command import command_of, loaded  # noqa: F401 - a fixture

CATALOGUE = Path(piactl.__file__).parent / "locale" / "fr" / "LC_MESSAGES" / "piactl.po"
_WORD = re.compile(r"(?<![\w./@=-])[a-zA-Z]{2,}(?:'[st]\b)?(?![\w@=/]|\.\w|-\w)")
_TYPED = re.compile(
    # a command to type
    r"piactl( -+[a-z]+ \S+)*( [a-z-]+(?![\w.])){1,2}( -\S+( [a-z]+| '[^']*')?| \S*[.\d@A-Z\"]\S*)*( login)?"
    r"|\{[^}]*\}|--?[a-z-]+|`[^`]*`|\[[^\]]*\]|'[^']*'|\S*[/\\_]\S*|\b[A-Z][A-Z_]+\b|\b[a-z]+[A-Z]\w*"
)
"""What is the same in every language: commands, options, places, files, names of settings and attributes."""


def words_in(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(_TYPED.sub(" ", text))}


def english_words() -> set[str]:
    """The words of the catalogue that are in English sentences and in no French one."""
    english, french = set[str](), set[str]()
    with CATALOGUE.open("rb") as file:
        for message in filter(lambda message: message.id, read_po(file)):
            english |= words_in(" ".join([*message.id] if isinstance(message.id, tuple) else [message.id]))
            french |= words_in(
                " ".join([message.string] if isinstance(message.string, str) else message.string)
            )
    return english - french


ENGLISH = english_words()
OF_PROGRAMS = ("completion", "journal export", "account export")


def english_in(ran: Ran, academy: Academy, typed: Iterable[str] = ()) -> list[str]:
    """The lines of an output with English words that nobody typed."""
    places = re.compile("|".join(map(re.escape, (str(academy.folder), str(academy.sandbox.folder)))))
    lines, own = (ran.out + ran.err).splitlines(), words_in(" ".join(typed))
    return [line for line in lines if words_in(places.sub("", line)) & ENGLISH - own]


def test_the_words_are_found() -> None:
    """A sentence that is no Phrase, or has no French, is noticed."""
    assert {"the", "of", "is", "not", "with", "from", "and", "this", "was", "has", "for", "by"} <= ENGLISH
    plain = Ran(0, "the plan was refused\n", "piactl: --until 2026-09-01 est passé\n")
    assert words_in(plain.out) & ENGLISH == {"the", "was", "refused"}
    assert words_in(plain.err) & ENGLISH == set()


def form(words: str) -> tuple[str, ...]:
    """The form that is for people: text, or a table where the command prints one."""
    output = next((p for p in command_of(load_command(), words).params if "-o" in p.opts), None)
    has_text = output is None or "text" in (output.metavar or "") or "text by default" in (output.help or "")
    return () if has_text else ("-o", "table")


@pytest.mark.parametrize("words", [words for words in CASES if words not in OF_PROGRAMS])
def test_no_command_prints_english(loaded: Academy, words: str) -> None:  # noqa: F811
    """Its right input and each wrong one; what the wrong ones print in English has such words."""
    case, noticed = CASES[words], list[str]()
    try:
        for arguments, stdin, _, _ in case.wrong:
            asked = filled(arguments, loaded)
            ran = loaded.run(*asked, stdin=stdin)
            noticed += english_in(ran, loaded)
            said = loaded.run_in_french(*asked, stdin=stdin)
            assert english_in(said, loaded, (*asked, "cases")) == [], asked  # a key of a file
        for arguments, stdin in case.before:
            assert loaded.run(*filled(arguments, loaded), stdin=stdin).code == 0
        if words in ("otp suspend", "otp resume"):
            verified(loaded, CLAIRE)
        if words == "otp resume":
            assert loaded.run("otp", "suspend", CLAIRE, *WHY).code == 0
        asked = [*filled(case.right, loaded), *form(words)]
        ran = loaded.run_in_french(*asked, stdin=case.stdin)
        assert ran.code in (case.code, *([Exit.FAILED] if words == "doctor" else [])), ran
        names = [
            "default",
            *(" ".join(CASES).split() if words == "roles" else ()),
        ]  # of positions and commands
        assert english_in(ran, loaded, (*asked, *names)) == []
        assert noticed or all(code == Exit.USAGE for _, _, code, _ in case.wrong)
    finally:
        if words.startswith("sandbox"):
            loaded.run("sandbox", "stop", "--dir", loaded.folder / "new")


def test_what_the_system_says_of_a_file_is_french(loaded: Academy) -> None:  # noqa: F811
    asked = ("--config", "x" * 300, "status")
    assert "nom de fichier trop long" in (ran := loaded.run_in_french(*asked)).err
    assert english_in(ran, loaded, asked) == []
