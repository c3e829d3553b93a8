"""What a run was asked for, and by whom (user, sudo), and what started it (cron, systemd, a terminal)."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.host.caller import caller, login_record, read_process, this_user
from piactl.journal.unusable import UnknownOperator
from piactl.phrase import Phrase

_CRON = re.compile(r"(cron|crond|CRON|CROND|anacron|fcron|atd)")


@dataclass(frozen=True, slots=True)
class Actor:
    """`user` is the account that piactl runs as. `sudo_user` is the user of sudo, "" if nobody else started
    this process. `login` is who logged in to the host, according to the audit record of the kernel, ""
    without one: the environment cannot change it, but a process without a record may write one, for any user.
    `origin` is terminal, cron, systemd or other."""

    user: str
    sudo_user: str
    login: str
    origin: str
    host: str
    pid: int

    @property
    def author(self) -> str:
        """The person behind the process, as precisely as it is known."""
        return author_of(self.user, self.sudo_user, self.login)

    @property
    def names(self) -> tuple[str, ...]:
        """The users that the kernel and sudo name behind the process; if they name none, its user."""
        return tuple(sorted({self.login, self.sudo_user} - {""})) or (self.user,)


def known_operator(actor: Actor, why: str) -> str:
    """The name of the operator, according to the kernel or sudo; `why` says what it is needed for. Raises
    UnknownOperator."""
    if actor.login and actor.sudo_user and actor.login != actor.sudo_user:
        # a process without a login record can give itself that of a colleague
        raise UnknownOperator(
            Phrase(
                "{why}, and you are {login} for the kernel, {sudo_user} for sudo.\n"
                "Log in to this host as yourself, and run sudo from there",
                why=why,
                login=actor.login,
                sudo_user=actor.sudo_user,
            )
        )
    name = actor.login or actor.sudo_user
    if name in ("", "root"):  # root may be anybody
        raise UnknownOperator(
            Phrase(
                "{why}, and neither the kernel nor sudo knows who you are.\n"
                "Log in to this host as yourself, or come by sudo as docs/hosts.md says",
                why=why,
            )
        )
    return name


def author_of(user: str, sudo_user: str, login: str) -> str:
    """Who is behind a run: the user of sudo, unless that is root, else who logged in, else the user."""
    return (sudo_user if sudo_user != "root" else "") or login or sudo_user or user


def who() -> Actor:
    """The actor of this process; unknown facts are "". Raises NotPermitted as `caller` does."""
    user, name = this_user(), caller().name[:255]
    return Actor(
        user=user,
        sudo_user=name if name != user else "",
        login=login_record(),
        origin=_origin(),
        host=socket.gethostname()[:255],
        pid=os.getpid(),
    )


def _origin() -> str:
    """What started this process. A terminal is checked first, because shells started by a desktop under
    systemd carry INVOCATION_ID too; cron is checked before systemd, because it is itself a unit of systemd.
    """
    process = read_process(os.getpid())
    if process is not None and process.terminal:
        return "terminal"
    for _ in range(12):
        process = read_process(process.parent) if process is not None and process.parent > 1 else None
        if process is not None and _CRON.fullmatch(process.name):
            return "cron"
    return "systemd" if os.environ.get("INVOCATION_ID") else "other"


@dataclass(frozen=True, slots=True)
class Order:
    """The request for a run: its id, its date, its command, its user. `command` has the words of the command
    line, which never hold a secret.

    `today` is the date of the clock. `explicit`: the date was given on the command line. `policy` is the
    digest of the current policy file, `rules` that of its content, `urn` the beginning of its rights.
    """

    run: str
    as_of: date
    today: date
    explicit: bool
    command: tuple[str, ...]
    actor: Actor
    policy: str
    reason: str = ""
    allowed: Mapping[str, int] = field(default_factory=dict)
    urn: str = ""
    rules: str = ""
    break_glass: bool = False
    """Whether the plan is applied without the approval of another person that it needs."""
