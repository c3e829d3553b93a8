"""The sandbox as a process: it is started once, found again, and stopped by its pid; its files are kept."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.errors import SandboxUnavailable
from piactl.host.secret_files import identity_password, read_keys
from piactl.sandbox import sandbox_status, start_sandbox, stop_sandbox
from piactl.sandbox import server as software
from piactl.sandbox.server import Process, observe, remember


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path. If a sandbox is made there, it is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="piactl-test-") as name:
        place = Path(name)
        yield place
        for inner in place.rglob("process.json"):
            stop_sandbox(inner.parent.parent)


def test_a_second_start_finds_the_running_server(sandbox: Any) -> None:
    again = sandbox.start()
    assert (again.pid, again.changed) == (sandbox.pid, False)
    assert again.uris == (sandbox.uri, sandbox.tcp_uri)


def test_a_restart_keeps_data_and_files(sandbox: Any) -> None:
    dn = f"cn=kept,{sandbox.state}"
    sandbox.add(dn, {"objectClass": "piactlRecord", "piactlData": "{}"})
    files = {f: f.read_bytes() for f in sandbox.folder.rglob("*") if f.is_file() and "slapd" not in str(f)}
    sandbox.config.write_text(sandbox.config.read_text() + "# mine\n")
    stopped = sandbox.stop()
    assert (stopped.running, stopped.pid, stopped.uris, stopped.changed) == (False, None, (), True)
    assert not sandbox.stop().changed
    started = sandbox.start()
    assert started.changed
    assert started.uris[0] == sandbox.uri
    assert sandbox.entry(dn) is not None
    assert sandbox.config.read_text().endswith("# mine\n")
    assert all(f.read_bytes() == content for f, content in files.items() if f != sandbox.config)


def test_configuration_policy_and_register_can_be_read(sandbox: Any) -> None:
    settings = read_settings(sandbox.config)
    assert settings.directory.servers == (sandbox.uri,)
    assert settings.any_date
    assert read_policy(Path(settings.policy_file)).services
    assert read_register(Path(settings.establishments_file))
    assert read_keys(settings.keys_file).current == "k1"
    for name, identity in settings.directory.identities.items():
        password = identity_password(identity).decode()
        with sandbox.bind(identity.dn, password) as connection:
            assert (
                connection.extend.standard.who_am_i() == f"dn:cn=piactl-{name},{identity.dn.split(',', 1)[1]}"
            )


def test_secrets_are_in_private_files_and_nowhere_else(sandbox: Any) -> None:
    assert stat.S_IMODE(sandbox.folder.stat().st_mode) & 0o077 == 0
    secrets = list((sandbox.folder / "secrets").iterdir())
    assert len(secrets) == 6
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in secrets)
    canaries = [f.read_text().split()[-1].encode() for f in secrets]
    assert len({*canaries}) == 6
    others = [f for f in sandbox.folder.rglob("*") if f.is_file() and f.parent.name != "secrets"]
    assert any(f.name == "data.mdb" for f in others)
    arguments = Path(f"/proc/{sandbox.pid}/cmdline").read_bytes()
    for content in [arguments, repr(sandbox.start()).encode(), *(f.read_bytes() for f in others)]:
        assert not any(canary in content for canary in canaries)


def test_two_sandboxes_have_secrets_of_their_own(make_sandbox: Callable[..., Any]) -> None:
    first, second = make_sandbox(fresh=True), make_sandbox(fresh=True)
    for name in ("reader", "nightly", "desk", "administrator", "keys"):
        assert (first.folder / "secrets" / name).read_bytes() != (
            second.folder / "secrets" / name
        ).read_bytes()


def test_it_outlives_the_command_that_started_it(folder: Path) -> None:
    code = "import sys, pathlib, piactl.sandbox as s; print(s.start_sandbox(pathlib.Path(sys.argv[1])).pid)"
    done = subprocess.run(
        [sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    status = sandbox_status(folder)
    assert status.pid == int(done.stdout)
    assert os.getsid(int(done.stdout)) not in (os.getsid(0), os.getpid())


def test_a_killed_server_counts_as_stopped_and_restarts_with_its_data(sandbox: Any) -> None:
    dn = f"cn=kept,{sandbox.state}"
    sandbox.add(dn, {"objectClass": "piactlRecord"})
    process = observe(sandbox.pid)
    os.kill(sandbox.pid, signal.SIGKILL)
    while process.alive():
        pass
    assert not sandbox_status(sandbox.folder).running
    assert sandbox.start().pid != sandbox.pid
    assert sandbox.entry(dn) is not None


def test_a_process_that_reuses_the_pid_is_left_alone(sandbox: Any) -> None:
    sandbox.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            now = observe(other.pid)
            earlier = Process(other.pid, now.started_ticks - 1, now.boot)
            remember(earlier, sandbox.folder / "slapd" / "process.json")
            assert not sandbox_status(sandbox.folder).running
            assert not stop_sandbox(sandbox.folder).changed
            assert other.poll() is None
            # if it is the same process, it is ended
            remember(now, sandbox.folder / "slapd" / "process.json")
            assert stop_sandbox(sandbox.folder).changed
            assert other.wait(5) == -signal.SIGTERM
        finally:
            other.kill()


def test_a_long_path_has_its_socket_elsewhere(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    status = start_sandbox(deep)
    place = Path(status.uris[0].removeprefix("ldapi://").replace("%2F", "/"))
    assert deep not in place.parents
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert status.uris[0] in (deep / "piactl.yaml").read_text()
    stop_sandbox(deep)
    assert not place.parent.exists()
    assert start_sandbox(deep).uris[0] == status.uris[0]


def test_starting_at_the_same_time_makes_one_server(folder: Path) -> None:
    pids: list[int | None] = []
    threads = [threading.Thread(target=lambda: pids.append(start_sandbox(folder).pid)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_an_interrupted_start_is_begun_again(folder: Path) -> None:
    start_sandbox(folder)
    stop_sandbox(folder)
    password = (folder / "secrets" / "reader").read_bytes()
    (folder / "slapd" / "made").unlink()
    (folder / "slapd" / "data" / "data.mdb").write_bytes(b"half a database")
    assert start_sandbox(folder).running
    assert (folder / "secrets" / "reader").read_bytes() == password


@pytest.mark.parametrize("name", ["piactl.yaml", "policy.yaml", "secrets"])
def test_a_folder_with_a_configuration_of_its_own_is_not_taken(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    with pytest.raises(SandboxUnavailable, match=name):
        start_sandbox(folder)
    assert [f.name for f in folder.iterdir()] == [name]


def test_missing_software_is_named_with_the_command_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_PROGRAM_FOLDERS", "_MODULE_FOLDERS", "_SCHEMA_FOLDERS"):
        monkeypatch.setattr(software, name, ("/nonexistent",))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailable) as missing:
        start_sandbox(folder / "new", accesslog=True)
    text = str(missing.value)
    for word in ("slapd", "slapadd", "module otp", "module accesslog", "schema core"):
        assert re.search(rf"\b{word}\b", text.splitlines()[0]), word
    assert "apt install slapd ldap-utils slapd-contrib" in text
    assert len(text.splitlines()) <= 3


def test_a_server_that_does_not_start_shows_the_end_of_its_log(sandbox: Any) -> None:
    sandbox.stop()
    settings = sandbox.folder / "slapd" / "slapd.conf"
    good = settings.read_text()
    settings.write_text(good + "\nnonsense here\n")
    with pytest.raises(SandboxUnavailable, match="nonsense"):
        sandbox.start()
    assert not sandbox_status(sandbox.folder).running
    settings.write_text(good)
    assert sandbox.start().running
