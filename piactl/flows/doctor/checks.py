"""The numbered checks of `doctor`. A number never changes its meaning; a new check takes the next number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from piactl.errors import PiactlError
from piactl.private_files import may_not, run_as


class CheckOutcome(StrEnum):
    """The result of one check, from best to worst. A skipped check is unknown, not good."""

    OK = "ok"
    SKIPPED = "skipped"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """`severity` is the worst result of the check. `meaning` says what a failure leads to."""

    id: str
    title: str
    severity: CheckOutcome
    meaning: str


_E, _W = CheckOutcome.ERROR, CheckOutcome.WARNING

CHECKS: dict[str, Check] = {
    check.id: check
    for check in (
        Check("D01", "configuration", _E, "Without a valid configuration no command works."),
        Check("D02", "policy", _E,
          "The policy decides who gets what; probable mistakes in it are listed here."),
        Check("D03", "establishments", _E, "Profiles match on the register; without it no plan can be made."),
        Check("D04", "digest keys", _E, "Without the keys, nobody is recognised by matricule or NUMEN."),
        Check("D05", "password files", _E, "Anyone who can read a password file can bind as that identity."),
        Check("D06", "state folder", _E, "Plans and rejected rows are stored there; a run fails without it."),
        Check("D07", "free disk space", _E, "Without room for the journal, no change can be made."),
        Check("D08", "journal file", _E, "Without the journal, runs stop before the first write."),
        Check("D09", "journal chain", _E,
          "A line was edited, removed or reordered: the journal cannot be trusted."),
        Check("D10", "writes in doubt", _W,
          "A run was killed while writing: some writes may or may not have been made."),
        Check("D11", "server answers", _E,
          "A server that cannot be reached securely cannot be used, not even for failover."),
        Check("D12", "identities", _E, "Commands that bind as a missing or refused identity fail."),
        Check("D13", "server functions", _W,
          "Where a server lacks a function, piactl is slower or less safe."),
        Check("D14", "takes writes", _E, "A read-only server or a consumer refuses every change."),
        Check("D15", "base entries", _E,
          "Runs read and write below these entries, and stop if one is missing."),
        Check("D16", "schema", _E, "The server refuses entries with unknown attributes."),
        Check("D17", "password policy", _E,
          "Without ppolicy and its default policy, the starts, ends and locks of accounts have no effect."),
        Check("D18", "one-time codes", _E,
          "Without the otp overlay, slapd accepts a password without a one-time code."),
        Check("D19", "unique names", _E,
          "Two administrators working at once can give the same address to two people."),
        Check("D20", "indexes", _W,
          "Without indexes, searches read the whole database, and adds with `unique` are six times slower."),
        Check("D21", "limits", _E,
          "A truncated search ends the run: piactl never plans from incomplete data."),
        Check("D22", "rights on adds", _E,
          "Without add_content_acl, an identity that can add an account can also set its password."),
        Check("D23", "rights of identities", _E,
          "Each identity needs the rights for its tasks, and no others."),
        Check("D24", "checkpoint", _E,
          "If a provider is killed, its peer can permanently lose acknowledged writes."),
        Check("D25", "room in the database", _E, "A full database refuses every write (result 80)."),
        Check("D26", "clock", _E, "Lock expiry, one-time codes and start dates depend on clocks that agree."),
        Check("D27", "keys that entries need", _E,
          "People whose digest was made with a lost key are not recognised."),
        Check("D28", "lock", _W,
          "Only one run writes at a time; the next one waits for an abandoned lock or takes it over."),
        Check("D29", "last run", _W, "Changes that the last run did not make wait for another run."),
        Check("D30", "policy of activation passwords", _E,
          "Activation passwords must expire, and must be changed at the first login."),
        Check("D31", "requests in flight", CheckOutcome.NOTE,
          "This limits the speed of a night with many changes."),
        Check("D32", "protected accounts", _E,
          "The help desk must not be able to change protected accounts."),
        Check("D33", "password policy of an account", _E,
          "If an account's password policy does not exist, its end and its locks have no effect."),
        Check("D34", "one password", _E, "A second password on an account also logs in."),
        Check("D35", "passwords of identities", _E,
          "Anyone who can change an identity's password can lock out every host and every run."),
        Check("D36", "addresses of accounts", _E, "An account without an address receives no mail."),
        Check("D37", "piactl's own records", _W, "Commands ignore the records that they cannot read."),
        Check("D38", "closures", _W,
          "If only the password policy refuses closed and locked accounts, a fault in it opens them."),
        Check("D39", "run lock", _E,
          "A run that was stopped, and whose lock another host took over, must not write when it continues."),
        Check("D40", "runs in the directory", _E,
          "A restored directory lacks changes, and a journal without lines proves none: no run writes."),
        Check("D41", "day of the last run", _E, "No run is made before the day of the last one."),
        Check("D42", "feeds of the sources", _W, "Without new feeds, accounts change by dates alone."),
        Check("D43", "foreign password policies", _E,
          "An account under a policy that piactl does not know may log in after its end."),
        Check("D44", "passwords in clear", _E,
          "A server that takes passwords in clear over TCP lets anybody on the way read them."),
        Check("D45", "blocks of protected accounts", _W,
          "Five wrong passwords of anybody shut out a protected account when it is needed most."),
        Check("D46", "quality of passwords", _W,
          "Without the module ppm the server accepts aaaaaaaaaaaa; only `password check` refuses it."),
        Check("D47", "canaries", _E, "An account that must be refused can log in: others like it can, too."),
        Check("D48", "hook of changed proofs", _E,
          "Without it, owners do not know that another NUMEN, address, password or device is theirs."),
        Check("D49", "changes of proofs", _W,
          "A wrong day of a change holds a proof off for too long; a wrong count lets too many through."),
        Check("D50", "heads of the journal in syslog", _E,
          "Without syslog, a journal that is made anew is not noticed."),
        Check("D51", "writes without the journal", _E,
          "Somebody may have used the password of an identity without piactl."),
        Check("D53", "rules of sudo and groups", _E,
          "Whoever runs another program as piactl's user, or fills its groups, has the passwords."),
        Check("D54", "names of positions", _W,
          "A position that reveals health or discipline shows in the directory, in plans and in journals."),
        Check("D55", "drift", _E, "Another program changed accounts; the first to see is what gives access."),
        Check("D56", "entries that are gone", _E,
          "People whose entry is gone are held until somebody decides."),
        Check("D57", "names and matricules", _E,
          "A name or matricule of two accounts lets one person act, or get mail, for the other."),
        Check("D58", "birth dates", CheckOutcome.NOTE,
          "Without digests of birth dates, other people are taken for known ones."),
        Check("D59", "open cases", _E,
          "A newcomer without a decision has no account; a row without one is not applied."),
        Check("D60", "hooks of changes", _E, "Without them, open sessions of locked accounts go on."),
        Check("D61", "metrics file", _W, "If the exporter cannot read it, nobody sees that nights fail."),
        Check("D62", "sponsors", _W, "Nobody answers any more for accounts of people whom HR does not know."),
        Check("D63", "applications", _E, "An application that cannot bind, or is blocked, lets nobody in."),
        Check("D64", "groups", _E, "Groups are empty, or somebody who left stays in one."),
        Check("D65", "approvals", _E,
          "A plan that needs another person cannot be approved, or by nobody else."),
        Check("D66", "break-glass", _W, "Somebody applied a dangerous plan alone."),
        Check("D67", "form of the entries", _W, "Applications find values in an earlier form."),
        Check("D68", "numbers for Unix hosts", _E, "Two people with one number share files on Unix hosts."),
        Check("D69", "comparisons", _E, "One comparison, even an anonymous one, can end slapd 2.6."),
        Check("D70", "guesses of passwords", _E,
          "Anybody with an account can try the passwords of others, and nothing counts it."),
        Check("D71", "replication", _E,
          "With plain syncrepl, a password that its owner changes elsewhere at that moment undoes a lock."),
        Check("D72", "server that is written to", _E,
          "Two servers that are written to give one address to two people, and undo locks."),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found: `found` is always set, `advice` only if the operator has to act."""

    outcome: CheckOutcome
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a numbered check. `where` is the URI of a server, or "" for this host or all servers."""

    check: Check
    outcome: CheckOutcome
    found: str
    advice: str = ""
    where: str = ""

    def row(self) -> dict[str, str]:
        """The finding as `-o json` prints it."""
        return {
            "id": self.check.id,
            "title": self.check.title,
            "where": self.where,
            "result": self.outcome.value,
            "severity": self.check.severity.value,
            "found": self.found,
            "meaning": self.check.meaning,
            "advice": self.advice,
        }


def fine(words: str) -> CheckResult:
    return CheckResult(CheckOutcome.OK, words)


def skipped(why: str, advice: str = "") -> CheckResult:
    return CheckResult(CheckOutcome.SKIPPED, why, advice)


def note(words: str, advice: str) -> CheckResult:
    return CheckResult(CheckOutcome.NOTE, words, advice)


def warning(words: str, advice: str) -> CheckResult:
    return CheckResult(CheckOutcome.WARNING, words, advice)


def error(words: str, advice: str) -> CheckResult:
    return CheckResult(CheckOutcome.ERROR, words, advice)


def worst(errors: list[str], warnings: list[str], advice: str, good: str) -> CheckResult:
    """Combines errors and warnings into one result; an error if there is at least one error."""
    problems = "; ".join([*errors, *warnings])
    if errors:
        return error(problems, advice)
    return warning(problems, advice) if warnings else fine(good)


def finding(id_: str, result: CheckResult, where: str = "") -> Finding:
    return Finding(CHECKS[id_], result.outcome, result.found, result.advice, where)


def examined(id_: str, check: Callable[[], CheckResult]) -> Finding:
    """As `unless_broken`, but a check that an error of piactl ends is skipped: another check reports the
    error."""
    try:
        return unless_broken(id_, check)
    except PiactlError as refused:
        return finding(id_, skipped(str(refused).split("\n", 1)[0]))


def unless_broken(id_: str, check: Callable[[], CheckResult], where: str = "") -> Finding:
    """The finding of `check`. An unexpected exception becomes an error finding, and the other checks go
    on. Raises PiactlError."""
    try:
        return finding(id_, check(), where)
    except PiactlError:
        raise
    except PermissionError as forbidden:
        path = str(forbidden.filename or "a file")
        return finding(id_, error(f"{path}: {may_not(path, 'use')}", run_as(path).capitalize()), where)
    except Exception as bug:  # noqa: BLE001 - a check that breaks must not hide what the others find
        return broken(id_, bug, where)


def broken(id_: str, bug: Exception, where: str = "") -> Finding:
    """The finding of a check that failed with a bug; leaves out values that the exception may hold."""
    words = f"the check itself failed: {type(bug).__name__}"
    advice = "This is a bug in piactl: please report it with this line."
    return finding(id_, error(words, advice), where)
