"""The text output of `why`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from piactl.core.explain.run_steps import NOT_REACHED
from piactl.phrase import Phrase, joined
from piactl.report.account_text import right_words
from piactl.report.escaping import shown
from piactl.report.words_to_say import day_of, handed_over, words_to_say
from piactl.translation import translate, translate_word

View = Mapping[str, Any]

COLUMNS = (
    "uid", "as_of", "subject", "uai", "verdict", "since", "until", "reason", "policy", "assignment",
    "origin", "remedy",
)  # fmt: skip
_FIRST_DAYS = 6
_OF_LOG_IN = ("state", "login")
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
            "remedy": next((r["command"] or r["text"] for r in answer["remedies"]), None),
        }
        for cause in answer["causes"] or [None]:
            yield row if cause is None else {**row, "reason": cause["text"], "remedy": cause["command"]}


def why_text(view: View) -> str:
    """The answers to one question about one account."""
    return "\n".join(map(shown, _lines(view))) + "\n"


def said_text(view: View, is_to_hand_over: Callable[[str], bool]) -> str:
    """What a caller may be told, and the lines to hand over of the commands that help."""
    lines = [_field("  ", Phrase("to say"), words_to_say(view))]
    lines += [
        _field("  ", Phrase("hand over"), handed_over(view, *helping))
        for helping in _helping(view)
        if is_to_hand_over(helping[0])
    ]
    return "\n".join(map(shown, lines)) + "\n"


def _helping(view: View) -> Iterator[tuple[str, str]]:
    """The first command that helps of each answer, with what it is for: only that of an open case; none where
    the day alone helps, and none for a service of somebody who cannot log in, or whose post has ended."""
    answers = view["answers"]
    if view["cases"]:
        yield from ((case["command"], case["text"]) for case in view["cases"])
        return
    if view["log_in"] and answers[0]["subject"] not in _OF_LOG_IN:
        return
    for answer in answers[:1] if answers[0]["subject"] == "state" else answers:
        helping = [(cause["command"], cause["text"]) for cause in answer["causes"] if cause["command"]]
        if not answer["yes"] and (answer["subject"] in _OF_LOG_IN or not day_of(answer)):
            helping += [(r["command"], answer["reason"]) for r in answer["remedies"] if r["command"]]
        yield from helping[:1]


_SHOWN = {"held": "HELD"}
STEP_COLUMNS = ("uid", "run", "step", "verdict", "code", "text")


def step_rows(view: View) -> Iterator[dict[str, Any]]:
    """One row for each step of a person in a run."""
    return ({**view, **step} for step in view["steps"])


def step_lines(view: View) -> str:
    """The steps of a person in a run, one line for each that was reached."""
    name = view["display_name"] or view["matricule"] or translate_word("(archived)")
    facts = {
        "who": f"{name}  {view['uid'] or translate(Phrase('(no account)'))}",
        "run": view["run"],
        "day": view["as_of"],
    }
    head = Phrase("{who}: run {run} as of {day}: {status}", status=translate_word(view["status"]), **facts)
    lines = [translate(head)]
    for step in view["steps"]:
        if step["code"] == NOT_REACHED:
            continue
        verdict = translate_word(_SHOWN.get(step["verdict"], step["verdict"]))
        text = translate(step["text"])
        lines.append(f"  {translate_word(step['step']):<{_WIDTH}} {verdict:<8} {text}")
    return "\n".join(map(shown, lines)) + "\n"


def _lines(view: View) -> Iterator[str]:
    first, *others = view["answers"]
    who = f"{view['display_name'] or translate_word('(archived)')}  {view['uid']}"
    day, verdict = view["as_of"], translate_word(first["verdict"])
    if first["subject"] == "login":
        verdict = translate_word(first["verdict"].upper())
        head = Phrase("{who}: log in on {day}: {verdict}", who=who, day=day, verdict=verdict)
        yield _with_span(head, first)
        yield from _causes(first)
        yield from _details(view, first, named=bool(first["causes"]))
    elif first["subject"] == "state":
        head = Phrase("{who}: {verdict} on {day}", who=who, verdict=verdict, day=day)
        yield _with_span(head, first)
        yield from _details(view, first)
        yield from _services(others)
    else:
        service = f"{first['label']} ({first['subject']})"
        yield translate(Phrase("{who}: {service} on {day}", who=who, service=service, day=day))
        for answer in view["answers"]:
            words = translate_word(answer["verdict"].upper())
            if answer["uai"]:
                words = Phrase("{verdict} at {uai}", verdict=words, uai=answer["uai"])
            yield f"  {_with_span(words, answer)}"
            yield from _causes(answer)
            yield from _details(view, answer, indent="    ")


def _with_span(words: str, answer: View) -> str:
    """The words, and from when and until when they are true."""
    span = _span(answer)
    if answer["since"] and not answer["until"]:
        span.append(Phrase("no end known"))
    return translate(joined([words, *span], "{first}, {second}"))


def _span(answer: View) -> list[str]:
    days: list[str] = []
    if answer["since"]:
        days.append(Phrase("since {day}", day=answer["since"]))
    if answer["until"]:
        days.append(Phrase("until {day}", day=answer["until"]))
    return days


def _details(view: View, answer: View, *, indent: str = "  ", named: bool = False) -> Iterator[str]:
    """The lines below the verdict. `named`: the reason has already been shown."""
    if not named:
        yield _field(indent, "why", answer["reason"])
    if answer["rules"]:
        yield _field(indent, "rule", ", ".join(f"{r['key']} ({_place(view, r)})" for r in answer["rules"]))
    row = answer["assignment"]
    if row:
        feed = f" [{row['origin']}]" if row["origin"] else f" [{row['source']}]" if row["source"] else ""
        yield _field(indent, "assignment", translate(row["text"]) + feed)
    for note in answer["notes"]:
        yield _field(indent, "note", note)
    coming = answer["coming"]
    for number, event in enumerate(coming[:_FIRST_DAYS]):
        yield _field(
            indent, "" if number else "next", f"{translate(event['day'])} {translate(event['what'])}"
        )
    if len(coming) > _FIRST_DAYS:
        facts = {"number": len(coming) - _FIRST_DAYS, "uid": view["uid"]}
        more = Phrase("and {number} more; see: piactl account timeline {uid}", **facts)
        yield _field(indent, "", more)
    for number, remedy in enumerate(answer["remedies"]):
        yield _field(indent, "" if number else Phrase("to change"), remedy["text"])
        if remedy["command"]:
            yield _field(indent, "", f"  {remedy['command']}")


def _field(indent: str, name: str, value: str) -> str:
    return f"{indent}{translate_word(name):<{_WIDTH}} {translate(value)}"


def _place(view: View, rule: View) -> str:
    """`policy.yaml:63`, or only the file for a default."""
    file = PurePath(view["policy_file"]).name
    return f"{file}:{rule['line']}" if rule["line"] else file


def _causes(answer: View) -> Iterator[str]:
    marks = {"refused": "refused", "asked": "asked", "service": "service", "let in": Phrase("LET IN")}
    for number, cause in enumerate(answer["causes"], 1):
        yield f"  {number}. {translate_word(marks[cause['effect']]):<8} {translate(cause['text'])}"
        if cause["command"]:
            yield f"              {cause['command']}"


def _services(answers: list[View]) -> Iterator[str]:
    if not answers:
        return
    yield f"  {translate_word('services')}"
    names = [translate(right_words({**answer, "service": answer["subject"]})) for answer in answers]
    width = max(map(len, names))
    for name, answer in zip(names, answers, strict=True):
        verdict = translate_word(answer["verdict"])
        yield f"    {verdict:<4}{name:<{width}}  {translate(_shortly(answer))}".rstrip()


def _shortly(answer: View) -> str:
    if answer["yes"]:
        return joined(_span(answer), "{first}, {second}")
    begins = day_of(answer)
    shows_begin = not begins or begins in answer["reason"]
    if shows_begin:
        return str(answer["reason"])
    begin = Phrase("from {day} on", day=begins)
    return joined([answer["reason"], begin])
