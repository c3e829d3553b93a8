"""The text output of a plan: changes by account with reasons, refusals, skipped accounts, and its impact."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from piactl.core.model.guard_limits import Limit
from piactl.core.plan.change import GROWTH
from piactl.core.plan.check_guards import allowed_words, guard_words, scope_words
from piactl.core.plan.plan import HoldCode
from piactl.core.rules.career import NEVER
from piactl.core.text import percent
from piactl.phrase import Phrase, counted, joined, with_phrases
from piactl.report.account_text import drift_line
from piactl.report.escaping import shown
from piactl.report.table import rendered
from piactl.translation import translate, translate_word

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
    "lock": Phrase("locked"),
    "deactivate": Phrase("closed"),
    "archive": Phrase("emptied for good"),
    "group": Phrase("groups defined"),
}


def plan_text(document: Document, *, most: int = 3, rest: str = Phrase("every change: --all")) -> str:
    """The summary of a plan with at most `most` changes of each kind, 0 for all; `rest` says how to show
    all."""
    basis, plan = document["basis"], document["fingerprint"][:12]
    lines = [
        translate(Phrase("Plan {plan} as of {day}", plan=plan, day=basis["as_of"])),
        *(f"  {translate(_feed(feed))}" for feed in basis["feeds"]),
        *(f"  {shown(translate(remark))}" for remark in with_phrases(document)["remarks"]),
        *_drift(document, most),
        *_changes(document, most, rest),
    ]
    return "\n".join(lines) + "\n"


def difference_text(document: Document, *, most: int = 3) -> str:
    """The changes by the policy `new` in place of `old`; `most` as for `plan_text`."""
    old, new, day = shown(document["old"]), shown(document["new"]), document["basis"]["as_of"]
    head = Phrase("Policy {old} -> {new} as of {day}", old=old, new=new, day=day)
    return "\n".join([translate(head), *_changes(document, most, Phrase("every change: --all"))]) + "\n"


def _changes(document: Document, most: int, rest: str) -> Iterator[str]:
    yield ""
    summary = document["summary"]
    if not summary:
        yield translate(Phrase("Nothing to change."))
    counts, lines, accounts = _of_each_kind(document["changes"], most)
    for kind in ORDER:
        if kind not in summary:
            continue
        meaning: str = MEANING[kind]
        if counts[kind] > summary[kind]:
            meaning = Phrase(
                "{meaning} ({changes})", meaning=meaning, changes=counted(counts[kind], "change", "changes")
            )
        yield f"{summary[kind]:>7}  {_column(kind)}{translate(meaning)}"
        yield from (f"{'':11}{line}" for line in lines[kind])
        if most and summary[kind] > most:
            yield f"{'':11}{translate(_omitted(kind, summary[kind] - most))}"
    if len(summary.keys() - {"group"}) > 1:
        one, more = Phrase("account in all, one write"), Phrase("accounts in all, one write each")
        yield f"{accounts:>7}  {translate(one if accounts == 1 else more)}"
    yield from _totals(document)
    if most and any(number > most for number in summary.values()):
        yield f"{'':9}{translate(rest)}"
    yield from _left_alone(document, most)
    yield from refusal_lines(document["refusals"])


def _column(kind: str) -> str:
    """A kind of change in the language of people, in a column as wide as the longest."""
    return f"{translate_word(kind):<{1 + max(len(translate_word(name)) for name in ORDER)}}"


def _feed(feed: Mapping[str, Any]) -> Phrase:
    sort = Phrase("full") if feed["full"] else Phrase("delta")
    facts = {
        "file": shown(feed["file"]),
        "rows": counted(feed["rows"], "row", "rows"),
        "source": feed["source"],
    }
    if feed["date"]:
        return Phrase(
            "feed {file} of {day}: {rows}, source {source} ({sort})", day=feed["date"], sort=sort, **facts
        )
    return Phrase("feed {file}: {rows}, source {source} ({sort})", sort=sort, **facts)


def _of(name: str, text: str) -> str:
    """`claire.dubreuil: TEXT` in the language of people."""
    return translate(joined([name, text], "{first}: {second}"))


def _omitted(kind: str, number: int) -> Phrase:
    if kind == "group":
        return Phrase("... and {groups}", groups=counted(number, "more groups", "more groups"))
    return Phrase("... and {accounts}", accounts=counted(number, "more accounts", "more accounts"))


THIS_PLAN = Phrase("this plan")


def _drift(document: Document, most: int) -> Iterator[str]:
    """What other programs changed, by class; what gives access comes first and is never cut short."""
    drifts = document["drift"]
    for drift_class in dict.fromkeys(drift["drift_class"] for drift in drifts):
        some = [drift for drift in drifts if drift["drift_class"] == drift_class]
        shorter = most if drift_class != "loosening" else 0
        yield ""
        head = Phrase("{drift_class} by another program", drift_class=Phrase(drift_class))
        yield f"{len(some):>7}  {translate(head)}"
        yield from first_lines(some, lambda drift: _of(drift["uid"], drift_line(drift, THIS_PLAN)), shorter)


def _totals(document: Document) -> Iterator[str]:
    """`services: elea +78, livret -83`."""
    for sort, names in sorted(document.get("totals", {}).items(), reverse=True):
        parts = (
            " ".join([shown(name), *(f"{sign}{counts[of]}" for sign, of in _SIGNS if counts[of])])
            for name, counts in names.items()
        )
        yield f"{'':9}{_of(translate_word(sort), ', '.join(parts))}"


_SIGNS = (("+", "gain"), ("-", "lose"))


def _of_each_kind(
    changes: Iterable[Mapping[str, Any]], most: int
) -> tuple[Counter[str], dict[str, list[str]], int]:
    """The number of changes of each kind; per kind a line for each of the first `most` accounts, 0 for all;
    the number of accounts. The changes of one account follow each other."""
    counts, accounts = Counter[str](), 0
    lines = defaultdict[str, list[str]](list)
    for uid, of_one in groupby(changes, key=itemgetter("uid")):
        by_kind: dict[str, list[Mapping[str, Any]]] = {}
        for change in of_one:
            by_kind.setdefault(change["kind"], []).append(change)
        accounts += by_kind.keys() != {"group"}
        for kind, some in by_kind.items():
            counts[kind] += len(some)
            if not most or len(lines[kind]) < most:
                lines[kind].append(_of(uid, _changes_text(some)))
    return counts, lines, accounts


_SENTENCES = ("assignments", "overrides", "exceptions", "identifiers")
"""Lists whose items need no name."""
_NAMES = {"ends": Phrase("last day")}


def _update(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The fields of an update, old to new."""
    parts = []
    for name in after:
        old, new = before.get(name), after[name]
        if old == new:
            parts.append(_text(new))
        elif name in _SENTENCES:
            olds, news = old or (), new or ()
            parts += [f"- {translate(value)}" for value in olds if value not in news]
            parts += [f"+ {translate(value)}" for value in news if value not in olds]
        else:
            label = _NAMES.get(name) or name.replace("_", " ")
            parts.append(f"{translate_word(label)} {_text(old)} -> {_text(new)}")
    return ", ".join(parts)


