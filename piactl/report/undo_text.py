"""The text output of an undo: its result for each account, and changes that a later night may repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.plan.change import Kind
from piactl.phrase import Phrase, counted, joined, with_phrases
from piactl.report.escaping import shown
from piactl.report.plan_text import first_lines, what_changes
from piactl.report.table import numbers
from piactl.translation import translate, translate_word

Result = Mapping[str, Any]

_ALL = Phrase("all of them: --all")

_MEANING = {
    "would be reversed": Phrase("would be put back as before the run"),
    "reversed": Phrase("put back as before the run"),
    "kept": Phrase("kept as they are"),
    "impossible": Phrase("cannot be put back"),
    "conflict": Phrase("changed during the undo: kept as they are"),
    "failed": Phrase("could not be written"),
    "not made": Phrase("not reached"),
}


def undo_text(result: Result, *, most: int = 5) -> str:
    """The text of a result of `undo -o json`, with at most `most` accounts of each outcome, 0 for all."""
    return "".join(f"{shown(translate(line))}\n" for line in _lines(result, most))


def _lines(result: Result, most: int) -> Iterator[str]:
    yield Phrase("Undo of run {run}: {command}", run=result["undoes"], command=result["command"])
    facts = {"user": result["user"], "day": result["as_of"], "started": result["started"]}
    yield "  " + translate(Phrase("by {user} as of {day}, started {started}", **facts))
    by_outcome: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for account in result["accounts"]:
        by_outcome[account["outcome"]].append(account)
    for outcome, meaning in _MEANING.items():
        accounts = by_outcome.get(outcome, [])
        if accounts:
            yield _counted(len(accounts), joined([translate_word(outcome), meaning], "{first}: {second}"))
            yield from first_lines(accounts, _account, most, _ALL)
    if result["unchanged"]:
        yield _counted(result["unchanged"], Phrase("already as before the run"))
    if not result["accounts"]:
        yield Phrase("Nothing to undo.")
    yield from _returning(result, most)


def _counted(number: int, meaning: str) -> str:
    return f"{number:>7}  {translate(meaning)}"


def _account(account: Mapping[str, Any]) -> str:
    if not account["changes"] or account["message"]:
        return joined(
            [account["uid"], account["message"] or ", ".join(account["kinds"])], "{first}: {second}"
        )
    gets: list[str] = []
    loses: list[str] = []
    others = []
    for change in map(with_phrases, account["changes"]):
        text = what_changes(change) or str(change["kind"])
        if "service" in change["after"]:
            (gets if change["kind"] == Kind.GRANT.value else loses).append(text)
        else:
            others.append(text)
    if gets:
        others.append(Phrase("gets {rights}", rights=", ".join(gets)))
    if loses:
        others.append(Phrase("loses {rights}", rights=", ".join(loses)))
    return joined([account["uid"], joined(others)], "{first}: {second}")


def _returning(result: Result, most: int) -> Iterator[str]:
    """The changes that coming nights would repeat."""
    back = [account for account in result["accounts"] if account["outcome"].endswith("reversed")]
    rules = [
        joined([account["uid"], joined(account["returns"], "{first}, {second}")], "{first}: {second}")
        for account in back
        if account["returns"]
    ]
    fed: dict[str, list[str]] = defaultdict(list)
    for account in back:
        for source in account["sources"]:
            fed[source].append(account["uid"])
    if rules:
        yield ""
        yield _counted(len(rules), Phrase("come back with the next night, by policy and dates alone"))
        yield from first_lines(rules, str, most, _ALL)
    for source, uids in sorted(fed.items()):
        yield ""
        back_again = Phrase(
            "come back with the next feed of {source} that has the same values: correct the feed before the "
            "next night",
            source=source,
        )
        yield _counted(len(uids), back_again)
        yield from first_lines(uids, str, most, _ALL)
        if source in result["deltas"]:
            once = Phrase(
                "{source} sends each change only once: HR has to send the correct rows again", source=source
            )
            yield f"{'':9}{translate(once)}"
    if back:
        for feed in result["feeds"]:
            file = f"{feed['source']}={feed['file']}"
            yield " " * 9 + translate(Phrase("this file is refused from now on: {file}", file=file))


def undo_summary(result: Result) -> str:
    """The result in one line."""
    counts: dict[str, int] = defaultdict(int)
    for account in result["accounts"]:
        counts[account["outcome"]] += 1
    if result["unchanged"]:
        counts[Phrase("as before already")] = result["unchanged"]
    summary = Phrase(
        "run {run}: {status}; of {accounts} {outcomes}",
        run=result["run"],
        status=translate_word(result["status"]),
        accounts=counted(sum(counts.values()), "account", "accounts"),
        outcomes=numbers(counts),
    )
    return f"{translate(summary)}\n"
