"""The text output of one case: what HR states beside each account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from tabulate import tabulate

from piactl.phrase import Phrase, counted
from piactl.report.escaping import shown
from piactl.translation import translate, translate_word

View = Mapping[str, Any]

_WIDTH = 100
_COLUMN = 42
"""Two columns and their labels fit into the width."""


def case_text(view: View) -> str:
    return "".join(f"{shown(line)}\n" for line in _lines(view))


def _lines(view: View) -> Iterator[str]:
    head = Phrase(
        "Case {case}: {doubt}, since {day} ({days})",
        case=view["case"],
        doubt=translate_word(view["doubt"]),
        day=view["since"],
        days=counted(view["days"], "day", "days"),
    )
    yield translate(head)
    source = translate(Phrase("HR, {source}", source=view["source"]))
    yield f"  {source}  {view['matricule']} [{view['origin']}]"
    stated, *others = view["sides"]
    for other in others:
        yield ""
        yield from _beside(stated, other)
    yield ""
    if view["decision"]:
        facts = {name: view[name] for name in ("decision", "by", "reason")}
        yield from _labelled("decided", Phrase("{decision}, by {by}: {reason}", **facts))
        back = Phrase('to take it back: piactl match forget {case} --reason "..."', case=view["case"])
        yield f"{'':12}{translate(back)}"
        return
    for answer, meaning in view["answers"].items():
        yield from _labelled(answer, meaning)
        yield f'            piactl match {answer} {view["case"]}{_which(view, answer)} --reason "..."'


def _which(view: View, answer: str) -> str:
    """The option that says which of several accounts or rows an answer is about."""
    _, *others = view["sides"]
    if answer == "same" and len(others) != 1:
        return f" --account {others[0]['who'] if others else 'ACCOUNT'}"
    rows = [view["matricule"], *view["newcomers"]]
    return f" --matricule {rows[-1]}" if answer == "wrong-row" and len(rows) > 1 else ""


def _labelled(label: str, text: str) -> list[str]:
    return wrap(
        translate(text), _WIDTH, initial_indent=f"  {translate_word(label):<9} ", subsequent_indent=" " * 12
    )


def _beside(stated: View, other: View) -> Iterator[str]:
    posts = zip_longest(stated["assignments"], other["assignments"], fillvalue="")
    rows = [
        ("name", *(f"{side['civilite']} {side['name']}".strip() for side in (stated, other))),
        ("private", stated["private_mail"], other["private_mail"]),
        ("state", *(translate_word(side["state"]) for side in (stated, other))),
        *(("post", *pair) for pair in posts),
        ("evidence", "", ", ".join(map(translate_word, other["evidence"]))),
    ]
    cells = [
        [translate_word(label), *(shown(translate(text or "")) for text in row)]
        for label, *row in rows
        if any(row)
    ]
    text = tabulate(
        cells,
        headers=["", "HR", shown(other["who"])],
        tablefmt="plain",
        disable_numparse=True,
        maxcolwidths=[None, _COLUMN, _COLUMN],
    )
    yield from (f"  {line}".rstrip() for line in text.split("\n"))
