"""Applications of the distribution with the configurations of examples/consumers, and accounts in each state.

Each is skipped if its package is missing. In the configurations only the ports, folders and certificates are
replaced by those of the test.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import ldap3
import pyotp
import pytest

from tests.conftest import Sandbox
from tests.directory.plain_slapd import free_port
from tests.directory.test_private_ca import HERE, RIGHT_CA, Certificates
from tests.outside import (
    CONSUMERS,
    POLICIES,
    find_software,
    launch,
    socket_uri,
    stop_process,
    utc_now,
    wait_until_answering,
)

from .academy import Academy
from .feeds import row
from .test_groups import grouped
from .test_posix import number, set_posix

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "consumers"
PROGRAMS = ("/usr/sbin", "/usr/bin", "/usr/share/lemonldap-ng/bin")
PASSWORD, WORD = "quatre chats gris et lents", "a long word of an application"
TODAY = utc_now().astimezone(ZoneInfo("Europe/Paris")).date()
"""The server compares starts and ends with its own clock."""


def ahead(days: int) -> str:
    return (TODAY + timedelta(days)).isoformat()


DAY = TODAY.isoformat()
FORMER = {"debut": ahead(-400)}
PEOPLE = {
    "active": FORMER,
    "leave": {**FORMER, "position": "detachement"},
    "grace": {**FORMER, "fin": ahead(-10)},
    "closed": FORMER,
    "coming": {"debut": ahead(10)},
    "locked": FORMER,
    "activated": FORMER,
    "device": FORMER,
    "denied": FORMER,
}
"""The posts of the people of the test; each has the account UID.essai."""
LETS_IN = {"active", "leave", "grace"}
SECRET = b"twenty bytes of a key"


def program(name: str, package: str) -> str:
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *PROGRAMS)))
    if path is None:
        pytest.skip(f"{name} is not here: apt install {package}")
    return path


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("it starts as root and changes to its own user")


@dataclass
class Site:
    """A directory by ldaps with people in each state, and a folder for an application."""

    academy: Academy
    sandbox: Sandbox
    port: int
    ca: Path
    folder: Path

    def application(self, name: str) -> None:
        entry = {"objectClass": ["applicationProcess", "simpleSecurityObject"], "userPassword": WORD}
        self.sandbox.add(f"cn={name},{CONSUMERS}", {**entry, "pwdPolicySubentry": f"cn=services,{POLICIES}"})

    def example(self, name: str, **places: str) -> str:
        """A file of examples/consumers in which the places of the test replace those of a host."""
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        standard_places = {
            "ldap.example.org": f"127.0.0.1:{self.port}",
            "/etc/ssl/certs/ldap-ca.pem": str(self.ca),
        }
        for old, new in {**standard_places, **places}.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def code(self) -> str:
        return pyotp.TOTP(base64.b32encode(SECRET).decode()).now()

    def lock(self, uid: str) -> None:
        """Locks the account now, while the application runs."""
        ran = self.academy.run("account", "lock", uid, "--reason", "essai", "--as-of", DAY)
        assert ran.code == 0, ran.err

    def deny(self, uid: str, service: str) -> None:
        words = ("exception", "deny", uid, "--service", service, "--until", ahead(20), "--as-of", DAY)
        ran = self.academy.run(*words, "--reason", "essai")
        assert ran.code == 0, ran.err

    def grant_again(self, uid: str, service: str) -> None:
        ran = self.academy.run(
            "exception", "end", uid, "--service", service, "--as-of", DAY, "--reason", "essai"
        )
        assert ran.code == 0, ran.err


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("ca"))
    made.ca("right", *RIGHT_CA)
    made.signed("server", "right", HERE)
    return made


@pytest.fixture
def site(make_academy: Callable[..., Academy], ca: Certificates, tmp_path: Path) -> Iterator[Site]:
    academy = make_academy(after=populated)
    with over_tls(academy.sandbox, ca) as port, readable(ca) as place:
        yield Site(academy, academy.sandbox, port, place, tmp_path)


@contextmanager
def readable(ca: Certificates) -> Iterator[Path]:
    """The certificate of the CA in a place that the users of applications may read."""
    place = Path("/tmp") / f"piactl-consumers-{os.getpid()}.pem"
    shutil.copyfile(ca.folder / "right.pem", place)
    place.chmod(0o644)
    try:
        yield place
    finally:
        place.unlink()


@contextmanager
def over_tls(sandbox: Sandbox, ca: Certificates, portal: str = "192.0.2.10") -> Iterator[int]:
    """Runs the server of the sandbox also by ldaps, with the portal at another address; yields the port."""
    sandbox.stop()
    inner, port = sandbox.folder / "slapd", free_port()
    conf = inner / "slapd.conf"
    text = conf.read_text(encoding="utf-8").replace("peername.ip=127.0.0.1", f"peername.ip={portal}")
    keys = "".join(
        f"TLSCertificate{kind} {ca.folder / 'server'}.{end}\n"
        for kind, end in (("File", "pem"), ("KeyFile", "key"))
    )
    conf.write_text(keys + text, encoding="utf-8")
    listen = f"{socket_uri(sandbox.socket)} ldaps://127.0.0.1:{port}/"
    command = [str(find_software().slapd), "-f", str(conf), "-h", listen, "-d", "none"]
    process = launch(command, inner / "log.txt")
    try:
        wait_until_answering(process, sandbox.socket, inner / "log.txt")
        yield port
    finally:
        stop_process(process)


def populated(academy: Academy) -> Academy:
    """An academy with groups, and an account in each state, all with the same password."""
    grouped(academy)
    rows = [
        row(matricule=str(3000 + n), prenom=name.capitalize(), nom_famille="Essai", **values)
        for n, (name, values) in enumerate(PEOPLE.items())
    ]
    for day in (ahead(-11), DAY):
        academy.night(day, academy.feed(*rows, day=day))
    states = {name: academy.values(f"{name}.essai", "piactlState") for name in ("leave", "grace", "coming")}
    assert states == {"leave": ["on-leave"], "grace": ["grace"], "coming": ["anticipated"]}
    for name in PEOPLE:
        academy.change(f"{name}.essai", userPassword=[PASSWORD])
        academy.change(f"{name}.essai", pwdReset=[])  # as if the owner had chosen the password
    for words in (
        ("account", "lock", "locked.essai"),
        ("account", "close", "closed.essai", "--until", ahead(20)),
    ):
        ran = academy.run(*words, "--as-of", DAY, "--reason", "essai")
        assert ran.code == 0, ran.err
    assert academy.values("closed.essai", "piactlState") == ["deactivated"]
    academy.change("activated.essai", pwdReset=["TRUE"], pwdPolicySubentry=[f"cn=activation,{POLICIES}"])
    token = f"cn=otp,{academy.dn('device.essai')}"
    device = {
        "objectClass": ["piactlRecord", "oathTOTPToken", "oathTOTPParams"],
        "oathTOTPParams": token,
        "oathOTPLength": 6,
        "oathHMACAlgorithm": "1.2.840.113549.2.7",
        "oathTOTPTimeStepPeriod": 30,
        "oathTOTPTimeStepWindow": 1,
        "oathTOTPLastTimeStep": 1,
        "oathSecret": SECRET,
    }
    academy.sandbox.add(token, device)
    with academy.sandbox.root() as root:
        changes = {"objectClass": [(ldap3.MODIFY_ADD, ["oathTOTPUser"])]}
        root.modify(academy.dn("device.essai"), {**changes, "oathTOTPToken": [(ldap3.MODIFY_ADD, [token])]})
    return academy


Login = Callable[[str, str], bool]


def each_state(site: Site, login: Login, service: str) -> None:
    """Checks who can log in, in each state; a lock, and a right that ends or begins, count at once."""
    site.deny("denied.essai", service)
    let_in = {name for name in PEOPLE if login(f"{name}.essai", PASSWORD)}
    expected = LETS_IN if service == "messagerie" else LETS_IN - {"grace"}
    assert let_in == expected
    assert login("device.essai", PASSWORD + site.code())
    assert not login("active.essai", PASSWORD + "x")
    assert not login("active.essai", "")
    assert not login("nobody.essai", PASSWORD)
    assert not login("*", PASSWORD)
    site.grant_again("denied.essai", service)
    assert login("denied.essai", PASSWORD)
    site.deny("denied.essai", service)
    assert not login("denied.essai", PASSWORD)
    site.lock("active.essai")
    assert not login("active.essai", PASSWORD)


@contextmanager
def running(command: list[str], ready: Callable[[], object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program in the foreground and stops it by its pid; tries `ready` until it raises no OSError."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                ready()
                break
            except OSError:
                assert process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def connects(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


# Apache


APACHE = """
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{folder}/apache.pid"
ErrorLog "{folder}/apache.log"
DocumentRoot "{folder}/www"
{user}
{modules}
<Directory "{folder}/www">
Require all granted
</Directory>
"""
_APACHE_MODULES = "mpm_event authn_core authz_core authz_user auth_basic ldap authnz_ldap"


@contextmanager
def apache(site: Site, changes: dict[str, str] | None = None) -> Iterator[Login]:
    """Runs Apache with examples/consumers/apache.conf and `changes` of it."""
    binary = program("apache2", "apache2")
    site.application("apache")
    folder = Path("/tmp") / f"piactl-apache-{os.getpid()}"
    with ExitStack() as stack:
        folder.mkdir()
        stack.callback(shutil.rmtree, folder)
        (folder / "www" / "iprof").mkdir(parents=True)
        (folder / "www" / "iprof" / "index").write_text("here")
        secret = folder / "ldap.password"
        secret.write_text(WORD)
        port = free_port()
        places = {"/etc/apache2/ldap.password": str(secret), **(changes or {})}
        modules = "".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
            for name in _APACHE_MODULES.split()
        )
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        head = APACHE.format(folder=folder, port=port, modules=modules, user=user)
        conf = folder / "apache.conf"
        conf.write_text(head + site.example("apache.conf", **places), encoding="utf-8")
        command = [binary, "-f", str(conf), "-DFOREGROUND"]

        def login(name: str, password: str) -> bool:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/iprof/index")
            pair = base64.b64encode(f"{name}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return bool(answer.read() == b"here")
            except urllib.error.HTTPError as refused:
                if refused.code != 401:
                    raise AssertionError((folder / "apache.log").read_text()) from refused
                return False

        with running(command, lambda: connects(port), folder / "out.txt"):
            yield login


def test_apache(site: Site) -> None:
    with apache(site) as login:
        each_state(site, login, "iprof")


def test_apache_checks_the_right_instead_of_the_group(site: Site) -> None:
    group = "Require ldap-group cn=service:iprof,ou=groupes,ou=ac-amiens,ou=education,o=gouv,c=fr"
    with apache(site, {group: "", "# Require ldap-filter": "Require ldap-filter"}) as login:
        each_state(site, login, "iprof")


def test_with_its_cache_apache_lets_in_locked_accounts(site: Site) -> None:
    """This is why the example turns the cache off."""
    with apache(site, {"LDAPCacheEntries 0\n": "", "LDAPOpCacheEntries 0\n": ""}) as login:
        assert login("active.essai", PASSWORD)
        site.lock("active.essai")
        assert login("active.essai", PASSWORD)


# Dovecot


DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
mail_driver = maildir
mail_path = {folder}/mail
protocols = imap
ssl = no
auth_allow_cleartext = yes
auth_failure_delay = 0
service imap-login {{
  inet_listener imap {{
    listen = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def test_dovecot(site: Site) -> None:
    as_root()
    binary = program("dovecot", "dovecot-imapd dovecot-ldap")
    site.application("dovecot")
    folder = Path("/tmp") / f"piactl-dovecot-{os.getpid()}"
    port = free_port()
    mail = pwd.getpwnam("nobody")
    with ExitStack() as stack:
        folder.mkdir()
        stack.callback(shutil.rmtree, folder)
        (folder / "mail").mkdir()
        text = site.example(
            "dovecot.conf",
            **{
                "ldap_auth_dn_password = EDIT": f"ldap_auth_dn_password = {WORD}",
                "uid = vmail": f"uid = {mail.pw_uid}",
                "gid = vmail": f"gid = {mail.pw_gid}",
                "/var/mail/vhosts": f"{folder}/mail",
            },
        )
        conf = folder / "dovecot.conf"
        versions = re.match(r"(#.*\n|\n)*dovecot_config_version.*\ndovecot_storage_version.*\n", text)
        assert versions is not None
        conf.write_text(versions[0] + DOVECOT.format(folder=folder, port=port) + text[versions.end() :])
        conf.chmod(0o600)

        def login(name: str, password: str) -> bool:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as imap:
                stream = imap.makefile("rwb")
                stream.readline()
                literal = f'a LOGIN "{name}" "{password}"\r\n'
                stream.write(literal.encode())
                stream.flush()
                answer = next(line for line in stream if line.startswith(b"a "))
                assert b"[UNAVAILABLE]" not in answer, (folder / "dovecot.log").read_text()
                return answer.startswith(b"a OK")

        with running([binary, "-F", "-c", str(conf)], lambda: connects(port), folder / "out.txt"):
            each_state(site, login, "messagerie")
            assert login("leave.essai@ac-amiens.fr", PASSWORD)


# FreeRADIUS


RADIUS = """
prefix = /usr
logdir = {folder}
raddbdir = {folder}
cadir = {folder}
run_dir = {folder}
libdir = /usr/lib/freeradius
pidfile = {folder}/radius.pid
max_request_time = 30
max_requests = 1024
thread pool {{
  start_servers = 2
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 2
}}
client localhost {{
  ipaddr = 127.0.0.1
  secret = testing
}}
modules {{
  $INCLUDE {folder}/ldap
  $INCLUDE {folder}/eap
  always reject {{
    rcode = reject
  }}
}}
$INCLUDE {folder}/site
"""


EAPOL = """
network={{
  ssid="academie"
  key_mgmt=WPA-EAP
  eap=TTLS
  phase2="auth=PAP"
  ca_cert="{ca}"
  anonymous_identity="anonymous"
  identity="{name}"
  password="{password}"
}}
"""


@pytest.mark.parametrize("eap", [False, True])
def test_freeradius(site: Site, ca: Certificates, eap: bool) -> None:
    """With Debian's eap module it takes TTLS with PAP, and without it PAP alone."""
    binary = program("freeradius", "freeradius freeradius-ldap")
    client = program("eapol_test", "eapoltest") if eap else program("radclient", "freeradius-utils")
    site.application("freeradius")
    folder, port = site.folder / "radius", free_port()
    folder.mkdir()
    (folder / "ldap").write_text(
        site.example("freeradius-ldap", **{"password = EDIT": f"password = '{WORD}'"})
    )
    module = Path("/etc/freeradius/3.0/mods-available/eap").read_text(encoding="utf-8") if eap else ""
    for old, new in (
        ("/etc/ssl/private/ssl-cert-snakeoil.key", "server.key"),
        ("/etc/ssl/certs/ssl-cert-snakeoil.pem", "server.pem"),
        ("/etc/ssl/certs/ca-certificates.crt", "right.pem"),
    ):
        assert old in module or not eap
        module = module.replace(old, str(ca.folder / new))
    (folder / "eap").write_text(module)
    text = (EXAMPLES / "freeradius-site").read_text(encoding="utf-8")
    (folder / "site").write_text(text.replace("port = 1812", f"port = {port}"))
    (folder / "radiusd.conf").write_text(RADIUS.format(folder=folder))

    def login(name: str, password: str) -> bool:
        request = f'User-Name = "{name}", User-Password = "{password}"\n'
        command = [client, "-r", "1", "-t", "20", f"127.0.0.1:{port}", "auth", "testing"]
        if eap:
            (folder / "network").write_text(EAPOL.format(ca=site.ca, name=name, password=password))
            command = [client, "-c", str(folder / "network"), "-a", "127.0.0.1", "-p", str(port)]
            command += ["-s", "testing", "-t", "20"]
        done = subprocess.run(command, input=request.encode(), capture_output=True, check=False, timeout=30)
        out = done.stdout.decode(errors="replace")
        assert eap or "Access-" in out or "Received" in out, out + done.stderr.decode()
        return out.endswith("SUCCESS\n") if eap else "Access-Accept" in out

    def ready() -> None:
        if "Ready to process requests" not in (folder / "out.txt").read_text(errors="replace"):
            raise ConnectionRefusedError

    command = [binary, "-f", "-X", "-d", str(folder)]
    with running(command, ready, folder / "out.txt"):
        each_state(site, login, "messagerie")


