"""`feed check|rejects`: checks an HR file without a directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.context import put, put_text, say, this_configuration, today
from piactl.cli.framework.options import PlanLayout, RunOutput
from piactl.core.plan.run_state import Memory
from piactl.core.text import counted
from piactl.errors import Exit, FeedRefused
from piactl.private_files import refuse_output
from piactl.report.escaping import shown

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.flows.plan.inputs.merge_feeds import SourcedFeed


File = Annotated[str, typer.Argument(metavar="FEED", help="A feed file, PATH or SOURCE=PATH.")]


def check(
    file: File,
    output: RunOutput = PlanLayout.TEXT,
) -> int:
    """Check a feed against the layout of its source and the policy, and report every problem.

    Needs no directory, so the feed is not compared with the last one. Exit codes: 0 usable, 5 rows are
    rejected, 6 the whole feed is refused.
    """
    from piactl.flows.plan.inputs.load_feeds import check_limits

    configuration = this_configuration()
    try:
        sourced = _read(file, configuration)
        check_limits([sourced], Memory(), {}, today(configuration), ())
    except FeedRefused as error:
        if output is PlanLayout.JSON:
            _put(file=error.file, status="refused", refusals=error.refusals)
        raise
    feed, rejections = sourced.feed, sorted(sourced.rejections, key=lambda r: (r.line, r.column))
    facts = feed.facts
    held: dict[str | None, str] = {r.matricule: r.message for r in sourced.judgement}
    held.update(feed.held)
    document: dict[str, Any] = {
        "status": "partly usable" if rejections else "usable",
        "file": str(sourced.path),
        "source": facts.source,
        "digest": facts.digest,
        "date": facts.date.isoformat() if facts.date else None,
        "full": facts.full,
        "rows": facts.rows,
        "people": facts.people,
        "unattributed": facts.unattributed,
        "rejections": [
            {
                "file": r.file,
                "line": r.line,
                "column": r.column,
                "code": r.code,
                "message": r.message,
                "matricule": r.matricule,
            }
            for r in rejections
        ],
        "held": held,
        "remarks": [remark.message for remark in feed.remarks],
    }
    if output is PlanLayout.JSON:
        _put(**document)
    else:
        _print(document)
    return int(Exit.PARTLY if rejections else Exit.DONE)


def rejects(
    file: File,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write them (mode 0600).")],
) -> int:
    """Write the rejected rows of a feed to a file, without NUMENs, with the reasons in a further column.

    Correct the file and feed it again: it counts as an addition to the feed, never as a full feed. A row
    without a NUMEN changes no NUMEN.
    """
    from piactl.feed.rejects_file import write_rejects
    from piactl.feed.row_index import with_rejections

    refuse_output("--out", out)
    sourced = _read(file, this_configuration())
    feed = with_rejections(sourced.feed, sourced.path, sourced.source, sourced.judgement)
    count = write_rejects(Path(out), feed, sourced.source)
    say(f"{counted(count, 'row')} written to {out}" if count else "no row is rejected; nothing was written")
    return int(Exit.DONE)


def _read(file: str, configuration: Configuration) -> SourcedFeed:
    from piactl.flows.plan.inputs.load_feeds import read_feeds
    from piactl.flows.plan.inputs.merge_feeds import judged

    return judged(
        read_feeds([file], configuration.settings.sources)[0], configuration.policy, configuration.register
    )


def _put(refusals: Sequence[tuple[str, str]] = (), **facts: Any) -> None:
    """Prints the object of a feed, of which nothing is known where it was refused."""
    known = ("status", "file", "source", "digest", "date", "full", "rows", "people", "unattributed")
    usual: dict[str, Any] = dict.fromkeys(known) | {"rejections": [], "held": {}, "remarks": []}
    refused = [{"code": code, "message": message} for code, message in refusals]
    put([json.dumps({**usual, **facts, "refusals": refused}, ensure_ascii=False, indent=1) + "\n"])


def _print(document: dict[str, Any]) -> None:
    of = f" of {document['date']}" if document["date"] else ""
    sort = "full" if document["full"] else "delta"
    lines = [
        f"{document['file']}{of}: {counted(document['rows'], 'row')}, "
        f"{counted(document['people'], 'person', 'people')}, "
        f"source {document['source']} ({sort})",
        f"  sha256 {document['digest']}",
    ]
    lines += [f"  {remark}" for remark in document["remarks"]]
    for r in document["rejections"]:
        lines.append(f"{r['file']}:{r['line']}: {r['column'] or 'row'}: {r['message']} [{r['code']}]")
    rows = len({r["line"] for r in document["rejections"]})
    lines.append(
        f"{rows} of {counted(document['rows'], 'row')} rejected, "
        f"{counted(len(document['held']), 'person', 'people')} would be held"
        if rows
        else "nothing is rejected"
    )
    put_text(shown(line) + "\n" for line in lines)
