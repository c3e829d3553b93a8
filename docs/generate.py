"""Writes the documents that are made from the program itself: python docs/generate.py ...

    commands    docs/commands.md, from the help of the commands
    examples    the output in README.md and docs/identity.md, from a sandbox with invented people
    man DIR     the man pages, into DIR
    schemas     the JSON Schemas of the configuration, the policy and the cases of policies

Tests check that docs/commands.md, the examples and the schemas are up to date.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))


from piactl import __version__  # noqa: E402
from piactl.cli.framework.application import load_command, plain_help  # noqa: E402
from piactl.cli.framework.command_table import COMMANDS, NOUNS  # noqa: E402
from piactl.config.typed_reading import Group, Kind, keys_of  # noqa: E402
from piactl.core.model.field_notes import (  # noqa: E402
    FILLED,
    ONE_OR_LIST,
    UNIQUE,
    Bounds,
    Needs,
    NotBeside,
    Only,
    Text,
    Usually,
    Words,
)
from piactl.core.model.guard_limits import WrittenGuard, WrittenLimit  # noqa: E402
from piactl.core.model.policy import Policy, When  # noqa: E402
from piactl.core.model.settings import Settings  # noqa: E402
from piactl.errors import Exit  # noqa: E402
from piactl.translation import use  # noqa: E402
from piactl.trials.policy_test import PolicyCases  # noqa: E402

COMMANDS_PAGE = TOP / "docs" / "commands.md"
README = TOP / "README.md"
IDENTITY_PAGE = TOP / "docs" / "identity.md"

EXIT_CODES = {
    Exit.DONE: "done, or nothing to do",
    Exit.FAILED: "failed",
    Exit.USAGE: "the command line is wrong, or names a file that does not exist",
    Exit.CHANGES: "the plan has changes (`plan --detailed-exitcode`)",
    Exit.REFUSED: "refused by a guard; nothing was written",
    Exit.PARTLY: "done in part: conflicts, failures, a signal, people held who were not before or for "
    "too long, a case undecided for too long, a broken guard of drift; "
    "with `--strict` also rejected rows",
    Exit.FEED_REFUSED: "a feed is refused as a whole; nothing was written",
    Exit.LOCKED: "another run holds the lock, or the lock cannot be read",
    Exit.UNREACHABLE: "no directory server can be used",
    Exit.NOT_FOUND: "no such account, run, case, request, service, profile, source, server or key",
    Exit.CONFIGURATION: "a configuration, policy, register or secret file is invalid or not readable by this "
    "user, the default password policy is missing, or the server is too old",
    Exit.OLDER: "the directory lacks a run that the journal of this host has: `piactl recover`",
    Exit.DECLINED: "the confirmation was declined; nothing was changed",
    Exit.BUG: "a bug in piactl",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; during a run it is 5",
}

STREAMS = """\
Data go to stdout, messages to stderr. Lists are printed as a table on a terminal, and as tsv elsewhere. `-o`
selects `table`, `json`, `ndjson`, `csv`, `tsv` or `xlsx`; all but `table` are UTF-8 in any locale. `xlsx` is
a workbook for Excel and LibreOffice, whose cells are text, so that a matricule keeps its zeros and nothing is
a formula: `piactl account list -o xlsx >accounts.xlsx`. On a narrow terminal a table leaves out its last
columns, and says which.

With `-o json` there is one JSON value on stdout whatever happens: the data of the command or, where an error
leaves it none, `{"error": {"code": 9, "message": "...", "next": "..."}}`: the exit code, what stderr says,
and what to do next (schemas/json/error.schema.json). `-o ndjson` prints the error in one line. Nights, plans
and changes of accounts that are refused print their usual object, with the outcome; a search without a result
prints an empty list. JSON is in English in any locale. A form that piactl does not know (`-o jsn`) is a usage
error on stderr alone.

Name an account by uid, address, alias or matricule. `-` reads names from stdin, one per line, as plain text
or as JSON objects with a `uid`. The results are in that order. A reason that a command needs and did not get
is asked for on a terminal.

