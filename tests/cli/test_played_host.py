"""The recommended set-up, played: hosts with a clean Debian boot, the package is installed, the commands of the
pages are run, and the people of the page type what piactl printed."""

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

PAGE, BASE = "administration.md", "ou=ac-amiens,ou=education,o=gouv,c=fr"
CLAIRE, NUMEN = "claire.dubreuil", "20E9512345XYZ"
IDA = {"matricule": "1999", "prenom": "Ida", "nom_famille": "Roy", "debut": "2020-09-01"}
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
    written = f"cd /srv/piactl/feeds; cat >.{name} <<'END'\n{text(rows, day.isoformat())}END\nmv .{name} {name}"
    done = types(host, "hr", written)
    assert done.returncode == 0, done
    return f"/srv/piactl/feeds/{name}"


def installed(host: DebianHost) -> None:
    host.root(f"cd /root; {block(PAGE, 'apt install ./')}", DEBIAN_FRONTEND="noninteractive")


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
    upgrade(host, second, desk)
    nothing_lies_open(host)
    if not host.booted:
        pytest.skip("all was played, but systemd does not boot here: the units' settings were applied by hand")


def directory_is_set_up(host: DebianHost) -> None:
    """The package, a new directory, TLS, roles."""
    installed(host)
    assert host.tries("systemctl is-enabled piactl-nightly.timer").stdout != "enabled\n"
    said = host.root(block(PAGE, "apt install slapd"), DEBIAN_FRONTEND="noninteractive")
    assert "Keep a copy of /etc/piactl/secrets/keys OFF this host" in said
    host.root(f"mkdir /root/tls; cd /root/tls; {PRIVATE_KEY}{SIGN}{TRUST}{SERVE}")
    host.root("sed -i 's#^  servers: .*#  servers: [\"ldaps://ldap1.example.org\"]#' /etc/piactl/piactl.yaml")
    host.root("for who in anne vera ope hr; do useradd -m $who; done")
    host.root(block(PAGE, "piactl doctor   ", PERSON="anne"))
    host.root("gpasswd -a vera piactl-approver; gpasswd -a ope piactl-desk")
    if host.booted:
        host.root("kill -9 $(pidof slapd); for try in $(seq 100); do sleep 0.1; ! piactl status || exit 0; done; exit 1")


def first_load(host: DebianHost, day: date) -> None:
    """One member of staff has an entry already, and is adopted; the others are created."""
    host.root(block(PAGE, "HR=root; chown", root="hr").partition("systemctl")[0])
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
    deliver(host, day)
    done = host.night(block(PAGE, "HR=root; chown", root="hr"))
    assert done.returncode == Exit.DONE, done
    assert host.root("ls /srv/piactl/feeds") == ""
    assert len(host.root("ls /srv/piactl/applied").split()) == 2


def second_host(hosts: Network) -> DebianHost:
    """It has an identity of its own for its nights."""
    [first] = hosts.hosts
    first.root(f"cd /root; {block(PAGE, 'host=HOST', HOST='second')}")
    host = hosts.host("second")
    installed(host)
    trusted(host)
    host.root(block(PAGE, "first=", HOST="second"))
    assert errors(host) == set()
    done = host.night(block(PAGE, "HR=root; chown"))
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
    host.root(block(page, "piactl doctor"))

    told = (TOP / "docs" / page).read_text(encoding="utf-8").partition("## Set up on")[0]
    commands = re.findall(r"`(piactl (?!match)[^`]+)`", told)
    assert len(commands) == 10
    named = {"ACCOUNT": CLAIRE, "SERVICE": "messagerie", "TEXT": "appel", "NAME": "dubreuil", "REQUEST": "x"}
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
    way_on = "They type, on a host with the identity administrator, such as that of the nights (group piactl-admin): "
    done = host.types("ope", "piactl", *lock)
    assert done.returncode == Exit.CONFIGURATION, done
    assert f"{way_on}{shlex.join(['piactl', *lock])}\n" in done.stderr, done
    return host


def bad_night(host: DebianHost, day: date) -> None:
    """What HR sent is looked at, the second person approves, an administrator applies, as printed."""
    host.root("printf 'approvals:\n  required: [{refused: any}]\n' >>/etc/piactl/policy.yaml")
    deliver(host, day, ended=25)
    done = host.night()
    assert done.returncode == Exit.FEED_REFUSED, done
    if host.booted:
        log = "journalctl --sync; journalctl -q -o cat -t piactl -p alert"
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
    host.root(f"cd /root; {block('restore.md', '(umask')}")
    assert host.types("anne", *lock).returncode == Exit.DONE
    host.root(f"cd /root; {block('restore.md', 'systemctl stop slapd')}")
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


def upgrade(*hosts: DebianHost) -> None:
    """To a package with a higher version; the settings of the site and the timer stay."""
    for host in hosts:
        host.root(
            """cd /root; dpkg-deb -R piactl_*.deb next; sed -i 's/^Version: .*/&+1/' next/DEBIAN/control
            rm piactl_*.deb; dpkg-deb -b next . >/dev/null; rm -r next"""
        )
        before = host.root(r"find /etc/piactl /etc/systemd -type f -exec sha256sum {} + | sort")
        installed(host)
        assert host.root("dpkg-query -f '${Version}' -W piactl").endswith("+1")
        assert host.root(r"find /etc/piactl /etc/systemd -type f -exec sha256sum {} + | sort") == before
        host.root("piactl doctor")
    nights, *_ = hosts
    done = nights.types("anne", "piactl", "plan")
    assert (done.returncode, "nothing to do" in done.stdout) == (Exit.DONE, True), done
    if nights.booted:
        assert nights.root("systemctl is-enabled piactl-nightly.timer") == "enabled\n"
        assert nights.root("systemctl is-active piactl-nightly.timer") == "active\n"
    assert nights.night().returncode == Exit.DONE


def nothing_lies_open(host: DebianHost) -> None:
    """No file that everybody may read, and no line of the journal of the system, has a secret."""
    secrets = "\n".join(host.secrets().values()).split()
    script = """cd /root; umask 077; cat >secrets
    find / -xdev -type f -perm -o=r -newer /etc/hostname -print0 | xargs -0 grep -lFf secrets || true
    ! journalctl -q 2>/dev/null | grep -Ff secrets; rm secrets"""
    done = host.types("root", "bash", "-euc", script, stdin="\n".join(word for word in secrets if len(word) > 20))
    assert (done.returncode, done.stdout) == (0, ""), done
