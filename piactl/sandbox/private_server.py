"""A private slapd that serves one command: it listens on a Unix socket alone, and ends with the command."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from piactl.errors import SandboxUnavailable
from piactl.sandbox.server import (
    MAXSIZE,
    Software,
    find_software,
    last_lines,
    observe,
    owner_is_root,
    wait_until_answering,
)
from piactl.sandbox.slapd_configuration_and_folder import (
    copy_schemas,
    in_uri,
    render_slapd_conf,
    socket_uri,
    tree_settings,
)

_WATCH = """
folder=$1; shift
if read -r word; then
  "$@" </dev/null >/dev/null 2>>"$folder/log" & server=$!
  echo "$server"
  read -r word
  kill "$server"; wait "$server"
fi
rm -rf -- "$folder"
"""
"""Starts the server at the first line of its input. At the end of its input, which also comes when the
command is killed, it stops the server and removes the folder."""


@contextmanager
def private_server(suffix: str, accounts: str, state: str, entries: Iterable[bytes]) -> Iterator[str]:
    """The ldapi URI of a server with these bases and with entries in LDIF, the parents first. Whoever starts
    it is its rootdn, by SASL EXTERNAL. Its data are not synced to the disk.

    The server is stopped and its folder, among the temporary files, removed at the end, also if this process
    is killed. Raises SandboxUnavailable if OpenLDAP is not installed, or the server does not load the entries
    or does not start.
    """
    software = find_software()
    folder = Path(tempfile.mkdtemp(prefix="piactl-slapd-"))
    place, log = folder / "ldapi", folder / "log"
    configuration = ["-f", str(folder / "slapd.conf")]
    server = [str(software.slapd), *configuration, "-h", socket_uri(place), "-d", "none"]
    watch = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "sh", str(folder), *server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends the command, and the command ends the server
    )
    try:
        _prepare(folder, software, suffix, accounts, state)
        _load([str(software.slapadd), "-q", *configuration, "-b", suffix], entries, log)
        _start(watch, place, log)
        yield socket_uri(place)
    finally:
        watch.communicate()


def _prepare(folder: Path, software: Software, suffix: str, accounts: str, state: str) -> None:
    copy_schemas(folder / "schema")
    (folder / "data").mkdir()
    values = {
        **tree_settings(),
        "suffix": suffix,
        "accounts": accounts,
        "state": state,
        "suffix_uri": in_uri(suffix),
        "accounts_uri": in_uri(accounts),
        "schema": str(software.schema),
        "own_schema": str(folder / "schema"),
        "modules": str(software.modules),
        "run": str(folder),
        "data": str(folder / "data"),
        "log_data": "",
        "maxsize": str(MAXSIZE),
        "portal": "127.0.0.1",
        "portal_socket": str(folder / "ldapi"),
    }
    try:
        text = render_slapd_conf(values)
    except ValueError as error:
        raise SandboxUnavailable(f"{folder}: {error}") from None
    unsynced = text.replace("\nmaxsize ", "\ndbnosync\nmaxsize ", 1)
    (folder / "slapd.conf").write_text(owner_is_root(values["root"]) + unsynced, encoding="utf-8")


def _load(command: list[str], entries: Iterable[bytes], log: Path) -> None:
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output) as loading,
    ):
        if loading.stdin is not None:
            with suppress(BrokenPipeError), loading.stdin as stream:  # it says in its log why it ended
                stream.writelines(entries)
    if loading.returncode:
        raise SandboxUnavailable(f"slapadd could not load the directory\n{last_lines(log)}")


def _start(watch: subprocess.Popen[bytes], place: Path, log: Path) -> None:
    if watch.stdin is None or watch.stdout is None:
        raise AssertionError("it has pipes")
    watch.stdin.write(b"start\n")
    watch.stdin.flush()
    process = observe(int(watch.stdout.readline()))
    if process is None:
        raise SandboxUnavailable(f"slapd ended at once\n{last_lines(log)}")
    wait_until_answering(process, place, log)