Dates are civil days, written 2026-12-31 or 31/12/2026, or as `yesterday`, `today`, `tomorrow`, +30d or -30d,
which count from today. `--as-of` answers for another day than today. Commands that write accept another day
only if the configuration says `any_date: true`, as that of a sandbox does."""


@dataclass(frozen=True)
class Command:
    """One command: its words, its usage, its help in paragraphs, and its parameters as (term, help)."""

    words: str
    summary: str
    usage: str
    paragraphs: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    example: str


def program() -> list[Command]:
    """All commands, in the order of the help."""
    use("en")
    application = load_command()
    context = application.make_context("piactl", ["doctor"], resilient_parsing=True)
    commands = []
    for words, (_, _, summary, _) in COMMANDS.items():
        command = application
        for word in words.split():
            command = command.commands[word]
        commands.append(_command(words, summary, command, type(context)(command, info_name=words)))
    return commands


def global_options() -> tuple[tuple[str, str], ...]:
    use("en")
    application = load_command()
    context = application.make_context("piactl", ["doctor"], resilient_parsing=True)
    return tuple(_option(p, context) for p in application.get_params(context) if "--help" not in p.opts)


def _command(words: str, summary: str, command: Any, context: Any) -> Command:
    arguments, options, usage = [], [], [f"piactl {words}", "[OPTIONS]"]
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option":
            if "--help" not in parameter.opts:
                options.append(_option(parameter, context))
            continue
        term, text = plain_help(parameter, context) or (parameter.name.upper(), parameter.help or "")
        name = re.sub(r"[\[\]{}.]", "", term).upper().replace("SERVICE|LOGIN", "SERVICE|login")
        arguments.append((name, _sentence(text)))
        several = "..." if parameter.nargs == -1 else ""
        usage.append(f"{name}{several}" if parameter.required else f"[{name}{several}]")
    help_text = command.help or summary
    paragraphs = tuple(" ".join(p.split()) for p in help_text.split("\n\n"))
    example = textwrap.dedent(command.epilog.partition("Example:\n")[2])
    return Command(words, summary, " ".join(usage), paragraphs, tuple(arguments), tuple(options), example)


def _option(parameter: Any, context: Any) -> tuple[str, str]:
    term, text = plain_help(parameter, context) or ("", "")
    return term, _sentence(text.replace("[required]", "Required."))


def _sentence(text: str) -> str:
    """The help of a parameter in one line, without what the usage line already says."""
    return " ".join(text.replace("[required]", "").split())


def commands_page() -> str:
    """The text of docs/commands.md."""
    lines = [
        "# Commands",
        "",
        "This page is generated by `docs/generate.py commands` from the program's own help. Do not edit it.",
        "",
        *STREAMS.splitlines(),
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    commands = program()
    lines += [f"| [`{c.words}`](#piactl-{c.words.replace(' ', '-')}) | {c.summary} |" for c in commands]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {EXIT_CODES[code]} |" for code in Exit]
    lines += ["", "## Options of every command", ""]
    lines += ["Before the name of the command:", ""]
    lines += [f"- `{term}`: {text}" for term, text in global_options()]
    lines += ["", "After it, `-h` or `--help` shows its help."]
    for command in commands:
        lines += ["", f"## piactl {command.words}", "", "```", command.usage, "```"]
        for paragraph in command.paragraphs:
            lines += ["", *_filled(paragraph)]
        example = command.example.splitlines()
        block = (
            [f"Example: `{example[0]}`"] if len(example) == 1 else ["Example:", "", "```", *example, "```"]
        )
        lines += ["", *block]
        parameters = command.arguments + command.options
        if parameters:
            lines += [""]
        lines += [f"- `{term}`: {text}" if text else f"- `{term}`" for term, text in parameters]
    return "\n".join(lines) + "\n"


def _filled(paragraph: str, width: int = 118) -> list[str]:
    lines = [""]
    for word in paragraph.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


# ---- man pages


def man_pages() -> dict[str, str]:
    """The text of each man page by the name of its file: one for piactl, one for each first word."""
    pages = {"piactl.1": _overview()}
    groups: dict[str, list[Command]] = {}
    for command in program():
        groups.setdefault(command.words.split()[0], []).append(command)
    for noun, commands in groups.items():
        pages[f"piactl-{noun}.1"] = _group(noun, commands)
    return pages


def _head(name: str, summary: str) -> list[str]:
    title = name.upper().replace("-", r"\-")
    return [
        f'.TH "{title}" "1" "" "piactl {__version__}" "piactl"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(summary.rstrip('.'))}",
    ]


def _overview() -> str:
    lines = _head("piactl", "administer the life of staff accounts in an LDAP directory")
    lines += [".SH SYNOPSIS", r"\fBpiactl\fR [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]"]
    lines += [".SH DESCRIPTION"]
    for paragraph in STREAMS.split("\n\n"):
        lines += [".PP", _roff(" ".join(paragraph.split()))]
    lines += [".SH OPTIONS", *_terms(global_options())]
    lines += [".SH COMMANDS", *_terms([(c.words, c.summary) for c in program()])]
    lines += [".SH EXIT STATUS", *_terms([(str(int(code)), EXIT_CODES[code]) for code in Exit])]
    lines += [
        ".SH ENVIRONMENT",
        *_terms([("PIACTL_CONFIG", "The configuration, where --config is not given.")]),
    ]
    lines += [
        ".SH FILES",
        *_terms([("/etc/piactl/piactl.yaml", "The configuration, where nothing else is given.")]),
    ]
    pages = sorted({c.words.split()[0] for c in program()})
    lines += [".SH SEE ALSO", ", ".join(rf"\fBpiactl\-{page}\fR(1)" for page in pages)]
    return "\n".join(lines) + "\n"


def _group(noun: str, commands: list[Command]) -> str:
    lines = _head(f"piactl-{noun}", NOUNS.get(noun) or commands[0].summary)
    lines += [".SH SYNOPSIS"]
    for command in commands:
        lines += [_roff(command.usage), ".br"]
    lines.pop()
    for command in commands:
        several = len(commands) > 1
        lines += [f'.SH "{_roff(command.words.upper())}"' if several else ".SH DESCRIPTION"]
        for paragraph in command.paragraphs:
            lines += [".PP", _roff(paragraph)]
        lines += [".PP", "Example:", ".PP", ".nf", *map(_roff, command.example.splitlines()), ".fi"]
        lines += _terms(command.arguments + command.options)
    lines += [".SH EXIT STATUS", r"See \fBpiactl\fR(1).", ".SH SEE ALSO", r"\fBpiactl\fR(1)"]
    return "\n".join(lines) + "\n"


def _terms(terms: Any) -> list[str]:
    lines = []
    for term, text in terms:
        lines += [".TP", rf"\fB{_roff(term)}\fR", _roff(text) or r"\&"]
    return lines


def _roff(text: str) -> str:
    """The text with the characters of roff escaped, and with `words` in bold."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    return rf"\&{text}" if text.startswith(".") else text


