"""Reading the feeds of a run, and refusing those that are not fit to be used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from piactl.core.model.assignment import Assignment
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import FeedFacts, SourceRecord, feed_refusals, held_refusal, record_of
from piactl.core.plan.plan import Hold
from piactl.core.plan.run_state import Memory, SourceMemory
from piactl.core.text import counted
from piactl.errors import FeedRefused, FeedsRefused, UnsafePlan
from piactl.feed.reader import read_feed
from piactl.feed.source_matcher import feed_argument
from piactl.flows.plan.inputs.merge_feeds import SourcedFeed


class FeedsOfAnotherDay(UnsafePlan):
    """Feeds whose date is far from that of the run; `others_fit`: that of another feed is not."""

    def __init__(self, message: str, files: Sequence[str], *, others_fit: bool) -> None:
        self.files, self.others_fit = tuple(files), others_fit
        super().__init__(message)


def read_feeds(arguments: Sequence[str], sources: Mapping[str, SourceSettings]) -> list[SourcedFeed]:
    """The feeds that the arguments of a command name, by source and date, an unknown date last.

    Raises UsageError for an argument that fits no source, FeedRefused with the reasons of every feed that
    cannot be trusted.
    """
    feeds: list[SourcedFeed] = []
    refused: list[FeedRefused] = []
    for argument in arguments:
        source, path = feed_argument(argument, sources)
        try:
            feeds.append(SourcedFeed(read_feed(path, source), source, path))
        except FeedRefused as error:
            refused.append(error)
    raise_refused(refused)
    return in_order(feeds, sources)


def in_order(feeds: Sequence[SourcedFeed], sources: Mapping[str, SourceSettings]) -> list[SourcedFeed]:
    """The feeds by source and date, an unknown date last."""
    order = {name: position for position, name in enumerate(sources)}
    return sorted(feeds, key=lambda f: (order[f.source.name], f.feed.facts.date or date.max))


def raise_refused(refused: Sequence[FeedRefused]) -> None:
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise FeedsRefused(refused)


def _came_before(facts: FeedFacts, memory: SourceMemory) -> bool:
    """Whether a feed that no later date tells apart was applied before the last one. With a later date HR
    may well have gone back to what it said earlier."""
    last = memory.record
    later = facts.date is not None and last.date is not None and facts.date > last.date
    return facts.digest in memory.applied and facts.digest != last.digest and not later


def check_feed_dates(feeds: Sequence[SourcedFeed], as_of: date, accepted: Collection[str]) -> None:
    """Raises FeedsOfAnotherDay if the date of a feed is further from that of the run than the `feed_days` of
    its source: the clock may be wrong, and then nothing of the run is right."""
    dated = [sourced for sourced in feeds if sourced.feed.facts.date is not None]
    far = [
        sourced
        for sourced in dated
        if abs((as_of - (sourced.feed.facts.date or as_of)).days) > sourced.source.feed_days
        and sourced.feed.facts.digest not in accepted
    ]
    if far:
        raise FeedsOfAnotherDay(
            "\n".join(_far(sourced, as_of) for sourced in far)
            + "\nCheck the clock (`date`), and ask HR for the feed of today. If the date of the run and the "
            f"feeds are right: --as-of {as_of}",
            [str(sourced.path) for sourced in far],
            others_fit=len(far) < len(dated),
        )


def _far(sourced: SourcedFeed, as_of: date) -> str:
    day = sourced.feed.facts.date or as_of
    apart = counted(abs((as_of - day).days), "day")
    where = "before" if day < as_of else "after"
    return (
        f"{sourced.path}: its date, {day}, is {apart} {where} that of this run, {as_of} "
        f"(limit: {sourced.source.feed_days})"
    )


def check_limits(
    feeds: Sequence[SourcedFeed],
    memory: Memory,
    known: Mapping[str, Sequence[Assignment]],
    as_of: date,
    accepted: Collection[str],
    passed: Mapping[str, int] | None = None,
) -> None:
    """Raises FeedRefused where a feed breaks a limit of its source, compared with what was applied last.

    `passed`: how many people of each source, known and in the feed, are not in `known` but passed by.
    """
    last: dict[str, SourceRecord] = {name: one.record for name, one in memory.sources.items()}
    refused: list[FeedRefused] = []
    for sourced in feeds:
        facts, source = sourced.feed.facts, sourced.source
        mine = {
            matricule
            for matricule, assignments in known.items()
            if any(a.source == source.name and (a.end is None or a.end >= as_of) for a in assignments)
        }
        found = feed_refusals(
            facts,
            last.get(source.name),
            mine,
            sourced.feed.present,
            source,
            as_of,
            (passed or {}).get(source.name, 0),
        )
        memory_of = memory.sources.get(source.name)
        if memory_of and _came_before(facts, memory_of):
            message = "this file was applied before, and others after it: remove it. "
            message += f"Only to go back to what it says: --accept-feed {facts.digest} --reason TEXT"
            found.append(("older", message))
        if memory_of and facts.digest in memory_of.undone:
            message = (
                "the run that applied it was undone, and it would do the same again; ask HR for another."
            )
            message += f"\n  Only if it is right after all: --accept-feed {facts.digest} --reason TEXT"
            found.append(("undone", message))
        if found and facts.digest not in accepted:
            refused.append(FeedRefused(str(sourced.path), found))
        if facts.full or not source.full:
            last[source.name] = record_of(facts, facts.date)
    raise_refused(refused)


def check_held(
    feeds: Sequence[SourcedFeed],
    holds: Iterable[Hold],
    memory: Memory,
    as_of: date,
    accepted: Collection[str],
) -> None:
    """Raises FeedRefused where too many of the people of a feed are held: what is left of it is not right
    either. The very feed that was applied last is never refused."""
    why = {hold.matricule: hold.why for hold in holds if hold.matricule}
    refused: list[FeedRefused] = []
    for sourced in feeds if why else ():
        facts = sourced.feed.facts
        last = memory.sources.get(sourced.source.name)
        if last is not None and last.record.digest == facts.digest:
            continue
        held = {matricule: why[matricule] for matricule in sorted(sourced.feed.present & why.keys())}
        found = held_refusal(facts, held, sourced.source, as_of)
        if found is not None and facts.digest not in accepted:
            refused.append(FeedRefused(str(sourced.path), [found]))
    raise_refused(refused)
