"""Checks that each identity's password is for its Unix user alone, and what sudo lets people run as one."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from piactl.core.model.settings import CREDENTIAL, Identity, Settings
from piactl.flows.doctor.checks import Finding, Result, fine, note, skipped, unless_broken, worst
from piactl.private_files import this_user, user_name

_PROGRAM = "/usr/bin/piactl"


def examine_users(
    settings: Settings, sudoers: Path = Path("/etc/sudoers"), *, isolated: bool = bool(sys.flags.isolated)
) -> Iterator[Finding]:
    """D52 and D53. `isolated`: whether this process was started by `python -I`."""
    users = {name: one for name, one in settings.directory.identities.items() if one.user}
    yield unless_broken("D52", lambda: _passwords(users, settings))
    yield unless_broken(
        "D53", lambda: _sudo(settings, {one.user for one in users.values()}, sudoers, isolated)
    )


def _passwords(users: Mapping[str, Identity], settings: Settings) -> Result:
    if not users:
        found = "one Unix user has the passwords of all identities"
        return note(found, 'Give each identity its `user`: docs/administration.md, "Who may run what".')
    bad = [f"{name}: {wrong}" for name, one in users.items() if (wrong := _password(one))]
    good = ", ".join(f"{name} for {one.user}" for name, one in users.items())
    file, more = settings.matching_key_file, []
    if file and not settings.matches_feeds(this_user()) and os.path.exists(file):  # noqa: PTH110
        more = [
            f"the help desk needs no matching key once every account has its verifier (30 nights): rm {file}"
        ]
    return worst(bad, more, "Follow the advice for each file.", f"only its user reads each: {good}")


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


def _sudo(settings: Settings, users: set[str], sudoers: Path, isolated: bool) -> Result:
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
    """What a command prints; None where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if done.returncode == 0 else None


def _too_wide(rules: Mapping[str, Any], users: set[str]) -> list[str]:
    """The rules that let somebody run as one of `users` more than commands of piactl that are named, or set
    the variables of these: SUDO_USER among them names the author."""
    wide = []
    if _sets_variables(rules.get("Defaults", [])):
        wide.append("`Defaults setenv` lets people set every variable, SUDO_USER too")
    for rule in rules.get("User_Specs", []):
        people = ", ".join(str(next(iter(one.values()))) for one in rule.get("User_List", []))
        for part in rule.get("Cmnd_Specs", []):
            named = {str(one.get("username", "")) for one in part.get("runasusers", [])} & users
            for command in part.get("Commands", []):
                words = str(command.get("command", "")).split()
                is_named = words[:1] == [_PROGRAM] and len(words) > 1 and words[1][0].isalpha()
                if named and not is_named and not command.get("negated"):
                    wide.append(f"{people} may run {' '.join(words)} as {', '.join(sorted(named))}")
            if named and _sets_variables([part]):
                wide.append(f"{people} may set every variable, SUDO_USER too, as {', '.join(sorted(named))}")
    return wide


def _sets_variables(parts: Iterable[Mapping[str, Any]]) -> bool:
    return any(option.get("setenv") is True for part in parts for option in part.get("Options", []))
