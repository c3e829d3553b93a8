"""`account`: reading accounts back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.account_batch import read_names
from piactl.cli.framework.context import layout_or_default, put, reading, say, this_configuration, today
from piactl.cli.framework.options import AsOf, Output, ShowOutput, read_day
from piactl.config.schema_validation import hint
from piactl.core.model.account import State
from piactl.core.model.person import read_uai
from piactl.errors import AccountNotFound, Exit, PiactlError, UsageError
from piactl.report.account_text import account_text
from piactl.report.table import rendered

if TYPE_CHECKING:
    from piactl.core.model.policy import Policy


COLUMNS = (
    "uid",
    "matricule",
    "address",
    "display_name",
    "state",
    "locked",
    "login_until",
    "next_due",
    "profiles",
    "drift",
)


def list_(
    output: Output = None,
    as_of: AsOf = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only accounts in this state; may be given again.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="Only accounts with this profile.")] = "",
    uai: Annotated[str, typer.Option("--uai", help="Only accounts assigned there on the day.")] = "",
    drift: Annotated[
        bool, typer.Option("--drift", help="Only accounts that another program changed.")
    ] = False,
) -> int:
    """List the accounts, by uid. `drift` is what another program changed: see `piactl drift list`."""
    from piactl.flows.queries.accounts import account_views, all_accounts

    configuration = this_configuration()
    _check_filters(configuration.policy, state or [], profile, uai)
    day = read_day(as_of, today(configuration))
    unreadable: list[str] = []
    with reading(configuration) as reader:
        store = configuration.accounts(reader, day)
        accounts, drifted = all_accounts(store, unreadable.append)
        if drift:
            accounts = [account for account in accounts if account.uid in drifted]
        views = account_views(store, configuration.register, accounts, drifted)
        rows = (v for v in views if _wanted(v, state or [], profile, uai.strip().upper(), day.isoformat()))
        put(_rendered(rows, layout_or_default(output)))
    for why in unreadable:
        say(why)
    return int(Exit.PARTLY if unreadable else Exit.DONE)


def find(
    words: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Names of a person, or the beginnings of them.")
    ],
    output: Output = None,
    as_of: AsOf = None,
) -> int:
    """Find accounts by the names of people: `account find claire dubr`.

    Accents, case, hyphens and apostrophes do not count. If nobody has the name, the nearest names are listed.
    """
    from piactl.flows.queries.accounts import account_views, all_accounts
    from piactl.flows.queries.find import find_by_name

    configuration, wanted = this_configuration(), " ".join(words)
    day = read_day(as_of, today(configuration))
    unreadable: list[str] = []
    with reading(configuration) as reader:
        store = configuration.accounts(reader, day)
        accounts, drifted = all_accounts(store, unreadable.append)
        found, exact = find_by_name(accounts, wanted)
        drifted = {account.uid: drifted[account.uid] for account in found if account.uid in drifted}
        views = [*account_views(store, configuration.register, found, drifted)]
    if not found:
        raise AccountNotFound(f"{wanted}: nobody has this name or a similar one")
    if not exact:
        say(f"{wanted}: nobody has this name; the nearest:")
    put(_rendered(views, layout_or_default(output)))
    for why in unreadable:
        say(why)
    return int(Exit.PARTLY if unreadable else Exit.DONE)


def _rendered(views: Iterable[dict[str, Any]], layout: str) -> Iterable[str]:
    """The views as rows, in which the drift of an account is its classes."""
    if layout not in ("json", "ndjson"):
        views = ({**v, "drift": [*dict.fromkeys(one["class"] for one in v["drift"])]} for v in views)
    return rendered(views, COLUMNS, layout)


def _check_filters(policy: Policy, states: list[str], profile: str, uai: str) -> None:
    """Raises UsageError with everything that is wrong: a word that fits nothing would look like nobody."""

    valid = [one.value for one in State]
    wrong = [
        f"--state {wanted}: is no state; the states are: {', '.join(valid)}"
        for wanted in states
        if wanted not in valid
    ]
    if profile:
        profiles = [one.name for one in policy.profiles]
        if profile not in profiles:
            wrong.append(f"--profile {profile}: the policy has no such profile; {hint(profile, profiles)}")
    if uai:
        known_uai, why = read_uai(uai)
        if known_uai is None:
            wrong.append(f"--uai: {why}")
    if wrong:
        raise UsageError("\n".join(wrong))


def _wanted(view: dict[str, Any], states: list[str], profile: str, uai: str, day: str) -> bool:
    if states and view["state"] not in states:
        return False
    if profile and profile not in view["profiles"]:
        return False
    return not uai or any(
        a["uai"] == uai and a["start"] <= day and (a["end"] or day) >= day for a in view["assignments"]
    )


def show(
    names: Annotated[
        list[str],
        typer.Argument(metavar="ACCOUNT", help="A uid, an address, an alias or a matricule; - is stdin."),
    ],
    output: ShowOutput = None,
    as_of: AsOf = None,
) -> int:
    """Show accounts: state, log in, assignments, services, and what another program changed, as of any day.

    With `-` the names come from stdin, one per line, plain or as objects with a uid, and the answers are in
    that order.
    """
    from piactl.flows.queries.accounts import account_views, find_entry

    configuration = this_configuration()
    day = read_day(as_of, today(configuration))
    views: list[dict[str, Any]] = []
    code = int(Exit.DONE)
    wanted = read_names(names)
    with reading(configuration) as reader:
        store = configuration.accounts(reader, day)
        for name in wanted:
            try:
                entry = find_entry(store, name)
                drifted = {entry.account.uid: entry}
                views += account_views(store, configuration.register, [entry.account], drifted)
            except PiactlError as error:
                if len(wanted) == 1:
                    raise
                say(str(error))
                code = int(Exit.PARTLY)
    _print(views, layout_or_default(output) if output else "", day.isoformat(), one=len(wanted) == 1)
    return code


def _print(views: list[dict[str, Any]], layout: str, day: str, *, one: bool) -> None:
    if layout == "json" and one:
        put([json.dumps(views[0], ensure_ascii=False, indent=2) + "\n"])
    elif layout:
        put(_rendered(views, layout))
    else:
        put(account_text(view, day) for view in views)
