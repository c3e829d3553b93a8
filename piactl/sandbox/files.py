"""The files of a sandbox: configuration, policy, register, passwords and keys."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

from piactl.errors import SandboxUnavailable
from piactl.resources import schemas_folder
from piactl.sandbox.tree import ACCOUNTS, IDENTITIES, POLICIES, STATE, SUFFIX, identity_dn

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
password:
  policy: cn=default,{policies}
  activation_policy: cn=activation,{policies}
sources:
  hr: {{kind: full, files: ["*.csv"]}}
"""


def socket_uri(path: Path) -> str:
    """The ldapi URI of a Unix socket."""
    return "ldapi://" + quote(str(path), safe="")


def prepare_files(folder: Path, socket: Path) -> dict[str, bytes]:
    """Makes whatever of the sandbox's files is missing, keeps the others; the identities' passwords.

    Raises SandboxUnavailable where the policy and the register that ship with piactl are not there.
    """
    for name in ("secrets", "journal", "state"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    passwords = {identity: _password(folder / "secrets" / identity) for identity in IDENTITIES}
    _write_new(folder / "secrets" / "keys", f"k1 {secrets.token_hex(32)}\n".encode("ascii"), 0o600)
    _write_new(folder / "piactl.yaml", configuration(socket).encode(), 0o644)
    for name in ("policy.yaml", "establishments.csv"):
        shipped = schemas_folder() / "sandbox" / name
        try:
            _write_new(folder / name, shipped.read_bytes(), 0o644)
        except FileNotFoundError:
            raise SandboxUnavailable(
                f"{shipped} is missing: piactl is not installed whole\nInstall it again."
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
    """Copies piactl's LDAP schemas, so that the sandbox's database does not depend on where piactl is."""
    target.mkdir(exist_ok=True)
    for file in (schemas_folder() / "ldap").glob("*.schema"):
        shutil.copyfile(file, target / file.name)


def _password(file: Path) -> bytes:
    _write_new(file, secrets.token_urlsafe(32).encode("ascii") + b"\n", 0o600)
    return file.read_bytes().removesuffix(b"\n")


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Writes a file that is not there yet, whole or not at all."""
    if file.exists():
        return
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    fresh.replace(file)
