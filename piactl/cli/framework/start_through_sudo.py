"""A host of piactl: people and root type `piactl`, and it works as the Unix user that has configuration and
passwords, with the roles of its caller."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from piactl.cli.framework import configuration, output
from piactl.cli.framework.command_table import COMMANDS, WITHOUT_HOST
from piactl.core.model.settings import IdentityName
from piactl.errors import ConfigurationInvalid, NotPermitted
from piactl.host import caller, roles_of_caller
from piactl.host.sudo_rules import SUDOERS, read_sudo_rules
from piactl.phrase import Phrase, joined

PROGRAM = "/usr/bin/piactl"
_SUDO = "/usr/bin/sudo"
_HELP = {"--help", "-h"}
_OWN = ("--config", "--version", *_HELP)
"""The options before the command with which it is nothing of this host."""


def work_as_piactl(arguments: Sequence[str]) -> None:
    """Becomes the user of piactl: as root at once, else by starting the command again through sudo. Does
    nothing where the command is nothing of this host, or this user reads its configuration. The words before
    the command decide only this; what it may do is decided once it is parsed. Raises NotPermitted."""
    if not _is_of_host(arguments) or not has_user():
        return
    if os.geteuid() == 0:
        if configuration.SYSTEM_CONFIGURATION.exists():
            if "doctor" in arguments:
                read_sudo_rules(SUDOERS)  # only root may
            caller.become(roles_of_caller.SERVICE_USER)
        return
    asks_for_help = not _HELP.isdisjoint(arguments)  # which everybody may read
    is_piactl = caller.this_user() == roles_of_caller.SERVICE_USER
    if asks_for_help or is_piactl or os.access(configuration.SYSTEM_CONFIGURATION, os.R_OK):
        return
    if os.path.exists(_SUDO) and os.path.exists(PROGRAM):  # noqa: PTH110 - a path of text, as execv takes it
        _start_through_sudo(arguments)


def _is_of_host(arguments: Sequence[str]) -> bool:
    first = next((word for word in arguments if word != "--complete"), "")
    named = first.partition("=")[0] in _OWN or bool(os.environ.get("PIACTL_CONFIG"))
    return bool(first) and not named and first not in WITHOUT_HOST


def has_user() -> bool:
    try:
        pwd.getpwnam(roles_of_caller.SERVICE_USER)
    except KeyError:
        return False
    return True


def _start_through_sudo(arguments: Sequence[str]) -> None:
    """Raises NotPermitted where no rule of sudo is for this person; sudo itself would end with 1, as a
    command that failed."""
    as_piactl = ["-n", "-u", roles_of_caller.SERVICE_USER]
    asked = subprocess.run(
        [_SUDO, *as_piactl, "-l", "--", PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if asked.returncode:
        groups = ", ".join(roles_of_caller.GROUPS.values())
        raise NotPermitted(
            Phrase(
                "{user} has no role on this host: root puts people into a group of piactl ({groups})",
                user=caller.this_user(),
                groups=groups,
            )
        )
    os.execv(_SUDO, ["sudo", *as_piactl, "--", PROGRAM, *arguments])  # noqa: S606 - no shell


def take_up_roles(words: str) -> None:
    """Sets the roles of the caller, for a command. On no host (a configuration that the caller names, or
    none) there are none, and the modes of files decide.

    Raises UsageError under sudo for a configuration of the caller."""
    roles_of_caller.work_with(None)
    if configuration.names_configuration():
        return
    person = caller.caller()
    if words.partition(" ")[0] in WITHOUT_HOST and not person.other:
        return
    if person.other or _has_configuration():
        roles_of_caller.work_with(roles_of_caller.roles_of(person, groups_of_site()))


def _has_configuration() -> bool:
    """Whether there is a configuration of a host; False where this user may not look, and can use nothing."""
    try:
        return configuration.is_there(configuration.SYSTEM_CONFIGURATION)
    except ConfigurationInvalid:
        return False


def groups_of_site() -> dict[str, tuple[str, ...]]:
    """The groups that `roles` of the configuration adds; none where it is not valid."""
    try:
        return dict(configuration.this_configuration().settings.roles)
    except ConfigurationInvalid:
        return {}


def refuse_command(words: str) -> None:
    """Raises NotPermitted if no role of the caller has a command, with what somebody types who has it."""
    take_up_roles(words)
    try:
        roles_of_caller.refuse_command(words, COMMANDS[words].roles)
    except NotPermitted as refused:
        where, typed = _on_another_host(COMMANDS[words].roles), output.typed_again(())
        they = Phrase("To hand over: {command}", command=typed)
        if where:
            they = Phrase("To hand over, {where}: {command}", where=where, command=typed)
        raise NotPermitted(joined([str(refused), they], "{first}\n{second}")) from None


def _on_another_host(of_command: Sequence[roles_of_caller.Role]) -> str:
    """Where a command is typed, if this host has not the administrator's identity, as one of the help
    desk."""
    with suppress(ConfigurationInvalid):
        identities = configuration.this_configuration().settings.directory.identities
        if roles_of_caller.Role.ADMINISTRATOR in of_command and IdentityName.ADMINISTRATOR not in identities:
            return Phrase("on a host with the identity administrator, such as that of the nights")
    return ""
