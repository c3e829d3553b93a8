"""People use the identities of piactl through real sudo and in no other way: no command, option, file or
variable gives an operator a password, and each act is in the journal with the operator's name."""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from piactl.errors import Exit
from tests.story.academy import Academy

from .conditions import CLAIRE, IDA, NUMEN, TODAY, WHY
from .unix_host import Host, load_with_matching_key, unix_host

pytestmark = pytest.mark.long

DESK, NIGHT, ADMIN, APPROVER = "piactl-desk", "piactl", "piactl-admin", "piactl-approver"
PROOF = ("--numen-file", "-")
OTHER_NUMEN = "20E9512346XYZ"
OWN = f"/etc/piactl/secrets/{DESK}/desk"


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    """A host with two keys for NUMENs, of which the help desk has one. Each operator may give out one
    activation password per day."""
    academy.allow_up_to(1, "password_operator")
    load_with_matching_key(academy)
    with unix_host(academy) as host:
        yield host


def seen(host: Host, texts: list[str]) -> set[str]:
    """The secret files of which any eight consecutive characters are in one of the texts."""
    text = "\n".join(texts)
    return {
        name
        for name, content in host.secrets().items()
        for word in content.split()
        if any(word[i : i + 8] in text for i in range(max(len(word) - 7, 0)))
    }


def state(host: Host) -> str:
    return host.root("find /etc/piactl -type f -printf '%p %u %m ' -exec sha256sum {} ';' | sort")


