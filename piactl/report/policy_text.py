"""The text output of one service or one profile of the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.text import condition, counted
from piactl.report.escaping import shown

View = Mapping[str, Any]

_OTP = {
    "never": "no one-time code",
    "off-site": "a one-time code from outside the establishment",
    "always": "always a one-time code",
}


def service_text(view: View, file: str) -> str:
    """A service: its scope, when its rights begin and end, and what gives or takes it; `file` is the
    policy."""
    return "".join(shown(line).rstrip() + "\n" for line in _service_lines(view, file))


def profile_text(view: View, file: str) -> str:
    """A profile: its condition and its services."""
    return "".join(shown(line).rstrip() + "\n" for line in _profile_lines(view, file))


def _service_lines(view: View, file: str) -> Iterator[str]:
    yield f"{view['label']}  {view['name']}"
    per = view["scope"] == "establishment"
    yield _line("scope", "one right for each establishment" if per else "one right for the person")
    yield _line("urn", view["urn"])
    yield _line("begins", _begins(view))
    if per:
        yield _line("ends", f"with the post{_handover(view)}")
    else:
        yield _line("ends", "with the last post that gives it")
    yield _line("in grace", "lasts through the grace" if view["in_grace"] else "no")
    yield _line("otp", _OTP.get(str(view["otp"]), str(view["otp"])))
    yield _line("policy", f"{file}:{view['line']}")
    if view["when"]:
        yield _line("when", condition(view["when"]))
    yield "  given by the profiles"
    for entry in view["given_by"]:
        yield f"    {entry['name']:<20} line {entry['line']:<5} {condition(entry['when'])}"
    if view["positions"]:
        yield "  and the positions"
        for entry in view["positions"]:
            yield f"    {entry['name']:<20} line {entry['line']:<5} {_leaves(entry)}"


def _begins(view: View) -> str:
    grant, mutation = view["grant_delay"], view["mutation_delay"]
    if not grant and not mutation:
        return "with the post"
    meanwhile = "; an existing right continues meanwhile" if view["meanwhile"] == "keep" else ""
    return f"{_after(grant)}, {_after(mutation)} of a mutation{meanwhile}"


def _after(days: int) -> str:
    return f"{counted(days, 'day')} after the start" if days else "on the first day"


def _handover(view: View) -> str:
    days = view["handover"]
    return f", {counted(days, 'day')} later where a mutation follows" if days else ""


def _leaves(entry: View) -> str:
    lock = ", locks the account" if entry["lock"] else ""
    if entry["ends"]:
        return f"ends all assignments{lock}"
    return ("keeps it" if entry["keeps"] else "takes it away") + lock


def _profile_lines(view: View, file: str) -> Iterator[str]:
    yield view["name"]
    yield _line("fits", condition(view["when"]))
    if view["tried_before"]:
        yield _line("after", f"none of these fits: {', '.join(view['tried_before'])}")
    yield _line("policy", f"{file}:{view['line']}")
    yield "  gives the services"
    for entry in view["services"]:
        where = "  at the establishment" if entry["scope"] == "establishment" else ""
        only = f"  where {condition(entry['when'])}" if entry["when"] else ""
        yield f"    {entry['name']:<20} line {entry['line']:<5} {entry['label']}{where}{only}"
    yield "  grace after the last post, unless a position has its own"
    for entry in view["grace"]:
        yield f"    {counted(entry['days'], 'day'):<20} line {entry['line']:<5} {condition(entry['when'])}"


def _line(name: str, value: str) -> str:
    return f"  {name:<10} {value}"
