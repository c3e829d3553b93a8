"""Starts, stops and inspects a sandbox: a private slapd with everything that piactl needs. Another private
slapd serves one command: it listens on a Unix socket alone, and ends with the command."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from piactl.core.text import read_json
from piactl.errors import SandboxUnavailable
from piactl.host.caller import is_alive, process_began, this_boot
from piactl.host.private_files import write_private
from piactl.phrase import Phrase
from piactl.sandbox.folder import (
    checked_sandbox,
    copy_schemas,
    create_or_lock,
    in_uri,
    initial_ldif,
    locked_sandbox,
    prepare_files,
    render_slapd_conf,
    socket_uri,
    tree_settings,
)

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
_MODULES = ("back_mdb", "otp", "ppolicy", "ppm", "unique", "constraint", "argon2", "dynlist", "syncprov")
_LOG_MODULES = ("accesslog",)
_SCHEMAS = ("core", "cosine", "inetorgperson", "dyngroup", "nis")


@dataclass(frozen=True, slots=True)
class Software:
    """Programs and folders of an OpenLDAP that has everything a private server needs."""

    slapd: Path
    slapadd: Path
    modules: Path
    schema: Path


def find_software(*, accesslog: bool = False) -> Software:
    """The installed OpenLDAP, whether or not its folder is on PATH.

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
            Phrase(
                "a private slapd needs OpenLDAP 2.6; missing here: {names}\n"
                "On Debian 13 they are in the packages slapd, ldap-utils and slapd-contrib:\n"
                "  sudo apt install slapd ldap-utils slapd-contrib",
                names=", ".join(missing),
            )
        )
    return Software(slapd, slapadd, modules, schema)


def _program(name: str) -> Path | None:
    # Debian has slapd in /usr/sbin, which is not on the PATH of ordinary users
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PROGRAM_FOLDERS])
    path_found = shutil.which(name, path=path)
    return Path(path_found) if path_found else None


def _folder(
    folders: tuple[str, ...], names: tuple[str, ...], endings: tuple[str, ...], kind: str
) -> tuple[Path, list[str]]:
    """The folder that has most of `names`, and what it lacks."""

    def lacking(folder: Path) -> list[str]:
        return [n for n in names if not any((folder / f"{n}{e}").is_file() for e in endings)]

    best = min((Path(f) for f in folders), key=lambda folder: len(lacking(folder)))
    return best, [f"{kind} {name}" for name in lacking(best)]


