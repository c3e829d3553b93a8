"""A directory of invented people on a real slapd, reset to the same night before every fault.

`World.reset` gives the state after a first load: some 240 accounts. `World.feeds` are the feeds of the next
night, a rentrée in which nearly everybody changes, and `World.reference` is what an undisturbed run with
them leaves. A fault strikes a run with these feeds; its result is compared with the reference.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import ldap3
import yaml

from piactl.core.journal_line import JournalLine
from piactl.core.model.settings import DirectorySettings
from piactl.journal import read_lines
from piactl.sandbox import start_sandbox, stop_sandbox
from piactl.sandbox.folder import ACCOUNTS, GROUPS, STATE, SUFFIX
from piactl.sandbox.server import find_software
from tests.cli.streams import Forked, shared_forks

ROOT = Path(__file__).resolve().parents[3]
FIRST, NEXT = date(2026, 8, 22), date(2026, 9, 2)
LOCK = f"cn=lock,{STATE}"
LOG = "cn=accesslog"
IN_FLIGHT = DirectorySettings((), "", "", "", {}).in_flight
"""How many writes of a night may be in flight at once."""


_VOLATILE = frozenset(
    "entryUUID entryCSN createTimestamp modifyTimestamp creatorsName modifiersName structuralObjectClass "
    "entryDN subschemaSubentry hasSubordinates member memberOf".split()
)
"""What the server sets itself, also the members of groups, which follow from their definitions."""
_KEPT = ("slapd/data", "slapd/log", "journal", "state")
"""The folders that are restored to the morning before the night."""
_MAIN = "\nfrom piactl.cli.main import main\nmain()"
Entries = dict[str, dict[str, list[bytes]]]


@dataclass(frozen=True)
class Ended:
    """A run that ended: its exit code (negative: the signal that killed it) and what it said."""

    code: int
    out: str
    said: str
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """All that a run should leave: every attribute of every account and group, and piactl's memory."""

    entries: Mapping[str, Mapping[str, list[bytes]]]
    memory: Mapping[str, Any]

    @property
    def accounts(self) -> Mapping[str, Mapping[str, list[bytes]]]:
        """The entries without the groups."""
        return {dn: entry for dn, entry in self.entries.items() if dn.endswith(ACCOUNTS)}


