"""A plan as people read it: what happens to whom and why, and what was refused or left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from piactl.report.escaping import shown

Document = Mapping[str, Any]

ORDER = "create reopen grant unlock update rename suspend revoke lock deactivate archive".split()
MEANING = {
    "create": "accounts made",
    "reopen": "come back",
    "grant": "get services",
    "unlock": "locks lifted",
    "update": "data brought up to date",
    "rename": "get another address",
    "suspend": "go on leave",
    "revoke": "lose services or enter grace",
    "lock": "locked",
    "deactivate": "closed",
    "archive": "emptied for good",
}


def plan_text(document: Document, *, most: int = 3) -> str:
    """The summary of a plan; `most` is how many changes of each kind are shown, 0 for all."""
    return "\n".join(_lines(document, most)) + "\n"


def _lines(document: Document, most: int) -> Iterator[str]:
    basis = document["basis"]
    yield f"Plan {document['fingerprint'][:12]} as of {basis['as_of']}"
    for feed in basis["feeds"]:
        of = f" of {feed['date']}" if feed["date"] else ""
        sort = "full" if feed["full"] else "delta"
        yield f"  feed {shown(feed['file'])}{of}: {feed['rows']} rows, source {feed['source']} ({sort})"
    for remark in document["remarks"]:
        yield f"  {shown(remark)}"
    yield ""
    summary = document["summary"]
    if not summary:
        yield "Nothing to change."
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for change in document["changes"]:
        by_kind[change["kind"]].append(change)
    for kind in ORDER:
        if kind not in summary:
            continue
        yield f"{summary[kind]:>7}  {kind:<11}{MEANING[kind]}"
        changes = by_kind[kind]
        for change in changes if not most else changes[:most]:
            yield f"{'':11}{_change(change)}"
        if most and len(changes) > most:
            yield f"{'':11}... and {len(changes) - most} more (piactl plan --all, or -o json)"
    yield from _left_alone(document, most)
    yield from refusal_lines(document["refusals"])


def _change(change: Mapping[str, Any]) -> str:
    before, after = change["before"] or {}, change["after"]
    what = ""
    if "service" in after:
        what = after["service"] + (f":{after['uai']}" if after.get("uai") else "")
    elif "address" in after and change["kind"] == "rename":
        what = f"{before.get('address')} -> {after['address']}"
    elif "state" in after and before.get("state") != after["state"]:
        what = f"{before['state']} -> {after['state']}" if before.get("state") else after["state"]
    elif change["kind"] == "update":
        what = ", ".join(after)
    elif "locked" in after:
        what = "locked" if after["locked"] else "no longer locked"
    where = f" [{change['feed']}:{change['line']}]" if change["feed"] else ""
    text = f"{change['uid']}: {what}; {change['reason']} (from {change['effective']}){where}"
    return shown(text)


def _left_alone(document: Document, most: int) -> Iterator[str]:
    groups = (
        ("rejections", "rows rejected", _rejection),
        ("holds", "held: left exactly as they are", _hold),
        ("absents", "assignments absent from the feed, waiting for confirmation", _absent),
    )
    for name, meaning, line in groups:
        found = document[name]
        if not found:
            continue
        yield ""
        yield f"{len(found):>7}  {meaning}"
        for one in found if not most else found[:most]:
            yield f"{'':11}{shown(line(one))}"
        if most and len(found) > most:
            yield f"{'':11}... and {len(found) - most} more"


def _rejection(one: Mapping[str, Any]) -> str:
    return f"{one['file']}:{one['line']}: {one['column'] or 'row'}: {one['message']} [{one['code']}]"


def _hold(one: Mapping[str, Any]) -> str:
    return f"{one['uid'] or one['matricule']}: {one['why']}"


def _absent(one: Mapping[str, Any]) -> str:
    who = one["uid"] or one["matricule"]
    return (
        f"{who}: {one['function']} at {one['uai']} from {one['start']}, absent since {one['since']} "
        f"({one['seen']} of {one['needed']} feeds)"
    )


def refusal_lines(refusals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each broken guard with its numbers; nothing where none is broken."""
    for one in refusals:
        limit = one["limit"]
        yield ""
        yield (
            f"REFUSED by the guard {one['guard']}: {one['found']} of {one['of']} accounts ({one['scope']}); "
            f"the limit is {limit['max']} and {limit['share']:.1%}"
        )
        yield f"  such as {shown(', '.join(one['sample']))}"


def approval(refusals: Sequence[Mapping[str, Any]], file: str) -> str:
    """The exact command that approves a refused plan."""
    totals = {one["kind"]: one["total"] for one in refusals}
    allow = " ".join(f"--allow {kind}={total}" for kind, total in sorted(totals.items()))
    return f'piactl apply {file} {allow} --reason "..."'
