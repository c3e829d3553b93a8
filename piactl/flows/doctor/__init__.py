"""`doctor`: numbered checks of everything that piactl relies on. The checks change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from zoneinfo import ZoneInfo

from piactl.config.policy import read_policy
from piactl.config.settings import read_settings
from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.dataclass import dataclass
from piactl.directory.open import open_reader
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import ConfigurationInvalid, Exit, PiactlError
from piactl.flows.apply.journal_heads import stored_heads
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
    Finding,
    Outcome,
    broken,
    error,
    examined,
    finding,
    fine,
    skipped,
)
from piactl.flows.doctor.files import FreeBytes, examine_files, free_bytes
from piactl.flows.doctor.journal import examine_journal, examine_runs, examine_writes
from piactl.flows.doctor.records import Content, Runs, examine_records, runs_of
from piactl.flows.doctor.rights import RIGHTS
from piactl.flows.doctor.server_settings import SETTINGS
from piactl.flows.doctor.servers import examine_server, reachable
from piactl.flows.doctor.unix_users import examine_users
from piactl.private_files import this_user
from piactl.secret_files import read_own_keys, read_password

__all__ = ["CHECKS", "Check", "Examination", "Finding", "Outcome", "examine", "exit_code"]

_OF_CONFIGURATION = ("D01", "D02", "D03", "D04", "D05")
_OF_RECORDS = tuple(
    (
        "D15 D27 D28 D29 D30 D32 D36 D37 D40 D41 D42 D43 D45 D47 D49 D51 D54 D55 D56 D57 D58 D59 D62 D63 "
        "D65 D66 D67 D68"
    ).split()
)
_OF_JOURNAL = ("D08", "D09", "D10", "D50")
_OF_FILES = ("D02", "D03", "D04", "D05", "D06", "D07")


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
    errors = {f.check.id for f in examination.findings if f.outcome is Outcome.ERROR}
    if errors & set(_OF_CONFIGURATION):
        return Exit.CONFIGURATION
    if not reachable(list(examination.findings)):
        return Exit.UNREACHABLE
    worst_found = {f.outcome for f in examination.findings}
    if errors or (strict and Outcome.WARNING in worst_found):
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
        for id_ in CHECKS:
            if id_ != "D01":
                yield finding(id_, skipped("there is no valid configuration (D01)"))
        return
    except Exception as bug:  # noqa: BLE001 - reported as a finding, like every problem
        yield broken("D01", bug)
        for id_ in CHECKS:
            if id_ != "D01":
                yield finding(id_, skipped("the check of the configuration failed (D01)"))
        return
    # each file is read once; one that is not valid raises its error at each call
    policy = cache(lambda: read_policy(Path(settings.policy_file)))
    keys = cache(lambda: read_own_keys(settings))
    yield finding("D01", fine(settings.file))
    yield from examine_files(settings, policy, keys, free)
    yield from examine_users(settings)
    checks, portal = {**SETTINGS, **RIGHTS}, False
    with suppress(PiactlError):  # D02 says so
        portal = policy().otp_enforced_by == "portal"
    for uri in settings.directory.servers:
        yield from examine_server(uri, settings.directory, settings.password, now, checks, portal=portal)
    yield from _with_reader(settings, policy, keys, now, host, bind=canaries)


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
            with open_reader(settings.directory, name, read_password) as reader:
                baseline = Baseline(settings)
                baseline.look_at(reader, settings.directory.suffix, now())
                content = Content(reader, settings, policy, keys, UnreadableRecords(), baseline)
                runs = runs_of(content, now())
                stored = partial(
                    stored_heads, reader, settings, keys, content.unreadable, this_user(), host, now()
                )
                of_journal = list(examine_journal(settings, host, stored, now(), baseline))
                chain = next(one for one in of_journal if one.check.id == "D09")
                found = [
                    *of_journal,
                    examine_runs(reader, host, settings, content.unreadable, now(), chain),
                    examine_writes(reader, settings, host, now(), baseline),
                    *_records(content, runs, host, now()),
                    examined("D47", lambda: canaries_refused(reader, settings, bind=bind)),
                    examined("D63", lambda: applications(reader, settings)),
                    examined("D65", partial(approval_place, content)),
                    examined("D66", partial(runs_without_approval, content, now())),
                ]
                baseline.store()
        except PiactlError:
            continue
        except Exception as bug:  # noqa: BLE001 - the journal must still be checked
            found = [
                *examine_journal(settings, host, None, now()),
                *(broken(id_, bug) for id_ in _OF_RECORDS),
            ]
        yield from found
        return
    yield from examine_journal(settings, host, None, now())
    for id_ in _OF_RECORDS:
        yield finding(id_, skipped("no server can be queried (D11, D12)"))


def _records(content: Content, runs: Runs | None, host: str, now: datetime) -> Iterator[Finding]:
    try:
        zone = content.policy().timezone
    except PiactlError:
        zone = "UTC"
    today = now.astimezone(ZoneInfo(zone)).date()
    yield from examine_records(content, runs, host, now, today)
    yield from examine_drift(content)
    yield examined("D58", lambda: birth_digests(content.settings))
    yield examined("D59", lambda: open_cases(content, today))
