"""Help, usage errors and completion under a French locale."""

from __future__ import annotations

import re

import pytest

from tests.outside import run

CODE = re.compile(r"`[^`]*`|\[env.*\]|\S*[|/_.=,]\S+|--?[a-z-]+")
"""What has no French: commands, options, and words of files and of values."""


@pytest.fixture(autouse=True)
def french(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "PIACTL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")


def help_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*words.split(), "--help"]) == 0
    return capsys.readouterr().out


def every_command(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The words of piactl itself, of each noun and of each command, as the help lists them."""
    listed = re.compile(r"^  ([a-z][a-z-]*) +[A-ZÀ-Ý]", re.MULTILINE)
    first = listed.findall(help_of("", capsys))
    below = {word: help_of(word, capsys).partition("Commandes :")[2] for word in first}
    commands = [f"{word} {second}" for word, text in below.items() for second in listed.findall(text)]
    assert len(commands) > 70
    return ["", *first, *commands]


def sentences(text: str) -> set[str]:
    """The pieces of a help between its usage and its example, in words that could be translated."""
    body = re.split(r"\n +Ex[ae]mple", text)[0].partition("\n\n")[2]
    plain = " ".join(body.split())
    return {" ".join(piece.split()) for piece in re.split(r"[.;:\[\]]( |$)", CODE.sub(". ", plain)) if piece}


def test_no_help_has_english(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No sentence of the English help is in the French one, nor is any other with an English article."""
    left = {}
    for words in every_command(capsys):
        shown = help_of(words, capsys)
        monkeypatch.setenv("LANG", "C.UTF-8")
        english = help_of(words, capsys)
        monkeypatch.setenv("LANG", "fr_FR.UTF-8")
        both = sentences(english) & sentences(shown)
        same = [piece for piece in both if re.search("[a-z]{3} [a-z]", piece) and "piactl" not in piece]
        articles = re.findall(
            r".*\b(?:the|of|and|with|to|by|is)\b.*", CODE.sub("", shown.split("Exemple :")[0])
        )
        if same or articles:
            left[words] = [*same, *articles]
    assert left == {}


def test_help_has_french_titles_and_terms(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("account close", capsys)
    for line in (
        "Arguments :",
        "Options :",
        "  -h, --help                      Afficher cette aide.",
        "  Exemple :",
        "    piactl account close claire.dubreuil --from 2026-09-10 \\",
    ):
        assert line in text.splitlines(), text
    assert text.startswith("Usage : piactl account close [OPTIONS]")
    assert "[obligatoire]" in text
    assert re.search(r"--reason TEXTE +Motif", text)
    assert "Tous les jours :" in help_of("", capsys)
    assert "Commandes :" in help_of("account", capsys)


def test_no_line_begins_with_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    for words in every_command(capsys):
        assert re.findall(r"\n *[:;?!].*", help_of(words, capsys)) == [], words


WRONG: dict[str, tuple[str, str]] = {
    "compte": ("Commande inconnue : piactl compte ; s'agit-il de piactl account ?", "piactl"),
    "compte verouiller marie.martin": (
        "Commande inconnue : piactl compte ; s'agit-il de piactl account lock ?",
        "piactl",
    ),
    "pourquoi marie.martin": ("Commande inconnue : piactl pourquoi ; s'agit-il de piactl why ?", "piactl"),
    "xyz": ("Commande inconnue : piactl xyz", "piactl"),
    "account fermer x": (
        "Commande inconnue : piactl account fermer ; s'agit-il de piactl account close ?",
        "piactl account",
    ),
    "policy tst": (
        "Commande inconnue : piactl policy tst ; s'agit-il de piactl policy test ?",
        "piactl policy",
    ),
    "--config": ("L'option --config demande une valeur", "piactl"),
    "--config x": ("Commande manquante", "piactl"),
    "account lock": ("Argument manquant : COMPTE", "piactl account lock"),
    "account list Martin": ("Argument en trop : Martin", "piactl account list"),
    "account list --ui x": ("Option inconnue : --ui ; s'agit-il de --uai ?", "piactl account list"),
    "sandbox stop -z": ("Option inconnue : -z ; il y a : --dir", "piactl sandbox stop"),
    "account lock a --reason": ("L'option --reason demande une valeur", "piactl account lock"),
    "account lock a --yes=3": ("L'option --yes ne prend pas de valeur", "piactl account lock"),
    "nightly -o foo": (
        "Valeur incorrecte pour -o / --output : 'foo' n'est pas l'un de text, json",
        "piactl nightly",
    ),
    "plan --by foo": (
        "Valeur incorrecte pour --by : 'foo' n'est pas l'un de uai, profile, service, source",
        "piactl plan",
    ),
    "runs list --most x": (
        "Valeur incorrecte pour --most : 'x' n'est pas un nombre de 0 à 1000000",
        "piactl runs list",
    ),
    "guards suggest --margin 0": (
        "Valeur incorrecte pour --margin : '0' n'est pas un nombre de 1 à 100",
        "piactl guards suggest",
    ),
}
"""Command lines, and what is said of them, with the command whose help they show."""


@pytest.mark.parametrize("line", WRONG)
def test_usage_errors_are_french(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    message, command = WRONG[line]
    assert run(line.split()) == 2
    assert capsys.readouterr().err == f"piactl: {message}\npiactl: Voir : {command} --help\n"


def test_usage_errors_for_programs_are_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["account", "lock", "-o", "json"]) == 2
    printed = capsys.readouterr()
    assert '"message": "Missing argument ACCOUNT\\nSee: piactl account lock --help"' in printed.out
    assert "Argument manquant : COMPTE" in printed.err


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["acc"], "account\tMontrer, créer, renommer, verrouiller et fermer des comptes."),
        (["account", "loc"], "lock\tVerrouiller des comptes aussitôt."),
        (["account", "lock", "--re"], "--reason\tMotif, en une phrase, pour mémoire"),
        (["--ver"], "--version\tAfficher la version."),
    ],
)
def test_completion_is_french(typed: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--complete", *typed]) == 0
    assert line in capsys.readouterr().out.splitlines()
