"""Who started this process, and the processes of this host as the kernel shows them. Only the kernel is
believed: what a caller may set is used to refuse, never to allow.

The real user of the nearest process above that is not of this user is the caller: sudo keeps it, and no
option or variable changes it. If that process is root's, or `/proc` hides it, it may be a timer, a shell of
root, or what took the place of a sudo that ended.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from piactl.errors import NotPermitted
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class Process:
    """`name` is the beginning of the name of its program, `terminal` whether it has a controlling terminal.
    `began` is its start in clock ticks since boot, which tells it from a later one with the same number.
    `ended`: only its exit code is left."""

    name: str
    parent: int
    terminal: bool
    began: int
    ended: bool


def read_process(pid: int) -> Process | None:
    """The process with this number; None if there is none, or if /proc hides it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # the name is in parentheses, and may hold anything
    before, _, after = text.rpartition(")")
    state, parent, _group, _session, terminal, *others = after.split()
    return Process(before.partition("(")[2], int(parent), terminal != "0", int(others[14]), state in "ZX")


def process_began(pid: int) -> int:
    """`began` of a process; 0 if there is none, or if /proc hides it."""
    process = read_process(pid)
    return process.began if process is not None else 0


def is_alive(pid: int, began: int) -> bool:
    """Whether the process of this boot with that number and start still runs. One that exists and that /proc
    hides counts as it."""
    process = read_process(pid)
    if process is not None:
        return process.began == began and not process.ended
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def this_boot() -> str:
    """The boot of this machine; "" if the system does not show it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def this_place() -> str:
    """The boot of this machine and its process namespace; "" if the system does not show them."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot} {namespace}" if (boot := this_boot()) else ""


_NO_LOGIN = 2**32 - 1
_MARKS = ("SUDO_UID", "SUDO_USER", "SUDO_COMMAND", "DOAS_USER")
"""What sudo and doas put into the environment; their caller cannot remove it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is who started this process, "" for a service. `other`: they are another user than that of this
    process, which may read passwords that they may not. `root`: this process began as root's; `name` is then
    the person behind root, "root" if nobody names one."""

    name: str
    other: bool
    root: bool = False


_began_as_root = False


def become(user: str) -> None:
    """Turns this process of root into one of `user`, for good. Raises KeyError if there is no such user."""
    global _began_as_root
    of = pwd.getpwnam(user)
    _began_as_root = True
    os.initgroups(user, of.pw_gid)
    os.setresgid(of.pw_gid, of.pw_gid, of.pw_gid)
    os.setresuid(of.pw_uid, of.pw_uid, of.pw_uid)
    os.umask(0o077)
    os.environ.update(HOME=of.pw_dir, USER=user, LOGNAME=user)
    caller.cache_clear()


@cache
def caller() -> Caller:
    """The caller. Raises NotPermitted if nobody can be named; root is never refused."""
    own = os.geteuid()
    if own == 0 or _began_as_root:
        return Caller(_behind_root(), other=False, root=True)
    pid, facts = os.getppid(), _status(os.getppid())
    while facts.get("Uid", "").split()[:1] == [str(own)] and pid != 1:
        pid = int(facts["PPid"])
        facts = _status(pid)
    real = int((facts.get("Uid") or "0").split()[0])
    if real:
        return Caller(user_name(real), real != own)
    login = login_record()
    if facts.get("Name") == "sudo":
        # started by root, who may be anybody
        return Caller(login or "root", other=True)
    marks = [os.environ[name] for name in _MARKS if name in os.environ]
    named = os.environ.get("SUDO_USER", "") or os.environ.get("DOAS_USER", "")
    if not marks and not login:
        return Caller("", other=False)
    if (login and named in (login, "root")) or not marks:
        return Caller(login, other=bool(marks))
    raise NotPermitted(
        Phrase(
            "nobody can be named as the person who started this as {this_user}: the sudo that did so has "
            "ended, or /proc hides it.\n"
            "Log in to this host as yourself, and run sudo from there; mount /proc without hidepid, or "
            "with gid=",
            this_user=this_user(),
        )
    )


def _behind_root() -> str:
    """The person behind root: the user of sudo, if the kernel's record of the login says the same or the
    parent process is sudo; else who logged in."""
    login, named = login_record(), os.environ.get("SUDO_USER", "")[:255]
    if named and (named == login or _is_sudo_of_root(os.getppid())):
        return named
    return login or "root"


def sudo_service() -> str:
    """The user that this process runs as, if somebody else started it by sudo; "" otherwise, and for root.

    Such a process may read passwords that its caller may not, so it takes no file from its caller. Raises
    NotPermitted if nobody can be named as the caller.
    """
    return this_user() if caller().other else ""


def login_record() -> str:
    """Who logged in to the host, according to the audit record of the kernel; "" without one."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return ""
    return "" if uid == _NO_LOGIN else user_name(uid)


def _is_sudo_of_root(pid: int) -> bool:
    """Whether a process is called sudo and runs as root. Only root can choose both."""
    facts = _status(pid)
    return facts.get("Name") == "sudo" and facts.get("Uid", "").split()[1:2] == ["0"]


def _status(pid: int) -> dict[str, str]:
    """What the kernel says of a process, {} if it hides it or it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def this_user() -> str:
    """The name of the Unix user that piactl runs as."""
    return user_name(os.geteuid())


def user_name(uid: int) -> str:
    """The name of a user, or the number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
