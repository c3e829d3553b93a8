"""Who works in an académie: the mix of its staff, drawn person by person from a seed.

Each person has their own random generator, so any of them can be made without the others. Only
`Random.random` is used: Python promises not to change its sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import TypeVar

from invented.agents import Agent, Post
from invented.names import HOMONYMS, Names, capitals, plain
from invented.places import Place

_T = TypeVar("_T")

_TENURED_2D = ("553", "553", "553", "553", "551", "575", "531")
_CONTRACT_2D = ("776", "779", "780", "781", "850", "898")
_DISCIPLINES = ("L0202", "L0422", "L1000", "L1300", "L1400", "L1500", "L1600", "L1900", "")
_RARE = ("BED", "EAP", "FCA", "FCP", "FIJ", "IS", "ISES", "PPA", "UPI")


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of staff: its share of all, place of work, function codes, corps codes, NUMEN letter."""

    share: float
    kind: str
    functions: tuple[str, ...]
    corps: tuple[str, ...]
    letter: str


JOBS = (
    Job(0.250, "school", ("ENS",) * 30 + ("RPL", "RPL", "RH1D"), ("615",) * 30 + ("600",), "G"),
    Job(0.020, "school", ("DIR",), ("615",), "G"),
    Job(0.290, "secondary", ("ENS",) * 40 + _RARE, _TENURED_2D, "E"),
    Job(0.010, "secondary", ("DOC",), ("553",), "E"),
    Job(0.020, "secondary", ("RPL",), _TENURED_2D, "E"),
    Job(0.020, "secondary", ("ENS",), _CONTRACT_2D, "E"),
    Job(0.100, "private", ("ENS",) * 20 + ("DOC",), ("553", "615"), "P"),
    Job(0.050, "secondary", ("AED", "AED", "AED", "SUR", "AES", "ADE"), ("790",), "E"),
    Job(0.090, "school", ("AEH",), ("789",), "G"),
    Job(0.050, "secondary", ("AEH",), ("789",), "E"),
    Job(0.025, "secondary", ("ADF", "ADM", "ADA"), ("051", "055", "056", "056"), "A"),
    Job(0.020, "office", ("ADM", "ADM", "ADF"), ("051", "055", "056"), "A"),
    Job(0.015, "secondary", ("ALB", "LAB", "MDS", "OUV", "TEC"), ("", "055", "056"), "A"),
    Job(0.018, "secondary", ("DIR", "DEC", "DECPR", "DSES"), ("004",), "E"),
    Job(0.010, "secondary", ("EDU",), ("563",), "E"),
    Job(0.005, "secondary", ("PSY", "ORI"), ("522",), "E"),
    Job(0.003, "office", ("INS", "INS", "INJ"), ("115", "107"), "G"),
    Job(0.003, "secondary", ("CTR", "CFC", "ASE", "ASH", "CPD"), ("551", "575"), "E"),
    Job(0.001, "secondary", ("COLTER",), ("",), "A"),
)