def _identity(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The proofs of identity that change; a plan has them masked."""
    parts = []
    if "numen" in after:
        parts.append(Phrase("NUMEN changed") if before.get("numen") else Phrase("first NUMEN"))
    if "private_mail" in after:
        old, new = _text(before["private_mail"]), _text(after["private_mail"])
        parts.append(Phrase("private address {old} -> {new}", old=old, new=new))
    return ", ".join(map(translate, parts))


def _group(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The filter that finds the members of a group, old to new."""
    if not after:
        return translate(Phrase("removed, {members}", members=before["members"] or before["label"]))
    if not before:
        return translate(Phrase("new, {members}", members=after["members"] or after["label"]))
    parts = [
        f"{old} -> {new}" for old, new in ((before[n], after[n]) for n in ("members", "label")) if old != new
    ]
    return ", ".join(parts) or str(after["members"] or after["label"])


def _adopted(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The account that an entry becomes, and each value of the entry that is replaced."""
    parts = [f"{translate_word(after['state'])}, {after['address']}"]
    if after["aliases"]:
        parts.append(translate(Phrase("also {addresses}", addresses=_text(after["aliases"]))))
    parts += [f"{name} {_text(old)} -> {_text(after.get(name))}" for name, old in before.items()]
    return ", ".join(parts)


_NEVER = NEVER.isoformat()


def _text(value: Any) -> str:
    if value == _NEVER:
        return translate_word("never")
    if isinstance(value, list):
        return translate(joined(map(str, value), "{first} and {second}")) or translate_word("none")
    return translate(str(value)) if value not in (None, "") else translate_word("none")


def change_text(change: Mapping[str, Any], *, with_uid: bool = True) -> str:
    """One change in one line."""
    text = _changes_text([change])
    return shown(_of(change["uid"], text) if with_uid else text)


def _changes_text(changes: Iterable[Mapping[str, Any]]) -> str:
    """The changes of one kind of one account in one line; a shared reason is given once."""
    together: dict[str, list[str]] = {}
    last = ""
    for change in map(with_phrases, changes):
        where = f" [{change['feed']}:{change['line']}]" if change["feed"] else ""
        why = change["reason"]
        if change["effective"] not in why:
            why = Phrase("{reason} (from {day})", reason=why, day=change["effective"])
        file, _, place = (change.get("rule") or "").rpartition(":")
        rule = f" ({'' if file == last else file}:{place})" if place else ""
        words, last = f"{what_changes(change)}{rule}", file
        together.setdefault(f"{translate(why)}{where}", []).append(words)
    changed = (joined([", ".join(words), why]) for why, words in together.items())
    return shown(translate(joined(changed, "{first}; and {second}")))


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
        text = " -> ".join(map(translate_word, filter(None, (before.get("state"), after["state"]))))
    elif change["kind"] == "update":
        text = _update(before, after)
    elif change["kind"] == "drift":
        changed = f"{_text(before['theirs'])} -> {_text(after['ours'])}"
        text = translate(joined([Phrase(after["class"]), changed], "{first}: {second}"))
    elif change["kind"] == "identity":
        text = _identity(before, after)
    elif change["kind"] == "group":
        text = _group(before, after)
    elif "locked" in after:
        text = translate(Phrase("locked") if after["locked"] else Phrase("no longer locked"))
    return text


def _left_alone(document: Document, most: int) -> Iterator[str]:
    unchanged, gaining_nothing = parted_holds(document.get("holds", ()))
    groups = (
        (document.get("rejections"), Phrase("rows rejected"), rejection_words),
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
            absence_words,
        ),
    )
    for facts, meaning, line in groups:
        if facts:
            yield ""
            yield f"{len(facts):>7}  {translate(meaning)}"
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
        yield f"{'':11}{shown(translate(line(with_phrases(fact) if isinstance(fact, Mapping) else fact)))}"
    if most and len(facts) > most:
        more = Phrase("... and {number} more", number=len(facts) - most)
        yield f"{'':11}{translate(joined([more, *filter(None, [rest])]))}"


def rejection_words(rejection: Mapping[str, Any]) -> str:
    """The place of a rejected row, and why it is rejected."""
    place = Phrase("{file}:{line}", file=rejection["file"], line=rejection["line"])
    why = Phrase("{message} [{code}]", message=rejection["message"], code=rejection["code"])
    return joined([place, rejection["column"] or Phrase("row"), why], "{first}: {second}")


def _hold(hold: Mapping[str, Any]) -> str:
    return joined([hold_words(hold), hold["why"]], "{first}: {second}")


def hold_words(hold: Mapping[str, Any]) -> str:
    """Who is held: the account, or the matricule and the name of a person without one."""
    return hold["uid"] or f"{hold['matricule'] or ''} {hold.get('name', '')}".strip()


def _contradiction(contradiction: Mapping[str, Any]) -> str:
    text = joined([contradiction["what"], contradiction["why"]])
    return joined([contradiction["uid"], text], "{first}: {second}")


def _archival(archival: Mapping[str, Any]) -> str:
    uid, day = archival["uid"], archival["due"]
    return Phrase("{uid}: archival due since {day}, confirmed by the next night", uid=uid, day=day)


def absence_words(absence: Mapping[str, Any]) -> str:
    """An assignment that is absent from the feed, and until when it waits."""
    return Phrase(
        "{account}: {function} at {uai} from {start}, absent since {since} ({seen} of {needed} feeds)",
        account=absence["uid"] or absence["matricule"],
        **{name: absence[name] for name in ("function", "uai", "start", "since", "seen", "needed")},
    )


def refusal_lines(refusals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each broken guard with its numbers, in the language of people; empty if none is broken."""
    for refusal in refusals:
        limit, accounts, of = refusal["limit"], refusal["found"], refusal["of"]
        counts: str = Phrase("{number} of {of} accounts", number=accounts, of=of)
        if refusal["kind"] in GROWTH.values():
            counts = Phrase(
                "{accounts} more than {of}", accounts=counted(accounts, "account", "accounts"), of=of
            )
        if of:
            counts = joined([counts, percent(accounts / of)], "{first}, {second}")
        counts = Phrase("{counts} ({scope})", counts=counts, scope=scope_words(refusal["scope"]))
        if refusal["kind"] == "group":
            counts = counted(accounts, "group changes or goes", "groups change or go")
        most = Limit(limit["max"], limit["share"]).most(of)
        allowed: str = allowed_words(most)
        if limit["share"] * of >= most:
            share = f"{limit['share'] * 100:g}"
            allowed = Phrase("{allowed} ({share} % of the accounts)", allowed=allowed, share=share)
        head = Phrase(
            "REFUSED by the guard {guard}: {counts}", guard=guard_words(refusal["guard"]), counts=counts
        )
        broken = [head, allowed]
        if refusal["total"] != accounts:
            option = f"--allow {refusal['kind']}={refusal['total']}"
            broken.append(Phrase("to approve it: {option}", option=option))
        yield ""
        yield translate(joined(broken))
        yield "  " + translate(Phrase("such as {uids}", uids=shown(", ".join(refusal["sample"]))))


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
    first, *rest = translate(result["message"]).split("\n")
    yield translate(
        joined([uid, translate_word(result["outcome"]), *filter(None, [first])], "{first}: {second}")
    )
    yield from (f"  {line}" for line in rest)
    people = result["people"] if result["outcome"] == "would change" else []
    for person in people:
        yield f"  {_of(person['uid'], person_text(person)) if len(people) > 1 else person_text(person)}"
    for change in result["changes"]:
        yield f"  {_column(change['kind'])}{change_text(change, with_uid=change['uid'] != uid)}"
    ahead = result["outlook"]
    for event in ahead[:_FIRST_DAYS]:
        yield f"  {translate(event['day'])} {translate(event['what'])}"
    if len(ahead) > _FIRST_DAYS:
        more = Phrase(
            "... and {number} more; see: piactl account timeline {uid}",
            number=len(ahead) - _FIRST_DAYS,
            uid=uid,
        )
        yield f"  {translate(more)}"


def person_text(person: Mapping[str, Any]) -> str:
    """The person of an account, with function and establishment."""
    words = filter(None, (person["display_name"] or person["uid"], person["post"]))
    return shown(translate(joined(words, "{first}, {second}")))


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
    return percent(share) if share is not None else ""
