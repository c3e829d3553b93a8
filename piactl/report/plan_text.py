"""The text output of a plan: changes by account with reasons, refusals and skipped accounts."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from piactl.core.plan.guards import GROWTH
from piactl.report.escaping import shown

Document = Mapping[str, Any]

ORDER = (
    "identity create adopt reopen grant unlock update rename suspend revoke lock deactivate archive".split()
)
MEANING = {
    "identity": "NUMEN or private address changed",
    "create": "accounts made",
    "adopt": "entries become accounts",
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


def plan_text(document: Document, *, most: int = 3, rest: str = "every change: --all") -> str:
    """The summary of a plan with at most `most` changes of each kind, 0 for all; `rest` says how to see the
    others."""
    return "\n".join(_lines(document, most, rest)) + "\n"


def _lines(document: Document, most: int, rest: str) -> Iterator[str]:
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
    counts, first, accounts = _of_each_kind(document["changes"], most)
    for kind in ORDER:
        if kind not in summary:
            continue
        of = f" ({counts[kind]} changes)" if counts[kind] > summary[kind] else ""
        yield f"{summary[kind]:>7}  {kind:<11}{MEANING[kind]}{of}"
        every = (change for change in document["changes"] if change["kind"] == kind)
        for change in first[kind] if most else every:
            yield f"{'':11}{change_text(change)}"
        if most and summary[kind] > most:
            yield f"{'':11}... and {summary[kind] - most} more accounts"
    if len(summary) > 1:
        yield f"{accounts:>7}  accounts in all, one write each"
    if most and any(number > most for number in summary.values()):
        yield f"{'':9}{rest}"
    yield from _left_alone(document, most)
    yield from refusal_lines(document["refusals"])


def _of_each_kind(
    changes: Iterable[Mapping[str, Any]], most: int
) -> tuple[Counter[str], dict[str, list[Mapping[str, Any]]], int]:
    """How many changes of each kind there are; the first change of each of the first `most` accounts; how
    many accounts there are, for all changes of one stand together."""
    counts: Counter[str] = Counter()
    first: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    accounts, last = 0, None
    for change in changes:
        kind, uid = change["kind"], change["uid"]
        counts[kind] += 1
        found = first[kind]
        if len(found) < most and not (found and found[-1]["uid"] == uid):
            found.append(change)
        accounts += uid != last
        last = uid
    return counts, first, accounts


def _update(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The changes of an update by field, old to new."""
    parts = []
    for name in after:
        old, new = before.get(name), after[name]
        if old == new:
            parts.append(_text(new))
        elif isinstance(old, list) or isinstance(new, list):
            parts += [f"- {one}" for one in old or ()] + [f"+ {one}" for one in new or ()]
        else:
            parts.append(f"{name.replace('_', ' ')} {_text(old)} -> {_text(new)}")
    return ", ".join(parts)


