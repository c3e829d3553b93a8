"""`undo RUN`: undoes a run, account by account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from piactl.cli.framework.account_command import Manner, ask, begin
from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import ActAsOf, Allow, DryRun, Form, Reason, RunOutput, Yes
from piactl.cli.framework.output import display, put_json, say, say_again, typed_again
from piactl.cli.framework.terminal import StdoutLost
from piactl.cli.framework.writing_command import (
    run_plan,
    say_broken_guards,
    say_next_steps,
    say_refused,
    write_plan,
)
from piactl.clock import utc_now
from piactl.core.model.settings import IdentityName
from piactl.core.plan.change import Kind
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.interfaces import Outcome
from piactl.edits.carry_out_batch import options_allowing, refuse_broken_guards
from piactl.edits.undo_account import UndoFate
from piactl.edits.undo_run import Undoing, propose_undo
from piactl.errors import Exit, UnsafePlan
from piactl.host.private_files import refuse_output
from piactl.journal import Order
from piactl.phrase import Phrase, counted, joined
from piactl.planning.signed_plan_file import plan_document
from piactl.report.undo_text import undo_summary, undo_text
from piactl.runs.apply_plan import Done, refused
from piactl.runs.hooks import say_sessions_go_on

IDENTITY = IdentityName.ADMINISTRATOR
_FIRST_GUARDS = 3
_INCOMPLETE = Phrase(
    "Some accounts of this run are not listed: their entries in its undo log cannot be read."
)


def undo(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The id of a run, as in `runs list`; `last` is the last one that changed accounts.",
        ),
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="FILE", help="Write the plan of the undo to a file for `apply`; change nothing."
        ),
    ] = "",
    allow: Allow = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every account.")] = False,
    output: RunOutput = Form.TEXT,
    as_of: ActAsOf = None,
) -> int:
    """Undo a run, account by account.

    An account is restored completely, or not at all: if anything that the run wrote has changed since, the
    account stays as it is, and the output says who changed it. An account that the run created is closed,
    never deleted. An archival cannot be undone. The output lists the changes that the next night would make
    again. To finish an interrupted undo, repeat it.

    Exit codes: 0 all accounts are as before, 4 refused by a guard, 5 some accounts were kept, 7 another run
    is writing.

    Example: piactl undo last --reason "the file was that of another year"
    """
    manner = Manner(reason, dry_run, yes, allow=allow or [], as_of=as_of, identity=IDENTITY)
    command = begin(manner, changes=not (dry_run or out))
    configuration, order = command.configuration, command.order
    if out:
        refuse_output("--out", out, configuration.settings.plans_folder)
    with reading(configuration, IDENTITY) as reader:
        undoing = propose_undo(
            reader,
            configuration.settings,
            configuration.rules(order.as_of),
            configuration.unreadable,
            run,
            order.reason,
            utc_now(),
            order.actor.names,
        )
    if out:
        write_plan(undoing.ready, out)
    if dry_run or out:
        return _show_dry_run(undoing, configuration, order, output, out, everything=everything)
    if not undoing.ready.writes and not undoing.ready.records:
        return _finish(undoing, _result(undoing, configuration), output, everything=everything)
    try:
        refuse_broken_guards(undoing.ready.plan.refusals, order.allowed)
    except UnsafePlan as error:
        say_broken_guards(error.refusals, most=_FIRST_GUARDS)
        if output is Form.JSON:
            result = _result(undoing, configuration)
            again = typed_again(error.options)
            _print({**result, "status": RunStatus.REFUSED, "next": again}, output, everything=everything)
        raise
    question = Phrase("Change no account, but record the undo?")
    if undoing.ready.writes:
        question = Phrase(
            "Put back {accounts}?", accounts=counted(len(undoing.ready.writes), "account", "accounts")
        )
    ask(lambda: undo_text(_result(undoing, configuration)), question, yes=yes)
    done = run_plan(configuration, order, undoing.ready, IDENTITY, Phrase("put back"))
    result = _result(undoing, configuration, done)
    if any(Kind.LOCK.value in account["kinds"] and _was_reversed(account) for account in result["accounts"]):
        say_sessions_go_on(configuration.settings, say)
    return _finish(undoing, result, output, everything=everything)


def _show_dry_run(
    undoing: Undoing,
    configuration: Configuration,
    order: Order,
    output: Form,
    out: str,
    *,
    everything: bool,
) -> int:
    _print(_result(undoing, configuration), output, everything=everything)
    if undoing.incomplete:
        say(_INCOMPLETE)
    broken = refused(undoing.ready.plan.refusals, order.allowed)
    if broken and out:
        say_refused(undoing.ready, out, broken)
    elif broken:
        say_broken_guards(broken, most=_FIRST_GUARDS)
        say_again(options_allowing(broken, order.allowed))
    elif out:
        say_next_steps(undoing.ready, out)
    return int(Exit.REFUSED if broken else Exit.DONE)


def _result(undoing: Undoing, configuration: Configuration, done: Done | None = None) -> dict[str, Any]:
    """The result as `-o json` prints it; documented in docs/undo.md."""
    document = plan_document(undoing.ready)
    facts = document["undo"]
    changes: dict[str, list[Any]] = {}
    for change in document["changes"]:
        changes.setdefault(change["uid"], []).append(change)
    accounts = []
    for account in facts["accounts"]:
        outcome, message = account["outcome"], account["message"]
        if outcome == UndoFate.REVERSED and done is None:
            outcome = Phrase("would be reversed")
        elif outcome == UndoFate.REVERSED and done is not None:
            not_made = (Phrase("not made"), Phrase("stopped by {signal}", signal=done.stopped))
            written, message = done.results.get(account["uid"], not_made)
            made = written in (Outcome.APPLIED.value, Outcome.UNCHANGED.value)
            outcome = UndoFate.REVERSED.value if made else written
        accounts.append(
            {**account, "outcome": outcome, "message": message, "changes": changes.get(account["uid"], [])}
        )
    return {
        "run": done.run if done else None,
        "status": done.status
        if done
        else Phrase("nothing to do")
        if not undoing.ready.writes
        else Phrase("not made"),
        "undoes": facts["run"],
        **{name: facts[name] for name in ("command", "user", "as_of", "started", "feeds", "unchanged")},
        "deltas": sorted(name for name, source in configuration.settings.sources.items() if not source.full),
        "accounts": accounts,
        "refusals": document["refusals"],
        "plan": document["fingerprint"],
        "next": "",
    }


def _was_reversed(account: Mapping[str, Any]) -> bool:
    return bool(account["outcome"] == UndoFate.REVERSED)


def _print(result: Mapping[str, Any], output: Form, *, everything: bool) -> None:
    if output is Form.JSON:
        put_json(result, 1)
    else:
        display([undo_text(result, most=0 if everything else 5)])


def _finish(undoing: Undoing, result: Mapping[str, Any], output: Form, *, everything: bool) -> int:
    try:
        _print(result, output, everything=everything)
        if output is not Form.JSON and result["run"]:
            display([undo_summary(result)])
    except StdoutLost as error:
        if not result["run"]:
            raise
        see = Phrase("The undo itself was made; see: piactl runs show {run}", run=result["run"])
        say(joined([str(error), see], "{first}\n{second}"))
        return int(Exit.FAILED)
    remaining = [account for account in result["accounts"] if not _was_reversed(account)]
    if remaining:
        number = len(remaining)
        say(
            counted(
                number,
                "account of the run is not as before it",
                "accounts of the run are not as before it",
            )
        )
    if undoing.incomplete:
        say(_INCOMPLETE)
    return int(Exit.PARTLY if remaining or undoing.incomplete else Exit.DONE)
