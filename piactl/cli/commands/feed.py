"""`feed check|rejects|score`: checks an HR file without a directory, and shows how good the last ones
were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.ask.feed_score import (
    BY_NIGHT,
    BY_REFUSED,
    BY_SOURCE,
    BY_UAI,
    COMPONENTS,
    Night,
    feed_score,
    feeds_of_runs,
    rehearsed_feeds,
)
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AsOf,
    Form,
    Output,
    RehearsalDir,
    RunOutput,
    number_option,
    word_option,
)
from piactl.cli.framework.output import (
    display,
    go_on_as,
    layout_or_default,
    put,
    put_json,
    say,
    typed_again,
)
from piactl.cli.framework.terminal import print_utf8
from piactl.core.plan.check_feed_limits import (
    LIMIT_CODES,
    WARNING_PAST,
    SourceRecord,
    column_warnings,
    comparable,
)
from piactl.core.plan.state_between_runs import Memory, SourceMemory
from piactl.core.text import few, iso, percent
from piactl.directory.store.account_list import read_account_list
from piactl.directory.store.rare_entries import read_rare_entries
from piactl.directory.store.state_records import read_memory
from piactl.errors import Exit, FeedRefused, UsageError
from piactl.feed.error_codes import REFUSALS
from piactl.feed.feed_result import Feed, understood
from piactl.feed.open_feed import open_feed
from piactl.feed.rejects_file import rejects_content, with_rejections, write_rejects
from piactl.host.private_files import refuse_input, refuse_output
from piactl.phrase import Phrase, counted, joined
from piactl.planning.count_feed_rows import FeedOfRun
from piactl.planning.linked_matricules import linked_matricules
from piactl.planning.load_feeds import check_held, check_limits, read_feeds, refuse_ahead
from piactl.planning.lost_zeros import Written, find_slips, without_slips
from piactl.planning.merge_feeds import SourcedFeed, judged
from piactl.planning.slips_in_file import find_slips_in_file
from piactl.report.escaping import shown
from piactl.report.plan_text import rejection_words
from piactl.report.table import rendered, workbook
from piactl.translation import translate, translate_word
from piactl.trials.rehearse_nights import RehearsalFolder

_FEW = 5

File = Annotated[str, typer.Argument(metavar="FEED", help="A feed file, PATH or SOURCE=PATH.")]


def check(
    file: File,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare it with the last feeds of the source in the directory.")
    ] = False,
    output: RunOutput = Form.TEXT,
) -> int:
    """Check a feed against the layout of its source and the policy, and report every problem.

    Without --compare it needs no directory. It warns of a missing column `fin` or `numen`, a column with
    nearly the name of one, a missing line #FIN, two matricules with one NUMEN or one birth date and name,
    matricules whose length is unusual (a spreadsheet removes leading zeros), and data that are too old. With
    --compare it reads the last feeds of the source and the known matricules from the directory, warns of
    columns whose blanks, values or forms differ from theirs and of the feed that the last night applied,
    names matricules without an account, and applies the limits that compare feeds, as a night does. A feed
    dated later than `feed_days` of its source (7 days, unless set) from today is refused.

    Exit codes: 0 usable, 5 rows are rejected, 6 the whole feed is refused.

    Example: piactl feed check rh.csv
    """
    configuration = this_configuration()
    day = today(configuration)
    try:
        sourced, before = _read(file, configuration), None
        if compare:
            sourced, before = _compared(sourced, configuration)
        sourced = _judged(sourced, configuration)
        feed, facts = sourced.feed, sourced.feed.facts
        memory = Memory(sources={sourced.source.name: before}) if before else _memory_of(sourced)
        holds = _refuse_wholly(sourced, memory, day)
    except FeedRefused as error:
        go_on_as("nightly", file)
        if output is Form.JSON:
            again = typed_again(error.options) if error.options else ""
            _put(file=error.file, status="refused", refusals=error.refusals, next=again)
        error.options = ()  # an administrator may accept the feed; the night says how
        raise
    rejections = sorted(sourced.rejections, key=lambda r: (r.line, r.column))
    columns = dict(column_warnings(facts, before.comparable if before else None, sourced.source, day))
    differing = [*columns]
    slips = find_slips_in_file(feed, sourced.source, sourced.path)
    if compare:  # the known matricules say it better
        slips.pop("matricule", None)
    columns |= slips | _age(sourced, before, day)
    document: dict[str, Any] = {
        "status": Phrase("partly usable") if rejections else "usable",
        "file": str(sourced.path),
        "source": facts.source,
        "digest": facts.digest,
        "date": iso(facts.date),
        "full": facts.full,
        "rows": facts.rows,
        "people": facts.people,
        "unattributed": facts.unattributed,
        "rejections": list(map(asdict, rejections)),
        "held": holds,
        "remarks": [*feed.remarks],
        "compared": _feeds_before(sourced, before) if compare else None,
        "warnings": [{"column": column, "message": message} for column, message in columns.items()],
        "understood": understood(feed.written) if feed.written else None,
    }
    if output is Form.JSON:
        _put(**document)
    else:
        words: str = Phrase("not compared: a file of corrected rejects is compared with none")
        if not (compare and feed.layout.is_rejects):
            words = _comparison(document["compared"], differing)
        _print(document, words)
    return int(Exit.PARTLY if rejections else Exit.DONE)


def _refuse_wholly(sourced: SourcedFeed, memory: Memory, day: date) -> dict[str, str]:
    """Who would be held, by matricule. Raises FeedRefused if the feed exceeds a limit of its source."""
    feed = sourced.feed
    check_limits([sourced], memory, {}, day, ())
    holding = () if sourced.source.supplement else sourced.judgement
    holds = {r.matricule: r.message for r in holding if r.matricule} | dict(feed.held)
    check_held([FeedOfRun(sourced.source, sourced.path, feed.facts, held=holds)], memory, day, ())
    refuse_ahead(sourced, day)
    return holds


def _memory_of(sourced: SourcedFeed) -> Memory:
    """The memory for a check without a directory: it is not known which sets were applied, so the set that a
    delta changes counts as applied."""
    basis, source = sourced.feed.facts.basis, sourced.source.name
    record = SourceRecord(source, "", None, 0, 0)
    return Memory(sources={source: SourceMemory(record, applied=(basis.digest,))} if basis else {})


def _compared(sourced: SourcedFeed, configuration: Configuration) -> tuple[SourcedFeed, SourceMemory | None]:
    """The feed without matricules that lost their zeros, and what the directory knows of the last feeds of
    its source; None if it knows none."""
    directory, unreadable = configuration.settings.directory, configuration.unreadable
    feed, source = sourced.feed, sourced.source
    with reading(configuration) as reader:
        memory = read_memory(reader, directory.state, configuration.keys, unreadable).memory
        listed = dict(read_account_list(reader, directory.state, unreadable).accounts())
        accounts = configuration.managed(reader)
        file = Written(source, feed.present, feed.layout.is_rejects)
        linked = linked_matricules(read_rare_entries(*accounts))
        slips = find_slips([file], accounts, listed, linked, memory)
    known = {matricule for matricule, _ in listed.values()} | linked.first.keys() | slips.keys()
    feed = replace(without_slips(feed, slips), remarks=(*feed.remarks, *_newcomers(feed, known)))
    return replace(sourced, feed=feed), memory.sources.get(source.name)


def _newcomers(feed: Feed, known: Collection[str]) -> Iterator[str]:
    """The people without an account. A matricule that somebody mistyped is among them."""
    newcomers = sorted(feed.present - {*known})
    if newcomers:
        people = [feed.people.get(matricule) for matricule in newcomers]
        names = [f"{p.given_name} {p.usage_name or p.family_name}" if p else "" for p in people]
        listed = [f"{matricule} {name}".strip() for matricule, name in zip(newcomers, names, strict=True)]
        yield Phrase(
            "{matricules}: {people}; if one of them is not new, the matricule is wrong",
            matricules=counted(len(newcomers), "matricule has no account", "matricules have no account"),
            people=few(listed, _FEW),
        )


def rejects(
    file: File,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="The file to write (mode 0600); - is stdout.")
    ],
) -> int:
    """Write the rejected rows of a feed to a file, with the reasons in a further column and without NUMENs.

    Correct the file and feed it again: it adds to the feed, and never counts as a full feed. A row without
    a NUMEN changes no NUMEN. A FILE that ends with .xlsx is a workbook, in which a spreadsheet changes no
    cell by itself. If the whole feed is refused, as `feed check` says, nothing is written.

    Example: piactl feed rejects rh.csv --out rejects.csv
    """
    if out != "-":
        refuse_output("--out", out, instead=Phrase("give --out - and redirect: >FILE"))
    configuration = this_configuration()
    sourced = _judged(_read(file, configuration), configuration)
    try:
        _refuse_wholly(sourced, _memory_of(sourced), today(configuration))
    except FeedRefused as error:
        error.options = ()  # its rows are not the fault
        raise
    source = sourced.source
    with open_feed(sourced.path, source) as opened:
        rows = enumerate(opened.stream, start=1)
        feed = with_rejections(sourced.feed, rows, sourced.judgement, supplement=source.supplement)
    if out == "-" and feed.raw_lines:
        print_utf8("latin-1")  # byte for byte
        put([rejects_content(feed, source).decode("latin-1")])
    count = len(feed.raw_lines) if out == "-" else write_rejects(Path(out), feed, source)
    if count:
        say(Phrase("{rows} to {file}", rows=counted(count, "row written", "rows written"), file=out))
    else:
        say(Phrase("no row is rejected; nothing was written"))
    return int(Exit.DONE)


class ScoreRows(StrEnum):
    """What the rows of a score are."""

    SOURCE = "source"
    NIGHT = "night"
    REFUSED = "refused"
    UAI = "uai"


_WITHOUT_BY = {"table": (ScoreRows.SOURCE, ScoreRows.REFUSED, ScoreRows.UAI), "xlsx": tuple(ScoreRows)}


def score(
    folder: RehearsalDir = "",
    source: Annotated[str, typer.Option("--source", metavar="SOURCE", help="Only this source.")] = "",
    months: Annotated[int, number_option("--months", "N", "How far to look back.", 1)] = 3,
    by: Annotated[
        ScoreRows | None,
        word_option("--by", ScoreRows, "Show only these rows."),
    ] = None,
    as_of: AsOf = None,
    output: Output = None,
) -> int:
    """Show how good the feeds of the last months were: what became of their rows, and a score with its parts.

    Each part is the share of what is right. A refused feed counts in `refused` alone; one whose run was
    undone is marked. Without --by, a table shows the sources, the refused feeds and the ten worst
    establishments, json and the sheets of a workbook also have the nights; other formats have one row for
    each source and night. No person is named: the rows can be sent to HR.

    Example: piactl feed score --months 1
    """
    configuration = this_configuration()
    settings = configuration.settings
    if source and source not in settings.sources:
        raise UsageError(
            Phrase(
                "--source {source}: no source has this name; there are: {sources}",
                source=source,
                sources=", ".join(settings.sources),
            )
        )
    scores = feed_score(*_feeds(folder, as_of, months, configuration), configuration.register, source)
    tables: dict[ScoreRows, tuple[Sequence[Mapping[str, Any]], Sequence[str]]] = {
        ScoreRows.SOURCE: (scores["sources"], BY_SOURCE),
        ScoreRows.NIGHT: (scores["nights"], BY_NIGHT),
        ScoreRows.REFUSED: (scores["refused"], BY_REFUSED),
        ScoreRows.UAI: (scores["establishments"], BY_UAI),
    }
    layout = layout_or_default(output)
    if not scores["nights"]:
        of_source = Phrase("no feed was applied of source {source}", source=source)
        say(of_source if source else Phrase("no feed was applied"))
    if by is None and layout == "json":
        put_json(scores)
        return int(Exit.DONE)
    sheets: dict[str, tuple[Sequence[Mapping[str, Any]], Sequence[str]]] = {}
    for group in (by,) if by else _WITHOUT_BY.get(layout, (ScoreRows.NIGHT,)):
        rows, columns = tables[group]
        if layout == "table" or (layout == "xlsx" and group is ScoreRows.SOURCE):
            rows = [_for_people(row, _blanks(row, scores["nights"])) for row in rows]
            columns = tuple(name for name in columns if name not in ("file", "digest"))
            if group is ScoreRows.SOURCE:  # more numbers than fit into a line
                rows, columns = _turned(rows, columns)
        elif layout == "xlsx":
            rows = [{**row, **_in_words(row), **_in_percent(row)} for row in rows]
        if rows or layout != "table":
            sheets[translate_word(group.value)] = rows, columns
    if layout == "xlsx":
        display([workbook(sheets)], layout)
    else:
        for number, (rows, columns) in enumerate(sheets.values()):
            display([*(["\n"] if number else []), *rendered(rows, columns, layout)], layout)
    return int(Exit.DONE)


def _for_people(row: Mapping[str, Any], blanks: Sequence[str]) -> dict[str, Any]:
    """A row of a score with shares in percent, the columns that lack values, and reasons in words."""
    shares: dict[str, Any] = {n: percent(share / 100) for n, share in _in_percent(row).items()}
    if row.get("score") is not None:
        shares["score"] = percent(row["score"] / 100)
    if blanks and "completeness" in shares:
        missing = ", ".join(blanks)
        shares["completeness"] = [  # a list is wrapped, where other values are cut
            Phrase("{share} (without a value: {columns})", share=shares["completeness"], columns=missing)
        ]
    return {**row, **_in_words(row), **shares}


def _in_percent(row: Mapping[str, Any]) -> dict[str, float]:
    """The parts of a score in percent, as the score is."""
    return {name: round(100 * row[name], 2) for name in COMPONENTS if row.get(name) is not None}


def _in_words(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Why a feed was refused: the meaning of the code of a feed, or the name of a guard."""
    meanings = {**{code: meaning for code, (meaning, _) in REFUSALS.items()}, **LIMIT_CODES}
    return (
        {"why": [translate(meanings.get(code) or Phrase(code)) for code in row["why"]]}
        if "why" in row
        else {}
    )


