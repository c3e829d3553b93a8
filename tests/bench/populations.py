"""The people of a bench: invented, seeded, and the feeds of a few of their nights.

As a program it writes them: python -m bench.populations PEOPLE SEED FOLDER. Then
python -m bench.populations FOLDER writes the people of the 2nd degré as AAF and as CSV.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

FIRST = date(2026, 8, 3)
SOME_CHANGES = date(2026, 8, 4)
RENTREE = date(2026, 9, 1)


@dataclass(slots=True)
class Population:
    """Feeds of `people` people: the first load, a night in which 0.5 % of the people changed, and 1 September
    with 12 %; and the register of their establishments."""

    people: int
    folder: Path
    told_again: int = 0

    @property
    def first(self) -> Path:
        return self._feed("1", FIRST)

    @property
    def some_changes(self) -> Path:
        return self._feed("2", SOME_CHANGES)

    @property
    def rentree(self) -> Path:
        return self._feed("3", RENTREE)

    @property
    def register(self) -> Path:
        return self.folder / "establishments.csv"

    def same_as_csv_and_aaf(self) -> tuple[Path, Path]:
        """The people of the 2nd degré on the first day: a feed, and a set as large as a delivered one."""
        words = [sys.executable, "-m", "bench.populations", str(self.folder)]
        subprocess.run(words, cwd=TOP, check=True)
        return self.folder / f"same-{FIRST}.csv", self.folder / "aaf" / f"ENT2DVA_Complet_{FIRST:%Y%m%d}"

    def again(self) -> Path:
        """Writes a feed of the first day with the same rows in a new order, so that no file comes twice."""
        self.told_again += 1
        target = self.folder / f"again{self.told_again:03}-{FIRST}.csv"
        target.with_name(f"again{self.told_again - 1:03}-{FIRST}.csv").unlink(missing_ok=True)
        _turn(self.first, target, self.told_again / (self.told_again + 1))
        return target

    def nights(self, number: int, folder: Path) -> date:
        """Writes the feeds of the first day and of `number` nights after it; each of these changes 0.5 % of
        the people or changes them back. Returns the last day."""
        folder.mkdir()
        day = FIRST
        for night in range(number + 1):
            day = FIRST + timedelta(days=night)
            source = self.some_changes if night % 2 else self.first
            rows = source.read_text(encoding="utf-8")
            other = SOME_CHANGES if night % 2 else FIRST
            target = folder / f"night-{day}.csv"
            target.write_text(rows.replace(f";date={other}", f";date={day}"), encoding="utf-8")
        return day

    def _feed(self, number: str, day: date) -> Path:
        return self.folder / f"rh-night{number}-{day}.csv"


def make_population(people: int, seed: int, folder: Path) -> Population:
    """Writes the feeds, in a process of its own, so that this one stays small (see measuring)."""
    words = [sys.executable, "-m", "bench.populations", str(people), str(seed), str(folder)]
    subprocess.run(words, cwd=TOP, check=True)
    return Population(people, folder)


def _write(people: int, seed: int, folder: Path) -> None:
    sys.path.insert(0, str(TOP / "examples"))
    from invented.changes import Night  # type: ignore[import-not-found]
    from invented.feeds import write_feeds  # type: ignore[import-not-found]

    nights = [
        Night(1, FIRST, FIRST, "first"),
        Night(2, SOME_CHANGES, SOME_CHANGES, "ordinary", 0.005 * 0.85, 0.005 * 0.15),
        Night(3, RENTREE, RENTREE, "rentree", 0.095, 0.025),
    ]
    write_feeds(folder, people, seed, nights, None)


def _turn(source: Path, target: Path, share: float) -> None:
    """Writes the same rows with the last people before the first ones; `share` says where to cut."""
    with source.open("rb") as feed, target.open("wb") as turned:
        turned.write(feed.readline())
        begin = feed.tell()
        feed.seek(int(source.stat().st_size * share))
        feed.readline()
        person = feed.readline().split(b";")[0]
        cut = feed.tell()
        while (line := feed.readline()).split(b";")[0] == person:
            cut = feed.tell()
        feed.seek(cut)
        end = b""
        for line in feed:
            if line.startswith(b"#"):
                end = line
            else:
                turned.write(line)
        feed.seek(begin)
        remaining = cut - begin
        while remaining and (block := feed.read(min(remaining, 1 << 20))):
            turned.write(block)
            remaining -= len(block)
        turned.write(end)


def _write_national(population: Population) -> None:
    sys.path.insert(0, str(TOP / "examples"))
    from invented.national import write_same_people, write_set  # type: ignore[import-not-found]

    folder = population.folder
    write_same_people(population.first, folder / f"same-{FIRST}.csv", FIRST, population.register)
    write_set("aaf", population.first, folder / "aaf", FIRST, population.register, ample=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _write_national(Population(0, Path(sys.argv[1])))
    else:
        _write(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
