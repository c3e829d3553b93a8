"""Under sudo no option of any command makes piactl read or write a file for its caller."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piactl.cli.framework.application import load_command
from piactl.errors import Exit
from tests.remembered import open_parents
from tests.story.academy import Academy

from .command_cases import CLAIRE, WHY, load
from .streams import Forks, forking_for_others

SERVICE = 65534
NAME = pwd.getpwuid(SERVICE).pw_name

CALLER = "daemon"
"""A user of every host, whose group gets all roles of people."""
ROLES = (
    "roles: {desk: [daemon], administrator: [daemon], approver: [daemon], portal: [daemon]}\nstate_folder:"
)
FOR_ROOT = "is for root; you are daemon"

WRITES = "under sudo piactl writes no file for you as"
READS = "under sudo piactl reads no file for you as"
OWN = "under sudo piactl reads only files of others for you"

ADVICE = {
    "": r"^leave \S+ out and redirect the output|^name one in \S+/state/(plans|rehearsals)$",
    "--html": "piactl runs show last -o html >FILE",
    "--move-applied": "^name one in /srv/piactl$",
    "--svg": "give --svg - and redirect",
    "--png": "on a terminal",
    "--uri-file": "on a terminal",
    "feed rejects": "give --out - and redirect",
    **dict.fromkeys(
        ("password activate", "password reset", "password approve"),
        r"\(umask 077; piactl password (activate|reset|approve) \S+ --out - >FILE\)",
    ),
}
"""What the caller does instead, which is not refused in its turn; by command or option."""

REHEARSED = ("--feeds", "{new}", "--days", "2026-09-01..2026-09-02")

CASES: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("plan", "--out"): (("--out", "{new}"), WRITES),
    ("plan", "FEED"): (("hr={own}",), OWN),
    ("plan", "--policy"): (("--policy", "{own}"), READS),
    ("policy diff", "FEED"): (("{own}", "{own}", "hr={own}"), READS),
    ("policy test", "FILE"): (("{own}",), READS),
    ("policy check", "FILE"): (("{own}",), READS),
    ("policy test", "--establishments"): (("--establishments", "{own}", "{own}"), READS),
    ("policy test", "--policy"): (("--policy", "{own}", "{own}"), READS),
    ("rehearse", "--feeds"): ((*REHEARSED, "--out", "{new}"), WRITES),
    ("rehearse", "--out"): ((*REHEARSED, "--out", "{new}"), WRITES),
    ("rehearse", "--from"): ((*REHEARSED, "--out", "{new}", "--from", "{own}"), READS),
    ("rehearse", "--policy"): ((*REHEARSED, "--out", "{new}", "--policy", "{own}"), WRITES),
    ("rehearse", "--compare"): ((*REHEARSED, "--out", "{new}", "--compare", "{own}"), WRITES),
    ("guards suggest", "DIR"): (("{own}",), READS),
    ("feed score", "DIR"): (("{own}",), READS),
    ("nightly", "FEED"): (("hr={own}",), OWN),
    ("nightly", "--html"): (("--html", "{new}"), WRITES),
    ("nightly", "--move-applied"): (("--move-applied", "{new}"), WRITES),
    ("apply", "PLAN"): (("{own}",), OWN),
    ("approve", "PLAN"): (("{own}", *WHY), OWN),
    ("reject", "PLAN"): (("{own}", *WHY), OWN),
    ("undo", "--out"): (("last", *WHY, "--out", "{new}"), WRITES),
    ("adopt", "--out"): (("hr={own}", "--out", "{new}"), WRITES),
    ("adopt", "FEED..."): (("hr={own}",), OWN),
    ("feed check", "FEED"): (("hr={own}",), OWN),
    ("feed rejects", "FEED"): (("hr={own}", "--out", "{new}"), WRITES),
    ("feed rejects", "--out"): (("hr={own}", "--out", "{new}"), WRITES),
    ("account export", "--page"): ((CLAIRE, "--page", "{new}"), WRITES),
    ("account merge", "--out"): ((CLAIRE, "ida.roy", *WHY, "--out", "{new}"), WRITES),
    ("account timeline", "--svg"): ((CLAIRE, "--svg", "{new}"), WRITES),
    ("password activate", "--out"): ((CLAIRE, "--out", "{new}"), WRITES),
    ("password activate", "--numen-file"): ((CLAIRE, "--numen-file", "{own}"), READS),
    ("password activate", "--one-time-code-file"): ((CLAIRE, "--one-time-code-file", "{own}"), READS),
    ("password reset", "--out"): ((CLAIRE, "--out", "{new}"), WRITES),
    ("password reset", "--numen-file"): ((CLAIRE, "--numen-file", "{own}"), READS),
    ("password reset", "--one-time-code-file"): ((CLAIRE, "--one-time-code-file", "{own}"), READS),
    ("password approve", "--out"): (("2222-2222", "--out", "{new}"), WRITES),
    ("password check", "--password-file"): ((CLAIRE, "--password-file", "{own}"), READS),
    ("otp verify", "--proof-file"): ((CLAIRE, "--proof-file", "{own}"), READS),
    ("otp verify", "--code-file"): ((CLAIRE, "--code-file", "{own}"), READS),
    ("otp check", "--code-file"): ((CLAIRE, "--code-file", "{own}"), READS),
    ("otp resume", "--proof-file"): ((CLAIRE, "--proof-file", "{own}", *WHY), READS),
    ("otp remove", "--proof-file"): ((CLAIRE, "--proof-file", "{own}", *WHY), READS),
    ("otp enroll", "--png"): ((CLAIRE, "--png", "{new}"), WRITES),
    ("otp enroll", "--uri-file"): ((CLAIRE, "--uri-file", "{new}"), WRITES),
    ("journal verify", "FILE"): (("{own}",), OWN),
    ("journal verify", "--syslog"): (("--syslog", "{own}"), OWN),
    ("journal begin", "--syslog"): (("--syslog", "{own}", *WHY), FOR_ROOT),
    ("init", "--dir"): (("--dir", "{new}"), FOR_ROOT),
    ("sandbox start", "--dir"): (("--dir", "{new}"), FOR_ROOT),
    ("sandbox stop", "--dir"): (("--dir", "{own}"), FOR_ROOT),
    ("sandbox status", "--dir"): (("--dir", "{own}"), FOR_ROOT),
}


def options(command: Any, words: str = "") -> Iterator[tuple[str, str]]:
    """The options and arguments of all commands that name a file or a folder."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{words} {name}".strip())
    for parameter in command.params if words else ():
        kind = parameter.metavar or getattr(getattr(parameter, "type_descriptor", None), "annotation", "")
        is_file = not {"FILE", "PATH", "DIR", "FEED", "PLAN"}.isdisjoint(
            re.findall("[A-Z]+", str(kind).upper())
        )
        if is_file and "--output" not in parameter.opts:
            long = [word for word in parameter.opts if word.startswith("--")]
            yield words, long[0] if long else str(parameter.metavar or parameter.name.upper()).strip("[]")


