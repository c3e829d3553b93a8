"""The folder of a sandbox: checked, locked for one command at a time, and filled with files."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template
from urllib.parse import quote

from piactl.errors import SandboxUnavailable, system_words
from piactl.host.private_files import write_private
from piactl.phrase import Phrase
from piactl.shipped_files import example, schemas_folder, slapd_folder


def render(name: str, values: Mapping[str, str]) -> str:
    """The text of `slapd/<name>` with each `${placeholder}` replaced by its value.

    Raises KeyError for a placeholder without a value, and ValueError for a value that would end the
    line or the quotes around it, and so change the meaning of the settings.
    """
    for key, value in values.items():
        if not key.startswith("accesslog_") and any(c in value for c in '"\\\n\r\0'):
            raise ValueError(f"{key}: server settings cannot have quotes, backslashes or line ends")
    return Template((slapd_folder() / name).read_text(encoding="utf-8")).substitute(values)


def render_slapd_conf(values: Mapping[str, str], *, accesslog: bool = False) -> str:
    """The text of slapd.conf; with `accesslog` including the database and the overlay that log writes."""
    parts = {"accesslog_database": "", "accesslog_overlay": ""}
    if accesslog:
        parts["accesslog_database"] = render("accesslog-database.conf.in", values)
        parts["accesslog_overlay"] = render("accesslog-overlay.conf.in", values)
    return render("slapd.conf.in", {**values, **parts})


SUFFIX = "o=gouv,c=fr"
_EDUCATION = f"ou=education,{SUFFIX}"
_ACADEMIE = f"ou=ac-amiens,{_EDUCATION}"
ACCOUNTS = f"ou=personnels EN,{_ACADEMIE}"
STATE = f"ou=piactl,{_ACADEMIE}"
_SERVICES = f"ou=services,{_ACADEMIE}"
GROUPS = f"ou=groupes,{_ACADEMIE}"
STRUCTURES = f"ou=structures,{_ACADEMIE}"
POLICIES = f"ou=policies,{_ACADEMIE}"
IDENTITIES = ("reader", "nightly", "desk", "administrator", "approver")


def identity_dn(identity: str) -> str:
    """The DN of one of IDENTITIES."""
    return f"cn=piactl-{identity},{_SERVICES}"


def in_uri(dn: str) -> str:
    """A DN as it stands in a URI."""
    return quote(dn, safe="=,")


def tree_settings() -> dict[str, str]:
    """The placeholders of the server settings that name places of the tree."""
    return {
        "suffix": SUFFIX,
        "accounts": ACCOUNTS,
        "state": STATE,
        "groups": GROUPS,
        "structures": STRUCTURES,
        "services": _SERVICES,
        "policies": POLICIES,
        "suffix_uri": in_uri(SUFFIX),
        "accounts_uri": in_uri(ACCOUNTS),
        "root": f"cn=root,{_SERVICES}",
        **{identity: identity_dn(identity) for identity in IDENTITIES},
    }


def initial_ldif(passwords: Mapping[str, bytes]) -> str:
    """The initial tree as LDIF for slapadd. `passwords` has one for each of IDENTITIES; the result has only
    their hashes."""
    hashes = {f"{identity}_hash": _hashed(passwords[identity]) for identity in IDENTITIES}
    above = f"dn: {SUFFIX}\nobjectClass: organization\no: gouv\n\n"
    above += "".join(
        f"dn: {dn}\nobjectClass: organizationalUnit\nou: {dn.split(',')[0].removeprefix('ou=')}\n\n"
        for dn in (_EDUCATION, _ACADEMIE, ACCOUNTS)
    )
    return above + render("tree.ldif.in", {**tree_settings(), **hashes})


def _hashed(password: bytes) -> str:
    # 256 random bits need no slow hash, and a service identity binds at every command
    salt = secrets.token_bytes(16)
    digest = hashlib.sha1(password + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode("ascii")


_CONFIGURATION = """\
# Configuration of a sandbox: a private directory for trials, with invented data only.
version: 1
directory:
  servers: ["{uri}"]
  suffix: {suffix}
  accounts: {accounts}
  state: {state}
  identities:
{identities}
policy: policy.yaml
establishments: establishments.csv
keys: secrets/keys
journal: journal/piactl.jsonl
state_folder: state
any_date: true        # trials may write as of any day
strict: false         # and end with 0 although somebody is held
password:
  policy: cn=default,{policies}
  activation_policy: cn=activation,{policies}
  protected_policy: cn=protected,{policies}
sources:
  hr: {{kind: full, files: ["*.csv"]}}
