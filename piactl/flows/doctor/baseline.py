"""The baseline of doctor, in the state folder: what it found in order. The next doctor examines only what is
new.

It saves time and decides nothing: if a remembered fact no longer holds or is missing, everything is examined.
A check that finds a fault remembers nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.core.text import read_json, utc_instant
from piactl.directory import filters
from piactl.directory.port import Reader
from piactl.directory.store.accounts import IN_ACCOUNTS, written_after
from piactl.errors import PiactlError
from piactl.private_files import write_private

FILE = "doctor.json"
_MARGIN = timedelta(minutes=5)
"""How far the clocks of this host and of the server may differ."""


class Baseline:
    """`before` is what the last doctor remembered, `now` what this one does: JSON values by the check.
    Entries that were written before `since` are as the last doctor saw them; it is None if that is
    unknown."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(settings.state_folder)
        self.before: Mapping[str, Any] = {}
        self.now: dict[str, Any] = {}
        self.since: datetime | None = None
        with suppress(OSError, ValueError, RecursionError):
            content = read_json((self._folder / FILE).read_bytes())
            self.before = content if isinstance(content, dict) else {}

    def look_at(self, reader: Reader, suffix: str, now: datetime) -> None:
        """Finds out what was written since the last doctor asked this server. Called before anything is
        read."""
        entry = reader.read(suffix, ["contextCSN"])
        values = [csn.decode() for csn in (entry.values.get("contextCSN", ()) if entry else ())]
        csns = {csn.split("#")[2]: csn for csn in values if csn.count("#") == 3}
        server = reader.facts().uri
        self.now["asked"] = {"server": server, "at": now.isoformat(), "csns": csns}
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            before = self.before["asked"]
            instant = datetime.fromisoformat(before["at"])
            if before["server"] == server and instant <= now:  # else the clock was set back
                # what another server wrote earlier may have come later
                moved = [was for sid, was in before["csns"].items() if csns.get(sid) != was]
                older = [utc_instant(csn.partition("#")[0]) for csn in moved]
                new = csns.keys() - before["csns"].keys()
                self.since = None if new else min([instant - _MARGIN, *older])

    def accounts(self, check: str, facts: str = "") -> str:
        """The filter of the accounts that a check has to look at: all, unless it found them in order before,
        with the same facts."""
        fine = self.before.get("fine")
        if self.since is None or not isinstance(fine, dict) or fine.get(check) != facts:
            return IN_ACCOUNTS
        return filters.all_of(IN_ACCOUNTS, written_after(self.since))

    def in_order(self, check: str, facts: str = "") -> None:
        """Remembers that a check found all accounts in order."""
        self.now.setdefault("fine", {})[check] = facts

    def store(self) -> None:
        """Writes what this doctor remembers, if this user owns the state folder."""
        if self.now == self.before or not self._folder.is_dir():
            return
        if self._folder.stat().st_uid == os.geteuid():
            with suppress(PiactlError):  # D06 says what is wrong with the folder
                write_private(self._folder / FILE, json.dumps(self.now).encode())
