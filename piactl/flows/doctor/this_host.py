"""Checks of this host that need no server: configuration, policy, register, secrets, folders, disk; whether
only its Unix user can read each identity's password, and what sudo lets people run as these users.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from piactl.config.policy import policy_warnings
from piactl.config.register import read_register
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import CREDENTIAL, Identity, Settings
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
from piactl.private_files import run_as, this_user, user_name
from piactl.secret_files import read_password

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
    user = this_user()
    bad = []
    for name, identity in settings.directory.identities.items():
        if identity.external or identity.is_of_another(user):
            continue  # D52 checks those of other users
        try:
            read_password(identity.password_file)
        except PiactlError as refused:
            bad.append(f"{name}: {refused}")
    lacking = [
        f"no identity {n} (for {use})"
        for n, use in IDENTITIES.items()
        if n not in settings.directory.identities
    ]
    others = {
        name for name, identity in settings.directory.identities.items() if identity.is_of_another(user)
    }
    good = f"private: {', '.join(name for name in settings.directory.identities if name not in others)}"
    if others:
        good += f"; of other users: {', '.join(sorted(others))}"
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


_PROGRAM = "/usr/bin/piactl"


def examine_users(
    settings: Settings, sudoers: Path = Path("/etc/sudoers"), *, isolated: bool = bool(sys.flags.isolated)
) -> Iterator[Finding]:
    """D52 and D53. `isolated`: whether this process was started by `python -I`."""
    users = {name: identity for name, identity in settings.directory.identities.items() if identity.user}
    yield unless_broken("D52", lambda: _passwords_of_users(users, settings))
    yield unless_broken(
        "D53", lambda: _sudo(settings, {identity.user for identity in users.values()}, sudoers, isolated)
    )


def _passwords_of_users(users: Mapping[str, Identity], settings: Settings) -> CheckResult:
    if not users:
        words = "one Unix user has the passwords of all identities"
        return note(words, 'Give each identity its `user`: docs/administration.md, "Who may run what".')
    bad = [f"{name}: {wrong}" for name, identity in users.items() if (wrong := _password(identity))]
    good = ", ".join(f"{name} for {identity.user}" for name, identity in users.items())
    file, warnings = settings.matching_key_file, []
    if file and not settings.matches_feeds(this_user()) and os.path.exists(file):  # noqa: PTH110
        warnings = [
            f"the help desk needs no matching key once every account has its verifier (30 nights): rm {file}"
        ]
    return worst(bad, warnings, "Follow the advice for each file.", f"only its user reads each: {good}")


def _password(identity: Identity) -> str:
    """What is wrong with the password file of an identity that is for one Unix user, "" for nothing."""
    user, file = identity.user, identity.password_file
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return f"there is no user {user}; systemd-sysusers makes it (examples/sysusers/piactl.conf)"
    if not file or file.startswith(CREDENTIAL):
        return ""
    try:
        status = Path(file).lstat()
    except PermissionError:
        return ""  # as it should be for every other user
    except OSError as error:
        return f"{file}: {error.strerror}; write the password into it, as user {user}"
    if status.st_uid != uid:
        return f"{file} belongs to {user_name(status.st_uid)}; `chown {user}: {file}`"
    if status.st_mode & 0o077:
        return f"{file} has mode {status.st_mode & 0o7777:04o}; `chmod 600 {file}`"
    above = Path(file).parent.stat()
    if above.st_uid not in (0, uid) or above.st_mode & 0o022:
        return f"others may replace files in {Path(file).parent}; `chown {user}: {Path(file).parent}`"
    return ""


def _sudo(settings: Settings, users: set[str], sudoers: Path, isolated: bool) -> CheckResult:
    if not users:
        return fine("no identity has a Unix user of its own (D52)")
    warnings = []
    for file in (settings.file, settings.policy_file, settings.establishments_file):
        owner = user_name(Path(file).stat().st_uid)
        if owner in users - {"root"}:
            warnings.append(f"{file} belongs to {owner}, not to root: `chown root {file}`")
    if not isolated:
        warnings.append("piactl was started without `python -I`: install examples/bin/piactl")
    if os.geteuid() != 0:
        if warnings:
            return worst([], warnings, "Follow the advice for each.", "")
        return skipped("only root can read the rules of sudo; run piactl doctor as root too")
    checker, reader = shutil.which("visudo"), shutil.which("cvtsudoers")
    if checker is None or reader is None or not sudoers.exists():
        return worst([], warnings, "Follow the advice for each.", "sudo is not installed here")
    if _output([checker, "-c", "-f", str(sudoers)]) is None:
        return worst(["the rules are not valid"], warnings, "Run `visudo -c`.", "")
    rules = _output([reader, "-e", "-f", "json", str(sudoers)])
    bad = _too_wide(json.loads(rules or "{}"), users)
    advice = "Let people run named commands only: examples/sudoers/piactl."
    return worst(bad, warnings, advice, f"named commands only, as {', '.join(sorted(users))}")


def _output(command: list[str]) -> str | None:
    """What a command prints; None if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if done.returncode == 0 else None


def _too_wide(rules: Mapping[str, Any], users: set[str]) -> list[str]:
    """The rules that let somebody run more than named commands of piactl as one of `users`, or set variables
    of these commands, such as LD_PRELOAD, which runs code of theirs beside the passwords."""
    wide = []
    if _sets_variables(rules.get("Defaults", [])):
        wide.append("`Defaults setenv` lets people set LD_PRELOAD, and so read the passwords")
    for rule in rules.get("User_Specs", []):
        people = ", ".join(str(next(iter(user.values()))) for user in rule.get("User_List", []))
        for part in rule.get("Cmnd_Specs", []):
            named = {str(user.get("username", "")) for user in part.get("runasusers", [])} & users
            for command in part.get("Commands", []):
                words = str(command.get("command", "")).split()
                is_named = words[:1] == [_PROGRAM] and len(words) > 1 and words[1][0].isalpha()
                if named and not is_named and not command.get("negated"):
                    wide.append(f"{people} may run {' '.join(words)} as {', '.join(sorted(named))}")
            if named and _sets_variables([part]):
                whose = ", ".join(sorted(named))
                wide.append(f"{people} may set LD_PRELOAD, and so read the passwords of {whose}")
    return wide


def _sets_variables(parts: Iterable[Mapping[str, Any]]) -> bool:
    return any(option.get("setenv") is True for part in parts for option in part.get("Options", []))
