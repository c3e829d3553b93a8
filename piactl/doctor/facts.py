"""What `doctor` knows of this host, of the content of the directory and of the journal, and what a check
found. What several checks read is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from piactl.config.read_policy import policy_of
from piactl.config.read_register import read_register
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings, Settings
from piactl.core.rules.desired_account import rules_of
from piactl.directory.interfaces import Reader
from piactl.directory.store.attribute_map import Encoding, encoding_of
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.edits.account_store import AccountStore
from piactl.errors import DirectoryUnreachable, PiactlError
from piactl.host.secret_files import read_own_keys
from piactl.phrase import Phrase, joined

_Found = TypeVar("_Found")


class Content:
    """`host_name` is the name of this host in the records of runs; `binds`: whether canaries are tried.
    Records that cannot be read are in `unreadable`, whichever check reads them. Policy and keys raise
    PiactlError if their file is not valid, and `reader` if no server can be queried."""

    def __init__(
        self,
        settings: Settings,
        open_reader: Callable[[], Reader | None],
        host_name: str,
        now: datetime,
        *,
        binds: bool,
    ) -> None:
        self._open_reader = open_reader
        self._once: dict[str, Any] = {}
        self.settings = settings
        self.host_name = host_name
        self.now = now
        self.binds = binds
        self.unreadable = UnreadableRecords()

    @property
    def reader(self) -> Reader:
        reader = self.once("reader", self._open_reader)
        if reader is None:
            raise DirectoryUnreachable(Phrase("no server can be queried (D11, D12)"))
        return reader

    @property
    def directory(self) -> DirectorySettings:
        return self.settings.directory

    @cached_property
    def policy(self) -> Policy:
        return policy_of(self.settings)

    @cached_property
    def keys(self) -> DigestKeys:
        return read_own_keys(self.settings)

    @property
    def portal(self) -> bool:
        """Whether a portal asks for one-time codes, not the server. False for a policy that is not valid."""
        with suppress(PiactlError):
            return self.policy.otp_enforced_by == "portal"
        return False

    @property
    def today(self) -> date:
        """The day in the time zone of the policy."""
        try:
            zone = self.policy.timezone
        except PiactlError:
            zone = "UTC"
        return self.now.astimezone(ZoneInfo(zone)).date()

    @cached_property
    def encoding(self) -> Encoding:
        return encoding_of(self.policy, self.directory, self.keys)

    @cached_property
    def accounts(self) -> AccountStore:
        """The accounts on this day. Records that cannot be read are reported by a check of their own."""
        register = partial(read_register, Path(self.settings.establishments_file))
        return AccountStore(
            self.reader,
            self.directory,
            self.encoding,
            self.keys,
            self.policy,
            self.today,
            lambda day: rules_of(self.settings, self.policy, register(), self.keys, day),
        )

    def once(self, name: str, read: Callable[[], _Found]) -> _Found:
        """What `read` returns; it is called once for each name."""
        if name not in self._once:
            self._once[name] = read()
        return self._once[name]  # type: ignore[no-any-return]


# ---- what a check found


_FEW = 10
"""How many accounts are named in one finding."""

UPGRADE_PAGE = Phrase("docs/upgrade-directory.md has the commands for an existing directory.")


class CheckOutcome(StrEnum):
    """The result of one check, from best to worst. A skipped check is unknown, not good."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found: `found` is always set, `advice` only if the operator has to act."""

    outcome: CheckOutcome
    found: str
    advice: str = ""


def fine(words: str) -> CheckResult:
    return CheckResult(CheckOutcome.OK, words)


def skipped(why: str, advice: str = "") -> CheckResult:
    return CheckResult(CheckOutcome.SKIPPED, why, advice)


def warning(words: str, advice: str) -> CheckResult:
    return CheckResult(CheckOutcome.WARNING, words, advice)


def error(words: str, advice: str) -> CheckResult:
    return CheckResult(CheckOutcome.ERROR, words, advice)


def worst(errors: Sequence[str], warnings: Sequence[str], advice: str, good: str) -> CheckResult:
    """Combines errors and warnings into one result; an error if there is at least one error."""
    problems = joined([*errors, *warnings])
    if errors:
        return error(problems, advice)
    return warning(problems, advice) if warnings else fine(good)


def first_ones(findings: Sequence[str]) -> Sequence[str]:
    """The first findings, and how many more there are."""
    rest = len(findings) - _FEW
    return [*findings[:_FEW], Phrase("and {rest} more", rest=rest)] if rest > 0 else findings
