"""Mistakes of new users: folders that are files, full disks, stopped servers, unknown words."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest

from piactl.clock import civil_today
from piactl.doctor.checks import CHECKS
from piactl.errors import Exit
from piactl.sandbox import start_sandbox, stop_sandbox
from tests.outside import run
from tests.story.academy import Academy
from tests.story.feeds import row

from .streams import FULL, command, shared_forks

DAY = "2026-09-05"
NOBODY = 65534


def on_a_full_disk(academy: Academy, *words: str) -> tuple[int, str]:
    """The exit code and stderr of a command whose stdout is on a full disk."""
    ran = shared_forks().run(academy, *words, stdout=FULL)
    return ran.code, ran.err


# Files and folders


def test_a_state_folder_that_cannot_be_made_stops_the_night(academy: Academy) -> None:
    state = academy.sandbox.folder / "state"
    state.rmdir()
    state.write_text("a file where the folder should be")
    feed = academy.feed(row(), row(matricule="1002", debut="demain"), day=DAY)
    with academy.nothing_written():
        ran = academy.run("nightly", feed, "--as-of", DAY)
    assert ran.code == Exit.FAILED, ran.err
    assert f"{state}" in ran.err
    assert "cannot be made" in ran.err


@pytest.mark.parametrize("words", [["nightly", "--as-of", DAY], ["journal", "verify"]], ids=" ".join)
def test_a_journal_that_is_a_folder_is_reported(academy: Academy, words: list[str]) -> None:
    folder = academy.sandbox.folder / "journal"
    academy.edit("piactl.yaml", "journal: journal/piactl.jsonl", "journal: journal")
    ran = academy.run(*words)
    assert ran.code == Exit.FAILED, ran.err
    assert f"{folder}: is a folder" in ran.err
    assert "Name the file in it" in ran.err


def test_doctor_continues_if_the_journal_is_a_folder(academy: Academy) -> None:
    academy.edit("piactl.yaml", "journal: journal/piactl.jsonl", "journal: journal")
    ran = academy.run("doctor", "-o", "json")
    assert ran.code == Exit.FAILED, ran.err
    findings = {finding["id"]: finding for finding in ran.json}
    assert findings["D08"]["result"] == findings["D09"]["result"] == "error"
    assert "is a folder" in findings["D08"]["found"]
    assert findings["D15"]["result"] == "ok"


def test_a_journal_that_is_a_pipe_is_refused(academy: Academy) -> None:
    os.mkfifo(academy.sandbox.folder / "journal" / "piactl.jsonl")
    done = academy.spawn("journal", "verify")
    assert done.code == Exit.FAILED
    assert "is not a regular file" in done.err


@pytest.mark.parametrize(
    ("module", "name", "id_"),
    [
        ("piactl.doctor.this_host", "read_register", "D03"),
        ("piactl.doctor.records_of_directory", "key_needs", "D27"),
    ],
)
def test_a_crash_in_a_doctor_check_is_reported_as_its_error(
    academy: Academy, monkeypatch: pytest.MonkeyPatch, module: str, name: str, id_: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("with a value that nobody should see")

    monkeypatch.setattr(f"{module}.{name}", broken)
    ran = academy.run("doctor", "-o", "json")
    findings = {finding["id"]: finding for finding in ran.json}
    assert findings[id_]["result"] == "error"
    assert findings[id_]["found"] == "the check itself failed: ZeroDivisionError"
    assert "nobody should see" not in ran.out + ran.err
    assert len(findings) == len(CHECKS)
    assert findings["D15"]["result"] == "ok"
    assert ran.code in (Exit.FAILED, Exit.CONFIGURATION, Exit.UNREACHABLE)


def test_a_bug_is_reported_with_its_place_and_no_data(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("20E9512345XYZ")

    monkeypatch.setattr("piactl.core.acts.lock_close_rename.lock", broken)
    academy.night(DAY, academy.feed(row(), day=DAY))
    err, out = io.StringIO(), io.StringIO()
    with redirect_stderr(err), redirect_stdout(out):
        code = run(
            ["--config", str(academy.sandbox.config), "account", "lock", "claire.dubreuil", "--reason", "x"]
        )
    assert code == Exit.BUG
    assert "this is a bug in piactl (KeyError at " in err.getvalue()
    assert "20E9512345XYZ" not in out.getvalue() + err.getvalue()
    assert "Traceback" not in err.getvalue()


# Stdout on a full disk


@pytest.mark.parametrize(
    "words",
    [["account", "list"], ["--help"], ["--version"]],
    ids=" ".join,
)
def test_stdout_on_a_full_disk(academy: Academy, words: list[str]) -> None:
    code, err = on_a_full_disk(academy, *words)
    assert code == Exit.FAILED, err
    assert err.count("\n") == 1
    assert err.startswith("piactl: stdout cannot be written (No space left on device)")


@pytest.mark.parametrize("layout", ["text", "json"])
def test_a_night_with_lost_output_says_on_stderr_that_it_is_done(academy: Academy, layout: str) -> None:
    feed = str(academy.feed(row(), day=DAY))
    code, err = on_a_full_disk(academy, "nightly", feed, "--as-of", DAY, "-o", layout)
    assert code == Exit.FAILED, err
    assert err.count("stdout cannot be written") == 1
    last = academy.run("runs", "show", "last", "-o", "json").json
    assert last["outcomes"] == {"applied": 1}
    assert f"The run itself is done; see: piactl runs show {last['run']}" in err
    assert len(academy.accounts()) == 1


# The sandbox's folder


@pytest.mark.parametrize("verb", ["start", "stop", "status"])
def test_a_file_is_no_sandbox(tmp_path: Path, verb: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        ran = command("sandbox", verb, "--dir", folder)
        assert ran.code == Exit.FAILED
        assert str(file) in ran.err
        assert 0 < ran.err.count("\n") <= 3
    assert file.read_text() == "mine"


@contextmanager
def somebody_else() -> Iterator[None]:
    """Inside, only the modes of files give rights: root becomes another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("verb", ["start", "stop", "status"])
