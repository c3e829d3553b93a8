"""The text output of `why`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from piactl.phrase import Phrase
from piactl.report.escaping import shown

View = Mapping[str, Any]

COLUMNS = (
    "uid", "as_of", "subject", "uai", "verdict", "since", "until", "reason", "policy", "assignment",
    "origin", "remedy",
)  # fmt: skip
_FIRST_DAYS = 6
_WIDTH = 11


def why_rows(view: View) -> Iterator[dict[str, Any]]:
    """One row for each answer; for a login with several causes, one for each cause."""
    for answer in view["answers"]:
        assignment = answer["assignment"] or {}
        row = {
            "uid": view["uid"],
            "as_of": view["as_of"],
            **{name: answer[name] for name in ("subject", "uai", "verdict", "since", "until", "reason")},
            "policy": _place(view, answer["rules"][0]) if answer["rules"] else None,
            "assignment": assignment.get("text"),
            "origin": assignment.get("origin"),
            "remedy": _first_remedy(answer),
        }
        for cause in answer["causes"] or [None]:
            yield row if cause is None else {**row, "reason": cause["text"], "remedy": cause["command"]}


def _first_remedy(answer: View) -> str | None:
    for remedy in answer["remedies"]:
        return str(remedy["command"] or remedy["text"])
    return None


def why_text(view: View) -> str:
    """The answers to one question about one account."""
    return "\n".join(shown(line) for line in _lines(view)) + "\n"


_SHOWN = {"held": "HELD"}
STEP_COLUMNS = ("uid", "run", "step", "verdict", "code", "text")


def step_rows(view: View) -> Iterator[dict[str, Any]]:
    """One row for each step of a person in a run."""
    return ({**view, **step} for step in view["steps"])


def step_lines(view: View) -> str:
    """The steps of a person in a run, one line for each."""
    who = f"{view['display_name'] or view['matricule'] or '(archived)'}  {view['uid'] or '(no account)'}"
    lines = [
        Phrase(
            "{who}: run {view} as of {view2}: {view3}",
            who=who,
            view=view["run"],
            view2=view["as_of"],
            view3=view["status"],
        )
    ]
    for step in view["steps"]:
        verdict = _SHOWN.get(step["verdict"], step["verdict"])
        lines.append(f"  {step['step']:<{_WIDTH}} {verdict:<8} {step['code']:<14} {step['text']}")
    return "\n".join(map(shown, lines)) + "\n"


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
        for answer in view["answers"]:
            where = f" at {answer['uai']}" if answer["uai"] else ""
            yield f"  {answer['verdict'].upper()}{where}{_since(answer)}"
            yield from _causes(answer)
            yield from _details(view, answer, indent="    ")


def _since(answer: View) -> str:
    words = f", since {answer['since']}" if answer["since"] else ""
    if answer["until"]:
        return f"{words}, until {answer['until']}"
    return f"{words}, no end known" if words else ""


def _details(view: View, answer: View, *, indent: str = "  ", named: bool = False) -> Iterator[str]:
    """The lines below the verdict. `named`: the reason has already been shown."""
    if not named:
        yield _field(indent, "why", answer["reason"])
    if answer["rules"]:
        yield _field(indent, "rule", ", ".join(f"{r['key']} ({_place(view, r)})" for r in answer["rules"]))
    row = answer["assignment"]
    if row:
        feed = f" [{row['origin']}]" if row["origin"] else f" [{row['source']}]" if row["source"] else ""
        yield _field(indent, "assignment", row["text"] + feed)
    for note in answer["notes"]:
        yield _field(indent, "note", note)
    coming = answer["coming"]
    for number, event in enumerate(coming[:_FIRST_DAYS]):
        yield _field(indent, "" if number else "next", f"{event['day']} {event['what']}")
    if len(coming) > _FIRST_DAYS:
        timeline = f"piactl account timeline {view['uid']}"
        yield _field(indent, "", f"and {len(coming) - _FIRST_DAYS} more; see: {timeline}")
    for number, remedy in enumerate(answer["remedies"]):
        yield _field(indent, "" if number else Phrase("to change"), remedy["text"])
        if remedy["command"]:
            yield _field(indent, "", f"  {remedy['command']}")


def _field(indent: str, name: str, value: str) -> str:
    return f"{indent}{name:<{_WIDTH}} {value}"


def _place(view: View, rule: View) -> str:
    """`policy.yaml:63`, or only the file for a default."""
    file = PurePath(view["policy_file"]).name
    return f"{file}:{rule['line']}" if rule["line"] else file


def _causes(answer: View) -> Iterator[str]:
    marks = {"refused": "refused", "asked": "asked", "service": "service", "let in": Phrase("LET IN")}
    for number, cause in enumerate(answer["causes"], 1):
        yield f"  {number}. {marks[cause['effect']]:<8} {cause['text']}"
        if cause["command"]:
            yield f"              {cause['command']}"


def _services(answers: list[View]) -> Iterator[str]:
    if not answers:
        return
    yield "  services"
    names = [answer["subject"] + (f" at {answer['uai']}" if answer["uai"] else "") for answer in answers]
    width = max(map(len, names))
    for name, answer in zip(names, answers, strict=True):
        yield f"    {answer['verdict']:<4}{name:<{width}}  {_shortly(answer)}".rstrip()


def _shortly(answer: View) -> str:
    if answer["yes"]:
        return _since(answer).removeprefix(", ").removesuffix(", no end known")
    begins = next((r["day"] for r in answer["remedies"] if r["day"] and not r["command"]), None)
    shows_begin = not begins or begins in answer["reason"]
    return str(answer["reason"]) + ("" if shows_begin else f"; from {begins} on")
