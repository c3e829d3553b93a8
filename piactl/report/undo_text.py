"""The text output of an undo: its result for each account, and changes that a later night may repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from piactl.core.plan.change import Kind
from piactl.core.text import counted
from piactl.report.escaping import shown
from piactl.report.plan_text import what_changes

Result = Mapping[str, Any]

_MEANING = {
    "would be reversed": "put back as before the run, if you go on",
    "reversed": "put back as before the run",
    "kept": "kept as they are",
    "impossible": "cannot be put back",
    "conflict": "changed while the undo was at work: kept as they are",
    "failed": "could not be written",
    "not made": "not reached",
}


def undo_text(result: Result, *, most: int = 5) -> str:
    """`result` is what `undo -o json` prints; `most` is how many accounts of each sort are shown, 0 for
    all."""
    return "".join(f"{shown(line)}\n" for line in _lines(result, most))


def _lines(result: Result, most: int) -> Iterator[str]:
    yield f"Undo of run {result['undoes']}: {result['command']}"
    yield f"  by {result['user']} as of {result['as_of']}, started {result['started']}"
    by_outcome: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in result["accounts"]:
        by_outcome[one["outcome"]].append(one)
    for outcome, meaning in _MEANING.items():
        found = by_outcome.get(outcome, [])
        if found:
            yield f"{len(found):>7}  {outcome}: {meaning}"
            yield from _some([_account(one) for one in found], most)
    if result["unchanged"]:
        yield f"{result['unchanged']:>7}  as before the run already"
    if not result["accounts"]:
        yield "Nothing to undo."
    yield from _returning(result, most)


def _account(one: Mapping[str, Any]) -> str:
    if not one["changes"] or one["message"]:
        return f"{one['uid']}: {one['message'] or ', '.join(one['kinds'])}"
    rights: dict[str, list[str]] = {"gets": [], "loses": []}
    others = []
    for change in one["changes"]:
        what = what_changes(change) or str(change["kind"])
        if "service" in change["after"]:
            rights["gets" if change["kind"] == Kind.GRANT.value else "loses"].append(what)
        else:
            others.append(what)
    right_changes = [f"{verb} {', '.join(whats)}" for verb, whats in rights.items() if whats]
    return f"{one['uid']}: {'; '.join([*others, *right_changes])}"


def _some(lines: Sequence[str], most: int) -> Iterator[str]:
    for line in lines[:most] if most else lines:
        yield f"{'':11}{line}"
    if most and len(lines) > most:
        yield f"{'':11}... and {len(lines) - most} more; every one: --all"


def _returning(result: Result, most: int) -> Iterator[str]:
    """The changes that coming nights would repeat."""
    back = [one for one in result["accounts"] if one["outcome"].endswith("reversed")]
    rules = [f"{one['uid']}: {', '.join(one['returns'])}" for one in back if one["returns"]]
    fed: dict[str, list[str]] = defaultdict(list)
    for one in back:
        for source in one["sources"]:
            fed[source].append(one["uid"])
    if rules:
        yield ""
        yield f"{len(rules):>7}  come back with the next night: policy and dates alone do it again"
        yield from _some(rules, most)
    for source, uids in sorted(fed.items()):
        yield ""
        yield (
            f"{len(uids):>7}  come back with the next feed of {source} that says the same: correct the feed "
            "first, or the next night does it again"
        )
        yield from _some(uids, most)
        if source in result["deltas"]:
            yield f"{'':9}{source} sends each change only once: HR has to send the correct rows again"
    if back:
        for feed in result["feeds"]:
            yield f"{'':9}this very file is refused from now on: {feed['source']}={feed['file']}"


def undo_summary(result: Result) -> str:
    """The end in one line."""
    counts: dict[str, int] = defaultdict(int)
    for one in result["accounts"]:
        counts[one["outcome"]] += 1
    if result["unchanged"]:
        counts["as before already"] = result["unchanged"]
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    accounts = counted(sum(counts.values()), "account", "accounts")
    return f"run {result['run']}: {result['status']}; of {accounts} {outcomes}\n"
