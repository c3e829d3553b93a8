"""`account history|timeline`: the changes of one account, and its life as a picture."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.ask.account_views import case_rows
from piactl.ask.history import find_uid
from piactl.ask.history import history as history_of
from piactl.ask.timeline import Timeline, timeline_facts
from piactl.ask.timeline import timeline as timeline_of
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AsOf,
    Form,
    OneName,
    Output,
    PeriodsOutput,
    Since,
    Until,
    day_option,
    read_period,
)
from piactl.cli.framework.output import display, layout_or_default, put, put_json, say, show_rows
from piactl.cli.framework.start_through_sudo import groups_of_site
from piactl.core.model.establishment import Register
from piactl.core.model.keyed_digests import read_numen
from piactl.core.model.settings import IdentityName
from piactl.directory.probe.access_log import LoggedWrite, find_logs, logged_writes, names_of_account
from piactl.edits.account_store import find_entry
from piactl.errors import DirectoryUnreachable, Exit, NotFound, PiactlError
from piactl.host import roles_of_caller
from piactl.host.caller import Caller, caller
from piactl.host.private_files import refuse_output, write_public
from piactl.journal import LineFilter
from piactl.journal.query import JournalledChange, changes
from piactl.phrase import Phrase, counted, joined
from piactl.planning.drift_by_rules import drift_row, drift_summary
from piactl.report.establishment_names import legend
from piactl.report.timeline_svg import timeline_svg
from piactl.report.timeline_text import timeline_text
from piactl.translation import translate

IDENTITIES = (IdentityName.READER, IdentityName.DESK, IdentityName.ADMINISTRATOR)
"""Identities tried in this order to read the access log, the least privileged first."""

COLUMNS = (
    "time", "author", "what", "attributes", "outcome", "run", "reason", "message", "sources", "identity", "dn"
)  # fmt: skip
ON_SCREEN = ("time", "author", "what", "attributes", "outcome", "run", "reason", "message")
_NAMES_ON_SCREEN = 3


def history(
    account: OneName,
    since: Since = "",
    until: Until = "",
    logins: Annotated[
        bool, typer.Option("--logins", help="Include the log ins that the server recorded.")
    ] = False,
    output: Output = None,
) -> int:
    """Show the changes of one account, the oldest first: when, by whom, why, which attributes.

    The changes come from the journal of this host, and from the access log of the server if an identity of
    this host may read it. The access log also has the changes of other programs, and of piactl on other
    hosts. A change in both sources is shown once. Values are never shown. Times are UTC.

    Exit codes: 0 shown, 8 shown from the journal alone because no server answers, 9 account unknown to
    both.

    Example: piactl account history claire.dubreuil --from 2026-09-01
    """
    configuration, name = this_configuration(), account.strip()
    first, last = read_period(configuration, since, until)
    uid, code = _uid_of(configuration, name)
    changes = _of_journal(configuration, uid or name, first, last)
    writes = _logged(configuration, uid, {change.dn for change in changes}, first) if uid else []
    if read_numen(name) is not None:
        raise NotFound(
            Phrase("a NUMEN is a secret and not a name of an account; give a uid, an address or a matricule")
        )
    if not uid and not changes and not _of_journal(configuration, name, None, None):
        if code is Exit.UNREACHABLE:
            say(Phrase("{name}: the journal of this host has no such uid", name=name))
            return int(code)
        raise NotFound(
            Phrase("{name}: no such account in the directory or in the journal of this host", name=name)
        )
    identities = {who: singular.dn for who, singular in configuration.settings.directory.identities.items()}
    limit = last.timestamp() if last else float("inf")
    writes = [w for w in writes if datetime.fromisoformat(w.time).timestamp() <= limit]
    noted = [] if logins else [w for w in writes if w.of_logging_in]
    writes = [w for w in writes if w not in noted]
    layout = layout_or_default(output)
    rows = history_of(changes, writes, identities)
    if roles_of_caller.is_help_desk_alone():
        rows = [_without_details(row) for row in rows]
    if layout not in ("json", "ndjson"):
        rows = [_flat(row, layout) for row in rows]
    show_rows(rows, ON_SCREEN if layout == "table" else COLUMNS, layout)
    if noted:
        number = len(noted)
        notes = counted(
            number, "note of the server about logging in is", "notes of the server about logging in are"
        )
        say(Phrase("{notes} left out; --logins shows them", notes=notes))
    return int(code)


def _without_details(row: dict[str, Any]) -> dict[str, Any]:
    """An act as the help desk sees it: their own acts whole, of those of others day, kind and role."""
    if row["run"] and row["author"] == caller().name:
        return row
    role = row["identity"] or Phrase("another program")
    if row["run"]:
        author = "" if row["author"] == roles_of_caller.SERVICE_USER else row["author"]
        person = Caller(author, other=True, root=author == "root")
        roles = sorted(roles_of_caller.roles_of(person, groups_of_site()))
        role = ", ".join(roles) or Phrase("nobody with a role")
    hidden = dict.fromkeys(("run", "host", "reason", "attributes", "message"))
    return {**row, "time": row["time"][:10], "author": role, "identity": role, **hidden}


def _of_journal(
    configuration: Configuration, uid: str, since: datetime | None, until: datetime | None
) -> list[JournalledChange]:
    return list(changes(configuration.settings.journal_file, LineFilter(uid=uid, since=since, until=until)))


def _uid_of(configuration: Configuration, name: str) -> tuple[str, Exit]:
    try:
        with reading(configuration) as reader:
            return find_uid(configuration.accounts(reader), name), Exit.DONE
    except DirectoryUnreachable as error:
        say(Phrase("{error}\nThe answer is from the journal of this host alone.", error=str(error)))
        return "", Exit.UNREACHABLE


def _logged(
    configuration: Configuration, uid: str, journalled: set[str], since: datetime | None
) -> list[LoggedWrite]:
    """The writes of the account, of its devices, and of earlier devices named in the journal."""
    hidden: tuple[str, ...] = ()
    refused: list[str] = []
    settings = configuration.settings.directory
    for identity in IDENTITIES:
        if identity not in settings.identities or not roles_of_caller.may_use(identity):
            continue
        try:
            with reading(configuration, identity) as reader:
                logs = find_logs(reader, settings.suffix)
                hidden = logs.hidden
                if logs.readable:
                    names = {*journalled, *names_of_account(reader, settings, uid)}
                    return [w for log in logs.readable for w in logged_writes(reader, log, names, since)]
        except DirectoryUnreachable:
            raise
        except PiactlError as error:
            refused.append(str(error))
    if hidden or refused:
        unread = Phrase("no access log can be read here")
        if hidden:
            unread = Phrase("no access log ({names}) can be read here", names=", ".join(hidden))
        say(
            Phrase(
                "{reasons}: the answer is from the journal of this host alone",
                reasons=joined([unread, *refused]),
            )
        )
    else:
        say(
            Phrase(
                "the server keeps no access log: changes by other programs or hosts are not in this history"
            )
        )
    return []


def _flat(row: dict[str, Any], layout: str) -> dict[str, Any]:
    """A row of a table: `what` is the kinds of change, else the operation."""
    names, author = row["attributes"], row["author"]
    if layout == "table" and names is not None:
        omitted = len(names) - _NAMES_ON_SCREEN
        names = [*names[:_NAMES_ON_SCREEN], *([f"+{omitted}"] if omitted > 0 else [])]
        # a short author: the name of an identity of piactl, else the first part of a DN
        if not row["run"]:
            known = row["identity"] not in (None, author)
            author = f"({row['identity']})" if known else author.partition(",")[0]
        names = " ".join(names)
    return {
        **row,
        "author": author,
        "what": row["kinds"] or [row["operation"]],
        "sources": " + ".join(row["sources"]),
        "attributes": Phrase("(not shown)") if names is None else names,
    }


def timeline(
    account: OneName,
    svg: Annotated[
        str, typer.Option("--svg", metavar="FILE", help="Write the picture to this file; - is stdout.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="With --svg: replace a file that exists.")] = False,
    from_: Annotated[date | None, day_option("--from", "The first day (YYYY-MM-DD).")] = None,
    until: Annotated[date | None, day_option("--until", "The last day (YYYY-MM-DD).")] = None,
    output: PeriodsOutput = Form.TEXT,
    as_of: AsOf = None,
) -> int:
    """Draw the life of an account over time: assignments, states, log in, locks, services, exceptions.

    The picture follows from the current assignments and policy; `account history` shows the changes that
    were made. --svg writes a picture for a browser or a document.

    Example: piactl account timeline claire.dubreuil
    """
    configuration = this_configuration()
    with reading(configuration) as reader:
        store = configuration.accounts(reader, as_of)
        entry = find_entry(store, account)
        drifts, cases = store.drift_of(entry), case_rows(store.cases_of(entry.account.uid))
        drawn = timeline_of(entry.account, store.rules, from_, until)
    if svg:
        _write_svg(drawn, svg, force=force)
    elif output is Form.JSON:
        facts = {**timeline_facts(drawn), "cases": cases, "drift": [drift_row(drift) for drift in drifts]}
        put_json(facts)
    else:
        display([_text(drawn, configuration.register)])
    if not drawn.rows:
        nothing = Phrase(
            "{uid}: nothing to draw from {first} to {last}",
            uid=drawn.account.uid,
            first=drawn.first,
            last=drawn.last,
        )
        archived = drawn.account.state.value == "archived"
        say(joined([nothing, Phrase("it is archived")]) if archived else nothing)
    for case in cases:
        say(Phrase("{name}: {text}", name=drawn.account.uid, text=case["text"]))
    if drifts:
        say(drift_summary(entry, drifts))
    return int(Exit.DONE)


def _title(drawn: Timeline) -> str:
    archived = drawn.account.state.value == "archived"
    who = translate(Phrase("(archived)")) if archived else drawn.account.display_name
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
    picture = timeline_svg(_title(drawn), drawn.rows, as_of=drawn.as_of, first=drawn.first, last=drawn.last)
    if file == "-":
        put([picture])
        return
    refuse_output("--svg", file, instead=Phrase("give --svg - and redirect: >FILE"))
    if not force and os.path.lexists(file):
        raise PiactlError(Phrase("--svg {file}: already exists; add --force to replace it", file=file))
    write_public(Path(file), picture.encode())
    say(Phrase("drawn: {file}", file=file))