# LemonLDAP::NG


LEMONLDAP = """
[all]
logLevel = notice
[configuration]
type = File
dirName = {folder}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'conf', 'cache_root' => '{folder}/cache', 'cache_depth' => 1 }}
[portal]
templateDir = /usr/share/lemonldap-ng/portal/templates
languages = en, fr
"""
TOOL = 'tool="/usr/share/lemonldap-ng/bin/lemonldap-ng-sessions"'
SERVICE = "https://iprof.example.org/"
USED = ("conf", "cache", "sessions/lock", "psessions/lock")


@dataclass
class Portal:
    """A portal of LemonLDAP::NG; each request is that of a browser without cookies."""

    port: int

    def ask(self, path: str, session: str = "", **form: str) -> tuple[str, dict[str, Any]]:
        """The address to which the answer redirects the browser, and its JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Cookie": f"lemonldap={session}"} if session else {}
        if form:
            headers |= {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(form) if form else None
        connection.request("POST" if form else "GET", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.getheader("Location") or "", json.loads(text) if text.startswith("{") else {
            "text": text
        }

    def session(self, name: str, password: str, **form: str) -> str:
        """The session of somebody who logs in; "" if they are refused."""
        return str(self.ask("/", user=name, password=password, **form)[1].get("id", ""))

    def asks(self, session: str) -> bool:
        """Whether the portal asks for name and password."""
        return 'name="password"' in self.ask("/", session)[1]["text"]

    def ticket(self, session: str) -> str:
        """A CAS ticket for I-Prof; "" if the session gets none."""
        path = "/cas/login?" + urllib.parse.urlencode({"service": SERVICE})
        return self.ask(path, session)[0].partition("ticket=")[2]

    def login(self, name: str, password: str) -> bool:
        session = self.session(name, password)
        return bool(session and self.ticket(session))


@contextmanager
def lemonldap(site: Site) -> Iterator[Portal]:
    """Runs the portal with examples/consumers/lemonldap-ng.json on top of the package's configuration."""
    plackup = program("plackup", "lemonldap-ng")
    shipped = Path("/var/lib/lemonldap-ng/conf/lmConf-1.json")
    if not shipped.is_file():
        pytest.skip("there is no configuration of LemonLDAP::NG: apt install lemonldap-ng")
    site.application("lemonldap")
    folder, port = site.folder / "lemonldap", free_port()
    for name in USED:
        (folder / name).mkdir(parents=True)
    places = {
        kind: {"Directory": f"{folder}/{name}", "LockDirectory": f"{folder}/{name}/lock"}
        for kind, name in (("globalStorageOptions", "sessions"), ("persistentStorageOptions", "psessions"))
    }
    settings = {
        **json.loads(shipped.read_text(encoding="utf-8")),
        **json.loads(site.example("lemonldap-ng.json", **{'"EDIT"': json.dumps(WORD)})),
        **places,
        "localSessionStorageOptions": {"namespace": "sessions", "cache_root": f"{folder}/cache"},
        "portal": f"http://127.0.0.1:{port}/",
        "domain": "127.0.0.1",
        "locationRules": {f"127.0.0.1:{port}": {"default": "accept"}},
        "exportedHeaders": {},
        # the test has no browser that would keep the token of a form
        "requireToken": 0,
    }
    (folder / "conf" / "lmConf-1.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "lemonldap-ng.ini").write_text(LEMONLDAP.format(folder=folder), encoding="utf-8")
    (folder / "portal.psgi").write_text("use Lemonldap::NG::Portal; Lemonldap::NG::Portal->run({});\n")
    listen = ["--host", "127.0.0.1", "--port", str(port), "-E", "deployment"]
    set_ini = ["env", f"LLNG_DEFAULTCONFFILE={folder}/lemonldap-ng.ini"]
    with running(
        [*set_ini, plackup, *listen, str(folder / "portal.psgi")], lambda: connects(port), folder / "out.txt"
    ):
        yield Portal(port)


def test_lemonldap_and_its_cas(site: Site) -> None:
    with lemonldap(site) as portal:
        session = portal.session("leave.essai", PASSWORD)
        query = urllib.parse.urlencode({"service": SERVICE, "ticket": portal.ticket(session)})
        answer = portal.ask(f"/cas/p3/serviceValidate?{query}")[1]["text"]
        assert "<cas:user>leave.essai</cas:user>" in answer
        assert "<cas:mail>leave.essai@ac-amiens.fr</cas:mail>" in answer
        assert portal.session("grace.essai", PASSWORD)  # logs in to the portal, not to I-Prof
        goes_on = portal.session("active.essai", PASSWORD)
        each_state(site, portal.login, "iprof")
        # active.essai is locked now; without the hook its earlier session gets tickets until it ends
        assert portal.ticket(goes_on)


def test_a_lock_ends_the_sessions_of_lemonldap(site: Site) -> None:
    tool = program("lemonldap-ng-sessions", "lemonldap-ng")
    hook = site.folder / "end-lemonldap-sessions"
    text = (EXAMPLES.parent / "hooks" / hook.name).read_text(encoding="utf-8")
    with lemonldap(site) as portal:
        ini = site.folder / "lemonldap" / "lemonldap-ng.ini"
        owner = pwd.getpwuid(os.geteuid()).pw_name
        own = f"env LLNG_DEFAULTCONFFILE={ini} {tool} --user {owner} --group {owner}"
        assert text.count(TOOL) == 1
        hook.write_text(text.replace(TOOL, f'tool="{own}"'), encoding="utf-8")
        hook.chmod(0o755)
        line = f"hooks: {{changes: [{{kinds: [lock], run: [{hook}], seconds: 60}}]}}\n"
        site.academy.edit("piactl.yaml", "state_folder: state\n", f"state_folder: state\n{line}")
        sessions = [portal.session(f"{name}.essai", PASSWORD) for name in ("active", "active", "leave")]
        assert not any(map(portal.asks, sessions))
        assert portal.ticket(sessions[0])
        site.lock("active.essai")
        assert [portal.asks(session) for session in sessions] == [True, True, False]
        assert [bool(portal.ticket(session)) for session in sessions] == [False, False, True]


def test_lemonldap_as_the_portal_replaces_activation_passwords(
    make_academy: Callable[..., Academy], ca: Certificates, tmp_path: Path
) -> None:
    academy = make_academy(after=populated)
    fresh = "trois souris vertes et rapides"
    with over_tls(academy.sandbox, ca, portal="127.0.0.1") as port, readable(ca) as place:
        site = Site(academy, academy.sandbox, port, place, tmp_path)
        with lemonldap(site) as portal:
            name = "activated.essai"
            assert not portal.session(name, PASSWORD)
            new = {"oldpassword": PASSWORD, "newpassword": fresh, "confirmpassword": fresh}
            changed = 35
            assert portal.ask("/", user=name, **new)[1]["error"] == changed
            assert portal.session(name, fresh)
            assert "pwdReset" not in academy.entry(name)
            assert portal.login(name, fresh)


# sssd


SSSD = """
set -e
for place in /var/lib/sss /var/log/sssd /etc/sssd /run; do
  mkdir -p $place
  mount -t tmpfs tmpfs $place
done
cd /var/lib/sss
mkdir -p db mc pipes/private pubconf/krb5.include.d deskprofile gpo_cache secrets keytabs
cp {folder}/sssd.conf /etc/sssd/sssd.conf
chmod 600 /etc/sssd/sssd.conf
mount --bind {folder}/pam.d /etc/pam.d
mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf
exec {sssd} -i --logger=stderr
"""
"""It runs in its own mount namespace, because the folders of sssd are built in."""
UNIX_GROUP = "cn=unix-iprof,ou=groupes,ou=ac-amiens,ou=education,o=gouv,c=fr"


@dataclass
class UnixHost:
    """What the programs of a host see through sssd."""

    pid: int

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        inside = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", *command]
        return subprocess.run(inside, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def look_up(self, table: str, name: str) -> str:
        return self.run("getent", "-s", "sss", table, name).stdout.strip()

    def login(self, name: str, password: str) -> bool:
        """Asks PAM about the password, and whether the account may log in here."""
        words = ("pamtester", "unix", name, "authenticate", "acct_mgmt")
        return self.run(*words, stdin=f"{password}\n").returncode == 0


def with_numbers(academy: Academy) -> Academy:
    set_posix(academy, last=70999)
    populated(academy)
    rights = quote("(eduPersonEntitlement=urn:mace:ac-amiens.fr:service:iprof)", safe="()=:")
    url = f"ldap:///{quote(academy.sandbox.accounts, safe='=,')}??sub?{rights}"
    academy.sandbox.add(
        UNIX_GROUP,
        {"objectClass": ["groupOfURLs", "extensibleObject"], "gidNumber": "71000", "memberURL": url},
    )
    return academy


def test_sssd(make_academy: Callable[..., Academy], ca: Certificates, tmp_path: Path) -> None:
    as_root()
    binary = program("sssd", "sssd-ldap libnss-sss libpam-sss")
    program("pamtester", "pamtester")
    academy = make_academy(after=with_numbers)
    folder = tmp_path / "sssd"
    (folder / "pam.d").mkdir(parents=True)
    (folder / "pam.d" / "unix").write_text("auth required pam_sss.so\naccount required pam_sss.so\n")
    (folder / "nsswitch.conf").write_text("passwd: files sss\ngroup: files sss\n")
    with over_tls(academy.sandbox, ca) as port, readable(ca) as place:
        site = Site(academy, academy.sandbox, port, place, tmp_path)
        site.application("sssd")
        text = site.example("sssd.conf", **{"authtok = EDIT": f"authtok = {WORD}"})
        (folder / "sssd.conf").write_text(text, encoding="utf-8")
        script = SSSD.format(folder=folder, sssd=binary)
        with running(["unshare", "-m", "sh", "-c", script], lambda: None, folder / "out.txt") as process:
            host = UnixHost(process.pid)
            wait_for(lambda: host.look_up("passwd", "active.essai"), folder / "out.txt")
            line = f"active.essai:*:{number(academy, 'active.essai')}:500:Active Essai:/home/active.essai:"
            assert host.look_up("passwd", "active.essai") == f"{line}/bin/bash"
            members = set(host.look_up("group", "unix-iprof").rpartition(":")[2].split(","))
            assert members == {f"{name}.essai" for name in ("active", "leave", "locked", "device", "denied")}
            assert host.run("id", "-G", "leave.essai").stdout == "500 71000\n"
            assert host.run("id", "-G", "grace.essai").stdout == "500\n"
            seen = {name for name in PEOPLE if host.look_up("passwd", f"{name}.essai")}
            assert seen == {*PEOPLE} - {"activated"}
            each_state(site, host.login, "iprof")
        # this is why the example turns paging off: slapd finds nobody in a paged search by member
        of_leave = f"(member={academy.dn('leave.essai')})"
        with academy.sandbox.root() as root:
            for paged, group_found in ((None, True), (100, False)):
                root.search(UNIX_GROUP, of_leave, attributes=["cn"], paged_size=paged)
                assert bool(root.entries) == group_found


def wait_for(answer: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not answer():
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.1)