def _identity(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What of the proofs of identity changes; a plan has them masked."""
    parts = []
    if "numen" in after:
        parts.append("NUMEN changed" if before.get("numen") else "first NUMEN")
    if "private_mail" in after:
        parts.append(f"private address {_text(before['private_mail'])} -> {_text(after['private_mail'])}")
    return ", ".join(parts)


def _adopted(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The account that an entry becomes, and each value of the entry that is replaced."""
    parts = [f"{after['state']}, {after['address']}"]
    if after["aliases"]:
        parts.append(f"also {_text(after['aliases'])}")
    parts += [f"{name} {_text(old)} -> {_text(after.get(name))}" for name, old in before.items()]
    return ", ".join(parts)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return str(value) if value not in (None, "") else "none"


def change_text(change: Mapping[str, Any], *, who: bool = True) -> str:
    """One change in one line; `who` puts the uid before it."""
    where = f" [{change['feed']}:{change['line']}]" if change["feed"] else ""
    since = "" if change["effective"] in change["reason"] else f" (from {change['effective']})"
    uid = f"{change['uid']}: " if who else ""
    return shown(f"{uid}{what_changes(change)}; {change['reason']}{since}{where}")


def what_changes(change: Mapping[str, Any]) -> str:
    """The content of one change, without account and reason."""
    before, after = change["before"] or {}, change["after"]
    what = ""
    if change["kind"] == "adopt":
        what = _adopted(before, after)
    elif "service" in after:
        what = after["service"] + (f":{after['uai']}" if after.get("uai") else "")
    elif "address" in after and change["kind"] == "rename":
        what = f"{before.get('address')} -> {after['address']}"
    elif "state" in after and before.get("state") != after["state"]:
        what = f"{before['state']} -> {after['state']}" if before.get("state") else after["state"]
    elif change["kind"] == "update":
        what = _update(before, after)
    elif change["kind"] == "identity":
        what = _identity(before, after)
    elif "locked" in after:
        what = "locked" if after["locked"] else "no longer locked"
    return what


def _left_alone(document: Document, most: int) -> Iterator[str]:
    groups = (
        ("rejections", "rows rejected", _rejection),
        ("holds", "held: left unchanged", _hold),
        (
            "disagreements",
            "disagreements between two sources: names and private address stay unchanged",
            _hold,
        ),
        (
            "foreign_addresses",
            "addresses added by another program: kept and reserved",
            _foreign,
        ),
        ("archivals", "archivals due, confirmed by the next night", _archival),
        ("absents", "assignments absent from the feed, waiting for confirmation", _absent),
    )
    for name, meaning, line in groups:
        found = document.get(name)
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


def _foreign(one: Mapping[str, Any]) -> str:
    owner = f", although it is a name of {one['owner']}" if one["owner"] else ""
    return f"{one['uid']}: {one['address']}, since {one['since']}{owner}"


def _archival(one: Mapping[str, Any]) -> str:
    return f"{one['uid']}: archival due since {one['due']}, confirmed by the next night"


def _absent(one: Mapping[str, Any]) -> str:
    who = one["uid"] or one["matricule"]
    return (
        f"{who}: {one['function']} at {one['uai']} from {one['start']}, absent since {one['since']} "
        f"({one['seen']} of {one['needed']} feeds)"
    )


def refusal_lines(refusals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each broken guard with its numbers; empty if none is broken."""
    for one in refusals:
        limit, found, of = one["limit"], one["found"], one["of"]
        share = f", {found / of:.1%}" if of else ""
        what = f"{found} of {of} accounts{share} ({one['scope']})"
        if one["kind"] in GROWTH.values():
            what = f"{found} accounts more than {of}{share} ({one['scope']})"
        yield ""
        yield (
            f"REFUSED by the guard {one['guard']}: {what}; "
            f"the limit is {limit['max']} and {limit['share']:.1%}"
        )
        yield f"  such as {shown(', '.join(one['sample']))}"


def approval(refusals: Sequence[Mapping[str, Any]], file: str) -> str:
    """The exact command that approves a refused plan."""
    totals = {one["kind"]: one["total"] for one in refusals}
    allow = " ".join(f"--allow {kind}={total}" for kind, total in sorted(totals.items()))
    return f'piactl apply {shlex.quote(file)} {allow} --reason "..."'


Result = Mapping[str, Any]

RESULT_COLUMNS = ("account", "uid", "outcome", "kinds", "message")
_FIRST_DAYS = 8


def result_text(result: Result) -> str:
    """One account: each change with its reason, and what follows on later days."""
    return "".join(f"{shown(line)}\n" for line in _result_lines(result))


def _result_lines(result: Result) -> Iterator[str]:
    who = result["uid"] or result["account"]
    said = f"{who}: {result['outcome']}"
    first, *more = result["message"].split("\n")
    yield f"{said}: {first}" if first else said
    yield from (f"  {line}" for line in more)
    for change in result["changes"]:
        yield f"  {change['kind']:<11}{change_text(change, who=False)}"
    ahead = result["outlook"]
    for event in ahead[:_FIRST_DAYS]:
        yield f"  {event['day']} {event['what']}"
    if len(ahead) > _FIRST_DAYS:
        yield f"  ... and {len(ahead) - _FIRST_DAYS} more; see: piactl account timeline {who}"