@pytest.mark.parametrize("shut", ["", "slapd"])
def test_another_user_s_sandbox_is_left_alone(verb: str, shut: str) -> None:
    command("sandbox", verb, "--dir", "/dev/null")  # imports now what the other user may not read
    with tempfile.TemporaryDirectory(prefix="piactl-test-") as name:
        folder = Path(name) / "theirs"
        Path(name).chmod(0o755)
        (folder / "slapd").mkdir(parents=True)
        (folder / "slapd" / "busy").touch()
        folder.chmod(0o755)
        (folder / shut).chmod(0)
        with somebody_else():
            ran = command("sandbox", verb, "--dir", folder)
        (folder / shut).chmod(0o700)
        assert ran.code == Exit.FAILED
        assert "cannot be used by this user (Permission denied)" in ran.err
        assert [path.name for path in (folder / "slapd").iterdir()] == ["busy"]


@pytest.mark.parametrize("name", ["notes.txt", "slapd", "slapd/data/data.mdb", ".hidden"])
def test_a_folder_that_is_not_empty_is_refused_as_a_sandbox(tmp_path: Path, name: str) -> None:
    file = tmp_path / "folder" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    (tmp_path / "folder").chmod(0o755)
    before = sorted((tmp_path / "folder").rglob("*"))
    ran = command("sandbox", "start", "--dir", tmp_path / "folder")
    assert ran.code == Exit.FAILED
    assert "is not empty and not a sandbox" in ran.err
    assert name.split("/")[0] in ran.err
    assert "Name a new folder" in ran.err
    assert sorted((tmp_path / "folder").rglob("*")) == before
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755
    for verb in ("stop", "status"):
        assert "is not a sandbox" in command("sandbox", verb, "--dir", tmp_path / "folder").err


