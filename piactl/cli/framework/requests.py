"""The requests that one operator makes and another one decides."""

from __future__ import annotations

from collections.abc import Sequence

from piactl.cli.framework.account_batch import Manner, begin
from piactl.cli.framework.configuration import Configuration
from piactl.clock import utc_now
from piactl.directory.port import Reader
from piactl.errors import UsageError
from piactl.flows.helpdesk.second_person import TWO, Requests
from piactl.journal.actor import known_operator


def requests_of(configuration: Configuration, reader: Reader) -> Requests:
    state, timezone = configuration.settings.directory.state, configuration.policy.timezone
    return Requests(reader, state, configuration.keys, configuration.unreadable, timezone)


def request_approval(kind: str, names: Sequence[str], manner: Manner, *beside: object) -> int:
    """Requests what `kind` says for one account. Raises UsageError where an option `beside` goes without a
    request."""
    if len(names) != 1 or any(beside) or manner.allow:
        raise UsageError(
            "--second-person is for one account, and goes with --reason, --dry-run, --yes and -o alone"
        )
    command = begin(manner)
    configuration, order = command.configuration, command.order
    operator = known_operator(order.actor, TWO)
    return command.decide(
        lambda store: requests_of(configuration, store.reader).prepare(
            store,
            configuration.settings.password,
            kind,
            names,
            order.reason,
            operator,
            utc_now(),
            manner.identity,
        )
    )
