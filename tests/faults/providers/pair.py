"""Two providers of one directory by delta-syncrepl, each with piactl's schema, rights and overlays.

Replication goes through a `Link` of the test, which sets the lag, and begins and ends a partition. Over TLS,
piactl and the providers use ldaps with certificates of a private CA. `Pair.reset` puts both back to the
morning before the night of `World`.
"""

from __future__ import annotations

import contextlib
import csv
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import ldap3
import pytest

from piactl.sandbox import server, stop_sandbox
from piactl.sandbox.folder import ACCOUNTS, SUFFIX, tree_settings
from tests.directory.plain_slapd import free_port
from tests.directory.test_private_ca import HERE, RIGHT_CA, Certificates
from tests.faults.night.building import PEOPLE, build_world, end_world
from tests.faults.night.world import FIRST, LOG, World

from .checker import (
    OF_A_RUN,
    Entries,
    chain_faults,
    differences,
    directory,
    doubled,
    lost_writes,
    of_nights,
    outcome_faults,
)
from .delaying_proxy import Link

CONVERGED = 120.0
"""Seconds within which two providers that reach each other have the same contextCSN. If both refresh at the
same time, slapd refuses one of them (53), which tries again after a minute."""
_ROOT = tree_settings()["root"]
_ON_THE_FIRST_DAY = f"""
from datetime import date
import piactl.clock as clock
clock.civil_today = lambda timezone: date.fromisoformat("{FIRST}")
"""
_LOG_PROVIDER = """
overlay syncprov
syncprov-nopresent TRUE
syncprov-reloadhint TRUE
syncprov-checkpoint 1 1

"""
_CERTIFICATE = (("File", "pem"), ("KeyFile", "key"))
_CONSUMER = """
rootpw {password}
syncrepl rid=00{number} provider={uri} bindmethod=simple binddn="{root}" credentials={password}
  {tls}searchbase="{suffix}" logbase="{log}" logfilter="(&(objectClass=auditWriteObject)(reqResult=0))"
  syncdata=accesslog schemachecking=on type=refreshAndPersist retry="1 +"
multiprovider on

"""


