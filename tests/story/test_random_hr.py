"""A random HR over many nights: arrivals, mutations, marriages, leaves, ends, corrections and mistakes.

After every night the same feed writes nothing, nobody has lost a uid, and no two people share a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

import pytest

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, MILLEVOYE, THUILLIER, row

FIRST = date(2027, 2, 1)
UAIS = (THUILLIER, MICHELIS, MARESCHAL, MILLEVOYE, "0809901C")
NAMES = ("Martin", "Petit", "d'Orsay", "Dorsay", "Lefèvre", "LEFEVRE", "Le Goff", "Müller-Noël")
FIRST_NAMES = ("Marie", "Zoé", "Jean-Luc")
POSITIONS = ("", "", "", "conge_parental", "disponibilite", "suspension")


@dataclass
class Post:
    uai: str
    fonction: str
    start: date
    end: date | None = None
    position: str = ""


@dataclass
class Agent:
    matricule: str
    prenom: str
    nom: str
    usage: str = ""
    posts: list[Post] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            row(
                matricule=self.matricule,
                numen=f"20E95{self.matricule:>05}ABC",
                prenom=self.prenom,
                nom_famille=self.nom,
                nom_usage=self.usage,
                uai=post.uai,
                fonction=post.fonction,
                position=post.position,
                debut=post.start.isoformat(),
                fin=post.end.isoformat() if post.end else "",
            )
            for post in {(p.uai, p.fonction, p.start): p for p in self.posts}.values()
        ]


@dataclass
class HumanResources:
    """What HR knows; `feed` is its export of a day."""

    random: Random
    agents: list[Agent] = field(default_factory=list)

    def arrive(self, day: date) -> None:
        agent = Agent(str(100 + len(self.agents)), self.random.choice(FIRST_NAMES), self.random.choice(NAMES))
        agent.posts.append(self.post(day + timedelta(days=self.random.randint(-20, 40))))
        self.agents.append(agent)

    def post(self, start: date) -> Post:
        length = self.random.choice((None, 3, 20, 60))
        end = None if length is None else start + timedelta(days=length)
        return Post(self.random.choice(UAIS), self.random.choice(("ENS", "DIR", "EDU")), start, end)

    def change(self, agent: Agent, day: date) -> None:
        match self.random.choice(("move", "leave", "marry", "end", "correct", "more", "accents", "retire")):
            case "move":
                end = day + timedelta(days=self.random.randint(-3, 10))
                for post in agent.posts:
                    if post.start <= end and (post.end is None or post.end > end):
                        post.end = end
                agent.posts.append(self.post(end + timedelta(days=self.random.randint(1, 70))))
            case "leave":
                leave = self.post(day + timedelta(days=self.random.randint(-2, 5)))
                last = agent.posts[-1]
                leave.uai, leave.fonction = last.uai, last.fonction
                leave.position = self.random.choice(POSITIONS)
                agent.posts.append(leave)
            case "marry":
                agent.usage = self.random.choice(("", *NAMES))
            case "end":
                post = agent.posts[-1]
                post.end = max(post.start, day + timedelta(days=self.random.randint(-5, 5)))
            case "correct":
                agent.posts[-1].start -= timedelta(days=self.random.randint(1, 3))
            case "more":
                agent.posts.append(self.post(day))
            case "accents":
                agent.nom = agent.nom.upper()
            case "retire":
                agent.posts.append(Post(agent.posts[-1].uai, "ENS", day, None, "retraite"))

    def feed(self) -> list[str]:
        """The export of the day with mistakes: a missing row, a broken row."""
        lines = [line for agent in self.agents for line in agent.lines() if self.random.random() > 0.02]
        if self.random.random() < 0.2:
            index = self.random.randrange(len(lines))
            lines[index] = lines[index].replace("2027-", "2027/", 1)
        self.random.shuffle(lines)
        return lines


def live(academy: Academy, seed: int, nights: int) -> None:
    random = Random(seed)
    # these lives change more than guards allow in a week
    academy.allow_up_to(100, *(f"{kind}_window" for kind in ("revoke", "suspend", "deactivate", "archive")))
    hr = HumanResources(random)
    for _ in range(14):
        hr.arrive(FIRST)
    day = FIRST
    uids: dict[str, str] = {}
    for _ in range(nights):
        for _ in range(random.randint(0, 4)):
            hr.change(random.choice(hr.agents), day)
        if random.random() < 0.4:
            hr.arrive(day)
        feeds = [academy.feed(*hr.feed(), day=day.isoformat())] if random.random() < 0.8 else []
        where = f"seed {seed}, {day}"
        ran = academy.night(day.isoformat(), *feeds)
        assert set(ran.json["outcomes"]) <= {"applied"}, where
        academy.quiet_night(day.isoformat(), *feeds)
        names = academy.names()
        for matricule, uid in uids.items():
            assert names.get(matricule, uid) == uid, where
        uids |= names
        check_names(academy, where)
        day += timedelta(days=random.choice((1, 1, 1, 2, 5, 20)))
    states = {entry["piactlState"][0].decode() for entry in academy.accounts().values()}
    assert len(states) > 2, f"seed {seed}: too quiet a life"
    assert academy.run("journal", "verify").code == 0


def check_names(academy: Academy, where: str) -> None:
    owners: dict[bytes, str] = {}
    for dn, entry in academy.accounts().items():
        mine = entry["piactlIdentifier"]
        assert entry["uid"][0] in mine, where
        assert set(entry.get("mail", [])) <= set(mine), where
        for name in mine:
            assert owners.setdefault(name, dn) == dn, f"{where}: {name!r} belongs to two"


@pytest.mark.parametrize("seed", [3, pytest.param(16, marks=pytest.mark.long)])
def test_random_nights_keep_uids_and_share_no_names(academy: Academy, seed: int) -> None:
    live(academy, seed, 10)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 30))
def test_many_random_nights_keep_uids_and_share_no_names(academy: Academy, seed: int) -> None:
    live(academy, seed, 40)
