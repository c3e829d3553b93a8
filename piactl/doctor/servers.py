"""Each configured server, and the checks of the way to it: does it answer, take writes, replicate?"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from piactl.directory import filters
from piactl.directory.client.parse_schema import Subschema
from piactl.directory.probe.schema_check import NEEDED_SERVER, read_subschema, why_older
from piactl.directory.probe.server_config import ServerConfig, read_server_config
from piactl.directory.probe.trial_requests import Probe, ServerUnusable, open_probe
from piactl.directory.same_on_servers import CONTEXT_CSN, context_of, csns_in
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.directory.store.record_entries import (
    APPROVALS,
    ATTEMPTS,
    IN_RECORD,
    REQUESTS,
    RUNS,
    SOURCES,
    WAITING,
    Places,
)
from piactl.doctor.facts import CheckResult, Content, error, fine, skipped, warning, worst
from piactl.errors import PiactlError, SecretUnusable
from piactl.host.roles_of_caller import may_use
from piactl.host.secret_files import identity_password
from piactl.phrase import Phrase, joined

UNSEEN = Phrase("Give the reader access, as slapd/slapd.conf.in does for cn=config and cn=monitor.")
UNPROTECTED = filters.none_of(filters.equals("piactlProtected", "TRUE"))
_ORDER = ("reader", "administrator", "nightly", "desk", "approver")
"""The order of binding; the first two can read the server's settings."""


@dataclass(slots=True)
class _Bound:
    """A probe for each identity that could bind, and why others could not. `silent` is why the server does
    not answer, "" if it does; `untried`: no password can be read."""

    probes: dict[str, Probe] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    silent: str = ""
    untried: bool = False


class Server:
    """One server. What several checks read of it is read once. Its connections are closed with `stack`."""

    def __init__(self, uri: str, content: Content, now: Callable[[], datetime], stack: ExitStack) -> None:
        self.uri = uri
        self.content = content
        self.now = now
        self.settings = content.settings.directory
        self.passwords = content.settings.password
        self.lock_csn = ""
        """The entryCSN of the run lock, if doctor held it for a trial."""
        self._stack = stack
        self._accounts: dict[str, str | None] = {}

    @cached_property
    def bound(self) -> _Bound:
        bound, unreadable = _Bound(), 0
        mine = [name for name in self.settings.identities if may_use(name)]
        for name in sorted(mine, key=lambda n: (*_ORDER, n).index(n)):
            try:
                probe = open_probe(self.uri, self.settings, name, identity_password)
                bound.probes[name] = self._stack.enter_context(probe)
            except SecretUnusable as why:
                unreadable += 1
                bound.refused.append(Phrase("{name}: {text}", name=name, text=str(why)))
            except ServerUnusable as why:
                if not why.refused:
                    return _Bound(silent=str(why))
                bound.refused.append(Phrase("{name}: {text}", name=name, text=str(why)))
        bound.untried = not bound.probes and unreadable == len(mine)
        return bound

    @property
    def probes(self) -> dict[str, Probe]:
        return self.bound.probes

    @property
    def first(self) -> Probe:
        return next(iter(self.probes.values()))

    @cached_property
    def config(self) -> ServerConfig | None:
        """The settings of the server, None if no identity may read them."""
        for probe in self.probes.values():
            try:
                config = read_server_config(probe, self.settings.suffix)
            except PiactlError:
                continue
            if config is not None:
                return config
        return None

    @property
    def overlays(self) -> Collection[str] | None:
        """The overlays of the database, None if no identity may see them."""
        return self.config.overlays if self.config is not None else None

    @cached_property
    def subschema(self) -> Subschema | None:
        return read_subschema(self.first.entry, self.first.facts.subschema)

    def account(self, query: str) -> str | None:
        """The DN of an account that the filter finds, asked for once; None if there is none."""
        if query not in self._accounts:
            entry = self.first.sample(self.settings.accounts, filters.all_of(IN_ACCOUNTS, query))
            self._accounts[query] = entry.dn if entry else None
        return self._accounts[query]

    def with_password(self) -> list[str]:
        """The identities that bind with a DN and a password; an EXTERNAL identity may have no entry."""
        return [name for name, one in self.settings.identities.items() if one.dn and not one.external]

    @cached_property
    def places(self) -> dict[str, str]:
        """The DN of one entry of each kind that rights are tried on, of those that exist."""
        places = {"suffix": self.settings.suffix, "account": self.account(UNPROTECTED)}
        places["protected"] = self.account(filters.equals("piactlProtected", "TRUE"))
        places |= {f"{name}'s own": self.settings.identities[name].dn for name in self.with_password()}
        for name in (RUNS, SOURCES, WAITING, ATTEMPTS, REQUESTS, APPROVALS):
            folder = Places(self.settings.state).folder(name)
            places[name] = folder if self.first.entry(folder, ["ou"]) else None
            if name in (ATTEMPTS, REQUESTS, APPROVALS) and places[name]:  # records have rules of their own
                record = self.first.sample(folder, IN_RECORD)
                places[name] = record.dn if record else folder
        return {kind: dn for kind, dn in places.items() if dn}

    @cached_property
    def csns(self) -> dict[str, str]:
        """Its contextCSN, by serverID."""
        return csns_in(self.first.entry(context_of(self.first.facts, self.settings.suffix), [CONTEXT_CSN]))