@dataclass
class Pair:
    """`one` is the first server of the configuration, `two` the other; `links` lead to them, in this order.

    `servers` are their addresses for piactl. `undisturbed` is the directory after a night that nothing
    disturbs, `config` names both servers.
    """

    one: World
    two: World
    links: tuple[Link, Link]
    servers: tuple[str, str]
    undisturbed: Entries = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.one.folder / "both.yaml"

    @property
    def keys(self) -> Path:
        return self.one.folder / "secrets" / "keys"

    def host(self, name: str, servers: list[str]) -> Path:
        """The configuration of another host: a journal and state files of its own."""
        own = self.one.folder / name
        shutil.rmtree(own, ignore_errors=True)
        return self.one.configure(
            f"{name}.yaml",
            directory__servers=servers,
            journal=str(own / "journal" / "piactl.jsonl"),
            state_folder=str(own / "state"),
        )

    # ---- lag and partition

    def lag(self, seconds: float) -> None:
        """Delays what one provider sends to the other by `seconds`."""
        for link in self.links:
            link.delay = seconds

    def part(self) -> None:
        """Separates the providers; data on the way are lost."""
        for link in self.links:
            link.cut()

    def heal(self) -> None:
        for link in self.links:
            link.mend()

    def stamps(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """The contextCSN of both: the last write by each provider that each of them has."""
        return _context(self.one), _context(self.two)

    def converge(self, limit: float = CONVERGED) -> float:
        """Waits until both have the same contextCSN; returns the seconds it took. Fails after `limit`."""
        began = time.monotonic()
        while True:
            first, second = self.stamps()
            waited = time.monotonic() - began
            if first and first == second:
                return waited
            assert waited < limit, f"not the same after {limit:.0f} s: {first} and {second}"
            time.sleep(0.02)

    def come_back(self, *, in_turn: bool) -> None:
        """Starts the first provider again; returns when it has all that the second one wrote.

        `in_turn`: the second one connects only then. The last writes of a killed provider may reach the other
        only with its next write, so that `converge` would not end.
        """
        if in_turn:
            self.links[0].cut()
        self.one.start_slapd()
        until = time.monotonic() + CONVERGED
        while not _covers(*self.stamps()):
            assert time.monotonic() < until, "the first provider does not catch up"
            time.sleep(0.02)
        self.links[0].mend()

    def begin_logs(self) -> None:
        """Empties the access logs, which began before the servers had numbers. Until now a server that was
        away read everything anew; from now on it resumes from the log of the other."""
        for world in (self.one, self.two):
            world.kill_slapd()
            for file in (world.folder / "slapd" / "log").iterdir():
                file.unlink()
        for world in (self.one, self.two):
            world.start_slapd()
            write_once(world)
        self.converge()

    # ---- what is there

    def directories(self) -> tuple[Entries, Entries]:
        """All entries of both as root sees them."""
        return directory(self.one.uri, SUFFIX), directory(self.two.uri, SUFFIX)

    def findings(self, *journals: Path) -> list[str]:
        """Everything that is wrong, in words: between the two directories, between each of them and the
        undisturbed night or the journal, and in the journal itself. `journals` are those of other hosts."""
        first, second = self.directories()
        findings = [f"the two servers: {finding}" for finding in differences(first, second)]
        own = (self.one.journal, self.one.begin)
        for name, entries in (("first server", first), ("second server", second)):
            deviations = differences(of_nights(entries), of_nights(self.undisturbed), OF_A_RUN)
            findings += [f"{name}, undisturbed night: {finding}" for finding in deviations]
            findings += [f"{name}: {finding}" for finding in doubled(entries)]
            for journal, since in (own, *((path, 0) for path in journals)):
                lost = lost_writes(journal, self.keys, entries, since)
                findings += [f"{name}, journal: {finding}" for finding in lost]
        for journal in (self.one.journal, *journals):
            findings += [
                f"journal: {finding}" for finding in [*chain_faults(journal), *outcome_faults(journal)]
            ]
        return findings

    def keep(self, folder: Path) -> None:
        """Copies what a fault left on both servers to `folder`; see `World.keep`."""
        for name, world in (("first", self.one), ("second", self.two)):
            (folder / name).mkdir()
            world.keep(folder / name)

    # ---- the morning before the night

    def reset(self) -> None:
        """Puts servers, journal and state files back; the providers reach each other without lag."""
        self.heal()
        self.lag(0.0)
        # both must be down at the same time: one would get what the other still has from the previous test
        for world in (self.one, self.two):
            world.restore()
        for world in (self.one, self.two):
            world.start_slapd()

    def close(self) -> None:
        for link in self.links:
            link.close()
        for world in (self.one, self.two):
            end_world(world)


def _context(world: World) -> frozenset[bytes]:
    with world.root() as connection:
        connection.search(SUFFIX, "(objectClass=*)", ldap3.BASE, attributes=["contextCSN"])
        return frozenset(connection.response[0]["raw_attributes"].get("contextCSN", ()))


def _covers(one: frozenset[bytes], other: frozenset[bytes]) -> bool:
    """Whether `one` has for each provider a CSN that is at least as new as in `other`."""
    newest = {csn.split(b"#")[2]: csn for csn in one}
    return all(newest.get(csn.split(b"#")[2], b"") >= csn for csn in other)


def build_pair(people: int = PEOPLE, *, tls: bool = False) -> Pair:
    """Both providers started after the first load, with the result of the undisturbed night.

    Some of the accounts have passwords, activation passwords and locks; see `_give_passwords`.
    """
    one = build_world(people, accesslog=True, arrange=_give_passwords)
    undisturbed = directory(one.uri, SUFFIX)
    one.reset()
    stop_sandbox(one.folder)
    two = replace(one, folder=one.folder.with_name(f"{one.folder.name}-two"))
    shutil.copytree(one.folder, two.folder)
    if tls:
        ports = tuple(_serve_ldaps(world, one.folder) for world in (one, two))
        links = (Link(ports[0]), Link(ports[1]))
        servers = (f"ldaps://127.0.0.1:{ports[0]}", f"ldaps://127.0.0.1:{ports[1]}")
    else:
        links = (Link(one.folder / "slapd" / "ldapi"), Link(two.folder / "slapd" / "ldapi"))
        servers = (one.uri, two.uri)
    pair = Pair(one, two, links, servers, undisturbed)
    try:
        password = secrets.token_urlsafe(16)
        for number, (world, other) in enumerate(((one, links[1]), (two, links[0])), 1):
            _replicate(world, one.folder, number, other, password)
        tls_settings = {"directory__tls": {"ca_file": str(one.folder / "ca.pem")}} if tls else {}
        one.configure(
            pair.config.name,
            directory__servers=[*servers],
            **tls_settings,
        )
        for world in (one, two):
            world.start_slapd()
        for world in (one, two):
            write_once(world)
        pair.converge()
        pair.begin_logs()
        for world in (one, two):
            world.save()
        pair.converge()
    except BaseException:
        pair.close()
        raise
    return pair


def _replicate(world: World, made_in: Path, number: int, other: Link, password: str) -> None:
    """Writes the settings of one provider, which resets restore: those of the sandbox and replication."""
    text = (world.folder / "slapd" / "slapd.conf").read_text().replace(str(made_in), str(world.folder))
    lines = f"serverID {number}\n"
    if tls := other.uri.startswith("ldaps"):
        lines += "".join(f"TLSCertificate{w} {made_in / world.folder.name}.{e}\n" for w, e in _CERTIFICATE)
    text = _inserted(text, r"pidfile .*\n", lines)
    # the other provider reads the log
    text = _inserted(text, r"# ---- the directory\n", _LOG_PROVIDER)
    consumer = _CONSUMER.format(
        number=number,
        uri=other.uri,
        root=_ROOT,
        password=password,
        suffix=SUFFIX,
        log=LOG,
        tls=f"tls_cacert={made_in / 'ca.pem'} tls_reqcert=demand " if tls else "",
    )
    text = _inserted(text, r"# ---- overlays\n", consumer)
    (world.folder / "slapd" / "slapd.conf").write_text(text)


def _serve_ldaps(world: World, ca: Path) -> int:
    """Makes the provider serve ldaps too, with a certificate of the private CA in `ca`; returns its port."""
    made = Certificates(ca)
    if not (ca / "ca.pem").exists():
        made.ca("ca", *RIGHT_CA)
    name = world.folder.name
    made.signed(name, "ca", HERE)
    (world.folder / "slapd" / "ldaps-port").write_text(str(port := free_port()))
    return port


@contextlib.contextmanager
def ldaps_too() -> Iterator[None]:
    """Inside, sandboxes with a port for ldaps are started with it."""
    launch = server.launch

    def launched(command: list[str], log: Path) -> server.Process:
        port = log.parent / "slapd" / "ldaps-port"
        if port.exists():
            listen = command.index("-h") + 1
            command[listen] += f" ldaps://127.0.0.1:{port.read_text()}/"
        return launch(command, log)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(server, "launch", launched)
        yield


def write_once(world: World) -> None:
    """Writes and undoes the write: from then on the provider has its own CSN."""
    with world.root() as connection:
        for operation in (ldap3.MODIFY_ADD, ldap3.MODIFY_DELETE):
            connection.modify(SUFFIX, {"description": [(operation, [world.folder.name])]})


def _inserted(text: str, before: str, addition: str) -> str:
    matches = list(re.finditer(rf"(?m)^{before}", text))
    assert len(matches) == 1, f"{before!r} stands {len(matches)} times in slapd.conf"
    return text[: matches[0].start()] + addition + text[matches[0].start() :]


def _give_passwords(world: World) -> None:
    """Gives twelve accounts an activation password; six people choose their own, one is blocked by wrong
    passwords, and an administrator locks one."""
    uids = sorted(dn.split(",")[0].removeprefix("uid=") for dn in world.snapshot().accounts)[::19][:12]
    codes = world.folder / "codes.csv"
    _done(world, "password", "activate", *uids, "--administrator", "--out", str(codes), "--yes")
    with codes.open(encoding="utf-8-sig") as file:
        activation_passwords = {row["uid"]: row["activation_password"] for row in csv.DictReader(file)}
    codes.unlink()
    for uid in uids[:6]:
        _simple_bind(world, uid, activation_passwords[uid], then=secrets.token_urlsafe(18))
    for _ in range(6):
        with contextlib.suppress(ldap3.core.exceptions.LDAPInvalidCredentialsResult):
            _simple_bind(world, uids[6], "not the password")
    _done(world, "account", "lock", uids[7], "--reason", "trial", "--yes")


def _done(world: World, *words: str) -> None:
    ended = world.run(world.command(*words, prelude=_ON_THE_FIRST_DAY))
    assert ended.code == 0, ended.said


def _simple_bind(world: World, uid: str, password: str, then: str = "") -> None:
    """Binds as an account; with `then`, its owner makes this the password."""
    dn = f"uid={uid},{ACCOUNTS}"
    ldap_server = ldap3.Server(world.uri, get_info=ldap3.NONE)
    connection = ldap3.Connection(ldap_server, dn, password, raise_exceptions=True, receive_timeout=30)
    try:
        connection.bind()
        if then:
            connection.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [then])]})
    finally:
        connection.unbind()
