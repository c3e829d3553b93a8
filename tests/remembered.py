"""What the tests make once and use many times: read configurations, and prepared sandboxes.

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
from piactl.config.strict_yaml import read_content
from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.files import socket_uri


def remember_commands_and_configurations() -> None:
    """Lets the commands in this process read their own options, and each content of a policy, a register or a
    configuration, once.

    The file itself is still looked at each time (its owner, mode and bytes); a content with a mistake is read
    anew each time.
    """
    # the options of a command are the same in each run
    typer.main.get_params_from_function = cache(typer.main.get_params_from_function)  # type: ignore[attr-defined]
    for name in ("read_policy", "read_register", "read_settings"):
        setattr(configuration, name, _once_per_content(getattr(configuration, name)))


def _once_per_content(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    kept: dict[tuple[str, str], Any] = {}

    def reading(path: Path) -> Any:
        content = read_content(path)
        # settings have absolute paths, and depend on the user and on the programs that they name
        if read.__name__ == "read_settings" and ("hooks:" in content.text or "{user}" in content.text):
            return read(path)
        key = (str(path.absolute()) if read.__name__ == "read_settings" else "", content.digest)
        if key not in kept:
            kept[key] = read(path)
        return kept[key]

    return reading


def copy_prepared(folder: Path, *, accesslog: bool) -> None:
    """Fills an empty folder with a stopped sandbox: a copy of a prepared one, with its passwords and keys."""
    prepared = _prepared(accesslog)
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


@cache
def _prepared(accesslog: bool) -> Path:
    """A stopped sandbox, one for each kind in a process."""
    folder = Path(tempfile.mkdtemp(prefix="piactl-kept-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    start_sandbox(folder, accesslog=accesslog)
    stop_sandbox(folder)
    # the next start writes these
    for name in ("process.json", "port"):
        (folder / "slapd" / name).unlink(missing_ok=True)
    (folder / "slapd.log").unlink(missing_ok=True)
    return folder
