"""The text output of `recover`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from piactl.phrase import Phrase, counted
from piactl.report.escaping import shown
from piactl.report.table import numbers
from piactl.translation import translate, translate_word

_MOST = 5
REDACTED = "[redacted]"
"""What a recorded command has in place of personal data."""


def lost_text(report: Mapping[str, Any]) -> str:
    """`report` as in `-o json`: older, first_on, writes, runs, feeds, by_hand."""
    if not report["runs"] and not report["older"]:
        return translate(Phrase("the directory lacks no run of this host")) + "\n"
    lines = translate(report["older"]).split("\n") if report["older"] else []
    lines += map(_lacking, report["writes"])
    if report["first_on"]:
        lines.append(
            Phrase(
                "The last run that it has was made on {host}: run piactl recover --accept --reason TEXT "
                "there first, because only the journal there has the names that later runs gave",
                host=report["first_on"],
            )
        )
    for run in report["runs"]:
        lines += ["", *_run(run)]
    if report["feeds"]:
        lines += ["", Phrase("Feeds to apply again, in this order:")]
        lines += [f"  {feed_words(feed)}" for feed in report["feeds"]]
    if report["by_hand"]:
        lines += ["", Phrase("Commands to give again after the feeds, in this order:")]
        lines += [f"  {command}" for command in report["by_hand"]]
        if any(REDACTED in command for command in report["by_hand"]):
            lines.append(Phrase("{word} stands for what the journal does not keep", word=REDACTED))
    lines += [
        "",
        Phrase(
            "Restore a later backup, or name the right server first; or accept the loss and this server: "
            "piactl recover --accept --reason TEXT"
        ),
    ]
    return "".join(f"{shown(translate(line))}\n" for line in lines)


def _lacking(row: Mapping[str, Any]) -> Phrase:
    facts = {"number": row["server_id"], "place": row["place"], "there": row["there"]}
    if not row["here"]:
        return Phrase("serverID {number}: {place} has a write of {there}, this server has none", **facts)
    return Phrase(
        "serverID {number}: {place} has a write of {there}, this server has those up to {here}",
        here=row["here"],
        **facts,
    )


def _run(run: Mapping[str, Any]) -> list[str]:
    facts = {"run": run["run"], "user": run["user"], "command": " ".join(run["command"])}
    head = Phrase("run {run} of {user}, did not end: {command}", **facts)
    if run["ended"]:
        head = Phrase("run {run} of {user}, ended {ended}: {command}", ended=run["ended"], **facts)
    counts = Counter(account["state"] for account in run["accounts"])
    writes: str = counted(len(run["accounts"]), "write", "writes")
    if counts:
        writes = Phrase("{writes}: {states}", writes=writes, states=numbers(dict(sorted(counts.items()))))
    lines = [*(Phrase("feed {feed}", feed=feed_words(feed)) for feed in run["feeds"]), writes]
    lacking = [account for account in run["accounts"] if account["state"] != "present"]
    lines += map(_account, lacking[:_MOST])
    if len(lacking) > _MOST:
        lines.append(Phrase("... and {number} more; all of them: -o json", number=len(lacking) - _MOST))
    return [head, *(f"  {translate(line)}" for line in lines)]


def _account(account: Mapping[str, Any]) -> Phrase:
    what = ", ".join(account["kinds"]) or ", ".join(account["attributes"])
    state = translate_word(account["state"])
    return Phrase("{uid}: {state} ({what})", uid=account["uid"], state=state, what=what)


def feed_words(feed: Mapping[str, str]) -> str:
    """The source, the file and the digest of a feed."""
    return f"{feed['source']}={feed['file']} (sha256 {feed['digest'][:12]}...)"
