"""Every command in every condition: right, wrong and missing input, in a pipe, at a terminal, under cron, and
with streams that cannot be written. It gives a message and a documented exit code, leaves nothing half-done,
and never hangs."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from babel.messages.pofile import read_po

from piactl.cli.commands.account import COLUMNS
from piactl.cli.framework.application import load_command
from piactl.errors import Exit
from piactl.report.escaping import shown
from tests.conftest import sandboxes
from tests.story.academy import Academy, Ran, prepared
from tests.story.phones import verified

from .command_cases import CASES, CLAIRE, IDA, NEWCOMER, TODAY, WHY, example_of, filled, load
from .streams import CLOSED, FULL, GONE, shared_forks
from .terminal import at_terminal

ROOT = str(Path(__file__).parents[2])
ACTING = [words for words, case in CASES.items() if case.acting]
ASKING = [words for words, case in CASES.items() if case.asks]
WRITE_BY_THEMSELVES = {
    *("init", "nightly", "rehearse", "feed rejects", "key add", "account create", "journal begin"),
    *("sandbox start", "sandbox stop", "sandbox status"),
}
TOLD = re.compile(
    "(undo itself was made|changes were made); see: piactl (journal show --run|runs show) [0-9T]+-[0-9a-f]{6}"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Academy]:
    """A loaded academy for tests that must not change it."""
    with sandboxes() as make, tempfile.TemporaryDirectory(prefix="piactl-test-") as files:
        academy = Academy(make(accesslog=True), Path(files))
        load(academy)
        yield academy


@prepared
def loaded(academy: Academy) -> Academy:
    load(academy)
    return academy


def commands(command: Any, words: str = "") -> Iterator[str]:
    below = getattr(command, "commands", None)
    if not below:
        yield words
        return
    for name, subcommand in below.items():
        yield from commands(subcommand, f"{words} {name}".strip())


def test_every_command_has_a_case_and_an_example() -> None:
    assert sorted(commands(load_command())) == sorted(CASES)
    for words in CASES:
        assert " ".join(example_of(words)).startswith(words)


def command_of(tree: Any, words: str) -> Any:
    for word in words.split():
        tree = tree.commands[word]
    return tree


def needed(words: str) -> set[str]:
    """The options that the help of a command marks as required."""
    command = command_of(load_command(), words)
    return {
        parameter.opts[-1]
        for parameter in command.params
        if parameter.required or "[required]" in (parameter.help or "")
    }


def test_date_options_have_agreed_names() -> None:
    """A first day is --from, a last day --until, a single day --on, an excluded one --except; --to is never a
    file; days of something else that are looked for have its name before them."""
    tree = load_command()
    for words in CASES:
        for option in command_of(tree, words).params:
            name = option.opts[-1]
            if option.metavar == "DATE":
                date_options = ("--from", "--until", "--on", "--except", "--as-of", "--before", "--to")
                date_options += ("--ending-from", "--ending-to")
                assert name in date_options, (words, name)
            assert name != "--to" or option.metavar != "FILE", words


NOT_TRIED = (
    "otp verify", "otp resync", "password requests", "runs rewind", "recover", "journal begin",
    "match forget", "approve", "reject",
)  # fmt: skip
"""A command that needs a current code cannot be tried out; the others change one record, or show without
--reason what they will do."""


def test_commands_on_several_accounts_have_the_common_options() -> None:
    """Commands that take names take them from stdin, can be tried out, and answer as data."""
    tree = load_command()
    for words in CASES:
        command = command_of(tree, words)
        options = {name for parameter in command.params for name in parameter.opts}
        several = any(parameter.nargs == -1 and parameter.name == "names" for parameter in command.params)
        reads = words in ("account show", "drift show", "otp show", "password reset")
        idle = words in (
            "drift revert",
            "drift adopt",
            "drift override",
        )  # tests/story/test_drift.py tests them
        assert CASES[words].acting is (several and not reads and not idle), words
        if several and not reads:
            assert {"--dry-run", "--yes", "-o", "--reason"} <= options, words
        if "--reason" in options and words not in ("nightly", "apply", "plan", "key add"):
            assert "--dry-run" in options or words in (*NOT_TRIED, "adopt"), words


def said(ran: Ran) -> None:
    """Checks that stderr is a message for people: only lines of piactl, and not too many."""
    lines = ran.err.splitlines()
    assert lines, ran
    assert all(line.startswith("piactl: ") for line in lines), ran.err
    assert len(lines) <= 14, ran.err


@pytest.mark.parametrize("words", CASES)
def test_wrong_or_missing_input_is_refused_and_writes_nothing(shared: Academy, words: str) -> None:
    """There is a message on stderr, the documented code and no data, and nothing is written."""
    case = CASES[words]
    assert case.wrong
    bare = {*words.split(), CLAIRE, *WHY}
    with shared.nothing_written():
        for arguments, stdin, code, piece in case.wrong:
            ran = shared.run(*filled(arguments, shared), stdin=stdin)
            assert ran.code == code, (arguments, ran)
            assert piece in ran.err, (arguments, ran)
            if code != Exit.PARTLY and words != "password check":
                assert ran.out == "", (arguments, ran)
                said(ran)
            if code == Exit.USAGE and piece[:3] in ("add", "nee") and set(arguments) <= bare:
                assert set(re.findall(r"--[a-z-]+", piece) or ["--reason"]) <= needed(words), arguments
        if "--reason" in needed(words):
            ran = shared.run(*filled(tuple(word for word in case.right if word not in WHY), shared))
            assert (ran.code, "needs a reason" in ran.err) == (Exit.USAGE, True), ran
        if case.missing is not None:
            ran = shared.run(*filled(case.missing, shared))
            assert (ran.code, ran.out) == (Exit.USAGE, ""), ran
            said(ran)
    assert not (shared.folder / "new").exists()
    assert not list(shared.folder.glob("new.*"))


def under_cron(academy: Academy, words: str, stdin: str) -> Ran:
    """Runs the example in the help of a command in the environment of cron: only PATH and LANG=C."""
    bare = {"LANG": "C", "PATH": "/usr/sbin:/usr/bin:/bin"}
    return shared_forks().run(
        academy, *filled(example_of(words), academy), stdin=stdin or CLOSED, environment=bare
    )


READING = [
    w
    for w in CASES
    if not (CASES[w].acting or CASES[w].asks or CASES[w].before or w in WRITE_BY_THEMSELVES)
    and w
    not in (
        "otp verify",
        "otp check",
        "otp approve",
        "otp resync",
        "password reset",
        "password approve",
        "key retire",
    )
]


@pytest.mark.parametrize("words", READING)
def test_reading_commands_work_under_cron(shared: Academy, words: str) -> None:
    """The example of the help works."""
    case = CASES[words]
    with shared.nothing_written():
        ran = under_cron(shared, words, case.stdin)
    assert ran.code == case.code, ran
    assert ran.out
    assert not list(shared.folder.glob("new*"))


@pytest.mark.parametrize("words", [w for w in CASES if w not in READING])
def test_writing_commands_never_ask_under_cron(loaded: Academy, words: str) -> None:
    """The example of the help does its work or says why not; it never asks or waits."""
    case = CASES[words]
    try:
        for arguments, stdin in case.before:
            assert loaded.run(*filled(arguments, loaded), stdin=stdin).code == 0
        if words in ("otp suspend", "otp resume"):
            verified(loaded, CLAIRE)
        if words == "otp resume":
            assert loaded.run("otp", "suspend", CLAIRE, *WHY).code == 0
        before = loaded.managed()
        ran = under_cron(loaded, words, case.stdin)
        assert ran.code == case.code, ran
        assert "[y/N]" not in ran.out + ran.err
        if case.code:
            said(ran)
        if case.acting:
            assert ran.out.startswith((f"{CLAIRE}: applied", f"{CLAIRE}: unchanged")), ran
        if case.asks and words.split()[0] in ("account", "assignment", "exception", "override", "undo"):
            assert loaded.managed() != before, ran
        assert loaded.run("journal", "verify").code == 0
    finally:
        if words.startswith("sandbox"):
            loaded.run("sandbox", "stop", "--dir", loaded.folder / "new")


REFUSALS = jsonschema.Draft202012Validator(
    json.loads((Path(ROOT) / "schemas" / "json" / "error.schema.json").read_text("utf-8"))
)
WITHOUT_A_HOST = ("init", "completion", "sandbox start", "sandbox stop", "sandbox status")


@pytest.fixture(scope="module")
def unusable(shared: Academy) -> list[Path]:
    """Configurations with an invalid policy, and with a server that does not run."""
    folder = shared.sandbox.folder
    text = (folder / "piactl.yaml").read_text("utf-8")
    (folder / "odd.yaml").write_text("profils: []\n")
    paths = [folder / "of-odd.yaml", folder / "without-server.yaml"]
    paths[0].write_text(text.replace("policy: policy.yaml", "policy: odd.yaml"), "utf-8")
    paths[1].write_text(re.sub(r"servers: .*", 'servers: ["ldapi://%2Fnowhere"]', text), "utf-8")
    return paths


@pytest.mark.parametrize("words", CASES)
def test_json_is_printed_whatever_happens(shared: Academy, unusable: list[Path], words: str) -> None:
    """With -o json there is one JSON value on stdout: the data of the command, also those of a refusal, else
    one error. ndjson has the error in one line, other forms have none."""
    case = CASES[words]
    tries = [(*arguments, "-o", "json") for arguments, _, _, _ in case.wrong if "-o" not in arguments]
    tries += [(*words.split(), "--no-such", form) for form in ("-ojson", "--output=json")]
    if words not in WITHOUT_A_HOST:
        tries += [("--config", str(path), *case.right, "-o", "json") for path in unusable]
    stdins = {arguments: stdin for arguments, stdin, _, _ in case.wrong}
    with shared.nothing_written():
        for arguments in tries:
            ran = shared.run(*filled(arguments, shared), stdin=stdins.get(arguments[:-2], ""))
            printed = ran.json
            if isinstance(printed, dict) and [*printed] == ["error"]:
                REFUSALS.validate(printed)
                error = printed["error"]
                assert error["code"] == ran.code, (arguments, ran)
                lines = [f"piactl: {shown(line)}" for line in error["message"].split("\n")]
                assert "\n".join(lines) + "\n" in ran.err, (arguments, ran)
            else:
                assert ran.code != Exit.USAGE, (arguments, ran)
                assert printed or not ran.code
        line = shared.run(*words.split(), "--no-such", "-o", "ndjson").out
        assert (line.count("\n"), REFUSALS.is_valid(json.loads(line))) == (1, True)
        assert shared.run(*words.split(), "--no-such", "-o", "csv").out == ""
    if words == "rehearse":
        shutil.rmtree(shared.folder / "new")  # repeating the command would go on there
    assert not list(shared.folder.glob("new*"))


def test_a_command_in_a_sentence_has_the_reason_that_it_needs() -> None:
    """Each that names an account, a case or a run can be copied, also by somebody without a terminal."""
    catalogue = (Path(ROOT) / "piactl/locale/fr/LC_MESSAGES/piactl.po").read_bytes()
    sentences = [str(message.id) for message in read_po(io.BytesIO(catalogue)) if message.id]
    printed = [
        (match[1], line[match.start() :])
        for sentence in sentences
        for line in sentence.split("\n")
        for match in re.finditer(r"piactl ([a-z]+(?: [a-z-]+)?) \{", line)
    ]
    needing = [(words, text) for words, text in printed if words in CASES and "--reason" in needed(words)]
    assert len(needing) > 10
    assert [text for _, text in needing if "--reason" not in text and "{reason}" not in text] == []


def test_an_error_says_what_to_do_next(shared: Academy, unusable: list[Path]) -> None:
    def next_of(*arguments: str) -> str:
        return str(shared.run(*arguments, "-o", "json").json["error"]["next"])

    assert next_of("runs", "show", "x") == "piactl runs list"
    assert next_of("account", "lock", CLAIRE) == "piactl account lock --help"
    assert next_of("account", "show", "nobody.here") == "piactl account find NAME"
    assert shared.run("-o", "json", "status").json["error"]["next"] == "piactl --help"
    assert shared.run("account", "show", "nobody.here", "-o=json").json["error"]["code"] == Exit.USAGE
    assert next_of("--config", str(unusable[0]), "status") == "correct the file that the message names"
    assert next_of("--config", str(unusable[1]), "status") == "piactl doctor"
    merge = next_of("account", "rekey", CLAIRE, "--from", "1001", "--to", "1999", *WHY)
    assert merge == 'piactl account merge ida.roy claire.dubreuil --reason "..."'
    found = shared.run("account", "find", "nobody", "-o", "json")
    assert (found.code, found.out) == (Exit.NOT_FOUND, "[]\n"), "an answer, and no error"


def test_a_missing_reason_is_asked_for_on_a_terminal(shared: Academy) -> None:
    """And nowhere else: see `test_wrong_or_missing_input_is_refused_and_writes_nothing`."""
    question = "Reason, in a sentence for the record: "
    with shared.nothing_written():
        for words, why, code in (
            (("account", "lock", CLAIRE), "locked; appel (from", Exit.DECLINED),
            (("runs", "rewind", "--to", "2020-01-01", "-o", "json"), "No such option", Exit.USAGE),
            (("password", "reset", CLAIRE, "--without-check", "--dry-run"), "would change", Exit.DONE),
            (("match", "same", NEWCOMER), "there is no such case", Exit.NOT_FOUND),
        ):
            answers = {} if code == Exit.USAGE else {question: "appel"}
            if code == Exit.DECLINED:
                answers["[y/N]"] = "n"
            ended, screen = at_terminal(shared, *words, answers=answers)
            assert (ended, why in screen) == (code, True), screen
        for nothing in ("", " "):
            ended, screen = at_terminal(shared, "account", "lock", CLAIRE, answers={question: nothing})
            assert (ended, "needs a reason" in screen) == (Exit.USAGE, True), screen


def test_days_may_be_relative_or_french(shared: Academy) -> None:
    """In every option that takes a day, by the day of the policy; also where a time may follow."""
    days = {
        "tomorrow": 1,
        "+30d": 30,
        f"{TODAY + timedelta(days=9):%d/%m/%Y}": 9,
        "today": 0,
        "yesterday": -1,
        "-400d": -400,
    }
    for text, days_away in days.items():
        status = shared.run("status", "--as-of", text, "-o", "json").json
        assert status["as_of"] == (TODAY + timedelta(days=days_away)).isoformat(), text
        ran = shared.run("journal", "show", "--from", text)
        assert ran.code == 0, ran
    lock = shared.run("account", "lock", CLAIRE, "--until", "+30d", *WHY, "--dry-run").out
    assert f"login from 2020-09-01 -> {TODAY + timedelta(days=31)}" in lock
    for wrong in ("+30", "30d", "+1y", "+999999d", "31/02/2026", "12/31/2026"):
        ran = shared.run("account", "show", CLAIRE, "--as-of", wrong)
        assert (ran.code, "use YYYY-MM-DD, DD/MM/YYYY, tomorrow or +30d" in ran.err) == (2, True), ran
    assert "is not between" in shared.run("status", "--as-of", "+99999d").err


@pytest.mark.parametrize("words", ASKING)
def test_answering_no_at_a_terminal_changes_nothing(shared: Academy, words: str) -> None:
    case = CASES[words]
    arguments = filled(case.right, shared)
    if case.before:  # so that there is something to change while the academy stays as it is
        arguments = filled(("account", "lock", CLAIRE, *WHY), shared)
    with shared.nothing_written():
        code, screen = at_terminal(shared, *arguments, answers={"[y/N]": "n"})
    assert code == Exit.DECLINED, screen
    assert "nothing was changed" in screen
    assert not list(shared.folder.glob("new*"))


STREAMS = {
    "stdout on a full disk": {"stdout": FULL},
    "stdout closed": {"stdout": CLOSED},
    "the reader has gone": {"stdout": GONE},
    "stderr on a full disk": {"stderr": FULL},
    "everything closed": {"stdin": CLOSED, "stdout": CLOSED, "stderr": CLOSED},
}


@pytest.mark.parametrize("words", [w for w in CASES if w not in WRITE_BY_THEMSELVES])
def test_exit_codes_stay_the_same_with_unwritable_streams(shared: Academy, words: str) -> None:
    """The exit code stays the same, except that a full disk is a failure, with one message. Each command is
    tried in one of the five conditions, every sixth one in all five."""
    case = CASES[words]
    arguments = filled(case.right, shared)
    if case.acting or words in ("account rename", "account rekey", "account merge", "password reset"):
        arguments.append("--dry-run")
    if words in ("undo", "apply", "otp verify", "account split"):
        arguments = filled(case.wrong[0][0], shared)
    usual = shared.run(*arguments, stdin=case.stdin)
    assert usual.out or usual.err
    failing = ("otp suspend", "otp resume", "account extend")
    expected = (Exit.FAILED,) if words in failing else (case.code, case.wrong[0][2])
    assert usual.code in expected, usual
    place = list(CASES).index(words)
    for number, (name, streams) in enumerate(STREAMS.items()):
        if place % 6 and number != place % 5:
            continue
        ran = shared_forks().run(shared, *arguments, **{"stdin": case.stdin, **streams})
        if streams.get("stdout") == FULL and usual.out:
            assert ran.code == Exit.FAILED, (name, ran)
            assert ran.err.count("stdout cannot be written (No space left on device)") == 1, (name, ran)
            said(ran)
        elif "stdin" in streams and case.stdin:
            assert ran.code in (usual.code, Exit.USAGE), (name, ran)
        else:
            assert ran.code == usual.code, (name, ran, usual)
        if name == "stdout closed":
            assert ran.err == usual.err


@pytest.mark.parametrize("name", STREAMS)
def test_changes_are_made_and_reported_if_output_is_lost(loaded: Academy, name: str) -> None:
    streams = STREAMS[name]
    lost = streams.get("stdout") == FULL
    for arguments in (
        ("account", "lock", CLAIRE, *WHY),
        ("undo", "last", *WHY),
        ("password", "unblock", IDA),
    ):
        if arguments[1] == "unblock":
            loaded.change(IDA, userPassword=["quatre chats gris et lents"])
            for _ in range(5):
                assert not loaded.sandbox.accepts(loaded.dn(IDA), "not it")
        before = loaded.stamps()
        ran = shared_forks().run(loaded, *arguments, **streams)
        assert loaded.stamps() != before, (arguments, ran)
        assert ran.code == (Exit.FAILED if lost else Exit.DONE), ran
        if lost:
            assert TOLD.search(ran.err), ran
    assert loaded.run("journal", "verify").code == 0


def test_characters_missing_from_the_encoding_are_escaped(loaded: Academy) -> None:
    """Characters that its encoding lacks are printed as escapes, in JSON as those of JSON; nothing fails."""
    reason = "appel reçu ☃ 𝒳"
    lock = loaded.spawn("account", "lock", CLAIRE, "--reason", reason, "-o", "json", PYTHONIOENCODING="ascii")
    assert (lock.code, lock.json[0]["outcome"]) == (0, "applied")
    shown = loaded.spawn("account", "show", CLAIRE, "-o", "json", PYTHONIOENCODING="ascii")
    assert shown.json["lock"]["reason"] == reason
    text = loaded.spawn("account", "show", CLAIRE, PYTHONIOENCODING="ascii").out
    assert "appel re\\u00e7u \\u2603 \\ud835\\udcb3" in text


# What all acting commands have in common


@pytest.mark.parametrize("words", ACTING)
def test_accounts_named_on_stdin_give_results_in_order(shared: Academy, words: str) -> None:
    """Plain names, JSON text, objects: one result each, in their order; a failure does not stop the rest."""
    case = CASES[words]
    arguments = [*filled(case.right, shared), "--dry-run", "-o", "ndjson"]
    arguments[arguments.index(CLAIRE)] = "-"
    stdin = f'﻿{{"uid": "{IDA}", "state": "active"}}\nnobody.here\n\n "1001"\n{CLAIRE}@ac-amiens.fr\n'
    with shared.nothing_written():
        ran = shared.run(*arguments, stdin=stdin)
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert [r["account"] for r in results] == [IDA, "nobody.here", "1001", f"{CLAIRE}@ac-amiens.fr"], ran
    assert results[1]["uid"] is None
    if not words.startswith("otp"):
        assert [results[0]["uid"], results[2]["uid"]] == [IDA, CLAIRE]
    assert results[1]["outcome"] == "not found"
    assert "changed once" in results[3]["message"] or results[3]["outcome"] in ("refused", "unchanged")
    assert ran.code == Exit.PARTLY
    assert shared.run(*arguments, stdin="").code == Exit.DONE, "nobody named is nothing to do"
    assert not list(shared.folder.glob("new*"))


@pytest.mark.parametrize("form", ["tsv", "table", "csv", "ndjson"])
def test_output_of_account_list_is_accepted_on_stdin(shared: Academy, form: str) -> None:
    """`account list | account lock -`, in each form that has one account per line."""
    listed = shared.run("account", "list", "-o", form)
    arguments = ("account", "lock", "-", "--dry-run", "-o", "json", *WHY)
    ran = shared.run(*arguments, stdin=listed.out)
    # ndjson has the accounts in any order
    order = (
        [json.loads(line)["uid"] for line in listed.out.splitlines()] if form == "ndjson" else [CLAIRE, IDA]
    )
    assert sorted(order) == [CLAIRE, IDA]
    assert (ran.code, [result["uid"] for result in ran.json]) == (0, order), ran
    moved = "\n".join("\t".join(reversed(line.split("\t"))) for line in listed.out.splitlines())
    assert form != "tsv" or [result["uid"] for result in shared.run(*arguments, stdin=moved).json] == [
        CLAIRE,
        IDA,
    ]
    cut = shared.run(*arguments, stdin=listed.out + "ida.roy\n")
    assert (cut.code, "line 4: other columns" in cut.err) == ((2, True) if form == "tsv" else (5, False)), cut


def test_a_table_fits_the_terminal(shared: Academy) -> None:
    """Columns that do not fit are left out, and the last line says which; no address is ever cut."""
    for columns in (200, 80, 50, 30):
        code, screen = at_terminal(shared, "account", "list", columns=columns)
        header, claire, *_, last = screen.splitlines()
        assert (code, claire.split()[0], "…@" in screen) == (0, CLAIRE, False)
        assert re.findall(r"\S+@\S+", claire) == ([f"{CLAIRE}@ac-amiens.fr"] if columns > 60 else [])
        said = "left out for want of room (-o tsv has all): "
        assert {*header.split(), *last.removeprefix(said).split(", ")} >= {*COLUMNS} or columns == 200
        assert last.startswith(said) is (columns < 200), screen
        assert max(map(len, screen.removesuffix(last + "\n").splitlines())) <= columns, screen
    assert "drift" in last
    _, screen = at_terminal(shared, "runs", "list", columns=80)
    assert re.search(r"^\S+ +\S+ +done +piactl ", screen, re.MULTILINE), screen
    assert "note" in screen.splitlines()[-1]


@pytest.mark.parametrize("words", ACTING)
def test_a_dry_run_writes_nothing_at_all(shared: Academy, words: str) -> None:
    """It writes no account, no record, no line of the journal and no file."""
    case = CASES[words]
    state = shared.sandbox.entries(shared.sandbox.state)
    journal = (shared.sandbox.folder / "journal" / "piactl.jsonl").read_bytes()
    with shared.nothing_written():
        ran = shared.run(*filled(case.right, shared), "--dry-run")
    assert ran.code in (Exit.DONE, Exit.FAILED), ran
    assert shared.sandbox.entries(shared.sandbox.state) == state
    assert (shared.sandbox.folder / "journal" / "piactl.jsonl").read_bytes() == journal
    assert not list(shared.folder.glob("new*"))


GUARDED = {
    "account lock": "lock",
    "account close": "deactivate",
    "assignment end": "revoke",
    "assignment add": "grant",
    "assignment move": "grant",
    "exception grant": "grant",
    "exception deny": "revoke",
}


@pytest.mark.parametrize("words", GUARDED)
def test_yes_does_not_bypass_a_guard(academy: Academy, words: str) -> None:
    """A guard stops the change that breaks it, also with --yes or --dry-run; the exact number passes it."""
    kind = GUARDED[words]
    policy = academy.sandbox.folder / "policy.yaml"
    text = policy.read_text("utf-8")
    assert "\nguards:" in text
    head, _, tail = text.partition("\nguards:")
    rest = re.split(r"\n(?=\S)", tail, maxsplit=1)[1]
    policy.write_text(f"{head}\nguards:\n  {kind}: {{max: 0, share: 0}}\n{rest}", "utf-8")
    load(academy)
    arguments = filled(CASES[words].right, academy)
    if words == "assignment end":
        arguments[arguments.index("--on") + 1] = (TODAY - timedelta(days=1)).isoformat()
    with academy.nothing_written():
        for options in ((), ("--yes",), ("--dry-run",), ("--yes", "-o", "json"), ("--allow", f"{kind}=2")):
            ran = academy.run(*arguments, *options)
            assert ran.code == Exit.REFUSED, (options, ran)
            assert f"{kind}: 1 of" in ran.err or f"{kind}=" in ran.err, ran
            assert f"--allow {kind}=1" in ran.err, ran
    ran = academy.run(*arguments, "--allow", f"{kind}=1")
    assert ran.code == Exit.DONE, ran
