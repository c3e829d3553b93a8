"""D53 of `doctor`: what sudo lets people run as piactl, and who has its roles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from piactl.clock import utc_now
from piactl.config.read_settings import read_settings
from piactl.core.model.settings import Settings
from piactl.doctor import this_host
from piactl.doctor.facts import CheckOutcome, CheckResult, Content
from piactl.host import roles_of_caller

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = (EXAMPLES / "sudoers" / "piactl").read_text("utf-8")
ROOT = os.geteuid() == 0
sudo = pytest.mark.skipif(not (ROOT and shutil.which("cvtsudoers")), reason="needs root and sudo")
GROUPS = "".join(f"{group}:x:{900 + n}:\n" for n, group in enumerate(roles_of_caller.GROUPS.values()))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """The example, on a host."""
    for name in ("piactl.yaml", "policy.yaml", "establishments.csv"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "group").write_text(GROUPS)
    roles_of_caller.work_with(frozenset({roles_of_caller.Role.ROOT}))
    yield read_settings(tmp_path / "piactl.yaml")
    roles_of_caller.work_with(None)


def found(settings: Settings, rules: str = SHIPPED, *, isolated: bool = True) -> CheckResult:
    folder = Path(settings.file).parent
    file = folder / f"sudoers-{os.urandom(4).hex()}"
    file.write_text(f"{rules}\n")
    file.chmod(0o440)
    content = Content(settings, lambda: None, "", utc_now(), binds=False)
    return this_host.sudo(content, file, folder / "group", isolated=isolated)


def test_a_sandbox_is_no_host(settings: Settings) -> None:
    roles_of_caller.work_with(None)
    assert found(settings, "%desk ALL = (piactl) ALL").outcome is CheckOutcome.OK


@sudo
def test_the_rule_of_the_package_and_one_for_groups_of_the_site(settings: Settings) -> None:
    rules = f"{SHIPPED}%helpdesk ALL = (piactl) NOPASSWD: /usr/bin/piactl\nroot ALL = (ALL) ALL"
    checked = found(settings, rules)
    assert (checked.outcome, checked.found) == (CheckOutcome.OK, "nothing but /usr/bin/piactl, as piactl")
    checked = found(settings, isolated=False)
    assert (checked.outcome, "without `python -I`" in checked.found) == (CheckOutcome.WARNING, True)


@sudo
@pytest.mark.parametrize(
    "rule",
    [
        "%desk ALL = (piactl) ALL",
        "%desk ALL = (piactl) /bin/sh",
        "%desk ALL = (ALL, !root) /bin/sh",
        "%desk ALL = (piactl) /opt/piactl/bin/piactl",
        "%desk ALL = (piactl) /usr/bin/python3 -m piactl",
        "%desk ALL = (piactl) /usr/bin/piactl*",
        "Cmnd_Alias ANY = /usr/bin/piactl, /usr/bin/less\n%desk ALL = (nobody, piactl) ANY",
        "Runas_Alias OWN = piactl\n%desk ALL = (OWN) sudoedit /etc/piactl/piactl.yaml",
    ],
)
def test_a_rule_for_more_than_this_program(settings: Settings, rule: str) -> None:
    checked = found(settings, f"{SHIPPED}{rule}")
    assert (checked.outcome, "desk may run " in checked.found) == (CheckOutcome.ERROR, True), checked


@sudo
@pytest.mark.parametrize(
    "rule",
    ["%desk ALL = (piactl) SETENV: {}", "Defaults:%desk setenv\n%desk ALL = (piactl) {}"],
)
def test_a_rule_that_lets_people_set_variables(settings: Settings, rule: str) -> None:
    checked = found(settings, SHIPPED + rule.format("/usr/bin/piactl"))
    assert (checked.outcome, "LD_PRELOAD" in checked.found) == (CheckOutcome.ERROR, True), checked


@sudo
def test_rules_that_are_not_valid(settings: Settings) -> None:
    assert "the rules of sudo are not valid" in found(settings, "%desk ALL = (").found


def test_a_group_with_a_role_is_one_of_this_host(settings: Settings) -> None:
    """The directory that piactl writes could give itself the role of a group that it has."""
    named = replace(settings, roles={"desk": ("piactl-desk",), "approver": ("dsi-control",)})
    checked = found(named)
    assert (checked.outcome, "group dsi-control (approver) is not in" in checked.found) == (
        CheckOutcome.ERROR,
        True,
    )


@sudo
def test_a_configuration_of_piactl_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_host, "SERVICE_USER", "daemon")
    os.chown(settings.policy_file, 1, 1)
    assert f"{settings.policy_file} belongs to daemon, not to root" in found(settings).found
