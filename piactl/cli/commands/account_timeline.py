"""`account timeline`: the life of an account as a picture."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.context import put, put_json, put_text, reading, say, this_configuration, today
from piactl.cli.framework.options import AsOf, read_date, read_day, use_form
from piactl.errors import PiactlError
from piactl.exit_codes import Exit
from piactl.private_files import refuse_output
from piactl.report.establishments import legend
from piactl.report.timeline_text import timeline_text

if TYPE_CHECKING:
    from piactl.core.model.person import Register
    from piactl.flows.queries.timeline import Timeline


class TimelineLayout(StrEnum):
    TEXT = "text"
    JSON = "json"


def timeline(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="A uid, an address, an alias or a matricule.")
    ],
    svg: Annotated[
        str, typer.Option("--svg", metavar="FILE", help="Write the picture to this file; - is stdout.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="With --svg: replace a file that exists.")] = False,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first day (YYYY-MM-DD).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="The last day (YYYY-MM-DD).")
    ] = None,
    output: Annotated[
        TimelineLayout,
        typer.Option("-o", "--output", help="json has the periods, each with its days.", callback=use_form),
    ] = TimelineLayout.TEXT,
    as_of: AsOf = None,
) -> int:
    """Draw the life of an account over time: assignments, states, log in, locks, each service, exceptions.

    The picture follows from the current assignments and policy. For the changes that were really made, see
    `account history`. `--svg` writes a picture for a browser or a document.
    """
    from piactl.flows.drift import drift_row, drift_summary
    from piactl.flows.queries.accounts import find_entry
    from piactl.flows.queries.timeline import timeline as timeline_of
    from piactl.flows.queries.timeline import timeline_facts

    configuration = this_configuration()
    day = read_day(as_of, today(configuration))
    first, last = read_date("--from", from_), read_date("--until", until)
    with reading(configuration) as reader:
        store = configuration.accounts(reader, day)
        entry = find_entry(store, account)
        drift = store.drift_of(entry)
        drawn = timeline_of(
            entry.account,
            configuration.policy,
            configuration.register,
            day,
            first,
            last,
        )
    if svg:
        _write_svg(drawn, svg, force=force)
    elif output is TimelineLayout.JSON:
        facts = {**timeline_facts(drawn), "drift": [drift_row(one) for one in drift]}
        put_json(facts)
    else:
        put_text([_text(drawn, configuration.register)])
    if not drawn.rows:
        say(f"{drawn.account.uid}: nothing to draw from {drawn.first} to {drawn.last}{_why(drawn)}")
    if drift:
        say(drift_summary(entry, drift))
    return int(Exit.DONE)


def _why(drawn: Timeline) -> str:
    return "; it is archived" if drawn.account.state.value == "archived" else ""


def _title(drawn: Timeline) -> str:
    who = drawn.account.display_name if drawn.account.state.value != "archived" else "(archived)"
    return f"{who} ({drawn.account.uid})"


def _text(drawn: Timeline, register: Register) -> str:
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    ascii_only = encoding not in ("utf8", "")
    text = timeline_text(
        _title(drawn),
        drawn.rows,
        as_of=drawn.as_of,
        first=drawn.first,
        last=drawn.last,
        width=max(60, min(width, 200)),
        ascii_only=ascii_only,
    )
    names = legend(text, register)
    return text + (names.encode("ascii", "backslashreplace").decode() if ascii_only else names)


def _write_svg(drawn: Timeline, file: str, *, force: bool) -> None:
    # loaded here: it loads sockets
    from piactl.report.timeline_svg import timeline_svg

    picture = timeline_svg(_title(drawn), drawn.rows, as_of=drawn.as_of, first=drawn.first, last=drawn.last)
    if file == "-":
        put([picture])
        return
    refuse_output("--svg", file)
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as written:
            written.write(picture)
    except FileExistsError:
        raise PiactlError(f"--svg {file}: already exists; add --force to replace it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise PiactlError(f"--svg {file}: cannot be written ({reason}); choose another file") from None
    say(f"drawn: {file}")
