"""Canaries: real binds as accounts that every server must refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from piactl.core.model.settings import Canary, Settings
from piactl.directory import filters
from piactl.directory.interfaces import Reader
from piactl.directory.probe.trial_requests import ServerUnusable, accepts_bind
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.errors import SecretUnusable
from piactl.host.secret_files import read_password
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """`let_in` is None if the bind proves nothing; `answer` is the server's answer, or why there is none."""

    canary: Canary
    server: str
    let_in: bool | None
    answer: str

    def __str__(self) -> str:
        return Phrase(
            "{name} ({account}) at {server}: {answer}",
            name=self.canary.name,
            account=self.canary.account,
            server=self.server,
            answer=self.answer,
        )


def try_canaries(reader: Reader, settings: Settings) -> Iterator[CanaryResult]:
    """Binds as each canary on each server. Only the password file is read, and only the server gets it."""
    directory = settings.directory
    uid = directory.attributes.get("uid", "uid")
    for canary in settings.canaries:
        query = filters.all_of(IN_ACCOUNTS, filters.equals(uid, canary.account))
        entry = next(iter(list(reader.search(directory.accounts, query, ["pwdChangedTime"]))), None)
        for server in directory.servers:
            if entry is None:
                yield CanaryResult(canary, server, None, Phrase("there is no such account"))
            elif not entry.values.get("pwdChangedTime"):
                yield CanaryResult(
                    canary, server, None, Phrase("it has no password, so a refusal proves nothing")
                )
            else:
                yield _tried(canary, server, settings, entry.dn)


def _tried(canary: Canary, server: str, settings: Settings, dn: str) -> CanaryResult:
    try:
        let_in, answer = accepts_bind(
            server, settings.directory, dn, lambda _: read_password(canary.password_file)
        )
    except (ServerUnusable, SecretUnusable) as why:
        return CanaryResult(canary, server, None, str(why))
    return CanaryResult(
        canary,
        server,
        let_in,
        Phrase("it was let in") if let_in else Phrase("refused: {answer}", answer=answer),
    )
