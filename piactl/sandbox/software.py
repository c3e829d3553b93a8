"""Where OpenLDAP's programs, modules and schemas are on this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from piactl.errors import SandboxUnavailable

_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/libexec", "/opt/symas/lib")
_MODULE_FOLDERS = (
    "/usr/lib/ldap",
    "/usr/lib64/openldap",
    "/usr/lib/openldap",
    "/usr/libexec/openldap",
    "/usr/local/libexec/openldap",
    "/opt/symas/lib/openldap",
)
_SCHEMA_FOLDERS = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
_MODULES = ("back_mdb", "otp", "ppolicy", "unique", "constraint", "argon2", "syncprov")
_LOG_MODULES = ("accesslog",)
_SCHEMAS = ("core", "cosine", "inetorgperson")


@dataclass(frozen=True, slots=True)
class Software:
    """Programs and folders of an OpenLDAP that has everything the sandbox needs."""

    slapd: Path
    slapadd: Path
    modules: Path
    schema: Path


def find_software(*, accesslog: bool = False) -> Software:
    """OpenLDAP as installed, whether or not its folder is on PATH.

    Raises SandboxUnavailable naming everything that is missing and the command that installs it.
    """
    slapd, slapadd = _program("slapd"), _program("slapadd")
    wanted = _MODULES + (_LOG_MODULES if accesslog else ())
    modules, no_modules = _folder(_MODULE_FOLDERS, wanted, (".so", ".la"), "module")
    schema, no_schemas = _folder(_SCHEMA_FOLDERS, _SCHEMAS, (".schema",), "schema")
    missing = [name for name, path in (("slapd", slapd), ("slapadd", slapadd)) if path is None]
    missing += no_modules + no_schemas
    if missing or slapd is None or slapadd is None:
        raise SandboxUnavailable(
            f"the sandbox needs OpenLDAP 2.5 or later; missing here: {', '.join(missing)}\n"
            "On Debian and Ubuntu they are in the packages slapd, ldap-utils and slapd-contrib:\n"
            "  sudo apt install slapd ldap-utils slapd-contrib"
        )
    return Software(slapd, slapadd, modules, schema)


def _program(name: str) -> Path | None:
    # Debian has slapd in /usr/sbin, which is not on the PATH of ordinary users
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PROGRAM_FOLDERS])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _folder(
    folders: tuple[str, ...], names: tuple[str, ...], endings: tuple[str, ...], kind: str
) -> tuple[Path, list[str]]:
    """The folder that has most of `names`, and what it lacks."""

    def lacking(folder: Path) -> list[str]:
        return [n for n in names if not any((folder / f"{n}{e}").is_file() for e in endings)]

    best = min((Path(f) for f in folders), key=lambda folder: len(lacking(folder)))
    return best, [f"{kind} {name}" for name in lacking(best)]
