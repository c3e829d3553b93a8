"""What `status` shows, and what the page about one night shows: runs, feeds, open decisions, what ends soon,
the room of the guards, and the coming days."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from piactl.ask.forecast_nights import Forecast, day_row, first_night
from piactl.ask.list_exceptions import current_overrides, exceptions_by_hand
from piactl.core.model.establishment import Register
from piactl.core.model.policy import Policy
from piactl.core.model.settings import Settings
from piactl.core.plan.change import HELD, WINDOW, Kind
from piactl.core.plan.check_guards import ALL, guards_on
from piactl.core.plan.plan import Plan, ReadyPlan
from piactl.core.plan.recent_losses import losses_before, losses_since
from piactl.core.plan.state_between_runs import LastRun, Memory, RunStatus
from piactl.core.rules.desired_account import Rules
from piactl.core.text import iso
from piactl.directory.store.record_entries import DATA, Places, Record, UnreadableRecords, stored
from piactl.directory.store.run_records import author_of_run, read_runs
from piactl.directory.store.state_records import read_memory
from piactl.edits.account_store import AccountStore
from piactl.errors import DirectoryOlder, JournalMissing
from piactl.helpdesk.second_person import Requests
from piactl.journal import who
from piactl.phrase import counted, first_line
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.signed_plan_file import plan_document
from piactl.runs.approvals import broken_glass, open_approvals
from piactl.runs.hooks import events_waiting
from piactl.runs.known_server import compare_runs, meet
from piactl.runs.run_lock import read_lock

RUNS = 5


def status_view(
    store: AccountStore, settings: Settings, now: datetime, say: Callable[[str], None]
) -> dict[str, Any]:
    """One object for output; `say` gets the reasons why accounts cannot be read."""
    reader, state, today = store.reader, settings.directory.state, store.as_of
    usual, policy = store.rules, store.policy
    memory = read_memory(reader, state, usual.keys, store.unreadable, due=today).memory
    requests = Requests(reader, state, usual.keys, store.unreadable, policy.timezone)
    runs = read_runs(reader, state, store.unreadable, now)
    soon = (today + timedelta(days=DAYS)).isoformat()
    last = memory.last
    approvals = [
        *open_approvals(reader, settings, usual.keys, store.unreadable, runs, now, policy.approvals.hours)
    ]
    rejected = {answer["plan"] for answer in approvals if answer["verdict"] == "rejected"}
    return {
        "as_of": today.isoformat(),
        "accounts": last.census.total if last else 0,
        "lost": _lost(store, settings, now),
        "running": _running(store, state),
        "runs": [_run(record) for record in runs[:RUNS]],
        "feeds": [*feed_ages(settings, memory, today)],
        "approvals": approvals,
        "refused_plan": _refused_plan(runs, settings, rejected),
        "refused_feeds": _refused_feeds(runs),
        "break_glass": [
            {
                **{name: run.get(name) for name in ("run", "as_of", "break_glass")},
                "author": author_of_run(run),
            }
            for run in broken_glass(runs, now)
        ],
        "waiting": _waiting(memory, settings, len(requests.open(now)), today),
        "overrides_ending": [row for row in current_overrides(store, say) if row["until"] <= soon],
        "exceptions_ending": [row for row in exceptions_by_hand(store, say) if row["end"] <= soon],
        "guards": [
            *losses_in_window(
                policy, last.census.total, losses_before(last.losses, last.unfinished, {}, today), today
            )
        ]
        if last
        else [],
        "coming": [*coming_nights(store.managed, store.rules_on, settings, store.unreadable, today)],
    }


def _lost(store: AccountStore, settings: Settings, now: datetime) -> dict[str, str] | None:
    """Why the directory and the journal of this host do not agree, as after a restore, and the command to
    look at; None if they do."""
    try:
        compare_runs(meet(store.reader, settings), who().host, settings, store.unreadable, now)
    except DirectoryOlder as error:
        return {"why": first_line(str(error)), "see": "piactl recover"}
    except JournalMissing as error:
        return {"why": first_line(str(error)), "see": "piactl doctor"}
    return None


def _running(store: AccountStore, state: str) -> dict[str, str] | None:
    dn = Places(state).lock
    data = stored(store.reader.read(dn, [DATA]))
    lock = store.unreadable.read(dn, data, read_lock) if data is not None else None
    if lock is None:
        return None
    holder = lock.holder
    return {"run": holder.run, "who": holder.who, "host": holder.host, "since": lock.since}


def _run(record: Record) -> dict[str, Any]:
    names = ("run", "command", "as_of", "status", "started", "ended", "outcomes", "held")
    return {name: record[name] for name in names if record.get(name) is not None}


def _refused_plan(
    runs: Sequence[Record], settings: Settings, rejected: Collection[str]
) -> dict[str, Any] | None:
    """The last plan of a run, if it was refused and waits for a decision, and is not `rejected`; with the
    file where this user keeps it, "" if it is elsewhere."""
    last: Record = next((run for run in runs if run.get("plan")), {})
    if last.get("status") != RunStatus.REFUSED or last["plan"] in rejected:
        return None
    file = Path(settings.kept_plan(last["plan"]))
    return {
        "plan": last["plan"],
        "run": last["run"],
        "why": str(last.get("note") or ""),
        "file": str(file) if file.is_file() else "",
    }


def _refused_feeds(runs: Sequence[Record]) -> dict[str, Any] | None:
    """The files that the last run with a plan or a feed refused, with the codes, and the run whose record
    says why."""
    last: Record = next((run for run in runs if run.get("plan") or run.get("refused_feeds")), {})
    if not last.get("refused_feeds"):
        return None
    feeds = [{name: feed[name] for name in ("source", "file", "why")} for feed in last["refused_feeds"]]
    return {"run": last["run"], "feeds": feeds}


def feed_ages(settings: Settings, memory: Memory, today: date) -> Iterator[dict[str, Any]]:
    """The last feed of each source, with its age in days."""
    for name, source in settings.sources.items():
        source_memory = memory.sources.get(name)
        day = source_memory.record.date if source_memory else None
        yield {
            "source": name,
            "date": iso(day),
            "rows": source_memory.record.rows if source_memory else 0,
            "days": (today - day).days if day else None,
            "old": source.is_old(day, today),
        }


def _waiting(memory: Memory, settings: Settings, requests: int, today: date) -> dict[str, int]:
    cases = [case for case in memory.cases.values() if case.open]
    return {
        "cases": len(cases),
        "cases_soon": sum(case.urgent(settings.matching, today) for case in cases),
        "cases_overdue": sum(case.overdue(settings.matching, today) for case in cases),
        "cases_wrong": sum(case.waits_for_hr for case in memory.cases.values()),
        "drift": len(memory.drift),
        "vanished": len(memory.vanished),
        "requests": requests,
        "events": events_waiting(settings),
    }


DAYS = 7
"""The days ahead that the page shows."""

_UAI = re.compile(r"\b[0-9]{7}[A-Z]\b")


def night_view(
    record: Mapping[str, Any],
    ready: ReadyPlan | None,
    policy: Policy,
    register: Register,
    held_since: Mapping[str, date],
    coming: Sequence[Mapping[str, Any]] | None,
    error: str = "",
) -> dict[str, Any]:
    """One object for the page. `record` is that of the run, `ready` its plan if it is known, `error` what
    ended it, `held_since` the first day of each hold by uid or matricule, `coming` the coming nights, None if
    they are not known."""
    document = plan_document(ready) if ready else None
    return {
        "record": record,
        "timezone": policy.timezone,
        "error": error,
        "plan": document,
        # the limits of another policy are not known
        "guards": [*_guards(ready.plan, ready.last, policy)]
        if ready and ready.plan.basis.policy == policy.digest
        else [],
        "establishments": [*_establishments(document["changes"], register)] if document else [],
        "held_since": {name: day.isoformat() for name, day in held_since.items()},
        "coming": coming,
    }


def coming_nights(
    accounts: ManagedAccounts,
    rules: Callable[[date], Rules],
    settings: Settings,
    unreadable: UnreadableRecords,
    today: date,
) -> Iterator[Mapping[str, Any]]:
    """The nights of the next DAYS days in which dates alone change something; see `day_row`."""
    first = first_night(accounts, unreadable, today)
    forecast = Forecast(accounts, rules, settings, unreadable, first, first + timedelta(days=DAYS))
    return (day_row(night) for night in forecast.nights() if night.plan.changes)


def losses_in_window(
    policy: Policy, accounts: int, losses: Mapping[date, Mapping[str, int]], day: date
) -> Iterator[dict[str, Any]]:
    """The losses of the last days beside the limit of the guard that counts them together, among so many
    accounts."""
    guards = guards_on(policy, day)
    counts = losses_since(losses, day - timedelta(days=policy.window - 1))
    for kind, window in WINDOW.items():
        limit = guards[window][1].overall if window in guards else None
        if limit is not None:
            most = limit.most(accounts)
            yield {"kind": kind, "days": policy.window, "accounts": counts[kind], "limit": most}


def _guards(plan: Plan, last: LastRun | None, policy: Policy) -> Iterator[dict[str, Any]]:
    """Kind, scope, accounts and limit of the guards that a plan breaks, then of those that it comes near to,
    those with the largest share of the limit first."""
    for refusal in plan.refusals:
        yield {
            "kind": refusal.kind,
            "scope": refusal.scope,
            "accounts": refusal.found,
            "limit": refusal.limit.most(refusal.of),
            "broken": True,
        }
    day, broken_kinds = plan.basis.as_of, {refusal.kind for refusal in plan.refusals}
    counts = {**plan.summary, HELD: len(plan.holds)}
    before = after = last.census.total if last else 0
    if plan.counted:  # what the guards counted, among the accounts before the plan
        counted_by = {kind: plan.counted[kind] for kind in counts if kind in plan.counted}
        counts = {kind: accounts for kind, (accounts, _) in counted_by.items()}
        before = max((of for _, of in counted_by.values()), default=after)
    rows = []
    for kind, (_, guard) in guards_on(policy, day).items():
        if counts.get(kind) and guard.overall is not None and kind not in broken_kinds:
            most = guard.overall.most(before)
            # above a limit that is not broken: approved, or a first load
            rows += [(kind, ALL, counts[kind], most)] if counts[kind] <= most else []
    # as `status` shows them, which knows nothing of a plan that was not carried out
    accounts_now = before if plan.refusals else after
    for row in losses_in_window(policy, accounts_now, last.losses, day) if last else ():
        if row["accounts"] and WINDOW[row["kind"]] not in broken_kinds:
            rows.append(
                (WINDOW[row["kind"]], counted(row["days"], "day", "days"), row["accounts"], row["limit"])
            )
    for kind, scope, accounts, limit in sorted(rows, key=lambda row: -row[2] / max(1, row[3])):
        yield {"kind": kind, "scope": scope, "accounts": accounts, "limit": limit, "broken": False}


def _establishments(changes: Iterable[Mapping[str, Any]], register: Register) -> Iterator[dict[str, Any]]:
    """The accounts by kind of change, for each establishment that their changes name, the most first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seen: set[tuple[str, str, str]] = set()
    for change in changes:
        if change["kind"] == Kind.GROUP.value:
            continue
        before, after = change["before"] or {}, change["after"]
        named = after.get("uai") or f"{before} {after} {change['reason']}"
        for uai in dict.fromkeys(_UAI.findall(str(named))):
            key = uai, change["kind"], change["uid"]
            if key not in seen:
                seen.add(key)
                counts[uai][change["kind"]] += 1
    for uai, kinds in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0])):
        name = register[uai].name if uai in register else ""
        yield {"uai": uai, "name": name, "kinds": dict(kinds)}
