"""Cases that a policy has to fulfil: a person's posts and a day, then the state and the services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from piactl.core.model.field_notes import (
    ANY_TEXT,
    FILLED,
    LINE,
    Key,
    PlainText,
    Text,
    Uai,
    Unfit,
    WrittenAs,
    one_of,
)
from piactl.core.model.person import Assignment


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unfit("{shown} is not a valid date; use YYYY-MM-DD") from None


def _day(example: str) -> Text:
    return Text(f"a day as {example}", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", _read_day)


@dataclass(frozen=True, kw_only=True)
class _WrittenPost:
    """A post of a case, with the keys of a feed."""

    function: Annotated[str, Key("fonction"), Text("text", ANY_TEXT)]
    uai: Annotated[Uai, "a UAI: seven digits and a letter"]
    start: Annotated[date, Key("debut"), _day("2026-09-01")]
    end: Annotated[date | None, Key("fin"), _day("2027-08-31")] = None
    corps: PlainText = ""
    position: PlainText = ""
    discipline: PlainText = ""
    modality: Annotated[PlainText, Key("modalite")] = ""

    def value(self) -> Assignment:
        return Assignment(**vars(self))


_Post = Annotated[Assignment, WrittenAs(_WrittenPost), "a post, {fonction: ENS, ...}"]
_Names = Annotated[tuple[PlainText, ...], "a list of names"]


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """What is expected of a person with these posts on a day. A field that is None, or an empty `has` or
    `lacks`, is not checked. A service is `name`, or `name:UAI` for the right at one establishment; `services`
    lists all of them."""

    name: Annotated[str, Key("case"), Text("what the case is about, in a sentence", ANY_TEXT)]
    line: Annotated[int, LINE]
    posts: Annotated[tuple[_Post, ...], FILLED, "a list of posts"]
    day: Annotated[date, _day("2026-09-10")]
    state: Annotated[
        str | None, one_of("active", "on-leave", "grace", "anticipated", "deactivated", "archived")
    ] = None
    profiles: _Names | None = None
    services: _Names | None = None
    has: _Names = ()
    lacks: _Names = ()


@dataclass(frozen=True)
class PolicyCases:
    """The file of `policy test`."""

    cases: Annotated[
        tuple[Annotated[PolicyCase, "a case, {case: ..., posts: [...]}"], ...],
        FILLED,
        "a list of cases",
    ]
