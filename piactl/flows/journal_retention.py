"""Retention of the journal: its oldest lines go, and what is left says so, provably."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from piactl.directory.port import Reader
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.state_records import read_runs
from piactl.errors import JournalUnusable
from piactl.flows.apply.run import Order
from piactl.flows.site import Site
from piactl.journal import Actor, Head, Journal, RunContext, Verification, verify
from piactl.journal.query import text_of
from piactl.journal.retention import Removable, cut_off, pruning, removable, remove_left_behind

Anchors = Mapping[str, Head]


@dataclass(frozen=True, slots=True)
class Pruned:
    """`gone` is what was removed (in a trial: would be), None where there was nothing to remove; `after` is
    the journal as it was proved to be then."""

    gone: Removable | None
    after: Verification


def anchors_of(reader: Reader, site: Site, host: str, now: datetime) -> dict[str, Head]:
    """The heads that the runs of a host left in the directory, by run."""
    records = read_runs(reader, site.settings.directory.state, site.unreadable, now)
    return {
        str(record["run"]): Head(record["journal"]["seq"], record["journal"]["hash"])
        for record in records
        if record.get("host") == host and record.get("journal")
    }


def behind(actor: Actor) -> str:
    """The person behind a run, as far as it is known."""
    return actor.login or actor.sudo_user or actor.user


def midnight(day: date, timezone: str) -> datetime:
    """The instant at which a civil day begins."""
    return datetime.combine(day, time(), ZoneInfo(timezone))


def prune_journal(
    site: Site, order: Order, before: date, anchors: Anchors, now: Callable[[], datetime], *, trial: bool
) -> Pruned:
    """Removes the lines that were written before a civil day, whole runs only, none that is still needed.

    The whole chain is proved before and after, against the anchors too. Raises JournalUnusable where it is
    not whole, with nothing removed. In a trial nothing is written.
    """
    path = site.settings.journal_file
    proof = _proved(path, anchors)
    if trial or not proof.lines:
        return Pruned(removable(path, midnight(before, site.policy.timezone)), proof)
    with pruning(path):
        remove_left_behind(path)
        gone = removable(path, midnight(before, site.policy.timezone))
        if gone is None:
            return Pruned(None, proof)
        context = RunContext(order.run, order.command, order.actor, order.as_of, "", site.policy.digest)
        with Journal(
            path,
            now=now,
            digest=lambda text: site.keys.digest("journal", text),
            secret=SECRETS,
            context=context,
        ) as journal:
            said = text_of(now())
            cut_off(path, gone, journal, before.isoformat(), behind(order.actor), said, order.run)
            journal.end({"pruned": gone.lines})
    return Pruned(gone, _proved(path, anchors))


def _proved(path: str, anchors: Anchors) -> Verification:
    proof = verify(path, anchors)
    if proof.problem is not None:
        raise JournalUnusable(
            f"{proof.problem}\nA journal that is not whole is not pruned: what would go may be the evidence. "
            "See: piactl journal verify"
        )
    return proof
