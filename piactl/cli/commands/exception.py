"""`exception grant|deny|list|end`, `override list|end`: exceptions to the policy, overrides of HR data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import typer

from piactl.ask.list_exceptions import current_overrides, exceptions_by_hand
from piactl.ask.show_policy import find_service, read_service
from piactl.cli.framework.account_command import EditOptions, Manner, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.open_directory import list_of_accounts
from piactl.cli.framework.options import (
    AsOf,
    Columns,
    FirstDay,
    Names,
    NeededLastDay,
    Output,
    uai_option,
    with_shared_options,
)
from piactl.core.acts import grant_deny as edits
from piactl.core.model.overrides import OverrideKind
from piactl.core.model.policy import Policy
from piactl.core.text import listed_words
from piactl.edits.account_store import AccountStore
from piactl.errors import UsageError
from piactl.phrase import Phrase
from piactl.translation import read_word

COLUMNS = ("uid", "kind", "service", "uai", "start", "end", "by", "reason")

ServiceName = Annotated[str, typer.Option("--service", help="A service of the policy. [required]")]
Uai = Annotated[str, uai_option("The establishment, for a service of establishment scope.")]


@with_shared_options
def grant(
    names: Names,
    options: EditOptions,
    service: ServiceName = "",
    uai: Uai = "",
    until: NeededLastDay = None,
    from_: FirstDay = None,
) -> int:
    """Give accounts a service that the policy does not give them.

    Example: piactl exception grant claire.dubreuil --service sts --uai 0800010B --until 2026-10-31 --reason
    "timetables"
    """
    return _except(names, True, service, uai, from_, until, options)


@with_shared_options
def deny(
    names: Names,
    options: EditOptions,
    service: ServiceName = "",
    uai: Uai = "",
    until: NeededLastDay = None,
    from_: FirstDay = None,
) -> int:
    """Deny accounts a service, whatever the policy gives.

    Example: piactl exception deny claire.dubreuil --service iprof --until 2026-10-31 --reason "dispute"
    """
    return _except(names, False, service, uai, from_, until, options)


def _except(
    names: list[str],
    grants: bool,
    service: str,
    uai: str,
    from_: date | None,
    until: date | None,
    manner: Manner,
) -> int:
    command = begin(manner)
    service = read_service(command.configuration.policy, service)
    _check_place(command.configuration.policy, service, uai)
    if until is None:
        raise UsageError(Phrase("an exception needs an end: add --until DATE"))
    start = from_ or command.order.as_of
    if until < start:
        raise UsageError(Phrase("--until {until} is before the first day, {start}", until=until, start=start))
    act = edits.make_exception(command.author, service, uai, start, until, grants=grants)
    return command.act_on(names, act)


@with_shared_options
def end_exceptions(names: Names, options: EditOptions, service: ServiceName = "", uai: Uai = "") -> int:
    """End exceptions before their day. The policy applies again.

    Example: piactl exception end claire.dubreuil --service iprof --reason "settled"
    """
    command = begin(options)
    if not service:
        raise UsageError(Phrase("add --service, as `exception list` shows it"))
    service = read_service(command.configuration.policy, service)
    act = edits.end_exceptions(command.author, service, uai)
    return command.act_on(names, act)


def list_exceptions(
    output: Output = None,
    as_of: AsOf = None,
    service: Annotated[str, typer.Option("--service", help="Only exceptions of this service.")] = "",
    columns: Columns = "",
) -> int:
    """List the exceptions that have not ended, by account.

    Example: piactl exception list --service iprof
    """

    def rows_of(store: AccountStore, bad: Callable[[str], None]) -> list[dict[str, Any]]:
        rows = exceptions_by_hand(store, bad)
        name = read_service(store.policy, service)
        if name and not any(row["service"] == name for row in rows):
            find_service(store.policy, name)
        return [row for row in rows if name in ("", row["service"])]

    return list_of_accounts(this_configuration(), rows_of, COLUMNS, output, as_of, columns)


def _check_place(policy: Policy, service: str, uai: str) -> None:
    """Raises UsageError for a UAI that the scope of the service does not have, or lacks."""
    if not service:
        raise UsageError(Phrase("add --service"))
    service_entry = find_service(policy, service)
    if service_entry.per_establishment and not uai:
        raise UsageError(Phrase("{service} is a service of one establishment: add --uai", service=service))
    if uai and not service_entry.per_establishment:
        raise UsageError(
            Phrase("{service} is the same in all establishments: leave --uai out", service=service)
        )


OVERRIDE_COLUMNS = ("uid", "kind", "what", "until", "made", "by", "reason", "sponsor")


def list_overrides(output: Output = None, as_of: AsOf = None, columns: Columns = "") -> int:
    """List the overrides that have not ended, sorted by last day.

    Example: piactl override list
    """
    return list_of_accounts(this_configuration(), current_overrides, OVERRIDE_COLUMNS, output, as_of, columns)


@with_shared_options
def end_overrides(
    names: Names,
    options: EditOptions,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only add, end, close, name or keep; can be repeated.")
    ] = None,
) -> int:
    """End overrides before their day. The HR data apply again.

    Example: piactl override end claire.dubreuil --kind close --reason "HR has it now"
    """

    words = [kind.value for kind in OverrideKind]
    typed = [read_word(word, words) for word in kind or ()]
    unknown = [word for word in typed if word not in words]
    if unknown:
        raise UsageError(
            Phrase("--kind {unknown}: the kinds are {words}", unknown=unknown[0], words=listed_words(words))
        )
    command = begin(options)
    kinds = [OverrideKind(word) for word in typed or words]
    return command.act_on(names, edits.end_overrides(command.author, kinds))
