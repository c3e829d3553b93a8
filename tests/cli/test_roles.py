"""The table of roles: which role has which command and which identity, and that it holds under real sudo."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from piactl.cli.framework.command_table import COMMANDS
from piactl.cli.framework.output import is_of_others
from piactl.core.model.settings import Identity, IdentityName
from piactl.errors import Exit, NotPermitted
from piactl.host import roles_of_caller
from piactl.host.roles_of_caller import IDENTITIES, Role
from piactl.host.secret_files import identity_password
from piactl.report.why_text import said_text
from tests.story.academy import Academy

from .command_cases import CASES, CLAIRE, WHY, filled, load
from .unix_host import Host, unix_host

TOP = Path(__file__).parents[2]

EVERYBODY = "completion roles"
READING = "account.show establishment.list status why"
HELP_DESK = """account.find account.history account.list account.timeline assignment.list password.activate
    password.approve password.check password.requests password.reset password.unblock otp.approve otp.check
    otp.enroll otp.remove otp.resume otp.resync otp.show otp.suspend otp.verify"""
HAS = {
    Role.DESK: f"{EVERYBODY} {READING} {HELP_DESK}",
    Role.ADMINISTRATOR: f"""{EVERYBODY} {READING} {HELP_DESK} account.close account.create account.export
        account.extend account.lock account.merge account.rekey account.rename account.reopen account.split
        account.unlock adopt apply assignment.add assignment.end assignment.move doctor drift.adopt drift.list
        drift.override drift.revert drift.show events exception.deny exception.end exception.grant
        exception.list feed.check feed.rejects feed.score forecast guards.suggest journal.export
        journal.show journal.verify match.different match.forget match.list match.same match.show
        match.wrong-row nightly override.end
        override.list plan policy.check policy.diff policy.test profile.list profile.show recover rehearse
        runs.list runs.rewind runs.show service.list service.show undo""",
    Role.APPROVER: f"{EVERYBODY} {READING} approve reject plan runs.list runs.show",
    Role.PORTAL: f"{EVERYBODY} otp.check password.check",
    Role.SERVICE: f"{EVERYBODY} nightly plan events",
}
"""The commands of each role; root has all, and alone init, sandbox, key, journal begin, close and prune."""


def commands_of(role: Role) -> set[str]:
    return {name.replace(".", " ") for name in HAS[role].split()}


@pytest.fixture
def held() -> Iterator[None]:
    yield
    roles_of_caller.work_with(None)


def test_each_line_of_the_table_names_its_roles() -> None:
    """A line without roles belongs to root alone; one that is for root says so."""
    for words, line in COMMANDS.items():
        assert line.roles, words
    for role in HAS:
        assert {words for words, line in COMMANDS.items() if role in line.roles} == commands_of(role), role
    rest = COMMANDS.keys() - {words for role in HAS for words in commands_of(role)}
    assert rest == {
        *("init", "sandbox start", "sandbox stop", "sandbox status"),
        *("key add", "key list", "key retire", "journal begin", "journal close", "journal prune"),
    }


def test_a_role_refuses_commands_and_identities(held: None) -> None:
    for role in Role:
        roles_of_caller.work_with(frozenset({role}))
        for words, line in COMMANDS.items():
            if role is Role.ROOT or role in line.roles:
                roles_of_caller.refuse_command(words, line.roles)
            else:
                with pytest.raises(NotPermitted):
                    roles_of_caller.refuse_command(words, line.roles)
        for name in (*IdentityName, "another", ""):
            if name in IDENTITIES[role]:
                assert identity_password(Identity(external=True, name=name)) == b""
            else:
                with pytest.raises(NotPermitted):
                    identity_password(Identity(external=True, name=name))
    roles_of_caller.work_with(frozenset())
    with pytest.raises(NotPermitted, match="without a role"):
        roles_of_caller.refuse_command("completion", ())


def test_why_has_a_line_to_hand_over_what_the_role_has_not(academy: Academy, held: None) -> None:
    """Account, cause and command, for the help desk; an administrator needs no such line."""
    load(academy)
    assert academy.run("account", "lock", CLAIRE, *WHY).code == 0
    view = academy.run("why", CLAIRE, "login", "-o", "json").json
    roles_of_caller.work_with(frozenset({Role.DESK}))
    said, line = said_text(view, is_of_others).splitlines()
    assert said.startswith("  to say ")
    assert line.startswith(f"  hand over   Claire Dubreuil ({CLAIRE}): locked by "), line
    assert WHY[1] in line
    assert line.endswith(f': piactl account unlock {CLAIRE} --reason "..."')
    assert not is_of_others(f"piactl password reset {CLAIRE}")
    assert is_of_others(f"piactl password reset {CLAIRE} --without-check")
    roles_of_caller.work_with(frozenset({Role.ADMINISTRATOR}))
    assert "hand over   " not in said_text(view, is_of_others)


def test_one_function_hands_out_the_passwords_of_identities() -> None:
    """Every connection gets them from it; no other module reads a password file of an identity."""
    readers, users = set(), set()
    for file in (TOP / "piactl").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "password_file":
                users.add(file.relative_to(TOP / "piactl").as_posix())
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "read_password":
                readers.add(file.relative_to(TOP / "piactl").as_posix())
    # the password of a canary is that of an account; what a person types is no identity's
    assert users == {"host/secret_files.py", "doctor/canaries.py"}
    assert readers == {"host/secret_files.py", "doctor/canaries.py", "cli/framework/terminal.py"}


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    load(academy)
    with unix_host(academy) as host:
        yield host


PEOPLE = {Role.DESK: "eva", Role.APPROVER: "vera", Role.ADMINISTRATOR: "anne"}


@pytest.mark.long
def test_the_table_holds_under_real_sudo(host: Host) -> None:
    """Each command by a person without its role; test_sudo.py has those who may."""
    for words, line in COMMANDS.items():
        first = words.split()[0]
        without = [caller for role, caller in PEOPLE.items() if role not in line.roles]
        if without and first not in ("init", "sandbox", "completion"):  # people run these as themselves
            case = CASES[words]
            typed = filled(case.right, host.academy)
            done = host.types(without[0], "piactl", *typed, stdin=case.stdin)
            assert done.returncode == Exit.CONFIGURATION, (without, words, done)
            assert done.stderr.startswith(f"piactl: the command {words} is for "), (without, words, done)


def caller_of(said: str) -> str:
    """Who `piactl roles` says that somebody is."""
    return said.partition("\n")[0].rpartition("you are ")[2].strip()


@pytest.mark.long
def test_who_the_caller_is_for_real_sudo(host: Host) -> None:
    """tests/cli/test_caller.py has processes of the same shapes, a killed sudo and a hidden /proc."""
    own = ("piactl", "roles")
    sudo = ("sudo", "-n", "-u", "piactl")
    forged = {"SUDO_USER": "boss", "SUDO_UID": "0", "LOGNAME": "boss", "DOAS_USER": "boss"}
    variables = [f"{name}={value}" for name, value in forged.items()]
    host.root("cp /bin/sh /srv/shared/sudo")
    for words, options in (
        (own, {}),
        (own, {"terminal": True}),
        (("setsid", "-w", *own), {}),
        (("sh", "-c", "piactl roles; true"), {"environment": forged}),
        (("/srv/shared/sudo", "-c", "piactl roles; true"), {}),
        (("nohup", *own), {"forged_login": "boss"}),
    ):
        done = host.types("ope", *words, **options)
        assert caller_of(done.stdout) == "ope: desk", (words, done)
    # a rule with SETENV, four ways
    for words in (
        (*sudo, *variables, *own),
        (*sudo, "-E", *own),
        (*sudo, f"--preserve-env={','.join(forged)}", *own),
        (*sudo, "-i", "-E", *own),
    ):
        done = host.types("idle", *words, environment=forged)
        assert caller_of(done.stdout) in ("idle: desk", ""), (words, done)
        assert "boss" not in done.stdout.partition("\n")[0]
    assert caller_of(host.service(*own).stdout) == "a service (a timer or cron): service"
    host.root("cp /bin/sh /srv/shared/cron")
    cron = host.service("true") and host.root(
        f"{{ echo {2**32 - 1} > /proc/self/loginuid; }} 2>/dev/null || true; "
        "runuser -u piactl -- /srv/shared/cron -c 'piactl roles; true'"
    )
    assert caller_of(cron) == "a service (a timer or cron): service"
    # root is never refused, and the person behind root is named
    assert caller_of(host.root("piactl roles")) == "root: root"
    login = "{ echo $(id -u boss) > /proc/self/loginuid; } 2>/dev/null || true; cat /proc/self/loginuid; "
    said = host.root(f"{login} piactl roles; runuser -u piactl -- piactl roles").split("you are ")
    if said[0].strip() == host.root("id -u boss").strip():  # the kernel lets us
        assert caller_of(said[1]) == "boss: root"
        assert caller_of(said[2]) == "boss: administrator, approver"
        named = host.root(f"{login} SUDO_USER=eva piactl roles").split("you are ")
        assert caller_of(named[1]) == "boss: root"
    # under sudo of root itself, nobody has a role
    done = host.root(
        "{ echo 4294967295 > /proc/self/loginuid; } 2>/dev/null || true; "
        "sudo -u piactl piactl roles 2>&1 || true"
    )
    assert "root" in done
