"""One night as a page of HTML: one file, without scripts and without external content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

from piactl.core.plan.feed_quality import FATES
from piactl.core.plan.run_state import RunStatus
from piactl.core.text import counted
from piactl.report.account_text import drift_line
from piactl.report.escaping_and_colours import shown
from piactl.report.plan_text import MEANING, ORDER, change_text
from piactl.translation import sentence, used

View = Mapping[str, Any]

MOST = 12
"""The most rows of one table; the rest is only counted."""

_FATES = tuple(
    zip(FATES, ("account changed", "unchanged", "rejected", "person held", "ignored"), strict=True)
)
"""The outcomes of rows, in words for people."""

_STYLE = """
:root { color-scheme: light dark; --ok: #1a7f37; --bad: #b42318; --line: #8888; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .4rem solid var(--ok); padding: .5rem 1rem; font-size: 1.15rem; }
.verdict.bad { border-color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; overflow-wrap: anywhere;
  border-bottom: 1px solid var(--line); }
td:first-child, th { overflow-wrap: break-word; }
td.n, th.n { text-align: right; white-space: nowrap; }
.bar { display: block; height: .8rem; min-width: 6rem; border: 1px solid var(--line); }
.bar i { display: block; height: 100%; background: var(--ok); print-color-adjust: exact; }
.bar.bad i { background: var(--bad); }
.note { opacity: .8; }
@media (max-width: 40rem) { body { padding: .5rem; } th, td { padding-right: .4rem; }
  .bar { min-width: 3rem; } }
@media print { body { max-width: none; font-size: 10pt; } section { break-inside: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def night_page(view: View, *, public: bool = False) -> str:
    """The page of `night_view`. `public`: only numbers, without accounts, names and hosts."""
    record, plan = view["record"], view["plan"]
    title = f"Night of {record['as_of']}"
    heading = f"{title}: {record['status']}"
    parts = [
        _section("Guards", _guards(view["guards"])),
        _section("Changed by another program", _drift(plan, public=public)),
        _section("Changes", _changes(plan, public=public)),
        # in a small school, a number alone shows who it is
        _section("By establishment", "" if public else _establishments(view["establishments"])),
        _section("Held: left unchanged", _holds(view, public=public)),
        _section("Rows of the feeds", _feeds(plan)),
        _section("Rows rejected", _rejections(plan, public=public)),
        _section("The coming days, by date alone", _coming(view["coming"])),
        _section("Record", _record(record, plan, public=public)),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="{used()}">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{_text(heading)}</title>",
            f"<style>{_STYLE}</style></head>",
            "<body><main>",
            f"<h1>{_text(title)}</h1>",
            *_verdict(view, public=public),
            *(part for part in parts if part),
            "</main></body></html>",
            "",
        ]
    )


def _verdict(view: View, *, public: bool) -> Iterator[str]:
    record, plan = view["record"], view["plan"]
    status, outcomes = record["status"], record.get("outcomes") or {}
    changed = outcomes.get("applied", 0)
    words = {
        RunStatus.DONE: f"Done: {counted(changed, 'account')} changed."
        if changed
        else "Done: nothing to change.",
        RunStatus.REFUSED: "Refused: nothing was written.",
    }.get(status, f"{str(status).capitalize()}: {counted(changed, 'account')} known to be changed.")
    rest = [
        counted(number, "account") + f" {outcome}"
        for outcome, number in sorted(outcomes.items())
        if number and outcome not in ("applied", "unchanged")
    ]
    if plan and plan["holds"]:
        rest.append(counted(len(plan["holds"]), "person is held", "people are held"))
    if plan and plan["cases"].get("open"):
        rest.append(counted(plan["cases"]["open"], "case is undecided", "cases are undecided"))
    if plan and plan["rejections"]:
        rest.append(counted(len(plan["rejections"]), "row was rejected", "rows were rejected"))
    bad = " bad" if status != RunStatus.DONE else ""
    yield f'<p class="verdict{bad}"><strong>{_text(words)}</strong> {_text("; ".join(rest))}</p>'
    if record.get("break_glass"):
        yield f'<p class="verdict bad">{_text("Applied without the approval of another person.")}</p>'
    if record.get("approved_by") and not public:
        yield f"<p>{_text('approved by ' + ' and '.join(record['approved_by']))}</p>"
    if plan:
        broken = dict.fromkeys(refusal["kind"] for refusal in plan["refusals"])
        if broken:
            stopped = _text(f"Stopped by {', '.join(broken)}.")
            yield f"<p>{stopped}</p>"
        if not public:
            yield from (f'<p class="note">{_text(remark)}</p>' for remark in plan["remarks"])
    if view["error"] and not public:
        yield from (f"<p>{_text(line)}</p>" for line in view["error"].splitlines())


def _guards(guards: Sequence[View]) -> str:
    return _table(
        ("guard", "counts", "accounts", "limit", "used"),
        ((_typed(g["kind"]), g["scope"], g["accounts"], g["limit"], _used(g)) for g in guards),
    )


def _used(guard: View) -> _Markup:
    label = f"{guard['kind']}: {guard['accounts']} of at most {guard['limit']}"
    return _bar(label, guard["accounts"], guard["limit"], guard["broken"])


class _Markup(str):
    """Text that is HTML already."""


def _typed(words: str) -> _Markup:
    """Kinds of change and guards, which people type: they are the same in every language."""
    return _Markup(escape(words))


def _bar(label: str, number: int, total: int, bad: bool = False) -> _Markup:
    """A bar for the share of a number in a total, at most the whole bar; `label` is for screen readers."""
    share = min(100, round(100 * number / total)) if total else 100
    sort, width = "bar bad" if bad else "bar", f"width:{share}%"
    return _Markup(
        f'<span class="{sort}" role="img" aria-label="{_text(label)}"><i style="{width}"></i></span>'
    )


def _drift(plan: View | None, *, public: bool) -> str:
    drifts = plan["drift"] if plan else []
    if public:
        classes = Counter(drift["drift_class"] for drift in drifts)
        return _table(("class", "values"), classes.items())
    rows = ((drift["uid"], drift["drift_class"], drift_line(drift)) for drift in drifts)
    return _table(("account", "class", "what"), rows)


def _changes(plan: View | None, *, public: bool) -> str:
    if not plan or not plan["summary"]:
        return ""
    summary = plan["summary"]
    most = max(summary.values())
    kinds = [
        (kind, MEANING[kind], summary[kind], _bar(f"{kind}: {summary[kind]}", summary[kind], most))
        for kind in ORDER
        if kind in summary
    ]
    totals = [
        (
            sort,
            name,
            *(f"{sign}{counts[of]}" if counts[of] else "" for sign, of in (("+", "gain"), ("-", "lose"))),
        )
        for sort, names in sorted(plan["totals"].items())
        for name, counts in names.items()
    ]
    text = _table(("kind", "", "accounts", ""), kinds, most=0) + _table(
        ("", "name", "gain", "lose"), totals, most=0
    )
    if public:
        return text
    first: dict[str, list[View]] = {}
    for change in plan["changes"]:
        shown_changes = first.setdefault(change["kind"], [])
        if len(shown_changes) < MOST:
            shown_changes.append(change)
    lines = ((kind, change_text(change)) for kind in ORDER for change in first.get(kind, ()))
    return text + _table(("kind", f"the first {MOST} changes of each kind"), lines, most=0)


def _establishments(rows: Sequence[View]) -> str:
    return _table(
        ("UAI", "name", "accounts by kind of change"),
        (
            (row["uai"], row["name"], _typed(", ".join(f"{n} {kind}" for kind, n in row["kinds"].items())))
            for row in rows
        ),
    )


def _holds(view: View, *, public: bool) -> str:
    holds, since = (view["plan"] or {}).get("holds", ()), view["held_since"]
    day = date.fromisoformat(view["record"]["as_of"])

    def age(hold: View) -> int:
        first = since.get(hold["uid"] or hold["matricule"] or "")
        return max(0, (day - date.fromisoformat(first)).days) if first else 0

    if public:
        ages = Counter(age(hold) for hold in holds)
        return _table(("held for days", "people"), sorted(ages.items(), reverse=True))
    rows = sorted(
        ((age(hold), hold["uid"] or hold["matricule"] or "", hold["why"]) for hold in holds), reverse=True
    )
    return _table(("days", "who", "why"), rows)


def _feeds(plan: View | None) -> str:
    """The outcomes of the rows of each feed, and the columns that differ from the last feeds."""
    qualities = plan.get("quality", ()) if plan else ()
    rows = [
        (quality["source"], words, quality[fate])
        for quality in qualities
        for fate, words in _FATES
        if quality[fate]
    ]
    rows += [
        (quality["source"], f"column {name} differs", quality["rows"])
        for quality in qualities
        for name in quality["warned"]
    ]
    return _table(("source", "", "rows"), rows, most=0)


def _rejections(plan: View | None, *, public: bool) -> str:
    rejections = plan["rejections"] if plan else []
    first: dict[str, View] = {}
    for rejection in rejections:
        first.setdefault(rejection["code"], rejection)
    counts = Counter(rejection["code"] for rejection in rejections)
    rows = (
        (
            code,
            number,
            "" if public else f"{first[code]['file']}:{first[code]['line']}: {first[code]['message']}",
        )
        for code, number in counts.most_common()
    )
    return _table(("code", "rows", "the first"), rows)


def _coming(nights: Sequence[View] | None) -> str:
    if nights is None:
        return ""
    if not nights:
        return f"<p>{_text('Nothing is due.')}</p>"
    most = max(night["accounts"] for night in nights)
    names = ("date", "accounts", "stopped_by")
    rows = []
    for night in nights:
        kinds = ", ".join(f"{number} {kind}" for kind, number in night.items() if kind not in names)
        stopped = night["stopped_by"]
        text = kinds + (f"; stopped by {', '.join(stopped)}" if stopped else "")
        bar = _bar(f"{night['date']}: {night['accounts']}", night["accounts"], most, bool(stopped))
        rows.append((night["date"], night["accounts"], bar, text))
    return _table(("day", "accounts", "", "what"), rows)


def _record(record: View, plan: View | None, *, public: bool) -> str:
    journal = record.get("journal") or {}
    rows = [
        ("run", record["run"]),
        ("plan", plan["fingerprint"] if plan else record.get("plan", "")),
        *(("feed", _feed(feed)) for feed in (plan["basis"]["feeds"] if plan else ())),
        ("began", record.get("started", "")),
        ("ended", record.get("ended", "")),
        (
            "by",
            ""
            if public
            else " on ".join(filter(None, (record.get("author") or record.get("user"), record.get("host")))),
        ),
        ("server", "" if public else record.get("server", "")),
        ("journal", f"line {journal['seq']}, hash {journal['hash']}" if journal else ""),
    ]
    problems = () if public else record.get("problems") or ()
    rows += [
        ("problem", ": ".join(str(problem.get(part, "")) for part in ("uid", "outcome", "message")))
        for problem in problems
    ]
    return _table(("", ""), (row for row in rows if row[1]), most=0)


def _feed(feed: View) -> str:
    date_ = feed["date"] or "without a date"
    return f"{feed['file']}, {date_}: {counted(feed['rows'], 'row')}, source {feed['source']}"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>\n{content}</section>" if content else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[object]], most: int = MOST) -> str:
    """The first `most` rows, 0 for all; "" if there are none. Numbers are aligned to the right."""
    cells = list(rows)
    if not cells:
        return ""
    omitted = len(cells) - most if most else 0
    right = [all(isinstance(row[n], int) for row in cells) for n in range(len(names))]
    lines = ["<table>"]
    if any(names):
        heads = (
            f"<th scope=col{' class=n' if r else ''}>{_text(n)}</th>"
            for n, r in zip(names, right, strict=True)
        )
        lines.append(f"<thead><tr>{''.join(heads)}</tr></thead>")
    for row in cells[:most] if most else cells:
        data = (
            f"<td{' class=n' if r else ''}>{value if isinstance(value, _Markup) else _text(value)}</td>"
            for value, r in zip(row, right, strict=True)
        )
        lines.append(f"<tr>{''.join(data)}</tr>")
    lines.append("</table>")
    if omitted > 0:
        lines.append(f'<p class="note">{_text(f"and {omitted} more")}</p>')
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    """Text as HTML, without what a reader cannot see."""
    return escape(shown(sentence(str(value))), quote=True)
