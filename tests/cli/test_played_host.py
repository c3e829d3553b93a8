"""The recommended set-up, played: hosts with a clean Debian boot, the package is installed, the commands of
the pages are run, and the people of the page type what piactl printed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.outside import Exit, civil_today
from tests.release import release_of
from tests.story.feeds import crowd, row, text

from .debian_host import DebianHost, Network, lacking, network
from .pages import TOP, block, blocks

pytestmark = pytest.mark.long

PAGE, REFERENCE = "administration.md", "hosts.md"
BASE = "ou=ac-amiens,ou=education,o=gouv,c=fr"
CLAIRE, NUMEN = "claire.dubreuil", "20E9512345XYZ"
IDA = {
    "matricule": "1999",
    "numen": "20E9598765ABC",
    "prenom": "Ida",
    "nom_famille": "Roy",
    "debut": "2020-09-01",
}
WHY = ("--reason", "appel du proviseur")
PRESENT = f"""ldapadd -Q -Y EXTERNAL -H ldapi:/// <<'END'
dn: uid=iroy,ou=personnels EN,{BASE}
objectClass: inetOrgPerson
objectClass: supannPerson
uid: iroy
cn: Ida Roy
sn: Roy
mail: ida.roy@ac-amiens.fr
supannEmpId: 1999
END"""
USERS = {"nightly": "piactl", "desk": "piactl-desk", "administrator": "piactl-admin"}
THREE_USERS = f"""
for group in piactl-desk piactl-admin piactl-approver piactl-portal; do groupdel $group; done
groupadd -r piactl-config; gpasswd -a piactl piactl-config
chown root:piactl-config /etc/piactl /etc/piactl/*.*
chown root: /etc/piactl/secrets; chmod 0711 /etc/piactl/secrets
for user in piactl piactl-desk piactl-admin; do
    [ $user = piactl ] || useradd -r -d /var/lib/$user -s /usr/sbin/nologin -G piactl-config $user
    for folder in /etc/piactl/secrets/$user /var/log/$user /var/lib/$user /var/lib/$user/plans; do
        install -d -m 0700 -o $user -g $user $folder; done
    cp /etc/piactl/secrets/reader /etc/piactl/secrets/keys /etc/piactl/secrets/$user; done
cd /etc/piactl/secrets; rm reader keys approver
mv nightly piactl; mv desk piactl-desk; mv administrator piactl-admin
for user in piactl piactl-desk piactl-admin; do chown $user: $user/*; done
ldapdelete -Q -Y EXTERNAL -H ldapi:/// "cn=piactl-approver,ou=services,{BASE}"
echo 'ope ALL = (piactl-desk) NOPASSWD: /usr/bin/piactl password *' > /etc/sudoers.d/piactl
"""
SERVE, PRIVATE_KEY, SIGN, TRUST, *_ = blocks("tls.md")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Network]:
    why = lacking()
    if why:
        pytest.skip(why)
    package = release_of(tmp_path / "checkout")
    (tmp_path / "hosts").mkdir()
    with network(tmp_path / "hosts", package) as hosts:
        yield hosts


# ---- what the people of the page do


def types(host: DebianHost, who: str, script: str) -> subprocess.CompletedProcess[str]:
    """The commands of a page, typed by somebody."""
    return host.types(who, "bash", "-euc", script)


def as_printed(
    host: DebianHost, who: str, done: subprocess.CompletedProcess[str], verb: str, **how: str
) -> subprocess.CompletedProcess[str]:
    """What comes of the first such command that was printed, typed by somebody with a reason."""
    printed = re.search(rf"piactl {verb}\b[^\n]*", done.stdout + done.stderr)
    assert printed, (verb, done)
    words = printed[0].replace('"..."', "'seen with the head of HR'").replace("TEXT", "'backup of Sunday'")
    return host.types(who, *shlex.split(words), **how)


def errors(host: DebianHost) -> set[str]:
    """The checks of doctor, as root, that find an error."""
    done = host.tries("piactl doctor -o json")
    return {finding["id"] for finding in json.loads(done.stdout) if finding["result"] == "error"}


def deliver(host: DebianHost, day: date, ended: int = 0) -> str:
    """The feed of a day, as HR delivers it; so many posts ended on the eve. Returns its name."""
    people = [row(numen=NUMEN), row(**IDA), *crowd(40, debut="2020-09-01")]
    end = (day - timedelta(days=1)).isoformat()
    rows = [
        f"{line[: line.rindex(';')]};{end}" if number < ended else line for number, line in enumerate(people)
    ]
    name = f"agape-{day}.csv"
    written = (
        f"cd /srv/piactl/feeds; cat >.{name} <<'END'\n{text(rows, day.isoformat())}END\nmv .{name} {name}"
    )
    done = types(host, "hr", written)
    assert done.returncode == 0, done
    return f"/srv/piactl/feeds/{name}"


def installed(host: DebianHost) -> str:
    return host.root(f"cd /root; {block(PAGE, 'apt install ./')}", DEBIAN_FRONTEND="noninteractive")


def trusted(host: DebianHost) -> None:
    """The CA of the server, made known on another host."""
    host.root(f"cd /root; ssh root@ldap1.example.org cat tls/ca.pem >ca.pem; {TRUST}")


# ---- the story


def test_the_recommended_set_up_is_played(hosts: Network) -> None:
    today = civil_today("Europe/Paris")
    host = hosts.host("ldap1")
    directory_is_set_up(host)
    first_load(host, today - timedelta(days=2))
    timer_runs(host, today - timedelta(days=1))
    second = second_host(hosts)
    desk = help_desk_host(hosts, host)
    bad_night(host, today)
    first_passwords(host, desk)
    restore(host, second)
    upgrade(second, desk)
    upgrade_from_three_users(host)
    nothing_lies_open(host)
    removed(second)
    if not host.booted:
        pytest.skip(
            "all was played, but systemd does not boot here: the units' settings were applied by hand"
        )


def directory_is_set_up(host: DebianHost) -> None:
    """The package, a new directory, TLS, roles."""
    assert "next: step 2 of /usr/share/doc/piactl/docs/administration.md" in installed(host)
    host.root("visudo -c")
    host.root(
        "cd /usr/share; ls man/man1/piactl.1.gz /etc/logrotate.d/piactl bash-completion/completions/piactl"
    )
    host.root("cd /usr/share; ls zsh/vendor-completions/_piactl fish/vendor_completions.d/piactl.fish")
    timer = "find /etc/systemd -name 'piactl*'"
    assert host.root(timer) == "", "the timer waits for its configuration"
    said = host.root(block(PAGE, "apt install slapd"), DEBIAN_FRONTEND="noninteractive")
    assert "Keep a copy of /etc/piactl/secrets/keys OFF this host" in said
    host.root(f"mkdir /root/tls; cd /root/tls; {PRIVATE_KEY}{SIGN}{TRUST}{SERVE}")
    host.root("sed -i 's#^  servers: .*#  servers: [\"ldaps://ldap1.example.org\"]#' /etc/piactl/piactl.yaml")
    host.root("for who in anne vera ope hr; do useradd -m $who; done")
    host.root(block(PAGE, "piactl doctor   ", PERSON="anne"))
    host.root("gpasswd -a vera piactl-approver; gpasswd -a ope piactl-desk")
    if host.booted:
        again = "for try in $(seq 100); do ! piactl status || exit 0; sleep 0.1; done; exit 1"
        host.root(f"kill -9 $(pidof slapd); {again}")


def first_load(host: DebianHost, day: date) -> None:
    """One member of staff has an entry already, and is adopted; the others are created."""
    host.root(block(PAGE, "HR=root; chown", root="hr"))
    feed = deliver(host, day)
    host.root(PRESENT)
    check, adopt, *_ = (
        part.replace("/srv/piactl/feeds/agape-2026-11-24.csv", feed) for part in blocks("first-migration.md")
    )
    done = types(host, "anne", check + adopt)
    assert (done.returncode, "iroy" in done.stdout) == (Exit.DONE, True), done
    load, _, move = block(PAGE, "piactl feed check").partition("piactl apply")
    done = host.tries(load.replace("/srv/piactl/feeds/agape-2026-11-24.csv", feed))
    assert done.returncode == Exit.REFUSED, done
    done = as_printed(host, "anne", done, "apply")
    assert done.returncode == Exit.DONE, done
    host.root(move.partition("\n")[2])
    shown = host.types("anne", "piactl", "account", "show", "iroy")
    assert (shown.returncode, "ida.roy@ac-amiens.fr" in shown.stdout) == (Exit.DONE, True), shown


def timer_runs(host: DebianHost, day: date) -> None:
    """From now on a refused plan needs another person."""
    host.root("printf 'approvals:\n  required: [{refused: any}]\n' >>/etc/piactl/policy.yaml")
    deliver(host, day)
    done = enabled(host)
    assert done.returncode == Exit.DONE, done
    assert host.root("ls /srv/piactl/feeds") == ""
    assert len(host.root("ls /srv/piactl/applied").split()) == 2


def enabled(host: DebianHost) -> subprocess.CompletedProcess[str]:
    """What the first night ended with, once the timer is enabled for a server over the network."""
    timer, _, _ = block(PAGE, "systemctl enable").partition("systemctl start")
    return host.night(block(REFERENCE, "systemctl edit") + timer)


def second_host(hosts: Network) -> DebianHost:
    """It has an identity of its own for its nights."""
    [first] = hosts.hosts
    first.root(f"cd /root; {block(REFERENCE, 'host=HOST', HOST='second')}")
    host = hosts.host("second")
    installed(host)
    trusted(host)
    host.root(block(REFERENCE, "first=", HOST="second"))
    assert errors(host) == set()
    done = enabled(host)
    assert done.returncode == Exit.DONE, done
    return host


def help_desk_host(hosts: Network, nights: DebianHost) -> DebianHost:
    """It has no other identity, and the commands of the page work there."""
    page = "help-desk.md"
    host = hosts.host("desk")
    installed(host)
    trusted(host)
    host.root(block(page, "nights="))
    others = r"(?m)^    (nightly|administrator|approver):\n( {6}.*\n)+|^metrics: .*\n"
    yaml = re.sub(others, "", host.root("cat /etc/piactl/piactl.yaml"))
    host.root(f"cat > /etc/piactl/piactl.yaml <<'END'\n{yaml}END")
    host.root("useradd -m ope")
    host.root(block(page, "gpasswd", PERSON="ope"))
    nights.root("sed -i 's/^    desk:/&\\n      elsewhere: true/' /etc/piactl/piactl.yaml")
    assert host.root("ls /etc/piactl/secrets").split() == ["desk", "keys", "reader"]
    said = host.root(block(page, "piactl doctor"))
    assert "-> " not in said, "it advises nothing that this host cannot do"

    told = (TOP / "docs" / page).read_text(encoding="utf-8").partition("## A new telephone")[0]
    commands = re.findall(r"`(piactl (?!match)[^`]+)`", told)
    assert len(commands) == 14
    named = {"ACCOUNT": CLAIRE, "SERVICE": "messagerie", "TEXT": "appel", "NAME": "dubreuil", "REQUEST": "x",
             "WORDS": "thuillier", "UAI": "0800009A"}  # fmt: skip
    outputs = {}
    for command in commands:
        words = [named.get(word, word) for word in command.split()]
        typed = ""
        if words[1:] == ["password", "reset", CLAIRE]:
            words, typed = [*words, "--numen-file", "-"], f"{NUMEN}\n"
        elif words[1] in ("password", "otp") and words[2] not in ("reset", "approve"):
            words.append("--dry-run")
        elif words[1:3] == ["password", "reset"]:
            words.append("--yes")
        done = host.types("ope", *words, terminal=True, stdin=typed)
        assert "not allowed to execute" not in done.stdout, command
        assert done.returncode not in (Exit.USAGE, Exit.CONFIGURATION, Exit.BUG), (command, done.stdout)
        outputs[command] = done.stdout
    assert "piactl password activate" in outputs["piactl why ACCOUNT login"]
    assert CLAIRE in outputs["piactl account find NAME"]
    assert "shown this once" in outputs["piactl password reset ACCOUNT"]
    done = host.types("ope", "piactl", "why", CLAIRE, environment={"LANG": "fr_FR.UTF-8"})
    assert "actif" in done.stdout
    # the others have no password here, and the desk no role for them
    lock = ["account", "lock", CLAIRE, "--reason", "x", "--yes"]
    elsewhere = "on a host that has it, such as that of the nights"
    done = host.tries("piactl nightly")
    assert (done.returncode, elsewhere in done.stderr) == (Exit.CONFIGURATION, True), done
    way_on = (
        "To hand over, on a host with the identity administrator, such as that of the nights "
        "(group piactl-admin): "
    )
    done = host.types("ope", "piactl", *lock)
    assert done.returncode == Exit.CONFIGURATION, done
    assert f"{way_on}{shlex.join(['piactl', *lock])}\n" in done.stderr, done
    return host


MAIL = """systemctl edit --stdin piactl-failure@.service <<'END'
[Service]
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'
ExecStart=/usr/bin/passwd -S
ExecStart=/bin/sh -c '! ls /etc/piactl'
END
systemctl start piactl-failure@trial.service"""
"""What a mail command that reports a night may do: speak to a server, be setuid. It reads nothing of ours."""


def bad_night(host: DebianHost, day: date) -> None:
    """What HR sent is looked at, the second person approves, an administrator applies, as printed."""
    if host.booted:
        host.root(MAIL)
    deliver(host, day, ended=25)
    done = host.night()
    assert done.returncode == Exit.FEED_REFUSED, done
    log = (
        "journalctl --sync; journalctl -q -o cat -t piactl -p alert" if host.booted else "cat /var/log/syslog"
    )
    assert "piactl-nightly.service failed" in host.root(log)
    done = as_printed(host, "anne", done, "nightly")
    assert done.returncode == Exit.REFUSED, done
    approved = as_printed(host, "vera", done, "approve")
    assert approved.returncode == Exit.DONE, approved
    applied = as_printed(host, "anne", done, "apply")
    assert applied.returncode == Exit.DONE, applied


def first_passwords(host: DebianHost, desk: DebianHost) -> None:
    """A mail merge, and a reset by the help desk on the same day."""
    listed = json.loads(host.types("anne", "piactl", "account", "list", "-o", "json").stdout)
    uids = sorted(account["uid"] for account in listed if account["uid"].startswith("louise"))
    merge = ("piactl", "password", "activate", "-", "--administrator", *WHY, "--yes", "--out", "-")
    how = {"stdin": "\n".join(uids), "out": "/home/anne/letters.csv"}
    done = host.types("anne", *merge, **how)
    assert done.returncode == Exit.REFUSED, done
    done = as_printed(host, "anne", done, "password activate", **how)
    assert done.returncode == Exit.DONE, done
    assert len(host.root("cat /home/anne/letters.csv").splitlines()) == 1 + len(uids)
    reset = ("piactl", "password", "reset", CLAIRE, "--numen-file", "-")
    for place in (host, desk):
        done = place.types("ope", *reset, terminal=True, stdin=f"{NUMEN}\n")
        assert (done.returncode, "shown this once" in done.stdout) == (Exit.DONE, True), done.stdout


def restore(host: DebianHost, second: DebianHost) -> None:
    """From before a lock: one person of each host accepts the loss, and everything goes on."""
    lock = ("piactl", "account", "lock", CLAIRE, *WHY, "--yes")
    copy = {"2026-11-30": "$(date +%F)"}
    loaded = block(PAGE, "copy=", **copy)
    assert host.tries(loaded).returncode != Exit.DONE, "there is no copy yet"
    assert host.types("anne", "piactl", "status").returncode == Exit.DONE, "and nothing is lost"
    host.root(block(PAGE, "install -d -m 0700 /var/backups"))
    host.root(r"sed 's/^[^a-z]*root //; s/\\%/%/g' /etc/cron.d/piactl-backup | sh -e")
    assert host.types("anne", *lock).returncode == Exit.DONE
    host.root(loaded)
    done = host.night()
    assert done.returncode == Exit.OLDER, done
    done = as_printed(host, "anne", done, "recover")
    assert (done.returncode, CLAIRE in done.stdout) == (Exit.OLDER, True), done
    done = as_printed(host, "anne", done, "recover --accept")
    assert done.returncode == Exit.DONE, done
    for place in (host, second):
        done = place.night()
        assert done.returncode == Exit.DONE, done
    assert host.types("anne", *lock).returncode == Exit.DONE
    assert host.types("anne", "piactl", "journal", "verify").returncode == Exit.DONE
    assert errors(host) == set()


def upgraded(host: DebianHost) -> None:
    """A package with a higher version and another rule of sudo, which is taken."""
    host.root(
        """cd /root; dpkg-deb -R piactl_*.deb next; echo '# next' >>next/etc/sudoers.d/piactl
        sed -i 's/^Version: .*/&+1/' next/DEBIAN/control
        rm piactl_*.deb; dpkg-deb -Zgzip -z1 -b next . >/dev/null; rm -r next"""
    )
    installed(host)
    assert host.root("dpkg-query -f '${Version}' -W piactl").endswith("+1")


def upgrade(*hosts: DebianHost) -> None:
    """Settings of the site and the timer stay."""
    settings = "find /etc/piactl /etc/systemd -type f -exec sha256sum {} + | sort"
    for host in hosts:
        before = host.root(settings)
        upgraded(host)
        assert host.root(settings) == before
        host.root("piactl doctor")
    second, _ = hosts
    done = second.tries("piactl plan")
    assert done.returncode == Exit.DONE, "there is nothing to change"
    if second.booted:
        assert second.root("systemctl is-enabled piactl-nightly.timer") == "enabled\n"
        assert second.root("systemctl is-active piactl-nightly.timer") == "active\n"
    assert second.night().returncode == Exit.DONE


def three_users(host: DebianHost) -> None:
    """As version 0.2.0 leaves a host: with users, passwords, journals and states of each kind of work."""
    yaml = host.root("cat /etc/piactl/piactl.yaml")
    yaml = re.sub(r"(?m)^    approver:\n( {6}.*\n)+", "", yaml)
    yaml = yaml.replace("secrets/reader", '"secrets/{user}/reader"')
    for name, user in USERS.items():
        yaml = yaml.replace(f"secrets/{name}\n", f"secrets/{user}/{name}\n      user: {user}\n")
    yaml = yaml.replace("secrets/piactl/nightly", "credential:nightly")
    yaml = yaml.replace("keys: secrets/keys", 'keys: "secrets/{user}/keys"')
    yaml = yaml.replace("journal: /var/log/piactl/", "journal: /var/log/{user}/")
    yaml = yaml.replace("state_folder: /var/lib/piactl", "state_folder: /var/lib/{user}")
    host.root(f"{THREE_USERS}\ncat > /etc/piactl/piactl.yaml <<'END'\n{yaml}END")
    acts = {
        "piactl-desk": "password reset iroy --numen-file - --out /var/lib/piactl-desk/out",
        "piactl-admin": "account lock iroy --reason before",
    }
    for user, act in acts.items():
        # each user with a configuration of its own, as this version reads it
        own = re.sub(r" +user: [a-z-]+\n", "", yaml).replace("{user}", user)
        own = own.replace("credential:nightly", "secrets/piactl/nightly")
        host.root(
            f"""cat > /etc/piactl/own.yaml <<'END'\n{own}END
            echo {IDA["numen"]} | runuser -u {user} -- piactl --config /etc/piactl/own.yaml {act} --yes
            rm /etc/piactl/own.yaml"""
        )
    host.root("runuser -u piactl-admin -- touch /var/lib/piactl-admin/plans/kept.json")


def directory_upgraded(host: DebianHost) -> None:
    """The settings of the server are those of the new version, with what is of the site: TLS."""
    files, misfits, by_config, _, start, entries, *_ = blocks("upgrade-directory.md")
    own = 'sed -i "/^cn: config$/r "<(grep ^olcTLS $files/settings.before) $files/config.ldif\n'
    files = files.replace("examples/new-directory", "./new-directory")
    host.root(f"cd /usr/share/piactl\n{files}{own}{misfits}{by_config}{start}{entries}rm -r $files")
    approver = re.findall(
        r"(?m)^    approver:\n(?: {6}.*\n)+", host.root("cat /usr/share/piactl/examples/piactl.yaml")
    )[0]
    host.root(f"sed -i '/^  identities:$/r /dev/stdin' /etc/piactl/piactl.yaml <<'END'\n{approver}END")


def upgrade_from_three_users(host: DebianHost) -> None:
    """A host of 0.2.0 and its directory are brought over."""
    three_users(host)
    stop, secrets, journals, users, configuration, people = (
        re.sub(r"(?m)^.* examples/.*\n", "", part)  # with the package
        for part in blocks(REFERENCE, "## A host with three Unix users")
    )
    host.root(stop)
    upgraded(host)
    host.root(secrets + journals + users + configuration)
    directory_upgraded(host)
    roles = "gpasswd -a ope piactl-desk; gpasswd -a anne piactl-admin; gpasswd -a vera piactl-approver\n"
    said = host.root(re.sub(r"gpasswd -a PERSON .*\n", roles, people))
    assert "journal intact" in said
    assert all(f"{user}: closed" in said for user in ("piactl-desk", "piactl-admin")), said
    host.root("systemctl daemon-reload && systemctl start piactl-nightly.timer")

    assert host.root("getent passwd | grep -c ^piactl") == "1\n"
    assert host.root("find /etc/piactl /var/log/piactl /var/lib/piactl -nouser -o -nogroup") == ""
    assert host.root("ls -d /var/log/piactl* /var/lib/piactl*").split() == [
        *("/var/lib/piactl", "/var/lib/piactl-metrics", "/var/log/piactl"),
    ]
    assert "kept.json" in host.root("ls /var/lib/piactl/plans").split()
    assert not re.search(
        r"\{user\}|user:|credential:|secrets/piactl", host.root("cat /etc/piactl/piactl.yaml")
    )
    done = host.types("anne", "piactl", "account", "unlock", "iroy", *WHY, "--yes")
    assert done.returncode == Exit.DONE, done
    assert host.types("ope", "piactl", "otp", "show", CLAIRE).returncode == Exit.DONE
    done = host.night()
    assert done.returncode == Exit.DONE, done
    shown = host.types("anne", "piactl", "journal", "show", "-o", "json")
    assert {line["user"] for line in json.loads(shown.stdout)} >= {"piactl", "piactl-admin", "piactl-desk"}
    history = json.loads(host.types("anne", "piactl", "account", "history", "iroy", "-o", "json").stdout)
    assert [row["reason"] for row in history if row["reason"] in ("before", WHY[1])][-2:] == [
        "before",
        WHY[1],
    ]
    verified = host.types("anne", "piactl", "journal", "verify")
    assert (verified.returncode, "journal intact" in verified.stdout) == (Exit.DONE, True), verified


def nothing_lies_open(host: DebianHost) -> None:
    """No file that everybody may read, and no line of the journal of the system, has a secret."""
    secrets = "\n".join(host.secrets().values()).split()
    script = """cd /root; umask 077; cat >secrets
    find / -xdev -type f -perm -o=r -newer /etc/hostname -print0 | xargs -0 grep -lFf secrets || true
    ! journalctl -q 2>/dev/null | grep -Ff secrets; rm secrets"""
    done = host.types(
        "root", "bash", "-euc", script, stdin="\n".join(word for word in secrets if len(word) > 20)
    )
    assert (done.returncode, done.stdout) == (0, ""), done


def removed(host: DebianHost) -> None:
    """Without the package no night starts; what is of the site stays."""
    host.root("DEBIAN_FRONTEND=noninteractive apt-get remove -y piactl")
    assert host.root("find /etc/systemd -name 'piactl-nightly.timer'") == "", "it is not enabled"
    assert "keys" in host.root("ls /etc/piactl/secrets").split()
    host.root("[ -s /var/log/piactl/journal.jsonl ] && [ -d /var/lib/piactl/plans ]")
