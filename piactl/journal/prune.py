"""Removes the oldest files of the journal, whole, once all their lines are old and settled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from piactl.host.private_files import sync_folder
from piactl.journal.files import SUFFIX, chains_of, files_of, newest_line
from piactl.journal.intent_format import unsettled
from piactl.journal.query import text_of
from piactl.journal.unusable import refused_by_system


def old_files(path: str, before: datetime) -> list[str]:
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
            old.append(name)
    return old


def remove_files(files: Iterable[str]) -> None:
    """Removes the files, and the folder of a closed chain with its last file. Raises JournalUnusable."""
    for name in files:
        file, head_file = Path(name), Path(name + SUFFIX)
        try:
            file.unlink(missing_ok=True)
            sync_folder(file.parent)
            if head_file.exists():  # the file that a closed chain ended in
                head_file.unlink()
                file.parent.rmdir()
        except OSError as refused:
            raise refused_by_system(name, refused) from None
