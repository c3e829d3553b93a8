"""A year of three invented HR sources, and an independent record of who is who.

`epp` and `agape` share their numbers (namespace hr); `contrats` has its own (namespace contrats), with digits
that `epp` uses too. The record, not piactl, says to whom each matricule belongs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from .feeds import MARESCHAL, MICHELIS, MILLEVOYE, THUILLIER, row

DELTAS = "deltas"
"""A source of deltas about people of `epp`, with the numbers of `epp`."""
NAMESPACES = {"epp": "hr", "agape": "hr", "contrats": "contrats"}
UAIS = (THUILLIER, MICHELIS, MARESCHAL, MILLEVOYE)
_SYLLABLES = (
    "bau",
    "cher",
    "dou",
    "fau",
    "gran",
    "lan",
    "mor",
    "nou",
    "per",
    "rou",
    "tel",
    "ver",
    "vau",
    "zel",
)
_FIRST_NAMES = (
    "Alix",
    "Basile",
    "Clarisse",
    "Denis",
    "Elvire",
    "Firmin",
    "Gaspard",
    "Honorine",
    "Irma",
    "Joris",
)


@dataclass
class Job:
    """A post in a source. `matricule` is the number of its holder in the source."""

    source: str
    matricule: str
    uai: str
    start: date
    end: date | None = None


@dataclass
class Human:
    number: int
    family: str
    first: str
    birth: date
    email: str
    numen: str
    usage: str = ""
    jobs: list[Job] = field(default_factory=list)
    slips: list[tuple[str, str, str, date]] = field(default_factory=list)
    """(source, column, wrong value, first day on which the source has the right one)"""


@dataclass
class Late:
    """One row that a source writes as a delta on one day and that arrives on a later day."""

    source: str
    written: date
    comes: date
    stated: dict[str, str]
    human: Human


@dataclass
class World:
    """The humans, what the sources say about them, and `owners`: the owner of each matricule by namespace."""

    random: Random
    day: date
    slips: bool = True
    humans: list[Human] = field(default_factory=list)
    owners: dict[tuple[str, str], Human] = field(default_factory=dict)
    happened: dict[str, int] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)
    post: Random = field(default_factory=lambda: Random(0))

    # People

    def arrive(self, **values: str | date) -> Human:
        """Adds a new person, engaged by one of the sources from about today."""
        n = len(self.humans)
        family = "".join(self.random.sample(_SYLLABLES, 3)).capitalize()
        born = date(1962, 1, 1) + timedelta(days=self.random.randrange(13_000))
        traits = {
            "family": family,
            "first": self.random.choice(_FIRST_NAMES),
            "birth": born,
            "email": f"{family.lower()}{n}@example.org",
            **values,
        }
        source = self.random.choice(("epp", "epp", "agape", "contrats"))
        # clean data have a NUMEN for everybody
        numen = "" if self.slips and source == "contrats" and n % 3 == 0 else f"22E{n:07}XYZ"
        human = Human(n, numen=numen, **traits)  # type: ignore[arg-type]
        self.humans.append(human)
        self.engage(human, source, self.day + timedelta(days=self.random.randint(-10, 10)))
        return human

    def engage(self, human: Human, source: str, start: date) -> None:
        """Adds a post in a source, under the number that it has for this human or gives now."""
        namespace = NAMESPACES[source]
        matricules = [job.matricule for job in human.jobs if NAMESPACES[job.source] == namespace]
        # contrats counts from 1001 too: there the same digits are somebody else
        matricule = (
            matricules[-1] if matricules else str(1001 + sum(1 for n, _ in self.owners if n == namespace))
        )
        self.owners.setdefault((namespace, matricule), human)
        human.jobs.append(Job(source, matricule, self.random.choice(UAIS), start))

    def working(self, source: str = "") -> list[Human]:
        """The people who have a post without an end."""
        return [
            h
            for h in self.humans
            if h.jobs and h.jobs[-1].end is None and source in ("", h.jobs[-1].source) and not h.slips
        ]

    # What happens

    def live(self) -> None:
        """Goes on by one day, on which something may happen."""
        self.day += timedelta(days=1)
        if self.post.random() < 0.4:
            self._delay()
        events = ["move", "marry", "titularise", "leave", "return", "second", "arrive", "homonym", "twin"]
        if self.slips:
            events += ["typo", "birth", "number", "namesake"]
        if self.random.random() < 0.5:
            event = self.random.choice(events)
            if getattr(self, f"_{event}")():
                self.happened[event] = self.happened.get(event, 0) + 1

    def _delay(self) -> None:
        """Adds a post of some days, with the names of today, that is sent late: as a delta, or with the
        corrected rejects of `epp`."""
        candidates = self.working("epp")
        if not candidates:
            return
        human, source = self.post.choice(candidates), self.post.choice((DELTAS, DELTAS, "epp"))
        comes = self.day + timedelta(days=self.post.randint(1, 6))
        end = self.day + timedelta(days=20)
        job = Job(source, human.jobs[-1].matricule, self.post.choice(UAIS), self.day, end)
        self.late.append(Late(source, self.day, comes, self.stated(human, job), human))

    def _somebody(self, source: str = "") -> Human | None:
        candidates = self.working(source)
        return self.random.choice(candidates) if candidates else None

    def _move(self) -> bool:
        human = self._somebody()
        if human is None:
            return False
        job = human.jobs[-1]
        job.end = self.day + timedelta(days=5)
        self.engage(human, job.source, self.day + timedelta(days=6))
        return True

    def _marry(self) -> bool:
        human = self._somebody()
        if human is not None:
            human.usage = "".join(self.random.sample(_SYLLABLES, 3)).capitalize()
        return human is not None

    def _titularise(self) -> bool:
        """Ends a contract; epp engages the same human, with another number in another namespace."""
        human = self._somebody("contrats")
        if human is None:
            return False
        human.jobs[-1].end = self.day + timedelta(days=3)
        self.engage(human, "epp", self.day + timedelta(days=4))
        return True

    def _leave(self) -> bool:
        human = self._somebody()
        if human is not None:
            human.jobs[-1].end = self.day + timedelta(days=2)
        return human is not None

    def _return(self) -> bool:
        """Somebody who left comes back, in any of the sources."""
        gone = [h for h in self.humans if h.jobs[-1].end and h.jobs[-1].end < self.day - timedelta(days=20)]
        if gone:
            self.engage(self.random.choice(gone), self.random.choice(list(NAMESPACES)), self.day)
        return bool(gone)

    def _second(self) -> bool:
        """Adds a second post in the other source of the same namespace."""
        human = self._somebody("epp")
        if human is not None:
            self.engage(human, "agape", self.day)
        return human is not None

    def _arrive(self) -> bool:
        return bool(self.arrive())

    def _homonym(self) -> bool:
        other = self._somebody()
        return other is not None and bool(self.arrive(family=other.family, first=other.first))

    def _twin(self) -> bool:
        other = self._somebody()
        if other is None:
            return False
        first = next(name for name in _FIRST_NAMES if name != other.first)
        self.arrive(family=other.family, first=first, birth=other.birth)
        return True

    def _slip(self, column: str, value: str, days: int = 9) -> bool:
        human = self._somebody()
        if human is None:
            return False
        until = self.day + timedelta(days=days)
        human.slips.append((human.jobs[-1].source, column, value or human.family[::-1].capitalize(), until))
        return True

    def _typo(self) -> bool:
        return self._slip("nom_famille", "")

    def _birth(self) -> bool:
        wrong = date(1958, 1, 1) + timedelta(days=self.random.randrange(300))
        return self._slip("date_naissance", wrong.isoformat())

    def _number(self) -> bool:
        """A source gives somebody a number that belongs to another human."""
        other = self._somebody("epp")
        if other is None:
            return False
        human = self.arrive()
        job = human.jobs[-1]
        if NAMESPACES[job.source] == "hr":
            human.slips.append(
                (job.source, "matricule", other.jobs[-1].matricule, self.day + timedelta(days=12))
            )
        return True

    def _namesake(self) -> bool:
        """Adds a different human with the same names and the same birth date."""
        other = self._somebody()
        return other is not None and bool(
            self.arrive(family=other.family, first=other.first, birth=other.birth)
        )

    # What the sources say

    def rows(self, source: str) -> list[str]:
        """The rows of a full feed of today; posts stay in it for sixty days after their end."""
        old = self.day - timedelta(days=60)
        return [
            row(**self.stated(human, job))
            for human in self.humans
            for job in human.jobs
            if job.source == source and (job.end is None or job.end >= old)
        ]

    def stated(self, human: Human, job: Job) -> dict[str, str]:
        """What the source of a job says about its holder today, right or wrong."""
        human.slips = [slip for slip in human.slips if slip[3] > self.day]
        wrong = {column: value for source, column, value, _ in human.slips if source == job.source}
        return {
            "matricule": job.matricule,
            "numen": human.numen,
            "nom_usage": human.usage,
            "nom_famille": human.family,
            "prenom": human.first,
            "date_naissance": human.birth.isoformat(),
            "courriel_prive": human.email,
            "uai": job.uai,
            "debut": job.start.isoformat(),
            "fin": job.end.isoformat() if job.end else "",
            **wrong,
        }
