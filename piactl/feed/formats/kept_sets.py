"""Kept sets: the people of the last sets of national feeds, to which deltas are applied.

A delta lists only what changed. It is read on top of the newest older kept set of its kind, and so lists
everyone, as a complete set does. Only the directory knows which of the kept sets were applied; the limits of
the source compare them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any

from piactl.core.plan.check_feed_limits import DeltaBasis
from piactl.core.text import read_json
from piactl.host.private_files import make_private_folder, write_private

FOLDER = "sets"
_GENERATIONS = 4
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptSet:
    """A set as deltas need it. `kind` is its name without date and pieces, `structures` are UAIs by the
    numbers of structures, `gone` are the matricules that it deletes, `basis` is the set that it changes,
    `records` opens its people, one line each."""

    source: str
    kind: str
    day: date
    digest: str
    structures: Mapping[str, str]
    uais: frozenset[str] | None
    gone: frozenset[str]
    basis: DeltaBasis | None
    records: Callable[[], IO[bytes]] = field(repr=False)
    number: int = 0
    """The number in its name that orders it among the sets of its day."""

    @property
    def order(self) -> tuple[date, int]:
        return self.day, self.number

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{_kind_name(self.source, self.kind)}-{self.day:%Y%m%d}{self.number:08}-{self.digest[:32]}"

    def rows(self) -> Iterator[list[Any]]:
        """The people: number, file, line, and the values of each attribute by its name."""
        with self.records() as stream:
            for line in stream:
                yield json.loads(line)

    def _digest(self) -> str:
        with self.records() as stream:
            return _digest_of(stream)

    def pieces(self) -> Iterator[bytes]:
        """The content of its file."""
        head = {
            "source": self.source,
            "kind": self.kind,
            "day": self.day.isoformat(),
            "number": self.number,
            "digest": self.digest,
            "structures": dict(self.structures),
            "uais": sorted(self.uais) if self.uais is not None else None,
            "gone": sorted(self.gone),
            "people": self._digest(),
            "basis": [self.basis.digest, self.basis.day.isoformat(), self.basis.days] if self.basis else None,
        }
        yield json.dumps(head, ensure_ascii=False).encode() + b"\n"
        with self.records() as stream:
            while piece := stream.read(_BLOCK):
                yield piece


def every_kept_set(folder: str) -> list[KeptSet]:
    """All sets in the state folder that can be read."""
    paths = sorted((Path(folder) / FOLDER).glob("*-*-*")) if folder else []
    return [kept_set for kept_set in map(_read, paths) if kept_set is not None]


def keep_set(folder: Path, kept_set: KeptSet) -> None:
    """Writes a set to the state folder, and removes all but the last ones of its kind. Raises PiactlError."""
    folder /= FOLDER
    make_private_folder(folder)
    write_private(folder / kept_set.name, kept_set.pieces())
    paths = sorted(folder.glob(f"{_kind_name(kept_set.source, kept_set.kind)}-*"), key=lambda path: path.name)
    for old in paths[:-_GENERATIONS]:
        old.unlink(missing_ok=True)


def kept_sets(folder: str, source: str, kind: str) -> list[KeptSet]:
    """The sets of one kind in the state folder, the one that was kept last at the end; those that cannot be
    read are left out."""
    if not folder:
        return []
    files = (Path(folder) / FOLDER).glob(f"{_kind_name(source, kind)}-*")
    try:
        files_by_time = sorted(files, key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return []
    return [kept_set for kept_set in map(_read, files_by_time) if kept_set is not None]


def _read(path: Path) -> KeptSet | None:
    def records() -> IO[bytes]:
        stream = path.open("rb")
        stream.readline()
        return stream

    try:
        with path.open("rb") as stream:
            head: dict[str, Any] = read_json(stream.readline())
            if head["people"] != _digest_of(stream):
                return None
        return KeptSet(
            head["source"],
            head["kind"],
            date.fromisoformat(head["day"]),
            head["digest"],
            head["structures"],
            frozenset(head["uais"]) if head["uais"] is not None else None,
            frozenset(head["gone"]),
            _basis(head["basis"]),
            records,
            head["number"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest_of(stream: IO[bytes]) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _basis(values: list[Any] | None) -> DeltaBasis | None:
    return DeltaBasis(values[0], date.fromisoformat(values[1]), values[2]) if values else None


def _kind_name(source: str, kind: str) -> str:
    return hashlib.sha256(f"{source}\n{kind}".encode()).hexdigest()[:16]
