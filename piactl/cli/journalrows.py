"""`journal show`: the rows, by account where one is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from piactl.cli.context import put, reading, say
from piactl.errors import AccountNotFound, Exit, PiactlError

if TYPE_CHECKING:
    from piactl.flows.site import Site
    from piactl.journal import Wanted
    from piactl.journal.changes import JournalledChange

COLUMNS = (
    "time", "run", "author", "origin", "command", "uid", "kinds", "attributes", "outcome", "reason", "message"
)  # fmt: skip
ON_SCREEN = ("time", "uid", "kinds", "outcome", "author", "run", "reason", "message")
Period = tuple[datetime | None, datetime | None]


def show_changes(
    site: Site, account: str, run: str, author: str, period: Period, kind: str, layout: str
) -> int:
    """Prints the changes that fit everything that is given; "" is not given."""
    from piactl.journal import Wanted
    from piactl.report.tabular import rendered

    path = site.settings.journal_file
    run = _last_run(path) if run == "last" else run
    wanted = Wanted(run or None, account or None, author or None, *period)
    rows = _some(_rows(path, wanted, kind))
    if rows is None and account:
        uid = _uid_of(site, account)
        rows = (
            None
            if uid == account
            else _some(_rows(path, Wanted(run or None, uid, author or None, *period), kind))
        )
    columns = ON_SCREEN if layout == "table" else COLUMNS
    put(rendered(rows or (), columns, layout))
    if rows is None:
        say(f"{path}: no change of this journal fits")
    return int(Exit.DONE)


def _some(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]] | None:
    """The rows, None where there is none."""
    first = next(rows, None)
    return None if first is None else chain([first], rows)


def _rows(path: str, wanted: Wanted, kind: str) -> Iterator[dict[str, Any]]:
    from piactl.journal.changes import changes

    return (row_of(change) for change in changes(path, wanted, kind.strip()))


def row_of(change: JournalledChange) -> dict[str, Any]:
    """A change as json prints it."""
    return {
        "time": change.time,
        "settled": change.settled or None,
        "run": change.run,
        "author": change.author,
        "user": change.user,
        "sudo_user": change.sudo_user or None,
        "login": change.login or None,
        "origin": change.origin,
        "host": change.host,
        "command": list(change.command),
        "uid": change.uid,
        "dn": change.dn,
        "op": change.op,
        "kinds": list(change.kinds),
        "attributes": list(change.attributes),
        "outcome": change.outcome,
        "message": change.message or None,
        "reason": change.reason,
        "seq": change.seq,
    }


def _last_run(path: str) -> str:
    """The run of the latest change. Raises AccountNotFound where there is none."""
    from piactl.core.journalline import BrokenLine
    from piactl.journal.files import newest_first
    from piactl.journal.unusable import unreadable

    try:
        for line in newest_first(path):
            if line.type == "intent":
                return line.run
    except BrokenLine as broken:
        raise unreadable(path, 0, str(broken)) from None
    raise AccountNotFound(f"{path}: no run has changed anything yet")


def _uid_of(site: Site, name: str) -> str:
    """The uid of what is no uid in the journal, as the directory knows it. Raises AccountNotFound."""
    from piactl.core.numen import masked
    from piactl.flows.recounting import uid_meant

    called = masked(name)
    try:
        with reading(site) as reader:
            uid = uid_meant(reader, site, name)
    except PiactlError:
        say(f"{called}: is no uid in this journal; whether it is another name of an account cannot be asked:")
        raise
    if not uid:
        raise AccountNotFound(
            f"{called}: no change that fits is of this uid, and no account has this uid, address, alias or "
            "matricule"
        )
    return uid
