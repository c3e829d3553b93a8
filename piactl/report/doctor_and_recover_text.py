"""The text output of `doctor`, of `doctor --compare` and of `recover`."""

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
    """`report` as in `-o json`: older, runs, feeds."""
    if not report["runs"] and not report["older"]:
        return "the directory lacks no run of this host\n"
    lines = [report["older"]] if report["older"] else []
    for run in report["runs"]:
        lines += ["", *_run(run)]
    if report["feeds"]:
        lines += ["", "Feeds to apply again, in this order:"]
        lines += [f"  {_feed(feed)}" for feed in report["feeds"]]
    lines += ["", "Restore a later backup, or accept the loss: piactl recover --accept --reason TEXT"]
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


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """`comparison` as in `doctor --compare -o json`."""
    lines = [f"{' and '.join(comparison['servers'])}, compared as {comparison['identity']}"]
    if not comparison["level"]:
        lines.append("replication is not complete: the contextCSN of the servers differs")
    for kind, number in sorted(comparison["entries"].items()):
        lines.append(f"  {counted(number, kind)}: {comparison['differing'].get(kind, 0) or 'none'} differing")
    if comparison["coming"]:
        lines.append(f"  {comparison['coming']} of the differing entries are not yet replicated")
    lines += [f"  {_difference(entry)}" for entry in comparison["differences"]]
    omitted = sum(comparison["differing"].values()) - len(comparison["differences"])
    if omitted > 0:
        lines.append(f"  ... and {omitted} more")
    if comparison["differing"] and not comparison["coming"]:
        first, other = comparison["servers"][:2]
        lines.append(f"To copy the entries of {other} to {first}: piactl recover --from {other}")
    return "".join(f"{shown(line)}\n" for line in lines)


def _difference(entry: Mapping[str, Any]) -> str:
    words = [f"lacking on {', '.join(entry['lacking'])}"] if entry["lacking"] else []
    words += [", ".join(entry["attributes"])] if entry["attributes"] else []
    coming = " (not yet replicated)" if entry["coming"] else ""
    return f"{entry['dn']}: {'; '.join(words)}{coming}"


def mending_text(mending: Mapping[str, Any]) -> str:
    """`mending` as in `recover --from SERVER -o json`."""
    if not mending["writes"] and not mending["left"]:
        return f"{mending['to']} has all entries of {mending['from']}\n"
    lines = [f"{mending['to']} would get from {mending['from']}:"]
    counts = Counter((entry["kind"], entry["op"]) for entry in mending["writes"])
    words = {"add": "to add", "modify": "to change"}
    lines += [f"  {counted(number, kind)} {words[op]}" for (kind, op), number in sorted(counts.items())]
    lines += [f"  {entry['dn']}: {', '.join(entry['attributes'])}" for entry in mending["writes"][:_MOST]]
    if len(mending["writes"]) > _MOST:
        lines.append(f"  ... and {len(mending['writes']) - _MOST} more; all of them: -o json")
    lines += [f"{entry['dn']}: {entry['why']}" for entry in mending["left"]]
    lines += [f"{uid}: needs a new activation password" for uid in mending["passwords"]]
    return "".join(f"{shown(line)}\n" for line in lines)