# ---- JSON Schemas


SCHEMAS = TOP / "schemas" / "json"
WRITTEN = {
    "configuration": (Settings, "piactl configuration"),
    "policy": (Policy, "piactl policy"),
    "policy-cases": (PolicyCases, "Cases that a policy has to fulfil: what `piactl policy test` reads"),
}
_SHARED = {When: "when", WrittenGuard: "guard", WrittenLimit: "overall"}
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", date: "string", tuple: "string"}


def schemas() -> dict[str, str]:
    """The JSON Schemas of the files that people write, by name, made of the types that define the files."""
    texts = {}
    for name, (form, title) in WRITTEN.items():
        shared: dict[str, Any] = {}
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:piactl:schema:{name}",
            "title": title,
            **_mapping(keys_of(form), shared),
            **({"$defs": shared} if shared else {}),
        }
        texts[name] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


def _schema(kind: Kind, shared: dict[str, Any], default: Any = None) -> dict[str, Any]:
    """The schema of what may stand in the file for a kind."""
    words, text, only, bounds = (kind.notes.get(note) for note in (Words, Text, Only, Bounds))
    told = {**_if(bool(kind.expected), description=kind.expected), **_default(kind, default)}
    filled, single = FILLED in kind.notes, {"enum": [word for word, _ in words.meanings]} if words else {}
    if is_dataclass(kind.form):
        name = _SHARED.get(kind.form)
        if name and name not in shared:
            shared[name] = {}
            shared[name] |= _mapping(keys_of(kind.form), shared, filled=filled)
        own = {"$ref": f"#/$defs/{name}"} if name else _mapping(keys_of(kind.form), shared, filled=filled)
        return {**own, **told}
    if kind.key and kind.item:
        return {
            "type": "object",
            **_if(filled, minProperties=1),
            **_if(bool(kind.key.notes), propertyNames=_schema(kind.key, shared)),
            "additionalProperties": _schema(kind.item, shared),
            **told,
        }
    if kind.item:
        item = _schema(kind.item, shared)
        unique = _if(UNIQUE in kind.notes, uniqueItems=True)
        several = {"type": "array", **_if(filled, minItems=1), **unique, "items": item}
        single = {**item, "minLength": 1} if ONE_OR_LIST in kind.notes else single
        return {**({"anyOf": [single, several]} if single else several), **told}
    if words:
        return {**single, **told}
    return {
        "type": _TYPES[kind.form],
        **_if(only is not None, const=only and only.value),
        **_if(bool(text and text.pattern), pattern=text and text.pattern),
        **_if(bounds is not None, minimum=bounds and bounds.least),
        **_if(bool(bounds and bounds.most is not None), maximum=bounds and bounds.most),
        **_if(bool(bounds and bounds.below is not None), exclusiveMaximum=bounds and bounds.below),
        **told,
    }


def _default(kind: Kind, value: Any) -> dict[str, Any]:
    """The default of a key as it would stand in the file, if it is a number, a word, or true or false."""
    words = kind.notes.get(Words)
    if words and not kind.item:
        value = next((word for word, meaning in words.meanings if meaning == value), None)
    if (
        not isinstance(value, str | int | float)
        or value == ""
        or kind.notes.get(Usually)
        or kind.notes.get(Only)
    ):
        return {}
    return {"default": value}


