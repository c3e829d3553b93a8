"""The invented people of the examples, as rows that a test may change, and their register."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "examples"))

from invented.agents import COLUMNS as COLUMNS  # type: ignore[import-not-found]  # noqa: E402
from invented.changes import Night as Night  # type: ignore[import-not-found]  # noqa: E402
from invented.feeds import population  # type: ignore[import-not-found]  # noqa: E402
from invented.feeds import write_feeds as write_feeds  # noqa: E402
from invented.places import HEADER, how_many  # type: ignore[import-not-found]  # noqa: E402
from invented.places import establishments as establishments  # noqa: E402

Rows = list[list[str]]


@dataclass(frozen=True)
class Crowd:
    """Invented people: the rows of a complete feed of `day`."""

    people: int
    day: date
    rows: tuple[tuple[str, ...], ...]

    def copy(self) -> Rows:
        return [list(row) for row in self.rows]


def crowd(people: int, day: date, seed: int = 1) -> Crowd:
    return Crowd(people, day, tuple(population(people, seed, day)))


def write_register(path: Path, people: int) -> Path:
    lines = [";".join(HEADER), *(";".join(place.row) for place in establishments(how_many(people)))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def feed_text(rows: Iterable[Sequence[str]], day: date) -> str:
    lines = [";".join(row) for row in rows]
    return "\n".join([";".join(COLUMNS), *lines, f"#FIN;rows={len(lines)};date={day}"]) + "\n"
