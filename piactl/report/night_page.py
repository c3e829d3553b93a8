"""One night as a page of HTML: one file, without scripts and without external content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from piactl.core.plan.check_feed_limits import problem_and_step
from piactl.core.plan.check_guards import broken_words, guard_words, scope_words
from piactl.core.plan.plan import FATES
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.text import instant_words
from piactl.phrase import Phrase, counted, joined
from piactl.report.account_text import drift_line
from piactl.report.plan_text import (
    MEANING,
    ORDER,
    THIS_PLAN,
    absence_words,
    change_text,
    hold_words,
    parted_holds,
)
from piactl.report.render_page import Typed, html_page
from piactl.report.table import numbers
from piactl.translation import translate, translate_word

View = Mapping[str, Any]
Rows = list[tuple[object, ...]]

MOST = 12
"""The most rows of one table; the rest is only counted."""

_FATES = tuple(
    zip(
        FATES,
        (
            Phrase("rows of accounts that changed"),
            Phrase("rows without a change"),
            Phrase("rejected rows"),
            Phrase("rows of people who are held"),
            Phrase("ignored rows"),
        ),
        strict=True,
    )
)
"""The outcomes of rows, in words for people."""


class Bar(NamedTuple):
    """A bar in a cell: `share` per cent of it are filled; `label` is for screen readers."""

    label: str
    share: int
    bad: bool = False


def night_page(view: View, *, public: bool = False) -> str:
    """The page of `night_view`. `public`: only numbers, without accounts, names and hosts."""
    record, plan = view["record"], view["plan"] or _NO_PLAN
    unchanged, gaining_nothing = parted_holds(plan["holds"])
    verdict, rest = _verdict(record, plan)
    colour = "bad" if record["status"] != RunStatus.DONE else "waits" if rest else "good"
    return html_page(
        "night.html.j2",
        title=Phrase("Night of {day}", day=record["as_of"]),
        head=Phrase(
            "Night of {day}: {status}",
            day=record["as_of"],
            status=translate_word(record["status"]),
        ),
        colour=Typed(colour),
        verdict=verdict,
        rest=joined(rest),
        break_glass=bool(record.get("break_glass")),
        lines=[*_lines(view, plan, public=public)],
        remarks=() if public else plan["remarks"],
        error=() if public else translate(view["error"]).splitlines(),
        public=public,
        most=MOST,
        more=lambda number: Phrase("and {number} more", number=number),
        first_changes=Phrase("the first {number} changes of each kind", number=MOST),
        guards=[
            (g["kind"], scope_words(g["scope"]), g["accounts"], g["limit"], _used(g)) for g in view["guards"]
        ],
        drift=_drift(plan["drift"], public=public),
        kinds=_kinds(plan["summary"]),
        totals=_totals(plan["totals"]),
        changes=[] if public else _first_changes(plan["changes"]),
        # in a small school, a number alone shows who it is
        establishments=[] if public else _establishments(view["establishments"]),
        holds=_holds(unchanged, view, public=public),
        gaining_nothing=_holds(gaining_nothing, view, public=public),
        absents=[] if public else [(absence_words(absence),) for absence in plan["absents"]],
        feeds=_feeds(plan.get("quality", ())),
        rejections=_rejections(plan["rejections"], public=public),
        coming=None if view["coming"] is None else _coming(view["coming"]),
        record=_record(record, view["plan"], view["timezone"], public=public),
    )


_NO_PLAN: View = {"summary": {}, "totals": {}, "cases": {}} | dict.fromkeys(
    ("remarks", "refusals", "drift", "changes", "holds", "absents", "rejections"), ()
)


def _verdict(record: View, plan: View) -> tuple[str, list[str]]:
    """What became of the night, and what somebody has to look at: with any of it the page is not green."""
    status, outcomes = record["status"], record.get("outcomes") or {}
    changed = outcomes.get("applied", 0)
    accounts = counted(changed, "account changed", "accounts changed")
    known = counted(changed, "account known to be changed", "accounts known to be changed")
    words = {
        RunStatus.DONE: Phrase("Done: {accounts}.", accounts=accounts)
        if changed
        else Phrase("Done: nothing to change."),
        RunStatus.REFUSED: Phrase("Refused: nothing was written."),
    }.get(
        status,
        Phrase("{status}: {accounts}.", status=translate_word(str(status).capitalize()), accounts=known),
    )
    rest: list[str] = []
    for outcome, number in sorted(outcomes.items()):
        if number and outcome not in ("applied", "unchanged"):
            rest.append(_problem(outcome, number))
    if plan["holds"]:
        rest.append(counted(len(plan["holds"]), "person is held", "people are held"))
    if plan["absents"]:
        rest.append(
            counted(
                len(plan["absents"]),
                "assignment is absent from the feed and waits for the next one",
                "assignments are absent from the feed and wait for the next one",
            )
        )
    if plan["cases"].get("open"):
        rest.append(counted(plan["cases"]["open"], "case is undecided", "cases are undecided"))
    if plan["rejections"]:
        rest.append(counted(len(plan["rejections"]), "row was rejected", "rows were rejected"))
    warnings = sum(remark.startswith("WARNING") for remark in plan["remarks"])
    if warnings:
        rest.append(counted(warnings, "warning", "warnings"))
    return words, rest


def _problem(outcome: str, number: int) -> Phrase:
    if outcome == "failed":
        return counted(number, "account failed", "accounts failed")
    if outcome == "conflict":
        return counted(number, "account conflict", "accounts conflict")
    return Phrase(
        "{accounts} {outcome}",
        accounts=counted(number, "account", "accounts"),
        outcome=translate_word(outcome),
    )


def _lines(view: View, plan: View, *, public: bool) -> Iterator[str]:
    record = view["record"]
    if record.get("approved_by") and not public:
        yield Phrase("approved by {people}", people=joined(record["approved_by"], "{first} and {second}"))
    broken = [
        broken_words(guard["kind"], guard["scope"], guard["accounts"], guard["limit"])
        for guard in view["guards"]
        if guard["broken"]
    ] or dict.fromkeys(Phrase(refusal["kind"]) for refusal in plan["refusals"])
    if broken:
        yield Phrase("Stopped, above the limit: {guards}.", guards=joined(broken, "{first}, {second}"))


def _used(guard: View) -> Bar:
    facts = {"guard": Phrase(guard["kind"]), "accounts": guard["accounts"], "limit": guard["limit"]}
    label = Phrase("{guard}: {accounts} of at most {limit}", **facts)
    return _bar(label, guard["accounts"], guard["limit"], guard["broken"])


def _bar(label: str, number: int, total: int, bad: bool = False) -> Bar:
    return Bar(label, min(100, round(100 * number / total)) if total else 100, bad)


def _drift(drifts: Sequence[View], *, public: bool) -> Rows:
    if public:
        return [*Counter(drift["drift_class"] for drift in drifts).items()]
    return [(drift["uid"], drift["drift_class"], drift_line(drift, THIS_PLAN)) for drift in drifts]


def _of(kind: str, number: int) -> Phrase:
    return Phrase("{name}: {text}", name=Phrase(kind), text=number)


def _kinds(summary: View) -> Rows:
    most = max(summary.values(), default=0)
    return [
        (kind, MEANING[kind], summary[kind], _bar(_of(kind, summary[kind]), summary[kind], most))
        for kind in ORDER
        if kind in summary
    ]


def _totals(totals: View) -> Rows:
    return [
        (
            sort,
            name,
            *(f"{sign}{counts[of]}" if counts[of] else "" for sign, of in (("+", "gain"), ("-", "lose"))),
        )
        for sort, names in sorted(totals.items())
        for name, counts in names.items()
    ]


def _first_changes(changes: Iterable[View]) -> Rows:
    first: dict[str, list[View]] = {}
    for change in changes:
        shown_changes = first.setdefault(change["kind"], [])
        if len(shown_changes) < MOST:
            shown_changes.append(change)
    return [(kind, change_text(change)) for kind in ORDER for change in first.get(kind, ())]


def _establishments(rows: Sequence[View]) -> Rows:
    return [(row["uai"], row["name"], numbers(row["kinds"])) for row in rows]


def _holds(holds: Sequence[View], view: View, *, public: bool) -> Rows:
    since, day = view["held_since"], date.fromisoformat(view["record"]["as_of"])

    def age(hold: View) -> int:
        first = since.get(hold["uid"] or hold["matricule"] or "")
        return max(0, (day - date.fromisoformat(first)).days) if first else 0

    if public:
        return sorted(Counter(age(hold) for hold in holds).items(), reverse=True)
    return sorted(((age(hold), hold_words(hold), hold["why"]) for hold in holds), reverse=True)


def _feeds(qualities: Sequence[View]) -> Rows:
    rows: Rows = [
        (quality["source"], words, quality[fate])
        for quality in qualities
        for fate, words in _FATES
        if quality[fate]
    ]
    return rows + [
        (quality["source"], Phrase("column {name} differs", name=name), quality["rows"])
        for quality in qualities
        for name in quality["warned"]
    ]


def _rejections(rejections: Sequence[View], *, public: bool) -> Rows:
    first: dict[str, View] = {}
    for rejection in rejections:
        first.setdefault(rejection["code"], rejection)
    counts = Counter(rejection["code"] for rejection in rejections)
    return [
        (code, number) if public else (_rejection(first[code]), number, code)
        for code, number in counts.most_common()
    ]


def _rejection(rejection: View) -> str:
    place = Phrase("{file}:{line}", file=rejection["file"], line=rejection["line"])
    problem, _ = problem_and_step(rejection["message"])  # the table of who waits has the next step
    return joined([place, problem], "{first}: {second}")


def _coming(nights: Sequence[View]) -> Rows:
    most = max((night["accounts"] for night in nights), default=0)
    names = ("date", "accounts", "stopped_by")
    rows: Rows = []
    for night in nights:
        text = numbers({kind: number for kind, number in night.items() if kind not in names})
        stopped = night["stopped_by"]
        if stopped:
            text = Phrase("{kinds}; stopped by {guards}", kinds=text, guards=_listed(stopped))
        day = night["date"]
        label = joined([day, str(night["accounts"])], "{first}: {second}")
        bar = _bar(label, night["accounts"], most, bool(stopped))
        rows.append((day, night["accounts"], bar, text))
    return rows


def _listed(guards: Iterable[str]) -> str:
    return joined(map(guard_words, guards), "{first}, {second}")


def _record(record: View, plan: View | None, timezone: str, *, public: bool) -> Rows:
    journal = record.get("journal") or {}
    rows = [
        ("run", record["run"]),
        ("plan", plan["fingerprint"] if plan else record.get("plan", "")),
        *(("feed", _feed(feed)) for feed in (plan["basis"]["feeds"] if plan else ())),
        *(
            (name, instant_words(record[of], timezone))
            for name, of in (("began", "started"), ("ended", "ended"))
            if record.get(of)
        ),
        (
            "journal",
            Phrase("line {number}, hash {hash}", number=journal["seq"], hash=journal["hash"])
            if journal
            else "",
        ),
    ]
    if not public:
        by, host = record.get("author") or record.get("user"), record.get("host")
        if by and host:
            by = Phrase("{author} on {host}", author=by, host=host)
        rows[-1:-1] = [("by", by or host or ""), ("server", record.get("server", ""))]
        rows += [
            (
                "problem",
                joined((problem.get(p, "") for p in ("uid", "outcome", "message")), "{first}: {second}"),
            )
            for problem in record.get("problems") or ()
        ]
    return [row for row in rows if row[1]]


def _feed(feed: View) -> str:
    return Phrase(
        "{file}, {date}: {rows}, source {source}",
        file=feed["file"],
        date=feed["date"] if feed["date"] else Phrase("without a date"),
        rows=counted(feed["rows"], "row", "rows"),
        source=feed["source"],
    )