def test_each_group_has_its_commands_and_its_journal(host: Host) -> None:
    """The intended use: the help desk, a night, an administrator, and who may read the journals."""
    done = host.sudo("ope", DESK, "piactl", "otp", "suspend", CLAIRE, *WHY, "--yes")
    assert done.returncode == Exit.FAILED, "Claire has no device"
    activate = ("piactl", "password", "activate", CLAIRE, *PROOF)
    done = host.sudo("ope", DESK, *activate, terminal=True, stdin=f"{NUMEN}\n")
    assert done.returncode == Exit.DONE, done.stdout
    assert "shown this once" in done.stdout
    done = host.sudo(
        "ope", DESK, "piactl", "password", "reset", CLAIRE, "--numen-file", "-", stdin=f"{NUMEN}\n"
    )
    assert (done.returncode, "--out FILE" in done.stderr) == (Exit.USAGE, True), "only on a terminal"
    done = host.sudo("boss", NIGHT, "piactl", "nightly", "/srv/piactl/feeds/hr.csv", "-o", "json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.sudo("boss", NIGHT, "piactl", "plan", "--out", "/var/lib/piactl/plans/own.json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.sudo("boss", NIGHT, "piactl", "apply", "/var/lib/piactl/plans/own.json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.sudo("boss", ADMIN, "piactl", "account", "lock", CLAIRE, *WHY, "--yes")
    assert done.returncode == Exit.DONE, done.stderr

    for user, author in ((DESK, "ope"), (NIGHT, "boss"), (ADMIN, "boss")):
        log = f"/var/log/{user}/journal.jsonl"
        assert host.root(f"stat -c '%U %a' {log}") == f"{user} 600\n"
        runs = [
            line for line in map(json.loads, host.root(f"cat {log}").splitlines()) if line["type"] == "run"
        ]
        assert runs
        assert {(line["user"], line["sudo_user"]) for line in runs} == {(user, author)}
        done = host.sudo("boss", user, "piactl", "journal", "verify")
        assert done.returncode == Exit.DONE, done.stdout + done.stderr
        assert "journal intact" in done.stdout
    assert host.sudo("ope", DESK, "piactl", "journal", "show").returncode == 1, "not theirs to read"


def journal_of(host: Host, user: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.root(f"cat /var/log/{user}/journal.jsonl").splitlines()]


def test_no_operator_can_approve_their_own_request(host: Host) -> None:
    """One operator requests, and cannot approve under any name; a second one approves, once."""
    for uid in (CLAIRE, IDA):
        host.academy.change(uid, userPassword=["quatre chats gris et lents"])
    request = ("piactl", "password", "reset", CLAIRE, "--second-person", *WHY, "--yes")
    refused = host.sudo("ope", DESK, *request, forged_login="eva")
    assert (refused.returncode, "you are eva for the kernel, ope for sudo" in refused.stderr) == (1, True)
    for limit in ("-f 0", "-f 1"):  # sudo passes the limit on
        limited = f"ulimit {limit}; sudo -n -u {DESK} {shlex.join(request)} 2>&1; test $? -ne 0"
        message = host.root(f"cd /srv/shared; runuser -u ope -- sh -c {shlex.quote(limited)}")
        assert "files of any size (ulimit -f)" in message
    requests = f"ou=requests,{host.academy.sandbox.state}"
    assert len(host.academy.sandbox.entries(requests)) == 1, "nothing is done that the journal cannot have"
    done = host.sudo("ope", DESK, *request)
    assert done.returncode == Exit.DONE, done.stderr
    (name,) = re.findall(r"password approve (\S+)", done.stdout)
    approve = ("piactl", "password", "approve", name, "--yes")
    careless = [f"{word}=eva" for word in ("SUDO_USER", "LOGNAME", "USER")]
    waiting = host.sudo("idle", DESK, *request)
    (of_idle,) = re.findall(r"password approve (\S+)", waiting.stdout)
    with host.academy.nothing_written():
        for caller, user, words, options, code, message in (
            ("ope", DESK, approve, {}, 1, "ope requested it, so somebody else has to"),
            ("ope", DESK, approve, {"forged_login": "eva"}, 1, "you are eva for the kernel, ope for sudo"),
            ("ope", DESK, (*careless, *approve), {}, 1, "not allowed to set the following environment"),
            ("ope", DESK, approve, {"environment": {"SUDO_USER": "eva"}}, 1, "ope requested it"),
            (
                "idle",
                DESK,
                (*careless, *approve[:3], of_idle, "--yes"),
                {},
                1,
                "idle requested it, so somebody else has to",
            ),
            ("ope", "eva", approve, {}, 1, "not allowed to execute"),
            ("eva", DESK, (*approve[:3], f"{name}-ended", "--yes"), {}, 9, "there is no such request"),
            ("eva", DESK, (*approve[:3], f"{name},ou=x", "--yes"), {}, 9, "there is no such request"),
            ("eva", DESK, (*approve, "--out", "/srv/shared/new"), {}, 2, "writes no file for you"),
            ("eva", DESK, ("piactl", "otp", "approve", name), {}, 1, f"piactl password approve {name}"),
            ("boss", ADMIN, approve, {}, 10, "only user piactl-desk has the password of desk"),
        ):
            done = host.sudo(caller, user, *words, terminal="--out" not in words, **options)
            assert (done.returncode, message in done.stdout + done.stderr) == (code, True), (
                caller,
                words,
                done,
            )
    done = host.sudo("eva", DESK, *approve[:3], name.upper(), "--yes", terminal=True)
    assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout
    done = host.sudo("boss", DESK, *approve, terminal=True)
    assert done.returncode == 1, "boss is not of the help desk"
    done = host.sudo("idle", DESK, *approve, terminal=True)
    assert (done.returncode, "approved by eva already" in done.stdout) == (1, True), done.stdout
    lines = journal_of(host, DESK)
    (change,) = [line for line in lines if line.get("kinds") == ["password"]]
    (run,) = [line for line in lines if line["type"] == "run" and line["run"] == change["run"]]
    assert (run["sudo_user"], f"requested by ope ({name})" in change["reason"]) == ("eva", True)


def test_who_kills_the_own_sudo_is_nobody(host: Host) -> None:
    """Without a login record; tests/cli/test_caller.py has the other cases."""
    kill = f"""cd /srv/shared; for wait in 0.02 0.03 0.04 0.05; do
        sudo -n -u {DESK} piactl password requests > said-$wait 2>&1 & sleep $wait; kill -9 $!; done
        sleep 2; cat said-*"""
    no_record = f"echo {2**32 - 1} > /proc/self/loginuid || true"
    said = host.root(f"{{ {no_record}; }} 2> /dev/null; runuser -u ope -- sh -c {shlex.quote(kill)} 2>&1")
    assert "nobody can be named as the person who started this as piactl-desk" in said
    assert "request" not in said.replace("password requests", "")


def test_the_maker_of_a_plan_cannot_approve_it_under_any_name(host: Host) -> None:
    """The maker of a plan cannot approve it under any name that sudo or the kernel can be given; another
    person approves it, and cannot apply it."""
    host.root(
        "printf 'approvals:\\n  required: [{kind: [create], more_than: 0}]\\n' >> /etc/piactl/policy.yaml"
    )
    columns = (host.academy.folder / "hr.csv").read_text(encoding="utf-8").splitlines()[0].split(";")
    person = {"matricule": "7001", "nom_famille": "Roussel", "prenom": "Odile", "uai": "0800009A"}
    new = {**person, "fonction": "ENS", "corps": "553", "debut": "01/09/2025"}
    feed_row = ";".join(new.get(column, "") for column in columns)
    host.root(f"sed -i '/^#FIN/d' /srv/piactl/feeds/hr.csv; echo '{feed_row}' >> /srv/piactl/feeds/hr.csv")
    file = "/var/lib/piactl/plans/new.json"
    made = host.sudo("boss", NIGHT, "piactl", "plan", "/srv/piactl/feeds/hr.csv", "--out", file)
    assert made.returncode == Exit.DONE, made.stderr
    plan = host.sudo("vera", NIGHT, "piactl", "plan", "show", file, "-o", "json").stdout
    assert json.loads(plan)["made_by"] == ["boss"]

    def approve(caller: str, user: str = APPROVER, **options: Any) -> tuple[int, str]:
        done = host.sudo(caller, user, "piactl", "approve", "-", *WHY, stdin=plan, **options)
        return done.returncode, done.stderr + done.stdout

    code, output = approve("boss")
    assert (code, "boss made this plan" in output) == (Exit.REFUSED, True), output
    code, output = approve("boss", forged_login="vera")
    assert (code, "you are vera for the kernel, boss for sudo" in output) == (Exit.FAILED, True), output
    code, output = approve("boss", environment={"SUDO_USER": "vera"})
    assert (code, "boss made this plan" in output) == (Exit.REFUSED, True), output
    assert approve("boss", NIGHT)[0] == 1, "no rule of sudo"
    apply = ("piactl", "apply", file)
    done = host.sudo("boss", NIGHT, *apply)
    assert (done.returncode, "has to approve this plan" in done.stderr) == (Exit.REFUSED, True), done.stderr
    code, output = approve("vera")
    assert (code, "approved by vera" in output) == (Exit.DONE, True), output
    assert host.sudo("vera", NIGHT, *apply).returncode == 1, "no rule of sudo"
    done = host.sudo("boss", NIGHT, *apply)
    assert (done.returncode, "approved by vera" in done.stderr) == (Exit.DONE, True), done.stderr
    verified = host.sudo("boss", APPROVER, "piactl", "journal", "verify")
    assert (verified.returncode, "journal intact" in verified.stdout) == (Exit.DONE, True), verified


def test_nobody_uses_up_the_quota_of_another(host: Host) -> None:
    """Neither a login record nor a variable makes an operator another one."""
    activate = ("piactl", "password", "activate", CLAIRE, *PROOF)
    proved: dict[str, Any] = {"terminal": True, "stdin": f"{NUMEN}\n"}
    done = host.sudo("ope", DESK, *activate, **proved)
    assert done.returncode == Exit.DONE, done.stdout
    done = host.sudo("idle", DESK, *activate, **proved, forged_login="eva")
    assert done.returncode == Exit.DONE, done.stdout
    with host.academy.nothing_written():
        for options in (
            {},
            {"forged_login": "eva"},
            {"environment": {"SUDO_USER": "eva", "LOGNAME": "eva"}},
        ):
            done = host.sudo("ope", DESK, *activate, **proved, **options)
            assert done.returncode == Exit.REFUSED, (options, done.stdout)
            assert "by the guard password_operator" in done.stdout
    done = host.sudo("eva", DESK, *activate, **proved)
    assert done.returncode == Exit.DONE, "hers is untouched"


def test_the_help_desk_checks_numens_without_the_matching_key(host: Host) -> None:
    """After a night that saw another NUMEN and made its verifier."""
    assert "matching" not in host.root(f"ls /etc/piactl/secrets/{DESK}")
    former = TODAY - timedelta(days=3)
    host.root(
        f"""sed -i 's/^password:$/password:\\n  holdoff_days: 0/' /etc/piactl/piactl.yaml
        cd /srv/piactl/feeds; sed 's/{NUMEN}/{OTHER_NUMEN}/; s/{former}/{TODAY}/' hr.csv > hr2.csv
        chown ope hr2.csv; chmod 644 hr2.csv"""
    )
    done = host.sudo("boss", NIGHT, "piactl", "nightly", "/srv/piactl/feeds/hr2.csv")
    assert done.returncode == Exit.DONE, done
    assert len(host.academy.values(CLAIRE, "piactlNumenVerifier")) == 1
    reset = ("piactl", "password", "reset", CLAIRE)
    for numen, code in ((NUMEN, 1), (OTHER_NUMEN, 0)):
        done = host.sudo("ope", DESK, *reset, "--numen-file", "-", terminal=True, stdin=f"{numen}\n")
        assert done.returncode == code, done.stdout
    for user in (NIGHT, ADMIN):
        done = host.sudo("boss", user, "piactl", "doctor", "-o", "json")
        findings = {finding["id"]: finding["found"] for finding in json.loads(done.stdout)}
        assert "matching" not in findings["D04"] + findings["D52"], done.stdout
    host.root(f"rm /etc/piactl/secrets/{NIGHT}/matching")
    done = host.sudo("boss", NIGHT, "piactl", "nightly", "/srv/piactl/feeds/hr.csv")
    assert (done.returncode, "matching" in done.stderr) == (Exit.CONFIGURATION, True), done


def test_using_the_identity_of_another_user_is_refused(host: Host) -> None:
    done = host.sudo("ope", DESK, "piactl", "password", "unblock", CLAIRE, "--administrator", *WHY, "--yes")
    assert done.returncode == Exit.CONFIGURATION
    assert done.stderr == (
        "piactl: only user piactl-admin has the password of administrator; "
        "run: sudo -u piactl-admin piactl ...\n"
    )


NOT_ALLOWED = [
    ("ope", DESK, ("piactl",)),
    ("ope", DESK, ("piactl", "--config", OWN, "otp", "show", CLAIRE)),
    ("ope", DESK, ("piactl", "--complete", "account", "show", "")),
    ("ope", DESK, ("piactl", "nightly", OWN)),
    ("ope", DESK, ("piactl", "account", "lock", CLAIRE, *WHY)),
    ("ope", DESK, ("piactl", "journal", "verify", OWN)),
    ("ope", DESK, ("piactl", "key", "list")),
    ("ope", DESK, ("piactl", "init", "--dir", "/srv/shared/x")),
    ("ope", DESK, ("cat", OWN)),
    ("ope", DESK, ("sh",)),
    ("ope", DESK, ("-s",)),
    ("ope", DESK, ("-e", OWN)),
    ("ope", DESK, ("-D", "/etc/piactl", "piactl", "why", CLAIRE)),
    ("ope", DESK, ("/opt/piactl/bin/python", "-c", "0")),
    ("ope", DESK, ("/opt/piactl/bin/piactl", "otp", "show", CLAIRE)),
    ("ope", NIGHT, ("piactl", "otp", "show", CLAIRE)),
    ("ope", ADMIN, ("piactl", "otp", "show", CLAIRE)),
    ("ope", "root", ("piactl", "otp", "show", CLAIRE)),
    ("boss", "root", ("piactl", "account", "show", CLAIRE)),
    ("boss", NIGHT, ("piactl", "--config", OWN, "plan")),
    ("boss", NIGHT, ("piactl", "journal", "prune", "--before", "2030-01-01")),
    ("boss", ADMIN, ("piactl", "journal", "begin", *WHY)),
    *(
        ("ope", DESK, (f"{name}=/srv/shared", "piactl", "otp", "show", CLAIRE))
        for name in (
            "PIACTL_CONFIG",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PYTHONHOME",
            "LD_PRELOAD",
            "SUDO_UID",
            "HOME",
        )
    ),
]


def test_everything_else_is_refused_by_sudo(host: Host) -> None:
    texts = []
    for caller, user, words in NOT_ALLOWED:
        done = host.sudo(caller, user, *words)
        assert done.returncode == 1, (words, done)
        assert "sudo:" in done.stderr or "Sorry" in done.stderr, (words, done)
        assert not done.stderr.startswith("piactl:"), "sudo says it, not piactl"
        texts += [done.stdout, done.stderr]
    assert seen(host, texts) == set()


def targets(host: Host, user: str) -> list[str]:
    """Two secrets of a user: one by its name, one by a link in a shared folder that looks like a feed."""
    own, *_, last = (name for name in host.secrets() if f"/secrets/{user}/" in name)
    host.root(f"runuser -u ope -- ln -sf {last} /srv/shared/hr-{user}.csv")
    return [own, f"/srv/shared/hr-{user}.csv"]


def test_no_option_reads_or_writes_files_as_the_service_user(host: Host) -> None:
    """Each option that names a file is tried with each secret, by the help desk and by an administrator."""
    before, texts = state(host), []
    inputs = [
        ("ope", DESK, ("password", "check", CLAIRE, "--password-file", "{}")),
        ("boss", NIGHT, ("plan", "show", "{}")),
        ("boss", NIGHT, ("apply", "{}")),
        ("boss", NIGHT, ("plan", "{}")),
        ("boss", NIGHT, ("nightly", "hr={}")),
        ("boss", NIGHT, ("feed", "check", "hr={}")),
        ("boss", NIGHT, ("feed", "rejects", "hr={}", "--out", "/srv/shared/new")),
        ("boss", NIGHT, ("journal", "verify", "{}")),
        ("boss", ADMIN, ("adopt", "hr={}")),
    ]
    outputs = [
        ("ope", DESK, ("password", "activate", CLAIRE, "--yes", "--out", "{}")),
        ("ope", DESK, ("otp", "enroll", CLAIRE, "--yes", "--png", "{}")),
        ("ope", DESK, ("otp", "enroll", CLAIRE, "--yes", "--uri-file", "{}")),
        ("ope", DESK, ("account", "timeline", CLAIRE, "--svg", "{}")),
        ("boss", NIGHT, ("plan", "--out", "{}")),
        ("boss", NIGHT, ("feed", "rejects", "hr=/srv/piactl/feeds/hr.csv", "--out", "{}")),
        ("boss", NIGHT, ("nightly", "--html", "{}")),
        ("boss", ADMIN, ("undo", "last", *WHY, "--out", "{}")),
        ("boss", ADMIN, ("adopt", "hr=/srv/piactl/feeds/hr.csv", "--out", "{}")),
    ]
    fresh = ["/srv/shared/fresh", f"/var/lib/{NIGHT}/plans/../x", "x"]
    for (caller, user, words), names in (
        *((way, targets(host, way[1])) for way in inputs),
        *((way, [targets(host, way[1])[0], *fresh]) for way in outputs),
    ):
        for target in names:
            done = host.sudo(caller, user, "piactl", *(word.format(target) for word in words))
            # a file whose name matches no feed is not read, and does not end a night
            unread = words[0] in ("plan", "nightly") and f"{target}: not read: it matches" in done.stderr
            assert unread or done.returncode not in (Exit.DONE, Exit.BUG), (words, target, done)
            assert done.stderr.startswith("piactl: "), (words, target, done)
            texts += [done.stdout, done.stderr]
    for words in (("reset", CLAIRE, "--numen-file", OWN), ("check", "--password-file", OWN)):
        done = host.sudo("ope", DESK, "piactl", "password", *words, terminal=True)
        assert done.returncode == Exit.USAGE, done.stdout
        assert f"{OWN}: under sudo piactl reads no file for you as {DESK}" in done.stdout
        texts.append(done.stdout)
    assert seen(host, texts) == set()
    assert state(host) == before
    assert host.root("find /srv/shared /etc/piactl /var/lib/piactl -name fresh -o -name new -o -name x") == ""


def test_careless_sudo_rules_and_variables_reveal_no_secret(host: Host) -> None:
    """Even if sudo lets every option and variable pass, piactl takes no configuration from its caller, and
    Python loads no module of theirs: no password leaves the host."""
    before = state(host)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        host.root(
            f"""cd /srv/shared
            sed -e 's#ldapi://[^"]*#ldap://127.0.0.1:{port}#' -e 's#secrets/#/etc/piactl/secrets/#' \
                -e 's#: policy.yaml#: /etc/piactl/policy.yaml#' -e 's#: estab#: /etc/piactl/estab#' \
                /etc/piactl/piactl.yaml > evil.yaml
            mkdir evil; for name in piactl typer yaml sitecustomize usercustomize os; do
                echo 'import sys; sys.exit(open("{OWN}").read())' > evil/$name.py; cp evil/$name.py .; done
            chown -R idle . ; chmod 644 *.yaml evil/*"""
        )
        assert f"127.0.0.1:{port}" in host.root("cat /srv/shared/evil.yaml"), "it names the other server"
        folder, own = "/srv/shared/evil", host.root(f"id -u {DESK}").strip()
        texts = []
        for words, environment, code in (
            (("--config", "/srv/shared/evil.yaml", "otp", "show", CLAIRE), {}, Exit.USAGE),
            (("--config", OWN, "otp", "show", CLAIRE), {}, Exit.USAGE),
            (("otp", "show", CLAIRE), {"PIACTL_CONFIG": "/srv/shared/evil.yaml"}, Exit.USAGE),
            (
                ("otp", "show", CLAIRE),
                {"PIACTL_CONFIG": "/srv/shared/evil.yaml", "SUDO_UID": own},
                Exit.USAGE,
            ),
            (("--complete", "account", "show", "c"), {"PIACTL_CONFIG": "/srv/shared/evil.yaml"}, Exit.DONE),
            (("--complete", "--config", "/srv/shared/evil.yaml", "account", "show", "c"), {}, Exit.DONE),
            (("init", "--dir", "/srv/shared/x"), {}, Exit.USAGE),
            (("sandbox", "start", "--dir", "/srv/shared/x"), {}, Exit.USAGE),
            (("otp", "show", CLAIRE), {"PYTHONPATH": folder, "PYTHONSTARTUP": f"{folder}/os.py"}, Exit.DONE),
            (("otp", "show", CLAIRE), {"PYTHONHOME": folder, "PYTHONUSERBASE": folder}, Exit.DONE),
            (("otp", "show", CLAIRE), {"PYTHONINSPECT": "1", "PYTHONBREAKPOINT": "os.system"}, Exit.DONE),
            (
                ("otp", "show", IDA),
                {"HOME": "/srv/shared", "TMPDIR": "/srv/shared", "PAGER": "cat"},
                Exit.DONE,
            ),
            (("otp", "show", IDA), {"EDITOR": "cat", "CREDENTIALS_DIRECTORY": "/srv/shared"}, Exit.DONE),
            (("otp", "show", IDA), {"SUDO_USER": "boss", "SUDO_UID": "0"}, Exit.DONE),
        ):
            variables = [f"{name}={value}" for name, value in environment.items()]
            done = host.sudo("idle", DESK, *variables, "piactl", *words, environment=environment)
            assert done.returncode == code, (words, environment, done)
            texts += [done.stdout, done.stderr]
        with pytest.raises(TimeoutError):
            listener.accept()
    assert seen(host, texts) == set()
    assert state(host) == before
    refused = host.sudo("idle", DESK, "piactl", "--config", "/srv/shared/evil.yaml", "plan").stderr
    assert refused == (
        "piactl: under sudo piactl-desk reads /etc/piactl/piactl.yaml only; "
        "leave --config and PIACTL_CONFIG out\n"
    )


def test_no_user_can_read_the_secrets_of_another(host: Host) -> None:
    """The modes of the files forbid it."""
    for user in (DESK, NIGHT, ADMIN, "ope", "boss"):
        others = [name for name in host.secrets() if f"/secrets/{user}/" not in name]
        assert len(others) >= 6
        for name in others:
            done = host.root(f"runuser -u {user} -- cat {name} 2>&1 || true")
            assert "Permission denied" in done
