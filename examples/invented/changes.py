"""What happens to people between two nights, as often as it does in an académie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from invented.agents import Agent, Post
from invented.names import capitals
from invented.people import People, last_of_school_year, leave


@dataclass(frozen=True, slots=True)
class Night:
    """One feed. `kind` is first, rentree or ordinary; `effective` is the day its mutations begin.

    `share` is the share of the people already there that are changed, `arrivals` a share of the first
    population.
    """

    number: int
    day: date
    effective: date
    kind: str
    share: float = 0.0
    arrivals: float = 0.0


Event = Callable[[Agent, Night, People, Random], bool]
"""Changes an agent; False if it does not apply to them."""


def change(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """Perhaps changes somebody; true if their rows are different now."""
    if night.kind == "rentree":
        ending = next((p for p in agent.posts if p.end == night.effective - timedelta(days=1)), None)
        if ending is not None and ending.modality == "principale":
            return rng.random() < 0.7 and _renewal(agent, ending, night)
    if rng.random() >= night.share:
        return False
    table = _RENTREE if night.kind == "rentree" else _ORDINARY
    draw = rng.random()
    for share, event in table:
        draw -= share
        if draw < 0:
            return event(agent, night, people, rng) or _quotite(agent, night, people, rng)
    return False


def _renewal(agent: Agent, ending: Post, night: Night) -> bool:
    agent.posts.append(replace(ending, start=night.effective, end=last_of_school_year(night.effective)))
    return True


def _mutation(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """Moves to another establishment, at the rentrée or on the first of next month."""
    start = night.effective if night.kind == "rentree" else _next_first(night.day)
    post = agent.main(start - timedelta(days=1))
    if post is None:
        return False
    old = post.uai.upper()
    new = people.place(people.kinds[old], rng, old)
    end = None if post.end is None or post.end <= start else post.end
    if post.end is not None and end is None:
        end = last_of_school_year(start)
    moved = replace(post, uai=new, start=start, end=end)
    _end_all(agent, start - timedelta(days=1))
    agent.posts.append(moved)
    return True


def _end(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """Leaves the académie; HR knows it a little before or a little after."""
    last = night.effective - timedelta(days=1)
    if night.kind != "rentree":
        last = night.day + timedelta(days=int(rng.random() * 25) - 4)
    if agent.main(last) is None:
        return False
    _end_all(agent, last)
    return True


def _retirement(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    start = night.effective if night.kind == "rentree" else _next_first(night.day)
    post = agent.main(start - timedelta(days=1))
    if post is None or night.day.year - agent.birth.year < 60:
        return _end(agent, night, people, rng)
    _end_all(agent, start - timedelta(days=1))
    agent.posts.append(replace(post, start=start, end=None, position="retraite"))
    return True


def _leave(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    post = agent.main(night.day)
    if post is None or post.end is not None:
        return False
    kinds = (("conge_maladie", 30), ("conge_maladie", 15), ("conge_maternite", 112), ("conge_parental", 180))
    position, days = kinds[int(rng.random() * len(kinds))]
    begin = night.effective if night.kind == "rentree" else night.day + timedelta(days=int(rng.random() * 8))
    agent.posts.append(leave(post, position, begin, begin + timedelta(days=days)))
    return True


def _availability(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """Disponibilité or détachement, to the end of the school year."""
    post = agent.main(night.effective)
    if post is None or post.end is not None:
        return False
    position = "disponibilite" if rng.random() < 0.7 else "detachement"
    agent.posts.append(leave(post, position, night.effective, last_of_school_year(night.effective)))
    return True


def _marriage(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    if agent.civilite != "MME":
        return False
    name = people.names.surname(rng.random())
    if agent.family_name == capitals(agent.family_name):
        name = capitals(name)
    agent.usage_name = "" if agent.usage_name else name
    return True


def _quotite(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    day = min(night.day, night.effective)
    post = next((p for p in reversed(agent.posts) if p.end is None or p.end >= day), None)
    if post is None:
        return False
    post.quotite = "80" if post.quotite != "80" else "60"
    return True


def _mission(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """A replacement elsewhere, beside the permanent post."""
    post = agent.main(night.day)
    if post is None or people.kinds[post.uai.upper()] not in {"school", "secondary"}:
        return False
    begin = night.day + timedelta(days=int(rng.random() * 4))
    end = begin + timedelta(days=4 + int(rng.random() * 40))
    uai = people.place(people.kinds[post.uai.upper()], rng, post.uai.upper())
    agent.posts.append(Post(uai, "ENS", begin, end, post.corps, "activite", post.discipline, "suppleance"))
    return True


def _return(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """Comes back after leaving."""
    if any(p.end is None or p.end >= night.day for p in agent.posts) or not agent.posts:
        return False
    last = max(agent.posts, key=lambda p: p.start)
    start = night.effective if night.kind == "rentree" else night.day + timedelta(days=int(rng.random() * 5))
    agent.posts.append(replace(last, start=start, end=last_of_school_year(start), position="activite"))
    return True


def _accents(agent: Agent, night: Night, people: People, rng: Random) -> bool:
    """A correction of spelling, which is not a change of name."""
    before = (agent.family_name, agent.given_name)
    agent.family_name, agent.given_name = capitals(agent.family_name), capitals(agent.given_name)
    agent.usage_name = capitals(agent.usage_name)
    return before != (agent.family_name, agent.given_name)


def _end_all(agent: Agent, last: date) -> None:
    agent.posts = [p for p in agent.posts if p.start <= last]
    for post in agent.posts:
        if post.end is None or post.end > last:
            post.end = last


def _next_first(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


_RENTREE: tuple[tuple[float, Event], ...] = (
    (0.56, _mutation),
    (0.16, _end),
    (0.06, _retirement),
    (0.06, _leave),
    (0.04, _availability),
    (0.04, _marriage),
    (0.02, _return),
    (0.02, _accents),
    (1.0, _quotite),
)
_ORDINARY: tuple[tuple[float, Event], ...] = (
    (0.34, _mission),
    (0.28, _leave),
    (0.06, _end),
    (0.02, _retirement),
    (0.02, _mutation),
    (0.05, _marriage),
    (0.03, _return),
    (0.02, _accents),
    (1.0, _quotite),
)
