"""Reads the feeds of a run, and refuses those that break a limit. Later nights skip feeds that were refused
as older."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from piactl.core.model.person import Assignment
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import (
    BACK,
    FeedFacts,
    PartRecord,
    feed_refusals,
    held_refusal,
    order_refusals,
    part_refusals,
    record_of,
    zeros_refusal,
)
from piactl.core.plan.state_between_runs import Memory, SourceMemory
from piactl.errors import FeedRefused, FeedsRefused, PiactlError, UnsafePlan, UsageError
from piactl.feed.feed_rows_in_memory import RowTable
from piactl.feed.formats.all_formats import set_to_keep
from piactl.feed.formats.canonical_rows import file_order
from piactl.feed.formats.kept_sets import keep_set
from piactl.feed.formats.set_files import md5_beside
from piactl.feed.open_feed import NoSource, digest_of_feed, feed_argument
from piactl.feed.read_feed import FeedReader, read_feed, scan_feed
from piactl.host.private_files import write_private
from piactl.phrase import Phrase, counted, joined
from piactl.planning.count_feed_rows import FeedOfRun
from piactl.planning.merge_feeds import SourcedFeed


class FeedsOfAnotherDay(UnsafePlan):
    """Feeds with a date far from that of the run; `others_fit`: another feed has a fitting date."""

    def __init__(self, message: str, feeds: Sequence[FileOfRun], as_of: date, *, others_fit: bool) -> None:
        self.files = tuple(str(feed.path) for feed in feeds)
        self.sources, self.others_fit = {feed.source.name for feed in feeds}, others_fit
        self.options = (f"--as-of {as_of}",)
        super().__init__(message)


def refused_feeds(errors: Iterable[PiactlError]) -> list[dict[str, Any]]:
    """What is known of the feeds that these errors refuse, as the record of a run keeps it; no person is
    named."""
    feeds: list[dict[str, Any]] = []
    for error in errors:
        if isinstance(error, FeedRefused):
            feeds += error.feeds()
        elif isinstance(error, FeedsOfAnotherDay):
            names = (Path(file).name for file in error.files)
            feeds += ({"source": "", "file": name, "rows": None, "why": ["another-day"]} for name in names)
    return feeds


def read_feeds(arguments: Sequence[str], sources: Mapping[str, SourceSettings]) -> list[SourcedFeed]:
    """The feeds of the arguments, by source and date, unknown dates last.

    Raises UsageError for an argument that matches no source, FeedRefused with all reasons of each refused
    feed.
    """
    feeds, refused = list[SourcedFeed](), list[FeedRefused]()
    for source, path in by_date([feed_argument(argument, sources) for argument in arguments]):
        try:
            feeds.append(SourcedFeed(read_feed(path, source), source, path))
        except FeedRefused as error:
            refused.append(error)
    raise_refused(refused)
    return in_order(feeds, sources)


class ScannedFeeds(NamedTuple):
    """The feeds of a run, and the errors of files of which a plan has to go on without their source."""

    feeds: Sequence[FeedReader] = ()
    refused: Sequence[FeedRefused] = ()


def scan_feeds(
    arguments: Sequence[str],
    sources: Mapping[str, SourceSettings],
    table: RowTable,
    go_on: Collection[str],
    warn: Callable[[str], None],
) -> ScannedFeeds:
    """Puts the rows of the feeds of the arguments into `table`. Files that match no source are reported to
    `warn` and skipped, if another file is a feed or they are of another kind (a LISEZMOI.txt).

    Raises UsageError for an argument that matches no source, and FeedRefused for a file that cannot be read
    to its end, unless its source is in `go_on`."""
    feeds, later, refused = list[FeedReader](), list[FeedRefused](), list[FeedRefused]()
    for number, (source, path) in enumerate(_named(arguments, sources, warn), 1):
        try:
            feeds.append(scan_feed(path, source, table, number))
        except FeedRefused as error:
            table.forget(number)
            error.source = source.name
            (later if source.name in go_on else refused).append(error)
    raise_refused(refused)
    return ScannedFeeds(feeds, later)


def _named(
    arguments: Sequence[str], sources: Mapping[str, SourceSettings], warn: Callable[[str], None]
) -> list[tuple[SourceSettings, Path]]:
    named: list[tuple[SourceSettings, Path]] = []
    strange: list[NoSource] = []
    for argument in arguments:
        try:
            named.append(feed_argument(argument, sources))
        except NoSource as error:
            strange.append(error)
    checked = {digest_file for source, path in named if source.of_sets for digest_file in md5_beside(path)}
    strange = [unread for unread in strange if unread.path not in checked]
    for unread in strange if not named else ():
        if unread.path.is_dir():
            raise UsageError(Phrase("{path}: is a folder; name the files in it: {path}/*", path=unread.path))
        if not unread.is_other:
            raise unread
    for unread in strange:
        unmatched = Phrase("{path}: not read: it matches the `files` of no source", path=unread.path)
        warn(unread.why or unmatched)
    return by_date(named)


def by_date(named: Sequence[tuple[SourceSettings, Path]]) -> list[tuple[SourceSettings, Path]]:
    """Feeds in an order in which a delta of a national feed comes after the sets before it."""

    def order(sourced_file: tuple[SourceSettings, Path]) -> tuple[date, int]:
        source, path = sourced_file
        day, number = file_order(path.name, source.date_pattern) if source.of_sets else (None, 0)
        return day or date.min, number

    return sorted(named, key=order)


def keep_sets(feeds: Sequence[FileOfRun], warn: Callable[[str], None]) -> None:
    """Keeps what later deltas need of the sets of national feeds in the state folder of this host."""
    for sourced in feeds:
        if not sourced.source.of_sets or not sourced.source.state_folder:
            continue
        kept_set = set_to_keep(sourced.path, sourced.source)
        try:
            if kept_set is not None:
                keep_set(Path(sourced.source.state_folder), kept_set)
        except PiactlError as error:
            warn(
                Phrase(
                    "the people of {path} could not be kept, so deltas after it are refused: {error}",
                    path=sourced.path,
                    error=str(error),
                )
            )


F = TypeVar("F", bound="FileOfRun")


def in_order(feeds: Iterable[F], sources: Mapping[str, SourceSettings]) -> list[F]:
    """The feeds by source and date, unknown dates last."""
    order = {name: position for position, name in enumerate(sources)}
    return sorted(feeds, key=lambda feed: (order[feed.source.name], feed.facts.date or date.max))


def raise_refused(refused: Sequence[FeedRefused]) -> None:
    """Raises FeedRefused for one refused feed, FeedsRefused for several."""
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise FeedsRefused(refused)


def _came_before(facts: FeedFacts, memory: SourceMemory) -> bool:
    """Whether this file was applied before the last one. A file with a later date is not older: HR may have
    gone back to earlier data."""
    last = memory.record
    later = facts.date is not None and last.date is not None and facts.date > last.date
    return facts.digest in memory.applied and facts.digest != last.digest and not later


def check_feed_dates(feeds: Sequence[FileOfRun], as_of: date, accepted: Collection[str]) -> None:
    """Raises FeedsOfAnotherDay if the dates of a feed and of the run differ by more than the `feed_days` of
    the source: the clock may be wrong."""
    dated = [sourced for sourced in feeds if sourced.facts.date is not None]
    far = [
        sourced
        for sourced in dated
        if abs((as_of - (sourced.facts.date or as_of)).days) > sourced.source.feed_days
        and sourced.facts.digest not in accepted
    ]
    if far:
        raise FeedsOfAnotherDay(
            Phrase(
                "{feeds}\nCheck the clock (`date`), and ask HR for the feed of today. If the date of the run "
                "and the feeds are right, give the date",
                feeds=joined((_far(sourced, as_of) for sourced in far), "{first}\n{second}"),
            ),
            far,
            as_of,
            others_fit=len(far) < len(dated),
        )


def _far(sourced: FileOfRun, as_of: date) -> Phrase:
    day = sourced.facts.date or as_of
    apart = counted(abs((as_of - day).days), "day", "days")
    return Phrase(
        "{path}: its date, {day}, is {apart} that of this run, {as_of} (limit: {most})",
        path=sourced.path,
        day=day,
        apart=Phrase("{days} before", days=apart) if day < as_of else Phrase("{days} after", days=apart),
        as_of=as_of,
        most=sourced.source.feed_days,
    )


def refuse_ahead(sourced: FileOfRun, today: date) -> None:
    """Raises FeedRefused if a feed is dated so long after today that no night will take it."""
    day, most = sourced.facts.date, sourced.source.feed_days
    if day is not None and (day - today).days > most:
        message = Phrase(
            "it is dated {day}, after today, {today} (limit: {most} days); correct the date, or check the "
            "clock",
            day=day,
            today=today,
            most=most,
        )
        raise _refused(sourced, [("another-day", message)])


def check_limits(
    feeds: Sequence[SourcedFeed],
    memory: Memory,
    known: Mapping[str, Sequence[Assignment]],
    as_of: date,
    accepted: Collection[str],
) -> None:
    """Raises FeedRefused if a feed exceeds a limit of its source, compared with the last one applied. `known`
    are the assignments of each person."""

    of_run = []
    for sourced in feeds:
        feed = FeedOfRun(sourced.source, sourced.path, sourced.facts)
        feed.add(sourced, known, as_of)
        feed.finish(0)
        of_run.append(feed)
    check_counted(of_run, memory, as_of, accepted)


def check_counted(feeds: Sequence[FeedOfRun], memory: Memory, as_of: date, accepted: Collection[str]) -> None:
    """Raises FeedRefused as `check_limits` does."""
    last = {name: source.comparable for name, source in memory.sources.items()}
    applied = {name: source.every_applied for name, source in memory.sources.items()}
    parts = {name: dict(source.parts) for name, source in memory.sources.items()}
    new = _undated_parts(feeds, parts)
    refused: list[FeedRefused] = []
    for sourced in feeds:
        facts, source = sourced.facts, sourced.source
        name, counts = source.name, (sourced.known, sourced.still)
        refusals = feed_refusals(facts, last.get(name), *counts, source, as_of, sourced.gone)
        refusal = zeros_refusal(facts, last.get(name), sourced.zeros())
        refusals = [refusal, *refusals] if refusal else refusals
        before = applied.setdefault(source.name, set())
        if facts.digest not in before:
            refusals += order_refusals(facts, before, source.delta_days, source.delta_weekdays)
            before.add(facts.digest)
        memory_of = memory.sources.get(source.name)
        # if a source lists its establishments in parts, its other sets are of other establishments
        if facts.part:
            known_parts = parts.setdefault(source.name, {})
            last_part = known_parts.get(facts.kind, PartRecord())
            refusals += part_refusals(facts, last_part, new.get((source.name, facts.kind), {}))
            known_parts[facts.kind] = last_part.after(facts.digest, facts.date)
        elif memory_of and _came_before(facts, memory_of) and all(code != "older" for code, _ in refusals):
            message = Phrase("this file was applied before, and later ones after it;\n  {step}", step=BACK)
            refusals.append(("older", message))
        if memory_of and facts.digest in memory_of.again:
            refusals = [refusal for refusal in refusals if refusal[0] != "older"]
        if memory_of and facts.digest in memory_of.undone:
            message = Phrase(
                "the run that applied it was undone, and it would make the same changes; ask HR for another."
                "\n  If it is correct, accept it"
            )
            refusals.append(("undone", message))
        if refusals and facts.digest not in accepted:
            refused.append(_refused(sourced, refusals, facts.digest))
        if facts.full or not source.full:
            last[source.name] = record_of(facts, facts.date, last.get(source.name))
    raise_refused(refused)


def _undated_parts(
    feeds: Sequence[FeedOfRun], parts: Mapping[str, Mapping[str, PartRecord]]
) -> dict[tuple[str, str], dict[str, str]]:
    """The sets of some establishments without a date that were not applied before: file by digest, by source
    and kind."""
    new: dict[tuple[str, str], dict[str, str]] = {}
    for sourced in feeds:
        facts = sourced.facts
        last_part = parts.get(facts.source, {}).get(facts.kind, PartRecord())
        if facts.part and facts.date is None and facts.digest not in last_part.digests:
            new.setdefault((facts.source, facts.kind), {})[facts.digest] = str(sourced.path)
    return new


class FileOfRun(Protocol):
    """A feed of a run: its file, its source and its facts."""

    @property
    def path(self) -> Path: ...
    @property
    def source(self) -> SourceSettings: ...
    @property
    def facts(self) -> FeedFacts: ...


def _refused(feed: FileOfRun, refusals: Sequence[tuple[str, str]], digest: str = "") -> FeedRefused:
    return FeedRefused(str(feed.path), refusals, feed.source.name, feed.facts.rows, digest)


def check_held(feeds: Sequence[FeedOfRun], memory: Memory, as_of: date, accepted: Collection[str]) -> None:
    """Raises FeedRefused if too many people of a feed are held, because the rest is then likely wrong too.
    The feed that was applied last is not refused."""
    refused: list[FeedRefused] = []
    for feed in feeds:
        facts, last = feed.facts, memory.sources.get(feed.source.name)
        if last is not None and last.record.digest == facts.digest:
            continue
        too_many = held_refusal(facts, dict(sorted(feed.held.items())), feed.source, as_of)
        if too_many is not None and facts.digest not in accepted:
            refused.append(_refused(feed, [too_many], facts.digest))
    raise_refused(refused)


_FILE = "older.sha256"


def read_older(folder: Path) -> frozenset[str]:
    """The SHA-256 of the feeds that nights of this host refused as older."""
    return frozenset(line[:64] for line in _noted(folder))


def _noted(folder: Path) -> list[str]:
    try:
        return (folder / _FILE).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def note_older(error: PiactlError, folder: Path) -> None:
    """Adds the feeds that an error refuses as older, and removes those that are no longer there."""
    refused = _refused_as_older(error)
    if not refused:
        return
    remaining = [line for line in _noted(folder) if Path(line[66:]).exists()]
    added = [
        f"{digest_of_feed(path)}  {path.absolute()}" for path in map(Path, refused) if "\n" not in str(path)
    ]
    content = "".join(f"{line}\n" for line in dict.fromkeys([*remaining, *added]))
    write_private(folder / _FILE, content.encode("utf-8", "surrogateescape"))


def refused_before(error: PiactlError, older: Collection[str]) -> list[str]:
    """The files that an error refuses as older, or as those of another day, and that were refused before."""
    files = error.files if isinstance(error, FeedsOfAnotherDay) else _refused_as_older(error)
    return [file for file in files if older and digest_of_feed(Path(file)) in older]


def _refused_as_older(error: PiactlError) -> list[str]:
    errors = error.errors if isinstance(error, FeedsRefused) else [error]
    feeds = [feed_error for feed_error in errors if isinstance(feed_error, FeedRefused)]
    return [
        feed_error.file for feed_error in feeds if any(code == "older" for code, _ in feed_error.refusals)
    ]
