"""Checks of the journal: writable, intact, its head in syslog, no writes in doubt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path

from piactl.core.model.settings import DirectorySettings, IdentityName, Settings
from piactl.core.text import counted, utc_instant
from piactl.directory.open import open_reader
from piactl.directory.probe.access_log import find_logs
from piactl.directory.probe.server_config import root_of
from piactl.errors import DirectoryOlder, JournalMissing, PiactlError
from piactl.flows.apply.journal_heads import StoredHeads
from piactl.flows.apply.known_server import BEGIN, compare_runs
from piactl.flows.doctor.baseline import Baseline
from piactl.flows.doctor.checks import (
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
    warning,
    worst,
)
from piactl.flows.doctor.records import DirectoryContent
from piactl.flows.doctor.this_host import doctor_as, may_write, nearest_folder
from piactl.flows.queries.history_and_unjournalled import LOOKS_BACK, unjournalled
from piactl.journal import Verification, in_doubt, verify
from piactl.journal.append_file import open_private
from piactl.journal.query import first_line, text_of
from piactl.journal.syslog import SYSLOG, has_syslog
from piactl.roles import held
from piactl.secret_files import identity_password

NEWEST = 20_000
"""So many lines at the end of the newest file are verified; `journal verify` takes all."""


def examine_journal(settings: Settings, stored: Callable[[], StoredHeads] | None) -> Iterator[Finding]:
    """D08 to D10 and D50; `stored` reads the heads on records, None if the directory cannot be asked."""
    path = settings.journal_file
    yield unless_broken("D08", lambda: _writable(path))
    try:
        heads = stored() if stored is not None else None
    except PiactlError:
        heads = None
    try:
        proof = verify(path, heads.heads if heads else {}, heads.runs if heads else {}, NEWEST)
        yield finding("D09", _chain(proof, heads))
    except PiactlError as refused:
        yield finding("D09", error(str(refused), "See: piactl journal verify"))
    except Exception as bug:  # noqa: BLE001 - a check that breaks must not hide what the others find
        yield broken("D09", bug)
    yield unless_broken("D50", lambda: _syslog(settings))
    try:
        yield unless_broken("D10", lambda: _doubts(path))
    except PiactlError:
        yield finding("D10", skipped("the journal cannot be read (D09)"))


def examine_runs(content: DirectoryContent, chain: Finding) -> Finding:
    """D40. Skipped if the chain of the journal is not whole, or the directory cannot be asked."""
    if chain.outcome is not CheckOutcome.OK:
        return finding("D40", skipped("the journal is not whole (D09)"))

    def compared() -> CheckResult:
        try:
            arguments = content.reader, content.host, content.settings, content.unreadable
            if not compare_runs(*arguments, lambda: content.now):
                return skipped("the journal cannot be read (D08)")
        except (DirectoryOlder, JournalMissing) as error_found:
            words, _, advice = str(error_found).partition("\n")
            return error(words, advice)
        return fine("the directory has the last run of this host")

    return examined("D40", compared)


def writes_in_journal(content: DirectoryContent) -> CheckResult:
    """D51. Reads as the administrator if this host has that password: nightly sees only who wrote what, and
    the others see nothing of the access log."""
    reader, settings, now, baseline = content.reader, content.settings, content.now, content.baseline
    first = first_line(settings.journal_file)
    since = max(datetime.fromisoformat(first.time) if first else now, now - LOOKS_BACK)
    directory, root = settings.directory, root_of(reader, settings.directory.suffix)
    with ExitStack() as stack:
        if IdentityName.ADMINISTRATOR in directory.identities:
            with suppress(PiactlError):
                reader = stack.enter_context(
                    open_reader(directory, IdentityName.ADMINISTRATOR, identity_password)
                )
        server = reader.facts().uri
        after, day = _compared(baseline, server, now)
        comparison = unjournalled(reader, directory, settings.journal_file, since, root, after)
    errors, warnings, advice = [], [], []
    if not _log_of_nights(directory):
        errors.append("nightly can read no access log: nobody sees a device that is written without piactl")
    elif not comparison.log:
        warnings.append("no access log can be read: only the last write of each account is seen")
    if errors or warnings:
        advice.append("Load accesslog, with its rules (schemas/ldap/accesslog.ldif.in).")
    if words := comparison.sentence():
        warnings.append(words)
        advice.append("Ask who made them; piactl account history ACCOUNT has the names of what was changed.")
    period = f"{day}, when all before were in it," if after else f"{since:%Y-%m-%d}"
    good = f"{counted(comparison.compared, 'write')} of accounts since {period} are in the journal"
    if comparison.log and not errors and not warnings:
        baseline.now["writes"] = {"server": server, "at": text_of(now), "logs": dict(comparison.reached)}
    return worst(errors, warnings, " ".join(advice), good)


def _log_of_nights(directory: DirectorySettings) -> bool:
    """Whether nights can read an access log; True if this host makes none."""
    if IdentityName.NIGHTLY not in directory.identities:
        return True
    try:
        with open_reader(directory, IdentityName.NIGHTLY, identity_password) as reader:
            return bool(find_logs(reader, directory.suffix).readable)
    except PiactlError:
        return True  # another check says that it cannot be used


def _compared(baseline: Baseline, server: str, now: datetime) -> tuple[Mapping[str, str], str]:
    """The reqStart in each log of this server up to which all writes were in the journal, and the day when
    that was found. One minute is subtracted: a write may come into the log later than one that began after
    it."""
    try:
        before = baseline.before["writes"]
        instant = datetime.fromisoformat(before["at"])
        if before["server"] != server or instant > now:  # the clock was set back
            return {}, ""
        logs = {log: _minute_before(start) for log, start in before["logs"].items() if start}
        return logs, f"{instant:%Y-%m-%d}"
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}, ""


def _minute_before(start: str) -> str:
    return f"{utc_instant(start[:14]) - timedelta(minutes=1):%Y%m%d%H%M%S}.000000Z"


def _writable(path: str) -> CheckResult:
    folder = nearest_folder(Path(path).parent)
    above = Path(path).parent
    if above.exists() and not above.is_dir():
        return error(f"{above} is not a folder", "Name another file as `journal`.")
    if Path(path).is_dir():
        return error(f"{path} is a folder", "Name the file in it as `journal`.")
    if not may_write(folder):
        return error(f"this user cannot write to {folder}", doctor_as(folder))
    if folder.stat().st_mode & 0o022 and not folder.stat().st_mode & 0o1000:
        return error(f"others can write to {folder} and could replace the journal", f"chmod 700 {folder}")
    files = []
    for name in (path, f"{path}.head"):
        if not os.path.lexists(name):  # also a symbolic link that leads nowhere
            continue
        try:
            os.close(open_private(name, os.O_RDWR))
        except OSError as refused:
            forbidden = isinstance(refused, PermissionError)
            advice = doctor_as(Path(name)) if forbidden else "Replace it by a regular file."
            return error(f"{name}: {refused.strerror}", advice)
        except PiactlError as refused:
            words, _, advice = str(refused).rpartition("\n")
            return error(words, advice)
        files.append(name)
    return fine(path if files else f"{path} will be created by the first run")


def _chain(proof: Verification, stored: StoredHeads | None) -> CheckResult:
    if proof.problem is not None:
        advice = (
            "Keep the file and its .head unchanged, find out who changed it, then restore it from a backup."
            if proof.lines
            else f"Restore it from a copy; if there is none: {BEGIN}"
        )
        return error(str(proof.problem), advice)
    last = "last " if proof.first > 1 else ""
    words = f"journal intact: {last}{counted(proof.lines, 'line')}"
    if stored is None:
        return fine(f"{words}; stored heads not compared")
    agree = len(stored.heads) - len(proof.uncovered)
    words += f", {counted(agree, 'stored head matches', 'stored heads match')}"
    return fine(f"{words}; begun anew by run {stored.begun}" if stored.begun else words)


def _syslog(settings: Settings) -> CheckResult:
    """D50: without syslog a journal that its user made anew is not noticed."""
    if has_syslog():
        return fine("syslog gets the heads of the journal")
    wrong = f"nothing listens at {SYSLOG}: syslog does not get the heads of the journal"
    advice = "Run rsyslog or systemd-journald, and forward authpriv to another host."
    # on a host any command can forge the journal, which only syslog elsewhere can show
    return warning(wrong, advice) if held() is None else error(wrong, advice)


def _doubts(path: str) -> CheckResult:
    doubtful = in_doubt(path)
    if not doubtful:
        return fine("none")
    runs = ", ".join(sorted({intent.run for intent in doubtful}))
    writes, have = counted(len(doubtful), "write"), "has" if len(doubtful) == 1 else "have"
    words = f"{writes} of run {runs} {have} no outcome"
    return warning(
        words, "Run piactl nightly or apply: it first reads these entries and records the outcome."
    )