# The path of a Unix socket is limited to some 100 bytes; a longer one goes to the temporary folder.
_SOCKET_BYTES = 90
_MAXSIZE = 4 << 30


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox as it is now.

    `uris` are its addresses, the ldapi one first; empty when it is stopped. `configuration` is the file to
    give to piactl. `changed`: whether this command started or stopped it.
    """

    folder: Path
    running: bool
    pid: int | None
    uris: tuple[str, ...]
    configuration: Path
    changed: bool = False


def start_sandbox(folder: Path, *, accesslog: bool = True) -> SandboxStatus:
    """Creates the sandbox in `folder` if there is none, and starts it if it is not running.

    Existing files and data are kept. Without `accesslog`, which only matters when the sandbox is created,
    the server keeps no access log. Returns when the server answers. Raises SandboxUnavailable if OpenLDAP is
    not installed, the folder has other content, or the server does not start (with the end of its log).
    """
    folder = folder.absolute()
    with create_or_lock(folder):
        status = _status(folder)
        if status.running:
            return status
        software = find_software(accesslog=accesslog)
        _prepare(folder, software, accesslog=accesslog)
        _start(folder, software)
        return _status(folder, changed=True)


def stop_sandbox(folder: Path) -> SandboxStatus:
    """Stops the server that this sandbox started, and no other; its data stay.

    Raises SandboxUnavailable if `folder` is not a sandbox, or its server does not stop.
    """
    folder = folder.absolute()
    with locked_sandbox(folder):
        process = recall(_process_file(folder))
        if process is None:
            return _status(folder)
        stop_process(process)
        _process_file(folder).unlink(missing_ok=True)
        place = _socket(folder)
        place.unlink(missing_ok=True)
        if place.parent != folder / "slapd":
            shutil.rmtree(place.parent, ignore_errors=True)
        return _status(folder, changed=True)


def sandbox_status(folder: Path) -> SandboxStatus:
    """The state of the sandbox in `folder`.

    Raises SandboxUnavailable if there is none, or if it is another user's.
    """
    folder = folder.absolute()
    with checked_sandbox(folder):
        return _status(folder)


def _status(folder: Path, *, changed: bool = False) -> SandboxStatus:
    process = recall(_process_file(folder))
    uris: tuple[str, ...] = ()
    if process is not None:
        port = (folder / "slapd" / "port").read_text(encoding="ascii").strip()
        uris = (socket_uri(_socket(folder)), f"ldap://127.0.0.1:{port}")
    return SandboxStatus(
        folder, process is not None, process.pid if process else None, uris, folder / "piactl.yaml", changed
    )


def _process_file(folder: Path) -> Path:
    return folder / "slapd" / "process.json"


def _socket(folder: Path) -> Path:
    beside = folder / "slapd" / "ldapi"
    if len(os.fsencode(beside)) <= _SOCKET_BYTES:
        return beside
    # the same name at every start, because piactl.yaml holds it
    name = f"piactl-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    return Path(tempfile.gettempdir()) / name / "ldapi"


def _prepare(folder: Path, software: Software, *, accesslog: bool) -> None:
    """Creates everything that the server needs before its first start; the file `made` marks it complete."""
    inner = folder / "slapd"
    passwords = prepare_files(folder, _socket(folder))
    if (inner / "made").exists():
        return
    copy_schemas(inner / "schema")
    for name in ("data", "log"):
        shutil.rmtree(inner / name, ignore_errors=True)  # what an interrupted start left
        (inner / name).mkdir(mode=0o700)
    values = {**settings_of(inner, software, _socket(folder)), "log_data": str(inner / "log")}
    write_configuration(inner, values, accesslog=accesslog)
    log = folder / "slapd.log"
    load(inner, software, values["suffix"], [initial_ldif(passwords).encode()], log)
    (inner / "made").touch()


def settings_of(folder: Path, software: Software, place: Path) -> dict[str, str]:
    """The placeholders of the settings of a server with its files in `folder` and its Unix socket at
    `place`."""
    return {
        **tree_settings(),
        "schema": str(software.schema),
        "own_schema": str(folder / "schema"),
        "modules": str(software.modules),
        "run": str(folder),
        "data": str(folder / "data"),
        "maxsize": str(_MAXSIZE),
        "portal": "127.0.0.1",
        "portal_socket": str(place),
    }


def write_configuration(
    folder: Path, values: Mapping[str, str], *, accesslog: bool = False, synced: bool = True
) -> None:
    """Writes slapd.conf. The user that starts the server is its rootdn: it owns the data anyway, and may read
    all of them. Raises SandboxUnavailable."""
    try:
        text = render_slapd_conf(values, accesslog=accesslog)
    except ValueError as error:
        raise SandboxUnavailable(
            Phrase("{folder}: {error}\nName another folder.", folder=folder, error=str(error))
        ) from None
    if not synced:
        text = text.replace("\nmaxsize ", "\ndbnosync\nmaxsize ", 1)
    owner = f"gidNumber={os.getgid()}[+]uidNumber={os.getuid()},cn=peercred,cn=external,cn=auth"
    mapping = f'authz-regexp "^{owner}$" "{values["root"]}"\n'
    (folder / "slapd.conf").write_text(mapping + text, encoding="utf-8")


def load(folder: Path, software: Software, suffix: str, ldif: Iterable[bytes], log: Path) -> None:
    """Loads entries in LDIF into the database of `suffix`, the parents first. Raises SandboxUnavailable with
    the end of the log."""
    command = [str(software.slapadd), "-f", str(folder / "slapd.conf"), "-b", suffix]
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output) as loading,
    ):
        if loading.stdin is not None:
            with suppress(BrokenPipeError), loading.stdin as stream:  # its log says why it ended
                stream.writelines(ldif)
    if loading.returncode:
        raise SandboxUnavailable(
            Phrase("slapadd could not create the directory\n{last_lines}", last_lines=last_lines(log))
        )


def _start(folder: Path, software: Software) -> None:
    inner, place, log = folder / "slapd", _socket(folder), folder / "slapd.log"
    if place.parent != inner:
        _private_folder(place.parent)
    place.unlink(missing_ok=True)
    with _reserved_port() as port:
        listen = f"{socket_uri(place)} ldap://127.0.0.1:{port}/"
        command = [str(software.slapd), "-f", str(inner / "slapd.conf"), "-h", listen, "-d", "none"]
        process = launch(command, log)
        # the port first: a command that finds the process reads it
        (inner / "port").write_text(f"{port}\n", encoding="ascii")
        remember(process, _process_file(folder))
        try:
            wait_until_answering(process, place, log)
        except SandboxUnavailable:
            stop_process(process)
            raise


def _private_folder(place: Path) -> None:
    """Creates a private folder in the temporary folder; refuses one of another user."""
    place.mkdir(mode=0o700, exist_ok=True)
    facts = place.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise SandboxUnavailable(
            Phrase("{place} belongs to another user\nName a folder with a shorter path.", place=place)
        )


@contextmanager
def _reserved_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


_START_SECONDS = 10
_STOP_SECONDS = 15.0
_KILL_SECONDS = 5.0
_LAST_LINES = 8

# An anonymous simple bind, message 1: the shortest question that every LDAP server answers.
_ANONYMOUS_BIND = bytes.fromhex("300c020101600702010304008000")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this boot; the start time distinguishes it from a later process with the same pid."""

    pid: int
    started_ticks: int
    boot: str

    def alive(self) -> bool:
        return self.boot == this_boot() and is_alive(self.pid, self.started_ticks)


