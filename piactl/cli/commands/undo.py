"""`undo RUN`: put back what a run changed, and say of each account what became of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.account_batch import ActAsOf, Allow, DryRun, Manner, Yes, begin
from piactl.cli.framework.context import ProgressLine, put, reading, say, writing
from piactl.cli.framework.options import PlanLayout, Reason, RunOutput
from piactl.cli.framework.run_context import _now, stop_on_signals
from piactl.cli.framework.terminal import StdoutLost, confirmed
from piactl.core.text import counted
from piactl.errors import Exit, UnsafePlan
from piactl.report.plan_text import refusal_lines
from piactl.report.undo_text import undo_summary, undo_text

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.flows.apply.executor import Done
    from piactl.flows.apply.run import Order
    from piactl.flows.undo.plan import Undoing

IDENTITY = "administrator"
_FIRST_GUARDS = 3


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
    output: RunOutput = PlanLayout.TEXT,
    as_of: ActAsOf = None,
) -> int:
    """Put back what a run changed, account by account.

    Each account is put back whole, or kept where anything that the run wrote was changed since, and then it
    is said by whom. An account that the run made is closed, never deleted. An archival cannot be undone.
    What the next night would do again is listed. An undo that was interrupted is finished by repeating it.
    Exit codes: 0 all is as before, 4 refused by a guard, 5 some accounts were kept, 7 a run is writing.
    """
    from piactl.flows.undo.plan import propose_undo

    manner = Manner(reason, dry_run, yes, allow=allow or [], as_of=as_of, identity=IDENTITY)
    configuration, order, _ = begin(manner, changes=not (dry_run or out))
    with reading(configuration, IDENTITY) as reader:
        undoing = propose_undo(
            reader,
            configuration.settings,
            configuration.rules(order.as_of),
            configuration.register_digest,
            configuration.unreadable,
            run,
            order.reason,
            _now(),
        )
    if out:
        _keep(undoing, out)
    if dry_run or out:
        return _foretell(undoing, configuration, order, output, everything=everything)
    if not undoing.ready.writes and not undoing.ready.records:
        return _finish(undoing, _result(undoing, configuration), output, everything=everything)
    _refuse_broken(undoing, order)
    if not _agreed(undoing, configuration, yes=yes):
        say("nothing was changed")
        return int(Exit.FAILED)
    done = _apply(undoing, configuration, order)
    result = _result(undoing, configuration, done)
    locked = [one["uid"] for one in result["accounts"] if "lock" in one["kinds"] and _made(one)]
    if locked:
        from piactl.flows.accounts.edit import call_lock_hook

        call_lock_hook(configuration.settings, locked, say)
    return _finish(undoing, result, output, everything=everything)


def _keep(undoing: Undoing, out: str) -> None:
    from piactl.flows.plan.plan_file import plan_pieces
    from piactl.private_files import write_private

    write_private(Path(out), plan_pieces(undoing.ready))
    say(f"kept in {out}; make it true with: piactl apply {out}")


def _foretell(
    undoing: Undoing, configuration: Configuration, order: Order, output: PlanLayout, *, everything: bool
) -> int:
    _print(_result(undoing, configuration), output, everything=everything)
    if undoing.incomplete:
        say("some accounts of the run are not known, because what it kept of them cannot be read")
    return int(Exit.REFUSED if _say_broken(undoing, order) else Exit.DONE)


def _say_broken(undoing: Undoing, order: Order) -> str:
    """Tells which guards stand in the way, "" where none does; a mass of them only by the first few."""
    from piactl.flows.apply.executor import refused
    from piactl.flows.plan.plan_file import refusal_facts

    broken = refused(undoing.ready.plan.refusals, order.allowed)
    if not broken:
        return ""
    for line in refusal_lines([refusal_facts(one) for one in broken[:_FIRST_GUARDS]]):
        if line:
            say(line)
    if len(broken) > _FIRST_GUARDS:
        say(f"... and {len(broken) - _FIRST_GUARDS} more guards; all of them: --dry-run -o json")
    totals = {one.kind: one.total for one in broken}
    allow = " ".join(f"--allow {kind}={total}" for kind, total in sorted(totals.items()))
    say(f'If it is meant so, repeat the command with {allow} --reason "..."')
    return counted(len(broken), "guard is broken", "guards are broken")


def _refuse_broken(undoing: Undoing, order: Order) -> None:
    broken = _say_broken(undoing, order)
    if broken:
        raise UnsafePlan(f"{broken}; nothing was written")


def _agreed(undoing: Undoing, configuration: Configuration, *, yes: bool) -> bool:
    """Whether it may be done: always where nobody can be asked."""
    writes = undoing.ready.writes
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True

    print(undo_text(_result(undoing, configuration)), end="", file=sys.stderr)
    accounts = counted(len(writes), "account", "accounts")
    return confirmed(f"Put back {accounts}?" if writes else "Change no account, but note the undo?")


def _apply(undoing: Undoing, configuration: Configuration, order: Order) -> Done:
    from piactl.flows.apply.run import locked_run
    from piactl.flows.nightly import run_apply

    progress = ProgressLine("put back")
    with stop_on_signals() as stop, writing(configuration, IDENTITY) as writer:
        try:
            begin_run = locked_run(
                writer,
                order,
                configuration.settings,
                configuration.keys,
                configuration.unreadable,
                _now,
                say,
                undoing.ready.fingerprint,
            )
            return run_apply(begin_run, undoing.ready, progress=progress, stop=stop)
        finally:
            progress.close()


def _result(undoing: Undoing, configuration: Configuration, done: Done | None = None) -> dict[str, Any]:
    """What -o json prints, as the README documents it."""
    from piactl.flows.plan.plan_file import plan_document

    document = plan_document(undoing.ready)
    facts = document["undo"]
    changes: dict[str, list[Any]] = {}
    for change in document["changes"]:
        changes.setdefault(change["uid"], []).append(change)
    accounts = []
    for one in facts["accounts"]:
        outcome, message = one["outcome"], one["message"]
        if outcome == "reversed" and done is None:
            outcome = "would be reversed"
        elif outcome == "reversed" and done is not None:
            became, message = done.results.get(one["uid"], ("not made", f"stopped by {done.stopped}"))
            outcome = "reversed" if became in ("applied", "already so") else became
        accounts.append(
            {**one, "outcome": outcome, "message": message, "changes": changes.get(one["uid"], [])}
        )
    return {
        "run": done.run if done else None,
        "status": done.status if done else "nothing to do" if not undoing.ready.writes else "not made",
        "undoes": facts["run"],
        **{name: facts[name] for name in ("command", "user", "as_of", "started", "feeds", "unchanged")},
        "deltas": sorted(name for name, one in configuration.settings.sources.items() if not one.full),
        "accounts": accounts,
        "refusals": document["refusals"],
        "plan": document["fingerprint"],
    }


def _made(one: Mapping[str, Any]) -> bool:
    return bool(one["outcome"] == "reversed")


def _print(result: Mapping[str, Any], output: PlanLayout, *, everything: bool) -> None:
    if output is PlanLayout.JSON:
        put([json.dumps(result, ensure_ascii=False, indent=1) + "\n"])
    else:
        put([undo_text(result, most=0 if everything else 5)])


def _finish(undoing: Undoing, result: Mapping[str, Any], output: PlanLayout, *, everything: bool) -> int:
    """Prints what became of the undo; the exit code."""
    try:
        _print(result, output, everything=everything)
        if output is not PlanLayout.JSON and result["run"]:
            put([undo_summary(result)])
    except StdoutLost as error:
        if not result["run"]:
            raise
        say(f"{error}\nThe undo itself was carried out; see: piactl runs show {result['run']}")
        return int(Exit.FAILED)
    left = [one for one in result["accounts"] if not _made(one)]
    if left:
        accounts = counted(len(left), "account of the run is", "accounts of the run are")
        say(f"{accounts} not as before it")
    if undoing.incomplete:
        say("some accounts of the run are not known, because what it kept of them cannot be read")
    return int(Exit.PARTLY if left or undoing.incomplete else Exit.DONE)
