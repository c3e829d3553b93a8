"""Invented académies with a record of who is who: what happens to people, and what their sources write.

Nothing here is taken from piactl: the record says to whom a number, a post or a row belongs. Each source of
HR writes a file of all its posts for each night; the annuaire writes a weekly AAF set with its own numbers.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from random import Random

from tests.aaf_sets import Agent

from .feeds import COLUMNS, DEFAULTS
from .population import establishments, how_many

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))

from invented.names import Names, capitals  # type: ignore[import-not-found]

HEADER = (*COLUMNS, "ancien_matricule")
FIRST = date(2026, 8, 24)
RENTREE, LAST_OF_CONTRACTS = date(2026, 9, 1), date(2026, 8, 31)
NINE_WEEKS = 63
AAF, DELTAS = "aaf", "deltas"
"""The annuaire, and a source of deltas about people of `epp`, with their numbers."""
FOREVER = 10**6
UNREADABLE = "0809999A"
"""A UAI with a wrong key letter."""
Row = dict[str, str]


@dataclass(frozen=True)
class Source:
    """A source of HR. `jobs`: function and corps, with a weight each. `kept`: how many days a post stays in
    its file after its end. `lacks_numen`: the share of its people whose NUMEN it does not know."""

    name: str
    share: float
    jobs: tuple[tuple[str, str, int], ...]
    places: str
    kept: int = 60
    lacks_numen: float = 0.03


SOURCES = {
    source.name: source
    for source in (
        Source(
            "epp",
            0.40,
            (("ENS", "553", 85), ("DIR", "004", 5), ("EDU", "563", 5), ("DOC", "553", 5)),
            "secondary",
        ),
        Source("assed", 0.20, (("AED", "790", 4), ("AEH", "789", 6)), "secondary", 10, 0.15),
        Source("agape", 0.30, (("ENS", "615", 9), ("DIR", "615", 1)), "school"),
        Source("renoirh", 0.10, (("ADM", "055", 8), ("LAB", "056", 2)), "secondary"),
    )
}


@dataclass(frozen=True)
class Setting:
    """How often each event happens, among 1,000 people in the nine weeks of the rentrée; `rentree` once, for
    1 September. `sources`: how often in nine weeks something happens to the files of each source. `tangled`:
    further events may happen to a person whose last one is recent."""

    weekly: Mapping[str, float]
    rentree: Mapping[str, float]
    sources: Mapping[str, float]
    tangled: bool = False

    @property
    def calm(self) -> float:
        """How much HR types in other weeks, as a share of what it types in those of the rentrée. So much
        rarer are then the events that come of typing: slips, new numbers, and who resembles somebody."""
        life = sum(rate for kind, rate in LIFE.items() if kind != "late_row")
        return life / (life + sum(self.rentree.values()))


LIFE = {
    "move": 12,
    "arrive": 8,
    "leave": 8,
    "marry": 3,
    "divorce": 0.7,
    "homonym": 1,
    "second_post": 1,
    "late_row": 60,
}
STARTS = {"mutation": 60, "newcomer": 30, "leaver": 25, "late_renewal": 8}
ORDINARY = Setting(
    # assumptions, not measured in an académie
    weekly={
        **LIFE,
        "second_number": 3,
        "renumbered": 1,
        "returns": 1,
        "suspended": 0.5,
        "twin": 0.5,
        "namesake": 0.1,
        "birth_slip": 1,
        "name_slip": 1,
        "matricule_slip": 0.5,
        "zeros_slip": 0.5,
        "missing_once": 3,
        "rejected": 2,
        "numen_changed": 1,
        "numen_lost": 1,
        "numen_shared": 0.2,
        "reused": 0.2,
    },
    rentree={**STARTS, "titularised": 6, "birth_wrong_in_one": 0.5},
    sources={"silent": 0.5, "cut": 0.3, "zeros_file": 0.2},
)
NASTY = Setting(
    weekly={
        **LIFE,
        "second_number": 15,
        "blind_second": 6,
        "renumbered": 10,
        "returns": 10,
        "suspended": 6,
        "twin": 8,
        "namesake": 3,
        "birth_slip": 10,
        "name_slip": 8,
        "matricule_slip": 8,
        "matricule_of_another": 3,
        "zeros_slip": 6,
        "missing_once": 10,
        "rejected": 8,
        "numen_changed": 5,
        "numen_lost": 5,
        "numen_shared": 5,
        "reused": 6,
    },
    rentree={**STARTS, "titularised": 30, "birth_wrong_in_one": 6},
    sources={"silent": 1.5, "cut": 1, "zeros_file": 1},
    tangled=True,
)
CLEAN = Setting(weekly=LIFE, rentree=STARTS, sources={})


@dataclass(eq=False)
class Human:
    """`numbers`: the number that each namespace uses for them now. `busy`: until then no further event."""

    index: int
    family: str
    first: str
    civilite: str
    birth: date
    numen: str
    email: str
    usage: str = ""
    numbers: dict[str, str] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    slips: list[Slip] = field(default_factory=list)
    without_numen: dict[str, bool] = field(default_factory=dict)
    only_annuaire: list[tuple[str, str]] = field(default_factory=list)
    """Posts (establishment, function) that only the annuaire lists."""
    busy: date = date.min

    def __repr__(self) -> str:
        return f"<{self.index} {self.first} {self.family} {sorted(self.numbers.values())}>"


@dataclass(eq=False)
class Post:
    """A post in a source. The source lists it from `known` on. Before the day `end_known` it states the end
    `end_before`. `gone`: the first day on which the source no longer lists it."""

    human: Human
    source: str
    matricule: str
    uai: str
    function: str
    corps: str
    start: date
    end: date | None = None
    known: date = date.min
    end_known: date = date.min
    end_before: date | None = None
    gone: date = date.max
    position: str = ""
    former: str = ""

    def stated_end(self, day: date) -> date | None:
        return self.end if day >= self.end_known else self.end_before

    def listed(self, day: date) -> bool:
        end = self.stated_end(day)
        in_time = end is None or end >= day - timedelta(days=SOURCES[self.source].kept)
        return self.known <= day < self.gone and in_time


@dataclass(eq=False)
class Slip:
    """Wrong values in the rows of a human, or in the row of one post, in the next `files` of a source from
    a day on. No columns: the rows are missing."""

    source: str
    first: date
    files: int
    columns: Mapping[str, str]
    post: Post | None = None


@dataclass(frozen=True)
class Late:
    """One row that a source writes on one day and that arrives on a later day: as a delta, or among the
    corrected rejects of a full source."""

    written: date
    comes: date
    listed: Listed


@dataclass(frozen=True)
class Listed:
    """A row as a source wrote it, and the human it is about."""

    row: Row
    human: Human
    source: str

    @property
    def post(self) -> tuple[str, str, str, str]:
        return self.source, self.row["uai"], self.row["fonction"], self.row["debut"]


def folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name.lower())
    return "".join(c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c)).strip()


def resembling(left: Row, right: Row) -> bool:
    """Whether two rows have something from which a doubt can arise: a NUMEN, an identity, or a private
    address with a name."""

    def identity(row: Row) -> tuple[str, ...]:
        birth, first = row["date_naissance"], folded(row["prenom"]).partition(" ")[0]
        return (birth, folded(row["nom_famille"]), first) if birth else ()

    def names(row: Row) -> set[str]:
        found = {folded(row["nom_famille"]), folded(row["nom_usage"]), folded(row["prenom"]).split(" ")[0]}
        return found - {""}

    numen = bool(left["numen"]) and left["numen"] == right["numen"]
    mail = bool(left["courriel_prive"]) and left["courriel_prive"] == right["courriel_prive"]
    same = bool(identity(left)) and identity(left) == identity(right)
    return numen or same or (mail and not names(left).isdisjoint(names(right)))


class World:
    """The humans, and what happens to them from day to day. `busy`: the whole year is like the weeks of the
    rentrée. `owners` are the humans to whom HR gave a number
    (namespace, number), `typed` those for whom it was typed by mistake."""

    def __init__(
        self,
        setting: Setting,
        people: int,
        seed: int,
        days: int,
        *,
        sources: Sequence[str] = ("epp", "assed", "agape", "renoirh"),
        own_numbers: bool = True,
        busy: bool = False,
    ) -> None:
        self.busy = busy
        self.random = Random(f"{seed}/{people}")
        self.setting, self.people, self.day = setting, people, FIRST
        self.last = FIRST + timedelta(days=days)
        self.sources = [SOURCES[name] for name in sources]
        self.namespaces = {
            s.name: "assed" if own_numbers and s.name == "assed" else "hr" for s in self.sources
        }
        self.namespaces |= {AAF: AAF, DELTAS: "hr"}
        self.names = Names(people * 2 + 400, seed)
        self.places: dict[str, list[str]] = {}
        for place in establishments(how_many(people)):
            self.places.setdefault(place.kind, []).append(place.uai)
        self.humans: list[Human] = []
        self.owners: dict[tuple[str, str], list[Human]] = {}
        self.typed: dict[tuple[str, str], Human] = {}
        self.happened: Counter[str] = Counter()
        self.whole_files: dict[tuple[str, str], int] = {}
        """(source, damage) -> the days for which it lasts."""
        self.late: list[Late] = []
        self.delivered: dict[str, list[Listed]] = {}
        """The rows of the last file of each source that was read."""
        self.said: dict[Human, set[tuple[str, str, str, str]]] = {}
        """The posts that files have given each human: source, establishment, function, start."""
        self.stated: dict[tuple[str, str], Listed] = {}
        """The last row under each number."""
        while len(self.humans) < people:
            self._settle()
        self.agenda = sorted(self._events(days), key=lambda event: event[0])
        self._first_rentree()

    # The people of the first day

    def _settle(self) -> Human:
        """Adds somebody who has worked here for some years."""
        human = self.human()
        source = self.random.choices(self.sources, [s.share for s in self.sources])[0]
        year = 2025 - int(self.random.random() * 12)
        post = self.engage(human, source, date(year, 9, 1))
        if post.corps == "790" and self.random.random() < 0.5:
            post.end = LAST_OF_CONTRACTS
            if self.random.random() < 0.8:  # the others leave, or are renewed late
                self.engage(human, source, RENTREE, uai=post.uai, function=post.function)
        return human

    def human(self, **traits: object) -> Human:
        index = len(self.humans)
        name = self.names.name(index)
        first = name.given
        if self.random.random() < 0.08:
            first = f"{first} {self.names.name(index + self.people).given}"
        values = {
            "family": name.surname,
            "first": first,
            "civilite": name.civilite,
            "birth": date(1962, 1, 1) + timedelta(days=self.random.randrange(14_000)),
            "numen": f"22E{index:07}" + "".join(chr(65 + index // p % 26) for p in (676, 26, 1)),
            "email": f"a{index}@example.org" if self.random.random() < 0.7 else "",
            **traits,
        }
        human = Human(index, **values)  # type: ignore[arg-type]
        human.without_numen = {s.name: self.random.random() < s.lacks_numen for s in self.sources}
        self.humans.append(human)
        return human

    def engage(
        self,
        human: Human,
        source: Source,
        start: date,
        *,
        uai: str = "",
        function: str = "",
        number: str = "",
        known: date = date.min,
    ) -> Post:
        """Adds a post, under the number that the source has for this human or gives now."""
        namespace = self.namespaces[source.name]
        if not number:
            number = human.numbers.get(namespace) or self.number(namespace)
        human.numbers[namespace] = number
        owners = self.owners.setdefault((namespace, number), [])
        if human not in owners:
            owners.append(human)
        jobs = [job for job in source.jobs if function in ("", job[0])]
        function, corps, _ = self.random.choices(jobs, [job[2] for job in jobs])[0]
        uai = uai or self.place(source, human)
        post = Post(human, source.name, number, uai, function, corps, start, known=known)
        human.posts.append(post)
        return post

    def place(self, source: Source, human: Human) -> str:
        own = {post.uai for post in human.posts}
        return self.random.choice([uai for uai in self.places[source.places] if uai not in own])

    def number(self, namespace: str) -> str:
        """A number that the namespace has never used; one in five begins with 0. The contracts of assed use
        digits that HR has given to other people."""
        while True:
            most = 10**6 if self.random.random() < 0.2 else 10**7
            number = f"{self.random.randrange(most):07}"
            if namespace == "assed" and self.random.random() < 0.3:
                number = self.random.choice([n for space, n in self.owners if space == "hr"] or [number])
            if namespace == AAF:
                number = str(10_000 + self.random.randrange(10**6))
            if (namespace, number) not in self.owners and (namespace, number) not in self.typed:
                return number

    # The agenda

    def _events(self, days: int) -> Iterator[tuple[date, str]]:
        later = max(days - 4, 1)
        for kind, rate in self.setting.weekly.items():
            calm = 1.0 if kind in LIFE or self.busy else self.setting.calm
            whole = min(days, NINE_WEEKS)
            for first, number, share in ((0, whole, 1.0), (whole, days - whole, calm)):
                if not number:
                    continue
                for _ in range(self._times(rate * share * self.people / 1000 * number / NINE_WEEKS)):
                    day = 2 + first + self.random.randrange(max(min(number, later - first), 1))
                    yield FIRST + timedelta(days=day), kind
        for kind, rate in self.setting.sources.items():
            for source in self.sources:
                for _ in range(self._times(rate * days / NINE_WEEKS)):
                    day = FIRST + timedelta(days=2 + self.random.randrange(later))
                    yield day, f"{kind} {source.name}"

    def _times(self, expected: float) -> int:
        return int(expected + self.random.random())

    def _first_rentree(self) -> None:
        """What begins or ends on 1 September. HR knows most of it on the first day, and the rest until the
        second week of September."""
        for kind, rate in self.setting.rentree.items():
            for _ in range(self._times(rate * self.people / 1000)):
                known = FIRST
                if self.random.random() < 0.5:
                    known += timedelta(days=self.random.randrange(1, 20))
                self.happened[kind] += bool(getattr(self, f"_{kind}")(known))

    def live(self, day: date) -> None:
        """Goes on to a day. An event that finds nobody waits for another day."""
        self.day = day
        remaining = []
        for when, kind in self.agenda:
            word, _, source = kind.partition(" ")
            if when > day or not getattr(self, f"_{word}")(*([source] if source else [day])):
                remaining.append((when, kind))
            else:
                self.happened[word] += 1
        self.agenda = remaining

    def pick(
        self,
        source: str = "",
        *,
        fits: Callable[[Human], bool] = lambda _: True,
        rest: int = 30,
    ) -> Human | None:
        """Somebody who works, in this source if one is given."""
        today = max(self.day, RENTREE) if self.day == FIRST else self.day
        people = [
            human
            for human in self.humans
            if self.current(human, source, today)
            and (self.setting.tangled or human.busy <= self.day)
            and fits(human)
        ]
        if not people:
            return None
        human = self.random.choice(people)
        human.busy = self.day + timedelta(days=rest)
        return human

    def current(self, human: Human, source: str = "", day: date | None = None) -> list[Post]:
        """The posts that have begun and have no end, as HR knows them."""
        day = day or self.day
        return [
            post
            for post in human.posts
            if source in ("", post.source)
            and post.start <= day
            and post.known <= day < post.gone
            and (post.end is None or post.end > day)
        ]

    def source(self, human: Human) -> Source:
        return SOURCES[
            self.current(human, day=max(self.day, RENTREE) if self.day == FIRST else None)[0].source
        ]

    # The rentrée

    def _ends(self, human: Human, known: date) -> Post | None:
        posts = [
            post for post in human.posts if post.start < RENTREE and post.end in (None, LAST_OF_CONTRACTS)
        ]
        if len(posts) != 1 or len(human.posts) != 1:
            return None
        post = posts[0]
        # HR states the end before the post leaves its file
        known = min(known, LAST_OF_CONTRACTS + timedelta(days=SOURCES[post.source].kept - 5))
        post.end_known, post.end_before, post.end = known, post.end, LAST_OF_CONTRACTS
        return post

    def _from_september(self, known: date, *sources: str) -> Post | None:
        def fits(human: Human) -> bool:
            return len(human.posts) == 1 and human.posts[0].start < RENTREE and human.posts[0].end is None

        human = self.pick(self.random.choice(sources or [s.name for s in self.sources]), fits=fits)
        return self._ends(human, known) if human else None

    def _mutation(self, known: date) -> bool:
        post = self._from_september(known)
        if post:
            self.engage(post.human, SOURCES[post.source], RENTREE, known=known)
        return bool(post)

    def _newcomer(self, known: date) -> bool:
        self.engage(self.human(), self.random.choice(self.sources), RENTREE, known=known)
        return True

    def _leaver(self, known: date) -> bool:
        return bool(self._from_september(known))

    def _late_renewal(self, known: date) -> bool:
        """A contract that ends on 31 August and is renewed, which HR enters in September."""
        post = self._from_september(FIRST, "assed")
        if post:
            late = RENTREE + timedelta(days=self.random.randrange(1, 15))
            self.engage(
                post.human, SOURCES["assed"], RENTREE, uai=post.uai, function=post.function, known=late
            )
        return bool(post)

    def _titularised(self, known: date) -> bool:
        """An assistant until 31 August is a teacher from 1 September, under another number of another
        source. Some are new: both sources list them for the first time in the same night."""
        post = self._from_september(FIRST, "assed")
        if post is None:
            return False
        human = post.human
        human.numbers.pop("hr", None)
        source = self.random.choice([s for s in self.sources if s.name in ("epp", "agape")])
        self.engage(human, source, RENTREE, number=self.number("hr"), known=known)
        if known > FIRST and self.random.random() < 0.3:
            post.known, post.start = known, min(known, date(2026, 8, 28))
        return True

    def _birth_wrong_in_one(self, known: date) -> bool:
        """Somebody has posts in two sources, and one of them has a wrong birth date all the time."""
        human = self._with_second_post(known)
        if human:
            human.slips.append(Slip(human.posts[-1].source, FIRST, FOREVER, self._another_birth(human)))
        return bool(human)

    # Life

    def _move(self, day: date) -> bool:
        human = self.pick(fits=lambda h: len(self.current(h)) == 1)
        if human is None:
            return False
        post = self.current(human)[0]
        post.end_known, post.end_before = day, post.end
        post.end = day + timedelta(days=self.random.randrange(0, 8))
        self.engage(human, SOURCES[post.source], post.end + timedelta(days=1), known=day)
        return True

    def _arrive(self, day: date) -> bool:
        start = day + timedelta(days=self.random.randrange(-5, 10))
        self.engage(self.human(), self.random.choice(self.sources), start, known=day)
        return True

    def _homonym(self, day: date) -> bool:
        """Somebody of another birth date with the names of a colleague."""
        other = self.pick()
        if other is None:
            return False
        human = self.human(family=other.family, first=other.first, civilite=other.civilite)
        self.engage(human, self.random.choice(self.sources), day, known=day)
        return True

    def _twin(self, day: date) -> bool:
        """Somebody born on the same day with the same family name; half of them share the first word of
        the first name. The annuaire may list the twin some weeks before HR does."""
        other = self.pick()
        if other is None:
            return False
        word = other.first.replace("-", " ").split()[0]
        first = f"{word} Aurélien" if self.random.random() < 0.5 else "Aurélien"
        twin = self.human(family=other.family, first=first, birth=other.birth)
        known = day + timedelta(days=self.random.choice((0, 0, 20)))
        self.engage(twin, self.random.choice(self.sources), day, known=known)
        return True

    def _namesake(self, day: date) -> bool:
        other = self.pick()
        if other is None:
            return False
        human = self.human(family=other.family, first=other.first, birth=other.birth)
        known = day + timedelta(days=self.random.choice((0, 0, 20)))
        self.engage(human, self.random.choice(self.sources), day, known=known)
        return True

    def _leave(self, day: date) -> bool:
        human = self.pick()
        for post in self.current(human) if human else []:
            post.end_known, post.end_before = day, post.end
            # HR does not state an end before the start: such a row is rejected
            post.end = max(post.start, day + timedelta(days=self.random.randrange(-2, 6)))
        return bool(human)

    def _late_row(self, day: date) -> bool:
        """A post of three weeks, with the names of today, in a row that is sent late."""
        human = self.pick("epp", fits=lambda h: len(self.current(h)) == 1 and not h.slips, rest=0)
        if human is None:
            return False
        own, source = self.current(human)[0], self.random.choice((DELTAS, DELTAS, "epp"))
        uai = self.place(SOURCES["epp"], human)
        end = day + timedelta(days=20)
        post = Post(human, "epp", own.matricule, uai, own.function, own.corps, day, end, day)
        comes = day + timedelta(days=self.random.randrange(1, 7))
        self.late.append(Late(day, comes, Listed(self._row(human, post, day), human, source)))
        return True

    def _suspended(self, day: date) -> bool:
        """A suspension, which locks the account; half of these people are then under a typing error."""
        human = self.pick(fits=lambda h: len(self.current(h)) == 1)
        if human is None:
            return False
        post = self.current(human)[0]
        row = Post(
            human, post.source, post.matricule, post.uai, post.function, post.corps, day, post.end, day
        )
        row.position = "suspension"
        human.posts.append(row)
        if self.setting.tangled and self.random.random() < 0.5:
            self._type(human, post.source, day + timedelta(days=3))
        return True

    def _marry(self, day: date) -> bool:
        human = self.pick(fits=lambda h: not h.usage)
        if human:
            self._rename(human, self.names.surname(self.random.random()))
        return bool(human)

    def _divorce(self, day: date) -> bool:
        human = self.pick(fits=lambda h: bool(h.usage))
        if human:
            self._rename(human, "")
        return bool(human)

    def _rename(self, human: Human, usage: str) -> None:
        """One source knows the new usage name at once, others after some files."""
        sources = sorted({post.source for post in human.posts})
        for source in sources[1:]:
            files = self.random.randrange(0, 12)
            human.slips.append(Slip(source, self.day, files, {"nom_usage": human.usage}))
        human.usage = usage

    def _with_second_post(self, day: date) -> Human | None:
        """Somebody of a source with the numbers of HR gets a post in another source with these numbers."""
        shared = [s for s in self.sources if self.namespaces[s.name] == "hr"]
        if len(shared) < 2:
            return None
        human = self.pick(self.random.choice(shared).name, fits=lambda h: len(h.posts) == 1)
        if human:
            own = self.source(human)
            other = self.random.choice([s for s in shared if s is not own])
            self.engage(human, other, max(day, RENTREE), known=day)
        return human

    def _second_post(self, day: date) -> bool:
        return bool(self._with_second_post(day))

    # Second numbers

    def _second_number(self, day: date) -> bool:
        """Another source, or the same one, engages somebody under a number of its own."""
        human = self.pick(fits=lambda h: len(self.current(h)) == 1)
        if human is None:
            return False
        post = self.current(human)[0]
        start = day + timedelta(days=self.random.randrange(0, 8))
        if self.random.random() < 0.7:
            post.end_known, post.end_before = day, post.end
            post.end = max(post.start, start - timedelta(days=1))
        source = self.random.choice([s for s in self.sources if s.name != post.source])
        self._anew(human, source, start, day)
        return True

    def _anew(self, human: Human, source: Source, start: date, known: date) -> Post:
        namespace = self.namespaces[source.name]
        number = self.number(namespace)
        return self.engage(human, source, start, number=number, known=known)

    def _blind_second(self, day: date) -> bool:
        """The second number comes with a wrong birth date, without NUMEN and private address, until HR
        corrects it: until then nothing shows that this is one person."""
        human = self.pick(fits=lambda h: len(self.current(h)) == 1)
        if human is None:
            return False
        source = self.random.choice([s for s in self.sources if s.name != self.current(human)[0].source])
        self._anew(human, source, day, day)
        human.without_numen[source.name] = True
        wrong = {**self._another_birth(human), "courriel_prive": ""}
        human.slips.append(Slip(source.name, day, self.random.randrange(4, 12), wrong))
        return True

    def _renumbered(self, day: date) -> bool:
        """A source gives somebody another number: all rows have it from now on. One source in three names
        the former one; one in three ends the post under the old number explicitly."""
        human = self.pick(fits=lambda h: len(self.current(h)) == 1)
        if human is None:
            return False
        post, way = self.current(human)[0], self.random.random()
        source = SOURCES[post.source]
        if way < 0.33:
            post.end_known, post.end_before = day, post.end
            post.end = max(post.start, day - timedelta(days=1))
            self._anew(human, source, day, day).former = ""
            return True
        post.gone = day
        new = self._anew(human, source, post.start, day)
        new.uai, new.function, new.corps, new.end = post.uai, post.function, post.corps, post.end
        new.position = post.position
        new.former = post.matricule if way < 0.67 else ""
        return True

    def _returns(self, day: date) -> bool:
        """Somebody whose contract ended 45 to 60 days ago comes back under another number."""
        gone = [
            human
            for human in self.humans
            if human.posts
            and all(post.end and 45 <= (day - post.end).days <= 60 for post in human.posts[-1:])
            and not self.current(human)
        ]
        if not gone:
            return False
        self._anew(self.random.choice(gone), self.random.choice(self.sources), day, day)
        return True

    # Slips

    def _another_birth(self, human: Human) -> dict[str, str]:
        """A birth date with another day, or day and month changed about."""
        birth = human.birth
        if birth.day <= 12 and birth.day != birth.month and self.random.random() < 0.5:
            birth = birth.replace(month=birth.day, day=birth.month)
        else:
            birth += timedelta(days=self.random.choice((-30, -10, -1, 1, 10, 365)))
        return {"date_naissance": birth.isoformat()}

    def _slip(self, files: int, columns: Mapping[str, str], human: Human | None, day: date) -> bool:
        if human:
            human.slips.append(Slip(self.source(human).name, day, files, columns))
        return bool(human)

    def _birth_slip(self, day: date) -> bool:
        """A mistyped birth date, corrected after some files, and wrong again once."""
        human = self.pick()
        if human is None:
            return False
        wrong = self._another_birth(human)
        human.slips.append(Slip(self.source(human).name, day + timedelta(days=25), 1, wrong))
        return self._slip(self.random.randrange(2, 15), wrong, human, day)

    def _name_slip(self, day: date) -> bool:
        human = self.pick(fits=lambda h: len(h.family) > 4)
        family = human.family if human else ""
        at = self.random.randrange(1, max(len(family) - 2, 2))
        typed = family[:at] + family[at + 1] + family[at] + family[at + 2 :] if family else ""
        return self._slip(self.random.randrange(3, 15), {"nom_famille": typed}, human, day)

    def _matricule_slip(self, day: date) -> bool:
        human = self.pick()
        return bool(human) and self._type(human, self.source(human).name, day)  # type: ignore[arg-type]

    def _type(self, human: Human, source: str, day: date) -> bool:
        """Two digits of a number are changed about in one row, in one or two files."""
        namespace = self.namespaces[source]
        posts = [post for post in human.posts if post.source == source and post.listed(self.day)]
        if not posts:
            return False
        post = self.random.choice(posts)
        digits = post.matricule
        for _ in range(50):
            at = self.random.randrange(len(digits) - 1)
            number = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]
            if number.lstrip("0") != digits.lstrip("0") and (namespace, number) not in self.owners:
                self.typed[namespace, number] = human
                slip = Slip(source, day, self.random.choice((1, 2, 2)), {"matricule": number}, post)
                human.slips.append(slip)
                return True
        return False

    def _matricule_of_another(self, day: date) -> bool:
        """The typing error is the number of a colleague."""
        human = self.pick()
        source = self.source(human).name if human else ""
        other = self.pick(source, fits=lambda h: h is not human)
        if human is None or other is None:
            return False
        number = self.current(other, source)[0].matricule
        return self._slip(self.random.choice((1, 2)), {"matricule": number}, human, day)

    def _zeros_slip(self, day: date) -> bool:
        """A number without its leading zeros, in one row, in one or two files."""
        human = self.pick(fits=lambda h: self.current(h)[0].matricule.startswith("0"))
        if human is None:
            return False
        post = self.current(human)[0]
        number = post.matricule.lstrip("0")
        self.typed[self.namespaces[post.source], number] = human
        human.slips.append(Slip(post.source, day, self.random.choice((1, 2, 2)), {"matricule": number}, post))
        return True

    def _missing_once(self, day: date) -> bool:
        return self._slip(1, {}, self.pick(rest=5), day)

    def _rejected(self, day: date) -> bool:
        """A row that cannot be read, until HR corrects it."""
        human = self.pick()
        wrong = self.random.choice(({"uai": UNREADABLE}, {"nom_famille": "Du?and"}, {"debut": "31/02/2026"}))
        return self._slip(self.random.randrange(1, 6), wrong, human, day)

    def _numen_changed(self, day: date) -> bool:
        human = self.pick()
        if human:
            human.numen = f"22A{human.index:07}" + human.numen[-3:]
        return bool(human)

    def _numen_lost(self, day: date) -> bool:
        return self._slip(self.random.randrange(1, 10), {"numen": ""}, self.pick(), day)

    def _numen_shared(self, day: date) -> bool:
        """A row has the NUMEN of a colleague, until HR corrects it."""
        human, other = self.pick(), self.pick()
        if human is None or other is None or human is other:
            return False
        return self._slip(self.random.randrange(4, 12), {"numen": other.numen}, human, day)

    def _reused(self, day: date) -> bool:
        """HR gives a newcomer the number of somebody who has left, and corrects it after some files."""
        gone = [h for h in self.humans if not self.current(h) and h.posts and (h.posts[-1].end or day) < day]
        if not gone:
            return False
        leaver = self.random.choice(gone)
        source = SOURCES[leaver.posts[-1].source]
        if source not in self.sources:
            return False
        human = self.human()
        self.engage(human, source, day, known=day)
        wrong = {"matricule": leaver.posts[-1].matricule}
        human.slips.append(Slip(source.name, day, self.random.randrange(8, 15), wrong))
        return True

    # Whole files

    def _silent(self, source: str) -> bool:
        self.whole_files[source, "silent"] = self.random.randrange(2, 8)
        return True

    def _cut(self, source: str) -> bool:
        self.whole_files[source, "cut"] = 1
        return True

    def _zeros_file(self, source: str) -> bool:
        self.whole_files[source, "zeros"] = 1
        return True

    def damage(self, source: str, days: int) -> str:
        """What happens to tonight's file of a source: silent, cut, zeros, or nothing. The next file comes
        after so many days."""
        for (name, what), left in list(self.whole_files.items()):
            if name == source:
                self.whole_files[name, what] = left - days
                if left <= days:
                    del self.whole_files[name, what]
                return what
        return ""

    # What the sources say

    def rows(self, source: str, day: date) -> list[Listed]:
        """The rows of tonight's file of HR, with its slips."""
        rows = []
        for human in self.humans:
            slips = [slip for slip in human.slips if slip.source == source and slip.first <= day]
            posts = [post for post in human.posts if post.source == source and post.listed(day)]
            for post in posts:
                wrong = [slip for slip in slips if slip.post in (None, post)]
                if any(not slip.columns for slip in wrong):
                    continue
                row = self._row(human, post, day)
                for slip in wrong:
                    row |= slip.columns
                rows.append(Listed(row, human, source))
            for slip in slips if posts else []:
                slip.files -= 1
            human.slips = [slip for slip in human.slips if slip.files > 0]
        return rows

    def _row(self, human: Human, post: Post, day: date) -> Row:
        end = post.stated_end(day)
        return {
            **dict.fromkeys(HEADER, ""),
            **DEFAULTS,
            "matricule": post.matricule,
            "numen": "" if human.without_numen[post.source] else human.numen,
            "civilite": human.civilite,
            "nom_usage": human.usage,
            "nom_famille": human.family,
            "prenom": human.first,
            "date_naissance": human.birth.isoformat(),
            "courriel_prive": human.email,
            "corps": post.corps,
            "position": post.position,
            "uai": post.uai,
            "fonction": post.function,
            "debut": post.start.isoformat(),
            "fin": end.isoformat() if end else "",
            "ancien_matricule": post.former,
        }

    def read(self, source: str, rows: Sequence[Listed]) -> None:
        """Records what a file says that a night has read."""
        self.delivered[source] = list(rows)
        self.note(rows)

    def note(self, rows: Iterable[Listed]) -> None:
        """Records what rows say of people and numbers."""
        for listed in rows:
            self.said.setdefault(listed.human, set()).add(listed.post)
            self.stated[self.namespaces[listed.source], listed.row["matricule"]] = listed

    @cached_property
    def structures(self) -> dict[str, str]:
        """The establishments of the annuaire: its number -> UAI."""
        return {str(4000 + n): uai for n, uai in enumerate(self.places["secondary"])}

    def annuaire(self, day: date) -> list[tuple[Agent, Listed]]:
        """The set of the annuaire, with posts that only it has. One birth date in a hundred is wrong there
        all the time. It knows some posts before HR does, and others later."""
        known = {uai: number for number, uai in self.structures.items()}
        agents = []
        for human in self.humans:
            traits = Random(f"{human.index}/{self.people}")
            if traits.random() < 0.1:
                continue
            wrong_birth, further = traits.random() < 0.01, traits.random() < 0.03
            later = timedelta(days=traits.choice((-20, -5, 0, 0, 7)))
            posts = [
                (post.uai, post.function)
                for post in human.posts
                if post.uai in known
                and not post.position
                and post.start <= day
                and max(post.known, FIRST) + later <= day < post.gone
                and (post.end is None or post.end >= day or day < post.end_known)
            ]
            if not posts:
                continue
            if further and not human.only_annuaire:
                place = traits.choice([uai for uai in known if uai not in {p.uai for p in human.posts}])
                human.only_annuaire.append((place, "ENS"))
            number = human.numbers.get(AAF)
            if number is None:
                number = human.numbers[AAF] = self.number(AAF)
                self.owners[AAF, number] = [human]
            birth = human.birth + timedelta(days=10 if wrong_birth else 0)
            functions = tuple(
                f"{known[uai]}${function}${function}" for uai, function in posts + human.only_annuaire
            )
            agent = Agent(
                number,
                tuple(dict.fromkeys(functions)),
                sn=capitals(human.usage or human.family),
                birth_name=capitals(human.family),
                given=capitals(human.first),
                birth=f"{birth:%d/%m/%Y}",
                home=known[posts[0][0]],
            )
            for uai, function in posts + human.only_annuaire:
                row = {"matricule": number, "uai": uai, "fonction": function, "debut": ""}
                agents.append((agent, Listed(row, human, AAF)))
        return agents

    # The record

    def owners_of(self, namespace: str, number: str) -> list[Human]:
        """The humans whose number this is or was, or for whom it was typed by mistake."""
        typed = self.typed.get((namespace, number))
        return [*self.owners.get((namespace, number), ()), *([typed] if typed else [])]

    def one_by_files(self, human: Human) -> bool:
        """Whether what the sources say of a human's numbers shows that they may be one person."""
        rows = [
            listed.row
            for (namespace, _), listed in self.stated.items()
            if listed.human is human and namespace != AAF
        ]
        numbers = {row["matricule"] for row in rows}
        return len(numbers) > 1 and all(
            resembling(left, right)
            for left in rows
            for right in rows
            if left["matricule"] < right["matricule"]
        )


def csv_text(rows: Iterable[Row], day: date, *, rejects: bool = False) -> str:
    """A whole file; `rejects`: in the form of a file of corrected rejects."""
    last = ";rejet" if rejects else ""
    lines = [";".join(row[column] for column in HEADER) + ";" * rejects for row in rows]
    return "\n".join([";".join(HEADER) + last, *lines, f"#FIN;rows={len(lines)};date={day}", ""])
