"""The text output of one service, of one profile, and of guards beside what ordinary nights counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from piactl.core.text import condition
from piactl.phrase import Phrase, counted, joined
from piactl.report.escaping import shown
from piactl.report.table import rendered
from piactl.translation import translate, translate_word

View = Mapping[str, Any]

_OTP = {
    "never": Phrase("no one-time code"),
    "off-site": Phrase("a one-time code from outside the establishment"),
    "always": Phrase("always a one-time code"),
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
    yield _line(
        "scope", Phrase("one right for each establishment") if per else Phrase("one right for the person")
    )
    yield _line("urn", view["urn"])
    yield _line("begins", _begins(view))
    if per:
        yield _line("ends", _with_post(view["handover"]))
    else:
        yield _line("ends", Phrase("with the last post that gives it"))
    yield _line(Phrase("in grace"), Phrase("lasts through the grace") if view["in_grace"] else Phrase("no"))
    yield _line("otp", _OTP.get(str(view["otp"]), str(view["otp"])))
    yield _line("policy", f"{file}:{view['line']}")
    if view["when"]:
        yield _line("when", condition(view["when"]))
    yield "  " + translate(Phrase("given by the profiles"))
    for entry in view["given_by"]:
        yield _entry(entry["name"], entry, condition(entry["when"]))
    if view["positions"]:
        yield "  " + translate(Phrase("and the positions"))
        for entry in view["positions"]:
            yield _entry(entry["name"], entry, _leaves(entry))


def _begins(view: View) -> str:
    grant, mutation = view["grant_delay"], view["mutation_delay"]
    if not grant and not mutation:
        return Phrase("with the post")
    parts = [_after(grant), Phrase("{when} of a mutation", when=_after(mutation))]
    begins = joined(parts, "{first}, {second}")
    if view["meanwhile"] == "keep":
        return Phrase("{begins}; an existing right continues meanwhile", begins=begins)
    return begins


def _after(days: int) -> Phrase:
    return (
        Phrase("{days} after the start", days=counted(days, "day", "days"))
        if days
        else Phrase("on the first day")
    )


def _with_post(handover: int) -> Phrase:
    if not handover:
        return Phrase("with the post")
    days = counted(handover, "day", "days")
    return Phrase("with the post, {days} later where a mutation follows", days=days)


def _leaves(entry: View) -> str:
    words = Phrase("keeps it") if entry["keeps"] else Phrase("takes it away")
    if entry["ends"]:
        words = Phrase("ends all assignments")
    return Phrase("{words}, locks the account", words=words) if entry["lock"] else words


def _profile_lines(view: View, file: str) -> Iterator[str]:
    yield view["name"]
    yield _line("fits", condition(view["when"]))
    if view["tried_before"]:
        before = ", ".join(view["tried_before"])
        yield _line("after", Phrase("none of these fits: {profiles}", profiles=before))
    yield _line("policy", f"{file}:{view['line']}")
    yield "  " + translate(Phrase("gives the services"))
    for entry in view["services"]:
        words = [entry["label"]]
        if entry["scope"] == "establishment":
            words.append(translate(Phrase("at the establishment")))
        if entry["when"]:
            words.append(translate(Phrase("where {condition}", condition=condition(entry["when"]))))
        yield _entry(entry["name"], entry, "  ".join(words))
    yield "  " + translate(Phrase("grace after the last post, unless a position has its own"))
    for entry in view["grace"]:
        yield _entry(translate(counted(entry["days"], "day", "days")), entry, condition(entry["when"]))


def _entry(name: str, entry: View, text: str) -> str:
    return f"    {name:<20} {translate_word('line')} {entry['line']:<5} {translate(text)}"


def _line(name: str, value: str) -> str:
    return f"  {translate_word(name):<10} {translate(value)}"


GUARD_COLUMNS = ("kind", "period", "nights", "most", "of", "day", "limit", "suggested")
_WIDTH = 24


def guards_table(rows: Sequence[View], layout: str) -> Iterable[str]:
    """One line per guard. A table has the picture: what the night counted (filled) of what the policy allows,
    and `|` where the suggested number is."""
    if layout != "table":
        return rendered(rows, GUARD_COLUMNS, layout)
    lines = [{**row, "picture": picture(row)} for row in rows]
    return rendered(lines, (*GUARD_COLUMNS, "picture"), layout)


def picture(row: View) -> str:
    """`████░░░░░│░░░░`: the whole bar is the larger one of the limit and the suggested number."""
    limit, most, suggested = row["limit"] or 0, row["most"], row["suggested"]
    scale = max(limit, most, suggested, 1)
    cells = ["░" if place < _cells(limit, scale) else " " for place in range(_WIDTH)]
    for place in range(_cells(most, scale)):
        cells[place] = "█"
    cells[max(0, _cells(suggested, scale) - 1)] = "│"
    return "".join(cells).rstrip()


def _cells(number: int, scale: int) -> int:
    return min(_WIDTH, -(-number * _WIDTH // scale))
