"""Certificates of private CAs, as openssl makes them by default, with a real slapd."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from piactl.clock import utc_now
from piactl.core.model.settings import Identity, PasswordSettings, TlsSettings
from piactl.directory.open import open_reader
from piactl.doctor.facts import Content
from piactl.doctor.servers import Server
from piactl.doctor.servers import answers as doctor_on
from piactl.errors import DirectoryUnreachable
from piactl.host.private_files import write_private

from .plain_slapd import CLERK, PASSWORDS, PlainSlapd, password, running

HERE = "subjectAltName=IP:127.0.0.1,DNS:localhost"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
RIGHT_CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
PLAIN_CA = ("basicConstraints=critical,CA:TRUE",)
"""What `openssl req -x509` puts into a CA with Debian's openssl.cnf, except the identifiers."""
NO_IDENTIFIER = "authorityKeyIdentifier=none"
"""`openssl x509 -req` before 3.2 adds no such identifier by itself; this makes later versions omit it."""
EXPIRED = ("-not_before", "20200101000000Z", "-not_after", "20210101000000Z")


class Certificates:
    """CAs and their certificates in one folder: NAME.pem and NAME.key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ca(self, name: str, *extensions: str) -> None:
        """Makes a self-signed CA with these extensions and the identifiers that openssl adds by itself."""
        lines = "\n".join(("subjectKeyIdentifier=hash", *extensions))
        (self.folder / "ca.cnf").write_text(
            f"[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=v3\n[v3]\n{lines}\n[dn]\nCN={name}\n"
        )
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        self._openssl("req", "-x509", "-config", "ca.cnf", "-days", "2", *KEY, *files)

    def signed(self, name: str, by: str, *extensions: str, dates: tuple[str, ...] = ("-days", "2")) -> None:
        """Makes a certificate that the CA `by` signs."""
        (self.folder / "more.ext").write_text("\n".join(extensions) + "\n")
        self.request(name)
        ca = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial"]
        options = ["-extfile", "more.ext", *dates, "-out", f"{name}.pem"]
        self._openssl("x509", "-req", "-in", "request.pem", *ca, *options)

    def request(self, name: str) -> None:
        """Makes a key and, in request.pem, a certificate request."""
        self._openssl("req", "-subj", f"/CN={name}", *KEY, "-keyout", f"{name}.key", "-out", "request.pem")

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("ca"))
    made.ca("plain", *PLAIN_CA)
    made.ca("right", *RIGHT_CA)
    made.ca("foreign", *PLAIN_CA)
    made.ca("nothing")
    made.signed("good", "right", HERE)
    made.signed("of-plain", "plain", HERE)
    made.signed("bare", "plain", HERE, NO_IDENTIFIER)
    made.signed("bare-of-right", "right", HERE, NO_IDENTIFIER)
    made.signed("expired", "right", HERE, dates=EXPIRED)
    made.signed("elsewhere", "right", "subjectAltName=DNS:elsewhere.example")
    made.signed("of-nothing", "nothing", HERE)
    made.signed("between", "right", *PLAIN_CA, "subjectKeyIdentifier=hash")
    made.signed("of-between", "between", HERE)
    chain = (made.folder / "of-between.pem").read_text() + (made.folder / "between.pem").read_text()
    (made.folder / "of-between.pem").write_text(chain)
    return made


@contextmanager
def server_with(certificates: Certificates, name: str) -> Iterator[PlainSlapd]:
    certificate = certificates.folder / name
    with running(
        tls=f"TLSCertificateFile {certificate}.pem\nTLSCertificateKeyFile {certificate}.key"
    ) as server:
        yield server


def answers(server: PlainSlapd, ca: Path | str, *, strict: bool, name: str = "127.0.0.1") -> list[str]:
    """The results of a connection by ldaps and one by StartTLS: "" if it works, otherwise the error."""
    came = []
    for uri, starttls in ((f"ldaps://127.0.0.1:{server.tls_port}", False), (server.uri, True)):
        uri = uri.replace("127.0.0.1", name)
        settings = server.settings(uri, tls=TlsSettings(str(ca), starttls=starttls, strict=strict))
        try:
            with open_reader(settings, "clerk", password) as reader:
                assert reader.read(CLERK, ["cn"]) is not None
            came.append("")
        except DirectoryUnreachable as error:
            came.append(str(error))
    return came


CA_LACKS = "CA cert does not include key usage extension"
BARE_LACKS = "Missing Authority Key Identifier"


@pytest.mark.parametrize(
    ("name", "ca", "words"),
    [
        ("of-plain", "plain", [CA_LACKS]),
        ("bare-of-right", "right", [BARE_LACKS]),
        ("of-between", "right", [CA_LACKS]),
    ],
)
def test_what_certificates_lack_for_strict_verification_is_named(
    certificates: Certificates, name: str, ca: str, words: list[str]
) -> None:
    with server_with(certificates, name) as server:
        for answer in answers(server, certificates.folder / f"{ca}.pem", strict=True):
            assert all(word in answer for word in [*words, "strict: false", "docs/tls.md"]), answer
            assert len(answer.splitlines()) <= 3


@pytest.mark.parametrize(
    ("name", "ca"),
    [("of-plain", "plain"), ("bare", "plain"), ("bare-of-right", "right"), ("of-between", "right")],
)
def test_strict_false_accepts_incomplete_certificates(certificates: Certificates, name: str, ca: str) -> None:
    with server_with(certificates, name) as server:
        assert answers(server, certificates.folder / f"{ca}.pem", strict=False) == ["", ""]


def test_doctor_names_the_missing_extension_and_non_strict_verification(
    certificates: Certificates, tmp_path: Path
) -> None:
    write_private(tmp_path / "clerk", PASSWORDS["clerk"])
    reader = Identity(dn=CLERK, password_file=str(tmp_path / "clerk"))
    findings = []
    with server_with(certificates, "of-plain") as server:
        uri = f"ldaps://127.0.0.1:{server.tls_port}"
        for strict in (True, False):
            tls = TlsSettings(str(certificates.folder / "plain.pem"), strict=strict)
            settings = replace(server.settings(uri, tls=tls), identities={"reader": reader})
            parts = SimpleNamespace(directory=settings, password=PasswordSettings())
            content = Content(parts, lambda: None, "", utc_now(), binds=False)  # type: ignore[arg-type]
            with ExitStack() as stack:
                findings.append(doctor_on(Server(uri, content, utc_now, stack)))
    refused, taken = findings
    assert refused.outcome.value == "error"
    assert CA_LACKS in refused.found
    assert "Start the server" not in refused.advice
    assert taken.found == "TLS, certificate verified, not strictly"


def test_complete_certificates_are_taken(certificates: Certificates) -> None:
    with server_with(certificates, "good") as server:
        for strict, name in product((True, False), ("127.0.0.1", "localhost")):
            assert answers(server, certificates.folder / "right.pem", strict=strict, name=name) == ["", ""]


@pytest.mark.parametrize(
    ("ca", "words"),
    [("", "not trusted"), ("good.key", "no certificate in PEM form"), ("absent.pem", "absent.pem")],
)
def test_without_a_ca_file_or_with_an_unusable_one_nothing_is_trusted(
    certificates: Certificates, ca: str, words: str
) -> None:
    """Without a file the certificates of this host count."""
    with server_with(certificates, "good") as server:
        for answer in answers(server, certificates.folder / ca if ca else "", strict=True):
            assert words in answer


def test_the_documented_commands_mend_a_plain_ca(certificates: Certificates, tmp_path: Path) -> None:
    """With the new certificate of the CA, certificates that it signed before are valid too."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "tls.md").read_text(encoding="utf-8")
    [lines] = [
        block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if "openssl req -x509" in block
    ]
    lines = lines.replace("CN=Our CA", "CN=plain").replace("DNS:ldap1.example.org", "IP:127.0.0.1")
    made = Certificates(tmp_path)
    for name in ("plain.key", "of-plain.pem", "of-plain.key"):
        shutil.copy(certificates.folder / name, tmp_path)
    shutil.copy(tmp_path / "plain.key", tmp_path / "ca.key")
    made.request("server")
    shutil.copy(tmp_path / "request.pem", tmp_path / "server.csr")
    subprocess.run(["bash", "-ec", lines], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    for name in ("server", "of-plain"):
        with server_with(made, name) as server:
            assert answers(server, tmp_path / "ca.pem", strict=True) == ["", ""]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("name", "ca", "words"),
    [
        ("expired", "right", "expired"),
        ("elsewhere", "right", "another name"),
        ("of-plain", "foreign", "not trusted"),
        ("of-nothing", "nothing", "the CA's certificate is not marked as a CA"),
    ],
)
def test_chain_dates_and_name_are_verified_all_the_same(
    certificates: Certificates, name: str, ca: str, words: str, strict: bool
) -> None:
    with server_with(certificates, name) as server:
        for answer in answers(server, certificates.folder / f"{ca}.pem", strict=strict):
            assert words in answer
            assert "strict: false" not in answer
