"""Checks of this host that need no server: configuration, policy, register, secrets, folders, disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from piactl.config.policy import policy_warnings
from piactl.config.register import read_register
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.guards import no_own_guards
from piactl.core.text import counted
from piactl.errors import PiactlError
from piactl.flows.apply.hooks_and_owner_notices import missing_program, notices_wait, read_outbox
from piactl.flows.doctor.checks import (
    CheckResult,
    Finding,
    error,
    fine,
    note,
    skipped,
    unless_broken,
    warning,
    worst,
)
from piactl.private_files import run_as
from piactl.roles import may_use
from piactl.secret_files import identity_password

IDENTITIES = {
    "reader": "plan and every command that shows",
    "nightly": "nightly and apply",
    "desk": "support (password, otp)",
    "administrator": "the commands that change single accounts",
}
MEGABYTE = 1 << 20
_INSTALL = "Install it, or correct the path."

FreeBytes = Callable[[Path], tuple[int, int]]
"""Free bytes and free inodes (-1: not counted) of the file system that a path is on."""


def free_bytes(path: Path) -> tuple[int, int]:
    file_system = os.statvfs(path)
    return file_system.f_bavail * file_system.f_frsize, file_system.f_favail if file_system.f_files else -1


def examine_files(
    settings: Settings,
    policy: Callable[[], Policy],
    keys: Callable[[], DigestKeys],
    free: FreeBytes = free_bytes,
) -> Iterator[Finding]:
    """D02 to D07, D48, D60 and D61. `policy` and `keys` raise PiactlError if their file is not valid."""
    yield unless_broken("D02", lambda: _policy(policy, settings.policy_file))
    yield unless_broken("D03", lambda: _register(Path(settings.establishments_file)))
    yield unless_broken("D04", lambda: _keys(keys))
    yield unless_broken("D05", lambda: _passwords(settings))
    yield unless_broken("D06", lambda: _state_folder(settings))
    yield unless_broken("D07", lambda: _disk(settings, free))
    yield unless_broken("D48", lambda: _proof_hook(settings))
    yield unless_broken("D60", lambda: _change_hooks(settings))
    yield unless_broken("D61", lambda: _metrics(settings.metrics_file))


def _policy(read: Callable[[], Policy], file: str) -> CheckResult:
    try:
        policy = read()
    except PiactlError as refused:
        return error(str(refused), "Correct the file; every mistake is listed.")
    warnings = [*map(str, policy_warnings(policy, file)), *filter(None, [no_own_guards(policy)])]
    good = f"{counted(len(policy.profiles), 'profile')}, {counted(len(policy.services), 'service')}"
    good += f", time zone {policy.timezone}"
    return worst([], warnings, "Change the policy, or keep it if this is intended.", good)


def _register(file: Path) -> CheckResult:
    try:
        return fine(counted(len(read_register(file)), "establishment"))
    except PiactlError as refused:
        return error(str(refused), "Correct the register, or export it again.")


def _keys(read: Callable[[], DigestKeys]) -> CheckResult:
    try:
        keys = read()
    except PiactlError as refused:
        return error(str(refused), "Restore this file; do not replace it by a new key.")
    return fine(f"current key {keys.current}, {len(keys.keys)} in all")


def _passwords(settings: Settings) -> CheckResult:
    bad = []
    identities = settings.directory.identities
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


def _state_folder(settings: Settings) -> CheckResult:
    folder = Path(settings.state_folder)
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


def _proof_hook(settings: Settings) -> CheckResult:
    """The program is there and may be run, and nothing waits for it; it is not run, because others would act
    on it."""
    command = settings.proof_hook
    if not command:
        unheard = "hooks.proof_changed names no command: owners are not notified"
        if notices_wait(settings):
            return warning(f"{unheard}; notices to owners wait", "Name it again.")
        return fine(unheard)
    missing = missing_program(command)
    if missing:
        return error(missing, _INSTALL)
    if notices_wait(settings):
        advice = "See why it fails: each run tries again, and says how it ended."
        return warning(f"{command[0]}: notices to owners wait", advice)
    return fine(command[0])


def _change_hooks(settings: Settings) -> CheckResult:
    """The programs are there, and nothing waits for them."""
    if not settings.change_hooks:
        return fine("hooks.changes names no command: sessions of locked accounts go on")
    missing = list(filter(None, (missing_program(hook.command) for hook in settings.change_hooks)))
    if missing:
        return error("; ".join(missing), _INSTALL)
    outbox = read_outbox(settings)
    waiting = [
        f"{command[0]}: {counted(len(events), 'event waits', 'events wait')}"
        for command, events in (outbox.waiting.items() if outbox else ())
        if events
    ]
    if waiting:
        words = "; ".join(waiting)
        return warning(words, "See why it fails: each run tries again, and says how it ended.")
    return fine(", ".join(hook.command[0] for hook in settings.change_hooks))


def _metrics(file: str) -> CheckResult:
    """The exporter runs as another user: it has to enter each folder, and to list the last one."""
    if not file:
        return fine("metrics names no file")
    folder = Path(file).parent
    if not folder.is_dir():
        return error(f"{folder} is not a folder", f"install -d -m 755 {folder}")
    shut = [path for path in folder.parents if not path.stat().st_mode & 0o001]
    shut += [folder] if folder.stat().st_mode & 0o005 != 0o005 else []
    if not shut:
        return fine(file)
    words = f"{file}: only its user and group can read it, because of the mode of {shut[0]}"
    return warning(words, "Set metrics to a file in a folder of mode 0755, outside of private folders.")


def _disk(settings: Settings, free: FreeBytes) -> CheckResult:
    errors, warnings, free_space = [], [], []
    for purpose, path in (
        ("journal", Path(settings.journal_file).parent),
        ("state", Path(settings.state_folder)),
    ):
        try:
            space, inodes = free(nearest_folder(path))
        except OSError as refused:
            return skipped(f"{path}: {refused.strerror}")
        words = f"{space // MEGABYTE:,} MiB free for the {purpose}"
        free_space.append(words)
        if space < 50 * MEGABYTE or 0 <= inodes < 100:
            errors.append(words if space < 50 * MEGABYTE else f"{inodes} inodes left for the {purpose}")
        elif space < 500 * MEGABYTE or 0 <= inodes < 2000:
            warnings.append(words if space < 500 * MEGABYTE else f"{inodes} inodes left for the {purpose}")
    advice = "Free space, rotate the journal (logrotate), or move it to another file system."
    return worst(errors, warnings, advice, ", ".join(free_space))


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
