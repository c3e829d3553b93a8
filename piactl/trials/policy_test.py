"""The test of a policy: a file of people with posts and a day, what is expected of each, and what differs.
And the comparison of two policies for the accounts that there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from piactl.core.model.settings import Settings
from piactl.core.plan.plan import Plan
from piactl.core.rules.career import career_of
from piactl.core.rules.desired_account import Rules, assignment_problems
from piactl.core.rules.reasons import Reason, right_reason, sentence, state_reason
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import build_plan
from piactl.planning.load_feeds import ScannedFeeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import read_run_state
from piactl.trials.carry_out_plans import carry_out, take_written


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
    text, rule = sentence(reason), f"{policy.file}:{reason.line}"
    return Phrase("{reason} ({rule})", reason=text, rule=rule) if reason.line else text


def _list(names: tuple[str, ...]) -> str:
    return " ".join(names) or Phrase("none")


# ---- the comparison of two policies


RUN = "the old policy"


def policy_diff(
    accounts: ManagedAccounts,
    old: Rules,
    new: Rules,
    encoding: Encoding,
    settings: Settings,
    unreadable: UnreadableRecords,
    scans: ScannedFeeds,
    night: NightDb,
    accepted: Accepted,
) -> tuple[Plan, Plan]:
    """The plan that makes the accounts what the old policy wants, and the plan of the new one after it: the
    changes that the policy alone makes. `encoding` is the encoding for the new policy. Nothing is written.

    Raises FeedRefused and what else `build_plan` raises.
    """
    over = SimulatedWrites(accounts.reader)
    accounts = accounts._replace(reader=over)
    state = read_run_state(accounts, old, unreadable)
    _, before = build_plan(accounts, old, settings, scans, state, night, accepted)
    take_written(over, accounts, before)
    carry_out(over, accounts.directory.state, before, RUN)
    after_it = accounts._replace(encoding=encoding)
    state = read_run_state(after_it, new, unreadable)
    # with the feeds again: for accounts that the old policy made, and rows that only the new one can read
    _, ready = build_plan(after_it, new, settings, scans, state, night, accepted)
    return before.plan, replace(ready.plan, remarks=())
