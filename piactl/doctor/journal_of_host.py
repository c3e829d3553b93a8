"""Checks of the journal: writable, intact, its head in syslog."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

from piactl.ask.history import LOOKS_BACK, unjournalled_words, watch
from piactl.core.model.settings import IdentityName
from piactl.directory.open import open_reader
from piactl.directory.probe.access_log import find_logs
from piactl.doctor.facts import CheckOutcome, CheckResult, Content, error, fine, skipped, warning
from piactl.doctor.this_host import doctor_as, may_write, nearest_folder
from piactl.errors import DirectoryOlder, JournalMissing, PiactlError, system_words
from piactl.host.caller import this_user
from piactl.host.roles_of_caller import held
from piactl.host.secret_files import identity_password
from piactl.journal import verify
from piactl.journal.append_file import open_private
from piactl.journal.query import first_line
from piactl.journal.syslog import SYSLOG, has_syslog
from piactl.phrase import Phrase, counted, joined
from piactl.runs.journal_upkeep import recorded_heads
from piactl.runs.known_server import BEGIN, compare_runs, meet

NEWEST = 20_000
"""So many lines at the end of the newest file are verified; `journal verify` takes all."""


def file(content: Content) -> CheckResult:
    path = content.settings.journal_file
    folder = nearest_folder(Path(path).parent)
    above = Path(path).parent
    if above.exists() and not above.is_dir():
        return error(
            Phrase("{above} is not a folder", above=above), Phrase("Name another file as `journal`.")
        )
    if Path(path).is_dir():
        return error(Phrase("{path} is a folder", path=path), Phrase("Name the file in it as `journal`."))
    if not may_write(folder):
        return error(Phrase("this user cannot write to {folder}", folder=folder), doctor_as(folder))
    if folder.stat().st_mode & 0o022 and not folder.stat().st_mode & 0o1000:
        return error(
            Phrase("others can write to {folder} and could replace the journal", folder=folder),
            f"chmod 700 {folder}",
        )
    files = []
    for name in (path, f"{path}.head"):
        if not os.path.lexists(name):  # also a symbolic link that leads nowhere
            continue
        try:
            os.close(open_private(name, os.O_RDWR))
        except OSError as refused:
            forbidden = isinstance(refused, PermissionError)
            advice = doctor_as(Path(name)) if forbidden else Phrase("Replace it by a regular file.")
            return error(Phrase("{name}: {text}", name=name, text=system_words(refused)), advice)
        except PiactlError as refused:
            words, _, advice = str(refused).rpartition("\n")
            return error(words, advice)
        files.append(name)
    return fine(path if files else Phrase("{path} will be created by the first run", path=path))


def chain(content: Content) -> CheckResult:
    try:
        return content.once("chain", lambda: _verified(content))
    except PiactlError as refused:
        return error(str(refused), Phrase("See: piactl journal verify"))


def _verified(content: Content) -> CheckResult:
    settings, stored = content.settings, None
    with suppress(PiactlError):  # no server can be asked
        arguments = content.unreadable, this_user(), content.host_name, content.now
        stored = recorded_heads(content.reader, settings, *arguments)
    heads, runs_there = (stored.heads, stored.runs) if stored else ({}, {})
    proof = verify(settings.journal_file, heads, runs_there, NEWEST)
    if proof.problem is not None:
        advice = (
            Phrase(
                "Keep the file and its .head unchanged, find out who changed it, then restore it from a "
                "backup."
            )
            if proof.lines
            else Phrase("Restore it from a copy; if there is none: {begin}", begin=BEGIN)
        )
        return error(str(proof.problem), advice)
    lines = counted(proof.lines, "line", "lines")
    words: str = (
        Phrase("journal intact: last {lines}", lines=lines)
        if proof.first > 1
        else Phrase("journal intact: {lines}", lines=lines)
    )
    if stored is None:
        return fine(Phrase("{words}; stored heads not compared", words=words))
    agree = len(stored.heads) - len(proof.uncovered)
    heads_agree = counted(agree, "stored head matches", "stored heads match")
    words = joined([words, heads_agree], "{first}, {second}")
    return fine(
        Phrase("{words}; begun anew by run {begun}", words=words, begun=stored.begun)
        if stored.begun
        else words
    )


def syslog(content: Content) -> CheckResult:
    """D50. Without syslog a journal that its user made anew is not noticed."""
    if has_syslog():
        return fine(Phrase("syslog gets the heads of the journal"))
    wrong = Phrase("nothing listens at {syslog}: syslog does not get the heads of the journal", syslog=SYSLOG)
    advice = Phrase("Run rsyslog or systemd-journald, and forward authpriv to another host.")
    # on a host any command can forge the journal, which only syslog elsewhere can show
    return warning(wrong, advice) if held() is None else error(wrong, advice)


def runs(content: Content) -> CheckResult:
    """D40. Skipped if the chain of the journal is not whole."""
    if chain(content).outcome is not CheckOutcome.OK:
        return skipped(Phrase("the journal is not whole (D09)"))
    met = meet(content.reader, content.settings)
    try:
        if not compare_runs(met, content.host_name, content.settings, content.unreadable, content.now):
            return skipped(Phrase("the journal cannot be read (D08)"))
    except (DirectoryOlder, JournalMissing) as found:
        words, _, advice = str(found).partition("\n")
        return error(words, advice)
    return fine(Phrase("the directory has the last run of this host"))


def writes(content: Content) -> CheckResult:
    """D51. Reads as the administrator if this host has that password: nightly sees only who wrote what."""
    settings, directory = content.settings, content.directory
    readers = {}
    with ExitStack() as stack:
        for name in (IdentityName.ADMINISTRATOR, IdentityName.NIGHTLY):
            if name in directory.identities:
                with suppress(PiactlError):  # another check says that it cannot be used
                    reader = stack.enter_context(open_reader(directory, name, identity_password))
                    readers[name] = reader if find_logs(reader, directory.suffix).readable else None
        advice = Phrase("Load accesslog, with its rules (slapd/accesslog.ldif.in).")
        if readers.get(IdentityName.NIGHTLY, content.reader) is None:
            words = Phrase(
                "nightly can read no access log: nobody sees a device that is written without piactl"
            )
            return error(words, advice)
        logged = next(filter(None, readers.values()), None)
        if logged is None:
            # no identity of a host of the help desk may
            return skipped(Phrase("no access log can be read"), advice if readers else "")
        first = first_line(settings.journal_file)
        since = max(datetime.fromisoformat(first.time) if first else content.now, content.now - LOOKS_BACK)
        found = unjournalled_words(watch(logged, directory, settings.journal_file, since).accounts)
    if found:
        advice = Phrase(
            "Ask who made them; piactl account history ACCOUNT has the names of what was changed."
        )
        return warning(found, advice)
    return fine(Phrase("every write of accounts since {since} is in the journal", since=since.date()))
