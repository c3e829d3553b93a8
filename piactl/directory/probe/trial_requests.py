"""Queries one server as one identity, without failover and without changing anything.

To see whether an operation would be allowed, the probe sends requests that cannot succeed on any server:

- with an assertion (RFC 4528) that no entry satisfies: slapd asks its overlays first, so `unique` shows;
- with the deletion of a missing value: slapd checks the rights first, for the whole request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from secrets import token_hex

from piactl.core.model.settings import DirectorySettings, Identity
from piactl.core.plan.write import Values, Write
from piactl.directory.client.connection import Password, Session, Unusable, bind_result, open_session
from piactl.directory.client.messages import PAGED, never_control
from piactl.directory.client.result_codes import (
    ASSERTION,
    NO_RIGHT,
    NO_SUCH_ATTRIBUTE,
    REFERRAL,
    UNWILLING,
    Result,
    described,
)
from piactl.directory.interfaces import RawEntry, ServerFacts
from piactl.errors import PiactlError
from piactl.phrase import Phrase

_STRONGER_NEEDED, _CONFIDENTIALITY, _CONSTRAINT = 8, 13, 19
_PASSWORD = "userPassword"  # noqa: S105 - the name of an attribute


class ServerUnusable(PiactlError):
    """An identity cannot use a server; `refused`: the server answers but refuses the identity."""

    def __init__(self, why: str, *, refused: bool) -> None:
        self.refused = refused
        super().__init__(why)


@contextmanager
def open_probe(uri: str, settings: DirectorySettings, identity: str, password: Password) -> Iterator[Probe]:
    """A probe bound to that server as that identity; closed at the end.

    Raises ServerUnusable, and SecretUnusable if the password cannot be read.
    """
    try:
        session = open_session(uri, settings, settings.identities[identity], password, read_only=False)
    except Unusable as why:
        # a bind that is refused for another reason than the password also shows that the server answers
        refused = why.everywhere or str(why).startswith("bind as ")
        raise ServerUnusable(str(why), refused=refused) from None
    try:
        yield Probe(session)
    finally:
        session.close()


def accepts_in_clear(host: str, port: int, settings: DirectorySettings) -> bool | None:
    """Whether a server checks a password that arrives in clear over TCP; None if nothing answers there.
    The password is made up."""
    identity = Identity(dn=f"cn=nobody,{settings.suffix}")
    uri = f"ldap://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        result = bind_result(uri, settings, identity, lambda _: token_hex(16).encode(), clear=True)
    except Unusable:
        return None
    return result.code not in (_STRONGER_NEEDED, _CONFIDENTIALITY)


def accepts_bind(uri: str, settings: DirectorySettings, dn: str, password: Password) -> tuple[bool, str]:
    """Whether a server lets the account `dn` in, and its answer. Raises ServerUnusable if none comes, and
    SecretUnusable if the password cannot be read."""
    try:
        result = bind_result(uri, settings, Identity(dn=dn), password)
    except Unusable as why:
        raise ServerUnusable(str(why), refused=False) from None
    return result.code == 0, described(result)


class Probe:
    """Queries of one server. An answer of None means unknown. Every query can raise DirectoryUnreachable."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def facts(self) -> ServerFacts:
        return self._session.facts

    def entry(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        """One entry; None if it does not exist or is not visible."""
        entries, result = self._session.page(dn, "base", "(objectClass=*)", attributes)
        return entries[0] if entries and not result.code else None

    def who(self) -> str:
        """The DN that the server knows this identity by."""
        return self._session.who_am_i()

    def clock(self) -> datetime | None:
        """The server's clock now, to the second, UTC."""
        return self._session.clock()

    def schema_meets(self, query: str) -> bool:
        """Whether the filter finds the schema that this identity sees."""
        return self._session.schema_meets(query)

    def entries(self, base: str, query: str, attributes: Sequence[str]) -> list[RawEntry]:
        """All visible entries; none if the base is not visible. For cn=config and cn=monitor, which refuse
        paged results."""
        return self._session.page(base, "subtree", query, attributes)[0]

    def sample(self, base: str, query: str, attribute: str = "1.1") -> RawEntry | None:
        """One matching entry with that attribute; no others are read."""
        size = 1 if PAGED in self.facts.controls else None
        entries, _ = self._session.page(base, "subtree", query, [attribute], size=size)
        return entries[0] if entries else None

    def refuses_writes(self, suffix: str) -> str:
        """Why the server refuses writes (a consumer, read-only); "" if it accepts them or it is unknown."""
        result = self._never(suffix, {"objectClass": (b"top",)})
        return described(result) if result.code in (REFERRAL, UNWILLING) else ""

    def guards_value(self, dn: str, attribute: str, taken: bytes) -> bool | None:
        """Whether the server refuses to give the entry `dn` a value that another entry has."""
        result = self._never(dn, {attribute: (taken,)})
        return {_CONSTRAINT: True, ASSERTION: False}.get(result.code)

    def takes_second(self, dn: str, attribute: str, value: bytes) -> bool | None:
        """Whether the server accepts a second value for an attribute of the entry `dn`, which the overlay
        `constraint` can refuse; None if it is unknown or something else refuses it first."""
        result = self._never(dn, {attribute: (value,)})
        if result.code == _CONSTRAINT and f"constraint on {attribute}" in result.text:
            return False
        return True if result.code == ASSERTION else None

    def takes_password(self, dn: str, password: bytes) -> bool | None:
        """Whether the server's quality rules accept a new password for the entry `dn`; None if something else
        refuses it first."""
        write = Write("modify", dn, add={"userPassword": (password,)}, delete={"userPassword": ()})
        result = self._session.write(
            write, [never_control()], Phrase("ask about a password of {dn}", dn=repr(dn))
        )
        return {_CONSTRAINT: False, ASSERTION: True}.get(result.code)

    def may_change(self, dn: str, deleted: str, added: Values, replaced: Values) -> bool | None:
        """Whether this identity may delete values of the attribute `deleted`, add values, and replace those
        of other attributes.

        `deleted` must have a text or DN syntax, so that a missing value can be invented.
        """
        nobody = token_hex(16)
        value = f"cn={nobody}" if deleted in ("oathTOTPToken", "pwdPolicySubentry") else nobody
        delete: Values = {deleted: (value.encode(),), **dict.fromkeys(replaced, ())}
        write = Write("modify", dn, add={**added, **replaced}, delete=delete)
        result = self._session.write(write, [], Phrase("ask for rights on {dn}", dn=repr(dn)))
        if result.code in (NO_SUCH_ATTRIBUTE, _CONSTRAINT) and _PASSWORD in replaced:
            # the overlay constraint may answer before the rights: so both are asked, each alone
            taken = self.takes_password(dn, replaced[_PASSWORD][0])
            return False if taken is False else self.may_change(dn, _PASSWORD, {}, {})
        return {NO_SUCH_ATTRIBUTE: True, NO_RIGHT: False}.get(result.code)

    def tells_guess(self, dn: str) -> bool | None:
        """Whether the server compares a guess with the password of an account that this identity may not
        write, and says that it is wrong. The guess is made up."""
        values = {_PASSWORD: (f"aB3!{token_hex(16)}".encode(),)}
        write = Write("modify", dn, add={_PASSWORD: (f"aB3!{token_hex(16)}".encode(),)}, delete=values)
        result = self._session.write(
            write, [], Phrase("ask about guesses of a password of {dn}", dn=repr(dn))
        )
        refusals = {UNWILLING: True, NO_SUCH_ATTRIBUTE: False, NO_RIGHT: False, _CONSTRAINT: False}
        return refusals.get(result.code)

    def _never(self, dn: str, added: Values) -> Result:
        write = Write("modify", dn, add=added)
        return self._session.write(write, [never_control()], Phrase("ask about {dn}", dn=repr(dn)))
