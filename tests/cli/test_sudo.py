"""People type `piactl`, and it decides by their role: no command, option, file or variable gives them more,
or a password, and each act is in the one journal with the person's name. Real users, real sudo."""

from __future__ import annotations

import json
import re
import shlex
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.outside import Exit
from tests.story.academy import Academy

from .command_cases import CLAIRE, IDA, NUMEN, TODAY, WHY
from .unix_host import Host, load_with_matching_key, unix_host

pytestmark = pytest.mark.long

PROOF = ("--numen-file", "-")
OTHER_NUMEN = "20E9512346XYZ"
OWN = "/etc/piactl/secrets/desk"
PLANS = "/var/lib/piactl/plans"
SUDO = ("sudo", "-n", "-u", "piactl")


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


def journal_of(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.root("cat /var/log/piactl/journal.jsonl").splitlines()]


def test_people_act_by_their_roles_and_have_one_journal(host: Host) -> None:
    """The intended use by the help desk and an administrator, by root and by a timer."""
    done = host.types("ope", "piactl", "otp", "suspend", CLAIRE, *WHY, "--yes")
    assert done.returncode == Exit.FAILED, "Claire has no device"
    activate = ("piactl", "password", "activate", CLAIRE, *PROOF)
    done = host.types("ope", *activate, terminal=True, stdin=f"{NUMEN}\n")
    assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout
    reset = ("piactl", "password", "reset", CLAIRE, *PROOF)
    done = host.types("ope", *reset, stdin=f"{NUMEN}\n")
    assert (done.returncode, "--out - >FILE)" in done.stderr) == (Exit.USAGE, True), "only on a terminal"
    done = host.service("piactl", "nightly", "/srv/piactl/feeds/hr.csv", "-o", "json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.types("boss", "piactl", "plan", "--out", f"{PLANS}/own.json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.types("boss", "piactl", "apply", f"{PLANS}/own.json")
    assert done.returncode == Exit.DONE, done.stderr
    done = host.types("boss", "piactl", "account", "lock", CLAIRE, *WHY, "--yes")
    assert done.returncode == Exit.DONE, done.stderr
    # what the help desk cannot do is a line to hand over; an administrator needs none
    lines = host.types("ope", "piactl", "why", CLAIRE, "login").stdout.splitlines()
    [line] = [line for line in lines if line.startswith("  hand over")]
    assert line.startswith(f"  hand over   Claire Dubreuil ({CLAIRE}): locked by "), line
    assert WHY[1] in line, line
    assert line.endswith(f' (group piactl-admin): piactl account unlock {CLAIRE} --reason "..."'), line
    assert "hand over   " not in host.types("boss", "piactl", "why", CLAIRE, "login").stdout
    host.root(f"piactl account unlock {CLAIRE} --reason 'by root' --yes")

    assert host.root("stat -c '%U %a' /var/log/piactl/journal.jsonl") == "piactl 600\n"
    runs = [line for line in journal_of(host) if line["type"] == "run"]
    assert {line["user"] for line in runs} == {"piactl"}
    authors = [line["sudo_user"] for line in runs]
    assert list(dict.fromkeys(authors)) == ["ope", "", "boss", "root"]
    done = host.types("anne", "piactl", "journal", "verify")
    assert (done.returncode, "journal intact" in done.stdout) == (Exit.DONE, True), done
    assert host.types("ope", "piactl", "journal", "show").returncode == Exit.CONFIGURATION, (
        "not theirs to read"
    )

    # exit codes, redirection, completion and the words are those of the command itself
    done = host.types("ope", "piactl", "account", "show", "no such person; true")
    assert (done.returncode, done.stdout) == (Exit.NOT_FOUND, ""), done
    assert host.types("ope", "piactl", "account", "show").returncode == Exit.USAGE
    done = host.types("ope", "piactl", "--complete", "account", "show", "cl")
    assert done.stdout.split() == [CLAIRE], done
    for words in (("--help",), ("account", "lock", "--help"), ("completion", "bash")):
        assert host.types("stranger", "piactl", *words).returncode == Exit.DONE
    done = host.types("stranger", "piactl", "account", "list")
    assert (done.returncode, "stranger has no role" in done.stderr) == (Exit.CONFIGURATION, True), done
    done = host.types("stranger", "piactl", "--complete", "account", "show", "cl")
    assert (done.returncode, done.stdout, done.stderr) == (Exit.DONE, "", ""), done

    # the help desk sees the acts of others without reasons and names
    done = host.types("ope", "piactl", "account", "history", CLAIRE, "-o", "json")
    rows = json.loads(done.stdout)
    own = [row for row in rows if row["author"] == "ope"]
    assert own, rows
    others = [row for row in rows if row not in own]
    assert {row["author"] for row in others if row["sources"] == ["journal"]} >= {"administrator, approver"}
    assert {(row["reason"], row["run"], row["attributes"]) for row in others} == {(None, None, None)}
    assert "boss" not in done.stdout
    assert all(len(row["time"]) == 10 for row in others)
    assert WHY[1] in host.types("anne", "piactl", "account", "history", CLAIRE, "-o", "json").stdout

    # groups of the site
    host.root("groupadd helpdesk; gpasswd -a stranger helpdesk")
    host.root("sed -i 's/^policy:/roles: {desk: [helpdesk]}\\n&/' /etc/piactl/piactl.yaml")
    assert host.types("stranger", "piactl", "otp", "show", CLAIRE).returncode == Exit.CONFIGURATION
    line = host.root("piactl roles --sudoers")
    assert line == "%helpdesk ALL = (piactl) NOPASSWD: /usr/bin/piactl\n"
    host.root(f"echo '{line.strip()}' > /etc/sudoers.d/site; chmod 440 /etc/sudoers.d/site; visudo -c")
    assert host.types("stranger", "piactl", "otp", "show", CLAIRE).returncode == Exit.DONE
    assert "you are stranger: desk" in host.types("stranger", "piactl", "roles").stdout
    # root sees every password, and the rules of sudo: of these, one is for variables
    findings = {f["id"]: f for f in json.loads(host.root("piactl doctor -o json || true"))}
    assert findings["D53"]["result"] == "error"
    assert findings["D53"]["found"].count("LD_PRELOAD") == 1
    assert findings["D05"]["found"] == "private: reader, nightly, desk, administrator, approver"
    host.root("sed -i /SETENV/d /etc/sudoers.d/tests")
    findings = {f["id"]: f for f in json.loads(host.root("piactl doctor -o json || true"))}
    assert (findings["D53"]["result"], findings["D53"]["found"]) == (
        "ok",
        "nothing but /usr/bin/piactl, as piactl",
    )
    findings = {f["id"]: f for f in json.loads(host.types("anne", "piactl", "doctor", "-o", "json").stdout)}
    assert findings["D53"]["result"] == "skipped"
    assert findings["D05"]["found"].endswith("; of other roles: approver")


def test_no_operator_can_approve_their_own_request(host: Host) -> None:
    """One operator requests, and cannot approve under any name; a second one approves, once."""
    for uid in (CLAIRE, IDA):
        host.academy.change(uid, userPassword=["quatre chats gris et lents"])
    request = ("piactl", "password", "reset", CLAIRE, "--second-person", *WHY, "--yes")
    refused = host.types("ope", *request, forged_login="eva")
    assert (refused.returncode, "you are eva for the kernel, ope for sudo" in refused.stderr) == (1, True)
    for limit in ("-f 0", "-f 1"):  # sudo passes the limit on
        limited = f"ulimit {limit}; {shlex.join(request)} 2>&1; test $? -ne 0"
        message = host.root(f"cd /srv/shared; runuser -u ope -- sh -c {shlex.quote(limited)}")
        assert "files of any size (ulimit -f)" in message
    requests = f"ou=requests,{host.academy.sandbox.state}"
    assert len(host.academy.sandbox.entries(requests)) == 1, "nothing is done that the journal cannot have"
    done = host.types("ope", *request)
    assert done.returncode == Exit.DONE, done.stderr
    (name,) = re.findall(r"password approve (\S+)", done.stdout)
    approve = ("piactl", "password", "approve", name, "--yes")
    careless = [f"{word}=eva" for word in ("SUDO_USER", "LOGNAME", "USER")]
    waiting = host.types("idle", *request)
    (of_idle,) = re.findall(r"password approve (\S+)", waiting.stdout)
    as_idle = (*SUDO, *careless, *approve[:3], of_idle, "--yes")
    with host.academy.nothing_written():
        for caller, words, options, code, message in (
            ("ope", approve, {}, 1, "ope requested it, so somebody else has to"),
            ("ope", approve, {"forged_login": "eva"}, 1, "you are eva for the kernel, ope for sudo"),
            ("ope", (*SUDO, *careless, *approve), {}, 1, "not allowed to set the following environment"),
            ("ope", approve, {"environment": {"SUDO_USER": "eva"}}, 1, "ope requested it"),
            ("idle", as_idle, {}, 1, "idle requested it, so somebody else has to"),
            ("eva", (*approve[:3], f"{name}-ended", "--yes"), {}, 9, "there is no such request"),
            ("eva", (*approve[:3], f"{name},ou=x", "--yes"), {}, 9, "there is no such request"),
            ("eva", (*approve, "--out", "/srv/shared/new"), {}, 2, "writes no file for you"),
            ("eva", ("piactl", "otp", "approve", name), {}, 1, f"piactl password approve {name}"),
            ("vera", approve, {}, 10, "the command password approve is for piactl-desk, piactl-admin"),
            ("portal", approve, {}, 10, "you are portal, portal"),
        ):
            done = host.types(caller, *words, terminal="--out" not in words, **options)
            said = done.stdout + done.stderr
            assert (done.returncode, message in said) == (code, True), (caller, words, done)
    done = host.types("eva", *approve[:3], name.upper(), "--yes", terminal=True)
    assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout
    done = host.types("idle", *approve, terminal=True)
    assert (done.returncode, "approved by eva already" in done.stdout) == (1, True), done.stdout
    lines = journal_of(host)
    (change,) = [line for line in lines if line.get("kinds") == ["password"]]
    (run,) = [line for line in lines if line["type"] == "run" and line["run"] == change["run"]]
    assert (run["sudo_user"], f"requested by ope ({name})" in change["reason"]) == ("eva", True)

    # without a login record, who kills the own sudo is nobody; tests/cli/test_caller.py has the other cases
    kill = f"""cd /srv/shared; for wait in 0.02 0.03 0.04 0.05; do
        {shlex.join(SUDO)} piactl password requests > said-$wait 2>&1 & sleep $wait; kill -9 $!; done
        sleep 2; cat said-*"""
    no_record = f"echo {2**32 - 1} > /proc/self/loginuid || true"
    said = host.root(f"{{ {no_record}; }} 2> /dev/null; runuser -u ope -- sh -c {shlex.quote(kill)} 2>&1")
    assert "nobody can be named as the person who started this as piactl" in said
    assert "request" not in said.replace("password requests", "")


def test_nobody_uses_up_the_quota_of_another(host: Host) -> None:
    """Neither a login record nor a variable makes an operator another one."""
    activate = ("piactl", "password", "activate", CLAIRE, *PROOF)
    proved: dict[str, Any] = {"terminal": True, "stdin": f"{NUMEN}\n"}
    done = host.types("ope", *activate, **proved)
    assert done.returncode == Exit.DONE, done.stdout
    done = host.types("idle", *activate, **proved, forged_login="eva")
    assert done.returncode == Exit.DONE, done.stdout
    with host.academy.nothing_written():
        for options in (
            {},
            {"forged_login": "eva"},
            {"environment": {"SUDO_USER": "eva", "LOGNAME": "eva"}},
        ):
            done = host.types("ope", *activate, **proved, **options)
            assert done.returncode == Exit.REFUSED, (options, done.stdout)
            assert "by the guard password_operator" in done.stdout
    done = host.types("eva", *activate, **proved)
    assert done.returncode == Exit.DONE, "hers is untouched"

    # the help desk checks NUMENs without the matching key, once a night has made the verifier
    former = TODAY - timedelta(days=3)
    host.root(
        f"""sed -i 's/^password:$/password:\\n  holdoff_days: 0/' /etc/piactl/piactl.yaml
        useradd -M -G piactl-desk lia
        cd /srv/piactl/feeds; sed 's/{NUMEN}/{OTHER_NUMEN}/; s/{former}/{TODAY}/' hr.csv > hr2.csv
        chmod 644 hr2.csv"""
    )
    done = host.service("piactl", "nightly", "/srv/piactl/feeds/hr2.csv")
    assert done.returncode == Exit.DONE, done
    assert len(host.academy.values(CLAIRE, "piactlNumenVerifier")) == 1
    reset = ("piactl", "password", "reset", CLAIRE, *PROOF)
    host.root("chmod 000 /etc/piactl/secrets/matching; chown root: /etc/piactl/secrets/matching")
    for numen, code in ((NUMEN, 1), (OTHER_NUMEN, 0)):
        done = host.types("lia", *reset, terminal=True, stdin=f"{numen}\n")
        assert done.returncode == code, done.stdout
    done = host.service("piactl", "nightly", "/srv/piactl/feeds/hr.csv")
    assert (done.returncode, "matching" in done.stderr) == (Exit.CONFIGURATION, True), done


NOT_BY_SUDO = [
    ("ope", ("-u", "piactl", "cat", OWN)),
    ("ope", ("-u", "piactl", "sh")),
    ("ope", ("-u", "piactl", "-s")),
    ("ope", ("-u", "piactl", "-e", OWN)),
    ("ope", ("-u", "piactl", "-D", "/etc/piactl", "piactl", "why", CLAIRE)),
    ("ope", ("-u", "piactl", "/opt/piactl/bin/python", "-c", "0")),
    ("ope", ("-u", "piactl", "/opt/piactl/bin/piactl", "otp", "show", CLAIRE)),
    ("ope", ("-u", "root", "piactl", "otp", "show", CLAIRE)),
    ("boss", ("-u", "root", "piactl", "account", "show", CLAIRE)),
    ("boss", ("-u", "piactl", "-g", "root", "piactl", "account", "show", CLAIRE)),
    ("ope", ("-u", "eva", "piactl", "otp", "show", CLAIRE)),
    ("stranger", ("-u", "piactl", "piactl", "roles")),
    *(
        ("ope", ("-u", "piactl", f"{name}=/srv/shared", "piactl", "otp", "show", CLAIRE))
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
REFUSED = [
    ("ope", ("--config", OWN, "otp", "show", CLAIRE), Exit.USAGE),
    ("ope", ("nightly", OWN), Exit.CONFIGURATION),
    ("ope", ("account", "lock", CLAIRE, *WHY), Exit.CONFIGURATION),
    ("ope", ("journal", "verify", OWN), Exit.CONFIGURATION),
    ("ope", ("key", "list"), Exit.CONFIGURATION),
    ("ope", ("account", "lock", CLAIRE, "--reason", "otp show"), Exit.CONFIGURATION),
    ("ope", ("otp", "show", CLAIRE, "--reason", "x", "key", "list"), Exit.USAGE),
    ("ope", ("password", "unblock", CLAIRE, "--administrator", *WHY, "--yes"), Exit.CONFIGURATION),
    ("ope", ("init", "--dir", "/srv/shared/x"), Exit.CONFIGURATION),
    ("ope", ("sandbox", "start", "--dir", "/srv/shared/x"), Exit.CONFIGURATION),
    ("boss", ("--config", OWN, "plan"), Exit.USAGE),
    ("boss", ("journal", "prune", "--before", "2030-01-01"), Exit.CONFIGURATION),
    ("boss", ("journal", "begin", *WHY), Exit.CONFIGURATION),
    ("anne", ("approve", f"{PLANS}/x.json", *WHY), Exit.CONFIGURATION),
    ("vera", ("plan",), Exit.CONFIGURATION),
    ("vera", ("apply", f"{PLANS}/x.json"), Exit.CONFIGURATION),
    ("vera", ("account", "list"), Exit.CONFIGURATION),
    ("portal", ("account", "show", CLAIRE), Exit.CONFIGURATION),
]


def test_everything_else_is_refused(host: Host) -> None:
    texts, before = [], state(host)
    for caller, words in NOT_BY_SUDO:
        done = host.types(caller, "sudo", "-n", *words)
        assert done.returncode == 1, (words, done)
        assert "sudo:" in done.stderr or "Sorry" in done.stderr, (words, done)
        assert not done.stderr.startswith("piactl:"), "sudo says it, not piactl"
        texts += [done.stdout, done.stderr]
    with host.academy.nothing_written():
        for caller, words, code in REFUSED:
            done = host.types(caller, *SUDO, "piactl", *words)
            assert (done.returncode, done.stderr.startswith("piactl: ")) == (code, True), (words, done)
            texts += [done.stdout, done.stderr]
    without = ("piactl", "password", "reset", CLAIRE, "--without-check", "--administrator", *WHY, "--yes")
    done = host.types("ope", *without, terminal=True)
    assert (done.returncode, "the identity administrator is for" in done.stdout) == (10, True), done
    said = host.types("ope", "piactl", "password", "unblock", CLAIRE, "--administrator", *WHY, "--yes").stderr
    assert said == "piactl: the identity administrator is for piactl-admin; you are ope, desk: piactl roles\n"
    assert host.types("ope", "cat", OWN).returncode == 1
    assert seen(host, texts) == set()
    assert state(host) == before


def targets(host: Host) -> list[str]:
    """Two secrets: one by its name, one by a link in a shared folder that looks like a feed."""
    host.root("runuser -u ope -- ln -sf /etc/piactl/secrets/reader /srv/shared/hr-link.csv")
    return [OWN, "/srv/shared/hr-link.csv"]


def test_no_option_reads_or_writes_files_for_its_caller(host: Host) -> None:
    """Each option that names a file is tried with secrets, by the help desk and by an administrator."""
    before, texts = state(host), []
    inputs = [
        ("ope", ("password", "check", CLAIRE, "--password-file", "{}")),
        ("boss", ("plan", "show", "{}")),
        ("boss", ("apply", "{}")),
        ("vera", ("approve", "{}", *WHY)),
        ("boss", ("plan", "{}")),
        ("boss", ("nightly", "hr={}")),
        ("boss", ("feed", "check", "hr={}")),
        ("boss", ("feed", "rejects", "hr={}", "--out", "/srv/shared/new")),
        ("boss", ("journal", "verify", "{}")),
        ("boss", ("adopt", "hr={}")),
    ]
    outputs = [
        ("ope", ("password", "activate", CLAIRE, "--yes", "--out", "{}")),
        ("ope", ("otp", "enroll", CLAIRE, "--yes", "--png", "{}")),
        ("ope", ("otp", "enroll", CLAIRE, "--yes", "--uri-file", "{}")),
        ("ope", ("account", "timeline", CLAIRE, "--svg", "{}")),
        ("boss", ("plan", "--out", "{}")),
        ("boss", ("feed", "rejects", "hr=/srv/piactl/feeds/hr.csv", "--out", "{}")),
        ("boss", ("nightly", "--html", "{}")),
        ("boss", ("undo", "last", *WHY, "--out", "{}")),
        ("boss", ("adopt", "hr=/srv/piactl/feeds/hr.csv", "--out", "{}")),
    ]
    fresh = ["/srv/shared/fresh", f"{PLANS}/../x", "x"]
    for (caller, words), names in (
        *((way, targets(host)) for way in inputs),
        *((way, [targets(host)[0], *fresh]) for way in outputs),
    ):
        for target in names:
            done = host.types(caller, "piactl", *(word.format(target) for word in words))
            # a file whose name matches no feed is not read, and does not end a night
            unread = words[0] in ("plan", "nightly") and f"{target}: not read: it matches" in done.stderr
            assert unread or done.returncode not in (Exit.DONE, Exit.BUG), (words, target, done)
            assert done.stderr.startswith("piactl: "), (words, target, done)
            texts += [done.stdout, done.stderr]
    for words in (("reset", CLAIRE, "--numen-file", OWN), ("check", "--password-file", OWN)):
        done = host.types("ope", "piactl", "password", *words, terminal=True)
        assert done.returncode == Exit.USAGE, done.stdout
        assert f"{OWN}: under sudo piactl reads no file for you as piactl" in done.stdout
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
        folder, own = "/srv/shared/evil", host.root("id -u piactl").strip()
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
            (("init", "--dir", "/srv/shared/x"), {}, Exit.CONFIGURATION),
            (("sandbox", "start", "--dir", "/srv/shared/x"), {}, Exit.CONFIGURATION),
            (("otp", "show", CLAIRE), {"PYTHONPATH": folder, "PYTHONSTARTUP": f"{folder}/os.py"}, Exit.DONE),
            (("otp", "show", CLAIRE), {"PYTHONHOME": folder, "PYTHONUSERBASE": folder}, Exit.DONE),
            (("otp", "show", CLAIRE), {"PYTHONINSPECT": "1", "PYTHONBREAKPOINT": "os.system"}, Exit.DONE),
            (
                ("otp", "show", IDA),
                {"HOME": "/srv/shared", "TMPDIR": "/srv/shared"},
                Exit.DONE,
            ),
            (("otp", "show", IDA), {"EDITOR": "cat", "CREDENTIALS_DIRECTORY": "/srv/shared"}, Exit.DONE),
            (("otp", "show", IDA), {"SUDO_USER": "boss", "SUDO_UID": "0"}, Exit.DONE),
        ):
            variables = [f"{name}={value}" for name, value in environment.items()]
            done = host.types("idle", *SUDO, *variables, "piactl", *words, environment=environment)
            assert done.returncode == code, (words, environment, done)
            texts += [done.stdout, done.stderr]
        with pytest.raises(TimeoutError):
            listener.accept()
    assert seen(host, texts) == set()
    assert state(host) == before
    refused = host.types("idle", *SUDO, "piactl", "--config", "/srv/shared/evil.yaml", "plan").stderr
    assert refused == (
        "piactl: under sudo piactl reads /etc/piactl/piactl.yaml only; leave --config and PIACTL_CONFIG out\n"
    )
