"""Completion: of commands and options without directory or heavy imports, of live values quickly."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from piactl.cli.commands.completion import SHELLS
from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, NOUNS
from piactl.cli.framework.complete import FILES, complete, completed
from piactl.cli.main import run
from piactl.core.model.account import State
from tests.story.academy import Academy, prepared
from tests.story.feeds import crowd, row

from .streams import shared_forks

TOP = Path(__file__).resolve().parents[2]
DAY = "2026-09-02"


def words(*typed: str) -> list[str]:
    return [word for word, _ in completed(typed)]


def test_command_words_are_completed() -> None:
    assert set(words("")) == {w.split()[0] for w in COMMANDS}
    assert words("acc") == ["account"]
    assert set(words("account", "")) == {w.split()[1] for w in COMMANDS if w.startswith("account ")}
    assert words("account", "sh") == ["show"]
    assert words("--config", "x", "pl") == ["plan"]
    assert words("--config=x", "pl") == ["plan"]
    assert words("-") == ["--config", "--version", "--help"]
    assert words("nothing", "") == []
    for noun in NOUNS:
        assert words(noun, ""), noun


def test_suggested_options_match_those_of_each_command() -> None:
    for path in COMMANDS:
        options = [p for p in load_command(path).params if p.param_type_name == "option"]
        assert set(words(*path.split(), "--")) == {max(option.opts, key=len) for option in options} | {
            "--help"
        }, path


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["account", "list", "--state", ""], [state.value for state in State]),
        (["account", "list", "--state=g"], ["--state=grace"]),
        (["account", "list", "--state", "=", "g"], ["grace"]),
        (["account", "list", "--state", "="], [state.value for state in State]),
        (["account", "list", "-o", "j"], ["json"]),
        (["account", "list", "--output", "ndj"], ["ndjson"]),
        (["nightly", ""], [FILES]),
        (["plan", "--out", "x"], [FILES]),
        (["--config", ""], [FILES]),
        (["apply", "plan.json", "--allow", "dea"], ["deactivate=", "deactivate_window="]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["account", "list", "--as-of", ""], []),
        (["account", "lock", "x", "--rea"], ["--reason"]),
    ],
)
def test_option_values_are_completed(typed: list[str], expected: list[str]) -> None:
    assert words(*typed) == expected


@prepared
def people(academy: Academy) -> Academy:
    names = ("Alain", "Alice", "Anne", "Boris")
    rows = [row(matricule=str(100 + n), prenom=name, nom_famille="Dubreuil") for n, name in enumerate(names)]
    academy.night(DAY, academy.feed(*rows))
    return academy


def asked(people: Academy, *typed: str) -> list[str]:
    return words("--config", str(people.sandbox.config), *typed)


def test_uids_services_profiles_and_runs_are_completed(people: Academy) -> None:
    assert asked(people, "account", "show", "al") == ["alain.dubreuil", "alice.dubreuil"]
    assert asked(people, "account", "lock", "alain.dubreuil", "b") == ["boris.dubreuil"]
    assert asked(people, "account", "history", "alain.dubreuil", "") == []
    assert len(asked(people, "account", "show", "")) == 4
    assert asked(people, "account", "show", "zo") == []
    assert asked(people, "account", "show", "*") == []
    assert asked(people, "account", "create", "--sponsor", "ann") == ["anne.dubreuil"]
    assert "login" in asked(people, "why", "alain.dubreuil", "")
    assert asked(people, "why", "alain.dubreuil", "ipr") == ["iprof"]
    assert asked(people, "service", "show", "mess") == ["messagerie"]
    assert "enseignant" in asked(people, "profile", "show", "ens")
    assert asked(people, "account", "list", "--uai", "0800009") == ["0800009A"]
    assert asked(people, "assignment", "move", "anne.dubreuil", "--to", "0800009") == ["0800009A"]
    assert {"DIR", "DOC"} <= {*asked(people, "assignment", "add", "anne.dubreuil", "--function", "D")}
    assert asked(people, "match", "list", "--source", "") == ["hr"]
    assert asked(people, "match", "show", "") == []
    runs = asked(people, "runs", "show", "")
    assert runs[0] == "last"
    assert len(runs) == 2


def test_cases_are_completed(academy: Academy) -> None:
    """Two matricules that may be of one person."""
    person = {"prenom": "Alice", "nom_famille": "Dubreuil", "date_naissance": "1980-03-04"}
    academy.night(DAY, academy.feed(row(matricule="1", **person), row(matricule="2", **person)))
    cases = [case["case"] for case in academy.run("match", "list", "-o", "json").json]
    assert cases
    assert asked(academy, "match", "show", "") == asked(academy, "match", "same", "") == sorted(cases)
    assert asked(academy, "match", "show", cases[0][:4]) == [cases[0]]


def test_at_most_fifty_uids_are_suggested(academy: Academy) -> None:
    academy.night(DAY, academy.feed(*crowd(60)))
    assert len(asked(academy, "account", "show", "louise.v")) == 50


def test_completion_is_silent_without_a_directory(
    people: Academy, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(people.sandbox.config)]
    people.sandbox.stop()
    for typed in (
        [*config, "account", "show", "a"],
        ["--config", "/nowhere.yaml", "account", "show", "a"],
        ["--config", "/nowhere.yaml", "service", "show", "a"],
        ["account", "show"],
    ):
        assert run(["--complete", *typed]) == 0
    captured = capsys.readouterr()
    assert (captured.out.replace("show\tShow accounts on any day.\n", ""), captured.err) == ("", "")


def test_completion_gives_up_quickly_on_a_silent_server(people: Academy) -> None:
    config = people.sandbox.config
    text = config.read_text()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        uri = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        lines = [f'  servers: ["{uri}"]' if "servers:" in line else line for line in text.split("\n")]
        config.write_text("\n".join(lines))
        began = time.monotonic()
        suggestions: list[str] = []
        assert complete(["--config", str(config), "account", "show", "a"], suggestions.append) == 0
        assert suggestions == []
        # other commands wait a minute; the limit leaves room for a slow machine
        assert time.monotonic() - began < 3


def test_completion_needs_only_the_reader_password(people: Academy) -> None:
    for other in ("nightly", "desk", "administrator"):
        (people.sandbox.folder / "secrets" / other).unlink()
    assert asked(people, "account", "show", "an") == ["anne.dubreuil"]


@pytest.mark.parametrize("shell", SHELLS)
def test_piactl_completion_prints_the_script_of_each_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"piactl in {shell}" in script
    assert "--complete" in script


def test_an_unsupported_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "bash, zsh or fish" in capsys.readouterr().err


def shell_answer(shell: str, script: str, people: Academy, folder: Path) -> str:
    """The output of a shell script that can use piactl and its completion."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    tools = folder / "bin"
    tools.mkdir()
    shared_forks().program(tools / "piactl")
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PIACTL_CONFIG": str(people.sandbox.config),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [shell, "-f", "-c", script] if shell == "zsh" else [shell, "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


