"""Removes the oldest files of the journal, whole, once all their lines are old and settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from piactl.core.journal_line import Head
from piactl.journal.append_file import sync_folder
from piactl.journal.errors import refused_by_system
from piactl.journal.files import SUFFIX, chains_of, files_of, newest_line
from piactl.journal.intent_format import unsettled
from piactl.journal.query import text_of


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file of a journal, and its last line."""

    path: str
    last: Head


def old_files(path: str, before: datetime) -> list[OldFile]:
    """The oldest files of the journal at `path` and of its closed chains whose lines were all written before
    that instant, oldest first: not the file that is appended to, and none with an intent that is not
    settled. Raises JournalUnusable."""
    old = []
    for chain in chains_of(path):
        settled = unsettled(chain).clean
        for name in files_of(chain):
            last = newest_line(name)
            if chain == path == name or last is None or last.time >= text_of(before) or last.seq >= settled:
                break
            old.append(OldFile(name, last.head))
    return old


def remove_files(files: list[OldFile]) -> None:
    """Removes the files, and the folder of a closed chain with its last file. Raises JournalUnusable."""
    for old in files:
        file = Path(old.path)
        try:
            file.unlink(missing_ok=True)
            sync_folder(file.parent)
            head_file = Path(old.path + SUFFIX)
            if head_file.exists():  # the file that a closed chain ended in
                head_file.unlink()
                file.parent.rmdir()
        except OSError as refused:
            raise refused_by_system(old.path, refused) from None
