"""`doctor`: makes the checks of the table. They change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from piactl.config.read_policy import read_policy
from piactl.config.read_settings import read_settings
from piactl.core.model.settings import DirectorySettings
from piactl.directory.interfaces import Reader
from piactl.directory.open import open_reader
from piactl.doctor.checks import CHECKS, Check, Reads
from piactl.doctor.facts import CheckOutcome, CheckResult, Content, error, skipped
from piactl.doctor.servers import Server
from piactl.doctor.this_host import policy_in
from piactl.errors import ConfigurationInvalid, Exit, PiactlError, UsageError
from piactl.host.private_files import may_not, run_as
from piactl.host.secret_files import identity_password
from piactl.phrase import Phrase, first_line

_OF_CONFIGURATION = ("D01", "D02", "D03", "D04", "D05")


def examine(
    configuration: Callable[[], Path],
    now: Callable[[], datetime],
    host: str,
    *,
    canaries: bool = False,
    servers: bool = True,
    draft: str = "",
) -> list[dict[str, str]]:
    """Makes every check; one that cannot be made is skipped with the reason. The findings (`Check.finding`)
    are in the order of the numbers, then of the servers.

    `configuration` returns the file, or raises why there is none. `host` is the name of this host
    in the records of runs. `canaries`: bind as them, which servers may count as failed log ins. Without
    `servers` only the files of the configuration are checked. `draft` is a policy in place of that of the
    configuration. Raises UsageError as `configuration` does, and nothing else: a check that fails with a bug
    reports it, and the others go on.
    """
    findings = list(_all(configuration, now, host, canaries=canaries, servers=servers, draft=draft))
    return sorted(findings, key=lambda finding: finding["id"])


def examine_policy(file: str) -> list[dict[str, str]]:
    """The check of a policy without the rest of a configuration."""
    return [CHECKS["D02"].finding(policy_in(file, lambda: read_policy(Path(file))))]


def exit_code(findings: list[dict[str, str]], *, strict: bool) -> Exit:
    """0 for no error (with `strict`: no warning), 10 configuration or a server that is too
    old, 8 no server, else 1."""
    errors = {finding["id"] for finding in findings if finding["result"] == CheckOutcome.ERROR}
    if errors & {*_OF_CONFIGURATION, "D73"}:
        return Exit.CONFIGURATION
    servers = [finding["result"] for finding in findings if finding["id"] == "D11"]
    if servers and all(result == CheckOutcome.ERROR for result in servers):
        return Exit.UNREACHABLE
    warned = any(finding["result"] == CheckOutcome.WARNING for finding in findings)
    return Exit.FAILED if errors or (strict and warned) else Exit.DONE


def _all(
    configuration: Callable[[], Path],
    now: Callable[[], datetime],
    host: str,
    *,
    canaries: bool,
    servers: bool,
    draft: str,
) -> Iterator[dict[str, str]]:
    of_host = [check for check in _those(Reads.HOST) if servers or check.id in _OF_CONFIGURATION]
    try:
        settings = read_settings(configuration())
    except UsageError:
        raise
    except Exception as invalid:  # noqa: BLE001 - reported as a finding, like every problem
        advice = Phrase("Correct the file, then run piactl doctor again.")
        refused = isinstance(invalid, ConfigurationInvalid)
        yield CHECKS["D01"].finding(error(str(invalid), advice) if refused else _bug(invalid))
        why = skipped(Phrase("there is no valid configuration (D01)"))
        others = CHECKS.values() if servers else of_host
        yield from (check.finding(why) for check in others if check.id != "D01")
        return
    if draft:
        settings = replace(settings, policy_file=draft)
    with ExitStack() as stack:
        reader = partial(_reader, settings.directory, stack)
        content = Content(settings, reader, host, now(), binds=canaries)
        for check in of_host:
            yield check.finding(_result(partial(check.examine, content)))
        if not servers:
            return
        for uri in settings.directory.servers:
            with ExitStack() as connections:
                server = Server(uri, content, now, connections)
                for check in _those(Reads.SERVER):
                    yield check.finding(_result(partial(_of_server, check, server)), uri)
        for check in _those(Reads.CONTENT):
            yield check.finding(_result(partial(check.examine, content)))


def _of_server(check: Check, server: Server) -> CheckResult:
    if check.id not in ("D11", "D12") and not server.probes:
        return skipped(Phrase("no identity can bind (D12)"))
    return check.examine(server)


def _those(reads: Reads) -> list[Check]:
    return [check for check in CHECKS.values() if check.reads is reads]


def _reader(directory: DirectorySettings, stack: ExitStack) -> Reader | None:
    for name in ("reader", "nightly", "administrator"):
        if name in directory.identities:
            try:
                reader = stack.enter_context(open_reader(directory, name, identity_password))
                reader.facts()
            except PiactlError:
                continue
            return reader
    return None


def _result(check: Callable[[], CheckResult]) -> CheckResult:
    """What a check finds. One that an error of piactl ends is skipped, because another check reports the
    error; any other exception is an error of the check, and the others go on."""
    try:
        return check()
    except PiactlError as refused:
        return skipped(first_line(str(refused)))
    except PermissionError as forbidden:
        path = str(forbidden.filename or "-")
        return error(
            Phrase("{name}: {text}", name=path, text=may_not(path, "use")),
            run_as(path),
        )
    except Exception as bug:  # noqa: BLE001 - a check that breaks must not hide what the others find
        return _bug(bug)


def _bug(bug: Exception) -> CheckResult:
    """Leaves out values that the exception may hold."""
    words = Phrase("the check itself failed: {name}", name=type(bug).__name__)
    return error(words, Phrase("This is a bug in piactl: please report it with this line."))
