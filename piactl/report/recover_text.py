"""The text output of `recover`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from piactl.phrase import Phrase, counted
from piactl.report.escaping import shown

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
            Phrase(
                "The last run that it has was made on {report}: run piactl recover --accept there first, "
                "because only the journal there has the names that later runs gave",
                report=report["first_on"],
            )
        )
    for run in report["runs"]:
        lines += ["", *_run(run)]
    if report["feeds"]:
        lines += ["", Phrase("Feeds to apply again, in this order:")]
        lines += [f"  {_feed(feed)}" for feed in report["feeds"]]
    lines += [
        "",
        Phrase(
            "Restore a later backup, or name the right server first; or accept the loss and this server: "
            "piactl recover --accept --reason TEXT"
        ),
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
