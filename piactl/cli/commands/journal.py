"""`journal show|verify|export|prune|begin`: shows what was done, and proves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.account_batch import Manner
from piactl.cli.framework.account_batch import begin as begin_act
from piactl.cli.framework.context import (
    layout_or_default,
    put,
    reading,
    say,
    show_rows,
    this_configuration,
    today,
    writing,
)
from piactl.cli.framework.options import DryRun, Output, Reason, Since, Until, read_period
from piactl.clock import utc_now
from piactl.core.journal_line import BrokenLine
from piactl.core.model.numen_and_digests import masked
from piactl.core.model.settings import IdentityName
from piactl.core.text import counted
from piactl.errors import Exit, NotFound, NotPermitted, PiactlError, UsageError
from piactl.private_files import may_not, refuse_missing, refuse_output, refuse_own_file
from piactl.report.journal_text import file_text, proof_text, pruned_text

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.flows.apply.journal_heads import StoredHeads
    from piactl.journal import LineFilter
    from piactl.journal.query_and_export import JournalledChange


# `journal show`: the rows, by account if one is named.

COLUMNS = (
    "time", "run", "author", "origin", "command", "uid", "kinds", "attributes", "outcome", "reason", "message"
)  # fmt: skip
ON_SCREEN = ("time", "uid", "kinds", "outcome", "author", "run", "reason", "message")
Period = tuple[datetime | None, datetime | None]


def show_changes(
    configuration: Configuration, account: str, run: str, author: str, period: Period, kind: str, layout: str
) -> int:
    """Prints the changes that fit everything that is given; "" is not given."""
    from piactl.journal import LineFilter

    path = configuration.settings.journal_file
    run = _last_run(path) if run == "last" else run
    wanted = LineFilter(run or None, account or None, author or None, *period)
    rows = _some(_rows(path, wanted, kind))
    if rows is None and account:
        uid = _uid_of(configuration, account)
        rows = (
            None
            if uid == account
            else _some(_rows(path, LineFilter(run or None, uid, author or None, *period), kind))
        )
    columns = ON_SCREEN if layout == "table" else COLUMNS
    show_rows(rows or (), columns, layout)
    if rows is None:
        say(f"{path}: no change of this journal fits")
    return int(Exit.DONE)


def _some(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]] | None:
    """The rows, None if there are none."""
    first = next(rows, None)
    return None if first is None else chain([first], rows)


def _rows(path: str, wanted: LineFilter, kind: str) -> Iterator[dict[str, Any]]:
    from piactl.journal.query_and_export import changes

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
    """The run of the latest change. Raises NotFound if there is none."""
    from piactl.journal.errors import unreadable
    from piactl.journal.rotated_files import newest_first

    try:
        for line in newest_first(path):
            if line.type == "intent":
                return line.run
    except BrokenLine as broken:
        raise unreadable(path, 0, str(broken)) from None
    raise NotFound(f"{path}: no run has changed anything yet")


def _uid_of(configuration: Configuration, name: str) -> str:
    """The uid of an account that the journal does not know by this name. Raises NotFound."""
    from piactl.flows.queries.history_and_unjournalled import find_uid

    called = masked(name)
    try:
        with reading(configuration) as reader:
            uid = find_uid(configuration.accounts(reader), name)
    except PiactlError:
        say(f"{called}: no uid of this journal, and the directory cannot be asked for other names:")
        raise
    if not uid:
        raise NotFound(
            f"{called}: no change of this uid fits, and no account has this uid, address, alias or matricule"
        )
    return uid


def show(
    account: Annotated[
        str,
        typer.Option(
            "--account", help="Only changes of this account: a uid, an address, an alias or a matricule."
        ),
    ] = "",
    run: Annotated[str, typer.Option("--run", help="Only changes of this run; `last` is the latest.")] = "",
    author: Annotated[
        str,
        typer.Option("--author", help="Only changes by this user: who logged in, used sudo, or ran piactl."),
    ] = "",
    since: Since = "",
    until: Until = "",
    kind: Annotated[str, typer.Option("--kind", help="Only changes of this kind: create, lock, ...")] = "",
    output: Output = None,
) -> int:
    """Show changes, the oldest first: one row each, with its author and outcome.

    The outcome is `in doubt` if the run died before it was known, which the next run settles, and `under
    way` while the run works. With a uid no directory is needed. json and ndjson have everything, csv and
    tsv nearly so, the table what fits a screen. Times are UTC. Attributes are named; values are never
    shown.

    Example: piactl journal show --account claire.dubreuil --from 2026-09-01
    """

    configuration = this_configuration()
    return show_changes(
        configuration,
        account.strip(),
        run,
        author,
        read_period(configuration, since, until),
        kind,
        layout_or_default(output),
    )


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="An export, or a copy of one file of a journal.",
            readable=False,  # refused below, with piactl's own message
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option("--head", metavar="SEQ:HASH", help="A line, kept elsewhere, that FILE must contain."),
    ] = "",
) -> int:
    """Verify the chain of the journal, and compare it with the heads that commands stored elsewhere: in the
    directory, in the file of `journal_heads`, and the last one that doctor saw.

    With FILE, verifies only that file, and needs neither configuration nor directory: between its first and
    its last line nothing was edited, removed or added. Only --head proves that the file was not made anew
    as a whole.

    Exit codes: 0 intact, 1 an edited, removed, inserted, reordered or cut line was found, or no stored head
    covers the last run, 8 the chain is intact but the stored heads cannot be read.

    Example: piactl journal verify
    """
    from piactl.journal import verify as verify_journal

    if file is not None:
        return _verify_file(file, head)
    if head:
        raise UsageError("--head goes with a FILE; without a FILE the heads come from the directory")
    configuration = this_configuration()
    path, stored = configuration.settings.journal_file, None
    try:
        stored = _stored_heads(configuration)
    except PiactlError as error:
        say(f"the stored heads cannot be read: {error}\nOnly the chain itself is checked.")
    verification = verify_journal(path, stored.heads, runs=stored.runs) if stored else verify_journal(path)
    if verification.problem is not None:
        say(str(verification.problem))
        return int(Exit.FAILED)
    put([proof_text(verification, len(stored.heads) if stored else None, stored.begun if stored else "")])
    if stored is None:
        return int(Exit.UNREACHABLE)
    if stored.missed:
        say(f"{stored.missed}: only the administrator can. Compare the journal with the heads in syslog")
        return int(Exit.FAILED)
    if run := stored.uncovered(path, verification):
        say(
            f"{path}: no stored head covers run {run}: its lines are proved by the file alone. "
            "The next command that writes stores one; if this lasts, see: piactl doctor"
        )
        return int(Exit.FAILED)
    return int(Exit.DONE)


def _verify_file(file: Path, head: str) -> int:
    from piactl.journal import verify_file

    stored_head = _read_head(head)
    refuse_missing(str(file))
    try:
        with file.open("rb") as opened:
            refuse_own_file(str(file), opened.fileno())
    except PermissionError:
        raise NotPermitted(f"{file}: {may_not(file)}") from None
    except OSError as error:
        raise PiactlError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    verification = verify_file(str(file), stored_head)
    if verification.problem is not None:
        say(str(verification.problem))
        return int(Exit.FAILED)
    put([file_text(verification, anchored=bool(head))])
    return int(Exit.DONE)


def _read_head(text: str) -> tuple[int, str] | None:
    """SEQ:HASH. Raises UsageError."""
    if not text:
        return None
    seq, _, digest = text.strip().partition(":")
    if (
        not (seq.isascii() and seq.isdigit() and len(seq) < 20)
        or len(digest) != 64
        or set(digest) - set("0123456789abcdef")
    ):
        raise UsageError("--head: write it as `journal export` says it: the number of a line, `:`, its hash")
    return int(seq), digest


def _stored_heads(configuration: Configuration) -> StoredHeads:
    from piactl.flows.apply.journal_heads import stored_heads
    from piactl.journal import who

    actor, settings, unreadable = who(), configuration.settings, configuration.unreadable
    with reading(configuration) as reader:
        return stored_heads(
            reader, settings, lambda: configuration.keys, unreadable, actor.user, actor.host, utc_now()
        )


def export(
    since: Since = "",
    until: Until = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write (mode 0600); stdout by default.")
    ] = None,
) -> int:
    """Export the lines of a period, unchanged, to a file that `journal verify FILE` can verify by itself.

    Its first line has the hash before the first exported line and the head after the last. The head is also
    printed on stderr: keep it apart from the file. The export proves that nothing in it was edited, removed
    or added since; against somebody who computes all hashes anew, only the head kept elsewhere does
    (`journal verify FILE --head`). It proves nothing outside its period.

    Example: piactl journal export --from 2026-09-01
    """

    from piactl.journal import who
    from piactl.journal.query_and_export import export_lines, extract
    from piactl.private_files import write_private

    if out is not None:
        refuse_output("--out", out)
    configuration = this_configuration()
    path = configuration.settings.journal_file
    excerpt = extract(path, *read_period(configuration, since, until))
    if excerpt is None:
        raise PiactlError(f"{path}: the journal has no line of that period; nothing is exported")
    actor = who()
    facts = {"since": since, "until": until, "host": actor.host, "by": actor.author}
    lines = export_lines(path, excerpt, facts, utc_now())
    if out is None:
        put(line.decode("ascii") for line in lines)
    else:
        write_private(out, lines)
    where = f" to {out}" if out else ""
    say(f"{counted(excerpt.lines, 'line')} exported{where}; head {excerpt.head.seq}:{excerpt.head.hash}")
    return int(Exit.DONE)


def prune(
    before: Annotated[
        str,
        typer.Option("--before", metavar="DATE", help="Remove lines written before that day (YYYY-MM-DD)."),
    ],
    heads: Annotated[
        bool,
        typer.Option("--heads", help="Remove stored heads of all journals instead, as the administrator."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
) -> int:
    """Remove the oldest lines of the journal for good. The rest can still be verified.

    Whole runs are removed, never one that is under way, in doubt, or not over before DATE. The journal then
    begins with a line that says what was removed, by whom and when; `journal verify` shows it. Nothing is
    removed if the chain is not intact, or if the stored heads cannot be read from the directory. Export
    first what you have to keep. The CNIL advises to keep logs for 6 to 12 months; piactl never prunes by
    itself.

    With --heads no line is removed, but the heads in the directory that were stored before DATE (UTC), of
    the journals of all hosts and users, except the last ones of each. A sealed record says so, and `journal
    verify` misses every head that somebody else removes.

    Example: piactl journal prune --before 2026-01-01 --dry-run
    """
    from piactl.cli.framework.run_context import new_order, run_of, store_head_anywhere
    from piactl.flows.journal_commands import prune_heads, prune_journal

    configuration = this_configuration()
    first, _ = read_period(configuration, before, "", option="--before")
    now = today(configuration)
    if first is None or (first.hour, first.minute) != (0, 0) or first.date() > now:
        raise UsageError(f"--before {before}: write a day that is not in the future, as 2026-09-01")
    if heads:
        run = replace(run_of(configuration, new_order(configuration, None)), recorded=False)
        with writing(configuration, IdentityName.ADMINISTRATOR) as writer:
            days = prune_heads(writer, run, first.date(), trial=dry_run)
        put([f"{counted(days, 'day', 'days')} of heads {'would go' if dry_run else 'removed'}\n"])
        return int(Exit.DONE)
    done = prune_journal(
        run_of(configuration, new_order(configuration, None)),
        first.date(),
        configuration.policy.timezone,
        _stored_heads(configuration),
        lambda anchor: store_head_anywhere(configuration, anchor),
        trial=dry_run,
    )
    put([pruned_text(done.gone, first.date().isoformat(), trial=dry_run)])
    return int(Exit.DONE)


def begin(reason: Reason = "", dry_run: DryRun = False) -> int:
    """Begin a new journal on this host after lines that its runs wrote were lost.

    First restore the journal from a copy, if there is one. The new chain begins with a line that says what
    is missing, who began it and why; `journal verify` no longer compares earlier runs with it. Refused if
    no line is missing.

    Exit codes: 0 begun, 1 no line is missing, 7 another run is writing.

    Example: piactl journal begin --reason "the disk was lost"
    """
    from piactl.flows.journal_commands import begin_journal, missing_lines

    command = begin_act(Manner(reason, dry_run))
    configuration, order = command.configuration, command.order
    with writing(configuration) as writer:
        missing = missing_lines(
            writer, order.actor.host, configuration.settings, configuration.unreadable, utc_now
        )
        if dry_run:
            put([f"{missing}\n"])
            return int(Exit.DONE)
        begin_journal(writer, command.run(), missing)
    put([f"run {order.run}: the journal begins anew\n"])
    return int(Exit.DONE)
