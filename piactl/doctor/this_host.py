"""Checks of this host that need no server: configuration, policy, register, secrets, state folder, sudo."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from piactl.config.read_policy import policy_warnings
from piactl.config.read_register import read_register
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.check_guards import no_own_guards
from piactl.doctor.facts import CheckResult, Content, error, fine, skipped, warning, worst
from piactl.errors import PiactlError
from piactl.host.caller import user_name
from piactl.host.private_files import run_as
from piactl.host.roles_of_caller import GROUPS, SERVICE_USER, held, may_use
from piactl.host.secret_files import identity_password
from piactl.host.sudo_rules import SUDOERS, read_sudo_rules, too_wide
from piactl.phrase import Phrase, counted

_PROGRAM = "/usr/bin/piactl"
_ADVICE = Phrase("Follow the advice for each; the rule of piactl is examples/sudoers/piactl.")


def configuration(content: Content) -> CheckResult:
    return fine(content.settings.file)


def policy(content: Content) -> CheckResult:
    return policy_in(content.settings.policy_file, lambda: content.policy)


def policy_in(file: str, read_it: Callable[[], Policy]) -> CheckResult:
    try:
        read = read_it()
    except PiactlError as refused:
        return error(str(refused), Phrase("Correct the file; every mistake is listed."))
    probable = map(str, policy_warnings(read, file))
    warnings = [*probable, *filter(None, [no_own_guards(read)])]
    profiles = counted(len(read.profiles), "profile", "profiles")
    services = counted(len(read.services), "service", "services")
    good = Phrase(
        "{profiles}, {services}, time zone {timezone}",
        profiles=profiles,
        services=services,
        timezone=read.timezone,
    )
    return worst([], warnings, Phrase("Change the policy, or keep it if this is intended."), good)


def register(content: Content) -> CheckResult:
    try:
        read = read_register(Path(content.settings.establishments_file))
    except PiactlError as refused:
        return error(str(refused), Phrase("Correct the register, or export it again."))
    return fine(counted(len(read), "establishment", "establishments"))


def keys(content: Content) -> CheckResult:
    try:
        read = content.keys
    except PiactlError as refused:
        return error(str(refused), Phrase("Restore this file; do not replace it by a new key."))
    return fine(Phrase("current key {current}, {number} in all", current=read.current, number=len(read.keys)))


def passwords(content: Content) -> CheckResult:
    bad = []
    identities = content.settings.directory.identities
    mine = [name for name in identities if may_use(name)]
    for name in mine:
        try:
            identity_password(identities[name])
        except PiactlError as refused:
            bad.append(Phrase("{name}: {text}", name=name, text=str(refused)))
    good: str = Phrase("private: {names}", names=", ".join(mine))
    if others := sorted(identities.keys() - mine):
        good = Phrase("{good}; of other roles: {names}", good=good, names=", ".join(others))
    return worst(bad, [], Phrase("Follow the advice for each file."), good)


def state_folder(content: Content) -> CheckResult:
    folder = Path(content.settings.state_folder)
    if folder.exists() and not folder.is_dir():
        return error(
            Phrase("{folder} is not a folder", folder=folder), Phrase("Name a folder as state_folder.")
        )
    if not folder.exists():
        above = nearest_folder(folder)
        if not may_write(above):
            return error(
                Phrase(
                    "{folder} does not exist and cannot be created in {above}", folder=folder, above=above
                ),
                f"mkdir -m 700 {folder}",
            )
        return fine(Phrase("{folder} will be created by the first run", folder=folder))
    if not may_write(folder):
        return error(Phrase("this user cannot write to {folder}", folder=folder), doctor_as(folder))
    mode = folder.stat().st_mode
    if mode & 0o022:
        words = Phrase(
            "others can write to {folder} (mode {mode})", folder=folder, mode=f"{mode & 0o7777:04o}"
        )
        return error(words, f"chmod 700 {folder}")
    if mode & 0o055:
        words = Phrase(
            "others can read {folder} (mode {mode}); plans hold personal data",
            folder=folder,
            mode=f"{mode & 0o7777:04o}",
        )
        return warning(words, f"chmod 700 {folder}")
    return fine(str(folder))


def doctor_as(path: Path) -> str:
    """The advice if this user cannot write to another user's file."""
    return Phrase("Run doctor as the user that runs the nights: {run_as}", run_as=run_as(path))


def sudo(
    content: Content,
    sudoers: Path = SUDOERS,
    groups: Path = Path("/etc/group"),
    *,
    isolated: bool = bool(sys.flags.isolated),
) -> CheckResult:
    """D53. Who may run what as the Unix user of piactl, and who has its roles. `isolated`: whether this
    process was started by `python -I`."""
    settings = content.settings
    if held() is None:
        return fine(Phrase("this configuration is not that of a host: nobody reaches it by sudo"))
    errors, warnings = _groups_of_others(settings, groups), []
    for file in (settings.file, settings.policy_file, settings.establishments_file):
        if user_name(Path(file).stat().st_uid) == SERVICE_USER:
            warnings.append(
                Phrase(
                    "{file} belongs to {service_user}, not to root: `chown root {file}`",
                    file=file,
                    service_user=SERVICE_USER,
                )
            )
    if not isolated:
        warnings.append(Phrase("piactl was started without `python -I`: install examples/bin/piactl"))
    found = read_sudo_rules(sudoers)
    if found.invalid:
        errors.append(Phrase("the rules of sudo are not valid: run `visudo -c`"))
    errors += too_wide(found.rules or {}, _PROGRAM, SERVICE_USER)
    if found.rules is None and not (errors or warnings):
        return skipped(found.why)
    return worst(
        errors,
        warnings,
        _ADVICE,
        Phrase("nothing but {program}, as {service_user}", program=_PROGRAM, service_user=SERVICE_USER),
    )


def _groups_of_others(settings: Settings, file: Path) -> list[str]:
    """The groups with a role that are not of this host: the directory that piactl writes could give itself
    their roles."""
    local = {line.partition(":")[0] for line in file.read_text("utf-8", "replace").splitlines()}
    named = [*GROUPS.items(), *((role, group) for role, more in settings.roles.items() for group in more)]
    return [
        Phrase("group {group} ({role}) is not in {file}: groupadd {group}", group=group, role=role, file=file)
        for role, group in named
        if group not in local
    ]


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