def answers(server: Server) -> CheckResult:
    why = server.bound.silent
    if server.bound.untried:
        return skipped(Phrase("no password can be read (D05)"))
    if not why:
        return fine(_transport(server))
    if why.startswith("TLS: "):  # the server answers, and the reason says what to do
        return error(why, Phrase("Correct the certificates or directory.tls."))
    return error(
        why, Phrase("Start the server, or correct its address under directory.servers (or directory.tls).")
    )


def _transport(server: Server) -> str:
    scheme = server.uri.partition("://")[0].lower()
    if scheme == "ldapi":
        return Phrase("local socket")
    if scheme != "ldaps" and not server.settings.tls.starttls:
        return Phrase("unencrypted, on this host only")
    verified = (
        Phrase("certificate verified")
        if server.settings.tls.strict
        else Phrase("certificate verified, not strictly")
    )
    return joined(["TLS" if scheme == "ldaps" else "StartTLS", verified], "{first}, {second}")


def identities(server: Server) -> CheckResult:
    bound = server.bound
    if bound.silent or bound.untried:
        return skipped(
            Phrase("the server does not answer") if bound.silent else Phrase("no password can be read")
        )
    advice = Phrase("Correct the DN, the password file, or the identity's entry on the server.")
    return worst(bound.refused, [], advice, Phrase("{names} can bind", names=", ".join(bound.probes)))


def version(server: Server) -> CheckResult:
    why = why_older(server.first.schema_meets)
    if why:
        return error(
            why,
            Phrase("Use {needed_server}: plans and runs refuse this server.", needed_server=NEEDED_SERVER),
        )
    return fine(Phrase("nothing shows that it is too old"))


def takes_writes(server: Server) -> CheckResult:
    why = server.first.refuses_writes(server.settings.suffix)
    if not why:
        return fine(Phrase("yes"))
    advice = Phrase(
        "Name a provider that accepts writes in directory.servers; check olcReadOnly of its database."
    )
    if len(server.settings.servers) > 1:
        return warning(Phrase("{why}; it is used for reading only", why=why), advice)
    return error(why, advice)


def replication(server: Server) -> CheckResult:
    if len(server.csns) < 2 and len(server.settings.servers) < 2:
        return fine(Phrase("one server"))
    config = server.config
    if config is None:
        return skipped(Phrase("unknown: cn=config is not readable"), UNSEEN)
    advice = Phrase("Several servers need delta-syncrepl: docs/hosts.md (Several servers).")
    if not any(overlay.endswith("accesslog") for overlay in config.overlays):
        return error(Phrase("several servers, and no access log: this is plain syncrepl"), advice)
    # it shows only where olcSyncrepl, which has a password, may be read
    if any("syncdata=accesslog" not in text for text in config.ordered("olcSyncrepl")):
        return error(Phrase("olcSyncrepl has no syncdata=accesslog: this is plain syncrepl"), advice)
    if not any(entry.text("olcServerID") for entry in config.entries):
        advice = Phrase("Give each server a serverID of its own, and let the reader read olcServerID.")
        return warning(Phrase("no serverID can be seen (olcServerID)"), advice)
    return fine(Phrase("the changes are in an access log (delta-syncrepl)"))