"""


def socket_uri(path: Path) -> str:
    """The ldapi URI of a Unix socket."""
    return "ldapi://" + quote(str(path), safe="")


def prepare_files(folder: Path, socket: Path) -> dict[str, bytes]:
    """Creates the missing files of the sandbox and keeps the others. Returns the identities' passwords.

    Raises SandboxUnavailable if the policy or the register that ships with piactl is missing.
    """
    for name in ("secrets", "journal", "state"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    passwords = {identity: _password(folder / "secrets" / identity) for identity in IDENTITIES}
    _write_new(folder / "secrets" / "keys", f"k1 {secrets.token_hex(32)}\n".encode("ascii"), 0o600)
    _write_new(folder / "piactl.yaml", configuration(socket).encode(), 0o644)
    for name in ("policy.yaml", "establishments.csv"):
        shipped = example(name)
        try:
            _write_new(folder / name, shipped.read_bytes(), 0o644)
        except FileNotFoundError:
            raise SandboxUnavailable(
                Phrase(
                    "{file} is missing: the installation is incomplete\nInstall piactl again.", file=shipped
                )
            ) from None
    return passwords


def configuration(socket: Path) -> str:
    """The text of the sandbox's piactl.yaml, for a server on the Unix socket `socket`."""
    identities = "\n".join(
        f'    {name}: {{dn: "{identity_dn(name)}", password_file: secrets/{name}}}' for name in IDENTITIES
    )
    return _CONFIGURATION.format(
        uri=socket_uri(socket),
        suffix=SUFFIX,
        accounts=ACCOUNTS,
        state=STATE,
        policies=POLICIES,
        identities=identities,
    )


def copy_schemas(target: Path) -> None:
    """Copies the LDAP schemas of piactl, so that the sandbox does not depend on where piactl is installed."""
    target.mkdir(exist_ok=True)
    for file in (schemas_folder() / "ldap").glob("*.schema"):
        shutil.copyfile(file, target / file.name)


def _password(file: Path) -> bytes:
    _write_new(file, secrets.token_urlsafe(32).encode("ascii") + b"\n", 0o600)
    return file.read_bytes().removesuffix(b"\n")


def _write_new(file: Path, content: bytes, mode: int) -> None:
    if not file.exists():
        write_private(file, content, mode=mode)


_MOST_NAMES = 4
_BUSY = "busy"
"""The first file in `slapd`; a folder with it is a sandbox, even if its first start failed."""


@contextmanager
def create_or_lock(folder: Path) -> Iterator[None]:
    """Makes a new or empty folder a sandbox (mode 0700) if it is none, and locks it.

    Raises SandboxUnavailable for a folder with other content, and for every OSError inside the block.
    """
    with _translated(folder):
        _claim(folder)
        with _alone(folder):
            yield


@contextmanager
def locked_sandbox(folder: Path) -> Iterator[None]:
    """Locks the folder of a sandbox. Raises SandboxUnavailable if it is not a sandbox, and for every OSError
    inside the block."""
    with checked_sandbox(folder), _alone(folder):
        yield


@contextmanager
def checked_sandbox(folder: Path) -> Iterator[None]:
    """Checks the folder without a lock. Raises SandboxUnavailable if it is not a readable sandbox."""
    with _translated(folder):
        if not (folder / "slapd" / _BUSY).is_file():
            raise SandboxUnavailable(
                Phrase("{folder} is not a sandbox\nTo create one: piactl sandbox start", folder=folder)
            )
        yield


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SandboxUnavailable(
            Phrase(
                "{file} cannot be used by this user ({why})\n"
                "Run piactl as the user that owns it, or name a folder of your own.",
                file=error.filename or folder,
                why=system_words(error),
            )
        ) from None
    except OSError as error:
        raise SandboxUnavailable(
            Phrase(
                "{file} cannot be used ({why})\nLook at the disk, or name another folder.",
                file=error.filename or folder,
                why=system_words(error),
            )
        ) from None


def _claim(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SandboxUnavailable(Phrase("{folder} is a file\nName a new folder.", folder=folder))
    inner = folder / "slapd"
    if folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir())
        within = {entry.name for entry in inner.iterdir()} if inner.is_dir() else set()
        # check this after listing the names: another start creates it before anything else
        if _BUSY in within:
            return
        if within or set(names) - {"slapd"} or ("slapd" in names and not inner.is_dir()):
            listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
            raise SandboxUnavailable(
                Phrase(
                    "{folder} is not empty and not a sandbox (it has {listed})\nName a new folder.",
                    folder=folder,
                    listed=listed,
                )
            )
        folder.chmod(0o700)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    inner.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "slapd" / _BUSY).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