def observe(pid: int) -> Process | None:
    """The process that has `pid` now; None if there is none, or only a zombie."""
    found = Process(pid, process_began(pid), this_boot())
    return found if found.alive() else None


def remember(process: Process, file: Path) -> None:
    """Writes the identity of a process to a file."""
    write_private(file, json.dumps(asdict(process)).encode() + b"\n")


def recall(file: Path) -> Process | None:
    """The process that `remember` wrote to a file; None if it has ended. Raises OSError."""
    try:
        process = Process(**read_json(file.read_text(encoding="ascii")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.alive() else None


def launch(command: list[str], log: Path) -> Process:
    """Starts `command` in its own session, so that it outlives this process; output goes to `log`."""
    with log.open("ab") as output:
        # the shell ends at once, so that the server is not a child of this process and needs no wait
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            check=True,
        )
    process = observe(int(shell.stdout))
    if process is None:
        raise SandboxUnavailable(Phrase("slapd ended at once\n{last_lines}", last_lines=last_lines(log)))
    return process


def wait_until_answering(process: Process, path: Path, log: Path) -> None:
    """Returns when the server on the Unix socket `path` answers a bind.

    Raises SandboxUnavailable with the end of its log when it dies or stays silent.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _answers(path):
            return
        if not process.alive():
            raise SandboxUnavailable(
                Phrase("slapd ended while it started\n{last_lines}", last_lines=last_lines(log))
            )
        time.sleep(0.01)
    raise SandboxUnavailable(
        Phrase(
            "slapd did not answer within {start_seconds} seconds\n{last_lines}",
            start_seconds=_START_SECONDS,
            last_lines=last_lines(log),
        )
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(_ANONYMOUS_BIND)
            return connection.recv(1) == b"0"
        except OSError:
            return False


def stop_process(process: Process) -> None:
    """Stops this process and waits for its end; kills it after 15 seconds. Raises SandboxUnavailable if it is
    still there."""
    for signal_number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        if not process.alive():
            return
        try:
            os.kill(process.pid, signal_number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while process.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
    if process.alive():
        raise SandboxUnavailable(Phrase("slapd (pid {pid}) does not end", pid=process.pid))


def last_lines(log: Path) -> str:
    """The last lines of a log for an error message, or a note that the log is empty."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    except OSError:
        lines = []
    shown = "\n".join(f"  {line}" for line in lines)
    return (
        Phrase("The end of {log}:\n{shown}", log=log, shown=shown)
        if lines
        else Phrase("{log} is empty.", log=log)
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
        _start_watched(watch, place, log)
        yield socket_uri(place)
    finally:
        watch.communicate()


def _start_watched(watch: subprocess.Popen[bytes], place: Path, log: Path) -> None:
    if watch.stdin is None or watch.stdout is None:
        raise AssertionError("it has pipes")
    watch.stdin.write(b"start\n")
    watch.stdin.flush()
    process = observe(int(watch.stdout.readline()))
    if process is None:
        raise SandboxUnavailable(Phrase("slapd ended at once\n{last_lines}", last_lines=last_lines(log)))
    wait_until_answering(process, place, log)