def test_every_option_that_names_a_file_has_its_case() -> None:
    assert set(options(load_command())) == set(CASES)


of_root = pytest.mark.skipif(os.geteuid() != 0, reason="starts processes of other users")


@pytest.fixture
def loaded(make_academy: Callable[..., Academy]) -> Academy:
    academy = make_academy(after=load)
    academy.edit("piactl.yaml", "state_folder:", ROLES)
    for path in (academy.sandbox.folder, academy.folder):
        open_parents(path)
        for file in (path, *path.rglob("*")):
            os.lchown(file, SERVICE, SERVICE)
    return academy


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking_for_others(CALLER=CALLER) as forks:
        yield forks


@of_root
def test_no_file_is_read_or_written_for_the_caller(loaded: Academy, forks: Forks) -> None:
    folder = loaded.sandbox.folder
    own, new = folder / "secrets" / "desk", loaded.folder / "new"
    secret = own.read_text()
    for (command, option), (words, sentence) in CASES.items():
        arguments = [word.format(own=own, new=new) for word in words]
        ran = forks.run(
            loaded,
            *command.split(),
            *arguments,
            user=SERVICE,
            system=folder / "piactl.yaml",
        )
        assert ran.code not in (Exit.DONE, Exit.BUG), (command, option, ran)
        assert sentence in ran.err, (command, option, ran)
        if sentence is WRITES:
            advice = ran.err.partition(f"{WRITES} {NAME}; ")[2]
            expected = ADVICE.get(command) or ADVICE.get(option, ADVICE[""])
            assert re.search(expected, advice), (command, option, advice)
        assert not {secret[i : i + 6] for i in range(len(secret) - 6)} & set(windows(ran.out + ran.err))
        assert not new.exists(), (command, option)


def windows(text: str) -> Iterator[str]:
    return (text[i : i + 6] for i in range(max(len(text) - 5, 0)))


@of_root
def test_only_the_configuration_of_the_host_is_read(loaded: Academy, forks: Forks) -> None:
    refused = forks.run(loaded, "account", "list", user=SERVICE)
    assert refused.code == Exit.USAGE
    assert refused.err == (
        f"piactl: under sudo {NAME} reads /etc/piactl/piactl.yaml only; "
        "leave --config and PIACTL_CONFIG out\n"
    )
    system: Path = loaded.sandbox.config
    ran = forks.run(loaded, "account", "list", user=SERVICE, system=system)
    assert ran.code == Exit.DONE, ran
    plans = Path(loaded.sandbox.folder) / "state" / "plans"
    plans.mkdir(exist_ok=True)
    os.chown(plans, SERVICE, -1)
    for words in (("plan", "--out", f"{plans}/x.json"), ("plan", "show", f"{plans}/x.json")):
        ran = forks.run(loaded, *words, user=SERVICE, system=system)
        assert ran.code == Exit.DONE, ran
