"""Lists the accounts at the end of a night, so that the next one, on any host, sees which entry is gone."""

from __future__ import annotations

from collections.abc import Collection

from piactl.directory.store.account_list import account_list_writes
from piactl.flows.apply.run import Run, must


def list_accounts(run: Run, released: Collection[str] = ()) -> None:
    """Raises PiactlError. `released` are accounts that an undo put out of management."""
    directory = run.settings.directory
    for write in account_list_writes(run.writer, directory, run.unreadable, released):
        run.lock.keep()
        must(run.writer, write)
