"""The test of a policy: a file of people with posts and a day, what is expected of each, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.config.typed_reading import read_typed
from piactl.core.model.account import State
from piactl.core.model.establishment import Register
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
from piactl.core.model.policy import Policy
from piactl.core.rules.career import career_of
from piactl.core.rules.desired_account import assignment_problems
from piactl.core.rules.reasons import Reason, right_reason, sentence, state_reason
from piactl.phrase import Phrase


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


def read_policy_cases(path: Path, policy: Policy) -> list[PolicyCase]:
    """The cases in a file. Raises ConfigurationInvalid with every mistake in it, including services and
    profiles that the policy does not have."""
    read, document = read_typed(path, PolicyCases, Phrase("policy-cases"))
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
                document.mistake(
                    place,
                    Phrase(
                        "{name}: the policy has no {found}; {hint}",
                        name=name,
                        found=quoted(place),
                        hint=hint(word, valid),
                    ),
                )


def case_problems(case: PolicyCase, policy: Policy, register: Register) -> Iterator[str]:
    """What differs from the expectations of the case, each with the line of the policy that decides."""
    problems = assignment_problems(case.posts, policy, register)
    if problems:
        yield Phrase("the feed row would be rejected: {problem}", problem=problems[0][3])
        return
    career = career_of(case.posts, policy, register)
    state, because = career.state_on(case.day), state_reason(career, case.day, policy, register)
    if case.state is not None and case.state != state.value:
        other, reason = State(case.state).words, _words(because, policy)
        yield Phrase("state: {found}, not {state}; {reason}", found=state.words, state=other, reason=reason)
    profiles = career.profiles_on(case.day)
    if case.profiles is not None and {*case.profiles} != {*profiles}:
        found = _list(profiles)
        yield Phrase("profiles: {found}, not {profiles}", found=found, profiles=_list(case.profiles))
    rights = {":".join(filter(None, right)): right for right in career.rights_on(case.day)}
    expected = {*case.has, *(case.services or ())}
    unexpected = {*rights, *case.lacks} - {*case.services} if case.services is not None else {*case.lacks}
    for service in sorted(expected - rights.keys()):
        name, _, uai = service.partition(":")
        why = right_reason(career, (name, uai), case.day, policy, state, because)
        yield Phrase("{service}: missing; {reason}", service=service, reason=_words(why, policy))
    for service in sorted(unexpected & rights.keys()):
        why = right_reason(career, rights[service], case.day, policy, state, because)
        yield Phrase("{service}: not expected; {reason}", service=service, reason=_words(why, policy))


def _words(reason: Reason, policy: Policy) -> Phrase:
    """The sentence of a reason, with the line of the policy that decides."""
    text, rule = sentence(reason), f"{policy.file}:{reason.line}"
    return Phrase("{reason} ({rule})", reason=text, rule=rule) if reason.line else text


def _list(names: tuple[str, ...]) -> str:
    return " ".join(names) or Phrase("none")
