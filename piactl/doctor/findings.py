"""What a check of `doctor` found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from piactl.phrase import Phrase, joined

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
