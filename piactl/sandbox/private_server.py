"""A private slapd that serves one command: it listens on a Unix socket alone, and ends with the command."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from piactl.errors import SandboxUnavailable
from piactl.sandbox.folder import copy_schemas, in_uri, socket_uri
from piactl.sandbox.server import (
    find_software,
    last_lines,
    load,
    observe,
    settings_of,
    wait_until_answering,
    write_configuration,
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
    server = [str(software.slapd), "-f", str(folder / "slapd.conf"), "-h", socket_uri(place), "-d", "none"]
    watch = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "sh", str(folder), *server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends the command, and the command ends the server
    )
    try:
        copy_schemas(folder / "schema")
        (folder / "data").mkdir()
        bases = {"suffix": suffix, "accounts": accounts, "state": state}
        uris = {"suffix_uri": in_uri(suffix), "accounts_uri": in_uri(accounts)}
        values = {**settings_of(folder, software, place), **bases, **uris}
        write_configuration(folder, values, synced=False)
        load(folder, software, suffix, entries, log)
        _start(watch, place, log)
        yield socket_uri(place)
    finally:
        watch.communicate()


def _start(watch: subprocess.Popen[bytes], place: Path, log: Path) -> None:
    if watch.stdin is None or watch.stdout is None:
        raise AssertionError("it has pipes")
    watch.stdin.write(b"start\n")
    watch.stdin.flush()
    process = observe(int(watch.stdout.readline()))
    if process is None:
        raise SandboxUnavailable(f"slapd ended at once\n{last_lines(log)}")
    wait_until_answering(process, place, log)
