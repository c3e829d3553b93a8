"""The metrics of a night: Prometheus can parse them, and monitoring can read them and nothing else."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from piactl.config.read_settings import read_settings
from piactl.host.private_files import write_public

from .academy import Academy
from .feeds import row

TOP = Path(__file__).resolve().parents[2]
PIACTL, MONITORING = "daemon", "nobody"
"""Users that every Debian has, in place of those of piactl and of node_exporter."""

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABELS = r'\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"\}'
SAMPLE = re.compile(rf"(?P<series>(?P<name>{NAME})(?:{LABELS})?) (?P<value>-?\d+)")


def samples(text: str) -> dict[str, int]:
    """The value of each series. Reads the text format 0.0.4 strictly: each family once, with a HELP and a
    TYPE line before its samples, no series twice, and a line end after the last line."""
    assert text.endswith("\n")
    values: dict[str, int] = {}
    families: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            series = re.fullmatch(rf"# HELP ({NAME}) [^\\\n]+", line)
            assert series, line
            assert next(lines) == f"# TYPE {series[1]} gauge"
            assert series[1] not in families
            families.append(series[1])
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert sample["name"] == families[-1]
        assert sample["series"] not in values
        values[sample["series"]] = int(sample["value"])
    return values


@contextmanager
def user(name: str, umask: int) -> Iterator[None]:
    """Inside, this process has the rights of another user."""
    entry, groups, before = pwd.getpwnam(name), os.getgroups(), os.umask(umask)
    os.setgroups([])
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


def test_a_night_writes_valid_prometheus_metrics(academy: Academy) -> None:
    file = academy.folder / "metrics" / "piactl.prom"
    file.parent.mkdir()
    academy.edit(
        "piactl.yaml",
        "\njournal: ",
        f"\nmetrics: {file}\nhooks: {{changes: [{{kinds: [lock], run: [/no/hook]}}]}}\njournal: ",
    )
    before = os.umask(0o077)
    try:
        wrong = row(matricule="1002", prenom="Hugo", debut="30/02/2026")
        ran = academy.night("2026-09-02", academy.feed(row(), wrong, day="2026-09-02"))
        assert "warning: hooks.changes: /no/hook: there is no such program to run" in ran.err
        series = samples(file.read_text(encoding="utf-8"))
        assert series["piactl_last_run_exit_code"] == 0
        assert series['piactl_last_run_accounts{kind="create"}'] == 1
        assert series['piactl_last_run_writes{outcome="applied"}'] >= 1
        assert series["piactl_last_run_rejections"] == 1
        assert series['piactl_last_run_accounts{kind="lock"}'] == 0
        assert series['piactl_last_run_writes{outcome="failed"}'] == 0
        assert series['piactl_last_run_cases{cases="overdue"}'] == 0
        assert series["piactl_last_run_oldest_hold_days"] == 0
        assert series["piactl_hook_events_waiting"] == 0
        assert series['piactl_last_run_holds_by_code{code="rejected"}'] == 1
        assert series['piactl_last_run_holds_by_code{code="case"}'] == 0
        assert series['piactl_last_run_drift_by_class{class="loosening"}'] == 0
        assert series['piactl_last_run_rejected_rows{source="hr"}'] == 1
        assert series['piactl_last_run_feed_age_days{source="hr"}'] == 0
        assert series["piactl_break_glass_runs"] == 0
        first = series["piactl_last_success_timestamp_seconds"]
        assert first == series["piactl_last_run_timestamp_seconds"]
        academy.night("2026-09-03", academy.feed(row(), day="2026-09-01"), code=6)
        series = samples(file.read_text(encoding="utf-8"))
        assert series["piactl_last_run_exit_code"] == 6
        assert series["piactl_last_success_timestamp_seconds"] == first
        assert series['piactl_last_run_accounts{kind="create"}'] == 0
        assert series['piactl_last_run_feed_age_days{source="hr"}'] == 1
        academy.night("2026-09-06", academy.feed(row(), wrong, day="2026-09-06"))
        series = samples(file.read_text(encoding="utf-8"))
        assert series["piactl_last_run_oldest_hold_days"] == 4
        academy.night("2026-09-07", academy.feed(row(), day="2026-09-07"))
        assert samples(file.read_text(encoding="utf-8"))["piactl_last_run_oldest_hold_days"] == 0
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.fixture
def host() -> Iterator[Path]:
    """A folder like the root of a host after the second step of docs/hosts.md."""
    if os.geteuid() != 0:
        pytest.skip("only root can make folders for other users")
    if shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None:
        pytest.skip("systemd-sysusers or systemd-tmpfiles is not here")
    page = (TOP / "docs" / "hosts.md").read_text(encoding="utf-8")
    (feeds,) = re.findall(r"install -d -o .*feeds\n", page)
    with tempfile.TemporaryDirectory(prefix="pia") as folder:
        Path(folder).chmod(0o755)
        users = (TOP / "examples" / "sysusers" / "piactl.conf").read_text(encoding="utf-8")
        conf = Path(folder) / "users.conf"
        number = pwd.getpwnam(PIACTL).pw_uid
        conf.write_text(re.sub(r"u piactl +-", f"u piactl {number}", users), encoding="utf-8")
        folders = TOP / "examples" / "tmpfiles" / "piactl.conf"
        line = feeds.replace(" /", f" {folder}/").replace(" piactl", f" {PIACTL}")
        for command in (
            ["systemd-sysusers", f"--root={folder}", str(conf)],
            ["systemd-tmpfiles", f"--root={folder}", "--create", str(folders)],
            ["bash", "-euc", f"umask 022; HR=root; {line}"],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        yield Path(folder)


def test_monitoring_reads_them_and_nothing_else(host: Path) -> None:
    settings = read_settings(TOP / "examples" / "piactl.yaml")
    file = host / settings.metrics_file[1:]
    with user(PIACTL, 0o077):
        write_public(file, b"piactl_last_run_exit_code 0\n")
        state = host / "var/lib/piactl/plans"
    with user(MONITORING, 0o022):
        assert file.read_bytes() == b"piactl_last_run_exit_code 0\n"
        assert os.access(file.parent, os.R_OK | os.X_OK, effective_ids=True)
        for shut in (
            state,
            host / "etc/piactl/secrets",
            host / "srv/piactl/feeds",
            host / "var/log/piactl",
        ):
            with pytest.raises(PermissionError):
                list((host / shut).iterdir())
        with pytest.raises(PermissionError):
            file.write_bytes(b"")


def test_the_unit_can_write_them_and_leaves_their_folder_open() -> None:
    """systemd gives every StateDirectory= the same mode at each start."""
    unit = (TOP / "examples" / "systemd" / "piactl-nightly.service").read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in unit.splitlines() if line[:1].isupper() and "=" in line)
    folder = Path(read_settings(TOP / "examples" / "piactl.yaml").metrics_file).parent
    assert str(folder) in settings["ReadWritePaths"].replace("-/", "/").split()
    shut = [Path("/var/lib") / name for name in settings["StateDirectory"].split()]
    assert settings["StateDirectoryMode"] == "0700"
    assert not {folder, *folder.parents} & set(shut)
