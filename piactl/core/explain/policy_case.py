"""What differs from the cases that a policy has to fulfil."""

from __future__ import annotations

from collections.abc import Iterator

from piactl.core.model.account import State
from piactl.core.model.establishment import Register
from piactl.core.model.policy import Policy
from piactl.core.model.policy_cases import PolicyCase
from piactl.core.rules.career import career_of
from piactl.core.rules.desired_account import assignment_problems
from piactl.core.rules.reasons import Reason, right_reason, sentence, state_reason
from piactl.phrase import Phrase


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
