"""D53 of `doctor`: who may run what as the Unix user of piactl, and who has its roles."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.flows.doctor.findings import CheckResult, fine, skipped, worst
from piactl.private_files import user_name
from piactl.roles import GROUPS, SERVICE_USER, held
from piactl.sudo_rules import SUDOERS, read_sudo_rules

_PROGRAM = "/usr/bin/piactl"
_ADVICE = "Follow the advice for each; the rule of piactl is examples/sudoers/piactl."


def rules_of_sudo(
    settings: Settings,
    sudoers: Path = SUDOERS,
    groups: Path = Path("/etc/group"),
    *,
    isolated: bool = bool(sys.flags.isolated),
) -> CheckResult:
    """D53. `isolated`: whether this process was started by `python -I`."""
    if held() is None:
        return fine("this configuration is not that of a host: nobody reaches it by sudo")
    errors, warnings = _groups_of_others(settings, groups), []
    for file in (settings.file, settings.policy_file, settings.establishments_file):
        if user_name(Path(file).stat().st_uid) == SERVICE_USER:
            warnings.append(f"{file} belongs to {SERVICE_USER}, not to root: `chown root {file}`")
    if not isolated:
        warnings.append("piactl was started without `python -I`: install examples/bin/piactl")
    found = read_sudo_rules(sudoers)
    if found.invalid:
        errors.append("the rules of sudo are not valid: run `visudo -c`")
    errors += _too_wide(found.rules or {})
    if found.rules is None and not (errors or warnings):
        return skipped(found.why)
    return worst(errors, warnings, _ADVICE, f"nothing but {_PROGRAM}, as {SERVICE_USER}")


def _groups_of_others(settings: Settings, file: Path) -> list[str]:
    """The groups with a role that are not of this host: the directory that piactl writes could give itself
    their roles."""
    local = {line.partition(":")[0] for line in file.read_text("utf-8", "replace").splitlines()}
    named = [*GROUPS.items(), *((role, group) for role, more in settings.roles.items() for group in more)]
    return [
        f"group {group} ({role}) is not in {file}: groupadd {group}"
        for role, group in named
        if group not in local
    ]


def _too_wide(rules: Mapping[str, Any]) -> list[str]:
    """The rules that let somebody run anything but piactl as its user, or set variables for it, such as
    LD_PRELOAD, which runs code of theirs beside the passwords."""
    wide = []
    if _sets_variables(rules.get("Defaults", [])):
        wide.append("`Defaults setenv` lets people set LD_PRELOAD, and so read the passwords")
    for rule in rules.get("User_Specs", []):
        people = ", ".join(str(next(iter(user.values()))) for user in rule.get("User_List", []))
        for part in rule.get("Cmnd_Specs", []):
            if not _runs_as_piactl(part.get("runasusers", [])):
                continue
            for command in part.get("Commands", []):
                words = str(command.get("command", "")).split()
                if words[:1] != [_PROGRAM] and not command.get("negated"):
                    wide.append(f"{people} may run {' '.join(words)} as {SERVICE_USER}")
            if _sets_variables([part]):
                wide.append(f"{people} may set LD_PRELOAD, and so read the passwords of {SERVICE_USER}")
    return wide


def _runs_as_piactl(users: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a rule is for the user of piactl; one for all users is for root, too, who has everything."""
    names = {str(user.get("username", "")) for user in users if not user.get("negated")}
    numbers = {user_name(user["userid"]) for user in users if "userid" in user}
    all_but_root = "ALL" in names and any(user.get("negated") for user in users)
    return SERVICE_USER in names | numbers or all_but_root


def _sets_variables(parts: Iterable[Mapping[str, Any]]) -> bool:
    return any(option.get("setenv") is True for part in parts for option in part.get("Options", []))