@dataclass
class World:
    """One sandbox with its files. `changed` are the DNs of the accounts and groups that the night changes,
    `begin` is the number of the last journal line before it, `seconds` how long an undisturbed run took here,
    `limit` how long any run may take."""

    folder: Path
    feeds: tuple[str, ...] = ()
    before: Snapshot = field(default_factory=lambda: Snapshot({}, {}))
    reference: Snapshot = field(default_factory=lambda: Snapshot({}, {}))
    changed: frozenset[str] = frozenset()
    begin: int = 0
    seconds: float = 0.0
    limit: float = 150.0

    # ---- the program

    def command(self, *words: str, config: Path | None = None, prelude: str = "") -> list[str]:
        """The words that start piactl; `prelude` is Python code that runs before it in the same process."""
        start = ["-c", f"{prelude}{_MAIN}"] if prelude else ["-m", "piactl"]
        return [sys.executable, *start, "--config", str(config or self.config), *words]

    def night(self, *, config: Path | None = None, prelude: str = "") -> list[str]:
        """The command of the night: `nightly` with `feeds`."""
        return self.command("nightly", "--as-of", str(NEXT), *self.feeds, config=config, prelude=prelude)

    def spawn(self, command: list[str]) -> Forked:
        """Starts a command in a process of its own, forked from one that has everything loaded."""
        _, option, start, *words = command
        program = start.removesuffix(_MAIN) if option == "-c" else ""
        return shared_forks().start(words, Path(words[1]), self.folder, program=program, inside=self.folder)

    def spawn_program(self, command: list[str]) -> subprocess.Popen[str]:
        """Starts another program, a group of processes of its own, such as strace with a command."""
        return subprocess.Popen(
            # nohup, and a shell that starts tests in the background, make signals ignored
            ["env", "--default-signal=HUP,INT", *command],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, command: list[str]) -> Ended:
        """Runs a command, or another program, to its end, for at most `limit` seconds."""
        began = time.monotonic()
        start = self.spawn if command[0] == sys.executable else self.spawn_program
        return self.wait(start(command), began)

    def wait(self, process: Forked | subprocess.Popen[str], began: float) -> Ended:
        try:
            out, messages = process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"a run did not end within {self.limit:.0f} s") from None
        assert "Traceback" not in messages, messages
        assert process.returncode != 70, messages
        return Ended(process.returncode, out, messages, time.monotonic() - began)

    # ---- the files

    @property
    def config(self) -> Path:
        return self.folder / "piactl.yaml"

    @property
    def journal(self) -> Path:
        return self.folder / "journal" / "piactl.jsonl"

    def configure(self, name: str, *, base: Path | None = None, **changes: Any) -> Path:
        """A second configuration of the same site: that of `base` with `changes`."""
        settings = yaml.safe_load((base or self.config).read_text())
        for key, value in changes.items():
            place, _, inner = key.rpartition("__")
            (settings[place] if place else settings)[inner] = value
        path = self.folder / name
        path.write_text(yaml.safe_dump(settings, allow_unicode=True))
        return path

    # ---- the server

    @property
    def pid(self) -> int:
        return int(json.loads((self.folder / "slapd" / "process.json").read_text())["pid"])

    def kill_slapd(self) -> None:
        """kill -9 of exactly the server of this sandbox; returns when it is gone."""
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while _runs(pid):
            assert time.monotonic() < until, f"slapd {pid} does not go"
            time.sleep(0.002)

    def start_slapd(self) -> None:
        start_sandbox(self.folder)

    def server_settings(self, **lines: str) -> None:
        """Sets directives of the server's database and restarts it: maxsize="...", readonly="on"."""
        stop_sandbox(self.folder)
        path = self.folder / "slapd" / "slapd.conf"
        head, mark, tail = path.read_text().rpartition("\ndatabase mdb\n")
        assert mark
        for name, value in lines.items():
            tail = re.sub(rf"(?m)^{name} .*\n", "", tail)
            if value:
                # database directives come before the overlays, and the suffix is the first of them
                tail = re.sub(r"(?m)^(suffix .*\n)", rf"\g<1>{name} {value}\n", tail, count=1)
        path.write_text(head + mark + tail)
        self.start_slapd()

    def rewrite_database(
        self,
        *,
        like: World | None = None,
        edit: Callable[[str], str] = lambda ldif: ldif,
        base: str = SUFFIX,
    ) -> None:
        """Writes the database of `base` anew, without the free pages that earlier writes left in its file.
        Its content is its own or that of the server `like`, changed by `edit`."""
        stop_sandbox(self.folder)
        slapadd = find_software().slapadd
        slapcat = [slapadd.with_name("slapcat"), "-o", "ldif-wrap=no", "-b", base, "-f"]
        settings = Path("slapd", "slapd.conf")
        content = subprocess.run(
            [*slapcat, (like or self).folder / settings], check=True, capture_output=True, text=True
        ).stdout
        for file in (self.folder / "slapd" / ("log" if base == LOG else "data")).iterdir():
            file.unlink()
        command = [slapadd, "-b", base, "-f", self.folder / settings]
        subprocess.run(command, input=edit(content), check=True, capture_output=True, text=True)
        self.start_slapd()

    def reset(self) -> None:
        """Puts directory, server settings, journal and state files back to the morning before the night."""
        self.restore()
        self.start_slapd()

    def restore(self) -> None:
        """Kills the server, and puts everything back like `reset`."""
        self.kill_slapd()
        saved = self.folder / "saved"
        for name in _KEPT:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(saved / name, self.folder / name)
        shutil.copy(saved / "slapd.conf", self.folder / "slapd" / "slapd.conf")

    def save(self) -> None:
        stop_sandbox(self.folder)
        saved = self.folder / "saved"
        shutil.rmtree(saved, ignore_errors=True)
        for name in _KEPT:
            shutil.copytree(self.folder / name, saved / name)
        shutil.copy(self.folder / "slapd" / "slapd.conf", saved / "slapd.conf")
        self.start_slapd()

    def keep(self, folder: Path) -> None:
        """Copies what a fault left to a new folder: journal, state files, messages of the server, and its
        entries and access log as LDIF, even if the server is down."""
        for name in ("journal", "state"):
            shutil.copytree(self.folder / name, folder / name)
        shutil.copy(self.folder / "slapd.log", folder)
        settings = self.folder / "slapd" / "slapd.conf"
        slapcat = find_software().slapadd.with_name("slapcat")
        for base in (SUFFIX, LOG):
            if f'suffix "{base}"' in settings.read_text():
                command = [slapcat, "-f", settings, "-o", "ldif-wrap=no", "-b", base]
                with (folder / f"{base}.ldif").open("wb") as file:
                    subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=True)

    # ---- what is there

    @property
    def uri(self) -> str:
        return "ldapi://" + str(self.folder / "slapd" / "ldapi").replace("/", "%2F")

    @contextlib.contextmanager
    def root(self) -> Iterator[ldap3.Connection]:
        connection = ldap3.Connection(
            ldap3.Server(self.uri, get_info=ldap3.NONE),
            authentication=ldap3.SASL,
            sasl_mechanism=ldap3.EXTERNAL,
            sasl_credentials="",
            raise_exceptions=True,
            auto_referrals=False,
            check_names=False,
            receive_timeout=30,
        )
        connection.bind()
        try:
            yield connection
        finally:
            connection.unbind()

    def entries(self, base: str = SUFFIX, attributes: tuple[str, ...] = ("*", "+")) -> Entries:
        """All entries below `base` as root sees them, with every attribute unless others are given."""
        with self.root() as connection:
            connection.search(base, "(objectClass=*)", ldap3.SUBTREE, attributes=list(attributes))
            return {e["dn"]: dict(e["raw_attributes"]) for e in connection.response if "dn" in e}

    def stamps(self, base: str = SUFFIX) -> frozenset[tuple[str, bytes]]:
        """The DN and entryCSN of every entry: after any write the set differs."""
        entries = self.entries(base, ("entryCSN",))
        return frozenset((dn, values["entryCSN"][0]) for dn, values in entries.items())

    def snapshot(self) -> Snapshot:
        return snapshot(self.entries(f"ou=ac-amiens,ou=education,{SUFFIX}"))

    def expect(self) -> None:
        """Makes the present content, after an undisturbed night, the reference for every night."""
        self.reference = self.snapshot()
        was, now = self.before.entries, self.reference.entries
        self.changed = frozenset(dn for dn in {*was, *now} if was.get(dn) != now.get(dn))

    def runs(self) -> dict[str, dict[str, Any]]:
        """The records of the runs, by run."""
        entries = self.entries(f"ou=runs,{STATE}")
        records = [
            json.loads(values["piactlData"][0]) for values in entries.values() if "piactlData" in values
        ]
        return {record["run"]: record for record in records if "status" in record}

    def lock(self) -> dict[str, Any] | None:
        """The record of the lock, None if nobody holds it."""
        with self.root() as connection:
            try:
                connection.search(LOCK, "(objectClass=*)", ldap3.BASE, attributes=["piactlData"])
            except ldap3.core.exceptions.LDAPNoSuchObjectResult:
                return None
            return dict(json.loads(connection.response[0]["raw_attributes"]["piactlData"][0]))

    def lines(self) -> list[JournalLine]:
        """The lines of the journal since the night began."""
        return [line for line in read_lines(str(self.journal)) if line.seq > self.begin]

    def fill(self) -> int:
        """How many lines the journal has got since the night began, read quickly from its head file."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(Path(f"{self.journal}.head").read_text()[:20]) - self.begin
        return 0


def snapshot(entries: Entries) -> Snapshot:
    accounts: dict[str, dict[str, list[bytes]]] = {}
    memory: dict[str, Any] = {}
    for dn, values in entries.items():
        if dn.endswith(("," + ACCOUNTS, "," + GROUPS)):
            accounts[dn] = {name: sorted(v) for name, v in values.items() if name not in _VOLATILE}
        elif dn.endswith((f",ou=sources,{STATE}", f",ou=waiting,{STATE}")):
            memory[dn] = (values["piactlData"], values.get("piactlNextDue"))
        elif dn == f"cn=state,{STATE}":
            # the run, its plan and the accounts that it found differ between runs
            record = json.loads(values["piactlData"][0])
            memory[dn] = {n: value for n, value in record.items() if n not in ("run", "plan", "census")}
    return Snapshot(accounts, memory)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
