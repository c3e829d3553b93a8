"""The status of the directory as one screen of text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from piactl.core.plan.check_guards import guard_words
from piactl.core.text import minute
from piactl.phrase import Phrase, counted, joined
from piactl.report.account_text import right_words
from piactl.report.table import aligned, numbers
from piactl.translation import translate, translate_word

View = Mapping[str, Any]

_MARGIN = 12
_MOST = 10
"""The most lines of one part; the rest is only counted."""


def status_text(view: View, timezone: str) -> str:
    """The object of `status_view` as text, part by part; parts without content are left out. Times are those
    of the time zone."""
    accounts = counted(view["accounts"], "account in use", "accounts in use")
    parts: tuple[tuple[str, Sequence[str]], ...] = (
        ("", [joined([view["as_of"], accounts], "{first}: {second}")]),
        ("running", [*_running(view["running"], timezone)]),
        (
            Phrase("last runs"),
            _lines([_run(run, timezone) for run in view["runs"]]) or [Phrase("none has written yet")],
        ),
        ("feeds", _lines([_feed(feed) for feed in view["feeds"]])),
        ("alarms", _lines([*_lost(view["lost"]), *_alarms(view["break_glass"])])),
        ("approvals", _lines([*_approvals(view["approvals"], timezone)])),
        (
            "waiting",
            _lines(
                [
                    *_refused_feeds(view["refused_feeds"]),
                    *_refused(view["refused_plan"]),
                    *_waiting(view["waiting"]),
                    *_held(view["runs"]),
                ]
            )
            or [Phrase("nothing")],
        ),
        (Phrase("end soon"), _lines([*_ending(view)])),
        ("guards", [_guard(guard) for guard in view["guards"] if guard["accounts"]]),
        ("coming", _lines([_night(night) for night in view["coming"]]) or [Phrase("nothing is due")]),
    )
    titles = [translate_word(title) for title, content in parts if content]
    margin = max(_MARGIN, *(len(title) + 2 for title in titles))
    lines = []
    for title, content in zip(titles, filter(None, (content for _, content in parts)), strict=True):
        for number, line in enumerate(content):
            lines.append(f"{title if not number else '':{margin if title else 0}}{translate(line)}".rstrip())
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = aligned([map(translate, row) for row in rows[:_MOST]]).splitlines()
    more = [Phrase("and {number} more", number=len(rows) - _MOST)] if len(rows) > _MOST else []
    return [*lines, *more]


def _running(running: View | None, timezone: str) -> Iterator[str]:
    if running:
        facts = {name: running[name] for name in ("run", "who", "host")}
        since = minute(running["since"], timezone)
        yield Phrase("run {run} of {who} on {host} since {since}", **facts, since=since)


def _run(run: View, timezone: str) -> tuple[str, ...]:
    outcomes = numbers(dict(sorted((run.get("outcomes") or {}).items())))
    holds = Phrase("{number} held", number=run["held"]) if run.get("held") else ""
    words = takewhile(
        lambda word: "/" not in word and not word.startswith("-"), str(run.get("command", "")).split()[1:]
    )
    return (
        minute(run["started"], timezone),
        " ".join(words),
        Phrase(str(run["status"])),
        outcomes,
        holds,
        run["run"],
    )


def _feed(feed: View) -> tuple[str, ...]:
    if feed["date"] is None:
        return feed["source"], Phrase("no feed with a date yet"), "", ""
    age = Phrase("{days} ago", days=counted(feed["days"], "day", "days")) if feed["days"] else Phrase("today")
    if (feed["days"] or 0) < 0:
        age = Phrase("-{number} days ago", number=-feed["days"])
    if feed["old"]:
        age = Phrase("{age}: too old", age=age)
    return feed["source"], feed["date"], counted(feed["rows"], "row", "rows"), age


def _waiting(waiting: View) -> Iterator[tuple[str, str]]:
    if waiting["cases"]:
        cases: str = counted(waiting["cases"], "case", "cases")
        urgency = numbers({name: n for name in ("soon", "overdue") if (n := waiting[f"cases_{name}"])})
        if urgency:
            cases = Phrase("{cases}, {urgency}", cases=cases, urgency=urgency)
        yield cases, "piactl match list"
    if number := waiting["cases_wrong"]:
        yield (
            counted(
                number,
                "decided case waits for HR to correct a row",
                "decided cases wait for HR to correct a row",
            ),
            "piactl match list",
        )
    if number := waiting["drift"]:
        yield (
            counted(number, "account that another program changed", "accounts that another program changed"),
            "piactl drift list",
        )
    if number := waiting["vanished"]:
        yield (
            counted(number, "entry that another program deleted", "entries that another program deleted"),
            "piactl drift list",
        )
    if number := waiting["requests"]:
        yield (
            counted(number, "request for a second person", "requests for a second person"),
            "piactl password requests",
        )
    if number := waiting["events"]:
        yield (
            counted(number, "event for hooks of this host", "events for hooks of this host"),
            "piactl nightly",
        )


def _lost(lost: View | None) -> Iterator[tuple[str, ...]]:
    if lost:
        yield lost["why"], lost["see"]


def _alarms(runs: Sequence[View]) -> Iterator[tuple[str, ...]]:
    """The runs that had no approval although their plan needed one."""
    for run in runs:
        yield (
            Phrase(
                "applied without another person by {author}: {reason}",
                author=run["author"],
                reason=run["break_glass"],
            ),
            f"piactl runs show {run['run']}",
        )


def _approvals(answers: Sequence[View], timezone: str) -> Iterator[tuple[str, ...]]:
    for answer in answers:
        verdict = Phrase("rejected by {by}", by=answer["by"])
        if answer["until"]:
            until = minute(answer["until"], timezone)
            verdict = Phrase("approved by {by} until {time}", by=answer["by"], time=until)
        yield Phrase("plan {plan}", plan=answer["plan"][:12]), verdict, answer["reason"]


def _refused_feeds(refused: View | None) -> Iterator[tuple[str, str]]:
    if refused:
        for feed in refused["feeds"]:
            why = ", ".join(feed["why"])
            see = f"piactl runs show {refused['run']}"
            yield Phrase("feed {file} refused: {why}", file=feed["file"], why=why), see


def _refused(plan: View | None) -> Iterator[tuple[str, str]]:
    if plan:
        why = translate(plan["why"]).split("\n", 1)[0]
        file = shlex.quote(plan["file"])
        show = f"piactl plan show {file}" if plan["file"] else f"piactl runs show {plan['run']}"
        yield Phrase("plan {plan}: {why}", plan=plan["plan"][:12], why=why), show


def _held(runs: Sequence[View]) -> Iterator[tuple[str, str]]:
    """The people whom the last run left unchanged, for example because of rejected rows."""
    if runs and runs[0].get("held"):
        people = counted(runs[0]["held"], "person held by the last run", "people held by the last run")
        yield people, "piactl runs show last"


def _ending(view: View) -> Iterator[tuple[str, ...]]:
    for row in view["overrides_ending"]:
        yield row["until"], row["uid"], row["what"], row["by"]
    for row in view["exceptions_ending"]:
        right = right_words(row)
        grants = row["kind"] == "grant"
        what = Phrase("grant of {right}", right=right) if grants else Phrase("deny of {right}", right=right)
        yield row["end"], row["uid"], what, row["by"]


def _guard(guard: View) -> Phrase:
    return Phrase(
        "{guard}: {accounts} of at most {limit} in {days}",
        guard=Phrase(guard["kind"]),
        accounts=guard["accounts"],
        limit=guard["limit"],
        days=counted(guard["days"], "day", "days"),
    )


def _night(night: View) -> tuple[str, str, str]:
    kinds = {name: number for name, number in night.items() if name not in ("date", "accounts", "stopped_by")}
    guards = joined(map(guard_words, night["stopped_by"]), "{first}, {second}")
    stopped = Phrase("stopped by guards: {guards}", guards=guards) if guards else ""
    return night["date"], numbers(kinds), stopped
