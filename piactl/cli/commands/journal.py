"""`journal show|verify|export|prune|begin|close`: shows what was done, and proves it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from piactl.ask.history import find_uid
from piactl.cli.framework.account_command import Manner
from piactl.cli.framework.account_command import begin as begin_act
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    DryRun,
    Output,
    Reason,
    Since,
    Until,
    read_period,
)
from piactl.cli.framework.output import layout_or_default, put, say, show_rows
from piactl.cli.framework.writing_command import new_order, run_of
from piactl.clock import utc_now
from piactl.core.journal_line import Anchor, Head, journal_owner
from piactl.core.model.keyed_digests import masked
from piactl.core.plan.change import Kind
from piactl.core.text import facts_of
from piactl.errors import Exit, NotFound, NotPermitted, PiactlError, UsageError, system_words
from piactl.host.private_files import may_not, refuse_missing, refuse_own_file
from piactl.journal import LineFilter, Verification, verify_file, who
from piactl.journal import verify as verify_journal
from piactl.journal.files import closed_chains, newest_lines, unread
from piactl.journal.query import JournalledChange, changes, raw_period
from piactl.journal.syslog import heads_in
from piactl.phrase import Phrase, counted, joined
from piactl.report.escaping import shown
from piactl.runs.journal_upkeep import (
    StoredHeads,
    begin_journal,
    close_chains,
    missing_lines,
    open_chains,
    prune_journal,
    recorded_heads,
)
from piactl.translation import read_word, translate

# `journal show`: the rows, by account if one is named.

COLUMNS = (
    "time", "run", "author", "origin", "command", "uid", "kinds", "attributes", "outcome", "reason", "message"
)  # fmt: skip
_FACTS = (
    "time", "settled", "run", "author", "user", "sudo_user", "login", "origin", "host", "command", "uid",
    "dn", "op", "kinds", "attributes", "outcome", "message", "reason", "seq",
)  # fmt: skip
ON_SCREEN = ("time", "uid", "kinds", "outcome", "author", "run", "reason", "message")


def _show_changes(configuration: Configuration, wanted: LineFilter, layout: str) -> int:
    """Prints the wanted changes; the account may also have another name than a uid."""
    path = configuration.settings.journal_file
    rows = _some(changes(path, wanted))
    if rows is None and wanted.uid and (uid := _uid_of(configuration, wanted.uid)) != wanted.uid:
        rows = _some(changes(path, replace(wanted, uid=uid)))
    show_rows(map(row_of, rows or ()), ON_SCREEN if layout == "table" else COLUMNS, layout)
    if rows is None:
        say(Phrase("{path}: no change of this journal fits", path=path))
    return int(Exit.DONE)


def _some(found: Iterator[JournalledChange]) -> Iterator[JournalledChange] | None:
    first = next(found, None)
    return None if first is None else chain([first], found)


def row_of(change: JournalledChange) -> dict[str, Any]:
    """A change as json prints it."""
    return facts_of(change, *_FACTS, null=("settled", "sudo_user", "login", "message"))


def _last_run(path: str) -> str:
    for line in newest_lines(path):
        if line.type == "intent":
            return line.run
    raise NotFound(Phrase("{path}: no run has changed anything yet", path=path))


def _uid_of(configuration: Configuration, name: str) -> str:
    """The uid of an account that the journal does not know by this name. Raises NotFound."""
    called = masked(name)
    try:
        with reading(configuration) as reader:
            uid = find_uid(configuration.accounts(reader), name)
    except PiactlError:
        say(
            Phrase(
                "{called}: no uid of this journal, and the directory cannot be asked for other names:",
                called=called,
            )
        )
        raise
    if not uid:
        raise NotFound(
            Phrase(
                "{called}: no change of this uid fits, and no account has this uid, address, alias or "
                "matricule",
                called=called,
            )
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
    first, last = read_period(configuration, since, until)
    run = _last_run(configuration.settings.journal_file) if run == "last" else run
    who_and_when = (account.strip() or None, author or None, first, last)
    return _show_changes(
        configuration,
        LineFilter(run or None, *who_and_when, read_word(kind.strip(), _KINDS)),
        layout_or_default(output),
    )


_OF_DEVICES = ("enroll", "verify", "suspend", "resume", "remove", "resync", "code")
_KINDS = (*(kind.value for kind in Kind), "password", *(f"otp-{word}" for word in _OF_DEVICES))
"""The kinds of change that lines of the journal have."""

Syslog = Annotated[
    str,
    typer.Option(
        "--syslog",
        metavar="FILE",
        help="Lines of syslog with heads of the journal, also of another host; - is stdin.",
    ),
]


def verify(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A copy of one file of a journal.")
    ] = None,
    syslog: Syslog = "",
) -> int:
    """Verify the chain of the journal, and compare it with the heads on the records of runs.

    Each command that writes also sends its head to syslog (authpriv, program piactl). With --syslog these
    are compared too: journalctl -t piactl | piactl journal verify --syslog -

    With FILE, verifies only that file, and needs neither configuration nor directory: between its first and
    its last line nothing was edited, removed or added.

    Exit codes: 0 intact, 1 an edited, removed, inserted, reordered or cut line was found, or syslog has no
    head that covers the last run, 8 the chain is intact but the records cannot be read.

    Example: piactl journal verify
    """
    if file is not None:
        if syslog:
            raise UsageError(Phrase("--syslog goes without a FILE: the file alone is verified"))
        return _verify_file(file)
    configuration = this_configuration()
    path, anchors = configuration.settings.journal_file, _read_syslog(syslog)
    stored, recorded = _recorded_heads(configuration)
    stored = stored.with_syslog(anchors)
    proof = verify_journal(path, stored.heads, runs=stored.runs)
    if proof.problem is not None:
        say("\n".join(filter(None, (str(proof.problem), unread(path)))))
        return int(Exit.FAILED)
    put([_proof_text(proof, len(stored.heads) if recorded or anchors else None, stored.begun)])
    if missed := unread(path):
        put([shown(missed) + "\n"])
    if not _closed_chains_intact(path, proof.closed):
        return int(Exit.FAILED)
    if not recorded:
        return int(Exit.UNREACHABLE)
    if run := stored.uncovered(path, proof):
        if syslog:
            say(
                Phrase(
                    "{path}: neither syslog nor the record of a run has a head that covers run {run}",
                    path=path,
                    run=run,
                )
            )
            return int(Exit.FAILED)
        say(
            Phrase(
                "{path}: only syslog has the head of run {run}, and it is compared with --syslog",
                path=path,
                run=run,
            )
        )
    return int(Exit.DONE)


def _proof_text(proof: Verification, heads: int | None, begun: str) -> str:
    """The result for an intact journal; `heads` is how many stored heads were compared, None if none were
    read. `begun` is the run that began it anew."""
    intact = Phrase("journal intact: {lines}", lines=counted(proof.lines, "line", "lines"))
    lines: list[str] = [Phrase("{words}; stored heads not compared", words=intact)]
    if heads is not None:
        matching = counted(heads - len(proof.uncovered), "stored head matches", "stored heads match")
        lines = [joined([intact, matching], "{first}, {second}")]
    if begun:
        lines.append(
            Phrase("run {begun} began the journal anew: heads before it are not compared", begun=begun)
        )
    if proof.first > 1:
        lines.append(
            Phrase(
                "it begins with number {first}: the files with the lines before it were removed",
                first=proof.first,
            )
        )
    if proof.uncovered:
        older = counted(len(proof.uncovered), "stored head is", "stored heads are")
        lines.append(Phrase("{older} older: their lines are in files that were removed", older=older))
    return "".join(shown(translate(line)) + "\n" for line in lines)


def _closed_chains_intact(path: str, heads: Mapping[str, Head]) -> bool:
    """Verifies the chains that the journal goes on from, and compares them with their `heads` in it."""
    intact, chains = True, closed_chains(path)
    put(
        [
            translate(Phrase("{name}: closed, its files were removed", name=name)) + "\n"
            for name in sorted(heads.keys() - chains.keys())
        ]
    )
    for name, closed in chains.items():
        proof = verify_journal(closed, {"the journal": heads[name]} if name in heads else {})
        if proof.problem is None and name in heads and proof.head != heads[name]:
            say(
                Phrase(
                    "{closed}: goes on after number {seq}, which the journal calls the last",
                    closed=closed,
                    seq=heads[name].seq,
                )
            )
        elif proof.problem is not None:
            say(str(proof.problem))
        elif name not in heads:
            say(Phrase("{closed}: is not closed. See: piactl journal close", closed=closed))
        else:
            lines = counted(proof.lines, "line", "lines")
            put([shown(translate(Phrase("{name}: closed, intact: {lines}", name=name, lines=lines))) + "\n"])
            continue
        intact = False
    return intact


def _verify_file(file: str) -> int:
    with _opened(file):
        pass
    proof = verify_file(file)
    if proof.problem is not None:
        say(str(proof.problem))
        return int(Exit.FAILED)
    lines = counted(proof.lines, "line", "lines")
    first, last = proof.first, proof.head.seq
    said = (
        Phrase("journal intact: {lines}, {first} to {last}", lines=lines, first=first, last=last),
        Phrase(
            "head {seq}:{hash}: unless syslog has a head in this file, the whole file may have been rebuilt",
            seq=last,
            hash=proof.head.hash,
        ),
    )
    put(f"{translate(line)}\n" for line in said)
    return int(Exit.DONE)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    refuse_missing(file)
    try:
        with Path(file).open("rb") as opened:
            refuse_own_file(file, opened.fileno())
            yield opened
    except PermissionError:
        raise NotPermitted(Phrase("{name}: {text}", name=file, text=may_not(Path(file)))) from None
    except OSError as error:
        raise PiactlError(
            Phrase(
                "{file}: cannot be read ({strerror}); check the path", file=file, strerror=system_words(error)
            )
        ) from None


def _read_syslog(file: str) -> list[Anchor]:
    """The heads in a file, - for stdin; none for "". Raises PiactlError if it has none."""
    if not file:
        return []
    with nullcontext(sys.stdin.buffer) if file == "-" else _opened(file) as lines:
        anchors = heads_in(line.decode("utf-8", "replace") for line in lines)
    if not anchors:
        raise PiactlError(
            Phrase("--syslog: there is no head of a journal in these lines; look for: journal head")
        )
    return anchors


def _recorded_heads(configuration: Configuration) -> tuple[StoredHeads, bool]:
    """The heads on the records of runs; without any, and false, if they cannot be read."""
    actor, settings, unreadable = who(), configuration.settings, configuration.unreadable
    try:
        with reading(configuration) as reader:
            heads = recorded_heads(reader, settings, unreadable, actor.user, actor.host, utc_now())
            return heads, True
    except PiactlError as error:
        say(
            Phrase(
                "the stored heads cannot be read: {error}\nOnly the chain itself is checked.",
                error=str(error),
            )
        )
        return StoredHeads(journal_owner(actor.user, actor.host), {}, {}), False


def export(since: Since = "", until: Until = "") -> int:
    """Print the lines of a period as they are in the files: also readings of private data, and the beginning
    and end of each run.

    Example: piactl journal export --from 2026-09-01
    """
    configuration = this_configuration()
    period = read_period(configuration, since, until)
    put(line.decode("ascii") for line in raw_period(configuration.settings.journal_file, *period))
    return int(Exit.DONE)


def prune(
    before: Annotated[
        str,
        typer.Option("--before", metavar="DATE", help="Remove files written before that day (YYYY-MM-DD)."),
    ],
    dry_run: DryRun = False,
) -> int:
    """Remove the oldest files of the journal for good.

    A file is removed whole, once it was rotated away, all its lines were written before DATE and all its
    writes have an outcome; the files of closed chains too. The journal records which files. Nothing is
    removed if the chain is not intact, or if the records of runs cannot be read. The CNIL advises to keep
    logs for 6 to 12 months; piactl never removes a file by itself, but logrotate may.

    Example: piactl journal prune --before 2026-01-01 --dry-run
    """
    configuration = this_configuration()
    first, _ = read_period(configuration, before, "", option="--before")
    now = today(configuration)
    if first is None or (first.hour, first.minute) != (0, 0) or first.date() > now:
        raise UsageError(
            Phrase("--before {before}: write a day that is not in the future, as 2026-09-01", before=before)
        )
    run = run_of(configuration, new_order(configuration, None))
    timezone, (stored, recorded) = configuration.policy.timezone, _recorded_heads(configuration)
    if not recorded:
        return int(Exit.UNREACHABLE)
    files = prune_journal(run, first.date(), timezone, stored, trial=dry_run)
    if not files:
        unchanged = Phrase("no file has only lines before {day}; the journal is unchanged", day=first.date())
        put([translate(unchanged) + "\n"])
    form = Phrase("{file}: would be removed") if dry_run else Phrase("{file}: removed")
    put(f"{translate(Phrase(form, file=shown(file)))}\n" for file in files)
    return int(Exit.DONE)


def begin(reason: Reason = "", syslog: Syslog = "", dry_run: DryRun = False) -> int:
    """Begin a new journal on this host after lines that its runs wrote were lost.

    First restore the journal from a copy, if there is one. The new chain begins with a line that says what
    is missing, who began it and why; `journal verify` no longer compares earlier runs with it. Refused if
    no line is missing: if a whole host was restored, only heads in syslog (--syslog) show what is missing.

    Exit codes: 0 begun, 1 no line is missing, 7 another run is writing.

    Example: piactl journal begin --reason "the disk was lost"
    """
    command = begin_act(Manner(reason, dry_run))
    configuration, order = command.configuration, command.order
    anchors = _read_syslog(syslog)
    with writing(configuration) as writer:
        missing = missing_lines(
            writer, order.actor.host, configuration.settings, configuration.unreadable, utc_now, anchors
        )
        if dry_run:
            put([f"{translate(missing)}\n"])
            return int(Exit.DONE)
        begin_journal(writer, command.run(), missing)
    put([translate(Phrase("run {run}: the journal begins anew", run=order.run)) + "\n"])
    return int(Exit.DONE)


def close(reason: Reason = "", dry_run: DryRun = False) -> int:
    """Close the journals that other Unix users of this host had, which this journal goes on from.

    They lie in the folder `closed` beside the journal, each in a folder of its own. Each gets a last line,
    and this journal a line with their heads. Until their files are removed, `account history`, `recover`,
    `journal show` and `journal verify` read them like this journal.

    Exit codes: 0 closed, or there is none to close.

    Example: piactl journal close --reason "one Unix user"
    """
    command = begin_act(Manner(reason, dry_run))
    path = command.configuration.settings.journal_file
    chains = open_chains(path)
    if chains and not dry_run:
        with writing(command.configuration) as writer:
            close_chains(writer, command.run(), chains)
    form = Phrase("{file}: would be closed") if dry_run else Phrase("{file}: closed")
    said = [Phrase(form, file=name) for name in chains]
    said = said or [Phrase("{file}: no other journal is to be closed", file=path)]
    put(f"{translate(line)}\n" for line in said)
    return int(Exit.DONE)
