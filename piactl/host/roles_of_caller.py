"""What the caller may do on a host of piactl, where one Unix user has all passwords. The Unix groups of the
caller are the roles; a role has commands (the table of commands) and identities of the directory. Whoever has
none may do nothing."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping
from enum import StrEnum

from piactl.core.model.settings import IdentityName
from piactl.errors import NotPermitted
from piactl.host.caller import Caller, caller
from piactl.phrase import Phrase

SERVICE_USER = "piactl"
"""The Unix user that has configuration, passwords, journal and state of a host."""


class Role(StrEnum):
    DESK = "desk"
    ADMINISTRATOR = "administrator"
    APPROVER = "approver"
    PORTAL = "portal"
    SERVICE = "service"
    ROOT = "root"


GROUPS: Mapping[Role, str] = {
    Role.DESK: "piactl-desk",
    Role.ADMINISTRATOR: "piactl-admin",
    Role.APPROVER: "piactl-approver",
    Role.PORTAL: "piactl-portal",
}
"""The Unix group that names each role of people. `roles` of the configuration adds groups of a site."""

_READER, _NIGHTLY, _DESK = IdentityName.READER, IdentityName.NIGHTLY, IdentityName.DESK

IDENTITIES: Mapping[Role, frozenset[IdentityName]] = {
    Role.DESK: frozenset({_READER, _DESK}),
    Role.ADMINISTRATOR: frozenset({_READER, _NIGHTLY, _DESK, IdentityName.ADMINISTRATOR}),
    Role.APPROVER: frozenset({_READER, IdentityName.APPROVER}),
    Role.PORTAL: frozenset({_READER, _DESK}),
    Role.SERVICE: frozenset({_READER, _NIGHTLY}),
    Role.ROOT: frozenset(IdentityName),
}
"""The identities of the directory whose passwords a role may use."""


def roles_of(person: Caller, of_site: Mapping[str, Iterable[str]]) -> frozenset[Role]:
    """The roles of a caller: root's, a service's (timer, cron), or those that the groups of a person name.
    `of_site`: groups of the site, by role."""
    if person.root:
        return frozenset({Role.ROOT})
    if not person.name:
        return frozenset({Role.SERVICE})
    try:
        gids = set(os.getgrouplist(person.name, pwd.getpwnam(person.name).pw_gid))
    except KeyError:
        return frozenset()
    return frozenset(
        role
        for role, own in GROUPS.items()
        if any(_gid(group) in gids for group in (own, *of_site.get(role, ())))
    )


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


_held: frozenset[Role] | None = None


def work_with(roles: frozenset[Role] | None) -> None:
    """Sets the roles that this process works with. None: this is no host of piactl (a sandbox, a
    configuration of one's own), and the modes of files alone decide."""
    global _held
    _held = roles


def held() -> frozenset[Role] | None:
    """The roles that this process works with, as `work_with` sets them."""
    return _held


def refuse_command(words: str, roles: Iterable[str]) -> None:
    """Raises NotPermitted if no role of the caller has the command; `roles` are those that have it, and root
    has each."""
    if _held is None or not _held.isdisjoint({*roles, Role.ROOT}):
        return
    raise NotPermitted(
        Phrase(
            "the command {words} is for {groups_of}; {you_are}",
            words=words,
            groups_of=groups_of(roles),
            you_are=_you_are(),
        )
    )


def may_use(identity: str) -> bool:
    """Whether a role of the caller has this identity of the directory."""
    return _held is None or any(identity in IDENTITIES[role] for role in _held)


def refuse_identity(identity: str) -> None:
    """Raises NotPermitted if no role of the caller has this identity of the directory."""
    if not may_use(identity):
        having = [role for role in (*GROUPS, Role.SERVICE) if identity in IDENTITIES[role]]
        raise NotPermitted(
            Phrase(
                "the identity {identity} is for {groups_of}; {you_are}",
                identity=identity,
                groups_of=groups_of(having),
                you_are=_you_are(),
            )
        )


def is_help_desk_alone() -> bool:
    """Whether the caller sees of the acts of others no more than the help desk does."""
    return _held is not None and _held.isdisjoint({Role.ADMINISTRATOR, Role.ROOT})


def groups_of(roles: Iterable[str]) -> str:
    """The groups of these roles; root, if none has a group."""
    return ", ".join(GROUPS[role] for role in map(Role, roles) if role in GROUPS) or "root"


def _you_are() -> str:
    mine = ", ".join(sorted(_held or ())) or Phrase("without a role")
    return Phrase(
        "you are {name}, {mine}: piactl roles", name=caller().name or Phrase("a timer or cron"), mine=mine
    )
