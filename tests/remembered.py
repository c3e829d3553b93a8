"""What the tests make once and use many times: parsed configurations and schemas, prepared sandboxes, an
installation.

A command would need some 30 ms to read its configuration and the schema, as long as for all the rest, and a
sandbox is made in some 100 ms; the tests run some ten thousand commands on a thousand sandboxes.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from piactl.config.read_policy import read_policy
from piactl.config.read_register import read_register
from piactl.config.read_settings import read_settings
from piactl.config.strict_yaml import read_content
from piactl.directory.client.parse_schema import Subschema
from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.folder import socket_uri


def remember_configurations() -> None:
    """Makes this process read each content of a policy, a register or a configuration only once.

    The file itself is still checked each time (its owner, mode and bytes); a content with a mistake is read
    anew each time.
    """
    for reader in (read_policy, read_register, read_settings):
        _replace(reader, _once_per_content(reader))


def remember_schemas() -> None:
    """Makes this process parse the schema of its servers, which is nearly always the same, only once."""
    parsed = lru_cache(8)(Subschema)

    def parse(attributes: Sequence[bytes | str], classes: Sequence[bytes | str] = ()) -> Subschema:
        return parsed((*attributes,), (*classes,))

    _replace(Subschema, parse)


def _replace(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Replaces a function of piactl wherever it is imported; also where it is defined, for later imports."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("piactl.") and getattr(module, old.__name__, None) is old:
            setattr(module, old.__name__, new)


def _once_per_content(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    results: dict[tuple[str, str], Any] = {}

    def reading(path: Path) -> Any:
        content = read_content(path)
        # settings contain absolute paths, and may depend on the programs that they name
        if read.__name__ == "read_settings" and "hooks:" in content.text:
            return read(path)
        key = (str(path.absolute()) if read.__name__ == "read_settings" else path.name, content.digest)
        if key not in results:
            result = read(path)
            if len(results) >= 500:  # random files
                results.clear()
            results[key] = result
        return results[key]

    return reading


def copy_prepared(prepared: Path, folder: Path) -> None:
    """Fills an empty folder with a copy of a stopped sandbox, with its content, passwords and keys."""
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    folder.chmod(0o700)
    uri, socket = (f(folder / "slapd" / "ldapi") for f in (socket_uri, str))
    before = {f(prepared / "slapd" / "ldapi") for f in (socket_uri, str)}
    assert all(len(text) < 90 for text in (socket, *before)), "the sockets are in the folders"
    for name in ("piactl.yaml", "slapd/slapd.conf"):
        file = folder / name
        text = file.read_text(encoding="utf-8")
        text = text.replace(socket_uri(prepared / "slapd" / "ldapi"), uri).replace(str(prepared), str(folder))
        file.write_text(text, encoding="utf-8")


CHEAPER = {
    # no test cuts the power, and each write would wait for the disk
    "\nmaxsize ": "\ndbnosync\nmaxsize ",
    # nobody attacks these passwords, and each hash would take some 30 ms of CPU
    "\nmoduleload argon2\n": "\nmoduleload argon2 m=8 t=1 p=1\n",
}
"""Cheaper settings of slapd for tests, with the same effect on what is written and refused."""


@cache
def prepared_sandbox(accesslog: bool) -> Path:
    """A new, stopped sandbox; each process makes one of each kind."""
    folder = kept_folder()
    start_sandbox(folder, accesslog=accesslog)
    stop_kept(folder)
    settings = folder / "slapd" / "slapd.conf"
    text = settings.read_text(encoding="utf-8")
    for line, cheaper in CHEAPER.items():
        assert line in text
        text = text.replace(line, cheaper)
    settings.write_text(text, encoding="utf-8")
    return folder


@cache
def installation_for_every_user() -> Path:
    """A folder for PYTHONPATH with piactl and the packages that it needs, which every user may read.

    The checkout may be in a folder that only its owner may enter, such as the home of root.
    """
    top = Path(__file__).parents[1]
    folder = kept_folder()
    for name in ("piactl", "schemas", "slapd", "examples"):
        shutil.copytree(top / name, folder / name)
    for name in re.findall(r"^([\w.-]+)==", (top / "requirements.lock").read_text("utf-8"), re.MULTILINE):
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:
            continue  # only for another system
        for file in files:
            if ".." not in file.parts:  # no program in bin/
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(str(file.locate())), folder / file)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    open_parents(folder)
    return folder


def open_parents(path: Path) -> None:
    """Lets every user enter the folders of the tests in which a path is."""
    for parent in path.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def kept_folder() -> Path:
    """A folder that is removed at the end of the process."""
    folder = Path(tempfile.mkdtemp(prefix="piactl-kept-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def stop_kept(folder: Path) -> None:
    """Stops a sandbox that will be copied."""
    stop_sandbox(folder)
    # the next start writes these
    for name in ("process.json", "port"):
        (folder / "slapd" / name).unlink(missing_ok=True)
    (folder / "slapd.log").unlink(missing_ok=True)
