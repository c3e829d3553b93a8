"""Retention of the journal: removes its oldest lines and records the removal verifiably."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from piactl.core.journal_line import Anchor, journal_owner
from piactl.directory.store.attribute_map import SECRETS
from piactl.errors import JournalUnusable
from piactl.flows.apply.journal_heads import StoredHeads
from piactl.flows.apply.run import Order
from piactl.journal import Actor, Journal, RunContext, Verification, verify
from piactl.journal.pruning import Removable, cut_off, pruning, removable, remove_left_behind
from piactl.journal.query import text_of


@dataclass(frozen=True, slots=True)
class Pruned:
    """`gone` describes the removed lines (in a trial: the removable ones), None if there are none; `after` is
    the verification of the journal afterwards."""

    gone: Removable | None
    after: Verification


def behind(actor: Actor) -> str:
    """The user who started a run, as precisely as it is known."""
    return actor.login or actor.sudo_user or actor.user


def midnight(day: date, timezone: str) -> datetime:
    """The beginning of a day in a time zone."""
    return datetime.combine(day, time(), ZoneInfo(timezone))


def prune_journal(
    path: str,
    order: Order,
    before: date,
    timezone: str,
    stored: StoredHeads,
    now: Callable[[], datetime],
    digest: Callable[[str], str],
    store: Callable[[Anchor], None],
    *,
    trial: bool,
) -> Pruned:
    """Removes the lines written before a day of `timezone`: only complete runs, and no line that is still
    needed. `digest` is the keyed digest of the journal, `store` stores its head elsewhere.

    Verifies the whole chain and its stored heads before and after. Raises JournalUnusable, with nothing
    removed, if the journal is not intact. A trial writes nothing.
    """
    proof = _proved(path, stored)
    if trial or not proof.lines:
        return Pruned(removable(path, midnight(before, timezone)), proof)
    with pruning(path):
        remove_left_behind(path)
        gone = removable(path, midnight(before, timezone))
        if gone is None:
            return Pruned(None, proof)
        context = RunContext(order.run, order.command, order.actor, order.as_of, "", order.policy)
        with Journal(
            path,
            now=now,
            digest=digest,
            secret=SECRETS,
            context=context,
        ) as journal:
            said = text_of(now())
            cut_off(path, gone, journal, before.isoformat(), behind(order.actor), said, order.run)
            head = journal.end({"pruned": gone.lines})
            store(Anchor(text_of(now()), journal_owner(order.actor.user, order.actor.host), order.run, head))
    return Pruned(gone, _proved(path, stored))


def _proved(path: str, stored: StoredHeads) -> Verification:
    proof = verify(path, stored.heads, runs=stored.runs)
    if proof.problem is not None:
        raise JournalUnusable(
            f"{proof.problem}\nA damaged journal is not pruned, because the lines may be evidence. "
            "See: piactl journal verify"
        )
    return proof
