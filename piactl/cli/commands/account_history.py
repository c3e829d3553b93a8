"""`account history`: the changes of one account."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.context import display, layout_or_default, reading, say, this_configuration
from piactl.cli.framework.options import Output, Since, Until, read_period
from piactl.core.model.numen import read_numen
from piactl.core.model.settings import IdentityName
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.errors import DirectoryUnreachable, NotFound, PiactlError
from piactl.exit_codes import Exit
from piactl.report.table import rendered

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.directory.probe.access_log import LoggedWrite
    from piactl.flows.queries.history import Event
    from piactl.journal.query import JournalledChange

IDENTITIES = (IdentityName.READER, IdentityName.DESK, IdentityName.ADMINISTRATOR)
"""Identities tried in this order to read the access log, the least privileged first."""

COLUMNS = (
    "time", "author", "what", "attributes", "outcome", "run", "reason", "message", "sources", "identity", "dn"
)  # fmt: skip
ON_SCREEN = ("time", "author", "what", "attributes", "outcome", "run", "reason", "message")
_NAMES_ON_SCREEN = 3


@dataclass
class _Answer:
    """The answer of the directory: the uid, the logged writes, and what could not be read."""

    uid: str = ""
    writes: list[LoggedWrite] = field(default_factory=list)
    code: Exit = Exit.DONE


def history(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="A uid, an address, an alias or a matricule.")
    ],
    since: Since = "",
    until: Until = "",
    logins: Annotated[
        bool, typer.Option("--logins", help="Include the notes of the server about each log in.")
    ] = False,
    output: Output = None,
) -> int:
    """Show the changes of one account, the oldest first: when, by whom, why, which attributes.

    The changes come from the journal of this host and from the access log of the server, if there is one that
    an identity of this host may read. It also shows changes made by other programs or by piactl on another
    host. A change found in both sources is shown once. Values are never shown. Times are UTC.

    Exit codes: 0 shown, 8 shown from the journal alone because no server answers, 9 account unknown to both.
    """
    from piactl.flows.queries.history import recounted

    configuration, name = this_configuration(), account.strip()
    first, last = read_period(configuration, since, until)
    answer = _resolve(configuration, name)
    changes = _of_journal(configuration, answer.uid or name, first, last)
    if answer.uid:
        _ask_log(configuration, answer, {change.dn for change in changes}, first)
    if read_numen(name) is not None:
        raise NotFound(
            "a NUMEN is a secret and not a name of an account; give a uid, an address or a matricule"
        )
    if not answer.uid and not changes and not _of_journal(configuration, name, None, None):
        if answer.code is Exit.UNREACHABLE:
            say(f"{name}: the journal of this host has no such uid")
            return int(answer.code)
        raise NotFound(f"{name}: no such account in the directory or in the journal of this host")
    identities = {who: singular.dn for who, singular in configuration.settings.directory.identities.items()}
    limit = last.timestamp() if last else float("inf")
    writes = [w for w in answer.writes if datetime.fromisoformat(w.time).timestamp() <= limit]
    noted = [] if logins else [w for w in writes if w.of_logging_in]
    writes = [w for w in writes if w not in noted]
    layout = layout_or_default(output)
    rows = [row_of(event, layout) for event in recounted(changes, writes, identities)]
    display(rendered(rows, ON_SCREEN if layout == "table" else COLUMNS, layout), layout)
    if noted:
        singular, plural = (
            "note of the server about logging in is",
            "notes of the server about logging in are",
        )
        notes = counted(len(noted), singular, plural)
        say(f"{notes} left out; --logins shows them")
    return int(answer.code)


def _of_journal(
    configuration: Configuration, uid: str, since: datetime | None, until: datetime | None
) -> list[JournalledChange]:
    from piactl.journal import Wanted
    from piactl.journal.query import changes

    return list(changes(configuration.settings.journal_file, Wanted(uid=uid, since=since, until=until)))


def _resolve(configuration: Configuration, name: str) -> _Answer:
    """The account of this name in the directory."""
    from piactl.flows.queries.history import find_uid

    answer = _Answer()
    try:
        with reading(configuration) as reader:
            answer.uid = find_uid(configuration.accounts(reader), name)
    except DirectoryUnreachable as error:
        say(f"{error}\nThe answer is from the journal of this host alone.")
        answer.code = Exit.UNREACHABLE
    return answer


def _ask_log(
    configuration: Configuration, answer: _Answer, journalled: set[str], since: datetime | None
) -> None:
    """Reads the writes of the account, of its devices, and of earlier devices named in the journal."""
    from piactl.directory.probe.access_log import find_logs, logged_writes, names_of_account

    hidden: tuple[str, ...] = ()
    refused: list[str] = []
    settings = configuration.settings.directory
    for identity in IDENTITIES:
        if identity not in settings.identities:
            continue
        try:
            with reading(configuration, identity) as reader:
                logs = find_logs(reader, settings.suffix)
                hidden = logs.hidden
                if logs.readable:
                    names = {*journalled, *names_of_account(reader, settings, answer.uid)}
                    for log in logs.readable:
                        answer.writes += logged_writes(reader, log, names, since)
                    return
        except DirectoryUnreachable:
            raise
        except PiactlError as error:
            refused.append(str(error))
    if hidden or refused:
        why = f"; {'; '.join(refused)}" if refused else ""
        place = f" ({', '.join(hidden)})" if hidden else ""
        say(f"no access log{place} can be read here{why}: the answer is from the journal of this host alone")
    else:
        say("the server keeps no access log: changes by other programs or hosts are not in this history")


def row_of(event: Event, layout: str) -> dict[str, Any]:
    """An event as json prints it; `what` is for tables: the kinds of change, else the operation."""
    row = {
        "time": event.time,
        "author": event.author,
        "identity": event.identity or None,
        "sources": list(event.sources),
        "run": event.run or None,
        "host": event.host or None,
        "operation": event.op,
        "dn": event.dn,
        "kinds": list(event.kinds),
        "attributes": None if event.attributes is None else list(event.attributes),
        "outcome": event.outcome,
        "reason": event.reason or None,
        "message": event.message or None,
    }
    if layout in ("json", "ndjson"):
        return row
    row["what"] = " ".join(event.kinds) or event.op
    row["sources"] = " + ".join(event.sources)
    if event.attributes is None:
        row["attributes"] = "(not shown)"
    elif layout == "table":
        more = len(event.attributes) - _NAMES_ON_SCREEN
        row["attributes"] = " ".join(event.attributes[:_NAMES_ON_SCREEN]) + (f" +{more}" if more > 0 else "")
        row["author"] = _short(event)
    return row


def _short(event: Event) -> str:
    """A short author for tables: the name of an identity of piactl, else the first part of a DN."""
    if event.author != event.identity and not event.run:
        return f"({event.identity})"
    return event.author if event.run else event.author.partition(",")[0]
