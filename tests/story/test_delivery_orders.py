"""Sets of AAF in random orders of delivery: which accounts there are at the end, and with which posts."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.core.model.account import Account
from piactl.errors import FeedRefused, FeedsRefused
from piactl.feed.formats.registry import _kept as translated_sets
from piactl.planning.inputs.load_feeds import keep_sets, read_feeds
from tests.feed.test_delivery_orders import MONDAY, WHY, deliveries
from tests.planning import plan_at_once

from .population import TOP
from .test_national_years import ALONE, Fed, by_matricule

Posts = dict[str, set[tuple[str, str, date, date | None]]]


class Host(Fed):
    """A host whose nights apply what was delivered together, or nothing, and then drop what is older."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TOP / "examples" / "establishments.csv", ALONE, hr=False)
        self.source = replace(self.site.settings.sources["aaf"], state_folder=str(folder))
        folder.chmod(0o700)
        self.why: set[str] = set()
        self.waiting: list[Path] = []

    def deliver(self, paths: list[Path], day: date) -> None:
        self.waiting += [path for path in paths if path not in self.waiting]
        while self.waiting:
            translated_sets.clear()  # each night is a separate process
            try:
                feeds = read_feeds([str(path) for path in self.waiting], {"aaf": self.source})
                ready = plan_at_once(self.directory, self.site, feeds, day)
            except (FeedRefused, FeedsRefused) as error:
                refused = error.errors if isinstance(error, FeedsRefused) else [error]
                codes = {
                    Path(refused_feed.file): {code for code, _ in refused_feed.refusals}
                    for refused_feed in refused
                }
                self.why |= {code for feed_codes in codes.values() for code in feed_codes}
                late = [path for path, feed_codes in codes.items() if feed_codes & {"older", "doubled-delta"}]
                self.waiting = [path for path in self.waiting if path not in late]
                if not late:
                    return
                continue
            self.make(ready, day)
            keep_sets(feeds, pytest.fail)
            self.waiting = []

    def posts(self) -> Posts:
        def of(account: Account) -> set[tuple[str, str, date, date | None]]:
            return {(a.uai, a.function, a.start, a.end) for a in account.assignments}

        return {key: of(account) for key, account in by_matricule(self.directory, self.site).items()}


def on(posts: Posts, day: date) -> dict[str, set[tuple[str, str]]]:
    open_posts = {
        key: {
            (uai, function) for uai, function, start, end in own if start <= day and (not end or end >= day)
        }
        for key, own in posts.items()
    }
    return {key: own for key, own in open_posts.items() if own}


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_delivery_ends_in_the_same_accounts(tmp_path: Path, seed: int) -> None:
    """If no set came after a later one, starts and ends are the same; otherwise the last posts are there."""
    chance = random.Random(seed)
    sorts = "C" + "".join(chance.choices("DDDC", k=3))
    paths, end = deliveries(tmp_path / "sets", sorts, seed)
    days = [MONDAY + timedelta(number) for number in range(len(paths) + 2)]
    orderly, host = Host(tmp_path / "orderly"), Host(tmp_path / "host")
    for path, day in zip(paths, days, strict=False):
        orderly.deliver([path], day)
    assert not orderly.why
    # for every second seed the first set comes first, so that all others can follow
    remaining = [*paths[: seed % 2], *chance.sample(paths[seed % 2 :], len(paths) - seed % 2)]
    while remaining:
        size = chance.randint(1, 2)
        # every night has the day on which all sets exist: only what was delivered differs
        host.deliver(remaining[:size], days[len(paths) - 1])
        remaining = remaining[size:]
    assert host.waiting == []
    assert host.why <= WHY
    expected, actual, day = orderly.posts(), host.posts(), days[len(paths) - 1]
    print(f"seed {seed}: {sorts}, refused {sorted(host.why)}, {len(actual)} accounts")
    last = {key.partition(":")[2]: {a.key[:2] for a in person.assignments} for key, person in end.items()}
    assert len(last) > 1
    # a post that the last set lacks stays until a second one confirms it
    assert all(on(actual, day)[key] >= own for key, own in last.items())
    if not host.why & {"older", "doubled-delta"}:
        assert on(actual, day) == on(expected, day)
        assert {key: actual[key] for key in on(actual, day)} == {
            key: expected[key] for key in on(actual, day)
        }
