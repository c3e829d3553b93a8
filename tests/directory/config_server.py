"""A slapd made from config.ldif.in, like a new installation on cn=config."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piactl.sandbox import render
from piactl.sandbox.folder import IDENTITIES, initial_ldif, socket_uri, tree_settings
from piactl.sandbox.server import find_software, launch, stop_process, wait_until_answering
from piactl.shipped_files import schemas_folder

ROOT = tree_settings()["root"]
Edit = Callable[[str], str]


@dataclass
class ConfigServer:
    """A server on cn=config: its URI, the values of the placeholders in its settings, its folder."""

    uri: str
    settings: dict[str, str]
    folder: Path
    _process: Any = None

    def start(self) -> None:
        place, log = self.folder / "ldapi", self.folder / "log.txt"
        command = [find_software().slapd, "-F", self.folder / "slapd.d", "-h", self.uri, "-d", "none"]
        self._process = launch([str(word) for word in command], log)
        wait_until_answering(self._process, place, log)

    def stop(self) -> None:
        stop_process(self._process)


def settings_for(folder: Path, schema: Path) -> dict[str, str]:
    """The values of the placeholders in the settings of a server in `folder`; makes its folders."""
    for name in ("data", "log", "slapd.d"):
        (folder / name).mkdir()
    installed = find_software(accesslog=True)
    return {
        "schema": str(installed.schema),
        "own_schema": str(schema),
        "modules": str(installed.modules),
        "run": str(folder),
        "data": str(folder / "data"),
        "log_data": str(folder / "log"),
        "maxsize": str(1 << 30),
        "portal": "127.0.0.1",
        "portal_socket": str(folder / "ldapi"),
        **tree_settings(),
    }


def mapped_to_root(config: str) -> str:
    """The settings with a line that makes the user of the test the rootdn over ldapi."""
    owner = f"gidNumber={os.getgid()}[+]uidNumber={os.getuid()},cn=peercred,cn=external,cn=auth"
    return config.replace("cn: config\n", f'cn: config\nolcAuthzRegexp: "^{owner}$" "{ROOT}"\n', 1)


@contextmanager
def config_server(
    sandbox: Any, config: Edit = mapped_to_root, tree: Edit = lambda ldif: ldif
) -> Iterator[ConfigServer]:
    """A server with the passwords of the sandbox; `config` and `tree` edit the LDIF that it is made from."""
    folder = sandbox.folder / "olc"
    folder.mkdir()
    settings = settings_for(folder, schemas_folder() / "ldap")
    passwords = {i: (sandbox.folder / "secrets" / i).read_bytes().strip() for i in IDENTITIES}
    parts = (("0", config(render("config.ldif.in", settings))), ("2", tree(initial_ldif(passwords))))
    for number, ldif in parts:
        command = [find_software().slapadd, "-F", folder / "slapd.d", "-n", number]
        done = subprocess.run(command, input=ldif.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    server = ConfigServer(socket_uri(folder / "ldapi"), settings, folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def shipped_files(sandbox: Any, target: Path, settings: dict[str, str] | None = None) -> None:
    """Writes what `new-directory --files` writes; with settings also those for cn=config."""
    passwords = {i: (sandbox.folder / "secrets" / i).read_bytes().strip() for i in IDENTITIES}
    files = {"tree.ldif": initial_ldif(passwords)}
    if settings:
        files["config.ldif"] = mapped_to_root(render("config.ldif.in", settings))
        files["accesslog.ldif"] = render("accesslog.ldif.in", settings)
    target.mkdir()
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