def test_an_empty_folder_is_used_and_made_private() -> None:
    with tempfile.TemporaryDirectory(prefix="piactl-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        assert start_sandbox(folder).running
        try:
            assert folder.stat().st_mode & 0o777 == 0o700
        finally:
            stop_sandbox(folder)


# A server that does not run


def test_a_stopped_sandbox_is_reported_with_the_command_that_starts_it(academy: Academy) -> None:
    folder = academy.sandbox.folder
    academy.sandbox.stop()
    ran = academy.run("account", "list")
    assert ran.code == Exit.UNREACHABLE
    assert f"ldapi://{folder}/slapd/ldapi: no such file" in ran.err
    assert f"Start it: piactl sandbox start --dir {folder}\n" in ran.err
    assert "piactl doctor" in ran.err
    assert "%2F" not in ran.err


def test_a_missing_socket_outside_a_sandbox_suggests_doctor_only(academy: Academy) -> None:
    uri = academy.sandbox.uri
    academy.edit("piactl.yaml", uri, "ldapi://%2Fno%2Fslapd%2Fldapi")
    ran = academy.run("account", "list")
    assert ran.code == Exit.UNREACHABLE
    assert "ldapi:///no/slapd/ldapi: no such file" in ran.err
    assert "piactl doctor" in ran.err
    assert "sandbox start" not in ran.err


def test_a_wrong_password_does_not_suggest_to_start_the_sandbox(academy: Academy) -> None:
    (academy.sandbox.folder / "secrets" / "reader").write_text("wrong\n")
    ran = academy.run("account", "list")
    assert ran.code == Exit.UNREACHABLE
    assert "sandbox start" not in ran.err


def test_verify_without_the_directory_says_heads_were_not_compared(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    academy.sandbox.stop()
    ran = academy.run("journal", "verify")
    assert ran.code == Exit.UNREACHABLE
    assert ran.out.startswith("journal intact: ")
    assert "not compared" in ran.out
    assert "the stored heads cannot be read" in ran.err
    file = academy.sandbox.folder / "journal" / "piactl.jsonl"
    file.write_text(file.read_text().replace("claire", "clairf", 1))
    assert academy.run("journal", "verify").code == Exit.FAILED


@pytest.mark.parametrize("gone", [("piactl.jsonl",), ("piactl.jsonl", "piactl.jsonl.head")], ids=len)
def test_stored_heads_reveal_a_removed_journal(academy: Academy, gone: tuple[str, ...]) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    for name in gone:
        (academy.sandbox.folder / "journal" / name).unlink()
    ran = academy.run("journal", "verify")
    assert ran.code == Exit.FAILED
    assert "is missing" in ran.err
    assert "anchors" in ran.err


# Words


@pytest.mark.parametrize("any_date", [True, False])
def test_a_night_before_the_day_of_the_last_run_is_refused_with_advice(
    academy: Academy, any_date: bool
) -> None:
    later = civil_today("Europe/Paris") + timedelta(days=3)
    academy.night(later.isoformat())
    if not any_date:
        academy.edit("piactl.yaml", "any_date: true ", "any_date: false ")
    ran = academy.run("nightly")
    assert ran.code == Exit.REFUSED
    assert "check the clock (`date`)" in ran.err
    assert ("if this is a trial go on with --as-of" in ran.err) is any_date
    if any_date:
        assert academy.run("nightly", "--as-of", str(later)).code == Exit.DONE


def test_all_invalid_filters_are_reported_at_once(academy: Academy) -> None:
    words = ["--uai", "foo", "--profile", "ensegnant", "--state", "dead"]
    ran = academy.run("account", "list", *words)
    assert ran.code == Exit.USAGE
    assert ran.out == ""
    assert "'foo' is neither a UAI nor a name" in ran.err
    assert "did you mean enseignant?" in ran.err
    assert "the states are: active" in ran.err
    assert "0800009A would be right" in academy.run("account", "list", "--uai", "0800009B").err


def test_runs_are_shown_in_readable_form(academy: Academy) -> None:
    academy.night(DAY, academy.feed(row(), day=DAY))
    (listed,) = academy.run("runs", "list", "-o", "json").json
    shown = academy.run("runs", "show", "last", "-o", "json").json
    assert shown == academy.run("runs", "show", listed["run"], "-o", "ndjson").json
    for record in (listed, shown):
        assert record["outcomes"] == {"applied": 1}
        assert record["started"] <= record["ended"]
        assert len(record["started"]) == len(record["ended"])
    table = academy.run("runs", "show", "last", "-o", "table").out
    assert f"line {shown['journal']['seq']}, hash {shown['journal']['hash'][:12]}..." in table
    assert f"hr=hr-001.csv (sha256 {shown['feeds'][0]['digest'][:12]}...)" in table
    assert "1 applied" in table
    assert "1 of 0 create" in table
    assert "hr: 1 row, 1 applied, 0 unchanged, 0 rejected, 0 held, 0 ignored" in table
    assert not set('{}[]"') & set(table)
    assert "1 applied" in academy.run("runs", "list", "-o", "tsv").out


@pytest.mark.parametrize(
    ("words", "place", "message"),
    [
        (["account", "list", "-o", "xml"], "piactl account list", "'xml' is not one of"),
        (["account", "list", "--foo"], "piactl account list", "--foo"),
        (["journal", "foo"], "piactl journal", "foo"),
        (["foo"], "piactl", "foo"),
        (["apply"], "piactl apply", "PLAN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_names_the_help_of_its_command(words: list[str], place: str, message: str) -> None:
    ran = command(*words)
    assert ran.code == Exit.USAGE
    assert message in ran.err
    assert "Value error" not in ran.err
    assert f"See: {place} --help\n" in ran.err


def test_messages_use_the_singular_for_one_row(academy: Academy) -> None:
    feed = academy.feed(row(), row(matricule="1002", debut="demain"), day=DAY)
    checked = academy.run("feed", "check", feed)
    assert "1 of 2 rows rejected, 1 person would be held" in checked.out
    assert "1 row written" in academy.run("feed", "rejects", feed, "--out", academy.folder / "r.csv").err
