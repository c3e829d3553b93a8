"""A slapd for one test, with standard schema only; it is stopped by its pid at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from piactl.core.model.settings import DirectorySettings, Identity, TlsSettings
from piactl.directory.interfaces import RawEntry

SUFFIX = "ou=trial,o=gouv,c=fr"
PEOPLE = f"ou=people,{SUFFIX}"
ROOT = f"cn=root,{SUFFIX}"
CLERK = f"cn=clerk,{SUFFIX}"
PASSWORDS = {"root": b"canary-root-3Kq", "clerk": b"canary-clerk-9Zt", "mistyped": b"canary-wrong-1Xw"}

_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
{tls}
authz-regexp gidNumber=.*\\+uidNumber=.*,cn=peercred,cn=external,cn=auth {root}
{before}
database mdb
maxsize {maxsize}
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/db

index objectClass,uid,cn,entryUUID eq
access to attrs=userPassword by anonymous auth by dn.base="{clerk}" =w
access to * by dn.base="{clerk}" write by * read
{extra}
"""

_LDIF = f"""dn: {SUFFIX}
objectClass: organizationalUnit
ou: trial

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {CLERK}
objectClass: person
cn: clerk
sn: clerk
userPassword: {PASSWORDS["clerk"].decode()}

"""


_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """A port that no other program is given for a long time; slapd can listen on it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    if len(_reserved) > 100:
        _reserved.popleft().close()
    return int(reserved.getsockname()[1])


def person_ldif(number: int, lines: str = "") -> str:
    uid = f"p{number:05d}"
    return f"dn: uid={uid},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: person\n{lines}\n"


class PlainSlapd:
    """One server in `folder`; `start` and `kill` may alternate, and the data stay."""

    def __init__(self, folder: Path, *, people: int = 0, extra: str = "", before: str = "", tls: str = "",
                 maxsize: int = 64 * 1024 * 1024, entries: str = "") -> None:  # fmt: skip
        self.folder = folder
        self.port = free_port()
        self.tls_port = free_port() if tls else 0
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.ldapi = "ldapi://" + quote(str(folder / "ldapi"), safe="")
        self._process: subprocess.Popen[bytes] | None = None
        self._conf = folder / "slapd.conf"
        (folder / "db").mkdir(parents=True)
        text = _CONF.format(folder=folder, root=ROOT, clerk=CLERK, suffix=SUFFIX, maxsize=maxsize, tls=tls,
                            extra=extra, before=before, root_password=PASSWORDS["root"].decode())  # fmt: skip
        self._conf.write_text(text)
        ldif = _LDIF + "\n".join(person_ldif(number) for number in range(people)) + "\n" + entries
        load = ["/usr/sbin/slapadd", "-q", "-f", str(self._conf), "-b", SUFFIX]
        subprocess.run(load, input=ldif.encode(), check=True, capture_output=True, timeout=60)

    def configure(self, old: str, new: str) -> None:
        text = self._conf.read_text()
        assert old in text
        self._conf.write_text(text.replace(old, new))

    def start(self) -> None:
        urls = f"{self.uri}/ {self.ldapi}" + (f" ldaps://127.0.0.1:{self.tls_port}/" if self.tls_port else "")
        command = ["/usr/sbin/slapd", "-d", "0", "-f", str(self._conf), "-h", urls]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert self._process.poll() is None, "slapd ended by itself"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("slapd did not start")

    def kill(self, signal_number: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        os.kill(process.pid, signal_number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def settings(self, *servers: str, tls: TlsSettings = TlsSettings(), connect: int = 2, operation: int = 5,
                 page: int = 500) -> DirectorySettings:  # fmt: skip
        return DirectorySettings(
            servers=servers or (self.uri,),
            suffix=SUFFIX,
            accounts=PEOPLE,
            state=f"ou=state,{SUFFIX}",
            identities={
                "root": Identity(dn=ROOT, password_file="root"),
                "clerk": Identity(dn=CLERK, password_file="clerk"),
                "mistyped": Identity(dn=CLERK, password_file="mistyped"),
                "host": Identity(external=True),
            },
            tls=tls,
            connect_timeout=connect,
            operation_timeout=operation,
            page_size=page,
            in_flight=64,
        )


def password(identity: Identity) -> bytes:
    """The content of the identity's password file in these tests, b"" for EXTERNAL."""
    return b"" if identity.external else PASSWORDS[identity.password_file]


@contextmanager
def running(**options: Any) -> Iterator[PlainSlapd]:
    """A started server. Its folder has a short name, because the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pia") as folder:
        server = PlainSlapd(Path(folder), **options)
        server.start()
        try:
            yield server
        finally:
            server.kill(signal.SIGTERM)


def uids(entries: Iterable[RawEntry]) -> list[str]:
    return sorted(entry.text("uid") for entry in entries)


def own_certificate(folder: Path) -> tuple[TlsSettings, str]:
    """The TLS settings of a client that trusts a server of this host, and lines for the server's settings."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=trial"
    usage = "keyUsage=critical,digitalSignature,keyCertSign"  # the strict check requires it of a CA
    options = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", usage]
    options += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *options], check=True, capture_output=True, timeout=30)
    lines = f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}"
    return TlsSettings(ca_file=str(certificate)), lines


def ways_to_bind(server: PlainSlapd, tls: TlsSettings) -> list[tuple[str, str, TlsSettings]]:
    """The address, identity and TLS settings of each way: in clear, StartTLS, TLS, and as this host."""
    return [
        (server.uri, "clerk", TlsSettings()),
        (server.uri, "clerk", replace(tls, starttls=True)),
        (f"ldaps://127.0.0.1:{server.tls_port}", "clerk", tls),
        (server.ldapi, "host", TlsSettings()),
    ]
