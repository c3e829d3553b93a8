"""`journal`: what was done, provably."""

from __future__ import annotations

import typer

from piactl.cli.context import put, reading, say, this_site
from piactl.errors import Exit, PiactlError

app = typer.Typer(no_args_is_help=True, help="The journal of changes on this host.")


@app.command()
def verify() -> int:
    """Check the chain of the journal, and compare it with the heads that the runs left in the directory.

    Exit codes: 0 whole, 1 an edited, removed, inserted, reordered or cut line was found, 8 the chain is whole
    but the directory cannot be asked for the heads.
    """
    from piactl.core.counting import counted
    from piactl.core.journalline import Head
    from piactl.flows.running import read_runs
    from piactl.journal import verify as verify_journal
    from piactl.journal import who

    site = this_site()
    anchors: dict[str, Head] = {}
    compared = True
    try:
        with reading(site) as reader:
            for record in read_runs(reader, site.settings.directory.state):
                if record.get("host") == who().host and record.get("journal"):
                    anchors[record["run"]] = Head(record["journal"]["seq"], record["journal"]["hash"])
    except PiactlError as error:
        compared = False
        say(f"the directory cannot be asked for the anchors: {error}\nOnly the chain itself is checked.")
    found = verify_journal(site.settings.journal_file, anchors, None)
    if found.problem is not None:
        say(str(found.problem))
        return int(Exit.FAILED)
    whole = f"whole: {counted(found.lines, 'line')}"
    if not compared:
        put([f"{whole}; not compared with the anchors of runs\n"])
        return int(Exit.UNREACHABLE)
    agree = counted(len(anchors) - len(found.uncovered), "anchor of a run agrees", "anchors of runs agree")
    put([f"{whole}, {agree}\n"])
    return int(Exit.DONE)
