"""The folder of a rehearsal: what became of each night, and the directory at the end or where it stopped.

`directory.ldif` is written now and then and where the rehearsal stops. Its first line says how many nights
it has seen, and which feeds they refused as older, so that what was written after it does not count.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from piactl.directory.ldif import ldif_entry, read_ldif
from piactl.directory.port import RawEntry
from piactl.directory.simulated_directory import SimulatedDirectory
from piactl.errors import UsageError
from piactl.flows.plan.inputs.older_feeds import read_noted, write_noted
from piactl.private_files import make_private_folder, write_private

_FACTS, _NIGHTS, _DIRECTORY = "rehearsal.json", "nights.ndjson", "directory.ldif"
_MARK = "# rehearsed: "
_CHANGING = frozenset({"entrycsn", "modifiersname"})
"""Attributes that say when and by whom, which no comparison looks at."""


class RehearsalFolder:
    """The files of one rehearsal in a folder, made with mode 0700 if it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nights: list[bytes] = []

    @property
    def state(self) -> Path:
        """The state folder of the rehearsed nights."""
        return self.folder / "state"

    def begin(self, facts: Mapping[str, Any], directory: SimulatedDirectory) -> int:
        """Begins the rehearsal that `facts` describe, or goes on with it: the number of nights that are done,
        whose directory is read into `directory`. Raises UsageError if the folder has another rehearsal or
        other files, PiactlError if it cannot be written."""
        known = self._known()
        if known is None:
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise UsageError(f"--out {self.folder}: is no folder of a rehearsal; name a new one")
            make_private_folder(self.folder)
            make_private_folder(self.state)
            write_private(self.folder / _FACTS, _text(facts))
            return 0
        if known != json.loads(_text(facts)):
            other = ", ".join(name for name in facts if known.get(name) != json.loads(_text(facts[name])))
            raise UsageError(
                f"--out {self.folder}: has a rehearsal with other inputs ({other}); name a new folder"
            )
        done, older = self._done()
        write_noted(self.state, older.encode(errors="surrogateescape"))
        if done:
            directory.load(read_ldif(self.folder / _DIRECTORY))
            self._nights = self._lines()[:done]
        return done

    def add(self, night: Mapping[str, Any]) -> None:
        self._nights.append(_text(night))

    def save(self, directory: SimulatedDirectory) -> None:
        """Writes what became of the nights so far, and the directory after them."""
        write_private(self.folder / _NIGHTS, self._nights)
        write_private(self.folder / _DIRECTORY, self._ldif(directory.entries()))

    def _ldif(self, entries: Iterable[RawEntry]) -> Iterator[bytes]:
        older = read_noted(self.state)
        yield _MARK.encode() + _text(
            {"nights": len(self._nights), "older": older.decode(errors="surrogateescape")}
        )
        for entry in entries:
            yield ldif_entry(entry.dn, entry.values)

    def nights(self) -> list[dict[str, Any]]:
        """What became of each night. Raises UsageError if the folder has no rehearsal."""
        if self._known() is None:
            raise UsageError(f"{self.folder}: has no rehearsal; make one with: piactl rehearse --out FOLDER")
        return [json.loads(line) for line in self._lines()]

    def contents(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each entry of the directory with a hash of the values of each attribute."""
        for entry in read_ldif(self.folder / _DIRECTORY):
            yield entry.dn, contents_of(entry)

    def entries(self, dns: Collection[str]) -> dict[str, RawEntry]:
        """The entries of the directory with these DNs."""
        return {entry.dn: entry for entry in read_ldif(self.folder / _DIRECTORY) if entry.dn in dns}

    def _known(self) -> dict[str, Any] | None:
        try:
            known: dict[str, Any] = json.loads((self.folder / _FACTS).read_bytes())
        except (OSError, ValueError):
            return None
        return known

    def _done(self) -> tuple[int, str]:
        with suppress(OSError, ValueError, KeyError), (self.folder / _DIRECTORY).open("rb") as stream:
            head = json.loads(stream.readline().decode().removeprefix(_MARK))
            return head["nights"], head["older"]
        return 0, ""

    def _lines(self) -> list[bytes]:
        with suppress(OSError):
            return (self.folder / _NIGHTS).read_bytes().splitlines(keepends=True)
        return []


def contents_of(entry: RawEntry) -> dict[str, int]:
    return {
        name: hash(tuple(sorted(values)))
        for name, values in entry.values.items()
        if name.lower() not in _CHANGING
    }


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"