BASH = """
eval "$(piactl completion bash)"
try() { COMP_WORDS=(piactl "$@"); COMP_CWORD=$(($# )); _piactl; printf '%s;' "${COMPREPLY[@]}"; echo; }
try acc
try account show al
try account list --state = g
try account list -o ta
touch feed-one.csv 'feed two.csv'
try nightly feed
try nothing ''
complete -p piactl
"""


def test_in_bash(people: Academy, tmp_path: Path) -> None:
    lines = shell_answer("bash", BASH, people, tmp_path).split("\n")
    assert lines[:4] == ["account;", "alain.dubreuil;alice.dubreuil;", "grace;", "table;"]
    assert sorted(lines[4].strip(";").split(";")) == ["feed two.csv", "feed-one.csv"]
    assert lines[5] == ";"
    assert "-F _piactl piactl" in lines[6]


FISH = """
piactl completion fish | source
complete -C 'piactl acc'
complete -C 'piactl account show al'
complete -C 'piactl account list --state=g'
touch feed-one.csv
complete -C 'piactl nightly fee'
"""


def test_in_fish(people: Academy, tmp_path: Path) -> None:
    lines = shell_answer("fish", FISH, people, tmp_path).strip().split("\n")
    assert [line.split("\t")[0] for line in lines] == [
        "account",
        "alain.dubreuil",
        "alice.dubreuil",
        "--state=grace",
        "feed-one.csv",
    ]
    assert lines[0].split("\t")[1] == NOUNS["account"]


ZSH = """
autoload -U compinit; compinit -u -D
eval "$(piactl completion zsh)"
compadd() { while [[ $1 != -- ]]; do shift; done; shift; echo "${(P)1}"; }
_files() { echo files; }
try() { words=(piactl "$@"); CURRENT=$#words; _piactl; }
try acc
try account show al
try account list --state=g
try nightly ''
try nothing ''
echo $_comps[piactl]
"""


def test_in_zsh(people: Academy, tmp_path: Path) -> None:
    lines = shell_answer("zsh", ZSH, people, tmp_path).strip().split("\n")
    assert lines == ["account", "alain.dubreuil alice.dubreuil", "--state=grace", "files", "_piactl"]


def test_suggestions_go_to_the_given_function() -> None:
    suggestions: list[str] = []
    typed: Sequence[str] = ["account", "lis"]
    assert complete(typed, suggestions.append) == 0
    assert suggestions == ["list\tList the accounts, by uid.\n"]