class People:
    """A population on `first_day`; indices from `size` on are people who arrive later."""

    def __init__(self, size: int, seed: int, first_day: date, places: Sequence[Place]) -> None:
        self.size = size
        self.seed = seed
        self.first_day = first_day
        self.names = Names(size, seed)
        self.places: dict[str, list[Place]] = {}
        for place in places:
            self.places.setdefault(place.kind, []).append(place)
        self.kinds = {place.uai: place.kind for place in places}

    def agent(self, index: int) -> Agent:
        """Somebody of the first population, or, from `size` on, somebody who starts on `first_day`."""
        rng = Random(f"{self.seed}/{index}")
        job = _job(rng.random())
        agent = self._person(index, job, rng)
        self._posts(agent, job, rng)
        return agent

    def newcomer(self, index: int, start: date) -> Agent:
        """A new person who starts on that day."""
        agent = self.agent(index)
        post = agent.posts[0]
        if post.end is not None and post.end <= start:
            post.end = last_of_school_year(start)
        post.start, post.position = start, "activite"
        agent.posts = [post]
        return agent

    def place(self, kind: str, rng: Random, other_than: str = "") -> str:
        """The UAI of an establishment of that kind."""
        places = self.places[kind]
        index = int(rng.random() * len(places))
        if places[index].uai == other_than:
            index = (index + 1) % len(places)
        return places[index].uai

    def _person(self, index: int, job: Job, rng: Random) -> Agent:
        copied = rng.random() < HOMONYMS
        model = int(rng.random() * self.size)
        if copied:
            name = self.names.name(model)
        else:
            name = self.names.name(index) if index < self.size else self.names.late(index - self.size)
        family, usage = name.surname, ""
        if name.civilite == "MME" and rng.random() < 0.30:
            family, usage = self.names.surname(rng.random()), name.surname
        given = name.given
        age = 23 + int(rng.random() * 41)
        mail = ""
        if rng.random() < 0.7:
            local = f"{plain(given)}.{plain(family)}".lower().replace(" ", "-").replace("'", "")
            mail = f"{local}.{index}@example.org"
        if rng.random() < 0.25:
            given, family, usage = capitals(given), capitals(family), capitals(usage)
        birth = date(self.first_day.year - age, 1, 1) + timedelta(days=int(rng.random() * 365))
        numen = "" if rng.random() < (0.3 if job.letter == "P" else 0.04) else _numen(index, job, birth, rng)
        matricule = str(1_000_000 + (index * 2_654_437 + self.seed * 104_729) % 9_000_000)
        return Agent(matricule, numen, name.civilite, usage, family, given, birth, mail, index % 10 == 3)

    def _posts(self, agent: Agent, job: Job, rng: Random) -> None:
        year = last_rentree(self.first_day).year
        start = date(max(year - int(25 * rng.random() * rng.random()), agent.birth.year + 22), 9, 1)
        start = min(start, last_rentree(self.first_day))
        function, corps = _one(job.functions, rng), _one(job.corps, rng)
        discipline = _one(_DISCIPLINES, rng) if job.letter in "EP" and function in {"ENS", "RPL"} else ""
        uai = self.place(job.kind, rng)
        post = Post(uai, function, start, None, corps, "activite", discipline)
        if corps in _CONTRACT_2D or (corps in {"789", "790"} and rng.random() < 0.4):
            self._contract(post, rng)
        agent.posts = [post]
        draw = rng.random()
        if function == "RPL":
            begin = self.first_day - timedelta(days=int(rng.random() * 60))
            end = self.first_day + timedelta(days=int(rng.random() * 120))
            other = self.place(job.kind, rng, uai)
            mission = Post(other, "ENS", begin, end, corps, "activite", discipline, "suppleance")
            agent.posts.append(mission)
        elif draw < 0.07 and job.kind != "office":
            post.quotite = "50"
            other = self.place(job.kind, rng, uai)
            second = Post(
                other, function, post.start, post.end, corps, "activite", discipline, "secondaire", "50"
            )
            agent.posts.append(second)
        else:
            self._position(agent, post, rng)
        if rng.random() < 0.005:
            for each in agent.posts:
                each.uai = each.uai.lower()  # seen in feeds

    def _contract(self, post: Post, rng: Random) -> None:
        """Gives the contract its dates: most end with a school year, some on any day."""
        if post.corps in _CONTRACT_2D and rng.random() < 0.5:
            post.start = self.first_day - timedelta(days=10 + int(rng.random() * 110))
            post.end = self.first_day + timedelta(days=int(rng.random() * 260) - 9)
        else:
            summer = last_of_school_year(self.first_day).year + int(rng.random() * 3)
            post.end = date(summer, 8, 31)

    def _position(self, agent: Agent, post: Post, rng: Random) -> None:
        draw = rng.random()
        lasting = (
            (0.010, "disponibilite"),
            (0.007, "detachement"),
            (0.003, "mise_a_disposition"),
            (0.06, ""),
        )
        for share, position in lasting:
            if draw < share:
                post.position = position
                return
            draw -= share
        if post.end is not None:
            return
        for share, position in (
            (0.010, "conge_maladie"),
            (0.008, "conge_maternite"),
            (0.006, "conge_parental"),
        ):
            if draw < share:
                begin = max(post.start, self.first_day - timedelta(days=int(rng.random() * 90)))
                end = self.first_day + timedelta(days=10 + int(rng.random() * 110))
                agent.posts.append(leave(post, position, begin, end))
                return
            draw -= share


def leave(post: Post, position: str, begin: date, end: date) -> Post:
    """A leave inside a post: a row of its own, after which the post continues."""
    begin = max(begin, post.start + timedelta(days=1))
    return Post(post.uai, post.function, begin, max(begin, end), post.corps, position, post.discipline)


def last_rentree(day: date) -> date:
    """The last 1 September that is not after `day`."""
    first = date(day.year, 9, 1)
    return first if first <= day else date(day.year - 1, 9, 1)


def last_of_school_year(day: date) -> date:
    """The 31 August that ends the school year of `day`."""
    return date(last_rentree(day).year + 1, 8, 31)


def _job(draw: float) -> Job:
    for job in JOBS:
        draw -= job.share
        if draw < 0:
            return job
    return JOBS[0]


def _one(values: Sequence[_T], rng: Random) -> _T:
    return values[int(rng.random() * len(values))]


def _numen(index: int, job: Job, birth: date, rng: Random) -> str:
    """A NUMEN of the right shape; its last eight characters differ for each index."""
    tail = (index * 1_000_003 + 12_345) % (10**5 * 26**3)
    digits, letters = divmod(tail, 26**3)
    academie = "20" if rng.random() < 0.8 else _one(("09", "14", "24", "25", "19"), rng)
    year = (birth.year + 24 + int(rng.random() * 10)) % 100
    text = "".join(chr(65 + letters // 26**power % 26) for power in (2, 1, 0))
    return f"{academie}{job.letter}{year:02d}{digits:05d}{text}"
