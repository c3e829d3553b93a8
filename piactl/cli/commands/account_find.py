"""`account find`: finds accounts by what somebody says."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import typer

from piactl.ask.account_views import person_row
from piactl.ask.explain_account import LOGIN, why
from piactl.ask.find_accounts import find_by_words
from piactl.cli.commands.account import ListOptions, read_filters, show_list
from piactl.cli.framework.configuration import Configuration, this_configuration, today
from piactl.cli.framework.options import Form, with_shared_options
from piactl.cli.framework.output import put, say
from piactl.clock import utc_now
from piactl.core.text import search_words
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import NotFound
from piactl.phrase import Phrase, counted
from piactl.report.account_text import card_text
from piactl.report.establishment_names import with_names
from piactl.report.table import rendered


@with_shared_options
def find(
    words: Annotated[
        list[str], typer.Argument(metavar="WORD", help="Names, an address, a school, or pieces of them.")
    ],
    options: ListOptions,
) -> int:
    """Find accounts by what somebody says: names, an address, a matricule, or the UAI, the name, the commune
    or the telephone of the establishment.

    Each word has to fit. Names of people come first: the establishment counts if no names fit alone.
    Accents, case, hyphens and apostrophes do not count. If nothing fits, the nearest names are listed, else
    those whose names fit all words but one; if there are none, the exit code is 9, and json an empty list.
    --uai looks in one establishment only.

    On a terminal up to four people are shown as cards: name, address and former
    addresses, function and establishment, and the state with what refuses the log in.

    Example: piactl account find claire dubr
    """
    configuration, name = this_configuration(), " ".join(words)
    filters = read_filters(configuration, options)
    day, uai = options.as_of or today(configuration), filters.uai
    rules = configuration.rules(day)

    def named(entries: Iterable[Entry]) -> list[Entry]:
        by_uid = {entry.account.uid: entry for entry in entries}
        everybody = [entry.account for entry in by_uid.values()]
        there = [
            account
            for account in everybody
            if not uai or any(a.uai == uai and a.covers(day) for a in account.assignments)
        ]
        found = find_by_words(there, name, rules)
        anywhere = find_by_words(everybody, name, rules) if uai and not found.fit else found
        if not found.accounts or anywhere.fit is not found.fit:
            if options.output in (Form.JSON, Form.NDJSON):
                put(rendered([], (), options.output))
            if anywhere.fit:
                school = configuration.register.get(uai)
                raise NotFound(
                    Phrase(
                        "{name}: nobody at {school} fits, but {people} elsewhere: piactl account find "
                        "{words}",
                        name=name,
                        school=school.name if school and school.name else uai,
                        people=counted(len(anywhere.accounts), "person", "people"),
                        words=shlex.join(words),
                    )
                )
            if name.strip().isdigit():
                raise NotFound(
                    Phrase(
                        "{name}: no account has this matricule; if the last night held its row: "
                        "piactl why {name} --run last",
                        name=name.strip(),
                    )
                )
            raise NotFound(
                Phrase(
                    "{name}: nobody has this name or a similar one; try fewer words, or pieces of them",
                    name=name,
                )
            )
        if found.without:
            word = found.without
            say(Phrase("{name}: not all words fit anybody; without {word}:", name=name, word=word))
        elif not found.exact:
            say(Phrase("{name}: nobody has this name; the nearest:", name=name))
        return [by_uid[account.uid] for account in found.accounts]

    return show_list(configuration, options, filters, named, partial(_card, configuration))


def _card(configuration: Configuration, store: AccountStore, view: Mapping[str, Any]) -> str:
    """The card of an account that was found, with what `why ACCOUNT login` says first."""
    answers = why(store, view["uid"], utc_now(), configuration.settings, LOGIN)["answers"]
    account = find_entry(store, view["uid"]).account
    person = person_row(account, configuration.policy, store.as_of)
    in_use = search_words(account.display_name)
    born = "" if {*search_words(account.family_name)} <= {*in_use} else account.family_name
    return with_names(card_text(view, born, person["post"], answers[0]), configuration.register)
