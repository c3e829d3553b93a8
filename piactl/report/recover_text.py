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
