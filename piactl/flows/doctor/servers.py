"""Checks of each configured server: reachability, identities, functions, and the checks it is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from piactl.core.model.settings import DirectorySettings, IdentityName, PasswordSettings
from piactl.directory.client.controls import ASSERTION, PAGED, POST_READ, PRE_READ
from piactl.directory.probe.server_config import ServerConfig, read_server_config, server_version
from piactl.directory.probe.trial_requests import Probe, ServerUnusable, open_probe
from piactl.directory.store.context_csn import CONTEXT_CSN, context_of, csns_in
from piactl.errors import PiactlError, SecretUnusable
from piactl.flows.doctor.checks import (
    CHECKS,
    CheckResult,
    Finding,
    broken,
    error,
    finding,
    fine,
    skipped,
    unless_broken,
    warning,
    worst,
)
from piactl.roles import may_use
from piactl.secret_files import identity_password

UPGRADE_PAGE = "docs/upgrade-directory.md has the commands for an existing directory."
_VERSION = re.compile(r"slapd (\d+)\.(\d+)")
_ORDER = ("reader", "administrator", "nightly", "desk", "approver")
"""The order of binding; the first two can read the server's settings."""


@dataclass(slots=True)
class Server:
    """One server with a probe for each identity that could bind; `config` is None if it is not readable."""

    uri: str
    settings: DirectorySettings
    probes: dict[str, Probe]
    config: ServerConfig | None = None
    now: Callable[[], datetime] = field(kw_only=True)
    passwords: PasswordSettings = field(default=PasswordSettings(), kw_only=True)
    portal: bool = field(default=False, kw_only=True)
    """Whether a portal asks for one-time codes, not the server."""
    lock_csn: str = field(default="", kw_only=True)
    """The entryCSN of the run lock, if doctor held it for a trial."""

    @property
    def first(self) -> Probe:
        return next(iter(self.probes.values()))

    def csns(self) -> dict[str, str]:
        """Its contextCSN, by serverID."""
        return csns_in(self.first.entry(context_of(self.first.facts, self.settings.suffix), [CONTEXT_CSN]))

    def each(self) -> Iterator[Probe]:
        yield from self.probes.values()

    def of_accounts(self) -> Iterator[tuple[str, Probe]]:
        """The identities that work on accounts: the approver reads and writes none."""
        return ((name, probe) for name, probe in self.probes.items() if name != IdentityName.APPROVER)


def examine_server(
    uri: str,
    settings: DirectorySettings,
    passwords: PasswordSettings,
    now: Callable[[], datetime],
    checks: Mapping[str, Callable[[Server], CheckResult]],
    *,
    portal: bool = False,
) -> Iterator[Finding]:
    """Yields D11 to D14, then `checks`, in order. A check is skipped if no identity can bind, or if the
    connection breaks."""
    with ExitStack() as stack:
        probes: dict[str, Probe] = {}
        try:
            answers, binds, probes = _bind_all(uri, settings, stack)
            yield finding("D11", answers, uri)
        except Exception as bug:  # noqa: BLE001 - the other servers must still be checked
            yield broken("D11", bug, uri)
            binds = skipped("the check of D11 failed")
        yield finding("D12", binds, uri)
        if not probes:
            for id_ in ("D13", "D14", *checks):
                yield finding(id_, skipped("no identity can bind (D12)"), uri)
            return
        server = Server(uri, settings, probes, now=now, passwords=passwords, portal=portal)
        try:
            server.config = _config(server)
        except Exception as bug:  # noqa: BLE001 - the checks that do not need it go on
            yield broken("D16", bug, uri)
        for id_, check in {"D13": _functions, "D14": _takes_writes, **checks}.items():
            yield _asked(id_, check, server)


def _asked(id_: str, check: Callable[[Server], CheckResult], server: Server) -> Finding:
    try:
        return unless_broken(id_, lambda: check(server), server.uri)
    except PiactlError as lost:
        return finding(id_, skipped(f"interrupted: {str(lost).removeprefix(f'{server.uri}: ')}"), server.uri)


