"""The shared parts of commands that write: the order of a run, its lock, its plan and its summary."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from piactl.cli.framework.command_table import asked
from piactl.cli.framework.configuration import Configuration, chosen, this_configuration, today
from piactl.cli.framework.open_directory import writing
from piactl.cli.framework.options import DAY_OPTIONS, Form, days_away
from piactl.cli.framework.output import (
    display,
    next_step,
    progress_line,
    put,
    put_json,
    say,
    typed_again,
)
from piactl.cli.framework.terminal import StdoutLost, stop_on_signals
from piactl.clock import utc_now
from piactl.core.model.settings import IdentityName
from piactl.core.plan.approval_rules import reasons
from piactl.core.plan.change import Kind
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.store.typed_records import to_json
from piactl.errors import (
    REASON,
    Exit,
    FeedRefused,
    FeedsRefused,
    NotFound,
    PiactlError,
    UnsafePlan,
    UsageError,
)
from piactl.host.private_files import make_private_folder, write_private
from piactl.journal import Order, who
from piactl.night.run_night import RefusedPlan, run_apply
from piactl.phrase import Phrase, counted, joined
from piactl.planning.signed_plan_file import plan_document, plan_pieces
from piactl.report.establishment_names import with_names
from piactl.report.plan_text import apply_command, plan_text, refusal_lines
from piactl.report.recover_text import REDACTED
from piactl.report.table import numbers
from piactl.runs.apply_plan import Done, refused
from piactl.runs.run import CommandRun, journal_reading
from piactl.translation import translate_word


def new_order(
    configuration: Configuration,
    as_of: date | None,
    reason: str = "",
    allowed: Mapping[str, int] | None = None,
    *,
    break_glass: bool = False,
) -> Order:
    """The order of a run that starts now. `as_of` None is today."""
    now = utc_now()
    day = today(configuration)
    return Order(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        as_of=as_of or day,
        today=day,
        explicit=as_of is not None,
        command=("piactl", *recorded_words(sys.argv[1:], day)),
        actor=who(),
        policy=configuration.policy.digest,
        rules=configuration.policy.content,
        reason=reason,
        allowed=allowed or {},
        urn=configuration.policy.urn,
        break_glass=break_glass,
    )


PERSONAL = frozenset(
    {"--family-name", "--given-name", "--usage-name", "--civilite", "--private-mail", "--matricule"}
)
"""Options of `account` whose values are personal data. The entry has them, the journal needs none."""


def recorded_words(words: Sequence[str], today: date) -> list[str]:
    """The words of a command as the journal and the record of the run have them: without personal data, in
    UTF-8 (a file may have another name), and with the day that `tomorrow` was."""
    words = [word.encode("utf-8", "backslashreplace").decode() for word in words]
    words = [_dated(word, before, today) for before, word in zip(["", *words], words, strict=False)]
    if asked(words)[0] != "account":
        return words
    recorded = []
    before = ""
    for text in words:
        option, sign, _ = text.partition("=")
        hidden = before in PERSONAL or (sign and option in PERSONAL)
        recorded.append(
            text if not hidden else f"{option}={REDACTED}" if before not in PERSONAL else REDACTED
        )
        before = "" if before in PERSONAL else text
    return recorded


def _dated(word: str, before: str, today: date) -> str:
    """The word after `before`, with the day itself in place of one that counts from today."""
    option, sign, text = word.partition("=") if word.startswith("--") else (before, "", word)
    number = days_away(text) if option in DAY_OPTIONS else None
    if number is None:
        return word
    day = (today + timedelta(days=number)).isoformat()
    return f"{option}={day}" if sign else day


def journal_private_reading(
    configuration: Configuration,
    kind: str,
    uids: Sequence[str],
    identity: IdentityName = IdentityName.READER,
) -> None:
    """Records that private data of these accounts are about to be shown. Raises JournalUnusable: then they
    are not shown."""
    journal_reading(run_of(configuration, new_order(configuration, None)), identity, kind, uids)


def apply_plan(
    configuration: Configuration,
    ready: ReadyPlan,
    name: str,
    allowed: Mapping[str, int],
    reason: str,
    output: Form,
    *,
    break_glass: bool = False,
) -> Done:
    order = new_order(configuration, ready.plan.basis.as_of, reason, allowed, break_glass=break_glass)
    # only the administrator may write entries that piactl does not manage yet
    adopts = Kind.ADOPT.value in ready.plan.summary
    # the nightly identity may not write protected accounts
    by_hand = ready.undo is not None and any(change.protected for change in ready.plan.changes)
    identity = IdentityName.ADMINISTRATOR if adopts or by_hand else IdentityName.NIGHTLY
    try:
        done = run_plan(configuration, order, ready, identity, Phrase("written"))
    except RefusedPlan as error:
        file = error.file if name == "-" else Path(name)
        _refuse_broken(ready, file, allowed)
        raise
    put_outcome(done, output)
    return done


def run_plan(
    configuration: Configuration, order: Order, ready: ReadyPlan, identity: IdentityName, task: str
) -> Done:
    """Applies a plan in a run of its own; `task` is the word of its progress. Raises as `run_apply`."""
    run, approvals = run_of(configuration, order), configuration.policy.approvals
    with (
        stop_on_signals() as stop,
        writing(configuration, identity) as writer,
        progress_line(task) as progress,
    ):
        return run_apply(run, writer, ready, approvals, progress=progress, stop=stop)


def write_plan(ready: ReadyPlan, file: str) -> None:
    """Writes a sealed plan to a private file, and says so."""
    kept = Path(this_configuration().settings.plans_folder)
    if Path(file).parent == kept:
        make_private_folder(kept)
    write_private(Path(file), plan_pieces(ready))
    say(Phrase("Plan written to {file}", file=file))


def run_of(configuration: Configuration, order: Order) -> CommandRun:
    """The run of an order, which has not begun."""
    settings, keys, unreadable = configuration.settings, configuration.keys, configuration.unreadable
    chosen.began = True
    return CommandRun(order, settings, keys, unreadable, utc_now, say)


def show_plan(ready: ReadyPlan, output: Form | None, *, most: int) -> None:
    """Prints a sealed plan; as text with at most `most` changes of each kind, 0 for all."""
    if output is Form.JSON:
        put(piece.decode() for piece in plan_pieces(ready))
    else:
        register = this_configuration().register
        display([with_names(plan_text(plan_document(ready), most=most), register)])


def _refuse_broken(ready: ReadyPlan, file: Path, allowed: Mapping[str, int]) -> None:
    """Raises RefusedPlan if the plan in the file breaks a guard that is not `allowed`."""
    broken = refused(ready.plan.refusals, allowed)
    if broken:
        say_refused(ready, str(file), broken)
        number = counted(len(broken), "guard is broken", "guards are broken")
        wrong = (
            Phrase(
                "--allow {kind}={number}: it is {total}", kind=r.kind, number=allowed[r.kind], total=r.total
            )
            for r in broken
            if r.kind in allowed
        )
        nothing = Phrase("{guards}; nothing was written", guards=number)
        message = joined([nothing, *wrong], "{first}\n{second}")
        raise RefusedPlan(message, message, ready, file)


def say_refused(ready: ReadyPlan, name: str, broken: Sequence[Refusal]) -> None:
    """Reports broken guards of the plan in the file `name`, and how to show and apply it."""
    say_broken_guards(broken)
    say(Phrase("To show it: piactl plan show {name}", name=shlex.quote(name)))
    say_next_steps(ready, name)


def say_broken_guards(broken: Sequence[Refusal], *, most: int | None = None) -> None:
    """Reports the broken guards, at most `most`."""
    shown = broken[:most]
    for line in refusal_lines([to_json(refusal) for refusal in shown]):
        if line:
            say(line)
    if len(broken) > len(shown):
        guards = counted(len(broken) - len(shown), "more guard", "more guards")
        say(Phrase("... and {guards}; all of them: --dry-run -o json", guards=guards))


def _first_step(error: PiactlError) -> str:
    """What comes next after an error that ends a run, for a program: a command, if there is one."""
    if error.options:
        return typed_again(error.options)
    if isinstance(error, RefusedPlan) and error.broken:
        file = str(error.file)
        return _approval(error.ready, file) or apply_command(
            list(map(to_json, error.ready.plan.refusals)), file
        )
    return next_step(str(error), error.exit_code, chosen.words)


def say_next_steps(ready: ReadyPlan, name: str, first: str = "") -> None:
    """Says how to apply the plan in the file `name`, or one that the command writes if it is "": the approval
    of another person, if the policy asks for it, and the command. `first` is what has to happen before."""
    steps = [first] if first else []
    if not name:
        name = this_configuration().settings.kept_plan(ready.fingerprint)
        steps.append(typed_again((f"--out {shlex.quote(name)}",)))
    say_approval(ready, name)
    steps.append(apply_command(list(map(to_json, ready.plan.refusals)), name))
    say(Phrase("To apply it: {steps}", steps=joined(steps, "{first}, then {second}")))


def say_approval(ready: ReadyPlan, name: str) -> None:
    """Says that the plan in the file `name` needs the approval of another person, if so."""
    if approve := _approval(ready, name):
        say(Phrase("It needs the approval of another person: {command}", command=approve))


def _approval(ready: ReadyPlan, name: str) -> str:
    """The command that approves the plan in the file `name`, "" if it needs no other person."""
    needed = reasons(ready.plan, this_configuration().policy.approvals)
    return f"piactl approve {shlex.quote(name)} {REASON}" if needed else ""


def put_outcome(done: Done, output: Form, ready: ReadyPlan | None = None) -> None:
    """Prints the outcome of a run to stdout, as json or as a sentence, and each problem to stderr."""

    for uid, outcome, message in done.problems:
        say(joined([uid, translate_word(outcome), message], "{first}: {second}"))
    if output is Form.JSON:
        refused_feeds = [fact for error in done.without_feeds for fact in refused_feed_facts(error)]
        put_run(
            run=done.run,
            status=done.status,
            **done.facts(),
            refused_feeds=refused_feeds,
            **_plan_facts(ready),
        )
        return
    counts = dict(sorted(done.counts.items()))
    outcome = Phrase("run {run}: {status}", run=done.run, status=translate_word(done.status))
    if done.stopped:
        facts = {"number": counts.pop("applied", 0), "wanted": done.wanted}
        outcome = Phrase("{outcome}: {number} of {wanted} written", outcome=outcome, **facts)
    elif not counts:
        outcome = Phrase("{outcome}; nothing to do", outcome=outcome)
    display([joined(filter(None, [outcome, numbers(counts)])), "\n"])


def put_run(**facts: Any) -> None:
    """Prints a run as one json object, however it ended."""

    usual: dict[str, Any] = {
        "run": None,
        "status": RunStatus.REFUSED,
        "error": "",
        "next": "",
        "outcomes": {},
        "problems": [],
        "refusals": [],
        "refused_feeds": [],
        "summary": {},
        "plan": None,
    }
    put_json({**usual, **facts}, 1)


def _plan_facts(ready: ReadyPlan | None) -> dict[str, Any]:
    return {"summary": dict(ready.plan.summary), "plan": ready.fingerprint} if ready is not None else {}


@contextmanager
def refusals_as_json(
    output: Form | None, run: str | None = None, ready: ReadyPlan | None = None
) -> Iterator[None]:
    """With -o json, prints the object of a run also if the block raises what prevents or ends it."""
    try:
        yield
    except PiactlError as error:
        if output is Form.JSON and not isinstance(error, UsageError | NotFound | StdoutLost):
            refused = error.exit_code in (Exit.REFUSED, Exit.FEED_REFUSED)
            guards = error.refusals if isinstance(error, UnsafePlan) else ()
            put_run(
                run=run,
                status=RunStatus.REFUSED if refused else RunStatus.FAILED,
                error=str(error),
                next=_first_step(error),
                refusals=list(map(to_json, guards)),
                refused_feeds=refused_feed_facts(error),
                **_plan_facts(getattr(error, "ready", ready)),
            )
        raise


def refused_feed_facts(error: PiactlError) -> list[dict[str, str]]:
    """What refuses the feeds of an error, each reason with its file, code and message."""
    if isinstance(error, FeedsRefused):
        return [fact for feed_error in error.errors for fact in refused_feed_facts(feed_error)]
    if isinstance(error, FeedRefused):
        return [{"file": error.file, "code": code, "message": text} for code, text in error.refusals]
    files = getattr(error, "files", ())
    return [{"file": file, "code": "another-day", "message": str(error)} for file in files]


def done_code(done: Done) -> int:
    if done.status is not RunStatus.DONE or done.let_in or done.drift_waits:
        return int(Exit.PARTLY)
    return int(Exit.FEED_REFUSED if done.without_feeds else Exit.DONE)
