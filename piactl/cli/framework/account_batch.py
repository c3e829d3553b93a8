"""What all commands that change accounts one by one have in common: names, showing, asking, results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.context import (
    layout_or_default,
    put,
    reading,
    say,
    this_configuration,
    today,
    writing,
)
from piactl.cli.framework.options import Layout, read_allowed, read_day
from piactl.cli.framework.run_context import _now, new_order, stop_on_signals
from piactl.cli.framework.terminal import StdoutLost, confirmed
from piactl.errors import Exit, PiactlError, UsageError

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.core.edits import Act, Author
    from piactl.core.model.settings import Settings
    from piactl.directory.port import Reader
    from piactl.flows.accounts.edit import Preparation, Prepared
    from piactl.flows.apply.run import Order


# The accounts that a command is for: named on the command line, or on stdin.

_BOM = b"\xef\xbb\xbf"


def read_names(arguments: Sequence[str]) -> list[str]:
    """The names on the command line; `-` reads stdin: one per line, plain, as JSON text, or as an object
    with a uid, as `account list -o ndjson` prints them. Raises UsageError."""
    names: list[str] = []
    for argument in arguments:
        names += _names_of_stdin() if argument == "-" else [argument]
    return names


def _names_of_stdin() -> Iterator[str]:
    # as bytes: what is no text is told with its line, whatever the locale
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            line = (raw.removeprefix(_BOM) if number == 1 else raw).decode().strip()
        except UnicodeDecodeError:
            raise UsageError(f"stdin, line {number}: is no UTF-8 text; nothing was changed") from None
        if line:
            yield _name_in_json(line, number) if line[0] in '{"' else line


def _name_in_json(line: str, number: int) -> str:
    import json

    try:
        value = json.loads(line)
        name = value.get("uid") if isinstance(value, dict) else value
        usable = isinstance(name, str) and name.encode() != b""
    except (ValueError, RecursionError):
        usable = False
    if not usable:
        raise UsageError(
            f"stdin, line {number}: neither a name nor a JSON object with a uid; nothing was changed"
        )
    return str(name)


Names = Annotated[
    list[str],
    typer.Argument(
        metavar="ACCOUNT...",
        help="A uid, an address or a matricule; - reads them from stdin, one per line.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation. Guards still apply.")]
ActOutput = Annotated[
    Layout | None,
    typer.Option("-o", "--output", help="How to print the results; text without it.", show_default=False),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="KIND=N", help="Approve a broken guard for exactly N accounts."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="DATE", help="The last day of it (YYYY-MM-DD).")
]
ActAsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DATE", help="Act as of another day (only for trials).")
]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command was asked to act."""

    reason: str
    dry_run: bool = False
    yes: bool = False
    output: Layout | None = None
    allow: Sequence[str] = ()
    as_of: str | None = None
    identity: str = "administrator"
    recorded: bool = True
    """Whether the run leaves a record in the directory; the help desk's identity may write none."""
    emergency: bool = False
    """Whether it takes access away, and so goes on where the default password policy is missing."""


def begin(manner: Manner, *, changes: bool = True) -> tuple[Configuration, Order, Author]:
    """The configuration, the order of the run and its author. Raises UsageError without a reason, unless the
    command `changes` nothing."""
    from piactl.core.edits import Author
    from piactl.core.model.numen import masked

    if changes and not manner.reason.strip():
        raise UsageError('a change by hand needs a reason: add --reason "..."')
    configuration = this_configuration()
    day = read_day(manner.as_of, today(configuration)) if manner.as_of else None
    reason = masked(manner.reason)
    order = new_order(configuration, day, reason, read_allowed(manner.allow))
    return configuration, order, Author(author_of(order), reason)


def author_of(order: Order) -> str:
    """The person behind a command: who logged in to the host, else who used sudo, else the user."""
    actor = order.actor
    return actor.login or actor.sudo_user or actor.user


def act_on(names: Sequence[str], act: Act, manner: Manner, configuration: Configuration, order: Order) -> int:
    """Does the act to each account that is named; its exit code.

    Shows what would change and asks, on a terminal; elsewhere it acts. Raises UnsafePlan where a guard is
    broken, and the error of the account where only one is named.
    """
    from piactl.flows.accounts.edit import prepare

    wanted = read_names(names)

    def make(reader: Reader) -> Preparation:
        store, rules = configuration.accounts(reader), configuration.rules(order.as_of)
        return prepare(store, rules, wanted, act, order.reason, configuration.unreadable)

    return decide(make, manner, configuration, order)


