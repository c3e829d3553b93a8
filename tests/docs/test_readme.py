"""The README and the generated documents are right: output, commands, exit codes, tour, links, man pages."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from piactl.cli.framework.command_table import COMMANDS
from piactl.cli.main import run
from piactl.errors import Exit
from tests.cli.streams import shared_forks

TOP = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("examples/*.md"), *TOP.glob("tests/**/*.md")]
)


def _generator() -> ModuleType:
    """docs/generate.py as a module."""
    place = importlib.util.spec_from_file_location("docs_generate", TOP / "docs" / "generate.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module
    place.loader.exec_module(module)
    return module


generate = _generator()


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_pages_and_sections_that_messages_name_are_there() -> None:
    named = re.compile(r'docs/([\w-]+\.md)(?:,? \(?"([^"]+)"|, section (\d+))?')
    found = 0
    for file in sorted((TOP / "piactl").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))
            for page, title, number in named.findall(text):
                content = (TOP / "docs" / page).read_text("utf-8")
                assert not title or re.search(rf"(?m)^#+ {re.escape(title)}$", content), (file, page, title)
                assert not number or re.search(rf"(?m)^## {number}\. ", content), (file, page, number)
                found += 1
    assert found > 20


def test_commands_page_is_fresh() -> None:
    """If it fails after a change of a command, run: python docs/generate.py commands"""
    assert (TOP / "docs" / "commands.md").read_text(encoding="utf-8") == generate.commands_page()


def test_the_schemas_of_files_are_up_to_date() -> None:
    """If it fails after a change of a setting, run: python docs/generate.py schemas"""
    for name, text in generate.schemas().items():
        assert (TOP / "schemas" / "json" / f"{name}.schema.json").read_text(encoding="utf-8") == text, name


Start = Callable[[str, Path], str]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a command as a new process. The generator of pages forks its commands meanwhile, from a process
    that has everything loaded."""
    start: Start = generate._output

    def output(command: str, folder: Path) -> str:
        first, *words = command.split()
        if first != "piactl":
            return start(command, folder)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "100"}
        code, out, messages = shared_forks().ended(
            words, folder / "box" / "piactl.yaml", folder, inside=folder, environment=environment
        )
        assert code == 0, messages
        return out

    monkeypatch.setattr(generate, "_output", output)
    return start


@pytest.mark.usefixtures("start")
def test_the_readme_shows_what_commands_print() -> None:
    """If it fails after a change of words, run: python docs/generate.py examples"""
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    assert readme.count("```console\n$ ") == 3
    assert generate.stable(readme) == generate.stable(generate.refreshed_examples(readme))


@pytest.mark.usefixtures("start")
def test_the_page_on_cases_shows_what_commands_print() -> None:
    page = (TOP / "docs" / "identity.md").read_text(encoding="utf-8")
    assert page.count("```console\n$ ") == 2
    assert generate.stable(page) == generate.stable(generate.refreshed_examples(page, generate.CASE))


def test_every_command_is_documented() -> None:
    page = (TOP / "docs" / "commands.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## piactl (.*)$", page, re.MULTILINE)
    assert headings == list(COMMANDS)
    for heading, section in zip(headings, page.split("\n## piactl ")[1:], strict=True):
        assert f"```\npiactl {heading} [OPTIONS]" in section
        assert len(section.split("```")[2].strip()) > 10, heading


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert run([*name.split(), "--help"]) == 0, name
        shown = capsys.readouterr()
        assert shown.out.startswith("Usage: piactl "), name
        assert len(shown.out.splitlines()) > 5, name
        assert not shown.err, name
        assert not re.search(r"<[A-Za-z]", shown.out), "a type of Python"


def test_the_help_groups_the_commands_by_what_people_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    sections = re.findall(r"^(\w[^:\n]*):\n((?:  .*\n)+)", capsys.readouterr().out, re.MULTILINE)
    groups = {title: re.findall(r"^  (\S+)  ", text, re.MULTILINE) for title, text in sections[1:]}
    assert next(iter(groups)) == "Every day"
    daily = "nightly plan apply undo status doctor why account exception match password otp"
    assert groups["Every day"] == daily.split()
    shown = [word for words in groups.values() for word in words]
    assert sorted(shown) == sorted({words.split()[0] for words in COMMANDS})


