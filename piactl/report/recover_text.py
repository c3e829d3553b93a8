"""The output of `recover`: the runs that the directory lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from piactl.core.text import counted
from piactl.report.escaping import shown

_MOST = 5


def lost_text(found: Mapping[str, Any]) -> str:
    """`found` as in `-o json`: older, runs, feeds."""
    if not found["runs"] and not found["older"]:
        return "the directory lacks no run of this host\n"
    lines = [found["older"]] if found["older"] else []
    for run in found["runs"]:
        lines += ["", *_run(run)]
    if found["feeds"]:
        lines += ["", "Feeds to apply again, in this order:"]
        lines += [f"  {_feed(feed)}" for feed in found["feeds"]]
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


def comparison_text(found: Mapping[str, Any]) -> str:
    """`found` as in `doctor --compare -o json`."""
    lines = [f"{' and '.join(found['servers'])}, compared as {found['identity']}"]
    if not found["level"]:
        lines.append("replication has not ended: the contextCSN of the servers differs")
    for kind, number in sorted(found["entries"].items()):
        lines.append(f"  {counted(number, kind)}: {found['differing'].get(kind, 0) or 'none'} differing")
    if found["coming"]:
        lines.append(f"  {found['coming']} of the differing entries are still to come by replication")
    lines += [f"  {_difference(one)}" for one in found["differences"]]
    left = sum(found["differing"].values()) - len(found["differences"])
    if left > 0:
        lines.append(f"  ... and {left} more")
    if found["differing"] and not found["coming"]:
        first, other = found["servers"][:2]
        lines.append(f"To give {first} what {other} has: piactl recover --from {other}")
    return "".join(f"{shown(line)}\n" for line in lines)


def _difference(one: Mapping[str, Any]) -> str:
    words = [f"lacking on {', '.join(one['lacking'])}"] if one["lacking"] else []
    words += [", ".join(one["attributes"])] if one["attributes"] else []
    coming = " (still to come)" if one["coming"] else ""
    return f"{one['dn']}: {'; '.join(words)}{coming}"


def mending_text(found: Mapping[str, Any]) -> str:
    """`found` as in `recover --from SERVER -o json`."""
    if not found["writes"] and not found["left"]:
        return f"{found['to']} has all that {found['from']} has\n"
    lines = [f"{found['to']} would get from {found['from']}:"]
    counts = Counter((one["kind"], one["op"]) for one in found["writes"])
    words = {"add": "to add", "modify": "to change"}
    lines += [f"  {counted(number, kind)} {words[op]}" for (kind, op), number in sorted(counts.items())]
    lines += [f"  {one['dn']}: {', '.join(one['attributes'])}" for one in found["writes"][:_MOST]]
    if len(found["writes"]) > _MOST:
        lines.append(f"  ... and {len(found['writes']) - _MOST} more; all of them: -o json")
    lines += [f"{one['dn']}: {one['why']}" for one in found["left"]]
    lines += [f"{uid}: needs a new activation password" for uid in found["passwords"]]
    return "".join(f"{shown(line)}\n" for line in lines)