def decide(
    make: Callable[[Any], Preparation],
    manner: Manner,
    configuration: Configuration,
    order: Order,
    done: Callable[[Mapping[str, str]], None] | None = None,
) -> int:
    """Makes the preparation (`make` is given a reader), shows it, asks, and carries it out. `done` is told
    the outcome of each account that was to be written, by uid, before the results are printed."""
    from piactl.flows.accounts.edit import Acted, carry_out

    acted, failure = Acted(order.run), None
    if manner.dry_run:
        with reading(configuration) as reader:
            preparation = make(reader)
        _say_guards(preparation, order)
        return finish(preparation, manner, foretold)
    with writing(configuration, manner.identity) as writer:
        preparation = make(writer)
        _say_guards(preparation, order)
        if not agreed(preparation, manner):
            say("nothing was changed")
            return int(Exit.FAILED)
        # signals are held back only while writing; a prompt may be left at once
        try:
            with stop_on_signals() as stop:
                carry_out(
                    writer,
                    order,
                    preparation,
                    configuration.settings,
                    configuration.keys,
                    configuration.unreadable,
                    now=_now,
                    say=say,
                    stop=stop,
                    recorded=manner.recorded,
                    emergency=manner.emergency,
                    acted=acted,
                )
        except PiactlError as error:
            # what was made before it is told all the same, to the hooks too
            if done is not None or not acted.outcomes:
                raise
            failure = error

    def became(one: Prepared) -> tuple[str, str]:
        if one.uid in acted.outcomes or failure is None:
            return acted.outcomes.get(one.uid, ("not made", f"stopped by {acted.stopped}"))
        doubtful = one.write is not None and one.write.write.dn in getattr(failure, "doubtful", ())
        return ("in doubt" if doubtful else "not made", "the command had to end")

    hooked = _call_hooks(configuration.settings, preparation, became)
    if failure is not None:
        put_results([result_facts(one, became(one)) for one in preparation.accounts], manner.output)
        raise failure
    if done is not None:
        done({one.uid: became(one)[0] for one in preparation.accounts if one.write is not None})
    code = finish(preparation, manner, became, run=order.run)
    return code if hooked or code != Exit.DONE else int(Exit.PARTLY)


def agreed(preparation: Preparation, manner: Manner) -> bool:
    """Whether it may be done: always where nobody can be asked."""
    if manner.yes or not preparation.writes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    from piactl.core.text import counted
    from piactl.report.plan_text import result_text

    for one in preparation.accounts:
        print(result_text(result_facts(one, foretold(one))), end="", file=sys.stderr)
    accounts = counted(len(preparation.writes), "account", "accounts")
    return confirmed(f"Change {accounts}?")


def foretold(one: Prepared) -> tuple[str, str]:
    return ("would change", "")


def _say_guards(preparation: Preparation, order: Order) -> None:
    from piactl.flows.apply.executor import refused
    from piactl.flows.plan.plan_file import refusal_facts
    from piactl.report.plan_text import refusal_lines

    broken = refused(preparation.refusals, order.allowed)
    if not broken:
        return
    for line in refusal_lines([refusal_facts(one) for one in broken]):
        if line:
            say(line)
    allow = " ".join(
        f"--allow {kind}={total}" for kind, total in sorted({r.kind: r.total for r in broken}.items())
    )
    say(f"If it is meant so, repeat the command with {allow}")


def result_facts(one: Prepared, became: tuple[str, str]) -> dict[str, Any]:
    """The result object of one account; see docs/accounts.md."""
    from piactl.core.model.numen import read_numen
    from piactl.flows.plan.plan_file import change_facts

    outcome, message = became
    if one.error is not None:
        kind = "not found" if one.error.exit_code == Exit.NOT_FOUND else "refused"
        outcome, message = kind, str(one.error)
    elif one.write is None:
        outcome, message = "already so", one.note
    elif outcome in ("applied", "already so", "would change"):
        message = message or one.note
    return {
        "account": str(read_numen(one.name) or one.name),
        "uid": one.uid or None,
        "outcome": outcome,
        "kinds": list(one.write.kinds) if one.write else [],
        "message": message,
        "changes": [change_facts(change) for change in one.changes],
        "outlook": [{"day": day.isoformat(), "what": what} for day, what in one.outlook],
    }


def finish(preparation: Preparation, manner: Manner, became: Any, run: str = "") -> int:
    """Prints the results in the order of the names; the exit code."""
    accounts = preparation.accounts
    if len(accounts) == 1 and accounts[0].error is not None and manner.output is None:
        raise accounts[0].error
    results = [result_facts(one, became(one)) for one in accounts]
    try:
        put_results(results, manner.output)
    except StdoutLost as lost:
        if not (run and preparation.writes):
            raise
        say(f"{lost}\nWhat was asked for was carried out; see: piactl journal show --run {run}")
        return int(Exit.FAILED)
    bad = [r for r in results if r["outcome"] not in ("applied", "already so", "would change")]
    if not bad:
        return int(Exit.DONE)
    if len(accounts) == 1:
        error: PiactlError | None = accounts[0].error
        return int(error.exit_code if error else Exit.FAILED)
    say(f"{len(bad)} of {len(accounts)} accounts were not changed")
    return int(Exit.PARTLY)


def put_results(results: Sequence[dict[str, Any]], output: Layout | None) -> None:
    from piactl.report.plan_text import RESULT_COLUMNS, result_text
    from piactl.report.table import rendered

    if output is None:
        put(result_text(result) for result in results)
    else:
        put(rendered(results, RESULT_COLUMNS, layout_or_default(output)))


def _call_hooks(settings: Settings, preparation: Preparation, became: Any) -> bool:
    """Tells the outside of each lock that was made; False where that failed."""
    locked = [
        one
        for one in preparation.accounts
        if one.write is not None and "lock" in one.write.kinds and became(one)[0] == "applied"
    ]
    if not locked:
        return True
    from piactl.flows.accounts.edit import call_lock_hook

    return call_lock_hook(settings, [one.uid for one in locked], say)
