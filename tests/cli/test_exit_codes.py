"""Each exit code has one meaning, and each is tested here; no command ever shows a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.story.academy import Academy, Ran
from tests.story.feeds import row

from .streams import command
from .terminal import at_terminal

DAY = "2026-09-05"


def load(academy: Academy, *rows: str) -> None:
    academy.night(DAY, academy.feed(*(rows or (row(),)), day=DAY))


def done(academy: Academy) -> Ran:
    return academy.run("nightly", academy.feed(row(), day=DAY), "--as-of", DAY)


def failed(academy: Academy) -> Ran:
    file = academy.folder / "plan.json"
    file.write_text("{}")
    return academy.run("apply", file)


def usage(academy: Academy) -> Ran:
    return academy.run("nightly", "--as-of", "the day after tomorrow")


def changes(academy: Academy) -> Ran:
    load(academy)
    feed = academy.feed(row(nom_usage="Aubry"), day="2026-09-06")
    return academy.run("plan", feed, "--as-of", "2026-09-06", "--detailed-exitcode")


def refused(academy: Academy) -> Ran:
    academy.edit(
        "policy.yaml", "  rename:     {floor: 15, share: 0.005}", "  rename:     {max: 0, share: 0.005}"
    )
    academy.edit("policy.yaml", "      rename:     {floor: 20, share: 0.02}\n", "")
    load(academy)
    return academy.run(
        "nightly", academy.feed(row(nom_usage="Aubry"), day="2026-09-06"), "--as-of", "2026-09-06"
    )


def partly(academy: Academy) -> Ran:
    load(academy, row(), row(matricule="1002", prenom="Hugo"))
    file = academy.folder / "plan.json"
    rows = (row(nom_usage="Aubry"), row(matricule="1002", prenom="Hugo", nom_usage="Aubin"))
    academy.plan(academy.feed(*rows, day="2026-09-06"), "--as-of", "2026-09-06", "--out", file)
    academy.change("hugo.dubreuil", displayName=["Hugo D."])
    return academy.run("apply", file)


def feed_refused(academy: Academy) -> Ran:
    return academy.run("nightly", academy.raw_feed(b""))


def locked(academy: Academy) -> Ran:
    """Another host writes, and no lock has to be free for a lock of one account."""
    load(academy)
    lock = {"run": "other", "host": "elsewhere", "pid": 1, "began": 1, "who": "x", "place": "y"}
    lock |= {"since": "2026-11-25T00:00:00+00:00", "expires": "2999-01-01T00:00:00+00:00"}
    academy.sandbox.add(
        f"cn=lock,{academy.sandbox.state}",
        {"objectClass": ["piactlRecord"], "cn": ["lock"], "piactlData": [json.dumps(lock)]},
    )
    assert academy.run("account", "lock", "claire.dubreuil", "--reason", "stolen telephone").code == 0
    assert academy.run("undo", "last", "--reason", "found").code == Exit.LOCKED
    return academy.run("nightly", "--as-of", DAY)


def unreachable(academy: Academy) -> Ran:
    academy.sandbox.stop()
    return academy.run("account", "list")


def not_found(academy: Academy) -> Ran:
    return academy.run("account", "show", "nobody.here")


def configuration(academy: Academy) -> Ran:
    academy.edit("policy.yaml", "open_before: 15 ", "open_befor: 15 ")
    return academy.run("plan")


def older(academy: Academy) -> Ran:
    """The record of the last run is gone, as after a restore."""
    load(academy)
    last = academy.run("runs", "show", "last", "-o", "json").json["run"]
    below = academy.sandbox.entries(f"cn={last},ou=runs,{academy.sandbox.state}")
    with academy.sandbox.root() as root:
        for dn in sorted(below, key=len, reverse=True):
            root.delete(dn)
    return academy.run("nightly", "--as-of", DAY)


def declined(academy: Academy) -> Ran:
    load(academy)
    words = ("account", "lock", "claire.dubreuil", "--reason", "stolen telephone")
    code, screen = at_terminal(academy, *words, answers={"[y/N]": "n"})
    return Ran(code, "", screen.partition("[y/N]")[2].lstrip(" n\n"))


def policy_of_two_mistakes(academy: Academy) -> Ran:
    academy.edit("policy.yaml", "handover: 7\n", "handovr: 7\n")
    academy.edit("policy.yaml", "meanwhile: none", "meanwhile: nonne")
    return academy.run("plan")


CODES: dict[str, tuple[Exit, Callable[[Academy], Ran], tuple[str, ...]]] = {
    "done": (Exit.DONE, done, ()),
    "failed": (Exit.FAILED, failed, ("plan.json", "piactl plan FEED")),
    "usage": (Exit.USAGE, usage, ("--as-of", "YYYY-MM-DD")),
    "changes": (Exit.CHANGES, changes, ()),
    "refused by a guard": (Exit.REFUSED, refused, ("rename: 1 of 1", "--allow rename=1", "piactl apply")),
    "in part": (Exit.PARTLY, partly, ("hugo.dubreuil: conflict", "displayName")),
    "feed refused": (Exit.FEED_REFUSED, feed_refused, ("hr-001.csv", "[empty]")),
    "lock held": (Exit.LOCKED, locked, ("is writing since", "elsewhere")),
    "unreachable": (Exit.UNREACHABLE, unreachable, ("ldapi",)),
    "not found": (Exit.NOT_FOUND, not_found, ("nobody.here",)),
    "configuration": (Exit.CONFIGURATION, configuration, ("policy.yaml", "open_befor", "open_before")),
    "older directory": (Exit.OLDER, older, ("run 2", "wrote on", "piactl recover")),
    "declined": (Exit.DECLINED, declined, ("nothing was changed",)),
    "two mistakes at once": (
        Exit.CONFIGURATION,
        policy_of_two_mistakes,
        ("handovr", "handover", "nonne", "policy.yaml:"),
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_exit_code(academy: Academy, name: str) -> None:
    code, make, words = CODES[name]
    ran = make(academy)
    assert ran.code == code, ran.err
    for word in words:
        assert word in ran.err
    if code not in (Exit.DONE, Exit.CHANGES):
        assert ran.err.startswith("piactl: ")


def test_every_exit_code_but_bug_has_a_case() -> None:
    """tests/cli/test_interrupted_questions.py interrupts commands."""
    assert {code for code, _, _ in CODES.values()} == set(Exit) - {Exit.BUG, Exit.INTERRUPTED}


WRONG = (
    "account list -o jsn",  # an unknown form is no wish for JSON
    "no-such-command", "plan --no-such-option", "plan no-such-file.csv", "plan show", "apply",
    "apply plan.json --allow deactivate", "apply plan.json --allow everything=9 --reason x",
    f"nightly --accept-feed {'0' * 64}", "account show a --as-of 2026-02-30",
    "account show a --as-of 0000-00-00", "runs show", "feed check", "feed rejects x.csv",
)  # fmt: skip


def test_a_wrong_command_line(academy: Academy) -> None:
    for words in WRONG:
        ran = academy.run(*words.split())
        assert (ran.code, ran.out) == (Exit.USAGE, ""), (words, ran)
        assert 0 < ran.err.count("\n") <= 6, (words, ran)


@pytest.mark.parametrize("words", ["account list", "plan", "nightly", "journal verify", "runs list"])
def test_without_a_configuration_it_says_how_to_get_one(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIACTL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    ran = command(*words.split())
    assert ran.code == Exit.CONFIGURATION
    assert "piactl sandbox start" in ran.err
    assert "piactl --config DIR/piactl.yaml COMMAND\n" in ran.err


@pytest.mark.parametrize(
    "file", ["piactl.yaml", "policy.yaml", "establishments.csv", "secrets/keys", "secrets/nightly"]
)
def test_a_missing_file_is_named(academy: Academy, file: str) -> None:
    (academy.sandbox.folder / file).unlink()
    ran = academy.run("nightly")
    assert ran.code == Exit.CONFIGURATION, ran.err
    assert Path(file).name in ran.err


def test_a_secret_that_others_may_read_is_refused(academy: Academy) -> None:
    (academy.sandbox.folder / "secrets" / "nightly").chmod(0o644)
    ran = academy.run("nightly")
    assert ran.code == Exit.CONFIGURATION
    assert "chmod" in ran.err
