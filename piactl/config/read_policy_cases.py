"""Reads the cases of `policy test`: posts and a day, then what is expected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.config.typed_reading import read_typed
from piactl.core.explain.policy_case import PolicyCase
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy
from piactl.core.model.written import ANY_TEXT, FILLED, LINE, Key, PlainText, Text, Uai, WrittenAs, one_of


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("{shown} is not a valid date; use YYYY-MM-DD") from None


def _day(example: str) -> Text:
    return Text(f"a day as {example}", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", _read_day)


_Names = Annotated[tuple[PlainText, ...], "a list of names"]


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


@dataclass(frozen=True, kw_only=True)
class _WrittenCase:
    """A case of the file."""

    name: Annotated[str, Key("case"), Text("what the case is about, in a sentence", ANY_TEXT)]
    posts: Annotated[
        tuple[Annotated[Assignment, WrittenAs(_WrittenPost), "a post, {fonction: ENS, ...}"], ...],
        FILLED,
        "a list of posts",
    ]
    day: Annotated[date, _day("2026-09-10")]
    state: Annotated[
        str | None, one_of("active", "on-leave", "grace", "anticipated", "deactivated", "archived")
    ] = None
    profiles: _Names | None = None
    services: _Names | None = None
    has: _Names = ()
    lacks: _Names = ()
    line: Annotated[int, LINE] = 0

    def value(self) -> PolicyCase:
        return PolicyCase(**vars(self))


@dataclass(frozen=True)
class PolicyCases:
    """The file of `policy test`."""

    cases: Annotated[
        tuple[Annotated[PolicyCase, WrittenAs(_WrittenCase), "a case, {case: ..., posts: [...]}"], ...],
        FILLED,
        "a list of cases",
    ]


def read_policy_cases(path: Path, policy: Policy) -> list[PolicyCase]:
    """The cases in a file. Raises ConfigurationInvalid with every mistake in it, including services and
    profiles that the policy does not have."""
    read, document = read_typed(path, PolicyCases, "policy-cases")
    for case in document.root.at("cases").items():
        _check_names(document, case, policy)
    document.refuse_mistakes()
    return list(read.cases)


def _check_names(document: Document, case: Node, policy: Policy) -> None:
    profiles = {profile.name for profile in policy.profiles}
    for name in ("services", "has", "lacks", "profiles"):
        valid = profiles if name == "profiles" else {*policy.services}
        for place in case.at(name).text_nodes():
            word = place.text().partition(":")[0]
            if word not in valid:
                document.mistake(place, f"{name}: the policy has no {quoted(place)}; {hint(word, valid)}")
