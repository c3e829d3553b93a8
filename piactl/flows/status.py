"""The status view: the last runs, the age of the feeds, open decisions, what ends soon, the room of the
guards, and what the dates of the coming days change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.core.plan.losses import losses_before
from piactl.core.plan.run_state import Memory, RunStatus
from piactl.core.rules.desired import Rules
from piactl.core.text import iso
from piactl.directory.store.records import DATA, Places, Record, stored
from piactl.directory.store.run_records import author_of_run, read_runs
from piactl.directory.store.state_records import read_memory
from piactl.flows.apply.approvals import broken_glass, open_approvals
from piactl.flows.apply.hooks import events_waiting
from piactl.flows.apply.run_lock import read_lock
from piactl.flows.helpdesk.second_person import Requests
from piactl.flows.night_view import DAYS, coming_nights, losses_in_window
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.queries.accounts import AccountStore
from piactl.flows.queries.overrides import exceptions_by_hand, overrides_in_force

RUNS = 5


def status_view(
    store: AccountStore,
    rules: Callable[[date], Rules],
    settings: Settings,
    now: datetime,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """One object for output; `say` gets the reasons of accounts that cannot be read."""
    reader, state, today = store.reader, settings.directory.state, store.as_of
    usual = rules(today)
    policy = usual.policy
    memory = read_memory(reader, state, usual.keys, store.unreadable, due=today).memory
    requests = Requests(reader, state, usual.keys, store.unreadable, policy.timezone)
    runs = read_runs(reader, state, store.unreadable, now)
    soon = (today + timedelta(days=DAYS)).isoformat()
    last = memory.last
    accounts = ManagedAccounts(reader, settings.directory, store.encoding.fitted_to(reader))
    return {
        "as_of": today.isoformat(),
        "accounts": last.census.total if last else 0,
        "running": _running(store, state),
        "runs": [_run(record) for record in runs[:RUNS]],
        "feeds": [*feed_ages(settings, memory, today)],
        "approvals": [
            *open_approvals(reader, settings, usual.keys, store.unreadable, runs, now, policy.approvals.hours)
        ],
        "refused_plan": _refused_plan(runs, settings),
        "break_glass": [
            {
                **{name: run.get(name) for name in ("run", "as_of", "break_glass")},
                "author": author_of_run(run),
            }
            for run in broken_glass(runs, now)
        ],
        "waiting": _waiting(memory, settings, len(requests.open(now)), today),
        "overrides_ending": [row for row in overrides_in_force(store, say) if row["until"] <= soon],
        "exceptions_ending": [row for row in exceptions_by_hand(store, say) if row["end"] <= soon],
        "guards": [
            *losses_in_window(policy, last, losses_before(last.losses, last.unfinished, {}, today), today)
        ]
        if last
        else [],
        "coming": [*coming_nights(accounts, rules, settings, store.unreadable, today)],
    }


def _running(store: AccountStore, state: str) -> dict[str, str] | None:
    dn = Places(state).lock
    data = stored(store.reader.read(dn, [DATA]))
    held = store.unreadable.read(dn, data, read_lock) if data is not None else None
    if held is None:
        return None
    holder = held.holder
    return {"run": holder.run, "who": holder.who, "host": holder.host, "since": held.since}


def _run(record: Record) -> dict[str, Any]:
    names = ("run", "command", "as_of", "status", "started", "ended", "outcomes", "held")
    return {name: record[name] for name in names if record.get(name) is not None}


def _refused_plan(runs: Sequence[Record], settings: Settings) -> dict[str, Any] | None:
    """The last plan of a run, if it was refused and waits for a decision; with the file where this user
    keeps it, "" where it is elsewhere."""
    last: Record = next((run for run in runs if run.get("plan")), {})
    if last.get("status") != RunStatus.REFUSED:
        return None
    file = Path(settings.kept_plan(last["plan"]))
    return {
        "plan": last["plan"],
        "run": last["run"],
        "why": str(last.get("note") or ""),
        "file": str(file) if file.is_file() else "",
    }


def feed_ages(settings: Settings, memory: Memory, today: date) -> Iterator[dict[str, Any]]:
    """The last feed of each source, with its age in days."""
    for name, source in settings.sources.items():
        one = memory.sources.get(name)
        day = one.record.date if one else None
        yield {
            "source": name,
            "date": iso(day),
            "rows": one.record.rows if one else 0,
            "days": (today - day).days if day else None,
            "old": source.is_old(day, today),
        }


def _waiting(memory: Memory, settings: Settings, requests: int, today: date) -> dict[str, int]:
    cases = [case for case in memory.cases.values() if case.open]
    return {
        "cases": len(cases),
        "cases_soon": sum(case.urgent(settings.matching, today) for case in cases),
        "cases_overdue": sum(case.overdue(settings.matching, today) for case in cases),
        "drift": len(memory.drift),
        "vanished": len(memory.vanished),
        "requests": requests,
        "events": events_waiting(settings),
    }