def _if(condition: bool, **keys: Any) -> dict[str, Any]:
    return keys if condition else {}


def _mapping(keys: dict[str, Any], shared: dict[str, Any], *, filled: bool = False) -> dict[str, Any]:
    """The schema of a mapping with these keys."""
    properties, needs = {}, []
    for key, slot in keys.items():
        if isinstance(slot, Group):
            properties[key] = {**_mapping(slot.keys, shared), "description": slot.expected}
            continue
        properties[key] = _schema(slot.kind, shared, slot.default)
        some, beside = slot.kind.notes.get(Needs), slot.kind.notes.get(NotBeside)
        if some:
            needs += [{"if": {"required": [key]}, "then": {"anyOf": [{"required": [k]} for k in some.keys]}}]
        if beside:
            needs += [{"not": {"required": [key, beside.key]}}]
    required = [key for key, slot in keys.items() if getattr(slot, "required", False)]
    return {
        "type": "object",
        **_if(filled, minProperties=1),
        "properties": properties,
        "additionalProperties": False,
        **_if(bool(required), required=required),
        **_if(bool(needs), allOf=needs),
    }


# ---- examples of the README


_VOLATILE = (
    (re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b"), "RUN"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "DIGEST"),
)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PREPARATION = """
piactl sandbox start --dir box
python examples/make_feeds.py --people 500 --seed 9 --today 2026-09-04 --out feeds
piactl plan feeds/rh-night1-2026-07-26.csv --as-of 2026-07-26 --out first.json
piactl apply first.json
piactl nightly feeds/rh-night2-2026-09-02.csv --as-of 2026-09-02
"""


CASE = """
piactl nightly feeds/rh-case-2026-09-04.csv --as-of 2026-09-04
"""
_NEWCOMER = (
    "C201;20E2601371ZQB;MME;;Verdelot;Camille;02/02/1985;agent1@example.org;553;activite;0020032Z;ENS;;"
    "principale;100;07/09/2026;"
)


def _write_case(feeds: Path) -> None:
    """Writes the last feed with one more row: a newcomer who may be a known person."""
    *rows, _ = (feeds / "rh-night3-2026-09-04.csv").read_text(encoding="utf-8").splitlines()
    trailer = f"#FIN;rows={len(rows)};date=2026-09-04"
    text = "\n".join([*rows, _NEWCOMER, trailer, ""])
    (feeds / "rh-case-2026-09-04.csv").write_text(text, encoding="utf-8")


def refreshed_examples(text: str, preparation: str = "") -> str:
    """The text, with the current output of each `$ command` in its console blocks."""
    folder = Path(tempfile.mkdtemp(prefix="piactl-docs-"))
    try:
        (folder / "examples").symlink_to(TOP / "examples")
        for line in _PREPARATION.strip().splitlines():
            _output(line, folder)
        _write_case(folder / "feeds")
        for line in preparation.strip().splitlines():
            _output(line, folder)
        return _BLOCK.sub(lambda block: f"```console\n{''.join(_played(block[1], folder))}```", text)
    finally:
        _output("piactl sandbox stop --dir box", folder)
        shutil.rmtree(folder)


def _played(block: str, folder: Path) -> Iterator[str]:
    for line in block.splitlines():
        if line.startswith("$ "):
            yield f"{line}\n{_output(line[2:], folder)}"


def _output(command: str, folder: Path) -> str:
    """What a command prints on stdout. Raises RuntimeError if it fails."""
    words = {"piactl": [sys.executable, "-m", "piactl"], "python": [sys.executable]}
    first, *rest = command.split()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(TOP),
        "PIACTL_CONFIG": str(folder / "box" / "piactl.yaml"),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        words[first] + rest,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def stable(text: str) -> str:
    """The text without what differs between two runs: digests and ids."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def main(arguments: list[str]) -> int:
    match arguments:
        case ["commands"]:
            COMMANDS_PAGE.write_text(commands_page(), encoding="utf-8")
        case ["examples"]:
            README.write_text(refreshed_examples(README.read_text(encoding="utf-8")), encoding="utf-8")
            page = refreshed_examples(IDENTITY_PAGE.read_text(encoding="utf-8"), CASE)
            IDENTITY_PAGE.write_text(page, encoding="utf-8")
        case ["schemas"]:
            for name, text in schemas().items():
                (SCHEMAS / f"{name}.schema.json").write_text(text, encoding="utf-8")
        case ["man", folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, page in man_pages().items():
                (Path(folder) / name).write_text(page, encoding="utf-8")
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
