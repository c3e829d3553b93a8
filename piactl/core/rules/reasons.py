"""The reason of a state or a right on a day: what the rules decided it by, as data, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from piactl.core.model.account import ASSIGNED, Right, ServiceException, State
from piactl.core.model.establishment import Register
from piactl.core.model.periods import OPEN, civil, holding
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position, Service
from piactl.core.rules.career import Career
from piactl.core.rules.lifecycle import Ending, Post
from piactl.core.rules.rights_over_time import (
    DENIAL,
    GRANT,
    HANDOVER,
    IN_GRACE,
    KEPT,
    PROFILE,
    Ground,
    denials,
)
from piactl.core.text import condition, from_to
from piactl.phrase import Phrase, counted, joined


class Rule(NamedTuple):
    """A rule of the policy: its key (`services.iprof`) and its line, 0 for a default."""

    key: str
    line: int = 0


class Reason(NamedTuple):
    """Why an account has a state or a right on a day, or does not have the right.

    `code` is one of SENTENCES, and `values` are those of its sentences. `assignment` is behind it, `rules`
    are the rules of the policy that apply, and `line` is that of the one that decides, 0 if none does.
    `since` is the first day of the answer about a right, as far as it is known. `because` is the reason of
    the state, if that decides about a right.
    """

    code: str
    values: Mapping[str, str] = {}
    assignment: Assignment | None = None
    rules: tuple[Rule, ...] = ()
    line: int = 0
    since: date | None = None
    because: Reason | None = None


BY_HAND = "by_hand"
"""The value of a closure by hand, which answers say before the reason of a state."""
BY_POSITION = "position"
"""The post does not give the right, because its position does not keep it."""

SENTENCES: Mapping[str, tuple[Phrase, Phrase | None]] = {
    # states
    "soon": (Phrase("{post} begins soon"), None),
    "assigned": (Phrase("assigned: {post}"), None),
    "leave": (Phrase("position {position}: {post}"), None),
    "cancelled": (Phrase("no assignment is left: the start was cancelled or moved"), None),
    "no-post": (Phrase("no assignment is left{left}"), None),
    "grace": (Phrase("{post} ended on {ended}; grace until {until}{left}"), None),
    "closed": (Phrase("the last assignment, {post}, ended on {ended}, its grace on {until}{left}"), None),
    "retained": (
        Phrase(
            "no assignment is left; the account is kept for the retention, counted from the day it was closed"
        ),
        None,
    ),
    # rights that are held
    PROFILE: (Phrase("profile {profile}: {post}"), Phrase("profile {profile} has it")),
    "profile-after-delay": (
        Phrase("profile {profile}: {post}, {delay} after the start{mutation}"),
        Phrase("profile {profile} has it, {delay} ({setting}) after the start"),
    ),
    HANDOVER: (
        Phrase("handover of {handover} after a mutation: {post} is over"),
        Phrase("handover: {handover} after the post that ended on {ended}, a mutation"),
    ),
    KEPT: (
        Phrase("kept during the delay of {delay} of {post}"),
        Phrase("held before; kept until the delay of {delay} ({setting}) ends"),
    ),
    IN_GRACE: (Phrase("lasts through the grace"), Phrase("lasts through the grace: {state}")),
    GRANT: (Phrase("{exception}"), Phrase("an exception: {exception}")),
    # rights that are not
    DENIAL: (Phrase("{exception}"), Phrase("an exception: {exception}")),
    "no-service": (Phrase("the policy no longer has this service"), None),
    "ends-with-post": (
        Phrase("not kept in the grace: {state}"),
        Phrase("it ended on {eve} with the last assignment, and does not last through the grace{left}"),
    ),
    "not-held-before": (
        Phrase("not kept in the grace: {state}"),
        Phrase("it was not held on the last day with an assignment, {eve}"),
    ),
    "state": (Phrase("{state}"), Phrase("the account is {name}: {state}")),
    BY_POSITION: (
        Phrase("position {position} does not keep it: {post}"),
        Phrase("position {position} does not keep it"),
    ),
    "delay": (
        Phrase("the delay of {delay} runs until {eve}: {post}"),
        Phrase("the right begins on {begins}, after a delay of {delay} ({setting})"),
    ),
    "post-over": (Phrase("{post} is over"), Phrase("{which} ended on {ended}")),
    "handover-over": (
        Phrase("{post} is over, and the handover of {handover} after it"),
        Phrase("the post there ended on {ended}, and the handover of {handover} with it"),
    ),
    "post-to-come": (
        Phrase("the post there begins on {begins}: {post}"),
        Phrase("the post there begins on {begins}"),
    ),
    "only-where": (
        Phrase("profile {profile} has it only where {condition} ({post})"),
        Phrase("profile {profile} has it only where {condition}"),
    ),
    "other-profile": (
        Phrase("profile {profile} does not have it ({post})"),
        Phrase("profile {profiles} does not have it; it is for {served}"),
    ),
    "no-profile": (
        Phrase("no profile fits an assignment of the day ({post})"),
        Phrase("no profile fits an assignment of the day; it is for {served}"),
    ),
    "not-there": (
        Phrase("no assignment of today gives it"),
        Phrase("no assignment of today gives it; it is for {served}"),
    ),
}
"""The forms of the sentences of each code: in plans, which name the assignment, and in answers, which show it
beside the sentence (None: the same)."""


OTHER_POSTS = ("only-where", "other-profile", "no-profile")
"""The reasons why posts of the day do not give a right: if they did before, another policy takes it."""
WITHOUT_POST = (*OTHER_POSTS, "not-there", "post-over", "handover-over", "post-to-come")
"""The reasons of a person at work who has no post of the day with the service."""


def sentence(reason: Reason) -> Phrase:
    """The sentence of a reason that names its assignment, as in plans."""
    state = sentence(reason.because) if reason.because else ""
    return Phrase(SENTENCES[reason.code][0], **reason.values, state=state)


def answer_sentence(reason: Reason) -> str:
    """The sentence of a reason beside which its assignment is shown, as in `why`."""
    state = answer_sentence(reason.because) if reason.because else ""
    of_plan, of_answer = SENTENCES[reason.code]
    answer = Phrase(of_answer or of_plan, **reason.values, state=state)
    return joined([*filter(None, [reason.values.get(BY_HAND)]), answer])


def reason_facts(reason: Reason) -> dict[str, object]:
    """The code of a reason and the values of its sentences, and `because`, as JSON values. They are stored
    beside the sentence: a reader that does not know the code shows the sentence."""
    sentences = "".join(filter(None, SENTENCES[reason.code]))
    values = {name: text for name, text in reason.values.items() if f"{{{name}}}" in sentences}
    because = {"because": reason_facts(reason.because)} if reason.because else {}
    return {"code": reason.code, "values": values, **because}


def assignment_text(assignment: Assignment) -> Phrase:
    """`ENS at 0800009A from 2026-09-01 to 2027-08-31`."""
    function, uai, start, end = assignment.function, assignment.uai, assignment.start, assignment.end
    if end is None:
        return Phrase("{function} at {uai} from {start}", function=function, uai=uai, start=start)
    return Phrase(
        "{function} at {uai} from {start} to {end}", function=function, uai=uai, start=start, end=end
    )


def post_text(assignment: Assignment, policy: Policy) -> Phrase:
    """An assignment as `assignment_text` has it; one whose position takes something away by what that does:
    `leaves on 2026-09-01 by position retraite as ENS at 0800009A`."""
    position = policy.position(assignment.position)
    if position is None or not (position.ends or position.lock or not position.keeps_all):
        return assignment_text(assignment)
    days = from_to(assignment.start, assignment.end)
    values = {"position": position.name, "function": assignment.function, "uai": assignment.uai}
    if position.ends:
        return Phrase(
            "leaves on {start} by position {position} as {function} at {uai}",
            **values,
            start=assignment.start,
        )
    if position.lock:
        return Phrase("locked {days} by position {position} as {function} at {uai}", **values, days=days)
    return Phrase("on leave {days} by position {position} as {function} at {uai}", **values, days=days)


def with_lock_left(text: Phrase, assignment: Assignment) -> Phrase:
    """The text of an assignment, with a remark if an absence has left a lock of it."""
    return Phrase("{post}, its lock stays", post=text) if assignment.locks_until else text


def exception_text(exception: ServiceException) -> Phrase:
    """`grant of iprof from 2026-09-01 to 2026-12-31 (dupond: replaces a colleague)`."""
    service, uai = exception.service, exception.uai
    values = {
        "right": Phrase("{service} at {uai}", service=service, uai=uai) if uai else service,
        "days": from_to(exception.start, exception.end),
        "by": exception.by,
        "reason": exception.reason,
    }
    if exception.grants:
        return Phrase("grant of {right} {days} ({by}: {reason})", **values)
    return Phrase("denial of {right} {days} ({by}: {reason})", **values)


def last_post(career: Career, as_of: date) -> Post | None:
    """The post with the latest end before the day."""
    number = as_of.toordinal()
    ended = [post for post in career.posts if post.last < number]
    return max(ended, key=lambda post: (post.last, post.first), default=None)


def left_by_position(career: Career, as_of: date) -> bool:
    """Whether a position keeps a person without a post away: one that ended all posts (a retirement), or that
    locked the last one."""
    last = last_post(career, as_of)
    return career.ending_before(as_of) is not None or (last is not None and last.position.lock)


def locking_post(career: Career, as_of: date) -> Post | None:
    """The post of the day whose position locks the account."""
    return next((post for post in career.posts_on(as_of) if post.position.lock), None)


def lock_reason(career: Career, as_of: date, because: Reason) -> Reason:
    """Why the HR data lock the account: by the position of a post, or as `because` says of the state."""
    post = locking_post(career, as_of)
    if post is None:
        return because
    return Reason("leave", {**_post_values(post), "position": post.position.name}, post.assignment)


def _day(number: int) -> str:
    day = civil(number)
    return day.isoformat() if day and number < OPEN else Phrase("an open end")


def state_reason(
    career: Career, as_of: date, policy: Policy, register: Register, *, given: State | None = None
) -> Reason:
    """Why the account is in its state. `given` is the state that it has, if that may differ from the one that
    its posts alone give."""
    segment = career.segment_on(as_of)
    if given is not None and given is not segment.state:
        return Reason("retained", rules=(Rule("accounts.retention"),))
    if segment.state is State.ANTICIPATED:
        post = min(career.posts_behind(as_of), key=lambda post: post.first)
        rules = (Rule("accounts.open_before"), *_profile_rules(post, policy))
        return Reason("soon", _post_values(post), post.assignment, rules, rules[-1].line)
    if segment.state in ASSIGNED:
        active = segment.state is State.ACTIVE
        post = next(p for p in career.posts_on(as_of) if p.position.keeps_all or not active)
        rules = (_position_rule(post.position), *_profile_rules(post, policy))
        line = rules[-1 if active else 0].line
        values = {**_post_values(post), "position": post.position.name}
        return Reason("assigned" if active else "leave", values, post.assignment, rules, line)
    return _ended_reason(career, as_of, policy, register)


def _ended_reason(career: Career, as_of: date, policy: Policy, register: Register) -> Reason:
    segment = career.segment_on(as_of)
    in_grace = segment.state is State.GRACE
    last, ending = last_post(career, as_of), career.ending_before(as_of)
    left: str = ""
    if ending:
        left = Phrase("; position {position} from {day}", position=ending.position, day=_day(ending.day))
    row = ending.assignment if ending else last.assignment if last is not None else None
    retention: tuple[Rule, ...] = () if in_grace else (Rule("accounts.retention"),)
    if last is None:
        code = "no-post" if left else "cancelled"
        return Reason(code, {"left": left}, row, retention)
    post = assignment_text(last.assignment)
    if not last.position.keeps_all:
        post = Phrase("position {position}: {post}", position=last.position.name, post=post)
    until = segment.last
    if not in_grace:
        graces = [s.last for s in career.segments if s.state is State.GRACE and s.last < as_of.toordinal()]
        until = max((g for g in graces if g >= last.last), default=last.last)
    values = {"post": post, "ended": _day(last.last), "until": _day(until), "left": left}
    givers: tuple[Post | Ending, ...] = (*career.posts, *career.endings)
    giver = givers[segment.by].assignment if segment.by >= 0 else last.assignment
    rules = retention
    if giver is not None:  # a closure by hand has a grace of its own
        rules += (Rule(*policy.grace_of(giver, register)[1:]),)
    return Reason("grace" if in_grace else "closed", values, row, rules, rules[-1].line if rules else 0)


def _position_rule(position: Position) -> Rule:
    return Rule(f"positions.{position.name}", position.line)


def _profile_rules(post: Post, policy: Policy) -> tuple[Rule, ...]:
    return tuple(Rule(f"profiles.{p.name}", p.line) for p in policy.profiles if p.name == post.profile)


def _post_values(post: Post) -> dict[str, str]:
    return {"post": assignment_text(post.assignment), "profile": post.profile}


def right_reason(
    career: Career, right: Right, as_of: date, policy: Policy, state: State, because: Reason
) -> Reason:
    """Why an account has a right on the day, or not. `state` is that of the account, and `because` its
    reason."""
    number = as_of.toordinal()
    service = policy.services.get(right[0])
    grounds = career.giving(right, service)
    ground = next((g for g in grounds if g.first <= number <= g.last), None)
    denial = next((d for d in denials(right, career.exceptions) if d.first <= number <= d.last), None)
    period = holding(career.rights.get(right, []), number)
    ended = [last + 1 for _, last in career.rights.get(right, []) if last < number]
    since = civil(period[0] if period else max(ended, default=number)) or as_of
    if ground is not None and (denial or ground).exception is not None:
        text = exception_text((denial or ground).exception)
        return Reason(DENIAL if denial else GRANT, {"exception": text}, since=since)
    if service is None:
        return Reason("no-service", since=as_of)
    if ground is not None:
        return _held(ground, service, policy, because)._replace(since=since)
    return _not_held(career, right, service, as_of, policy, state, because, grounds)._replace(since=since)


def _held(ground: Ground, service: Service, policy: Policy, because: Reason) -> Reason:
    post = ground.post
    if post is None:
        rules = (*_own_rules(service)[:1], *because.rules)
        return Reason(ground.code, {}, because.assignment, rules, service.line, because=because)
    code, delay = ground.code, post.delay(service)
    if code == PROFILE and delay:
        code = "profile-after-delay"
    values = {
        **_delay_values(post, service),
        "mutation": Phrase(" of a mutation") if post.follows else "",
        "handover": counted(service.handover, "day", "days"),
        "ended": _day(post.last),
    }
    return _by_post(code, post, service, policy, values)


def _by_post(
    code: str, post: Post, service: Service, policy: Policy, values: Mapping[str, str], line: int = 0
) -> Reason:
    rules = (*_own_rules(service), *_profile_rules(post, policy))
    return Reason(code, {**_post_values(post), **values}, post.assignment, rules, line or service.line)


def _own_rules(service: Service) -> tuple[Rule, ...]:
    own = Rule(f"services.{service.name}", service.line)
    return (own, Rule(f"{own.key}.when", service.when.line)) if service.when.conditions else (own,)


def _delay_values(post: Post, service: Service) -> dict[str, str]:
    delay = post.delay(service)
    return {
        "delay": counted(delay, "day", "days"),
        "setting": "mutation_delay" if post.follows else "grant_delay",
        "begins": _day(post.first + delay),
        "eve": _day(post.first + delay - 1),
    }


def _not_held(
    career: Career,
    right: Right,
    service: Service,
    as_of: date,
    policy: Policy,
    state: State,
    because: Reason,
    grounds: list[Ground],
) -> Reason:
    number = as_of.toordinal()
    own = _own_rules(service)[0]
    if state is State.GRACE:
        eve = career.segment_on(as_of).first - 1
        held = any(g.first <= eve <= g.last and g.code != GRANT for g in grounds)
        coming = None if held else _to_come(career, right, service, number)
        if coming is not None:
            return coming
        values = {"eve": _day(eve), "left": because.values.get("left", "")}
        rules = (own, *because.rules)
        code = "ends-with-post" if held else "not-held-before"
        return Reason(code, values, because.assignment, rules, service.line, because=because)
    if state not in ASSIGNED:
        name = {"name": state.words}
        return Reason("state", name, because.assignment, because.rules, because.line, because=because)
    posts = career.posts_for(right, service)
    for post in reversed([p for p in posts if holding(p.counts, number)]):
        position = post.position
        if not position.keeps_service(service.name):
            values = {**_post_values(post), "position": position.name}
            rules = (_position_rule(position), own)
            return Reason(BY_POSITION, values, post.assignment, rules, position.line)
        if number < post.first + post.delay(service):
            return _by_post("delay", post, service, policy, _delay_values(post, service))
    over = max((p for p in posts if p.last < number), key=lambda p: p.last, default=None)
    if over is not None:
        values = {
            **_post_values(over),
            "ended": _day(over.last),
            "which": Phrase("the post there") if right[1] else Phrase("the last post with it"),
            "handover": counted(service.handover, "day", "days"),
        }
        handed_over = any(g.code == HANDOVER and g.post is over for g in grounds)
        code = "handover-over" if handed_over else "post-over"
        return Reason(code, values, over.assignment, (own,), service.line)
    coming = _to_come(career, right, service, number)
    return coming or _without_post(career, right[1], service, as_of, policy)


def _to_come(career: Career, right: Right, service: Service, number: int) -> Reason | None:
    """The reason of a right at an establishment where the first post is to come."""
    posts = career.posts_for(right, service)
    if not (right[1] and posts and posts[0].first > number):
        return None
    values = {**_post_values(posts[0]), "begins": _day(posts[0].first)}
    return Reason("post-to-come", values, posts[0].assignment, _own_rules(service)[:1], service.line)


def _without_post(career: Career, uai: str, service: Service, as_of: date, policy: Policy) -> Reason:
    """Why no assignment of the day gives a service, with the assignment that comes nearest."""
    own = _own_rules(service)[0]
    posts = [post for post in career.posts_on(as_of) if uai in ("", post.assignment.uai)]
    served = {"served": ", ".join(sorted(service.profiles or ())) or Phrase("all profiles")}
    if not posts:
        return Reason("not-there", served, None, (own,), service.line)
    near = next((post for post in posts if service.serves(post.profile)), None)
    if near is not None:
        values = {"condition": condition(service.when.conditions)}
        return _by_post("only-where", near, service, policy, values, service.when.line)
    profiles = sorted({post.profile for post in posts if post.profile})
    post = next((post for post in posts if post.profile), posts[0])
    values = {**_post_values(post), **served, "profiles": ", ".join(profiles)}
    code = "other-profile" if profiles else "no-profile"
    return Reason(code, values, post.assignment, (own,), service.line)
