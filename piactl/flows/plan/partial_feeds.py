"""Plans without the refused feeds of the sources that the configuration lists under `continue`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from piactl.directory.port import Reader
from piactl.errors import FeedRefused, FeedsRefused
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.inputs.load_feeds import FeedsOfAnotherDay
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.inputs.run_state import RunState
from piactl.flows.plan.inputs.scan_feeds import Scan
from piactl.flows.plan.proposal import Proposal
from piactl.flows.site import Site


@dataclass(frozen=True, slots=True)
class Continued:
    """The feeds and the plan of one run, and the messages that refuse the feeds of other sources."""

    feeds: list[SourcedFeed]
    proposal: Proposal
    refused: tuple[str, ...] = ()


def build_continuing(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    as_of: date,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    state: RunState | None = None,
) -> Continued:
    """The plan of `build_plan` without the sources whose feed is refused, if all of these may be left out.

    Of a refused source no feed is used. Raises FeedRefused and what else `build_plan` raises.
    """
    left, refused, sources = list(scans), [], []
    while True:
        try:
            feeds, proposal = build_plan(reader, site, left, as_of, accepted, tick, state)
            break
        except (FeedRefused, FeedsOfAnotherDay) as error:
            names = {scan.source.name for scan in left if str(scan.path) in _files(error)}
            alone = isinstance(error, FeedsOfAnotherDay) and not error.others_fit
            if alone or not names or not names <= site.settings.go_on:
                raise
            refused.append(str(error))
            sources += sorted(names)
            left = [scan for scan in left if scan.source.name not in names]
    if sources:
        remark = f"feed refused of {', '.join(sources)}: dates and the other sources go on without it"
        plan = replace(proposal.plan, remarks=(*proposal.plan.remarks, remark))
        proposal = replace(proposal, plan=plan)
        refused.append(remark)
    return Continued(feeds, proposal, tuple(refused))


def _files(error: FeedRefused | FeedsOfAnotherDay) -> set[str]:
    if isinstance(error, FeedsOfAnotherDay):
        return set(error.files)
    return {one.file for one in error.errors} if isinstance(error, FeedsRefused) else {error.file}
