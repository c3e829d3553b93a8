"""What the tests make once and use many times: parsed configurations and prepared sandboxes.

A command reads its configuration in some 60 ms, and a sandbox is made in some 100 ms; the tests run some ten
thousand commands on a thousand sandboxes.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from piactl.cli.framework import configuration
from piactl.config.policy import read_policy
from piactl.config.register import read_register
from piactl.config.settings import read_settings
from piactl.config.strict_yaml import read_content
from piactl.flows import doctor
from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.slapd_configuration_and_folder import socket_uri


def remember_commands_and_configurations() -> None:
    """Makes the commands in this process read their own options only once, and each content of a policy, a
    register or a configuration only once.

    The file itself is still checked each time (its owner, mode and bytes); a content with a mistake is read
    anew each time.
    """
    # the options of a command are the same in each run
    typer.main.get_params_from_function = cache(typer.main.get_params_from_function)  # type: ignore[attr-defined]
    for reader in (read_policy, read_register, read_settings):
        once = _once_per_content(reader)
        for module in (configuration, doctor, doctor.this_host):
            if hasattr(module, reader.__name__):
                setattr(module, reader.__name__, once)


def _once_per_content(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    results: dict[tuple[str, str], Any] = {}

    def reading(path: Path) -> Any:
        content = read_content(path)
        # settings contain absolute paths, and may depend on the user and on the programs that they name
        if read.__name__ == "read_settings" and ("hooks:" in content.text or "{user}" in content.text):
            return read(path)
        key = (str(path.absolute()) if read.__name__ == "read_settings" else "", content.digest)
        if key not in results:
            results[key] = read(path)
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
