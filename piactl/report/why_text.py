"""The text output of `why`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from piactl.report.escaping import shown

View = Mapping[str, Any]

COLUMNS = (
    "uid",
    "as_of",
    "subject",
    "uai",
    "verdict",
    "since",
    "until",
    "reason",
    "policy",
    "assignment",
    "origin",
    "remedy",
)
_FIRST_DAYS = 6
_WIDTH = 11


def why_rows(view: View) -> Iterator[dict[str, Any]]:
    """One row for each answer; for a login with several causes, one for each cause."""
    for one in view["answers"]:
        assignment = one["assignment"] or {}
        row = {
            "uid": view["uid"],
            "as_of": view["as_of"],
            **{name: one[name] for name in ("subject", "uai", "verdict", "since", "until", "reason")},
            "policy": _place(view, one["rules"][0]) if one["rules"] else None,
            "assignment": assignment.get("text"),
            "origin": assignment.get("origin"),
            "remedy": _first_remedy(one),
        }
        for cause in one["causes"] or [None]:
            yield row if cause is None else {**row, "reason": cause["text"], "remedy": cause["command"]}


def _first_remedy(one: View) -> str | None:
    for remedy in one["remedies"]:
        return str(remedy["command"] or remedy["text"])
    return None


def why_text(view: View) -> str:
    """The answers to one question about one account."""
    return "\n".join(shown(line) for line in _lines(view)) + "\n"


def _lines(view: View) -> Iterator[str]:
    first, *others = view["answers"]
    who = f"{view['display_name'] or '(archived)'}  {view['uid']}"
    if first["subject"] == "login":
        yield f"{who}: log in on {view['as_of']}: {first['verdict'].upper()}{_since(first)}"
        yield from _causes(first)
        yield from _details(view, first, named=bool(first["causes"]))
    elif first["subject"] == "state":
        yield f"{who}: {first['verdict']} on {view['as_of']}{_since(first)}"
        yield from _details(view, first)
        yield from _services(others)
    else:
        yield f"{who}: {first['label']} ({first['subject']}) on {view['as_of']}"
        for one in view["answers"]:
            where = f" at {one['uai']}" if one["uai"] else ""
            yield f"  {one['verdict'].upper()}{where}{_since(one)}"
            yield from _details(view, one, indent="    ")


def _since(one: View) -> str:
    words = f", since {one['since']}" if one["since"] else ""
    if one["until"]:
        return f"{words}, until {one['until']}"
    return f"{words}, no end known" if words else ""


def _details(view: View, one: View, *, indent: str = "  ", named: bool = False) -> Iterator[str]:
    """`named`: the reason has been shown already."""
    if not named:
        yield _field(indent, "why", one["reason"])
    if one["rules"]:
        yield _field(indent, "rule", ", ".join(f"{r['key']} ({_place(view, r)})" for r in one["rules"]))
    row = one["assignment"]
    if row:
        feed = f" [{row['origin']}]" if row["origin"] else f" [{row['source']}]" if row["source"] else ""
        yield _field(indent, "assignment", row["text"] + feed)
    for note in one["notes"]:
        yield _field(indent, "note", note)
    coming = one["coming"]
    for number, event in enumerate(coming[:_FIRST_DAYS]):
        yield _field(indent, "" if number else "next", f"{event['day']} {event['what']}")
    if len(coming) > _FIRST_DAYS:
        timeline = f"piactl account timeline {view['uid']}"
        yield _field(indent, "", f"and {len(coming) - _FIRST_DAYS} more; see: {timeline}")
    for number, remedy in enumerate(one["remedies"]):
        yield _field(indent, "" if number else "to change", remedy["text"])
        if remedy["command"]:
            yield _field(indent, "", f"  {remedy['command']}")


def _field(indent: str, name: str, value: str) -> str:
    return f"{indent}{name:<{_WIDTH}} {value}"


def _place(view: View, rule: View) -> str:
    """`policy.yaml:63`, or that the policy leaves it to its default."""
    file = PurePath(view["policy_file"]).name
    return f"{file}:{rule['line']}" if rule["line"] else file


def _causes(one: View) -> Iterator[str]:
    marks = {"refused": "refused", "asked": "asked", "service": "service", "let in": "LET IN"}
    for number, cause in enumerate(one["causes"], 1):
        yield f"  {number}. {marks[cause['effect']]:<8} {cause['text']}"
        if cause["command"]:
            yield f"              {cause['command']}"


def _services(answers: list[View]) -> Iterator[str]:
    if not answers:
        return
    yield "  services"
    names = [one["subject"] + (f" at {one['uai']}" if one["uai"] else "") for one in answers]
    width = max(map(len, names))
    for name, one in zip(names, answers, strict=True):
        yield f"    {one['verdict']:<4}{name:<{width}}  {_shortly(one)}".rstrip()


def _shortly(one: View) -> str:
    if one["yes"]:
        return _since(one).removeprefix(", ").removesuffix(", no end known")
    begins = next((r["day"] for r in one["remedies"] if r["day"] and not r["command"]), None)
    shows_begin = not begins or begins in one["reason"]
    return str(one["reason"]) + ("" if shows_begin else f"; from {begins} on")
