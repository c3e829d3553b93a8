"""Who started piactl: processes of the shape that sudo, a killed sudo, a timer and root give them."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from typing import Any

import pytest

from tests.remembered import installation_for_every_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts processes of other users")

PYTHON = "/usr/bin/python3"
"""For a user who may not read the Python of the tests."""
OWN = pwd.getpwnam("nobody").pw_uid
ASK = """
import json
from piactl.errors import NotPermitted
from piactl.journal import who
from piactl.host.caller import sudo_service
try:
    print(json.dumps([who().author, sudo_service()]))
except NotPermitted as refused:
    print(json.dumps(str(refused)))
"""
START = """
import os, sys, time
caller, login, ends, *command = sys.argv[1:]
if login:
    with open("/proc/self/loginuid", "w") as record:
        record.write(login)
os.setgroups([])
os.setresgid(OWN, OWN, OWN)  # group 0 sees a hidden /proc
os.setresuid(int(caller), 0, 0)  # as sudo is: its real user is who called it
above = os.getpid()
if os.fork():
    if ends:
        os._exit(0)
    os.wait()
else:
    os.setresuid(OWN, OWN, OWN)
    while ends and os.getppid() == above:
        time.sleep(0.01)
    os.execv(command[0], command)
""".replace("OWN", str(OWN))


def seen(caller: int, login: str = "", *, ends: bool = False, hidden: str = "", **variables: str) -> Any:
    """The author and whether piactl works for somebody else, or the refusal, for a process of OWN that
    `caller` started by way of root. `ends`: what is above it has ended; `hidden`: the options of /proc."""
    library = f'import sys; sys.path.insert(0, "{installation_for_every_user()}")\n'
    words = [PYTHON, "-c", START, str(caller), login, "yes" * ends, PYTHON, "-c", library + ASK]
    if hidden:
        script = f'mount -t proc -o {hidden} proc /proc && exec "$@"'
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]
    done = subprocess.run(
        words,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "loginuid" in done.stderr or "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"this machine does not let us: {done.stderr}")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


REFUSED = "nobody can be named as the person who started this"
OPE = {"SUDO_UID": "4242", "SUDO_USER": "4242"}


def test_only_the_kernel_says_who_the_caller_is() -> None:
    for forged in (
        {},
        OPE,
        {"SUDO_UID": str(OWN), "SUDO_USER": "nobody"},
        {"SUDO_UID": "0", "SUDO_USER": "eva"},
    ):
        assert seen(4242, **forged) == ["4242", "nobody"], forged
    # a timer or cron, and a shell of root
    assert seen(0) == ["nobody", ""]
    assert seen(0, ends=True) == ["nobody", ""]


def test_without_the_sudo_above_it_two_records_have_to_agree() -> None:
    for marks in (OPE, {"SUDO_UID": "4242"}, {"DOAS_USER": "4242"}, {"SUDO_COMMAND": "x"}):
        assert REFUSED in seen(4242, ends=True, **marks), marks
        assert REFUSED in seen(0, **marks), marks
    assert seen(4242, "4242", ends=True, **OPE) == ["4242", "nobody"]
    assert REFUSED in seen(4242, "4343", ends=True, **OPE)
    assert seen(0, "4242") == ["4242", ""], "root's runuser, in the session of a person"


def test_a_hidden_proc_is_no_answer() -> None:
    assert REFUSED in seen(4242, hidden="hidepid=2", **OPE)
    assert seen(4242, "4242", hidden="hidepid=2", **OPE) == ["4242", "nobody"]
    assert seen(0, hidden="hidepid=2") == ["nobody", ""], "a timer"
    assert seen(4242, hidden=f"hidepid=2,gid={OWN}", **OPE) == ["4242", "nobody"]
