"""The persons of the demonstration: each shows one thing that happens to an account.

All dates depend on two days: `rentree`, on which the mutations of the second night begin, and `today`, the
day of the third night. Nobody else has their surnames, so their identifiers are known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from invented.agents import Agent, Post
from invented.people import last_of_school_year, last_rentree


@dataclass(slots=True)
class Member:
    """One member: `nights` are the HR data of the three nights, None if HR does not list them yet."""

    role: str
    uid: str
    address: str
    nights: tuple[Agent | None, Agent | None, Agent | None]
    dates: dict[str, date] = field(default_factory=dict)

    @property
    def agent(self) -> Agent:
        return next(agent for agent in reversed(self.nights) if agent is not None)


Change = Callable[[Agent], None]


class Cast:
    """The members, in the order of the feeds. Iterate to get them."""

    def __init__(self, first: date, rentree: date, today: date) -> None:
        self.first, self.rentree, self.today = first, rentree, today
        self.year = last_rentree(first - timedelta(days=365))
        self._members: list[Member] = []
        self._movers()
        self._leavers()
        self._names()
        self._posts()
        self._arrivals()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def _movers(self) -> None:
        last = self.rentree - timedelta(days=1)
        dates = {
            "old_end": last,
            "new_start": self.rentree,
            "iprof_from": self.rentree + timedelta(days=2),
            "old_viescolaire_until": last + timedelta(days=3),
        }
        self._add("mover", "Camille", "Verdelot", self._post("0801616X"), self._move("0800009A"), dates=dates)
        dates = {
            "old_end": last,
            "new_start": self.rentree,
            "siecle_from": self.rentree + timedelta(days=1),
            "old_siecle_until": last + timedelta(days=15),
        }
        post = self._post("0800002T", "DIR", "004")
        self._add(
            "head_mover", "Étienne", "Maubrun", post, self._move("0600022Y"), civilite="M.", dates=dates
        )

    def _leavers(self) -> None:
        last = self.today - timedelta(days=10)
        dates = {"end": last, "grace_until": last + timedelta(days=30)}
        self._add("leaver_in_grace", "Solène", "Quévreux", self._post("0800010B"), _ending(last), dates=dates)
        last = self.today - timedelta(days=31)
        dates = {"end": last, "grace_until": last + timedelta(days=30)}
        post = replace(self._post("0020048S"), end=last)
        self._add("leaver_out", "Armand", "Tillolois", post, civilite="M.", dates=dates)
        last = self.first + timedelta(days=1)
        dates = {"end": last, "grace_until": last + timedelta(days=30), "return": self.today}
        post = replace(self._post("0020032Z"), end=last)
        back = replace(post, start=self.today, end=None)
        self._add("returner", "Gaëlle", "Oisemont", post, None, lambda a: a.posts.append(back), dates=dates)
        dates = {"retired": self.rentree, "grace_until": self.rentree + timedelta(days=29)}
        post = self._post("0600347B", corps="615")
        self._add("retiree", "Bernadette", "Lhomel", post, self._retire, age=63, dates=dates)

    def _names(self) -> None:
        dates = {"renamed": self.rentree}
        bride = self._post("0801616X")
        self._add("bride", "Julie", "Petit", bride, _married("Bernard"), address="julie.bernard", dates=dates)
        start = {"start": bride.start}
        self._add("homonym", "Marie", "Martin", self._post("0800019L"), dates=start)
        start = {"start": self.rentree}
        for uai in ("0600007G", "0600347B"):
            number = sum(member.role == "homonym" for member in self)
            uid = f"marie.martin{number}"
            post = self._post(uai, corps="615" if uai == "0600347B" else "553", start=self.rentree)
            self._add("homonym", "MARIE", "MARTIN", post, uid=uid, since=2, dates=start)
        post = self._post("0801616X", "AED", "790", start=self.today)
        post.end = last_of_school_year(self.today)
        start = {"start": self.today}
        self._add("other_julie", "Julie", "Petit", post, uid="julie.petit1", since=3, dates=start)
        self._add("apostrophe", "Chloé", "d'Orsay", self._post("0800009A"), uid="chloe.dorsay")

    def _posts(self) -> None:
        until = self.rentree + timedelta(days=182)
        dates = {"leave_from": self.rentree, "leave_until": until}
        post = self._post("0020059D")
        on_leave = replace(post, start=self.rentree, end=until, position="conge_parental")
        self._add("on_leave", "Lucie", "Hautecloque", post, lambda a: a.posts.append(on_leave), dates=dates)
        mission = self._post("0800002T", start=self.rentree)
        mission = replace(mission, end=self.today + timedelta(days=30), modality="suppleance")
        dates = {"mission_from": mission.start, "mission_until": self.today + timedelta(days=30)}
        post = self._post("0800010B", "RPL")
        self._add(
            "replacement",
            "Théo",
            "Wargnies",
            post,
            lambda a: a.posts.append(mission),
            civilite="M.",
            dates=dates,
        )
        post = self._post("0800881Y", "AEH", "789")
        post.quotite = "50"
        second = replace(post, uai="0600347B", modality="secondaire")
        self._add("two_posts", "Aïcha", "Benmarais", post, others=(second,))
        dates = {"suspended": self.today}
        post = self._post("0800009A")
        off = replace(post, start=self.today, position="suspension")
        self._add(
            "suspended",
            "Gaspard",
            "Noirfontaine",
            post,
            None,
            lambda a: a.posts.append(off),
            civilite="M.",
            dates=dates,
        )
        self._add(
            "school_head",
            "Perrine",
            "Le Hérissé",
            self._post("0800881Y", "DIR", "615"),
            uid="perrine.le-herisse",
        )
        self._add("office", "Odile", "Ravenel", self._post("0809901C", "ADM", "051"))
        self._add("inspector", "Henri", "Sainte-Beuve", self._post("0809902D", "INS", "115"), civilite="M.")

    def _arrivals(self) -> None:
        post = self._post("0800019L", "AED", "790", start=self.rentree)
        post.end = last_of_school_year(self.rentree)
        dates = {"start": self.rentree, "end": post.end}
        self._add("newcomer", "Yanis", "Belhaddou", post, since=2, civilite="M.", dates=dates)
        start = self.today + timedelta(days=6)
        post = self._post("0020007X", start=start)
        self._add("anticipated", "Inès", "Carbonnel", post, since=2, dates={"start": start})

    def _post(self, uai: str, function: str = "ENS", corps: str = "553", start: date | None = None) -> Post:
        return Post(uai, function, start or self.year, None, corps)

    def _move(self, uai: str) -> Change:
        def change(agent: Agent) -> None:
            post = agent.posts[0]
            agent.posts.append(replace(post, uai=uai, start=self.rentree))
            post.end = self.rentree - timedelta(days=1)

        return change

    def _retire(self, agent: Agent) -> None:
        post = agent.posts[0]
        agent.posts.append(replace(post, start=self.rentree, position="retraite"))
        post.end = self.rentree - timedelta(days=1)

    def _add(
        self,
        role: str,
        given: str,
        family: str,
        post: Post,
        second: Change | None = None,
        third: Change | None = None,
        *,
        since: int = 1,
        uid: str = "",
        address: str = "",
        civilite: str = "MME",
        age: int = 41,
        others: tuple[Post, ...] = (),
        dates: dict[str, date] | None = None,
    ) -> None:
        number = len(self._members) + 1
        letter = {"615": "G", "789": "G", "115": "G", "051": "A"}.get(post.corps, "E")
        agent = Agent(
            f"09{number * 7:05d}",
            f"20{letter}{(self.first.year - age + 25) % 100:02d}{number * 1371:05d}ZQ{chr(64 + number)}",
            civilite,
            "",
            family,
            given,
            date(self.first.year - age, 1 + number % 12, 1 + number),
            f"agent{number}@example.org",
            posts=[post, *others],
        )
        states: list[Agent | None] = []
        for night, change in enumerate((None, second, third), start=1):
            agent = deepcopy(agent)
            if change is not None:
                change(agent)
            states.append(agent if night >= since else None)
        uid = uid or f"{_letters(given)}.{_letters(family)}"
        member = Member(role, uid, address or uid, (states[0], states[1], states[2]), dates or {})
        self._members.append(member)


def _ending(last: date) -> Change:
    def change(agent: Agent) -> None:
        agent.posts[0].end = last

    return change


def _married(name: str) -> Change:
    def change(agent: Agent) -> None:
        agent.usage_name = name

    return change


def _letters(name: str) -> str:
    from invented.names import plain

    return plain(name).lower()
