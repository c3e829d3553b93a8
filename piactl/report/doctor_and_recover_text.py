"""The text output of `doctor` and of `recover`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from piactl.core.text import counted
from piactl.report.escaping_and_colours import shown

_QUIET = ("ok", "skipped")
_INDENT = " " * 14


def doctor_text(rows: Sequence[Mapping[str, str]]) -> str:
    """`rows` as in `-o json`: id, title, where, result, found, meaning, advice."""
    several = len({row["where"] for row in rows if row["where"]}) > 1
    lines = [line for row in rows for line in _check_lines(row, several=several)]
    return "\n".join([*lines, "", _check_summary(rows)]) + "\n"


def _check_lines(row: Mapping[str, str], *, several: bool) -> list[str]:
    where = f" [{shown(row['where'])}]" if several and row["where"] else ""
    first, *rest = [shown(line.strip()) for line in row["found"].split("\n")]
    lines = [f"{row['id']}  {row['result']:<8} {row['title']}{where}: {first}"]
    lines += [f"{_INDENT}{line}" for line in rest]
    if row["result"] not in _QUIET:
        lines.append(f"{_INDENT}{shown(row['meaning'])}")
    if row["advice"]:
        lines += [f"{_INDENT}-> {shown(line)}" for line in row["advice"].split("\n")]
    return lines


def _check_summary(rows: Sequence[Mapping[str, str]]) -> str:
    counts = Counter(row["result"] for row in rows)
    results = [counted(counts[name], name) for name in ("error", "warning", "note") if counts[name]]
    results += [f"{counts[name]} {name}" for name in ("skipped", "ok") if counts[name]]
    return f"{len(rows)} checks: {', '.join(results)}"


_MOST = 5


def lost_text(report: Mapping[str, Any]) -> str:
    """`report` as in `-o json`: older, first_on, writes, runs, feeds."""
    if not report["runs"] and not report["older"]:
        return "the directory lacks no run of this host\n"
    lines = report["older"].split("\n") if report["older"] else []
    lines += [
        f"serverID {row['server_id']}: {row['place']} has a write of {row['there']}, this server has "
        + (f"those up to {row['here']}" if row["here"] else "none")
        for row in report["writes"]
    ]
    if report["first_on"]:
        lines.append(
            f"The last run that it has was made on {report['first_on']}: run piactl recover --accept there "
            "first, because only the journal there has the names that later runs gave"
        )
    for run in report["runs"]:
        lines += ["", *_run(run)]
    if report["feeds"]:
        lines += ["", "Feeds to apply again, in this order:"]
        lines += [f"  {_feed(feed)}" for feed in report["feeds"]]
    lines += [
        "",
        "Restore a later backup, or name the right server first; or accept the loss and this server: "
        "piactl recover --accept --reason TEXT",
    ]
    return "".join(f"{shown(line)}\n" for line in lines)


def _run(run: Mapping[str, Any]) -> list[str]:
    end = f"ended {run['ended']}" if run["ended"] else "did not end"
    lines = [f"run {run['run']} of {run['user']}, {end}: {' '.join(run['command'])}"]
    lines += [f"  feed {_feed(feed)}" for feed in run["feeds"]]
    counts = Counter(account["state"] for account in run["accounts"])
    states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    lines.append(f"  {counted(len(run['accounts']), 'write')}{f': {states}' if states else ''}")
    lacking = [account for account in run["accounts"] if account["state"] != "present"]
    lines += [f"  {account['uid']}: {account['state']} ({_what(account)})" for account in lacking[:_MOST]]
    if len(lacking) > _MOST:
        lines.append(f"  ... and {len(lacking) - _MOST} more; all of them: -o json")
    return lines


def _what(account: Mapping[str, Any]) -> str:
    return ", ".join(account["kinds"]) or ", ".join(account["attributes"])


def _feed(feed: Mapping[str, str]) -> str:
    return f"{feed['source']}={feed['file']} (sha256 {feed['digest'][:12]}...)"
