"""One invented agent: who they are, the posts that they hold, and their feed rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

COLUMNS = (
    "matricule numen civilite nom_usage nom_famille prenom date_naissance courriel_prive "
    "corps position uai fonction discipline modalite quotite debut fin"
).split()
"""The canonical layout: the first eight columns are about the person, the others about the assignment."""

Row = tuple[str, ...]
"""One line of a feed, in the order of COLUMNS."""


@dataclass(slots=True)
class Post:
    uai: str
    function: str
    start: date
    end: date | None = None
    corps: str = ""
    position: str = "activite"
    discipline: str = ""
    modality: str = "principale"
    quotite: str = "100"

    def covers(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day <= self.end)


@dataclass(slots=True)
class Agent:
    """A person and their posts. `far_end`: their HR application writes an open end as 31/12/9999."""

    matricule: str
    numen: str
    civilite: str
    usage_name: str
    family_name: str
    given_name: str
    birth: date
    mail: str
    far_end: bool = False
    posts: list[Post] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """The number of days for which HR still lists a post that has ended. It differs between people, so
        that the posts that end at one rentrée do not vanish in one night.
        """
        return 90 + int(self.matricule) % 120

    def listed(self, day: date) -> list[Post]:
        """The posts that HR still lists on that day."""
        oldest = day - timedelta(days=self.kept)
        return [post for post in self.posts if post.end is None or post.end >= oldest]

    def main(self, day: date) -> Post | None:
        """Their main post on that day; None if they are on leave."""
        posts = [p for p in self.posts if p.covers(day)]
        if any(p.position not in {"activite", ""} for p in posts):
            return None
        return next((p for p in posts if p.modality == "principale"), None)

    def rows(self, day: date) -> Iterator[Row]:
        person = (
            self.matricule,
            self.numen,
            self.civilite,
            self.usage_name,
            self.family_name,
            self.given_name,
            french(self.birth),
            self.mail,
        )
        for post in self.listed(day):
            end = french(post.end) if post.end else "31/12/9999" if self.far_end else ""
            yield (
                *person,
                post.corps,
                post.position,
                post.uai,
                post.function,
                post.discipline,
                post.modality,
                post.quotite,
                french(post.start),
                end,
            )

    def stale(self, day: date) -> date:
        """The first day after `day` on which the date alone changes the rows."""
        ends = [post.end for post in self.listed(day) if post.end is not None]
        return min(ends) + timedelta(days=self.kept + 1) if ends else date.max


def french(day: date) -> str:
    """JJ/MM/AAAA."""
    return f"{day.day:02d}/{day.month:02d}/{day.year:04d}"


def as_text(rows: Iterator[Row] | Sequence[Row]) -> tuple[str, int]:
    """The lines of a feed for these rows, and how many they are. No invented value needs quotes."""
    lines = [";".join(row) for row in rows]
    return "".join(f"{line}\n" for line in lines), len(lines)
