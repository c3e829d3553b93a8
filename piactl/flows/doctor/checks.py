"""The numbered checks of `doctor`. A number keeps its meaning for ever; a new check takes the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from piactl.errors import PiactlError
from piactl.private_files import may_not, run_as


class Outcome(StrEnum):
    """How one check ended, from fine to worst; skipped is not known, and never counts as fine."""

    OK = "ok"
    SKIPPED = "skipped"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """`severity`: what a failure is at worst. `meaning`: what follows from a failure, for people."""

    id: str
    title: str
    severity: Outcome
    meaning: str


_E, _W = Outcome.ERROR, Outcome.WARNING

CHECKS: dict[str, Check] = {
    check.id: check
    for check in (
        Check("D01", "configuration", _E, "Without a valid configuration no command works."),
        Check("D02", "policy", _E, "The policy decides who gets what; what it hardly means is told here."),
        Check("D03", "establishments", _E, "Profiles match on the register; without it nothing is planned."),
        Check("D04", "digest keys", _E, "Without the keys nobody is recognised by matricule or NUMEN."),
        Check("D05", "password files", _E, "A password that others can read is everybody's."),
        Check("D06", "state folder", _E, "Plans and rejected rows are kept there; a run fails without it."),
        Check("D07", "free disk space", _E, "A journal that cannot be written stops every change."),
        Check("D08", "journal file", _E, "No journal, no change: runs stop before the first write."),
        Check(
            "D09",
            "journal chain",
            _E,
            "A line was edited, removed or reordered: the record cannot be trusted.",
        ),
        Check("D10", "writes in doubt", _W, "A run died in mid-write: it is not known which were made."),
        Check(
            "D11", "server answers", _E, "A server that cannot be reached safely is no help in a failover."
        ),
        Check("D12", "identities", _E, "Commands that bind as an identity fail without it."),
        Check(
            "D13", "server functions", _W, "What a server lacks, piactl does in a slower or less safe way."
        ),
        Check("D14", "takes writes", _E, "A read-only server or a consumer refuses every change."),
        Check(
            "D15",
            "base entries",
            _E,
            "Runs read and write below these entries and stop where one is missing.",
        ),
        Check("D16", "schema", _E, "Entries with attributes that the server does not know are refused."),
        Check(
            "D17",
            "password policy",
            _E,
            "Without ppolicy and its default policy, ends, starts and locks of accounts have no effect.",
        ),
        Check("D18", "one-time codes", _E, "Without the overlay otp, slapd accepts the password alone."),
        Check(
            "D19", "unique names", _E, "Two administrators at once can give the same address to two people."
        ),
        Check("D20", "indexes", _W, "Searches read everything, and with `unique` adds are six times slower."),
        Check(
            "D21", "limits", _E, "A search that is cut short ends every run: a part is never taken for all."
        ),
        Check(
            "D22",
            "rights on adds",
            _E,
            "Without add_content_acl who may add an account may give it a password.",
        ),
        Check("D23", "rights of identities", _E, "Each identity must be able to do its part, and no more."),
        Check(
            "D24", "checkpoint", _E, "A killed provider can lose acknowledged writes on its peer for good."
        ),
        Check("D25", "room in the database", _E, "A full map refuses every write (80)."),
        Check("D26", "clock", _E, "Locks expire, codes are valid and days begin by clocks that must agree."),
        Check(
            "D27", "keys that entries need", _E, "People whose digest names a lost key are not recognised."
        ),
        Check(
            "D28",
            "lock",
            _W,
            "One run writes at a time; a lock left behind makes the next one wait or take over.",
        ),
        Check("D29", "last run", _W, "What the last run left undone is not made good by waiting."),
        Check("D30", "policy of codes", _E, "Codes for a first log in must end, and must be replaced."),
        Check("D31", "requests in flight", Outcome.NOTE, "How fast a night of many changes can be."),
        Check("D32", "protected accounts", _E, "What the policy protects the help desk must not reach."),
        Check(
            "D33",
            "policy of an account",
            _E,
            "Under a password policy that is not there, ends and locks of an account have no effect.",
        ),
        Check("D34", "one password", _E, "A second password beside the owner's logs in as well."),
        Check(
            "D35",
            "passwords of identities",
            _E,
            "Who may change the password of an identity can lock out every host, and every run.",
        ),
        Check("D36", "addresses of accounts", _E, "Nobody can write to an account without an address."),
        Check("D37", "piactl's own records", _W, "Commands go on without the records that they cannot read."),
        Check(
            "D38",
            "closures",
            _W,
            "Where only the password policy refuses closed and locked accounts, a fault in it opens them.",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, at `where`: a server's URI, or "" for this host and the directory as a whole.

    `found` is said in any case, `advice` where something is to be done.
    """

    check: Check
    outcome: Outcome
    found: str
    advice: str = ""
    where: str = ""

    def row(self) -> dict[str, str]:
        """As `-o json` prints it."""
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


def fine(id_: str, found: str, where: str = "") -> Finding:
    return Finding(CHECKS[id_], Outcome.OK, found, where=where)


def skipped(id_: str, why: str, where: str = "", advice: str = "") -> Finding:
    return Finding(CHECKS[id_], Outcome.SKIPPED, why, advice, where)


def note(id_: str, found: str, advice: str, where: str = "") -> Finding:
    return Finding(CHECKS[id_], Outcome.NOTE, found, advice, where)


def warning(id_: str, found: str, advice: str, where: str = "") -> Finding:
    return Finding(CHECKS[id_], Outcome.WARNING, found, advice, where)


def error(id_: str, found: str, advice: str, where: str = "") -> Finding:
    return Finding(CHECKS[id_], Outcome.ERROR, found, advice, where)


def unless_broken(id_: str, check: Callable[[], Finding], where: str = "") -> Finding:
    """What the check finds; where it breaks in a way that nobody foresaw, that is its error, and the other
    checks go on. Raises PiactlError, which means something to each caller."""
    try:
        return check()
    except PiactlError:
        raise
    except PermissionError as forbidden:
        path = str(forbidden.filename or "a file")
        return error(id_, f"{path}: {may_not(path, 'use')}", run_as(path).capitalize(), where)
    except Exception as bug:  # noqa: BLE001 - a check that breaks must not hide what the others find
        return broken(id_, bug, where)


def broken(id_: str, bug: Exception, where: str = "") -> Finding:
    """The finding of a check that broke, told without the values that the error may hold."""
    found = f"the check itself failed: {type(bug).__name__}"
    return error(id_, found, "This is a bug in piactl: please report it with this line.", where)


def worst(
    id_: str, errors: list[str], warnings: list[str], advice: str, good: str, where: str = ""
) -> Finding:
    """One finding out of many: an error if there is one, with every error and warning in its words."""
    told = "; ".join([*errors, *warnings])
    if errors:
        return error(id_, told, advice, where)
    if warnings:
        return warning(id_, told, advice, where)
    return fine(id_, good, where)
