"""`new-directory` and TLS on a host whose slapd is just installed. All of the set-up: test_played_host.py.

The host has a file system and a network of its own. No systemd runs there: a script starts and ends slapd as
its unit does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.story.academy import Academy

from .command_cases import load
from .pages import block, blocks
from .unix_host import EXAMPLES, Host, unix_host

pytestmark = pytest.mark.long

BASE = "ou=ac-lille,dc=ac-lille,dc=fr"
FRESH = """
mount -t tmpfs tmpfs /run; install -d -o openldap -g openldap /run/slapd; mkdir -p /var/backups
rm -rf /srv/piactl/feeds/* /etc/piactl/*.* /etc/piactl/secrets/* /etc/ldap/slapd.d /var/lib/ldap/*
cat > /usr/bin/systemctl <<'END'
#!/bin/sh
ended() { pid=$(cat /run/slapd/slapd.pid 2>/dev/null) || return 0
    kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done; }
[ ! -e /run/fails ] || exit 1
case "$*" in
"stop slapd") ended ;;
"start slapd" | "restart slapd")
    ended; . /etc/default/slapd; slapd -h "$SLAPD_SERVICES" -u openldap -g openldap -F /etc/ldap/slapd.d ;;
esac
END
chmod 755 /usr/bin/systemctl
"""
PACKAGED = """
install -d /etc/ldap/slapd.d
slapadd -n 0 -F /etc/ldap/slapd.d <<'END'
dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: dc=nodomain
olcDbDirectory: /var/lib/ldap
END
printf '%s\\n' 'dn: dc=nodomain' 'objectClass: organization' 'objectClass: dcObject' 'o: n' 'dc: nodomain' |
    slapadd -n 1 -F /etc/ldap/slapd.d
chown -R openldap: /etc/ldap/slapd.d /var/lib/ldap
"""
STATE = "find /etc/ldap /etc/piactl /var/lib/ldap -printf '%p %m %u %s %T@\\n' | sort"


@pytest.fixture
def host(academy: Academy) -> Iterator[Host]:
    load(academy)
    with unix_host(academy) as host:
        host.root(FRESH)
        try:
            yield host
        finally:
            host.root("rm -f /run/fails; systemctl stop slapd")


def errors(host: Host) -> set[str]:
    """The checks of doctor, as root, that find an error. The access log must be read."""
    found = [line.split("\t") for line in host.root("piactl doctor -o tsv || [ $? = 1 ]").splitlines()]
    assert [line[3] for line in found if line[0] == "D51"] == ["ok"]
    return {line[0] for line in found if line[3] == "error"}


def new_directory(host: Host, *words: str) -> tuple[int, str]:
    done = host.root(
        f"{EXAMPLES}/new-directory {' '.join(words)} 2>&1 </dev/null && echo '[0]' || echo \"[$?]\""
    )
    text, _, code = done.rstrip("]\n").rpartition("[")
    return int(code), text


def test_a_new_directory_is_set_up_beside_what_is_there_and_can_be_started_again(host: Host) -> None:
    host.root(PACKAGED)
    before = host.root(STATE)
    for wrong, why in {
        "ou=ac-lille,dc=ac-lille,dc=fr dc=other": "is not below dc=other",
        "cn=ac-lille,dc=ac-lille,dc=fr": "not others",
        "ou=ac-lille": "what is the suffix",
        f"{BASE} dc=fr portal": "portal is not an IPv4 address",
    }.items():
        code, said = new_directory(host, wrong)
        assert (code, why in said) == (1, True), said
    assert host.root(STATE) == before

    host.root("touch /run/fails")
    code, said = new_directory(host, BASE)
    assert code == 1
    assert host.root("slapcat -n 1").startswith("dn: dc=nodomain"), "the server is as it was"
    secrets = host.secrets()
    host.root("rm /run/fails")
    code, said = new_directory(host, BASE)
    assert code == 0, said
    assert host.secrets() == secrets, "what an interrupted start made is kept"
    assert "What the package had made is in /var/backups/slapd-before-piactl." in said
    assert "Keep a copy of /etc/piactl/secrets/keys OFF this host" in said
    assert "piactl doctor" in said
    assert host.root("ls /var/backups/slapd-before-piactl.*").split() == ["data.mdb", "lock.mdb", "slapd.d"]

    # nothing of it stays, and nobody else reads a password or a hash of one
    left = host.root("find /etc /var -xdev -name '*new-directory*'; ls -A /var/lib/ldap").split()
    assert left == ["accesslog", "data.mdb", "lock.mdb"]
    assert not host.root(
        "find /etc/ldap /var/lib/ldap /etc/piactl -type f -perm /o=r -exec grep -l SSHA {} +  || true"
    )
    assert not any(secret in said for secret in secrets.values())

    # root administers the directory, and piactl works in it
    host.root(f"""ldapadd -Q -Y EXTERNAL -H ldapi:/// <<'END'
dn: ou=of the site,{BASE}
objectClass: organizationalUnit
END""")
    assert errors(host) <= {"D50", "D53"}, "there is no syslog, and a rule of the tests"
    assert host.service("piactl", "nightly").returncode == 0

    code, said = new_directory(host, BASE)
    assert code == 0, said
    assert "none, they were there" in said
    assert host.secrets() == secrets
    assert "of the site" in host.root(f"slapcat -b dc=ac-lille,dc=fr -s '{BASE}'")
    host.root("mv /etc/piactl/secrets/keys /srv/keys")
    code, said = new_directory(host, BASE)
    assert (code, "keys is gone, and the directory relies on it" in said) == (1, True), said
    code, said = new_directory(host, "ou=ac-amiens,dc=ac-lille,dc=fr")
    assert (code, "several databases" in said) == (1, True), said


def test_a_new_directory_for_a_slapd_without_a_configuration(host: Host) -> None:
    """After `piactl init`, whose files it keeps."""
    said = host.root("piactl init 2>&1")
    assert "/etc/piactl/secrets/reader, nightly, desk, administrator and approver" in said
    listed = host.root("find /etc/piactl -type f -printf '%m %u %g %P\\n' | sort")
    assert listed.split("\n")[:-1] == [
        "600 piactl piactl secrets/keys",
        *(f"640 root piactl {name}" for name in ("establishments.csv", "piactl.yaml", "policy.yaml")),
    ]
    keys = host.secrets()
    code, said = new_directory(host, "ou=ac-amiens,ou=education,o=gouv,c=fr", "o=gouv,c=fr", "192.0.2.10")
    assert code == 0, said
    assert "/var/backups" not in said
    assert host.secrets().items() > keys.items()
    assert host.root("ls /var/backups | grep before-piactl || true") == ""
    rules = host.root("slapcat -n 0 -o ldif-wrap=no")
    assert 'by peername.ip=192.0.2.10 break by peername.path="/var/run/slapd/ldapi"' in re.sub(
        r" +", " ", rules
    )


# ---- back up and restore


def test_the_restore_of_the_page_needs_its_copy(host: Host) -> None:
    """Without it the server goes on as it is; with it, what is there is moved aside first."""
    code, said = new_directory(host, "ou=ac-amiens,ou=education,o=gouv,c=fr", "o=gouv,c=fr")
    assert code == 0, said
    page = "administration.md"
    restore = block(page, "copy=", **{"2026-11-30": "$(date +%F)"})
    entries = "slapcat -b o=gouv,c=fr | grep -c ^dn:"
    number = host.root(entries)
    answers = "ldapsearch -Q -LLL -Y EXTERNAL -H ldapi:/// -b o=gouv,c=fr -s base 1.1"
    database = "cd /var/lib/ldap; sha256sum data.mdb; ls -A"
    before = host.root(database)
    assert host.tries(restore).returncode != 0
    assert host.root(f"{answers}; {database}").endswith(before)

    host.root(f"mkdir -p /etc/cron.d; {block(page, 'install -d -m 0700 /var/backups')}")
    # as cron takes the line
    host.root(r"sed 's/^[^a-z]*root //; s/\\%/%/g' /etc/cron.d/piactl-backup | sh -e")
    assert host.root("stat -c '%a %U' /var/backups/piactl/*").split() == ["600", "root"]
    for times in (1, 2):
        host.root(restore)
        assert host.root(entries) == number
        assert len(host.root("ls -d /var/lib/ldap/before.*/data.mdb").split()) == times
    assert "dn: o=gouv,c=fr" in host.root(answers)
    assert host.root("find /var/lib/ldap ! -user openldap") == ""


