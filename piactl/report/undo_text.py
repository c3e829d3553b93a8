"""The text output of an undo: its result for each account, and changes that a later night may repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.plan.change import Kind
from piactl.phrase import Phrase, counted
from piactl.report.escaping import shown
from piactl.report.plan_text import first_lines, what_changes

Result = Mapping[str, Any]

_ALL = "; all of them: --all"

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
    return "".join(f"{shown(line)}\n" for line in _lines(result, most))


def _lines(result: Result, most: int) -> Iterator[str]:
    yield Phrase("Undo of run {result}: {result2}", result=result["undoes"], result2=result["command"])
    yield f"  by {result['user']} as of {result['as_of']}, started {result['started']}"
    by_outcome: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for account in result["accounts"]:
        by_outcome[account["outcome"]].append(account)
    for outcome, meaning in _MEANING.items():
        accounts = by_outcome.get(outcome, [])
        if accounts:
            yield f"{len(accounts):>7}  {outcome}: {meaning}"
            yield from first_lines(accounts, _account, most, _ALL)
    if result["unchanged"]:
        yield f"{result['unchanged']:>7}  already as before the run"
    if not result["accounts"]:
        yield Phrase("Nothing to undo.")
    yield from _returning(result, most)


def _account(account: Mapping[str, Any]) -> str:
    if not account["changes"] or account["message"]:
        return f"{account['uid']}: {account['message'] or ', '.join(account['kinds'])}"
    rights: dict[str, list[str]] = {"gets": [], "loses": []}
    others = []
    for change in account["changes"]:
        text = what_changes(change) or str(change["kind"])
        if "service" in change["after"]:
            rights["gets" if change["kind"] == Kind.GRANT.value else "loses"].append(text)
        else:
            others.append(text)
    right_changes = [f"{verb} {', '.join(whats)}" for verb, whats in rights.items() if whats]
    return f"{account['uid']}: {'; '.join([*others, *right_changes])}"


def _returning(result: Result, most: int) -> Iterator[str]:
    """The changes that coming nights would repeat."""
    back = [account for account in result["accounts"] if account["outcome"].endswith("reversed")]
    rules = [f"{account['uid']}: {', '.join(account['returns'])}" for account in back if account["returns"]]
    fed: dict[str, list[str]] = defaultdict(list)
    for account in back:
        for source in account["sources"]:
            fed[source].append(account["uid"])
    if rules:
        yield ""
        yield f"{len(rules):>7}  come back with the next night, by policy and dates alone"
        yield from first_lines(rules, str, most, _ALL)
    for source, uids in sorted(fed.items()):
        yield ""
        yield (
            f"{len(uids):>7}  come back with the next feed of {source} that has the same values: "
            "correct the feed before the next night"
        )
        yield from first_lines(uids, str, most, _ALL)
        if source in result["deltas"]:
            yield f"{'':9}{source} sends each change only once: HR has to send the correct rows again"
    if back:
        for feed in result["feeds"]:
            yield f"{'':9}this file is refused from now on: {feed['source']}={feed['file']}"


def undo_summary(result: Result) -> str:
    """The result in one line."""
    counts: dict[str, int] = defaultdict(int)
    for account in result["accounts"]:
        counts[account["outcome"]] += 1
    if result["unchanged"]:
        counts[Phrase("as before already")] = result["unchanged"]
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    accounts = counted(sum(counts.values()), "account", "accounts")
    return f"run {result['run']}: {result['status']}; of {accounts} {outcomes}\n"
