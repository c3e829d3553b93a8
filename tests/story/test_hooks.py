"""`hooks.changes`: other programs get each change at least once, and a failing hook harms no run."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.cli.streams import Forked, shared_forks

from .academy import Academy
from .feeds import row
from .killed import killed_at_calls_of, killed_by

DAY = "2026-09-01"
WHY = ("--reason", "appel du proviseur", "--as-of", DAY, "-y")
ROWS = [row(matricule=str(n), prenom=f"P{'abcdef'[n]}ul", debut=DAY) for n in range(6)]


def hooked(academy: Academy, script: str, kinds: str = "[create, lock]", seconds: int = 5) -> Path:
    """Configures a hook; returns the file to which `{heard}` in its script refers."""
    heard, hook = academy.folder / "heard", academy.folder / "hook"
    write(hook, script.format(heard=heard))
    line = f"hooks: {{changes: [{{kinds: {kinds}, run: [{hook}], seconds: {seconds}}}]}}\n"
    academy.edit("piactl.yaml", "state_folder: state\n", f"state_folder: state\n{line}")
    return heard


def write(hook: Path, script: str) -> None:
    hook.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    hook.chmod(stat.S_IRWXU)


def events(heard: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heard.read_text().splitlines()] if heard.exists() else []


def waiting(academy: Academy) -> int:
    events: int = academy.run("status", "-o", "json").json["waiting"]["events"]
    return events


def first_night(academy: Academy) -> Any:
    return academy.night(DAY, academy.feed(*ROWS, day=DAY))


def test_a_night_and_a_lock_call_the_hook_with_their_events(academy: Academy) -> None:
    heard = hooked(academy, "cat >>{heard}")
    first_night(academy)
    created = events(heard)
    every = [json.loads(line) for line in academy.run("events", "-o", "ndjson").out.splitlines()]
    assert created == every
    uid = created[0]["uid"]
    ran = academy.run("account", "lock", uid, *WHY)
    assert (ran.code, "sessions" in ran.err) == (0, False)
    assert [event["kind"] for event in events(heard)] == ["create"] * 6 + ["lock"]
    assert academy.run("account", "unlock", uid, *WHY).code == 0
    assert len(events(heard)) == 7, "unlock is no kind of this hook"
    assert stat.S_IMODE((academy.sandbox.folder / "state" / "hooks.json").stat().st_mode) == 0o600


def test_a_new_hook_gets_nothing_of_the_past(academy: Academy) -> None:
    first_night(academy)
    heard = hooked(academy, "cat >>{heard}")
    academy.night("2026-09-02")
    assert events(heard) == []


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 3", "ended with exit code 3"), ("cat >/dev/null; sleep 60", "did not end within 1 seconds")],
)
def test_events_of_a_failed_hook_are_sent_again_by_the_next_run(
    academy: Academy, script: str, why: str
) -> None:
    heard = hooked(academy, script, seconds=1)
    metrics = academy.folder / "metrics" / "piactl.prom"
    metrics.parent.mkdir()
    academy.edit("piactl.yaml", "\njournal: ", f"\nmetrics: {metrics}\njournal: ")
    ran = first_night(academy)
    assert why in ran.err
    assert "6 events wait for the next run" in ran.err
    assert "piactl_hook_events_waiting 6\n" in metrics.read_text()
    status = academy.run("status")
    assert "6 events for hooks of this host" in status.out
    assert academy.run("status", "-o", "json").json["waiting"]["events"] == 6
    write(academy.folder / "hook", f"cat >>{heard}")
    assert academy.night("2026-09-02").err.count("hook") == 0
    assert Counter(event["kind"] for event in events(heard)) == {"create": 6}
    assert waiting(academy) == 0


def test_a_hook_gets_nothing_of_the_environment_and_leaves_nothing_running(
    academy: Academy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    heard = hooked(academy, "env >{heard}; pwd >>{heard}; sleep 300 & echo $! >{heard}.pid; exit 0")
    first_night(academy)
    names = {line.partition("=")[0] for line in heard.read_text().splitlines()[:-1]}
    assert names - {"_", "OLDPWD", "SHLVL"} == {"PATH", "LANG", "PWD"}
    assert heard.read_text().splitlines()[-1] == "/"
    pid = int(Path(f"{heard}.pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        time.sleep(0.05)
    pytest.fail("what the hook started goes on")


KILLER = killed_at_calls_of("write_ahead.Settlement", "hooks.called", "hooks._save")


@pytest.mark.parametrize("number", [1, 2, 4, 7, 8, 9, 10])
def test_a_kill_anywhere_loses_nothing(academy: Academy, number: int) -> None:
    """The run is killed before the first note of the place in the journal, between write and outcome, and
    before and after the call."""
    heard = hooked(academy, "cat >>{heard}")
    feed = academy.feed(*ROWS, day=DAY)
    words = ("--config", str(academy.sandbox.config), "nightly", str(feed), "--as-of", DAY)
    killed_by(KILLER, academy, str(number), *words)
    academy.night(DAY, feed)
    every = [json.loads(line) for line in academy.run("events", "-o", "ndjson").out.splitlines()]
    got = events(heard)
    assert {event["id"] for event in got} == {event["id"] for event in every}
    assert len({event["uid"] for event in got}) == 6
    assert waiting(academy) == 0


def test_a_run_leaves_its_events_to_the_run_that_calls_the_hooks(academy: Academy) -> None:
    """While one run calls the hooks, another run leaves its events to it."""
    gate = academy.folder / "gate"
    script = f"cat >>{{heard}}; while [ ! -e {gate} ]; do sleep 0.05; done"
    heard = hooked(academy, script, kinds="[lock]", seconds=30)
    first_night(academy)
    uids = sorted(academy.names().values())[:2]

    def locking(uid: str) -> Forked:
        return shared_forks().start(("account", "lock", uid, *WHY), academy.sandbox.config, academy.folder)

    slow = locking(uids[0])
    while not events(heard) and slow.poll() is None:
        time.sleep(0.05)
    other = locking(uids[1])
    while _journal(academy).count(b'"type":"end"') < 3 and other.poll() is None:
        time.sleep(0.05)
    gate.touch()
    assert (slow.wait(60), other.wait(60)) == (0, 0)
    assert [event["uid"] for event in events(heard)] == uids
    assert waiting(academy) == 0


def _journal(academy: Academy) -> bytes:
    return (academy.sandbox.folder / "journal" / "piactl.jsonl").read_bytes()


def test_the_example_ends_sessions(tmp_path: Path) -> None:
    """What it does with its input; in `test_consumers` it ends sessions of LemonLDAP::NG."""
    script, tool, log = (tmp_path / name for name in ("script", "tool", "log"))
    example = Path(__file__).parents[2] / "examples" / "hooks" / "end-lemonldap-sessions"
    text, count = re.subn(r"(?m)^tool=.*$", f"tool={tool}", example.read_text(encoding="utf-8"))
    assert count == 1
    write(script, text.removeprefix("#!/bin/sh\n"))
    write(tool, f'echo "$@" >>{log}; test "$3" != "uid=bad.one"')
    lines = "".join(
        json.dumps({"id": "1.1-0", "uid": uid, "kind": "lock", "address": {"old": None, "new": None}}) + "\n"
        for uid in ("a.b", "c.d1", "a.b", "x'; rm *", "bad.one")
    )
    done = subprocess.run([str(script)], input=lines, text=True, check=False)
    assert log.read_text().splitlines() == [f"delete --where uid={uid}" for uid in ("a.b", "bad.one")]
    assert done.returncode != 0
