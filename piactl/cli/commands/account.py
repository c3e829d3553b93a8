"""`account list|show`: lists and shows accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.ask.account_views import PERSON_COLUMNS, account_views
from piactl.ask.find_accounts import Filters, Listing, keep_views
from piactl.ask.show_policy import find_service
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    LAST_DAY,
    AsOf,
    Columns,
    Names,
    Output,
    ShowOutput,
    day_option,
    number_option,
    with_shared_options,
)
from piactl.cli.framework.output import display, layout_or_default, of_each, read_columns, say, show_views
from piactl.config.nearest_word import hint, read_establishment
from piactl.core.model.account import State
from piactl.core.text import listed_words
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import Exit, NotFound, UsageError
from piactl.phrase import Phrase, joined
from piactl.report.account_text import account_text
from piactl.report.establishment_names import with_names
from piactl.report.table import rendered
from piactl.translation import read_word, translate_word

COLUMNS = (
    "uid", "matricule", "address", "display_name", "state", "locked", "login_until", "next_due",
    "profiles", "drift",
)  # fmt: skip
FOUND = ("address", "display_name", "establishment", "functions", "state")
"""The columns for people of what was found: what tells people apart comes first, and is left out last."""
MOST_CARDS = 4
ACCESS = ("display_name", "functions", "services")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Which accounts are listed, as of which day, and how."""

    output: Output = None
    as_of: AsOf = None
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only accounts in this state; can be repeated.")
    ] = None
    profile: Annotated[str, typer.Option("--profile", help="Only accounts with this profile.")] = ""
    uai: Annotated[
        str,
        typer.Option(
            "--uai", "--establishment", help="Only accounts assigned there on the day: a UAI or a name."
        ),
    ] = ""
    service: Annotated[
        str, typer.Option("--service", help="Only accounts that have this service on the day.")
    ] = ""
    sponsor: Annotated[str, typer.Option("--sponsor", help="Only accounts with this sponsor.")] = ""
    locked: Annotated[bool, typer.Option("--locked", help="Only locked accounts.")] = False
    idle: Annotated[
        int | None,
        number_option("--idle", "DAYS", "Only open accounts without a log in for DAYS days.", 1),
    ] = None
    never: Annotated[
        bool, typer.Option("--never-logged-in", help="Only open accounts without any known log in.")
    ] = False
    ending_from: Annotated[
        date | None,
        day_option(
            "--ending-from",
            "Only accounts whose last post ends on this day or later, also by hand; today by default.",
        ),
    ] = None
    ending_to: Annotated[
        date | None,
        day_option("--ending-to", "Only accounts whose last post ends on this day or before."),
    ] = None
    columns: Columns = ""
    services: Annotated[
        bool,
        typer.Option("--services", help="Show what each account may use on the day; with --uai, there."),
    ] = False


@with_shared_options
def list_(
    options: ListOptions,
    drift: Annotated[
        bool, typer.Option("--drift", help="Only accounts that another program changed.")
    ] = False,
) -> int:
    """List the accounts, by uid; with -o ndjson in the order of the directory, while it is read.

    The column `drift` is what another program changed: see `piactl drift list`. --idle and
    --never-logged-in need a server that keeps last log ins. --ending-from and --ending-to list who leaves in
    that time: who has no post from then on, at least for a time. Their last day is the column `last_day`.

    Who has access to what: --service lists who has one service, --services what each account may use. With
    --uai, both are about that establishment, with those who have a right there by an exception, or for some
    days after their post. Of a person without a post there, `post_ended` is the last day of the last one,
    `until` the last day of what they may use there.

    Example: piactl account list --state grace -o csv
    """
    configuration = this_configuration()
    return show_list(configuration, options, read_filters(configuration, options), drifted=drift)


