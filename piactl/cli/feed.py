"""`feed`: look at an HR file without any directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.cli.context import put, say, this_site
from piactl.cli.options import PlanLayout, PlanOutput
from piactl.errors import Exit

app = typer.Typer(no_args_is_help=True, help="HR feeds: check a file, write out its rejected rows.")

File = Annotated[str, typer.Argument(metavar="FEED", help="A feed file, PATH or SOURCE=PATH.")]


@app.command()
def check(
    file: File,
    output: PlanOutput = PlanLayout.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 5 where rows are rejected.")] = False,
) -> int:
    """Read a feed by the layout of its source and by the policy, and tell everything that is wrong with it.

    Needs no directory. Exit codes: 0 it can be used, 6 it is refused as a whole.
    """
    sourced, rejections = _read(file)
    feed = sourced.feed
    facts = feed.facts
    document = {
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
        "held": dict(feed.held),
        "remarks": [remark.message for remark in feed.remarks],
    }
    _print(document, output)
    return int(Exit.PARTLY if strict and rejections else Exit.DONE)


@app.command()
def rejects(
    file: File,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write them (mode 0600).")],
) -> int:
    """Write the rejected rows of a feed, unchanged, with the reasons beside them, to a file.

    Corrected, that file can be fed again: it adds to the feed and never stands for the whole of it.
    """
    from piactl.feed.rejects import write_rejects
    from piactl.feed.rereading import with_rejections

    sourced, rejections = _read(file)
    known = set(sourced.feed.rejections)
    feed = with_rejections(sourced.feed, sourced.path, [r for r in rejections if r not in known])
    count = write_rejects(Path(out), feed, sourced.source)
    say(f"{count} rows written to {out}" if count else "no row is rejected; nothing was written")
    return int(Exit.DONE)


def _read(file: str) -> tuple[Any, list[Any]]:
    from piactl.flows.feeding import read_feeds
    from piactl.flows.telling import policy_rejections

    site = this_site()
    sourced = read_feeds([file], site.settings.sources)[0]
    rejections = list(sourced.feed.rejections)
    for person in sourced.feed.people.values():
        rejections += policy_rejections(person, sourced.feed.facts.file, site.policy, site.register)
    return sourced, sorted(rejections, key=lambda r: (r.line, r.column))


def _print(document: dict[str, Any], output: PlanLayout) -> None:
    if output is PlanLayout.JSON:
        import json

        put([json.dumps(document, ensure_ascii=False, indent=1) + "\n"])
        return
    from piactl.report.escaping import shown

    of = f" of {document['date']}" if document["date"] else ""
    sort = "full" if document["full"] else "delta"
    lines = [
        f"{document['file']}{of}: {document['rows']} rows, {document['people']} people, "
        f"source {document['source']} ({sort})",
        f"  sha256 {document['digest']}",
    ]
    lines += [f"  {remark}" for remark in document["remarks"]]
    for r in document["rejections"]:
        lines.append(f"{r['file']}:{r['line']}: {r['column'] or 'row'}: {r['message']} [{r['code']}]")
    lines.append(
        f"{len(document['rejections'])} reasons for rejection"
        if document["rejections"]
        else "nothing is rejected"
    )
    put(shown(line) + "\n" for line in lines)
