"""The text output of one case: what HR states beside each account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.report.escaping import shown

View = Mapping[str, Any]


def case_text(view: View) -> str:
    return "\n".join(shown(line) for line in _lines(view)) + "\n"


def _lines(view: View) -> Iterator[str]:
    yield f"Case {view['case']}: {view['doubt']}, since {view['since']} ({view['days']} days)"
    stated, *others = view["sides"]
    yield f"  HR, {view['source']}  {view['matricule']} [{view['origin']}]"
    yield from _side(stated)
    for other in others:
        yield f"  against   {other['who']}"
        yield from _side(other)
    if view["decision"]:
        yield f"  decided   {view['decision']}, by {view['by']}: {view['reason']}"
        yield f'            to take it back: piactl match forget {view["case"]} --reason "..."'
        return
    for answer, meaning in view["answers"].items():
        yield f"  {answer:<9} {meaning}"
        yield f'            piactl match {answer} {view["case"]} --reason "..."'


def _side(side: View) -> Iterator[str]:
    rows = [
        ("name", f"{side['civilite']} {side['name']}".strip()),
        ("private", side["private_mail"]),
        ("state", side["state"]),
        *(("post", assignment) for assignment in side["assignments"]),
        ("evidence", ", ".join(side["evidence"])),
    ]
    for name, value in rows:
        if value:
            yield f"    {name:<8} {value}"