def test_exit_codes_are_those_of_the_code() -> None:
    page = (TOP / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = [int(number) for number in re.findall(r"^\| (\d+) \| ", page, re.MULTILINE)]
    assert documented == [int(code) for code in Exit]
    page = (TOP / "docs" / "administration.md").read_text(encoding="utf-8")
    night = page.split("## Exit codes of a night")[1]
    listed = {int(number) for number in re.findall(r"^\| (\d+) \| ", night, re.MULTILINE)}
    assert {0, 4, 5, 6} < listed < {int(code) for code in Exit}


# ---- links


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(TOP)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(file), f"{page.name}: {target}"


def test_every_page_is_linked() -> None:
    """Each page is linked from the README or from another linked page."""
    linked, todo = set(), [TOP / "README.md"]
    while todo:
        page = todo.pop()
        if page in linked or page.suffix != ".md":
            continue
        linked.add(page)
        targets = re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8"))
        todo += [(page.parent / t).resolve() for t in targets if not re.match(r"[a-z]+:", t)]
    assert {page for page in PAGES if page.is_relative_to(TOP / "docs")} <= linked


# ---- man pages


def test_man_pages(tmp_path: Path) -> None:
    assert generate.main(["man", str(tmp_path)]) == 0
    pages = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert {"piactl.1", *(f"piactl-{words.split()[0]}.1" for words in COMMANDS)} == {*pages}
    for name, page in pages.items():
        lines = page.splitlines()
        assert lines[0].startswith(f'.TH "{name[:-2].upper()}"'.replace("-", "\\-"))
        assert {".SH NAME", ".SH SYNOPSIS", ".SH EXIT STATUS"} <= {*lines}, name
        macros = {line.split()[0] for line in lines if line.startswith((".", "'"))}
        assert macros <= {".TH", ".SH", ".PP", ".TP", ".br", ".nf", ".fi"}, name
        assert not any("`" in line for line in lines), name
    for words in COMMANDS:
        plain = pages[f"piactl-{words.split()[0]}.1"].replace("\\-", "-")
        assert f"piactl {words} [OPTIONS]" in plain
    assert all(f".TP\n\\fB{int(code)}\\fR\n" in pages["piactl.1"] for code in Exit)


def test_man_pages_have_no_errors(tmp_path: Path) -> None:
    lint = next((tool for tool in ("mandoc", "groff") if shutil.which(tool)), None)
    if lint is None:
        pytest.skip("neither mandoc nor groff is installed")
    words = (
        ["mandoc", "-T", "lint", "-W", "error"]
        if lint == "mandoc"
        else ["groff", "-man", "-Tutf8", "-ww", "-z"]
    )
    generate.main(["man", str(tmp_path)])
    files = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run([*words, *files], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- the tour


@pytest.fixture
def folder() -> Iterator[Path]:
    # a short name: the path of a Unix socket is limited to some hundred characters
    path = Path(tempfile.mkdtemp(prefix="piactl-readme-"))
    yield path
    subprocess.run(
        [sys.executable, "-m", "piactl", "sandbox", "stop", "--dir", str(path / "box")],
        capture_output=True,
        check=False,
        cwd=TOP,
    )
    shutil.rmtree(path)


def test_the_tour_works(folder: Path, start: Start) -> None:
    block = (TOP / "docs" / "tutorial.md").read_text(encoding="utf-8").split("```")[1]
    lines = [line.split("#")[0].rstrip() for line in block.strip().splitlines()]
    assert {line for line in lines if line and not line.startswith(("piactl ", "python "))} == {
        ". .venv/bin/activate",
        "export PIACTL_CONFIG=box/piactl.yaml",
    }
    lines = [line for line in lines if line.startswith(("piactl ", "python "))]
    assert len(lines) > 12
    (folder / "examples").symlink_to(TOP / "examples")
    shown = ""
    for line in lines:
        new = line.startswith(("piactl sandbox", "piactl nightly", "piactl account show"))
        shown += start(line, folder) if new else generate._output(line, folder)
    assert "camille.verdelot" in shown
    assert "journal intact: " in shown
