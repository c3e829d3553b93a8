"""The status of the directory as one screen of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from piactl.phrase import Phrase, counted
from piactl.report.table import rendered

View = Mapping[str, Any]

_MARGIN = 12
_MOST = 10
"""The most lines of one part; the rest is only counted."""


def status_text(view: View) -> str:
    """The object of `status_view` as text, part by part; parts without content are left out."""
    parts = (
        ("", [f"{view['as_of']}: {counted(view['accounts'], 'account')} in use"]),
        ("running", [*_running(view["running"])]),
        (
            Phrase("last runs"),
            _lines([_run(run) for run in view["runs"]]) or [Phrase("none has written yet")],
        ),
        ("feeds", _lines([_feed(feed) for feed in view["feeds"]])),
        ("alarms", _lines([*_alarms(view["break_glass"])])),
        ("approvals", _lines([*_approvals(view["approvals"])])),
        (
            "waiting",
            _lines([*_refused(view["refused_plan"]), *_waiting(view["waiting"]), *_held(view["runs"])])
            or ["nothing"],
        ),
        (Phrase("end soon"), _lines([*_ending(view)])),
        ("guards", [_guard(guard) for guard in view["guards"] if guard["accounts"]]),
        ("coming", _lines([_night(night) for night in view["coming"]]) or [Phrase("nothing is due")]),
    )
    lines = []
    for title, content in parts:
        for number, line in enumerate(content):
            lines.append(f"{title if not number else '':{_MARGIN if title else 0}}{line}".rstrip())
        if content:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with aligned columns, at most _MOST."""
    shown = [dict(enumerate(row)) for row in rows[:_MOST]]
    if not shown:
        return []
    columns = [str(n) for n in range(len(rows[0]))]
    named = [{str(n): text for n, text in row.items()} for row in shown]
    lines = "".join(rendered(named, columns, "table")).splitlines()[1:]
    return [*lines, *([Phrase("and {rows} more", rows=len(rows) - _MOST)] if len(rows) > _MOST else [])]


def _running(running: View | None) -> Iterator[str]:
    if running:
        yield Phrase(
            "run {running} of {running2} on {running3} since {running4}",
            running=running["run"],
            running2=running["who"],
            running3=running["host"],
            running4=running["since"],
        )


def _run(run: View) -> tuple[str, ...]:
    outcomes = ", ".join(f"{number} {name}" for name, number in sorted((run.get("outcomes") or {}).items()))
    holds = Phrase("{run} held", run=run["held"]) if run.get("held") else ""
    words = takewhile(
        lambda word: "/" not in word and not word.startswith("-"), str(run.get("command", "")).split()[1:]
    )
    started = str(run["started"])[:16].replace("T", " ")
    return started, " ".join(words), str(run["status"]), outcomes, holds, run["run"]


def _feed(feed: View) -> tuple[str, ...]:
    if feed["date"] is None:
        return feed["source"], Phrase("no feed with a date yet"), "", ""
    age = "today" if not feed["days"] else f"{counted(feed['days'], 'day')} ago"
    return (
        feed["source"],
        feed["date"],
        counted(feed["rows"], "row"),
        f"{age}: too old" if feed["old"] else age,
    )


def _waiting(waiting: View) -> Iterator[tuple[str, str]]:
    if waiting["cases"]:
        urgency = [f"{waiting[f'cases_{word}']} {word}" for word in ("soon", "overdue")]
        urgency = [text for text in urgency if not text.startswith("0 ")]
        cases = counted(waiting["cases"], "case") + (f", {', '.join(urgency)}" if urgency else "")
        yield cases, "piactl match list"
    if waiting["cases_wrong"]:
        wrong = counted(waiting["cases_wrong"], "decided case waits", "decided cases wait")
        yield f"{wrong} for HR to correct a row", "piactl match list"
    if waiting["drift"]:
        accounts = counted(waiting["drift"], "account")
        yield f"{accounts} that another program changed", "piactl drift list"
    if waiting["vanished"]:
        entries = counted(waiting["vanished"], "entry", "entries")
        yield f"{entries} that another program deleted", "piactl drift list"
    if waiting["requests"]:
        yield f"{counted(waiting['requests'], 'request')} for a second person", "piactl password requests"
    if waiting["events"]:
        yield f"{counted(waiting['events'], 'event')} for hooks of this host", "piactl nightly"


def _alarms(runs: Sequence[View]) -> Iterator[tuple[str, ...]]:
    """The runs that had no approval although their plan needed one."""
    for run in runs:
        yield (
            Phrase(
                "applied without another person by {run}: {run2}", run=run["author"], run2=run["break_glass"]
            ),
            f"piactl runs show {run['run']}",
        )


def _approvals(answers: Sequence[View]) -> Iterator[tuple[str, ...]]:
    for answer in answers:
        until = f" until {answer['until'][:16].replace('T', ' ')} UTC" if answer["until"] else ""
        yield (
            Phrase("plan {answer}", answer=answer["plan"][:12]),
            f"{answer['verdict']} by {answer['by']}{until}",
            answer["reason"],
        )


def _refused(plan: View | None) -> Iterator[tuple[str, str]]:
    """The plan that the last run made and was not allowed to apply."""
    if plan:
        why = plan["why"].split("\n", 1)[0]
        show = f"piactl plan show {plan['file']}" if plan["file"] else f"piactl runs show {plan['run']}"
        yield f"plan {plan['plan'][:12]}: {why}", show


def _held(runs: Sequence[View]) -> Iterator[tuple[str, str]]:
    """The people whom the last run left unchanged, for example because of rejected rows."""
    if runs and runs[0].get("held"):
        people = counted(runs[0]["held"], "person", "people")
        yield f"{people} held by the last run", "piactl runs show last"


def _ending(view: View) -> Iterator[tuple[str, ...]]:
    for row in view["overrides_ending"]:
        yield row["until"], row["uid"], row["what"], row["by"]
    for row in view["exceptions_ending"]:
        where = f" at {row['uai']}" if row["uai"] else ""
        yield row["end"], row["uid"], f"{row['kind']} of {row['service']}{where}", row["by"]


def _guard(guard: View) -> str:
    return (
        f"{guard['kind']}: {guard['accounts']} of at most {guard['limit']} in {counted(guard['days'], 'day')}"
    )


def _night(night: View) -> tuple[str, str, str]:
    kinds = {name: number for name, number in night.items() if name not in ("date", "accounts", "stopped_by")}
    stopped = (
        Phrase("stopped by guards: {night}", night=", ".join(night["stopped_by"]))
        if night["stopped_by"]
        else ""
    )
    return night["date"], ", ".join(f"{number} {kind}" for kind, number in kinds.items()), stopped