def show_list(
    configuration: Configuration,
    options: ListOptions,
    filters: Filters,
    choose: Callable[[Iterable[Entry]], list[Entry]] | None = None,
    card_of: Callable[[AccountStore, Mapping[str, Any]], str] | None = None,
    *,
    drifted: bool = False,
) -> int:
    """Prints the accounts that fit the filters: those that `choose` returns for all entries, on a terminal as
    cards if they are few, or all, by uid, in ndjson as they are read. `drifted`: only those that another
    program changed."""
    asked = {"sponsor": bool(filters.sponsor), "last_login": filters.of_logins}
    first = ("uid", "last_day") if filters.ending else ("uid",)
    usual = (*first, *COLUMNS[1:], *(name for name, about in asked.items() if about))
    layout = layout_or_default(options.output)
    as_words = options.services and layout == "table"
    former = ("post_ended", "until") if filters.of_access and not as_words else ()
    if former:
        usual = (*first, "display_name", *former, *(n for n in usual if n not in (*first, "display_name")))
    if options.services:
        places = () if filters.uai else ("establishment_names",)
        usual = (
            *first,
            *ACCESS,
            *former,
            *places,
            *(name for name in usual if name not in COLUMNS and name not in (*first, *former)),
        )
    for_people = bool(choose) and layout == "table" and not (options.columns or options.services)
    if for_people:
        usual = (*FOUND, *(name for name in usual if name not in COLUMNS))
    chosen_columns = read_columns(options.columns, usual, (*PERSON_COLUMNS, "services"))
    row_of = _found_row if for_people else _access_row if as_words else _row
    unreadable: list[str] = []
    listed = 0
    of_people = bool({*chosen_columns} & {*PERSON_COLUMNS})
    cards: list[str] = []

    def counting(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal listed
        for row in rows:
            listed += 1
            yield row

    def pieces(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
        whole, rows = layout in ("json", "ndjson"), counting(rows)
        return rendered(
            rows if whole else map(row_of, rows),
            chosen_columns,
            layout,
            only=bool(options.columns),
        )

    with reading(configuration) as reader:
        store = configuration.accounts(reader, options.as_of)
        listing = Listing(store, filters, drifted=drifted, of_people=of_people)
        entries = listing.all_entries(unreadable.append)
        rows = listing.of(choose(entries) if choose else entries)
        streams = layout == "ndjson" and not choose
        if streams:
            display(pieces(rows), layout)
        else:  # before a header is printed
            views = keep_views(Path(configuration.settings.state_folder), rows, by_uid=not choose)
            if card_of and for_people and options.output is None:
                first_views = list(islice(views, MOST_CARDS + 1))
                if len(first_views) <= MOST_CARDS:
                    cards = [card_of(store, view) for view in first_views]
                views = chain(first_views, views)
    if cards:
        display(cards)
    elif not streams:
        display(pieces(views), layout)
        if not listed and layout == "table":
            say(Phrase("no account fits what was asked for"))
    for why in unreadable:
        say(why)
    return int(Exit.PARTLY if unreadable else Exit.DONE)


def _found_row(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view by whose address, or uid, the account is named on."""
    state = view["state"]
    if view["locked"]:
        state = Phrase("{state}, LOCKED", state=translate_word(state))
    address, establishment = view["address"] or view["uid"], view["establishment_names"]
    return {**view, "address": address, "establishment": establishment, "state": state}


def _access_row(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view whose services begin with the end of the post that gave them, and their own, if there is one."""
    words = []
    if view.get("post_ended"):
        words.append(Phrase("post ended on {day}", day=view["post_ended"]))
    if view.get("until"):
        words.append(Phrase("access until {day}", day=view["until"]))
    services: Any = view["services"]
    if words:
        services = Phrase("({words}) {services}", words=joined(words), services=" ".join(services))
    return {**_row(view), "services": services}


def _row(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view in which the drift of the account is its classes."""
    return {**view, "drift": [*dict.fromkeys(drift["class"] for drift in view["drift"])]}


def read_filters(configuration: Configuration, options: ListOptions) -> Filters:
    """The filters of the options. Raises UsageError and NotFound for a word that fits nothing: an empty list
    would look as if nobody had it."""
    policy = configuration.policy
    valid = [state.value for state in State]
    states = [read_word(word, valid) for word in options.state or ()]
    listed = listed_words(valid)
    wrong = [
        Phrase("--state {word}: is not a state; the states are: {valid}", word=word, valid=listed)
        for word in states
        if word not in valid
    ]
    uai: str | None = ""
    if options.uai:
        uai, why = read_establishment(options.uai, configuration.register)
        if uai is None:
            wrong.append(Phrase("{name}: {text}", name="--uai", text=why))
    first = options.ending_from or options.as_of or today(configuration)
    last = options.ending_to or LAST_DAY
    if first > last and not options.ending_from:
        wrong.append(
            Phrase("--ending-to {last} is before {first}: add --ending-from", last=last, first=first)
        )
    elif first > last:
        wrong.append(Phrase("--ending-from {first} is after --ending-to {last}", first=first, last=last))
    unknown = []
    name, profiles = options.profile, [profile.name for profile in policy.profiles]
    if name and name not in profiles:
        why = hint(name, profiles)
        unknown.append(
            Phrase("--profile {name}: the policy has no such profile; {hint}", name=name, hint=why)
        )
    service = ""
    if options.service:
        try:
            service = find_service(policy, options.service).name
        except NotFound as missing:
            unknown.append(Phrase("{name}: {text}", name="--service", text=str(missing)))
    if wrong:
        raise UsageError(joined([*wrong, *unknown], "{first}\n{second}"))
    if unknown:
        raise NotFound(joined(unknown, "{first}\n{second}"))
    return Filters(
        states,
        options.profile,
        uai or "",
        service,
        options.sponsor,
        options.locked,
        options.idle,
        options.never,
        (first, last) if options.ending_from or options.ending_to else None,
        options.services or "services" in options.columns.replace(" ", "").split(","),
    )


def show(names: Names, output: ShowOutput = None, as_of: AsOf = None) -> int:
    """Show accounts on any day: state, log in, assignments, services, and what another program changed.

    Example: piactl account show claire.dubreuil --as-of 2026-10-01
    """
    configuration, single = this_configuration(), len(names) == 1
    register = configuration.register
    with reading(configuration) as reader:
        store = configuration.accounts(reader, as_of)

        def view_of(name: str) -> dict[str, Any]:
            entry = find_entry(store, name)
            drift = {entry.account.uid: store.drift_of(entry)}
            return next(account_views(store, [entry], drift))

        views, code = of_each(names, view_of, alone=single)

    def text_of(view: Mapping[str, Any]) -> str:
        return with_names(account_text(view, store.as_of.isoformat()), register)

    show_views(views, text_of, COLUMNS, output, single=single, rows_of=lambda view: [_row(view)])
    return code