def _config(server: Server) -> ServerConfig | None:
    for probe in server.each():
        try:
            config = read_server_config(probe, server.settings.suffix)
        except PiactlError:
            continue
        if config is not None:
            return config
    return None


def _bind_all(
    uri: str, settings: DirectorySettings, stack: ExitStack
) -> tuple[CheckResult, CheckResult, dict[str, Probe]]:
    """The results of D11 and D12, and a probe for each identity that could bind."""
    probes: dict[str, Probe] = {}
    refused: list[str] = []
    unreadable: list[str] = []
    mine = [name for name in settings.identities if may_use(name)]
    for name in sorted(mine, key=lambda n: (*_ORDER, n).index(n)):
        try:
            probes[name] = stack.enter_context(open_probe(uri, settings, name, identity_password))
        except SecretUnusable as why:
            unreadable.append(name)
            refused.append(f"{name}: {why}")
        except ServerUnusable as why:
            if not why.refused:
                return _silent(str(why)), skipped("the server does not answer"), {}
            refused.append(f"{name}: {why}")
    if not probes and len(unreadable) == len(mine):
        return skipped("no password can be read (D05)"), skipped("no password can be read"), {}
    advice = "Correct the DN, the password file, or the identity's entry on the server."
    binds = worst(refused, [], advice, f"{', '.join(probes)} can bind")
    return fine(_transport(uri, settings)), binds, probes


def _silent(why: str) -> CheckResult:
    advice = "Start the server, or correct its address under directory.servers (or directory.tls)."
    if why.startswith("TLS: "):  # the server answers, and the reason says what to do
        advice = "Correct the certificates or directory.tls."
    return error(why, advice)


def _transport(uri: str, settings: DirectorySettings) -> str:
    scheme = uri.partition("://")[0].lower()
    if scheme == "ldapi":
        return "local socket"
    if scheme != "ldaps" and not settings.tls.starttls:
        return "unencrypted, on this host only"
    verified = "certificate verified" if settings.tls.strict else "certificate verified, not strictly"
    return f"{'TLS' if scheme == 'ldaps' else 'StartTLS'}, {verified}"


def _functions(server: Server) -> CheckResult:
    facts = server.first.facts
    version = next(filter(None, map(server_version, server.each())), "") or facts.vendor
    lacking = []
    if ASSERTION not in facts.controls:
        lacking.append("no assertions (RFC 4528): a change between reading and writing can go unnoticed")
    if PAGED not in facts.controls:
        lacking.append("no paged results (RFC 2696): large searches need much memory and unlimited size")
    if not {PRE_READ, POST_READ} <= facts.controls:
        lacking.append("no pre-read and post-read (RFC 4527): each night reads again what the last one wrote")
    number = _VERSION.search(version)
    if number and (int(number[1]), int(number[2])) < (2, 5):
        lacking.append(f"{version} is older than OpenLDAP 2.5")
    good = f"{version or 'unknown version'}; assertions, paged results"
    return worst([], lacking, "Use OpenLDAP 2.5 or later.", good)


def _takes_writes(server: Server) -> CheckResult:
    if ASSERTION not in server.first.facts.controls:
        return skipped("not tried: the server has no assertions (RFC 4528)")
    why = server.first.refuses_writes(server.settings.suffix)
    if not why:
        return fine("yes")
    advice = "Name a provider that accepts writes in directory.servers; check olcReadOnly of its database."
    if len(server.settings.servers) > 1:
        return warning(f"{why}; it is used for reading only", advice)
    return error(why, advice)


def reachable(findings: list[Finding]) -> bool:
    """Whether any server answered, or could not be tried because of this host."""
    reached = [f for f in findings if f.check is CHECKS["D11"]]
    return any(f.outcome.value != "error" for f in reached)
