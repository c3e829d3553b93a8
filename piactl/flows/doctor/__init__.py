"""`doctor`: numbered checks of everything that piactl relies on. The checks change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from piactl.config.policy import read_policy
from piactl.config.settings import read_settings
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.directory.open import open_reader
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import ConfigurationInvalid, Exit, PiactlError
from piactl.flows.apply.journal_heads import recorded_heads
from piactl.flows.doctor.applications_approvals_canaries import (
    applications,
    approval_place,
    canaries_refused,
    runs_without_approval,
)
from piactl.flows.doctor.baseline import Baseline
from piactl.flows.doctor.cases_and_drift import birth_digests, examine_drift, open_cases
from piactl.flows.doctor.checks import (
    CHECKS,
    Check,
    CheckOutcome,
    CheckResult,
    Finding,
    broken,
    error,
    examined,
    finding,
    fine,
    skipped,
    unless_broken,
)
from piactl.flows.doctor.journal import examine_journal, examine_runs, writes_in_journal
from piactl.flows.doctor.records import RECORDS, DirectoryContent, examine_bases
from piactl.flows.doctor.rights import RIGHTS
from piactl.flows.doctor.server_settings import SETTINGS
from piactl.flows.doctor.servers import examine_server, reachable
from piactl.flows.doctor.sudo_rules import rules_of_sudo
from piactl.flows.doctor.this_host import FreeBytes, examine_files, free_bytes
from piactl.private_files import this_user
from piactl.secret_files import identity_password, read_own_keys

__all__ = ["CHECKS", "Check", "CheckOutcome", "Examination", "Finding", "examine", "exit_code"]

_OF_CONFIGURATION = ("D01", "D02", "D03", "D04", "D05")
_OF_CONTENT: Mapping[str, Callable[[DirectoryContent], CheckResult]] = {
    **RECORDS,
    "D51": writes_in_journal,
    "D58": birth_digests,
    "D59": open_cases,
    "D63": applications,
    "D65": approval_place,
    "D66": runs_without_approval,
}
_OF_READER = ("D15", "D40", "D47", "D55", "D56", "D57", *_OF_CONTENT)
"""The checks that need an identity which can read."""


@dataclass(frozen=True, slots=True)
class Examination:
    """All findings, in the order of check numbers, then of servers."""

    findings: tuple[Finding, ...]

    def of(self, id_: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.check.id == id_)


def examine(
    configuration: Path | ConfigurationInvalid,
    now: Callable[[], datetime],
    host: str,
    *,
    free: FreeBytes = free_bytes,
    canaries: bool = False,
) -> Examination:
    """Runs every check; a check that cannot run is skipped with the reason.

    `configuration` is the file, or the error that says why there is none. `host` is the name of this host
    in the records of runs. `canaries`: bind as them, which servers may count as failed log ins. Never raises:
    a check that fails with a bug reports it, and the others go on.
    """
    findings = list(_all(configuration, now, host, free=free, canaries=canaries))
    findings.sort(key=lambda finding: finding.check.id)
    return Examination(tuple(findings))


def exit_code(examination: Examination, *, strict: bool) -> Exit:
    """0 for nothing worse than a warning (`strict`: a note), 10 configuration, 8 no server, otherwise 1."""
    errors = {f.check.id for f in examination.findings if f.outcome is CheckOutcome.ERROR}
    if errors & set(_OF_CONFIGURATION):
        return Exit.CONFIGURATION
    if not reachable(list(examination.findings)):
        return Exit.UNREACHABLE
    worst_found = {f.outcome for f in examination.findings}
    if errors or (strict and CheckOutcome.WARNING in worst_found):
        return Exit.FAILED
    return Exit.DONE


def _all(
    configuration: Path | ConfigurationInvalid,
    now: Callable[[], datetime],
    host: str,
    *,
    free: FreeBytes,
    canaries: bool,
) -> Iterator[Finding]:
    try:
        settings = _settings(configuration)
    except ConfigurationInvalid as invalid:
        yield finding("D01", error(str(invalid), "Correct the file, then run piactl doctor again."))
        yield from _all_skipped("there is no valid configuration (D01)")
        return
    except Exception as bug:  # noqa: BLE001 - reported as a finding, like every problem
        yield broken("D01", bug)
        yield from _all_skipped("the check of the configuration failed (D01)")
        return
    # each file is read once; one that is not valid raises its error at each call
    policy = cache(lambda: read_policy(Path(settings.policy_file)))
    keys = cache(lambda: read_own_keys(settings))
    yield finding("D01", fine(settings.file))
    yield from examine_files(settings, policy, keys, free)
    yield unless_broken("D53", lambda: rules_of_sudo(settings))
    checks, portal = {**SETTINGS, **RIGHTS}, False
    with suppress(PiactlError):  # D02 reports it
        portal = policy().otp_enforced_by == "portal"
    for uri in settings.directory.servers:
        yield from examine_server(uri, settings.directory, settings.password, now, checks, portal=portal)
    yield from _with_reader(settings, policy, keys, now, host, bind=canaries)


def _all_skipped(why: str) -> Iterator[Finding]:
    """The findings of all checks except the first."""
    return (finding(id_, skipped(why)) for id_ in CHECKS if id_ != "D01")


def _settings(configuration: Path | ConfigurationInvalid) -> Settings:
    if isinstance(configuration, ConfigurationInvalid):
        raise configuration
    return read_settings(configuration)


def _with_reader(
    settings: Settings,
    policy: Callable[[], Policy],
    keys: Callable[[], DigestKeys],
    now: Callable[[], datetime],
    host: str,
    *,
    bind: bool,
) -> Iterator[Finding]:
    """Checks journal, records and canaries as the first configured identity that can read."""
    names = [n for n in ("reader", "nightly", "administrator") if n in settings.directory.identities]
    for name in names:
        try:
            with open_reader(settings.directory, name, identity_password) as reader:
                baseline = Baseline(settings)
                baseline.look_at(reader, settings.directory.suffix, now())
                content = DirectoryContent(
                    reader, settings, policy, keys, UnreadableRecords(), baseline, host, now()
                )
                stored = partial(
                    recorded_heads, reader, settings, content.unreadable, this_user(), host, now()
                )
                of_journal = list(examine_journal(settings, stored))
                chain = next(
                    journal_finding for journal_finding in of_journal if journal_finding.check.id == "D09"
                )
                findings = [
                    *of_journal,
                    examine_runs(content, chain),
                    examine_bases(content),
                    *(examined(id_, partial(check, content)) for id_, check in _OF_CONTENT.items()),
                    *examine_drift(content),
                    examined("D47", partial(canaries_refused, content, bind=bind)),
                ]
                baseline.store()
        except PiactlError:
            continue
        except Exception as bug:  # noqa: BLE001 - the journal must still be checked
            findings = [
                *examine_journal(settings, None),
                *(broken(id_, bug) for id_ in _OF_READER),
            ]
        yield from findings
        return
    yield from examine_journal(settings, None)
    for id_ in _OF_READER:
        yield finding(id_, skipped("no server can be queried (D11, D12)"))
