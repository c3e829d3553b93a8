"""Checks of this host that need no server: configuration, policy, register, secrets, state folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from piactl.config.policy import policy_warnings, read_policy
from piactl.config.register import read_register
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.guards import no_own_guards
from piactl.core.text import counted
from piactl.errors import PiactlError
from piactl.flows.doctor.findings import CheckResult, error, fine, note, warning, worst
from piactl.flows.doctor.sudo_rules import rules_of_sudo
from piactl.private_files import run_as
from piactl.roles import may_use
from piactl.secret_files import identity_password, read_own_keys

IDENTITIES = {
    "reader": "plan and every command that shows",
    "nightly": "nightly and apply",
    "desk": "support (password, otp)",
    "administrator": "the commands that change single accounts",
}


class Host:
    """This host: its settings, and its other files, each read once. A file that is not valid raises its
    PiactlError each time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policy: Callable[[], Policy] = cache(lambda: read_policy(Path(settings.policy_file)))
        self.keys: Callable[[], DigestKeys] = cache(lambda: read_own_keys(settings))

    @property
    def portal(self) -> bool:
        """Whether a portal asks for one-time codes, not the server. False for a policy that is not valid."""
        with suppress(PiactlError):
            return self.policy().otp_enforced_by == "portal"
        return False


def configuration(host: Host) -> CheckResult:
    """D01."""
    return fine(host.settings.file)


def policy(host: Host) -> CheckResult:
    """D02."""
    try:
        read = host.policy()
    except PiactlError as refused:
        return error(str(refused), "Correct the file; every mistake is listed.")
    probable = map(str, policy_warnings(read, host.settings.policy_file))
    warnings = [*probable, *filter(None, [no_own_guards(read)])]
    good = f"{counted(len(read.profiles), 'profile')}, {counted(len(read.services), 'service')}"
    good += f", time zone {read.timezone}"
    return worst([], warnings, "Change the policy, or keep it if this is intended.", good)


def register(host: Host) -> CheckResult:
    """D03."""
    try:
        return fine(counted(len(read_register(Path(host.settings.establishments_file))), "establishment"))
    except PiactlError as refused:
        return error(str(refused), "Correct the register, or export it again.")


def keys(host: Host) -> CheckResult:
    """D04."""
    try:
        read = host.keys()
    except PiactlError as refused:
        return error(str(refused), "Restore this file; do not replace it by a new key.")
    return fine(f"current key {read.current}, {len(read.keys)} in all")


def passwords(host: Host) -> CheckResult:
    """D05."""
    bad = []
    identities = host.settings.directory.identities
    mine = [name for name in identities if may_use(name)]
    for name in mine:
        try:
            identity_password(identities[name])
        except PiactlError as refused:
            bad.append(f"{name}: {refused}")
    lacking = [f"no identity {n} (for {use})" for n, use in IDENTITIES.items() if n not in identities]
    good = f"private: {', '.join(mine)}"
    if others := sorted(identities.keys() - mine):
        good += f"; of other roles: {', '.join(others)}"
    if bad or not lacking:
        return worst(bad, lacking, "Follow the advice for each file.", good)
    advice = "If this host needs one of them, add it under directory.identities."
    return note("; ".join([good, *lacking]), advice)


def state_folder(host: Host) -> CheckResult:
    """D06."""
    folder = Path(host.settings.state_folder)
    if folder.exists() and not folder.is_dir():
        return error(f"{folder} is not a folder", "Name a folder as state_folder.")
    if not folder.exists():
        above = nearest_folder(folder)
        if not may_write(above):
            return error(
                f"{folder} does not exist and cannot be created in {above}", f"mkdir -m 700 {folder}"
            )
        return fine(f"{folder} will be created by the first run")
    if not may_write(folder):
        return error(f"this user cannot write to {folder}", doctor_as(folder))
    mode = folder.stat().st_mode
    if mode & 0o022:
        words = f"others can write to {folder} (mode {mode & 0o7777:04o})"
        return error(words, f"chmod 700 {folder}")
    if mode & 0o055:
        words = f"others can read {folder} (mode {mode & 0o7777:04o}); plans hold personal data"
        return warning(words, f"chmod 700 {folder}")
    return fine(str(folder))


def doctor_as(path: Path) -> str:
    """The advice if this user cannot write to another user's file."""
    return f"Run doctor as the user that runs the nights: {run_as(path)}"


def sudo(host: Host) -> CheckResult:
    """D53."""
    return rules_of_sudo(host.settings)


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