# ---- TLS


BINDS = """
import ldap3, sys
server = ldap3.Server("ldap1.example.org", 636, use_ssl=True, tls=ldap3.Tls(
    validate=2, ca_certs_file="/etc/ssl/certs/ca-certificates.crt"))
dn, password = sys.stdin.read().splitlines()
for address in ("127.0.0.1", "192.0.2.10"):
    connection = ldap3.Connection(server, dn, password, source_address=address)
    print(address, connection.bind())
    connection.unbind()
"""


def test_the_page_about_tls_and_the_portal_behind_haproxy(host: Host) -> None:
    """Each block of the page, and who is let in with an activation password: the portal alone."""
    serve, private_key, sign, trust, renew, haproxy, behind = blocks("tls.md")
    behind = behind.replace("ldaps:/// ", "")  # HAProxy has that port on this host
    code, said = new_directory(host, BASE, "dc=ac-lille,dc=fr", "192.0.2.10")
    assert code == 0, said
    host.root(
        "echo 127.0.0.1 ldap1.example.org >>/etc/hosts; mkdir /srv/tls; cd /srv/tls; "
        "for address in 192.0.2.5 192.0.2.10; do ip address add $address/32 dev lo; done; "
        f"{private_key}{sign}{trust}{serve}"
    )
    host.root("sed -i 's#^  servers: .*#  servers: [\"ldaps://ldap1.example.org\"]#' /etc/piactl/piactl.yaml")
    [found] = [
        line for line in host.root("piactl doctor -o tsv || :").splitlines() if line.startswith("D11\t")
    ]
    assert "certificate verified" in found
    first = host.root("openssl x509 -in /etc/ldap/tls/server.pem -noout -serial")
    host.root(f"cd /srv/tls; {sign}{renew}")
    assert host.root("openssl x509 -in /etc/ldap/tls/server.pem -noout -serial") != first

    person = f"uid=claire,ou=personnels EN,{BASE}"
    host.root(f"""ldapadd -Q -Y EXTERNAL -H ldapi:/// <<'END'
dn: {person}
objectClass: inetOrgPerson
cn: Claire
sn: Claire
userPassword: quatre chats gris
pwdReset: TRUE
END""")

    def let_in() -> str:
        return host.root(
            f"printf '%s\\n' '{person}' 'quatre chats gris' | /opt/piactl/bin/python -I -c '{BINDS}'"
        )

    assert let_in() == "127.0.0.1 False\n192.0.2.10 True\n"
    # the portal may be on this host: slapd calls its socket /var/run/slapd/ldapi, whatever the client says
    socket = "ldapi://%2Frun%2Fslapd%2Fldapi"
    tried = f"ldapwhoami -x -H {socket} -D '{person}' -y /srv/one"
    host.root(f"printf 'quatre chats gris' >/srv/one; {tried}; rm /srv/one")
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not here")
    host.root(f"{behind}cat > /srv/haproxy <<'END'\n{haproxy}END\nhaproxy -D -p /run/haproxy -f /srv/haproxy")
    try:
        assert let_in() == "127.0.0.1 False\n192.0.2.10 True\n"
    finally:
        host.root("kill $(cat /run/haproxy)")
