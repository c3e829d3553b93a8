"""The text output of a plan: changes by account with reasons, refusals, skipped accounts, and its impact."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from piactl.core.model.policy import Limit
from piactl.core.plan.change import GROWTH
from piactl.core.plan.guards import allowed_words
from piactl.core.plan.plan import HoldCode
from piactl.core.rules.career import NEVER
from piactl.phrase import Phrase, counted
from piactl.report.account_text import drift_line
from piactl.report.escaping import shown
from piactl.report.table import rendered

Document = Mapping[str, Any]

ORDER = (
    *"drift identity create adopt reopen grant unlock update rename suspend".split(),
    *"revoke lock deactivate archive group".split(),
)
MEANING = {
    "drift": Phrase("changed by another program, put back"),
    "identity": Phrase("NUMEN or private address changed"),
    "create": Phrase("accounts made"),
    "adopt": Phrase("entries become accounts"),
    "reopen": Phrase("come back"),
    "grant": Phrase("get services"),
    "unlock": Phrase("locks lifted"),
    "update": Phrase("data brought up to date"),
    "rename": Phrase("get another address"),
    "suspend": Phrase("go on leave"),
    "revoke": Phrase("lose services or enter grace"),
    "lock": "locked",
    "deactivate": "closed",
    "archive": Phrase("emptied for good"),
    "group": Phrase("groups defined"),
}


def plan_text(document: Document, *, most: int = 3, rest: str = Phrase("every change: --all")) -> str:
    """The summary of a plan with at most `most` changes of each kind, 0 for all; `rest` says how to show
    all."""
    return "\n".join(_lines(document, most, rest)) + "\n"


def difference_text(document: Document, *, most: int = 3) -> str:
    """The changes by the policy `new` in place of `old`; `most` as for `plan_text`."""
    head = Phrase(
        "Policy {document} -> {document2} as of {document3}",
        document=shown(document["old"]),
        document2=shown(document["new"]),
        document3=document["basis"]["as_of"],
    )
    return "\n".join([head, *_changes(document, most, Phrase("every change: --all"))]) + "\n"


def _lines(document: Document, most: int, rest: str) -> Iterator[str]:
    basis = document["basis"]
    yield Phrase("Plan {document} as of {basis}", document=document["fingerprint"][:12], basis=basis["as_of"])
    for feed in basis["feeds"]:
        of = f" of {feed['date']}" if feed["date"] else ""
        sort = "full" if feed["full"] else "delta"
        rows = counted(feed["rows"], "row")
        yield f"  feed {shown(feed['file'])}{of}: {rows}, source {feed['source']} ({sort})"
    for remark in document["remarks"]:
        yield f"  {shown(remark)}"
    yield from _drift(document, most)
    yield from _changes(document, most, rest)


def _changes(document: Document, most: int, rest: str) -> Iterator[str]:
    yield ""
    summary = document["summary"]
    if not summary:
        yield Phrase("Nothing to change.")
    counts, first, accounts = _of_each_kind(document["changes"], most)
    for kind in ORDER:
        if kind not in summary:
            continue
        of = f" ({counts[kind]} changes)" if counts[kind] > summary[kind] else ""
        yield f"{summary[kind]:>7}  {kind:<11}{MEANING[kind]}{of}"
        every = (change for change in document["changes"] if change["kind"] == kind)
        for changes in first[kind] if most else _by_account(every):
            yield f"{'':11}{changes[0]['uid']}: {_changes_text(changes)}"
        if most and summary[kind] > most:
            omitted = summary[kind] - most
            yield f"{'':11}... and {omitted} more {'groups' if kind == 'group' else 'accounts'}"
    if len(summary.keys() - {"group"}) > 1:
        yield f"{accounts:>7}  accounts in all, one write each"
    yield from _totals(document)
    if most and any(number > most for number in summary.values()):
        yield f"{'':9}{rest}"
    yield from _left_alone(document, most)
    yield from refusal_lines(document["refusals"])


_BY = "this plan"


def _drift(document: Document, most: int) -> Iterator[str]:
    """What other programs changed, by class; what gives access comes first and is never cut short."""
    drifts = document["drift"]
    for drift_class in dict.fromkeys(drift["drift_class"] for drift in drifts):
        some = [drift for drift in drifts if drift["drift_class"] == drift_class]
        shorter = most if drift_class != "loosening" else 0
        yield ""
        yield f"{len(some):>7}  {drift_class} by another program"
        yield from first_lines(some, lambda drift: f"{drift['uid']}: {drift_line(drift, _BY)}", shorter)


def _totals(document: Document) -> Iterator[str]:
    """`services: elea +78, livret -83`."""
    for sort, names in sorted(document.get("totals", {}).items(), reverse=True):
        parts = (
            " ".join([shown(name), *(f"{sign}{counts[of]}" for sign, of in _SIGNS if counts[of])])
            for name, counts in names.items()
        )
        yield f"{'':9}{sort}: {', '.join(parts)}"


_SIGNS = (("+", "gain"), ("-", "lose"))


def _by_account(changes: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The changes of each account, which follow each other."""
    return (list(some) for _, some in groupby(changes, key=itemgetter("uid")))


