"""The ordered list of servers, and the way to one that can be used now.

ldap3's own pool loops for ever when all servers are down and picks ones that hang; this one asks each in
turn, once, and says of every one that it could not use why.
"""

from __future__ import annotations

from piactl.core.model.settings import DirectorySettings
from piactl.directory.client.connection import Password, Session, Unusable, open_session
from piactl.directory.client.controls import ASSERTION as ASSERTION_OID
from piactl.directory.client.controls import never_control
from piactl.directory.client.ldapi import sandbox_start, shown_uri
from piactl.directory.client.result_codes import REFERRAL, UNWILLING, described
from piactl.directory.dn import under
from piactl.directory.port import EntryWrite, ServerFacts
from piactl.errors import ConfigurationInvalid, DirectoryUnreachable, Mistake, PiactlError

_ONE_SERVER = (
    "\nThis command writes there and does not go on at another server."
    "\nThe next run settles what is in doubt."
)


class Servers:
    """Makes connections of one identity; `writing` asks for a server that takes writes."""

    def __init__(
        self, settings: DirectorySettings, identity: str, password: Password, *, writing: bool = False
    ) -> None:
        if identity not in settings.identities:
            known = ", ".join(sorted(settings.identities)) or "none"
            raise ConfigurationInvalid(
                [Mistake("directory.identities", 0, 0, f"there is no identity {identity!r} (known: {known})")]
            )
        self._settings = settings
        self._name = identity
        self._password = password
        self._writing = writing

    def connect(self, first: str = "", only: ServerFacts | None = None) -> Session:
        """A session with the first server of the list that can be used, `first` being asked before all; with
        `only`, a session with that very server.

        Raises DirectoryUnreachable naming every server that was asked, and why it was not used.
        """
        tried: list[str] = []
        starts: list[str] = []
        uris = [only.uri] if only else sorted(self._settings.servers, key=lambda uri: uri != first)
        for uri in uris:
            try:
                return self._usable(uri, only)
            except Unusable as error:
                tried.append(f"{shown_uri(uri)}: {error}")
                starts += sandbox_start(uri, str(error))
                if error.everywhere:
                    break
        raise DirectoryUnreachable(
            f"No directory server can be used as {self._name}:\n  "
            + "\n  ".join(tried or ["`servers` is empty"])
            + (_ONE_SERVER if only else "")
            + "".join(f"\nStart it: {command}" for command in starts)
            + "\nSee what else is wrong: piactl doctor"
        )

    def _usable(self, uri: str, only: ServerFacts | None) -> Session:
        identity = self._settings.identities[self._name]
        session = open_session(uri, self._settings, identity, self._password, read_only=not self._writing)
        try:
            self._holds_suffix(session)
            if self._writing:
                self._takes_writes(session)
            if only:
                self._is(only, session)
        except PiactlError as error:
            session.drop()
            raise Unusable(str(error).removeprefix(f"{uri}: ")) from None
        except BaseException:
            session.drop()
            raise
        return session

    def _holds_suffix(self, session: Session) -> None:
        contexts = session.facts.naming_contexts
        suffix = self._settings.suffix
        if contexts and not any(under(suffix, context) for context in contexts if context):
            raise Unusable(f"it does not hold {suffix} but {', '.join(contexts)}")

    def _is(self, server: ServerFacts, session: Session) -> None:
        """Raises Unusable where the name of a server now leads to another one."""
        if session.facts.server != server.server:
            raise Unusable(f"another server answers there ({session.facts.address})")

    def _takes_writes(self, session: Session) -> None:
        """Asks for a change of the suffix entry under a condition that no entry meets.

        A server that takes writes answers that the condition is not met (or that the entry is not there
        yet, or that this identity has no right on it); a consumer or a read-only database refuses before.
        """
        if ASSERTION_OID not in session.facts.controls:
            return
        probe = EntryWrite("modify", self._settings.suffix, add={"objectClass": (b"top",)})
        result = session.write(probe, [never_control()], "ask whether it takes writes")
        if result.code in (REFERRAL, UNWILLING):
            raise Unusable(f"it is read-only, {described(result)}: name the server that takes writes")


class Link:
    """The session in use, made again when it was lost: with any server of the list, but after the first
    write only with the server of that write. Another one may lack what was written, without knowing."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._written: ServerFacts | None = None
        self.session = servers.connect()

    def live(self) -> Session:
        """The session; a new one where the last was lost. Raises DirectoryUnreachable."""
        return self.again() if self.session.closed else self.session

    def to_write(self) -> Session:
        """The session for a write. Raises DirectoryUnreachable."""
        session = self.live()
        self._written = session.facts
        return session

    def again(self) -> Session:
        """A new session, with the same server if that can be used."""
        self.session.drop()
        self.session = self._servers.connect(self.session.uri, self._written)
        return self.session

    def another(self) -> Session:
        """One more session beside this one, for the caller to close."""
        return self._servers.connect(self.session.uri, self._written)

    def close(self) -> None:
        self.session.close()
