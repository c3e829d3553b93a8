"""`nightly`: the nightly run."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.ask.status import coming_nights, feed_ages, night_view
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    AcceptFeed,
    AsOf,
    Feeds,
    Form,
    RunOutput,
    SometimesReason,
    need_reason,
)
from piactl.cli.framework.output import display, progress_line, say, say_again
from piactl.cli.framework.terminal import StdoutLost, stop_on_signals
from piactl.cli.framework.writing_command import (
    done_code,
    new_order,
    put_outcome,
    refusals_as_json,
    run_of,
    say_refused,
)
from piactl.clock import utc_now
from piactl.core.plan.plan import HoldCode, ReadyPlan
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.text import read_json
from piactl.directory.interfaces import Outcome
from piactl.directory.store.run_records import read_runs
from piactl.directory.store.state_records import read_memory
from piactl.errors import Exit, NotFound, PiactlError, UsageError
from piactl.host.private_files import (
    refuse_output,
    write_private,
    write_public,
)
from piactl.journal import Order
from piactl.night.housekeeping import move_applied_feeds
from piactl.night.run_night import RefusedPlan, run_nightly
from piactl.phrase import Phrase, counted, joined
from piactl.planning.merge_feeds import Accepted
from piactl.planning.signed_plan_file import plan_document
from piactl.report.establishment_names import with_names
from piactl.report.metrics import LAST_SUCCESS, metrics_text
from piactl.report.night_page import night_page
from piactl.report.plan_text import plan_text
from piactl.runs.apply_plan import Done
from piactl.runs.approvals import broken_glass
from piactl.runs.hooks import events_waiting, missing_programs
from piactl.translation import translate_word

_FEW = 5
"""How many of the people who are held a night names at its end."""

OF_FEEDS = "/srv/piactl"
"""The folder of root on a host that has those of the feeds, and of the applied ones."""


_HOLDS = "holds.json"
"""The file in the state folder with the first day of each hold."""


def read_holds(configuration: Configuration) -> dict[str, date]:
    """Since when people are held, by uid or matricule, as this host has seen them."""
    file = Path(configuration.settings.state_folder) / _HOLDS
    try:
        return {name: date.fromisoformat(first) for name, first in read_json(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def nightly(
    feeds: Feeds = None,
    as_of: AsOf = None,
    output: RunOutput = Form.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 5 if rows were rejected.")] = False,
    accept_feed: AcceptFeed = None,
    reason: SometimesReason = "",
    move_applied: Annotated[
        str,
        typer.Option(
            "--move-applied", metavar="DIR", help="Move the applied feeds to DIR, on the same disk."
        ),
    ] = "",
    html: Annotated[
        str, typer.Option("--html", metavar="FILE", help="Also write a page about the night; replaces FILE.")
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="With --html: only numbers, without accounts and names.")
    ] = False,
) -> int:
    """Read the feeds, plan, check the guards and apply, in one run.

    Without feeds, makes the changes due by date and policy alone. With --move-applied the applied feeds, and
    the .md5 beside them, go to DIR: all if all was applied, none if the night was refused.

    Exit codes: 0 done, 4 refused by a guard, a clock or an old copy of the policy, 5 done in part, what other
    programs changed stays because a guard is broken, somebody is held who was not before or for too long
    (`strict`), a case is undecided for too long, or a server let a canary log in, 6 a feed is refused
    (nothing is written, unless the configuration says `continue`), 7 another run is writing, 8 directory
    unreachable, 10 configuration or policy invalid, or the default password policy missing (nothing is
    written).

    Example: piactl nightly rh.csv
    """
    need_reason(reason, "--accept-feed", accept_feed or [])
    if move_applied:
        refuse_output("--move-applied", move_applied, OF_FEEDS)
    if html:
        refuse_output(
            "--html", html, instead=Phrase("read it afterwards: piactl runs show last -o html >FILE")
        )
    elif public:
        raise UsageError(Phrase("--public needs --html FILE"))
    configuration = this_configuration()
    order = new_order(configuration, as_of, reason)
    before = read_holds(configuration)
    try:
        with refusals_as_json(output, order.run):
            code, ready, done = _run(
                *(configuration, order, feeds or [], accept_feed or [], output),
                strict=strict,
                move_applied=move_applied,
            )
    except PiactlError as error:
        refused: ReadyPlan | None = getattr(error, "ready", None)
        since = _held_since(configuration, order.as_of, refused, before) if refused else before
        _metrics(configuration, order, int(error.exit_code), None, None, since)
        if html:
            nothing = error.exit_code in (Exit.REFUSED, Exit.FEED_REFUSED)
            status = RunStatus.REFUSED if nothing else RunStatus.FAILED
            _write_page(
                configuration, order, html, refused, since, status, {}, error=str(error), public=public
            )
        raise
    since = _held_since(configuration, order.as_of, ready, before)
    succeeded = code == Exit.DONE  # everything was applied but what is said of people who are held
    if _say_held(configuration, order, ready, before, since) and succeeded:
        code = int(Exit.PARTLY)
    _metrics(configuration, order, code, ready, done, since, succeeded=succeeded)
    if html:
        _write_page(configuration, order, html, ready, since, done.status, done.counts, public=public)
    return code


def _run(
    configuration: Configuration,
    order: Order,
    feeds: Sequence[str],
    accepted: Sequence[str],
    output: Form,
    *,
    strict: bool,
    move_applied: str,
) -> tuple[int, ReadyPlan, Done]:
    for missing in missing_programs(configuration.settings):
        say(Phrase("warning: {problem}", problem=missing))
    with (
        stop_on_signals() as stop,
        writing(configuration) as writer,
        progress_line(Phrase("written")) as progress,
    ):
        try:
            report = run_nightly(
                run_of(configuration, order),
                writer,
                configuration.rules(order.as_of),
                configuration.encoding.fitted_to,
                feeds,
                Accepted(accepted, order.explicit),
                progress=progress,
                stop=stop,
            )
        except RefusedPlan as refused:
            if refused.broken:
                say_refused(refused.ready, str(refused.file), refused.ready.plan.refusals)
            raise
    accepting = dict.fromkeys(option for error in report.done.without_feeds for option in error.options)
    if accepting:
        say_again([*accepting])
    ready, done = report.ready, report.done
    lost = None
    try:
        if output is Form.TEXT:
            rest = Phrase("every change: piactl plan show {file} --all", file=shlex.quote(str(report.file)))
            text = plan_text(plan_document(ready), rest=rest)
            display([with_names(text, configuration.register)])
    except StdoutLost as error:
        lost = error
    try:
        put_outcome(done, output, ready)  # reports problems on stderr in any case
    except StdoutLost as error:
        lost = error
    code = done_code(done)
    if code == Exit.DONE and ready.plan.rejections and strict:
        rejected = counted(len(ready.plan.rejections), "row was rejected", "rows were rejected")
        say(Phrase("{rows}, and --strict is set", rows=rejected))
        code = int(Exit.PARTLY)
    if lost is not None:
        status = translate_word(done.status)
        see = Phrase("The run itself is {status}; see: piactl runs show {run}", status=status, run=done.run)
        say(joined([str(lost), see], "{first}\n{second}"))
        code = int(lost.exit_code)
    if move_applied and (code == Exit.DONE or (code == Exit.FEED_REFUSED and done.without_feeds)):
        moved = move_applied_feeds(report.feeds, Path(move_applied), say)
        code = code or moved
    overdue = ready.plan.cases.get("overdue", 0)
    if code == Exit.DONE and overdue:
        since = counted(configuration.settings.matching.max_hold_days, "day", "days")
        cases = counted(overdue, "case is undecided", "cases are undecided")
        say(Phrase("{cases} for more than {days}: piactl match list", cases=cases, days=since))
        code = int(Exit.PARTLY)
    return code, ready, done


def _metrics(
    configuration: Configuration,
    order: Order,
    code: int,
    ready: ReadyPlan | None,
    done: Done | None,
    held_since: Mapping[str, date],
    *,
    succeeded: bool = False,
) -> None:
    if not configuration.settings.metrics_file:
        return
    file = Path(configuration.settings.metrics_file)
    try:
        now = utc_now().timestamp()
        document = plan_document(ready) if ready else {}
        before = LAST_SUCCESS.search(file.read_text("utf-8", "replace")) if file.is_file() else None
        text = metrics_text(
            now,
            code,
            document,
            {outcome.value: 0 for outcome in Outcome} | dict(done.counts if done else {}),
            len(configuration.unreadable),
            done.let_in if done else 0,
            now if succeeded else float(before[1]) if before else 0,
            max(((order.as_of - first).days for first in held_since.values()), default=0),
            events_waiting(configuration.settings),
            *_of_directory(configuration, order, document),
        )
        write_public(file, text.encode())
    except (PiactlError, OSError) as error:
        say(Phrase("the metrics could not be written: {error}", error=str(error)))


def _of_directory(
    configuration: Configuration, order: Order, document: Mapping[str, Any]
) -> tuple[int, dict[str, tuple[int, int]]]:
    """The number of runs that were applied without the approval of another person, and for each source the
    rejected rows of the plan and the age of its last feed, -1 if it is not known."""
    settings, unreadable = configuration.settings, configuration.unreadable
    state, now = settings.directory.state, utc_now()
    source_of = {feed["file"]: feed["source"] for feed in document.get("basis", {}).get("feeds", [])}
    rows = Counter(
        source_of.get(rejection["file"], "")
        for rejection in {(r["file"], r["line"]): r for r in document.get("rejections", [])}.values()
    )
    try:
        with reading(configuration) as reader:
            memory = read_memory(reader, state, configuration.keys, unreadable, due=order.as_of).memory
            alone = sum(1 for _ in broken_glass(read_runs(reader, state, unreadable, now), now))
        ages = {feed_age["source"]: feed_age["days"] for feed_age in feed_ages(settings, memory, order.as_of)}
    except PiactlError:
        ages, alone = {}, 0
    feeds = {}
    for source in settings.sources:
        age = ages.get(source)
        feeds[source] = (rows[source], -1 if age is None else age)
    return alone, feeds


def _held_since(
    configuration: Configuration, day: date, ready: ReadyPlan, before: Mapping[str, date]
) -> dict[str, date]:
    """The first day of each hold of a plan, which is stored for the next night."""
    names = sorted(hold.uid or hold.matricule or "" for hold in ready.plan.holds)
    since = {name: before.get(name, day) for name in names}
    file = Path(configuration.settings.state_folder) / _HOLDS
    try:
        write_private(file, json.dumps({name: first.isoformat() for name, first in since.items()}).encode())
    except PiactlError as error:
        say(Phrase("the days since when people are held could not be stored: {error}", error=str(error)))
    return since


def _say_held(
    configuration: Configuration,
    order: Order,
    ready: ReadyPlan,
    before: Mapping[str, date],
    since: Mapping[str, date],
) -> bool:
    """Says who is held that was not before, and for longer than `max_hold_days`, if `strict` is set; whether
    there is anybody. Open cases have their own sentence and their own exit code."""
    settings = configuration.settings
    if not settings.strict:
        return False
    most = settings.matching.max_hold_days
    of_cases = {hold.uid or hold.matricule for hold in ready.plan.holds if hold.code is HoldCode.CASE}
    oldest = order.as_of - timedelta(days=most)
    new = [name for name in since if name not in before]
    long = [name for name, first in since.items() if first < oldest and name not in of_cases]
    how_longs = (
        Phrase("since this night"),
        Phrase("for more than {days}", days=counted(most, "day", "days")),
    )
    for names, how_long in zip((new, long), how_longs, strict=True):
        if names:
            facts = {
                "people": counted(len(names), "person is held", "people are held"),
                "names": ", ".join([*names[:_FEW], *(["..."] if names[_FEW:] else [])]),
                "run": order.run,
            }
            say(
                Phrase(
                    "{people} {how_long}: {names}; see: piactl runs show {run}", how_long=how_long, **facts
                )
            )
    return bool(new or long)


def page_of_run(
    configuration: Configuration,
    run: str,
    unknown: Mapping[str, Any] | None,
    plan_of: Callable[[Mapping[str, Any]], ReadyPlan | None],
    held_since: Mapping[str, date],
    today: date,
    error: str = "",
    *,
    public: bool,
) -> str:
    """The page of the run with this id, or `last`. `unknown` replaces a record that the directory does not
    have; without it raises NotFound. `plan_of` returns the plan of a record, if it is known. The coming days
    from `today`, and since when people are held (`held_since`), are shown for the last run only."""
    settings, unreadable = configuration.settings, configuration.unreadable
    record, coming = unknown, None
    try:
        with reading(configuration) as reader:
            records = read_runs(reader, settings.directory.state, unreadable, utc_now())
            record = next(
                (run_record for run_record in records if run in (run_record["run"], "last")), unknown
            )
            if records and record is not records[0]:
                held_since = {}
            else:
                accounts = configuration.managed(reader)
                coming = [*coming_nights(accounts, configuration.rules, settings, unreadable, today)]
    except PiactlError:
        if unknown is None:
            raise
    if record is None:
        raise NotFound(Phrase("{run}: no such run; see: piactl runs list", run=run))
    ready = plan_of(record)
    view = night_view(record, ready, configuration.policy, configuration.register, held_since, coming, error)
    return night_page(view, public=public)


def _write_page(
    configuration: Configuration,
    order: Order,
    file: str,
    ready: ReadyPlan | None,
    held_since: Mapping[str, date],
    status: str,
    outcomes: Mapping[str, int],
    *,
    error: str = "",
    public: bool,
) -> None:
    """Writes the page of the night, with what went wrong; says so if it cannot be written. `status` and
    `outcomes` are for a night whose record cannot be read."""
    unknown = {"run": order.run, "as_of": order.as_of.isoformat(), "status": status, "outcomes": outcomes}
    day = order.as_of
    try:
        page = page_of_run(
            configuration, order.run, unknown, lambda _: ready, held_since, day, error, public=public
        )
        (write_public if public else write_private)(Path(file), page.encode())
    except PiactlError as unwritten:
        why = str(unwritten)
        say(Phrase("--html {file}: the page could not be written: {why}", file=file, why=why))