def _blanks(row: Mapping[str, Any], nights: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns that lack values in a night, or in the nights of a source, those with most blanks first."""
    blanks: Counter[str] = Counter()
    for night in [row] if "blanks" in row else nights:
        if night["source"] == row.get("source"):
            blanks.update(night["blanks"])
    return [column for column, number in blanks.most_common() if number]


_MEASURED = {
    "score": Phrase("mean of the shares below"),
    "validity": Phrase("rows accepted"),
    "completeness": Phrase("values present"),
    "uniqueness": Phrase("rows without a double"),
    "timeliness": Phrase("posts known in time"),
    "stability": Phrase("rows that did not come back"),
    "coverage": Phrase("establishments present"),
}
"""What a part of a score is the share of."""


def _turned(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """A line for each column, with the value of each source, and with what a share is the share of."""
    first, *names = columns
    lines = [
        {first: translate_word(name), **{row[first]: row[name] for row in rows}, "": _MEASURED.get(name, "")}
        for name in names
    ]
    return lines, (first, *(row[first] for row in rows), "")


def _feeds(
    folder: str, as_of: date | None, months: int, configuration: Configuration
) -> tuple[list[Night], list[Mapping[str, Any]]]:
    """The applied and the refused feeds of a rehearsal, or of the runs of the last months."""
    if folder:
        refuse_input("DIR", folder, configuration.settings.rehearsals_folder)
        return rehearsed_feeds(RehearsalFolder(Path(folder)).nights())
    last = as_of or today(configuration)
    first, state = last - timedelta(days=31 * months), configuration.settings.directory.state
    with reading(configuration) as reader:
        return feeds_of_runs(reader, state, configuration.unreadable, first, last)


def _read(file: str, configuration: Configuration) -> SourcedFeed:
    return read_feeds([file], configuration.settings.sources)[0]


def _judged(sourced: SourcedFeed, configuration: Configuration) -> SourcedFeed:
    return judged(sourced, configuration.policy, configuration.register)


def _put(refusals: Sequence[tuple[str, str]] = (), **facts: Any) -> None:
    """Prints the object of a feed; for a refused feed, what is not known is null."""
    keys = ("status", "file", "source", "digest", "date", "full", "rows", "people", "unattributed")
    usual: dict[str, Any] = dict.fromkeys(keys) | {"rejections": [], "held": {}, "remarks": []}
    usual |= {"compared": None, "warnings": [], "understood": None, "next": ""}
    refused = [{"code": code, "message": message} for code, message in refusals]
    put_json({**usual, **facts, "refusals": refused}, 1)


def _print(document: dict[str, Any], comparison: str) -> None:
    name: str = document["file"]
    if document["date"]:
        name = Phrase("{file} of {day}", file=name, day=document["date"])
    head = Phrase(
        "{feed}: {rows}, {people}, source {source} ({sort})",
        feed=name,
        rows=counted(document["rows"], "row", "rows"),
        people=counted(document["people"], "person", "people"),
        source=document["source"],
        sort=Phrase("full") if document["full"] else Phrase("delta"),
    )
    remarks = [*document["remarks"]]
    for warning in document["warnings"]:
        remarks.append(Phrase("warning: {column}: {message}", **warning))
    remarks.append(comparison)
    lines = [head, f"  sha256 {document['digest']}", *(f"  {translate(remark)}" for remark in remarks)]
    lines += [rejection_words(rejection) for rejection in document["rejections"]]
    rows = len({r["line"] for r in document["rejections"]})
    rejected = Phrase(
        "{number} of {rows} rejected, {people}",
        number=rows,
        rows=counted(document["rows"], "row", "rows"),
        people=counted(len(document["held"]), "person would be held", "people would be held"),
    )
    if not rows:
        warned = counted(len(document["warnings"]), "warning", "warnings")
        rejected = Phrase("nothing is rejected")
        if document["warnings"]:
            rejected = Phrase("nothing is rejected, but there is a doubt: {warnings} above", warnings=warned)
    lines.append(rejected)
    display(shown(translate(line)) + "\n" for line in lines)


def _age(sourced: SourcedFeed, before: SourceMemory | None, day: date) -> dict[str, str]:
    """Whether it is a file of another day, as a warning."""
    facts, most = sourced.feed.facts, sourced.source.feed_days
    days = (day - facts.date).days if facts.date else 0
    if before is not None and before.record.digest == facts.digest:
        words = Phrase("the last night applied this very file; HR: send the one of today")
    elif days > most:
        words = Phrase(
            "the data are {days} old, and a night takes at most {most} days; HR: send the file of today",
            days=counted(days, "day", "days"),
            most=most,
        )
    elif days > 0 and facts.full and sourced.feed.written is None:
        words = Phrase("it is dated {day}, not today; HR: send the one of today", day=facts.date)
    else:
        return {}
    return {"date": words}


def _feeds_before(sourced: SourcedFeed, before: SourceMemory | None) -> int:
    """The number of last full feeds with which a full feed is compared."""
    if before is None or not sourced.feed.facts.full:
        return 0
    return len(comparable(before.record.past, before.undone))


def _comparison(compared: int | None, differing: Sequence[str]) -> str:
    """What the columns were compared with."""
    if compared is None:
        return Phrase("not compared with the last feeds: --compare does, and asks the directory")
    if compared < WARNING_PAST:
        return Phrase(
            "compared with nothing: the directory knows {feeds} of the source, {number} are needed",
            feeds=counted(compared, "full feed", "full feeds"),
            number=WARNING_PAST,
        )
    differ: str = Phrase("no column differs")
    if differing:
        differ = counted(len(differing), "column differs", "columns differ")
        differ = joined([differ, ", ".join(differing)], "{first}: {second}")
    return Phrase("compared with the last {number} feeds: {differ}", number=compared, differ=differ)
