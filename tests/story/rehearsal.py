"""Nights of invented people in a directory in memory, by the functions that plan a real night.

They are cheap enough for months of nights: only the feeds are written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from piactl.cli.framework.configuration import open_configuration
from piactl.core.model.periods import in_period
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import LastRun
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.record_entries import DATA, Places, record_write
from piactl.directory.store.typed_records import to_json
from piactl.feed.read_feed import read_feed
from piactl.planning.merge_feeds import Accepted, SourcedFeed
from tests.planning import EmptyDirectory, plan_at_once

from .population import TOP


class Rehearsal:
    """A configuration with the shipped policy, full sources (only `rh` unless others are given) with the
    default limits of a feed and the shipped ones in the rentrée, delta sources, and a directory in memory.
    The files of a source are NAME-*.csv."""

    def __init__(
        self, folder: Path, register: Path, full: Sequence[str] = ("rh",), deltas: Sequence[str] = ()
    ) -> None:
        shutil.copy(TOP / "examples" / "policy.yaml", folder)
        if register != folder / "establishments.csv":
            shutil.copy(register, folder)
        shipped = (TOP / "examples" / "piactl.yaml").read_text(encoding="utf-8")
        before, epp = shipped.split("sources:\n")[0], shipped.partition("  epp:\n")[2].partition("\n\n")[0]
        made = [f"  {name}:\n" + epp.replace('"epp-*.csv"', f'"{name}-*.csv"') + "\n" for name in full]
        made += [f'  {name}: {{kind: delta, trailer: true, files: ["{name}-*.csv"]}}\n' for name in deltas]
        (folder / "piactl.yaml").write_text(f"{before}sources:\n{''.join(made)}", encoding="utf-8")
        keys = folder / "secrets" / "keys"
        keys.parent.mkdir(mode=0o700, parents=True)
        keys.write_text("k1 " + "ab" * 32 + "\n")
        keys.chmod(0o600)
        self.folder = folder
        self.site = open_configuration(folder / "piactl.yaml")
        self.directory = SimulatedWrites(EmptyDirectory())

    def plan(self, feeds: Path | Sequence[Path], day: date, *, accept: bool = False) -> ReadyPlan:
        """The plan of a night with one feed or several. Raises FeedRefused."""
        sourced = []
        for path in [feeds] if isinstance(feeds, Path) else feeds:
            source = self.site.settings.sources[path.name.partition("-")[0]]
            sourced.append(SourcedFeed(read_feed(path, source), source, path))
        accepted = Accepted([sourced_feed.feed.facts.digest for sourced_feed in sourced] if accept else [])
        return plan_at_once(self.directory, self.site, sourced, day, accepted)

    def period(self, day: date) -> str:
        """The period of the guards on that day; "ordinary" if there is none."""
        periods = self.site.policy.periods
        return next((p.name for p in periods if in_period(day, p.first, p.last)), "ordinary")

    def make(self, ready: ReadyPlan, day: date) -> None:
        """Changes the directory as the night would."""
        list(self.directory.write(ready.writes))
        list(self.directory.write(ready.records))
        assert ready.last is not None
        last = replace(ready.last, run=f"night-{day}")
        list(self.directory.write(self._run_record(last)))

    def _run_record(self, last: LastRun) -> Iterator:
        dn = Places(self.site.settings.directory.state).last_run
        entry = self.directory.read(dn, [DATA])
        write = record_write(dn, entry.first(DATA) if entry else None, to_json(last))
        if write is not None:
            yield write
