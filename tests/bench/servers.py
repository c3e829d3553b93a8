"""The directories of a bench: a bare server, one with an access log, two providers that replicate.

All are piactl's own sandboxes, with the settings that ship in slapd/ and slapd's default durability.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from piactl.sandbox import SandboxStatus, start_sandbox, stop_sandbox
from piactl.sandbox.folder import ACCOUNTS, STATE, SUFFIX, identity_dn
from piactl.sandbox.server import find_software

KINDS = ("bare", "accesslog", "providers")
TOLD = {"bare": "bare server", "accesslog": "with accesslog", "providers": "two providers"}

_KEPT = ("slapd/data", "slapd/log", "journal", "state")
_BYTES_A_PERSON = 16 << 10
_SYNC_SECONDS = 600

_LOG_SYNCPROV = """
overlay syncprov
syncprov-nopresent TRUE
syncprov-reloadhint TRUE
"""
_SYNCREPL = """
syncrepl rid=00{peer}
  provider={uri}
  bindmethod=sasl saslmech=EXTERNAL
  searchbase="{suffix}"
  logbase="cn=accesslog"
  logfilter="(&(objectClass=auditWriteObject)(reqResult=0))"
  syncdata=accesslog
  type=refreshAndPersist
  retry="1 +"
multiprovider on
"""


@dataclass(slots=True)
class Server:
    """One directory: one slapd, or two of which the first takes the writes. Copies of it are in `kept`."""

    kind: str
    folders: tuple[Path, ...]
    kept: Path
    running: list[SandboxStatus]

    @property
    def home(self) -> Path:
        """The folder of the sandbox whose server clients use."""
        return self.folders[0]

    @property
    def uri(self) -> str:
        return self.running[0].uris[0]

    @property
    def pids(self) -> list[int]:
        return [status.pid for status in self.running if status.pid is not None]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PIACTL_CONFIG": str(self.home / "piactl.yaml")}

    @property
    def secret(self) -> Path:
        """The nightly identity's password in a file without line end, which OpenLDAP's tools would send."""
        file = self.home / "secrets" / "nightly.bare"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes((self.home / "secrets" / "nightly").read_bytes().strip())
        return file

    def start(self) -> None:
        self.find()
        self.settle()

    def find(self) -> None:
        """Starts the servers that do not run, and notes the pids of all."""
        self.running = [start_sandbox(folder) for folder in self.folders]

    def stop(self) -> None:
        self.running = []
        for folder in self.folders:
            if (folder / "slapd").is_dir():
                stop_sandbox(folder)

    def keep(self, name: str) -> None:
        """Keeps a copy of the directory, the journal and the state of the host; `go_back` restores it."""
        self.stop()
        for folder in self.folders:
            for part in _KEPT:
                _copy(folder / part, self.kept / name / folder.name / part)
        self.start()

    def go_back(self, name: str) -> None:
        """Restores everything as it was at `keep`."""
        self.stop()
        for folder in self.folders:
            for part in _KEPT:
                _copy(self.kept / name / folder.name / part, folder / part)
        self.start()

    def tool(self, name: str, *words: str) -> list[str]:
        """The command of one of OpenLDAP's clients, which binds as the identity of piactl's nights."""
        return [name, "-H", self.uri, "-x", "-D", identity_dn("nightly"), "-y", str(self.secret), *words]

    def hold_lock(self) -> None:
        """Gives the run lock to the nightly identity, as root."""
        entry = f"dn: cn=lock,{STATE}\nobjectClass: piactlRecord\nobjectClass: piactlRunLock\ncn: lock\n"
        entry += f"piactlData: {{}}\npiactlWriter: {identity_dn('nightly')}\n"
        words = ["ldapadd", "-c", "-H", self.uri, "-Y", "EXTERNAL", "-Q"]
        done = subprocess.run(words, input=entry, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 68):  # it is held already
            raise RuntimeError(f"ldapadd of the lock: {done.stderr}")

    def ask(self, base: str, query: str, *attributes: str, scope: str = "sub") -> Iterator[str]:
        """The lines of LDIF of a search by root, one at a time."""
        yield from self._ask(self.uri, base, query, *attributes, scope=scope)

    def written_since(self, moment: datetime) -> int:
        """How many entries below the accounts were written since then, by any program.

        Raises RuntimeError if the second provider does not have them too.
        """
        csn = moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%fZ") + "#000000#000#000000"
        counts = [self._count(status.uris[0], f"(entryCSN>={csn})") for status in self.running]
        if len(set(counts)) > 1:
            raise RuntimeError(f"of the two providers one has {counts[0]} new entries, the other {counts[1]}")
        return counts[0]

    def settle(self) -> float:
        """Waits until the second provider, if there is one, has all that the first has; returns the seconds.

        Raises RuntimeError if they do not agree in time.
        """
        begun = time.monotonic()
        while not self._agree():
            if time.monotonic() - begun > _SYNC_SECONDS:
                raise RuntimeError(f"the two providers did not agree within {_SYNC_SECONDS} s")
            time.sleep(0.02)
        return time.monotonic() - begun

    def _agree(self) -> bool:
        """Whether the second server knows the last change of each server that the first one knows."""
        states = [self._state(status.uris[0]) for status in self.running]
        return all(states[-1].get(number, "") >= csn for number, csn in states[0].items()) and all(states)

    def _state(self, uri: str) -> dict[str, str]:
        """The contextCSN by the number of the server; {"": ""} for a directory that keeps none."""
        lines = list(self._ask(uri, SUFFIX, "(objectClass=*)", "contextCSN", scope="base"))
        values = [line.split()[1] for line in lines if line.startswith("contextCSN:")]
        none = {"": ""} if lines else {}
        return {value.split("#")[2]: value for value in values} or none

    def _count(self, uri: str, query: str) -> int:
        return sum(line.startswith("dn:") for line in self._ask(uri, ACCOUNTS, query, "1.1", scope="sub"))

    def _ask(self, uri: str, base: str, query: str, *attributes: str, scope: str) -> Iterator[str]:
        words = ["ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-H", uri, "-Y", "EXTERNAL", "-Q"]
        words += ["-b", base, "-s", scope, query, *attributes]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
            assert search.stdout is not None
            yield from search.stdout
        if search.returncode not in (0, 32):  # an empty second provider has no base yet
            raise RuntimeError(f"ldapsearch {query}: exit code {search.returncode}")


@contextmanager
def new_server(kind: str, folder: Path, register: Path, people: int) -> Iterator[Server]:
    """A running directory without accounts; at the end each slapd is stopped by its pid."""
    names = ("one", "two") if kind == "providers" else ("one",)
    folders = tuple(folder / kind / name for name in names)
    server = Server(kind, folders, folder / kind / "kept", [])
    try:
        for each in folders:
            each.mkdir(parents=True)
            start_sandbox(each, accesslog=kind != "bare")
            shutil.copyfile(register, each / "establishments.csv")
        uris = [start_sandbox(each).uris[0] for each in folders]
        server.stop()
        for number, each in enumerate(folders):
            _settings(each, people, number + 1, uris)
        if len(folders) > 1:
            for name in ("data", "log"):  # the second has only what the first sends it
                shutil.rmtree(folders[1] / "slapd" / name)
                (folders[1] / "slapd" / name).mkdir(mode=0o700)
        server.start()
        yield server
    finally:
        server.stop()


def load_quickly(server: Server, ldif: Path) -> None:
    """Writes entries into the database while the server is stopped."""
    server.stop()
    for folder in server.folders:
        words = [str(find_software().slapadd), "-q", "-f", str(folder / "slapd" / "slapd.conf")]
        subprocess.run([*words, "-b", SUFFIX, "-l", str(ldif)], check=True, stderr=subprocess.DEVNULL)
    server.start()


def _settings(folder: Path, people: int, number: int, uris: Sequence[str]) -> None:
    """Sets the size of the database; with two servers, each replicates the access log of the other."""
    file = folder / "slapd" / "slapd.conf"
    text = file.read_text(encoding="utf-8")
    room = people * _BYTES_A_PERSON
    text = re.sub(r"(?m)^maxsize (\d+)$", lambda match: f"maxsize {max(room, int(match[1]))}", text)
    if len(uris) > 1:
        peer = 3 - number
        syncrepl = _SYNCREPL.format(peer=peer, uri=uris[peer - 1], suffix=SUFFIX)
        text = f"serverID {number}\n{text}"
        main = text.index("\n# ---- the directory\n")
        text = text[:main] + _LOG_SYNCPROV + text[main:]
        # before the overlays of the main database: these settings are the database's own
        overlays = text.index("\n# ---- overlays\n")
        text = text[:overlays] + syncrepl + text[overlays:]
    file.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    """Copies a folder and syncs it to the disk: pending writes would slow the next commit down."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o700, parents=True)
    for file in source.iterdir():
        if file.name == "lock.mdb":
            continue
        if file.is_dir():
            _copy(file, target / file.name)
            continue
        shutil.copy2(file, target / file.name)
        with (target / file.name).open("rb") as copy:
            os.fsync(copy.fileno())
