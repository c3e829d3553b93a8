"""D52 and D53 of `doctor`: which users have the passwords, and what the rules of sudo let people run."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from piactl.config.settings import read_settings
from piactl.core.model.settings import Settings
from piactl.flows.doctor.checks import CheckOutcome, Finding
from piactl.flows.doctor.this_host import examine_users

EXAMPLES = Path(__file__).parents[2] / "examples"
ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT = os.geteuid() == 0
sudo = pytest.mark.skipif(not (ROOT and shutil.which("cvtsudoers")), reason="needs root and sudo")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The example with this user in place of each of its users, and with files for the passwords."""
    text = (EXAMPLES / "piactl.yaml").read_text("utf-8")
    for user in ("piactl-desk", "piactl-admin", "piactl-approver", "piactl"):
        text = text.replace(f"user: {user}\n", f"user: {ME}\n")
    for name in ("policy.yaml", "establishments.csv"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "piactl.yaml").write_text(text, "utf-8")
    for file in ("piactl-desk/desk", "piactl-admin/administrator", "piactl-approver/approver"):
        path = tmp_path / "secrets" / file
        path.parent.mkdir(parents=True)
        path.write_text("x")
        path.chmod(0o600)
    return read_settings(tmp_path / "piactl.yaml")


def found(settings: Settings, id_: str, sudoers: str = "", *, isolated: bool = False) -> Finding:
    file = Path(settings.file).parent / "sudoers"
    if sudoers:
        file.write_text(sudoers + "\n")
        file.chmod(0o440)
    (finding,) = (
        finding for finding in examine_users(settings, file, isolated=isolated) if finding.check.id == id_
    )
    return finding


def test_each_password_is_readable_by_its_user_only(settings: Settings) -> None:
    finding = found(settings, "D52")
    assert finding.outcome is CheckOutcome.OK
    names = ("nightly", "desk", "administrator", "approver")
    assert finding.found == f"only its user reads each: {', '.join(f'{name} for {ME}' for name in names)}"


def test_one_user_for_all_passwords_is_a_note(tmp_path: Path) -> None:
    text = (EXAMPLES / "piactl.yaml").read_text("utf-8")
    (tmp_path / "piactl.yaml").write_text(
        "".join(ln for ln in text.splitlines(True) if "      user:" not in ln)
    )
    settings = read_settings(tmp_path / "piactl.yaml")
    assert found(settings, "D52").outcome is CheckOutcome.NOTE
    assert found(settings, "D53").outcome is CheckOutcome.OK


def test_a_user_that_is_not_there(settings: Settings) -> None:
    path = Path(settings.file)
    path.write_text(path.read_text("utf-8").replace(f"user: {ME}\n", "user: nobody-here\n", 1))
    finding = found(read_settings(path), "D52")
    assert finding.outcome is CheckOutcome.ERROR
    assert "nightly: there is no user nobody-here" in finding.found


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_password_that_others_read(settings: Settings, mode: int) -> None:
    file = Path(settings.directory.identities["desk"].password_file)
    file.chmod(mode)
    finding = found(settings, "D52")
    assert finding.outcome is CheckOutcome.ERROR
    assert f"desk: {file} has mode {mode:04o}; `chmod 600 {file}`" in finding.found


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_a_password_of_another_user(settings: Settings) -> None:
    file = Path(settings.directory.identities["desk"].password_file)
    os.chown(file, 1, 1)
    assert f"desk: {file} belongs to daemon; `chown {ME}: {file}`" in found(settings, "D52").found
    os.chown(file, 0, 0)
    os.chown(file.parent, 1, 1)
    assert f"others may replace files in {file.parent}" in found(settings, "D52").found


def test_a_password_that_is_missing(settings: Settings) -> None:
    Path(settings.directory.identities["desk"].password_file).unlink()
    assert found(settings, "D52").outcome is CheckOutcome.ERROR


GOOD = f"%desk ALL = ({ME}) /usr/bin/piactl otp *, /usr/bin/piactl account list\nroot ALL = (ALL) ALL"


@sudo
def test_rules_that_allow_named_commands_only(settings: Settings) -> None:
    finding = found(settings, "D53", GOOD)
    assert finding.outcome is CheckOutcome.WARNING, "the tests are not started as the installed piactl is"
    assert "without `python -I`" in finding.found
    text = Path(settings.file).read_text("utf-8").replace(f"user: {ME}\n", "user: daemon\n", 1)
    Path(settings.file).write_text(text, "utf-8")
    with_daemon = read_settings(Path(settings.file))
    os.chown(settings.file, 1, 1)
    assert "belongs to daemon, not to root" in found(with_daemon, "D53", GOOD, isolated=True).found
    shipped = read_settings(EXAMPLES / "piactl.yaml")
    rules = (EXAMPLES / "sudoers" / "piactl").read_text("utf-8")
    file = Path(settings.file).parent / "shipped"
    file.write_text(rules)
    file.chmod(0o440)
    (d53,) = (finding for finding in examine_users(shipped, file, isolated=True) if finding.check.id == "D53")
    assert (d53.outcome, d53.found) == (
        CheckOutcome.OK,
        "named commands only, as piactl, piactl-admin, piactl-approver, piactl-desk",
    )


@sudo
@pytest.mark.parametrize(
    "rule",
    [
        f"%desk ALL = ({ME}) ALL",
        f"%desk ALL = ({ME}) /usr/bin/piactl",
        f"%desk ALL = ({ME}) /usr/bin/piactl *",
        f"%desk ALL = ({ME}) /usr/bin/piactl --config *",
        f"%desk ALL = ({ME}) /bin/sh",
        f"%desk ALL = ({ME}) /usr/bin/python3 -m piactl",
        f"Cmnd_Alias ANY = /usr/bin/piactl otp *, /usr/bin/less\n%desk ALL = (nobody, {ME}) ANY",
    ],
)
def test_a_rule_that_is_too_wide(settings: Settings, rule: str) -> None:
    finding = found(settings, "D53", rule)
    assert finding.outcome is CheckOutcome.ERROR
    assert "desk may run " in finding.found
    assert f" as {ME}" in finding.found


@sudo
@pytest.mark.parametrize(
    "rule", ["%desk ALL = ({}) SETENV: {}", "Defaults:%desk setenv\n%desk ALL = ({}) {}"]
)
def test_a_rule_that_lets_people_set_variables(settings: Settings, rule: str) -> None:
    finding = found(settings, "D53", rule.format(ME, "/usr/bin/piactl otp *"))
    assert (finding.outcome, "LD_PRELOAD" in finding.found) == (CheckOutcome.ERROR, True), finding


@sudo
def test_rules_that_are_not_valid(settings: Settings) -> None:
    assert "the rules are not valid" in found(settings, "D53", "%desk ALL = (").found