def _of_each_kind(
    changes: Iterable[Mapping[str, Any]], most: int
) -> tuple[Counter[str], dict[str, list[list[Mapping[str, Any]]]], int]:
    """The number of changes of each kind; per kind the changes of each of the first `most` accounts; the
    number of accounts. The changes of one account follow each other."""
    counts: Counter[str] = Counter()
    first: dict[str, list[list[Mapping[str, Any]]]] = defaultdict(list)
    accounts, last = 0, None
    for change in changes:
        kind, uid = change["kind"], change["uid"]
        counts[kind] += 1
        shown_changes = first[kind]
        if shown_changes and shown_changes[-1][0]["uid"] == uid:
            shown_changes[-1].append(change)
        elif len(shown_changes) < most:
            shown_changes.append([change])
        accounts += uid != last and kind != "group"
        last = uid
    return counts, first, accounts


_SENTENCES = ("assignments", "overrides", "exceptions", "identifiers")
"""Lists whose items need no name."""
_NAMES = {"ends": "last day"}


def _update(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The fields of an update, old to new."""
    parts = []
    for name in after:
        old, new = before.get(name), after[name]
        if old == new:
            parts.append(_text(new))
        elif name in _SENTENCES:
            olds, news = old or (), new or ()
            parts += [f"- {value}" for value in olds if value not in news]
            parts += [f"+ {value}" for value in news if value not in olds]
        else:
            parts.append(f"{_NAMES.get(name, name.replace('_', ' '))} {_text(old)} -> {_text(new)}")
    return ", ".join(parts)


def _identity(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The proofs of identity that change; a plan has them masked."""
    parts = []
    if "numen" in after:
        parts.append(Phrase("NUMEN changed") if before.get("numen") else Phrase("first NUMEN"))
    if "private_mail" in after:
        parts.append(
            Phrase(
                "private address {text} -> {text2}",
                text=_text(before["private_mail"]),
                text2=_text(after["private_mail"]),
            )
        )
    return ", ".join(parts)


def _group(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The filter that finds the members of a group, old to new."""
    if not after:
        return Phrase("removed, {before}", before=before["members"] or before["label"])
    if not before:
        return Phrase("new, {after}", after=after["members"] or after["label"])
    parts = [
        f"{old} -> {new}" for old, new in ((before[n], after[n]) for n in ("members", "label")) if old != new
    ]
    return ", ".join(parts) or str(after["members"] or after["label"])


def _adopted(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The account that an entry becomes, and each value of the entry that is replaced."""
    parts = [f"{after['state']}, {after['address']}"]
    if after["aliases"]:
        parts.append(Phrase("also {text}", text=_text(after["aliases"])))
    parts += [f"{name} {_text(old)} -> {_text(after.get(name))}" for name, old in before.items()]
    return ", ".join(parts)


_NEVER = NEVER.isoformat()


def _text(value: Any) -> str:
    if value == _NEVER:
        return "never"
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    return str(value) if value not in (None, "") else "none"


def change_text(change: Mapping[str, Any], *, with_uid: bool = True) -> str:
    """One change in one line."""
    uid = f"{change['uid']}: " if with_uid else ""
    return shown(f"{uid}{_changes_text([change])}")


def _changes_text(changes: Iterable[Mapping[str, Any]]) -> str:
    """The changes of one kind of one account in one line; a shared reason is given once."""
    together: dict[str, list[str]] = {}
    last = ""
    for change in changes:
        where = f" [{change['feed']}:{change['line']}]" if change["feed"] else ""
        since = "" if change["effective"] in change["reason"] else f" (from {change['effective']})"
        file, _, place = (change.get("rule") or "").rpartition(":")
        rule = f" ({'' if file == last else file}:{place})" if place else ""
        words, last = f"{what_changes(change)}{rule}", file
        together.setdefault(f"{change['reason']}{since}{where}", []).append(words)
    return shown("; and ".join(f"{', '.join(words)}; {why}" for why, words in together.items()))


def what_changes(change: Mapping[str, Any]) -> str:
    """The content of one change, without account and reason."""
    before, after = change["before"] or {}, change["after"]
    text = ""
    if change["kind"] == "adopt":
        text = _adopted(before, after)
    elif "service" in after:
        text = after["service"] + (f":{after['uai']}" if after.get("uai") else "")
    elif "address" in after and change["kind"] == "rename":
        text = f"{before.get('address')} -> {after['address']}"
    elif "state" in after and before.get("state") != after["state"]:
        text = f"{before['state']} -> {after['state']}" if before.get("state") else after["state"]
    elif change["kind"] == "update":
        text = _update(before, after)
    elif change["kind"] == "drift":
        text = f"{after['class']}: {_text(before['theirs'])} -> {_text(after['ours'])}"
    elif change["kind"] == "identity":
        text = _identity(before, after)
    elif change["kind"] == "group":
        text = _group(before, after)
    elif "locked" in after:
        text = "locked" if after["locked"] else Phrase("no longer locked")
    return text


def _left_alone(document: Document, most: int) -> Iterator[str]:
    unchanged, gaining_nothing = parted_holds(document.get("holds", ()))
    groups = (
        (document.get("rejections"), Phrase("rows rejected"), _rejection),
        (unchanged, Phrase("held: left unchanged"), _hold),
        (gaining_nothing, Phrase("held: gain nothing, and lose what HR or a date ends"), _hold),
        (
            document.get("disagreements"),
            Phrase("disagreements between two sources: names and private address of accounts stay unchanged"),
            _hold,
        ),
        (document.get("contradictions"), Phrase("changes by hand that HR contradicts"), _contradiction),
        (document.get("archivals"), Phrase("archivals due, confirmed by the next night"), _archival),
        (
            document.get("absents"),
            Phrase("assignments absent from the feed, waiting for confirmation"),
            _absent,
        ),
    )
    for facts, meaning, line in groups:
        if facts:
            yield ""
            yield f"{len(facts):>7}  {meaning}"
            yield from first_lines(facts, line, most)


def parted_holds(holds: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], ...]:
    """The holds that leave an account unchanged, and those by drift, which only keep it from gaining."""
    parts: tuple[list[Mapping[str, Any]], ...] = ([], [])
    for hold in holds:
        parts[hold["code"] == HoldCode.DRIFT].append(hold)
    return parts


def first_lines(facts: Sequence[Any], line: Callable[[Any], str], most: int, rest: str = "") -> Iterator[str]:
    """A line for each of the first `most` facts, 0 for all, and how many more there are; `rest` says how to
    show all."""
    for fact in facts[:most] if most else facts:
        yield f"{'':11}{shown(line(fact))}"
    if most and len(facts) > most:
        yield f"{'':11}... and {len(facts) - most} more{rest}"


def _rejection(rejection: Mapping[str, Any]) -> str:
    place = f"{rejection['file']}:{rejection['line']}: {rejection['column'] or 'row'}"
    return f"{place}: {rejection['message']} [{rejection['code']}]"


def _hold(hold: Mapping[str, Any]) -> str:
    return f"{hold['uid'] or hold['matricule']}: {hold['why']}"


def _contradiction(contradiction: Mapping[str, Any]) -> str:
    return f"{contradiction['uid']}: {contradiction['what']}; {contradiction['why']}"


def _archival(archival: Mapping[str, Any]) -> str:
    return f"{archival['uid']}: archival due since {archival['due']}, confirmed by the next night"


def _absent(absence: Mapping[str, Any]) -> str:
    account = absence["uid"] or absence["matricule"]
    return (
        f"{account}: {absence['function']} at {absence['uai']} from {absence['start']}, "
        f"absent since {absence['since']} ({absence['seen']} of {absence['needed']} feeds)"
    )


def refusal_lines(refusals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each broken guard with its numbers; empty if none is broken."""
    for refusal in refusals:
        limit, accounts, of = refusal["limit"], refusal["found"], refusal["of"]
        share = f", {accounts / of:.1%}" if of else ""
        counts = f"{accounts} of {of} accounts{share} ({refusal['scope']})"
        if refusal["kind"] in GROWTH.values():
            counts = f"{counted(accounts, 'account')} more than {of}{share} ({refusal['scope']})"
        if refusal["kind"] == "group":
            counts = counted(accounts, "group changes or goes", "groups change or go")
        yield ""
        most = Limit(limit["max"], limit["share"]).most(of)
        by_share = f" ({limit['share'] * 100:g} % of the accounts)" if limit["share"] * of >= most else ""
        approve = f"; to approve it: --allow {refusal['kind']}={refusal['total']}"
        exact = approve if refusal["total"] != accounts else ""
        yield f"REFUSED by the guard {refusal['guard']}: {counts}; {allowed_words(most)}{by_share}{exact}"
        yield f"  such as {shown(', '.join(refusal['sample']))}"


def apply_command(refusals: Sequence[Mapping[str, Any]], file: str) -> str:
    """The exact command that applies the plan in a file, with the guards that it breaks."""
    totals = {refusal["kind"]: refusal["total"] for refusal in refusals}
    allow = "".join(f" --allow {kind}={total}" for kind, total in sorted(totals.items()))
    reason = ' --reason "..."' if allow else ""
    return f"piactl apply {shlex.quote(file)}{allow}{reason}"


Result = Mapping[str, Any]

RESULT_COLUMNS = ("account", "uid", "outcome", "kinds", "message")
_FIRST_DAYS = 8


def result_text(result: Result) -> str:
    """One account: each change with its reason, and what follows on later days."""
    return "".join(f"{shown(line)}\n" for line in _result_lines(result))


def _result_lines(result: Result) -> Iterator[str]:
    uid = result["uid"] or result["account"]
    outcome = f"{uid}: {result['outcome']}"
    first, *rest = result["message"].split("\n")
    yield f"{outcome}: {first}" if first else outcome
    yield from (f"  {line}" for line in rest)
    people = result["people"] if result["outcome"] == "would change" else []
    for person in people:
        which = f"{person['uid']}: " if len(people) > 1 else ""
        yield f"  {which}{person_text(person)}"
    for change in result["changes"]:
        yield f"  {change['kind']:<11}{change_text(change, with_uid=change['uid'] != uid)}"
    ahead = result["outlook"]
    for event in ahead[:_FIRST_DAYS]:
        yield f"  {event['day']} {event['what']}"
    if len(ahead) > _FIRST_DAYS:
        yield f"  ... and {len(ahead) - _FIRST_DAYS} more; see: piactl account timeline {uid}"


def person_text(person: Mapping[str, Any]) -> str:
    """The person of an account, with function and establishment."""
    return shown(", ".join(filter(None, (person["display_name"] or person["uid"], person["post"]))))


_BEFORE, _AFTER = ("name", "label", "accounts", "of", "share"), ("guard", "found", "limit", "broken")


def impact_rows(impact: Iterable[Document], labels: Mapping[str, str]) -> list[Document]:
    """The rows, those with most accounts first; `labels` are the words for the names of the groups."""
    rows = [
        {
            "name": group["name"],
            "label": labels.get(group["name"]),
            "accounts": group["accounts"],
            "of": group["of"],
            "share": round(group["accounts"] / group["of"], 4) if group["of"] else None,
            **{kind: group["kinds"].get(kind, 0) for kind in ORDER},
            "guard": group["guard"] or None,
            "found": group["found"],
            "limit": group["limit"],
            "broken": group["found"] > group["limit"] if group["guard"] else None,
        }
        for group in impact
    ]
    return sorted(rows, key=lambda row: (-row["accounts"], row["name"]))


def impact_table(rows: Sequence[Document], layout: str) -> Iterable[str]:
    """A table has only the kinds of change that occur, and `broken` only if a guard is broken."""
    if layout != "table":
        return rendered(rows, (*_BEFORE, *ORDER, *_AFTER), layout)
    kinds = [kind for kind in ORDER if any(row[kind] for row in rows)]
    lines = [{**row, "share": _percent(row["share"]), **{k: row[k] or "" for k in kinds}} for row in rows]
    labels = ("label",) if any(row["label"] for row in rows) else ()
    refused = ("broken",) if any(row["broken"] for row in rows) else ()
    columns = ("name", *labels, "accounts", "of", "share", *kinds, "guard", "found", "limit", *refused)
    return rendered(lines, columns, layout)


def _percent(share: float | None) -> str:
    return f"{share:.1%}" if share is not None else ""
