"""Connects to the first usable server of the configured list.

ldap3's own pool loops forever when all servers are down, and picks servers that hang. This one tries each
server once, in order, and reports why it could not use it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import unquote

from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.write import Write
from piactl.directory.client.connection import Password, Session, Unusable, open_session
from piactl.directory.client.messages import ASSERTION, CSN_CONTROLS, POST_READ, csn_in, never_control
from piactl.directory.client.result_codes import (
    REFERRAL,
    UNWILLING,
    described,
    without_server,
)
from piactl.directory.dn import under
from piactl.errors import ConfigurationInvalid, DirectoryUnreachable, PiactlError
from piactl.phrase import Phrase, joined

_ONE_SERVER = Phrase(
    "This command has written to that server and does not switch to another one.\n"
    "The next run settles the writes in doubt."
)


_FIRST_SERVER = Phrase(
    "Only the first server of directory.servers is written to. If it is lost for long, name another "
    "first:\n"
    "docs/hosts.md, Several servers"
)


class Link:
    """The current session of one identity. With `writing`, it uses only the first server of the list, which
    must accept writes: on two servers, two runs could each hold the run lock.

    A lost session is replaced: by one with any server of the list, but after the first write only with the
    same server, because another may not have that write yet.
    """

    def __init__(
        self, settings: DirectorySettings, identity: str, password: Password, *, writing: bool = False
    ) -> None:
        """Connects. Raises DirectoryUnreachable, and ConfigurationInvalid for an unknown identity."""
        if identity not in settings.identities:
            known = ", ".join(sorted(settings.identities)) or "none"
            raise ConfigurationInvalid.of(
                "directory.identities",
                Phrase(
                    "there is no identity {identity} (known: {known}).\n"
                    "Give this command on a host that has it, such as that of the nights, or add it to "
                    "this one",
                    identity=repr(identity),
                    known=known,
                ),
            )
        self.settings, self.identity, self.password = settings, settings.identities[identity], password
        self._name, self._writing, self._written = identity, writing, False
        self._kept: tuple[str, Write] | None = None
        self.session = self._connect()

    def live(self) -> Session:
        """The current session, or a new one if it was lost. Raises DirectoryUnreachable."""
        return self.again() if self.session.closed else self.session

    def to_write(self) -> Session:
        """The session for a write. Raises DirectoryUnreachable."""
        self._written = True
        return self.live()

    def keep_to(self, number: str, write: Write) -> None:
        """See `Writer.keep_to`."""
        self._kept = number, write

    def again(self) -> Session:
        """A new session, with the same server if possible."""
        self.session.drop()
        self.session = self.another()
        return self.session

    def another(self) -> Session:
        """An additional session, which the caller closes."""
        return self._connect(self.session.uri)

    def close(self) -> None:
        self.session.close()

    def _connect(self, first: str = "") -> Session:
        """A session with the first usable server of the list, `first` tried before the others.

        Raises DirectoryUnreachable with the reason for each server tried.
        """
        servers = self.settings.servers
        reasons: list[str] = []
        starts: list[str] = []
        for uri in sorted(servers[:1] if self._writing else servers, key=lambda uri: uri != first):
            try:
                return self._usable(uri)
            except Unusable as error:
                reasons.append(Phrase("{name}: {text}", name=shown_uri(uri), text=str(error)))
                starts += sandbox_start(uri, str(error))
                if error.everywhere:
                    break
        one = self._writing and len(servers) > 1
        lines = [
            Phrase("No directory server can be used as {name}:", name=self._name),
            *(Phrase("  {why}", why=why) for why in reasons or [Phrase("`servers` is empty")]),
            *([_ONE_SERVER] if self._written else [_FIRST_SERVER] if one else []),
            *(Phrase("Start it: {command}", command=command) for command in starts),
            Phrase("For all problems, run: piactl doctor"),
        ]
        raise DirectoryUnreachable(joined(lines, "{first}\n{second}"))

    def _usable(self, uri: str) -> Session:
        session = open_session(uri, self.settings, self.identity, self.password, read_only=not self._writing)
        try:
            self._check(session)
            if self._kept:
                self._has_number(*self._kept, session)
        except PiactlError as error:
            session.drop()
            raise Unusable(without_server(error)) from None
        except BaseException:
            session.drop()
            raise
        return session

    def _check(self, session: Session) -> None:
        """Raises Unusable if the server does not hold the suffix or, for writing, takes no writes.

        Requests a change of the suffix entry with an assertion that no entry meets. A writable server answers
        that the assertion failed (or that the entry does not exist, or that this identity has no right on
        it). A consumer or a read-only database refuses before that.
        """
        suffix, facts = self.settings.suffix, session.facts
        contexts = facts.naming_contexts
        if contexts and not any(under(suffix, context) for context in contexts if context):
            raise Unusable(
                Phrase("it does not serve {suffix}, only {names}", suffix=suffix, names=", ".join(contexts))
            )
        if not self._writing:
            return
        if ASSERTION not in facts.controls:
            raise Unusable(Phrase("it has no assertions (RFC 4528): use OpenLDAP 2.6 or later"))
        probe = Write("modify", suffix, add={"objectClass": (b"top",)})
        result = session.write(probe, [never_control()], Phrase("ask whether it takes writes"))
        if result.code in (REFERRAL, UNWILLING):
            raise Unusable(
                Phrase(
                    "it is read-only, {described}: name the server that accepts writes",
                    described=described(result),
                )
            )

    def _has_number(self, number: str, write: Write, session: Session) -> None:
        """Raises Unusable if a load balancer, for example, has led to a server with another serverID."""
        result = session.write(write, CSN_CONTROLS["modify"], Phrase("ask which server it is"))
        found = csn_in(result.controls.get(POST_READ)).decode("ascii", "replace").split("#")[2:3]
        if found and found != [number]:
            here, there = int(found[0], 16), int(number, 16)
            raise Unusable(
                Phrase(
                    "another server answers at this address (serverID {here}, not {there})",
                    here=here,
                    there=there,
                )
            )


def shown_uri(uri: str) -> str:
    """The URI of a server for a message; the path of a socket is shown without %2F."""
    return f"ldapi://{unquote(uri[8:])}" if uri.lower().startswith("ldapi://") else uri


def sandbox_start(uri: str, why: str) -> list[str]:
    """The command that starts the sandbox of this socket, if `why` shows that no server listens there.

    A sandbox with a long path has its socket elsewhere and is not recognised.
    """
    if not uri.lower().startswith("ldapi://"):
        return []
    path = Path(unquote(uri[8:]))
    folder = path.parent.parent
    if path.parts[-2:] != ("slapd", "ldapi"):
        return []
    try:
        stopped = not path.exists() or why.startswith("connection refused")
        own = (folder / "piactl.yaml").is_file() and (folder / "slapd" / "busy").is_file()
    except OSError:  # another user's
        return []
    return [f"piactl sandbox start --dir {shlex.quote(str(folder))}"] if stopped and own else []
