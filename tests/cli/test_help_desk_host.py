"""A host for the help desk alone, set up as docs/help-desk.md says: it has no other identity, and the
commands of the page work there with real sudo."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside import Exit
from tests.story.academy import Academy

from .conditions import CLAIRE, NUMEN
from .unix_host import Host, load_with_matching_key, unix_host

pytestmark = pytest.mark.long

PAGE = (Path(__file__).parents[2] / "docs" / "help-desk.md").read_text(encoding="utf-8")
BLOCKS = [
    re.sub(r"^   ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"```\n(.*?) *```", PAGE, re.DOTALL)
]


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    """A host set up like that of the nights; its /etc/piactl then moves away, as if on another host."""
    load_with_matching_key(academy)
    with unix_host(academy) as host:
        host.root(
            """mkdir -p /srv/nights; cp -a /etc/piactl /srv/nights/
            rm -rf /etc/piactl/secrets/* /etc/piactl/*.*; sed -i /SETENV/d /etc/sudoers.d/tests
            printf '#!/bin/sh\\nbash -c "$(echo "$1" | sed s,/etc/,/srv/nights/,)"' > /srv/nights/ssh
            chmod 755 /srv/nights/ssh"""
        )
        yield host


def block(beginning: str) -> str:
    (script,) = [block for block in BLOCKS if block.startswith(beginning)]
    return script


def test_commands_of_the_help_desk_page_work_on_a_host_of_its_own(host: Host) -> None:
    brought = block("nights=").replace("'ssh root@nights.example.org'", "/srv/nights/ssh")
    host.root(brought)
    lines = host.root("cat /etc/piactl/piactl.yaml").splitlines()
    remaining = [
        line for line in lines if not re.match(r" +(nightly|administrator|approver): \{|matching_key:", line)
    ]
    assert len(lines) - len(remaining) in (3, 4)
    host.root("cat > /etc/piactl/piactl.yaml <<'END'\n" + "\n".join(remaining) + "\nEND")
    host.root(block("gpasswd").replace("PERSON", "stranger"))
    assert {Path(name).name for name in host.secrets()} == {"reader", "desk", "keys"}

    done = host.root(block("piactl doctor").rstrip() + " -o json || true")
    findings = {finding["id"]: (finding["result"], finding["found"]) for finding in json.loads(done)}
    without_syslog = [] if Path("/dev/log").exists() else ["D50"]
    assert [id_ for id_, (result, _) in findings.items() if result == "error"] == without_syslog
    assert findings["D05"] == ("ok", "private: reader, desk")
    assert findings["D53"][0] in ("ok", "skipped")

    outputs = {}
    commands = re.findall(r"`(piactl (?!match)[^`]+)`", PAGE.partition("## A new telephone")[0])
    assert len(commands) == 14
    named = {"ACCOUNT": CLAIRE, "SERVICE": "messagerie", "TEXT": "appel", "NAME": "dubreuil", "REQUEST": "x",
             "WORDS": "thuillier", "UAI": "0800009A"}  # fmt: skip
    for command in commands:
        words = [named.get(word, word) for word in command.split()]
        typed = ""
        if words[1:] == ["password", "reset", CLAIRE]:
            words, typed = [*words, "--numen-file", "-"], f"{NUMEN}\n"
        elif words[1] in ("password", "otp") and words[2] not in ("reset", "approve"):
            words.append("--dry-run")
        elif words[1:3] == ["password", "reset"]:
            words.append("--yes")
        done = host.types("stranger", *words, terminal=True, stdin=typed)
        assert "not allowed to execute" not in done.stdout, command
        assert done.returncode not in (Exit.USAGE, Exit.CONFIGURATION, Exit.BUG), (command, done.stdout)
        outputs[command] = done.stdout
    assert "piactl password activate" in outputs["piactl why ACCOUNT login"]
    assert CLAIRE in outputs["piactl account find NAME"]
    assert "0800009A" in outputs["piactl establishment list WORDS"]
    activate = ("piactl", "password", "activate", CLAIRE, "--numen-file", "-")
    done = host.types("stranger", *activate, terminal=True, stdin=f"{NUMEN}\n")
    assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout
    done = host.types("ope", "piactl", "why", CLAIRE, environment={"LANG": "fr_FR.UTF-8"})
    assert "actif" in done.stdout
    # the others have no password here, and the desk no role for them
    lock = ["account", "lock", CLAIRE, "--reason", "x", "--yes"]
    for caller, words, way_on in (
        ("root", ["nightly"], "on a host that has it, such as that of the nights"),
        ("boss", lock, "on a host that has it, such as that of the nights"),
        (
            "stranger",
            lock,
            "They type, on a host with the identity administrator, such as that of the nights "
            f"(group piactl-admin): piactl account lock {CLAIRE} --reason x --yes\n",
        ),
    ):
        done = host.types(caller, "piactl", *words)
        assert (done.returncode, way_on in done.stderr) == (Exit.CONFIGURATION, True), done
